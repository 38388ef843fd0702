//! ConsumerGroupDescribe, versions 0 to 1: a group, and its members with their present and target
//! assignments.

use std::collections::BTreeMap;

use dohle_model::ErrorCode;
use dohle_model::image::MetadataImage;
use dohle_model::{PartitionIndex, TopicId};
use dohle_protocol::messages::consumer_group_describe_response::{
    Assignment as DescribedAssignment, DescribedGroup, Member, TopicPartitions,
};

use crate::Step;
use crate::modern::consumer::group::ConsumerGroup;
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::consumer::subscription::preferred;
use crate::modern::member::{Assignment, MemberState};
use crate::waiting::Waiting;
use crate::wire::{text, topic_id_to_wire};

/// The value when the request does not ask for the authorized operations.
const NO_AUTHORIZED_OPERATIONS: i32 = i32::MIN;

/// The description of a group that does not exist, or is not a consumer group.
pub(crate) fn not_found(group_id: &str, message: &str) -> DescribedGroup {
    DescribedGroup {
        error_code: ErrorCode::GroupIdNotFound.code(),
        error_message: Some(text(message)),
        group_id: text(group_id),
        authorized_operations: NO_AUTHORIZED_OPERATIONS,
        ..DescribedGroup::default()
    }
}

impl ConsumerGroup {
    /// The description for ConsumerGroupDescribe.
    pub(crate) fn describe(&self, group_id: &str, step: &Step<'_>) -> DescribedGroup {
        let assignor = preferred(&step.config.group_consumer_assignors, self.assignors());
        let members = self.members().values();
        DescribedGroup {
            group_id: text(group_id),
            group_state: text(self.state().name()),
            group_epoch: self.group_epoch(),
            assignment_epoch: self.assignment_epoch(),
            assignor_name: text(assignor.name()),
            members: members
                .map(|member| {
                    let target = self.target(member.id().as_str());
                    describe_member(member, target.map(AsRef::as_ref), step.image)
                })
                .collect(),
            authorized_operations: NO_AUTHORIZED_OPERATIONS,
            ..DescribedGroup::default()
        }
    }
}

impl ConsumerGroup {
    /// Returns what a member waits for, or the group for it.
    pub(crate) fn waiting(&self, member: &ConsumerMember) -> Option<Waiting> {
        match member.common.state {
            MemberState::UnrevokedPartitions => Some(Waiting::ToGiveBack),
            MemberState::UnreleasedPartitions => Some(Waiting::ForPartitions),
            MemberState::Unknown => Some(Waiting::ToJoin),
            MemberState::Stable => {
                let is_behind = member.common.member_epoch < self.assignment_epoch();
                is_behind.then_some(Waiting::ToHeartbeat)
            }
        }
    }
}

fn describe_member(
    member: &ConsumerMember,
    target: Option<&Assignment>,
    image: &MetadataImage,
) -> Member {
    let mut has: BTreeMap<TopicId, Vec<PartitionIndex>> = BTreeMap::new();
    for (topic_id, partition) in member.common.all_partitions() {
        has.entry(topic_id).or_default().push(partition);
    }
    let target = target.into_iter().flatten();
    let target = target.map(|(id, partitions)| (*id, partitions.iter().copied().collect()));
    let topics = member.common.subscribed_topic_names.iter();
    Member {
        member_id: text(member.id().as_str()),
        instance_id: member
            .common
            .instance_id
            .as_ref()
            .map(|id| text(id.as_str())),
        rack_id: member.common.rack_id.as_deref().map(text),
        member_epoch: member.common.member_epoch,
        client_id: text(&member.common.client_id),
        client_host: text(&member.common.client_host),
        subscribed_topic_names: topics.map(|topic| text(topic)).collect(),
        subscribed_topic_regex: Some(text(&member.subscribed_topic_regex)),
        assignment: describe_assignment(has, image),
        target_assignment: describe_assignment(target, image),
        member_type: i8::from(!member.uses_classic_protocol()),
        ..Member::default()
    }
}

/// The form of an assignment in the response. Deleted topics are left out.
fn describe_assignment(
    topics: impl IntoIterator<Item = (TopicId, Vec<PartitionIndex>)>,
    image: &MetadataImage,
) -> DescribedAssignment {
    let topics = topics.into_iter();
    let topic_partitions = topics
        .filter_map(|(topic_id, mut partitions)| {
            partitions.sort_unstable();
            Some(TopicPartitions {
                topic_id: topic_id_to_wire(topic_id),
                topic_name: text(image.topics.get(&topic_id)?.name.as_str()),
                partitions: partitions
                    .into_iter()
                    .map(|partition| partition.0)
                    .collect(),
                ..TopicPartitions::default()
            })
        })
        .collect();
    DescribedAssignment {
        topic_partitions,
        ..DescribedAssignment::default()
    }
}
