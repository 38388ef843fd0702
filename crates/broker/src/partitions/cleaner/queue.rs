//! The queue of compacted logs to clean, the dirtiest first. Pure.
//!
//! ```text
//! examined ──dirty──▶ ready ──start──▶ active ──done──▶ to be examined again
//!     └──waits for a delay or others──▶ later ──▶ to be examined again
//! ```
//!
//! Invariant: a log is in at most one of `ready`, `later` and `active`; one that is active or
//! uncleanable is never ready.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use dohle_model::TopicIdPartition;

use crate::partition::CleanOutcome;

/// The result of examining a log.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Finding {
    /// The dirty share of the log, if the log is to be cleaned.
    pub(super) ratio: Option<f64>,
    /// When to examine it again, on the monotonic clock, without a request.
    pub(super) look_again: Option<Duration>,
}

#[derive(Debug, Default)]
pub(super) struct Queue {
    ready: BTreeMap<TopicIdPartition, f64>,
    later: BTreeSet<(Duration, TopicIdPartition)>,
    later_at: BTreeMap<TopicIdPartition, Duration>,
    active: BTreeSet<TopicIdPartition>,
    uncleanable: BTreeSet<TopicIdPartition>,
}

impl Queue {
    /// Returns the logs that are due to be examined.
    pub(super) fn take_due(&mut self, now: Duration) -> Vec<TopicIdPartition> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.later.first().copied()
            && at <= now
        {
            self.forget(&id);
            due.push(id);
        }
        due
    }

    /// Returns when the next log is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.later.first().map(|(at, _)| *at)
    }

    /// Notes the result of examining a log; `None` when there is nothing to clean, or it was
    /// removed.
    pub(super) fn on_look(&mut self, id: TopicIdPartition, finding: Option<Finding>) {
        self.forget(&id);
        let Some(finding) = finding else { return };
        // A log that is being cleaned is examined again at the end of the cleaning.
        if self.active.contains(&id) || self.uncleanable.contains(&id) {
            return;
        }
        if let Some(ratio) = finding.ratio {
            self.ready.insert(id, ratio);
        } else if let Some(at) = finding.look_again {
            self.later_at.insert(id, at);
            self.later.insert((at, id));
        }
        assert!(
            self.later.len() == self.later_at.len(),
            "{} logs wait, {} by partition",
            self.later.len(),
            self.later_at.len()
        );
    }

    /// Takes the dirtiest log, unless `threads` are at work already.
    pub(super) fn start(&mut self, threads: usize) -> Option<TopicIdPartition> {
        if self.active.len() >= threads {
            return None;
        }
        let dirtiest = self.ready.iter().max_by(|a, b| a.1.total_cmp(b.1));
        let id = *dirtiest?.0;
        self.ready.remove(&id);
        let starts = self.active.insert(id) && !self.uncleanable.contains(&id);
        assert!(
            starts && self.active.len() <= threads,
            "partition {id} is cleaned as one of {} with {threads} threads",
            self.active.len()
        );
        Some(id)
    }

    /// Notes that a cleaning has ended. Returns whether to examine the log again at once.
    pub(super) fn on_done(
        &mut self,
        id: TopicIdPartition,
        outcome: &CleanOutcome,
        now: Duration,
        backoff: Duration,
    ) -> bool {
        let was_active = self.active.remove(&id);
        assert!(
            was_active,
            "a cleaning of partition {id} ended, and none ran"
        );
        match outcome {
            CleanOutcome::Cleaned => true,
            CleanOutcome::NotNow => {
                let look_again = Some(now + backoff);
                let ratio = None;
                self.on_look(id, Some(Finding { ratio, look_again }));
                false
            }
            CleanOutcome::Offline => false,
            CleanOutcome::Uncleanable(_) => {
                self.uncleanable.insert(id);
                false
            }
        }
    }

    fn forget(&mut self, id: &TopicIdPartition) {
        self.ready.remove(id);
        if let Some(at) = self.later_at.remove(id) {
            self.later.remove(&(at, *id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dohle_model::{PartitionIndex, TopicId};

    const BACKOFF: Duration = Duration::from_secs(15);

    fn id(partition: i32) -> TopicIdPartition {
        TopicIdPartition {
            topic_id: TopicId::from_bytes([1; 16]),
            partition: PartitionIndex(partition),
        }
    }

    fn dirty(ratio: f64) -> Option<Finding> {
        Some(Finding {
            ratio: Some(ratio),
            look_again: None,
        })
    }

    fn later(seconds: u64) -> Option<Finding> {
        Some(Finding {
            ratio: None,
            look_again: Some(Duration::from_secs(seconds)),
        })
    }

    #[test]
    fn the_dirtiest_log_goes_first_and_no_more_than_threads_at_once() {
        let mut queue = Queue::default();
        for (partition, ratio) in [(0, 0.6), (1, 0.9), (2, 0.7)] {
            queue.on_look(id(partition), dirty(ratio));
        }
        assert_eq!(queue.start(0), None);
        assert_eq!(queue.start(2), Some(id(1)));
        assert_eq!(queue.start(2), Some(id(2)));
        assert_eq!(queue.start(2), None);
        assert!(queue.on_done(id(1), &CleanOutcome::Cleaned, BACKOFF, BACKOFF));
        assert_eq!(queue.start(2), Some(id(0)));
    }

    #[test]
    fn a_log_that_is_cleaned_is_not_started_twice() {
        let mut queue = Queue::default();
        queue.on_look(id(0), dirty(0.9));
        assert_eq!(queue.start(4), Some(id(0)));
        queue.on_look(id(0), dirty(0.9));
        assert_eq!(queue.start(4), None);
    }

    #[test]
    fn a_log_that_waits_is_looked_at_when_its_time_has_come() {
        let mut queue = Queue::default();
        queue.on_look(id(0), later(20));
        queue.on_look(id(1), later(10));
        queue.on_look(id(1), later(30));
        assert_eq!(queue.next_due(), Some(Duration::from_secs(20)));
        assert_eq!(queue.take_due(Duration::from_secs(19)), []);
        assert_eq!(queue.take_due(Duration::from_secs(20)), [id(0)]);
        queue.on_look(id(1), None);
        assert_eq!(queue.next_due(), None);
        queue.on_look(id(2), dirty(0.8));
        assert_eq!(queue.start(1), Some(id(2)));
        assert!(!queue.on_done(id(2), &CleanOutcome::NotNow, BACKOFF, BACKOFF));
        assert_eq!(queue.next_due(), Some(2 * BACKOFF));
    }

    #[test]
    fn an_uncleanable_log_is_left_alone() {
        let mut queue = Queue::default();
        queue.on_look(id(0), dirty(0.8));
        queue.start(1);
        let outcome = CleanOutcome::Uncleanable("broken".to_owned());
        assert!(!queue.on_done(id(0), &outcome, BACKOFF, BACKOFF));
        queue.on_look(id(0), dirty(0.9));
        assert_eq!(queue.start(1), None);
        assert_eq!(queue.next_due(), None);
    }

    #[test]
    #[should_panic(expected = "ended, and none ran")]
    fn an_end_of_a_cleaning_that_never_began_is_noticed() {
        let mut queue = Queue::default();
        queue.on_done(id(0), &CleanOutcome::Cleaned, BACKOFF, BACKOFF);
    }
}
