//! Removes records from the log's end.

use std::sync::Arc;

use dohle_model::{Offset, Timestamp};

use super::{LEADER_EPOCH_FILE, Log};
use crate::checkpoint::{Sync, remove_if_exists, sync_dir, write_atomically};
use crate::error::{StorageError, StorageErrorKind};
use crate::leader_epoch::LeaderEpochCache;
use crate::producer_state::ProducerState;

impl Log {
    /// Removes all records at `offset` and above. A batch that contains `offset` is removed as a
    /// whole. If no readable record is left, the log is empty and begins at `offset`. Returns
    /// whether anything was removed. The caller checkpoints recovery points afterwards.
    ///
    /// # Errors
    /// When a file cannot be changed. If there is no space for a smaller recovery point, the log
    /// does not change; after any other error it is offline.
    pub fn truncate_to(&mut self, offset: Offset, now: Timestamp) -> Result<bool, StorageError> {
        if offset >= self.log_end_offset {
            return Ok(false);
        }
        if offset < self.segments[0].base_offset {
            self.truncate_fully_and_start_at(offset, now)?;
            return Ok(true);
        }
        let before = self.positions();
        // The batch that contains the offset is removed as a whole; it is in this segment.
        let first = self.segments[self.floor_segment(offset)].base_offset;
        // If the log may start in the batch that is removed, the log may begin anew, which needs a
        // recovery point of 0. It is written before anything is removed, since a full disk may
        // refuse it.
        let lowest = if first < self.log_start_offset {
            Offset::ZERO
        } else {
            first
        };
        self.guard_all_or_nothing(|log| log.lower_recovery_point(lowest))?;
        let end = self.guard(|log| {
            let keep = log.floor_segment(offset) + 1;
            log.forget_segments_from(first)?;
            log.remove_segments_from(keep)?;
            let end = log.active().truncate_to(offset, now)?;
            assert!(
                end <= offset,
                "{}: truncated to {offset}, the log ends at {end}",
                log.topic_partition
            );
            if end < log.log_start_offset {
                return Ok(end);
            }
            log.log_end_offset = end;
            log.after_truncation()?;
            if log.producer_state.is_empty() {
                // If there was no producer before, there is none now, so the log need not be read
                // again.
                log.producer_state = ProducerState::new(end);
            } else {
                log.set_producer_state(log.producer_state_at(end, now)?);
            }
            assert!(
                log.producer_state.end_offset() <= end,
                "{}: the producers' state covers {}, the log was truncated to {end}",
                log.topic_partition,
                log.producer_state.end_offset()
            );
            Ok(end)
        })?;
        if end < self.log_start_offset {
            self.begin_anew_at(offset, now)?;
        }
        self.assert_positions("a truncation", before);
        self.assert_segments_rise("a truncation");
        Ok(true)
    }

    /// Removes everything; the log is empty and begins at `offset`.
    ///
    /// # Errors
    /// The same as for [`Log::truncate_to`].
    pub fn truncate_fully_and_start_at(
        &mut self,
        offset: Offset,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        // After a crash a start may find no segment, which is an error unless the recovery point is
        // 0.
        self.guard_all_or_nothing(|log| log.lower_recovery_point(Offset::ZERO))?;
        self.begin_anew_at(offset, now)
    }

    /// Removes everything; the log is empty and begins at `offset`. The recovery point is 0.
    fn begin_anew_at(&mut self, offset: Offset, now: Timestamp) -> Result<(), StorageError> {
        let before = self.positions();
        self.guard(|log| {
            log.forget_segments_from(Offset::ZERO)?;
            log.remove_segments_from(0)?;
            log.start_segment(offset, now)?;
            log.log_start_offset = offset;
            log.log_end_offset = offset;
            log.retain_damage(|_| false)?;
            log.leader_epochs = LeaderEpochCache::default();
            for snapshot in log.snapshot_offsets()? {
                log.remove_snapshot(snapshot)?;
            }
            log.snapshots_pending.clear();
            log.producer_state = ProducerState::new(offset);
            log.after_truncation()?;
            log.assert_positions("a truncation of everything", before);
            assert_eq!(
                (log.log_start_offset, log.log_end_offset),
                (offset, offset),
                "{}: start and end of a log without records",
                log.topic_partition
            );
            Ok(())
        })
    }

    /// Deletes the segments from this index on. Returns their size in bytes.
    ///
    /// The last segment is deleted first, and all are deleted for good before anything else
    /// changes. Otherwise, after a loss of power, a segment that reappears would follow a truncated
    /// one, with records missing between the two.
    pub(super) fn remove_segments_from(&mut self, at: usize) -> Result<u64, StorageError> {
        let mut bytes = 0;
        let is_needed = self.segments.len() > at;
        while self.segments.len() > at
            && let Some(last) = self.segments.pop()
        {
            bytes += u64::from(last.size);
            last.files.delete()?;
        }
        if is_needed {
            sync_dir(self.fs(), &self.dir)?;
        }
        Ok(bytes)
    }

    /// Updates what is derived from the log to its new end.
    fn after_truncation(&mut self) -> Result<(), StorageError> {
        let end = self.log_end_offset;
        self.generation += 1;
        self.segment_changes += 1;
        self.high_watermark = self.high_watermark.min(end);
        self.truncate_damage(end)?;
        self.recovery_point = self.recovery_point.min(end);
        self.cleaned_to = self.cleaned_to.map(|cleaned_to| cleaned_to.min(end));
        self.log_start_offset = self.log_start_offset.min(end);
        self.leader_epochs.truncate_from_end(end);
        self.leader_epochs_dirty = false;
        self.snapshots_pending.retain(|(offset, _)| *offset <= end);
        for snapshot in self.snapshot_offsets()? {
            if snapshot > end {
                self.remove_snapshot(snapshot)?;
            }
        }
        // The file is written at once, so that an epoch of removed records does not reappear after
        // a crash.
        let path = Arc::clone(&self.dir).join(LEADER_EPOCH_FILE);
        self.leader_epochs_dirty = true;
        match write_atomically(
            self.fs(),
            &path,
            self.leader_epochs.encode().as_bytes(),
            Sync::No,
        ) {
            // Without the file a start reads the epochs from the batches.
            Err(error) if error.kind() == StorageErrorKind::Full => {
                remove_if_exists(self.fs(), &path)
            }
            written => written,
        }
    }
}
