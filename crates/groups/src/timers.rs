//! All timers of a shard, in one table.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::ids::{GroupId, MemberId};

/// What a timer is for. There is at most one of each.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A classic group waits for its members to join; also `group.initial.rebalance.delay.ms`.
    ClassicJoin(GroupId),
    /// A classic group waits for its members to sync.
    ClassicSync(GroupId),
    /// A member of a classic group, or one that was given an id and has yet to join with it, has to
    /// be heard of.
    ClassicSession(GroupId, MemberId),
    /// A member of a consumer group has to heartbeat.
    ConsumerSession(GroupId, MemberId),
    /// A member of a consumer group has to give back what was revoked.
    ConsumerRebalance(GroupId, MemberId),
    /// A member of a consumer group that speaks the classic protocol has to join again.
    ConsumerJoin(GroupId, MemberId),
    /// A member of a consumer group that speaks the classic protocol has to sync.
    ConsumerSync(GroupId, MemberId),
}

/// The timers that run. Setting, cancelling and taking one cost O(log n).
#[derive(Debug, Default)]
pub struct Timers {
    deadlines: HashMap<Timer, Duration>,
    order: BTreeSet<(Duration, Timer)>,
}

impl Timers {
    /// Sets a timer, or moves it.
    pub fn set(&mut self, timer: Timer, deadline: Duration) {
        if let Some(old) = self.deadlines.insert(timer.clone(), deadline) {
            self.order.remove(&(old, timer.clone()));
        }
        self.order.insert((deadline, timer));
    }

    /// Ends a timer, if it runs.
    pub fn cancel(&mut self, timer: &Timer) {
        if let Some(deadline) = self.deadlines.remove(timer) {
            self.order.remove(&(deadline, timer.clone()));
        }
    }

    /// When a timer runs out, if it runs.
    #[must_use]
    pub fn deadline(&self, timer: &Timer) -> Option<Duration> {
        self.deadlines.get(timer).copied()
    }

    /// When the first of all runs out.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    /// Takes one that has run out by `now`, the earliest first.
    pub fn take_expired(&mut self, now: Duration) -> Option<Timer> {
        if self.next()? > now {
            return None;
        }
        let (_, timer) = self.order.pop_first()?;
        self.deadlines.remove(&timer);
        Some(timer)
    }

    /// Those that run with their deadlines, the earliest first.
    pub fn iter(&self) -> impl Iterator<Item = (Duration, &Timer)> {
        self.order
            .iter()
            .map(|(deadline, timer)| (*deadline, timer))
    }

    /// How many run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Whether none runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(member: &str) -> Timer {
        Timer::ClassicSession(GroupId::new("g"), MemberId::new(member))
    }

    #[test]
    fn timers_run_out_in_the_order_of_their_deadlines_and_once() {
        let mut timers = Timers::default();
        timers.set(session("a"), Duration::from_secs(3));
        timers.set(session("b"), Duration::from_secs(2));
        timers.set(session("c"), Duration::from_secs(1));
        timers.cancel(&session("c"));
        assert_eq!(timers.next(), Some(Duration::from_secs(2)));
        assert_eq!(timers.take_expired(Duration::from_secs(1)), None);
        let now = Duration::from_secs(3);
        assert_eq!(timers.take_expired(now), Some(session("b")));
        assert_eq!(timers.take_expired(now), Some(session("a")));
        assert_eq!(timers.take_expired(now), None);
        assert!(timers.is_empty());
    }

    #[test]
    fn a_timer_that_is_set_again_runs_out_at_its_new_deadline_only() {
        let mut timers = Timers::default();
        timers.set(session("a"), Duration::from_secs(1));
        timers.set(session("a"), Duration::from_secs(5));
        assert_eq!(timers.take_expired(Duration::from_secs(4)), None);
        let taken = timers.take_expired(Duration::from_secs(5));
        assert_eq!(taken, Some(session("a")));
        assert_eq!(timers.len(), 0);
    }
}
