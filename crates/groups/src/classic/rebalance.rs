//! The rebalance of a classic group: it begins, members join, and it completes.

use std::time::Duration;

use dohle_model::ErrorCode;

use crate::classic::group::{InitialDelay, State};
use crate::classic::step::{ClassicGroupStep, sync_error};
use crate::history::Cause;
use crate::ids::MemberId;
use crate::step::OnCommit;

impl ClassicGroupStep<'_, '_> {
    /// Begins a rebalance, or completes the present one when all members have joined.
    pub(super) fn rebalance_or_complete(&mut self, cause: Cause) {
        match self.group.state {
            State::PreparingRebalance { .. } => {
                // Members that join again are no news.
                if let Cause::Joined(_) = cause {
                    self.note(false, cause);
                }
                self.maybe_complete_join();
            }
            State::Empty | State::CompletingRebalance { .. } | State::Stable => {
                self.prepare_rebalance(cause);
            }
        }
    }

    /// Begins a rebalance, for which all members have to join again.
    pub(crate) fn prepare_rebalance(&mut self, cause: Cause) {
        if let State::CompletingRebalance { .. } = self.group.state {
            self.drop_assignments(ErrorCode::RebalanceInProgress);
        }
        self.group.pending_syncs.clear();
        self.cancel_sync_timer();
        tracing::info!(
            group = %self.group_id,
            state = self.group.state.name(),
            generation = self.group.generation(),
            reason = cause.to_string(),
            "rebalance begins"
        );
        self.note(true, cause);
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

    /// Completes the rebalance when all members have joined. The first rebalance of a group that
    /// was empty completes only after its initial delay.
    pub(super) fn maybe_complete_join(&mut self) {
        let prepares = self.group.state == State::PreparingRebalance { initial: None };
        if prepares && self.group.has_all_members_joined() {
            self.complete_join();
        }
    }

    /// Handles the end of the time to join, or of the initial delay of a group that was empty.
    pub(crate) fn on_join_timeout(&mut self) {
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

    /// Completes the rebalance with the members that have joined. Other dynamic members are
    /// removed; static members stay, because they may return within their sessions.
    pub(super) fn complete_join(&mut self) {
        let is_joining = matches!(self.group.state, State::PreparingRebalance { .. });
        assert!(
            is_joining,
            "group {} completes a rebalance while it is {}",
            self.group_id,
            self.group.state.name()
        );
        self.cancel_join_timer();
        self.remove_missing_members();
        if !self.group.members().is_empty() && !self.elect_leader() {
            // No member joined. The remaining members join later, or their sessions expire.
            tracing::info!(
                group = %self.group_id,
                members = self.group.members().len(),
                "rebalance continues: no member has joined in time"
            );
            self.set_join_timer(self.group.rebalance_timeout());
            return;
        }
        self.group.increase_generation();
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
        let names = missing.iter().map(|member_id| self.name(member_id));
        let cause = Cause::JoinTimedOut(names.collect(), self.group.rebalance_timeout());
        for member_id in &missing {
            self.remove_member(member_id);
        }
        self.note(false, cause);
    }

    /// Elects another leader if the present one has not joined. Returns false when no member has.
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
        tracing::info!(group = %self.group_id, member = %member_id, "leader elected");
        self.group.leader = Some(member_id);
        true
    }

    fn become_empty(&mut self) {
        tracing::info!(
            group = %self.group_id,
            generation = self.group.generation(),
            "group is empty"
        );
        assert!(
            self.group.pending_syncs.is_empty(),
            "group {} is empty, and {:?} have to sync",
            self.group_id,
            self.group.pending_syncs
        );
        self.become_state(State::Empty);
        let on_commit = OnCommit::Empty {
            group_id: self.group_id.clone(),
            generation: self.group.generation(),
        };
        self.write(self.group.record(self.group_id), on_commit);
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
        assert_eq!(
            (self.group.joins(), self.group.pending_syncs.len()),
            (0, self.group.members().len()),
            "group {} is at generation {}: JoinGroups left, and members that have to sync",
            self.group_id,
            self.group.generation()
        );
        self.set_sync_timer(self.group.rebalance_timeout());
    }

    /// Removes the assignments of this generation, and answers parked SyncGroups with `code`.
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
