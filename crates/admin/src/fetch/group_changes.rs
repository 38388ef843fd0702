//! Deletes groups, and changes their committed offsets.

use std::collections::{BTreeMap, BTreeSet};

use kacrab_protocol::generated::{
    DeleteGroupsRequestData, ErrorCode, OffsetCommitRequestData, OffsetCommitRequestPartition,
    OffsetCommitRequestTopic, OffsetDeleteRequestData, OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
};

use super::{PartitionId, by_topic};
use crate::cluster::{Cluster, ClusterError, Recipient};

/// Deletes a group, with its offsets.
///
/// # Errors
/// When its coordinator does not answer, or refuses.
pub async fn delete_group(cluster: &Cluster, group: &str) -> Result<(), ClusterError> {
    let request = DeleteGroupsRequestData {
        groups_names: vec![group.to_owned().into()],
        ..DeleteGroupsRequestData::default()
    };
    cluster
        .call(Recipient::Coordinator(group), &request)
        .await?;
    Ok(())
}

/// Commits offsets of a group that has no members.
///
/// # Errors
/// When its coordinator does not answer, or refuses one of them.
pub async fn commit_offsets(
    cluster: &Cluster,
    group: &str,
    offsets: &BTreeMap<PartitionId, i64>,
) -> Result<(), ClusterError> {
    if offsets.is_empty() {
        return Ok(());
    }
    let partition = |id: &PartitionId, offset| OffsetCommitRequestPartition {
        partition_index: id.partition,
        committed_offset: offset,
        committed_leader_epoch: -1,
        committed_metadata: Some(String::new().into()),
        ..OffsetCommitRequestPartition::default()
    };
    let offsets = offsets.iter();
    let request = OffsetCommitRequestData {
        group_id: group.to_owned().into(),
        generation_id_or_member_epoch: -1,
        topics: by_topic(
            offsets.map(|(id, offset)| (id.topic.as_str(), partition(id, *offset))),
            |name, partitions| OffsetCommitRequestTopic {
                name,
                partitions,
                ..OffsetCommitRequestTopic::default()
            },
        ),
        ..OffsetCommitRequestData::default()
    };
    cluster
        .call(Recipient::Coordinator(group), &request)
        .await?;
    Ok(())
}

/// Deletes offsets, with a result for each. Returns the first error, of the group or of a
/// partition.
///
/// # Errors
/// When the coordinator does not answer.
pub async fn delete_offsets(
    cluster: &Cluster,
    group: &str,
    ids: &BTreeSet<PartitionId>,
    results: &mut BTreeMap<PartitionId, Option<ErrorCode>>,
) -> Result<ErrorCode, ClusterError> {
    let partition = |id: &PartitionId| OffsetDeleteRequestPartition {
        partition_index: id.partition,
        ..OffsetDeleteRequestPartition::default()
    };
    let request = OffsetDeleteRequestData {
        group_id: group.to_owned().into(),
        topics: by_topic(
            ids.iter().map(|id| (id.topic.as_str(), partition(id))),
            |name, partitions| OffsetDeleteRequestTopic {
                name,
                partitions,
                ..OffsetDeleteRequestTopic::default()
            },
        ),
        ..OffsetDeleteRequestData::default()
    };
    let answer = cluster.call(Recipient::Coordinator(group), &request).await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(ClusterError::Refused(refusal)) => {
            results.extend(ids.iter().map(|id| (id.clone(), Some(refusal.code))));
            return Ok(refusal.code);
        }
        Err(error) => return Err(error),
    };
    let mut first = ErrorCode::None;
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let code = ErrorCode::from(partition.error_code);
            let id = PartitionId::new(topic.name.as_str(), partition.partition_index);
            if code.is_error() && !first.is_error() {
                first = code;
            }
            results.insert(id, Some(code).filter(ErrorCode::is_error));
        }
    }
    Ok(first)
}
