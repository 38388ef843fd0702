//! Reads from a segment, planned under the log's lock and run outside it.

use std::sync::Arc;

use bytes::Bytes;
use dohle_model::{Offset, Timestamp};

use super::files::{INDEX_SUFFIX, LOG_SUFFIX, SegmentFiles, TIME_INDEX_SUFFIX};
use super::scan::{Scan, ScanError};
use crate::batch::{BatchError, BatchHeader, Batches};
use crate::error::StorageError;
use crate::index::{self, OffsetEntry, TimeEntry};

/// Where a search in a file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// At this batch, which is the one that is looked for.
    Exactly(u32),
    /// At this batch.
    At(u32),
    /// At what the index file says of an offset.
    ByOffset(Offset),
    /// At what the index files say of a timestamp.
    ByTimestamp(Timestamp),
}

impl Start {
    /// The position of a batch at or before the one that is looked for.
    pub(crate) fn position(self, files: &SegmentFiles) -> Result<u32, StorageError> {
        match self {
            Self::Exactly(position) | Self::At(position) => Ok(position),
            Self::ByOffset(offset) => {
                let relative = offset.since(files.base_offset());
                Self::by_relative_offset(files, relative)
            }
            Self::ByTimestamp(timestamp) => {
                let Some((file, path)) = files.open_index(TIME_INDEX_SUFFIX)? else {
                    return Ok(0);
                };
                let entry = index::floor_in_file::<TimeEntry>(&file, &path, |entry| {
                    entry.timestamp <= timestamp.0
                })?;
                let relative = entry.map_or(0, |entry| entry.relative_offset);
                Self::by_relative_offset(files, i64::from(relative))
            }
        }
    }

    fn by_relative_offset(files: &SegmentFiles, relative: i64) -> Result<u32, StorageError> {
        // Retention may have renamed the index since; then the search begins at the start.
        let Some((file, path)) = files.open_index(INDEX_SUFFIX)? else {
            return Ok(0);
        };
        let entry = index::floor_in_file::<OffsetEntry>(&file, &path, |entry| {
            i64::from(entry.relative_offset) <= relative
        })?;
        Ok(entry.map_or(0, |entry| entry.position))
    }
}

/// How much to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// At most this many bytes, whole batches only.
    pub max_bytes: usize,
    /// Only batches that end below this offset: the high watermark, the last stable offset, or
    /// `Offset(i64::MAX)`.
    pub upper_bound: Offset,
    /// The first batch is read even when it alone exceeds `max_bytes`.
    pub min_one: bool,
}

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadInfo {
    /// Whole batches. The first may begin below the offset that was asked for, as in Kafka. Empty
    /// when nothing is there, or the first batch is too large.
    pub records: Bytes,
    /// The offset after the last batch; the offset that was asked for when there is none.
    pub next_offset: Offset,
    /// Whether the first batch was too large for `max_bytes`.
    pub first_entry_incomplete: bool,
}

impl ReadInfo {
    pub(crate) fn empty(next_offset: Offset) -> Self {
        Self {
            records: Bytes::new(),
            next_offset,
            first_entry_incomplete: false,
        }
    }
}

/// A segment as a read sees it.
#[derive(Debug, Clone)]
pub(crate) struct SegmentView {
    pub(crate) files: Arc<SegmentFiles>,
    pub(crate) start: Start,
    /// Bytes of the file when the read was planned.
    pub(crate) end: u32,
    /// [`SegmentFiles::truncations`] when the read was planned.
    pub(crate) truncations: u32,
}

impl SegmentView {
    /// The next batch that `wanted` wants. A file that was cut since the read was planned may hold
    /// anything at its positions: that is no error, the read just finds nothing.
    fn find(
        &self,
        scan: &mut Scan<'_>,
        wanted: impl Fn(&BatchHeader) -> bool,
    ) -> Result<Option<(u64, BatchHeader)>, StorageError> {
        loop {
            match scan.next_header() {
                Ok(Some((position, header))) if wanted(&header) => {
                    return Ok(Some((position, header)));
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(None),
                Err(ScanError::Batch { .. }) if self.is_stale() => return Ok(None),
                Err(error) => return Err(error.into_storage(&self.files)),
            }
        }
    }

    /// Where the search begins. An index that was looked up by name may be that of a new segment by
    /// now, which compaction put there: then the search begins at the start of the old one.
    fn start_position(&self) -> Result<u32, StorageError> {
        match self.start {
            Start::Exactly(position) | Start::At(position) => Ok(position),
            by_index => {
                let position = by_index.position(&self.files)?;
                Ok(if self.is_stale() { 0 } else { position })
            }
        }
    }

    /// At most `max` bytes from `position` on, as far as the file went.
    fn length(&self, position: u32, max: usize) -> usize {
        max.min(self.end.saturating_sub(position) as usize)
    }

    fn is_stale(&self) -> bool {
        self.files.truncations() != self.truncations
    }
}

/// A read that needs no lock any more. A truncation meanwhile may cut it short; the caller checks
/// the leader epoch afterwards where that matters.
#[derive(Debug)]
pub struct ReadPlan {
    pub(crate) offset: Offset,
    pub(crate) limits: ReadLimits,
    /// The segment that holds the offset and, as compaction may have emptied its end, the next
    /// ones.
    pub(crate) segments: Vec<SegmentView>,
}

impl ReadPlan {
    /// Reads.
    ///
    /// # Errors
    /// When a file cannot be read or holds no batches where its index says.
    pub fn read(&self) -> Result<ReadInfo, StorageError> {
        for view in &self.segments {
            if let Some(info) = self.read_segment(view)? {
                return Ok(info);
            }
        }
        Ok(ReadInfo::empty(self.offset))
    }

    /// `None` when the segment ends before the offset.
    fn read_segment(&self, view: &SegmentView) -> Result<Option<ReadInfo>, StorageError> {
        let max_bytes = self.limits.max_bytes;
        let mut bytes = Vec::new();
        let mut found = None;
        if let Start::Exactly(position) = view.start {
            bytes = view
                .files
                .read(u64::from(position), view.length(position, max_bytes))?;
            let first = BatchHeader::parse(&bytes).ok();
            found = first
                .filter(|first| first.base_offset == self.offset)
                .map(|it| (position, it));
        }
        let Some((position, first)) =
            found.map_or_else(|| self.find_first(view), |it| Ok(Some(it)))?
        else {
            return Ok(None);
        };
        let empty = ReadInfo::empty(self.offset);
        if first.next_offset() > self.limits.upper_bound {
            return Ok(Some(empty));
        }
        let first_size = first.size as usize;
        if first_size > max_bytes && !self.limits.min_one {
            return Ok(Some(ReadInfo {
                first_entry_incomplete: true,
                ..empty
            }));
        }
        if found.is_none() || bytes.len() < first_size {
            let length = view.length(position, max_bytes.max(first_size));
            bytes = view.files.read(u64::from(position), length)?;
        }
        let (kept, next_offset) = self.whole_batches(&bytes);
        bytes.truncate(kept);
        if bytes.capacity() > 2 * kept + 4096 {
            // Little of what was asked for is there or allowed: don't hold on to the rest.
            bytes.shrink_to_fit();
        }
        let next_offset = next_offset.unwrap_or(self.offset);
        if kept > 0 {
            let end = (next_offset, position + kept as u32);
            view.files.remember(self.offset, end, view.truncations);
        }
        Ok(Some(ReadInfo {
            records: bytes.into(),
            next_offset,
            first_entry_incomplete: false,
        }))
    }

    fn find_first(&self, view: &SegmentView) -> Result<Option<(u32, BatchHeader)>, StorageError> {
        let start = u64::from(view.start_position()?);
        let mut scan = Scan::headers(&view.files, start, u64::from(view.end));
        let found = view.find(&mut scan, |header| header.last_offset() >= self.offset)?;
        Ok(found.map(|(position, header)| (position as u32, header)))
    }

    /// Bytes of the batches that are whole and below the upper bound, and the offset after them.
    fn whole_batches(&self, bytes: &[u8]) -> (usize, Option<Offset>) {
        let mut kept = 0;
        let mut next_offset = None;
        for batch in Batches::new(bytes).map_while(Result::ok) {
            if batch.header.next_offset() > self.limits.upper_bound {
                break;
            }
            kept = batch.position + batch.bytes.len();
            next_offset = Some(batch.header.next_offset());
        }
        (kept, next_offset)
    }
}

/// A record's timestamp and offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimestampOffset {
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// Its offset.
    pub offset: Offset,
}

/// A search for the first record at a timestamp or later, to be run without a lock.
#[derive(Debug)]
pub struct TimestampPlan {
    pub(crate) timestamp: Timestamp,
    pub(crate) log_start_offset: Offset,
    pub(crate) segments: Vec<SegmentView>,
}

impl TimestampPlan {
    /// The most that one batch may decompress to while it is searched.
    const UNCOMPRESSED_MAX: usize = 256 << 20;

    /// Searches. `None` when all records are older.
    ///
    /// # Errors
    /// When a file cannot be read or holds no batches where its index says.
    pub fn find(&self) -> Result<Option<TimestampOffset>, StorageError> {
        for view in &self.segments {
            if let Some(found) = self.find_in(view)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    fn find_in(&self, view: &SegmentView) -> Result<Option<TimestampOffset>, StorageError> {
        let start = u64::from(view.start_position()?);
        let mut scan = Scan::headers(&view.files, start, u64::from(view.end));
        let wanted = |header: &BatchHeader| {
            header
                .max_timestamp
                .is_some_and(|max| max >= self.timestamp)
                && header.last_offset() >= self.log_start_offset
        };
        while let Some((position, header)) = view.find(&mut scan, wanted)? {
            let bytes = view.files.read(position, header.size as usize)?;
            match self.find_in_batch(&bytes) {
                Ok(Some(found)) => return Ok(Some(found)),
                Ok(None) => {}
                Err(_) if view.is_stale() => return Ok(None),
                Err(error) => {
                    let path = view.files.path(LOG_SUFFIX);
                    return Err(StorageError::invalid(
                        "search batch in",
                        &path,
                        error.to_string(),
                    ));
                }
            }
        }
        Ok(None)
    }

    fn find_in_batch(&self, bytes: &[u8]) -> Result<Option<TimestampOffset>, BatchError> {
        let Some(batch) = Batches::new(bytes).next() else {
            return Ok(None);
        };
        let batch = batch?;
        let records = batch.uncompressed(Self::UNCOMPRESSED_MAX)?;
        for record in batch.records(&records) {
            let record = record?;
            if let Some(timestamp) = record.timestamp
                && timestamp >= self.timestamp
                && record.offset >= self.log_start_offset
            {
                return Ok(Some(TimestampOffset {
                    timestamp,
                    offset: record.offset,
                }));
            }
        }
        Ok(None)
    }
}
