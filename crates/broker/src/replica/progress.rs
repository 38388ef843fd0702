//! The progress of one follower, as its leader tracks it.

use std::time::Duration;

use dohle_model::{BrokerEpoch, Offset};

/// One follower's progress, within one leader epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// The end of the follower's log. `None` until it has subscribed in this leader epoch.
    ///
    /// Invariant: the follower's log equals the leader's below `acked`, and `acked` is at most the
    /// leader's log end. It grows with acks, and decreases only when the follower subscribes again
    /// with a shorter log (it lost an unflushed tail).
    pub acked: Option<Offset>,
    /// The start of the follower's log, once it is known.
    pub log_start: Option<Offset>,
    /// The broker epoch that the follower's stream named.
    pub broker_epoch: Option<BrokerEpoch>,
    /// The number of its last subscription, which grows within one run of its process.
    pub subscription: u64,
    /// Whether it has a subscription on a connected stream.
    pub streaming: bool,
    /// Whether its log directory has no space, so that it takes no records. It reports that with
    /// each subscription.
    pub paused: bool,
    /// Whether the follower may not join the ISR according to the last check of the metadata: its
    /// broker is fenced or shutting down, or its log directory failed.
    pub ineligible: bool,
    /// The last moment at which the follower is known to have had all records of the leader.
    pub caught_up_at: Option<Duration>,
    /// The leader's log end at some moment after `caught_up_at`. An ack up to this offset shows
    /// that the follower was caught up at that moment.
    mark: Option<(Offset, Duration)>,
}

impl Progress {
    /// Creates the progress of a follower that has not subscribed at a new leader yet. Members of
    /// the ISR count as caught up `now`.
    #[must_use]
    pub fn new(in_sync: bool, now: Duration) -> Self {
        Self {
            acked: None,
            log_start: None,
            broker_epoch: None,
            subscription: 0,
            streaming: false,
            paused: false,
            ineligible: false,
            caught_up_at: in_sync.then_some(now),
            mark: None,
        }
    }

    /// Whether it has all records, or had them all at some moment within `lag_max` before `now`.
    #[must_use]
    pub fn is_caught_up(&self, leader_end: Offset, now: Duration, lag_max: Duration) -> bool {
        self.acked == Some(leader_end)
            || self
                .caught_up_at
                .is_some_and(|at| now.saturating_sub(at) <= lag_max)
    }

    /// Whether it lags too far for a member of the ISR. A follower without space does so as soon
    /// as it lacks a record, since it takes none until there is space.
    pub(super) fn is_too_far_behind(
        &self,
        leader_end: Offset,
        now: Duration,
        lag_max: Duration,
    ) -> bool {
        match self.paused {
            true => self.acked != Some(leader_end),
            false => !self.is_caught_up(leader_end, now, lag_max),
        }
    }

    /// Called before the leader's log grows past `leader_end`.
    pub(super) fn before_append(&mut self, leader_end: Offset, now: Duration) {
        assert!(
            self.acked <= Some(leader_end),
            "follower end {:?} is past the leader's {leader_end}",
            self.acked
        );
        if self.acked == Some(leader_end) {
            self.caught_up_at = Some(now);
        }
    }

    /// Notes that the follower's log ends at `end`.
    pub(super) fn note(&mut self, end: Offset, leader_end: Offset, now: Duration) {
        assert!(
            end <= leader_end,
            "follower end {end} is past the leader's {leader_end}"
        );
        self.acked = Some(end);
        if end == leader_end {
            self.caught_up_at = Some(now);
            self.mark = None;
            return;
        }
        match self.mark {
            Some((offset, at)) if end >= offset => {
                self.caught_up_at = Some(self.caught_up_at.map_or(at, |before| before.max(at)));
                self.mark = Some((leader_end, now));
            }
            Some(_) => {}
            None => self.mark = Some((leader_end, now)),
        }
    }

    /// Notes that its stream ended.
    pub(super) fn stop(&mut self) {
        self.streaming = false;
        self.mark = None;
    }
}
