//! One segment: a `.log` file with its indexes.
//!
//! The active segment has its indexes in memory. A closed one has them in files once it was
//! flushed, and looks entries up there. Positions and relative offsets must fit an i32: the caller
//! rolls in time (`fits`).

pub(crate) mod check;
pub(crate) mod damage;
pub(crate) mod files;
pub(crate) mod range;
pub(crate) mod read;
pub(crate) mod scan;
pub(crate) mod walk;

use std::path::Path;
use std::sync::{Arc, OnceLock};

use dohle_model::{Offset, Timestamp};
use dohle_storage::{Environment, File};

use crate::aborted::AbortedTxns;
use crate::batch::BatchHeader;
use crate::checkpoint::Sync;
use crate::config::LogConfig;
use crate::error::StorageError;
use crate::index::{self, OffsetEntry, TimeEntry};
use crate::open_files::OpenFiles;
use files::{INDEX_SUFFIX, LOG_SUFFIX, SegmentFiles, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX};
use read::{Anchor, Start};
use scan::Scan;
use walk::Headers;

/// The largest timestamp of a segment, and the last offset of the first batch that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaxTimestamp {
    pub(crate) timestamp: i64,
    pub(crate) offset: Offset,
}

/// The location of the offset and time index.
#[derive(Debug)]
enum Indexes {
    InMemory {
        offsets: Vec<OffsetEntry>,
        times: Vec<TimeEntry>,
    },
    OnDisk,
}

/// A batch that is being appended: its header, and its range in the appended bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PlacedBatch {
    pub(crate) header: BatchHeader,
    pub(crate) position: usize,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) files: Arc<SegmentFiles>,
    pub(crate) base_offset: Offset,
    pub(crate) size: u32,
    pub(crate) created: Timestamp,
    indexes: Indexes,
    pub(crate) aborted: AbortedTxns,
    max_timestamp: OnceLock<Option<MaxTimestamp>>,
    /// The largest timestamp of the first batch, from which time-based rolling counts.
    first_timestamp: Option<Timestamp>,
    bytes_since_index: u32,
    /// The last batch as an entry of the offset index; `None` if the index file has it.
    last_batch: Option<OffsetEntry>,
}

/// The content of a segment's index files.
#[derive(Debug)]
pub(crate) struct IndexBytes {
    pub(crate) offsets: Vec<u8>,
    pub(crate) times: Vec<u8>,
    pub(crate) aborted: Vec<u8>,
}

impl IndexBytes {
    pub(crate) fn write(&self, files: &SegmentFiles, sync: Sync) -> Result<(), StorageError> {
        files.write_index(INDEX_SUFFIX, &self.offsets, sync)?;
        files.write_index(TIME_INDEX_SUFFIX, &self.times, sync)?;
        // Kafka creates this file only when there are entries.
        match self.aborted.as_slice() {
            [] => files.remove(TXN_INDEX_SUFFIX),
            aborted => files.write_index(TXN_INDEX_SUFFIX, aborted, sync),
        }
    }
}

impl IndexBytes {
    /// Writes the offset and the time index.
    fn write_positions(&self, files: &SegmentFiles) -> Result<(), StorageError> {
        files.write_index(INDEX_SUFFIX, &self.offsets, Sync::No)?;
        files.write_index(TIME_INDEX_SUFFIX, &self.times, Sync::No)
    }
}

impl Segment {
    /// Creates a new, empty segment.
    pub(crate) fn create(
        dir: &Arc<Path>,
        base_offset: Offset,
        now: Timestamp,
        open_files: &Arc<OpenFiles>,
    ) -> Result<Self, StorageError> {
        let files = SegmentFiles::create(Arc::clone(dir), base_offset, open_files)?;
        Ok(Self::new(
            files,
            0,
            now,
            Indexes::InMemory {
                offsets: vec![],
                times: vec![],
            },
        ))
    }

    /// Creates an empty segment whose `.log` has another name until it replaces old segments.
    pub(crate) fn cleaned(
        dir: Arc<Path>,
        base_offset: Offset,
        log: Arc<dyn File>,
        environment: &Environment,
        created: Timestamp,
    ) -> Self {
        let indexes = Indexes::InMemory {
            offsets: vec![],
            times: vec![],
        };
        let files = SegmentFiles::with_log(dir, base_offset, log, environment);
        Self::new(files, 0, created, indexes)
    }

    fn new(files: SegmentFiles, size: u32, created: Timestamp, indexes: Indexes) -> Self {
        let max_timestamp = OnceLock::new();
        if size == 0 {
            let _ = max_timestamp.set(None);
        }
        Self {
            base_offset: files.base_offset(),
            files: Arc::new(files),
            size,
            created,
            indexes,
            aborted: AbortedTxns::default(),
            max_timestamp,
            first_timestamp: None,
            bytes_since_index: 0,
            last_batch: None,
        }
    }

    /// Opens a segment whose files exist. Its indexes stay in the files.
    pub(crate) fn open(
        dir: &Arc<Path>,
        base_offset: Offset,
        now: Timestamp,
        open_files: &Arc<OpenFiles>,
    ) -> Result<Self, StorageError> {
        let files = SegmentFiles::new_in(Arc::clone(dir), base_offset, Arc::clone(open_files));
        let size = files.log_size()?;
        let size = u32::try_from(size)
            .ok()
            .filter(|size| *size <= i32::MAX as u32);
        let path = files.path(LOG_SUFFIX);
        let size =
            size.ok_or_else(|| StorageError::invalid("open", &path, "the file has 2 GiB or more"))?;
        let mut segment = Self::new(files, size, now, Indexes::OnDisk);
        if let Some(bytes) = segment.files.read_index(TXN_INDEX_SUFFIX)? {
            segment.aborted = index::decode(&bytes).into_iter().collect();
        }
        Ok(segment)
    }

    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(self.indexes, Indexes::InMemory { .. })
    }

    /// Loads the indexes into memory, for appending. Loading stops at the first entry that cannot
    /// be valid, such as the zeros that Kafka preallocates; the others are compared with the
    /// batches when they are used.
    pub(crate) fn load_indexes(&mut self) -> Result<(), StorageError> {
        if self.is_in_memory() {
            return Ok(());
        }
        let size = self.size;
        let offsets = self.files.read_index(INDEX_SUFFIX)?.unwrap_or_default();
        let mut offsets: Vec<OffsetEntry> = index::decode(&offsets);
        let mut before: Option<OffsetEntry> = None;
        let whole = offsets.iter().take_while(|entry| {
            let before = before.replace(**entry);
            let rises = before.is_none_or(|before| {
                before.relative_offset < entry.relative_offset && before.position < entry.position
            });
            rises && entry.position < size && entry.relative_offset <= i32::MAX as u32
        });
        let whole = whole.count();
        offsets.truncate(whole);
        let times = self
            .files
            .read_index(TIME_INDEX_SUFFIX)?
            .unwrap_or_default();
        let mut times: Vec<TimeEntry> = index::decode(&times);
        let mut before: Option<i64> = None;
        let whole = times.iter().take_while(|entry| {
            let before = before.replace(entry.timestamp);
            before.is_none_or(|before| before < entry.timestamp)
                && entry.relative_offset <= i32::MAX as u32
        });
        let whole = whole.count();
        times.truncate(whole);
        self.indexes = Indexes::InMemory { offsets, times };
        Ok(())
    }

    /// Drops the indexes from memory, after they were written to their files.
    pub(crate) fn unload_indexes(&mut self) {
        self.indexes = Indexes::OnDisk;
        self.close_files();
    }

    /// Closes the files of a new segment that replaces old ones, and registers them with
    /// `open_files`.
    pub(crate) fn move_to(&mut self, open_files: &Arc<OpenFiles>) {
        self.files = Arc::new(self.files.moved_to(open_files));
    }

    /// Notes that the segment's directory was renamed to `dir`. The files stay open, unless a
    /// reader shares them.
    pub(crate) fn relocate(&mut self, dir: &Arc<Path>) {
        match Arc::get_mut(&mut self.files) {
            Some(files) => files.relocate(dir),
            None => self.files = Arc::new(self.files.closed_in(dir)),
        }
    }

    /// Closes open files, which are opened again when needed. Running reads keep them open.
    pub(crate) fn close_files(&self) {
        self.files.close();
    }

    /// Closes the segment for appends: adds its largest timestamp to the time index, and its last
    /// batch to the offset index, which proves that the batch existed if the file loses its end.
    pub(crate) fn seal(&mut self) -> Result<(), StorageError> {
        if let Some(max) = self.max_timestamp()? {
            self.push_time(max);
        }
        if let Some(last) = self.last_batch {
            self.push_offset(last);
        }
        Ok(())
    }

    /// Adds an entry to the offset index which shows that the file contained batches up to `end`,
    /// although it ends before them. Reads never use the entry, because those offsets are known to
    /// be damaged.
    pub(crate) fn index_missing(&mut self, end: Offset) {
        if let Some(last) = end.previous().filter(|last| self.fits(*last)) {
            self.push_offset(OffsetEntry {
                relative_offset: self.relative(last),
                position: self.size,
            });
        }
    }

    /// Returns the content of the index files; `None` when the files already have it.
    pub(crate) fn index_bytes(&self) -> Option<IndexBytes> {
        match &self.indexes {
            Indexes::OnDisk => None,
            Indexes::InMemory { offsets, times } => Some(IndexBytes {
                offsets: index::encode(offsets),
                times: index::encode(times),
                aborted: index::encode(&self.aborted),
            }),
        }
    }

    /// Returns whether `last_offset` can be written relative to the base offset.
    pub(crate) fn fits(&self, last_offset: Offset) -> bool {
        (0..=i64::from(i32::MAX)).contains(&last_offset.since(self.base_offset))
    }

    /// Returns whether the indexes have no room for another entry.
    pub(crate) fn indexes_full(&self, config: &LogConfig) -> bool {
        match &self.indexes {
            Indexes::OnDisk => false,
            Indexes::InMemory { offsets, times } => {
                let bytes = config.segment_index_bytes as usize;
                // One entry of each is reserved for sealing.
                offsets.len() + 1 >= bytes / 8 || times.len() + 1 >= bytes / 12
            }
        }
    }

    /// Returns the time that the records span, or that the segment has existed, by the rules of
    /// Kafka's `shouldRoll`.
    pub(crate) fn time_waited_for_roll(
        &mut self,
        now: Timestamp,
        max_timestamp: Option<Timestamp>,
    ) -> Result<i64, StorageError> {
        self.first_timestamp = self.first_batch_timestamp()?;
        Ok(match self.first_timestamp {
            Some(first) => Timestamp::to_wire(max_timestamp).saturating_sub(first.0),
            None => now.0.saturating_sub(self.created.0),
        })
    }

    /// Appends whole batches with one write. When the write fails, the file is truncated to its
    /// previous size, and the segment does not change.
    ///
    /// # Errors
    /// The error of the write; never [`StorageErrorKind::Full`](crate::StorageErrorKind::Full) when
    /// the file could not be truncated.
    pub(crate) fn append(
        &mut self,
        bytes: &[u8],
        batches: &[PlacedBatch],
        config: &LogConfig,
    ) -> Result<(), StorageError> {
        let end = u64::from(self.size) + bytes.len() as u64;
        assert!(
            end <= i32::MAX as u64,
            "a segment stays under 2 GiB, this one would have {end}"
        );
        if let Err(error) = self.files.write(bytes, u64::from(self.size)) {
            return Err(self.files.cut_torn_write(u64::from(self.size), error));
        }
        let start = self.size;
        let mut end_of_batch = 0;
        for batch in batches {
            assert_eq!(
                batch.position, end_of_batch,
                "the position of the batch at {} among those that are appended",
                batch.header.base_offset
            );
            assert!(
                self.fits(batch.header.last_offset()),
                "the batch at {} does not fit into the segment {}",
                batch.header.base_offset,
                self.base_offset
            );
            end_of_batch += batch.header.size as usize;
            self.note_batch(&batch.header, start + batch.position as u32, config);
        }
        assert_eq!(
            end_of_batch,
            bytes.len(),
            "bytes of the batches that were appended to the segment {}",
            self.base_offset
        );
        self.size = end as u32;
        Ok(())
    }

    /// Adds a batch to the indexes and to the largest timestamp.
    pub(crate) fn note_batch(&mut self, header: &BatchHeader, position: u32, config: &LogConfig) {
        if position == 0 {
            self.first_timestamp = header.max_timestamp;
        }
        let last_offset = header.last_offset();
        let known = self.max_timestamp.get().copied().flatten();
        if let Some(Timestamp(timestamp)) = header.max_timestamp
            && known.is_none_or(|max| timestamp > max.timestamp)
        {
            let max = MaxTimestamp {
                timestamp,
                offset: last_offset,
            };
            self.max_timestamp = OnceLock::from(Some(max));
        }
        let entry = OffsetEntry {
            relative_offset: self.relative(last_offset),
            position,
        };
        self.last_batch = Some(entry);
        if self.bytes_since_index > config.index_interval_bytes {
            if let Indexes::InMemory { offsets, .. } = &mut self.indexes {
                offsets.push(entry);
            }
            if let Some(max) = self.max_timestamp.get().copied().flatten() {
                self.push_time(max);
            }
            self.bytes_since_index = 0;
        }
        self.bytes_since_index = self.bytes_since_index.saturating_add(header.size);
    }

    fn relative(&self, offset: Offset) -> u32 {
        assert!(
            self.fits(offset),
            "offset {offset} fits the segment at {}",
            self.base_offset
        );
        offset.since(self.base_offset) as u32
    }

    fn push_offset(&mut self, entry: OffsetEntry) {
        if let Indexes::InMemory { offsets, .. } = &mut self.indexes
            && offsets
                .last()
                .is_none_or(|last| last.relative_offset < entry.relative_offset)
        {
            offsets.push(entry);
        }
    }

    fn push_time(&mut self, max: MaxTimestamp) {
        let relative_offset = self.relative(max.offset);
        if let Indexes::InMemory { times, .. } = &mut self.indexes
            && times
                .last()
                .is_none_or(|last| last.timestamp < max.timestamp)
        {
            times.push(TimeEntry {
                timestamp: max.timestamp,
                relative_offset,
            });
        }
    }

    /// Returns the largest timestamp if it is in memory.
    pub(crate) fn known_max_timestamp(&self) -> Option<Option<Timestamp>> {
        let known = match (self.max_timestamp.get(), &self.indexes) {
            (Some(known), _) => known.map(|max| max.timestamp),
            (None, Indexes::InMemory { times, .. }) => times.last().map(|last| last.timestamp),
            (None, Indexes::OnDisk) => return None,
        };
        Some(known.map(Timestamp))
    }

    /// Returns the largest timestamp. For a closed segment it is read from the file at the first
    /// call.
    pub(crate) fn max_timestamp(&self) -> Result<Option<MaxTimestamp>, StorageError> {
        if let Some(known) = self.max_timestamp.get() {
            return Ok(*known);
        }
        let max = match &self.indexes {
            Indexes::InMemory { times, .. } => times.last().map(|last| self.max_of(*last)),
            Indexes::OnDisk => self.max_timestamp_of_files()?,
        };
        Ok(*self.max_timestamp.get_or_init(|| max))
    }

    /// Returns the timestamp in the time index if a batch confirms it, otherwise the largest one of
    /// the batches. Retention depends on it.
    fn max_timestamp_of_files(&self) -> Result<Option<MaxTimestamp>, StorageError> {
        let last = self.last_entry::<TimeEntry>(TIME_INDEX_SUFFIX)?;
        if let Some(max) = last.map(|last| self.max_of(last))
            && self.has_timestamp(max)?
        {
            return Ok(Some(max));
        }
        let mut max: Option<MaxTimestamp> = None;
        let mut headers = Headers::new(&self.files, 0, u64::from(self.size));
        while let Some((_, header)) = headers.next()? {
            if let Some(Timestamp(timestamp)) = header.max_timestamp
                && max.is_none_or(|max| timestamp > max.timestamp)
            {
                let offset = header.last_offset();
                max = Some(MaxTimestamp { timestamp, offset });
            }
        }
        Ok(max)
    }

    fn max_of(&self, entry: TimeEntry) -> MaxTimestamp {
        MaxTimestamp {
            timestamp: entry.timestamp,
            offset: index::absolute(self.base_offset, entry.relative_offset),
        }
    }

    /// Returns the largest timestamp of the first batch, from which `max.compaction.lag.ms` counts.
    pub(crate) fn first_batch_timestamp(&self) -> Result<Option<Timestamp>, StorageError> {
        if self.first_timestamp.is_some() || self.size == 0 {
            return Ok(self.first_timestamp);
        }
        let mut scan = Scan::headers(&self.files, 0, u64::from(self.size));
        let first = scan
            .next_header()
            .map_err(|error| error.into_storage(&self.files))?;
        Ok(first.and_then(|(_, header)| header.max_timestamp))
    }

    /// Returns the start of a read of `offset`: the place where a previous read ended, or else the
    /// result of [`Segment::start_for`].
    pub(crate) fn start_for_read(&self, offset: Offset) -> Start {
        self.files
            .hint(offset)
            .map_or_else(|| self.start_for(offset), Start::Exactly)
    }

    /// Returns a batch from which the search for the end of a read may begin: at most `bytes` after
    /// `start` and below `upper_bound`.
    pub(crate) fn anchor(&self, start: Start, bytes: usize, upper_bound: Offset) -> Anchor {
        let Indexes::InMemory { offsets, .. } = &self.indexes else {
            return Anchor::OnDisk;
        };
        let (Start::Exactly(position) | Start::At { position, .. }) = start else {
            return Anchor::Known(None);
        };
        let limit = position.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
        let upper = upper_bound.since(self.base_offset);
        Anchor::Known(index::floor(offsets, |entry| {
            entry.position < limit && i64::from(entry.relative_offset) < upper
        }))
    }

    /// Returns the start of a search for `offset`.
    pub(crate) fn start_for(&self, offset: Offset) -> Start {
        let relative = offset.since(self.base_offset);
        match &self.indexes {
            Indexes::OnDisk => Start::ByOffset(offset),
            Indexes::InMemory { offsets, .. } => {
                let entry = index::floor(offsets, |entry| {
                    i64::from(entry.relative_offset) <= relative
                });
                let position = entry.map_or(0, |entry| entry.position);
                Start::At { position, offset }
            }
        }
    }

    /// Returns the start of a search for the first record at `timestamp` or later.
    pub(crate) fn start_for_timestamp(&self, timestamp: Timestamp) -> Start {
        match &self.indexes {
            Indexes::OnDisk => Start::ByTimestamp(timestamp),
            Indexes::InMemory { times, .. } => {
                let entry = index::floor(times, |entry| entry.timestamp <= timestamp.0);
                let offset = entry.map_or(0, |entry| entry.relative_offset);
                self.start_for(index::absolute(self.base_offset, offset))
            }
        }
    }

    /// Adds the batch at `position` to the offset index with its first offset, so that no search
    /// for it passes the damaged bytes before it.
    pub(crate) fn index_start_of(&mut self, header: &BatchHeader, position: u32) {
        self.push_offset(OffsetEntry {
            relative_offset: self.relative(header.base_offset),
            position,
        });
        self.bytes_since_index = 0;
    }

    /// Rebuilds the offset and the time index from the headers of a closed segment. It needs only
    /// the files, so that any reader may call it.
    pub(crate) fn rebuild_index_files(files: &SegmentFiles, size: u32) -> Result<(), StorageError> {
        let own = SegmentFiles::new(files.dir(), files.base_offset(), files.environment());
        let mut built = Self::new(own, size, Timestamp(0), Indexes::OnDisk);
        built.reset_indexes();
        let config = LogConfig::default();
        let mut headers = Headers::new(files, 0, u64::from(size));
        while let Some((position, header)) = headers.next()? {
            if built.fits(header.last_offset()) {
                built.note_batch(&header, position as u32, &config);
            }
        }
        built.seal()?;
        match built.index_bytes() {
            Some(indexes) => indexes.write_positions(files),
            None => Ok(()),
        }
    }

    /// Resets the in-memory state. The caller then calls `note_batch` for every batch of the file.
    pub(crate) fn reset_indexes(&mut self) {
        self.indexes = Indexes::InMemory {
            offsets: vec![],
            times: vec![],
        };
        self.aborted.clear();
        self.max_timestamp = OnceLock::from(None);
        self.first_timestamp = None;
        self.bytes_since_index = 0;
        self.last_batch = None;
    }

    /// Truncates the file to `size`.
    pub(crate) fn cut(&mut self, size: u32) -> Result<(), StorageError> {
        self.files.set_len(u64::from(size))?;
        self.size = size;
        Ok(())
    }

    /// Removes all batches that end at or above `offset`. Returns the new end offset.
    pub(crate) fn truncate_to(
        &mut self,
        offset: Offset,
        now: Timestamp,
    ) -> Result<Offset, StorageError> {
        self.load_indexes()?;
        let files = Arc::clone(&self.files);
        let start = self.start_for(offset).position(&files, self.size)?;
        let mut headers = Headers::new(&files, u64::from(start), u64::from(self.size));
        let mut cut_at = start;
        while let Some((position, header)) = headers.next()? {
            if header.last_offset() >= offset {
                break;
            }
            // Damaged bytes after the last remaining batch are removed too.
            cut_at = position as u32 + header.size;
        }
        let relative = offset.since(self.base_offset);
        if let Indexes::InMemory { offsets, times } = &mut self.indexes {
            offsets.retain(|entry| {
                i64::from(entry.relative_offset) < relative && entry.position < cut_at
            });
            times.retain(|entry| i64::from(entry.relative_offset) < relative);
        }
        self.aborted.truncate_to(offset);
        self.cut(cut_at)?;
        // Without the index files the next start rebuilds them from the records.
        for suffix in [INDEX_SUFFIX, TIME_INDEX_SUFFIX] {
            files.remove(suffix)?;
        }
        if cut_at == 0 {
            self.created = now;
            self.first_timestamp = None;
        }
        self.bytes_since_index = 0;
        self.rescan_tail()
    }

    /// Determines end and largest timestamp again, from the last index entries on.
    fn rescan_tail(&mut self) -> Result<Offset, StorageError> {
        let last_time = match &self.indexes {
            Indexes::InMemory { times, .. } => times.last().copied(),
            Indexes::OnDisk => None,
        };
        let time_start = match last_time {
            Some(last) => {
                let offset = index::absolute(self.base_offset, last.relative_offset);
                self.start_for(offset).position(&self.files, self.size)?
            }
            None => 0,
        };
        let mut max = last_time.map(|last| self.max_of(last));
        let mut next = self.base_offset;
        self.last_batch = None;
        let files = Arc::clone(&self.files);
        let mut headers = Headers::new(&files, u64::from(time_start), u64::from(self.size));
        while let Some((position, header)) = headers.next()? {
            next = header.next_offset();
            self.last_batch = Some(OffsetEntry {
                relative_offset: self.relative(header.last_offset()),
                position: position as u32,
            });
            if let Some(Timestamp(timestamp)) = header.max_timestamp
                && max.is_none_or(|max| timestamp > max.timestamp)
            {
                max = Some(MaxTimestamp {
                    timestamp,
                    offset: header.last_offset(),
                });
            }
        }
        self.max_timestamp = OnceLock::from(max);
        Ok(next)
    }
}
