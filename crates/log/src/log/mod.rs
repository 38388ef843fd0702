//! A partition's log: segments, leader epochs, producer state.
//!
//! The log is used under a lock that is held briefly: appends write with one system call and sync
//! nothing; slow operations (reads, flushes, searches) are planned here and run by a value of their
//! own outside the lock. The high watermark is an argument; the log keeps the last one only to
//! rebuild which transactions are stable.
//!
//! Invariant: `segments` is never empty and sorted by base offset, its last is the active one; all
//! batches lie in `[.., log_end_offset)`; `recovery_point <= log_end_offset`; below the recovery
//! point everything is on the disk, including index files and leader epochs.

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
mod relocate;
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
    /// A larger recovery point that the log directory's checkpoint may still contain.
    stale_recovery_point: Option<Offset>,
    leader_epochs: LeaderEpochCache,
    /// Whether the leader epochs differ from their file.
    leader_epochs_dirty: bool,
    /// Whether the newest leader epoch has no record yet and is not in the file.
    epoch_start_pending: bool,
    /// The state of the log at the last clean shutdown.
    settled: Option<close::Settled>,
    producer_state: ProducerState,
    /// Producer snapshots that the next flush writes.
    snapshots_pending: Vec<(Offset, Vec<u8>)>,
    /// Whether files were created since the directory was synced.
    directory_dirty: bool,
    /// The number of truncations. The result of a flush does not apply if a truncation followed its
    /// preparation.
    generation: u64,
    /// The number of replacements and removals of segments.
    segment_changes: u64,
    /// The last high watermark that the log was given.
    high_watermark: Offset,
    /// Whether a write failed, after which nothing is appended.
    failed: bool,
    last_flush: Timestamp,
    /// The first offset that compaction has not processed; `None` when it has processed nothing.
    cleaned_to: Option<Offset>,
    /// Held by a cleaning during its lifetime.
    cleaning_running: Arc<()>,
    /// Held by each flush during its lifetime.
    flushes_running: Arc<()>,
    /// Whether the log is being deleted. Shared with flushes and swaps that run outside the lock.
    retired: Arc<AtomicBool>,
    /// The known damaged ranges, in the order of their offsets; the same as in the file
    /// `damaged-ranges`.
    damage: Vec<Damage>,
    /// The content of the file `closed-segments.deleted`; `None` when the file does not exist.
    closed_segments: Option<closed_segments::ClosedSegments>,
    /// Whether that file was invalid at the start.
    closed_segments_invalid: bool,
    /// Whether the size of a closed segment may be missing in that file.
    closed_segments_changed: bool,
    /// Counts this log among those that share descriptors.
    log_count: LogCount,
}

impl Log {
    /// Returns the log's directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns the partition.
    #[must_use]
    pub fn topic_partition(&self) -> &TopicPartition {
        &self.topic_partition
    }

    /// Returns the configuration.
    #[must_use]
    pub fn config(&self) -> &Arc<LogConfig> {
        &self.config
    }

    /// Replaces the configuration, starting with the next operation.
    pub fn set_config(&mut self, config: Arc<LogConfig>) {
        self.config = config;
    }

    /// Returns the first offset that may be read.
    #[must_use]
    pub fn log_start_offset(&self) -> Offset {
        self.log_start_offset
    }

    /// Returns the offset of the next record to be appended.
    #[must_use]
    pub fn log_end_offset(&self) -> Offset {
        self.log_end_offset
    }

    /// Returns the offset below which everything survives a crash of the machine.
    #[must_use]
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// Returns the size of all segments in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.segments
            .iter()
            .map(|segment| u64::from(segment.size))
            .sum()
    }

    /// Returns the base offsets of the segments, oldest first.
    pub fn segment_base_offsets(&self) -> impl DoubleEndedIterator<Item = Offset> {
        self.segments.iter().map(|segment| segment.base_offset)
    }

    /// Returns whether a write has failed, after which nothing is appended. A write that failed for
    /// lack of space does not count, because it was undone.
    #[must_use]
    pub fn is_failed(&self) -> bool {
        self.failed
    }

    /// Takes the log offline, after which nothing is appended.
    pub fn fail(&mut self) {
        self.failed = true;
    }

    /// Marks the log as deleted. Must be called before its directory is renamed or removed.
    /// Failures of running flushes and swaps have no consequence from then on. Until this is
    /// called, every failure is reported, whatever the state of the directory.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    /// Returns the start offsets of leader epochs.
    #[must_use]
    pub fn leader_epochs(&self) -> &LeaderEpochCache {
        &self.leader_epochs
    }

    /// Returns the newest leader epoch of the log.
    #[must_use]
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.leader_epochs.latest_epoch()
    }

    /// Returns the epoch of the log's last record; `None` for an empty log. It differs from the
    /// newest epoch if that epoch's leader has written nothing.
    #[must_use]
    pub fn last_record_epoch(&self) -> Option<LeaderEpoch> {
        let last = self.log_end_offset.previous()?;
        if self.log_end_offset <= self.log_start_offset {
            return None;
        }
        self.leader_epochs.epoch_for_offset(last)
    }

    /// Assigns the log's end as the start of a leader's epoch, before its first append. Returns
    /// whether that changed anything.
    pub fn assign_epoch_start(&mut self, epoch: LeaderEpoch) -> bool {
        let changed = self.leader_epochs.assign(epoch, self.log_end_offset);
        self.epoch_start_pending |= changed;
        if changed {
            self.producer_state.end_verifications();
        }
        changed
    }

    /// Returns the state of the log's producers.
    #[must_use]
    pub fn producer_state(&self) -> &ProducerState {
        &self.producer_state
    }

    /// Removes producers that have been idle for `producer.id.expiration.ms`. Returns how many.
    pub fn remove_expired_producers(&mut self, now: Timestamp) -> usize {
        self.producer_state
            .remove_expired(now, self.config.producer_id_expiration_ms)
    }

    /// Returns the first offset that readers of committed records must not reach, given the high
    /// watermark. It is not below the log's start, even if an open transaction began there.
    #[must_use]
    pub fn last_stable_offset(&self, high_watermark: Offset) -> Offset {
        match self.producer_state.first_unstable_offset() {
            None => high_watermark,
            Some(unstable) => unstable.max(self.log_start_offset).min(high_watermark),
        }
    }

    /// Updates the high watermark: transactions that ended below it are stable.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        assert!(
            self.log_start_offset <= high_watermark && high_watermark <= self.log_end_offset,
            "{}: high watermark {high_watermark} of a log from {} to {}",
            self.topic_partition,
            self.log_start_offset,
            self.log_end_offset
        );
        self.high_watermark = high_watermark;
        self.producer_state.on_high_watermark(high_watermark);
    }

    /// Replaces the producer state by one that was rebuilt from records, and applies the high
    /// watermark, which records do not contain.
    fn set_producer_state(&mut self, state: ProducerState) {
        self.producer_state = state;
        self.producer_state.on_high_watermark(self.high_watermark);
    }

    /// Returns the number of changes of segments. The content read from segments and other results
    /// of the log, such as [`Log::aborted_transactions`], belong together only if this number is
    /// the same before and after.
    #[must_use]
    pub fn segment_changes(&self) -> u64 {
        self.segment_changes
    }

    /// Writes `partition.metadata` if the file does not exist. Returns the topic id in the file.
    ///
    /// # Errors
    /// When the file cannot be read, parsed or written.
    pub fn ensure_partition_metadata(&self, topic_id: TopicId) -> Result<TopicId, StorageError> {
        crate::partition_metadata::ensure_in(self.fs(), &self.dir, topic_id)
    }

    /// Returns the topic id in `partition.metadata`; `None` when the file does not exist.
    ///
    /// # Errors
    /// When the file cannot be read or parsed.
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
        self.segments
            .last_mut()
            .expect("a log has at least one segment")
    }

    /// Returns the index of the segment that contains `offset` or would contain it.
    fn floor_segment(&self, offset: Offset) -> usize {
        self.segments
            .partition_point(|segment| segment.base_offset <= offset)
            .saturating_sub(1)
    }

    /// Runs an operation that changes nothing when there is no space or no descriptor. After any
    /// other error the log goes offline.
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

    /// Runs an operation that changes files. When it fails, the log goes offline.
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
