//! Replay of the records of a consumer group.
//!
//! A compacted log lacks records, and a log that Kafka wrote has records of all its versions, so a
//! record that does not fit the group is ignored.

use crate::ids::MemberId;
use crate::modern::consumer::group::{ConsumerGroup, Resolved};
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::member::{MemberState, Owned, assignment_of_record};
use crate::modern::topics::TopicChanges;
use crate::records::Record;

/// The epoch of a member or a target assignment whose record was deleted.
const UNKNOWN_EPOCH: i32 = -1;

impl ConsumerGroup {
    /// Applies a record of the group. Returns the topics that the group newly subscribes to, and
    /// those that it no longer subscribes to. The caller deletes the whole group where a record
    /// requires it.
    pub(crate) fn replay(&mut self, record: Record) -> TopicChanges {
        match record {
            Record::ConsumerMember(_, member_id, Some(value)) => {
                return self.change_member(member_id, |member| member.set_subscription(value));
            }
            Record::ConsumerMember(_, member_id, None) => return self.remove_member(&member_id),
            Record::ConsumerCurrent(_, member_id, Some(value)) => {
                return self.change_member(member_id, |member| member.set_current(value));
            }
            Record::ConsumerCurrent(_, member_id, None) => {
                if let Some(member) = self.member(member_id.as_str()) {
                    return self.update_member(without_current(member.clone()));
                }
            }
            Record::ConsumerRegex(_, regex, value) => {
                return self.set_resolved(regex, value.map(Resolved::from));
            }
            Record::ConsumerGroup(_, Some(value)) => {
                self.common.group_epoch = value.epoch;
                self.common.metadata_hash = value.metadata_hash;
            }
            Record::ConsumerTarget(_, Some(value)) => {
                self.common.target.epoch = value.assignment_epoch;
                self.common.target.timestamp = value.assignment_timestamp;
            }
            Record::ConsumerTarget(_, None) => {
                self.common.target.epoch = UNKNOWN_EPOCH;
                self.common.target.timestamp = None;
            }
            Record::ConsumerTargetMember(_, member_id, Some(topics)) => {
                let assignment = assignment_of_record(topics);
                self.common.target.set(member_id, assignment);
            }
            Record::ConsumerTargetMember(_, member_id, None) => {
                self.common.target.remove(member_id.as_str());
            }
            Record::ConsumerPartitionMetadata(_, value) => {
                self.has_partition_metadata = value.is_some();
            }
            Record::ConsumerGroup(_, None) | Record::Offset(..) | Record::Classic(..) => {}
        }
        TopicChanges::default()
    }

    /// Changes a member, which is created when it does not exist.
    fn change_member(
        &mut self,
        member_id: MemberId,
        change: impl FnOnce(&mut ConsumerMember),
    ) -> TopicChanges {
        let known = self.member(member_id.as_str()).cloned();
        let mut member = known.unwrap_or_else(|| ConsumerMember::new(member_id));
        change(&mut member);
        self.update_member(member)
    }
}

/// The member after the record with its epoch and partitions was deleted.
fn without_current(mut member: ConsumerMember) -> ConsumerMember {
    member.common.member_epoch = UNKNOWN_EPOCH;
    member.common.previous_member_epoch = UNKNOWN_EPOCH;
    member.common.state = MemberState::Stable;
    member.common.assigned_partitions = Owned::new();
    member.common.partitions_pending_revocation = Owned::new();
    member
}
