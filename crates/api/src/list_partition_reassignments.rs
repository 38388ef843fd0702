//! ListPartitionReassignments, version 0: the reassignments in progress (KIP-455), from this
//! broker's metadata. Requested partitions without a reassignment are left out.

use dohle_model::acl::Operation;
use dohle_model::image::TopicImage;
use dohle_model::partition::PartitionRegistration;
use dohle_model::{ApiError, NodeId, PartitionIndex};
use dohle_protocol::messages::list_partition_reassignments_request as request;
use dohle_protocol::messages::list_partition_reassignments_response::{
    ListPartitionReassignmentsResponseData, OngoingPartitionReassignment, OngoingTopicReassignment,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: request::ListPartitionReassignmentsRequestData,
) -> ListPartitionReassignmentsResponseData {
    if let Err(code) = call.authorize_cluster(Operation::Describe) {
        return refused(request, &code.into());
    }
    let image = call.context.image();
    let topics = match &request.topics {
        None => image
            .topics
            .values()
            .filter_map(|topic| ongoing(topic, |_| true))
            .collect(),
        Some(topics) => {
            let one = |wanted: &request::ListPartitionReassignmentsTopics| {
                let topic = image.topic(wanted.name.as_str())?;
                ongoing(topic, |index| wanted.partition_indexes.contains(&index.0))
            };
            topics.iter().filter_map(one).collect()
        }
    };
    ListPartitionReassignmentsResponseData {
        topics,
        ..ListPartitionReassignmentsResponseData::default()
    }
}

/// Refuses a request. As in Kafka, the response has the partitions of the request, without
/// replicas.
fn refused(
    request: request::ListPartitionReassignmentsRequestData,
    error: &ApiError,
) -> ListPartitionReassignmentsResponseData {
    let partition = |partition_index| OngoingPartitionReassignment {
        partition_index,
        ..OngoingPartitionReassignment::default()
    };
    let topic = |topic: request::ListPartitionReassignmentsTopics| OngoingTopicReassignment {
        name: topic.name,
        partitions: topic.partition_indexes.into_iter().map(partition).collect(),
        ..OngoingTopicReassignment::default()
    };
    let topics = request.topics.unwrap_or_default().into_iter();
    ListPartitionReassignmentsResponseData {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        topics: topics.map(topic).collect(),
        ..ListPartitionReassignmentsResponseData::default()
    }
}

fn ongoing(
    topic: &TopicImage,
    wanted: impl Fn(PartitionIndex) -> bool,
) -> Option<OngoingTopicReassignment> {
    let moving = topic
        .partitions
        .iter()
        .filter(|(_, partition)| partition.is_reassigning());
    let wanted = moving.filter(|(index, _)| wanted(**index));
    let partitions: Vec<_> = wanted
        .map(|(index, partition)| to_wire(*index, partition))
        .collect();
    (!partitions.is_empty()).then(|| OngoingTopicReassignment {
        name: wire::text(topic.name.as_str()),
        partitions,
        ..OngoingTopicReassignment::default()
    })
}

fn to_wire(
    index: PartitionIndex,
    partition: &PartitionRegistration,
) -> OngoingPartitionReassignment {
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect();
    OngoingPartitionReassignment {
        partition_index: index.0,
        replicas: ids(&partition.replicas),
        adding_replicas: ids(&partition.adding_replicas),
        removing_replicas: ids(&partition.removing_replicas),
        ..OngoingPartitionReassignment::default()
    }
}
