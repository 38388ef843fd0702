//! Assignors compute which member of a group should have which partition. They are pure functions
//! of the subscriptions, the topics, and the present target assignment.

mod heterogeneous;
mod range;
mod uniform;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dohle_model::{PartitionIndex, TopicId};

use crate::ids::{InstanceId, MemberId};
use crate::modern::member::Assignment;

/// The assignors, with Kafka's names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignor {
    /// Balances all partitions over all members, and moves as few partitions as possible.
    Uniform,
    /// Gives each member a run of neighbouring partitions of each topic, the same run of topics
    /// with equally many partitions.
    Range,
}

/// What an assignor sees of a member.
#[derive(Debug, Clone)]
pub struct MemberSpec {
    /// `group.instance.id`.
    pub instance_id: Option<InstanceId>,
    /// The topics that it subscribes to and that exist.
    pub topics: Arc<BTreeSet<TopicId>>,
    /// Its present target assignment.
    pub assignment: Arc<Assignment>,
}

/// What an assignor sees of a group.
#[derive(Debug, Clone, Default)]
pub struct GroupSpec {
    /// The members.
    pub members: BTreeMap<MemberId, MemberSpec>,
    /// The number of partitions of each topic that members subscribe to.
    pub partitions: BTreeMap<TopicId, i32>,
    /// Whether all members subscribe to the same topics.
    pub homogeneous: bool,
}

/// The target assignment of each member.
pub type GroupAssignment = BTreeMap<MemberId, Arc<Assignment>>;

impl Assignor {
    /// The assignor with this name.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        match name {
            "uniform" => Some(Self::Uniform),
            "range" => Some(Self::Range),
            _ => None,
        }
    }

    /// Kafka's name of the assignor.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Range => "range",
        }
    }

    /// Computes a target assignment. Each partition of a topic that members subscribe to is
    /// assigned to one of these members.
    #[must_use]
    pub fn assign(self, spec: &GroupSpec) -> GroupAssignment {
        let assigned = match self {
            _ if spec.members.is_empty() => GroupAssignment::new(),
            Self::Uniform if spec.homogeneous => uniform::assign(spec),
            Self::Uniform => heterogeneous::assign(spec),
            Self::Range => range::assign(spec),
        };
        spec.assert_valid(&assigned);
        assigned
    }
}

impl GroupSpec {
    /// An assignment gives topics to members of the group that subscribe to them, and no more
    /// partitions than the topics have.
    fn assert_valid(&self, assigned: &GroupAssignment) {
        let mut partitions = 0;
        for (member_id, assignment) in assigned {
            let member = self.members.get(member_id);
            assert!(
                member.is_some(),
                "{member_id} has a target and is not a member"
            );
            for (topic_id, indexes) in assignment.iter() {
                assert!(
                    member.is_some_and(|member| member.topics.contains(topic_id)),
                    "{member_id} gets partitions of {topic_id} and does not subscribe to it"
                );
                partitions += indexes.len();
            }
        }
        let all = self.partitions.values();
        let all: usize = all.map(|count| usize::try_from(*count).unwrap_or(0)).sum();
        assert!(
            partitions <= all,
            "{partitions} of {all} partitions are assigned"
        );
    }

    /// How many partitions a topic has.
    fn count(&self, topic_id: TopicId) -> i32 {
        self.partitions.get(&topic_id).copied().unwrap_or(0)
    }

    /// The partitions that the present targets assign.
    fn owners(&self) -> BTreeSet<(TopicId, PartitionIndex)> {
        let assignments = self.members.values().flat_map(|m| m.assignment.iter());
        assignments
            .flat_map(|(topic_id, partitions)| partitions.iter().map(|p| (*topic_id, *p)))
            .collect()
    }
}
