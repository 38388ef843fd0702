//! CreatePartitions, versions 0–3: adds partitions to topics (KIP-195). Forwarded to the active
//! controller, answered once this broker has the partitions.

use std::collections::HashSet;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::create_partitions_request::{
    CreatePartitionsRequestData, CreatePartitionsTopic,
};
use dohle_protocol::messages::create_partitions_response::{
    CreatePartitionsResponseData, CreatePartitionsTopicResult,
};

use super::create_topics::repeated;
use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    mut request: CreatePartitionsRequestData,
) -> CreatePartitionsResponseData {
    let denied = take_denied(&call, &mut request.topics);
    let mut response = create(&call, request).await;
    response.results.extend(denied.into_iter().map(denial));
    response
}

/// Removes the topics that the client may not alter, and returns them. The controller rejects a
/// topic that is named twice, with or without permission.
fn take_denied(call: &Call, topics: &mut Vec<CreatePartitionsTopic>) -> Vec<CreatePartitionsTopic> {
    let repeated = repeated(topics.iter().map(|topic| topic.name.as_str()));
    let is_denied = |topic: &mut CreatePartitionsTopic| {
        let name = topic.name.as_str();
        !repeated.contains(name) && !call.is_allowed(Operation::Alter, ResourceType::Topic, name)
    };
    topics.extract_if(.., is_denied).collect()
}

fn denial(topic: CreatePartitionsTopic) -> CreatePartitionsTopicResult {
    CreatePartitionsTopicResult {
        name: topic.name,
        error_code: ErrorCode::TopicAuthorizationFailed.code(),
        ..CreatePartitionsTopicResult::default()
    }
}

async fn create(call: &Call, request: CreatePartitionsRequestData) -> CreatePartitionsResponseData {
    if request.topics.is_empty() {
        return CreatePartitionsResponseData::default();
    }
    let deadline = match wire::admin_deadline(call.request.received, request.timeout_ms) {
        Ok(deadline) => deadline,
        Err(error) => return refused(&request, &error),
    };
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
