//! Closing a log for a clean shutdown.
//!
//! A node may have thousands of idle partitions and only seconds to stop. A log whose files are
//! already in the state of a clean shutdown is closed without a system call. The others are written
//! without waiting for the disk, and the whole log directory is synced once
//! ([`crate::LogDirectory::sync`]).

use dohle_model::{Offset, Timestamp};

use super::Log;
use crate::checkpoint::Sync;
use crate::error::StorageError;
use crate::producer_state::snapshot;

/// The state of a log at a time when its files were those of a clean shutdown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Settled {
    log_end_offset: Offset,
    first_segment: Offset,
    segments: usize,
    generation: u64,
}

impl Log {
    /// Returns the current state of the log. Every change of the log's files changes this value,
    /// except for leader epochs.
    pub(super) fn as_settled(&self) -> Settled {
        Settled {
            log_end_offset: self.log_end_offset,
            first_segment: self.segments[0].base_offset,
            segments: self.segments.len(),
            generation: self.generation,
        }
    }

    /// Returns whether the files are those of a clean shutdown. A log that never had a record needs
    /// no files; a leader epoch without records is assigned again with the next leadership.
    fn is_settled(&self) -> bool {
        let never_written = self.log_end_offset == Offset::ZERO && self.segments.len() == 1;
        let is_unchanged = never_written || self.settled == Some(self.as_settled());
        is_unchanged && !self.leader_epochs_dirty && self.snapshots_pending.is_empty()
    }

    /// Flushes and closes the log for a clean shutdown, after which it opens without recovery.
    /// Returns the recovery point, which is the log's end.
    ///
    /// # Errors
    /// When writing or syncing fails; the next start must recover the log then.
    pub fn close(self, now: Timestamp) -> Result<Offset, StorageError> {
        let end = self.log_end_offset;
        self.close_files(now, Sync::Yes)?;
        Ok(end)
    }

    /// Does the same as [`Log::close`], but the written files survive a crash of the machine only
    /// once the log directory is synced. Returns whether anything was written.
    ///
    /// # Errors
    /// When writing fails; the next start must recover the log then.
    pub fn close_unsynced(self, now: Timestamp) -> Result<bool, StorageError> {
        self.close_files(now, Sync::No)
    }

    fn close_files(mut self, now: Timestamp, sync: Sync) -> Result<bool, StorageError> {
        if self.failed {
            let text = "the log is offline after a storage error";
            return Err(StorageError::invalid("close", &self.dir, text));
        }
        if self.is_settled() {
            // The names of a new log, which has no records.
            if self.directory_dirty && sync == Sync::Yes {
                self.flush(now)?;
            }
            return Ok(false);
        }
        let end = self.log_end_offset;
        if end > self.log_start_offset || !self.producer_state.is_empty() {
            self.snapshots_pending
                .push((end, snapshot::encode(&self.producer_state)));
        }
        self.guard(|log| match log.prepare_flush(now) {
            Some(task) => task.write(sync),
            None => Ok(()),
        })?;
        self.recovery_point = end;
        self.record_flushed_segments(sync)?;
        let active = self.active();
        active.seal()?;
        if let Some(indexes) = active.index_bytes() {
            indexes.write(&active.files, sync)?;
        }
        Ok(true)
    }
}
