//! The transaction coordinator: runs the machine of transactions, defines their topic, and serves
//! the requests that need more than the machine: new producer ids, markers on other brokers.

use std::sync::Arc;
use std::time::Duration;

use dohle_broker::metadata::MetadataCache;
use dohle_broker::partitions::Partitions;
use dohle_broker::replication::BrokerClient;
use dohle_config::keys::broker as keys;
use dohle_config::{BrokerValues, ConfigSnapshot, Properties};
use dohle_log::CompressionType;
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, NodeId, ProducerId};
use dohle_transactions::{
    AbortTimedOut, AddPartitions, Describe, DescribedTransaction, EndTxn, InitProducerId, List,
    ListedTransaction, PlannedReply, ProducerIdAndEpoch, Timer, TransactionConfig,
    TransactionFilter, TransactionMachine, TransactionalId, VerifyPartitions,
};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{
    AnyCoordinator, Coordinator, CoordinatorConfig, CoordinatorSettings, InternalTopic,
    ProducerIdSource, ShardReport, TimerReport, TopicSettings,
};

mod broker_queues;
mod markers;
mod verifier;

pub use markers::{MarkerWriter, PartitionMarkers};
pub use verifier::{TransactionVerifier, VerifyRequest};

/// The topic that stores transactions.
pub static TRANSACTION_TOPIC: InternalTopic = InternalTopic {
    name: "__transaction_state",
    replication_factor_property: keys::TRANSACTION_STATE_LOG_REPLICATION_FACTOR.name(),
    settings: topic_settings,
};

/// How long the abort of a timed-out transaction waits for a new producer id.
const ABORT_TIMEOUT: Duration = Duration::from_secs(30);

/// The services that the coordinator uses, besides its partitions.
#[derive(Debug, Clone)]
pub struct TransactionServices {
    /// Ids for producers.
    pub producer_ids: Arc<dyn ProducerIdSource>,
    /// Writes markers to the partitions that this broker leads.
    pub local_markers: Arc<dyn MarkerWriter>,
    /// Sends markers to other brokers.
    pub brokers: Arc<BrokerClient>,
}

/// The coordinator of transactions on one node.
#[derive(Debug)]
pub struct TransactionCoordinator {
    shards: Arc<Coordinator<TransactionMachine>>,
    services: TransactionServices,
    /// The task that sends the markers; it ends with the coordinator.
    markers: JoinHandle<()>,
}

impl Drop for TransactionCoordinator {
    fn drop(&mut self) {
        self.markers.abort();
    }
}

/// Starts the coordinator of transactions on a node with these properties.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn start(
    node: NodeId,
    properties: Arc<Properties>,
    metadata: Arc<MetadataCache>,
    partitions: Arc<Partitions>,
    services: TransactionServices,
) -> Arc<TransactionCoordinator> {
    let resolve = move |image: &MetadataImage| settings(&properties, image, node);
    let config = CoordinatorConfig::new(node, &TRANSACTION_TOPIC, resolve);
    let shards = Coordinator::start(config, metadata, partitions);
    let markers = tokio::spawn(markers::run(node, Arc::clone(&shards), services.clone()));
    Arc::new(TransactionCoordinator {
        shards,
        services,
        markers,
    })
}

impl TransactionCoordinator {
    /// Returns the part that follows the metadata.
    #[must_use]
    pub fn coordinator(&self) -> Arc<dyn AnyCoordinator> {
        Arc::clone(&self.shards) as _
    }

    /// Reports on the partitions of transactions, by their indexes.
    #[must_use]
    pub fn report(&self) -> Vec<ShardReport> {
        self.shards.report()
    }

    /// Returns what the first `max` timers wait for, and when they expire.
    #[must_use]
    pub fn timers(&self, max: usize) -> Vec<TimerReport<String>> {
        let timers = self.shards.timers(max, |_| true).into_iter();
        timers
            .map(|report| TimerReport {
                partition: report.partition,
                timer: match report.timer {
                    Timer::Timeout(id) => format!("the end of the open transaction of {id}"),
                    Timer::Markers => "the next attempt to write markers".to_owned(),
                },
                left: report.left,
            })
            .collect()
    }

    /// Serves InitProducerId with a transactional id. `fresh` of the request may be `None`.
    ///
    /// # Errors
    /// Kafka's codes. COORDINATOR_LOAD_IN_PROGRESS when a new id is needed and none is available by
    /// the deadline; clients retry.
    pub async fn init_producer_id(
        &self,
        request: InitProducerId<'_>,
        deadline: Instant,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        let planned = self.shards.run(request.transactional_id, &request).await?;
        let PlannedReply::NeedsProducerId = planned else {
            return reply(planned);
        };
        let fresh = Some(self.fresh(deadline).await?);
        let request = InitProducerId { fresh, ..request };
        reply(self.shards.run(request.transactional_id, &request).await?)
    }

    /// Serves AddPartitionsToTxn for one transaction, and AddOffsetsToTxn.
    ///
    /// # Errors
    /// Kafka's codes.
    pub async fn add_partitions(&self, request: &AddPartitions<'_>) -> Result<(), ErrorCode> {
        self.shards.run(request.transactional_id, request).await?
    }

    /// Serves verify-only AddPartitionsToTxn for one transaction. Returns the outcome for each
    /// partition, in the order of the request.
    ///
    /// # Errors
    /// Kafka's codes for the transaction.
    pub async fn verify_partitions(
        &self,
        request: &VerifyPartitions<'_>,
    ) -> Result<Vec<Result<(), ErrorCode>>, ErrorCode> {
        self.shards.run(request.transactional_id, request).await?
    }

    /// Serves EndTxn. In version 2 of the protocol, returns the id and epoch for the next
    /// transaction. `fresh` of the request may be `None`.
    ///
    /// # Errors
    /// As [`TransactionCoordinator::init_producer_id`].
    pub async fn end_txn(
        &self,
        request: EndTxn<'_>,
        deadline: Instant,
    ) -> Result<Option<ProducerIdAndEpoch>, ErrorCode> {
        let planned = self.shards.run(request.transactional_id, &request).await?;
        let PlannedReply::NeedsProducerId = planned else {
            return reply(planned);
        };
        let fresh = Some(self.fresh(deadline).await?);
        let request = EndTxn { fresh, ..request };
        reply(self.shards.run(request.transactional_id, &request).await?)
    }

    /// Serves DescribeTransactions for one transactional id.
    ///
    /// # Errors
    /// Kafka's codes.
    pub async fn describe(
        &self,
        transactional_id: &str,
    ) -> Result<DescribedTransaction, ErrorCode> {
        let request = Describe { transactional_id };
        self.shards.run(transactional_id, &request).await?
    }

    /// Serves ListTransactions: returns the transactions of all shards of this broker.
    ///
    /// # Errors
    /// COORDINATOR_LOAD_IN_PROGRESS when a shard is being loaded.
    pub async fn list(
        &self,
        filter: &TransactionFilter,
    ) -> Result<Vec<ListedTransaction>, ErrorCode> {
        let mut listed = Vec::new();
        for shard in self.shards.run_in_all(&List { filter }).await {
            match shard {
                Ok(transactions) => listed.extend(transactions),
                // The partition has moved: its new leader lists these transactions.
                Err(ErrorCode::NotCoordinator) => {}
                Err(code) => return Err(code),
            }
        }
        Ok(listed)
    }

    async fn fresh(&self, deadline: Instant) -> Result<ProducerId, ErrorCode> {
        fresh(&self.services, deadline).await
    }
}

/// Returns a new producer id.
async fn fresh(services: &TransactionServices, deadline: Instant) -> Result<ProducerId, ErrorCode> {
    let id = services.producer_ids.next(deadline).await;
    id.map_err(|error| {
        tracing::info!("no producer id can be handed out: {error}");
        // All clients retry this error, as they do with Kafka.
        ErrorCode::CoordinatorLoadInProgress
    })
}

/// Returns the reply of a request that was planned with a fresh producer id.
///
/// # Errors
/// CONCURRENT_TRANSACTIONS when the plan still needs a producer id.
pub(crate) fn reply<T>(planned: PlannedReply<T>) -> Result<T, ErrorCode> {
    match planned {
        PlannedReply::Reply(reply) => reply,
        // The state changed between the two plans.
        PlannedReply::NeedsProducerId => Err(ErrorCode::ConcurrentTransactions),
    }
}

/// Aborts a transaction that has timed out and whose producer needs a new id. After a failure, the
/// transaction's timer triggers another attempt.
async fn abort_timed_out(
    shards: Arc<Coordinator<TransactionMachine>>,
    services: TransactionServices,
    transactional_id: TransactionalId,
) {
    let Ok(fresh) = fresh(&services, Instant::now() + ABORT_TIMEOUT).await else {
        return;
    };
    let key = transactional_id.clone();
    let request = AbortTimedOut {
        transactional_id,
        fresh,
    };
    if let Err(code) = shards.run(key.as_str(), &request).await {
        let transactional_id = key;
        tracing::info!(%transactional_id, %code, "cannot abort a timed-out transaction yet");
    }
}

fn topic_settings(values: &BrokerValues) -> TopicSettings {
    let segment_bytes = values.read(&keys::TRANSACTION_STATE_LOG_SEGMENT_BYTES);
    TopicSettings {
        partitions: values.read(&keys::TRANSACTION_STATE_LOG_NUM_PARTITIONS),
        replication_factor: values.read(&keys::TRANSACTION_STATE_LOG_REPLICATION_FACTOR),
        min_insync_replicas: Some(values.read(&keys::TRANSACTION_STATE_LOG_MIN_ISR)),
        configs: vec![
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "uncompressed".to_owned()),
            ("unclean.leader.election.enable", "false".to_owned()),
            ("segment.bytes", segment_bytes.to_string()),
        ],
    }
}

fn settings(
    properties: &Arc<Properties>,
    image: &MetadataImage,
    node: NodeId,
) -> CoordinatorSettings<TransactionMachine> {
    let configs = ConfigSnapshot::new(Arc::clone(properties), image, node);
    let values = configs.broker();
    let topic = configs.topic(TRANSACTION_TOPIC.name);
    let record_bytes_max = topic.max_message_bytes.min(topic.segment_bytes) as usize;
    CoordinatorSettings {
        machine: Arc::new(TransactionConfig::resolve(values, record_bytes_max)),
        commit_timeout: COMMIT_TIMEOUT,
        load_buffer: values.read(&keys::TRANSACTION_STATE_LOG_LOAD_BUFFER_SIZE),
        codec: CompressionType::None,
        upkeep_interval: values
            .read(&keys::TRANSACTION_REMOVE_EXPIRED_TRANSACTION_CLEANUP_INTERVAL_MS),
        batch_bytes_max: topic.max_message_bytes as usize,
    }
}

/// How long a request waits for the commit of its records. Kafka waits for the timeout of the
/// transaction, which may be hours; but clients wait only for their `request.timeout.ms`, 30
/// seconds.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(20);
