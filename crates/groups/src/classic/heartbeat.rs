//! Sessions of a classic group's members: Heartbeat, and what happens without.

use dohle_model::ErrorCode;
use dohle_model::error::to_wire;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;
use dohle_protocol::messages::heartbeat_response::HeartbeatResponseData;

use crate::classic::group::State;
use crate::classic::step::Turn;
use crate::ids::{GroupId, MemberId};
use crate::shard::{Kind, Shard};
use crate::step::{Caller, Step};

impl Shard {
    /// Plans Heartbeat.
    pub fn heartbeat(
        &mut self,
        request: &HeartbeatRequestData,
        _caller: Caller<'_>,
        step: &mut Step<'_>,
    ) -> HeartbeatResponseData {
        HeartbeatResponseData {
            error_code: to_wire(self.on_heartbeat(request, step).err()),
            ..HeartbeatResponseData::default()
        }
    }

    fn on_heartbeat(
        &mut self,
        request: &HeartbeatRequestData,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        if request.group_id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        let group_id = GroupId::new(request.group_id.as_str());
        match self.groups.get_mut(&group_id).map(|group| &mut group.kind) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(Kind::Consumer(_)) => self.heartbeat_consumer_group(request, step),
            Some(Kind::Classic(group)) => {
                let mut turn = Turn {
                    group_id: &group_id,
                    group,
                    timers: &mut self.timers,
                    step,
                };
                turn.heartbeat(request)
            }
        }
    }
}

impl Turn<'_, '_> {
    fn heartbeat(&mut self, request: &HeartbeatRequestData) -> Result<(), ErrorCode> {
        let instance_id = request.group_instance_id.as_ref().map(KafkaString::as_str);
        self.group
            .validate_member(request.member_id.as_str(), instance_id)?;
        if request.generation_id != self.group.generation() {
            return Err(ErrorCode::IllegalGeneration);
        }
        self.restart_session(&MemberId::new(request.member_id.as_str()));
        match self.group.state {
            State::Empty => Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance { .. } => Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance { .. } | State::Stable => Ok(()),
        }
    }

    /// Nothing was heard of a member, or of one that was pending, for its session's time.
    pub(super) fn on_session_timeout(&mut self, member_id: &MemberId) {
        if self.group.is_pending(member_id.as_str()) {
            tracing::info!(
                group = %self.group_id,
                member = %member_id,
                "a member was given an id and did not join with it"
            );
            self.remove_member(member_id);
            if let State::PreparingRebalance { .. } = self.group.state {
                self.complete_if_all_joined();
            }
            return;
        }
        let Some(member) = self.group.member(member_id.as_str()) else {
            return;
        };
        // Its session begins anew when it is answered.
        if member.has_satisfied_heartbeat() {
            return;
        }
        tracing::info!(group = %self.group_id, member = %member_id, "a member has failed");
        self.remove_member(member_id);
        match self.group.state {
            State::Empty => {}
            State::PreparingRebalance { .. } => self.complete_if_all_joined(),
            State::CompletingRebalance { .. } | State::Stable => {
                self.prepare_rebalance(&format!("member {member_id} has failed"));
            }
        }
    }

    /// Without regard to the delay of a group that was empty: when somebody is gone, the others
    /// need not wait for more.
    fn complete_if_all_joined(&mut self) {
        if self.group.has_all_members_joined() {
            self.complete_join();
        }
    }
}
