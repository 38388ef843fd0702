//! Damaged ranges of a log: found when a log is opened or a segment is checked, and repaired from
//! another replica.
//!
//! ```text
//! Log::plan_check(offset) -> SegmentCheck              under the log's lock
//! SegmentCheck::run(throttle) -> Vec<Damage>               without it
//! Log::note_damage(&check, damage)                     under it: reads of the ranges now fail
//! Log::begin_repair(segment, high_watermark) -> Repair under it
//! Repair::next_missing, Repair::supply, Repair::finish without it
//! Log::replace_segments(CleanedSegment)                under it
//! ```
//!
//! Damage is invalid content: bytes that the disk returned without an error but that are not a
//! valid batch of this log, or records that are missing at the end of a file. It affects only the
//! offsets of its range. One walk over a segment's bytes finds it (`segment/walk.rs`), one list
//! holds it ([`crate::Log::damage`]), one file keeps it (`log/damaged_ranges.rs`).
//!
//! Invariant: a repaired segment holds only batches whose checksum is valid, in the order of their
//! offsets, each with the leader epoch that the log's leader epochs have for it.

mod check;
mod repair;

pub use crate::segment::damage::{Damage, segment_of};
pub use check::SegmentCheck;
pub use repair::{Repair, RepairError};

use crate::segment::damage::misplaced;
