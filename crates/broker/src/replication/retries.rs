//! Schedules the next subscription after one has ended. The intervals grow until the partition
//! receives records, so that a leader that cannot serve it does not get requests in a loop.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use dohle_model::TopicIdPartition;
use tokio::time::Instant;

use crate::backoff::Backoff;

/// The shortest and the longest interval between two subscriptions of a partition that fails.
const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(2);

/// The partitions of one stream that wait to subscribe again.
#[derive(Debug, Default)]
pub(super) struct Retries {
    waiting: BTreeSet<(Instant, TopicIdPartition)>,
    /// The partitions that failed since they last received records.
    failed: HashMap<TopicIdPartition, Backoff>,
}

impl Retries {
    /// Schedules the next subscription of a partition whose last one ended.
    pub(super) fn failed(&mut self, id: TopicIdPartition, now: Instant) {
        let backoff = self.failed.entry(id);
        let wait = backoff.or_insert(Backoff::new(FIRST, LAST)).next_wait();
        if self.waiting.iter().all(|(_, waiting)| *waiting != id) {
            self.waiting.insert((now + wait, id));
        }
    }

    /// Resets the interval of a partition, which has received records.
    pub(super) fn succeeded(&mut self, id: TopicIdPartition) {
        if !self.failed.is_empty() {
            self.failed.remove(&id);
        }
    }

    /// Drops the partition, whose leader or epoch has changed.
    pub(super) fn forget(&mut self, id: TopicIdPartition) {
        if self.failed.remove(&id).is_some() {
            self.waiting.retain(|(_, waiting)| *waiting != id);
        }
    }

    /// Returns when the next subscription is due.
    pub(super) fn next_at(&self) -> Option<Instant> {
        self.waiting.first().map(|(at, _)| *at)
    }

    /// Takes the subscriptions that are due.
    pub(super) fn due(&mut self, now: Instant) -> Vec<TopicIdPartition> {
        let mut due = Vec::new();
        while let Some((at, id)) = self.waiting.first().copied()
            && at <= now
        {
            self.waiting.pop_first();
            due.push(id);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use dohle_model::{PartitionIndex, TopicId};

    use super::*;

    fn partition(index: i32) -> TopicIdPartition {
        TopicIdPartition {
            topic_id: TopicId::from_bytes([1; 16]),
            partition: PartitionIndex(index),
        }
    }

    /// The intervals, in milliseconds, after which a partition that keeps failing is due.
    fn intervals(retries: &mut Retries, start: Instant, times: usize) -> Vec<u128> {
        let mut now = start;
        let mut intervals = Vec::new();
        for _ in 0..times {
            retries.failed(partition(0), now);
            let at = retries.next_at().unwrap();
            intervals.push((at - now).as_millis());
            now = at;
            assert_eq!(retries.due(now), [partition(0)]);
        }
        intervals
    }

    #[test]
    fn a_subscription_that_keeps_failing_is_made_ever_more_rarely_until_it_succeeds() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        let first = intervals(&mut retries, now, 7);
        assert_eq!(first, [100, 200, 400, 800, 1600, 2000, 2000]);
        retries.succeeded(partition(0));
        assert_eq!(intervals(&mut retries, now, 2), [100, 200]);
        retries.forget(partition(0));
        assert_eq!(intervals(&mut retries, now, 1), [100]);
    }

    #[test]
    fn each_partition_waits_for_itself_and_once() {
        let (mut retries, now) = (Retries::default(), Instant::now());
        retries.failed(partition(0), now);
        assert_eq!(retries.due(now + FIRST), [partition(0)]);
        retries.failed(partition(0), now);
        retries.failed(partition(0), now);
        retries.failed(partition(1), now);
        assert_eq!(retries.due(now), []);
        assert_eq!(retries.due(now + FIRST), [partition(1)]);
        retries.forget(partition(0));
        assert_eq!(retries.next_at(), None);
    }
}
