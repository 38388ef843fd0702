//! Reads a whole segment and finds what is damaged in it.

use std::sync::Arc;

use dohle_model::Offset;

use super::Damage;
use crate::clean::Throttle;
use crate::error::StorageError;
use crate::leader_epoch::LeaderEpochCache;
use crate::segment::files::SegmentFiles;
use crate::segment::walk::{Step, Walk};

/// A check of one segment. It runs without the log's lock.
#[derive(Debug)]
pub struct SegmentCheck {
    pub(crate) files: Arc<SegmentFiles>,
    pub(crate) size: u64,
    /// The base offset of the next segment, or the log's end.
    pub(crate) end: Offset,
    /// The offset up to which the segment is known to have had records, when they are missing at
    /// its end.
    pub(crate) missing_to: Option<Offset>,
    pub(crate) truncations: u32,
    pub(crate) generation: u64,
    pub(crate) leader_epochs: LeaderEpochCache,
}

impl SegmentCheck {
    /// Returns the base offset of the segment.
    #[must_use]
    pub fn segment(&self) -> Offset {
        self.files.base_offset()
    }

    /// Returns the end of the segment's offsets: the base offset of the next segment, or the log's
    /// end.
    #[must_use]
    pub fn end(&self) -> Offset {
        self.end
    }

    /// Reads the segment and checks checksum, offsets and leader epoch of each batch. Calls
    /// `throttle` with the bytes of each batch; `throttle` may wait and returns whether the check
    /// continues. Returns the damaged ranges in the order of their offsets, or `None` when the
    /// check was stopped or the segment was truncated, deleted or replaced meanwhile.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn run(&self, throttle: Throttle<'_>) -> Result<Option<Vec<Damage>>, StorageError> {
        let found = self.walk(throttle);
        if self.files.truncations() != self.truncations {
            return Ok(None);
        }
        found
    }

    fn walk(&self, throttle: Throttle<'_>) -> Result<Option<Vec<Damage>>, StorageError> {
        let mut damage = Vec::new();
        let mut walk =
            Walk::new(&self.files, self.size, Some(self.end)).of_leaders(&self.leader_epochs);
        loop {
            let before = walk.position();
            let flaw = match walk.next()? {
                None => break,
                Some(Step::Batch { .. }) => None,
                Some(Step::Flaw(reason)) => Some(reason),
            };
            if let Some(reason) = flaw {
                damage.push(walk.skip(reason, self.end)?);
            }
            if !throttle(walk.position() - before) {
                return Ok(None);
            }
        }
        if let Some(missing_to) = self.missing_to
            && missing_to > walk.expected()
        {
            damage.push(walk.missing_tail(missing_to));
        }
        Ok(Some(damage))
    }
}
