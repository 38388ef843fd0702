//! LeaveGroup of a classic group: one member (to version 2), or several, by their ids or by the
//! instance ids of static members (KIP-345). KIP-800: the reason, which is logged.

use dohle_model::ErrorCode;
use dohle_model::error::to_wire;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::leave_group_request::{LeaveGroupRequestData, MemberIdentity};
use dohle_protocol::messages::leave_group_response::{LeaveGroupResponseData, MemberResponse};

use crate::classic::group::State;
use crate::classic::step::Turn;
use crate::ids::{GroupId, MemberId};
use crate::shard::{Kind, Shard};
use crate::step::{Caller, Step};

/// From this version on several members can leave at once.
const BATCH: i16 = 3;

impl Shard {
    /// Plans LeaveGroup.
    pub fn leave_group(
        &mut self,
        request: &LeaveGroupRequestData,
        caller: Caller<'_>,
        step: &mut Step<'_>,
    ) -> LeaveGroupResponseData {
        if caller.version >= BATCH {
            return self.on_leave(request, step);
        }
        let request = LeaveGroupRequestData {
            members: vec![MemberIdentity {
                member_id: request.member_id.clone(),
                ..MemberIdentity::default()
            }],
            ..request.clone()
        };
        let response = self.on_leave(&request, step);
        LeaveGroupResponseData {
            error_code: match response.error_code {
                0 => response
                    .members
                    .first()
                    .map_or(0, |member| member.error_code),
                code => code,
            },
            ..LeaveGroupResponseData::default()
        }
    }

    fn on_leave(
        &mut self,
        request: &LeaveGroupRequestData,
        step: &mut Step<'_>,
    ) -> LeaveGroupResponseData {
        if request.group_id.is_empty() {
            return LeaveGroupResponseData {
                error_code: ErrorCode::InvalidGroupId.code(),
                ..LeaveGroupResponseData::default()
            };
        }
        let group_id = GroupId::new(request.group_id.as_str());
        let members = match self.groups.get_mut(&group_id).map(|group| &mut group.kind) {
            Some(Kind::Consumer(_)) => {
                let members = request.members.iter();
                let outcomes = self.leave_consumer_group(&group_id, &request.members, step);
                members
                    .zip(outcomes)
                    .map(|(member, outcome)| left(member, outcome))
                    .collect()
            }
            None => {
                let unknown = Err(ErrorCode::UnknownMemberId);
                let members = request.members.iter();
                members.map(|member| left(member, unknown)).collect()
            }
            Some(Kind::Classic(group)) => {
                let mut turn = Turn {
                    group_id: &group_id,
                    group,
                    timers: &mut self.timers,
                    step,
                };
                turn.leave(&request.members)
            }
        };
        LeaveGroupResponseData {
            members,
            ..LeaveGroupResponseData::default()
        }
    }
}

impl Turn<'_, '_> {
    fn leave(&mut self, members: &[MemberIdentity]) -> Vec<MemberResponse> {
        let mut gone = Vec::new();
        let mut responses = Vec::new();
        for member in members {
            let outcome = self.leave_one(member);
            if outcome.is_ok() {
                gone.push(member.member_id.as_str());
            }
            responses.push(left(member, outcome));
        }
        if !gone.is_empty() {
            match self.group.state {
                State::Empty => {}
                State::PreparingRebalance { .. } => self.maybe_complete_join(),
                State::CompletingRebalance { .. } | State::Stable => {
                    self.prepare_rebalance(&format!("members leave: {}", gone.join(", ")));
                }
            }
        }
        responses
    }

    fn leave_one(&mut self, member: &MemberIdentity) -> Result<(), ErrorCode> {
        let member_id = member.member_id.as_str();
        let instance_id = member.group_instance_id.as_ref().map(KafkaString::as_str);
        let member_id = if member_id.is_empty() {
            // An administrator removes a static member.
            instance_id
                .and_then(|instance_id| self.group.static_member(instance_id))
                .cloned()
                .ok_or(ErrorCode::UnknownMemberId)?
        } else if self.group.is_pending(member_id) {
            MemberId::new(member_id)
        } else {
            self.group.validate_member(member_id, instance_id)?;
            MemberId::new(member_id)
        };
        tracing::info!(
            group = %self.group_id,
            member = %member_id,
            reason = member.reason.as_ref().map_or("not provided", KafkaString::as_str),
            "a member leaves"
        );
        self.remove_member(&member_id);
        Ok(())
    }
}

fn left(member: &MemberIdentity, outcome: Result<(), ErrorCode>) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: to_wire(outcome.err()),
        ..MemberResponse::default()
    }
}
