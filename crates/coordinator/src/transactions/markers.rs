//! Delivers markers from the shards of the coordinator to the leaders of the partitions.
//!
//! ```text
//!   machine ──signal──▶ take markers, once the decision is committed ──▶ a queue a broker
//!      ▲                                                                        │ one request at
//!      └────────────────── MarkersAnswered ◀── WriteTxnMarkers ◀────────────────┘ a time
//! ```
//!
//! This module makes no decisions. It reports the outcome of every marker to the shard that the
//! marker was taken from, in the same leader epoch; the machine decides which markers are sent
//! again, and when.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use dohle_broker::partitions::Partitions;
use dohle_model::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, ProducerId, TopicPartition};
use dohle_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequestData,
};
use dohle_protocol::messages::write_txn_markers_response::WriteTxnMarkersResponseData;
use dohle_protocol::text;
use dohle_transactions::{
    CompleteEnded, Marker, MarkerOutcome, MarkersAnswered, MarkersToSend, TransactionMachine,
};
use futures::future::BoxFuture;
use tokio::time::Instant;

use super::broker_queues::{BrokerQueues, Fit};
use super::{TransactionServices, abort_timed_out};
use crate::Coordinator;

/// How long a broker may take to write markers.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The most partitions in one request, unless a single marker has more.
const PARTITIONS_MAX: usize = 20_000;

/// Writes markers to the partitions that this broker leads.
pub trait MarkerWriter: Debug + Send + Sync {
    /// Writes the markers. Returns the outcome for each partition, once the marker is committed.
    fn write_txn_markers(
        &self,
        request: WriteTxnMarkersRequestData,
    ) -> BoxFuture<'static, WriteTxnMarkersResponseData>;
}

/// Writes markers to the partitions of this broker.
#[derive(Debug)]
pub struct PartitionMarkers(pub Arc<Partitions>);

impl MarkerWriter for PartitionMarkers {
    fn write_txn_markers(
        &self,
        request: WriteTxnMarkersRequestData,
    ) -> BoxFuture<'static, WriteTxnMarkersResponseData> {
        Box::pin(self.0.write_txn_markers(request))
    }
}

type Shards = Arc<Coordinator<TransactionMachine>>;

/// A marker, and the shard that it was taken from.
#[derive(Debug)]
struct Queued {
    shard: (PartitionIndex, LeaderEpoch),
    marker: Marker,
}

#[derive(Debug, Clone)]
struct Delivery {
    node: NodeId,
    shards: Shards,
    services: TransactionServices,
    queues: Arc<BrokerQueues<Queued>>,
}

/// Sends the markers of all shards until it is dropped.
pub(super) async fn run(node: NodeId, shards: Shards, services: TransactionServices) {
    let signals = Arc::clone(shards.signals());
    let delivery = Delivery {
        node,
        shards,
        services,
        queues: Arc::default(),
    };
    loop {
        for shard in signals.take().await {
            // In a task of its own: a shard whose records are not committed yet must not delay the
            // others.
            tokio::spawn(delivery.clone().take(shard));
        }
    }
}

impl Delivery {
    /// Takes the work of a shard and queues it. After an error, which means that the shard was
    /// dropped, a new shard of the partition signals its work itself.
    async fn take(self, shard: PartitionIndex) {
        // When the records cannot be appended, the machine raises its signal again later.
        let _ = self.shards.run_in_shard(shard, None, &CompleteEnded).await;
        loop {
            let taken = self.shards.take_from(shard, &MarkersToSend).await;
            let Ok((epoch, outgoing)) = taken else {
                return;
            };
            for transactional_id in outgoing.timed_out {
                let (shards, services) = (Arc::clone(&self.shards), self.services.clone());
                tokio::spawn(abort_timed_out(shards, services, transactional_id));
            }
            for to in outgoing.markers {
                let queued = to.markers.into_iter().map(|marker| Queued {
                    shard: (shard, epoch),
                    marker,
                });
                if self.queues.push(to.broker, queued) {
                    tokio::spawn(self.clone().send(to.broker));
                }
            }
            if !outgoing.is_partial {
                return;
            }
        }
    }

    /// Sends the queued markers of a broker, one request after the other.
    async fn send(self, broker: NodeId) {
        loop {
            // The response identifies markers by producer id, so a request has each producer once.
            let mut producers = HashSet::new();
            let mut partitions = 0;
            let batch = self.queues.take(broker, |queued| {
                if partitions >= PARTITIONS_MAX {
                    return Fit::Full;
                }
                if !producers.insert(queued.marker.producer.id) {
                    return Fit::Later;
                }
                partitions += queued.marker.partitions.len();
                Fit::Taken
            });
            let Some(batch) = batch else {
                return;
            };
            let answers = self.write(broker, &batch).await;
            let delivery = self.clone();
            tokio::spawn(async move { delivery.answer(batch, answers).await });
        }
    }

    /// Sends markers to a broker. Returns the outcomes by producer and partition, or one error for
    /// all of them.
    async fn write(&self, broker: NodeId, batch: &[Queued]) -> Result<Answers, ErrorCode> {
        let markers = batch.iter().map(writable).collect();
        let request = WriteTxnMarkersRequestData {
            markers,
            ..WriteTxnMarkersRequestData::default()
        };
        let deadline = Instant::now() + REQUEST_TIMEOUT;
        let response = if broker == self.node {
            let written = self.services.local_markers.write_txn_markers(request);
            let written = tokio::time::timeout_at(deadline, written).await;
            written.map_err(|_| ErrorCode::RequestTimedOut)?
        } else {
            let brokers = &self.services.brokers;
            match brokers.call(broker, &request, deadline).await {
                Ok(response) => response,
                Err(error) => {
                    let markers = batch.len();
                    tracing::info!(%broker, markers, "markers are sent again: {error}");
                    // Whatever the error was, the markers are sent again.
                    return Err(ErrorCode::RequestTimedOut);
                }
            }
        };
        Ok(answers(&response))
    }

    /// Reports the outcomes to the shards.
    async fn answer(self, batch: Vec<Queued>, answers: Result<Answers, ErrorCode>) {
        let mut shards: BTreeMap<(PartitionIndex, LeaderEpoch), Vec<MarkerOutcome>> =
            BTreeMap::new();
        for Queued { shard, marker } in batch {
            let outcome = outcome(marker, answers.as_ref());
            shards.entry(shard).or_default().push(outcome);
        }
        for ((index, epoch), outcomes) in shards {
            let request = MarkersAnswered {
                outcomes: &outcomes,
            };
            let answered = self.shards.run_in_shard(index, Some(epoch), &request);
            if let Err(code) = answered.await {
                let partition = index.0;
                tracing::debug!(partition, %code, "transactions are not complete yet");
            }
        }
    }
}

/// What a broker answered, by producer, topic and partition.
type Answers = HashMap<ProducerId, HashMap<String, OfTopic>>;
type OfTopic = HashMap<PartitionIndex, Result<(), ErrorCode>>;

fn answers(response: &WriteTxnMarkersResponseData) -> Answers {
    let mut answers = Answers::new();
    for marker in &response.markers {
        let of_producer = answers.entry(ProducerId(marker.producer_id)).or_default();
        for topic in &marker.topics {
            let of_topic = of_producer.entry(topic.name.as_str().to_owned());
            let of_topic = of_topic.or_default();
            for partition in &topic.partitions {
                let code = partition.error_code;
                let outcome = match code {
                    0 => Ok(()),
                    _ => Err(ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)),
                };
                of_topic.insert(PartitionIndex(partition.partition_index), outcome);
            }
        }
    }
    answers
}

fn outcome(marker: Marker, answers: Result<&Answers, &ErrorCode>) -> MarkerOutcome {
    let answers = answers.map(|answers| answers.get(&marker.producer.id));
    let answer = |partition: &TopicPartition| {
        let outcome = match answers {
            Err(code) => Err(*code),
            Ok(answers) => {
                let of_topic = answers.and_then(|it| it.get(partition.topic.as_str()));
                let answer = of_topic.and_then(|it| it.get(&partition.partition));
                answer.copied().unwrap_or(Err(ErrorCode::RequestTimedOut))
            }
        };
        (partition.clone(), outcome)
    };
    MarkerOutcome {
        partitions: marker.partitions.iter().map(answer).collect(),
        transactional_id: marker.transactional_id,
        producer: marker.producer,
    }
}

fn writable(queued: &Queued) -> WritableTxnMarker {
    let Queued { shard, marker } = queued;
    let topics = marker.partitions.topics().into_iter();
    let topics = topics.map(|(topic, partitions)| WritableTxnMarkerTopic {
        name: text(topic.as_str()),
        partition_indexes: partitions.iter().map(|index| index.0).collect(),
        ..WritableTxnMarkerTopic::default()
    });
    WritableTxnMarker {
        producer_id: marker.producer.id.0,
        producer_epoch: marker.producer.epoch.0,
        transaction_result: marker.commit,
        topics: topics.collect(),
        coordinator_epoch: shard.1.0,
        transaction_version: marker.version.level(),
        ..WritableTxnMarker::default()
    }
}
