//! The five numbers that say where a partition is.

use dohle_model::{LeaderEpoch, Offset};

/// Where a partition is, published as one value after every change.
///
/// Invariant: `log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Positions {
    /// The epoch of the leader that this replica follows, or is.
    pub leader_epoch: LeaderEpoch,
    /// The first offset in the log.
    pub log_start_offset: Offset,
    /// The end of what is committed: consumers see the records below it.
    pub high_watermark: Offset,
    /// The end of what is committed and belongs to no open transaction.
    pub last_stable_offset: Offset,
    /// The offset of the next record.
    pub log_end_offset: Offset,
}
