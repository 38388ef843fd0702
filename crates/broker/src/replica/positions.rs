//! The positions of a partition.

use dohle_model::{LeaderEpoch, Offset};

/// The positions of a partition, published as one value after every change.
///
/// Invariant: `log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Positions {
    /// The current leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// The first offset in the log.
    pub log_start_offset: Offset,
    /// The end of the committed records, which consumers may see.
    pub high_watermark: Offset,
    /// The end of the committed records below the first open transaction.
    pub last_stable_offset: Offset,
    /// The offset of the next record.
    pub log_end_offset: Offset,
}
