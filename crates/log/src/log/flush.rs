//! Flushes a log in three steps: prepare under the lock, run outside, complete under the lock.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dohle_model::{Offset, Timestamp};
use dohle_storage::FileSystem;

use super::{LEADER_EPOCH_FILE, Log};
use crate::checkpoint::{Sync, remove_if_exists, sync_dir, write_atomically};
use crate::error::StorageError;
use crate::segment::IndexBytes;
use crate::segment::files::{SNAPSHOT_SUFFIX, SegmentFiles, file_name};

/// The data that a flush writes and syncs without a lock.
#[derive(Debug)]
pub struct FlushTask {
    dir: PathBuf,
    file_system: Arc<dyn FileSystem>,
    segments: Vec<(Arc<SegmentFiles>, Option<IndexBytes>)>,
    snapshots: Vec<(Offset, Vec<u8>)>,
    leader_epochs: Option<String>,
    sync_dir: bool,
    flushed: Flushed,
    /// Set by [`Log::retire`]. Only then is a failure ignored.
    retired: Arc<AtomicBool>,
    /// Held during the flush, so that compaction does not begin and replace the files.
    _running: Arc<()>,
}

/// The result of a completed flush, for [`Log::complete_flush`].
#[derive(Debug)]
pub struct Flushed {
    end_offset: Offset,
    generation: u64,
    /// Closed segments whose index files were written.
    sealed: Vec<Offset>,
    /// Producer snapshots that were written.
    snapshots: Vec<Offset>,
    finished_at: Timestamp,
}

/// A failed flush. It contains the data that were not written, so that a later flush can write
/// them.
#[derive(Debug)]
pub struct FlushError {
    /// The error.
    pub error: StorageError,
    generation: u64,
    snapshots: Vec<(Offset, Vec<u8>)>,
    leader_epochs: bool,
    directory: bool,
}

impl From<FlushError> for StorageError {
    fn from(failed: FlushError) -> Self {
        failed.error
    }
}

impl Flushed {
    /// Returns whether the flush wrote closed segments, which compaction may now clean.
    #[must_use]
    pub fn has_closed_segments(&self) -> bool {
        !self.sealed.is_empty()
    }
}

impl FlushTask {
    /// Writes and syncs the data. Blocks on the disk.
    ///
    /// # Errors
    /// When an operation fails. Nothing that waits for this flush may be acknowledged. If there was
    /// no space for a derived file, the records are safe, and [`Log::postpone_flush`] keeps the
    /// rest for the next flush. After any other error the kernel may have dropped data, and the log
    /// must go offline ([`Log::fail`]).
    pub fn run(self) -> Result<Flushed, FlushError> {
        match self.write(Sync::Yes) {
            // The partition was deleted meanwhile, so its data need not be on the disk.
            Err(error) if self.retired.load(Ordering::Acquire) => {
                tracing::debug!(%error, "flush of a deleted log failed");
            }
            Err(error) => {
                return Err(FlushError {
                    error,
                    generation: self.flushed.generation,
                    snapshots: self.snapshots,
                    leader_epochs: self.leader_epochs.is_some(),
                    directory: self.sync_dir,
                });
            }
            Ok(()) => {}
        }
        Ok(self.flushed)
    }

    /// Writes all files; with [`Sync::No`] the caller forces them to the disk.
    pub(super) fn write(&self, sync: Sync) -> Result<(), StorageError> {
        let fs = &*self.file_system;
        // The records are written first, so that they are safe even if the derived files cannot be
        // written.
        for (files, _) in &self.segments {
            match sync {
                Sync::Yes => files.sync_log()?,
                Sync::No => files.check_write_back()?,
            }
        }
        for (files, indexes) in &self.segments {
            if let Some(indexes) = indexes {
                indexes.write(files, sync)?;
            }
        }
        for (offset, bytes) in &self.snapshots {
            let path = self.dir.join(file_name(*offset, SNAPSHOT_SUFFIX));
            write_atomically(fs, &path, bytes, sync)?;
        }
        if let Some(text) = &self.leader_epochs {
            write_atomically(fs, &self.dir.join(LEADER_EPOCH_FILE), text.as_bytes(), sync)?;
        }
        if self.sync_dir && sync == Sync::Yes {
            sync_dir(fs, &self.dir)?;
            if let Some(parent) = self.dir.parent() {
                sync_dir(fs, parent)?;
            }
        }
        Ok(())
    }
}

impl Log {
    /// Returns whether `flush.messages` or `flush.ms` requires a flush.
    #[must_use]
    pub fn should_flush(&self, now: Timestamp) -> bool {
        let unflushed = self.log_end_offset.since(self.recovery_point);
        let by_count = |max: u64| unflushed >= i64::try_from(max).unwrap_or(i64::MAX);
        let by_time = |max: Duration| {
            i128::from(now.0.saturating_sub(self.last_flush.0)) >= max.as_millis() as i128
        };
        unflushed > 0
            && (self.config.flush_messages.is_some_and(by_count)
                || self.config.flush_ms.is_some_and(by_time))
    }

    /// Returns what must be written so that all records in the log survive a crash of the machine;
    /// `None` when they already do. `now` is the time of the flush for `flush.ms`.
    #[must_use]
    pub fn prepare_flush(&mut self, now: Timestamp) -> Option<FlushTask> {
        let active = self.segments.len() - 1;
        let first = self.floor_segment(self.recovery_point);
        let has_records = self.recovery_point < self.log_end_offset;
        let mut segments = Vec::new();
        let mut sealed = Vec::new();
        for (at, segment) in self.segments.iter().enumerate() {
            let indexes = if at == active {
                None
            } else {
                segment.index_bytes()
            };
            if indexes.is_some() {
                sealed.push(segment.base_offset);
            }
            if indexes.is_some() || (has_records && at >= first) {
                segments.push((Arc::clone(&segment.files), indexes));
            }
        }
        let snapshots = std::mem::take(&mut self.snapshots_pending);
        let snapshots_taken = snapshots.iter().map(|(offset, _)| *offset).collect();
        if has_records {
            self.leader_epochs_dirty |= std::mem::take(&mut self.epoch_start_pending);
        }
        let leader_epochs =
            std::mem::take(&mut self.leader_epochs_dirty).then(|| self.leader_epochs.encode());
        let sync_dir = std::mem::take(&mut self.directory_dirty);
        if segments.is_empty() && snapshots.is_empty() && leader_epochs.is_none() && !sync_dir {
            return None;
        }
        Some(FlushTask {
            _running: Arc::clone(&self.flushes_running),
            dir: self.dir.to_path_buf(),
            file_system: Arc::clone(&self.open_files().environment().files),
            segments,
            snapshots,
            leader_epochs,
            sync_dir,
            retired: Arc::clone(&self.retired),
            flushed: Flushed {
                end_offset: self.log_end_offset,
                generation: self.generation,
                sealed,
                snapshots: snapshots_taken,
                finished_at: now,
            },
        })
    }

    /// Records a completed flush: advances the recovery point, and frees the in-memory indexes of
    /// closed segments. Returns whether the recovery point advanced.
    pub fn complete_flush(&mut self, flushed: Flushed) -> bool {
        self.last_flush = self.last_flush.max(flushed.finished_at);
        if flushed.generation != self.generation {
            // The log was truncated meanwhile, so the flushed records may no longer be in it.
            // Without their snapshots recovery reads more records, but its result is correct.
            for offset in flushed.snapshots {
                let path = self.dir.join(file_name(offset, SNAPSHOT_SUFFIX));
                self.failed |= remove_if_exists(self.fs(), &path).is_err();
            }
            return false;
        }
        for base_offset in flushed.sealed {
            let at = self
                .segments
                .partition_point(|segment| segment.base_offset < base_offset);
            let last = self.segments.len() - 1;
            if at < last && self.segments[at].base_offset == base_offset {
                self.segments[at].unload_indexes();
            }
        }
        assert!(
            flushed.end_offset <= self.log_end_offset,
            "{}: flushed up to {}, the log ends at {}",
            self.topic_partition,
            flushed.end_offset,
            self.log_end_offset
        );
        let before = self.positions();
        let advanced = flushed.end_offset > self.recovery_point;
        if advanced {
            self.recovery_point = flushed.end_offset;
            self.on_recovery_point();
        }
        self.assert_not_shorter("a flush", before);
        if self.closed_segments_changed {
            self.failed |= self.record_flushed_segments(Sync::No).is_err();
        }
        advanced
    }

    /// Keeps the data that a failed flush did not write for the next one. The recovery point does
    /// not change.
    pub fn postpone_flush(&mut self, failed: FlushError) -> StorageError {
        self.directory_dirty |= failed.directory;
        self.leader_epochs_dirty |= failed.leader_epochs;
        // A truncation has removed the snapshots above the log's end.
        if failed.generation == self.generation {
            let first = self.segments[0].base_offset;
            let snapshots = failed.snapshots.into_iter();
            let snapshots = snapshots.filter(|(offset, _)| *offset >= first);
            self.snapshots_pending.splice(0..0, snapshots);
        }
        failed.error
    }

    /// Closes the files of closed segments that reads have opened, for tests of what opens them
    /// again. Returns how many.
    pub fn close_idle_files(&mut self) -> usize {
        let closed = self.segments.len() - 1;
        let idle = self.segments[..closed]
            .iter_mut()
            .filter(|segment| segment.files.is_open());
        idle.map(|segment| segment.close_files()).count()
    }

    /// Flushes the log on the calling thread.
    ///
    /// # Errors
    /// When writing or syncing fails. The log goes offline, unless the only reason was a lack of
    /// space.
    pub fn flush(&mut self, now: Timestamp) -> Result<(), StorageError> {
        self.guard_all_or_nothing(|log| {
            if let Some(task) = log.prepare_flush(now) {
                let flushed = task.run().map_err(|failed| log.postpone_flush(failed))?;
                log.complete_flush(flushed);
            }
            Ok(())
        })
    }
}
