//! What a group has committed.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_model::PartitionIndex;

use crate::ids::GroupId;
use crate::records::{OffsetKey, OffsetValue, Record};

/// The offsets of one group, by topic and partition.
///
/// Invariant: no topic is without partitions.
#[derive(Debug, Default)]
pub struct GroupOffsets {
    topics: BTreeMap<Arc<str>, BTreeMap<PartitionIndex, OffsetValue>>,
}

impl GroupOffsets {
    /// Whether nothing is committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.topics.is_empty()
    }

    /// How many partitions have an offset.
    #[must_use]
    pub fn len(&self) -> usize {
        self.topics.values().map(BTreeMap::len).sum()
    }

    /// What is committed for a partition.
    #[must_use]
    pub fn get(&self, topic: &str, partition: PartitionIndex) -> Option<&OffsetValue> {
        self.topics.get(topic)?.get(&partition)
    }

    /// The shared name of a topic, if anything is committed for it.
    pub(super) fn topic(&self, name: &str) -> Option<&Arc<str>> {
        self.topics.get_key_value(name).map(|(name, _)| name)
    }

    /// The topics and their partitions, in order.
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

    /// Everything, in order.
    pub fn all(&self) -> impl Iterator<Item = (&Arc<str>, PartitionIndex, &OffsetValue)> {
        self.topics.iter().flat_map(|(name, partitions)| {
            let entries = partitions.iter();
            entries.map(move |(partition, value)| (name, *partition, value))
        })
    }

    /// Keeps an offset. The name of a topic and an empty text are shared.
    pub(super) fn put(&mut self, topic: Arc<str>, partition: PartitionIndex, value: OffsetValue) {
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

    /// Forgets an offset.
    pub(super) fn remove(&mut self, topic: &str, partition: PartitionIndex) {
        let Some(partitions) = self.topics.get_mut(topic) else {
            return;
        };
        partitions.remove(&partition);
        if partitions.is_empty() {
            self.topics.remove(topic);
        }
    }
}

/// The record that deletes an offset.
pub(super) fn tombstone(group_id: &GroupId, topic: &Arc<str>, partition: PartitionIndex) -> Record {
    let key = OffsetKey {
        group_id: group_id.clone(),
        topic: Arc::clone(topic),
        partition,
    };
    Record::Offset(key, None)
}
