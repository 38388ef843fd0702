//! Writes a new segment of the good batches of a damaged one and of what another replica supplies.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use dohle_model::{Offset, Timestamp};

use super::{Damage, misplaced};
use crate::batch::{BatchError, BatchHeader, Batches};
use crate::clean::{CleanError, CleanedFiles, CleanedSegment, Throttle, Writer};
use crate::error::StorageError;
use crate::leader_epoch::LeaderEpochCache;
use crate::producer_state::ProducerState;
use crate::segment::files::SegmentFiles;
use crate::segment::scan::{Scan, ScanError};

/// Why a segment was not repaired. The log is as it was before.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// `throttle` stopped the repair.
    #[error("the repair was stopped")]
    Stopped,
    /// What the other replica supplied does not belong where records are missing.
    #[error("the replica's batches do not fit: {0}")]
    DoesNotFit(String),
    /// More of the segment is damaged than was known.
    #[error("the segment has further damage at byte {position}: {error}")]
    FurtherDamage {
        /// Where it begins.
        position: u64,
        /// What is wrong.
        error: BatchError,
    },
}

impl From<CleanError> for RepairError {
    fn from(error: CleanError) -> Self {
        match error {
            CleanError::Storage(error) => Self::Storage(error),
            CleanError::Stopped => Self::Stopped,
            CleanError::Uncleanable(reason) => Self::DoesNotFit(reason),
        }
    }
}

/// The repair of one segment, see the module. Dropping it removes what it has written.
#[derive(Debug)]
pub struct Repair {
    pub(crate) source: Arc<SegmentFiles>,
    pub(crate) size: u64,
    /// In the order of their offsets.
    pub(crate) damage: Vec<Damage>,
    pub(crate) leader_epochs: LeaderEpochCache,
    /// Whether offsets may be missing: the log is compacted.
    pub(crate) has_gaps: bool,
    pub(crate) modified: Timestamp,
    pub(crate) generation: u64,
    pub(crate) files: CleanedFiles,
    pub(crate) writer: Writer,
    /// The producers below the next batch: the transactions that the segment aborts are found anew,
    /// since damaged markers were passed over when the log was opened.
    pub(crate) producers: ProducerState,
    /// Bytes of the old segment that are copied or passed over.
    pub(crate) copied: u64,
    /// How many ranges were asked for.
    pub(crate) asked: usize,
    pub(crate) expected: Offset,
    /// Held as long as the repair runs, so that compaction does not begin.
    pub(crate) _token: Arc<()>,
}

impl Repair {
    /// The base offset of the segment.
    #[must_use]
    pub fn segment(&self) -> Offset {
        self.source.base_offset()
    }

    /// Where the next batch belongs: everything below is written.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.expected
    }

    /// Copies the good batches up to the next damaged range. Returns that range, whose batches
    /// [`Repair::supply`] then has to get, or `None` when all is copied. Blocks on the disk.
    ///
    /// # Errors
    /// [`RepairError`]; also when the range before was not supplied to its end.
    pub fn next_missing(
        &mut self,
        throttle: Throttle<'_>,
    ) -> Result<Option<Range<Offset>>, RepairError> {
        loop {
            self.check_supplied()?;
            let next = self.damage.get(self.asked).cloned();
            let end = next.as_ref().map_or(self.size, |next| next.position);
            self.copy_to(end, throttle)?;
            let Some(next) = next else {
                return Ok(None);
            };
            self.asked += 1;
            self.copied = next.position + next.length;
            self.expected = next.start;
            // Superfluous bytes take the place of no records.
            if next.start < next.end {
                return Ok(Some(next.start..next.end));
            }
        }
    }

    fn check_supplied(&self) -> Result<(), RepairError> {
        let Some(range) = self.asked.checked_sub(1).map(|at| &self.damage[at]) else {
            return Ok(());
        };
        if self.expected < range.end && !self.has_gaps {
            return Err(RepairError::DoesNotFit(format!(
                "they end at offset {}, and {} is missing up to {}",
                self.expected, self.expected, range.end
            )));
        }
        Ok(())
    }

    fn copy_to(&mut self, end: u64, throttle: Throttle<'_>) -> Result<(), RepairError> {
        let source = Arc::clone(&self.source);
        let mut scan = Scan::batches(&source, self.copied, end);
        loop {
            let mut last = None;
            let next = scan.next_batch(|_, batch| {
                batch.header.check_crc(batch.bytes)?;
                last = Some(batch.header.next_offset());
                let aborted = self.producers.take_batch(batch);
                self.writer.segment.aborted.extend(aborted);
                self.writer.put(batch.bytes)
            });
            match next {
                Ok(true) => {}
                Ok(false) => break,
                Err(ScanError::Storage(error)) => return Err(error.into()),
                Err(ScanError::Batch { position, error }) => {
                    return Err(RepairError::FurtherDamage { position, error });
                }
            }
            self.expected = last.unwrap_or(self.expected);
            self.writer.flush_if_full(throttle)?;
        }
        self.copied = end;
        Ok(())
    }

    /// Takes batches of the range that [`Repair::next_missing`] returned last, in order. A range
    /// may be supplied in several pieces. Blocks on the disk.
    ///
    /// # Errors
    /// [`RepairError::DoesNotFit`] when a checksum is wrong, or offsets or leader epoch are not
    /// those of the range.
    pub fn supply(&mut self, bytes: &Bytes, throttle: Throttle<'_>) -> Result<(), RepairError> {
        let range = self.asked.checked_sub(1).map(|at| &self.damage[at]);
        let end = range.map_or(self.expected, |range| range.end);
        for batch in Batches::new(bytes) {
            let does_not_fit = |error: BatchError| RepairError::DoesNotFit(error.to_string());
            let batch = batch.map_err(does_not_fit)?;
            batch.header.check_crc(batch.bytes).map_err(does_not_fit)?;
            self.check_supply(&batch.header, end)?;
            let aborted = self.producers.take_batch(&batch);
            self.writer.segment.aborted.extend(aborted);
            self.writer.put(batch.bytes).map_err(does_not_fit)?;
            self.expected = batch.header.next_offset();
            self.writer.flush_if_full(throttle)?;
        }
        Ok(())
    }

    fn check_supply(&self, header: &BatchHeader, end: Offset) -> Result<(), RepairError> {
        if let Some(reason) = misplaced(header, self.expected, end, &self.leader_epochs) {
            return Err(RepairError::DoesNotFit(reason));
        }
        if header.base_offset > self.expected && !self.has_gaps {
            return Err(RepairError::DoesNotFit(format!(
                "offsets {} to below {} are missing",
                self.expected, header.base_offset
            )));
        }
        Ok(())
    }

    /// Forces the new segment to the disk. It then waits for [`crate::Log::replace_segments`].
    ///
    /// # Errors
    /// [`RepairError`].
    pub fn finish(mut self, throttle: Throttle<'_>) -> Result<CleanedSegment, RepairError> {
        self.check_supplied()?;
        self.writer.flush(throttle)?;
        let base = self.segment();
        let segment = self.writer.finish(&self.files, Some(self.modified))?;
        Ok(CleanedSegment {
            files: self.files,
            segment,
            replaces: vec![base],
            generation: self.generation,
            damage: self.damage,
            reason: "it was damaged and is repaired",
        })
    }
}
