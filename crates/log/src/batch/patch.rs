//! Changes the fields of a batch that a leader sets on append, and that compaction sets when it
//! keeps only some of the records.
//!
//! The callers have parsed a header from the same bytes, so the bytes have at least the length of a
//! header.

use dohle_model::{LeaderEpoch, Offset, Timestamp};

use super::header::{
    ATTRIBUTES_AT, Attributes, BASE_TIMESTAMP_AT, CRC_AT, LEADER_EPOCH_AT, LENGTH_AT, LOG_OVERHEAD,
    MAX_TIMESTAMP_AT, RECORD_COUNT_AT, crc32c,
};
use dohle_config::TimestampType;

/// Sets base offset and leader epoch; the checksum covers neither.
pub(crate) fn set_position(batch: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    batch[..8].copy_from_slice(&base_offset.0.to_be_bytes());
    batch[LEADER_EPOCH_AT..LEADER_EPOCH_AT + 4].copy_from_slice(&epoch.0.to_be_bytes());
}

/// Returns the largest timestamp as it is in the header: -1, or another negative number, when there
/// is none.
pub(crate) fn raw_max_timestamp(batch: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8]);
    i64::from_be_bytes(bytes)
}

/// Sets timestamp type and largest timestamp, and recomputes the checksum. `batch` is exactly one
/// whole batch.
pub(crate) fn set_max_timestamp(
    batch: &mut [u8],
    kind: TimestampType,
    max_timestamp: Option<Timestamp>,
) {
    let at = ATTRIBUTES_AT;
    let attributes = Attributes(i16::from_be_bytes([batch[at], batch[at + 1]]));
    let attributes = attributes.with_timestamp_type(kind);
    batch[at..at + 2].copy_from_slice(&attributes.0.to_be_bytes());
    let max_timestamp = Timestamp::to_wire(max_timestamp);
    batch[MAX_TIMESTAMP_AT..MAX_TIMESTAMP_AT + 8].copy_from_slice(&max_timestamp.to_be_bytes());
    set_crc(batch);
}

/// The header fields that depend on the records.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    pub(crate) attributes: Attributes,
    pub(crate) base_timestamp: i64,
    pub(crate) max_timestamp: Option<Timestamp>,
    pub(crate) record_count: i32,
}

/// Updates the header for other records, and recomputes the checksum. Offsets, epochs and sequences
/// do not change. `batch` is exactly one whole batch.
///
/// # Panics
/// When the batch has 2 GiB or more.
pub(crate) fn set_content(batch: &mut [u8], content: &Content) {
    let length = i32::try_from(batch.len() - LOG_OVERHEAD).expect("a batch is under 2 GiB");
    let max_timestamp = Timestamp::to_wire(content.max_timestamp);
    let mut put = |at: usize, bytes: &[u8]| batch[at..at + bytes.len()].copy_from_slice(bytes);
    put(LENGTH_AT, &length.to_be_bytes());
    put(ATTRIBUTES_AT, &content.attributes.0.to_be_bytes());
    put(BASE_TIMESTAMP_AT, &content.base_timestamp.to_be_bytes());
    put(MAX_TIMESTAMP_AT, &max_timestamp.to_be_bytes());
    put(RECORD_COUNT_AT, &content.record_count.to_be_bytes());
    set_crc(batch);
}

/// Recomputes the checksum of one whole batch.
pub(crate) fn set_crc(batch: &mut [u8]) {
    let crc = crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}
