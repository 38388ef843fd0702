//! Walks over a segment's bytes, finds those that are not valid batches, and finds where valid
//! records continue after them.
//!
//! The checksum does not cover base offset, length, leader epoch and magic of a header. A wrong
//! length or magic is detected in other ways; offset and epoch are compared with the batches
//! around. When two batches have the same offsets, and either header may be the wrong one, both
//! count as damaged. A wrong base offset is not detected when a batch next to it is damaged as well
//! and no offsets overlap, since compaction leaves gaps between offsets.

use dohle_model::{LeaderEpoch, Offset};

use super::damage::{Damage, misplaced};
use super::files::SegmentFiles;
use super::scan::{Scan, ScanError};
use crate::batch::{BATCH_HEADER_SIZE, Batch, BatchHeader};
use crate::error::StorageError;
use crate::leader_epoch::LeaderEpochCache;

/// Bytes that a check of a log in use reads at a time, unless a batch is larger.
const CHECK_CHUNK_BYTES: usize = 256 << 10;

/// A walk that reads a segment batch by batch and checks checksums, increasing offsets, leader
/// epochs that do not decrease, and offsets that belong to the segment.
pub(crate) struct Walk<'a> {
    files: &'a SegmentFiles,
    scan: Scan<'a>,
    end: u64,
    expected: Offset,
    /// The offset that no batch of this segment may reach.
    limit: Offset,
    epoch: Option<LeaderEpoch>,
    /// The known end of the log. No batch after a gap may reach beyond this offset.
    known_end: Option<Offset>,
    /// The leader epochs from their file, and the offset below which they were on the disk.
    epochs: Option<(&'a LeaderEpochCache, Offset)>,
    /// The leader epochs of a log in use, which are known to be correct.
    certain_epochs: Option<&'a LeaderEpochCache>,
    /// The position of a batch that has offsets of the invalid one before it: either header may be
    /// the wrong one.
    suspect: Option<u64>,
}

/// The next result of a walk.
pub(crate) enum Step<'b> {
    Batch {
        position: u64,
        batch: Batch<'b>,
    },
    /// The bytes at the walk's position are not a valid batch. [`Walk::skip`] continues after them.
    Flaw(String),
}

impl<'a> Walk<'a> {
    /// Creates a walk from the start of a segment of `end` bytes. `limit` is the base offset of the
    /// next segment.
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
            certain_epochs: None,
            suspect: None,
        }
    }

    /// Treats batches below `expected` or with an older leader epoch than `epoch` as invalid.
    pub(crate) fn after(mut self, expected: Offset, epoch: Option<LeaderEpoch>) -> Self {
        self.expected = self.expected.max(expected);
        self.epoch = epoch;
        self
    }

    /// Sets the end of the log, if it is known for certain.
    pub(crate) fn with_known_end(self, known_end: Option<Offset>) -> Self {
        Self { known_end, ..self }
    }

    /// Sets the leader epochs from their file, which apply to batches below `flushed`.
    pub(crate) fn with_epochs(self, epochs: &'a LeaderEpochCache, flushed: Offset) -> Self {
        let epochs = Some((epochs, flushed));
        Self { epochs, ..self }
    }

    /// Sets the leader epochs of a log in use: a batch with another one is invalid.
    pub(crate) fn of_leaders(self, epochs: &'a LeaderEpochCache) -> Self {
        Self {
            scan: self.scan.with_chunk(CHECK_CHUNK_BYTES),
            certain_epochs: Some(epochs),
            ..self
        }
    }

    /// Returns the position of the next batch.
    pub(crate) fn position(&self) -> u64 {
        self.scan.position()
    }

    /// Returns the offset after the last valid batch.
    pub(crate) fn expected(&self) -> Offset {
        self.expected
    }

    /// Returns the next batch, or why the bytes at the walk's position are not a batch; `None` at
    /// the end.
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

    /// Returns what is wrong with the batch at the position, whose bytes are all in the file.
    fn flaw_of(&mut self, header: &BatchHeader) -> Result<Option<String>, StorageError> {
        if let Err(error) = header.check_crc(self.scan.here(header.size as usize)) {
            return Ok(Some(error.to_string()));
        }
        if let Some(epochs) = self.certain_epochs
            && let Some(reason) = misplaced(header, self.expected, self.limit, epochs)
        {
            return Ok(Some(reason));
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
                "leader epoch {} is older than that of the batch before",
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
        // The offset or the epoch jumps. If the next batch does not follow this one but would
        // follow the one before it, the header of this batch is wrong.
        let after = self.scan.header_after(header.size as usize)?;
        if let Some(epochs) = of_file.filter(|_| !matches_file) {
            let before = self.expected.previous().map(|offset| (offset, self.epoch));
            let next = after.map(|it| (it.base_offset, it.partition_leader_epoch));
            if epochs.is_confirmed(base, [before, next]) {
                return Ok(Some(format!(
                    "leader epoch {} is not that of the batches around it",
                    LeaderEpoch::to_wire(epoch)
                )));
            }
        }
        let Some(after) = after else {
            return Ok(None);
        };
        if gap && after.base_offset < next && after.base_offset >= self.expected {
            // A batch that would end where the next one begins, if it began where it was expected,
            // has a wrong base offset itself.
            let fits_between = after.base_offset.0 - self.expected.0 == next.0 - base.0;
            if !fits_between {
                self.suspect = Some(self.scan.position() + u64::from(header.size));
            }
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
                "leader epoch {} is newer than that of the batches around it",
                LeaderEpoch::to_wire(epoch)
            )));
        }
        Ok(None)
    }

    /// Continues after bytes that are not a valid batch. If no valid batch follows, the damage
    /// reaches to the end of the file, and to `end_offset`.
    pub(crate) fn skip(
        &mut self,
        reason: String,
        end_offset: Offset,
    ) -> Result<Damage, StorageError> {
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
        let damage = Damage {
            segment: self.files.base_offset(),
            position,
            length: end_of_damage.0 - position,
            start: self.expected,
            end: end_of_damage.1,
            reason,
        };
        self.expected = damage.end;
        Ok(damage)
    }

    /// Returns the damage of a file that ends before `end`, up to which it is known to have had
    /// records.
    pub(crate) fn missing_tail(&self, end: Offset) -> Damage {
        Damage {
            segment: self.files.base_offset(),
            position: self.end,
            length: 0,
            start: self.expected,
            end,
            reason: "the file ends here, although it had more records".to_owned(),
        }
    }

    /// Returns the first valid batch after the invalid one at `from`.
    fn next_good(&mut self, from: u64) -> Result<Option<(u64, BatchHeader)>, StorageError> {
        // Often only the records are damaged, and the length still leads to the next batch.
        if let Ok(Some(header)) = self.scan.peek_whole() {
            let position = from + u64::from(header.size);
            if let Some(header) = self.header_at(position)?
                && self.goes_on(position, &header)?
            {
                return Ok(Some((position, header)));
            }
        }
        let (files, end) = (self.files, self.end);
        search(files, from + 1, end, |position, header| {
            self.goes_on(position, header)
        })
    }

    /// Returns whether valid records continue after damage with this batch.
    fn goes_on(&mut self, position: u64, header: &BatchHeader) -> Result<bool, StorageError> {
        let (base, next) = (header.base_offset, header.next_offset());
        let fits = match self.certain_epochs {
            Some(epochs) => misplaced(header, self.expected, self.limit, epochs).is_none(),
            None => base >= self.expected && next <= self.limit,
        };
        if !fits
            || self.suspect == Some(position)
            || !is_whole(self.files, position, self.end, header)?
        {
            return Ok(false);
        }
        // The checksum does not cover the base offset, and the offset before these batches is
        // unknown.
        let position = position + u64::from(header.size);
        let overlaps = self
            .header_at(position)?
            .is_some_and(|after| (self.expected..next).contains(&after.base_offset));
        if overlaps {
            self.suspect = Some(position);
        }
        Ok(!overlaps)
    }

    fn header_at(&self, position: u64) -> Result<Option<BatchHeader>, StorageError> {
        if position >= self.end {
            return Ok(None);
        }
        let head = self.files.read(position, BATCH_HEADER_SIZE)?;
        Ok(BatchHeader::parse(&head).ok())
    }
}

/// Returns whether the batch at `position` ends before `end` and has a valid checksum.
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

/// Searches every byte from `from` on for the start of a batch that `accepts` accepts.
fn search(
    files: &SegmentFiles,
    from: u64,
    end: u64,
    mut accepts: impl FnMut(u64, &BatchHeader) -> Result<bool, StorageError>,
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
            let Ok(header) = BatchHeader::parse(head) else {
                continue;
            };
            let position = at + start as u64;
            if accepts(position, &header)? {
                return Ok(Some((position, header)));
            }
        }
        at += last as u64 + 1;
    }
    Ok(None)
}

/// Iterates over the headers of a segment in their order. Skips damaged ranges, and batches whose
/// offsets do not increase.
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
                    let found = search(self.files, position + 1, self.end, |position, header| {
                        let fits =
                            header.base_offset >= expected && header.next_offset().0 <= limit;
                        Ok(fits && is_whole(self.files, position, self.end, header)?)
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
