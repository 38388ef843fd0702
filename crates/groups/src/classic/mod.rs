//! Groups of the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! A classic group changes in memory first and logs the result, so its records are not replayed
//! where they were written. A record is written when the group is created, when its leader's
//! assignment arrives, when a static member is replaced, and when the group becomes empty. The
//! coordinator treats eager and cooperative rebalancing (KIP-429) alike: the members decide which
//! partitions they keep during a rebalance.
//!
//! Source: KIP-62, 134, 345, 389, 394, 429, 559, 800, 814; `GroupMetadataManager` and
//! `ClassicGroup` of Apache Kafka 4.3.
//!
//! Differences from Kafka:
//! - Kafka leaves some requests without a response. Here a parked request that a later request of
//!   the same member supersedes gets REBALANCE_IN_PROGRESS, and the SyncGroup of a member that is
//!   removed gets UNKNOWN_MEMBER_ID.
//! - A protocol that a member names twice counts once.
//! - Among protocols with equally many votes the first in the alphabet wins, and among members that
//!   may lead the first by id. Kafka leaves both to the order of a hash map.
//! - A static member that is replaced before it has synced causes no rebalance when the time to
//!   sync is over.
//!
//! Invariants: every parked request is answered; a generation never decreases; a group with members
//! has one leader, which is a member; a session runs for each member and for each id that was
//! handed out and not yet used, and for no other id.

pub mod describe;
pub mod group;
mod heartbeat;
pub(crate) mod join;
mod kind;
pub(crate) mod leave;
mod lifecycle;
mod member;
mod protocol;
mod rebalance;
mod record;
mod static_members;
pub(crate) mod step;
mod sync;

#[cfg(test)]
mod tests;

pub use group::ClassicGroup;
pub use member::Member;
