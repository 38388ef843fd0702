//! Offsets that were committed in transactions that are still open.
//!
//! An offset of a transaction becomes the committed one with the transaction's marker, unless a
//! later record for the same partition took effect first: of two commits the one that is later in
//! the log counts, even when its transaction ends first. A superseded offset stays here, without
//! its value, until its own marker arrives, because the partition has an open transaction until
//! then.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_model::{PartitionIndex, ProducerId};

use crate::records::OffsetValue;

/// The offset of one transaction for one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pending {
    /// Its position in the order of the log, among all offsets of the group that were committed in
    /// transactions.
    at: u64,
    /// `None` when a later offset took effect.
    value: Option<OffsetValue>,
}

/// The offsets of a group that wait for the markers of their transactions.
///
/// Invariant: every topic has at least one partition, and every partition one producer.
#[derive(Debug, Default)]
pub(crate) struct PendingOffsets {
    topics: BTreeMap<Arc<str>, BTreeMap<PartitionIndex, BTreeMap<ProducerId, Pending>>>,
    next: u64,
}

impl PendingOffsets {
    /// Whether no offset waits.
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// Whether an offset of a partition waits.
    pub fn contains(&self, topic: &str, partition: PartitionIndex) -> bool {
        let partitions = self.topics.get(topic);
        partitions.is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// The shared name of a topic with an offset that waits.
    pub fn topic(&self, name: &str) -> Option<&Arc<str>> {
        self.topics.get_key_value(name).map(|(name, _)| name)
    }

    /// The partitions with offsets that wait, in order.
    pub fn partitions(&self) -> impl Iterator<Item = (&Arc<str>, PartitionIndex)> {
        self.topics.iter().flat_map(|(name, partitions)| {
            let indexes = partitions.keys();
            indexes.map(move |partition| (name, *partition))
        })
    }

    /// Adds the offset of a transaction, in place of an earlier one of the same transaction.
    pub fn put(
        &mut self,
        producer: ProducerId,
        topic: Arc<str>,
        partition: PartitionIndex,
        value: OffsetValue,
    ) {
        let at = self.next;
        self.next += 1;
        let value = Some(value);
        let partitions = self.topics.entry(topic).or_default();
        let producers = partitions.entry(partition).or_default();
        let before = producers.insert(producer, Pending { at, value });
        assert!(
            before.as_ref().is_none_or(|before| before.at < at),
            "the offset number {at} of producer {producer} follows {before:?}"
        );
    }

    /// Notes that an offset of a partition was committed outside of transactions, later than all
    /// offsets that wait.
    pub fn supersede(&mut self, topic: &str, partition: PartitionIndex) {
        let partitions = self.topics.get_mut(topic);
        let producers = partitions.and_then(|partitions| partitions.get_mut(&partition));
        for pending in producers.into_iter().flat_map(BTreeMap::values_mut) {
            pending.value = None;
        }
    }

    /// Removes all offsets that wait for a partition.
    pub fn remove(&mut self, topic: &str, partition: PartitionIndex) {
        let Some(partitions) = self.topics.get_mut(topic) else {
            return;
        };
        let producers = partitions.remove(&partition);
        assert!(
            producers.is_none_or(|producers| !producers.is_empty()),
            "{topic}-{partition} waits for no producer"
        );
        if partitions.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// Handles the end of a producer's transaction. Returns the offsets that take effect.
    pub fn end(
        &mut self,
        producer: ProducerId,
        committed: bool,
    ) -> Vec<(Arc<str>, PartitionIndex, OffsetValue)> {
        let mut effective = Vec::new();
        self.topics.retain(|topic, partitions| {
            partitions.retain(|partition, producers| {
                let ended = producers.remove(&producer);
                if let Some(Pending { at, value }) = ended
                    && let Some(value) = value
                    && committed
                {
                    for other in producers.values_mut().filter(|other| other.at < at) {
                        other.value = None;
                    }
                    effective.push((Arc::clone(topic), *partition, value));
                }
                !producers.is_empty()
            });
            !partitions.is_empty()
        });
        effective
    }
}
