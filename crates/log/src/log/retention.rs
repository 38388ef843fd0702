//! Removes segments from the log's start.

use std::path::PathBuf;
use std::sync::Arc;

use dohle_model::{Offset, Timestamp};
use dohle_storage::FileSystem;

use super::Log;
use crate::checkpoint::remove_if_exists;
use crate::error::{StorageError, StorageErrorKind};
use crate::producer_state::snapshot;
use crate::segment::Segment;

/// A segment that is no longer part of the log. Its files are renamed to `….deleted` and kept until
/// [`DeletedSegment::unlink`], so that running reads can finish.
#[derive(Debug)]
pub struct DeletedSegment {
    /// The segment's base offset.
    pub base_offset: Offset,
    /// The size of its `.log` file in bytes.
    pub size: u64,
    /// The reason for the deletion, for log lines.
    pub reason: &'static str,
    pub(super) files: Vec<PathBuf>,
    pub(super) file_system: Arc<dyn FileSystem>,
}

impl DeletedSegment {
    /// Deletes the files. To be called `file.delete.delay.ms` after the deletion of the segment.
    ///
    /// # Errors
    /// When a file cannot be deleted.
    pub fn unlink(self) -> Result<(), StorageError> {
        self.files
            .iter()
            .try_for_each(|path| remove_if_exists(&*self.file_system, path))
    }
}

impl Log {
    /// Raises the log start, as DeleteRecords and a leader's log start require. Returns whether it
    /// was raised. The next [`Log::delete_old_segments`] removes the segments below it.
    pub fn maybe_advance_log_start_offset(&mut self, offset: Offset) -> bool {
        let offset = offset.min(self.log_end_offset);
        if offset <= self.log_start_offset {
            return false;
        }
        self.set_log_start_offset(offset);
        true
    }

    fn set_log_start_offset(&mut self, offset: Offset) {
        assert!(
            self.log_start_offset <= offset && offset <= self.log_end_offset,
            "{}: the log start rises from {} to {offset}, the log ends at {}",
            self.topic_partition,
            self.log_start_offset,
            self.log_end_offset
        );
        self.log_start_offset = offset;
        self.leader_epochs_dirty |= self.leader_epochs.truncate_from_start(offset);
        self.producer_state.on_log_start_offset(offset);
    }

    /// Removes the segments that `retention.ms`, `retention.bytes` or the log start no longer
    /// require. Only segments that lie completely below the high watermark are removed. Renames
    /// files but deletes none. Syncs a producer snapshot if the first kept segment has none.
    ///
    /// # Errors
    /// When a file cannot be read or renamed.
    pub fn delete_old_segments(
        &mut self,
        high_watermark: Offset,
        now: Timestamp,
    ) -> Result<Vec<DeletedSegment>, StorageError> {
        let mut deletable = Vec::new();
        let mut excess = self.excess_bytes();
        for (at, segment) in self.segments.iter().enumerate() {
            let next = self.segments.get(at + 1);
            let end = next.map_or(self.log_end_offset, |next| next.base_offset);
            // A closed segment that compaction has emptied is removed like any other.
            if end > high_watermark || (segment.size == 0 && next.is_none()) {
                break;
            }
            let Some(reason) = self.deletion_reason(segment, end, next.is_none(), excess, now)?
            else {
                break;
            };
            assert!(
                end <= high_watermark && end <= self.log_end_offset,
                "{}: the segment {} is deleted for {reason:?}, it ends at {end}, the high \
                 watermark is {high_watermark}",
                self.topic_partition,
                segment.base_offset
            );
            excess = excess.saturating_sub(u64::from(segment.size));
            deletable.push(reason);
        }
        self.take_segments(deletable, now)
    }

    fn excess_bytes(&self) -> u64 {
        match self.config.retention_bytes {
            Some(max) if self.config.cleanup_policy.delete => self.size().saturating_sub(max),
            _ => 0,
        }
    }

    fn deletion_reason(
        &self,
        segment: &Segment,
        end: Offset,
        is_active: bool,
        excess: u64,
        now: Timestamp,
    ) -> Result<Option<&'static str>, StorageError> {
        if !is_active && end <= self.log_start_offset {
            return Ok(Some("it is below the log start offset"));
        }
        if !self.config.cleanup_policy.delete {
            return Ok(None);
        }
        if excess > 0 && excess >= u64::from(segment.size) {
            return Ok(Some("the log is larger than retention.bytes"));
        }
        let Some(retention) = self.config.retention_ms else {
            return Ok(None);
        };
        let age = now.0.saturating_sub(self.largest_timestamp(segment)?);
        let is_old = i128::from(age) > retention.as_millis() as i128;
        Ok(is_old.then_some("its records are older than retention.ms"))
    }

    /// Returns the largest timestamp of the records, or the modification time of the file if no
    /// record has one.
    pub(super) fn largest_timestamp(&self, segment: &Segment) -> Result<i64, StorageError> {
        match segment.max_timestamp()? {
            Some(max) => Ok(max.timestamp),
            None => Ok(segment.files.modified()?.0),
        }
    }

    pub(super) fn take_segments(
        &mut self,
        reasons: Vec<&'static str>,
        now: Timestamp,
    ) -> Result<Vec<DeletedSegment>, StorageError> {
        if reasons.is_empty() {
            return Ok(Vec::new());
        }
        if reasons.len() == self.segments.len() {
            self.roll(now)?;
        }
        assert!(
            reasons.len() < self.segments.len(),
            "{}: {} of {} segments are selected for deletion",
            self.topic_partition,
            reasons.len(),
            self.segments.len()
        );
        let before = self.positions();
        self.keep_producers_below(self.segments[reasons.len()].base_offset, now)?;
        self.guard(|log| {
            let kept = log.segments[reasons.len()].base_offset;
            log.forget_sizes(|base_offset| base_offset < kept)?;
            let mut deleted = Vec::with_capacity(reasons.len());
            let removed: Vec<_> = log.segments.drain(..reasons.len()).collect();
            log.segment_changes += 1;
            log.snapshots_pending
                .retain(|(offset, _)| *offset >= log.segments[0].base_offset);
            for (segment, reason) in removed.into_iter().zip(reasons) {
                deleted.push(DeletedSegment {
                    base_offset: segment.base_offset,
                    size: u64::from(segment.size),
                    reason,
                    files: segment.files.mark_deleted()?,
                    file_system: Arc::clone(&log.open_files().environment().files),
                });
            }
            let first = log.segments[0].base_offset;
            log.retain_damage(|it| it.segment >= first)?;
            if first > log.log_start_offset {
                log.set_log_start_offset(first);
            }
            log.assert_not_shorter("a deletion of old segments", before);
            Ok(deleted)
        })
    }

    /// Writes the state of the producers below `kept`, the base offset of a segment, unless its
    /// snapshot is on the disk. Without it, a start after a crash would not find the producers
    /// whose batches are all in older segments, which are about to be deleted. When there is no
    /// space, the next flush writes the snapshot.
    fn keep_producers_below(&mut self, kept: Offset, now: Timestamp) -> Result<(), StorageError> {
        if self.producer_state.is_empty() {
            return Ok(());
        }
        let is_pending = |(offset, _): &&(Offset, Vec<u8>)| *offset == kept;
        let pending = self.snapshots_pending.iter().rev().find(is_pending);
        let bytes = match pending {
            Some((_, bytes)) => bytes.clone(),
            None if self.has_snapshot(kept)? => return Ok(()),
            None => match self.producer_state_at(kept, now) {
                Ok(state) => snapshot::encode(&state),
                Err(error) if error.kind() == StorageErrorKind::Damage => {
                    tracing::warn!(
                        partition = %self.topic_partition, %error,
                        "cannot read the producers of segments that are deleted: after a crash \
                         they may be unknown"
                    );
                    return Ok(());
                }
                Err(error) => return Err(error),
            },
        };
        match self.write_snapshot(kept, &bytes) {
            Err(error) if error.kind() == StorageErrorKind::Full => {
                tracing::debug!(partition = %self.topic_partition, %error, "snapshot postponed");
                self.snapshots_pending.push((kept, bytes));
                Ok(())
            }
            written => self.guard_all_or_nothing(|_| written),
        }
    }
}
