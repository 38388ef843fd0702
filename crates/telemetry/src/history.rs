//! The last events of many subjects, such as the rebalances of groups, bounded in number and age.
//!
//! Invariant: `by_subject` and `order` have the same events, and no subject has an empty queue.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::Hash;
use std::time::Duration;

/// How long events are kept: one day.
const AGE_MAX: Duration = Duration::from_hours(24);

/// The number of events that a history keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The most events of one subject.
    pub of_subject: usize,
    /// The most events of all subjects together.
    pub of_all: usize,
}

/// The last events of many subjects. Adding an event costs O(log n) and may remove the oldest ones.
#[derive(Debug)]
pub struct History<S, E> {
    limits: Limits,
    by_subject: HashMap<S, VecDeque<Numbered<E>>>,
    /// The subjects of all events, by the numbers of the events.
    order: BTreeMap<u64, S>,
    next: u64,
}

#[derive(Debug)]
struct Numbered<E> {
    number: u64,
    event: Event<E>,
}

/// An event, and when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event<E> {
    /// The time of the wall clock in milliseconds since the beginning of 1970.
    pub at_ms: i64,
    /// What happened.
    pub what: E,
}

impl<S: Clone + Eq + Hash, E> History<S, E> {
    /// Creates a history without events.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            by_subject: HashMap::new(),
            order: BTreeMap::new(),
            next: 0,
        }
    }

    /// Adds an event. Removes events that are older than a day, and the oldest ones above the
    /// limits.
    pub fn add(&mut self, subject: S, at_ms: i64, what: E) {
        let number = self.next;
        self.next += 1;
        let event = Event { at_ms, what };
        let events = self.by_subject.entry(subject.clone()).or_default();
        events.push_back(Numbered { number, event });
        if events.len() > self.limits.of_subject
            && let Some(oldest) = events.pop_front()
        {
            self.order.remove(&oldest.number);
        }
        self.order.insert(number, subject);
        while self.order.len() > self.limits.of_all || self.is_oldest_outdated(at_ms) {
            self.remove_oldest();
        }
        self.check();
    }

    /// Returns the events of a subject within the day before `now_ms`, the oldest first.
    pub fn of<'h, Q>(&'h self, subject: &Q, now_ms: i64) -> impl Iterator<Item = &'h Event<E>>
    where
        S: std::borrow::Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let events = self.by_subject.get(subject).into_iter().flatten();
        events
            .map(|numbered| &numbered.event)
            .filter(move |event| !is_outdated(event.at_ms, now_ms))
    }

    /// Returns the number of events.
    #[must_use]
    pub fn len(&self) -> usize {
        self.order.len()
    }

    /// Returns whether there are no events.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    fn is_oldest_outdated(&self, now_ms: i64) -> bool {
        let subject = self.order.values().next();
        let events = subject.and_then(|subject| self.by_subject.get(subject));
        let oldest = events.and_then(VecDeque::front);
        oldest.is_some_and(|oldest| is_outdated(oldest.event.at_ms, now_ms))
    }

    fn remove_oldest(&mut self) {
        let Some((number, subject)) = self.order.pop_first() else {
            return;
        };
        let Some(events) = self.by_subject.get_mut(&subject) else {
            return;
        };
        let oldest = events.pop_front().map(|oldest| oldest.number);
        assert!(
            oldest == Some(number),
            "event {number} is the oldest of all, and {oldest:?} the oldest of its subject"
        );
        if events.is_empty() {
            self.by_subject.remove(&subject);
        }
    }

    fn check(&self) {
        assert!(
            self.order.len() <= self.limits.of_all && self.by_subject.len() <= self.order.len(),
            "{} events of {} subjects, of which {} may be kept",
            self.order.len(),
            self.by_subject.len(),
            self.limits.of_all
        );
    }
}

/// Whether an event is older than a day. An event in the future, from before the clock was set
/// back, is not.
fn is_outdated(at_ms: i64, now_ms: i64) -> bool {
    let age_max = i64::try_from(AGE_MAX.as_millis()).unwrap_or(i64::MAX);
    now_ms.saturating_sub(at_ms) > age_max
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        of_subject: 3,
        of_all: 5,
    };
    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn of(history: &History<&'static str, u32>, subject: &'static str, now: i64) -> Vec<u32> {
        history.of(subject, now).map(|event| event.what).collect()
    }

    #[test]
    fn a_subject_keeps_its_last_events_and_leaves_those_of_others() {
        let mut history = History::new(LIMITS);
        history.add("quiet", 0, 100);
        for what in 0..10 {
            history.add("busy", i64::from(what), what);
        }
        assert_eq!(of(&history, "busy", 10), [7, 8, 9]);
        assert_eq!(of(&history, "quiet", 10), [100]);
        assert_eq!(history.len(), 4);
    }

    #[test]
    fn the_oldest_events_of_all_are_removed_first() {
        let mut history = History::new(LIMITS);
        for (what, subject) in (0..).zip(["a", "b", "a", "c", "b", "d", "e"]) {
            history.add(subject, 0, what);
        }
        assert_eq!(history.len(), 5);
        let kept = ["a", "b", "c", "d", "e"].map(|subject| of(&history, subject, 0));
        assert_eq!(kept, [vec![2], vec![4], vec![3], vec![5], vec![6]]);
    }

    #[test]
    fn events_of_more_than_a_day_ago_are_neither_returned_nor_kept() {
        let mut history = History::new(LIMITS);
        history.add("a", 0, 1);
        history.add("a", 10, 2);
        assert_eq!(of(&history, "a", DAY), [1, 2]);
        assert_eq!(of(&history, "a", DAY + 1), [2]);
        assert_eq!(history.len(), 2);
        history.add("b", DAY + 11, 3);
        assert_eq!(history.len(), 1);
        // The clock was set back: what it calls the future is kept.
        history.add("b", 0, 4);
        assert_eq!(of(&history, "b", 0), [3, 4]);
    }
}
