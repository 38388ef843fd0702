//! A partition's log: segments, leader epochs, producer state.
//!
//! Used from behind a short lock: appends write with one system call and sync nothing; what takes
//! long (reads, flushes, searches) is planned here and run by its own value outside the lock.
//! The high watermark is an argument; the log keeps the last one only to rebuild which
//! transactions are stable.
//!
//! Invariant: `segments` is never empty and sorted by base offset, its last is the active one; all
//! batches lie in `[.., log_end_offset)`; `recovery_point <= log_end_offset`; below the recovery
//! point everything is on the disk, index files and leader epochs included.

mod append;
mod clean;
mod close;
mod closed_segments;
mod damage;
mod damaged_ranges;
mod epochs;
mod flush;
mod positions;
mod query;
mod recover;
mod recovery_point;
mod retention;
mod roll;
mod swap;
mod truncate;

pub use append::{AppendError, AppendInfo, LeaderAppend};
pub use clean::Cleanable;
pub use damage::RepairStart;
pub use flush::{FlushError, FlushTask, Flushed};
pub use query::ReadError;
pub use recover::{OpenOptions, RecoveryReport};
pub use retention::DeletedSegment;
pub use swap::{Replaced, Swapped};

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dohle_model::{LeaderEpoch, Offset, Timestamp, TopicId, TopicPartition};
use dohle_storage::FileSystem;

use crate::config::LogConfig;
use crate::damage::Damage;
use crate::error::{StorageError, StorageErrorKind};
use crate::leader_epoch::LeaderEpochCache;
use crate::open_files::{LogCount, OpenFiles};
use crate::producer_state::ProducerState;
use crate::segment::Segment;

/// The name of the file with the leader epochs.
pub(crate) const LEADER_EPOCH_FILE: &str = "leader-epoch-checkpoint";

/// One partition's log.
#[derive(Debug)]
pub struct Log {
    dir: Arc<Path>,
    topic_partition: TopicPartition,
    config: Arc<LogConfig>,
    segments: Vec<Segment>,
    log_start_offset: Offset,
    log_end_offset: Offset,
    recovery_point: Offset,
    /// A larger recovery point that the log directory's checkpoint may still hold.
    stale_recovery_point: Option<Offset>,
    leader_epochs: LeaderEpochCache,
    /// Whether the leader epochs differ from their file.
    leader_epochs_dirty: bool,
    /// Whether the newest leader epoch, which has no record yet, is missing in the file.
    epoch_start_pending: bool,
    /// The log as a clean shutdown left it.
    settled: Option<close::Settled>,
    producer_state: ProducerState,
    /// Producer snapshots that the next flush writes.
    snapshots_pending: Vec<(Offset, Vec<u8>)>,
    /// Whether files were made since the directory was synced.
    directory_dirty: bool,
    /// Counts truncations: a flush that was prepared before one says nothing about the log after.
    generation: u64,
    /// Counts replacements and removals of segments.
    segment_changes: u64,
    /// The last high watermark that the log was given.
    high_watermark: Offset,
    /// A write failed; nothing more is appended.
    failed: bool,
    last_flush: Timestamp,
    /// Compaction has seen everything below; `None` when it has seen nothing.
    cleaned_to: Option<Offset>,
    /// Held by a cleaning as long as it lives.
    cleaning_running: Arc<()>,
    /// Held by each flush as long as it lives.
    flushes_running: Arc<()>,
    /// The log is being deleted. Shared with flushes and swaps that run outside the lock.
    retired: Arc<AtomicBool>,
    /// Ranges that are known to be damaged, in the order of their offsets; the file
    /// `damaged-ranges` has the same.
    damage: Vec<Damage>,
    /// What the file `closed-segments` has; `None` when there is no such file.
    closed_segments: Option<closed_segments::ClosedSegments>,
    /// Whether the size of a closed segment may be missing there.
    closed_segments_changed: bool,
    /// Counts the log among those that share descriptors.
    log_count: LogCount,
}

impl Log {
    /// The directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Which partition it is.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<LogConfig> {
        &self.config
    }

    /// Replaces the configuration; it holds from the next operation on.
    pub fn set_config(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// The first offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// Everything below this offset survives a crash of the machine.
    #[must_use]
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| u64::from(segment.size))
            .sum()
    }

    /// The base offsets of the segments, oldest first.
    pub fn segment_base_offsets(&self) -> impl DoubleEndedIterator<Item = Offset> {
        self.segments.iter().map(|segment| segment.base_offset)
    }

    /// Whether a write has failed, after which nothing is appended. A write that failed for lack of
    /// space does not count: it was taken back.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    /// Takes the log offline: nothing is appended any more.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// Declares that the log is deleted: to be called before its directory is renamed or removed.
    /// Flushes and swaps that still run may fail from then on without consequence. As long as this
    /// was not called every failure is reported, whatever the directory looks like.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Where each leader's records begin.
    #[must_use]
    pub fn leader_epochs(&self) -> &LeaderEpochCache {
        &self.leader_epochs
    }

    /// The newest leader epoch of the log.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.leader_epochs.latest_epoch()
    }

    /// The epoch of the log's last record; `None` for an empty log. A leader that wrote nothing has
    /// an epoch that begins at the log's end: it is not this one.
    #[must_use]
    pub fn last_record_epoch(&self) -> Option<LeaderEpoch> {
        let last = self.log_end_offset.previous()?;
        if self.log_end_offset <= self.log_start_offset {
            return None;
        }
        self.leader_epochs.epoch_for_offset(last)
    }

    /// A leader begins at the log's end, before its first append. Answers whether that is new.
    pub fn assign_epoch_start(&mut self, epoch: LeaderEpoch) -> bool {
        let changed = self.leader_epochs.assign(epoch, self.log_end_offset);
        self.epoch_start_pending |= changed;
        changed
    }

    /// What is known of the log's producers.
    #[must_use]
    pub fn producer_state(&self) -> &ProducerState {
        &self.producer_state
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms`. Answers how many.
    pub fn remove_expired_producers(&mut self, now: Timestamp) -> usize {
        self.producer_state
            .remove_expired(now, self.config.producer_id_expiration_ms)
    }

    /// The first offset that readers of committed records must not reach, given the high watermark.
    /// Not below the log's start, where a transaction may have begun that is still open.
    #[must_use]
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        match self.producer_state.first_unstable_offset() {
            None => high_watermark,
            Some(unstable) => unstable.max(self.log_start_offset).min(high_watermark),
        }
    }

    /// The high watermark has changed: ended transactions below it are stable.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.high_watermark = high_watermark;
        self.producer_state.on_high_watermark(high_watermark);
    }

    /// Takes a state of the producers that was rebuilt from records, which do not contain the high
    /// watermark.
    fn set_producer_state(&mut self, state: ProducerState) {
        self.producer_state = state;
        self.producer_state.on_high_watermark(self.high_watermark);
    }

    /// Changes whenever segments are replaced or removed. What was read of segments and what the
    /// log says of them, such as [`Log::aborted_transactions`], belong together only while this
    /// stays the same.
    #[must_use]
    pub fn segment_changes(&self) -> u64 {
        self.segment_changes
    }

    /// Writes `partition.metadata` if there is none. Answers the id that the file has.
    ///
    /// # Errors
    /// When the file cannot be read or written, or is none.
    pub fn ensure_partition_metadata(&self, topic_id: TopicId) -> Result<TopicId, StorageError> {
        match crate::partition_metadata::read_in(self.fs(), &self.dir)? {
            Some(known) => Ok(known),
            None => {
                crate::partition_metadata::write_in(self.fs(), &self.dir, topic_id)?;
                Ok(topic_id)
            }
        }
    }

    /// The topic id in `partition.metadata`, if the file is there.
    ///
    /// # Errors
    /// When the file cannot be read or is none.
    pub fn topic_id(&self) -> Result<Option<TopicId>, StorageError> {
        crate::partition_metadata::read_in(self.fs(), &self.dir)
    }

    fn open_files(&self) -> &Arc<OpenFiles> {
        &self.log_count.0
    }

    fn fs(&self) -> &dyn FileSystem {
        self.open_files().fs()
    }

    fn active(&mut self) -> &mut Segment {
        self.segments.last_mut().expect("a log has a segment")
    }

    /// The index of the segment that holds `offset`, or that it would be in.
    fn floor_segment(&self, offset: Offset) -> usize {
        self.segments
            .partition_point(|segment| segment.base_offset <= offset)
            .saturating_sub(1)
    }

    /// Runs a step that changes nothing when it finds no space or no descriptor; after any other
    /// error the log goes offline.
    fn guard_all_or_nothing<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match step(self) {
            Err(error)
                if matches!(
                    error.kind(),
                    StorageErrorKind::Full | StorageErrorKind::Shortage
                ) =>
            {
                Err(error)
            }
            result => self.guard(|_| result),
        }
    }

    /// Runs a step that changes files; when it fails the log goes offline.
    fn guard<T>(
        &mut self,
        step: impl FnOnce(&mut Self) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let result = step(self);
        if let Err(error) = &result {
            self.failed = true;
            tracing::error!(partition = %self.topic_partition, %error, "log goes offline");
        }
        result
    }
}
