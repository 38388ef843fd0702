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
//! Kafka's `Dead` is not here: a group that was deleted is gone, and so is a shard whose broker no
//! longer leads it.
//!
//! Invariants: `supported` counts the members that support a protocol; `joins` counts those whose
//! JoinGroup waits; a pending member is not a member; who has yet to sync is a member.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use dohle_model::Timestamp;

use crate::classic::member::{Member, Protocol};
use crate::ids::{InstanceId, MemberId};
use crate::step::JoinToken;
use crate::wire::millis;

/// A group of the classic protocol. One without members holds offsets only.
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
    /// Who was given an id and has yet to join with it (KIP-394).
    pub(super) pending_joins: BTreeSet<MemberId>,
    /// Who has yet to sync in this generation.
    pub(super) pending_syncs: BTreeSet<MemberId>,
    joins: usize,
    supported: BTreeMap<String, usize>,
    pub(super) subscribed_topics: Option<BTreeSet<String>>,
}

/// What a classic group does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It has no members. Perhaps it has offsets.
    Empty,
    /// Its members join.
    PreparingRebalance {
        /// Only when the group was empty before: it waits for more members than the first.
        initial: Option<InitialDelay>,
    },
    /// Its members know the generation, and sync. They wait for the leader's assignment.
    CompletingRebalance {
        /// The leader's assignment, while it is written.
        assignment: Option<BTreeMap<MemberId, Bytes>>,
    },
    /// Its members have their assignments.
    Stable,
}

/// How much longer a group that was empty waits for members (`group.initial.rebalance.delay.ms`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InitialDelay {
    /// The delay that runs.
    pub delay: Duration,
    /// What remains after it, at most up to the rebalance timeout in all.
    pub remaining: Duration,
    /// Whether somebody joined while it ran.
    pub member_added: bool,
}

impl State {
    /// Kafka's name of it.
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
    /// Whether a group in this state may change to another one.
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

/// What others may know.
impl ClassicGroup {
    /// What it does.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Whether it has no members; some may have been given an id and be about to join.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.state == State::Empty
    }

    /// Whether nothing was ever known of it but offsets, and nobody is about to join.
    #[must_use]
    pub fn is_simple(&self) -> bool {
        self.protocol_type.is_none() && self.is_empty() && self.pending_joins.is_empty()
    }

    /// Counts the rebalances.
    #[must_use]
    pub fn generation(&self) -> i32 {
        self.generation
    }

    /// `consumer`, `connect`, …; none for a group that only commits.
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

    /// Who assigns.
    #[must_use]
    pub fn leader(&self) -> Option<&MemberId> {
        self.leader.as_ref()
    }

    /// When it came into its state, if that is known.
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

    /// Who was given an id and has yet to join with it.
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

    /// Whether a member of this type and with these protocols fits.
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

/// What joins, leaves and is replaced.
impl ClassicGroup {
    pub(super) fn is_leader(&self, member_id: &str) -> bool {
        self.leader()
            .is_some_and(|leader| leader.as_str() == member_id)
    }

    pub(super) fn is_pending(&self, member_id: &str) -> bool {
        self.pending_joins.contains(member_id)
    }

    /// How many JoinGroups wait.
    pub(super) fn joins(&self) -> usize {
        self.joins
    }

    pub(super) fn has_all_members_joined(&self) -> bool {
        self.members.len() == self.joins && self.pending_joins.is_empty()
    }

    /// The longest of the members' timeouts.
    pub(super) fn rebalance_timeout(&self) -> Duration {
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        millis(longest.max().unwrap_or(0))
    }

    /// Adds a member. The first one makes the group's type, and leads.
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

    /// Removes a member, or one that was pending. When it led, another one leads.
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

    /// Gives a static member another id. Its assignment, and its seat as leader, go with it.
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
    }

    /// What a member says of itself now.
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

    /// Parks a member's JoinGroup. Returns the one that waited until now.
    pub(super) fn park_join(
        &mut self,
        member_id: &MemberId,
        token: JoinToken,
    ) -> Option<JoinToken> {
        let member = self.members.get_mut(member_id)?;
        let before = member.join.replace(token);
        self.joins += usize::from(before.is_none());
        before
    }

    /// The JoinGroup of a member that waits; it no longer does.
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
    /// Whether the invariants hold, and which does not.
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
            return Err("who is not a member has yet to sync".to_owned());
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
