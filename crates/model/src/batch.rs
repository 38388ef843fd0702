//! A batch of metadata records: the unit that the quorum commits.

use std::sync::Arc;

use crate::ids::MetadataOffset;
use crate::record::MetadataRecord;

/// What one Raft entry carries.
///
/// `base` is the offset of the image that the records were planned on. Replay refuses a batch whose
/// base is not the image's offset, so a plan made on an image that has since moved changes nothing
/// and is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataBatch {
    /// The offset of the image the records were planned on.
    pub base: MetadataOffset,
    /// The records, applied together or not at all.
    pub records: Arc<[MetadataRecord]>,
}

/// A batch at the place where it was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedBatch {
    /// The Raft index of the entry.
    pub offset: MetadataOffset,
    /// The batch.
    pub batch: MetadataBatch,
}
