//! A classic group during one step, with the timers, records and replies that the step changes.

use std::time::Duration;

use dohle_model::ErrorCode;
use dohle_protocol::messages::join_group_response::{
    JoinGroupResponseData, JoinGroupResponseMember,
};
use dohle_protocol::messages::sync_group_response::SyncGroupResponseData;

use crate::Step;
use crate::classic::group::{ClassicGroup, State};
use crate::history::{Cause, GroupEvent, MemberName, Rebalance};
use crate::ids::{GroupId, MemberId};
use crate::records::Record;
use crate::step::{JoinReply, OnCommit, SyncReply};
use crate::timers::{Timer, Timers};
use crate::wire::text;

/// A group, and what a step on it needs.
pub(crate) struct ClassicGroupStep<'t, 's> {
    /// The group's id.
    pub group_id: &'t GroupId,
    /// The group.
    pub group: &'t mut ClassicGroup,
    /// The timers of all groups.
    pub timers: &'t mut Timers,
    /// The step.
    pub step: &'t mut Step<'s>,
}

impl ClassicGroupStep<'_, '_> {
    /// Sets the state, and when it began.
    pub(crate) fn become_state(&mut self, state: State) {
        self.group.set_state(state);
        self.group.state_timestamp = Some(self.step.wall);
    }

    /// Writes a record of the group. `on_commit` continues once it is committed or has failed.
    pub(crate) fn write(&mut self, record: Record, on_commit: OnCommit) {
        self.step.write(record);
        self.step.effects.skip_replay = true;
        self.step.effects.on_commit = Some(on_commit);
    }

    /// Adds a rebalance to the history, or with `began` unset a change of the members during one.
    pub(super) fn note(&mut self, began: bool, cause: Cause) {
        let rebalance = Rebalance {
            generation: self.group.generation().saturating_add(1),
            members: self.group.members().len(),
            began,
            cause,
        };
        self.step.effects.events.push(GroupEvent {
            group_id: self.group_id.clone(),
            rebalance,
        });
    }

    /// The name of a member for the history.
    pub(super) fn name(&self, member_id: &MemberId) -> MemberName {
        let member = self.group.member(member_id.as_str());
        let instance_id = member.and_then(|member| member.instance_id.as_ref());
        let host = member.map_or("", |member| member.client_host.as_str());
        MemberName::new(member_id, instance_id, host)
    }

    /// Starts a member's session anew.
    pub(crate) fn restart_session(&mut self, member_id: &MemberId) {
        if let Some(member) = self.group.member(member_id.as_str()) {
            let timeout = member.session_timeout();
            self.set_session(member_id, timeout);
        }
    }

    /// Starts the sessions of all members anew.
    pub(crate) fn restart_sessions(&mut self) {
        let member_ids: Vec<MemberId> = self.group.members().keys().cloned().collect();
        for member_id in &member_ids {
            self.restart_session(member_id);
        }
    }

    pub(crate) fn set_session(&mut self, member_id: &MemberId, timeout: Duration) {
        let timer = Timer::ClassicSession(self.group_id.clone(), member_id.clone());
        self.timers
            .set(timer, self.step.now.saturating_add(timeout));
    }

    pub(crate) fn cancel_session(&mut self, member_id: &MemberId) {
        let timer = Timer::ClassicSession(self.group_id.clone(), member_id.clone());
        self.timers.cancel(&timer);
    }

    pub(crate) fn set_join_timer(&mut self, timeout: Duration) {
        let deadline = self.step.now.saturating_add(timeout);
        self.timers
            .set(Timer::ClassicJoin(self.group_id.clone()), deadline);
    }

    pub(crate) fn cancel_join_timer(&mut self) {
        self.timers
            .cancel(&Timer::ClassicJoin(self.group_id.clone()));
    }

    pub(crate) fn set_sync_timer(&mut self, timeout: Duration) {
        let deadline = self.step.now.saturating_add(timeout);
        self.timers
            .set(Timer::ClassicSync(self.group_id.clone()), deadline);
    }

    pub(crate) fn cancel_sync_timer(&mut self) {
        self.timers
            .cancel(&Timer::ClassicSync(self.group_id.clone()));
    }

    /// Answers a member's parked JoinGroup, if there is one.
    pub(crate) fn answer_join(&mut self, member_id: &MemberId, response: JoinGroupResponseData) {
        if let Some(token) = self.group.take_join(member_id.as_str()) {
            self.step.reply(token, JoinReply(response));
        }
    }

    /// Answers a member's parked SyncGroup, if there is one. Returns whether there was.
    pub(crate) fn answer_sync(
        &mut self,
        member_id: &MemberId,
        response: SyncGroupResponseData,
    ) -> bool {
        let member = self.group.member_mut(member_id.as_str());
        let Some(token) = member.and_then(|member| member.sync.take()) else {
            return false;
        };
        self.step.reply(token, SyncReply(response));
        true
    }

    /// Answers all parked requests of the group with an error.
    pub(crate) fn answer_all(&mut self, code: ErrorCode) {
        let member_ids: Vec<MemberId> = self.group.members().keys().cloned().collect();
        for member_id in &member_ids {
            self.answer_join(member_id, join_error(member_id.as_str(), code));
            self.answer_sync(member_id, sync_error(code));
        }
    }

    /// Removes a member or a pending member, with its session. Its parked requests are answered
    /// with UNKNOWN_MEMBER_ID, so that the client joins again if it still runs.
    pub(crate) fn remove_member(&mut self, member_id: &MemberId) {
        let code = ErrorCode::UnknownMemberId;
        self.answer_join(member_id, join_error("", code));
        self.answer_sync(member_id, sync_error(code));
        self.cancel_session(member_id);
        self.group.remove(member_id.as_str());
    }

    /// The response to the JoinGroup of a member: the generation, and for the leader all members.
    pub(crate) fn generation_for(&self, member_id: &MemberId) -> JoinGroupResponseData {
        let members = match self.group.is_leader(member_id.as_str()) {
            true => self.joined_members(),
            false => Vec::new(),
        };
        JoinGroupResponseData {
            generation_id: self.group.generation(),
            protocol_type: self.group.protocol_type().map(text),
            protocol_name: self.group.protocol().map(text),
            leader: text(self.group.leader().map_or("", MemberId::as_str)),
            member_id: text(member_id.as_str()),
            members,
            ..JoinGroupResponseData::default()
        }
    }

    fn joined_members(&self) -> Vec<JoinGroupResponseMember> {
        let protocol = self.group.protocol().unwrap_or_default();
        let members = self.group.members().iter();
        members
            .map(|(member_id, member)| JoinGroupResponseMember {
                member_id: text(member_id.as_str()),
                group_instance_id: member.instance_id.as_ref().map(|id| text(id.as_str())),
                metadata: member.metadata(protocol).cloned().unwrap_or_default(),
                ..JoinGroupResponseMember::default()
            })
            .collect()
    }
}

/// A refusal of JoinGroup.
pub(crate) fn join_error(member_id: &str, code: ErrorCode) -> JoinGroupResponseData {
    JoinGroupResponseData {
        error_code: code.code(),
        member_id: text(member_id),
        ..JoinGroupResponseData::default()
    }
}

/// A refusal of SyncGroup.
pub(crate) fn sync_error(code: ErrorCode) -> SyncGroupResponseData {
    SyncGroupResponseData {
        error_code: code.code(),
        ..SyncGroupResponseData::default()
    }
}

/// The error that members get when a record of their group could not be written.
pub(crate) fn write_error(code: ErrorCode) -> ErrorCode {
    use ErrorCode as E;
    match code {
        E::UnknownTopicOrPartition | E::NotEnoughReplicas | E::RequestTimedOut => {
            E::CoordinatorNotAvailable
        }
        E::NotLeaderOrFollower | E::KafkaStorageError => E::NotCoordinator,
        E::MessageTooLarge | E::RecordListTooLarge | E::InvalidFetchSize => E::UnknownServerError,
        other => other,
    }
}
