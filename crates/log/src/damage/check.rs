//! Reads a whole segment and finds what is damaged in it.

use std::sync::Arc;

use dohle_model::Offset;

use super::{Damage, misplaced};
use crate::batch::{BATCH_HEADER_SIZE, BatchError, BatchHeader};
use crate::clean::Pace;
use crate::error::StorageError;
use crate::leader_epoch::LeaderEpochCache;
use crate::segment::files::SegmentFiles;
use crate::segment::scan::{Scan, ScanError};

/// Bytes that a check reads at a time, unless a batch is larger.
const CHUNK_BYTES: usize = 256 << 10;

/// A check of one segment, to be run without the log's lock.
#[derive(Debug)]
pub struct SegmentCheck {
    pub(crate) files: Arc<SegmentFiles>,
    pub(crate) size: u64,
    /// The base offset of the next segment, or the log's end.
    pub(crate) end: Offset,
    pub(crate) truncations: u32,
    pub(crate) generation: u64,
    pub(crate) leader_epochs: LeaderEpochCache,
}

/// A batch whose checksum is good and whose offsets were believed.
#[derive(Debug, Clone, Copy)]
struct Accepted {
    position: u64,
    size: u64,
    /// The offset that was expected where it begins.
    expected: Offset,
    begins_after_gap: bool,
}

impl SegmentCheck {
    /// The base offset of the segment.
    #[must_use]
    pub fn segment(&self) -> Offset {
        self.files.base_offset()
    }

    /// Where the offsets of the segment end: the base offset of the next one, or the log's end.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Reads the segment and checks checksum, offsets and leader epoch of each batch. Calls `pace`
    /// with the bytes of each batch; `pace` may wait and returns whether the check goes on. Returns
    /// the damaged ranges in the order of their offsets, or `None` when the check was stopped or
    /// the segment was truncated, deleted or replaced meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn run(&self, pace: Pace<'_>) -> Result<Option<Vec<Damage>>, StorageError> {
        let found = self.walk(pace);
        if self.files.truncations() != self.truncations {
            return Ok(None);
        }
        found
    }

    fn walk(&self, pace: Pace<'_>) -> Result<Option<Vec<Damage>>, StorageError> {
        let mut damage = Vec::new();
        let mut expected = self.segment();
        let mut last: Option<Accepted> = None;
        let mut scan = self.scan(0);
        loop {
            let position = scan.position();
            match self.next(&mut scan, expected) {
                Ok(None) => return Ok(Some(damage)),
                Ok(Some(header)) => {
                    let size = u64::from(header.size);
                    last = Some(Accepted {
                        position,
                        size,
                        expected,
                        begins_after_gap: header.base_offset > expected,
                    });
                    expected = header.next_offset();
                    if !pace(size) {
                        return Ok(None);
                    }
                }
                Err(Broken::Storage(error)) => return Err(error),
                Err(Broken::Overlaps { base, .. })
                    if last.is_some_and(|it| it.begins_after_gap && base >= it.expected) =>
                {
                    // Of two batches that overlap, the one that left a gap before it is wrong: only
                    // a base offset that grew explains both.
                    let wrong = last.take().expect("the guard has seen it");
                    damage.push(Damage {
                        segment: self.segment(),
                        position: wrong.position,
                        length: wrong.size,
                        start: wrong.expected,
                        end: base,
                        reason: "the batch's base offset is larger than that of the next".into(),
                    });
                    expected = base;
                    scan = self.scan(position);
                }
                Err(Broken::Overlaps { reason, size, .. }) => {
                    let found = self.contained(position, Some(size), expected, reason)?;
                    expected = found.end;
                    scan = self.scan(found.position + found.length);
                    damage.push(found);
                }
                Err(Broken::Batch { reason, size }) => {
                    let found = self.contained(position, size, expected, reason)?;
                    expected = found.end;
                    scan = self.scan(found.position + found.length);
                    damage.push(found);
                }
            }
        }
    }

    fn scan(&self, position: u64) -> Scan<'_> {
        Scan::batches(&self.files, position, self.size).with_chunk(CHUNK_BYTES)
    }

    /// The next batch's header, when all of the batch is good.
    fn next(&self, scan: &mut Scan<'_>, expected: Offset) -> Result<Option<BatchHeader>, Broken> {
        let mut seen = None;
        let next = scan.next_batch(|_, batch| {
            seen = Some(batch.header);
            batch.header.check_crc(batch.bytes)
        });
        let size = seen.map(|header| u64::from(header.size));
        match (next, seen) {
            (Ok(true), Some(header)) => {
                match misplaced(&header, expected, self.end, &self.leader_epochs) {
                    None => Ok(Some(header)),
                    Some(reason) => Err(Broken::Overlaps {
                        base: header.base_offset,
                        size: u64::from(header.size),
                        reason,
                    }),
                }
            }
            (Ok(_), _) => Ok(None),
            (Err(ScanError::Storage(error)), _) => Err(Broken::Storage(error)),
            (Err(ScanError::Batch { error, .. }), _) => Err(Broken::Batch {
                reason: error.to_string(),
                size,
            }),
        }
    }

    /// The damage of a batch at `position`. Where its length can be believed, because a batch
    /// follows there that fits, the damage ends with it; otherwise with the segment.
    fn contained(
        &self,
        position: u64,
        size: Option<u64>,
        expected: Offset,
        reason: String,
    ) -> Result<Damage, StorageError> {
        let mut found = Damage {
            segment: self.segment(),
            position,
            length: self.size - position,
            start: expected,
            end: self.end,
            reason,
        };
        if let Some(size) = size
            && let Some(next) = self.header_at(position + size)?
            && next.base_offset > expected
            && next.next_offset() <= self.end
        {
            found.length = size;
            found.end = next.base_offset;
        }
        Ok(found)
    }

    fn header_at(&self, position: u64) -> Result<Option<BatchHeader>, StorageError> {
        if position >= self.size {
            return Ok(None);
        }
        let bytes = self.files.read(position, BATCH_HEADER_SIZE)?;
        let parsed: Result<BatchHeader, BatchError> = BatchHeader::parse(&bytes);
        Ok(parsed
            .ok()
            .filter(|header| position + u64::from(header.size) <= self.size))
    }
}

/// Why a batch is not good.
#[derive(Debug)]
enum Broken {
    Storage(StorageError),
    /// The bytes are no batch, or their checksum is wrong. `size` is what the header claims.
    Batch {
        reason: String,
        size: Option<u64>,
    },
    /// The checksum is good, but not what it does not cover: the base offset or the leader epoch.
    Overlaps {
        base: Offset,
        size: u64,
        reason: String,
    },
}
