//! Bytes of a segment that are not valid batches: how they are found, and where good records go on
//! after them.
//!
//! A header's base offset, length, leader epoch and magic are not covered by its checksum. A wrong
//! length or magic is noticed all the same; offset and epoch are compared with the batches around.

use std::path::PathBuf;

use dohle_model::{LeaderEpoch, Offset};

use super::files::{LOG_SUFFIX, SegmentFiles};
use super::scan::{Scan, ScanError};
use crate::batch::{BATCH_HEADER_SIZE, Batch, BatchHeader};
use crate::error::StorageError;
use crate::leader_epoch::LeaderEpochCache;

/// A range of a partition's log whose bytes are not valid batches, or are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The `.log` file.
    pub path: PathBuf,
    /// The base offset of the segment.
    pub base_offset: Offset,
    /// The first damaged byte.
    pub position: u64,
    /// The byte after the damage: a good batch begins there, or the file ends. Equal to `position`
    /// when the file ends too early.
    pub end_position: u64,
    /// The first offset that cannot be read.
    pub offset: Offset,
    /// The offset where readable records go on. Equal to `offset` when the bytes are superfluous,
    /// such as a second copy of a batch.
    pub end_offset: Offset,
    /// What is wrong with the bytes.
    pub reason: String,
}

impl std::fmt::Display for Unreadable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} is damaged in bytes {} to {}, offsets {} to {} (exclusive): {}",
            self.path.display(),
            self.position,
            self.end_position,
            self.offset,
            self.end_offset,
            self.reason
        )
    }
}

/// Reads a segment batch by batch and checks everything that can be checked: checksums, rising
/// offsets, leader epochs that do not fall, offsets that belong to the segment.
pub(crate) struct Walk<'a> {
    files: &'a SegmentFiles,
    scan: Scan<'a>,
    end: u64,
    expected: Offset,
    /// The offset that no batch of this segment may reach.
    limit: Offset,
    epoch: Option<LeaderEpoch>,
    /// No batch after a gap may reach beyond this offset: the log is known to end there.
    known_end: Option<Offset>,
    /// The leader epochs from their file, and the offset below which they were on the disk.
    epochs: Option<(&'a LeaderEpochCache, Offset)>,
}

/// What a walk finds next.
pub(crate) enum Step<'b> {
    Batch {
        position: u64,
        batch: Batch<'b>,
    },
    /// The bytes at the walk's position are no good batch. [`Walk::skip`] goes on after them.
    Flaw(String),
}

impl<'a> Walk<'a> {
    /// From the start of a segment of `end` bytes. `limit` is the base offset of the next segment.
    pub(crate) fn new(files: &'a SegmentFiles, end: u64, limit: Option<Offset>) -> Self {
        let base = files.base_offset();
        let fits = Offset(base.0.saturating_add(i64::from(i32::MAX) + 1));
        Self {
            files,
            scan: Scan::batches(files, 0, end),
            end,
            expected: base,
            limit: limit.map_or(fits, |limit| limit.min(fits)),
            epoch: None,
            known_end: None,
            epochs: None,
        }
    }

    /// Batches below `expected` or of an older leader than `epoch` are no good.
    pub(crate) fn after(mut self, expected: Offset, epoch: Option<LeaderEpoch>) -> Self {
        self.expected = self.expected.max(expected);
        self.epoch = epoch;
        self
    }

    /// Where the log ends, when that is known for certain.
    pub(crate) fn with_known_end(self, known_end: Option<Offset>) -> Self {
        Self { known_end, ..self }
    }

    /// The leader epochs as their file has them; they count for batches below `flushed`.
    pub(crate) fn with_epochs(self, epochs: &'a LeaderEpochCache, flushed: Offset) -> Self {
        let epochs = Some((epochs, flushed));
        Self { epochs, ..self }
    }

    /// Where the next batch begins.
    pub(crate) fn position(&self) -> u64 {
        self.scan.position()
    }

    /// The offset after the last good batch.
    pub(crate) fn expected(&self) -> Offset {
        self.expected
    }

    /// The next batch, or why there is none at the walk's position; `None` at the end.
    pub(crate) fn next(&mut self) -> Result<Option<Step<'_>>, StorageError> {
        let header = match self.scan.peek_whole() {
            Ok(Some(header)) => header,
            Ok(None) => return Ok(None),
            Err(ScanError::Storage(error)) => return Err(error),
            Err(ScanError::Batch { error, .. }) => return Ok(Some(Step::Flaw(error.to_string()))),
        };
        if let Some(reason) = self.flaw_of(&header)? {
            return Ok(Some(Step::Flaw(reason)));
        }
        self.expected = header.next_offset();
        self.epoch = self.epoch.max(header.partition_leader_epoch);
        let position = self.scan.position();
        let bytes = self.scan.take(header.size as usize);
        let batch = Batch {
            header,
            bytes,
            position: position as usize,
        };
        Ok(Some(Step::Batch { position, batch }))
    }

    /// What is wrong with the batch at the position, whose bytes are all there.
    fn flaw_of(&mut self, header: &BatchHeader) -> Result<Option<String>, StorageError> {
        if let Err(error) = header.check_crc(self.scan.here(header.size as usize)) {
            return Ok(Some(error.to_string()));
        }
        let (base, next) = (header.base_offset, header.next_offset());
        if base < self.expected || next > self.limit {
            return Ok(Some(format!(
                "offsets {base} to {next} are outside of {} to {}",
                self.expected, self.limit
            )));
        }
        let epoch = header.partition_leader_epoch;
        if epoch.is_some() && epoch < self.epoch {
            return Ok(Some(format!(
                "leader epoch {} is older than that of the batches before",
                LeaderEpoch::to_wire(epoch)
            )));
        }
        let gap = base > self.expected;
        if gap && self.known_end.is_some_and(|known_end| next > known_end) {
            return Ok(Some(format!(
                "offset {base} does not follow {}, and the log ended before {next}",
                self.expected
            )));
        }
        let of_file = self.epochs.filter(|(_, flushed)| base < *flushed);
        let of_file = of_file.map(|(epochs, _)| epochs);
        let matches_file = of_file.is_none_or(|epochs| epochs.epoch_for_offset(base) == epoch);
        if !gap && epoch == self.epoch && matches_file {
            return Ok(None);
        }
        // The offset or the epoch jumps. When the next batch does not follow the jump but would
        // follow the batch before it, this one's header is wrong.
        let after = self.scan.header_after(header.size as usize)?;
        if let Some(epochs) = of_file.filter(|_| !matches_file) {
            let before = self.expected.previous().map(|offset| (offset, self.epoch));
            let next = after.map(|it| (it.base_offset, it.partition_leader_epoch));
            if epochs.is_confirmed(base, [before, next]) {
                return Ok(Some(format!(
                    "leader epoch {} is not that of the batches around",
                    LeaderEpoch::to_wire(epoch)
                )));
            }
        }
        let Some(after) = after else {
            return Ok(None);
        };
        if gap && after.base_offset < next && after.base_offset >= self.expected {
            return Ok(Some(format!(
                "base offset {base} is between {} and {}",
                self.expected, after.base_offset
            )));
        }
        if after.partition_leader_epoch.is_some()
            && after.partition_leader_epoch < epoch
            && after.partition_leader_epoch >= self.epoch
            && after.base_offset >= next
        {
            return Ok(Some(format!(
                "leader epoch {} is newer than that of the batches around",
                LeaderEpoch::to_wire(epoch)
            )));
        }
        Ok(None)
    }

    /// Goes on after bytes that are no good batch. Without a good batch after them the damage
    /// reaches to the end of the file, and to `end_offset`.
    pub(crate) fn skip(
        &mut self,
        reason: String,
        end_offset: Offset,
    ) -> Result<Unreadable, StorageError> {
        let position = self.scan.position();
        let end_of_damage = match self.next_good(position)? {
            Some((found, header)) => {
                self.scan.go_to(found);
                (found, header.base_offset)
            }
            None => {
                self.scan.go_to(self.end);
                (self.end, end_offset.max(self.expected))
            }
        };
        let damage = Unreadable {
            path: self.files.path(LOG_SUFFIX),
            base_offset: self.files.base_offset(),
            position,
            end_position: end_of_damage.0,
            offset: self.expected,
            end_offset: end_of_damage.1,
            reason,
        };
        self.expected = damage.end_offset;
        Ok(damage)
    }

    /// The file ends before `end_offset`, up to which records were known to be in it.
    pub(crate) fn missing_tail(&self, end_offset: Offset) -> Unreadable {
        Unreadable {
            path: self.files.path(LOG_SUFFIX),
            base_offset: self.files.base_offset(),
            position: self.end,
            end_position: self.end,
            offset: self.expected,
            end_offset,
            reason: "the file ends here, records that were in it are missing".to_owned(),
        }
    }

    /// The first good batch after the bad one at `from`.
    fn next_good(&mut self, from: u64) -> Result<Option<(u64, BatchHeader)>, StorageError> {
        // Often only the records are damaged, and the length still leads to the next batch.
        if let Ok(Some(header)) = self.scan.peek_whole()
            && let Some(found) = self.good_at(from + u64::from(header.size))?
        {
            return Ok(Some(found));
        }
        search(self.files, from + 1, self.end, |header| {
            header.base_offset >= self.expected && header.next_offset() <= self.limit
        })
    }

    fn good_at(&self, position: u64) -> Result<Option<(u64, BatchHeader)>, StorageError> {
        let head = self.files.read(position, BATCH_HEADER_SIZE)?;
        let Ok(header) = BatchHeader::parse(&head) else {
            return Ok(None);
        };
        let fits = header.base_offset >= self.expected && header.next_offset() <= self.limit;
        if !fits || !is_whole(self.files, position, self.end, &header)? {
            return Ok(None);
        }
        Ok(Some((position, header)))
    }
}

/// Whether the batch at `position` ends before `end` and has a good checksum.
fn is_whole(
    files: &SegmentFiles,
    position: u64,
    end: u64,
    header: &BatchHeader,
) -> Result<bool, StorageError> {
    if position + u64::from(header.size) > end {
        return Ok(false);
    }
    let bytes = files.read(position, header.size as usize)?;
    Ok(header.check_crc(&bytes).is_ok())
}

/// Looks at every byte from `from` on for a whole batch that `fits`.
fn search(
    files: &SegmentFiles,
    from: u64,
    end: u64,
    fits: impl Fn(&BatchHeader) -> bool,
) -> Result<Option<(u64, BatchHeader)>, StorageError> {
    const WINDOW: usize = 1 << 20;
    let mut at = from;
    while at + BATCH_HEADER_SIZE as u64 <= end {
        let length = (WINDOW as u64).min(end - at) as usize;
        let window = files.read(at, length)?;
        let Some(last) = window.len().checked_sub(BATCH_HEADER_SIZE) else {
            return Ok(None);
        };
        for start in 0..=last {
            let head = &window[start..start + BATCH_HEADER_SIZE];
            let Some(header) = BatchHeader::parse(head).ok().filter(&fits) else {
                continue;
            };
            let position = at + start as u64;
            if is_whole(files, position, end, &header)? {
                return Ok(Some((position, header)));
            }
        }
        at += last as u64 + 1;
    }
    Ok(None)
}

/// The headers of a segment in their order. Damaged ranges are passed over, and so are batches
/// whose offsets do not rise.
pub(crate) struct Headers<'a> {
    files: &'a SegmentFiles,
    scan: Scan<'a>,
    end: u64,
    expected: Offset,
}

impl<'a> Headers<'a> {
    pub(crate) fn new(files: &'a SegmentFiles, position: u64, end: u64) -> Self {
        Self {
            files,
            scan: Scan::headers(files, position, end),
            end,
            expected: files.base_offset(),
        }
    }

    pub(crate) fn next(&mut self) -> Result<Option<(u64, BatchHeader)>, StorageError> {
        loop {
            match self.scan.next_header() {
                Ok(None) => return Ok(None),
                Ok(Some((position, header))) if header.base_offset >= self.expected => {
                    self.expected = header.next_offset();
                    return Ok(Some((position, header)));
                }
                Ok(Some(_)) => {}
                Err(ScanError::Storage(error)) => return Err(error),
                Err(ScanError::Batch { position, .. }) => {
                    let expected = self.expected;
                    let limit = i64::from(i32::MAX) + 1;
                    let limit = self.files.base_offset().0.saturating_add(limit);
                    let found = search(self.files, position + 1, self.end, |header| {
                        header.base_offset >= expected && header.next_offset().0 <= limit
                    })?;
                    let Some((found, _)) = found else {
                        return Ok(None);
                    };
                    self.scan.go_to(found);
                }
            }
        }
    }
}
