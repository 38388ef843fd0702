//! OffsetForLeaderEpoch, versions 2–4: the end of an epoch in the leader's log, from which
//! consumers detect that the log was truncated (KIP-320).

use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, LeaderEpoch, Offset};
use dohle_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequestData, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use dohle_protocol::messages::offset_for_leader_epoch_response::{
    EpochEndOffset, OffsetForLeaderEpochResponseData, OffsetForLeaderTopicResult,
};

use super::{CLUSTER, Call, resolve, wire};
use crate::context::Context;
use dohle_broker::partition::EpochEnd;

pub(super) async fn handle(
    call: Call,
    request: OffsetForLeaderEpochRequestData,
) -> OffsetForLeaderEpochResponseData {
    let image = call.context.image();
    let is_replica = call.is_visible(Operation::ClusterAction, ResourceType::Cluster, CLUSTER);
    let topic = |topic: OffsetForLeaderTopic| {
        let name = topic.topic.as_str();
        let allowed = match is_replica {
            true => Ok(()),
            false => call.authorize(Operation::Describe, ResourceType::Topic, name),
        };
        let partition = |partition: &OffsetForLeaderPartition| {
            let end = allowed.and_then(|()| end(&call.context, &image, name, partition));
            to_wire(partition, end)
        };
        OffsetForLeaderTopicResult {
            partitions: topic.partitions.iter().map(partition).collect(),
            topic: topic.topic.clone(),
            ..OffsetForLeaderTopicResult::default()
        }
    };
    OffsetForLeaderEpochResponseData {
        topics: request.topics.into_iter().map(topic).collect(),
        ..OffsetForLeaderEpochResponseData::default()
    }
}

fn end(
    context: &Context,
    image: &MetadataImage,
    topic: &str,
    request: &OffsetForLeaderPartition,
) -> Result<Option<EpochEnd>, ErrorCode> {
    let partition =
        resolve::partition_by_name(&context.partitions, image, topic, request.partition)?;
    // An epoch below -1 is one before the first, as in Kafka; -1 is none.
    let epoch = LeaderEpoch(request.leader_epoch);
    let current = wire::current_epoch(request.current_leader_epoch);
    let end = partition.epoch_end(current, epoch);
    let end = end.map_err(|error| error.code())?;
    Ok((request.leader_epoch != -1).then_some(end))
}

fn to_wire(
    request: &OffsetForLeaderPartition,
    outcome: Result<Option<EpochEnd>, ErrorCode>,
) -> EpochEndOffset {
    let error_code = wire::code(&outcome);
    let end = outcome.ok().flatten();
    EpochEndOffset {
        error_code,
        partition: request.partition,
        leader_epoch: LeaderEpoch::to_wire(end.and_then(|end| end.epoch)),
        end_offset: Offset::to_wire(end.and_then(|end| end.end_offset)),
        ..EpochEndOffset::default()
    }
}
