//! The positions of a partition.

use dohle_model::{LeaderEpoch, Offset};

/// The positions of a partition, published as one value after every change.
///
/// Invariant: `log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Positions {
    /// The current leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// The first offset of the log.
    pub log_start_offset: Offset,
    /// The end of the committed records, which consumers may see.
    pub high_watermark: Offset,
    /// The end of the part of the committed records in which all transactions have ended.
    pub last_stable_offset: Offset,
    /// The offset of the next record.
    pub log_end_offset: Offset,
}

impl Positions {
    /// Checks the order of the positions before they are published after `before`.
    ///
    /// # Panics
    /// When they are out of order: nothing may be served from such a state.
    pub fn check(&self, before: &Self) {
        assert!(
            self.log_start_offset <= self.last_stable_offset,
            "log start is past the last stable offset: {self:?}, before {before:?}"
        );
        assert!(
            self.last_stable_offset <= self.high_watermark,
            "last stable offset is past the high watermark: {self:?}, before {before:?}"
        );
        assert!(
            self.high_watermark <= self.log_end_offset,
            "high watermark is past the log end: {self:?}, before {before:?}"
        );
        assert!(
            self.leader_epoch >= before.leader_epoch,
            "leader epoch fell: {self:?}, before {before:?}"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(log_start: i64, stable: i64, high_watermark: i64, log_end: i64) -> Positions {
        Positions {
            leader_epoch: LeaderEpoch(3),
            log_start_offset: Offset(log_start),
            last_stable_offset: Offset(stable),
            high_watermark: Offset(high_watermark),
            log_end_offset: Offset(log_end),
        }
    }

    #[test]
    fn positions_in_order_may_be_published() {
        let before = positions(0, 0, 0, 5);
        positions(1, 2, 3, 4).check(&before);
        positions(4, 4, 4, 4).check(&before);
    }

    #[test]
    #[should_panic(expected = "log start is past the last stable offset")]
    fn a_log_start_past_the_last_stable_offset_is_not_published() {
        positions(3, 2, 3, 4).check(&Positions::default());
    }

    #[test]
    #[should_panic(expected = "last stable offset is past the high watermark")]
    fn a_last_stable_offset_past_the_high_watermark_is_not_published() {
        positions(1, 4, 3, 4).check(&Positions::default());
    }

    #[test]
    #[should_panic(expected = "high watermark is past the log end")]
    fn a_high_watermark_past_the_log_end_is_not_published() {
        positions(1, 2, 5, 4).check(&Positions::default());
    }

    #[test]
    #[should_panic(expected = "leader epoch fell")]
    fn an_older_leader_epoch_is_not_published() {
        let before = Positions {
            leader_epoch: LeaderEpoch(4),
            ..Positions::default()
        };
        positions(1, 2, 3, 4).check(&before);
    }
}
