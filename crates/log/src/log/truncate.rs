//! Taking records off the log's end.

use std::sync::Arc;

use dohle_model::{Offset, Timestamp};

use super::{LEADER_EPOCH_FILE, Log};
use crate::checkpoint::{Sync, remove_if_exists, sync_dir, write_atomically};
use crate::error::{StorageError, StorageErrorKind};
use crate::leader_epoch::LeaderEpochCache;
use crate::producer_state::ProducerState;

impl Log {
    /// Removes all records at `offset` and beyond; a batch that reaches beyond it goes as a whole.
    /// When nothing readable is left, the log is empty and begins at `offset`. Answers whether
    /// anything was removed. The caller checkpoints recovery points afterwards.
    ///
    /// # Errors
    /// When a file cannot be changed. Without space for a smaller recovery point the log is as
    /// before; after any other error it is offline.
    pub fn truncate_to(&mut self, offset: Offset, now: Timestamp) -> Result<bool, StorageError> {
        if offset >= self.log_end_offset {
            return Ok(false);
        }
        if offset < self.segments[0].base_offset {
            self.truncate_fully_and_start_at(offset, now)?;
            return Ok(true);
        }
        let before = self.positions();
        // The batch that holds the offset goes as a whole; it is in this segment.
        let first = self.segments[self.floor_segment(offset)].base_offset;
        self.guard_all_or_nothing(|log| log.lower_recovery_point(first))?;
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
                // Where nobody was known, nobody is now: no need to read the log again.
                log.producer_state = ProducerState::new(end);
            } else {
                log.set_producer_state(log.producer_state_at(end, now)?);
            }
            Ok(end)
        })?;
        if end < self.log_start_offset {
            self.truncate_fully_and_start_at(offset, now)?;
        }
        self.assert_positions("a truncation", before);
        self.assert_segments_rise("a truncation");
        Ok(true)
    }

    /// Drops everything; the log is empty and begins at `offset`.
    ///
    /// # Errors
    /// As [`Log::truncate_to`].
    pub fn truncate_fully_and_start_at(
        &mut self,
        offset: Offset,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        let before = self.positions();
        // A start may find no segment at all: then nothing is known to have been there.
        self.guard_all_or_nothing(|log| log.lower_recovery_point(Offset::ZERO))?;
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

    /// Deletes the segments from this place on. Answers their bytes.
    ///
    /// The last goes first, and all are gone for good before anything else changes: after a loss of
    /// power a segment that returned would otherwise follow one that was cut, with records missing
    /// between the two.
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

    /// Brings what is derived from the log in line with its new end.
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
        // Written at once: an epoch of removed records must not come back after a crash.
        let path = Arc::clone(&self.dir).join(LEADER_EPOCH_FILE);
        self.leader_epochs_dirty = true;
        match write_atomically(
            self.fs(),
            &path,
            self.leader_epochs.encode().as_bytes(),
            Sync::No,
        ) {
            // Without the file a start takes the epochs from the batches.
            Err(error) if error.kind() == StorageErrorKind::Full => {
                remove_if_exists(self.fs(), &path)
            }
            written => written,
        }
    }
}
