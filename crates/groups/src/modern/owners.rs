//! The owner of each partition.

use std::collections::HashMap;

use dohle_model::{PartitionIndex, TopicId};

use crate::ids::MemberId;
use crate::modern::member::ModernMember;

/// For each partition the member that it is assigned to, or that has yet to give it back.
///
/// Invariant: a partition has at most one owner. Derived from the members of the group.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    by_topic: HashMap<TopicId, HashMap<PartitionIndex, MemberId>>,
}

impl Owners {
    /// The owner of a partition.
    pub fn get(&self, topic_id: TopicId, partition: PartitionIndex) -> Option<&MemberId> {
        self.by_topic.get(&topic_id)?.get(&partition)
    }

    /// Records a member as the owner of its partitions.
    pub fn add(&mut self, member: &ModernMember) {
        for (topic_id, partition) in member.all_partitions() {
            let owners = self.by_topic.entry(topic_id).or_default();
            owners.insert(partition, member.member_id.clone());
        }
    }

    /// Removes a member as the owner of its partitions. Partitions that another member owns by now
    /// stay with that member.
    pub fn remove(&mut self, member: &ModernMember) {
        for (topic_id, partition) in member.all_partitions() {
            let Some(owners) = self.by_topic.get_mut(&topic_id) else {
                continue;
            };
            assert!(!owners.is_empty(), "topic {topic_id} is without owners");
            if owners.get(&partition) == Some(&member.member_id) {
                owners.remove(&partition);
            }
            if owners.is_empty() {
                self.by_topic.remove(&topic_id);
            }
        }
    }
}
