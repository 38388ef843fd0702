//! Lists, describes and ends transactions; describes the producers of partitions.

use std::collections::BTreeMap;

use kacrab_protocol::generated::{
    DescribeProducersRequestData, DescribeTransactionsRequestData, ErrorCode,
    InitProducerIdRequestData, ListTransactionsRequestData, WriteTxnMarkersRequestData,
    describe_producers_request::TopicRequest,
    write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic},
};

use super::batches::result;
use super::{ByPartition, PartitionId, ask_leaders, by_topic, leaders};
use crate::cluster::{Cluster, ClusterError, Recipient, check};
use crate::progress::ProgressReporter;

/// Selects the transactions of a list.
#[derive(Debug, Clone, Default)]
pub struct TransactionFilter {
    /// Selects transactions of these producers; empty for all.
    pub producer_ids: Vec<i64>,
    /// Selects transactions that began longer ago than this, in milliseconds; negative or `None`
    /// for all.
    pub duration_ms: Option<i64>,
    /// Selects transactional ids that match this regular expression.
    pub pattern: Option<String>,
}

/// A transactional id in a list.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ListedTransaction {
    /// The id.
    pub transactional_id: String,
    /// The broker that coordinates it.
    pub coordinator: i32,
    /// Its producer.
    pub producer_id: i64,
    /// Its state.
    pub transaction_state: String,
}

/// A transaction.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Transaction {
    /// The broker that coordinates it.
    pub coordinator_id: i32,
    /// Its id.
    pub transactional_id: String,
    /// Its producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// Its state.
    pub transaction_state: String,
    /// Its timeout, in milliseconds.
    pub transaction_timeout_ms: i32,
    /// When it began, in milliseconds since 1970.
    pub start_time_ms: Option<i64>,
    /// Its partitions, by topic and number.
    pub partitions: Vec<PartitionId>,
}

/// A producer, from the state that a partition keeps of it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Producer {
    /// Its id.
    pub producer_id: i64,
    /// Its epoch.
    pub producer_epoch: i32,
    /// The epoch of the coordinator that wrote its last marker.
    pub coordinator_epoch: Option<i32>,
    /// The sequence number of its last record.
    pub last_sequence: i32,
    /// When it wrote last, in milliseconds since 1970.
    pub last_timestamp: i64,
    /// The first offset of its open transaction.
    pub transaction_start_offset: Option<i64>,
}

/// A transaction to end with a marker in one partition, whatever its coordinator does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AbortMarker {
    /// The partition.
    pub partition: PartitionId,
    /// The producer.
    pub producer_id: i64,
    /// The producer's epoch.
    pub producer_epoch: i16,
    /// The epoch that the marker has.
    pub coordinator_epoch: i32,
}

/// Requests from all brokers the transactions that they coordinate, sorted by broker and id.
///
/// # Errors
/// When a broker does not answer or refuses.
pub async fn list_transactions(
    cluster: &Cluster,
    filter: &TransactionFilter,
    progress: &dyn ProgressReporter,
) -> Result<Vec<ListedTransaction>, ClusterError> {
    let request = ListTransactionsRequestData {
        producer_id_filters: filter.producer_ids.clone(),
        duration_filter: filter.duration_ms.unwrap_or(-1),
        transactional_id_pattern: filter.pattern.clone().map(Into::into),
        ..ListTransactionsRequestData::default()
    };
    let mut found = Vec::new();
    for node in progress.over("brokers asked for transactions", cluster.nodes().await?) {
        let answer = cluster.call(Recipient::Broker(node.id), &request).await?;
        let mut listed: Vec<_> = answer
            .transaction_states
            .iter()
            .map(|one| ListedTransaction {
                transactional_id: one.transactional_id.to_string(),
                coordinator: node.id,
                producer_id: one.producer_id,
                transaction_state: one.transaction_state.to_string(),
            })
            .collect();
        listed.sort_by(|a, b| a.transactional_id.cmp(&b.transactional_id));
        found.extend(listed);
    }
    Ok(found)
}

/// Describes a transactional id.
///
/// # Errors
/// When the coordinator does not answer, or refuses: TRANSACTIONAL_ID_NOT_FOUND where there is no
/// such id.
pub async fn describe_transaction(
    cluster: &Cluster,
    id: &str,
) -> Result<Transaction, ClusterError> {
    let request = DescribeTransactionsRequestData {
        transactional_ids: vec![id.to_owned().into()],
        ..DescribeTransactionsRequestData::default()
    };
    cluster
        .retry(async || {
            let coordinator = cluster.transaction_coordinator(id).await?;
            let answer = cluster.ask_broker(coordinator.id, &request).await?;
            let Some(one) = answer.transaction_states.into_iter().next() else {
                return Err(ErrorCode::TransactionalIdNotFound.into());
            };
            check(one.error_code, None)?;
            let partitions = one.topics.iter().flat_map(|topic| {
                let name = topic.topic.as_str();
                let partitions = topic.partitions.iter();
                partitions.map(move |partition| PartitionId::new(name, *partition))
            });
            let mut partitions: Vec<PartitionId> = partitions.collect();
            partitions.sort();
            Ok(Transaction {
                coordinator_id: coordinator.id,
                transactional_id: id.to_owned(),
                producer_id: one.producer_id,
                producer_epoch: one.producer_epoch,
                transaction_state: one.transaction_state.to_string(),
                transaction_timeout_ms: one.transaction_timeout_ms,
                start_time_ms: Some(one.transaction_start_time_ms).filter(|time| *time >= 0),
                partitions,
            })
        })
        .await
}

/// Returns the producers of partitions, as their leaders or one broker report them.
///
/// # Errors
/// When a broker does not answer. An error of one partition is its result.
pub async fn describe_producers(
    cluster: &Cluster,
    partitions: &[PartitionId],
    broker: Option<i32>,
    progress: &dyn ProgressReporter,
) -> Result<ByPartition<Vec<Producer>>, ClusterError> {
    let request = |ids: &[PartitionId]| DescribeProducersRequestData {
        topics: by_topic(
            ids.iter().map(|id| (id.topic.as_str(), id.partition)),
            |name, partition_indexes| TopicRequest {
                name,
                partition_indexes,
                ..TopicRequest::default()
            },
        ),
        ..DescribeProducersRequestData::default()
    };
    let results = |answer: kacrab_protocol::generated::DescribeProducersResponseData| {
        let results = answer.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|partition| {
                let producers = partition.active_producers.iter().map(|one| Producer {
                    producer_id: one.producer_id,
                    producer_epoch: one.producer_epoch,
                    coordinator_epoch: Some(one.coordinator_epoch).filter(|epoch| *epoch >= 0),
                    last_sequence: one.last_sequence,
                    last_timestamp: one.last_timestamp,
                    transaction_start_offset: Some(one.current_txn_start_offset)
                        .filter(|offset| *offset >= 0),
                });
                let (number, code) = (partition.partition_index, partition.error_code);
                result(&topic.name, number, code, || producers.collect())
            })
        });
        results.collect()
    };
    match broker {
        None => {
            let count = progress.begin("partitions done", Some(partitions.len()));
            ask_leaders(cluster, partitions.iter(), &*count, request, results).await
        }
        Some(broker) => {
            let answer = cluster.ask_broker(broker, &request(partitions)).await?;
            Ok(results(answer).into_iter().collect())
        }
    }
}

/// Writes an abort marker to the leader of a partition.
///
/// # Errors
/// When the partition has no leader, or its leader does not answer or refuses.
pub async fn abort_transaction(cluster: &Cluster, abort: &AbortMarker) -> Result<(), ClusterError> {
    let topic = WritableTxnMarkerTopic {
        name: abort.partition.topic.clone().into(),
        partition_indexes: vec![abort.partition.partition],
        ..WritableTxnMarkerTopic::default()
    };
    let request = WriteTxnMarkersRequestData {
        markers: vec![WritableTxnMarker {
            producer_id: abort.producer_id,
            producer_epoch: abort.producer_epoch,
            coordinator_epoch: abort.coordinator_epoch,
            transaction_result: false,
            topics: vec![topic],
            ..WritableTxnMarker::default()
        }],
        ..WriteTxnMarkersRequestData::default()
    };
    cluster
        .retry(async || {
            let found = leaders(cluster, std::iter::once(&abort.partition)).await?;
            let leader = found.into_values().next();
            let leader = leader.unwrap_or(Err(ErrorCode::UnknownTopicOrPartition))?;
            let answer = cluster.ask_broker(leader, &request).await?;
            let topics = answer.markers.iter().flat_map(|marker| &marker.topics);
            let mut partitions = topics.flat_map(|topic| &topic.partitions);
            partitions.try_for_each(|one| check(one.error_code, None))
        })
        .await
}

/// Ends the open transaction of a transactional id, and fences its producer: the coordinator gives
/// the id a new epoch, which no producer uses.
///
/// # Errors
/// When the coordinator does not answer, or refuses.
pub async fn terminate_transaction(cluster: &Cluster, id: &str) -> Result<(), ClusterError> {
    let request = InitProducerIdRequestData {
        transactional_id: Some(id.to_owned().into()),
        transaction_timeout_ms: cluster.request_timeout_ms(),
        producer_id: -1,
        producer_epoch: -1,
        ..InitProducerIdRequestData::default()
    };
    cluster
        .retry(async || {
            let coordinator = cluster.transaction_coordinator(id).await?;
            let answer = cluster.ask_broker(coordinator.id, &request).await?;
            match check(answer.error_code, None) {
                // The transaction is being aborted.
                Err(ClusterError::Refused(refusal))
                    if refusal.code == ErrorCode::ConcurrentTransactions =>
                {
                    Err(ErrorCode::CoordinatorLoadInProgress.into())
                }
                outcome => outcome,
            }
        })
        .await
}

/// Describes transactional ids; those that do not exist are left out.
///
/// # Errors
/// As [`describe_transaction`].
pub async fn describe_transactions<'a>(
    cluster: &Cluster,
    ids: impl IntoIterator<Item = &'a str>,
) -> Result<BTreeMap<String, Transaction>, ClusterError> {
    let mut found = BTreeMap::new();
    for id in ids {
        match describe_transaction(cluster, id).await {
            Ok(transaction) => {
                found.insert(id.to_owned(), transaction);
            }
            Err(ClusterError::Refused(refusal))
                if refusal.code == ErrorCode::TransactionalIdNotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(found)
}
