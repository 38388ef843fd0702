//! LeaveGroup of a classic group: members leave by their ids, or by the instance ids of static
//! members (KIP-345). The reason is logged (KIP-800).

use dohle_model::ErrorCode;
use dohle_model::error::to_wire;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::leave_group_request::MemberIdentity;
use dohle_protocol::messages::leave_group_response::MemberResponse;

use crate::classic::group::State;
use crate::classic::step::ClassicGroupStep;
use crate::history::{Cause, ClientReason, MemberName};
use crate::ids::MemberId;

impl ClassicGroupStep<'_, '_> {
    /// Removes members. Returns the outcome of each.
    pub(crate) fn leave(&mut self, members: &[MemberIdentity]) -> Vec<MemberResponse> {
        let mut gone = Vec::new();
        let mut responses = Vec::new();
        for member in members {
            let outcome = self.leave_one(member);
            let outcome = outcome.map(|who| gone.push(who));
            responses.push(left(member, outcome));
        }
        if !gone.is_empty() {
            match self.group.state {
                State::Empty => {}
                State::PreparingRebalance { .. } => {
                    self.note(false, Cause::Left(gone));
                    self.maybe_complete_join();
                }
                State::CompletingRebalance { .. } | State::Stable => {
                    self.prepare_rebalance(Cause::Left(gone));
                }
            }
        }
        responses
    }

    /// Removes a member, and returns its name with the reason of its client.
    fn leave_one(
        &mut self,
        member: &MemberIdentity,
    ) -> Result<(MemberName, Option<ClientReason>), ErrorCode> {
        let member_id = member.member_id.as_str();
        let instance_id = member.group_instance_id.as_ref().map(KafkaString::as_str);
        let member_id = if member_id.is_empty() {
            // An administrator removes a static member by its instance id.
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
            "member leaves"
        );
        let name = self.name(&member_id);
        self.remove_member(&member_id);
        let reason = member.reason.as_ref().map_or("", KafkaString::as_str);
        Ok((name, ClientReason::new(reason)))
    }
}

/// The outcome of one member in the response to LeaveGroup.
pub(crate) fn left(member: &MemberIdentity, outcome: Result<(), ErrorCode>) -> MemberResponse {
    MemberResponse {
        member_id: member.member_id.clone(),
        group_instance_id: member.group_instance_id.clone(),
        error_code: to_wire(outcome.err()),
        ..MemberResponse::default()
    }
}
