//! One step of a member towards its target assignment (Kafka's `CurrentAssignmentBuilder`).
//!
//! Invariant: a partition is assigned to a member only when no other member has it or has yet to
//! give it back, so no partition ever has two owners. A member gives back what it loses before its
//! epoch rises.

use std::collections::BTreeSet;
use std::sync::Arc;

use dohle_model::{PartitionIndex, TopicId};

use crate::modern::member::{Assignment, MemberState, ModernMember, Owned, Reported};
use crate::modern::owners::Owners;

/// The target of a reconciliation, and what the member reports.
#[derive(Debug)]
pub(crate) struct ReconcileTarget<'a> {
    /// The epoch of the target assignment.
    pub epoch: i32,
    /// The target of the member.
    pub assignment: Arc<Assignment>,
    /// The topics that the member subscribes to and that exist.
    pub subscribed: BTreeSet<TopicId>,
    /// Whether the member's subscription changes with this request.
    pub subscription_changed: bool,
    /// The partitions that the member reports to have; `None` when the request does not name them.
    pub reported: Option<&'a Reported>,
}

/// A newer coordinator left the member in a state that this version does not know. The member has
/// to give up its partitions and join again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct UnknownState;

/// Returns the member after one step; unchanged when it has to wait or has reached its target.
///
/// # Errors
/// When the state of the member is unknown, unless it reports to have no partitions.
pub(crate) fn reconcile(
    owners: &Owners,
    member: ModernMember,
    target: &ReconcileTarget<'_>,
) -> Result<ModernMember, UnknownState> {
    let epoch = member.member_epoch;
    match member.state {
        MemberState::Stable if epoch != target.epoch => Ok(next(owners, member, target, epoch)),
        MemberState::Stable if target.subscription_changed => Ok(unsubscribe(member, target)),
        MemberState::Stable => Ok(member),
        MemberState::UnrevokedPartitions => {
            if !target.may_have_any_of(&member.partitions_pending_revocation) {
                Ok(next(owners, member, target, epoch))
            } else if target.subscription_changed {
                Ok(unsubscribe(member, target))
            } else {
                Ok(member)
            }
        }
        MemberState::UnreleasedPartitions => Ok(next(owners, member, target, epoch)),
        MemberState::Unknown if target.reported.is_some_and(BTreeSet::is_empty) => {
            Ok(next(owners, member, target, target.epoch))
        }
        MemberState::Unknown => Err(UnknownState),
    }
}

impl ReconcileTarget<'_> {
    /// Returns whether the member may still have one of these partitions: it reports one of them,
    /// or its request reports no partitions at all.
    fn may_have_any_of(&self, revoked: &Owned) -> bool {
        let Some(reported) = self.reported else {
            return true;
        };
        let is_revoked = |(topic_id, partition): &(TopicId, PartitionIndex)| {
            let topic = revoked.get(topic_id);
            topic.is_some_and(|partitions| partitions.contains_key(partition))
        };
        reported.iter().any(is_revoked)
    }

    /// The partitions of a topic that the member should have.
    fn of(&self, topic_id: &TopicId) -> Option<&BTreeSet<PartitionIndex>> {
        let wanted = self.assignment.get(topic_id)?;
        self.subscribed.contains(topic_id).then_some(wanted)
    }
}

/// Takes away the topics that the member no longer subscribes to, and changes nothing else.
fn unsubscribe(mut member: ModernMember, target: &ReconcileTarget<'_>) -> ModernMember {
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
    if target.may_have_any_of(&revoked) {
        member.state = MemberState::UnrevokedPartitions;
        member.partitions_pending_revocation = revoked;
    }
    member.update_epoch(member.member_epoch);
    member.assigned_partitions = assigned;
    member
}

/// Takes away what the target lacks. When nothing is left to give back, raises the epoch to the
/// target's and adds the partitions of the target that no other member has.
fn next(
    owners: &Owners,
    mut member: ModernMember,
    target: &ReconcileTarget<'_>,
    epoch: i32,
) -> ModernMember {
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
    if !revoked.is_empty() && target.may_have_any_of(&revoked) {
        member.state = MemberState::UnrevokedPartitions;
        member.update_epoch(epoch);
        member.assigned_partitions = assigned;
        member.partitions_pending_revocation = revoked;
        assert_disjoint(&member);
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
            if is_free(owners, &member, *topic_id, *partition) {
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
    if member.state == MemberState::Stable {
        assert!(
            member.is_reconciled_to(target.epoch),
            "member {} is stable at epoch {}, and its target is of epoch {}",
            member.member_id,
            member.member_epoch,
            target.epoch
        );
    }
    member
}

/// No partition is both assigned to a member and to be given back by it.
fn assert_disjoint(member: &ModernMember) {
    for (topic_id, revoked) in &member.partitions_pending_revocation {
        let Some(assigned) = member.assigned_partitions.get(topic_id) else {
            continue;
        };
        for partition in revoked.keys() {
            assert!(
                !assigned.contains_key(partition),
                "member {} has and gives back {topic_id}-{partition}",
                member.member_id
            );
        }
    }
}

/// Returns whether a partition can be assigned to a member: no member has it, or the member itself
/// had to give it back.
fn is_free(
    owners: &Owners,
    member: &ModernMember,
    topic_id: TopicId,
    partition: PartitionIndex,
) -> bool {
    let own = member.partitions_pending_revocation.get(&topic_id);
    owners.get(topic_id, partition).is_none() || own.is_some_and(|own| own.contains_key(&partition))
}
