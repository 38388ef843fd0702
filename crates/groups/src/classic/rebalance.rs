//! The rebalance of a classic group: it begins, members join, it completes.

use std::time::Duration;

use dohle_model::ErrorCode;

use crate::classic::group::{InitialDelay, State};
use crate::classic::step::{Turn, sync_error};
use crate::ids::MemberId;
use crate::step::OnCommit;

impl Turn<'_, '_> {
    /// Something changed that the members must agree on: begins a rebalance, or if one has begun,
    /// completes it when all members are there.
    pub(super) fn rebalance_or_complete(&mut self, reason: &str) {
        match self.group.state {
            State::PreparingRebalance { .. } => self.maybe_complete_join(),
            State::Empty | State::CompletingRebalance { .. } | State::Stable => {
                self.prepare_rebalance(reason);
            }
        }
    }

    /// Begins a rebalance: all members have to join again.
    pub(crate) fn prepare_rebalance(&mut self, reason: &str) {
        if let State::CompletingRebalance { .. } = self.group.state {
            self.drop_assignments(ErrorCode::RebalanceInProgress);
        }
        self.group.pending_syncs.clear();
        self.cancel_sync_timer();
        tracing::info!(
            group = %self.group_id,
            state = self.group.state.name(),
            generation = self.group.generation(),
            reason,
            "a rebalance begins"
        );
        if self.group.is_empty() {
            let delay = self.step.config.group_initial_rebalance_delay;
            let initial = Some(InitialDelay {
                delay,
                remaining: self.group.rebalance_timeout().saturating_sub(delay),
                member_added: false,
            });
            self.set_join_timer(delay);
            self.become_state(State::PreparingRebalance { initial });
            return;
        }
        self.become_state(State::PreparingRebalance { initial: None });
        if self.group.has_all_members_joined() {
            self.complete_join();
        } else {
            self.set_join_timer(self.group.rebalance_timeout());
        }
    }

    /// Completes the rebalance when all members are there. One of a group that was empty waits for
    /// its delay instead.
    pub(super) fn maybe_complete_join(&mut self) {
        let prepares = self.group.state == State::PreparingRebalance { initial: None };
        if prepares && self.group.has_all_members_joined() {
            self.complete_join();
        }
    }

    /// The time to join is over, or a group that was empty has waited for more members.
    pub(super) fn on_join_timeout(&mut self) {
        let State::PreparingRebalance { initial } = &mut self.group.state else {
            return;
        };
        if let Some(initial) = initial
            && initial.member_added
            && initial.remaining > Duration::ZERO
        {
            let waited = initial.delay;
            let delay = initial
                .remaining
                .min(self.step.config.group_initial_rebalance_delay);
            *initial = InitialDelay {
                delay,
                remaining: initial.remaining.saturating_sub(waited),
                member_added: false,
            };
            self.set_join_timer(delay);
            return;
        }
        self.complete_join();
    }

    /// Goes on with the members that have joined. The others are removed, but for static ones, who
    /// may come back within their session.
    pub(super) fn complete_join(&mut self) {
        self.cancel_join_timer();
        self.remove_missing_members();
        if !self.group.members().is_empty() && !self.elect_leader() {
            // Nobody joined. The sessions of those who are left run out, or they come.
            tracing::info!(
                group = %self.group_id,
                members = self.group.members().len(),
                "a rebalance waits on: no member has joined"
            );
            self.set_join_timer(self.group.rebalance_timeout());
            return;
        }
        self.group.generation += 1;
        self.group.pending_syncs.clear();
        self.group.protocol = self.group.select_protocol();
        self.group.subscribed_topics = self.group.compute_subscribed_topics();
        match self.group.members().is_empty() {
            true => self.become_empty(),
            false => self.become_completing(),
        }
    }

    fn remove_missing_members(&mut self) {
        let members = self.group.members().iter();
        let missing: Vec<MemberId> = members
            .filter(|(_, member)| !member.awaits_join() && !member.is_static())
            .map(|(member_id, _)| member_id.clone())
            .collect();
        if missing.is_empty() {
            return;
        }
        tracing::info!(group = %self.group_id, members = ?missing, "members did not join in time");
        for member_id in &missing {
            self.remove_member(member_id);
        }
    }

    /// Sees to it that the leader is one who has joined. Returns false when nobody has.
    fn elect_leader(&mut self) -> bool {
        let joined = |leader: &MemberId| {
            let leader = self.group.member(leader.as_str());
            leader.is_some_and(|member| member.awaits_join())
        };
        if self.group.leader().is_some_and(joined) {
            return true;
        }
        let mut members = self.group.members().iter();
        let Some((member_id, _)) = members.find(|(_, member)| member.awaits_join()) else {
            return false;
        };
        let member_id = member_id.clone();
        tracing::info!(group = %self.group_id, member = %member_id, "a new leader is elected");
        self.group.leader = Some(member_id);
        true
    }

    fn become_empty(&mut self) {
        tracing::info!(
            group = %self.group_id,
            generation = self.group.generation(),
            "the group is empty now"
        );
        self.become_state(State::Empty);
        let written = OnCommit::Empty {
            group_id: self.group_id.clone(),
            generation: self.group.generation(),
        };
        self.write(self.group.record(self.group_id), written);
    }

    fn become_completing(&mut self) {
        tracing::info!(
            group = %self.group_id,
            generation = self.group.generation(),
            members = self.group.members().len(),
            protocol = self.group.protocol(),
            "all members have joined"
        );
        self.become_state(State::CompletingRebalance { assignment: None });
        let member_ids: Vec<MemberId> = self.group.members().keys().cloned().collect();
        for member_id in member_ids {
            let response = self.generation_for(&member_id);
            self.answer_join(&member_id, response);
            self.restart_session(&member_id);
            if let Some(member) = self.group.member_mut(member_id.as_str()) {
                member.is_new = false;
                member.replaced = None;
            }
            self.group.pending_syncs.insert(member_id);
        }
        self.set_sync_timer(self.group.rebalance_timeout());
    }

    /// No assignment of this generation holds: who waits for one is told why.
    pub(super) fn drop_assignments(&mut self, code: ErrorCode) {
        let member_ids: Vec<MemberId> = self.group.members().keys().cloned().collect();
        for member_id in member_ids {
            if let Some(member) = self.group.member_mut(member_id.as_str()) {
                member.assignment.clear();
            }
            if self.answer_sync(&member_id, sync_error(code)) {
                self.restart_session(&member_id);
            }
        }
    }
}
