//! The `.snapshot` file: producer state at an offset, version 1 of Kafka's `ProducerSnapshot.json`.
//!
//! version i16, CRC32C u32 of what follows, count i32, then for each producer 46 bytes.

use std::time::Duration;

use dohle_model::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::{BatchMetadata, ProducerEntry, ProducerState};
use crate::batch::crc32c;

const VERSION: i16 = 1;
const ENTRIES_AT: usize = 6;
const ENTRY_SIZE: usize = 46;

/// The reason why bytes are not a producer snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotError {
    /// The version is not supported.
    #[error("producer snapshot has version {0}, 1 is expected")]
    Version(i16),
    /// The checksum does not match.
    #[error(
        "producer snapshot is corrupt: CRC32C is {computed:#010x}, the file has {stored:#010x}"
    )]
    Crc {
        /// The checksum in the file.
        stored: u32,
        /// The checksum computed from the bytes.
        computed: u32,
    },
    /// The size does not match the number of producers.
    #[error("producer snapshot of {0} bytes is truncated or too long")]
    Size(usize),
}

/// Encodes a state as the bytes of the file.
#[must_use]
pub fn encode(state: &ProducerState) -> Vec<u8> {
    let mut producers: Vec<_> = state.producers().collect();
    producers.sort_by_key(|(id, _)| *id);
    let mut out = Vec::with_capacity(ENTRIES_AT + 4 + producers.len() * ENTRY_SIZE);
    out.extend_from_slice(&VERSION.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    let count = i32::try_from(producers.len()).expect("producers fit in memory");
    out.extend_from_slice(&count.to_be_bytes());
    for (id, entry) in producers {
        let last = entry.batches.back();
        let (last_sequence, last_offset, delta) = match last {
            Some(batch) => (
                Sequence::to_wire(batch.last_sequence),
                batch.last_offset.0,
                batch.offset_delta,
            ),
            None => (-1, -1, 0),
        };
        out.extend_from_slice(&id.0.to_be_bytes());
        out.extend_from_slice(&ProducerEpoch::to_wire(entry.epoch).to_be_bytes());
        out.extend_from_slice(&last_sequence.to_be_bytes());
        out.extend_from_slice(&last_offset.to_be_bytes());
        out.extend_from_slice(&delta.to_be_bytes());
        out.extend_from_slice(&Timestamp::to_wire(entry.last_timestamp).to_be_bytes());
        out.extend_from_slice(&entry.coordinator_epoch.unwrap_or(-1).to_be_bytes());
        out.extend_from_slice(&Offset::to_wire(entry.current_txn_first_offset).to_be_bytes());
    }
    let crc = crc32c(&out[ENTRIES_AT..]);
    out[2..ENTRIES_AT].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Decodes the state at `offset` from the bytes of a file, without expired producers.
///
/// # Errors
/// [`SnapshotError`] when the bytes are not a snapshot of version 1.
pub fn decode(
    bytes: &[u8],
    offset: Offset,
    now: Timestamp,
    expiration: Duration,
) -> Result<ProducerState, SnapshotError> {
    let mut state = ProducerState::new(offset);
    for (id, entry) in entries(bytes)? {
        if !entry.is_expired(now, expiration) {
            state.load(id, entry);
        }
    }
    Ok(state)
}

/// Decodes the producers in the bytes of a file, in the file's order.
///
/// # Errors
/// [`SnapshotError`] when the bytes are not a snapshot of version 1.
pub fn entries(bytes: &[u8]) -> Result<Vec<(ProducerId, ProducerEntry)>, SnapshotError> {
    let size_error = SnapshotError::Size(bytes.len());
    let Some((head, entries)) = bytes.split_first_chunk::<{ ENTRIES_AT + 4 }>() else {
        return Err(size_error);
    };
    let version = i16::from_be_bytes([head[0], head[1]]);
    if version != VERSION {
        return Err(SnapshotError::Version(version));
    }
    let stored = u32::from_be_bytes([head[2], head[3], head[4], head[5]]);
    let computed = crc32c(&bytes[ENTRIES_AT..]);
    if stored != computed {
        return Err(SnapshotError::Crc { stored, computed });
    }
    let count = i32::from_be_bytes([head[6], head[7], head[8], head[9]]);
    let (entries, rest) = entries.as_chunks::<ENTRY_SIZE>();
    if usize::try_from(count) != Ok(entries.len()) || !rest.is_empty() {
        return Err(size_error);
    }
    Ok(entries.iter().map(decode_entry).collect())
}

fn decode_entry(bytes: &[u8; ENTRY_SIZE]) -> (ProducerId, ProducerEntry) {
    let i32_at =
        |at: usize| i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let i64_at = |at: usize| (i64::from(i32_at(at)) << 32) | i64::from(i32_at(at + 4) as u32);
    let last_timestamp = Timestamp::from_wire(i64_at(26));
    let batch = Offset::from_wire(i64_at(14)).map(|last_offset| BatchMetadata {
        last_sequence: Sequence::from_wire(i32_at(10)),
        last_offset,
        offset_delta: i32_at(22).max(0),
        timestamp: last_timestamp,
    });
    let entry = ProducerEntry {
        epoch: ProducerEpoch::from_wire(i16::from_be_bytes([bytes[8], bytes[9]])),
        coordinator_epoch: Some(i32_at(34)).filter(|epoch| *epoch >= 0),
        last_timestamp,
        current_txn_first_offset: Offset::from_wire(i64_at(38)),
        batches: batch.into_iter().collect(),
    };
    (ProducerId(i64_at(0)), entry)
}
