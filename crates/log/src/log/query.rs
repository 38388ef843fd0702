//! Questions about the log's content.

use std::sync::Arc;

use dohle_model::{ErrorCode, Offset, Timestamp};

use super::Log;
use crate::error::StorageError;
use crate::index::AbortedTxn;
use crate::segment::Segment;
use crate::segment::read::{
    ReadInfo, ReadLimits, ReadPlan, SegmentView, Start, TimestampOffset, TimestampPlan,
};

/// Why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is outside the log.
    #[error("offset {offset} is out of range, the log has [{log_start_offset}, {log_end_offset}]")]
    OffsetOutOfRange {
        /// The offset that was asked for.
        offset: Offset,
        /// The first offset.
        log_start_offset: Offset,
        /// The offset after the last.
        log_end_offset: Offset,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ReadError {
    /// Kafka's code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Storage(error) => error.code(),
        }
    }
}

impl Log {
    /// Plans a read from `offset` on; [`ReadPlan::read`] then needs no lock. At the log's end the
    /// plan reads nothing.
    ///
    /// # Errors
    /// When the offset is outside the log, or a file cannot be opened.
    pub fn plan_read(&self, offset: Offset, limits: ReadLimits) -> Result<ReadPlan, ReadError> {
        if offset < self.log_start_offset || offset > self.log_end_offset {
            return Err(ReadError::OffsetOutOfRange {
                offset,
                log_start_offset: self.log_start_offset,
                log_end_offset: self.log_end_offset,
            });
        }
        let mut segments = Vec::new();
        if offset < self.log_end_offset && offset < limits.upper_bound {
            let at = self.floor_segment(offset);
            segments.push(Self::view(
                &self.segments[at],
                self.segments[at].start_for_read(offset),
            )?);
            // Compaction may have taken a segment's last batches, or all: then the next one that
            // has any goes on, and its first batch is what is looked for.
            let mut rest = self.segments[at + 1..].iter();
            if let Some(next) = rest.find(|segment| segment.size > 0) {
                segments.push(Self::view(next, Start::At(0))?);
            }
        }
        Ok(ReadPlan {
            offset,
            limits,
            segments,
        })
    }

    fn view(segment: &Segment, start: Start) -> Result<SegmentView, StorageError> {
        // Opened now, the file stays readable when retention renames it meanwhile.
        segment.files.log()?;
        Ok(SegmentView {
            files: Arc::clone(&segment.files),
            start,
            end: segment.size,
            truncations: segment.files.truncations(),
        })
    }

    /// Plans and reads at once.
    ///
    /// # Errors
    /// As [`Log::plan_read`] and [`ReadPlan::read`].
    pub fn read(&self, offset: Offset, limits: ReadLimits) -> Result<ReadInfo, ReadError> {
        Ok(self.plan_read(offset, limits)?.read()?)
    }

    /// Plans the search for the first record at `timestamp` or later.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn plan_offset_for_timestamp(
        &self,
        timestamp: Timestamp,
    ) -> Result<TimestampPlan, StorageError> {
        let mut segments = Vec::new();
        // Segments whose records are all older are passed over by their largest timestamp.
        let mut found = false;
        for segment in &self.segments {
            found = found
                || segment
                    .max_timestamp()?
                    .is_some_and(|max| max.timestamp >= timestamp.0);
            if !found || segment.size == 0 {
                continue;
            }
            segments.push(Self::view(segment, segment.start_for_timestamp(timestamp))?);
        }
        Ok(TimestampPlan {
            timestamp,
            log_start_offset: self.log_start_offset,
            segments,
        })
    }

    /// The first record at `timestamp` or later; `None` when all are older.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn offset_for_timestamp(
        &self,
        timestamp: Timestamp,
    ) -> Result<Option<TimestampOffset>, StorageError> {
        self.plan_offset_for_timestamp(timestamp)?.find()
    }

    /// The record with the largest timestamp, the first of them; `None` for an empty log.
    ///
    /// # Errors
    /// When a file cannot be read.
    pub fn offset_of_max_timestamp(&self) -> Result<Option<TimestampOffset>, StorageError> {
        let mut latest: Option<i64> = None;
        for segment in &self.segments {
            let max = segment.max_timestamp()?.map(|max| max.timestamp);
            latest = latest.max(max);
        }
        match latest {
            Some(timestamp) => self.offset_for_timestamp(Timestamp(timestamp)),
            None => Ok(None),
        }
    }

    /// The transactions that were aborted among records of `[fetch_offset, upper_bound)`.
    #[must_use]
    pub fn aborted_transactions(
        &self,
        fetch_offset: Offset,
        upper_bound: Offset,
    ) -> Vec<AbortedTxn> {
        let mut found = Vec::new();
        for segment in &self.segments[self.floor_segment(fetch_offset)..] {
            for aborted in &segment.aborted {
                if aborted.last_offset >= fetch_offset && aborted.first_offset < upper_bound {
                    found.push(*aborted);
                }
                // What follows began after the bound.
                if aborted.last_stable_offset >= upper_bound {
                    return found;
                }
            }
        }
        found
    }
}
