//! Tracks the markers that end a transaction on its partitions: which are due, which are in flight,
//! and how each answer changes that.
//!
//! ```text
//!   due ──taken──▶ sent ──written, or the partition is gone──▶ (removed)
//!    ▲               │
//!    └───retriable───┘          nothing due or sent: the transaction is complete
//! ```

use std::collections::BTreeMap;

use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, NodeId, TopicPartition};

use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::metadata::TransactionMetadata;
use crate::partition_set::PartitionSet;
use crate::state::{TransactionState, TransactionVersion};

/// The marker of one transaction, for partitions that one broker leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Marker {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// The producer, with the marker's epoch.
    pub producer: ProducerIdAndEpoch,
    /// Whether the transaction is committed; otherwise it is aborted.
    pub commit: bool,
    /// The version of the protocol that the transaction ended with: in version 2 the epoch of the
    /// marker is above that of the records.
    pub version: TransactionVersion,
    /// The partitions.
    pub partitions: PartitionSet,
}

/// The markers for one broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokerMarkers {
    /// The broker, which leads all their partitions.
    pub broker: NodeId,
    /// The markers, at most one for each transactional id.
    pub markers: Vec<Marker>,
}

/// The outcome of a [`Marker`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MarkerOutcome {
    /// The transactional id of the marker.
    pub transactional_id: TransactionalId,
    /// The producer of the marker.
    pub producer: ProducerIdAndEpoch,
    /// The partitions of the marker, each with the outcome from its leader: REQUEST_TIMED_OUT when
    /// the leader did not answer.
    pub partitions: Vec<(TopicPartition, Result<(), ErrorCode>)>,
}

/// The partitions of an ended transaction that have no marker yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Ending {
    pub(crate) due: PartitionSet,
    pub(crate) sent: PartitionSet,
    /// Whether a partition has a newer producer or a newer coordinator, so that this coordinator
    /// sends no more markers of the transaction.
    pub(crate) fenced: bool,
}

impl Ending {
    /// Creates the state in which all partitions are due.
    pub(crate) fn of(partitions: &PartitionSet) -> Self {
        Self {
            due: partitions.clone(),
            ..Self::default()
        }
    }

    /// Returns whether all partitions have their marker.
    pub(crate) fn is_done(&self) -> bool {
        self.due.is_empty() && self.sent.is_empty() && !self.fenced
    }

    /// Returns whether a partition still needs its marker and none is in flight.
    pub(crate) fn is_due(&self) -> bool {
        !self.due.is_empty() && !self.fenced
    }

    /// Returns the partitions without a marker.
    pub(crate) fn remaining(&self) -> PartitionSet {
        self.due.iter().chain(self.sent.iter()).cloned().collect()
    }

    /// Removes partitions that the metadata do not contain: they were deleted, and need no marker.
    pub(crate) fn drop_deleted(&mut self, image: &MetadataImage) {
        let deleted = self.due.iter().filter(|it| is_deleted(image, it));
        let deleted: Vec<_> = deleted.cloned().collect();
        for partition in &deleted {
            self.due.remove(partition);
        }
    }

    /// Takes up to `count` markers that are due, grouped by the leaders of their partitions.
    /// Markers for partitions without a leader stay due.
    pub(crate) fn take(
        &mut self,
        image: &MetadataImage,
        mut count: usize,
    ) -> BTreeMap<NodeId, PartitionSet> {
        if self.fenced {
            return BTreeMap::new();
        }
        let before = (self.due.len(), self.sent.len());
        let mut brokers: BTreeMap<NodeId, Vec<TopicPartition>> = BTreeMap::new();
        for partition in self.due.clone().iter() {
            if count == 0 {
                break;
            }
            let Some(broker) = leader(image, partition) else {
                continue;
            };
            count -= 1;
            self.due.remove(partition);
            self.sent.insert(partition.clone());
            brokers.entry(broker).or_default().push(partition.clone());
        }
        let after = (self.due.len(), self.sent.len());
        assert!(
            after.0 + after.1 == before.0 + before.1,
            "of (due, sent) markers {before:?} the taking made {after:?}"
        );
        let brokers = brokers.into_iter();
        brokers
            .map(|(broker, partitions)| (broker, partitions.into_iter().collect()))
            .collect()
    }

    /// Handles the answer for a partition that a marker was sent to. Ignores answers for other
    /// partitions, which are late.
    pub(crate) fn answered(&mut self, partition: &TopicPartition, outcome: Result<(), ErrorCode>) {
        assert!(
            !self.sent.contains(partition) || !self.due.contains(partition),
            "the marker of {partition} is on its way, and due"
        );
        if !self.sent.remove(partition) {
            return;
        }
        match outcome {
            // A log of an older format contains no records of the transaction.
            Ok(())
            | Err(ErrorCode::UnsupportedForMessageFormat | ErrorCode::UnsupportedVersion) => {}
            Err(ErrorCode::InvalidProducerEpoch | ErrorCode::TransactionCoordinatorFenced) => {
                self.fenced = true;
            }
            Err(_) => {
                self.due.insert(partition.clone());
            }
        }
    }
}

fn leader(image: &MetadataImage, partition: &TopicPartition) -> Option<NodeId> {
    let topic = image.topic(partition.topic.as_str())?;
    topic.partitions.get(&partition.partition)?.leader
}

fn is_deleted(image: &MetadataImage, partition: &TopicPartition) -> bool {
    let topic = image.topic(partition.topic.as_str());
    topic.is_none_or(|topic| !topic.partitions.contains_key(&partition.partition))
}

/// Returns the marker of an ended transaction for some of its partitions.
pub(crate) fn marker(
    transactional_id: &TransactionalId,
    metadata: &TransactionMetadata,
    partitions: PartitionSet,
) -> Marker {
    Marker {
        transactional_id: transactional_id.clone(),
        producer: metadata.producer(),
        commit: metadata.state == TransactionState::PrepareCommit,
        version: metadata.client_version,
        partitions,
    }
}
