//! `uniform` for members that subscribe to the same topics: each member keeps its partitions up to
//! its share, and the others go to members with less than their share. Shares differ by at most
//! one.

use std::collections::VecDeque;
use std::sync::Arc;

use dohle_model::{PartitionIndex, TopicId};

use super::{GroupAssignment, GroupSpec};
use crate::ids::MemberId;
use crate::modern::member::Assignment;

pub(super) fn assign(spec: &GroupSpec) -> GroupAssignment {
    let Some(topics) = spec.members.values().next().map(|m| m.topics.clone()) else {
        return GroupAssignment::new();
    };
    if topics.is_empty() {
        return GroupAssignment::new();
    }
    let owners = spec.owners();
    let mut unassigned: VecDeque<(TopicId, PartitionIndex)> = VecDeque::new();
    let mut total: usize = 0;
    for topic_id in topics.iter() {
        for partition in (0..spec.count(*topic_id)).map(PartitionIndex) {
            total += 1;
            if !owners.contains(&(*topic_id, partition)) {
                unassigned.push_back((*topic_id, partition));
            }
        }
    }
    let fits = |topic_id: &TopicId, partition: &PartitionIndex| {
        topics.contains(topic_id) && partition.0 < spec.count(*topic_id)
    };
    let share = total / spec.members.len();
    let mut extra = Extra::new(spec, share, total % spec.members.len(), fits);
    let mut assigned = GroupAssignment::new();
    let mut unfilled: Vec<(&MemberId, usize)> = Vec::new();
    for (member_id, member) in &spec.members {
        let has = held(&member.assignment, fits);
        let quota = share + usize::from(extra.take(has > share));
        let (kept, left) = keep(&member.assignment, quota, fits, &mut unassigned);
        if left > 0 {
            unfilled.push((member_id, left));
        }
        assigned.insert(member_id.clone(), kept);
    }
    for (member_id, left) in unfilled {
        let more: Vec<_> = unassigned.drain(..left.min(unassigned.len())).collect();
        if let Some(assignment) = assigned.get_mut(member_id).filter(|_| !more.is_empty()) {
            let assignment = Arc::make_mut(assignment);
            for (topic_id, partition) in more {
                assignment.entry(topic_id).or_default().insert(partition);
            }
        }
    }
    assert!(unassigned.is_empty(), "partitions were left unassigned");
    assigned
}

/// The number of members that get one partition more than the others. Members that have more than
/// the share come first, so that fewer partitions move.
struct Extra {
    for_holders: usize,
    for_others: usize,
}

impl Extra {
    fn new(
        spec: &GroupSpec,
        share: usize,
        extra: usize,
        fits: impl Fn(&TopicId, &PartitionIndex) -> bool + Copy,
    ) -> Self {
        let members = spec.members.values();
        let holders = members
            .filter(|m| held(&m.assignment, fits) > share)
            .count();
        let for_holders = holders.min(extra);
        Self {
            for_holders,
            for_others: extra - for_holders,
        }
    }

    fn take(&mut self, is_holder: bool) -> bool {
        let left = match is_holder {
            true => &mut self.for_holders,
            false => &mut self.for_others,
        };
        let given = *left > 0;
        *left = left.saturating_sub(1);
        given
    }
}

fn held(assignment: &Assignment, fits: impl Fn(&TopicId, &PartitionIndex) -> bool) -> usize {
    let topics = assignment.iter();
    topics
        .map(|(topic_id, partitions)| partitions.iter().filter(|p| fits(topic_id, p)).count())
        .sum()
}

/// The part of an assignment that a member keeps, and the rest of its quota. Partitions above the
/// quota become unassigned.
fn keep(
    assignment: &Arc<Assignment>,
    mut quota: usize,
    fits: impl Fn(&TopicId, &PartitionIndex) -> bool,
    unassigned: &mut VecDeque<(TopicId, PartitionIndex)>,
) -> (Arc<Assignment>, usize) {
    let mut lost: Vec<(TopicId, PartitionIndex)> = Vec::new();
    for (topic_id, partitions) in assignment.iter() {
        for partition in partitions {
            if !fits(topic_id, partition) {
                lost.push((*topic_id, *partition));
            } else if quota > 0 {
                quota -= 1;
            } else {
                lost.push((*topic_id, *partition));
                unassigned.push_back((*topic_id, *partition));
            }
        }
    }
    let mut kept = assignment.clone();
    if !lost.is_empty() {
        let changed = Arc::make_mut(&mut kept);
        for (topic_id, partition) in lost {
            if let Some(partitions) = changed.get_mut(&topic_id) {
                partitions.remove(&partition);
                if partitions.is_empty() {
                    changed.remove(&topic_id);
                }
            }
        }
    }
    (kept, quota)
}
