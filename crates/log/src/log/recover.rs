//! Opens a log: after a clean shutdown from its files as they are, otherwise by reading everything
//! above the recovery point again.
//!
//! After a clean shutdown, too, the end of the log and the last entries of the index files are
//! compared with the batches at the end of each segment. A segment that does not match is read
//! again as a whole.
//!
//! Invariant: above the recovery point the log ends at the first bytes that are not a valid batch,
//! and before the first missing records. Below it, and in segments that are known to have been
//! flushed (`log/closed_segments.rs`), nothing is truncated: such bytes and records become a range
//! that cannot be read, the log's end is not below the recovery point, and no offset is assigned
//! twice.

use std::io;
use std::path::Path;
use std::sync::Arc;

use dohle_model::{LeaderEpoch, Offset, Timestamp, TopicPartition};

use super::closed_segments::MissingEnd;
use super::{Log, closed_segments, damaged_ranges, epochs, recovery_point, swap};
use crate::batch::Batch;
use crate::checkpoint::{Sync, read_if_exists, remove_if_exists, write_atomically};
use crate::config::LogConfig;
use crate::error::{Context, StorageError, StorageErrorKind};
use crate::leader_epoch::LeaderEpochCache;
use crate::open_files::{LogCount, OpenFiles};
use crate::producer_state::{ProducerState, snapshot};
use crate::segment::Segment;
use crate::segment::files::{
    DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX,
    file_name, offset_of_name,
};
use crate::segment::walk::{Headers, Step, Walk};

/// The state of a log from the log directory's checkpoints, before it is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// The offset from `log-start-offset-checkpoint`; 0 when the log is not in it.
    pub log_start_offset: Offset,
    /// The offset from `recovery-point-offset-checkpoint`; 0 when the log is not in it.
    pub recovery_point: Offset,
    /// Whether the log directory has the clean shutdown marker.
    pub clean_shutdown: bool,
    /// The wall clock time.
    pub now: Timestamp,
}

/// The figures of a recovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// The number of segments that were read again.
    pub segments_recovered: usize,
    /// Bytes that were truncated or deleted because they were not valid batches.
    pub bytes_truncated: u64,
}

/// The state of a recovery after the segments read so far.
struct Found {
    /// The offset after the last batch.
    end: Offset,
    /// The leader epoch of the last batch.
    epoch: Option<LeaderEpoch>,
    /// The producer state below `end`, if the segment before was read.
    state: Option<ProducerState>,
    /// The end of the last segment, after a clean shutdown.
    known_end: Option<Offset>,
}

/// What follows the last batch of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The next segment, or nothing. The offsets before the next segment may never have had
    /// records.
    AsFound,
    /// Missing records up to this offset.
    MissingTo(Offset),
    /// The end of the log: this many bytes were truncated, including those of later segments.
    OfLog { cut: u64 },
}

impl Ending {
    fn missing_to(known_end: Offset, end: Offset) -> Self {
        if known_end > end {
            Self::MissingTo(known_end)
        } else {
            Self::AsFound
        }
    }
}

impl Log {
    /// Opens a partition's log in `dir`, or creates one. Truncates incomplete batches at the end,
    /// and rebuilds indexes and producer state where the last shutdown was not clean or the files
    /// do not match each other.
    ///
    /// # Errors
    /// When the files cannot be read or written, or have content that is not possible in a log.
    pub fn open(
        dir: &Path,
        topic_partition: TopicPartition,
        config: Arc<LogConfig>,
        options: OpenOptions,
    ) -> Result<(Self, RecoveryReport), StorageError> {
        Self::open_with(dir, topic_partition, config, options, Arc::default())
    }

    /// Does the same as [`Log::open`], and shares descriptors with the other logs of `open_files`.
    ///
    /// # Errors
    /// The same as for [`Log::open`].
    pub fn open_with(
        dir: &Path,
        topic_partition: TopicPartition,
        config: Arc<LogConfig>,
        options: OpenOptions,
        open_files: Arc<OpenFiles>,
    ) -> Result<(Self, RecoveryReport), StorageError> {
        let directory_is_new = open_files
            .fs()
            .create_directories(dir)
            .context("create directory", dir)?;
        let mut log = Self::new(dir.into(), topic_partition, config, options, open_files);
        // A log that was flushed and has lost its directory is damaged.
        let was_flushed = options.recovery_point > options.log_start_offset;
        let report = if directory_is_new && !was_flushed {
            log.start_segment(options.log_start_offset, options.now)?;
            RecoveryReport::default()
        } else {
            log.read_files(options, directory_is_new)?
        };
        for segment in &log.segments {
            // Reads open the files that they need.
            segment.files.close();
        }
        let nothing_rebuilt = report == RecoveryReport::default() && !log.leader_epochs_dirty;
        if options.clean_shutdown && nothing_rebuilt {
            log.settled = Some(log.as_settled());
        }
        if report.bytes_truncated > 0 {
            tracing::warn!(
                partition = %log.topic_partition,
                bytes = report.bytes_truncated,
                log_end_offset = %log.log_end_offset,
                "truncated bytes that are not whole batches"
            );
        }
        Ok((log, report))
    }

    /// Creates the value of an empty log without segments.
    fn new(
        dir: Arc<Path>,
        topic_partition: TopicPartition,
        config: Arc<LogConfig>,
        options: OpenOptions,
        open_files: Arc<OpenFiles>,
    ) -> Self {
        Self {
            leader_epochs: LeaderEpochCache::default(),
            damage: Vec::new(),
            closed_segments: None,
            closed_segments_invalid: false,
            closed_segments_changed: false,
            dir,
            topic_partition,
            config,
            segments: Vec::new(),
            log_start_offset: options.log_start_offset,
            log_end_offset: options.log_start_offset,
            recovery_point: options.log_start_offset,
            stale_recovery_point: None,
            leader_epochs_dirty: false,
            epoch_start_pending: false,
            settled: None,
            producer_state: ProducerState::new(options.log_start_offset),
            snapshots_pending: Vec::new(),
            directory_dirty: false,
            generation: 0,
            segment_changes: 0,
            high_watermark: Offset::ZERO,
            failed: false,
            last_flush: options.now,
            cleaned_to: None,
            cleaning_running: Arc::default(),
            flushes_running: Arc::default(),
            retired: Arc::default(),
            log_count: LogCount::new(open_files),
        }
    }

    /// Determines the state of the log from its files.
    fn read_files(
        &mut self,
        options: OpenOptions,
        directory_is_new: bool,
    ) -> Result<RecoveryReport, StorageError> {
        let fs = self.fs();
        let (recovery_point, stale_recovery_point) = recovery_point::effective(
            fs,
            &self.dir,
            options.recovery_point,
            options.clean_shutdown,
        )?;
        let leader_epochs = epochs::read(fs, &self.dir)?.unwrap_or_default();
        let damage = damaged_ranges::read(fs, &self.dir)?;
        let recorded = closed_segments::read(fs, &self.dir)?;
        self.recovery_point = recovery_point;
        self.stale_recovery_point = stale_recovery_point;
        self.leader_epochs = leader_epochs;
        self.damage = damage;
        self.closed_segments = recorded.closed;
        self.closed_segments_invalid = recorded.is_invalid;
        self.closed_segments_changed = true;
        // A process that was killed may have created and renamed files without a sync.
        self.directory_dirty = directory_is_new || !options.clean_shutdown;
        self.open_segments(options.now, directory_is_new)?;
        let mut report = RecoveryReport::default();
        self.recover(options, &mut report)?;
        self.finish_open(options)?;
        Ok(report)
    }

    /// Lists the segments, deletes files that a crash has left, and creates the first segment of a
    /// new log.
    fn open_segments(&mut self, now: Timestamp, is_new: bool) -> Result<(), StorageError> {
        swap::recover(self.open_files().environment(), &self.dir)?;
        let mut base_offsets = Vec::new();
        let mut index_files = Vec::new();
        for entry in self.fs().list(&self.dir).context("list", &self.dir)? {
            let Some(name) = entry.name.to_str() else {
                continue;
            };
            if name == closed_segments::FILE {
                continue;
            }
            let path = self.dir.join(name);
            if let Some(offset) = offset_of_name(name, LOG_SUFFIX) {
                base_offsets.push(offset);
            } else if [DELETED_SUFFIX, ".tmp"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                remove_if_exists(self.fs(), &path)?;
            } else if let Some(offset) = [INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX]
                .iter()
                .find_map(|suffix| offset_of_name(name, suffix))
            {
                index_files.push((offset, path));
            }
        }
        base_offsets.sort_unstable();
        self.restore_missing_files(&mut base_offsets, &index_files)?;
        for (offset, path) in index_files {
            if base_offsets.binary_search(&offset).is_err() {
                remove_if_exists(self.fs(), &path)?;
            }
        }
        for base_offset in base_offsets {
            self.segments.push(Segment::open(
                &self.dir,
                base_offset,
                now,
                self.open_files(),
            )?);
        }
        if self.segments.is_empty() {
            if !is_new && self.recovery_point > self.log_start_offset {
                let text = format!(
                    "it has no segments, though the log was on the disk up to offset {}: remove \
                     the directory to fetch the partition from another replica",
                    self.recovery_point
                );
                return Err(StorageError::invalid("open the log in", &self.dir, text));
            }
            self.start_segment(self.log_start_offset, now)?;
        }
        let first = self.segments[0].base_offset;
        self.retain_damage(|it| it.segment >= first)
    }

    pub(super) fn start_segment(
        &mut self,
        base_offset: Offset,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.segments.push(Segment::create(
            &self.dir,
            base_offset,
            now,
            self.open_files(),
        )?);
        self.directory_dirty = true;
        Ok(())
    }

    /// Determines the log's end. Reads every segment above the recovery point, and those whose
    /// files do not match each other.
    fn recover(
        &mut self,
        options: OpenOptions,
        report: &mut RecoveryReport,
    ) -> Result<(), StorageError> {
        let past_checkpoint = if options.clean_shutdown {
            self.segments.len()
        } else {
            self.floor_segment(self.recovery_point)
        };
        let mut found = Found {
            end: self.segments[0].base_offset,
            epoch: None,
            state: None,
            known_end: None,
        };
        let mut at = 0;
        while at < self.segments.len() {
            let base = self.segments[at].base_offset;
            found.end = found.end.max(base);
            let sound = at < past_checkpoint && self.is_sound(at, options, &mut found)?;
            if !sound {
                let mut state = match found.state.take() {
                    Some(state) => state,
                    None => self.producer_state_at(base, options.now)?,
                };
                let ending = self.recover_segment(at, &mut found, &mut state)?;
                found.state = Some(state);
                report.segments_recovered += 1;
                if let Ending::OfLog { cut } = ending {
                    report.bytes_truncated += cut;
                }
            }
            at += 1;
        }
        self.log_end_offset = found.end;
        self.recovery_point = if options.clean_shutdown && report.segments_recovered == 0 {
            found.end
        } else {
            self.recovery_point.min(found.end)
        };
        self.set_damage_aside(options.now)?;
        self.producer_state = match found.state {
            Some(state) => state,
            None => self.producer_state_at(found.end, options.now)?,
        };
        Ok(())
    }

    /// Returns whether a segment below the recovery point need not be read: its index files match
    /// the batches at its end, and the last segment ends at the known end of the log.
    fn is_sound(
        &self,
        at: usize,
        options: OpenOptions,
        found: &mut Found,
    ) -> Result<bool, StorageError> {
        let segment = &self.segments[at];
        let next = self.segments.get(at + 1);
        if next.is_some() && self.is_damage_known(at)? && segment.has_indexes()? {
            found.state = None;
            return Ok(true);
        }
        let checked = segment.check_files(next.map(|next| next.base_offset))?;
        segment.files.close();
        let missing = checked
            .as_ref()
            .ok()
            .and_then(|tail| self.missing_end(at, tail.end));
        let doubt = match (checked, missing) {
            (Ok(tail), Some(MissingEnd::Flushed { size })) => format!(
                "its batches end at offset {} and byte {}, it had {size} bytes when it was flushed",
                tail.end, segment.size
            ),
            (Ok(tail), Some(MissingEnd::Unflushed)) => format!(
                "its batches end at offset {}, before the next segment begins",
                tail.end
            ),
            (Ok(tail), None) => {
                let known = next.is_none()
                    && options.clean_shutdown
                    && self.recovery_point > segment.base_offset;
                if !known || tail.end == self.recovery_point {
                    found.end = tail.end;
                    found.epoch = tail.epoch;
                    found.state = None;
                    return Ok(true);
                }
                format!(
                    "its batches end at offset {}, the log ended at {}",
                    tail.end, self.recovery_point
                )
            }
            (Err(doubt), _) => doubt,
        };
        let known_end = next.is_none() && options.clean_shutdown;
        found.known_end = known_end
            .then_some(self.recovery_point)
            .filter(|end| *end > segment.base_offset);
        tracing::warn!(
            partition = %self.topic_partition,
            segment = %segment.base_offset,
            doubt,
            "reading a segment again: its files do not match each other"
        );
        Ok(false)
    }

    /// Returns whether the list of damaged ranges explains everything that the segment's files
    /// show, so that the segment has lost nothing at its end since.
    fn is_damage_known(&self, at: usize) -> Result<bool, StorageError> {
        let segment = &self.segments[at];
        let size = u64::from(segment.size);
        let is_shorter = self
            .recorded_size(at)
            .is_some_and(|recorded| recorded > size);
        let is_tail_claimed = is_shorter || segment.offset_beyond_end()?.is_some();
        let (mut is_known, mut is_tail_known) = (false, !is_tail_claimed);
        for it in self.damage_of(segment.base_offset) {
            if it.position + it.length > size {
                return Ok(false);
            }
            is_known = true;
            is_tail_known |= it.is_missing_tail();
        }
        Ok(is_known && is_tail_known)
    }

    /// Checks a segment's batches and builds its indexes. Truncates the segment if the log ends in
    /// it.
    fn recover_segment(
        &mut self,
        at: usize,
        found: &mut Found,
        state: &mut ProducerState,
    ) -> Result<Ending, StorageError> {
        let config = Arc::clone(&self.config);
        let limit = self.segments.get(at + 1).map(|next| next.base_offset);
        let recorded_end = limit.filter(|_| self.recorded_size(at).is_some());
        let flushed = self
            .recovery_point
            .max(recorded_end.unwrap_or(Offset::ZERO));
        let claimed = self.segments[at].claimed_offset()?;
        let flushed_end = self.segments[at].flushed_end()?;
        let epochs = self.leader_epochs.clone();
        let segment = &mut self.segments[at];
        let base = segment.base_offset;
        let files = Arc::clone(&segment.files);
        let size = u64::from(segment.size);
        segment.reset_indexes();
        let mut damaged = Vec::new();
        let mut walk = Walk::new(&files, size, limit)
            .after(found.end, found.epoch)
            .with_known_end(found.known_end)
            .with_epochs(&epochs, self.recovery_point);
        let mut after_damage = false;
        let cut = loop {
            let before = walk.expected();
            let reason = match walk.next()? {
                None => break 0,
                Some(Step::Batch { position, batch }) => {
                    if after_damage {
                        segment.index_start_of(&batch.header, position as u32);
                        after_damage = false;
                    }
                    segment.note_batch(&batch.header, position as u32, &config);
                    if let Some(epoch) = batch.header.partition_leader_epoch {
                        found.epoch = Some(epoch);
                        let offset = batch.header.base_offset;
                        if self.leader_epochs.epoch_for_offset(offset) != Some(epoch) {
                            self.leader_epochs.truncate_from_end(before);
                            self.leader_epochs.assign(epoch, offset);
                            self.leader_epochs_dirty = true;
                        }
                    }
                    segment.aborted.extend(state.take_batch(&batch));
                    continue;
                }
                Some(Step::Flaw(reason)) => reason,
            };
            if walk.expected() >= flushed {
                tracing::info!(
                    partition = %self.topic_partition,
                    segment = %base,
                    position = walk.position(),
                    reason,
                    "truncated the log at the first invalid batch"
                );
                break size - walk.position();
            }
            damaged.push(walk.skip(reason, limit.unwrap_or(flushed))?);
            after_damage = true;
        };
        found.end = walk.expected();
        let mut ending = match cut {
            0 => self.ending_of(at, found.end, claimed, flushed_end),
            cut => Ending::OfLog { cut },
        };
        if let Ending::MissingTo(end) = ending {
            damaged.push(walk.missing_tail(end));
            found.end = end;
        }
        if let Ending::OfLog { cut } = &mut ending {
            self.forget_segments_from(base)?;
            *cut += self.remove_segments_from(at + 1)?;
        }
        let segment = &mut self.segments[at];
        if cut > 0 {
            segment.cut((size - cut) as u32)?;
        }
        state.set_end_offset(found.end);
        if limit.is_some() && !matches!(ending, Ending::OfLog { .. }) {
            segment.seal()?;
            if let Ending::MissingTo(end) = ending {
                segment.index_missing(end);
            }
            let is_flushed = limit.is_some_and(|next| next <= self.recovery_point);
            write_indexes(segment, is_flushed)?;
        }
        for damage in &damaged {
            tracing::error!(
                partition = %self.topic_partition,
                %damage,
                "found damaged records, reads of them will fail"
            );
        }
        self.damage.retain(|it| it.segment != base);
        self.damage.extend(damaged);
        Ok(ending)
    }

    /// Determines what follows the last batch of a segment whose batches end at `end`. `claimed`
    /// and `flushed_end` are the results of the methods of [`Segment`] of these names.
    fn ending_of(
        &self,
        at: usize,
        end: Offset,
        claimed: Option<Offset>,
        flushed_end: Option<Offset>,
    ) -> Ending {
        let flushed = self.recovery_point;
        let Some(next) = self.segments.get(at + 1) else {
            return Ending::missing_to(flushed, end);
        };
        let next = next.base_offset;
        let was_missing = self.missing_to(at) == Some(next);
        // An index entry for a batch that no longer exists shows that the end of the file is
        // missing.
        let is_claimed = claimed.is_some_and(|offset| offset >= end && offset < next);
        // Index files are written only once the records are on the disk.
        let is_flushed = next <= flushed || self.segments[at].size == 0;
        let missing_end = self.missing_end(at, end).or_else(|| {
            // A loss of power may have damaged the list too. Only compaction leaves gaps, and a
            // segment that compaction wrote has an index that ends with the last batch. Without a
            // list, Kafka may have compacted the log, and its index files prove nothing.
            let is_whole = flushed_end == Some(end) || self.config.cleanup_policy.compact;
            let is_lost = !is_whole && end < next && flushed < next;
            (is_lost && self.closed_segments_invalid).then_some(MissingEnd::Unflushed)
        });
        match missing_end {
            Some(MissingEnd::Flushed { .. }) => Ending::missing_to(next, end),
            _ if is_flushed && (was_missing || is_claimed) => Ending::missing_to(next, end),
            Some(MissingEnd::Unflushed) if end < flushed => Ending::missing_to(next, end),
            Some(MissingEnd::Unflushed) => {
                tracing::warn!(
                    partition = %self.topic_partition,
                    segment = %self.segments[at].base_offset,
                    log_end_offset = %end,
                    next_segment = %next,
                    "records that were not flushed are missing at the end of a segment: the log \
                     ends before them, later segments are deleted"
                );
                Ending::OfLog { cut: 0 }
            }
            None => Ending::AsFound,
        }
    }

    /// Closes the last segment if it is damaged, so that appends are written to a file without
    /// damage, and writes the list of damaged ranges.
    fn set_damage_aside(&mut self, now: Timestamp) -> Result<(), StorageError> {
        let before = damaged_ranges::read(self.fs(), &self.dir)?;
        self.sort_damage();
        if before != self.damage {
            self.write_damage(Sync::Yes)?;
        }
        let base = self.active().base_offset;
        if self.damage_of(base).next().is_none() {
            return Ok(());
        }
        let missing_to = self.missing_to(self.segments.len() - 1);
        let active = self.active();
        active.seal()?;
        if let Some(missing_to) = missing_to {
            active.index_missing(missing_to);
        }
        write_indexes(active, false)?;
        self.start_segment(self.log_end_offset, now)
    }

    /// Returns the producer state of the records below `end`, starting with the newest snapshot.
    /// There is one snapshot per segment.
    pub(super) fn producer_state_at(
        &self,
        end: Offset,
        now: Timestamp,
    ) -> Result<ProducerState, StorageError> {
        let mut state = self.load_snapshot(end, now)?;
        let from = state.end_offset();
        for (at, segment) in self.segments.iter().enumerate() {
            let next = self
                .segments
                .get(at + 1)
                .map_or(Offset(i64::MAX), |next| next.base_offset);
            if next <= from || segment.base_offset >= end {
                continue;
            }
            let files = &segment.files;
            let start = segment.start_for(from.max(segment.base_offset));
            let start = start.position(files, segment.size)?;
            let mut headers = Headers::new(files, u64::from(start), u64::from(segment.size));
            while let Some((position, header)) = headers.next()? {
                if header.base_offset >= end {
                    break;
                }
                if header.base_offset < from || header.producer_id.is_none() {
                    continue;
                }
                if header.attributes.is_control() {
                    let bytes = files.read(position, header.size as usize)?;
                    state.take_batch(&Batch {
                        header,
                        bytes: &bytes,
                        position: 0,
                    });
                } else {
                    state.update(&header, None);
                }
            }
        }
        state.set_end_offset(end);
        Ok(state)
    }

    fn load_snapshot(&self, end: Offset, now: Timestamp) -> Result<ProducerState, StorageError> {
        for offset in self.snapshot_offsets()?.into_iter().rev() {
            if offset > end {
                continue;
            }
            let path = self.dir.join(file_name(offset, SNAPSHOT_SUFFIX));
            let Some(bytes) = read_if_exists(self.fs(), &path)? else {
                continue;
            };
            let expiration = self.config.producer_id_expiration_ms;
            match snapshot::decode(&bytes, offset, now, expiration) {
                Ok(state) => return Ok(state),
                Err(error) => {
                    tracing::warn!(
                        path = %path.display(),
                        %error,
                        "skipped an invalid producer snapshot"
                    );
                    remove_if_exists(self.fs(), &path)?;
                }
            }
        }
        // Batches below the log's start that still exist contain producer state too.
        let first = self
            .segments
            .first()
            .map_or(self.log_start_offset, |it| it.base_offset);
        Ok(ProducerState::new(first.min(end)))
    }

    pub(super) fn snapshot_offsets(&self) -> Result<Vec<Offset>, StorageError> {
        let mut offsets = Vec::new();
        for entry in self.fs().list(&self.dir).context("list", &self.dir)? {
            let name = entry.name.to_str();
            offsets.extend(name.and_then(|name| offset_of_name(name, SNAPSHOT_SUFFIX)));
        }
        offsets.sort_unstable();
        Ok(offsets)
    }

    /// Updates everything that depends on the log's start and end.
    fn finish_open(&mut self, options: OpenOptions) -> Result<(), StorageError> {
        let first = self.segments[0].base_offset;
        self.log_start_offset = options.log_start_offset.max(first);
        if self.log_end_offset < self.log_start_offset && options.clean_shutdown {
            // A log that was closed cleanly did not end before its start, so the checkpoint is
            // wrong.
            tracing::warn!(
                partition = %self.topic_partition,
                log_end_offset = %self.log_end_offset,
                log_start_offset = %self.log_start_offset,
                "the checkpoint has a log start beyond the log's end, starting at the first \
                 segment: deleted records may reappear"
            );
            self.log_start_offset = first;
        }
        if self.log_end_offset < self.log_start_offset {
            tracing::warn!(
                partition = %self.topic_partition,
                log_end_offset = %self.log_end_offset,
                log_start_offset = %self.log_start_offset,
                "the log ends before its start, deleting all segments"
            );
            return self.truncate_fully_and_start_at(self.log_start_offset, options.now);
        }
        self.active().load_indexes()?;
        self.record_flushed_segments(Sync::No)?;
        self.leader_epochs_dirty |= self.leader_epochs.truncate_from_end(self.log_end_offset);
        self.leader_epochs_dirty |= self
            .leader_epochs
            .truncate_from_start(self.log_start_offset);
        self.check_leader_epochs()?;
        self.producer_state
            .on_log_start_offset(self.log_start_offset);
        self.remove_stray_snapshots()
    }

    /// Writes a producer snapshot and syncs it.
    pub(super) fn write_snapshot(&self, offset: Offset, bytes: &[u8]) -> Result<(), StorageError> {
        let path = self.dir.join(file_name(offset, SNAPSHOT_SUFFIX));
        write_atomically(self.fs(), &path, bytes, Sync::Yes)
    }

    /// Returns whether there is a file with a producer snapshot.
    pub(super) fn has_snapshot(&self, offset: Offset) -> Result<bool, StorageError> {
        let path = self.dir.join(file_name(offset, SNAPSHOT_SUFFIX));
        match self.fs().metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => found.map(|_| true).context("stat", &path),
        }
    }

    /// Removes a producer snapshot if it exists.
    pub(super) fn remove_snapshot(&self, offset: Offset) -> Result<(), StorageError> {
        let path = self.dir.join(file_name(offset, SNAPSHOT_SUFFIX));
        remove_if_exists(self.fs(), &path)
    }

    /// Removes producer snapshots except those of segments and the newest one.
    pub(super) fn remove_stray_snapshots(&self) -> Result<(), StorageError> {
        let offsets = self.snapshot_offsets()?;
        let newest = offsets
            .iter()
            .rev()
            .find(|offset| **offset <= self.log_end_offset)
            .copied();
        for offset in offsets {
            let of_segment = self
                .segments
                .binary_search_by_key(&offset, |segment| segment.base_offset)
                .is_ok();
            if offset > self.log_end_offset || !(of_segment || Some(offset) == newest) {
                self.remove_snapshot(offset)?;
            }
        }
        Ok(())
    }
}

/// Writes the index files of a closed segment. If there is no space for them, they stay in memory,
/// and a later flush writes them. Index files prove that their records are on the disk, so the
/// records are synced first unless they are known to be there.
fn write_indexes(segment: &Segment, is_flushed: bool) -> Result<(), StorageError> {
    let Some(indexes) = segment.index_bytes() else {
        return Ok(());
    };
    if !is_flushed {
        segment.files.sync_log()?;
    }
    match indexes.write(&segment.files, Sync::No) {
        Err(error) if error.kind() == StorageErrorKind::Full => {
            tracing::warn!(%error, "no space for a segment's index files, they are kept in memory");
            Ok(())
        }
        written => written,
    }
}
