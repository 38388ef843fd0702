//! Offsets of partitions' logs, by time or by name.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use kacrab_protocol::generated::{
    ErrorCode, ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};

use super::PartitionId;
use super::topics::metadata_of;
use crate::cluster::{Cluster, ClusterError, Refusal, check};
use crate::progress::ProgressReporter;

/// The end of the log.
pub const LATEST: i64 = -1;
/// Its start.
pub const EARLIEST: i64 = -2;

/// How long a partition may be without a leader before that is told.
const WITHOUT_LEADER: Duration = Duration::from_secs(10);
const BACKOFF: Duration = Duration::from_millis(100);

/// What was found in a partition: an offset, or no record.
pub type Found = Result<Option<i64>, ClusterError>;

/// The leaders of partitions; those without one, or unknown, have the error that says so.
///
/// # Errors
/// When the cluster does not answer.
pub async fn leaders(
    cluster: &Cluster,
    partitions: impl Iterator<Item = &PartitionId>,
) -> Result<BTreeMap<PartitionId, Result<i32, ErrorCode>>, ClusterError> {
    let wanted: Vec<&PartitionId> = partitions.collect();
    let mut names: Vec<&str> = wanted.iter().map(|id| id.topic.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answer = cluster.ask(&metadata_of(names.into_iter())).await?;
    let mut found = BTreeMap::new();
    for topic in &answer.topics {
        let name = topic.name.as_ref().map_or("", |name| name.as_str());
        let error = ErrorCode::from(topic.error_code);
        for id in wanted.iter().filter(|id| id.topic == name) {
            let mut partitions = topic.partitions.iter();
            let told = partitions.find(|told| told.partition_index == id.partition);
            let leader = match told {
                _ if error.is_error() => Err(error),
                None => Err(ErrorCode::UnknownTopicOrPartition),
                Some(told) if told.leader_id < 0 => Err(ErrorCode::LeaderNotAvailable),
                Some(told) => Ok(told.leader_id),
            };
            found.insert((*id).clone(), leader);
        }
    }
    Ok(found)
}

/// Asks the partitions' leaders for the offsets of timestamps; names as [`LATEST`] are timestamps
/// below zero.
///
/// # Errors
/// When a broker does not answer. What a broker refuses is told for each partition.
pub async fn list_offsets(
    cluster: &Cluster,
    timestamps: &BTreeMap<PartitionId, i64>,
    progress: &dyn ProgressReporter,
) -> Result<BTreeMap<PartitionId, Found>, ClusterError> {
    let began = Instant::now();
    let count = progress.begin("offsets found", Some(timestamps.len()));
    let mut found = BTreeMap::new();
    let mut left: Vec<PartitionId> = timestamps.keys().cloned().collect();
    loop {
        let mut by_leader: BTreeMap<i32, Vec<PartitionId>> = BTreeMap::new();
        let mut again = Vec::new();
        for (id, leader) in leaders(cluster, left.iter()).await? {
            match leader {
                Ok(leader) => by_leader.entry(leader).or_default().push(id),
                Err(code) if code == ErrorCode::LeaderNotAvailable => again.push((id, code)),
                Err(code) => {
                    found.insert(id, Err(refused(code)));
                }
            }
        }
        for (leader, partitions) in by_leader {
            ask_leader(
                cluster,
                leader,
                &partitions,
                timestamps,
                &mut found,
                &mut again,
            )
            .await?;
            count.set(found.len() as u64);
        }
        if again.is_empty() {
            return Ok(found);
        }
        if began.elapsed() > WITHOUT_LEADER.min(cluster.timeout) {
            found.extend(again.into_iter().map(|(id, code)| (id, Err(refused(code)))));
            return Ok(found);
        }
        left = again.into_iter().map(|(id, _)| id).collect();
        tokio::time::sleep(BACKOFF).await;
    }
}

fn refused(code: ErrorCode) -> ClusterError {
    ClusterError::Refused(Refusal {
        message: code.to_string(),
        code,
    })
}

async fn ask_leader(
    cluster: &Cluster,
    leader: i32,
    partitions: &[PartitionId],
    timestamps: &BTreeMap<PartitionId, i64>,
    found: &mut BTreeMap<PartitionId, Found>,
    again: &mut Vec<(PartitionId, ErrorCode)>,
) -> Result<(), ClusterError> {
    let mut topics: BTreeMap<&str, Vec<ListOffsetsPartition>> = BTreeMap::new();
    for id in partitions {
        topics
            .entry(&id.topic)
            .or_default()
            .push(ListOffsetsPartition {
                partition_index: id.partition,
                current_leader_epoch: -1,
                timestamp: timestamps[id],
                ..ListOffsetsPartition::default()
            });
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| ListOffsetsTopic {
            name: name.to_owned().into(),
            partitions,
            ..ListOffsetsTopic::default()
        });
    let request = ListOffsetsRequestData {
        replica_id: -1,
        topics: topics.collect(),
        timeout_ms: cluster.request_timeout_ms(),
        ..ListOffsetsRequestData::default()
    };
    let answer = cluster.ask_broker(leader, &request).await?;
    for topic in answer.topics {
        for partition in topic.partitions {
            let id = PartitionId {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
            };
            let code = ErrorCode::from(partition.error_code);
            let moved = matches!(
                code,
                ErrorCode::NotLeaderOrFollower
                    | ErrorCode::LeaderNotAvailable
                    | ErrorCode::ReplicaNotAvailable
                    | ErrorCode::OffsetNotAvailable
                    | ErrorCode::FencedLeaderEpoch
                    | ErrorCode::UnknownLeaderEpoch
            );
            if moved {
                again.push((id, code));
                continue;
            }
            let offset = Some(partition.offset).filter(|offset| *offset >= 0);
            found.insert(id, check(partition.error_code, None).map(|()| offset));
        }
    }
    Ok(())
}
