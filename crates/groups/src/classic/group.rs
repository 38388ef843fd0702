//! The state of a classic group, and its members.
//!
//! ```text
//!                 first join                    all joined, or the time is over
//!     Empty ------------------> PreparingRebalance ----------------------> CompletingRebalance
//!       ^                        |    ^     ^                                 |          |
//!       +---- nobody is left ----+    |     +--- a join, a leave, a failure --+          |
//!                                     |                                                  |
//!                                   Stable <---- the leader's assignment is written -----+
//! ```
//!
//! Kafka's state `Dead` does not exist here: a deleted group is removed, and so is the shard of a
//! partition that this broker no longer leads.
//!
//! Invariants: `supported` has the number of members that support each protocol; `joins` is the
//! number of members with a parked JoinGroup; `pending_joins` and the members are disjoint;
//! `pending_syncs` are members.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use dohle_model::Timestamp;

use crate::classic::member::{Member, Protocol};
use crate::ids::{InstanceId, MemberId};
use crate::step::JoinToken;
use crate::wire::millis;

/// A group of the classic protocol. A group without members may have offsets.
#[derive(Debug)]
pub struct ClassicGroup {
    pub(super) state: State,
    pub(super) state_timestamp: Option<Timestamp>,
    pub(super) protocol_type: Option<String>,
    pub(super) protocol: Option<String>,
    pub(super) generation: i32,
    pub(super) leader: Option<MemberId>,
    members: BTreeMap<MemberId, Member>,
    static_members: BTreeMap<InstanceId, MemberId>,
    /// Ids that were sent to clients, which have yet to join with them (KIP-394).
    pub(super) pending_joins: BTreeSet<MemberId>,
    /// The members that have yet to sync in this generation.
    pub(super) pending_syncs: BTreeSet<MemberId>,
    joins: usize,
    supported: BTreeMap<String, usize>,
    pub(super) subscribed_topics: Option<BTreeSet<String>>,
}

/// The state of a classic group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has no members. It may have offsets.
    Empty,
    /// A rebalance has begun, and the members join.
    PreparingRebalance {
        /// The initial delay, when the group was empty before: it waits for further members.
        initial: Option<InitialDelay>,
    },
    /// Its members have joined, and wait in SyncGroup for the leader's assignment.
    CompletingRebalance {
        /// The leader's assignment, until it is committed.
        assignment: Option<BTreeMap<MemberId, Bytes>>,
    },
    /// Its members have their assignments.
    Stable,
}

/// How long a group that was empty waits for further members
/// (`group.initial.rebalance.delay.ms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialDelay {
    /// The present delay.
    pub delay: Duration,
    /// The time that remains after it. All delays together last at most the rebalance timeout.
    pub remaining: Duration,
    /// Whether a member has joined during the present delay.
    pub member_added: bool,
}

impl State {
    /// Kafka's name of the state.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Empty => "Empty",
            Self::PreparingRebalance { .. } => "PreparingRebalance",
            Self::CompletingRebalance { .. } => "CompletingRebalance",
            Self::Stable => "Stable",
        }
    }
}

impl State {
    /// Returns whether a group in this state may change to `next`.
    fn may_become(&self, next: &Self) -> bool {
        match next {
            Self::Empty => matches!(self, Self::PreparingRebalance { .. }),
            Self::PreparingRebalance { .. } => true,
            Self::CompletingRebalance { .. } => matches!(self, Self::PreparingRebalance { .. }),
            Self::Stable => matches!(self, Self::CompletingRebalance { .. }),
        }
    }
}

impl Default for ClassicGroup {
    fn default() -> Self {
        Self {
            state: State::Empty,
            state_timestamp: None,
            protocol_type: None,
            protocol: None,
            generation: 0,
            leader: None,
            members: BTreeMap::new(),
            static_members: BTreeMap::new(),
            pending_joins: BTreeSet::new(),
            pending_syncs: BTreeSet::new(),
            joins: 0,
            supported: BTreeMap::new(),
            subscribed_topics: None,
        }
    }
}

/// Questions about the group.
impl ClassicGroup {
    /// Its state.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether it has no members. Clients with an id may be about to join.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Whether it never had members, and no client is about to join.
    #[must_use]
    pub fn is_simple(&self) -> bool {
        self.protocol_type.is_none() && self.is_empty() && self.pending_joins.is_empty()
    }

    /// The number of its last rebalance.
    #[must_use]
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// `consumer`, `connect`, …; `None` for a group that only commits.
    #[must_use]
    pub fn protocol_type(&self) -> Option<&str> {
        self.protocol_type.as_deref()
    }

    /// Whether its members are consumers, so that their metadata can be read.
    #[must_use]
    pub fn uses_consumer_protocol(&self) -> bool {
        self.protocol_type() == Some("consumer")
    }

    /// The protocol that was selected.
    #[must_use]
    pub fn protocol(&self) -> Option<&str> {
        self.protocol.as_deref()
    }

    /// The member that assigns.
    #[must_use]
    pub fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    /// When its state began, if that is known.
    #[must_use]
    pub fn state_timestamp(&self) -> Option<Timestamp> {
        self.state_timestamp
    }

    /// Its members, by id.
    #[must_use]
    pub fn members(&self) -> &BTreeMap<MemberId, Member> {
        &self.members
    }

    /// The member with this id.
    #[must_use]
    pub fn member(&self, member_id: &str) -> Option<&Member> {
        self.members.get(member_id)
    }

    /// The id of the static member with this instance id.
    #[must_use]
    pub fn static_member(&self, instance_id: &str) -> Option<&MemberId> {
        self.static_members.get(instance_id)
    }

    /// Ids that were sent to clients, which have yet to join with them.
    #[must_use]
    pub fn pending_members(&self) -> &BTreeSet<MemberId> {
        &self.pending_joins
    }

    /// The protocols that all members support.
    #[must_use]
    pub fn candidates(&self) -> BTreeSet<&str> {
        self.supported
            .iter()
            .filter(|(_, count)| **count == self.members.len())
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Whether a member with this type and these protocols may join: all members have to support
    /// one of the protocols.
    #[must_use]
    pub fn supports<'a>(
        &self,
        protocol_type: &str,
        protocols: impl IntoIterator<Item = &'a str>,
    ) -> bool {
        let mut protocols = protocols.into_iter();
        if self.is_empty() {
            return !protocol_type.is_empty() && protocols.next().is_some();
        }
        self.protocol_type() == Some(protocol_type)
            && protocols
                .any(|name| self.supported.get(name).copied().unwrap_or(0) == self.members.len())
    }
}

/// Changes of members.
impl ClassicGroup {
    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader()
            .is_some_and(|leader| leader.as_str() == member_id)
    }

    pub(super) fn is_pending(&self, member_id: &str) -> bool {
        self.pending_joins.contains(member_id)
    }

    /// How many JoinGroups are parked.
    pub(super) fn joins(&self) -> usize {
        self.joins
    }

    pub(super) fn has_all_members_joined(&self) -> bool {
        self.members.len() == self.joins && self.pending_joins.is_empty()
    }

    /// The longest rebalance timeout of the members.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        millis(longest.max().unwrap_or(0))
    }

    /// Adds a member. The first member determines the group's type, and leads it.
    pub(super) fn add(&mut self, member_id: MemberId, member: Member, protocol_type: &str) {
        if self.members.is_empty() {
            self.protocol_type = Some(protocol_type.to_owned());
        }
        if self.leader.is_none() {
            self.leader = Some(member_id.clone());
        }
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), member_id.clone());
        }
        self.pending_joins.remove(&member_id);
        self.insert(member_id, member);
        self.assert_leader();
    }

    /// Removes a member or a pending member. When the leader leaves, another member leads.
    pub(super) fn remove(&mut self, member_id: &str) -> Option<Member> {
        let removed = self.take(member_id);
        if let Some(instance_id) = removed.as_ref().and_then(|m| m.instance_id.as_ref()) {
            self.static_members.remove(instance_id);
        }
        if self.is_leader(member_id) {
            self.leader = self.members.keys().next().cloned();
        }
        self.pending_joins.remove(member_id);
        self.pending_syncs.remove(member_id);
        self.assert_leader();
        removed
    }

    /// Gives a static member another id. It keeps its assignment, and remains the leader if it was.
    pub(super) fn rename(&mut self, old_member_id: &MemberId, member_id: &MemberId) {
        let Some(member) = self.take(old_member_id.as_str()) else {
            return;
        };
        if let Some(instance_id) = &member.instance_id {
            self.static_members
                .insert(instance_id.clone(), member_id.clone());
        }
        if self.is_leader(old_member_id.as_str()) {
            self.leader = Some(member_id.clone());
        }
        self.pending_syncs.remove(old_member_id);
        self.insert(member_id.clone(), member);
        self.assert_leader();
    }

    /// Sets the state.
    pub(super) fn set_state(&mut self, state: State) {
        assert!(
            self.state.may_become(&state),
            "a group that is {} became {}",
            self.state.name(),
            state.name()
        );
        match state {
            State::Empty => assert!(
                self.members.is_empty(),
                "a group with {} members became empty",
                self.members.len()
            ),
            State::PreparingRebalance { .. } => assert!(
                self.pending_syncs.is_empty(),
                "a rebalance begins, and {:?} have to sync",
                self.pending_syncs
            ),
            State::CompletingRebalance { .. } | State::Stable => assert!(
                !self.members.is_empty(),
                "a group without members became {}",
                state.name()
            ),
        }
        self.state = state;
    }

    /// Starts the next generation.
    pub(super) fn increase_generation(&mut self) {
        let before = self.generation;
        self.generation = before.saturating_add(1);
        assert!(
            self.generation >= before,
            "the generation decreased from {before} to {}",
            self.generation
        );
    }

    /// Records that a client was sent an id and has yet to join with it.
    pub(super) fn add_pending(&mut self, member_id: MemberId) {
        assert!(
            !self.members.contains_key(&member_id),
            "id {member_id} was handed out and is a member's"
        );
        self.pending_joins.insert(member_id);
    }

    /// A group has a leader, which is a member, if and only if it has members.
    fn assert_leader(&self) {
        match &self.leader {
            None => assert!(
                self.members.is_empty(),
                "{} members have no leader",
                self.members.len()
            ),
            Some(leader) => assert!(
                self.members.contains_key(leader),
                "leader {leader} is not a member"
            ),
        }
        assert!(
            self.static_members.len() <= self.members.len(),
            "{} of {} members are static",
            self.static_members.len(),
            self.members.len()
        );
        assert!(
            self.pending_syncs.len() <= self.members.len(),
            "{} of {} members have to sync",
            self.pending_syncs.len(),
            self.members.len()
        );
    }

    /// Replaces the protocols and the timeouts of a member.
    pub(super) fn update(
        &mut self,
        member_id: &MemberId,
        protocols: Vec<Protocol>,
        rebalance_timeout_ms: i32,
        session_timeout_ms: i32,
    ) {
        let Some(mut member) = self.take(member_id.as_str()) else {
            return;
        };
        member.protocols = protocols;
        member.rebalance_timeout_ms = rebalance_timeout_ms;
        member.session_timeout_ms = session_timeout_ms;
        self.insert(member_id.clone(), member);
    }

    fn insert(&mut self, member_id: MemberId, member: Member) {
        self.joins += usize::from(member.awaits_join());
        for (name, _) in &member.protocols {
            *self.supported.entry(name.clone()).or_default() += 1;
        }
        assert!(
            !self.pending_joins.contains(&member_id),
            "member {member_id} is pending"
        );
        let replaced = self.members.insert(member_id, member);
        assert!(replaced.is_none(), "a member replaced {replaced:?}");
        assert!(
            self.joins <= self.members.len(),
            "{} of {} members join",
            self.joins,
            self.members.len()
        );
    }

    fn take(&mut self, member_id: &str) -> Option<Member> {
        let member = self.members.remove(member_id)?;
        assert!(
            self.joins >= usize::from(member.awaits_join()),
            "member {member_id} joins and is not counted"
        );
        self.joins -= usize::from(member.awaits_join());
        for (name, _) in &member.protocols {
            let count = self.supported.get_mut(name);
            assert!(
                count.is_some(),
                "protocol {name} of member {member_id} is not counted"
            );
            if let Some(count) = count {
                *count -= 1;
                if *count == 0 {
                    self.supported.remove(name);
                }
            }
        }
        Some(member)
    }

    /// Parks a member's JoinGroup. Returns the token of the JoinGroup that was parked before.
    pub(super) fn park_join(
        &mut self,
        member_id: &MemberId,
        token: JoinToken,
    ) -> Option<JoinToken> {
        let member = self.members.get_mut(member_id)?;
        let before = member.join.replace(token);
        self.joins += usize::from(before.is_none());
        assert!(
            self.joins <= self.members.len(),
            "{} of {} members join",
            self.joins,
            self.members.len()
        );
        before
    }

    /// Removes and returns the token of a member's parked JoinGroup.
    pub(super) fn take_join(&mut self, member_id: &str) -> Option<JoinToken> {
        let token = self.members.get_mut(member_id)?.join.take()?;
        assert!(
            self.joins > 0,
            "member {member_id} joins and is not counted"
        );
        self.joins -= 1;
        Some(token)
    }

    /// A member, for changes that concern neither its protocols nor its parked JoinGroup.
    pub(super) fn member_mut(&mut self, member_id: &str) -> Option<&mut Member> {
        self.members.get_mut(member_id)
    }
}

#[cfg(test)]
impl ClassicGroup {
    /// Checks the invariants. The error describes the one that does not hold.
    pub(super) fn check(&self) -> Result<(), String> {
        let joins = self.members.values().filter(|m| m.awaits_join()).count();
        if joins != self.joins {
            return Err(format!("{joins} wait to join, {} are counted", self.joins));
        }
        let mut supported: BTreeMap<String, usize> = BTreeMap::new();
        for (name, _) in self.members.values().flat_map(|member| &member.protocols) {
            *supported.entry(name.clone()).or_default() += 1;
        }
        if supported != self.supported {
            return Err(format!(
                "{supported:?} are supported, not {:?}",
                self.supported
            ));
        }
        if !self.members.is_empty() && self.candidates().is_empty() {
            return Err("the members have no protocol in common".to_owned());
        }
        let statics = self.members.iter().filter_map(|(member_id, member)| {
            let instance_id = member.instance_id.clone()?;
            Some((instance_id, member_id.clone()))
        });
        if statics.collect::<BTreeMap<_, _>>() != self.static_members {
            return Err(format!("static members are {:?}", self.static_members));
        }
        if self
            .pending_joins
            .iter()
            .any(|id| self.members.contains_key(id))
        {
            return Err("a member is pending".to_owned());
        }
        if self
            .pending_syncs
            .iter()
            .any(|id| !self.members.contains_key(id))
        {
            return Err("a client that is not a member has yet to sync".to_owned());
        }
        let leads = |leader: &MemberId| self.members.contains_key(leader);
        match &self.leader {
            None if self.members.is_empty() => {}
            Some(leader) if leads(leader) => {}
            other => return Err(format!("the leader is {other:?}")),
        }
        let fits = match self.state {
            State::Empty => self.members.is_empty() && self.pending_syncs.is_empty(),
            State::PreparingRebalance { .. } => {
                self.pending_syncs.is_empty() && self.members.values().all(|m| !m.awaits_sync())
            }
            State::CompletingRebalance { .. } => self.joins == 0 && !self.members.is_empty(),
            State::Stable => {
                !self.members.is_empty() && self.members.values().all(|m| !m.awaits_sync())
            }
        };
        match fits {
            true => Ok(()),
            false => Err(format!("members don't fit the state: {self:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "a group without members became CompletingRebalance")]
    fn a_generation_without_members_is_noticed() {
        let mut group = ClassicGroup::default();
        group.set_state(State::PreparingRebalance { initial: None });
        group.set_state(State::CompletingRebalance { assignment: None });
    }
}
