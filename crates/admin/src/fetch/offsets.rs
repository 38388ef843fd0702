//! Finds offsets of partitions by timestamp or by a special timestamp such as "latest".

use std::collections::BTreeMap;

use kacrab_protocol::generated::{
    ErrorCode, ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};

use super::{ByPartition, PartitionId, ask_leaders, by_topic};
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
        let mut results = Vec::new();
        for topic in answer.topics {
            results.extend(topic.partitions.iter().map(|partition| {
                let id = PartitionId::new(topic.name.as_str(), partition.partition_index);
                let result = match ErrorCode::from(partition.error_code) {
                    ErrorCode::None => Ok(Some(partition.offset).filter(|offset| *offset >= 0)),
                    code => Err(code),
                };
                (id, result)
            }));
        }
        results
    })
    .await
}
