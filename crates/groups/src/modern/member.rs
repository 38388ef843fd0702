//! The part of a member that all modern protocols share: ids, subscribed topics, epochs and
//! partitions.

use std::collections::{BTreeMap, BTreeSet};

use dohle_model::{PartitionIndex, TopicId};

use crate::ids::{InstanceId, MemberId};
use crate::records::TopicPartitions;

/// Partitions by topic: what an assignor gives to a member.
pub type Assignment = BTreeMap<TopicId, BTreeSet<PartitionIndex>>;

/// Partitions by topic, each with the member epoch at which it was assigned (KIP-1251).
pub type Owned = BTreeMap<TopicId, BTreeMap<PartitionIndex, i32>>;

/// The partitions that a member reports to have.
pub(crate) type Reported = BTreeSet<(TopicId, PartitionIndex)>;

/// The progress of a member towards its target assignment.
///
/// ```text
///              a newer target takes something away
///     Stable -------------------------------------> UnrevokedPartitions
///      |  ^                                                 |
///      |  |  nothing is missing                             | the member gave it back
///      |  +-----------------------------+-------------------+
///      |                                |                   |
///      |  a newer target adds what      |                   | others still have what it gets
///      |  others still have             |                   v
///      +-----------------------------> UnreleasedPartitions
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemberState {
    /// It has the target assignment of its epoch.
    #[default]
    Stable,
    /// It has to give something back before its epoch rises.
    UnrevokedPartitions,
    /// Its epoch is the target's, and it waits for others to give something back.
    UnreleasedPartitions,
    /// A newer coordinator wrote a state that this version does not know. The member has to join
    /// again.
    Unknown,
}

impl MemberState {
    /// Kafka's number of the state.
    #[must_use]
    pub fn code(self) -> i8 {
        match self {
            Self::Stable => 0,
            Self::UnrevokedPartitions => 1,
            Self::UnreleasedPartitions => 2,
            Self::Unknown => 127,
        }
    }

    /// The state with Kafka's number.
    #[must_use]
    pub fn of(code: i8) -> Self {
        match code {
            0 => Self::Stable,
            1 => Self::UnrevokedPartitions,
            2 => Self::UnreleasedPartitions,
            _ => Self::Unknown,
        }
    }
}

/// The part of a member that all modern protocols share.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModernMember {
    /// Its id.
    pub member_id: MemberId,
    /// `group.instance.id`, which makes it a static member (KIP-345).
    pub instance_id: Option<InstanceId>,
    /// `client.rack`.
    pub rack_id: Option<String>,
    /// `client.id`.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// The topics that it subscribes to by name.
    pub subscribed_topic_names: BTreeSet<String>,
    /// Its epoch: 0 while it joins, -1 when only its description is known, -2 when it is a static
    /// member that left temporarily.
    pub member_epoch: i32,
    /// Its previous epoch, which its requests contain when it did not receive the last response.
    pub previous_member_epoch: i32,
    /// The progress towards its target.
    pub state: MemberState,
    /// The partitions that it may consume.
    pub assigned_partitions: Owned,
    /// The partitions that it has to give back.
    pub partitions_pending_revocation: Owned,
}

impl ModernMember {
    /// A member of which only the id is known.
    #[must_use]
    pub fn new(member_id: MemberId) -> Self {
        Self {
            member_id,
            instance_id: None,
            rack_id: None,
            client_id: String::new(),
            client_host: String::new(),
            subscribed_topic_names: BTreeSet::new(),
            member_epoch: 0,
            previous_member_epoch: -1,
            state: MemberState::Stable,
            assigned_partitions: Owned::new(),
            partitions_pending_revocation: Owned::new(),
        }
    }

    /// Returns whether the member has the target assignment of this epoch.
    #[must_use]
    pub fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.member_epoch == assignment_epoch
    }

    /// Sets the member's epoch, and keeps the present one as the previous epoch.
    pub(crate) fn update_epoch(&mut self, epoch: i32) {
        self.previous_member_epoch = self.member_epoch;
        self.member_epoch = epoch;
    }

    /// The epoch at which a partition was assigned to it, also when it has to give it back.
    #[must_use]
    pub fn assignment_epoch(&self, topic_id: TopicId, partition: PartitionIndex) -> Option<i32> {
        let of = |owned: &Owned| owned.get(&topic_id)?.get(&partition).copied();
        of(&self.assigned_partitions).or_else(|| of(&self.partitions_pending_revocation))
    }

    /// The partitions that are assigned to it, then those that it has to give back.
    pub(crate) fn all_partitions(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
        let owned = self.assigned_partitions.iter();
        owned
            .chain(&self.partitions_pending_revocation)
            .flat_map(|(topic_id, partitions)| partitions.keys().map(|p| (*topic_id, *p)))
    }
}

/// The form of an assignment in a record.
#[must_use]
pub(crate) fn assignment_to_record(assignment: &Assignment) -> Vec<TopicPartitions> {
    let topics = assignment.iter();
    topics
        .map(|(topic_id, partitions)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.iter().copied().collect(),
            assignment_epochs: Vec::new(),
        })
        .collect()
}

/// The assignment in a record.
#[must_use]
pub(crate) fn assignment_of_record(topics: Vec<TopicPartitions>) -> Assignment {
    let topics = topics.into_iter();
    topics
        .map(|topic| (topic.topic_id, topic.partitions.into_iter().collect()))
        .collect()
}

/// Partitions that were all assigned at one epoch.
#[must_use]
pub(crate) fn owned_since(assignment: &Assignment, epoch: i32) -> Owned {
    let topics = assignment.iter();
    topics
        .map(|(topic_id, partitions)| {
            let partitions = partitions.iter().map(|p| (*p, epoch)).collect();
            (*topic_id, partitions)
        })
        .collect()
}

/// The form of partitions and their epochs in a record.
pub(crate) fn owned_to_record(owned: &Owned) -> Vec<TopicPartitions> {
    let topics = owned.iter();
    topics
        .map(|(topic_id, partitions)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: partitions.values().copied().collect(),
        })
        .collect()
}

/// The partitions in a record, with the epochs at which they were assigned. In records from before
/// KIP-1251, which have no epochs, each partition gets the member's epoch.
pub(crate) fn owned_of_record(topics: Vec<TopicPartitions>, member_epoch: i32) -> Owned {
    let mut owned = Owned::new();
    for topic in topics {
        let epochs = topic.assignment_epochs;
        let epoch_at = |i: usize| epochs.get(i).copied().unwrap_or(member_epoch);
        let partitions = topic.partitions.into_iter().enumerate();
        let partitions = partitions.map(|(i, partition)| (partition, epoch_at(i)));
        owned.entry(topic.topic_id).or_default().extend(partitions);
    }
    owned
}
