//! DeleteRecords, versions 0–2: moves the start of logs forward (KIP-107), and answers with the low
//! watermark once all live replicas have followed, or REQUEST_TIMED_OUT. Offset -1 means the high
//! watermark. Internal topics are refused, and topics that are compacted only, whose records others
//! replace. A partition that is named more than once counts with its last offset. A partition that
//! is removed from this broker meanwhile is answered at once, as in Produce.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, Offset, TopicIdPartition};
use dohle_protocol::messages::delete_records_request::DeleteRecordsRequestData;
use dohle_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponseData, DeleteRecordsTopicResult,
};
use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{Call, resolve, wire};
use crate::context::Context;
use dohle_broker::partition::{CommitError, Partition};

pub(super) async fn handle(
    call: Call,
    request: DeleteRecordsRequestData,
) -> DeleteRecordsResponseData {
    let deadline = wire::deadline(call.request.received, request.timeout_ms);
    let image = call.context.image();
    let mut wanted: BTreeMap<String, BTreeMap<i32, i64>> = BTreeMap::new();
    for topic in request.topics {
        for partition in topic.partitions {
            let offsets = wanted.entry(topic.name.to_string()).or_default();
            offsets.insert(partition.partition_index, partition.offset);
        }
    }
    let configs = call.context.configs(&image);
    let mut topics = Vec::with_capacity(wanted.len());
    for (name, offsets) in wanted {
        let allowed = call.authorize(Operation::Delete, ResourceType::Topic, &name);
        let policy = configs.topic(&name).cleanup_policy;
        let is_deletable = policy.delete || !policy.compact;
        let deleted = offsets.into_iter().map(|(index, before)| {
            let begun = allowed
                .and_then(|()| find(&call.context, &image, &name, index))
                .and_then(|partition| match is_deletable {
                    true => Ok((partition.id(), begin(&partition, before)?)),
                    false => Err(ErrorCode::PolicyViolation),
                });
            let context = &call.context;
            async move { to_wire(index, finish(begun, deadline, context).await) }
        });
        let partitions = join_all(deleted).await;
        topics.push(DeleteRecordsTopicResult {
            name: wire::text(&name),
            partitions,
            ..DeleteRecordsTopicResult::default()
        });
    }
    DeleteRecordsResponseData {
        topics,
        ..DeleteRecordsResponseData::default()
    }
}

fn find(
    context: &Context,
    image: &MetadataImage,
    topic: &str,
    index: i32,
) -> Result<Arc<Partition>, ErrorCode> {
    let found = resolve::topic_by_name(image, topic)?;
    if found.name.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    resolve::partition(&context.partitions, found, index)
}

/// Deletes on this leader. The returned future completes when the replicas have followed.
fn begin(
    partition: &Partition,
    before: i64,
) -> Result<impl Future<Output = Result<Offset, CommitError>> + use<>, ErrorCode> {
    let before = match before {
        -1 => None,
        before => Some(Offset::from_wire(before).ok_or(ErrorCode::OffsetOutOfRange)?),
    };
    let start = partition
        .delete_records(before)
        .map_err(|error| error.code())?;
    Ok(partition.wait_low_watermark(start))
}

async fn finish(
    begun: Result<
        (
            TopicIdPartition,
            impl Future<Output = Result<Offset, CommitError>>,
        ),
        ErrorCode,
    >,
    deadline: Instant,
    context: &Context,
) -> Result<Offset, ErrorCode> {
    let (id, waiting) = begun?;
    let code = match timeout_at(deadline, waiting).await {
        Ok(Ok(low_watermark)) => return Ok(low_watermark),
        Ok(Err(error)) => error.code(),
        Err(_) => ErrorCode::RequestTimedOut,
    };
    let replicas = (&*context.partitions, &*context.metadata, context.node_id);
    Err(resolve::code_if_removed(replicas, id, code).await)
}

fn to_wire(
    partition_index: i32,
    outcome: Result<Offset, ErrorCode>,
) -> DeleteRecordsPartitionResult {
    DeleteRecordsPartitionResult {
        partition_index,
        error_code: wire::code(&outcome),
        low_watermark: Offset::to_wire(outcome.ok()),
        ..DeleteRecordsPartitionResult::default()
    }
}
