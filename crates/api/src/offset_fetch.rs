//! OffsetFetch, versions 1–10: the committed offsets of groups; -1 for a partition without one.
//!
//! Several groups in one request from version 8 on (KIP-709), each with an outcome of its own; all
//! topics of a group when none are named (version 2). From version 9 members of a consumer group
//! send their epoch (KIP-848); version 10 names topics by id. While a group's coordinator loads,
//! the answer is COORDINATOR_LOAD_IN_PROGRESS, never -1.
//!
//! From version 7 on a request for stable offsets is answered with UNSTABLE_OFFSET_COMMIT for
//! partitions with an offset of an open transaction (KIP-447).

use dohle_groups::Failed;
use dohle_groups::requests::OffsetFetch;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestData, OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use dohle_protocol::messages::offset_fetch_response::{
    OffsetFetchResponseData, OffsetFetchResponseGroup, OffsetFetchResponsePartition,
    OffsetFetchResponsePartitions, OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use futures::future::join_all;

use super::{Call, resolve, wire};

/// The first version with several groups.
const GROUPS: i16 = 8;
/// The first version that names topics by id.
const BY_ID: i16 = 10;
/// The first version with an error for the whole group.
const GROUP_ERROR: i16 = 2;

pub(super) async fn handle(call: Call, request: OffsetFetchRequestData) -> OffsetFetchResponseData {
    if call.version >= GROUPS {
        let stable = request.require_stable;
        let groups = request.groups.into_iter();
        let groups = groups.map(|group| fetch(&call, group, stable));
        return OffsetFetchResponseData {
            groups: join_all(groups).await,
            ..OffsetFetchResponseData::default()
        };
    }
    let stable = request.require_stable;
    let group = fetch(&call, the_group(request), stable).await;
    OffsetFetchResponseData {
        error_code: group.error_code,
        topics: group.topics.into_iter().map(old_topic).collect(),
        ..OffsetFetchResponseData::default()
    }
}

/// Returns the one group of a request before version 8.
fn the_group(request: OffsetFetchRequestData) -> OffsetFetchRequestGroup {
    let topics = request.topics.map(|topics| {
        topics
            .into_iter()
            .map(|topic| OffsetFetchRequestTopics {
                name: topic.name,
                partition_indexes: topic.partition_indexes,
                ..OffsetFetchRequestTopics::default()
            })
            .collect()
    });
    OffsetFetchRequestGroup {
        group_id: request.group_id,
        member_id: None,
        member_epoch: -1,
        topics,
        ..OffsetFetchRequestGroup::default()
    }
}

fn old_topic(topic: OffsetFetchResponseTopics) -> OffsetFetchResponseTopic {
    let partition = |partition: OffsetFetchResponsePartitions| OffsetFetchResponsePartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        metadata: partition.metadata,
        error_code: partition.error_code,
        ..OffsetFetchResponsePartition::default()
    };
    OffsetFetchResponseTopic {
        name: topic.name,
        partitions: topic.partitions.into_iter().map(partition).collect(),
        ..OffsetFetchResponseTopic::default()
    }
}

async fn fetch(
    call: &Call,
    mut request: OffsetFetchRequestGroup,
    require_stable: bool,
) -> OffsetFetchResponseGroup {
    let group_id = request.group_id.as_str();
    if let Err(code) = call.authorize(Operation::Describe, ResourceType::Group, group_id) {
        return failed(&request, code, call.version);
    }
    let image = call.context.image();
    let by_id = call.version >= BY_ID;
    let refused = match &mut request.topics {
        Some(topics) => {
            let unknown = if by_id {
                name(&image, topics)
            } else {
                Vec::new()
            };
            [unknown, take_denied(call, topics)].concat()
        }
        None => Vec::new(),
    };
    let groups = &call.context.groups;
    let fetch = OffsetFetch {
        request: &request,
        require_stable,
    };
    let outcome = groups.run(request.group_id.as_str(), &fetch).await;
    match outcome {
        Ok(Ok(mut response)) => {
            if request.topics.is_none() {
                response.topics.retain(|topic| {
                    let name = topic.name.as_str();
                    call.is_visible(Operation::Describe, ResourceType::Topic, name)
                });
                if by_id {
                    identify(&image, &mut response.topics);
                }
            }
            response.topics.extend(refused);
            response
        }
        Ok(Err(Failed { code, .. })) | Err(code) => failed(&request, code, call.version),
    }
}

/// Removes the topics that the client may not describe, and returns their results.
fn take_denied(
    call: &Call,
    topics: &mut Vec<OffsetFetchRequestTopics>,
) -> Vec<OffsetFetchResponseTopics> {
    let (operation, kind) = (Operation::Describe, ResourceType::Topic);
    let denied = call.take_denied(operation, kind, topics, |topic| topic.name.as_str());
    let denied = denied.iter();
    denied
        .map(|topic| refuse(topic, ErrorCode::TopicAuthorizationFailed))
        .collect()
}

/// Sets the topics' names. Removes topics that do not exist, and returns their results.
fn name(
    image: &MetadataImage,
    topics: &mut Vec<OffsetFetchRequestTopics>,
) -> Vec<OffsetFetchResponseTopics> {
    let mut unknown = Vec::new();
    topics.retain_mut(
        |topic| match resolve::topic_by_id(image, wire::topic_id(topic.topic_id)) {
            Ok(found) => {
                topic.name = KafkaString::from(found.name.as_str().to_owned());
                true
            }
            Err(code) => {
                unknown.push(refuse(topic, code));
                false
            }
        },
    );
    unknown
}

/// Sets the topics' ids. Topics that do not exist any more have no id and are removed.
fn identify(image: &MetadataImage, topics: &mut Vec<OffsetFetchResponseTopics>) {
    topics.retain_mut(|topic| {
        let found = image.topic(topic.name.as_str());
        if let Some(found) = found {
            topic.topic_id = wire::wire_id(found.id);
        }
        found.is_some()
    });
}

fn refuse(topic: &OffsetFetchRequestTopics, code: ErrorCode) -> OffsetFetchResponseTopics {
    let partitions = topic.partition_indexes.iter();
    OffsetFetchResponseTopics {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions
            .map(|index| OffsetFetchResponsePartitions {
                partition_index: *index,
                committed_offset: -1,
                committed_leader_epoch: -1,
                metadata: Some(KafkaString::default()),
                error_code: code.code(),
                ..OffsetFetchResponsePartitions::default()
            })
            .collect(),
        ..OffsetFetchResponseTopics::default()
    }
}

/// Returns the failure of a group. Version 1 has no field for it but those of the partitions.
fn failed(
    request: &OffsetFetchRequestGroup,
    code: ErrorCode,
    version: i16,
) -> OffsetFetchResponseGroup {
    let topics = request.topics.iter().flatten();
    OffsetFetchResponseGroup {
        group_id: request.group_id.clone(),
        error_code: code.code(),
        topics: match version {
            ..GROUP_ERROR => topics.map(|topic| refuse(topic, code)).collect(),
            _ => Vec::new(),
        },
        ..OffsetFetchResponseGroup::default()
    }
}
