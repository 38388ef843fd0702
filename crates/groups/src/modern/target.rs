//! The target assignment of a group: what each member should have.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::{PartitionIndex, Timestamp, TopicId};

use crate::ids::MemberId;
use crate::modern::assignor::{GroupAssignment, GroupSpec, MemberSpec};
use crate::modern::group::FIRST_EPOCH;
use crate::modern::member::Assignment;

/// The target assignment.
#[derive(Debug)]
pub(crate) struct TargetAssignment {
    /// The group epoch that it was computed for; -1 after its record was deleted.
    pub epoch: i32,
    /// When it was computed (KIP-1263).
    pub timestamp: Option<Timestamp>,
    members: HashMap<MemberId, Arc<Assignment>>,
}

impl Default for TargetAssignment {
    fn default() -> Self {
        Self {
            epoch: FIRST_EPOCH,
            timestamp: None,
            members: HashMap::new(),
        }
    }
}

impl TargetAssignment {
    /// What a member should have.
    pub fn get(&self, member_id: &str) -> Option<&Arc<Assignment>> {
        self.members.get(member_id)
    }

    /// The members that have a target, by id.
    pub fn members(&self) -> impl Iterator<Item = &MemberId> {
        let mut members: Vec<&MemberId> = self.members.keys().collect();
        members.sort_unstable();
        members.into_iter()
    }

    /// Sets what a member should have.
    pub fn set(&mut self, member_id: MemberId, assignment: Assignment) {
        self.members.insert(member_id, Arc::new(assignment));
    }

    /// Removes a member's target.
    pub fn remove(&mut self, member_id: &str) {
        self.members.remove(member_id);
    }

    /// Whether `interval` has passed since the target was computed (KIP-1263). While it has not, a
    /// later request of any member computes the next one.
    pub fn may_be_replaced(&self, interval: Duration, wall: Timestamp) -> bool {
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        match self.timestamp {
            None | Some(Timestamp(0)) => true,
            // A clock that was set back must not delay the next target.
            Some(computed) => {
                let age = wall.0.saturating_sub(computed.0);
                age < 0 || age >= interval
            }
        }
    }

    /// The members whose target a new assignment changes, with the new target.
    pub fn changed_by<'a>(
        &'a self,
        new: &'a GroupAssignment,
    ) -> impl Iterator<Item = (&'a MemberId, &'a Arc<Assignment>)> {
        new.iter().filter(|(member_id, assignment)| {
            let old = self.members.get(*member_id);
            !old.is_some_and(|old| Arc::ptr_eq(old, assignment) || old == *assignment)
        })
    }
}

/// Returns the assignor's input: the members, and the partitions of their topics. `subscriptions`
/// has each set of topics that members subscribe to, once.
pub(crate) fn group_spec<'a>(
    members: impl IntoIterator<Item = (MemberId, MemberSpec)>,
    subscriptions: impl IntoIterator<Item = &'a Arc<BTreeSet<TopicId>>>,
    image: &MetadataImage,
) -> GroupSpec {
    let mut spec = GroupSpec {
        members: members.into_iter().collect(),
        homogeneous: true,
        ..GroupSpec::default()
    };
    let mut taken = HashSet::new();
    for member in spec.members.values_mut() {
        keep_distinct(&mut member.assignment, &mut taken);
    }
    let assigned = spec.members.values().flat_map(|it| it.assignment.values());
    let assigned: usize = assigned.map(BTreeSet::len).sum();
    assert_eq!(
        assigned,
        taken.len(),
        "partitions that members have, and different ones"
    );
    let mut first = None;
    for topics in subscriptions {
        spec.homogeneous &= *first.get_or_insert(topics) == topics;
        for topic_id in topics.iter() {
            let partitions = image.topics.get(topic_id).map_or(0, |t| t.partitions.len());
            let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
            spec.partitions.insert(*topic_id, partitions);
        }
    }
    spec
}

/// Removes partitions that another member has too, and indexes below zero. Targets come from the
/// log, and assignors rely on each partition being assigned once.
fn keep_distinct(assignment: &mut Arc<Assignment>, taken: &mut HashSet<(TopicId, PartitionIndex)>) {
    let mut surplus = Vec::new();
    for (topic_id, partitions) in assignment.iter() {
        for partition in partitions {
            if partition.0 < 0 || !taken.insert((*topic_id, *partition)) {
                surplus.push((*topic_id, *partition));
            }
        }
    }
    // A valid assignment keeps its address, because assignors compare addresses first.
    for (topic_id, partition) in surplus {
        let assignment = Arc::make_mut(assignment);
        if let Some(partitions) = assignment.get_mut(&topic_id) {
            partitions.remove(&partition);
            if partitions.is_empty() {
                assignment.remove(&topic_id);
            }
        }
    }
}
