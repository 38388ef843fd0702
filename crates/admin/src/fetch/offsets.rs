//! Finds offsets of partitions by timestamp or by a special timestamp such as "latest".

use std::collections::{BTreeMap, BTreeSet};

use kacrab_protocol::generated::{
    ErrorCode, ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};

use super::batches::result;
use super::{ByPartition, PartitionId, ask_leaders, by_topic, leaders};
use crate::cluster::{Cluster, ClusterError};
use crate::progress::ProgressReporter;

/// The special timestamp of the log's end.
pub const LATEST: i64 = -1;
/// The special timestamp of the log's start.
pub const EARLIEST: i64 = -2;

/// Finds the offset for each partition's timestamp, or for a special one such as [`LATEST`]; `None`
/// where no record is as new as the timestamp.
///
/// # Errors
/// When a broker does not answer. An error of one partition is its result.
pub async fn list_offsets(
    cluster: &Cluster,
    timestamps: &BTreeMap<PartitionId, i64>,
    progress: &dyn ProgressReporter,
) -> Result<ByPartition<Option<i64>>, ClusterError> {
    let count = progress.begin("offsets found", Some(timestamps.len()));
    let request = |ids: &[PartitionId]| ListOffsetsRequestData {
        replica_id: -1,
        topics: by_topic(
            ids.iter().map(|id| {
                let partition = ListOffsetsPartition {
                    partition_index: id.partition,
                    current_leader_epoch: -1,
                    timestamp: timestamps[id],
                    ..ListOffsetsPartition::default()
                };
                (id.topic.as_str(), partition)
            }),
            |name, partitions| ListOffsetsTopic {
                name,
                partitions,
                ..ListOffsetsTopic::default()
            },
        ),
        timeout_ms: cluster.request_timeout_ms(),
        ..ListOffsetsRequestData::default()
    };
    ask_leaders(cluster, timestamps.keys(), &*count, request, |answer| {
        let results = answer.topics.iter().flat_map(|topic| {
            topic.partitions.iter().map(|one| {
                let offset = || Some(one.offset).filter(|offset| *offset >= 0);
                result(&topic.name, one.partition_index, one.error_code, offset)
            })
        });
        results.collect()
    })
    .await
}

/// Finds the offset of one timestamp, or of a name below zero, in each partition; there is none
/// where no record is as new.
///
/// # Errors
/// When a broker does not answer, or refuses one of the partitions.
pub async fn offsets_at(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
    timestamp: i64,
    progress: &dyn ProgressReporter,
) -> Result<BTreeMap<PartitionId, Option<i64>>, ClusterError> {
    let wanted = ids.iter().map(|id| (id.clone(), timestamp)).collect();
    let found = list_offsets(cluster, &wanted, progress).await?.into_iter();
    found.map(|(id, offset)| Ok((id, offset?))).collect()
}

/// Finds where logs end; there is no end for a partition without a leader.
///
/// # Errors
/// As [`offsets_at`].
pub async fn log_ends(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
    progress: &dyn ProgressReporter,
) -> Result<BTreeMap<PartitionId, Option<i64>>, ClusterError> {
    let leaders = leaders(cluster, ids.iter()).await?.into_iter();
    let (without, led): (Vec<_>, Vec<_>) =
        leaders.partition(|(_, leader)| *leader == Err(ErrorCode::LeaderNotAvailable));
    let led = led.into_iter().map(|(id, _)| id).collect();
    let mut ends = offsets_at(cluster, &led, LATEST, progress).await?;
    ends.extend(without.into_iter().map(|(id, _)| (id, None)));
    Ok(ends)
}
