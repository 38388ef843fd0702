//! A leader's message about one partition, and what the follower does after it.

use dohle_model::{LeaderEpoch, Offset};

use crate::replica::LeaderAnswer;

/// The part of a leader's message that is about this partition.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LeaderPart {
    pub(crate) answer: LeaderAnswer,
    pub(crate) high_watermark: Offset,
    pub(crate) log_start_offset: Offset,
}

/// What the stream does after a part of a message was processed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartOutcome {
    /// Nothing.
    Nothing,
    /// Send an ack to the leader.
    Ack {
        leader_epoch: LeaderEpoch,
        end: Offset,
        log_start_offset: Offset,
        /// Whether the ack waits until [`super::Partition::flush_due`] has flushed the records.
        after_flush: bool,
    },
    /// Call [`super::Partition::truncate_to_leader`] on a thread that may block. Messages of the
    /// leader are ignored until the next subscription.
    Truncate(Truncation),
    /// Subscribe again at once, because records were removed from the log.
    Resubscribe,
    /// Subscribe again after a while, if the leader is still the same. Nothing changed.
    Retry {
        /// The offset at which the leader sent records that do not fit. The leader checks its
        /// segment there.
        damaged_at: Option<Offset>,
    },
}

/// A truncation that a leader's response requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Truncation {
    /// The leader epoch of the response.
    pub(super) leader_epoch: LeaderEpoch,
    /// The start of the leader's log.
    pub(super) leader_start: Offset,
    /// The largest epoch that both logs may share and its end in the leader's log; `None` when the
    /// leader's log begins after the end of this one.
    pub(super) diverging: Option<(LeaderEpoch, Offset)>,
}

impl Truncation {
    pub(super) fn new(part: &LeaderPart, diverging: Option<(LeaderEpoch, Offset)>) -> Self {
        Self {
            leader_epoch: part.answer.leader_epoch,
            leader_start: part.log_start_offset,
            diverging,
        }
    }
}
