//! Messages that a follower sends for a partition only after a flush of its log, because of
//! `flush.messages` or `flush.ms`. Pure.
//!
//! Flushes do not run on the threads of the streams. A partition has one flush at a time. The
//! messages to send after a flush are taken when it begins, so that it covers all of them.

use std::collections::{BTreeMap, BTreeSet};

use dohle_model::TopicIdPartition;
use dohle_rpc::v1;

/// A message to send after a flush.
#[derive(Debug, Default, PartialEq)]
pub(super) struct AfterFlush {
    /// The last ack. Acks are cumulative.
    pub(super) ack: Option<v1::Ack>,
    /// Whether to subscribe. A subscription reports the log end, as an ack does.
    pub(super) subscribe: bool,
}

/// The partitions of one follower stream that wait for a flush.
#[derive(Debug, Default)]
pub(super) struct Flushes {
    waiting: BTreeMap<TopicIdPartition, AfterFlush>,
    running: BTreeSet<TopicIdPartition>,
}

impl Flushes {
    /// Adds messages to send after a flush of the partition. Returns whether to begin a flush.
    pub(super) fn add(&mut self, id: TopicIdPartition, after: AfterFlush) -> bool {
        let waiting = self.waiting.entry(id).or_default();
        waiting.ack = after.ack.or(waiting.ack.take());
        waiting.subscribe |= after.subscribe;
        self.running.insert(id)
    }

    /// Takes the messages that the flush which begins now covers. `None` ends the flushes of the
    /// partition.
    pub(super) fn next(&mut self, id: &TopicIdPartition) -> Option<AfterFlush> {
        assert!(self.running.contains(id), "no flush of partition {id} runs");
        let next = self.waiting.remove(id);
        if next.is_none() {
            self.running.remove(id);
        }
        next
    }

    /// Drops an ack that waits for a flush.
    pub(super) fn forget_ack(&mut self, id: &TopicIdPartition) {
        if let Some(waiting) = self.waiting.get_mut(id) {
            waiting.ack = None;
        }
    }
}

/// Whether an ack is not older than another that was not sent yet.
pub(super) fn is_newer(ack: &v1::Ack, other: Option<&v1::Ack>) -> bool {
    other.is_none_or(|other| {
        (ack.subscription, ack.end, ack.log_start_offset)
            >= (other.subscription, other.end, other.log_start_offset)
    })
}

#[cfg(test)]
mod tests {
    use dohle_model::{PartitionIndex, TopicId};

    use super::*;

    fn ack(subscription: u64, end: i64) -> v1::Ack {
        v1::Ack {
            subscription,
            end,
            ..Default::default()
        }
    }

    #[test]
    fn a_flush_covers_the_messages_that_waited_when_it_began() {
        let id = TopicIdPartition {
            topic_id: TopicId::from_bytes([1; 16]),
            partition: PartitionIndex(0),
        };
        let acked = |end| AfterFlush {
            ack: Some(ack(1, end)),
            subscribe: false,
        };
        let mut flushes = Flushes::default();
        assert!(flushes.add(id, acked(3)));
        assert_eq!(flushes.next(&id), Some(acked(3)));
        // All acks that were added during the flush share one more flush.
        assert!(!flushes.add(id, acked(5)));
        assert!(!flushes.add(id, acked(7)));
        let subscribe = AfterFlush {
            ack: None,
            subscribe: true,
        };
        assert!(!flushes.add(id, subscribe));
        let both = AfterFlush {
            ack: Some(ack(1, 7)),
            subscribe: true,
        };
        assert_eq!(flushes.next(&id), Some(both));
        assert_eq!(flushes.next(&id), None);
        assert!(flushes.add(id, acked(9)), "the next one begins anew");
    }

    #[test]
    fn a_later_ack_is_not_replaced_by_one_that_waited_for_a_flush() {
        assert!(is_newer(&ack(1, 5), None));
        assert!(is_newer(&ack(1, 5), Some(&ack(1, 4))));
        assert!(!is_newer(&ack(1, 5), Some(&ack(1, 6))));
        assert!(
            !is_newer(&ack(1, 5), Some(&ack(2, 1))),
            "another subscription"
        );
    }
}
