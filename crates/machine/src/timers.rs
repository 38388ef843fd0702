//! The table of all timers of a machine.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Debug;
use std::hash::Hash;
use std::time::Duration;

/// The name of a timer.
pub trait Timer: Debug + Clone + Ord + Hash + Send + 'static {}

impl<T: Debug + Clone + Ord + Hash + Send + 'static> Timer for T {}

/// The running timers, by name. Setting, cancelling and taking a timer cost O(log n).
#[derive(Debug)]
pub struct Timers<T> {
    deadlines: HashMap<T, Duration>,
    order: BTreeSet<(Duration, T)>,
}

impl<T> Default for Timers<T> {
    fn default() -> Self {
        Self {
            deadlines: HashMap::new(),
            order: BTreeSet::new(),
        }
    }
}

impl<T: Timer> Timers<T> {
    /// Sets a timer; replaces its deadline when it runs already.
    pub fn set(&mut self, timer: T, deadline: Duration) {
        if let Some(old) = self.deadlines.insert(timer.clone(), deadline) {
            let moved = self.order.remove(&(old, timer.clone()));
            assert!(moved, "{timer:?} is set to {old:?}, where no timer is");
        }
        let is_new = self.order.insert((deadline, timer));
        assert!(is_new, "a timer is set to {deadline:?} a second time");
        self.check();
    }

    fn check(&self) {
        assert!(
            self.order.len() == self.deadlines.len(),
            "{} timers in order, {} by name",
            self.order.len(),
            self.deadlines.len()
        );
    }

    /// Sets a timer unless it runs already.
    pub fn set_if_absent(&mut self, timer: T, deadline: Duration) {
        if self.deadline(&timer).is_none() {
            self.set(timer, deadline);
        }
    }

    /// Cancels a timer, if it runs.
    pub fn cancel(&mut self, timer: &T) {
        if let Some(deadline) = self.deadlines.remove(timer) {
            let removed = self.order.remove(&(deadline, timer.clone()));
            assert!(
                removed,
                "{timer:?} is set to {deadline:?}, where no timer is"
            );
        }
        self.check();
    }

    /// Returns the time at which a timer expires, if it runs.
    #[must_use]
    pub fn deadline(&self, timer: &T) -> Option<Duration> {
        self.deadlines.get(timer).copied()
    }

    /// Returns the time at which the first timer expires.
    #[must_use]
    pub fn next(&self) -> Option<Duration> {
        self.order.first().map(|(deadline, _)| *deadline)
    }

    /// Takes a timer that has expired by `now`, the earliest first.
    pub fn take_expired(&mut self, now: Duration) -> Option<T> {
        if self.next()? > now {
            return None;
        }
        let (expires, timer) = self.order.pop_first()?;
        let deadline = self.deadlines.remove(&timer);
        assert!(
            deadline == Some(expires),
            "a timer expires at {expires:?}, it is set to {deadline:?}"
        );
        Some(timer)
    }

    /// Returns the running timers with their deadlines, the earliest first.
    pub fn iter(&self) -> impl Iterator<Item = (Duration, &T)> {
        self.order
            .iter()
            .map(|(deadline, timer)| (*deadline, timer))
    }

    /// Returns the number of running timers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.deadlines.len()
    }

    /// Returns whether no timer runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.deadlines.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn timers_run_out_in_the_order_of_their_deadlines_and_once() {
        let mut timers = Timers::default();
        timers.set("a", seconds(3));
        timers.set("b", seconds(2));
        timers.set("c", seconds(1));
        timers.cancel(&"c");
        assert_eq!(timers.next(), Some(seconds(2)));
        assert_eq!(timers.take_expired(seconds(1)), None);
        assert_eq!(timers.take_expired(seconds(3)), Some("b"));
        assert_eq!(timers.take_expired(seconds(3)), Some("a"));
        assert_eq!(timers.take_expired(seconds(3)), None);
        assert!(timers.is_empty());
    }

    #[test]
    fn a_timer_that_is_set_again_runs_out_at_its_new_deadline_only() {
        let mut timers = Timers::default();
        timers.set("a", seconds(1));
        timers.set("a", seconds(5));
        assert_eq!(timers.take_expired(seconds(4)), None);
        assert_eq!(timers.take_expired(seconds(5)), Some("a"));
        assert_eq!(timers.len(), 0);
    }

    #[test]
    fn a_timer_that_runs_keeps_its_deadline_when_it_is_set_if_absent() {
        let mut timers = Timers::default();
        timers.set("a", seconds(1));
        timers.set_if_absent("a", seconds(5));
        timers.set_if_absent("b", seconds(6));
        assert_eq!(timers.deadline(&"a"), Some(seconds(1)));
        assert_eq!(timers.deadline(&"b"), Some(seconds(6)));
    }

    #[test]
    #[should_panic(expected = "\"a\" is set to 1s, where no timer is")]
    fn a_timer_that_the_order_lacks_is_noticed() {
        let mut timers = Timers::default();
        timers.set("a", seconds(1));
        timers.order.clear();
        timers.cancel(&"a");
    }
}
