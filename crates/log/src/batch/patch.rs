//! What a leader changes in a batch it appends.
//!
//! The callers have parsed a header from the same bytes, so they are at least a header long.

use dohle_model::{LeaderEpoch, Offset, Timestamp};

use super::header::{ATTRIBUTES_AT, Attributes, CRC_AT, LEADER_EPOCH_AT, MAX_TIMESTAMP_AT, crc32c};
use crate::config::TimestampType;

/// Sets base offset and leader epoch; the checksum covers neither.
pub(crate) fn set_position(batch: &mut [u8], base_offset: Offset, epoch: LeaderEpoch) {
    batch[..8].copy_from_slice(&base_offset.0.to_be_bytes());
    batch[LEADER_EPOCH_AT..LEADER_EPOCH_AT + 4].copy_from_slice(&epoch.0.to_be_bytes());
}

/// Sets timestamp type and largest timestamp and computes the checksum anew. `batch` is exactly one
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

/// Computes the checksum of one whole batch anew.
pub(crate) fn set_crc(batch: &mut [u8]) {
    let crc = crc32c(&batch[ATTRIBUTES_AT..]);
    batch[CRC_AT..CRC_AT + 4].copy_from_slice(&crc.to_be_bytes());
}
