//! Consumer groups (KIP-848): ConsumerGroupHeartbeat and ConsumerGroupDescribe.
//!
//! ```text
//!   descriptions of members         a new group epoch                    the target assignment
//!   ConsumerMember, ConsumerGroup -> ConsumerTargetMember, ConsumerTarget -> ConsumerCurrent
//!   subscription.rs                  assignor/                               reconcile.rs
//! ```
//!
//! A plan does not change the group. The replay of its records does, and the response already shows
//! the member as it will be after the replay. Only timers, and the time at which a group last
//! compared its topics, are kept in memory alone. Members of the classic protocol in a consumer
//! group are in `migration/`.
//!
//! Source: KIP-848, 1101 (a hash of the topics), 1251 (assignment epochs), 1263 (batched
//! assignments); `GroupMetadataManager` and `modern/consumer` of Apache Kafka 4.3.
//!
//! Differences from Kafka:
//! - A regular expression is resolved with the request that brings it, not later.
//! - A member that sends its previous epoch receives its assignment again.
//! - A member that joins without a subscription is in epoch 1, not 0.
//! - A subscription of the classic protocol that cannot be read is refused with
//!   INCONSISTENT_GROUP_PROTOCOL, not UNKNOWN_SERVER_ERROR.
//! - A clock that was set back does not delay the next target assignment.
//! - A group that becomes a classic group rebalances once its record is committed.
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
