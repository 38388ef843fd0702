//! Replay of the records of consumer groups. Nothing of it fails: logs come from compaction with
//! records missing, and from Kafka with records of all its versions. What does not fit is left out.

use crate::ids::{GroupId, MemberId};
use crate::modern::consumer::group::{ConsumerGroup, Resolved};
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::member::{MemberState, Owned, assignment_of_record};
use crate::modern::topics::TopicChanges;
use crate::records::Record;
use crate::shard::{Group, Kind, Shard};

/// The epoch of a member that nothing current is known of.
const UNKNOWN_EPOCH: i32 = -1;

impl Shard {
    /// Makes a record of a consumer group part of the state.
    pub(crate) fn replay_consumer(&mut self, record: Record) {
        match record {
            Record::ConsumerGroup(group_id, Some(value)) => {
                let group = self.consumer_group(group_id);
                group.common.group_epoch = value.epoch;
                group.common.metadata_hash = value.metadata_hash;
            }
            Record::ConsumerGroup(group_id, None) => self.remove_consumer_group(&group_id),
            Record::ConsumerMember(group_id, member_id, Some(value)) => {
                self.replay_member(group_id, member_id, |member| member.set_subscription(value));
            }
            Record::ConsumerMember(group_id, member_id, None) => {
                self.change(&group_id, |group| group.remove_member(&member_id));
            }
            Record::ConsumerCurrent(group_id, member_id, Some(value)) => {
                self.replay_member(group_id, member_id, |member| member.set_current(value));
            }
            Record::ConsumerCurrent(group_id, member_id, None) => {
                self.change(&group_id, |group| match group.member(member_id.as_str()) {
                    Some(member) => group.update_member(displaced(member.clone())),
                    None => TopicChanges::default(),
                });
            }
            Record::ConsumerTarget(group_id, Some(value)) => {
                let group = self.consumer_group(group_id);
                group.common.target.epoch = value.assignment_epoch;
                group.common.target.timestamp = value.assignment_timestamp;
            }
            Record::ConsumerTarget(group_id, None) => self.change(&group_id, |group| {
                group.common.target.epoch = UNKNOWN_EPOCH;
                group.common.target.timestamp = None;
                TopicChanges::default()
            }),
            Record::ConsumerTargetMember(group_id, member_id, Some(topics)) => {
                let group = self.consumer_group(group_id);
                group
                    .common
                    .target
                    .set(member_id, assignment_of_record(topics));
            }
            Record::ConsumerTargetMember(group_id, member_id, None) => {
                self.change(&group_id, |group| {
                    group.common.target.remove(member_id.as_str());
                    TopicChanges::default()
                });
            }
            Record::ConsumerRegex(group_id, regex, value) => {
                if value.is_some() {
                    self.consumer_group(group_id.clone());
                }
                let resolved = value.map(Resolved::from);
                self.change(&group_id, |group| group.set_resolved(regex, resolved));
            }
            Record::ConsumerPartitionMetadata(group_id, value) => {
                if value.is_some() {
                    self.consumer_group(group_id.clone());
                }
                self.change(&group_id, |group| {
                    group.has_partition_metadata = value.is_some();
                    TopicChanges::default()
                });
            }
            Record::Offset(..) | Record::Classic(..) => {}
        }
    }

    fn replay_member(
        &mut self,
        group_id: GroupId,
        member_id: MemberId,
        change: impl FnOnce(&mut ConsumerMember),
    ) {
        let group = self.consumer_group(group_id.clone());
        let known = group.member(member_id.as_str()).cloned();
        let mut member = known.unwrap_or_else(|| ConsumerMember::new(member_id));
        change(&mut member);
        self.change(&group_id, |group| group.update_member(member));
    }

    /// The group with this id, which is one of the consumer protocol from here on.
    fn consumer_group(&mut self, group_id: GroupId) -> &mut ConsumerGroup {
        let group = self.groups.entry(group_id).or_insert_with(Group::empty);
        if let Kind::Classic(_) = group.kind {
            group.kind = Kind::Consumer(ConsumerGroup::default());
        }
        match &mut group.kind {
            Kind::Consumer(group) => group,
            Kind::Classic(_) => unreachable!("it was made one of the consumer protocol"),
        }
    }

    /// Changes a group, if there is one with this id.
    fn change(
        &mut self,
        group_id: &GroupId,
        change: impl FnOnce(&mut ConsumerGroup) -> TopicChanges,
    ) {
        let group = self.groups.get_mut(group_id);
        if let Some(Kind::Consumer(group)) = group.map(|group| &mut group.kind) {
            let changes = change(group);
            self.topics.subscribe(group_id, changes);
        }
    }

    /// A group was deleted, or goes over to the classic protocol. Its offsets stay.
    fn remove_consumer_group(&mut self, group_id: &GroupId) {
        let Some(group) = self.groups.get_mut(group_id) else {
            return;
        };
        let Kind::Consumer(consumer) = &group.kind else {
            return;
        };
        let removed = consumer.all_topics().into_iter().collect();
        let changes = TopicChanges {
            added: Vec::new(),
            removed,
        };
        self.topics.subscribe(group_id, changes);
        group.kind = Group::empty().kind;
        if group.offsets.is_empty() {
            self.groups.remove(group_id);
        }
    }
}

/// A member that nothing current is known of.
fn displaced(mut member: ConsumerMember) -> ConsumerMember {
    member.common.member_epoch = UNKNOWN_EPOCH;
    member.common.previous_member_epoch = UNKNOWN_EPOCH;
    member.common.state = MemberState::Stable;
    member.common.assigned_partitions = Owned::new();
    member.common.partitions_pending_revocation = Owned::new();
    member
}
