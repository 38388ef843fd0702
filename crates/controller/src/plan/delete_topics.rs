//! Plans DeleteTopics.

use std::collections::HashSet;

use dohle_model::record::MetadataRecord;
use dohle_model::{ApiError, ErrorCode, TopicId, TopicName};
use dohle_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequestData};
use dohle_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponseData,
};
use dohle_protocol::{KafkaString, KafkaUuid, text, uuid, uuid_bytes};

use super::{Draft, code_and_message, distinct};

/// Plans DeleteTopics. Each topic has its own outcome; a topic that is listed more than once, or by
/// its name and by its id, is refused, with one result.
#[must_use]
pub fn delete(draft: &mut Draft, request: &DeleteTopicsRequestData) -> DeleteTopicsResponseData {
    let (valid, invalid): (Vec<&DeleteTopicState>, Vec<_>) = request
        .topics
        .iter()
        .partition(|topic| check_reference(topic).is_ok());
    let topics = distinct(&valid, |topic| (topic.name.clone(), topic.topic_id));
    let supplied: HashSet<TopicId> = valid.iter().filter_map(|topic| id_of(topic)).collect();
    let names = valid.iter().filter_map(|topic| topic.name.as_ref());
    let named = names.filter_map(|name| Some(draft.image.topic(name.as_str())?.id));
    let named: HashSet<TopicId> = named.collect();
    let mut responses = Vec::with_capacity(request.topics.len());
    responses.extend(invalid.into_iter().map(refused));
    for (topic, times) in topics {
        // The response reports this topic under its name: the request has both.
        if times == 1 && id_of(topic).is_some_and(|id| named.contains(&id)) {
            continue;
        }
        let found = check_times(times)
            .and_then(|()| find(draft, topic))
            .and_then(|found| check_supplied(topic, found, &supplied))
            .and_then(|found| charge(draft, found));
        let (error_code, error_message) = code_and_message(&found);
        let mut response = DeletableTopicResult {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            error_code,
            error_message,
            ..DeletableTopicResult::default()
        };
        let by_name = topic.name.as_ref();
        let by_name = by_name.and_then(|name| draft.image.topic(name.as_str()));
        if let Some(known) = by_name.filter(|known| supplied.contains(&known.id)) {
            response.topic_id = uuid(known.id.to_bytes());
        }
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

/// Checks how a request names a topic.
fn check_reference(topic: &DeleteTopicState) -> Result<(), ApiError> {
    let invalid = |message: &str| Err(ErrorCode::InvalidRequest.because(message));
    match (&topic.name, topic.topic_id == KafkaUuid::ZERO) {
        (None, true) => invalid("neither the topic's name nor its id was given"),
        (Some(_), false) => invalid("both the topic's name and its id were given"),
        _ => Ok(()),
    }
}

/// Returns the result of a topic that is named neither by its name nor by its id, or by both.
fn refused(topic: &DeleteTopicState) -> DeletableTopicResult {
    let (error_code, error_message) = code_and_message(&check_reference(topic));
    DeletableTopicResult {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        error_code,
        error_message,
        ..DeletableTopicResult::default()
    }
}

fn check_times(times: usize) -> Result<(), ApiError> {
    match times {
        1 => Ok(()),
        _ => {
            Err(ErrorCode::InvalidRequest
                .because("the topic is named more than once in the request"))
        }
    }
}

/// Refuses a topic by its name whose id the request has too.
fn check_supplied(
    topic: &DeleteTopicState,
    found: (TopicId, TopicName),
    supplied: &HashSet<TopicId>,
) -> Result<(TopicId, TopicName), ApiError> {
    match topic.name.is_some() && supplied.contains(&found.0) {
        true => {
            Err(ErrorCode::InvalidRequest
                .because(format!("the request has the id of {} too", found.1)))
        }
        false => Ok(found),
    }
}

/// Returns the id by which a request names a topic.
fn id_of(topic: &DeleteTopicState) -> Option<TopicId> {
    let id = TopicId::from_bytes(uuid_bytes(topic.topic_id));
    (!id.is_zero()).then_some(id)
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

/// Finds a topic by its name, or by its id when the request has none.
fn find(draft: &Draft, topic: &DeleteTopicState) -> Result<(TopicId, TopicName), ApiError> {
    let Some(name) = topic.name.as_ref().map(KafkaString::as_str) else {
        let id = TopicId::from_bytes(uuid_bytes(topic.topic_id));
        let found = draft.image.topics.get(&id);
        let found = found.map(|topic| (id, topic.name.clone()));
        return found.ok_or_else(|| {
            ErrorCode::UnknownTopicId.because(format!("there is no topic with the id {id}"))
        });
    };
    let found = draft.image.topic(name);
    let found = found.map(|topic| (topic.id, topic.name.clone()));
    found.ok_or_else(|| {
        ErrorCode::UnknownTopicOrPartition.because(format!("there is no topic {name}"))
    })
}
