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
//! An offset that is committed in a transaction waits for the transaction's marker, which makes it
//! the committed one or drops it. Meanwhile requests for stable offsets are answered with
//! UNSTABLE_OFFSET_COMMIT, and the partition's offset does not expire.

mod commit;
mod committed;
mod delete;
mod fetch;
mod pending;
#[cfg(test)]
mod tests;

pub(crate) use commit::{commit, group_not_found};
pub use committed::GroupOffsets;
pub(crate) use delete::{delete, delete_all, delete_of_topics, expire};
pub(crate) use fetch::fetch;
