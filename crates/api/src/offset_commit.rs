//! OffsetCommit, versions 2–10: stores offsets of a group, and answers when their records are
//! committed.
//!
//! Members send their generation or, from version 9, their member epoch (KIP-848). A client that is
//! not a member may commit while the group is empty. Version 10 names topics by id. Partitions that
//! do not exist are refused one by one: UNKNOWN_TOPIC_OR_PARTITION, UNKNOWN_TOPIC_ID.

use dohle_groups::Failed;
use dohle_groups::requests::OffsetCommit;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::{MetadataImage, TopicImage};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::offset_commit_request::{
    OffsetCommitRequestData, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use dohle_protocol::messages::offset_commit_response::{
    OffsetCommitResponseData, OffsetCommitResponsePartition, OffsetCommitResponseTopic,
};

use super::origin::Origin;
use super::{Call, resolve, wire};

/// The first version that names topics by id.
const BY_ID: i16 = 10;

pub(super) async fn handle(
    call: Call,
    mut request: OffsetCommitRequestData,
) -> OffsetCommitResponseData {
    let group_id = request.group_id.as_str();
    if let Err(code) = call.authorize(Operation::Read, ResourceType::Group, group_id) {
        let topics = request.topics.iter();
        return OffsetCommitResponseData {
            topics: topics.map(|topic| refuse(topic, code)).collect(),
            ..OffsetCommitResponseData::default()
        };
    }
    let topics = std::mem::take(&mut request.topics);
    let (known, refused) = sort_out(&call, topics, call.version >= BY_ID);
    request.topics = known;
    let mut response = OffsetCommitResponseData {
        topics: refused,
        ..OffsetCommitResponseData::default()
    };
    if request.topics.is_empty() {
        return response;
    }
    let origin = Origin::of(&call);
    let commit = OffsetCommit {
        request: &request,
        caller: origin.caller(),
    };
    let groups = &call.context.groups;
    let outcome = groups.run(request.group_id.as_str(), &commit).await;
    match outcome {
        Ok(Ok(committed)) => merge(&mut response.topics, committed.topics),
        Ok(Err(Failed { code, .. })) | Err(code) => {
            let failed = request.topics.iter().map(|topic| refuse(topic, code));
            merge(&mut response.topics, failed.collect());
        }
    }
    response
}

/// Returns the topics and partitions that exist and that the client may read, with name and id, and
/// the results for the others.
pub(super) fn sort_out(
    call: &Call,
    topics: Vec<OffsetCommitRequestTopic>,
    by_id: bool,
) -> (
    Vec<OffsetCommitRequestTopic>,
    Vec<OffsetCommitResponseTopic>,
) {
    let image = call.context.image();
    let (mut known, mut refused) = (Vec::new(), Vec::new());
    for mut topic in topics {
        let found = match find(call, &image, &topic, by_id) {
            Ok(found) => found,
            Err(code) => {
                refused.push(refuse(&topic, code));
                continue;
            }
        };
        topic.name = KafkaString::from(found.name.as_str().to_owned());
        topic.topic_id = wire::wire_id(found.id);
        let partitions = std::mem::take(&mut topic.partitions);
        let (there, missing): (Vec<_>, Vec<_>) = partitions
            .into_iter()
            .partition(|partition| exists(found, partition));
        if !missing.is_empty() {
            let missing = OffsetCommitRequestTopic {
                partitions: missing,
                ..topic.clone()
            };
            refused.push(refuse(&missing, ErrorCode::UnknownTopicOrPartition));
        }
        if !there.is_empty() {
            topic.partitions = there;
            known.push(topic);
        }
    }
    (known, refused)
}

/// Returns a topic that the client may read. A topic that the request names is authorized first, so
/// that the answer does not depend on its existence.
fn find<'a>(
    call: &Call,
    image: &'a MetadataImage,
    topic: &OffsetCommitRequestTopic,
    by_id: bool,
) -> Result<&'a TopicImage, ErrorCode> {
    let may_read = |name| call.authorize(Operation::Read, ResourceType::Topic, name);
    if by_id {
        let found = resolve::topic_by_id(image, wire::topic_id(topic.topic_id))?;
        may_read(found.name.as_str())?;
        return Ok(found);
    }
    may_read(topic.name.as_str())?;
    resolve::topic_by_name(image, topic.name.as_str())
}

fn exists(topic: &TopicImage, partition: &OffsetCommitRequestPartition) -> bool {
    resolve::has_partition(topic, partition.partition_index)
}

pub(super) fn refuse(
    topic: &OffsetCommitRequestTopic,
    code: ErrorCode,
) -> OffsetCommitResponseTopic {
    let partitions = topic.partitions.iter();
    OffsetCommitResponseTopic {
        name: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: partitions
            .map(|partition| OffsetCommitResponsePartition {
                partition_index: partition.partition_index,
                error_code: code.code(),
                ..OffsetCommitResponsePartition::default()
            })
            .collect(),
        ..OffsetCommitResponseTopic::default()
    }
}

/// Adds results, so that each topic is in the response once.
pub(super) fn merge(
    into: &mut Vec<OffsetCommitResponseTopic>,
    topics: Vec<OffsetCommitResponseTopic>,
) {
    let refused = into.len();
    for topic in topics {
        let same = into[..refused]
            .iter_mut()
            .find(|other| other.name == topic.name && other.topic_id == topic.topic_id);
        match same {
            Some(other) => other.partitions.extend(topic.partitions),
            None => into.push(topic),
        }
    }
}
