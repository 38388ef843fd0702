//! DeleteTopics, versions 1–6: by name, from version 6 also by id (KIP-516). Forwarded to the
//! active controller, answered once the topics are gone from this broker's metadata. Refused as a
//! whole with `delete.topic.enable=false`.

use std::collections::HashSet;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, TopicId};
use dohle_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequestData};
use dohle_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponseData,
};
use dohle_protocol::{KafkaString, KafkaUuid};

use super::{CLUSTER, Call, errors, resolve, wire};

pub(super) async fn handle(
    call: Call,
    mut request: DeleteTopicsRequestData,
) -> DeleteTopicsResponseData {
    if call.version < 6 {
        let names = std::mem::take(&mut request.topic_names).into_iter();
        let by_name = names.map(|name| DeleteTopicState {
            name: Some(name),
            ..DeleteTopicState::default()
        });
        request.topics = by_name.collect();
    }
    if !call.context.config.delete_topic_enable {
        let code = if call.version < 3 {
            ErrorCode::InvalidRequest
        } else {
            ErrorCode::TopicDeletionDisabled
        };
        let error = code.because("delete.topic.enable=false on this broker");
        return refused(&request, &error);
    }
    let denied = take_denied(&call, &mut request.topics);
    let mut response = delete(&call, &request).await;
    response.responses.extend(denied);
    response
}

async fn delete(call: &Call, request: &DeleteTopicsRequestData) -> DeleteTopicsResponseData {
    if request.topics.is_empty() {
        return DeleteTopicsResponseData::default();
    }
    let deadline = match wire::admin_deadline(call.request.received, request.timeout_ms) {
        Ok(deadline) => deadline,
        Err(error) => return refused(request, &error),
    };
    match call.forward(request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(request, &error),
    }
}

/// Removes the topics that the client may not delete, and returns their results. The controller
/// rejects references that are not valid, with or without permission.
///
/// A topic id that is missing in this broker's metadata is rejected too: permissions are for names,
/// and the metadata have no name for it.
fn take_denied(call: &Call, topics: &mut Vec<DeleteTopicState>) -> Vec<DeletableTopicResult> {
    if call.is_visible(Operation::Delete, ResourceType::Cluster, CLUSTER) {
        return Vec::new();
    }
    let image = call.context.image();
    let mut seen = HashSet::new();
    let references = topics
        .iter()
        .map(|topic| (topic.name.clone(), topic.topic_id));
    let repeated: HashSet<_> = references.filter(|it| !seen.insert(it.clone())).collect();
    let mut denied = Vec::new();
    topics.retain(|topic| {
        if repeated.contains(&(topic.name.clone(), topic.topic_id)) {
            return true;
        }
        let result = match (&topic.name, wire::topic_id(topic.topic_id)) {
            (Some(name), None) => by_name(call, &image, name),
            (None, Some(id)) => by_id(call, &image, id),
            (None, None) | (Some(_), Some(_)) => None,
        };
        let is_allowed = result.is_none();
        denied.extend(result);
        is_allowed
    });
    denied
}

/// Returns the result for a topic that the request names and that the client may not delete.
/// Without the permission to describe the topic, the result does not depend on whether it exists.
fn by_name(call: &Call, image: &MetadataImage, name: &KafkaString) -> Option<DeletableTopicResult> {
    let asks = |operation| call.authorize(operation, ResourceType::Topic, name.as_str());
    let allowed = asks(Operation::Describe).map_err(ApiError::from);
    let allowed = allowed.and_then(|()| match image.topic(name.as_str()) {
        Some(_) => Ok(asks(Operation::Delete)?),
        None => Err(errors::unknown_topic(name.as_str())),
    });
    let error = allowed.err()?;
    Some(result(Some(name.clone()), KafkaUuid::ZERO, &error))
}

/// Returns the result for a topic whose id the request has and that the client may not delete. The
/// result has the topic's name if the client may describe it.
fn by_id(call: &Call, image: &MetadataImage, id: TopicId) -> Option<DeletableTopicResult> {
    let topic = match resolve::topic_by_id(image, Some(id)) {
        Ok(topic) => topic,
        Err(code) => return Some(result(None, wire::wire_id(id), &code.into())),
    };
    let name = topic.name.as_str();
    let error = call
        .authorize(Operation::Delete, ResourceType::Topic, name)
        .err()?;
    let is_visible = call.is_visible(Operation::Describe, ResourceType::Topic, name);
    let name = is_visible.then(|| wire::text(name));
    Some(result(name, wire::wire_id(id), &error.into()))
}

fn result(
    name: Option<KafkaString>,
    topic_id: KafkaUuid,
    error: &ApiError,
) -> DeletableTopicResult {
    DeletableTopicResult {
        name,
        topic_id,
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..DeletableTopicResult::default()
    }
}

fn refused(request: &DeleteTopicsRequestData, error: &ApiError) -> DeleteTopicsResponseData {
    let mut references = HashSet::new();
    let topics = request.topics.iter();
    let topics = topics.filter(|topic| references.insert((&topic.name, topic.topic_id)));
    let responses = topics.map(|topic| result(topic.name.clone(), topic.topic_id, error));
    DeleteTopicsResponseData {
        responses: responses.collect(),
        ..DeleteTopicsResponseData::default()
    }
}
