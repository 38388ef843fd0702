//! Changes leaders, replicas, log directories and records of partitions.

use std::collections::{BTreeMap, BTreeSet};

use kacrab_protocol::generated::{
    AlterPartitionReassignmentsRequestData, AlterReplicaLogDirsRequestData, DeleteRecordsPartition,
    DeleteRecordsRequestData, DeleteRecordsTopic, DescribeLogDirsRequestData,
    ElectLeadersRequestData, ErrorCode, ReassignablePartition, ReassignableTopic,
    alter_replica_log_dirs_request as alter_request, describe_log_dirs_request as describe_request,
    elect_leaders_request as request,
};

use super::batches::result;
use super::{ByPartition, PartitionId, ask_leaders, by_topic};
use crate::cluster::{Cluster, ClusterError, Recipient, Refusal, check};
use crate::progress::{ItemCount, ProgressReporter};

/// Elects leaders of the given partitions, or of all partitions when `None` is given; `election` is
/// 0 for preferred leaders, 1 for leaders that are not in sync. Returns the errors; a partition
/// without one has a new leader.
///
/// # Errors
/// When the cluster does not answer, or refuses as a whole.
pub async fn elect_leaders(
    cluster: &Cluster,
    election: i8,
    wanted: Option<Vec<PartitionId>>,
) -> Result<BTreeMap<PartitionId, Option<Refusal>>, ClusterError> {
    let topics = wanted.map(|ids| {
        let partitions = ids.iter().map(|id| (id.topic.as_str(), id.partition));
        by_topic(partitions, |topic, partitions| request::TopicPartitions {
            topic,
            partitions,
            ..request::TopicPartitions::default()
        })
    });
    let request = ElectLeadersRequestData {
        election_type: election,
        topic_partitions: topics,
        timeout_ms: cluster.request_timeout_ms(),
        ..ElectLeadersRequestData::default()
    };
    let answer = cluster.call(Recipient::Any, &request).await?;
    let mut results = BTreeMap::new();
    for topic in &answer.replica_election_results {
        for partition in &topic.partition_result {
            let id = PartitionId::new(topic.topic.as_str(), partition.partition_id);
            let result = check(partition.error_code, partition.error_message.as_ref());
            let refusal = result.err().and_then(|error| error.refusal().cloned());
            results.insert(id, refusal);
        }
    }
    Ok(results)
}

/// Deletes the records of partitions before an offset, or before the high watermark for offset -1.
/// Returns the low watermark of each partition.
///
/// # Errors
/// When a broker does not answer. An error of one partition is its result.
pub async fn delete_records(
    cluster: &Cluster,
    wanted: &BTreeMap<PartitionId, i64>,
    progress: &dyn ProgressReporter,
) -> Result<ByPartition<i64>, ClusterError> {
    let count = progress.begin("partitions done", Some(wanted.len()));
    let request = |ids: &[PartitionId]| DeleteRecordsRequestData {
        topics: by_topic(
            ids.iter().map(|id| {
                let partition = DeleteRecordsPartition {
                    partition_index: id.partition,
                    offset: wanted[id],
                    ..DeleteRecordsPartition::default()
                };
                (id.topic.as_str(), partition)
            }),
            |name, partitions| DeleteRecordsTopic {
                name,
                partitions,
                ..DeleteRecordsTopic::default()
            },
        ),
        timeout_ms: cluster.request_timeout_ms(),
        ..DeleteRecordsRequestData::default()
    };
    ask_leaders(cluster, wanted.keys(), &*count, request, |answer| {
        let results = answer.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|one| {
                let low_watermark = || one.low_watermark;
                result(
                    &topic.name,
                    one.partition_index,
                    one.error_code,
                    low_watermark,
                )
            })
        });
        results.collect()
    })
    .await
}

/// Begins reassignments; cancels those without replicas. Returns one line for each partition that
/// was refused.
///
/// # Errors
/// When the cluster does not answer, or refuses as a whole.
pub async fn alter_reassignments(
    cluster: &Cluster,
    wanted: BTreeMap<PartitionId, Option<Vec<i32>>>,
    change_factor: bool,
) -> Result<Vec<String>, ClusterError> {
    let partitions = wanted.iter().map(|(id, replicas)| {
        let partition = ReassignablePartition {
            partition_index: id.partition,
            replicas: replicas.clone(),
            ..ReassignablePartition::default()
        };
        (id.topic.as_str(), partition)
    });
    let request = AlterPartitionReassignmentsRequestData {
        timeout_ms: cluster.request_timeout_ms(),
        allow_replication_factor_change: change_factor,
        topics: by_topic(partitions, |name, partitions| ReassignableTopic {
            name,
            partitions,
            ..ReassignableTopic::default()
        }),
        ..AlterPartitionReassignmentsRequestData::default()
    };
    let answer = cluster.call(Recipient::Any, &request).await?;
    let mut errors = Vec::new();
    for topic in &answer.responses {
        for partition in &topic.partitions {
            let result = check(partition.error_code, partition.error_message.as_ref());
            if let Err(error) = result {
                errors.push(format!(
                    "{}-{}: {error}",
                    topic.name, partition.partition_index
                ));
            }
        }
    }
    errors.sort();
    Ok(errors)
}

/// A replica of a partition on a broker.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Replica {
    /// The broker; first, so that replicas are sorted by it.
    pub broker: i32,
    /// The partition.
    pub id: PartitionId,
}

impl std::fmt::Display for Replica {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.id, self.broker)
    }
}

/// The log directory of a replica.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaLogDir {
    /// Its directory.
    pub current: Option<String>,
    /// The directory that it moves to.
    pub future: Option<String>,
}

/// Requests from each broker the directories of its replicas. Brokers that are not in service are
/// skipped.
///
/// # Errors
/// When a broker in service does not answer.
pub async fn replica_log_dirs(
    cluster: &Cluster,
    replicas: impl Iterator<Item = Replica>,
    progress: &dyn ProgressReporter,
) -> Result<BTreeMap<Replica, ReplicaLogDir>, ClusterError> {
    let mut by_broker: BTreeMap<i32, Vec<PartitionId>> = BTreeMap::new();
    for replica in replicas {
        by_broker
            .entry(replica.broker)
            .or_default()
            .push(replica.id);
    }
    let live = cluster.broker_ids().await?;
    by_broker.retain(|broker, _| live.contains(broker));
    let mut found: BTreeMap<Replica, ReplicaLogDir> = BTreeMap::new();
    for (broker, ids) in progress.over("brokers asked", by_broker) {
        let partitions = ids.iter().map(|id| (id.topic.as_str(), id.partition));
        let topics = by_topic(partitions, |topic, partitions| {
            describe_request::DescribableLogDirTopic {
                topic,
                partitions,
                ..describe_request::DescribableLogDirTopic::default()
            }
        });
        let request = DescribeLogDirsRequestData {
            topics: Some(topics),
            ..DescribeLogDirsRequestData::default()
        };
        let answer = cluster.ask_broker(broker, &request).await?;
        let sound = answer.results.iter().filter(|dir| dir.error_code == 0);
        for dir in sound {
            for topic in &dir.topics {
                for partition in &topic.partitions {
                    let id = PartitionId::new(topic.name.as_str(), partition.partition_index);
                    let place = found.entry(Replica { broker, id }).or_default();
                    let path = Some(dir.log_dir.to_string());
                    match partition.is_future_key {
                        true => place.future = path,
                        false => place.current = path,
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Moves replicas to other directories of their brokers. Returns the replicas whose moves have
/// begun; a replica that is not on its broker yet may be moved later.
///
/// # Errors
/// When a broker does not answer, or refuses a move.
pub async fn move_replicas(
    cluster: &Cluster,
    moves: &BTreeMap<Replica, String>,
    count: &dyn ItemCount,
) -> Result<BTreeSet<Replica>, ClusterError> {
    let mut by_broker: BTreeMap<i32, BTreeMap<&str, Vec<&PartitionId>>> = BTreeMap::new();
    for (replica, dir) in moves {
        let dirs = by_broker.entry(replica.broker).or_default();
        dirs.entry(dir).or_default().push(&replica.id);
    }
    let mut begun = BTreeSet::new();
    for (broker, dirs) in by_broker {
        let dirs = dirs.into_iter().map(|(path, ids)| {
            let partitions = ids.into_iter().map(|id| (id.topic.as_str(), id.partition));
            alter_request::AlterReplicaLogDir {
                path: path.to_owned().into(),
                topics: by_topic(partitions, |name, partitions| {
                    alter_request::AlterReplicaLogDirTopic {
                        name,
                        partitions,
                        ..alter_request::AlterReplicaLogDirTopic::default()
                    }
                }),
                ..alter_request::AlterReplicaLogDir::default()
            }
        });
        let request = AlterReplicaLogDirsRequestData {
            dirs: dirs.collect(),
            ..AlterReplicaLogDirsRequestData::default()
        };
        let answer = cluster.ask_broker(broker, &request).await?;
        for topic in &answer.results {
            for partition in &topic.partitions {
                let id = PartitionId::new(topic.topic_name.as_str(), partition.partition_index);
                match ErrorCode::from(partition.error_code) {
                    ErrorCode::None => {
                        begun.insert(Replica { broker, id });
                        count.add(1);
                    }
                    ErrorCode::ReplicaNotAvailable | ErrorCode::UnknownTopicOrPartition => {}
                    code => {
                        let message = format!("Failed to alter dir for {id}-{broker}: {code}");
                        return Err(ClusterError::Refused(Refusal { code, message }));
                    }
                }
            }
        }
    }
    Ok(begun)
}
