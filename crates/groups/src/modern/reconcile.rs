//! One step of a member towards its target assignment.
//!
//! Invariant: a partition is given to a member only when nobody else has it, or has yet to give it
//! back; so no partition is ever owned by two. What a member loses it gives back before its epoch
//! rises.

use std::collections::BTreeSet;
use std::sync::Arc;

use dohle_model::{ErrorCode, PartitionIndex, TopicId};

use crate::modern::consumer::group::ConsumerGroup;
use crate::modern::member::{Assignment, ConsumerMember, MemberState, Owned};
use crate::step::Failed;

/// What a member is reconciled with.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    /// The epoch of the target assignment.
    pub epoch: i32,
    /// What it gives to the member.
    pub assignment: Arc<Assignment>,
    /// The topics that the member subscribes to and that exist.
    pub subscribed: BTreeSet<TopicId>,
    /// Whether the member's subscription changed with this request.
    pub subscription_changed: bool,
    /// The partitions that the member says it has; none when it does not say.
    pub reported: Option<&'a Reported>,
}

/// The partitions that a member says it has.
pub(crate) type Reported = BTreeSet<(TopicId, PartitionIndex)>;

/// The member after one step, the same when it can't go on.
///
/// # Errors
/// FENCED_MEMBER_EPOCH when a newer coordinator left the member in a state that is unknown here.
pub(crate) fn reconcile(
    group: &ConsumerGroup,
    member: ConsumerMember,
    target: &Target<'_>,
) -> Result<ConsumerMember, Failed> {
    let epoch = member.member_epoch;
    match member.state {
        MemberState::Stable if epoch != target.epoch => Ok(next(group, member, target, epoch)),
        MemberState::Stable if target.subscription_changed => Ok(narrow(member, target)),
        MemberState::Stable => Ok(member),
        MemberState::UnrevokedPartitions => {
            if !target.has_any_of(&member.partitions_pending_revocation) {
                Ok(next(group, member, target, epoch))
            } else if target.subscription_changed {
                Ok(narrow(member, target))
            } else {
                Ok(member)
            }
        }
        MemberState::UnreleasedPartitions => Ok(next(group, member, target, epoch)),
        MemberState::Unknown if target.reported.is_some_and(BTreeSet::is_empty) => {
            Ok(next(group, member, target, target.epoch))
        }
        MemberState::Unknown => Err(Failed::because(
            ErrorCode::FencedMemberEpoch,
            "The consumer group member is in a unknown state. The member must abandon all its \
             partitions and rejoin.",
        )),
    }
}

impl Target<'_> {
    /// Whether the member still has any of these, as far as is known.
    fn has_any_of(&self, revoked: &Owned) -> bool {
        let Some(reported) = self.reported else {
            return true;
        };
        let is_revoked = |(topic_id, partition): &(TopicId, PartitionIndex)| {
            let topic = revoked.get(topic_id);
            topic.is_some_and(|partitions| partitions.contains_key(partition))
        };
        reported.iter().any(is_revoked)
    }
}

/// Takes away the topics that the member no longer subscribes to, and nothing else.
fn narrow(mut member: ConsumerMember, target: &Target<'_>) -> ConsumerMember {
    let is_subscribed = |topic_id: &TopicId, _: &mut _| target.subscribed.contains(topic_id);
    let mut assigned = member.assigned_partitions.clone();
    assigned.retain(is_subscribed);
    if assigned.len() == member.assigned_partitions.len() {
        return member;
    }
    let mut revoked = member.partitions_pending_revocation.clone();
    for (topic_id, partitions) in &member.assigned_partitions {
        if !target.subscribed.contains(topic_id) {
            revoked.entry(*topic_id).or_default().extend(partitions);
        }
    }
    if target.has_any_of(&revoked) {
        member.state = MemberState::UnrevokedPartitions;
        member.partitions_pending_revocation = revoked;
    }
    member.update_epoch(member.member_epoch);
    member.assigned_partitions = assigned;
    member
}

/// The next state on the way to the target.
fn next(
    group: &ConsumerGroup,
    mut member: ConsumerMember,
    target: &Target<'_>,
    epoch: i32,
) -> ConsumerMember {
    let mut assigned = Owned::new();
    let mut revoked = Owned::new();
    for (topic_id, partitions) in &member.assigned_partitions {
        let wanted = target.of(topic_id);
        for (partition, since) in partitions {
            let stays = wanted.is_some_and(|wanted| wanted.contains(partition));
            let to = if stays { &mut assigned } else { &mut revoked };
            to.entry(*topic_id).or_default().insert(*partition, *since);
        }
    }
    if !revoked.is_empty() && target.has_any_of(&revoked) {
        member.state = MemberState::UnrevokedPartitions;
        member.update_epoch(epoch);
        member.assigned_partitions = assigned;
        member.partitions_pending_revocation = revoked;
        return member;
    }
    let mut unreleased = false;
    for (topic_id, wanted) in target.assignment.iter() {
        if !target.subscribed.contains(topic_id) {
            continue;
        }
        for partition in wanted {
            let has = assigned.get(topic_id);
            if has.is_some_and(|has| has.contains_key(partition)) {
                continue;
            }
            if is_free(group, &member, *topic_id, *partition) {
                let to = assigned.entry(*topic_id).or_default();
                to.insert(*partition, target.epoch);
            } else {
                unreleased = true;
            }
        }
    }
    member.state = match unreleased {
        true => MemberState::UnreleasedPartitions,
        false => MemberState::Stable,
    };
    member.update_epoch(target.epoch);
    member.assigned_partitions = assigned;
    member.partitions_pending_revocation = Owned::new();
    member
}

/// Whether a member can have a partition: nobody has it, or it is what the member itself was to
/// give back.
fn is_free(
    group: &ConsumerGroup,
    member: &ConsumerMember,
    topic_id: TopicId,
    partition: PartitionIndex,
) -> bool {
    let own = member.partitions_pending_revocation.get(&topic_id);
    group.owner(topic_id, partition).is_none()
        || own.is_some_and(|own| own.contains_key(&partition))
}

impl Target<'_> {
    /// What the member should have of a topic.
    fn of(&self, topic_id: &TopicId) -> Option<&BTreeSet<PartitionIndex>> {
        let wanted = self.assignment.get(topic_id)?;
        self.subscribed.contains(topic_id).then_some(wanted)
    }
}
