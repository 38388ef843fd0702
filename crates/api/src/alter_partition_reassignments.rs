//! AlterPartitionReassignments, versions 0–1: starts moves of partitions to other replicas, or
//! cancels them (KIP-455). From version 1 a change of the replication factor may be forbidden
//! (KIP-860). Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequestData, ReassignablePartition,
};
use dohle_protocol::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponseData, ReassignablePartitionResponse,
    ReassignableTopicResponse,
};
use dohle_rpc::v1;

use super::{Call, errors, wire};

pub(super) async fn handle(
    call: Call,
    request: AlterPartitionReassignmentsRequestData,
) -> AlterPartitionReassignmentsResponseData {
    let allow = call.version == 0 || request.allow_replication_factor_change;
    let mut answer = match alter(&call, request, allow).await {
        Ok(response) => {
            let (error_code, error_message) =
                errors::to_wire(&errors::outcome(response.outcome.as_ref()));
            AlterPartitionReassignmentsResponseData {
                error_code,
                error_message,
                responses: topics(response.partitions),
                ..AlterPartitionReassignmentsResponseData::default()
            }
        }
        Err(error) => AlterPartitionReassignmentsResponseData {
            error_code: error.code.code(),
            error_message: Some(wire::text(&error.message)),
            ..AlterPartitionReassignmentsResponseData::default()
        },
    };
    answer.allow_replication_factor_change = allow;
    answer
}

async fn alter(
    call: &Call,
    request: AlterPartitionReassignmentsRequestData,
    allow_replication_factor_change: bool,
) -> Result<v1::AlterPartitionReassignmentsResponse, ApiError> {
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
    let partition =
        |topic: &KafkaString, partition: &ReassignablePartition| v1::ReassignPartition {
            topic: topic.to_string(),
            partition: partition.partition_index,
            replicas: partition.replicas.clone().map(|ids| v1::NodeList { ids }),
        };
    let topics = request.topics.iter();
    let partitions = topics.flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|one| partition(&topic.name, one))
    });
    let request = v1::AlterPartitionReassignmentsRequest {
        partitions: partitions.collect(),
        allow_replication_factor_change,
    };
    let controller = &call.context.controller;
    let response = controller
        .alter_partition_reassignments(request, deadline)
        .await?;
    call.context.reached(response.offset, deadline).await?;
    Ok(response)
}

fn topics(results: Vec<v1::ReassignPartitionResult>) -> Vec<ReassignableTopicResponse> {
    let mut topics: Vec<ReassignableTopicResponse> = Vec::new();
    for result in results {
        let (error_code, error_message) =
            errors::to_wire(&errors::outcome(result.outcome.as_ref()));
        let partition = ReassignablePartitionResponse {
            partition_index: result.partition,
            error_code,
            error_message,
            ..ReassignablePartitionResponse::default()
        };
        match topics
            .iter_mut()
            .find(|topic| topic.name.as_str() == result.topic)
        {
            Some(topic) => topic.partitions.push(partition),
            None => topics.push(ReassignableTopicResponse {
                name: wire::text(&result.topic),
                partitions: vec![partition],
                ..ReassignableTopicResponse::default()
            }),
        }
    }
    topics
}
