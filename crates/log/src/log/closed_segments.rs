//! The file `closed-segments.deleted`: the size of each closed segment of a log and the segment
//! that follows it, so that a start detects segments that have become shorter or are missing.
//!
//! Apache Kafka deletes files with the suffix `.deleted` when it opens a log (`LogLoader`). So
//! where the file exists, Kafka has not cleaned, removed or added segments since it was written.
//!
//! The file has a version, a count, one line per closed segment with its base offset, its size in
//! bytes and the base offset of the next segment, and at its end the CRC32C of all that. A segment
//! is added once it is flushed. `-` instead of size and next segment means that nothing can be
//! concluded: a swap or retention is changing the segment, a follower received no records for the
//! offsets at its end, or a server that does not write this file closed the segment.
//!
//! If the file exists, a closed segment that is not in it was not flushed yet, and the next segment
//! begins where its records ended. A gap between the two proves that records are missing.
//!
//! Invariant: a change that removes or replaces segments first writes the file without their sizes.
//! So the file never proves a loss that did not happen, wherever a crash interrupts the change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use dohle_model::Offset;
use dohle_storage::{FileSystem, OpenMode};

use super::Log;
use crate::checkpoint::{
    Sync, entry_lines, read_if_exists, remove_if_exists, with_checksum, without_checksum,
    write_atomically,
};
use crate::error::{Context, StorageError, StorageErrorKind};
use crate::segment::files::{LOG_SUFFIX, file_name};

/// The name of the file. Apache Kafka must delete it, hence the suffix.
pub(super) const FILE: &str = "closed-segments.deleted";
/// The text for an unknown size or next segment.
const UNKNOWN: &str = "-";

/// A closed segment at the time when it was flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClosedSegment {
    /// The size of its `.log` file in bytes.
    size: u64,
    /// The base offset of the next segment.
    next: Offset,
}

/// The closed segments by their base offsets; `None` where nothing can be concluded.
pub(super) type ClosedSegments = BTreeMap<Offset, Option<ClosedSegment>>;

/// The reason why records are known to be missing between the last batch of a closed segment and
/// the next segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MissingEnd {
    /// The segment was larger when it was flushed.
    Flushed { size: u64 },
    /// The next segment began where the records of this one ended.
    Unflushed,
}

/// The content of the file at a start.
#[derive(Debug, Default)]
pub(super) struct AtStart {
    /// `None` when the file does not exist or is invalid.
    pub(super) closed: Option<ClosedSegments>,
    /// Whether the file exists and is invalid, so that this server wrote it and a loss of power or
    /// a disk damaged it.
    pub(super) is_invalid: bool,
}

/// Reads the file.
pub(super) fn read(fs: &dyn FileSystem, dir: &Path) -> Result<AtStart, StorageError> {
    let path = dir.join(FILE);
    let Some(bytes) = read_if_exists(fs, &path)? else {
        return Ok(AtStart::default());
    };
    match decode(&bytes) {
        Ok(found) => Ok(AtStart {
            closed: Some(found),
            is_invalid: false,
        }),
        Err(error) => {
            tracing::warn!(
                path = %path.display(),
                error,
                "the sizes of closed segments cannot be read from their file, taking them from \
                 the segments"
            );
            Ok(AtStart {
                closed: None,
                is_invalid: true,
            })
        }
    }
}

fn decode(bytes: &[u8]) -> Result<ClosedSegments, String> {
    let mut found = ClosedSegments::new();
    for (number, line) in entry_lines(without_checksum(bytes)?)? {
        let wrong = || format!("line {number}: {line:?} is not \"base-offset size next-segment\"");
        let offset = |text: &str| text.parse().ok().and_then(Offset::from_wire);
        let fields: Vec<&str> = line.split(' ').collect();
        let (base_offset, closed) = match fields[..] {
            [base_offset, UNKNOWN] => (base_offset, None),
            [base_offset, size, next] => {
                let size = size.parse().map_err(|_| wrong())?;
                let next = offset(next).ok_or_else(wrong)?;
                (base_offset, Some(ClosedSegment { size, next }))
            }
            _ => return Err(wrong()),
        };
        found.insert(offset(base_offset).ok_or_else(wrong)?, closed);
    }
    Ok(found)
}

fn encode(closed: &ClosedSegments) -> String {
    let mut text = format!("0\n{}\n", closed.len());
    for (base_offset, closed) in closed {
        // Writing to a string does not fail.
        let _ = match closed {
            Some(ClosedSegment { size, next }) => writeln!(text, "{base_offset} {size} {next}"),
            None => writeln!(text, "{base_offset} {UNKNOWN}"),
        };
    }
    with_checksum(text)
}

impl Log {
    /// Returns the base offsets of segments that must exist: those that had records when they were
    /// flushed, and those that follow a flushed one.
    fn expected_segments(&self) -> BTreeSet<Offset> {
        let mut expected = BTreeSet::new();
        for (base_offset, closed) in self.closed_segments.iter().flatten() {
            let Some(closed) = closed else { continue };
            if closed.size > 0 {
                expected.insert(*base_offset);
            }
            expected.insert(closed.next);
        }
        expected
    }

    /// Creates an empty file for each missing `.log` file. Recovery then determines which records
    /// are missing.
    pub(super) fn restore_missing_files(
        &mut self,
        base_offsets: &mut Vec<Offset>,
        index_files: &[(Offset, PathBuf)],
    ) -> Result<(), StorageError> {
        let mut missing = self.expected_segments();
        if let (Some(first), Some(last)) = (base_offsets.first(), base_offsets.last()) {
            // An interrupted deletion at the log's start or end leaves index files too, so they
            // prove nothing.
            for (base_offset, path) in index_files {
                let is_inside = first < base_offset && base_offset < last;
                if is_inside
                    && self.may_have_gap_after(*base_offset)
                    && has_content(self.fs(), path)?
                {
                    missing.insert(*base_offset);
                }
            }
        }
        missing.retain(|base_offset| base_offsets.binary_search(base_offset).is_err());
        for base_offset in missing {
            let after = base_offsets.partition_point(|other| *other < base_offset);
            let next = base_offsets.get(after);
            if next.is_some_and(|next| *next <= self.log_start_offset) {
                continue;
            }
            let path = self.dir.join(file_name(base_offset, LOG_SUFFIX));
            tracing::error!(
                partition = %self.topic_partition,
                path = %path.display(),
                "a segment's file is missing, created an empty one"
            );
            let created = self.fs().open(&path, OpenMode::CreateNew);
            created.context("create", &path)?;
            base_offsets.insert(after, base_offset);
            self.directory_dirty = true;
        }
        Ok(())
    }

    /// Returns the size that the file has for the segment at this index.
    pub(super) fn recorded_size(&self, at: usize) -> Option<u64> {
        let closed = self.closed_segments.as_ref()?;
        let closed = *closed.get(&self.segments[at].base_offset)?;
        closed.map(|closed| closed.size)
    }

    /// Returns whether nothing can be concluded from a gap after this base offset.
    fn may_have_gap_after(&self, base_offset: Offset) -> bool {
        let closed = self.closed_segments.as_ref();
        closed.is_none_or(|closed| closed.contains_key(&base_offset))
    }

    /// Returns why records are missing at the end of a segment whose batches end at `end`, if they
    /// are.
    pub(super) fn missing_end(&self, at: usize, end: Offset) -> Option<MissingEnd> {
        let segment = &self.segments[at];
        let next = self.segments.get(at + 1)?;
        if end >= next.base_offset {
            return None;
        }
        match self.recorded_size(at) {
            Some(size) if size > u64::from(segment.size) => Some(MissingEnd::Flushed { size }),
            Some(_) => None,
            None if self.may_have_gap_after(segment.base_offset) => None,
            None => Some(MissingEnd::Unflushed),
        }
    }

    /// Updates the file before a segment begins at `base_offset`. `before` is the index of the
    /// segment before it.
    pub(super) fn before_roll(
        &mut self,
        before: usize,
        base_offset: Offset,
    ) -> Result<(), StorageError> {
        let is_new = self.closed_segments.is_none();
        let mut closed = self.closed_segments.take().unwrap_or_default();
        if is_new {
            let older = self.segments[..before].iter();
            closed.extend(older.map(|segment| (segment.base_offset, None)));
        }
        let is_changed = base_offset != self.log_end_offset;
        if is_changed {
            closed.insert(self.segments[before].base_offset, None);
        }
        self.closed_segments = Some(closed);
        if is_new || is_changed {
            self.write_closed_segments(Sync::No)?;
        }
        Ok(())
    }

    /// Removes the sizes of the segments with these base offsets before the segments are removed or
    /// replaced as a whole, so that nothing can be concluded from their absence.
    pub(super) fn forget_sizes(&mut self, of: impl Fn(Offset) -> bool) -> Result<(), StorageError> {
        let mut is_changed = false;
        for (base_offset, closed) in self.closed_segments.iter_mut().flatten() {
            if of(*base_offset) {
                is_changed |= closed.take().is_some();
            }
        }
        if is_changed {
            self.closed_segments_changed = true;
            self.write_closed_segments(Sync::No)?;
        }
        Ok(())
    }

    /// Removes the segments from this base offset on before the log is truncated inside of the
    /// segment with that base offset, which is then the last one.
    pub(super) fn forget_segments_from(&mut self, base_offset: Offset) -> Result<(), StorageError> {
        let Some(closed) = &mut self.closed_segments else {
            return Ok(());
        };
        if closed.split_off(&base_offset).is_empty() {
            return Ok(());
        }
        self.write_closed_segments(Sync::No)
    }

    /// Adds the sizes of closed segments that were flushed, and removes segments that no longer
    /// exist.
    pub(super) fn record_flushed_segments(&mut self, sync: Sync) -> Result<(), StorageError> {
        self.closed_segments_changed = false;
        if self.segments.len() == 1 && self.closed_segments.as_ref().is_none_or(|it| it.is_empty())
        {
            return Ok(());
        }
        let known = self.closed_segments.as_ref();
        let mut closed = ClosedSegments::new();
        for pair in self.segments.windows(2) {
            let (base_offset, size) = (pair[0].base_offset, u64::from(pair[0].size));
            let before = known.and_then(|known| known.get(&base_offset));
            let next = pair[1].base_offset;
            if next <= self.recovery_point {
                // The larger size is kept, because it proves what is missing until that is
                // repaired.
                let before = before.copied().flatten();
                let size = before.map_or(size, |before| size.max(before.size));
                closed.insert(base_offset, Some(ClosedSegment { size, next }));
                continue;
            }
            self.closed_segments_changed = true;
            match before {
                Some(before) => closed.insert(base_offset, *before),
                None if known.is_none() => closed.insert(base_offset, None),
                None => continue,
            };
        }
        if self.closed_segments.as_ref() == Some(&closed) {
            return Ok(());
        }
        self.closed_segments = Some(closed);
        self.write_closed_segments(sync)
    }

    /// Writes the file with the current sizes. If there is no space, the file is removed, and a
    /// start concludes nothing.
    fn write_closed_segments(&mut self, sync: Sync) -> Result<(), StorageError> {
        let path = self.dir.join(FILE);
        let Some(closed) = &self.closed_segments else {
            return remove_if_exists(self.fs(), &path);
        };
        match write_atomically(self.fs(), &path, encode(closed).as_bytes(), sync) {
            Err(error) if error.kind() == StorageErrorKind::Full => {
                tracing::debug!(
                    partition = %self.topic_partition, %error,
                    "no space to write the sizes of closed segments"
                );
                self.closed_segments = None;
                self.closed_segments_changed = true;
                remove_if_exists(self.fs(), &path)
            }
            written => written,
        }
    }
}

/// Returns whether a file has content.
fn has_content(fs: &dyn FileSystem, path: &Path) -> Result<bool, StorageError> {
    Ok(fs.metadata(path).context("stat", path)?.len > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes() -> ClosedSegments {
        let closed = |size, next| {
            let next = Offset(next);
            Some(ClosedSegment { size, next })
        };
        BTreeMap::from([
            (Offset(0), closed(0, 7)),
            (Offset(7), None),
            (Offset(99), closed(1 << 30, 100)),
        ])
    }

    #[test]
    fn sizes_are_read_as_they_were_written() {
        assert_eq!(decode(encode(&sizes()).as_bytes()), Ok(sizes()));
        for line in [
            "7", "7 8", "7 x 8", "x 7 8", "-7 7 8", "7 - 8", "7 7 -8", "7 7 8 9",
        ] {
            let text = with_checksum(format!("0\n1\n{line}\n"));
            assert!(decode(text.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn sizes_with_any_changed_byte_are_refused() {
        let bytes = encode(&sizes()).into_bytes();
        for at in 0..bytes.len() {
            for change in [1, 0x10, 0xff] {
                let mut changed = bytes.clone();
                changed[at] ^= change;
                assert!(decode(&changed).is_err(), "byte {at} ^ {change}");
            }
            assert!(decode(&bytes[..at]).is_err(), "cut at {at}");
        }
    }
}
