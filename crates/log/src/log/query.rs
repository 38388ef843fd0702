//! Plans reads and searches of the log's content.

use std::sync::Arc;

use dohle_model::{ErrorCode, Offset, Timestamp};

use super::Log;
use crate::aborted::AbortedSearch;
use crate::damage::Damage;
use crate::error::StorageError;
use crate::index::AbortedTxn;
use crate::segment::Segment;
use crate::segment::read::{
    Anchor, ReadInfo, ReadLimits, ReadPlan, SegmentView, Start, TimestampCandidate, TimestampPlan,
    TimestampTarget,
};

/// The reason why nothing can be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The offset is outside the log.
    #[error("offset {offset} is out of range, the log has [{log_start_offset}, {log_end_offset}]")]
    OffsetOutOfRange {
        /// The requested offset.
        offset: Offset,
        /// The log start offset.
        log_start_offset: Offset,
        /// The offset after the last record.
        log_end_offset: Offset,
    },
    /// The offset lies in a known damaged range.
    #[error("{0}")]
    Damaged(Damage),
    /// A file cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl ReadError {
    /// Returns Kafka's error code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::OffsetOutOfRange { .. } => ErrorCode::OffsetOutOfRange,
            Self::Damaged(_) => ErrorCode::CorruptMessage,
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
        let mut limits = limits;
        match self.damage_in(offset, limits.upper_bound) {
            Some(damage) if damage.start <= offset => {
                return Err(ReadError::Damaged(damage.clone()));
            }
            // Records before the damage can be read.
            Some(damage) => limits.upper_bound = damage.start,
            None => {}
        }
        let mut segments = Vec::new();
        if offset < self.log_end_offset && offset < limits.upper_bound {
            let at = self.floor_segment(offset);
            let start = self.segments[at].start_for_read(offset);
            let mut view = self.view(at, start, &limits)?;
            self.keep_off_damage(&mut view, offset);
            segments.push(view);
            // Compaction may have removed the last batches of a segment, or all: then the first
            // batch of the next segment that has any is the one to read.
            let mut rest = at + 1..self.segments.len();
            if let Some(next) = rest.find(|at| self.segments[*at].size > 0)
                && self.segments[next].base_offset < limits.upper_bound
            {
                let mut view = self.view(next, Start::BEGIN, &limits)?;
                self.keep_off_damage(&mut view, offset);
                segments.push(view);
            }
        }
        Ok(ReadPlan {
            offset,
            limits,
            segments,
        })
    }

    /// Limits a read to start after the damage before its offset and to end before the damage after
    /// it, because damaged headers may contain any offset.
    fn keep_off_damage(&self, view: &mut SegmentView, offset: Offset) {
        let base = view.files.base_offset();
        for damage in self.damage.iter().filter(|damage| damage.segment == base) {
            let position = |at: u64| u32::try_from(at).unwrap_or(u32::MAX);
            if damage.end <= offset {
                let position = position(damage.position + damage.length);
                view.start = Start::At { position, offset };
            } else if position(damage.position) < view.end {
                view.end = position(damage.position);
                view.next_offset = damage.start;
            }
        }
    }

    fn view(
        &self,
        at: usize,
        start: Start,
        limits: &ReadLimits,
    ) -> Result<SegmentView, StorageError> {
        let segment = &self.segments[at];
        let next = self.segments.get(at + 1);
        Ok(SegmentView {
            // The file is opened now, so that it stays readable when retention renames it
            // meanwhile.
            files: Arc::new(segment.files.pinned()?),
            start,
            end: segment.size,
            next_offset: next.map_or(self.log_end_offset, |next| next.base_offset),
            anchor: segment.anchor(start, limits.max_bytes, limits.upper_bound),
            truncations: segment.files.truncations(),
            cuts: segment.files.cuts(),
        })
    }

    /// Plans and runs a read.
    ///
    /// # Errors
    /// The same as for [`Log::plan_read`] and [`ReadPlan::read`].
    pub fn read(&self, offset: Offset, limits: ReadLimits) -> Result<ReadInfo, ReadError> {
        Ok(self.plan_read(offset, limits)?.read()?)
    }

    /// Plans the search for the first record at `timestamp` or later. Does not read files.
    #[must_use]
    pub fn plan_offset_for_timestamp(&self, timestamp: Timestamp) -> TimestampPlan {
        self.plan_timestamp(TimestampTarget::AtOrAfter(timestamp), |segment| {
            segment.start_for_timestamp(timestamp)
        })
    }

    /// Plans the search for the first record with the largest timestamp. Does not read files.
    #[must_use]
    pub fn plan_offset_of_max_timestamp(&self) -> TimestampPlan {
        self.plan_timestamp(TimestampTarget::Largest, |_| Start::BEGIN)
    }

    fn plan_timestamp(
        &self,
        target: TimestampTarget,
        start: impl Fn(&Segment) -> Start,
    ) -> TimestampPlan {
        let segments = self.segments.iter().filter(|segment| segment.size > 0);
        let candidate = |segment: &Segment| TimestampCandidate {
            view: SegmentView {
                files: Arc::clone(&segment.files),
                start: start(segment),
                end: segment.size,
                next_offset: self.log_end_offset,
                anchor: Anchor::OnDisk,
                truncations: segment.files.truncations(),
                cuts: segment.files.cuts(),
            },
            max: segment.known_max_timestamp(),
        };
        TimestampPlan {
            target,
            log_start_offset: self.log_start_offset,
            segments: segments.map(candidate).collect(),
        }
    }

    /// Returns the aborted transactions among records of `[fetch_offset, upper_bound)`.
    #[must_use]
    pub fn aborted_transactions(
        &self,
        fetch_offset: Offset,
        upper_bound: Offset,
    ) -> Vec<AbortedTxn> {
        self.search_aborted(fetch_offset, upper_bound).found
    }

    /// As [`Log::aborted_transactions`], with what it has cost: what is found, and a little for
    /// each segment from `fetch_offset` on.
    #[must_use]
    pub fn search_aborted(&self, fetch_offset: Offset, upper_bound: Offset) -> AbortedSearch {
        let mut search = AbortedSearch::default();
        for segment in &self.segments[self.floor_segment(fetch_offset)..] {
            if segment
                .aborted
                .search(fetch_offset, upper_bound, &mut search)
            {
                break;
            }
        }
        search
    }
}
