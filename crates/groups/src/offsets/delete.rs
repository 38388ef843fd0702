//! Deletion of offsets: on request, with their topic, and when they expire (KIP-211, KIP-496).

use std::time::Duration;

use dohle_model::{ErrorCode, PartitionIndex, Timestamp, TopicId, TopicName};
use dohle_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestData, OffsetDeleteRequestTopic,
};
use dohle_protocol::messages::offset_delete_response::{
    OffsetDeleteResponseData, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use crate::Step;
use crate::ids::GroupId;
use crate::kind::GroupKind;
use crate::offsets::GroupOffsets;
use crate::offsets::committed::tombstone;
use crate::records::OffsetValue;

/// Deletes the offsets of a request, except those of topics that the group subscribes to.
pub(crate) fn delete(
    group_id: &GroupId,
    group: &dyn GroupKind,
    offsets: &GroupOffsets,
    request: &OffsetDeleteRequestData,
    step: &mut Step<'_>,
) -> OffsetDeleteResponseData {
    let topic = |topic: &OffsetDeleteRequestTopic| {
        let subscribed = group.is_subscribed_to(topic.name.as_str());
        let name = offsets.topic(topic.name.as_str());
        let name = name.filter(|_| !subscribed);
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for partition in &topic.partitions {
            let index = PartitionIndex(partition.partition_index);
            if let Some(name) = name
                && (offsets.get(name, index).is_some() || offsets.pending().contains(name, index))
            {
                step.write(tombstone(group_id, name, index));
            }
            partitions.push(OffsetDeleteResponsePartition {
                partition_index: partition.partition_index,
                error_code: match subscribed {
                    true => ErrorCode::GroupSubscribedToTopic.code(),
                    false => 0,
                },
                ..OffsetDeleteResponsePartition::default()
            });
        }
        OffsetDeleteResponseTopic {
            name: topic.name.clone(),
            partitions,
            ..OffsetDeleteResponseTopic::default()
        }
    };
    OffsetDeleteResponseData {
        topics: request.topics.iter().map(topic).collect(),
        ..OffsetDeleteResponseData::default()
    }
}

/// Deletes the offsets of a group that have expired, except those of partitions with an offset of
/// an open transaction. When no offset remains and no client is a member or is about to join,
/// deletes the group too. Stops when the step has `tombstones_max` records.
pub(crate) fn expire(
    group_id: &GroupId,
    group: &dyn GroupKind,
    offsets: &GroupOffsets,
    tombstones_max: usize,
    step: &mut Step<'_>,
) {
    let before = step.effects.records.len();
    let (wall, retention) = (step.wall, step.config.offsets_retention);
    let expired = offsets.all().filter(|(topic, _, value)| {
        has_expired(group, value, wall, retention) && !group.is_subscribed_to(topic)
    });
    let expired = expired.filter(|(topic, partition, _)| {
        let pending = offsets.pending();
        !pending.contains(topic, *partition)
    });
    for (topic, partition, _) in expired.take(tombstones_max.saturating_sub(before)) {
        step.write(tombstone(group_id, topic, partition));
    }
    let after = step.effects.records.len();
    assert!(
        after <= before.max(tombstones_max) && after - before <= offsets.len(),
        "group {group_id}: {} of {} offsets expire, after {before} tombstones",
        after - before,
        offsets.len()
    );
    let all = after - before == offsets.len();
    if all && offsets.pending().is_empty() && group.is_abandoned() {
        step.effects.records.extend(group.tombstones(group_id));
    }
}

/// Whether the retention time of an offset is over.
fn has_expired(
    group: &dyn GroupKind,
    value: &OffsetValue,
    wall: Timestamp,
    retention: Duration,
) -> bool {
    let Some(retained_from) = group.retained_from(value.commit_timestamp) else {
        return false;
    };
    if let Some(expire_timestamp) = value.expire_timestamp {
        return wall >= expire_timestamp;
    }
    let age = u64::try_from(wall.0.saturating_sub(retained_from.0)).unwrap_or(0);
    Duration::from_millis(age) >= retention
}

/// Deletes the offsets of topics that were deleted. Stops when the step has `tombstones_max`
/// records. An offset without a topic id is deleted by the topic's name.
pub(crate) fn delete_of_topics(
    group_id: &GroupId,
    offsets: &GroupOffsets,
    topics: &[(TopicId, TopicName)],
    tombstones_max: usize,
    step: &mut Step<'_>,
) {
    for (topic_id, name) in topics {
        let of_topic = offsets.partitions(name.as_str());
        let deleted = of_topic.filter(|(_, _, value)| {
            value
                .topic_id
                .is_none_or(|committed| committed == *topic_id)
        });
        let deleted = deleted.map(|(topic, partition, _)| (topic, partition));
        let pending = offsets.only_pending();
        let pending = pending.filter(|(topic, _)| ***topic == *name.as_str());
        for (topic, partition) in deleted.chain(pending) {
            if step.effects.records.len() >= tombstones_max {
                return;
            }
            step.write(tombstone(group_id, topic, partition));
        }
    }
}

/// Deletes all offsets of a group, those of open transactions included.
pub(crate) fn delete_all(group_id: &GroupId, offsets: &GroupOffsets, step: &mut Step<'_>) {
    let committed = offsets.all();
    let committed = committed.map(|(topic, partition, _)| (topic, partition));
    for (topic, partition) in committed.chain(offsets.only_pending()) {
        step.write(tombstone(group_id, topic, partition));
    }
}
