//! Writes a new segment from the valid batches of a damaged one and the batches that another
//! replica supplies.

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

/// The reason why a segment was not repaired. The log has not changed.
#[derive(Debug, thiserror::Error)]
pub enum RepairError {
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// `throttle` stopped the repair.
    #[error("the repair was stopped")]
    Stopped,
    /// The other replica supplied batches that do not belong into the damaged range.
    #[error("the replica's batches do not fit: {0}")]
    DoesNotFit(String),
    /// The segment has more damage than was known.
    #[error("the segment has further damage at byte {position}: {error}")]
    FurtherDamage {
        /// The position of that damage.
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

/// The repair of one segment; see the module `damage`. Dropping the value removes the files that it
/// has written.
#[derive(Debug)]
pub struct Repair {
    pub(crate) source: Arc<SegmentFiles>,
    pub(crate) size: u64,
    /// The damaged ranges, in the order of their offsets.
    pub(crate) damage: Vec<Damage>,
    pub(crate) leader_epochs: LeaderEpochCache,
    /// Whether the log is compacted, so that offsets may be missing.
    pub(crate) has_gaps: bool,
    pub(crate) modified: Timestamp,
    pub(crate) generation: u64,
    pub(crate) files: CleanedFiles,
    pub(crate) writer: Writer,
    /// The state of producers below the next batch. The aborted transactions of the segment are
    /// determined again, since opening the log skipped damaged markers.
    pub(crate) producers: ProducerState,
    /// Bytes of the old segment that were copied or skipped.
    pub(crate) copied: u64,
    /// The number of ranges that were returned by [`Repair::next_missing`].
    pub(crate) asked: usize,
    pub(crate) expected: Offset,
    /// Held during the repair, so that compaction does not begin.
    pub(crate) _token: Arc<()>,
}

impl Repair {
    /// Returns the base offset of the segment.
    #[must_use]
    pub fn segment(&self) -> Offset {
        self.source.base_offset()
    }

    /// Returns the offset of the next batch; everything below it is written.
    #[must_use]
    pub fn next_offset(&self) -> Offset {
        self.expected
    }

    /// Copies the valid batches up to the next damaged range. Returns that range, for which the
    /// caller passes batches to [`Repair::supply`], or `None` when everything is copied. Blocks on
    /// the disk.
    ///
    /// # Errors
    /// [`RepairError`]; also when the previous range was not supplied completely.
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
            // Superfluous bytes do not replace any records.
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

    /// Appends batches of the range that [`Repair::next_missing`] returned last, in order. A range
    /// may be supplied in several pieces. Blocks on the disk.
    ///
    /// # Errors
    /// [`RepairError::DoesNotFit`] when a checksum is wrong, or an offset or leader epoch does not
    /// belong to the range.
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

    /// Forces the new segment to the disk. The segment has no effect until
    /// [`crate::Log::replace_segments`].
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
