//! AlterPartitionReassignments, versions 0–1: starts moves of partitions to other replicas, or
//! cancels them (KIP-455). From version 1 a change of the replication factor may be forbidden
//! (KIP-860). Forwarded to the active controller.

use dohle_protocol::messages::{
    AlterPartitionReassignmentsRequestData, AlterPartitionReassignmentsResponseData,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    mut request: AlterPartitionReassignmentsRequestData,
) -> AlterPartitionReassignmentsResponseData {
    request.allow_replication_factor_change |= call.version == 0;
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
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
