//! Plans DeleteTopics.

use dohle_model::record::MetadataRecord;
use dohle_model::{ApiError, ErrorCode, TopicId, TopicName};
use dohle_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequestData};
use dohle_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponseData,
};
use dohle_protocol::{KafkaUuid, text, uuid, uuid_bytes};

use super::{Draft, code_and_message, distinct};

/// Plans DeleteTopics. Each topic has its own outcome; a topic that is listed more than once is
/// refused, with one result.
#[must_use]
pub fn delete(draft: &mut Draft, request: &DeleteTopicsRequestData) -> DeleteTopicsResponseData {
    let name = |topic: &'_ DeleteTopicState| topic.name.clone().unwrap_or_default();
    let topics = distinct(&request.topics, |topic| (name(topic), topic.topic_id));
    let mut responses = Vec::with_capacity(topics.len());
    for (topic, times) in topics {
        let found = check_reference(topic, times)
            .and_then(|()| find(draft, topic))
            .and_then(|found| charge(draft, found));
        let (error_code, error_message) = code_and_message(&found);
        let mut response = DeletableTopicResult {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            error_code,
            error_message,
            ..DeletableTopicResult::default()
        };
        if let Ok((id, name)) = found {
            draft.push(MetadataRecord::RemoveTopic { id });
            response.name = Some(text(name.as_str()));
            response.topic_id = uuid(id.to_bytes());
        }
        responses.push(response);
    }
    DeleteTopicsResponseData {
        responses,
        ..DeleteTopicsResponseData::default()
    }
}

/// Checks how a request names a topic, of which it may hold several.
fn check_reference(topic: &DeleteTopicState, times: usize) -> Result<(), ApiError> {
    let invalid = |message: &str| Err(ErrorCode::InvalidRequest.because(message));
    match (&topic.name, topic.topic_id == KafkaUuid::ZERO) {
        (None, true) => invalid("neither the topic's name nor its id was given"),
        (Some(_), false) => invalid("both the topic's name and its id were given"),
        _ if times > 1 => invalid("the topic is named more than once in the request"),
        _ => Ok(()),
    }
}

/// Counts the partitions of a topic that is going to be deleted.
fn charge(
    draft: &mut Draft,
    (id, name): (TopicId, TopicName),
) -> Result<(TopicId, TopicName), ApiError> {
    let topic = draft.image.topics.get(&id);
    let partitions = topic.map_or(0, |topic| topic.partitions.len());
    draft.charge_partitions(partitions)?;
    Ok((id, name))
}

/// Finds a topic by its name, or by its id when the request has no name.
fn find(draft: &Draft, topic: &DeleteTopicState) -> Result<(TopicId, TopicName), ApiError> {
    let name = topic.name.as_ref().map_or("", |name| name.as_str());
    if name.is_empty() {
        let id = TopicId::from_bytes(uuid_bytes(topic.topic_id));
        let found = draft.image.topics.get(&id);
        let found = found.map(|topic| (id, topic.name.clone()));
        return found.ok_or_else(|| {
            ErrorCode::UnknownTopicId.because(format!("there is no topic with the id {id}"))
        });
    }
    let found = draft.image.topic(name);
    let found = found.map(|topic| (topic.id, topic.name.clone()));
    found.ok_or_else(|| {
        ErrorCode::UnknownTopicOrPartition.because(format!("there is no topic {name}"))
    })
}
