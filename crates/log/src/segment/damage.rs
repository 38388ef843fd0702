//! A range of a log that cannot be read: what is known of it, and what makes a batch part of one.

use std::path::Path;

use dohle_model::Offset;

use super::files::{LOG_SUFFIX, file_name};
use crate::batch::BatchHeader;
use crate::leader_epoch::LeaderEpochCache;

/// A range of a segment whose bytes are no valid batches, or are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The base offset of the segment.
    pub segment: Offset,
    /// Where the damaged bytes begin in the `.log` file.
    pub position: u64,
    /// How many bytes are damaged; 0 when the file ends before records that were in it.
    pub length: u64,
    /// The first offset that cannot be read.
    pub start: Offset,
    /// The first offset after the damage that can be read, or the end of the segment. Equal to
    /// `start` when the bytes are superfluous, such as a second copy of a batch.
    pub end: Offset,
    /// What is wrong with the first damaged batch.
    pub reason: String,
}

impl Damage {
    /// Whether the file ends before records that were in it: no bytes are left to be found again.
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

/// The base offset of the segment that a file belongs to, from the file's name.
#[must_use]
pub fn segment_of(path: &Path) -> Option<Offset> {
    let name = path.file_name()?.to_str()?;
    let digits = name.get(..20)?;
    let all_digits = digits.bytes().all(|byte| byte.is_ascii_digit());
    let number = all_digits.then(|| digits.parse().ok())??;
    Offset::from_wire(number)
}

/// Compares what a batch's header claims with the place that the batch has in the log: it must lie
/// in `[expected, end)` and be of the leader epoch that the log has there. Returns what is wrong.
pub(crate) fn misplaced(
    header: &BatchHeader,
    expected: Offset,
    end: Offset,
    leader_epochs: &LeaderEpochCache,
) -> Option<String> {
    let (base, last) = (header.base_offset, header.last_offset());
    if base < expected || header.next_offset() > end {
        return Some(format!(
            "the batch claims offsets {base} to {last} where {expected} to below {end} belong"
        ));
    }
    // Without an entry for these offsets there is nothing to compare with.
    let known = leader_epochs.epoch_for_offset(base)?;
    let found = header.partition_leader_epoch;
    (found != Some(known)).then(|| match found {
        Some(found) => format!("the batch claims leader epoch {found}, the log has {known} there"),
        None => format!("the batch claims no leader epoch, the log has {known} there"),
    })
}
