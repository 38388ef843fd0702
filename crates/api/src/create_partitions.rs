//! CreatePartitions, versions 0–3: adds partitions to topics (KIP-195). Forwarded to the active
//! controller, answered once this broker has the partitions.

use std::collections::HashSet;

use dohle_model::ApiError;
use dohle_protocol::messages::create_partitions_request::{
    CreatePartitionsRequestData, CreatePartitionsTopic,
};
use dohle_protocol::messages::create_partitions_response::{
    CreatePartitionsResponseData, CreatePartitionsTopicResult,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: CreatePartitionsRequestData,
) -> CreatePartitionsResponseData {
    if request.topics.is_empty() {
        return CreatePartitionsResponseData::default();
    }
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
    match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(&request, &error),
    }
}

fn refused(
    request: &CreatePartitionsRequestData,
    error: &ApiError,
) -> CreatePartitionsResponseData {
    let mut names = HashSet::new();
    let topics = request.topics.iter();
    let topics = topics.filter(|topic| names.insert(topic.name.as_str()));
    let result = |topic: &CreatePartitionsTopic| CreatePartitionsTopicResult {
        name: topic.name.clone(),
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..CreatePartitionsTopicResult::default()
    };
    CreatePartitionsResponseData {
        results: topics.map(result).collect(),
        ..CreatePartitionsResponseData::default()
    }
}
