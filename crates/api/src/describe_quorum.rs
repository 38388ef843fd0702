//! DescribeQuorum, versions 0–2: the metadata quorum as its leader observes it (KIP-595, KIP-836,
//! KIP-853). Forwarded to the active controller, or to any voter while there is none.

use dohle_model::ApiError;
use dohle_model::acl::Operation;
use dohle_protocol::KafkaUuid;
use dohle_protocol::messages::describe_quorum_request::DescribeQuorumRequestData;
use dohle_protocol::messages::describe_quorum_response::DescribeQuorumResponseData;

use super::{Call, wire};
use crate::context::REQUEST_TIMEOUT;

pub(super) async fn handle(
    call: Call,
    request: DescribeQuorumRequestData,
) -> DescribeQuorumResponseData {
    let refused = |error: ApiError| DescribeQuorumResponseData {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..DescribeQuorumResponseData::default()
    };
    if let Err(code) = call.authorize_cluster(Operation::Describe) {
        return in_version(refused(code.into()), call.version);
    }
    let deadline = call.request.received + REQUEST_TIMEOUT;
    let response = match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(error),
    };
    in_version(response, call.version)
}

/// Returns a response without the fields that its version does not have.
fn in_version(
    mut response: DescribeQuorumResponseData,
    version: i16,
) -> DescribeQuorumResponseData {
    if version >= 2 {
        // As in Kafka, a success has an empty text.
        response.error_message.get_or_insert_default();
        let topics = response.topics.iter_mut();
        for partition in topics.flat_map(|topic| &mut topic.partitions) {
            partition.error_message.get_or_insert_default();
        }
        return response;
    }
    response.error_message = None;
    response.nodes.clear();
    let topics = response.topics.iter_mut();
    for partition in topics.flat_map(|topic| &mut topic.partitions) {
        partition.error_message = None;
        let voters = partition.current_voters.iter_mut();
        for replica in voters.chain(&mut partition.observers) {
            replica.replica_directory_id = KafkaUuid::ZERO;
            if version < 1 {
                replica.last_fetch_timestamp = -1;
                replica.last_caught_up_timestamp = -1;
            }
        }
    }
    response
}
