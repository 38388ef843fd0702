//! Verifies transactions for partition leaders: before a leader appends transactional records, it
//! asks the coordinator whether the partition is in the transaction (KIP-890) or, in version 2 of
//! the protocol, adds the partition to it.
//!
//! Requests to a coordinator on another broker are batched: one AddPartitionsToTxn to a broker is
//! in flight at a time, and the next one contains all requests that arrived meanwhile.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use dohle_broker::metadata::MetadataCache;
use dohle_broker::replication::{BrokerClient, CallError};
use dohle_model::{ErrorCode, NodeId, PartitionIndex, TopicPartition};
use dohle_protocol::messages::add_partitions_to_txn_request::{
    AddPartitionsToTxnRequestData, AddPartitionsToTxnTopic, AddPartitionsToTxnTransaction,
};
use dohle_protocol::messages::add_partitions_to_txn_response::AddPartitionsToTxnResponseData;
use dohle_protocol::text;
use dohle_transactions::{
    AddPartitions, PartitionSet, ProducerIdAndEpoch, TransactionVersion, TransactionalId,
    VerifyPartitions,
};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::broker_queues::{BrokerQueues, Fit};
use super::{TRANSACTION_TOPIC, TransactionCoordinator};
use crate::partition_of;

/// The most transactions in one request.
const TRANSACTIONS_MAX: usize = 1_000;

/// The partitions of a transaction that a leader is about to append to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyRequest {
    /// The transactional id.
    pub transactional_id: TransactionalId,
    /// The producer.
    pub producer: ProducerIdAndEpoch,
    /// The partitions.
    pub partitions: Vec<TopicPartition>,
    /// Whether the partitions are added to the transaction (version 2); otherwise they have to be
    /// in it.
    pub add: bool,
}

/// The outcome for each partition, in the order of the request.
pub type Verified = Vec<Result<(), ErrorCode>>;

#[derive(Debug)]
struct Waiting {
    request: VerifyRequest,
    deadline: Instant,
    reply: oneshot::Sender<Result<Verified, ErrorCode>>,
}

/// Asks the coordinators of transactions on behalf of this broker's partitions.
#[derive(Debug)]
pub struct TransactionVerifier {
    node: NodeId,
    metadata: Arc<MetadataCache>,
    local: Arc<TransactionCoordinator>,
    brokers: Arc<BrokerClient>,
    queues: BrokerQueues<Waiting>,
}

impl TransactionVerifier {
    /// Creates the verifier of one node, which uses the node's own coordinator directly.
    #[must_use]
    pub fn new(
        node: NodeId,
        metadata: Arc<MetadataCache>,
        local: Arc<TransactionCoordinator>,
        brokers: Arc<BrokerClient>,
    ) -> Arc<Self> {
        Arc::new(Self {
            node,
            metadata,
            local,
            brokers,
            queues: BrokerQueues::default(),
        })
    }

    /// Verifies partitions, or adds them, and returns the outcome for each of them in the order of
    /// the request. As in Kafka, PRODUCER_FENCED becomes INVALID_PRODUCER_EPOCH, the code that
    /// producers expect. The outcome for a partition that is not in the transaction is
    /// TRANSACTION_ABORTABLE.
    pub async fn verify(self: &Arc<Self>, request: VerifyRequest, deadline: Instant) -> Verified {
        let count = request.partitions.len();
        let outcomes = match self.ask(request, deadline).await {
            Ok(outcomes) => outcomes,
            Err(code) => vec![Err(code); count],
        };
        let fenced = |outcome| match outcome {
            Err(ErrorCode::ProducerFenced) => Err(ErrorCode::InvalidProducerEpoch),
            outcome => outcome,
        };
        outcomes.into_iter().map(fenced).collect()
    }

    async fn ask(
        self: &Arc<Self>,
        request: VerifyRequest,
        deadline: Instant,
    ) -> Result<Verified, ErrorCode> {
        let broker = self.coordinator_of(&request.transactional_id);
        let broker = broker.ok_or(ErrorCode::CoordinatorNotAvailable)?;
        if broker == self.node {
            let asked = ask_local(&self.local, &request);
            let asked = timeout_at(deadline, asked).await;
            return asked.map_err(|_| ErrorCode::RequestTimedOut)?;
        }
        let (reply, receiver) = oneshot::channel();
        let waiting = Waiting {
            request,
            deadline,
            reply,
        };
        if self.queues.push(broker, [waiting]) {
            tokio::spawn(Arc::clone(self).send(broker));
        }
        let reply = timeout_at(deadline, receiver).await;
        let reply = reply.map_err(|_| ErrorCode::RequestTimedOut)?;
        reply.map_err(|_| ErrorCode::CoordinatorNotAvailable)?
    }

    /// Returns the broker that coordinates a transactional id.
    fn coordinator_of(&self, transactional_id: &TransactionalId) -> Option<NodeId> {
        let image = self.metadata.image();
        let name = TRANSACTION_TOPIC.name;
        let index = partition_of(&image, name, transactional_id.as_str())?;
        image.topic(name)?.partitions.get(&index)?.leader
    }

    /// Sends the queued requests of a broker, one after the other.
    async fn send(self: Arc<Self>, broker: NodeId) {
        loop {
            // The response identifies transactions by their ids, so a request has each id once.
            let mut ids = HashSet::new();
            let batch = self.queues.take(broker, |waiting| {
                if ids.len() == TRANSACTIONS_MAX {
                    return Fit::Full;
                }
                match ids.insert(waiting.request.transactional_id.clone()) {
                    true => Fit::Taken,
                    false => Fit::Later,
                }
            });
            let Some(mut batch) = batch else {
                return;
            };
            // The requesters of these have stopped waiting.
            batch.retain(|waiting| !waiting.reply.is_closed());
            let Some(deadline) = batch.iter().map(|waiting| waiting.deadline).max() else {
                continue;
            };
            let transactions = batch.iter().map(|waiting| transaction(&waiting.request));
            let request = AddPartitionsToTxnRequestData {
                transactions: transactions.collect(),
                ..AddPartitionsToTxnRequestData::default()
            };
            let answer = self.brokers.call(broker, &request, deadline).await;
            reply_to_all(batch, &answer);
        }
    }
}

async fn ask_local(
    coordinator: &TransactionCoordinator,
    request: &VerifyRequest,
) -> Result<Verified, ErrorCode> {
    let transactional_id = request.transactional_id.as_str();
    let (producer, partitions) = (request.producer, &request.partitions[..]);
    if !request.add {
        let request = VerifyPartitions {
            transactional_id,
            producer,
            partitions,
        };
        return coordinator.verify_partitions(&request).await;
    }
    let request = AddPartitions {
        transactional_id,
        producer,
        partitions,
        client_version: TransactionVersion::V2,
    };
    coordinator.add_partitions(&request).await?;
    Ok(vec![Ok(()); partitions.len()])
}

fn reply_to_all(batch: Vec<Waiting>, answer: &Result<AddPartitionsToTxnResponseData, CallError>) {
    let answer = match answer {
        Ok(response) if response.error_code != 0 => Err(code(response.error_code)),
        Ok(response) => Ok(outcomes(response)),
        Err(error) => Err(error.code()),
    };
    for waiting in batch {
        let outcomes = answer.as_ref().map_err(|code| *code).map(|outcomes| {
            let outcomes = outcomes.get(waiting.request.transactional_id.as_str());
            let outcome = |partition: &TopicPartition| {
                let key = (partition.topic.as_str().to_owned(), partition.partition);
                let outcome = outcomes.and_then(|outcomes| outcomes.get(&key).copied());
                outcome.unwrap_or(Err(ErrorCode::UnknownServerError))
            };
            waiting.request.partitions.iter().map(outcome).collect()
        });
        // The requester may have stopped waiting.
        let _ = waiting.reply.send(outcomes);
    }
}

type Outcomes = HashMap<(String, PartitionIndex), Result<(), ErrorCode>>;

fn outcomes(response: &AddPartitionsToTxnResponseData) -> HashMap<String, Outcomes> {
    let mut outcomes: HashMap<String, Outcomes> = HashMap::new();
    for transaction in &response.results_by_transaction {
        let id = transaction.transactional_id.as_str().to_owned();
        let of_transaction = outcomes.entry(id).or_default();
        for topic in &transaction.topic_results {
            for partition in &topic.results_by_partition {
                let key = (
                    topic.name.as_str().to_owned(),
                    PartitionIndex(partition.partition_index),
                );
                let outcome = match partition.partition_error_code {
                    0 => Ok(()),
                    failed => Err(code(failed)),
                };
                of_transaction.insert(key, outcome);
            }
        }
    }
    outcomes
}

fn code(code: i16) -> ErrorCode {
    ErrorCode::from_code(code).unwrap_or(ErrorCode::UnknownServerError)
}

fn transaction(request: &VerifyRequest) -> AddPartitionsToTxnTransaction {
    let topics: PartitionSet = request.partitions.iter().cloned().collect();
    let topics = topics.topics().into_iter();
    let topics = topics.map(|(topic, partitions)| AddPartitionsToTxnTopic {
        name: text(topic.as_str()),
        partitions: partitions.into_iter().map(|index| index.0).collect(),
        ..AddPartitionsToTxnTopic::default()
    });
    AddPartitionsToTxnTransaction {
        transactional_id: text(request.transactional_id.as_str()),
        producer_id: request.producer.id.0,
        producer_epoch: request.producer.epoch.0,
        verify_only: !request.add,
        topics: topics.collect(),
        ..AddPartitionsToTxnTransaction::default()
    }
}
