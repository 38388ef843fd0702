//! The state of a consumer group, which replay alone changes.
//!
//! Invariants: `subscribed`, `regexes`, `assignors`, `static_members`, `classic_protocols` and
//! `owners` are derived of `members` and `resolved`; an owned partition has one owner.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use dohle_model::{PartitionIndex, Timestamp, TopicId};

use crate::ids::{InstanceId, MemberId};
use crate::modern::member::{Assignment, ConsumerMember, MemberState};
use crate::records::ConsumerRegexValue;

/// A group of the consumer protocol (KIP-848).
#[derive(Debug, Default)]
pub struct ConsumerGroup {
    /// Rises with each change of what has to be assigned.
    pub(crate) group_epoch: i32,
    /// A hash of the topics it subscribes to (KIP-1101).
    pub(crate) metadata_hash: i64,
    /// The group epoch that the target assignment is of; -1 when there never was one.
    pub(crate) assignment_epoch: i32,
    /// When the target assignment was computed (KIP-1263).
    pub(crate) assignment_timestamp: Option<Timestamp>,
    members: BTreeMap<MemberId, ConsumerMember>,
    static_members: HashMap<InstanceId, MemberId>,
    /// The target assignment of each member.
    target: HashMap<MemberId, Arc<Assignment>>,
    /// Who has a partition, or has yet to give it back.
    owners: HashMap<TopicId, HashMap<PartitionIndex, MemberId>>,
    /// How many members name a topic.
    subscribed: BTreeMap<String, usize>,
    /// How many members subscribe to a regular expression.
    regexes: BTreeMap<String, usize>,
    /// What the regular expressions matched when they were resolved.
    resolved: BTreeMap<String, Arc<Resolved>>,
    /// How many members ask for an assignor.
    assignors: BTreeMap<String, usize>,
    /// How many members of the classic protocol support a protocol.
    classic_protocols: BTreeMap<String, usize>,
    classic_members: usize,
    /// Whether the log has a record of the kind that Kafka wrote before 4.1.
    pub(crate) has_partition_metadata: bool,
    /// The group epoch at which `metadata_hash` was compared with the topics. Lives in memory:
    /// none after loading, and when a topic changed.
    pub(crate) metadata_checked: Option<i32>,
}

/// What a regular expression matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The topics.
    pub topics: BTreeSet<String>,
    /// The version of the metadata it was resolved on.
    pub version: i64,
    /// When.
    pub timestamp: Timestamp,
}

impl Resolved {
    /// As a record has it.
    #[must_use]
    pub fn to_record(&self) -> ConsumerRegexValue {
        ConsumerRegexValue {
            topics: self.topics.iter().cloned().collect(),
            version: self.version,
            timestamp: self.timestamp,
        }
    }
}

impl From<ConsumerRegexValue> for Resolved {
    fn from(value: ConsumerRegexValue) -> Self {
        Self {
            topics: value.topics.into_iter().collect(),
            version: value.version,
            timestamp: value.timestamp,
        }
    }
}

/// What a consumer group does, in Kafka's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// Its target assignment is older than the group epoch.
    Assigning,
    /// Some members have yet to reach their target assignment.
    Reconciling,
    /// All members have their target assignment.
    Stable,
}

impl GroupState {
    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::Assigning => "Assigning",
            Self::Reconciling => "Reconciling",
            Self::Stable => "Stable",
        }
    }
}

/// Topics that a change made the group subscribe to, or no longer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicChanges {
    /// Those it subscribes to now.
    pub added: Vec<String>,
    /// Those it no longer does.
    pub removed: Vec<String>,
}

/// What others may know.
impl ConsumerGroup {
    /// The group epoch.
    #[must_use]
    pub fn group_epoch(&self) -> i32 {
        self.group_epoch
    }

    /// The epoch of the target assignment.
    #[must_use]
    pub fn assignment_epoch(&self) -> i32 {
        self.assignment_epoch
    }

    /// Whether it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Its members, by id.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<MemberId, ConsumerMember> {
        &self.members
    }

    /// The member with this id.
    #[must_use]
    pub fn member(&self, member_id: &str) -> Option<&ConsumerMember> {
        self.members.get(member_id)
    }

    /// The static member with this instance id.
    #[must_use]
    pub fn static_member(&self, instance_id: &str) -> Option<&ConsumerMember> {
        self.members.get(self.static_members.get(instance_id)?)
    }

    /// What it does.
    #[must_use]
    pub fn state(&self) -> GroupState {
        let reconciled = |member: &ConsumerMember| member.is_reconciled_to(self.assignment_epoch);
        if self.members.is_empty() {
            GroupState::Empty
        } else if self.group_epoch > self.assignment_epoch {
            GroupState::Assigning
        } else if self.members.values().all(reconciled) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// Kafka's name of what it does.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        self.state().name()
    }

    /// Whether members subscribe to the topic, by name or by a regular expression.
    #[must_use]
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.subscribed.contains_key(topic)
            || self.resolved.values().any(|r| r.topics.contains(topic))
    }

    /// What the target assignment gives to a member.
    #[must_use]
    pub fn target(&self, member_id: &str) -> Option<&Arc<Assignment>> {
        self.target.get(member_id)
    }

    /// Who has a target assignment, in order.
    pub(crate) fn targets(&self) -> impl Iterator<Item = &MemberId> {
        let mut members: Vec<&MemberId> = self.target.keys().collect();
        members.sort_unstable();
        members.into_iter()
    }

    /// Who has a partition, or has yet to give it back.
    #[must_use]
    pub fn owner(&self, topic_id: TopicId, partition: PartitionIndex) -> Option<&MemberId> {
        self.owners.get(&topic_id)?.get(&partition)
    }

    /// Whether a member waits for something that others still have.
    #[must_use]
    pub fn waits_on_unreleased_partition(&self, member: &ConsumerMember) -> bool {
        let Some(target) = self.target(member.member_id.as_str()) else {
            return false;
        };
        let waits = |topic_id: &TopicId, partition: &PartitionIndex| {
            let assigned = member.assigned_partitions.get(topic_id);
            !assigned.is_some_and(|assigned| assigned.contains_key(partition))
                && self.owner(*topic_id, *partition).is_some()
        };
        member.state == MemberState::UnreleasedPartitions
            && target
                .iter()
                .any(|(topic_id, partitions)| partitions.iter().any(|p| waits(topic_id, p)))
    }

    /// How many members ask for an assignor.
    pub(crate) fn assignors(&self) -> &BTreeMap<String, usize> {
        &self.assignors
    }

    /// How many members name a topic.
    pub(crate) fn subscribed(&self) -> &BTreeMap<String, usize> {
        &self.subscribed
    }

    /// How many members subscribe to a regular expression.
    pub(crate) fn regexes(&self) -> &BTreeMap<String, usize> {
        &self.regexes
    }

    /// What the regular expressions matched.
    pub(crate) fn resolved(&self) -> &BTreeMap<String, Arc<Resolved>> {
        &self.resolved
    }

    /// How many members speak the classic protocol.
    #[must_use]
    pub fn classic_members(&self) -> usize {
        self.classic_members
    }

    /// Whether a member of the classic protocol with these protocols fits: one of them must be
    /// supported by all others of that kind.
    pub(crate) fn supports_classic<'a>(
        &self,
        protocol_type: &str,
        protocols: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let mut protocols = protocols.into_iter();
        let count = |name: &str| self.classic_protocols.get(name).copied().unwrap_or(0);
        protocol_type == "consumer"
            && match self.is_empty() {
                true => protocols.next().is_some(),
                false => protocols.any(|name| count(name) == self.classic_members),
            }
    }
}

/// What replay does.
impl ConsumerGroup {
    /// Adds a member, or replaces what is known of it.
    pub(crate) fn update_member(&mut self, member: ConsumerMember) -> TopicChanges {
        let mut changes = TopicChanges::default();
        let member_id = member.member_id.clone();
        for name in &member.subscribed_topic_names {
            self.count_topic(name, &mut changes.added);
        }
        self.count(&member);
        if let Some(old) = self.members.remove(&member_id) {
            self.forget(&old, &mut changes.removed);
            self.release_instance(&old);
        }
        for (topic_id, partition) in member.all_partitions() {
            let owners = self.owners.entry(topic_id).or_default();
            owners.insert(partition, member_id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), member_id.clone());
        }
        self.members.insert(member_id, member);
        changes
    }

    /// Removes a member.
    pub(crate) fn remove_member(&mut self, member_id: &str) -> TopicChanges {
        let mut changes = TopicChanges::default();
        if let Some(old) = self.members.remove(member_id) {
            self.forget(&old, &mut changes.removed);
            self.release_instance(&old);
        }
        changes
    }

    /// Sets what the target assignment gives to a member.
    pub(crate) fn set_target(&mut self, member_id: MemberId, assignment: Assignment) {
        self.target.insert(member_id, Arc::new(assignment));
    }

    /// Ends a member's target assignment.
    pub(crate) fn remove_target(&mut self, member_id: &str) {
        self.target.remove(member_id);
    }

    /// Sets what a regular expression matched, or forgets it.
    pub(crate) fn set_resolved(
        &mut self,
        regex: String,
        resolved: Option<Resolved>,
    ) -> TopicChanges {
        let topics = |resolved: Option<&Resolved>| match resolved {
            Some(resolved) => resolved.topics.clone(),
            None => BTreeSet::new(),
        };
        let mut touched = topics(resolved.as_ref());
        touched.extend(topics(self.resolved.get(&regex).map(Arc::as_ref)));
        touched.retain(|topic| !self.subscribed.contains_key(topic));
        let before: Vec<bool> = touched.iter().map(|t| self.is_subscribed_to(t)).collect();
        match resolved {
            Some(resolved) => self.resolved.insert(regex, Arc::new(resolved)),
            None => self.resolved.remove(&regex),
        };
        let mut changes = TopicChanges::default();
        for (topic, before) in touched.into_iter().zip(before) {
            match (before, self.is_subscribed_to(&topic)) {
                (false, true) => changes.added.push(topic),
                (true, false) => changes.removed.push(topic),
                _ => {}
            }
        }
        changes
    }

    /// Everything it subscribes to.
    pub(crate) fn all_topics(&self) -> BTreeSet<String> {
        let resolved = self.resolved.values().flat_map(|r| r.topics.iter());
        self.subscribed.keys().chain(resolved).cloned().collect()
    }

    fn count_topic(&mut self, topic: &str, added: &mut Vec<String>) {
        if let Some(count) = self.subscribed.get_mut(topic) {
            *count += 1;
            return;
        }
        if !self.is_subscribed_to(topic) {
            added.push(topic.to_owned());
        }
        self.subscribed.insert(topic.to_owned(), 1);
    }

    /// Takes away a member's place as static member, unless another has it.
    fn release_instance(&mut self, old: &ConsumerMember) {
        if let Some(instance_id) = &old.instance_id
            && self.static_members.get(instance_id) == Some(&old.member_id)
        {
            self.static_members.remove(instance_id);
        }
    }

    /// Takes a member's part out of everything derived, its place as static member excepted.
    fn forget(&mut self, old: &ConsumerMember, removed: &mut Vec<String>) {
        self.uncount(old);
        for name in &old.subscribed_topic_names {
            decrease(&mut self.subscribed, name);
            if !self.is_subscribed_to(name) {
                removed.push(name.clone());
            }
        }
        for (topic_id, partition) in old.all_partitions() {
            let Some(owners) = self.owners.get_mut(&topic_id) else {
                continue;
            };
            if owners.get(&partition) == Some(&old.member_id) {
                owners.remove(&partition);
            }
            if owners.is_empty() {
                self.owners.remove(&topic_id);
            }
        }
    }

    fn count(&mut self, member: &ConsumerMember) {
        if let Some(regex) = member.regex() {
            increase(&mut self.regexes, regex);
        }
        if let Some(assignor) = &member.server_assignor {
            increase(&mut self.assignors, assignor);
        }
        if let Some(classic) = &member.classic {
            self.classic_members += 1;
            for (protocol, _) in &classic.supported_protocols {
                increase(&mut self.classic_protocols, protocol);
            }
        }
    }

    fn uncount(&mut self, member: &ConsumerMember) {
        if let Some(regex) = member.regex() {
            decrease(&mut self.regexes, regex);
        }
        if let Some(assignor) = &member.server_assignor {
            decrease(&mut self.assignors, assignor);
        }
        if let Some(classic) = &member.classic {
            self.classic_members -= 1;
            for (protocol, _) in &classic.supported_protocols {
                decrease(&mut self.classic_protocols, protocol);
            }
        }
    }
}

pub(crate) fn increase(counts: &mut BTreeMap<String, usize>, name: &str) {
    *counts.entry(name.to_owned()).or_default() += 1;
}

pub(crate) fn decrease(counts: &mut BTreeMap<String, usize>, name: &str) {
    if let Some(count) = counts.get_mut(name) {
        *count -= 1;
        if *count == 0 {
            counts.remove(name);
        }
    }
}
