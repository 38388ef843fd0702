//! What of a batch survives: the decision, and the batch that is left.
//!
//! Source: `cleanInto` and `shouldRetainRecord` of Kafka's `LogCleaner.scala`,
//! `MemoryRecords.filterTo`, KIP-534.

use std::sync::Arc;
use std::time::Duration;

use dohle_model::{Offset, Timestamp};

use super::LastOfProducers;
use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::batch::{Batch, BatchError, RecordIter, patch};
use crate::compression::{self, CompressionLevel, CompressionType, DecompressionMemory};
use crate::index::AbortedTxn;
use dohle_config::TimestampType;

/// The rules of one cleaning.
#[derive(Debug)]
pub(crate) struct Filter {
    /// The newest offset of each key up to `latest`.
    pub(crate) map: OffsetMap,
    /// The last offset that the map knows of; `None` when it knows of none.
    pub(crate) latest: Option<Offset>,
    pub(crate) now: Timestamp,
    /// `delete.retention.ms`.
    pub(crate) delete_retention: Duration,
    pub(crate) producers: LastOfProducers,
    /// The batch that ends here is kept, even if it is empty: it says where the cleaned part ends.
    pub(crate) bound: Offset,
    /// What batches are decompressed in.
    pub(crate) memory: Arc<DecompressionMemory>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub(crate) struct Filtered {
    /// Records that are left of it, or all of them when it was not looked into.
    pub(crate) kept_records: u32,
    /// Whether a byte of it changed, or it is gone.
    pub(crate) changed: bool,
    /// Records without a key, which no compacted topic keeps.
    pub(crate) without_key: u32,
    /// An aborted transaction that readers must still be told of.
    pub(crate) aborted: Option<AbortedTxn>,
}

/// The records of a batch that stay.
#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    count: i32,
    all: bool,
    tombstones: bool,
    max_timestamp: Option<Timestamp>,
    without_key: u32,
}

impl Filter {
    /// Appends to `out` what is left of a batch.
    pub(crate) fn apply(
        &self,
        batch: &Batch<'_>,
        transactions: &mut Transactions,
        out: &mut Vec<u8>,
    ) -> Result<Filtered, BatchError> {
        let header = &batch.header;
        let is_control = header.attributes.is_control();
        let mut filtered = Filtered::default();
        let horizon = header.delete_horizon();
        let (is_void, marker_is_spent) = if is_control {
            let marker = transactions.on_control(batch);
            filtered.aborted = marker.aborted;
            let expired = horizon.is_some_and(|horizon| horizon <= self.now);
            (marker.is_spent && expired, marker.is_spent)
        } else {
            (transactions.on_data(header), false)
        };
        let keep_empty = self.is_last_of_producer(batch) || header.next_offset() == self.bound;

        let untouched = !is_void && !is_control && self.is_past_map(header.base_offset);
        if untouched || (header.record_count == 0 && keep_empty) {
            out.extend_from_slice(batch.bytes);
            filtered.kept_records = header.record_count as u32;
            return Ok(filtered);
        }
        let set_horizon = |kept: &Kept| {
            (kept.tombstones || marker_is_spent)
                .then(|| self.now.0.saturating_add(millis(self.delete_retention)))
                .filter(|_| horizon.is_none())
        };
        let kept = if is_void {
            Kept::default()
        } else {
            self.keep(batch, horizon, is_control)?
        };
        filtered.kept_records = kept.count as u32;
        filtered.without_key = kept.without_key;
        filtered.changed = true;
        if kept.count > 0 {
            match set_horizon(&kept) {
                None if kept.all => {
                    out.extend_from_slice(batch.bytes);
                    filtered.changed = false;
                }
                horizon => rewrite(batch, &kept, horizon, out)?,
            }
        } else if keep_empty {
            write_empty(batch, out);
        }
        Ok(filtered)
    }

    fn is_past_map(&self, offset: Offset) -> bool {
        self.latest.is_none_or(|latest| offset > latest)
    }

    /// The newest batch of a producer that may come back; without it its sequence or epoch would be
    /// forgotten with the next recovery.
    fn is_last_of_producer(&self, batch: &Batch<'_>) -> bool {
        let header = &batch.header;
        let last = header.producer_id.and_then(|id| self.producers.get(&id));
        last.is_some_and(|last| match last.last_data_offset {
            Some(offset) => header.last_offset() == offset,
            None => header.attributes.is_control() && header.producer_epoch == last.epoch,
        })
    }

    fn keep(
        &self,
        batch: &Batch<'_>,
        horizon: Option<Timestamp>,
        is_control: bool,
    ) -> Result<Kept, BatchError> {
        let mut kept = Kept {
            all: true,
            ..Kept::default()
        };
        let tombstones_stay = horizon.is_none_or(|horizon| self.now < horizon);
        let mut records = batch.stream(&self.memory)?;
        while let Some((record, bytes)) = records.next_with_bytes()? {
            let stays = is_control
                || self.is_past_map(record.offset)
                || match record.key {
                    None => {
                        kept.without_key += 1;
                        false
                    }
                    Some(key) => {
                        let newest = self.map.get(key).is_none_or(|it| record.offset >= it);
                        newest && (record.value.is_some() || tombstones_stay)
                    }
                };
            if stays {
                kept.bytes.extend_from_slice(bytes);
                kept.count += 1;
                kept.tombstones |= record.value.is_none();
                kept.max_timestamp = kept.max_timestamp.max(record.timestamp);
            } else {
                kept.all = false;
            }
        }
        Ok(kept)
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The batch with fewer records, or with a delete horizon from now on. The records' bytes stay as
/// they are, but for their timestamps when these are told from the horizon now.
fn rewrite(
    batch: &Batch<'_>,
    kept: &Kept,
    new_horizon: Option<i64>,
    out: &mut Vec<u8>,
) -> Result<(), BatchError> {
    let header = &batch.header;
    let start = out.len();
    out.extend_from_slice(&batch.bytes[..crate::batch::BATCH_HEADER_SIZE]);
    let shifted;
    let records = match new_horizon {
        None => &kept.bytes,
        Some(horizon) => {
            let shift = header.base_timestamp.wrapping_sub(horizon);
            shifted = shift_timestamps(&kept.bytes, kept.count, shift)?;
            &shifted
        }
    };
    match header.attributes.compression()? {
        CompressionType::None => out.extend_from_slice(records),
        codec => {
            compression::compress(codec, CompressionLevel(None), records, out)
                .map_err(|error| BatchError::Compression(error.to_string()))?;
        }
    }
    let max_timestamp = match header.attributes.timestamp_type() {
        TimestampType::CreateTime => kept.max_timestamp,
        TimestampType::LogAppendTime => header.max_timestamp,
    };
    let attributes = match new_horizon {
        Some(_) => header.attributes.with_delete_horizon(),
        None => header.attributes,
    };
    let content = patch::Content {
        attributes,
        base_timestamp: new_horizon.unwrap_or(header.base_timestamp),
        max_timestamp,
        record_count: kept.count,
    };
    patch::set_content(&mut out[start..], &content);
    Ok(())
}

fn shift_timestamps(records: &[u8], count: i32, shift: i64) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::with_capacity(records.len() + 8 * count as usize);
    let mut at = 0;
    for index in 0..count {
        RecordIter::copy_shifted(records, &mut at, shift, &mut out).ok_or(BatchError::Record {
            index: index as u32,
            problem: "timestamp cannot be read again",
        })?;
    }
    Ok(out)
}

/// The batch without its records: its offsets, producer, sequences and epochs stay known.
fn write_empty(batch: &Batch<'_>, out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&batch.bytes[..crate::batch::BATCH_HEADER_SIZE]);
    let content = patch::Content {
        attributes: batch.header.attributes.of_empty_batch(),
        base_timestamp: -1,
        max_timestamp: batch.header.max_timestamp,
        record_count: 0,
    };
    patch::set_content(&mut out[start..], &content);
}
