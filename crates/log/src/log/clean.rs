//! Determines what compaction may clean in a log, and begins and completes a cleaning. See
//! [`crate::Cleaning`].

use std::sync::Arc;

use dohle_model::{Offset, Timestamp};

use super::Log;
use crate::clean::{Cleaning, CleaningId, LastOfProducer, Source, open_dir};
use crate::error::StorageError;
use crate::segment::Segment;

/// The state of a log with regard to compaction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cleanable {
    /// The first offset that no cleaning has processed.
    pub first_dirty_offset: Offset,
    /// The end of the part that may be cleaned now; the base offset of a segment.
    pub first_uncleanable_offset: Offset,
    /// Bytes of the segments that earlier cleanings have processed.
    pub clean_bytes: u64,
    /// Bytes of the segments with dirty records that may be cleaned now.
    pub cleanable_bytes: u64,
    /// Whether the part has records that are older than `max.compaction.lag.ms`.
    pub is_overdue: bool,
    /// `min.cleanable.dirty.ratio`.
    pub min_ratio: f64,
    /// Whether closed segments must be flushed before they can be cleaned.
    pub needs_flush: bool,
    /// Whether closed segments cannot be cleaned before open transactions end, replicas catch up,
    /// or damaged records are repaired.
    pub is_blocked: bool,
    /// The time at which more records may or must be cleaned even if none are appended, because
    /// their `min.compaction.lag.ms` or `max.compaction.lag.ms` has passed.
    pub look_again_at: Option<Timestamp>,
}

impl Cleanable {
    /// Returns the share of the log that is dirty, 0 to 1.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        let total = self.clean_bytes + self.cleanable_bytes;
        if total == 0 {
            0.0
        } else {
            self.cleanable_bytes as f64 / total as f64
        }
    }

    /// Returns whether the log should be cleaned now.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.cleanable_bytes > 0 && (self.is_overdue || self.ratio() > self.min_ratio)
    }
}

/// The end of the part that may be cleaned, and its reason.
struct Bound {
    segments: usize,
    needs_flush: bool,
    is_blocked: bool,
    look_again_at: Option<Timestamp>,
}

impl Log {
    /// Returns the first offset that no cleaning has processed, for the log directory's checkpoint;
    /// `None` when there was no cleaning.
    #[must_use]
    pub fn cleaner_checkpoint(&self) -> Option<Offset> {
        self.cleaned_to
    }

    /// Sets the first offset that no cleaning has processed, from the log directory's checkpoint.
    pub fn set_cleaner_checkpoint(&mut self, offset: Option<Offset>) {
        // A log that ends below the checkpoint was truncated: all of it counts as dirty.
        self.cleaned_to = offset.filter(|offset| *offset <= self.log_end_offset);
    }

    /// Returns what compaction could clean now, given the high watermark.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn cleanable(
        &self,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<Cleanable, StorageError> {
        let first_dirty_offset = self.first_dirty_offset();
        let bound = self.cleanable_bound(first_dirty_offset, high_watermark, now)?;
        let dirty = self.floor_segment(first_dirty_offset).min(bound.segments);
        let clean_end = self
            .segments
            .partition_point(|segment| segment.base_offset < first_dirty_offset)
            .min(bound.segments);
        let size =
            |segments: &[Segment]| -> u64 { segments.iter().map(|it| u64::from(it.size)).sum() };
        let mut found = Cleanable {
            first_dirty_offset,
            first_uncleanable_offset: self.segments[bound.segments].base_offset,
            clean_bytes: size(&self.segments[..clean_end]),
            cleanable_bytes: size(&self.segments[dirty..bound.segments]),
            is_overdue: false,
            min_ratio: self.config.min_cleanable_dirty_ratio,
            needs_flush: bound.needs_flush,
            is_blocked: bound.is_blocked,
            look_again_at: bound.look_again_at,
        };
        if found.first_dirty_offset >= found.first_uncleanable_offset {
            found.cleanable_bytes = 0;
        }
        self.check_overdue(&mut found, dirty, now)?;
        Ok(found)
    }

    fn first_dirty_offset(&self) -> Offset {
        let start = self.log_start_offset;
        self.cleaned_to.map_or(start, |offset| offset.max(start))
    }

    /// Returns the end of the segments that may be cleaned: closed, on the disk, intact, below the
    /// last stable offset, and without dirty records younger than `min.compaction.lag.ms`.
    fn cleanable_bound(
        &self,
        first_dirty: Offset,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<Bound, StorageError> {
        let closed = self.segments.len() - 1;
        let flushed = self.floor_segment(self.recovery_point).min(closed);
        let flushed = self.segments[..flushed]
            .iter()
            .position(Segment::is_in_memory)
            .unwrap_or(flushed);
        let stable = self.last_stable_offset(high_watermark);
        let stable = self.floor_segment(stable).min(closed);
        // A damaged segment is repaired first: the missing records may be the newest of their keys.
        let damaged = self.damage.first();
        let intact = damaged.map_or(closed, |damage| self.floor_segment(damage.segment));
        let stable = stable.min(intact);
        let mut segments = stable.min(flushed);
        let mut look_again_at = None;
        let lag = i64::try_from(self.config.min_compaction_lag_ms.as_millis()).unwrap_or(i64::MAX);
        if lag > 0 {
            let first = self.floor_segment(first_dirty);
            for (at, segment) in self.segments[..segments].iter().enumerate().skip(first) {
                let of_age = self.largest_timestamp(segment)?.saturating_add(lag);
                if of_age > now.0 {
                    segments = at;
                    look_again_at = Some(Timestamp(of_age));
                    break;
                }
            }
        }
        Ok(Bound {
            segments,
            needs_flush: flushed < closed,
            is_blocked: stable < closed,
            look_again_at,
        })
    }

    /// Returns whether `max.compaction.lag.ms` has passed for dirty records, or when it will.
    fn check_overdue(
        &self,
        found: &mut Cleanable,
        dirty: usize,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let Some(lag) = self.config.max_compaction_lag_ms else {
            return Ok(());
        };
        let lag = i64::try_from(lag.as_millis()).unwrap_or(i64::MAX);
        let closed = self.segments.len() - 1;
        let mut earliest: Option<i64> = None;
        for segment in &self.segments[dirty.min(closed)..closed] {
            let first = segment.first_batch_timestamp()?.filter(|at| at.0 > 0);
            earliest = [earliest, first.map(|at| at.0)].into_iter().flatten().min();
        }
        let Some(due) = earliest.map(|earliest| earliest.saturating_add(lag)) else {
            return Ok(());
        };
        found.is_overdue = due < now.0;
        if !found.is_overdue {
            let due = Timestamp(due.saturating_add(1));
            found.look_again_at = Some(found.look_again_at.map_or(due, |at| at.min(due)));
        }
        Ok(())
    }

    /// Begins a cleaning of the part that may be cleaned. Returns `None` when that part is empty,
    /// or while another cleaning or a flush runs.
    ///
    /// # Errors
    /// When a file cannot be opened or read.
    pub fn begin_cleaning(
        &mut self,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<Option<Cleaning>, StorageError> {
        let is_busy = |token: &Arc<()>| Arc::strong_count(token) > 1;
        if self.failed || is_busy(&self.cleaning_running) || is_busy(&self.flushes_running) {
            return Ok(None);
        }
        let found = self.cleanable(high_watermark, now)?;
        let bound = found.first_uncleanable_offset;
        if found.cleanable_bytes == 0 {
            return Ok(None);
        }
        let count = self.floor_segment(bound);
        let source = |pair: &[Segment]| Source {
            base_offset: pair[0].base_offset,
            size: pair[0].size,
            end_offset: pair[1].base_offset,
        };
        let sources: Vec<_> = self.segments[..=count].windows(2).map(source).collect();
        assert!(
            found.first_dirty_offset <= bound && bound <= self.log_end_offset,
            "{}: compaction from {} to {bound}, the log ends at {}",
            self.topic_partition,
            found.first_dirty_offset,
            self.log_end_offset
        );
        let producers = self.producer_state.producers().map(|(id, entry)| {
            let last_data_offset = entry.batches.back().map(|batch| batch.last_offset);
            let epoch = entry.epoch;
            let last = LastOfProducer {
                last_data_offset,
                epoch,
            };
            (id, last)
        });
        Ok(Some(Cleaning {
            dir: Arc::clone(&self.dir),
            environment: self.open_files().environment().clone(),
            handle: open_dir(self.fs(), &self.dir)?,
            topic_partition: self.topic_partition.clone(),
            config: Arc::clone(&self.config),
            aborted: self.aborted_transactions(sources[0].base_offset, bound),
            sources,
            first_dirty: found.first_dirty_offset,
            bound,
            producers: producers.collect(),
            now,
            generation: self.generation,
            memory: Arc::default(),
            _token: Arc::clone(&self.cleaning_running),
        }))
    }

    /// Completes a cleaning: the next one begins at the offset that [`crate::Cleaner::end_offset`]
    /// returns. Returns `false` when the log was truncated meanwhile; then the next cleaning begins
    /// where this one began.
    pub fn complete_cleaning(&mut self, cleaner: &crate::Cleaner) -> bool {
        if self.failed || cleaner.id().generation != self.generation {
            return false;
        }
        self.cleaned_to = Some(cleaner.end_offset().min(self.log_end_offset));
        true
    }

    /// Returns whether all records that the cleaning reads are still in the log. After a truncation
    /// or a deletion by retention, files of the cleaning may be gone or shorter, and its errors
    /// have no significance.
    #[must_use]
    pub fn is_current(&self, cleaning: CleaningId) -> bool {
        !self.failed
            && cleaning.generation == self.generation
            && self.segments[0].base_offset <= cleaning.first
    }
}
