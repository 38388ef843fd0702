//! A batch of metadata records: the unit that the quorum commits.

use std::sync::Arc;

use crate::ids::MetadataOffset;
use crate::record::MetadataRecord;

/// The metadata records that one Raft entry carries.
///
/// `base` is the offset of the image on which the records were planned. Replay ignores a batch
/// whose base is not the image's offset, so a plan made on an outdated image changes nothing and is
/// made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataBatch {
    /// The offset of the image the records were planned on.
    pub base: MetadataOffset,
    /// The records, applied together or not at all.
    pub records: Arc<[MetadataRecord]>,
}

/// A committed batch with its offset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommittedBatch {
    /// The Raft index of the entry.
    pub offset: MetadataOffset,
    /// The batch.
    pub batch: MetadataBatch,
}
