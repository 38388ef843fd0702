//! Reads from a segment, planned under the log's lock and run outside it.

use std::sync::Arc;

use bytes::Bytes;
use dohle_model::{Offset, Timestamp};

use super::Segment;
use super::files::{INDEX_SUFFIX, LOG_SUFFIX, SegmentFiles, TIME_INDEX_SUFFIX};
use super::scan::{Scan, ScanError};
use crate::batch::{BATCH_HEADER_SIZE, Batch, BatchError, BatchHeader, Batches};
use crate::compression::DecompressionMemory;
use crate::error::StorageError;
use crate::index::{self, OffsetEntry, TimeEntry};

/// The start of a search in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Start {
    /// The batch at this position, which is the one to find.
    Exactly(u32),
    /// The batch at this position, which an index in memory has for the offset.
    At { position: u32, offset: Offset },
    /// The entry of the index file for an offset.
    ByOffset(Offset),
    /// The entries of the index files for a timestamp.
    ByTimestamp(Timestamp),
}

impl Start {
    /// The segment's first batch.
    pub(crate) const BEGIN: Self = Self::At {
        position: 0,
        offset: Offset::ZERO,
    };

    /// Returns the position of a batch at or before the one to find. Without an index entry that
    /// the batches confirm, it is the start of the segment, which has `end` bytes.
    pub(crate) fn position(self, files: &SegmentFiles, end: u32) -> Result<u32, StorageError> {
        Ok(self.confirmed(files, end)?.unwrap_or(0))
    }

    /// Does the same as [`Start::position`], but returns `None` when the batches contradict the
    /// index.
    fn confirmed(self, files: &SegmentFiles, end: u32) -> Result<Option<u32>, StorageError> {
        match self {
            Self::Exactly(position) => Ok(Some(position)),
            Self::At { position, offset } => confirm(files, position, offset, end),
            Self::ByOffset(offset) => Self::by_offset(files, offset, end),
            Self::ByTimestamp(timestamp) => {
                let Some((file, path)) = files.open_index(TIME_INDEX_SUFFIX)? else {
                    return Ok(Some(0));
                };
                let entry = index::floor_in_file::<TimeEntry>(&*file, &path, |entry| {
                    entry.timestamp <= timestamp.0
                })?;
                let Some(entry) = entry else {
                    return Ok(Some(0));
                };
                let offset = index::absolute(files.base_offset(), entry.relative_offset);
                let Some(start) = Self::by_offset(files, offset, end)? else {
                    return Ok(None);
                };
                // If a batch has the entry's timestamp, no batch before it has a larger one.
                let mut scan = Scan::headers(files, u64::from(start), u64::from(end));
                while let Ok(Some((_, header))) = scan.next_header() {
                    if header.last_offset() >= offset {
                        let found = header.max_timestamp.map(|at| at.0) == Some(entry.timestamp);
                        return Ok(found.then_some(start));
                    }
                }
                Ok(None)
            }
        }
    }

    fn by_offset(
        files: &SegmentFiles,
        offset: Offset,
        end: u32,
    ) -> Result<Option<u32>, StorageError> {
        // Retention may have renamed the index since; then the search begins at the start.
        let Some((file, path)) = files.open_index(INDEX_SUFFIX)? else {
            return Ok(Some(0));
        };
        let relative = offset.since(files.base_offset());
        let entry = index::floor_in_file::<OffsetEntry>(&*file, &path, |entry| {
            i64::from(entry.relative_offset) <= relative
        })?;
        match entry {
            Some(entry) => confirm(files, entry.position, offset, end),
            None => Ok(Some(0)),
        }
    }
}

/// Returns whether `position` has a batch from which a search for `offset` may begin.
fn confirm(
    files: &SegmentFiles,
    position: u32,
    offset: Offset,
    end: u32,
) -> Result<Option<u32>, StorageError> {
    if position == 0 {
        return Ok(Some(0));
    }
    let head = files.read(u64::from(position), BATCH_HEADER_SIZE)?;
    let confirmed = BatchHeader::parse(&head).is_ok_and(|header| {
        header.base_offset <= offset
            && header.base_offset >= files.base_offset()
            && u64::from(position) + u64::from(header.size) <= u64::from(end)
    });
    Ok(confirmed.then_some(position))
}

/// The limits of a read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReadLimits {
    /// The most bytes to read; only whole batches are read.
    pub max_bytes: usize,
    /// The end of the read: only batches that end below this offset are read. It is the high
    /// watermark, the last stable offset, or `Offset(i64::MAX)`.
    pub upper_bound: Offset,
    /// Whether the first batch is read even when it alone exceeds `max_bytes`.
    pub min_one: bool,
}

/// The result of a read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadInfo {
    /// Whole batches. The first may begin below the requested offset, as in Kafka. Empty when there
    /// are none, or the first batch is too large.
    pub records: Bytes,
    /// The offset after the last batch; the requested offset when there is none.
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

/// The state of a segment when a read was planned.
#[derive(Debug, Clone)]
pub(crate) struct SegmentView {
    pub(crate) files: Arc<SegmentFiles>,
    pub(crate) start: Start,
    /// The size of the file when the read was planned.
    pub(crate) end: u32,
    /// The offset after the segment's last record, or any up to the next record.
    pub(crate) next_offset: Offset,
    /// The place where the search for the end of a read may begin.
    pub(crate) anchor: Anchor,
    /// The value of [`SegmentFiles::truncations`] when the read was planned.
    pub(crate) truncations: u32,
    /// The value of [`SegmentFiles::cuts`] when the read was planned.
    pub(crate) cuts: u32,
}

/// An entry of the offset index near the end of a read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Anchor {
    /// The entry from the index in memory.
    Known(Option<OffsetEntry>),
    /// The entry must be looked up in the index file.
    OnDisk,
}

impl SegmentView {
    /// Finds the next batch that `wanted` accepts. A file that was truncated since the read was
    /// planned may have any content at its positions: that is not an error, the read just finds
    /// nothing.
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

    /// Returns the start of the search. An index that was looked up by name may now belong to a new
    /// segment of compaction; then the search begins at the start of the old segment.
    fn start_position(&self) -> Result<u32, StorageError> {
        self.position_of(self.start)
    }

    fn position_of(&self, start: Start) -> Result<u32, StorageError> {
        if let Start::Exactly(position) = start {
            return Ok(position);
        }
        let confirmed = start.confirmed(&self.files, self.end)?;
        if self.is_stale() {
            return Ok(0);
        }
        Ok(confirmed.unwrap_or_else(|| {
            self.mend_indexes(start);
            0
        }))
    }

    /// Rebuilds the index after an entry did not match the batches. Each entry of an index file is
    /// compared before it is used, so a concurrent replacement of the segment does no harm.
    fn mend_indexes(&self, start: Start) {
        if !self.files.doubt_indexes() {
            return;
        }
        let path = self.files.path(INDEX_SUFFIX);
        tracing::warn!(
            path = %path.display(),
            "an index entry matches no batch, rebuilding the index"
        );
        if matches!(start, Start::At { .. }) {
            // The index is in memory, and written when the segment is closed or the log is opened.
            return;
        }
        if let Err(error) = Segment::rebuild_index_files(&self.files, self.end) {
            tracing::warn!(%error, "cannot rebuild the index, reads continue without it");
        }
    }

    /// Returns the number of bytes, at most `max`, from `position` to the end of the planned file.
    fn length(&self, position: u32, max: usize) -> usize {
        max.min(self.end.saturating_sub(position) as usize)
    }

    pub(crate) fn is_stale(&self) -> bool {
        self.files.truncations() != self.truncations
    }

    /// Returns the largest timestamp of a closed segment: from the last entry of its time index, or
    /// from the headers of its batches when there is none.
    fn max_timestamp(&self) -> Result<Option<Timestamp>, StorageError> {
        if let Some((file, path)) = self.files.open_index(TIME_INDEX_SUFFIX)? {
            let last = index::floor_in_file::<TimeEntry>(&*file, &path, |_| true)?;
            return Ok(last.map(|last| Timestamp(last.timestamp)));
        }
        let mut max = None;
        let mut scan = Scan::headers(&self.files, 0, u64::from(self.end));
        while let Some((_, header)) = self.find(&mut scan, |_| true)? {
            max = max.max(header.max_timestamp);
        }
        Ok(max)
    }
}

/// A read that no longer needs the lock. A concurrent truncation may shorten it; callers check the
/// leader epoch afterwards where that matters.
#[derive(Debug)]
pub struct ReadPlan {
    pub(crate) offset: Offset,
    pub(crate) limits: ReadLimits,
    /// The segment that contains the offset and, as compaction may have emptied its end, the next
    /// ones.
    pub(crate) segments: Vec<SegmentView>,
}

impl ReadPlan {
    /// Reads the records.
    ///
    /// # Errors
    /// When a file cannot be read or has no batches where its index has an entry.
    pub fn read(&self) -> Result<ReadInfo, StorageError> {
        for view in &self.segments {
            if let Some(info) = self.read_segment(view)? {
                return Ok(info);
            }
        }
        Ok(ReadInfo::empty(self.offset))
    }

    /// Reads from one segment. Returns `None` when the segment ends before the offset.
    fn read_segment(&self, view: &SegmentView) -> Result<Option<ReadInfo>, StorageError> {
        let max_bytes = self.limits.max_bytes;
        let mut bytes = Vec::new();
        let mut found = None;
        if let Start::Exactly(position) = view.start {
            bytes = view
                .files
                .read(u64::from(position), view.length(position, max_bytes))?;
            let room = u64::from(view.end.saturating_sub(position));
            let first = BatchHeader::parse(&bytes).ok();
            // A length beyond the end of the file is checked again below, where it is reported.
            found = first
                .filter(|it| it.base_offset == self.offset && u64::from(it.size) <= room)
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
        if kept == 0 && !view.is_stale() {
            let error = BatchError::Truncated {
                needed: u64::from(first.size),
                available: bytes.len() as u64,
            };
            let position = u64::from(position);
            return Err(ScanError::Batch { position, error }.into_storage(&view.files));
        }
        bytes.truncate(kept);
        if bytes.capacity() > 2 * kept + 4096 {
            // Only a small part of the buffer is used, so the rest is freed.
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

    /// Returns the size of the batches that are whole and below the upper bound, and the offset
    /// after them.
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
    /// The record's offset.
    pub offset: Offset,
}

/// The target of a search by timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TimestampTarget {
    /// The first record at this time or later.
    AtOrAfter(Timestamp),
    /// The first of the records with the largest timestamp.
    Largest,
}

/// A segment that a search by timestamp may read. Its files are opened when it is read.
#[derive(Debug)]
pub(crate) struct TimestampCandidate {
    pub(crate) view: SegmentView,
    /// The largest timestamp, if it is in memory.
    pub(crate) max: Option<Option<Timestamp>>,
}

impl TimestampCandidate {
    /// Returns the largest timestamp. Reads it from a file if it is not in memory.
    fn max(&self) -> Result<Option<Timestamp>, StorageError> {
        self.max.map_or_else(|| self.view.max_timestamp(), Ok)
    }
}

/// The result of a search by timestamp.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TimestampSearch {
    /// The record, or `None` when there is no such record.
    Found(Option<TimestampOffset>),
    /// The log was truncated, compacted or shortened by retention meanwhile: the search must be
    /// planned again.
    Changed,
}

/// The result of a search in one segment.
enum InSegment {
    Found(TimestampOffset),
    Nothing,
    Replaced,
}

/// A search for a record by its timestamp that runs without a lock. Planning it reads no file.
#[derive(Debug)]
pub struct TimestampPlan {
    pub(crate) target: TimestampTarget,
    pub(crate) log_start_offset: Offset,
    pub(crate) segments: Vec<TimestampCandidate>,
}

impl TimestampPlan {
    /// Runs the search. Blocks on the disk, and waits for `memory` to decompress batches.
    ///
    /// # Errors
    /// When a file cannot be read, has no batches where its index has an entry, or a batch is
    /// damaged.
    pub fn find(&self, memory: &DecompressionMemory) -> Result<TimestampSearch, StorageError> {
        match self.search(memory) {
            Err(error) if self.is_gone(&error) => Ok(TimestampSearch::Changed),
            outcome => outcome,
        }
    }

    fn search(&self, memory: &DecompressionMemory) -> Result<TimestampSearch, StorageError> {
        let mut found = None;
        let (timestamp, from) = match self.target {
            TimestampTarget::AtOrAfter(timestamp) => (timestamp, 0),
            TimestampTarget::Largest => match self.largest()? {
                Some(largest) => largest,
                None => return Ok(self.outcome(None)),
            },
        };
        for candidate in &self.segments[from..] {
            if candidate.max()?.is_none_or(|max| max < timestamp) {
                continue;
            }
            let start = match self.target {
                TimestampTarget::AtOrAfter(_) => candidate.view.start,
                TimestampTarget::Largest => Start::ByTimestamp(timestamp),
            };
            found = match self.find_in(&candidate.view, start, timestamp, memory)? {
                InSegment::Found(found) => Some(found),
                InSegment::Nothing => None,
                InSegment::Replaced => return Ok(TimestampSearch::Changed),
            };
            if found.is_some() {
                break;
            }
        }
        Ok(self.outcome(found))
    }

    /// Returns the outcome of the search. If a segment was truncated or replaced during the search,
    /// the record may have been missed.
    fn outcome(&self, found: Option<TimestampOffset>) -> TimestampSearch {
        if found.is_none() && self.is_stale() {
            return TimestampSearch::Changed;
        }
        TimestampSearch::Found(found)
    }

    fn is_stale(&self) -> bool {
        let mut views = self.segments.iter().map(|candidate| &candidate.view);
        views.any(SegmentView::is_stale)
    }

    /// Returns whether an error only shows that a file was truncated, replaced or deleted since the
    /// search was planned.
    fn is_gone(&self, error: &StorageError) -> bool {
        self.is_stale() || error.source.kind() == std::io::ErrorKind::NotFound
    }

    /// Returns the largest timestamp, and the first segment that has it.
    fn largest(&self) -> Result<Option<(Timestamp, usize)>, StorageError> {
        let mut largest: Option<(Timestamp, usize)> = None;
        for (at, candidate) in self.segments.iter().enumerate() {
            if let Some(max) = candidate.max()?
                && largest.is_none_or(|(before, _)| max > before)
            {
                largest = Some((max, at));
            }
        }
        Ok(largest)
    }

    fn find_in(
        &self,
        view: &SegmentView,
        start: Start,
        timestamp: Timestamp,
        memory: &DecompressionMemory,
    ) -> Result<InSegment, StorageError> {
        let open = view.files.pinned_if_open();
        let was_open = open.is_some();
        let files = open.map_or_else(|| view.files.pinned(), Ok)?;
        let view = &SegmentView {
            files: Arc::new(files),
            ..view.clone()
        };
        if !was_open && view.is_stale() {
            // A file that was opened by name may belong to another segment.
            return Ok(InSegment::Replaced);
        }
        let start = u64::from(view.position_of(start)?);
        let mut scan = Scan::headers(&view.files, start, u64::from(view.end));
        let wanted = |header: &BatchHeader| {
            header.max_timestamp.is_some_and(|max| max >= timestamp)
                && header.last_offset() >= self.log_start_offset
        };
        while let Some((position, header)) = view.find(&mut scan, wanted)? {
            let bytes = view.files.read(position, header.size as usize)?;
            let found = self.find_in_batch(header, &bytes, timestamp, memory);
            let found = found.map_err(|error| {
                let path = view.files.path(LOG_SUFFIX);
                let text = format!("batch at byte {position}: {error}");
                StorageError::invalid("search", &path, text)
            })?;
            if let Some(found) = found {
                return Ok(InSegment::Found(found));
            }
        }
        Ok(InSegment::Nothing)
    }

    fn find_in_batch(
        &self,
        header: BatchHeader,
        bytes: &[u8],
        timestamp: Timestamp,
        memory: &DecompressionMemory,
    ) -> Result<Option<TimestampOffset>, BatchError> {
        if (bytes.len() as u64) < u64::from(header.size) {
            let (needed, available) = (u64::from(header.size), bytes.len() as u64);
            return Err(BatchError::Truncated { needed, available });
        }
        let batch = Batch {
            header,
            bytes,
            position: 0,
        };
        let mut records = batch.stream(memory)?;
        while let Some(record) = records.next_head()? {
            if let Some(found) = record.timestamp
                && found >= timestamp
                && record.offset >= self.log_start_offset
            {
                return Ok(Some(TimestampOffset {
                    timestamp: found,
                    offset: record.offset,
                }));
            }
        }
        Ok(None)
    }
}
