//! The three indexes of a segment, in memory and in Kafka's file formats.
//!
//! `.index`: relative offset i32, position i32. `.timeindex`: timestamp i64, relative offset i32.
//! `.txnindex`: version i16, producer id, first, last and last stable offset, i64 each. The files
//! hold only their entries; nothing is preallocated.

use std::path::Path;

use dohle_model::{Offset, ProducerId};
use dohle_storage::File;

use crate::error::{Context, StorageError};

/// A batch's last offset, relative to the segment's base offset, and the batch's position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative_offset: u32,
    pub(crate) position: u32,
}

/// The largest timestamp up to a batch, and that batch's last offset relative to the base offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative_offset: u32,
}

/// An aborted transaction, as consumers that read committed records need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AbortedTxn {
    /// The producer.
    pub producer_id: ProducerId,
    /// The offset of the producer's first record in the transaction.
    pub first_offset: Offset,
    /// The offset of the abort marker.
    pub last_offset: Offset,
    /// The last stable offset when the marker was appended.
    pub last_stable_offset: Offset,
}

/// An entry of fixed size.
pub(crate) trait Entry: Copy {
    const SIZE: usize;
    fn decode(bytes: &[u8]) -> Self;
    fn encode(&self, out: &mut Vec<u8>);
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4]
        .iter()
        .fold(0, |value, byte| value << 8 | u32::from(*byte))
}

fn i64_at(bytes: &[u8], at: usize) -> i64 {
    (u64::from(u32_at(bytes, at)) << 32 | u64::from(u32_at(bytes, at + 4))) as i64
}

impl Entry for OffsetEntry {
    const SIZE: usize = 8;

    fn decode(bytes: &[u8]) -> Self {
        Self {
            relative_offset: u32_at(bytes, 0),
            position: u32_at(bytes, 4),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }
}

impl Entry for TimeEntry {
    const SIZE: usize = 12;

    fn decode(bytes: &[u8]) -> Self {
        Self {
            timestamp: i64_at(bytes, 0),
            relative_offset: u32_at(bytes, 8),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }
}

impl Entry for AbortedTxn {
    const SIZE: usize = 34;

    fn decode(bytes: &[u8]) -> Self {
        Self {
            producer_id: ProducerId(i64_at(bytes, 2)),
            first_offset: Offset(i64_at(bytes, 10)),
            last_offset: Offset(i64_at(bytes, 18)),
            last_stable_offset: Offset(i64_at(bytes, 26)),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&0i16.to_be_bytes());
        for value in [
            self.producer_id.0,
            self.first_offset.0,
            self.last_offset.0,
            self.last_stable_offset.0,
        ] {
            out.extend_from_slice(&value.to_be_bytes());
        }
    }
}

/// Returns the whole entries of an `.index` file whose segment has this base offset: the last
/// offset of a batch, and the position of the batch.
#[must_use]
pub fn offset_index_entries(bytes: &[u8], base: Offset) -> Vec<(Offset, u32)> {
    let entries = decode::<OffsetEntry>(bytes).into_iter();
    entries
        .map(|entry| (absolute(base, entry.relative_offset), entry.position))
        .collect()
}

/// Returns the whole entries of a `.timeindex` file whose segment has this base offset: a timestamp
/// in milliseconds, and the last offset of its batch.
#[must_use]
pub fn time_index_entries(bytes: &[u8], base: Offset) -> Vec<(i64, Offset)> {
    let entries = decode::<TimeEntry>(bytes).into_iter();
    entries
        .map(|entry| (entry.timestamp, absolute(base, entry.relative_offset)))
        .collect()
}

/// Returns the whole entries of a `.txnindex` file.
#[must_use]
pub fn txn_index_entries(bytes: &[u8]) -> Vec<AbortedTxn> {
    decode(bytes)
}

/// Returns the absolute offset of an entry. An entry of a damaged file may exceed the range of
/// offsets; then it is the largest offset.
pub(crate) fn absolute(base: Offset, relative: u32) -> Offset {
    Offset(base.0.saturating_add(i64::from(relative)))
}

pub(crate) fn encode<E: Entry>(entries: &[E]) -> Vec<u8> {
    let mut out = Vec::with_capacity(entries.len() * E::SIZE);
    entries.iter().for_each(|entry| entry.encode(&mut out));
    assert_eq!(
        out.len(),
        entries.len() * E::SIZE,
        "size of an encoded index"
    );
    out
}

/// Returns the whole entries in `bytes`.
pub(crate) fn decode<E: Entry>(bytes: &[u8]) -> Vec<E> {
    bytes.chunks_exact(E::SIZE).map(E::decode).collect()
}

/// Returns the last entry for which `before` holds, by binary search. `before` must hold for a
/// prefix of the entries and for none after it.
pub(crate) fn floor<E: Entry>(entries: &[E], before: impl Fn(&E) -> bool) -> Option<E> {
    let count = entries.partition_point(before);
    entries[..count].last().copied()
}

/// Returns the last whole entry of a file.
pub(crate) fn last_in_file<E: Entry>(
    file: &dyn File,
    path: &Path,
) -> Result<Option<E>, StorageError> {
    let size = file.len().context("stat", path)?;
    let Some(last) = (size / E::SIZE as u64).checked_sub(1) else {
        return Ok(None);
    };
    let mut buffer = [0; 64];
    let buffer = &mut buffer[..E::SIZE];
    file.read_exact_at(buffer, last * E::SIZE as u64)
        .context("read", path)?;
    Ok(Some(E::decode(buffer)))
}

/// Does the same as [`floor`] in a file, reading single entries, so that the index of an old
/// segment needs no memory.
pub(crate) fn floor_in_file<E: Entry>(
    file: &dyn File,
    path: &Path,
    before: impl Fn(&E) -> bool,
) -> Result<Option<E>, StorageError> {
    let size = file.len().context("stat", path)?;
    let mut buffer = [0; 64];
    let buffer = &mut buffer[..E::SIZE];
    let (mut low, mut high) = (0, size / E::SIZE as u64);
    let mut found = None;
    while low < high {
        let middle = low + (high - low) / 2;
        file.read_exact_at(buffer, middle * E::SIZE as u64)
            .context("read", path)?;
        let entry = E::decode(buffer);
        if before(&entry) {
            found = Some(entry);
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(found)
}
