//! A follower of a partition: what it asks its leader for, and what it does with the answers.
//!
//! Invariants:
//! - An answer to an older subscription, or of another leader epoch, changes nothing, whether it is
//!   data, an error or a divergence.
//! - What a follower appends begins where its log ends, with epochs that do not fall (the log
//!   checks it).
//! - It truncates to the point of divergence before it raises its high watermark.

use dohle_model::{ErrorCode, LeaderEpoch, NodeId, Offset};

/// A follower's state in one leader epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Follower {
    epoch: LeaderEpoch,
    leader: Option<NodeId>,
    /// The subscription whose answers count.
    subscription: Option<u64>,
}

/// Where a follower wants to be sent from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FetchPosition {
    /// The epoch it knows.
    pub leader_epoch: LeaderEpoch,
    /// The end of its log.
    pub fetch_offset: Offset,
    /// The epoch of its last record.
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

/// The part of a leader's message that is about one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaderAnswer {
    /// The subscription it answers.
    pub subscription: u64,
    /// The leader's epoch; with an error, that of the subscription.
    pub leader_epoch: LeaderEpoch,
    /// The subscription is refused, or ends.
    pub error: Option<ErrorCode>,
    /// The leader's log and this one part ways: the leader's epoch and its end.
    pub diverging: Option<(LeaderEpoch, Offset)>,
}

/// What to do with an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLeader {
    /// Nothing: it is late.
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
    /// Append the records, then take over the leader's positions.
    Append,
}

impl Follower {
    /// A follower of `leader`, which may not be elected yet.
    #[must_use]
    pub fn new(epoch: LeaderEpoch, leader: Option<NodeId>) -> Self {
        Self {
            epoch,
            leader,
            subscription: None,
        }
    }

    /// The leader epoch it knows.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The leader it follows.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// Begins a subscription: answers to earlier ones are late from here on. Its number must be one
    /// that this process has not used before, for any leader.
    pub fn subscribe(
        &mut self,
        subscription: u64,
        log_end: Offset,
        last_epoch: Option<LeaderEpoch>,
    ) -> FetchPosition {
        self.subscription = Some(subscription);
        FetchPosition {
            leader_epoch: self.epoch,
            fetch_offset: log_end,
            last_fetched_epoch: last_epoch,
        }
    }

    /// The subscription ended: answers to it are late from here on.
    pub fn unsubscribe(&mut self) {
        self.subscription = None;
    }

    /// The subscription whose answers count.
    #[must_use]
    pub fn subscription(&self) -> Option<u64> {
        self.subscription
    }

    /// Judges an answer.
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

    /// The high watermark after an append: the leader's, as far as this log reaches; it never
    /// falls.
    #[must_use]
    pub fn next_high_watermark(current: Offset, leaders: Offset, log_end: Offset) -> Offset {
        current.max(leaders.min(log_end))
    }
}

/// Whether the log of a follower parts from its leader's (KIP-101, KIP-279): its last record is of
/// epoch `last`, its log ends at `fetch_offset`. `found` is the largest epoch not above `last` in
/// the leader's log, and its end there.
#[must_use]
pub fn diverges(
    last: LeaderEpoch,
    fetch_offset: Offset,
    (found_epoch, found_end): (LeaderEpoch, Offset),
) -> bool {
    // Without `last` in the leader's log the follower's last records are of no use, wherever they
    // end (KIP-279).
    found_epoch < last || found_end < fetch_offset
}

/// Where to cut a log that the leader calls diverging at `(epoch, end_offset)` (KIP-279, KIP-595).
///
/// `local` is where the largest local epoch not above `epoch` ends in this log. When that is an
/// older epoch than the leader named, the two share less than thought: cutting at its end and
/// subscribing again asks the leader about the older epoch next.
#[must_use]
pub fn truncation_offset(
    epoch: LeaderEpoch,
    end_offset: Offset,
    local: Option<(LeaderEpoch, Offset)>,
    log_end: Offset,
) -> Offset {
    match local {
        Some((local_epoch, local_end)) if local_epoch == epoch => {
            local_end.min(end_offset).min(log_end)
        }
        Some((_, local_end)) => local_end.min(log_end),
        None => end_offset.min(log_end),
    }
}
