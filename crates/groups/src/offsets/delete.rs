//! Offsets that go: on request, with their topic, and when they expire (KIP-211, KIP-496).

use std::time::Duration;

use dohle_model::{ErrorCode, PartitionIndex, Timestamp, TopicId, TopicName};
use dohle_protocol::messages::offset_delete_request::{
    OffsetDeleteRequestData, OffsetDeleteRequestTopic,
};
use dohle_protocol::messages::offset_delete_response::{
    OffsetDeleteResponseData, OffsetDeleteResponsePartition, OffsetDeleteResponseTopic,
};

use super::commit::not_found;
use super::committed::tombstone;
use crate::ids::GroupId;
use crate::records::{OffsetValue, Record};
use crate::shard::{Group, Kind, Shard};
use crate::step::{Failed, Step};

/// How many tombstones one step asks for, where they need not be written together.
const TOMBSTONES_MAX: usize = 1_000;

impl Shard {
    /// Deletes offsets of topics that the group is not subscribed to. The caller has seen that the
    /// partitions exist.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND; NON_EMPTY_GROUP when the group has members whose subscription is not
    /// known, because they are not consumers.
    pub fn offset_delete(
        &self,
        request: &OffsetDeleteRequestData,
        step: &mut Step<'_>,
    ) -> Result<OffsetDeleteResponseData, Failed> {
        let group_id = GroupId::new(request.group_id.as_str());
        let group = self.groups.get(&group_id);
        let group = group.ok_or_else(|| not_found(group_id.as_str()))?;
        if let Kind::Classic(classic) = &group.kind {
            classic.validate_offset_delete()?;
        }
        let topic = |topic: &OffsetDeleteRequestTopic| {
            let subscribed = group.is_subscribed_to(topic.name.as_str());
            let name = group.offsets.topic(topic.name.as_str());
            let name = name.filter(|_| !subscribed);
            let mut partitions = Vec::with_capacity(topic.partitions.len());
            for partition in &topic.partitions {
                let index = PartitionIndex(partition.partition_index);
                if let Some(name) = name
                    && group.offsets.get(name, index).is_some()
                {
                    step.write(tombstone(&group_id, name, index));
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
        let topics = request.topics.iter().map(topic).collect();
        // That there is nothing to delete is told as well.
        step.read_up_to(self.written(group_id.as_str()));
        Ok(OffsetDeleteResponseData {
            topics,
            ..OffsetDeleteResponseData::default()
        })
    }

    /// Deletes offsets that have expired, and groups that thereby have neither offsets nor members.
    /// To be called, with a fresh step each, until it asks for no records.
    pub fn expire_offsets(&self, step: &mut Step<'_>) {
        for (group_id, group) in &self.groups {
            let left = TOMBSTONES_MAX.saturating_sub(step.effects.records.len());
            let (wall, retention) = (step.wall, step.config.offsets_retention);
            let expired = group.offsets.all().filter(|(topic, _, value)| {
                group.has_expired(value, wall, retention) && !group.is_subscribed_to(topic)
            });
            let before = step.effects.records.len();
            for (topic, partition, _) in expired.take(left) {
                step.write(tombstone(group_id, topic, partition));
            }
            let all = step.effects.records.len() - before == group.offsets.len();
            if all && group.is_abandoned() {
                step.effects.records.extend(group.tombstones(group_id));
            }
            if step.effects.records.len() >= TOMBSTONES_MAX {
                return;
            }
        }
    }

    /// Deletes the offsets of topics that no longer exist. To be called, with a fresh step each,
    /// until it asks for no records.
    pub fn delete_offsets_of_topics(&self, topics: &[(TopicId, TopicName)], step: &mut Step<'_>) {
        for (group_id, group) in &self.groups {
            for (topic_id, name) in topics {
                let offsets = group.offsets.partitions(name.as_str());
                let gone = offsets.filter(|(_, _, value)| {
                    value
                        .topic_id
                        .is_none_or(|committed| committed == *topic_id)
                });
                for (topic, partition, _) in gone {
                    if step.effects.records.len() >= TOMBSTONES_MAX {
                        return;
                    }
                    step.write(tombstone(group_id, topic, partition));
                }
            }
        }
    }

    /// Deletes a group that has no members, and its offsets.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, NON_EMPTY_GROUP.
    pub fn delete_group(&self, group_id: &str, step: &mut Step<'_>) -> Result<(), Failed> {
        let found = self.groups.get_key_value(group_id);
        let (group_id, group) = found.ok_or_else(|| not_found(group_id))?;
        if !group.is_empty() {
            return Err(ErrorCode::NonEmptyGroup.into());
        }
        for (topic, partition, _) in group.offsets.all() {
            step.write(tombstone(group_id, topic, partition));
        }
        step.effects.records.extend(group.tombstones(group_id));
        Ok(())
    }
}

impl Group {
    /// Whether an offset has outlived its retention, and may expire.
    fn has_expired(&self, value: &OffsetValue, wall: Timestamp, retention: Duration) -> bool {
        let retained_from = match &self.kind {
            Kind::Classic(group) => group.retained_from(value.commit_timestamp),
            Kind::Consumer(_) => Some(value.commit_timestamp),
        };
        let Some(retained_from) = retained_from else {
            return false;
        };
        if let Some(expire_timestamp) = value.expire_timestamp {
            return wall >= expire_timestamp;
        }
        let age = u64::try_from(wall.0.saturating_sub(retained_from.0)).unwrap_or(0);
        Duration::from_millis(age) >= retention
    }

    fn is_subscribed_to(&self, topic: &str) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.is_subscribed_to(topic),
            Kind::Consumer(group) => group.is_subscribed_to(topic),
        }
    }

    /// Whether it has no members.
    pub(crate) fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.is_empty(),
            Kind::Consumer(group) => group.is_empty(),
        }
    }

    /// Whether it has no members, and nobody is about to join.
    fn is_abandoned(&self) -> bool {
        match &self.kind {
            Kind::Classic(group) => group.is_empty() && group.pending_members().is_empty(),
            Kind::Consumer(group) => group.is_empty(),
        }
    }

    /// The records that delete it.
    fn tombstones(&self, group_id: &GroupId) -> Vec<Record> {
        match &self.kind {
            Kind::Classic(_) => vec![Record::Classic(group_id.clone(), None)],
            Kind::Consumer(group) => group.tombstones(group_id),
        }
    }
}
