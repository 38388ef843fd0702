//! A copy of a log in another log directory takes the place of the log (KIP-113).
//!
//! The copy has the same batches, which were appended to it like those of a leader, and begins with
//! the state of the producers below its first batch. What else batches do not contain is taken from
//! the log under the partition's lock, and the copy's directory gets the ordinary name of the
//! partition.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use dohle_model::{Offset, Timestamp};

use super::Log;
use super::retention::DeletedSegment;
use crate::checkpoint::sync_dir;
use crate::error::{Context, StorageError};
use crate::producer_state::{ProducerState, snapshot};

impl Log {
    /// Returns the state of the producers below `offset`, where a copy of the log begins; `None`
    /// when the log begins above `offset`. Reads the newest snapshot at or below `offset`, and the
    /// batches that follow it.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn producers_below(
        &self,
        offset: Offset,
        now: Timestamp,
    ) -> Result<Option<ProducerState>, StorageError> {
        if offset < self.segments[0].base_offset {
            return Ok(None);
        }
        if self.producer_state.is_empty() {
            return Ok(Some(ProducerState::new(offset)));
        }
        self.producer_state_at(offset, now).map(Some)
    }

    /// Removes everything; the log is an empty copy that begins at `offset`, with the producers of
    /// the log that is copied. Their state is on the disk when this returns: the batches that come
    /// do not contain it, and each later state is the result of this one and of batches.
    ///
    /// # Errors
    /// The same as for [`Log::truncate_fully_and_start_at`].
    pub fn begin_copy_at(
        &mut self,
        offset: Offset,
        mut producers: ProducerState,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.truncate_fully_and_start_at(offset, now)?;
        producers.on_log_start_offset(offset);
        let bytes = snapshot::encode(&producers);
        self.guard_all_or_nothing(|log| log.write_snapshot(offset, &bytes))?;
        self.set_producer_state(producers);
        Ok(())
    }

    /// Renames the log's directory, durably. Open files stay open.
    ///
    /// # Errors
    /// When the directory cannot be renamed or the rename cannot be synced. The log is offline
    /// then.
    ///
    /// # Panics
    /// While a flush or a cleaning of the log runs.
    pub fn rename_to(&mut self, to: &Path) -> Result<(), StorageError> {
        assert!(
            Arc::strong_count(&self.flushes_running) == 1
                && Arc::strong_count(&self.cleaning_running) == 1,
            "{}: the directory is renamed during a flush or a cleaning",
            self.topic_partition
        );
        self.guard(|log| {
            let from = Arc::clone(&log.dir);
            log.fs().rename(&from, to).context("rename", &from)?;
            log.dir = to.into();
            for segment in &mut log.segments {
                segment.relocate(&log.dir);
            }
            match to.parent() {
                Some(parent) => sync_dir(log.fs(), parent),
                None => Ok(()),
            }
        })
    }

    /// Takes from `source`, of which this log is a complete copy, what batches do not contain: the
    /// state of producers, leader epochs without records, the high watermark, and the
    /// configuration. `cleaned_to` is the first offset that compaction had not
    /// processed when the copying began. Flushes and cleanings of `source` that are still running
    /// do not apply to this log.
    ///
    /// # Panics
    /// When the logs do not begin and end at the same offsets.
    pub fn take_over(&mut self, source: &Self, cleaned_to: Option<Offset>) {
        assert_eq!(
            (self.log_start_offset, self.log_end_offset),
            (source.log_start_offset, source.log_end_offset),
            "{}: start and end of a copy and of the log that it replaces",
            self.topic_partition
        );
        self.config = Arc::clone(&source.config);
        self.leader_epochs = source.leader_epochs.clone();
        self.leader_epochs_dirty = true;
        self.producer_state = source.producer_state.clone();
        // Compaction may have removed batches that changed the state of a producer. A start after a
        // clean shutdown, and a truncation above this offset, begin with this state.
        let state = snapshot::encode(&self.producer_state);
        self.snapshots_pending.push((self.log_end_offset, state));
        self.generation = self.generation.max(source.generation) + 1;
        self.segment_changes = self.segment_changes.max(source.segment_changes) + 1;
        self.set_cleaner_checkpoint(cleaned_to);
        self.on_high_watermark(source.high_watermark);
    }

    /// Marks the log as replaced by a copy. Reads that were planned continue or are planned again,
    /// and running flushes have no consequence. The directory may be renamed and deleted then.
    pub fn mark_replaced(&self) {
        for segment in &self.segments {
            segment.files.mark_stale();
        }
        self.retired.store(true, Ordering::Release);
    }

    /// Removes the segments that lie below the log start, and no others. Renames files but deletes
    /// none.
    ///
    /// # Errors
    /// When a file cannot be renamed.
    pub fn delete_segments_below_start(
        &mut self,
        now: Timestamp,
    ) -> Result<Vec<DeletedSegment>, StorageError> {
        let ends = self.segments.iter().skip(1).map(|next| next.base_offset);
        let below = ends.take_while(|end| *end <= self.log_start_offset).count();
        self.take_segments(vec!["it is below the log start offset"; below], now)
    }
}
