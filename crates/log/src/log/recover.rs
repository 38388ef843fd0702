//! Opening a log: after a clean shutdown from its files as they are, otherwise reading everything
//! past the recovery point again.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use dohle_model::{Offset, Timestamp, TopicPartition};

use super::{LEADER_EPOCH_FILE, Log, swap};
use crate::batch::{Batch, BatchError, ControlRecord};
use crate::checkpoint::{Sync, read_if_exists};
use crate::config::LogConfig;
use crate::error::{Context, StorageError};
use crate::leader_epoch::LeaderEpochCache;
use crate::producer_state::{ProducerState, snapshot};
use crate::segment::Segment;
use crate::segment::files::{
    DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, SNAPSHOT_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX,
    file_name, offset_of_name, remove_if_exists,
};
use crate::segment::scan::{Scan, ScanError};

/// What is known of a log before it is opened, from the log directory's checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenOptions {
    /// From `log-start-offset-checkpoint`; 0 when the log is not in it.
    pub log_start_offset: Offset,
    /// From `recovery-point-offset-checkpoint`; 0 when the log is not in it.
    pub recovery_point: Offset,
    /// Whether the log directory has the clean shutdown marker.
    pub clean_shutdown: bool,
    /// The wall clock.
    pub now: Timestamp,
}

/// What recovery did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecoveryReport {
    /// Segments that were read again.
    pub segments_recovered: usize,
    /// Bytes that were cut off or deleted because they were no good batches.
    pub bytes_truncated: u64,
}

impl Log {
    /// Opens a partition's log in `dir`, or makes one. Torn tails are cut, indexes and producer
    /// state rebuilt where the last shutdown was not clean.
    ///
    /// # Errors
    /// When the files cannot be read or written, or hold what a log cannot hold.
    pub fn open(
        dir: &Path,
        topic_partition: TopicPartition,
        config: Arc<LogConfig>,
        options: OpenOptions,
    ) -> Result<(Self, RecoveryReport), StorageError> {
        let directory_is_new = !dir.exists();
        fs::create_dir_all(dir).context("create directory", dir)?;
        let dir: Arc<Path> = dir.into();
        let leader_epochs = read_leader_epochs(&dir)?;
        let mut log = Self {
            dir,
            topic_partition,
            config,
            segments: Vec::new(),
            log_start_offset: options.log_start_offset,
            log_end_offset: options.log_start_offset,
            recovery_point: options.recovery_point,
            leader_epochs,
            leader_epochs_dirty: false,
            epoch_start_pending: false,
            settled: None,
            producer_state: ProducerState::new(options.log_start_offset),
            snapshots_pending: Vec::new(),
            directory_dirty: directory_is_new,
            generation: 0,
            failed: false,
            last_flush: options.now,
            cleaned_to: None,
            cleaning_running: Arc::default(),
            flushes_running: Arc::default(),
            retired: Arc::default(),
            damage: Vec::new(),
        };
        log.open_segments(options.now)?;
        let mut report = RecoveryReport::default();
        let clean_end = log.clean_end(options)?;
        match clean_end {
            Some(end) => {
                log.log_end_offset = end;
                log.recovery_point = end;
                log.producer_state = log.producer_state_at(end, options.now)?;
            }
            None => log.recover(options, &mut report)?,
        }
        log.finish_open(options)?;
        if clean_end == Some(log.log_end_offset) {
            log.settled = Some(log.as_settled());
        }
        if report.bytes_truncated > 0 {
            tracing::warn!(
                partition = %log.topic_partition,
                bytes = report.bytes_truncated,
                log_end_offset = %log.log_end_offset,
                "cut bytes that are no whole batches"
            );
        }
        Ok((log, report))
    }

    /// Finds the segments, drops what a crash has left over, makes the first segment.
    fn open_segments(&mut self, now: Timestamp) -> Result<(), StorageError> {
        swap::recover(&self.dir)?;
        let mut base_offsets = Vec::new();
        let mut index_files = Vec::new();
        for entry in fs::read_dir(&self.dir).context("list", &self.dir)? {
            let entry = entry.context("list", &self.dir)?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            if let Some(offset) = offset_of_name(name, LOG_SUFFIX) {
                base_offsets.push(offset);
            } else if [DELETED_SUFFIX, ".tmp"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                remove_if_exists(&entry.path())?;
            } else if let Some(offset) = [INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX]
                .iter()
                .find_map(|suffix| offset_of_name(name, suffix))
            {
                index_files.push((offset, entry.path()));
            }
        }
        base_offsets.sort_unstable();
        for (offset, path) in index_files {
            if base_offsets.binary_search(&offset).is_err() {
                remove_if_exists(&path)?;
            }
        }
        for base_offset in base_offsets {
            self.segments
                .push(Segment::open(&self.dir, base_offset, now)?);
        }
        if self.segments.is_empty() {
            self.start_segment(self.log_start_offset, now)?;
        }
        Ok(())
    }

    pub(super) fn start_segment(
        &mut self,
        base_offset: Offset,
        now: Timestamp,
    ) -> Result<(), StorageError> {
        self.segments
            .push(Segment::create(&self.dir, base_offset, now)?);
        self.directory_dirty = true;
        Ok(())
    }

    /// The log's end when the shutdown was clean and the files bear it out.
    fn clean_end(&mut self, options: OpenOptions) -> Result<Option<Offset>, StorageError> {
        // An empty segment needs none.
        let has_indexes = |segment: &Segment| segment.size == 0 || segment.has_indexes();
        if !options.clean_shutdown || !self.segments.iter().all(has_indexes) {
            return Ok(None);
        }
        let active = self.active();
        active.load_indexes()?;
        match active.next_offset() {
            Ok(end) => Ok(Some(end)),
            Err(ScanError::Storage(error)) => Err(error),
            Err(ScanError::Batch { .. }) => Ok(None),
        }
    }

    /// Reads every segment past the recovery point, and those without indexes. At the first bytes
    /// that are no good batch the log ends.
    fn recover(
        &mut self,
        options: OpenOptions,
        report: &mut RecoveryReport,
    ) -> Result<(), StorageError> {
        let past_checkpoint = self.floor_segment(options.recovery_point);
        let without_indexes = self
            .segments
            .iter()
            .position(|segment| !segment.has_indexes());
        let first = without_indexes.map_or(past_checkpoint, |at| at.min(past_checkpoint));
        let base_offset = self.segments[first].base_offset;
        let mut state = self.producer_state_at(base_offset, options.now)?;
        self.log_end_offset = base_offset;
        let mut at = first;
        while at < self.segments.len() {
            let cut = self.recover_segment(at, &mut state)?;
            report.segments_recovered += 1;
            at += 1;
            if cut > 0 {
                report.bytes_truncated += cut;
                for segment in self.segments.drain(at..) {
                    report.bytes_truncated += u64::from(segment.size);
                    segment.files.delete()?;
                }
            }
        }
        self.recovery_point = options.recovery_point.min(self.log_end_offset);
        self.producer_state = state;
        Ok(())
    }

    /// Checks a segment's batches and builds its indexes. Answers the bytes it cut off.
    fn recover_segment(
        &mut self,
        at: usize,
        state: &mut ProducerState,
    ) -> Result<u64, StorageError> {
        let config = Arc::clone(&self.config);
        let is_last = at + 1 == self.segments.len();
        let segment = &mut self.segments[at];
        let files = Arc::clone(&segment.files);
        let mut end = self.log_end_offset.max(segment.base_offset);
        segment.reset_indexes();
        let mut scan = Scan::batches(&files, 0, u64::from(segment.size));
        loop {
            let next = scan.next_batch(|position, batch| {
                check_recovered(segment, end, batch)?;
                segment.note_batch(&batch.header, position as u32, &config);
                end = batch.header.next_offset();
                if let Some(epoch) = batch.header.partition_leader_epoch
                    && self
                        .leader_epochs
                        .latest_epoch()
                        .is_none_or(|latest| epoch > latest)
                {
                    self.leader_epochs_dirty |=
                        self.leader_epochs.assign(epoch, batch.header.base_offset);
                }
                segment.aborted.extend(feed(state, batch));
                Ok(())
            });
            match next {
                Ok(true) => {}
                Ok(false) => break,
                Err(ScanError::Storage(error)) => return Err(error),
                Err(ScanError::Batch { position, error }) => {
                    tracing::info!(
                        partition = %self.topic_partition,
                        segment = %segment.base_offset,
                        position,
                        %error,
                        "the log ends here"
                    );
                    break;
                }
            }
        }
        let valid = scan.position();
        let cut = u64::from(segment.size) - valid;
        if cut > 0 {
            segment.cut(valid as u32)?;
        }
        if !is_last && cut == 0 {
            segment.seal()?;
            if let Some(indexes) = segment.index_bytes() {
                indexes.write(&files, Sync::No)?;
            }
        }
        state.set_end_offset(end);
        self.log_end_offset = end;
        Ok(cut)
    }

    /// What the records below `end` tell of producers: from the newest snapshot on, of which there
    /// is one for each segment.
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
            // An index file may be missing before recovery has built it.
            let start = if segment.has_indexes() {
                start.position(files)?
            } else {
                0
            };
            let mut scan = Scan::headers(files, u64::from(start), u64::from(segment.size));
            loop {
                let next = scan
                    .next_header()
                    .map_err(|error| error.into_storage(files))?;
                let Some((position, header)) = next else {
                    break;
                };
                if header.base_offset >= end {
                    break;
                }
                if header.base_offset < from || header.producer_id.is_none() {
                    continue;
                }
                if header.attributes.is_control() {
                    let bytes = files.read(position, header.size as usize)?;
                    feed(
                        &mut state,
                        &Batch {
                            header,
                            bytes: &bytes,
                            position: 0,
                        },
                    );
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
            let Some(bytes) = read_if_exists(&path)? else {
                continue;
            };
            let expiration = self.config.producer_id_expiration_ms;
            match snapshot::decode(&bytes, offset, now, expiration) {
                Ok(state) => return Ok(state),
                Err(error) => {
                    tracing::warn!(path = %path.display(), %error, "skip a producer snapshot");
                    remove_if_exists(&path)?;
                }
            }
        }
        // Batches below the log's start that are still there tell of their producers too.
        let first = self
            .segments
            .first()
            .map_or(self.log_start_offset, |it| it.base_offset);
        Ok(ProducerState::new(first.min(end)))
    }

    pub(super) fn snapshot_offsets(&self) -> Result<Vec<Offset>, StorageError> {
        let mut offsets = Vec::new();
        for entry in fs::read_dir(&self.dir).context("list", &self.dir)? {
            let entry = entry.context("list", &self.dir)?;
            let name = entry.file_name();
            offsets.extend(
                name.to_str()
                    .and_then(|name| offset_of_name(name, SNAPSHOT_SUFFIX)),
            );
        }
        offsets.sort_unstable();
        Ok(offsets)
    }

    /// Brings everything else in line with the log's start and end.
    fn finish_open(&mut self, options: OpenOptions) -> Result<(), StorageError> {
        let first = self.segments[0].base_offset;
        self.log_start_offset = options.log_start_offset.max(first);
        if self.log_end_offset < self.log_start_offset {
            tracing::warn!(
                partition = %self.topic_partition,
                log_end_offset = %self.log_end_offset,
                log_start_offset = %self.log_start_offset,
                "the log ends before its start: all segments are deleted"
            );
            return self.truncate_fully_and_start_at(self.log_start_offset, options.now);
        }
        self.active().load_indexes()?;
        self.leader_epochs_dirty |= self.leader_epochs.truncate_from_end(self.log_end_offset);
        self.leader_epochs_dirty |= self
            .leader_epochs
            .truncate_from_start(self.log_start_offset);
        self.producer_state
            .on_log_start_offset(self.log_start_offset);
        self.remove_stray_snapshots()
    }

    /// Keeps the snapshots of segments, and the newest one.
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
                remove_if_exists(&self.dir.join(file_name(offset, SNAPSHOT_SUFFIX)))?;
            }
        }
        Ok(())
    }
}

fn check_recovered(segment: &Segment, end: Offset, batch: &Batch<'_>) -> Result<(), BatchError> {
    let header = &batch.header;
    header.check_crc(batch.bytes)?;
    if header.base_offset < end || !segment.fits(header.last_offset()) {
        return Err(BatchError::InvalidOffsets {
            base_offset: header.base_offset.0,
            last_offset_delta: header.last_offset_delta,
        });
    }
    Ok(())
}

fn feed(state: &mut ProducerState, batch: &Batch<'_>) -> Option<crate::index::AbortedTxn> {
    let marker = batch
        .header
        .attributes
        .is_control()
        .then(|| ControlRecord::of(batch))
        .flatten();
    match marker {
        Some(ControlRecord::EndTxn(marker)) => state.update(&batch.header, Some(&marker)),
        _ => state.update(&batch.header, None),
    }
}

fn read_leader_epochs(dir: &Path) -> Result<LeaderEpochCache, StorageError> {
    let path = dir.join(LEADER_EPOCH_FILE);
    let Some(bytes) = read_if_exists(&path)? else {
        return Ok(LeaderEpochCache::default());
    };
    LeaderEpochCache::decode(&String::from_utf8_lossy(&bytes))
        .map_err(|text| StorageError::invalid("read", &path, text))
}
