//! DescribeProducers, version 0: the idempotent producers that partitions know (KIP-664).

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, Offset, ProducerEpoch, Sequence, Timestamp, TopicName};
use dohle_protocol::messages::describe_producers_request::{
    DescribeProducersRequestData, TopicRequest,
};
use dohle_protocol::messages::describe_producers_response::{
    DescribeProducersResponseData, PartitionResponse, ProducerState, TopicResponse,
};

use super::{Call, errors, resolve};
use crate::context::Context;
use dohle_broker::partition::ProducerInfo;

pub(super) async fn handle(
    call: Call,
    request: DescribeProducersRequestData,
) -> DescribeProducersResponseData {
    let image = call.context.image();
    let topic = |topic: &TopicRequest| {
        let allowed = authorize(&call, topic.name.as_str());
        let indexes = topic.partition_indexes.iter();
        let partitions = indexes.map(|index| {
            let producers = match &allowed {
                Ok(()) => producers(&call.context, &image, topic.name.as_str(), *index),
                Err(error) => Err(error.clone()),
            };
            partition(*index, producers)
        });
        TopicResponse {
            name: topic.name.clone(),
            partitions: partitions.collect(),
            ..TopicResponse::default()
        }
    };
    DescribeProducersResponseData {
        topics: request.topics.iter().map(topic).collect(),
        ..DescribeProducersResponseData::default()
    }
}

/// Checks a topic's name, then asks for Read on it.
fn authorize(call: &Call, topic: &str) -> Result<(), ApiError> {
    if let Err(error) = TopicName::new(topic) {
        return Err(ErrorCode::InvalidTopicException.because(error.to_string()));
    }
    Ok(call.authorize(Operation::Read, ResourceType::Topic, topic)?)
}

fn partition(index: i32, outcome: Result<Vec<ProducerInfo>, ApiError>) -> PartitionResponse {
    let (error_code, error_message) = errors::to_wire(&outcome);
    PartitionResponse {
        partition_index: index,
        error_code,
        error_message,
        active_producers: outcome.unwrap_or_default().iter().map(to_wire).collect(),
        ..PartitionResponse::default()
    }
}

fn producers(
    context: &Context,
    image: &MetadataImage,
    topic: &str,
    index: i32,
) -> Result<Vec<ProducerInfo>, ApiError> {
    let partition = resolve::partition_by_name(&context.partitions, image, topic, index)?;
    Ok(partition.producers()?)
}

fn to_wire(producer: &ProducerInfo) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id.0,
        producer_epoch: i32::from(ProducerEpoch::to_wire(producer.producer_epoch)),
        last_sequence: Sequence::to_wire(producer.last_sequence),
        last_timestamp: Timestamp::to_wire(producer.last_timestamp),
        coordinator_epoch: producer.coordinator_epoch.unwrap_or(-1),
        current_txn_start_offset: Offset::to_wire(producer.current_txn_start_offset),
        ..ProducerState::default()
    }
}
