//! Compaction of this partition's log. It begins and swaps in new segments under the lock, and
//! writes them without it. Called on blocking threads.

use std::sync::Arc;

use dohle_log::{
    CleanError, Cleanable, Cleaner, CleanerLimits, CleaningId, Replaced, StorageErrorKind, Throttle,
};
use dohle_model::{Offset, Timestamp};

use super::Partition;
use super::upkeep::Deleted;

/// How a cleaning ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum CleanOutcome {
    /// It is complete. There may be more to clean.
    Cleaned,
    /// Nothing was cleaned because the log changed or the cleaning was stopped.
    NotNow,
    /// The log is offline, or the partition was removed.
    Offline,
    /// Another attempt would fail for the same reason.
    Uncleanable(String),
}

impl Partition {
    /// Has compaction examine the log if the topic is compacted. Compaction finds only partitions
    /// that are in the registry.
    pub(crate) fn ask_for_cleaning(&self) {
        if self.state.lock().config.log.cleanup_policy.compact {
            self.shared.cleanings.add(self.id);
        }
    }

    /// Returns what compaction could do now; `None` when the topic is not compacted or the log is
    /// offline.
    pub(crate) fn cleanable(&self, now: Timestamp) -> Option<Cleanable> {
        let found = {
            let state = self.state.lock();
            let log = state.log().ok()?;
            if !log.config().cleanup_policy.compact {
                return None;
            }
            log.cleanable(state.high_watermark, now)
        };
        found
            .map_err(|error| self.background_read_failed("compaction", &error))
            .ok()
    }

    /// Returns the offset of the first record that compaction has not processed.
    pub(crate) fn cleaner_checkpoint(&self) -> Option<Offset> {
        self.state.lock().log().ok()?.cleaner_checkpoint()
    }

    /// Cleans the log. Passes old segments to `replaced` as soon as new ones have replaced them.
    /// Blocks on the disk for a long time.
    pub(crate) fn clean(
        &self,
        limits: CleanerLimits,
        now: Timestamp,
        throttle: Throttle<'_>,
        replaced: &mut dyn FnMut(Deleted),
    ) -> CleanOutcome {
        let begun = {
            let mut state = self.state.lock();
            let high_watermark = state.high_watermark;
            if self.lacks_space(&state) {
                // Nothing was replaced: the new segments are separate files.
                return CleanOutcome::NotNow;
            }
            let Ok(log) = state.log_mut() else {
                return CleanOutcome::Offline;
            };
            if !log.config().cleanup_policy.compact {
                return CleanOutcome::NotNow;
            }
            log.begin_cleaning(high_watermark, now)
        };
        let cleaning = match begun {
            Ok(Some(cleaning)) => cleaning,
            Ok(None) => return CleanOutcome::NotNow,
            Err(error) => {
                self.background_read_failed("compaction", &error);
                return CleanOutcome::NotNow;
            }
        };
        let cleaning = cleaning.with_memory(Arc::clone(&self.shared.decompression));
        let (id, from) = (cleaning.id(), cleaning.first_dirty_offset());
        let mut cleaner = match cleaning.index(limits, throttle) {
            Ok(cleaner) => cleaner,
            Err(error) => return self.cleaning_failed(error, id),
        };
        loop {
            match self.clean_segment(&mut cleaner, throttle, replaced) {
                Ok(true) => {}
                Ok(false) => break,
                Err(outcome) => return outcome,
            }
        }
        let completed = match self.state.lock().log_mut() {
            Ok(log) => log.complete_cleaning(&cleaner),
            Err(_) => return CleanOutcome::Offline,
        };
        if !completed {
            return CleanOutcome::NotNow;
        }
        self.report(&cleaner, from);
        CleanOutcome::Cleaned
    }

    /// Cleans one group of segments. Returns whether there was one.
    fn clean_segment(
        &self,
        cleaner: &mut Cleaner,
        throttle: Throttle<'_>,
        replaced: &mut dyn FnMut(Deleted),
    ) -> Result<bool, CleanOutcome> {
        let id = cleaner.id();
        let next = cleaner.next_segment(throttle);
        let Some(segment) = next.map_err(|error| self.cleaning_failed(error, id))? else {
            return Ok(false);
        };
        let (result, delay) = {
            let mut state = self.state.lock();
            let delay = state.config.log.file_delete_delay_ms;
            let Ok(log) = state.log_mut() else {
                return Err(CleanOutcome::Offline);
            };
            (log.replace_segments(segment), delay)
        };
        let failed = |error| {
            self.fail_storage(&error);
            CleanOutcome::Offline
        };
        match result.map_err(failed)? {
            Replaced::Stale => Err(CleanOutcome::NotNow),
            Replaced::Done(swapped) => {
                swapped.sync().map_err(failed)?;
                let segments = swapped.deleted;
                replaced(Deleted { segments, delay });
                Ok(true)
            }
        }
    }

    /// Handles a failed cleaning. Files that a truncation, retention or deletion removed meanwhile
    /// are no failure.
    fn cleaning_failed(&self, error: CleanError, id: CleaningId) -> CleanOutcome {
        let is_current = match self.state.lock().log() {
            Ok(log) => log.is_current(id),
            Err(_) => return CleanOutcome::Offline,
        };
        match error {
            CleanError::Stopped => CleanOutcome::NotNow,
            CleanError::Uncleanable(reason) if is_current => CleanOutcome::Uncleanable(reason),
            CleanError::Storage(error) if is_current => match error.kind() {
                // The log is intact; compaction needs space for the new segments beside it.
                StorageErrorKind::Full => {
                    tracing::debug!(partition = %self.name, %error, "no space to compact the log");
                    self.shared.space.on_refused_write(self.directory());
                    CleanOutcome::NotNow
                }
                StorageErrorKind::Shortage => {
                    tracing::warn!(partition = %self.name, %error, "compaction lacks resources");
                    CleanOutcome::NotNow
                }
                // The log can be read and appended to as before, but for the damaged range.
                StorageErrorKind::Damage => CleanOutcome::Uncleanable(error.to_string()),
                StorageErrorKind::Device => {
                    self.fail_storage(&error);
                    CleanOutcome::Offline
                }
            },
            CleanError::Uncleanable(_) | CleanError::Storage(_) => CleanOutcome::NotNow,
        }
    }

    fn report(&self, cleaner: &Cleaner, from: Offset) {
        let stats = cleaner.stats();
        tracing::info!(
            partition = %self.name,
            dirty_from = %from,
            dirty_to = %cleaner.end_offset(),
            keys = stats.keys,
            records = stats.records_read,
            records_kept = stats.records_kept,
            bytes_read = stats.bytes_read,
            bytes_written = stats.bytes_written,
            "log compacted"
        );
        if stats.records_without_key > 0 {
            tracing::warn!(
                partition = %self.name,
                records = stats.records_without_key,
                "compaction dropped records without a key: they were produced before the topic \
                 was compacted"
            );
        }
    }
}
