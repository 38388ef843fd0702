//! OffsetCommit (Kafka's `OffsetMetadataManager.commitOffset`).

use std::sync::Arc;

use dohle_model::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};
use dohle_protocol::messages::offset_commit_request::{
    OffsetCommitRequestData, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use dohle_protocol::messages::offset_commit_response::{
    OffsetCommitResponseData, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use crate::Step;
use crate::committer::Committer;
use crate::ids::GroupId;
use crate::records::{OffsetKey, OffsetValue, Record};
use crate::step::Failed;
use crate::wire::topic_id_of_wire;

impl Committer<'_> {
    /// Checks that a client may commit to a group that does not exist. Only clients without
    /// membership may.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND; ILLEGAL_GENERATION for clients that do not expect that error.
    pub fn validate_without_group(&self, group_id: &str) -> Result<(), Failed> {
        match self.epoch {
            ..0 => Ok(()),
            _ if self.knows_member_epochs() => Err(group_not_found(group_id)),
            _ => Err(ErrorCode::IllegalGeneration.into()),
        }
    }
}

/// Writes the offsets of a request. An offset that cannot be written has an error of its own in the
/// response.
pub(crate) fn commit(
    group_id: &GroupId,
    request: &OffsetCommitRequestData,
    step: &mut Step<'_>,
) -> OffsetCommitResponseData {
    let expire_timestamp = expire_timestamp(request.retention_time_ms, step.wall);
    let topic = |topic: &OffsetCommitRequestTopic| {
        let name: Arc<str> = Arc::from(topic.name.as_str());
        let partition = |partition: &OffsetCommitRequestPartition| {
            let value = value(
                partition,
                topic_id_of_wire(topic.topic_id),
                step,
                expire_timestamp,
            );
            let outcome = value.map(|value| {
                let key = OffsetKey {
                    group_id: group_id.clone(),
                    topic: Arc::clone(&name),
                    partition: PartitionIndex(partition.partition_index),
                };
                step.write(Record::Offset(key, Some(value)));
            });
            OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: outcome.map_or_else(ErrorCode::code, |()| 0),
                ..OffsetCommitResponsePartition::default()
            }
        };
        OffsetCommitResponseTopic {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            partitions: topic.partitions.iter().map(partition).collect(),
            ..OffsetCommitResponseTopic::default()
        }
    };
    OffsetCommitResponseData {
        topics: request.topics.iter().map(topic).collect(),
        ..OffsetCommitResponseData::default()
    }
}

/// Returns GROUP_ID_NOT_FOUND for a group that does not exist.
pub(crate) fn group_not_found(group_id: &str) -> Failed {
    let message = format!("Group {group_id} not found.");
    Failed::because(ErrorCode::GroupIdNotFound, message)
}

/// When offsets expire, if the request names a retention time, as requests to version 4 do.
fn expire_timestamp(retention_time_ms: i64, wall: Timestamp) -> Option<Timestamp> {
    match retention_time_ms {
        -1 => None,
        retention => Some(Timestamp(wall.0.saturating_add(retention))),
    }
}

fn value(
    partition: &OffsetCommitRequestPartition,
    topic_id: Option<TopicId>,
    step: &Step<'_>,
    expire_timestamp: Option<Timestamp>,
) -> Result<OffsetValue, ErrorCode> {
    let metadata = partition.committed_metadata.as_ref();
    let metadata = metadata.map_or("", |text| text.as_str());
    let max = step.config.offset_metadata_max_bytes;
    // Kafka counts UTF-16 units, although the property is named after bytes.
    if metadata.len() > max && metadata.encode_utf16().count() > max {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    Ok(OffsetValue {
        // Not validated, as in Kafka.
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
        metadata: Arc::from(metadata),
        commit_timestamp: step.wall,
        expire_timestamp,
        topic_id,
    })
}
