//! Decides which records of a batch compaction keeps, and writes the batch with those records.
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
    /// The last offset that the map covers; `None` when the map is empty.
    pub(crate) latest: Option<Offset>,
    pub(crate) now: Timestamp,
    /// `delete.retention.ms`.
    pub(crate) delete_retention: Duration,
    pub(crate) producers: LastOfProducers,
    /// The last offset of the cleaned part. The batch that ends here is kept even if it is empty,
    /// because it marks the end of the cleaned part.
    pub(crate) bound: Offset,
    /// The memory for decompressing batches.
    pub(crate) memory: Arc<DecompressionMemory>,
}

/// The result of filtering a batch.
#[derive(Debug, Default)]
pub(crate) struct Filtered {
    /// The number of records kept; all of them when the batch was not decompressed.
    pub(crate) kept_records: u32,
    /// Whether a byte of the batch changed, or the batch was removed.
    pub(crate) changed: bool,
    /// The number of records without a key, which compaction removes.
    pub(crate) without_key: u32,
    /// An aborted transaction that the transaction index must still list for readers.
    pub(crate) aborted: Option<AbortedTxn>,
}

/// The records of a batch that are kept.
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
    /// Appends the records of a batch that are kept to `out`.
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

    /// Returns whether this is the newest batch of a producer that may continue. Without the batch,
    /// the next recovery would lose the producer's sequence or epoch.
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

/// Writes the batch with fewer records or with a new delete horizon. The records' bytes do not
/// change, except for their timestamp deltas when the base timestamp is replaced by the horizon.
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
            problem: "timestamp delta cannot be rewritten",
        })?;
    }
    Ok(out)
}

/// Writes the batch without its records, to keep its offsets, producer, sequences and epochs.
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
