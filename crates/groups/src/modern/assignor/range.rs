//! `range`: each member, in order, gets a run of neighbouring partitions of each topic. Topics with
//! equally many partitions and the same members are divided at the same places, so that records
//! with the same key are consumed by the same member. Static members come first, in the order of
//! their instance ids, so that their runs do not change when dynamic members join.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_model::{PartitionIndex, TopicId};

use super::{GroupAssignment, GroupSpec, MemberSpec};
use crate::ids::MemberId;
use crate::modern::member::Assignment;

/// The division of a topic among its subscribers.
struct Cut {
    partitions: i32,
    members: i32,
    extra_left: i32,
    next: i32,
}

pub(super) fn assign(spec: &GroupSpec) -> GroupAssignment {
    let mut members: Vec<(&MemberId, &MemberSpec)> = spec.members.iter().collect();
    members.sort_by(|a, b| order(*a, *b));
    let mut cuts: BTreeMap<TopicId, Cut> = BTreeMap::new();
    for (_, member) in &members {
        for topic_id in member.topics.iter() {
            let cut = cuts.entry(*topic_id).or_insert_with(|| Cut {
                partitions: spec.count(*topic_id),
                members: 0,
                extra_left: 0,
                next: 0,
            });
            cut.members += 1;
        }
    }
    for cut in cuts.values_mut() {
        cut.extra_left = cut.partitions % cut.members;
    }
    let mut assigned = GroupAssignment::new();
    for (member_id, member) in members {
        let mut assignment = Assignment::new();
        for topic_id in member.topics.iter() {
            let Some(cut) = cuts.get_mut(topic_id) else {
                continue;
            };
            let run = cut.take();
            if !run.is_empty() {
                let run = run.map(PartitionIndex).collect();
                assignment.insert(*topic_id, run);
            }
        }
        assigned.insert(member_id.clone(), Arc::new(assignment));
    }
    assigned
}

impl Cut {
    /// Returns the next member's run.
    fn take(&mut self) -> std::ops::Range<i32> {
        let mut quota = self.partitions / self.members;
        if self.extra_left > 0 {
            quota += 1;
            self.extra_left -= 1;
        }
        let start = self.next;
        self.next = (start + quota).min(self.partitions);
        start..self.next
    }
}

fn order(a: (&MemberId, &MemberSpec), b: (&MemberId, &MemberSpec)) -> Ordering {
    match (&a.1.instance_id, &b.1.instance_id) {
        (Some(a), Some(b)) => a.cmp(b),
        (Some(_), None) => Ordering::Less,
        (None, Some(_)) => Ordering::Greater,
        (None, None) => a.0.cmp(b.0),
    }
}
