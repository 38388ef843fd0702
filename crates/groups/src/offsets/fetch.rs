//! OffsetFetch, as it is answered (Kafka's `OffsetMetadataManager.fetchOffsets`).

use dohle_model::{LeaderEpoch, PartitionIndex};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use dohle_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

use super::GroupOffsets;
use crate::records::OffsetValue;
use crate::shard::{Kind, Shard};
use crate::step::{Failed, Step};
use crate::wire::topic_id_of_wire;

impl Shard {
    /// What a group has committed: for the topics that are asked for, whose names the caller has
    /// looked up, or for all. A partition without an offset, and each of a group that does not
    /// exist, has offset -1. Offsets of a topic that was deleted and created anew are none.
    ///
    /// # Errors
    /// When the member is not in the group, or its epoch is not the current one.
    pub fn offset_fetch(
        &self,
        request: &OffsetFetchRequestGroup,
        step: &mut Step<'_>,
    ) -> Result<OffsetFetchResponseGroup, Failed> {
        let group_id = request.group_id.as_str();
        step.read_up_to(self.written(group_id));
        let group = self.groups.get(group_id);
        if let Some(Kind::Consumer(group)) = group.map(|group| &group.kind) {
            let member_id = request.member_id.as_ref().map(|id| id.as_str());
            group.validate_offset_fetch(member_id, request.member_epoch)?;
        }
        let none = GroupOffsets::default();
        let offsets = group.map_or(&none, |group| &group.offsets);
        let topics = match &request.topics {
            Some(topics) => topics.iter().map(|topic| asked(offsets, topic)).collect(),
            None => all(offsets),
        };
        Ok(OffsetFetchResponseGroup {
            group_id: request.group_id.clone(),
            topics,
            ..OffsetFetchResponseGroup::default()
        })
    }
}

fn asked(offsets: &GroupOffsets, topic: &OffsetFetchRequestTopics) -> OffsetFetchResponseTopics {
    let id = topic_id_of_wire(topic.topic_id);
    let partition = |index: &i32| {
        let found = PartitionIndex::from_wire(*index)
            .and_then(|partition| offsets.get(topic.name.as_str(), partition))
            .filter(|value| id.is_none() || value.topic_id.is_none() || value.topic_id == id);
        match found {
            Some(value) => to_wire(*index, value),
            None => no_offset(*index),
        }
    };
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partition_indexes.iter().map(partition).collect(),
        ..OffsetFetchResponseTopics::default()
    }
}

fn all(offsets: &GroupOffsets) -> Vec<OffsetFetchResponseTopics> {
    let topics = offsets.topics().map(|(name, partitions)| {
        let partitions = partitions.iter();
        OffsetFetchResponseTopics {
            name: KafkaString::from(name.to_string()),
            partitions: partitions
                .map(|(partition, value)| to_wire(partition.0, value))
                .collect(),
            ..OffsetFetchResponseTopics::default()
        }
    });
    topics.collect()
}

// Offsets of transactions that are open, once there are transactions: UNSTABLE_OFFSET_COMMIT for
// who asks for stable ones only.
fn to_wire(partition_index: i32, value: &OffsetValue) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: value.offset.0,
        committed_leader_epoch: LeaderEpoch::to_wire(value.leader_epoch),
        metadata: Some(KafkaString::from(value.metadata.to_string())),
        ..OffsetFetchResponsePartitions::default()
    }
}

fn no_offset(partition_index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(KafkaString::default()),
        ..OffsetFetchResponsePartitions::default()
    }
}
