//! AlterPartitionReassignments, versions 0–1: starts moves of partitions to other replicas, or
//! cancels them (KIP-455). From version 1 a change of the replication factor may be forbidden
//! (KIP-860). Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_model::acl::Operation;
use dohle_protocol::messages::alter_partition_reassignments_request::ReassignableTopic;
use dohle_protocol::messages::alter_partition_reassignments_response::{
    ReassignablePartitionResponse, ReassignableTopicResponse,
};
use dohle_protocol::messages::{
    AlterPartitionReassignmentsRequestData, AlterPartitionReassignmentsResponseData,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    mut request: AlterPartitionReassignmentsRequestData,
) -> AlterPartitionReassignmentsResponseData {
    request.allow_replication_factor_change |= call.version == 0;
    if let Err(code) = call.authorize_cluster(Operation::Alter) {
        return refused(request, &code.into());
    }
    if request.topics.is_empty() {
        return AlterPartitionReassignmentsResponseData {
            error_message: Some(wire::text("")),
            ..AlterPartitionReassignmentsResponseData::default()
        };
    }
    let deadline = match wire::admin_deadline(call.request.received, request.timeout_ms) {
        Ok(deadline) => deadline,
        Err(error) => return refused(request, &error),
    };
    match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => AlterPartitionReassignmentsResponseData {
            allow_replication_factor_change: request.allow_replication_factor_change,
            error_code: error.code.code(),
            error_message: Some(wire::text(&error.message)),
            ..AlterPartitionReassignmentsResponseData::default()
        },
    }
}

/// Refuses a request, as a whole and for each of its partitions.
fn refused(
    request: AlterPartitionReassignmentsRequestData,
    error: &ApiError,
) -> AlterPartitionReassignmentsResponseData {
    let message = wire::text(&error.message);
    let partition = |partition_index| ReassignablePartitionResponse {
        partition_index,
        error_code: error.code.code(),
        error_message: Some(message.clone()),
        ..ReassignablePartitionResponse::default()
    };
    let topic = |topic: ReassignableTopic| {
        let partitions = topic.partitions.iter();
        let partitions = partitions.map(|it| partition(it.partition_index));
        ReassignableTopicResponse {
            partitions: partitions.collect(),
            name: topic.name,
            ..ReassignableTopicResponse::default()
        }
    };
    AlterPartitionReassignmentsResponseData {
        error_code: error.code.code(),
        error_message: Some(message.clone()),
        responses: request.topics.into_iter().map(topic).collect(),
        ..AlterPartitionReassignmentsResponseData::default()
    }
}
