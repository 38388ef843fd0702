//! Committed offsets: commit, fetch, delete, expire (Kafka's `OffsetMetadataManager`).
//!
//! Whether a member may commit or fetch, what a group subscribes to and whether it is empty is
//! asked of the group, by protocol: `classic/describe.rs`, `consumer/commit.rs`.
//!
//! Invariants: a group exists when it has offsets; committing without membership makes it, and
//! replay alone changes offsets. An offset of a topic that was deleted is told to nobody who names
//! the topic that now has its name.
//!
//! Absent: offsets of transactions. A commit of one would wait here for its marker, and
//! UNSTABLE_OFFSET_COMMIT would answer who asks for stable offsets meanwhile.

use dohle_model::{PartitionIndex, TopicId};

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
