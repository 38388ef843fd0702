//! ElectLeaders, versions 0–2: elects preferred leaders (KIP-183) or, from version 1, any live
//! replica where no replica is eligible (KIP-460). A request without partitions applies to all of
//! them; the response then lists only the partitions that needed an election. Forwarded to the
//! active controller.

use dohle_model::acl::Operation;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::elect_leaders_request::{ElectLeadersRequestData, TopicPartitions};
use dohle_protocol::messages::elect_leaders_response::{
    ElectLeadersResponseData, PartitionResult, ReplicaElectionResult,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: ElectLeadersRequestData,
) -> ElectLeadersResponseData {
    if let Err(code) = call.authorize_cluster(Operation::Alter) {
        return refused(&request, call.version, &code.into());
    }
    // No partition at all is no election, whatever its type.
    if request.topic_partitions.as_ref().is_some_and(Vec::is_empty) {
        return ElectLeadersResponseData::default();
    }
    // Elections are preferred (0) or unclean (1); version 0 has no type and elects preferred
    // leaders.
    if !(0..=1).contains(&request.election_type) {
        let message = format!("there is no election of type {}", request.election_type);
        let error = ErrorCode::InvalidRequest.because(message);
        return refused(&request, call.version, &error);
    }
    let deadline = match wire::admin_deadline(call.request.received, request.timeout_ms) {
        Ok(deadline) => deadline,
        Err(error) => return refused(&request, call.version, &error),
    };
    match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(&request, call.version, &error),
    }
}

/// Refuses a request for each of its partitions and, from version 1, as a whole.
fn refused(
    request: &ElectLeadersRequestData,
    version: i16,
    error: &ApiError,
) -> ElectLeadersResponseData {
    let partition = |partition_id: &i32| PartitionResult {
        partition_id: *partition_id,
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..PartitionResult::default()
    };
    let topic = |topic: &TopicPartitions| ReplicaElectionResult {
        topic: topic.topic.clone(),
        partition_result: topic.partitions.iter().map(partition).collect(),
        ..ReplicaElectionResult::default()
    };
    let topics = request.topic_partitions.iter().flatten();
    ElectLeadersResponseData {
        error_code: match version {
            0 => wire::NONE,
            _ => error.code.code(),
        },
        replica_election_results: topics.map(topic).collect(),
        ..ElectLeadersResponseData::default()
    }
}
