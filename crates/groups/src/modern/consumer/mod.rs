//! Groups of the consumer protocol (KIP-848): ConsumerGroupHeartbeat, and members of the classic
//! protocol among them.
//!
//! ```text
//!   what members say, topics        the group epoch, when it rose        the target assignment
//!   ConsumerMember, ConsumerGroup -> ConsumerTargetMember, ConsumerTarget -> ConsumerCurrent
//!   subscription.rs                  assignor/                               reconcile.rs
//! ```
//!
//! A request is planned on the group and the member as it is going to be: records say what changes,
//! the answer says what replaying them makes. All of the state is replayed from records; when the
//! metadata was looked at, and the timers, live in memory.
//!
//! Source: KIP-848, 1101 (a hash of the topics), 1251 (assignment epochs), 1263 (batched
//! assignments); `GroupMetadataManager` and `modern/consumer` of Apache Kafka 4.3.
//!
//! Where it differs from Kafka: a regular expression has its topics with the answer to the request
//! that brings it; a member that names the epoch before is told its assignment again; who
//! subscribes to nothing yet is in epoch 1, not 0; a subscription of the classic protocol that
//! can't be read is INCONSISTENT_GROUP_PROTOCOL, not UNKNOWN_SERVER_ERROR; a clock that was set
//! back holds no target assignment up; a group that becomes a classic one rebalances once that is
//! committed.
//!
//! Invariant: a partition is never owned by two members.

pub(crate) mod describe;
pub mod group;
pub(crate) mod heartbeat;
mod kind;
pub mod member;
pub(crate) mod membership;
mod regex;
mod replay;
pub(crate) mod step;
pub(crate) mod subscription;

#[cfg(test)]
pub(crate) mod tests;

pub use group::ConsumerGroup;
pub use regex::Matches;
