//! SyncGroup of a classic group: the leader sends the assignment, and every member receives its
//! part.
//!
//! The parts are sent once the assignment is committed (`OnCommit::Assignment`). A member that does
//! not sync within the rebalance timeout is removed.

use std::collections::BTreeMap;

use bytes::Bytes;
use dohle_model::ErrorCode;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::sync_group_request::SyncGroupRequestData;
use dohle_protocol::messages::sync_group_response::SyncGroupResponseData;

use crate::classic::group::State;
use crate::classic::step::{ClassicGroupStep, sync_error, write_error};
use crate::history::Cause;
use crate::ids::MemberId;
use crate::step::{OnCommit, SyncReply, SyncToken};
use crate::wire::text;

impl ClassicGroupStep<'_, '_> {
    /// Plans a SyncGroup: refuses it, parks it, or answers it at once.
    pub(crate) fn sync(&mut self, request: &SyncGroupRequestData, token: SyncToken) {
        if let Err(code) = self.validate_sync(request) {
            return self.step.reply(token, SyncReply(sync_error(code)));
        }
        let member_id = MemberId::new(request.member_id.as_str());
        match self.group.state {
            State::Empty => {
                let refusal = sync_error(ErrorCode::UnknownMemberId);
                self.step.reply(token, SyncReply(refusal));
            }
            State::PreparingRebalance { .. } => {
                let refusal = sync_error(ErrorCode::RebalanceInProgress);
                self.step.reply(token, SyncReply(refusal));
            }
            State::CompletingRebalance { .. } => {
                self.has_synced(&member_id);
                self.park_sync(&member_id, token);
                if self.group.is_leader(request.member_id.as_str()) {
                    self.write_assignment(request);
                }
            }
            State::Stable => {
                self.has_synced(&member_id);
                let response = self.assignment_for(&member_id);
                self.step.reply(token, SyncReply(response));
            }
        }
    }

    fn validate_sync(&self, request: &SyncGroupRequestData) -> Result<(), ErrorCode> {
        let instance_id = request.group_instance_id.as_ref().map(KafkaString::as_str);
        self.group
            .validate_member(request.member_id.as_str(), instance_id)?;
        if request.generation_id != self.group.generation() {
            return Err(ErrorCode::IllegalGeneration);
        }
        let differs = |given: &Option<KafkaString>, there: Option<&str>| {
            given
                .as_ref()
                .zip(there)
                .is_some_and(|(given, there)| given.as_str() != there)
        };
        if differs(&request.protocol_type, self.group.protocol_type())
            || differs(&request.protocol_name, self.group.protocol())
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        Ok(())
    }

    fn has_synced(&mut self, member_id: &MemberId) {
        self.group.pending_syncs.remove(member_id);
        if self.group.pending_syncs.is_empty() {
            self.cancel_sync_timer();
        }
    }

    /// Parks a SyncGroup, and answers an earlier parked one of the same member.
    fn park_sync(&mut self, member_id: &MemberId, token: SyncToken) {
        let member = self.group.member_mut(member_id.as_str());
        if let Some(before) = member.and_then(|member| member.sync.replace(token)) {
            let refusal = sync_error(ErrorCode::RebalanceInProgress);
            self.step.reply(before, SyncReply(refusal));
        }
    }

    /// Writes the leader's assignment. A leader that syncs again before the commit waits for the
    /// same assignment.
    fn write_assignment(&mut self, request: &SyncGroupRequestData) {
        let State::CompletingRebalance { assignment } = &self.group.state else {
            return;
        };
        if assignment.is_some() {
            return;
        }
        let assigned: BTreeMap<MemberId, Bytes> = request
            .assignments
            .iter()
            .map(|member| {
                let member_id = MemberId::new(member.member_id.as_str());
                (member_id, member.assignment.clone())
            })
            .collect();
        let members = self.group.members().keys();
        let missing: Vec<&MemberId> = members.filter(|id| !assigned.contains_key(*id)).collect();
        if !missing.is_empty() {
            tracing::warn!(
                group = %self.group_id,
                generation = self.group.generation(),
                members = ?missing,
                "leader assigned nothing to some members"
            );
        }
        let record = self.group.record_with(self.group_id, |member_id, _| {
            assigned.get(member_id).cloned().unwrap_or_default()
        });
        assert!(
            assigned_by(self.group.leader(), &request.member_id),
            "group {}: an assignment of {}, led by {:?}",
            self.group_id,
            request.member_id,
            self.group.leader()
        );
        let on_commit = OnCommit::Assignment {
            group_id: self.group_id.clone(),
            generation: self.group.generation(),
        };
        self.group.state = State::CompletingRebalance {
            assignment: Some(assigned),
        };
        self.write(record, on_commit);
    }

    /// Continues once the assignment is committed, or has failed. Does nothing when the group has
    /// begun another rebalance since.
    pub(crate) fn on_assignment_written(
        &mut self,
        generation: i32,
        outcome: Result<(), ErrorCode>,
    ) {
        if self.group.generation() != generation {
            return;
        }
        let State::CompletingRebalance { assignment } = &mut self.group.state else {
            return;
        };
        let Some(mut assigned) = assignment.take() else {
            return;
        };
        if let Err(code) = outcome {
            self.drop_assignments(write_error(code));
            return self.prepare_rebalance(Cause::AssignmentNotWritten(code));
        }
        let member_ids: Vec<MemberId> = self.group.members().keys().cloned().collect();
        for member_id in &member_ids {
            if let Some(member) = self.group.member_mut(member_id.as_str()) {
                member.assignment = assigned.remove(member_id).unwrap_or_default();
            }
            let response = self.assignment_for(member_id);
            if self.answer_sync(member_id, response) {
                self.restart_session(member_id);
            }
        }
        tracing::info!(group = %self.group_id, generation, "group is stable");
        self.become_state(State::Stable);
    }

    fn assignment_for(&self, member_id: &MemberId) -> SyncGroupResponseData {
        let member = self.group.member(member_id.as_str());
        SyncGroupResponseData {
            protocol_type: self.group.protocol_type().map(text),
            protocol_name: self.group.protocol().map(text),
            assignment: member.map_or_else(Bytes::new, |member| member.assignment.clone()),
            ..SyncGroupResponseData::default()
        }
    }

    /// Handles the end of the time to sync: removes the members that have not synced.
    pub(crate) fn on_sync_timeout(&mut self) {
        let syncs = matches!(
            self.group.state,
            State::CompletingRebalance { .. } | State::Stable
        );
        if !syncs || self.group.pending_syncs.is_empty() {
            return;
        }
        let missing = std::mem::take(&mut self.group.pending_syncs);
        let names = missing.iter().map(|member_id| self.name(member_id));
        let cause = Cause::SyncTimedOut(names.collect(), self.group.rebalance_timeout());
        for member_id in &missing {
            self.remove_member(member_id);
        }
        self.prepare_rebalance(cause);
    }
}

/// Whether the assignment comes from the leader.
fn assigned_by(leader: Option<&MemberId>, member_id: &KafkaString) -> bool {
    leader.is_some_and(|leader| leader.as_str() == member_id.as_str())
}
