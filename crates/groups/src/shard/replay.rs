//! Replay of records: finds or creates the group of a record, and applies the record to it.
//!
//! Records cannot fail to be replayed. A compacted log lacks records, and a log that Kafka wrote
//! has records of all its versions, so a record that does not fit its group is ignored.

use std::collections::BTreeSet;

use dohle_model::ProducerId;

use crate::classic::ClassicGroup;
use crate::ids::GroupId;
use crate::modern::consumer::ConsumerGroup;
use crate::modern::topics::TopicChanges;
use crate::records::{ClassicGroupValue, OffsetKey, OffsetValue, Record};
use crate::shard::{Group, Kind, Shard};

impl Shard {
    /// Sets or deletes an offset. The first offset of a group creates the group, without members.
    pub(crate) fn replay_offset(&mut self, key: OffsetKey, value: Option<OffsetValue>) {
        let OffsetKey {
            group_id,
            topic,
            partition,
        } = key;
        match value {
            Some(value) => {
                let group = self.groups.entry(group_id).or_insert_with(Group::empty);
                group.offsets.commit(topic, partition, value);
            }
            None => {
                if let Some(group) = self.groups.get_mut(&group_id) {
                    group.offsets.remove(&topic, partition);
                }
            }
        }
    }

    /// Adds an offset of an open transaction, which takes effect with the transaction's commit. The
    /// first offset of a group creates the group, without members. A tombstone deletes at once.
    pub(crate) fn replay_offset_in_transaction(
        &mut self,
        producer: ProducerId,
        key: OffsetKey,
        value: Option<OffsetValue>,
    ) {
        let Some(value) = value else {
            return self.replay_offset(key, None);
        };
        let groups = self.transactions.entry(producer).or_default();
        groups.insert(key.group_id.clone());
        let group = self.groups.entry(key.group_id);
        let group = group.or_insert_with(Group::empty);
        let pending = group.offsets.pending_mut();
        pending.put(producer, key.topic, key.partition, value);
    }

    /// Handles the end of a producer's transaction. Returns the groups that had offsets of this
    /// transaction.
    pub(crate) fn replay_end_of_transaction(
        &mut self,
        producer: ProducerId,
        committed: bool,
    ) -> BTreeSet<GroupId> {
        let group_ids = self.transactions.remove(&producer);
        assert!(
            group_ids.as_ref().is_none_or(|ids| !ids.is_empty()),
            "the transaction of producer {producer} has no group"
        );
        let group_ids = group_ids.unwrap_or_default();
        for group_id in &group_ids {
            // The group may have been deleted since.
            if let Some(group) = self.groups.get_mut(group_id) {
                group.offsets.end_transaction(producer, committed);
            }
        }
        group_ids
    }

    /// Replaces a group by the classic group in a record, or deletes a classic group. The deletion
    /// of a classic group does not affect a consumer group with the same id.
    pub(crate) fn replay_classic(&mut self, group_id: GroupId, value: Option<ClassicGroupValue>) {
        if let Some(value) = value {
            let group = self.groups.entry(group_id).or_insert_with(Group::empty);
            group.kind = Kind::Classic(ClassicGroup::of(value));
            return;
        }
        let group = self.groups.get(&group_id);
        if let Some(classic) = group.and_then(|group| group.classic()) {
            classic.cancel_timers(&group_id, &mut self.timers);
            self.remove_members(&group_id);
        }
    }

    /// Applies a record of a consumer group. Any record but a tombstone creates the group, and
    /// replaces a classic group with the same id.
    pub(crate) fn replay_consumer(&mut self, record: Record) {
        let group_id = record.group_id().clone();
        if let Record::ConsumerGroup(_, None) = record {
            return self.remove_consumer_group(&group_id);
        }
        let group = match record.is_tombstone() {
            true => self.groups.get_mut(&group_id),
            false => {
                let group = self.groups.entry(group_id.clone());
                Some(group.or_insert_with(Group::empty))
            }
        };
        let Some(group) = group else {
            return;
        };
        if !record.is_tombstone() && group.consumer().is_none() {
            group.kind = Kind::Consumer(ConsumerGroup::default());
        }
        if let Some(consumer) = group.consumer_mut() {
            let changes = consumer.replay(record);
            self.topics.subscribe(&group_id, changes);
        }
    }

    fn remove_consumer_group(&mut self, group_id: &GroupId) {
        let Some(consumer) = self.consumer_group(group_id.as_str()) else {
            return;
        };
        let changes = TopicChanges {
            added: Vec::new(),
            removed: consumer.all_topics().into_iter().collect(),
        };
        self.topics.subscribe(group_id, changes);
        self.remove_members(group_id);
    }

    /// Removes the members of a group, and the group itself when it has no offsets.
    pub(super) fn remove_members(&mut self, group_id: &GroupId) {
        if let Some(group) = self.groups.get_mut(group_id) {
            group.kind = Group::empty().kind;
            if group.offsets.is_empty() && group.offsets.pending().is_empty() {
                self.groups.remove(group_id);
            }
        }
    }
}
