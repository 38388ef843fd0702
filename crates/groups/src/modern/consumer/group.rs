//! The state of a consumer group. Only replay changes it, except for `metadata_checked`.
//!
//! Invariant: `owners`, `regexes`, `assignors`, `classic_protocols` and `classic_members` are
//! derived from the members.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dohle_model::{PartitionIndex, Timestamp, TopicId};

use crate::ids::MemberId;
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::counts::Counts;
use crate::modern::group::{GroupState, ModernGroup};
use crate::modern::member::{Assignment, MemberState, ModernMember};
use crate::modern::owners::Owners;
use crate::modern::topics::TopicChanges;
use crate::records::ConsumerRegexValue;

/// A group of the consumer protocol (KIP-848).
#[derive(Debug, Default)]
pub struct ConsumerGroup {
    /// The part that all modern groups share.
    pub(crate) common: ModernGroup,
    members: BTreeMap<MemberId, ConsumerMember>,
    owners: Owners,
    /// The regular expressions that members subscribe to.
    regexes: Counts,
    /// The topics that each regular expression matched when it was last resolved.
    resolved: BTreeMap<String, Arc<Resolved>>,
    /// The assignors that members ask for.
    assignors: Counts,
    /// The protocols that members of the classic protocol support.
    classic_protocols: Counts,
    classic_members: usize,
    /// Whether the log has a record of the topics' partitions, such as Kafka wrote before 4.1.
    pub(crate) has_partition_metadata: bool,
}

/// The topics that a regular expression matched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The topics.
    pub topics: BTreeSet<String>,
    /// The version of the metadata that had these topics.
    pub version: i64,
    /// When the expression was resolved.
    pub timestamp: Timestamp,
}

impl Resolved {
    /// The value of the record with these topics.
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

/// Questions about the group.
impl ConsumerGroup {
    /// The group epoch.
    #[must_use]
    pub fn group_epoch(&self) -> i32 {
        self.common.group_epoch()
    }

    /// The group epoch that the target assignment was computed for.
    #[must_use]
    pub fn assignment_epoch(&self) -> i32 {
        self.common.assignment_epoch()
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
        self.members.get(self.common.static_member(instance_id)?)
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> GroupState {
        let members = self.members.values();
        self.common.state(members.map(|member| &member.common))
    }

    /// Whether members subscribe to the topic, by name or by a regular expression.
    #[must_use]
    pub fn is_subscribed_to(&self, topic: &str) -> bool {
        self.common.subscribed().contains(topic) || self.is_matched(topic)
    }

    /// Whether a regular expression matched the topic.
    fn is_matched(&self, topic: &str) -> bool {
        let mut resolved = self.resolved.values();
        resolved.any(|resolved| resolved.topics.contains(topic))
    }

    /// The target assignment of a member.
    #[must_use]
    pub fn target(&self, member_id: &str) -> Option<&Arc<Assignment>> {
        self.common.target.get(member_id)
    }

    /// The member that has a partition, or has yet to give it back.
    #[must_use]
    pub fn owner(&self, topic_id: TopicId, partition: PartitionIndex) -> Option<&MemberId> {
        self.owners.get(topic_id, partition)
    }

    /// The owners of all partitions.
    pub(crate) fn owners(&self) -> &Owners {
        &self.owners
    }

    /// Whether a member waits for a partition of its target that another member still has.
    #[must_use]
    pub fn waits_on_unreleased_partition(&self, member: &ModernMember) -> bool {
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

    /// The assignors that members ask for.
    pub(crate) fn assignors(&self) -> &Counts {
        &self.assignors
    }

    /// The regular expressions that members subscribe to.
    pub(crate) fn regexes(&self) -> &Counts {
        &self.regexes
    }

    /// The topics that each regular expression matched.
    pub(crate) fn resolved(&self) -> &BTreeMap<String, Arc<Resolved>> {
        &self.resolved
    }

    /// How many members use the classic protocol.
    #[must_use]
    pub fn classic_members(&self) -> usize {
        self.classic_members
    }

    /// Whether a member of the classic protocol that supports these protocols may join: all other
    /// members of the classic protocol have to support one of them.
    pub(crate) fn supports_classic<'a>(
        &self,
        protocol_type: &str,
        protocols: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let mut protocols = protocols.into_iter();
        protocol_type == "consumer"
            && match self.is_empty() {
                true => protocols.next().is_some(),
                false => {
                    protocols.any(|name| self.classic_protocols.get(name) == self.classic_members)
                }
            }
    }

    /// All topics that it subscribes to.
    pub(crate) fn all_topics(&self) -> BTreeSet<String> {
        let matched = self.resolved.values().flat_map(|r| r.topics.iter());
        let named = self.common.subscribed().names().map(str::to_owned);
        named.chain(matched.cloned()).collect()
    }
}

/// Changes, which replay makes.
impl ConsumerGroup {
    /// Adds a member, or replaces the member with its id.
    pub(crate) fn update_member(&mut self, member: ConsumerMember) -> TopicChanges {
        self.replace_member(&member.id().clone(), Some(member))
    }

    /// Removes a member.
    pub(crate) fn remove_member(&mut self, member_id: &MemberId) -> TopicChanges {
        self.replace_member(member_id, None)
    }

    fn replace_member(
        &mut self,
        member_id: &MemberId,
        new: Option<ConsumerMember>,
    ) -> TopicChanges {
        let old = self.members.remove(member_id);
        let mut changes = self.common.replace_member(
            old.as_ref().map(|member| &member.common),
            new.as_ref().map(|member| &member.common),
        );
        // Topics that a regular expression matches were already subscribed before this change, and
        // still are.
        changes.added.retain(|topic| !self.is_matched(topic));
        changes.removed.retain(|topic| !self.is_matched(topic));
        if let Some(old) = old {
            self.owners.remove(&old.common);
            self.uncount(&old);
        }
        if let Some(new) = new {
            assert_eq!(new.id(), member_id, "a member is stored under another id");
            self.owners.add(&new.common);
            self.count(&new);
            self.members.insert(member_id.clone(), new);
        }
        assert!(
            self.classic_members <= self.members.len(),
            "{} of {} members use the classic protocol",
            self.classic_members,
            self.members.len()
        );
        assert!(
            self.regexes.len() <= self.members.len(),
            "{} members name {} expressions",
            self.members.len(),
            self.regexes.len()
        );
        assert!(
            self.assignors.len() <= self.members.len(),
            "{} members name {} assignors",
            self.members.len(),
            self.assignors.len()
        );
        assert!(
            self.common.static_members() <= self.members.len(),
            "{} of {} members are static",
            self.common.static_members(),
            self.members.len()
        );
        changes
    }

    /// Sets the topics that a regular expression matched, or forgets them.
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
        touched.retain(|topic| !self.common.subscribed().contains(topic));
        let before: Vec<bool> = touched.iter().map(|t| self.is_matched(t)).collect();
        match resolved {
            Some(resolved) => self.resolved.insert(regex, Arc::new(resolved)),
            None => self.resolved.remove(&regex),
        };
        let mut changes = TopicChanges::default();
        for (topic, before) in touched.into_iter().zip(before) {
            match (before, self.is_matched(&topic)) {
                (false, true) => changes.added.push(topic),
                (true, false) => changes.removed.push(topic),
                _ => {}
            }
        }
        changes
    }

    fn count(&mut self, member: &ConsumerMember) {
        if let Some(regex) = member.regex() {
            self.regexes.increase(regex);
        }
        if let Some(assignor) = &member.server_assignor {
            self.assignors.increase(assignor);
        }
        if let Some(classic) = &member.classic {
            self.classic_members += 1;
            for (protocol, _) in &classic.supported_protocols {
                self.classic_protocols.increase(protocol);
            }
        }
    }

    fn uncount(&mut self, member: &ConsumerMember) {
        let id = member.id();
        if let Some(regex) = member.regex() {
            assert!(
                self.regexes.contains(regex),
                "expression {regex} of member {id} is not counted"
            );
            self.regexes.decrease(regex);
        }
        if let Some(assignor) = &member.server_assignor {
            assert!(
                self.assignors.contains(assignor),
                "assignor {assignor} of member {id} is not counted"
            );
            self.assignors.decrease(assignor);
        }
        if let Some(classic) = &member.classic {
            assert!(
                self.classic_members > 0,
                "classic member {id} is not counted"
            );
            self.classic_members -= 1;
            for (protocol, _) in &classic.supported_protocols {
                assert!(
                    self.classic_protocols.contains(protocol),
                    "protocol {protocol} of member {id} is not counted"
                );
                self.classic_protocols.decrease(protocol);
            }
        }
    }
}
