//! CreatePartitions, versions 0–3: adds partitions to topics (KIP-195). Forwarded to the active
//! controller, answered once this broker knows the partitions.

use std::collections::HashMap;

use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsRequestData, CreatePartitionsTopic,
};
use dohle_protocol::messages::create_partitions_response::{
    CreatePartitionsResponseData, CreatePartitionsTopicResult,
};
use dohle_rpc::v1;
use tokio::time::Instant;

use super::{Call, errors, wire};
use crate::context::Context;

pub(super) async fn handle(
    call: Call,
    request: CreatePartitionsRequestData,
) -> CreatePartitionsResponseData {
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
    let times = |topic: &CreatePartitionsTopic| {
        request
            .topics
            .iter()
            .filter(|other| other.name == topic.name)
            .count()
    };
    let once = request.topics.iter().filter(|topic| times(topic) == 1);
    let wanted = once
        .map(|topic| to_controller(&call.context, topic))
        .collect();
    let asked = ask(&call.context, wanted, request.validate_only, deadline).await;

    let mut results: Vec<CreatePartitionsTopicResult> = Vec::new();
    for topic in &request.topics {
        if results.iter().any(|result| result.name == topic.name) {
            continue;
        }
        let outcome = if times(topic) > 1 {
            Err(ErrorCode::InvalidRequest.because("the topic is named more than once"))
        } else {
            let of_topic = |outcomes: &Outcomes| {
                let unknown = Err(ErrorCode::UnknownServerError.into());
                outcomes
                    .get(topic.name.as_str())
                    .cloned()
                    .unwrap_or(unknown)
            };
            asked.as_ref().map_err(ApiError::clone).and_then(of_topic)
        };
        let (error_code, error_message) = errors::to_wire(&outcome);
        results.push(CreatePartitionsTopicResult {
            name: topic.name.clone(),
            error_code,
            error_message,
            ..CreatePartitionsTopicResult::default()
        });
    }
    CreatePartitionsResponseData {
        results,
        ..CreatePartitionsResponseData::default()
    }
}

type Outcomes = HashMap<String, Result<(), ApiError>>;

async fn ask(
    context: &Context,
    topics: Vec<v1::CreatePartitionsTopic>,
    validate_only: bool,
    deadline: Instant,
) -> Result<Outcomes, ApiError> {
    if topics.is_empty() {
        return Ok(Outcomes::new());
    }
    let request = v1::CreatePartitionsRequest {
        topics,
        validate_only,
    };
    let response = context
        .controller
        .create_partitions(request, deadline)
        .await?;
    context.reached(response.offset, deadline).await?;
    let outcome = |result: v1::CreatePartitionsResult| {
        let outcome = errors::outcome(result.outcome.as_ref());
        (result.name, outcome)
    };
    Ok(response.topics.into_iter().map(outcome).collect())
}

/// Assignments are of the new partitions, in order.
fn to_controller(context: &Context, topic: &CreatePartitionsTopic) -> v1::CreatePartitionsTopic {
    let image = context.image();
    let existing = image
        .topic(topic.name.as_str())
        .map_or(0, |topic| topic.partitions.len());
    let first = i32::try_from(existing).unwrap_or(i32::MAX);
    let assignments = topic.assignments.iter().flatten();
    let assignment =
        |(index, assignment): (i32, &CreatePartitionsAssignment)| v1::ReplicaAssignment {
            partition: index,
            replicas: assignment.broker_ids.clone(),
        };
    v1::CreatePartitionsTopic {
        name: topic.name.to_string(),
        count: topic.count,
        assignments: (first..).zip(assignments).map(assignment).collect(),
        has_assignments: topic.assignments.is_some(),
    }
}
