//! A member of a consumer group, and the partitions it has.

use std::collections::{BTreeMap, BTreeSet};

use dohle_model::{PartitionIndex, TopicId};

use crate::ids::{InstanceId, MemberId};
use crate::records::{ClassicMetadata, ConsumerCurrentValue, ConsumerMemberValue, TopicPartitions};

/// The epoch of a member that left and may come back within its session (`group.instance.id`).
pub(crate) const LEFT_FOR_A_WHILE: i32 = -2;

/// Partitions by topic: what an assignor gives to a member.
pub type Assignment = BTreeMap<TopicId, BTreeSet<PartitionIndex>>;

/// Partitions by topic, each with the member epoch at which it was assigned (KIP-1251).
pub type Owned = BTreeMap<TopicId, BTreeMap<PartitionIndex, i32>>;

/// How far a member has come on the way to its target assignment.
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
    /// It has what its epoch says it should have.
    #[default]
    Stable,
    /// It has to give something back before it goes over to the next epoch.
    UnrevokedPartitions,
    /// It is in its epoch, and waits for others to give something back.
    UnreleasedPartitions,
    /// Written by a newer coordinator. The member has to join again.
    Unknown,
}

impl MemberState {
    /// Kafka's number of it.
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

/// A member. All of it is written: what it says of itself, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsumerMember {
    /// Its id.
    pub member_id: MemberId,
    /// `group.instance.id`, which makes it a static member (KIP-345).
    pub instance_id: Option<InstanceId>,
    /// `client.rack`.
    pub rack_id: Option<String>,
    /// How long it may take to give partitions back. Milliseconds; -1 before it said so.
    pub rebalance_timeout_ms: i32,
    /// `client.id`.
    pub client_id: String,
    /// Its address.
    pub client_host: String,
    /// The topics that it names.
    pub subscribed_topic_names: BTreeSet<String>,
    /// The regular expression it subscribes to; empty when there is none.
    pub subscribed_topic_regex: String,
    /// The assignor it asks for.
    pub server_assignor: Option<String>,
    /// What it said as member of the classic protocol, if it speaks that.
    pub classic: Option<ClassicMetadata>,
    /// The epoch it is in. 0 while it joins, -1 when nothing of it is known, -2 when a static
    /// member left for a while.
    pub member_epoch: i32,
    /// The epoch before, which it may still name when an answer was lost.
    pub previous_member_epoch: i32,
    /// How far it has come.
    pub state: MemberState,
    /// What it may consume.
    pub assigned_partitions: Owned,
    /// What it has to give back.
    pub partitions_pending_revocation: Owned,
}

impl ConsumerMember {
    /// A member that nothing is known of.
    #[must_use]
    pub fn new(member_id: MemberId) -> Self {
        Self {
            member_id,
            instance_id: None,
            rack_id: None,
            rebalance_timeout_ms: -1,
            client_id: String::new(),
            client_host: String::new(),
            subscribed_topic_names: BTreeSet::new(),
            subscribed_topic_regex: String::new(),
            server_assignor: None,
            classic: None,
            member_epoch: 0,
            previous_member_epoch: -1,
            state: MemberState::Stable,
            assigned_partitions: Owned::new(),
            partitions_pending_revocation: Owned::new(),
        }
    }

    /// Whether it speaks the classic protocol.
    #[must_use]
    pub fn uses_classic_protocol(&self) -> bool {
        self.classic.is_some()
    }

    /// The regular expression it subscribes to.
    #[must_use]
    pub fn regex(&self) -> Option<&str> {
        Some(self.subscribed_topic_regex.as_str()).filter(|regex| !regex.is_empty())
    }

    /// Whether it has what the target assignment of this epoch gives it.
    #[must_use]
    pub fn is_reconciled_to(&self, assignment_epoch: i32) -> bool {
        self.state == MemberState::Stable && self.member_epoch == assignment_epoch
    }

    /// Goes over to an epoch.
    pub(crate) fn update_epoch(&mut self, epoch: i32) {
        self.previous_member_epoch = self.member_epoch;
        self.member_epoch = epoch;
    }

    /// The epoch at which a partition was assigned, be it still assigned or to be given back.
    #[must_use]
    pub fn assignment_epoch(&self, topic_id: TopicId, partition: PartitionIndex) -> Option<i32> {
        let of = |owned: &Owned| owned.get(&topic_id)?.get(&partition).copied();
        of(&self.assigned_partitions).or_else(|| of(&self.partitions_pending_revocation))
    }

    /// Everything it has or has to give back.
    pub(crate) fn all_partitions(&self) -> impl Iterator<Item = (TopicId, PartitionIndex)> {
        let owned = self.assigned_partitions.iter();
        owned
            .chain(&self.partitions_pending_revocation)
            .flat_map(|(topic_id, partitions)| partitions.keys().map(|p| (*topic_id, *p)))
    }

    /// What it says of itself, as a record has it.
    #[must_use]
    pub fn subscription(&self) -> ConsumerMemberValue {
        ConsumerMemberValue {
            instance_id: self.instance_id.clone(),
            rack_id: self.rack_id.clone(),
            client_id: self.client_id.clone(),
            client_host: self.client_host.clone(),
            subscribed_topic_names: self.subscribed_topic_names.iter().cloned().collect(),
            subscribed_topic_regex: Some(self.subscribed_topic_regex.clone()),
            rebalance_timeout_ms: self.rebalance_timeout_ms,
            server_assignor: self.server_assignor.clone(),
            classic: self.classic.clone(),
        }
    }

    /// Takes over what a record says of it.
    pub(crate) fn describe_as(&mut self, value: ConsumerMemberValue) {
        self.instance_id = value.instance_id;
        self.rack_id = value.rack_id;
        self.client_id = value.client_id;
        self.client_host = value.client_host;
        self.subscribed_topic_names = value.subscribed_topic_names.into_iter().collect();
        self.subscribed_topic_regex = value.subscribed_topic_regex.unwrap_or_default();
        self.rebalance_timeout_ms = value.rebalance_timeout_ms;
        self.server_assignor = value.server_assignor;
        self.classic = value.classic;
    }

    /// What it has, as a record has it.
    #[must_use]
    pub fn current(&self) -> ConsumerCurrentValue {
        ConsumerCurrentValue {
            member_epoch: self.member_epoch,
            previous_member_epoch: self.previous_member_epoch,
            state: self.state.code(),
            assigned_partitions: owned_to_record(&self.assigned_partitions),
            partitions_pending_revocation: owned_to_record(&self.partitions_pending_revocation),
        }
    }

    /// Takes over what a record says it has.
    pub(crate) fn place(&mut self, value: ConsumerCurrentValue) {
        let epoch = value.member_epoch;
        self.member_epoch = epoch;
        self.previous_member_epoch = value.previous_member_epoch;
        self.state = MemberState::of(value.state);
        self.assigned_partitions = owned_of_record(value.assigned_partitions, epoch);
        self.partitions_pending_revocation =
            owned_of_record(value.partitions_pending_revocation, epoch);
    }
}

/// An assignment as a record has it.
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

/// The assignment that a record has.
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

fn owned_to_record(owned: &Owned) -> Vec<TopicPartitions> {
    let topics = owned.iter();
    topics
        .map(|(topic_id, partitions)| TopicPartitions {
            topic_id: *topic_id,
            partitions: partitions.keys().copied().collect(),
            assignment_epochs: partitions.values().copied().collect(),
        })
        .collect()
}

/// Records of before KIP-1251 have no epochs: the member's stands for them.
fn owned_of_record(topics: Vec<TopicPartitions>, member_epoch: i32) -> Owned {
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
