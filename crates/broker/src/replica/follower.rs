//! A follower of a partition: its subscriptions, and its reaction to the leader's messages.
//!
//! Invariants:
//! - A message for an older subscription, or of another leader epoch, changes nothing, whether it
//!   has data, an error or a divergence.
//! - Appended records begin at the end of the log, and their epochs do not decrease (the log checks
//!   both).
//! - It truncates to the point of divergence before it raises its high watermark.

use dohle_model::{ErrorCode, LeaderEpoch, NodeId, Offset};

/// A follower's state in one leader epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    epoch: LeaderEpoch,
    leader: Option<NodeId>,
    /// The current subscription. Messages for others are ignored.
    subscription: Option<u64>,
}

/// The position from which a follower subscribes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPosition {
    /// The follower's leader epoch.
    pub leader_epoch: LeaderEpoch,
    /// The end of its log.
    pub fetch_offset: Offset,
    /// The epoch of its last record.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// The part of a leader's message that is about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderAnswer {
    /// The number of the subscription.
    pub subscription: u64,
    /// The leader's epoch; with an error, that of the subscription.
    pub leader_epoch: LeaderEpoch,
    /// The subscription is refused, or ends.
    pub error: Option<ErrorCode>,
    /// Where the logs diverge: the largest epoch that both may share, and its end in the leader's
    /// log.
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

/// What to do with a part of a leader's message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLeader {
    /// Ignore it, because it is late.
    Ignore,
    /// The leader ended the subscription.
    Ended(ErrorCode),
    /// Truncate by [`truncation_offset`], then subscribe again.
    Truncate {
        /// The largest epoch that both may share.
        epoch: LeaderEpoch,
        /// Its end in the leader's log.
        end_offset: Offset,
    },
    /// Append the records, then advance to the leader's positions.
    Append,
}

impl Follower {
    /// Creates a follower of `leader`, which may not be elected yet.
    #[must_use]
    pub fn new(epoch: LeaderEpoch, leader: Option<NodeId>) -> Self {
        Self {
            epoch,
            leader,
            subscription: None,
        }
    }

    /// Returns the leader epoch.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// Returns the leader.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Begins a subscription. Messages for earlier ones are ignored from now on. The process must
    /// not have used the number before, for any leader.
    pub fn subscribe(
        &mut self,
        subscription: u64,
        log_end: Offset,
        last_epoch: Option<LeaderEpoch>,
    ) -> FetchPosition {
        assert!(
            self.subscription < Some(subscription),
            "subscription {subscription} follows {:?}",
            self.subscription
        );
        self.subscription = Some(subscription);
        FetchPosition {
            leader_epoch: self.epoch,
            fetch_offset: log_end,
            last_fetched_epoch: last_epoch,
        }
    }

    /// Ends the subscription. Messages for it are ignored from now on.
    pub fn unsubscribe(&mut self) {
        self.subscription = None;
    }

    /// Returns the current subscription.
    #[must_use]
    pub fn subscription(&self) -> Option<u64> {
        self.subscription
    }

    /// Decides what to do with a part of a leader's message.
    pub fn on_leader_data(&mut self, answer: &LeaderAnswer) -> OnLeader {
        if self.subscription != Some(answer.subscription) || answer.leader_epoch != self.epoch {
            return OnLeader::Ignore;
        }
        if let Some(error) = answer.error {
            self.subscription = None;
            return OnLeader::Ended(error);
        }
        match answer.diverging {
            Some((epoch, end_offset)) => {
                self.subscription = None;
                OnLeader::Truncate { epoch, end_offset }
            }
            None => OnLeader::Append,
        }
    }

    /// Returns the high watermark after an append: the leader's, but not above this log's end. It
    /// never decreases.
    #[must_use]
    pub fn next_high_watermark(current: Offset, leaders: Offset, log_end: Offset) -> Offset {
        assert!(
            current <= log_end,
            "high watermark {current} is past the log end {log_end}"
        );
        current.max(leaders.min(log_end))
    }
}

/// Whether the log of a follower diverges from its leader's (KIP-101, KIP-279). The follower's last
/// record is of epoch `last`, and its log ends at `fetch_offset`. `found` is the largest epoch not
/// above `last` in the leader's log, and its end there.
#[must_use]
pub fn diverges(
    last: LeaderEpoch,
    fetch_offset: Offset,
    (found_epoch, found_end): (LeaderEpoch, Offset),
) -> bool {
    // If the leader's log does not have epoch `last`, it does not have the follower's last records
    // either, wherever they end (KIP-279).
    found_epoch < last || found_end < fetch_offset
}

/// Returns the offset to truncate to, when the leader reports a divergence at `(epoch, end_offset)`
/// (KIP-279, KIP-595).
///
/// `local` is where the largest local epoch not above `epoch` ends in this log. When that is an
/// older epoch than the leader's, the logs share less than the leader assumed. The follower then
/// truncates to the end of the older epoch, and its next subscription compares that epoch.
#[must_use]
pub fn truncation_offset(
    epoch: LeaderEpoch,
    end_offset: Offset,
    local: Option<(LeaderEpoch, Offset)>,
    log_end: Offset,
) -> Offset {
    let to = match local {
        Some((local_epoch, local_end)) if local_epoch == epoch => local_end.min(end_offset),
        Some((_, local_end)) => local_end,
        None => end_offset,
    };
    to.min(log_end)
}
