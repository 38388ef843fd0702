//! Committed offsets: commit, fetch, delete, expire (Kafka's `OffsetMetadataManager`).
//!
//! The functions here plan on the offsets of one group. Whether a member may commit or fetch, which
//! topics a group subscribes to, and whether it has members, is decided by the group
//! ([`GroupKind`](crate::kind::GroupKind)).
//!
//! Invariants: a group exists while it has offsets, and a commit without membership creates it;
//! only replay changes offsets. An offset of a deleted topic is not returned for a new topic with
//! the same name.
//!
//! Absent: offsets of transactions. A commit of a transaction would wait here for its marker, and
//! meanwhile requests for stable offsets would be answered with UNSTABLE_OFFSET_COMMIT.

mod commit;
mod committed;
mod delete;
mod fetch;
#[cfg(test)]
mod tests;

pub(crate) use commit::{commit, group_not_found};
pub use committed::GroupOffsets;
pub(crate) use delete::{delete, delete_all, delete_of_topics, expire};
pub(crate) use fetch::fetch;
