//! Committed offsets: commit, fetch, delete, expire.
//!
//! What is asked of a group's members here, by protocol (Kafka's `Group`):
//!
//! ```text
//! impl ClassicGroup {
//!     // UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION, REBALANCE_IN_PROGRESS
//!     fn validate_offset_commit(&self, member_id: &str, instance_id: Option<&str>,
//!                               generation: i32) -> Result<(), Failed>;
//!     fn subscribed_topics(&self) -> Option<&BTreeSet<String>>;   // None: not known
//!     fn describe(&self, group_id: &str) -> DescribedGroup;       // of DescribeGroups
//!     // and state(), is_empty(), protocol_type(), uses_consumer_protocol(), state_timestamp()
//! }
//! impl Shard {
//!     // a commit keeps its member alive (in Stable and PreparingRebalance)
//!     fn on_classic_commit(&mut self, group_id: &str, member_id: &str, step: &mut Step<'_>);
//! }
//! impl ConsumerGroup {
//!     // UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION, UNSUPPORTED_VERSION; an older
//!     // epoch is allowed for partitions that were assigned at or before it (KIP-1251)
//!     fn validate_offset_commit(&self, member_id: &str, instance_id: Option<&str>,
//!                               member_epoch: i32, version: i16,
//!                               partitions: &[CommitPartition<'_>]) -> Result<(), Failed>;
//!     // UNKNOWN_MEMBER_ID, STALE_MEMBER_EPOCH, ILLEGAL_GENERATION
//!     fn validate_offset_fetch(&self, member_id: Option<&str>, member_epoch: i32)
//!                              -> Result<(), Failed>;
//!     fn is_empty(&self) -> bool;
//!     fn is_subscribed_to(&self, topic: &str) -> bool;
//!     fn state_name(&self) -> &'static str;                       // Empty, Assigning, …
//!     fn tombstones(&self, group_id: &GroupId) -> Vec<Record>;    // of all its own records
//! }
//! ```

use dohle_model::{PartitionIndex, TopicId};
use dohle_protocol::KafkaUuid;

mod commit;
mod committed;
mod delete;
mod fetch;
mod replay;
#[cfg(test)]
mod tests;

pub(crate) use commit::not_found;
pub use committed::GroupOffsets;

/// A partition that a member commits an offset for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitPartition<'a> {
    /// The topic's name.
    pub topic: &'a str,
    /// Its id, which the caller has looked up.
    pub topic_id: Option<TopicId>,
    /// The partition.
    pub partition: PartitionIndex,
}

/// A topic's id; `None` for the wire's zero.
fn topic_id(id: KafkaUuid) -> Option<TopicId> {
    let id = TopicId::from_bytes(id.to_bytes());
    (!id.is_zero()).then_some(id)
}
