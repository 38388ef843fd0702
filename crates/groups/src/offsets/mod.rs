//! Committed offsets: commit, fetch, delete, expire.

/// The offsets of one group.
#[derive(Debug, Default)]
pub struct GroupOffsets {}
