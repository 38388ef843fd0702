//! DeleteRecords, versions 0–2: moves the start of logs forward (KIP-107), and answers with the low
//! watermark once all live replicas have followed, or REQUEST_TIMED_OUT. Offset -1 means the high
//! watermark. Internal topics are refused.

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, Offset};
use dohle_protocol::messages::delete_records_request::DeleteRecordsRequestData;
use dohle_protocol::messages::delete_records_response::{
    DeleteRecordsPartitionResult, DeleteRecordsResponseData, DeleteRecordsTopicResult,
};
use futures::future::join_all;
use tokio::time::{Instant, timeout_at};

use super::{Call, resolve, wire};
use crate::context::Context;
use dohle_broker::partition::CommitError;

pub(super) async fn handle(
    call: Call,
    request: DeleteRecordsRequestData,
) -> DeleteRecordsResponseData {
    let deadline = wire::deadline(call.request.received, request.timeout_ms);
    let image = call.context.image();
    let mut topics = Vec::with_capacity(request.topics.len());
    for topic in request.topics {
        let name = topic.name.as_str();
        let allowed = call.authorize(Operation::Delete, ResourceType::Topic, name);
        let deleted = topic.partitions.iter().map(|partition| {
            let (index, before) = (partition.partition_index, partition.offset);
            let begun = allowed.and_then(|()| begin(&call.context, &image, name, index, before));
            async move { to_wire(index, finish(begun, deadline).await) }
        });
        let partitions = join_all(deleted).await;
        topics.push(DeleteRecordsTopicResult {
            name: topic.name,
            partitions,
            ..DeleteRecordsTopicResult::default()
        });
    }
    DeleteRecordsResponseData {
        topics,
        ..DeleteRecordsResponseData::default()
    }
}

/// Deletes on this leader. The returned future completes when the replicas have followed.
fn begin(
    context: &Context,
    image: &MetadataImage,
    topic: &str,
    index: i32,
    before: i64,
) -> Result<impl Future<Output = Result<Offset, CommitError>> + use<>, ErrorCode> {
    let found = resolve::topic_by_name(image, topic)?;
    if found.name.is_internal() {
        return Err(ErrorCode::InvalidTopicException);
    }
    let partition = resolve::partition(&context.partitions, found, index)?;
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
    begun: Result<impl Future<Output = Result<Offset, CommitError>>, ErrorCode>,
    deadline: Instant,
) -> Result<Offset, ErrorCode> {
    match timeout_at(deadline, begun?).await {
        Ok(outcome) => outcome.map_err(|error| error.code()),
        Err(_) => Err(ErrorCode::RequestTimedOut),
    }
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
