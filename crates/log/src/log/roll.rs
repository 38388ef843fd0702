//! Closes the active segment and opens the next one.

use std::hash::{DefaultHasher, Hash, Hasher};

use dohle_model::{Offset, Timestamp};

use super::Log;
use crate::batch::BatchHeader;
use crate::error::StorageError;
use crate::producer_state::snapshot;
use crate::segment::Segment;
use crate::segment::files::{INDEX_SUFFIX, TIME_INDEX_SUFFIX};

impl Log {
    /// Opens a new segment if the active one is full, too old, or cannot take the batch.
    pub(super) fn maybe_roll(
        &mut self,
        header: &BatchHeader,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        if !self.should_roll(header, 0, now)? {
            return Ok(false);
        }
        self.roll_at(self.next_base_offset(header), now)?;
        Ok(true)
    }

    /// Returns whether a batch must be written to a new segment, when `pending` bytes are written
    /// before it.
    pub(super) fn should_roll(
        &mut self,
        header: &BatchHeader,
        pending: u32,
        now: Timestamp,
    ) -> Result<bool, StorageError> {
        let config = std::sync::Arc::clone(&self.config);
        let jitter = self.jitter_ms();
        let active = self.active();
        let size = u64::from(active.size) + u64::from(pending);
        if !active.fits(header.last_offset()) {
            return Ok(true);
        }
        if size == 0 {
            return Ok(false);
        }
        let limit = u64::from(config.segment_bytes).min(i32::MAX as u64);
        if size + u64::from(header.size) > limit || active.indexes_full(&config) {
            return Ok(true);
        }
        if active.size == 0 {
            return Ok(false);
        }
        let waited = active.time_waited_for_roll(now, header.max_timestamp)?;
        // Records are compacted only once their segment is closed, so a compacted topic's segment
        // is closed within `max.compaction.lag.ms`.
        let mut segment_ms = config.segment_ms;
        if config.cleanup_policy.compact {
            segment_ms = segment_ms.min(config.max_compaction_lag_ms.unwrap_or(segment_ms));
        }
        let age_max = segment_ms.as_millis() as i128 - i128::from(jitter);
        Ok(i128::from(waited) > age_max)
    }

    /// Closes the active segment; the next append is written to a new one. Does nothing when the
    /// active segment is empty. Returns whether there is a new segment.
    ///
    /// # Errors
    /// When the new file cannot be created. If there is no space for it, the log does not change;
    /// after any other error it is offline.
    pub fn roll(&mut self, now: Timestamp) -> Result<bool, StorageError> {
        if self.active().size == 0 {
            return Ok(false);
        }
        self.roll_at(self.log_end_offset, now)?;
        Ok(true)
    }

    /// Returns the base offset for a segment whose first batch has this header: the log's end, as
    /// in Kafka, although compaction may have left a gap before the batch. So there is no gap
    /// between two segments that were not compacted, and a start after a loss of power can rely on
    /// that.
    pub(super) fn next_base_offset(&self, header: &BatchHeader) -> Offset {
        let end = self.log_end_offset;
        let fits = header.last_offset().since(end) <= i64::from(i32::MAX);
        if fits { end } else { header.base_offset }
    }

    pub(super) fn roll_at(
        &mut self,
        base_offset: Offset,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        // An empty segment that cannot hold the offset is replaced.
        let is_empty = self.active().size == 0;
        if is_empty && self.active().base_offset == base_offset {
            return Ok(());
        }
        // An index file from before the last start does not contain what was appended since. A
        // segment that is not the last one may only have an index file that is complete on the
        // disk.
        self.guard(|log| {
            let files = &log.active().files;
            files.remove(INDEX_SUFFIX)?;
            files.remove(TIME_INDEX_SUFFIX)
        })?;
        // The file is created first, so that nothing else has changed if there is no space or no
        // descriptor.
        let last = self.segments.len() - 1;
        let before = if is_empty {
            last.checked_sub(1)
        } else {
            Some(last)
        };
        let segment = self.guard_all_or_nothing(|log| {
            if let Some(before) = before {
                log.before_roll(before, base_offset)?;
            }
            Segment::create(&log.dir, base_offset, now, log.open_files())
        })?;
        self.guard(|log| {
            if is_empty {
                if let Some(empty) = log.segments.pop() {
                    empty.files.delete()?;
                }
            } else {
                log.active().seal()?;
            }
            // The snapshot has the producer state below the new segment; a flush writes it.
            if log.producer_state.end_offset() <= base_offset {
                let bytes = snapshot::encode(&log.producer_state);
                log.snapshots_pending.push((base_offset, bytes));
            }
            assert!(
                base_offset >= log.log_end_offset,
                "{}: a segment begins at {base_offset}, before the log end {}",
                log.topic_partition,
                log.log_end_offset
            );
            assert_eq!(
                segment.base_offset, base_offset,
                "{}: base offset of a new segment",
                log.topic_partition
            );
            log.segments.push(segment);
            log.assert_segments_rise("a roll");
            log.directory_dirty = true;
            log.closed_segments_changed = true;
            tracing::debug!(partition = %log.topic_partition, %base_offset, "rolled a new segment");
            Ok(())
        })
    }

    /// Returns a random part of `segment.jitter.ms`, the same for a segment on every replica.
    fn jitter_ms(&mut self) -> u64 {
        let max = u64::try_from(self.config.segment_jitter_ms.as_millis()).unwrap_or(u64::MAX);
        if max == 0 {
            return 0;
        }
        let mut hasher = DefaultHasher::new();
        self.topic_partition.hash(&mut hasher);
        self.active().base_offset.hash(&mut hasher);
        hasher.finish() % max
    }
}
