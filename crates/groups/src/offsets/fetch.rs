//! OffsetFetch (Kafka's `OffsetMetadataManager.fetchOffsets`).

use dohle_model::{LeaderEpoch, PartitionIndex};
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

/// The response to a request for offsets of a group, which has none when it does not exist.
pub(crate) fn fetch(
    request: &OffsetFetchRequestGroup,
    offsets: Option<&GroupOffsets>,
) -> OffsetFetchResponseGroup {
    let none = GroupOffsets::default();
    let offsets = offsets.unwrap_or(&none);
    let topics = match &request.topics {
        Some(topics) => topics.iter().map(|topic| asked(offsets, topic)).collect(),
        None => all(offsets),
    };
    OffsetFetchResponseGroup {
        group_id: request.group_id.clone(),
        topics,
        ..OffsetFetchResponseGroup::default()
    }
}

/// The offsets of a topic that the request names. An offset that was committed for a deleted topic
/// with the same name is left out.
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

fn no_offset(partition_index: i32) -> OffsetFetchResponsePartitions {
    OffsetFetchResponsePartitions {
        partition_index,
        committed_offset: -1,
        committed_leader_epoch: -1,
        metadata: Some(KafkaString::default()),
        ..OffsetFetchResponsePartitions::default()
    }
}
