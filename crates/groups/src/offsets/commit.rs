//! OffsetCommit, as it is planned (Kafka's `OffsetMetadataManager.commitOffset`).

use std::sync::Arc;

use dohle_model::{ErrorCode, LeaderEpoch, Offset, PartitionIndex, Timestamp, TopicId};
use dohle_protocol::messages::offset_commit_request::{
    OffsetCommitRequestData, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use dohle_protocol::messages::offset_commit_response::{
    OffsetCommitResponseData, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::CommitPartition;
use crate::ids::GroupId;
use crate::records::{OffsetKey, OffsetValue, Record};
use crate::shard::{Kind, Shard};
use crate::step::{Caller, Failed, Step};
use crate::wire::topic_id_of_wire;

impl Shard {
    /// Commits offsets. The caller has looked up the topics: each has its name and its id, and its
    /// partitions exist.
    ///
    /// # Errors
    /// When the member may not commit, and GROUP_ID_NOT_FOUND (before version 9
    /// ILLEGAL_GENERATION) when a member of a group that does not exist does. Without membership,
    /// the group comes into being.
    pub fn offset_commit(
        &mut self,
        request: &OffsetCommitRequestData,
        caller: &Caller<'_>,
        step: &mut Step<'_>,
    ) -> Result<OffsetCommitResponseData, Failed> {
        self.validate_offset_commit(request, caller.version)?;
        let group_id = request.group_id.as_str();
        self.on_classic_commit(group_id, request.member_id.as_str(), step);

        let group_id = GroupId::new(group_id);
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
        Ok(OffsetCommitResponseData {
            topics: request.topics.iter().map(topic).collect(),
            ..OffsetCommitResponseData::default()
        })
    }

    fn validate_offset_commit(
        &self,
        request: &OffsetCommitRequestData,
        version: i16,
    ) -> Result<(), Failed> {
        let group_id = request.group_id.as_str();
        let member_id = request.member_id.as_str();
        let instance_id = request.group_instance_id.as_ref().map(|id| id.as_str());
        let epoch = request.generation_id_or_member_epoch;
        let Some(group) = self.groups.get(group_id) else {
            return match epoch {
                ..0 => Ok(()),
                _ if version >= 9 => Err(not_found(group_id)),
                _ => Err(ErrorCode::IllegalGeneration.into()),
            };
        };
        match &group.kind {
            Kind::Classic(group) => group.validate_offset_commit(member_id, instance_id, epoch),
            Kind::Consumer(group) => {
                let partitions: Vec<CommitPartition<'_>> =
                    request.topics.iter().flat_map(partitions).collect();
                group.validate_offset_commit(member_id, instance_id, epoch, version, &partitions)
            }
        }
    }
}

fn partitions(topic: &OffsetCommitRequestTopic) -> impl Iterator<Item = CommitPartition<'_>> {
    topic.partitions.iter().map(|partition| CommitPartition {
        topic: topic.name.as_str(),
        topic_id: topic_id_of_wire(topic.topic_id),
        partition: PartitionIndex(partition.partition_index),
    })
}

/// The group does not exist.
pub(crate) fn not_found(group_id: &str) -> Failed {
    let message = format!("Group {group_id} not found.");
    Failed::because(ErrorCode::GroupIdNotFound, message)
}

/// When offsets expire, where a client of version 4 or older says for how long to keep them.
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
    // Kafka counts the UTF-16 units of its strings, for all that the property says bytes.
    if metadata.len() > max && metadata.encode_utf16().count() > max {
        return Err(ErrorCode::OffsetMetadataTooLarge);
    }
    Ok(OffsetValue {
        // As the client says: Kafka does not look at it either.
        offset: Offset(partition.committed_offset),
        leader_epoch: LeaderEpoch::from_wire(partition.committed_leader_epoch),
        metadata: Arc::from(metadata),
        commit_timestamp: step.wall,
        expire_timestamp,
        topic_id,
    })
}
