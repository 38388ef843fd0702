//! The part of a group that all modern protocols share, except for members: epochs, the target
//! assignment, and indexes over the members.
//!
//! The members themselves belong to the group of a protocol, because each protocol adds fields to
//! them. That group reports every change of a member through [`ModernGroup::replace_member`].
//!
//! Invariant: `static_members` and `subscribed` are derived from the members.

use std::collections::HashMap;

use crate::ids::{InstanceId, MemberId};
use crate::modern::counts::Counts;
use crate::modern::member::ModernMember;
use crate::modern::target::TargetAssignment;
use crate::modern::topics::TopicChanges;

/// The group epoch and the assignment epoch of a new group. As in Apache Kafka, the first member
/// whose subscription has topics raises them to 2.
pub(crate) const FIRST_EPOCH: i32 = 1;

/// The part of a group that all modern protocols share.
#[derive(Debug)]
pub struct ModernGroup {
    /// Rises with each change of what has to be assigned.
    pub(crate) group_epoch: i32,
    /// A hash of the subscribed topics (KIP-1101).
    pub(crate) metadata_hash: i64,
    /// The group epoch at which `metadata_hash` was compared with the topics. Lives in memory only:
    /// `None` after loading, and when a subscribed topic changed.
    pub(crate) metadata_checked: Option<i32>,
    /// The target assignment.
    pub(crate) target: TargetAssignment,
    static_members: HashMap<InstanceId, MemberId>,
    subscribed: Counts,
}

/// The state of a modern group, in Kafka's terms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// Its target assignment is older than the group epoch.
    Assigning,
    /// Some members have yet to reach their target assignment.
    Reconciling,
    /// All members have reached their target assignment.
    Stable,
}

impl GroupState {
    /// Kafka's name of the state.
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

impl Default for ModernGroup {
    fn default() -> Self {
        Self {
            group_epoch: FIRST_EPOCH,
            metadata_hash: 0,
            metadata_checked: None,
            target: TargetAssignment::default(),
            static_members: HashMap::new(),
            subscribed: Counts::default(),
        }
    }
}

impl ModernGroup {
    /// The group epoch.
    #[must_use]
    pub fn group_epoch(&self) -> i32 {
        self.group_epoch
    }

    /// The group epoch that the target assignment was computed for.
    #[must_use]
    pub fn assignment_epoch(&self) -> i32 {
        self.target.epoch
    }

    /// The id of the static member with this instance id.
    #[must_use]
    pub fn static_member(&self, instance_id: &str) -> Option<&MemberId> {
        self.static_members.get(instance_id)
    }

    /// How many static members there are.
    pub(crate) fn static_members(&self) -> usize {
        self.static_members.len()
    }

    /// The topics that members subscribe to by name.
    pub(crate) fn subscribed(&self) -> &Counts {
        &self.subscribed
    }

    /// The state of a group that has these members.
    #[must_use]
    pub fn state<'m>(&self, members: impl IntoIterator<Item = &'m ModernMember>) -> GroupState {
        let mut members = members.into_iter().peekable();
        if members.peek().is_none() {
            GroupState::Empty
        } else if self.group_epoch > self.target.epoch {
            GroupState::Assigning
        } else if members.all(|member| member.is_reconciled_to(self.target.epoch)) {
            GroupState::Stable
        } else {
            GroupState::Reconciling
        }
    }

    /// Whether a request has to compute the hash of the subscribed topics: when it changes them
    /// (`changed`), when it is the group's first, or when a topic may have changed.
    pub(crate) fn needs_hash(&self, changed: bool) -> bool {
        let is_checked = self
            .metadata_checked
            .is_some_and(|checked| self.group_epoch >= checked);
        changed || !is_checked
    }

    /// The group epoch after a request. It rises when the request changes what has to be assigned
    /// (`changed`), or when `metadata_hash`, the hash of the subscribed topics, is not the one that
    /// the group has.
    pub(crate) fn next_epoch(&mut self, changed: bool, metadata_hash: i64) -> i32 {
        let rises = changed || metadata_hash != self.metadata_hash;
        let epoch = self.group_epoch.saturating_add(i32::from(rises));
        assert!(
            epoch >= self.group_epoch,
            "the group epoch decreased from {} to {epoch}",
            self.group_epoch
        );
        self.metadata_checked = Some(epoch);
        epoch
    }

    /// Updates the indexes when a member joins (`old` is `None`), changes, or leaves (`new` is
    /// `None`). Returns the topics that members now subscribe to by name and did not before, and
    /// those that no member names any more.
    pub(crate) fn replace_member(
        &mut self,
        old: Option<&ModernMember>,
        new: Option<&ModernMember>,
    ) -> TopicChanges {
        let mut changes = TopicChanges::default();
        for name in new.iter().flat_map(|new| &new.subscribed_topic_names) {
            if !self.subscribed.contains(name) {
                changes.added.push(name.clone());
            }
            self.subscribed.increase(name);
        }
        for name in old.iter().flat_map(|old| &old.subscribed_topic_names) {
            assert!(
                self.subscribed.contains(name),
                "topic {name} of a member is not counted"
            );
            self.subscribed.decrease(name);
            if !self.subscribed.contains(name) {
                changes.removed.push(name.clone());
            }
        }
        if let Some(old) = old
            && let Some(instance_id) = &old.instance_id
            && self.static_members.get(instance_id) == Some(&old.member_id)
        {
            self.static_members.remove(instance_id);
        }
        if let Some(new) = new
            && let Some(instance_id) = &new.instance_id
        {
            self.static_members
                .insert(instance_id.clone(), new.member_id.clone());
        }
        for name in &changes.removed {
            assert!(
                !changes.added.contains(name),
                "topic {name} was added and removed by one change"
            );
        }
        changes
    }
}
