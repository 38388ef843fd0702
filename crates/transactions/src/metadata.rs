//! What is kept for a transactional id.

use std::collections::{BTreeMap, BTreeSet};

use dohle_model::{
    PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition,
};

use crate::ids::ProducerIdAndEpoch;
use crate::state::{TransactionState, TransactionVersion};

/// The highest epoch, which is never returned to a producer: so the coordinator can always fence.
pub(crate) const EPOCH_MAX: ProducerEpoch = ProducerEpoch(i16::MAX);

/// Partitions by their topic.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PartitionSet(pub BTreeMap<TopicName, BTreeSet<PartitionIndex>>);

impl PartitionSet {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.values().map(BTreeSet::len).sum()
    }

    /// Whether a partition is one of them.
    #[must_use]
    pub fn contains(&self, partition: &TopicPartition) -> bool {
        let topic = self.0.get(&partition.topic);
        topic.is_some_and(|indexes| indexes.contains(&partition.partition))
    }

    /// Adds one. Returns whether it is new.
    pub fn insert(&mut self, partition: TopicPartition) -> bool {
        let topic = self.0.entry(partition.topic).or_default();
        topic.insert(partition.partition)
    }

    /// Removes one. Returns whether it was there.
    pub fn remove(&mut self, partition: &TopicPartition) -> bool {
        let Some(indexes) = self.0.get_mut(&partition.topic) else {
            return false;
        };
        let removed = indexes.remove(&partition.partition);
        if indexes.is_empty() {
            self.0.remove(&partition.topic);
        }
        removed
    }

    /// All of them, by topic and index.
    pub fn iter(&self) -> impl Iterator<Item = TopicPartition> + '_ {
        self.0.iter().flat_map(|(topic, indexes)| {
            indexes.iter().map(|partition| TopicPartition {
                topic: topic.clone(),
                partition: *partition,
            })
        })
    }
}

impl FromIterator<TopicPartition> for PartitionSet {
    fn from_iter<I: IntoIterator<Item = TopicPartition>>(partitions: I) -> Self {
        let mut set = Self::default();
        for partition in partitions {
            set.insert(partition);
        }
        set
    }
}

/// The state of a transactional id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionMetadata {
    /// The producer's id.
    pub producer_id: ProducerId,
    /// The id before the last change of the state; equal to `producer_id` unless that change
    /// replaced the id.
    pub previous_producer_id: Option<ProducerId>,
    /// The id that the producer gets when the transaction is complete, because the epochs of
    /// `producer_id` are exhausted. Only while the transaction is prepared.
    pub next_producer_id: Option<ProducerId>,
    /// The producer's epoch.
    pub producer_epoch: ProducerEpoch,
    /// The epoch before the last raise, as far as the producer that has it may continue (KIP-360).
    /// Not stored in records: `None` after a load.
    pub last_producer_epoch: Option<ProducerEpoch>,
    /// `transaction.timeout.ms` of the producer; `None` for two-phase commit, which has no timeout
    /// (KIP-939).
    pub timeout_ms: Option<i32>,
    /// The state.
    pub state: TransactionState,
    /// The partitions of the transaction.
    pub partitions: PartitionSet,
    /// When the transaction began; `None` before the first one.
    pub started: Option<Timestamp>,
    /// When the state changed last.
    pub updated: Timestamp,
    /// The version of the protocol that the client used for the last change.
    pub client_version: TransactionVersion,
}

impl TransactionMetadata {
    /// The producer's id and epoch.
    #[must_use]
    pub fn producer(&self) -> ProducerIdAndEpoch {
        ProducerIdAndEpoch {
            id: self.producer_id,
            epoch: self.producer_epoch,
        }
    }

    /// Whether a producer's next epoch would be one that is never returned to a producer.
    #[must_use]
    pub fn is_epoch_exhausted(&self) -> bool {
        is_exhausted(self.producer_epoch)
    }
}

/// Whether no further epoch may be returned to a producer after this one.
pub(crate) fn is_exhausted(epoch: ProducerEpoch) -> bool {
    epoch.0 >= EPOCH_MAX.0 - 1
}
