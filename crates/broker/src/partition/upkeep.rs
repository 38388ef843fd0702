//! Periodic work on a log: flushing, retention, producer expiry, closing. It is split into phases
//! so that nothing waits for the disk under the lock. Called on blocking threads.

use dohle_log::{DeletedSegment, Log, StorageErrorKind};
use dohle_model::space::SpaceState;
use dohle_model::{Offset, Timestamp};

use super::Partition;
use super::errors::RoleError;
use super::state::State;

/// Segments that retention removed from the log, whose files are deleted after
/// `file.delete.delay.ms`.
#[derive(Debug)]
pub(crate) struct Deleted {
    pub(crate) segments: Vec<DeletedSegment>,
    pub(crate) delay: std::time::Duration,
}

impl Partition {
    /// Flushes appended records to the disk. Blocks on the disk.
    pub(crate) fn flush(&self, now: Timestamp) -> Result<(), RoleError> {
        let task = {
            let mut state = self.state.lock();
            state.log_mut()?.prepare_flush(now)
        };
        let Some(task) = task else { return Ok(()) };
        let flushed = match task.run() {
            Ok(flushed) => flushed,
            Err(failed) => {
                return Err(self.with(|state, wakes| {
                    let error = match state.log_mut() {
                        Ok(log) => log.postpone_flush(failed),
                        Err(_) => failed.error,
                    };
                    state.storage_failed(&error, &self.shared, wakes)
                }));
            }
        };
        let closed = flushed.has_closed_segments();
        if let Ok(log) = self.state.lock().log_mut() {
            let advanced = log.complete_flush(flushed);
            if log.config().cleanup_policy.compact && (closed || advanced) {
                self.shared.cleanings.add(self.id);
            }
        }
        Ok(())
    }

    /// Whether `flush.ms` or `flush.messages` requires a flush.
    pub(crate) fn should_flush(&self, now: Timestamp) -> bool {
        self.state
            .lock()
            .log()
            .is_ok_and(|log| log.should_flush(now))
    }

    /// Whether there are appended records that no flush has covered yet.
    pub fn has_unflushed(&self) -> bool {
        let state = self.state.lock();
        state
            .log()
            .is_ok_and(|log| log.recovery_point() < log.log_end_offset())
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms` and have no open
    /// transaction.
    pub(crate) fn expire_producers(&self, now: Timestamp) {
        let mut state = self.state.lock();
        if let Ok(log) = state.log_mut() {
            let removed = log.remove_expired_producers(now);
            if removed > 0 {
                tracing::debug!(partition = %self.name, removed, "producers expired");
            }
        }
    }

    /// Removes the segments that retention deletes from the log.
    pub(crate) fn apply_retention(&self, now: Timestamp) -> Deleted {
        self.with(|state, wakes| {
            let high_watermark = state.high_watermark;
            let delay = state.config.log.file_delete_delay_ms;
            let none = Deleted {
                segments: Vec::new(),
                delay,
            };
            let is_short = self.shared.space.state(state.dir) != SpaceState::Open;
            let Ok(log) = state.log_mut() else {
                return none;
            };
            if is_short && log.log_start_offset() == log.log_end_offset() {
                // All records were deleted, so the active segment is closed and deleted as well.
                if let Err(error) = log.roll(now) {
                    tracing::debug!(partition = %self.name, %error, "cannot create a new segment");
                }
            }
            match log.delete_old_segments(high_watermark, now) {
                Ok(segments) => {
                    for segment in &segments {
                        tracing::info!(
                            partition = %self.name,
                            base_offset = %segment.base_offset,
                            size = segment.size,
                            reason = segment.reason,
                            "segment deleted"
                        );
                    }
                    state.complete_low_watermarks(&self.shared, wakes);
                    Deleted { segments, delay }
                }
                Err(error) => {
                    match error.kind() {
                        // An index with the age of a segment is damaged. No file has changed.
                        StorageErrorKind::Damage | StorageErrorKind::Shortage => {
                            tracing::error!(partition = %self.name, %error, "retention skipped");
                        }
                        StorageErrorKind::Full | StorageErrorKind::Device => {
                            state.storage_failed(&error, &self.shared, wakes);
                        }
                    }
                    none
                }
            }
        })
    }

    /// Writes `partition.metadata` if it is missing. Blocks on the disk.
    pub(crate) fn ensure_metadata(&self) {
        if let Ok(log) = self.state.lock().log()
            && let Err(error) = log.ensure_partition_metadata(self.id.topic_id)
        {
            tracing::warn!(partition = %self.name, %error, "cannot write partition.metadata");
        }
    }

    /// Requests the deletion of the segments below the log start if space is short.
    pub(super) fn reclaim_soon(&self, state: &State) {
        if self.shared.space.state(state.dir) != SpaceState::Open {
            self.shared.reclaims.add(self.id);
        }
    }

    /// Returns the offsets for the log directory's checkpoints: high watermark, recovery point, log
    /// start. `None` while the log is offline, but not for a log that a shortage closed.
    pub(crate) fn checkpoints(&self) -> Option<(Offset, Offset, Offset)> {
        let state = self.state.lock();
        let Ok(log) = state.log() else {
            let closed = self.shared.closed_logs.get(&self.id)?;
            return Some((
                closed.high_watermark,
                closed.recovery_point,
                closed.log_start_offset,
            ));
        };
        Some((
            state.high_watermark,
            log.recovery_point(),
            log.log_start_offset(),
        ))
    }

    /// Retires the replica and returns its log.
    pub(crate) fn retire(&self) -> Option<Log> {
        self.with(|state, wakes| state.retire(wakes))
            .map(|log| *log)
    }
}
