//! Records that stay in their file until they are sent: the location of a read's batches, and
//! windows of them.
//!
//! A plan finds the ends of a range by headers and the index, and does not read the records in
//! between. The sender reads one window after the other. Each window is checked when it is read:
//! the headers must lead from batch to batch, and the file must not have been truncated since the
//! read was planned.
//!
//! Invariant: a window never contains bytes that were written after the range was planned. A
//! truncation is counted before the file changes, and the count is compared after the window was
//! read.

use std::sync::Arc;

use bytes::Bytes;
use dohle_model::Offset;
use dohle_storage::File;

use super::files::{INDEX_SUFFIX, LOG_SUFFIX, SegmentFiles};
use super::read::{Anchor, ReadPlan, SegmentView, Start};
use crate::batch::{BATCH_HEADER_SIZE, BatchHeader};
use crate::error::{Context, StorageError};
use crate::index::{self, Entry, OffsetEntry};

/// Whether a read may wait for the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Reads only bytes that are in the page cache; for threads that must not block.
    Cached,
    /// Waits for the disk if necessary.
    Disk,
}

/// The reason why a range, or a part of it, cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RangeError {
    /// With [`Access::Cached`]: the bytes are not in the page cache, or the file system cannot
    /// report whether they are.
    #[error("the bytes are not in the page cache")]
    NotCached,
    /// The log was truncated after the read was planned; the bytes were removed.
    #[error("the log was truncated after the read was planned")]
    Truncated,
    /// The file cannot be read, or does not contain batches there.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// The records of a read.
#[derive(Debug)]
pub enum Records {
    /// Whole batches in memory; empty when there are none.
    Memory(Bytes),
    /// Whole batches in their file.
    File(FileRange),
}

impl Records {
    /// Returns the size of the batches in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(range) => range.len(),
        }
    }

    /// Returns whether there are no batches.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The result of [`ReadPlan::locate`].
#[derive(Debug)]
pub struct Located {
    /// Whole batches. The first may begin below the requested offset, as in Kafka.
    pub records: Records,
    /// The offset after the last batch, or any offset up to the next batch; the requested offset
    /// when there is no batch.
    pub next_offset: Offset,
}

/// Whole batches in the file of one segment. The value holds the file open, so that it stays
/// readable when retention or compaction renames or deletes it.
#[derive(Debug)]
pub struct FileRange {
    files: Arc<SegmentFiles>,
    file: Arc<dyn File>,
    /// The value of [`SegmentFiles::cuts`] when the read was planned.
    cuts: u32,
    position: u32,
    length: u32,
    /// The position of the next expected header, from the beginning of the range: the chain of
    /// batches was checked up to there.
    checked: usize,
}

impl FileRange {
    /// Returns the size of the range in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.length as usize
    }

    /// Returns whether the range has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Reads a window: bytes from `at` on into `out`, which has at least 4 KiB or reaches the end
    /// of the range. Returns the number of bytes read, at least one. Windows are read in order; a
    /// part of the range may be read again.
    ///
    /// # Errors
    /// When no byte of the window may be sent.
    pub fn read(&mut self, at: usize, out: &mut [u8], access: Access) -> Result<usize, RangeError> {
        assert!(
            at <= self.len(),
            "a window at byte {at} of a range of {} bytes",
            self.len()
        );
        assert!(
            self.checked <= self.len(),
            "{} bytes of a range of {} were checked",
            self.checked,
            self.len()
        );
        let length = out.len().min(self.len() - at);
        let out = &mut out[..length];
        let position = u64::from(self.position) + at as u64;
        let read = read_at(&*self.file, position, out, access, &self.files);
        if self.files.cuts() != self.cuts {
            return Err(RangeError::Truncated);
        }
        let mut end = at + read?;
        while self.checked < end {
            let from = self.checked - at;
            if end - self.checked < BATCH_HEADER_SIZE {
                if end < self.len() && from > 0 {
                    // The header is incomplete: the next window begins with it.
                    end = self.checked;
                    break;
                }
                if access == Access::Cached && end < self.len() {
                    return Err(RangeError::NotCached);
                }
                return Err(self.damaged("the batch ends within its header"));
            }
            let header = BatchHeader::parse(&out[from..end - at]);
            let header = header.map_err(|error| self.damaged(&error.to_string()))?;
            let next = self.checked + header.size as usize;
            if next > self.len() {
                return Err(self.damaged("the batch ends outside of the range that was planned"));
            }
            self.checked = next;
        }
        if end == at {
            return Err(self.damaged("the file ends before the batch"));
        }
        Ok(end - at)
    }

    /// Reads all of a small range.
    fn read_all(&mut self, access: Access) -> Result<Bytes, RangeError> {
        let mut bytes = vec![0; self.len()];
        let mut at = 0;
        while at < bytes.len() {
            at += self.read(at, &mut bytes[at..], access)?;
        }
        Ok(bytes.into())
    }

    /// Returns an error for damage at the next header. Reads of this file that are planned from now
    /// on check each header, so that they end before the damage.
    fn damaged(&self, text: &str) -> RangeError {
        self.files.distrust();
        let position = self.position as usize + self.checked;
        let path = self.files.path(LOG_SUFFIX);
        let text = format!("at byte {position}: {text}");
        RangeError::Storage(StorageError::invalid("read batch from", &path, text))
    }
}

/// Reads with one `pread`, or with one `preadv2` that does not wait. Fewer bytes than requested are
/// not an error; the result is empty at the end of the file.
fn read_at(
    file: &dyn File,
    position: u64,
    out: &mut [u8],
    access: Access,
    files: &SegmentFiles,
) -> Result<usize, RangeError> {
    let read = match access {
        Access::Disk => file.read_at(out, position).map(Some),
        Access::Cached => file.read_cached_at(out, position),
    };
    match read {
        Ok(Some(count)) => Ok(count),
        Ok(None) => Err(RangeError::NotCached),
        // The path is built only for an error.
        Err(error) => {
            let error = Err(error).context("read", &files.path(LOG_SUFFIX));
            error.map_err(RangeError::Storage)
        }
    }
}

/// Bytes that a walk over headers reads at a time.
const WALK_BYTES: usize = 4 << 10;
/// Bytes that a walk over headers reads at a time when the end is far away.
const WALK_BYTES_FAR: usize = 64 << 10;

/// A walk over the headers of a segment. One walk serves all searches of a read, so that they share
/// its buffer, and what it has read.
struct Walk<'a> {
    view: &'a SegmentView,
    file: &'a dyn File,
    access: Access,
    /// The position of the next header.
    at: u32,
    /// Bytes to read at a time.
    chunk: usize,
    /// Empty until the first read.
    buffer: Vec<u8>,
    buffer_at: u32,
    filled: usize,
}

impl<'a> Walk<'a> {
    fn new(view: &'a SegmentView, file: &'a dyn File, access: Access) -> Self {
        Self {
            view,
            file,
            access,
            at: 0,
            chunk: WALK_BYTES,
            buffer: Vec::new(),
            buffer_at: 0,
            filled: 0,
        }
    }

    /// Returns the next header, and the end position of its batch; `None` at the end of the
    /// segment.
    fn next(&mut self) -> Result<Option<(BatchHeader, u32)>, RangeError> {
        let view = self.view;
        let left = view.end.saturating_sub(self.at) as usize;
        if left == 0 {
            return Ok(None);
        }
        let skipped = self.at.wrapping_sub(self.buffer_at) as usize;
        let mut have = self.filled.saturating_sub(skipped);
        let mut from = skipped;
        if have < BATCH_HEADER_SIZE.min(left) {
            if self.buffer.len() < self.chunk {
                self.buffer = vec![0; self.chunk];
            }
            let length = self.chunk.min(left);
            let position = u64::from(self.at);
            let out = &mut self.buffer[..length];
            // A read that fails may have overwritten a part of the buffer.
            self.filled = 0;
            self.filled = read_at(self.file, position, out, self.access, &view.files)?;
            self.buffer_at = self.at;
            (have, from) = (self.filled, 0);
            if have < BATCH_HEADER_SIZE.min(left) && self.access == Access::Cached {
                return Err(RangeError::NotCached);
            }
        }
        if view.is_stale() {
            return Err(RangeError::Truncated);
        }
        let header = BatchHeader::parse(&self.buffer[from..from + have]);
        let header = header.map_err(|error| self.damaged(&error.to_string()))?;
        if header.size as usize > left {
            return Err(self.damaged("the batch ends outside of the segment"));
        }
        self.at += header.size;
        Ok(Some((header, self.at)))
    }

    fn damaged(&self, text: &str) -> RangeError {
        let files = &self.view.files;
        files.distrust();
        let text = format!("at byte {}: {text}", self.at);
        StorageError::invalid("read batch from", &files.path(LOG_SUFFIX), text).into()
    }
}

impl SegmentView {
    fn range(&self, file: &Arc<dyn File>, position: u32, end: u32) -> FileRange {
        assert!(position <= end, "a range from byte {position} to {end}");
        assert!(
            end <= self.end,
            "a range to byte {end} of {} that were planned",
            self.end
        );
        FileRange {
            files: Arc::clone(&self.files),
            file: Arc::clone(file),
            cuts: self.cuts,
            position,
            length: end - position,
            checked: 0,
        }
    }
}

impl ReadPlan {
    /// Finds the records. Reads only headers, except for at most `memory_max` bytes of records that
    /// are read at once, which is faster for a few batches at the end of the log.
    ///
    /// # Errors
    /// [`RangeError::NotCached`] with [`Access::Cached`], and when a file cannot be read or has no
    /// batches where its index has an entry. A concurrent truncation is not an error: nothing is
    /// found.
    pub fn locate(&self, memory_max: usize, access: Access) -> Result<Located, RangeError> {
        let nothing = || Located {
            records: Records::Memory(Bytes::new()),
            next_offset: self.offset,
        };
        for view in &self.segments {
            match self.locate_in(view, memory_max, access) {
                Ok(Some(located)) => return Ok(located),
                Ok(None) => {}
                Err(RangeError::Truncated) => return Ok(nothing()),
                Err(error) => return Err(error),
            }
        }
        Ok(nothing())
    }

    /// Locates the records in one segment. Returns `None` when the segment ends before the offset.
    fn locate_in(
        &self,
        view: &SegmentView,
        memory_max: usize,
        access: Access,
    ) -> Result<Option<Located>, RangeError> {
        let file = &view.files.log()?;
        if let Some(located) = self.at_the_end(view, file, memory_max, access)? {
            return Ok(Some(located));
        }
        let mut walk = Walk::new(view, &**file, access);
        let Some((position, first)) = self.first(&mut walk)? else {
            return Ok(None);
        };
        let nothing = Some(Located {
            records: Records::Memory(Bytes::new()),
            next_offset: self.offset,
        });
        if first.next_offset() > self.limits.upper_bound {
            return Ok(nothing);
        }
        if first.size as usize > self.limits.max_bytes && !self.limits.min_one {
            return Ok(nothing);
        }
        let (end, next_offset) = self.end(&mut walk, position, &first)?;
        view.files
            .remember(self.offset, (next_offset, end), view.truncations);
        let mut range = view.range(file, position, end);
        let records = if range.len() <= memory_max {
            Records::Memory(range.read_all(access)?)
        } else {
            Records::File(range)
        };
        Ok(Some(Located {
            records,
            next_offset,
        }))
    }

    /// Reads at the end of the log with a single system call, the usual case: a previous read ended
    /// before the first batch, and the rest of the segment is small and below the upper bound.
    fn at_the_end(
        &self,
        view: &SegmentView,
        file: &Arc<dyn File>,
        memory_max: usize,
        access: Access,
    ) -> Result<Option<Located>, RangeError> {
        let Start::Exactly(position) = view.start else {
            return Ok(None);
        };
        let length = view.end.saturating_sub(position) as usize;
        if length == 0
            || length > memory_max.min(self.limits.max_bytes)
            || view.next_offset > self.limits.upper_bound
            || view.files.is_distrusted()
        {
            return Ok(None);
        }
        let mut range = view.range(file, position, view.end);
        let bytes = match range.read_all(access) {
            Ok(bytes) => bytes,
            // The slow path checks header by header, up to the damage.
            Err(RangeError::Storage(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let first = BatchHeader::parse(&bytes).ok();
        if first.is_none_or(|first| first.base_offset != self.offset) {
            return Ok(None);
        }
        let end = (view.next_offset, view.end);
        view.files.remember(self.offset, end, view.truncations);
        Ok(Some(Located {
            records: Records::Memory(bytes),
            next_offset: view.next_offset,
        }))
    }

    /// Returns position and header of the batch that contains the offset, or of the next one.
    fn first(&self, walk: &mut Walk<'_>) -> Result<Option<(u32, BatchHeader)>, RangeError> {
        let view = walk.view;
        if let Start::Exactly(position) = view.start {
            // A stale hint is not damage: the batch is searched for instead.
            walk.at = position;
            let first = walk.next();
            if let Ok(Some((header, _))) = &first
                && header.base_offset == self.offset
            {
                return Ok(Some((position, *header)));
            }
            if let Err(RangeError::NotCached) = first {
                return Err(RangeError::NotCached);
            }
        }
        let start = match view.start {
            Start::At { position, .. } | Start::Exactly(position) => position,
            Start::ByOffset(_) | Start::ByTimestamp(_) => {
                let relative = self.offset.since(view.files.base_offset());
                let by_offset = |entry: &OffsetEntry| i64::from(entry.relative_offset) <= relative;
                let entry = floor_in_file(view, walk.access, by_offset)?;
                entry.map_or(0, |entry| entry.position)
            }
        };
        // An index entry is used only when a batch at its position begins at or before the offset.
        walk.at = start;
        let start = match start {
            0 => 0,
            _ => match walk.next() {
                Ok(Some((header, _))) if header.base_offset <= self.offset => start,
                Err(RangeError::NotCached) => return Err(RangeError::NotCached),
                _ => 0,
            },
        };
        walk.at = start;
        loop {
            let position = walk.at;
            match walk.next()? {
                Some((header, _)) if header.last_offset() >= self.offset => {
                    return Ok(Some((position, header)));
                }
                Some(_) => {}
                None => return Ok(None),
            }
        }
    }

    /// Returns the end position of the batches from `position` on that fit the limits, and the
    /// offset after them.
    fn end(
        &self,
        walk: &mut Walk<'_>,
        position: u32,
        first: &BatchHeader,
    ) -> Result<(u32, Offset), RangeError> {
        let view = walk.view;
        let trusted = !view.files.is_distrusted();
        let bytes = u32::try_from(self.limits.max_bytes).unwrap_or(u32::MAX);
        let limit = position.saturating_add(bytes.max(first.size)).min(view.end);
        if trusted && limit == view.end && view.next_offset <= self.limits.upper_bound {
            // The rest of the segment is wanted, and its end is known.
            return Ok((view.end, view.next_offset));
        }
        let after_first = (position + first.size, first.next_offset());
        let is_far = (limit - position) as usize > WALK_BYTES_FAR;
        if trusted && is_far && after_first.0 < limit {
            let upper = self.limits.upper_bound.since(view.files.base_offset());
            let fits = |entry: &OffsetEntry| {
                entry.position < limit && i64::from(entry.relative_offset) < upper
            };
            let entry = match view.anchor {
                Anchor::Known(entry) => entry.filter(fits),
                Anchor::OnDisk => floor_in_file(view, walk.access, fits)?,
            };
            if let Some(entry) = entry
                && entry.position > position
                && let Ok(found) = self.walk_on(walk, entry, limit)
                && let Some(found) = found
            {
                return Ok(found);
            }
        }
        if is_far {
            walk.chunk = WALK_BYTES_FAR;
        }
        walk.at = after_first.0;
        self.walk_to_end(walk, after_first, limit)
    }

    /// Walks from a batch that the index has to the last one that fits. Returns `None` when the
    /// batch does not match the index entry, or does not fit itself.
    fn walk_on(
        &self,
        walk: &mut Walk<'_>,
        entry: OffsetEntry,
        limit: u32,
    ) -> Result<Option<(u32, Offset)>, RangeError> {
        walk.at = entry.position;
        let Some((header, end)) = walk.next()? else {
            return Ok(None);
        };
        let base_offset = walk.view.files.base_offset();
        let expected = index::absolute(base_offset, entry.relative_offset);
        if header.last_offset() != expected {
            return Ok(None);
        }
        if end > limit || header.next_offset() > self.limits.upper_bound {
            // The batch begins below the limit and ends above it: the batch before it is the last.
            let before = header.base_offset;
            return Ok((entry.position > 0).then_some((entry.position, before)));
        }
        let known = (end, header.next_offset());
        self.walk_to_end(walk, known, limit).map(Some)
    }

    fn walk_to_end(
        &self,
        walk: &mut Walk<'_>,
        mut known: (u32, Offset),
        limit: u32,
    ) -> Result<(u32, Offset), RangeError> {
        while walk.at < limit {
            let (header, end) = match walk.next() {
                Ok(Some(next)) => next,
                Ok(None) => break,
                // Records before the damage can be read.
                Err(RangeError::Storage(error))
                    if error.kind() == crate::StorageErrorKind::Damage =>
                {
                    break;
                }
                Err(error) => return Err(error),
            };
            if end > limit || header.next_offset() > self.limits.upper_bound {
                break;
            }
            known = (end, header.next_offset());
        }
        Ok(known)
    }
}

/// Returns the last entry of the index file for which `before` holds.
fn floor_in_file(
    view: &SegmentView,
    access: Access,
    before: impl Fn(&OffsetEntry) -> bool,
) -> Result<Option<OffsetEntry>, RangeError> {
    // Retention may have renamed the index since; then the search begins at the start.
    let Some((file, _)) = view.files.open_index(INDEX_SUFFIX)? else {
        return Ok(None);
    };
    let size = file.len().context("stat", &view.files.path(INDEX_SUFFIX))?;
    let (mut low, mut high) = (0, size / OffsetEntry::SIZE as u64);
    let mut found = None;
    let mut buffer = [0; OffsetEntry::SIZE];
    while low < high {
        let middle = low + (high - low) / 2;
        let position = middle * OffsetEntry::SIZE as u64;
        let read = read_at(&*file, position, &mut buffer, access, &view.files)?;
        let entry = OffsetEntry::decode(&buffer);
        if read == buffer.len() && before(&entry) {
            found = Some(entry);
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    // The name may now belong to a new segment of compaction.
    Ok(found.filter(|_| !view.is_stale()))
}
