//! DeleteTopics, versions 1–6: by name, from version 6 also by id (KIP-516). Forwarded to the
//! active controller, answered once the topics are gone from this broker's metadata. Refused as a
//! whole with `delete.topic.enable=false`.

use std::collections::HashSet;

use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequestData};
use dohle_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponseData,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    mut request: DeleteTopicsRequestData,
) -> DeleteTopicsResponseData {
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
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
    if request.topics.is_empty() {
        return DeleteTopicsResponseData::default();
    }
    match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(&request, &error),
    }
}

fn refused(request: &DeleteTopicsRequestData, error: &ApiError) -> DeleteTopicsResponseData {
    let mut references = HashSet::new();
    let topics = request.topics.iter();
    let topics = topics.filter(|topic| references.insert((&topic.name, topic.topic_id)));
    let response = |topic: &DeleteTopicState| DeletableTopicResult {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..DeletableTopicResult::default()
    };
    DeleteTopicsResponseData {
        responses: topics.map(response).collect(),
        ..DeleteTopicsResponseData::default()
    }
}
