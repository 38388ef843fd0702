//! OffsetFetch (Kafka's `OffsetMetadataManager.fetchOffsets`).

use dohle_model::{ErrorCode, LeaderEpoch, PartitionIndex};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use dohle_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseGroup, OffsetFetchResponsePartitions, OffsetFetchResponseTopics,
};

use crate::offsets::GroupOffsets;
use crate::records::OffsetValue;
use crate::wire::topic_id_of_wire;

/// Returns the response to a request for offsets of a group. A group that does not exist has no
/// offsets. With `require_stable` a partition with an offset of an open transaction has an error.
pub(crate) fn fetch(
    request: &OffsetFetchRequestGroup,
    require_stable: bool,
    offsets: Option<&GroupOffsets>,
) -> OffsetFetchResponseGroup {
    let none = GroupOffsets::default();
    let offsets = offsets.unwrap_or(&none);
    let topics = match &request.topics {
        Some(topics) => topics
            .iter()
            .map(|topic| asked(offsets, topic, require_stable))
            .collect(),
        None => all(offsets, require_stable),
    };
    OffsetFetchResponseGroup {
        group_id: request.group_id.clone(),
        topics,
        ..OffsetFetchResponseGroup::default()
    }
}

/// The offsets of a topic that the request names. An offset that was committed for a deleted topic
/// with the same name is left out.
fn asked(
    offsets: &GroupOffsets,
    topic: &OffsetFetchRequestTopics,
    require_stable: bool,
) -> OffsetFetchResponseTopics {
    let id = topic_id_of_wire(topic.topic_id);
    let partition = |index: &i32| {
        let partition = PartitionIndex::from_wire(*index);
        if let Some(partition) = partition
            && require_stable
            && offsets.pending().contains(topic.name.as_str(), partition)
        {
            return unstable(*index);
        }
        let found = partition
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

fn all(offsets: &GroupOffsets, require_stable: bool) -> Vec<OffsetFetchResponseTopics> {
    let topics = offsets.topics().map(|(name, partitions)| {
        let partitions = partitions.iter();
        OffsetFetchResponseTopics {
            name: KafkaString::from(name.to_string()),
            partitions: partitions
                .map(|(partition, value)| {
                    let is_pending = offsets.pending().contains(name, *partition);
                    match require_stable && is_pending {
                        true => unstable(partition.0),
                        false => to_wire(partition.0, value),
                    }
                })
                .collect(),
            ..OffsetFetchResponseTopics::default()
        }
    });
    topics.collect()
}

/// A committed offset for the response.
fn to_wire(partition_index: i32, value: &OffsetValue) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: value.offset.0,
        committed_leader_epoch: LeaderEpoch::to_wire(value.leader_epoch),
        metadata: Some(KafkaString::from(value.metadata.to_string())),
        ..OffsetFetchResponsePartitions::default()
    }
}

fn unstable(partition_index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        error_code: ErrorCode::UnstableOffsetCommit.code(),
        ..no_offset(partition_index)
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
