//! OffsetDelete, version 0: deletes offsets of topics that the group does not subscribe to
//! (KIP-496).

use dohle_groups::Failed;
use dohle_groups::requests::OffsetDelete;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestData, OffsetDeleteRequestTopic,
};
use dohle_protocol::messages::offset_delete_response::{
    OffsetDeleteResponseData, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::{Call, resolve};

pub(super) async fn handle(
    call: Call,
    mut request: OffsetDeleteRequestData,
) -> OffsetDeleteResponseData {
    let outcome = delete(&call, &mut request).await;
    outcome.unwrap_or_else(|code| OffsetDeleteResponseData {
        error_code: code.code(),
        ..OffsetDeleteResponseData::default()
    })
}

async fn delete(
    call: &Call,
    request: &mut OffsetDeleteRequestData,
) -> Result<OffsetDeleteResponseData, ErrorCode> {
    call.authorize(
        Operation::Delete,
        ResourceType::Group,
        request.group_id.as_str(),
    )?;
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let mut refused = take_denied(call, &mut request.topics);
    refused.extend(take_unknown(&call.context.image(), &mut request.topics));
    let groups = &call.context.groups;
    let delete = OffsetDelete { request };
    let deleted = groups.run(request.group_id.as_str(), &delete).await?;
    let mut response = deleted.map_err(|Failed { code, .. }| code)?;
    let deleted = std::mem::replace(&mut response.topics, refused);
    for topic in deleted {
        let mut topics = response.topics.iter_mut();
        match topics.find(|other| other.name == topic.name) {
            Some(other) => other.partitions.extend(topic.partitions),
            None => response.topics.push(topic),
        }
    }
    Ok(response)
}

/// Removes the topics that the client may not read from the request, and returns their results.
fn take_denied(
    call: &Call,
    topics: &mut Vec<OffsetDeleteRequestTopic>,
) -> Vec<OffsetDeleteResponseTopic> {
    let (operation, kind) = (Operation::Read, ResourceType::Topic);
    let denied = call.take_denied(operation, kind, topics, |topic| topic.name.as_str());
    let denied = denied.into_iter().map(|topic| OffsetDeleteResponseTopic {
        name: topic.name,
        partitions: topic
            .partitions
            .iter()
            .map(|partition| OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: ErrorCode::TopicAuthorizationFailed.code(),
                ..OffsetDeleteResponsePartition::default()
            })
            .collect(),
        ..OffsetDeleteResponseTopic::default()
    });
    denied.collect()
}

/// Removes the partitions that do not exist from the request, and returns their results.
fn take_unknown(
    image: &MetadataImage,
    topics: &mut Vec<OffsetDeleteRequestTopic>,
) -> Vec<OffsetDeleteResponseTopic> {
    let mut unknown = Vec::new();
    topics.retain_mut(|topic| {
        let found = image.topic(topic.name.as_str());
        let mut missing = Vec::new();
        topic.partitions.retain(|partition| {
            let index = partition.partition_index;
            let exists = found.is_some_and(|found| resolve::has_partition(found, index));
            if !exists {
                missing.push(OffsetDeleteResponsePartition {
                    partition_index: index,
                    error_code: ErrorCode::UnknownTopicOrPartition.code(),
                    ..OffsetDeleteResponsePartition::default()
                });
            }
            exists
        });
        if !missing.is_empty() {
            unknown.push(OffsetDeleteResponseTopic {
                name: topic.name.clone(),
                partitions: missing,
                ..OffsetDeleteResponseTopic::default()
            });
        }
        !topic.partitions.is_empty()
    });
    unknown
}
