//! ElectLeaders, versions 0–2: elects preferred leaders (KIP-183), or from version 1 any live
//! replica where there is no other way (KIP-460). Without partitions every one is looked at, and
//! only those that had something to elect are answered. Forwarded to the active controller.

use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::elect_leaders_request::ElectLeadersRequestData;
use dohle_protocol::messages::elect_leaders_response::{
    ElectLeadersResponseData, PartitionResult, ReplicaElectionResult,
};
use dohle_rpc::v1;

use super::{Call, errors, wire};

pub(super) async fn handle(
    call: Call,
    request: ElectLeadersRequestData,
) -> ElectLeadersResponseData {
    match elect(&call, request).await {
        Ok(results) => to_wire(results),
        Err(error) => ElectLeadersResponseData {
            error_code: error.code.code(),
            ..ElectLeadersResponseData::default()
        },
    }
}

async fn elect(
    call: &Call,
    request: ElectLeadersRequestData,
) -> Result<Vec<v1::ElectLeadersResult>, ApiError> {
    if !(0..=1).contains(&request.election_type) {
        return Err(ErrorCode::InvalidRequest.because("elections are preferred (0) or unclean (1)"));
    }
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
    let partitions = request.topic_partitions.iter().flatten().flat_map(|topic| {
        topic
            .partitions
            .iter()
            .map(|partition| v1::ElectLeadersPartition {
                topic: topic.topic.to_string(),
                partition: *partition,
            })
    });
    let request = v1::ElectLeadersRequest {
        // Version 0 elects preferred leaders only.
        election_type: u32::try_from(request.election_type).unwrap_or(u32::MAX),
        partitions: partitions.collect(),
        all: request.topic_partitions.is_none(),
    };
    let response = call
        .context
        .controller
        .elect_leaders(request, deadline)
        .await?;
    call.context.reached(response.offset, deadline).await?;
    Ok(response.partitions)
}

fn to_wire(results: Vec<v1::ElectLeadersResult>) -> ElectLeadersResponseData {
    let mut topics: Vec<ReplicaElectionResult> = Vec::new();
    for result in results {
        let (error_code, error_message) =
            errors::to_wire(&errors::outcome(result.outcome.as_ref()));
        let partition = PartitionResult {
            partition_id: result.partition,
            error_code,
            error_message,
            ..PartitionResult::default()
        };
        match topics
            .iter_mut()
            .find(|topic| topic.topic.as_str() == result.topic)
        {
            Some(topic) => topic.partition_result.push(partition),
            None => topics.push(ReplicaElectionResult {
                topic: wire::text(&result.topic),
                partition_result: vec![partition],
                ..ReplicaElectionResult::default()
            }),
        }
    }
    ElectLeadersResponseData {
        replica_election_results: topics,
        ..ElectLeadersResponseData::default()
    }
}
