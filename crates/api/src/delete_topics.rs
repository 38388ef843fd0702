//! DeleteTopics, versions 1–6: by name, from version 6 also by id (KIP-516). Forwarded to the
//! active controller, answered once this broker knows that the topics are gone. Refused as a whole
//! with `delete.topic.enable=false`.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use dohle_model::{ApiError, ErrorCode, TopicId};
use dohle_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequestData};
use dohle_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponseData,
};
use dohle_protocol::{KafkaString, KafkaUuid};
use dohle_rpc::v1;
use tokio::time::Instant;

use super::{Call, errors, wire};
use crate::context::Context;

pub(super) async fn handle(
    call: Call,
    request: DeleteTopicsRequestData,
) -> DeleteTopicsResponseData {
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
    let by_name = request
        .topic_names
        .into_iter()
        .map(|name| DeleteTopicState {
            name: Some(name),
            ..DeleteTopicState::default()
        });
    let topics: Vec<_> = if call.version >= 6 {
        request.topics
    } else {
        by_name.collect()
    };

    let mut counts: HashMap<(String, TopicId), usize> = HashMap::new();
    for topic in &topics {
        *counts.entry(key(topic)).or_default() += 1;
    }
    // What is named more than once is answered once.
    let mut told = HashSet::new();
    let topics: Vec<_> = topics
        .into_iter()
        .filter(|topic| told.insert(key(topic)))
        .collect();
    let checked: Vec<Result<(), ApiError>> = topics
        .iter()
        .map(|topic| check(&call, topic, counts[&key(topic)]))
        .collect();
    let wanted = topics
        .iter()
        .zip(&checked)
        .filter(|(_, checked)| checked.is_ok());
    let wanted: Vec<_> = wanted.map(|(topic, _)| reference(topic)).collect();
    let asked = ask(&call.context, wanted, deadline).await;

    let answer = |(topic, checked): (&DeleteTopicState, Result<(), ApiError>)| {
        let outcome = match (checked, &asked) {
            (Err(error), _) => Err(error),
            (Ok(()), Err(error)) => Err(error.clone()),
            (Ok(()), Ok(results)) => results
                .get(&key(topic))
                .cloned()
                .unwrap_or(Err(ErrorCode::UnknownServerError.into())),
        };
        to_wire(topic, outcome)
    };
    DeleteTopicsResponseData {
        responses: topics.iter().zip(checked).map(answer).collect(),
        ..DeleteTopicsResponseData::default()
    }
}

/// The name and id that the controller gave back.
type Deleted = (String, TopicId);
type Results = HashMap<(String, TopicId), Result<Deleted, ApiError>>;

/// How a request names a topic: by name, or by id with an empty name.
fn key(topic: &DeleteTopicState) -> (String, TopicId) {
    let name = topic
        .name
        .as_ref()
        .map(KafkaString::to_string)
        .unwrap_or_default();
    (name, wire::topic_id(topic.topic_id).unwrap_or_default())
}

fn reference(topic: &DeleteTopicState) -> v1::TopicReference {
    let (name, id) = key(topic);
    v1::TopicReference {
        name,
        id: Bytes::copy_from_slice(&id.to_bytes()),
    }
}

fn check(call: &Call, topic: &DeleteTopicState, count: usize) -> Result<(), ApiError> {
    if !call.context.config.delete_topic_enable {
        let code = if call.version < 3 {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        };
        return Err(code.because("delete.topic.enable=false on this broker"));
    }
    let invalid = |message: &str| Err(ErrorCode::InvalidRequest.because(message));
    match (&topic.name, topic.topic_id == KafkaUuid::ZERO) {
        (None, true) => return invalid("neither the topic's name nor its id was given"),
        (Some(_), false) => return invalid("both the topic's name and its id were given"),
        _ => {}
    }
    if count > 1 {
        return invalid("the topic is named more than once in the request");
    }
    Ok(())
}

async fn ask(
    context: &Context,
    topics: Vec<v1::TopicReference>,
    deadline: Instant,
) -> Result<Results, ApiError> {
    if topics.is_empty() {
        return Ok(Results::new());
    }
    let keys: Vec<_> = topics
        .iter()
        .map(|topic| (topic.name.clone(), topic_id(&topic.id)))
        .collect();
    let request = v1::DeleteTopicsRequest { topics };
    let response = context.controller.delete_topics(request, deadline).await?;
    context.reached(response.offset, deadline).await?;
    // The controller answers in the order of the request.
    let outcome = |result: &v1::DeleteTopicsResult| {
        errors::outcome(result.outcome.as_ref())?;
        Ok((result.name.clone(), topic_id(&result.id)))
    };
    Ok(keys
        .into_iter()
        .zip(response.topics.iter().map(outcome))
        .collect())
}

fn topic_id(bytes: &[u8]) -> TopicId {
    TopicId::from_bytes(bytes.try_into().unwrap_or_default())
}

fn to_wire(topic: &DeleteTopicState, outcome: Result<Deleted, ApiError>) -> DeletableTopicResult {
    let (error_code, error_message) = errors::to_wire(&outcome);
    let mut result = DeletableTopicResult {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        error_code,
        error_message,
        ..DeletableTopicResult::default()
    };
    if let Ok((name, id)) = outcome {
        if !name.is_empty() {
            result.name = Some(wire::text(&name));
        }
        if !id.is_zero() {
            result.topic_id = wire::wire_id(id);
        }
    }
    result
}
