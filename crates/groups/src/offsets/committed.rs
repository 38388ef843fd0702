//! The committed offsets of a group.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_model::{PartitionIndex, ProducerId};

use crate::ids::GroupId;
use crate::offsets::pending::PendingOffsets;
use crate::records::{OffsetKey, OffsetValue, Record};

/// The offsets of one group, by topic and partition.
///
/// Invariant: every topic has at least one partition.
#[derive(Debug, Default)]
pub struct GroupOffsets {
    topics: BTreeMap<Arc<str>, BTreeMap<PartitionIndex, OffsetValue>>,
    pending: PendingOffsets,
}

impl GroupOffsets {
    /// Whether no offset is committed. There may be offsets of open transactions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// The offsets of open transactions.
    pub(crate) fn pending(&self) -> &PendingOffsets {
        &self.pending
    }

    /// The offsets of open transactions.
    pub(crate) fn pending_mut(&mut self) -> &mut PendingOffsets {
        &mut self.pending
    }

    /// How many partitions have an offset.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    /// The committed offset of a partition.
    #[must_use]
    pub fn get(&self, topic: &str, partition: PartitionIndex) -> Option<&OffsetValue> {
        self.topics.get(topic)?.get(&partition)
    }

    /// The shared name of a topic that has an offset, committed or of an open transaction.
    pub(crate) fn topic(&self, name: &str) -> Option<&Arc<str>> {
        let committed = self.topics.get_key_value(name).map(|(name, _)| name);
        committed.or_else(|| self.pending.topic(name))
    }

    /// The partitions that have only offsets of open transactions.
    pub(crate) fn only_pending(&self) -> impl Iterator<Item = (&Arc<str>, PartitionIndex)> {
        let pending = self.pending.partitions();
        pending.filter(|(topic, partition)| self.get(topic, *partition).is_none())
    }

    /// The topics and their partitions, in alphabetical order.
    pub fn topics(
        &self,
    ) -> impl Iterator<Item = (&Arc<str>, &BTreeMap<PartitionIndex, OffsetValue>)> {
        self.topics.iter()
    }

    /// The partitions of one topic, in order.
    pub fn partitions(
        &self,
        topic: &str,
    ) -> impl Iterator<Item = (&Arc<str>, PartitionIndex, &OffsetValue)> {
        let found = self.topics.get_key_value(topic);
        found.into_iter().flat_map(|(name, partitions)| {
            let entries = partitions.iter();
            entries.map(move |(partition, value)| (name, *partition, value))
        })
    }

    /// All offsets, in the order of topics and partitions.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, PartitionIndex, &OffsetValue)> {
        self.topics.iter().flat_map(|(name, partitions)| {
            let entries = partitions.iter();
            entries.map(move |(partition, value)| (name, *partition, value))
        })
    }

    /// Commits the offset of a partition outside of transactions. Offsets of open transactions for
    /// the same partition are earlier, and do not take effect any more.
    pub(crate) fn commit(
        &mut self,
        topic: Arc<str>,
        partition: PartitionIndex,
        value: OffsetValue,
    ) {
        self.pending.supersede(&topic, partition);
        self.put(topic, partition, value);
    }

    /// Handles the end of a producer's transaction: its offsets take effect or are dropped.
    pub(crate) fn end_transaction(&mut self, producer: ProducerId, committed: bool) {
        for (topic, partition, value) in self.pending.end(producer, committed) {
            self.put(topic, partition, value);
        }
    }

    /// Sets the offset of a partition. The names of topics and empty metadata are shared, which
    /// saves memory.
    fn put(&mut self, topic: Arc<str>, partition: PartitionIndex, value: OffsetValue) {
        let partitions = self.topics.entry(topic).or_default();
        let value = match value.metadata.is_empty() {
            true => OffsetValue {
                metadata: Arc::default(),
                ..value
            },
            false => value,
        };
        partitions.insert(partition, value);
    }

    /// Removes the offset of a partition, and those of open transactions.
    pub(crate) fn remove(&mut self, topic: &str, partition: PartitionIndex) {
        self.pending.remove(topic, partition);
        let Some(partitions) = self.topics.get_mut(topic) else {
            return;
        };
        assert!(!partitions.is_empty(), "topic {topic} is without offsets");
        partitions.remove(&partition);
        if partitions.is_empty() {
            self.topics.remove(topic);
        }
    }
}

/// The record that deletes an offset.
pub(crate) fn tombstone(group_id: &GroupId, topic: &Arc<str>, partition: PartitionIndex) -> Record {
    let key = OffsetKey {
        group_id: group_id.clone(),
        topic: Arc::clone(topic),
        partition,
    };
    Record::Offset(key, None)
}
