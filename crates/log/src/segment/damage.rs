//! The description of a range of a log that cannot be read, and the check whether a batch belongs
//! to such a range.

use std::path::Path;

use dohle_model::Offset;

use super::files::{LOG_SUFFIX, file_name};
use crate::batch::BatchHeader;
use crate::leader_epoch::LeaderEpochCache;

/// A range of a segment whose bytes are not valid batches, or are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The base offset of the segment.
    pub segment: Offset,
    /// The position of the first damaged byte in the `.log` file.
    pub position: u64,
    /// The number of damaged bytes; 0 when the file ends before records that were in it.
    pub length: u64,
    /// The first offset that cannot be read.
    pub start: Offset,
    /// The first offset after the damage that can be read, or the end of the segment. Equal to
    /// `start` when the bytes are superfluous, such as a second copy of a batch.
    pub end: Offset,
    /// The problem of the first damaged batch.
    pub reason: String,
}

impl Damage {
    /// Returns whether the file ends before records that were in it, so that no damaged bytes can
    /// be found again.
    #[must_use]
    pub fn is_missing_tail(&self) -> bool {
        self.length == 0 && self.start < self.end
    }
}

impl std::fmt::Display for Damage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "offsets {} to below {} are damaged: {}, {} bytes from byte {} on: {}",
            self.start,
            self.end,
            file_name(self.segment, LOG_SUFFIX),
            self.length,
            self.position,
            self.reason
        )
    }
}

/// Returns the base offset of the segment that a file belongs to, from the file's name.
#[must_use]
pub fn segment_of(path: &Path) -> Option<Offset> {
    let name = path.file_name()?.to_str()?;
    let digits = name.get(..20)?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = all_digits.then(|| digits.parse().ok())??;
    Offset::from_wire(number)
}

/// Compares a batch's header with the batch's place in the log: its offsets must lie in
/// `[expected, end)`, and its leader epoch must be the one that the log has there. Returns what is
/// wrong.
pub(crate) fn misplaced(
    header: &BatchHeader,
    expected: Offset,
    end: Offset,
    leader_epochs: &LeaderEpochCache,
) -> Option<String> {
    let (base, last) = (header.base_offset, header.last_offset());
    if base < expected || header.next_offset() > end {
        return Some(format!(
            "the batch has offsets {base} to {last}, not offsets from {expected} to below {end}"
        ));
    }
    // Without an entry for these offsets there is nothing to compare.
    let known = leader_epochs.epoch_for_offset(base)?;
    let found = header.partition_leader_epoch;
    (found != Some(known)).then(|| match found {
        Some(found) => format!("the batch has leader epoch {found}, the log has {known} there"),
        None => format!("the batch has no leader epoch, the log has {known} there"),
    })
}
