//! ListOffsets, versions 1–11: the first offset, the end, or the first record at or after a time.
//!
//! Special times: -2 earliest, -1 latest, from version 7 -3 the record with the largest timestamp
//! (KIP-734), from 8 -4 the first offset on local disk (KIP-405), from 9 -5 and from 11 -6 the ends
//! of tiered storage, which does not exist yet. With `read_committed` (from 2) the latest is the
//! last stable offset. Searches by time (and -3) read from disk and decompress, on the blocking
//! pool; a request makes one search at a time.

use std::collections::HashMap;
use std::sync::Arc;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, LeaderEpoch, Offset, Timestamp};
use dohle_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};
use dohle_protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponseData, ListOffsetsTopicResponse,
};

use super::{Call, resolve, wire};
use dohle_broker::partition::{Isolation, ListedOffset, OffsetSpec, ReadError};

/// `replica_id` of consumers.
const CONSUMER: i32 = -1;
/// `replica_id` of tools that look at any replica.
const DEBUGGING: i32 = -2;

pub(super) async fn handle(
    call: Call,
    mut request: ListOffsetsRequestData,
) -> ListOffsetsResponseData {
    // Before the wait for unknown topics, so that the time of a refusal does not depend on whether
    // the topic exists.
    let (operation, kind) = (Operation::Describe, ResourceType::Topic);
    let denied = call.take_denied(operation, kind, &mut request.topics, |topic| {
        topic.name.as_str()
    });
    let context = Arc::clone(&call.context);
    resolve::until_known(&context.metadata, call.request.received, |image| {
        let mut topics = request.topics.iter();
        topics.all(|topic| image.topic(topic.name.as_str()).is_some())
    })
    .await;
    let image = context.image();
    // Replicas and Kafka's debugging consumer (-2) read beyond the high watermark.
    let isolation = Isolation::of_client(request.isolation_level)
        .map(|of_client| match request.replica_id {
            CONSUMER => of_client,
            _ => Isolation::LogEnd,
        })
        .ok_or(ErrorCode::UnknownServerError);
    let mut counts: HashMap<(&str, i32), usize> = HashMap::new();
    for topic in &request.topics {
        for partition in &topic.partitions {
            *counts
                .entry((topic.name.as_str(), partition.partition_index))
                .or_default() += 1;
        }
    }
    let mut topics: Vec<ListOffsetsTopicResponse> = Vec::with_capacity(request.topics.len());
    for topic in request.topics.iter().filter(|it| !it.partitions.is_empty()) {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let index = partition.partition_index;
            let outcome = match counts.get_mut(&(topic.name.as_str(), index)) {
                Some(1) => match isolation {
                    Ok(isolation) => {
                        let reader = Reader {
                            isolation,
                            leader_only: request.replica_id != DEBUGGING,
                        };
                        list(&call, &image, topic, partition, reader).await
                    }
                    Err(code) => Err(code),
                },
                // A partition that the request names more than once is answered once.
                Some(0) | None => continue,
                Some(count) => {
                    *count = 0;
                    Err(ErrorCode::InvalidRequest)
                }
            };
            partitions.push(to_wire(index, call.version, outcome));
        }
        // A topic that the request names more than once is answered once.
        match topics.iter_mut().find(|other| other.name == topic.name) {
            Some(other) => other.partitions.extend(partitions),
            None => topics.push(ListOffsetsTopicResponse {
                name: topic.name.clone(),
                partitions,
                ..ListOffsetsTopicResponse::default()
            }),
        }
    }
    topics.extend(denied.into_iter().map(|topic| refused(topic, call.version)));
    ListOffsetsResponseData {
        topics,
        ..ListOffsetsResponseData::default()
    }
}

fn refused(topic: ListOffsetsTopic, version: i16) -> ListOffsetsTopicResponse {
    let partitions = topic.partitions.iter().map(|partition| {
        let denied = Err(ErrorCode::TopicAuthorizationFailed);
        to_wire(partition.partition_index, version, denied)
    });
    ListOffsetsTopicResponse {
        partitions: partitions.collect(),
        name: topic.name,
        ..ListOffsetsTopicResponse::default()
    }
}

/// What a client may see, and where.
#[derive(Debug, Clone, Copy)]
struct Reader {
    isolation: Isolation,
    leader_only: bool,
}

async fn list(
    call: &Call,
    image: &MetadataImage,
    topic: &ListOffsetsTopic,
    request: &ListOffsetsPartition,
    reader: Reader,
) -> Result<Option<ListedOffset>, ErrorCode> {
    let version = call.version;
    let spec = match request.timestamp {
        -1 => OffsetSpec::Latest,
        -2 => OffsetSpec::Earliest,
        -3 if version >= 7 => OffsetSpec::MaxTimestamp,
        -4 if version >= 8 => OffsetSpec::EarliestLocal,
        -5 if version >= 9 => OffsetSpec::LatestTiered,
        -6 if version >= 11 => OffsetSpec::LatestTiered,
        time if time < 0 => return Err(ErrorCode::UnsupportedVersion),
        time => OffsetSpec::ByTime(Timestamp(time)),
    };
    let (name, index) = (topic.name.as_str(), request.partition_index);
    let partition = resolve::partition_by_name(&call.context.partitions, image, name, index)?;
    let epoch = wire::current_epoch(request.current_leader_epoch);
    partition
        .list_offset(
            spec,
            epoch,
            reader.isolation,
            reader.leader_only,
            call.owner(),
        )
        .await
        .map_err(|error| match error {
            // Clients before version 5 do not support OFFSET_NOT_AVAILABLE.
            ReadError::OffsetNotAvailable if version < 5 => ErrorCode::LeaderNotAvailable,
            error => error.code(),
        })
}

fn to_wire(
    partition_index: i32,
    version: i16,
    outcome: Result<Option<ListedOffset>, ErrorCode>,
) -> ListOffsetsPartitionResponse {
    let mut response = ListOffsetsPartitionResponse {
        partition_index,
        error_code: wire::code(&outcome),
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
        ..ListOffsetsPartitionResponse::default()
    };
    if let Ok(Some(listed)) = outcome {
        response.offset = Offset::to_wire(Some(listed.offset));
        response.timestamp = Timestamp::to_wire(listed.timestamp);
        if version >= 4 {
            response.leader_epoch = LeaderEpoch::to_wire(listed.leader_epoch);
        }
    }
    response
}
