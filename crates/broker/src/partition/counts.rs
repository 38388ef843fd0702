//! What producers and consumers do with the topics of this broker, counted.
//!
//! Invariant: counting takes no lock and allocates nothing.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use dohle_model::{ErrorCode, TopicName};
use dohle_telemetry::{Counter, Sharded};
use parking_lot::Mutex;

/// The counts of one topic, or of all.
#[derive(Debug, Default)]
pub struct TopicCounts {
    /// Records that were appended as leader.
    pub messages_in: Counter,
    /// Bytes of the batches with these records.
    pub bytes_in: Counter,
    /// Bytes of batches in responses to consumers.
    pub bytes_out: Counter,
    /// Partitions in produce requests.
    pub produce_requests: Counter,
    /// Those of them that failed for a reason that Kafka does not expect.
    pub failed_produce_requests: Counter,
    /// Partitions in responses to fetch requests of consumers.
    pub fetch_requests: Counter,
}

/// Counts for one topic and for all topics.
#[derive(Debug)]
pub struct TopicMeter {
    own: Sharded<TopicCounts>,
    all: Arc<Sharded<TopicCounts>>,
}

impl TopicMeter {
    /// Adds to counts of the topic, and to those of all topics.
    pub fn count(&self, add: impl Fn(&TopicCounts)) {
        add(self.own.here());
        add(self.all.here());
    }

    /// Counts what a fetch of a consumer returned of one partition.
    pub fn fetched(&self, bytes: usize) {
        self.count(|counts| {
            counts.fetch_requests.add(1);
            counts.bytes_out.add(bytes as u64);
        });
    }

    /// Counts a partition of a produce request, with its error if it failed. Kafka counts other
    /// errors than those that clients handle by themselves (`appendToLocalLog` of
    /// `ReplicaManager`).
    pub(super) fn produced(&self, error: Option<ErrorCode>) {
        let is_expected = |code: ErrorCode| {
            matches!(
                code,
                ErrorCode::UnknownTopicOrPartition
                    | ErrorCode::NotLeaderOrFollower
                    | ErrorCode::MessageTooLarge
                    | ErrorCode::RecordListTooLarge
                    | ErrorCode::CorruptMessage
                    | ErrorCode::KafkaStorageError
            )
        };
        let has_failed = error.is_some_and(|code| !is_expected(code));
        self.count(|counts| {
            counts.produce_requests.add(1);
            counts.failed_produce_requests.add(has_failed.into());
        });
    }

    /// Returns the sum of one of the topic's counts.
    pub(crate) fn sum(&self, counter: impl Fn(&TopicCounts) -> &Counter) -> u64 {
        self.own.sum(counter)
    }
}

/// The counts of a broker's topics.
#[derive(Debug, Default)]
pub(crate) struct TopicMeters {
    /// Those of all topics, deleted ones included.
    pub(crate) all: Arc<Sharded<TopicCounts>>,
    by_topic: Mutex<HashMap<TopicName, Weak<TopicMeter>>>,
    /// ISRs of partitions that this broker leads from which replicas were removed.
    pub(crate) isr_shrinks: Counter,
    /// ISRs to which replicas were added.
    pub(crate) isr_expands: Counter,
}

impl TopicMeters {
    /// Returns the meter that all partitions of a topic on this broker share.
    pub(super) fn of(&self, topic: &TopicName) -> Arc<TopicMeter> {
        let mut by_topic = self.by_topic.lock();
        if let Some(meter) = by_topic.get(topic).and_then(Weak::upgrade) {
            return meter;
        }
        by_topic.retain(|_, meter| meter.strong_count() > 0);
        let meter = Arc::new(TopicMeter {
            own: Sharded::default(),
            all: Arc::clone(&self.all),
        });
        by_topic.insert(topic.clone(), Arc::downgrade(&meter));
        meter
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_of_a_topic_share_counts_that_are_part_of_all() {
        let (meters, topic) = (TopicMeters::default(), TopicName::new("t").unwrap());
        let (a, b) = (meters.of(&topic), meters.of(&topic));
        let other = meters.of(&TopicName::new("u").unwrap());
        a.fetched(100);
        b.fetched(20);
        other.produced(None);
        other.produced(Some(ErrorCode::InvalidRecord));
        other.produced(Some(ErrorCode::NotLeaderOrFollower));
        assert_eq!(a.sum(|it| &it.bytes_out), 120);
        assert_eq!(a.sum(|it| &it.produce_requests), 0);
        assert_eq!(other.sum(|it| &it.produce_requests), 3);
        assert_eq!(other.sum(|it| &it.failed_produce_requests), 1);
        drop((a, b));
        // A topic without partitions here begins again, and the sum over all topics does not fall.
        assert_eq!(meters.of(&topic).sum(|it| &it.bytes_out), 0);
        assert_eq!(meters.all.sum(|it| &it.bytes_out), 120);
        assert_eq!(meters.all.sum(|it| &it.fetch_requests), 2);
    }
}
