//! Runs a cleaning without the log's lock: first it builds the map, then it writes the new segments
//! one after the other.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;

use dohle_model::{Offset, Timestamp, TopicPartition};
use dohle_storage::{Directory, Environment};

use super::LastOfProducers;
use super::files::CleanedFiles;
use super::filter::{Filter, Filtered};
use super::group::{Bounds, Measure, group};
use super::offset_map::OffsetMap;
use super::transactions::Transactions;
use crate::batch::{Batch, BatchError, BatchHeader};
use crate::compression::DecompressionMemory;
use crate::config::LogConfig;
use crate::damage::Damage;
use crate::error::StorageError;
use crate::index::AbortedTxn;
use crate::segment::files::{INDEX_SUFFIX, LOG_SUFFIX, SegmentFiles, TIME_INDEX_SUFFIX};
use crate::segment::read::Start;
use crate::segment::scan::{Scan, ScanError};
use crate::segment::{PlacedBatch, Segment};

/// A callback that is called with each number of bytes read or written. It may wait, and returns
/// whether the cleaning continues.
pub type Throttle<'a> = &'a mut dyn FnMut(u64) -> bool;

/// The resources that one cleaning may use.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CleanerLimits {
    /// Bytes of memory for the map of newest offsets: the cleaning's share of
    /// `log.cleaner.dedupe.buffer.size`. A key takes 24 bytes.
    pub dedupe_buffer_bytes: usize,
    /// `log.cleaner.io.buffer.load.factor`: the share of that memory that may be used, 0 to 1.
    pub load_factor: f64,
    /// Bytes that are read or written at a time: the cleaning's share of
    /// `log.cleaner.io.buffer.size`.
    pub io_buffer_bytes: usize,
}

/// The reason why a cleaning ended early. The segment that was being cleaned has not changed;
/// segments replaced earlier remain replaced.
#[derive(Debug, thiserror::Error)]
pub enum CleanError {
    /// A file operation failed. If the log was truncated or closed meanwhile, such an error is
    /// expected; otherwise the log directory goes offline.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The caller stopped the cleaning.
    #[error("the cleaning was stopped")]
    Stopped,
    /// The log has content that cannot be cleaned. Another attempt would fail in the same way.
    #[error("{0}")]
    Uncleanable(String),
}

/// The figures of a cleaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CleanStats {
    /// Bytes of the segments that were read. Dirty segments count twice.
    pub bytes_read: u64,
    /// Bytes written to new segments.
    pub bytes_written: u64,
    /// Records in the segments that were read.
    pub records_read: u64,
    /// Records that were kept.
    pub records_kept: u64,
    /// Records without a key, which were removed.
    pub records_without_key: u64,
    /// The number of different keys in the dirty part.
    pub keys: u64,
}

/// A closed segment to be cleaned.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source {
    pub(crate) base_offset: Offset,
    pub(crate) size: u32,
    /// The base offset of the segment after it.
    pub(crate) end_offset: Offset,
}

/// The part of a log's state that a cleaning needs.
#[derive(Debug)]
pub struct Cleaning {
    pub(crate) dir: Arc<Path>,
    pub(crate) environment: Environment,
    pub(crate) handle: Arc<dyn Directory>,
    pub(crate) topic_partition: TopicPartition,
    pub(crate) config: Arc<LogConfig>,
    /// All segments below `bound`, oldest first.
    pub(crate) sources: Vec<Source>,
    /// The first offset that no earlier cleaning has processed.
    pub(crate) first_dirty: Offset,
    /// The end of the part that may be cleaned; the base offset of a segment.
    pub(crate) bound: Offset,
    pub(crate) aborted: Vec<AbortedTxn>,
    pub(crate) producers: LastOfProducers,
    pub(crate) now: Timestamp,
    pub(crate) generation: u64,
    /// The memory for decompressing batches.
    pub(crate) memory: Arc<DecompressionMemory>,
    /// Held for the lifetime of this value, so that the log starts no other cleaning.
    pub(crate) _token: Arc<()>,
}

/// Identifies a cleaning of a log, for [`crate::Log::is_current`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleaningId {
    pub(crate) generation: u64,
    /// The base offset of the first segment that the cleaning reads.
    pub(crate) first: Offset,
}

/// A new segment that is complete and can replace old ones.
#[derive(Debug)]
pub struct CleanedSegment {
    pub(crate) files: CleanedFiles,
    pub(crate) segment: Segment,
    /// The base offsets of the old segments, oldest first. The first is also that of the new
    /// segment.
    pub(crate) replaces: Vec<Offset>,
    pub(crate) generation: u64,
    /// The damaged ranges of the old segments that are repaired in the new one.
    pub(crate) damage: Vec<Damage>,
    /// The reason for replacing the old segments, for log lines.
    pub(crate) reason: &'static str,
}

impl CleanedSegment {
    /// Returns the base offset of the new segment, which is that of the first segment it replaces.
    #[must_use]
    pub fn base_offset(&self) -> Offset {
        self.segment.base_offset
    }
}

/// A cleaning whose map is complete.
#[derive(Debug)]
pub struct Cleaner {
    cleaning: Cleaning,
    filter: Filter,
    transactions: Transactions,
    groups: VecDeque<Vec<Source>>,
    end_offset: Offset,
    io_buffer: usize,
    stats: CleanStats,
}

impl Cleaning {
    /// Returns the identity of this cleaning.
    #[must_use]
    pub fn id(&self) -> CleaningId {
        CleaningId {
            generation: self.generation,
            first: self.sources[0].base_offset,
        }
    }

    /// Returns the files of a segment to be cleaned.
    fn files_of(&self, source: Source) -> SegmentFiles {
        SegmentFiles::new(Arc::clone(&self.dir), source.base_offset, &self.environment)
    }

    /// Returns the first offset that no earlier cleaning has processed.
    #[must_use]
    pub fn first_dirty_offset(&self) -> Offset {
        self.first_dirty
    }

    /// Uses the node's memory for decompression instead of the cleaning's own.
    #[must_use]
    pub fn with_memory(self, memory: Arc<DecompressionMemory>) -> Self {
        Self { memory, ..self }
    }

    /// Reads the dirty part and maps each key to its newest offset, until the memory is used up.
    ///
    /// # Errors
    /// [`CleanError`].
    pub fn index(
        mut self,
        limits: CleanerLimits,
        throttle: Throttle<'_>,
    ) -> Result<Cleaner, CleanError> {
        let keys = u64::try_from(self.bound.since(self.first_dirty)).unwrap_or(0);
        let map = OffsetMap::new(
            keys,
            limits.dedupe_buffer_bytes,
            limits.load_factor,
            &*self.environment.entropy,
        );
        let map = map.ok_or_else(|| {
            CleanError::Uncleanable(format!(
                "{} bytes have no room for one key: raise log.cleaner.dedupe.buffer.size or lower \
                 log.cleaner.threads",
                limits.dedupe_buffer_bytes
            ))
        })?;
        let mut cleaner = Cleaner {
            filter: Filter {
                map,
                latest: None,
                now: self.now,
                delete_retention: self.config.delete_retention_ms,
                producers: std::mem::take(&mut self.producers),
                bound: self.bound,
                memory: Arc::clone(&self.memory),
            },
            transactions: Transactions::new(self.aborted.clone()),
            groups: VecDeque::new(),
            end_offset: self.first_dirty,
            io_buffer: limits.io_buffer_bytes.max(4 << 10),
            stats: CleanStats::default(),
            cleaning: self,
        };
        cleaner.build_map(throttle)?;
        cleaner.stats.keys = cleaner.filter.map.len() as u64;
        cleaner.groups = cleaner.grouped()?;
        Ok(cleaner)
    }
}

impl Cleaner {
    /// Returns the offset where the next cleaning begins, once all segments of this one have
    /// replaced the old ones.
    #[must_use]
    pub fn end_offset(&self) -> Offset {
        self.end_offset
    }

    /// Returns the figures of the cleaning so far.
    #[must_use]
    pub fn stats(&self) -> CleanStats {
        self.stats
    }

    /// Returns the identity of this cleaning.
    #[must_use]
    pub fn id(&self) -> CleaningId {
        self.cleaning.id()
    }

    fn build_map(&mut self, throttle: Throttle<'_>) -> Result<(), CleanError> {
        let first_dirty = self.cleaning.first_dirty;
        let aborted = self.cleaning.aborted.iter();
        let aborted = aborted.filter(|txn| txn.last_offset >= first_dirty);
        let mut transactions = Transactions::new(aborted.copied().collect());
        for source in self.cleaning.sources.clone() {
            if source.end_offset <= first_dirty {
                continue;
            }
            let files = self.cleaning.files_of(source);
            let start = Start::ByOffset(first_dirty.max(source.base_offset));
            let start = start.position(&files, source.size)?;
            let mut scan = Scan::batches(&files, u64::from(start), u64::from(source.size))
                .with_chunk(self.io_buffer);
            while let Some(is_full) =
                self.next(&mut scan, source, throttle, |cleaner, batch, _| {
                    cleaner.map_batch(batch, &mut transactions)
                })?
            {
                if is_full {
                    return Ok(());
                }
            }
            self.end_offset = source.end_offset;
            self.filter.latest = source.end_offset.previous();
        }
        Ok(())
    }

    /// Adds the keys of a batch to the map. Returns whether the map is full.
    fn map_batch(
        &mut self,
        batch: &Batch<'_>,
        transactions: &mut Transactions,
    ) -> Result<bool, BatchError> {
        let header = &batch.header;
        let first_dirty = self.cleaning.first_dirty;
        if header.attributes.is_control() {
            transactions.on_control(batch);
        } else if !transactions.on_data(header) && header.last_offset() >= first_dirty {
            let memory = Arc::clone(&self.filter.memory);
            let mut records = batch.stream(&memory)?;
            while let Some(record) = records.next_record()? {
                let Some(key) = record.key.filter(|_| record.offset >= first_dirty) else {
                    continue;
                };
                if !self.filter.map.put(key, record.offset) {
                    return Ok(true);
                }
                self.cover(record.offset);
            }
        }
        if header.last_offset() >= first_dirty {
            self.cover(header.last_offset());
        }
        Ok(false)
    }

    fn cover(&mut self, offset: Offset) {
        self.filter.latest = Some(offset);
        self.end_offset = offset.plus(1);
    }

    /// Groups the segments with records that the map covers.
    fn grouped(&self) -> Result<VecDeque<Vec<Source>>, CleanError> {
        let sources = &self.cleaning.sources;
        let count = sources.partition_point(|source| source.base_offset < self.end_offset);
        let mut measures = Vec::with_capacity(count);
        for source in &sources[..count] {
            let files = self.cleaning.files_of(*source);
            measures.push(Measure {
                base_offset: source.base_offset,
                end_offset: source.end_offset,
                size: u64::from(source.size),
                index_size: files.size_of(INDEX_SUFFIX)?,
                time_index_size: files.size_of(TIME_INDEX_SUFFIX)?,
            });
        }
        let bounds = Bounds {
            segment_bytes: u64::from(self.cleaning.config.segment_bytes).min(i32::MAX as u64),
            index_bytes: u64::from(self.cleaning.config.segment_index_bytes),
        };
        let groups = group(&measures, bounds);
        Ok(groups
            .into_iter()
            .map(|range| sources[range].to_vec())
            .collect())
    }

    /// Cleans the next group of segments. The new segment is on the disk, and has no effect until
    /// [`crate::Log::replace_segments`]. Returns `None` when all groups are done. Segments in which
    /// nothing changes are skipped.
    ///
    /// # Errors
    /// [`CleanError`].
    pub fn next_segment(
        &mut self,
        throttle: Throttle<'_>,
    ) -> Result<Option<CleanedSegment>, CleanError> {
        while let Some(sources) = self.groups.pop_front() {
            if let Some(cleaned) = self.clean_group(&sources, throttle)? {
                return Ok(Some(cleaned));
            }
        }
        Ok(None)
    }

    fn clean_group(
        &mut self,
        sources: &[Source],
        throttle: Throttle<'_>,
    ) -> Result<Option<CleanedSegment>, CleanError> {
        let dir = Arc::clone(&self.cleaning.dir);
        let base_offset = sources[0].base_offset;
        let handle = Arc::clone(&self.cleaning.handle);
        let files = CleanedFiles::new(handle, Arc::clone(&dir), base_offset);
        let log = files.create(LOG_SUFFIX)?;
        let mut writer = Writer::new(
            Segment::cleaned(
                dir,
                base_offset,
                log,
                &self.cleaning.environment,
                self.cleaning.now,
            ),
            Arc::clone(&self.cleaning.config),
            self.io_buffer,
        );
        let mut changed = sources.len() > 1;
        let mut modified = None;
        for source in sources {
            let old = self.cleaning.files_of(*source);
            let mut scan =
                Scan::batches(&old, 0, u64::from(source.size)).with_chunk(self.io_buffer);
            while let Some(filtered) =
                self.next(&mut scan, *source, throttle, |cleaner, batch, _| {
                    let start = writer.buffer.len();
                    let filtered = cleaner.filter.apply(
                        batch,
                        &mut cleaner.transactions,
                        &mut writer.buffer,
                    )?;
                    writer.placed(start)?;
                    cleaner.stats.records_read += batch.header.record_count as u64;
                    Ok(filtered)
                })?
            {
                changed |= filtered.changed;
                self.note(&filtered, &mut writer.segment);
                self.stats.bytes_written += writer.flush_if_full(throttle)?;
            }
            modified = Some(old.modified()?);
        }
        self.stats.bytes_written += writer.flush(throttle)?;
        if !changed {
            return Ok(None);
        }
        let segment = writer.finish(&files, modified)?;
        Ok(Some(CleanedSegment {
            files,
            segment,
            replaces: sources.iter().map(|source| source.base_offset).collect(),
            generation: self.cleaning.generation,
            damage: Vec::new(),
            reason: "its records were compacted",
        }))
    }

    fn note(&mut self, filtered: &Filtered, segment: &mut Segment) {
        segment.aborted.extend(filtered.aborted);
        self.stats.records_kept += u64::from(filtered.kept_records);
        self.stats.records_without_key += u64::from(filtered.without_key);
    }

    /// Passes the next batch of a segment, whose checksum is valid, to `visit`. Returns `None` at
    /// the end.
    fn next<T>(
        &mut self,
        scan: &mut Scan<'_>,
        source: Source,
        throttle: Throttle<'_>,
        visit: impl FnOnce(&mut Self, &Batch<'_>, u64) -> Result<T, BatchError>,
    ) -> Result<Option<T>, CleanError> {
        let mut result = None;
        let before = scan.position();
        let next = scan.next_batch(|position, batch| {
            batch.header.check_crc(batch.bytes)?;
            result = Some(visit(self, batch, position)?);
            Ok(())
        });
        match next {
            Ok(_) => {}
            Err(ScanError::Storage(error)) => return Err(error.into()),
            Err(ScanError::Batch { position, error }) => {
                return Err(CleanError::Uncleanable(format!(
                    "{} of the segment at {} cannot be cleaned: byte {position}: {error}",
                    self.cleaning.topic_partition, source.base_offset
                )));
            }
        }
        let bytes = scan.position() - before;
        self.stats.bytes_read += bytes;
        if bytes > 0 && !throttle(bytes) {
            return Err(CleanError::Stopped);
        }
        Ok(result)
    }
}

/// Writes a new segment.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) segment: Segment,
    config: Arc<LogConfig>,
    buffer: Vec<u8>,
    batches: Vec<PlacedBatch>,
    buffer_max: usize,
}

impl Writer {
    /// Creates a writer to `segment`, whose file is empty. It writes once `buffer_max` bytes have
    /// been collected.
    pub(crate) fn new(segment: Segment, config: Arc<LogConfig>, buffer_max: usize) -> Self {
        Self {
            segment,
            config,
            buffer: Vec::new(),
            batches: Vec::new(),
            buffer_max,
        }
    }

    /// Adds a whole batch to the buffer.
    pub(crate) fn put(&mut self, batch: &[u8]) -> Result<(), BatchError> {
        let start = self.buffer.len();
        self.buffer.extend_from_slice(batch);
        self.placed(start)
    }

    /// Records the batch that was appended to the buffer from `start` on, if any.
    fn placed(&mut self, start: usize) -> Result<(), BatchError> {
        if self.buffer.len() > start {
            let header = BatchHeader::parse(&self.buffer[start..])?;
            let position = start;
            self.batches.push(PlacedBatch { header, position });
        }
        Ok(())
    }

    pub(crate) fn flush_if_full(&mut self, throttle: Throttle<'_>) -> Result<u64, CleanError> {
        if self.buffer.len() < self.buffer_max {
            return Ok(0);
        }
        self.flush(throttle)
    }

    /// Writes the buffer. Returns the number of bytes written.
    pub(crate) fn flush(&mut self, throttle: Throttle<'_>) -> Result<u64, CleanError> {
        let size = self.buffer.len() as u64;
        if size == 0 {
            return Ok(0);
        }
        let base = self.segment.base_offset;
        let last = self.batches.last().map(|batch| batch.header.last_offset());
        if u64::from(self.segment.size) + size > i32::MAX as u64
            || last.is_some_and(|last| !self.segment.fits(last))
        {
            let text = format!("the cleaned segment at {base} would be too large for its index");
            return Err(CleanError::Uncleanable(text));
        }
        self.segment
            .append(&self.buffer, &self.batches, &self.config)?;
        self.buffer.clear();
        self.batches.clear();
        if throttle(size) {
            Ok(size)
        } else {
            Err(CleanError::Stopped)
        }
    }

    /// Writes the indexes, and forces all files to the disk.
    pub(crate) fn finish(
        mut self,
        files: &CleanedFiles,
        modified: Option<Timestamp>,
    ) -> Result<Segment, StorageError> {
        self.segment.seal()?;
        if let Some(indexes) = self.segment.index_bytes() {
            files.write_indexes(&indexes)?;
        }
        // Retention of a segment without timestamps uses the modification time of its file.
        if let Some(modified) = modified {
            self.segment.files.set_modified(modified)?;
        }
        self.segment.files.sync_log()?;
        files.sync_names()?;
        Ok(self.segment)
    }
}
