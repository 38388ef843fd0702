//! Damaged ranges of a log: found by a check of a segment, and repaired from another replica.
//!
//! ```text
//! Log::plan_check(offset) -> SegmentCheck              under the log's lock
//! SegmentCheck::run(pace) -> Vec<Damage>               without it
//! Log::note_damage(&check, damage)                     under it: reads of the ranges now fail
//! Log::begin_repair(segment, high_watermark) -> Repair under it
//! Repair::next_missing, Repair::supply, Repair::finish without it
//! Log::replace_segments(CleanedSegment)                under it
//! ```
//!
//! Damage is content: bytes that the disk returned without an error, but that are no valid batch of
//! this log. It affects the offsets of its range and nothing else.
//!
//! Invariant: a repaired segment holds only batches whose checksum is good, in the order of their
//! offsets, each of the leader epoch that the log's leader epochs give for it.

mod check;
mod repair;

pub use check::SegmentCheck;
pub use repair::{Repair, RepairError};

use std::path::Path;

use dohle_model::Offset;

use crate::batch::BatchHeader;
use crate::leader_epoch::LeaderEpochCache;

/// A range of a segment that holds no valid batches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The base offset of the segment.
    pub segment: Offset,
    /// Where the damaged bytes begin in the `.log` file.
    pub position: u64,
    /// How many bytes are damaged.
    pub length: u64,
    /// The first offset that cannot be read.
    pub start: Offset,
    /// The first offset after the damage that can be read, or the end of the segment.
    pub end: Offset,
    /// What is wrong with the first damaged batch.
    pub reason: String,
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
fn misplaced(
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
