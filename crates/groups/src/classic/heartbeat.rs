//! Sessions of members of a classic group: Heartbeat, and the expiry of a session.

use dohle_model::ErrorCode;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;

use crate::classic::group::State;
use crate::classic::join::NEW_MEMBER_JOIN_TIMEOUT;
use crate::classic::step::ClassicGroupStep;
use crate::history::Cause;
use crate::ids::MemberId;

impl ClassicGroupStep<'_, '_> {
    /// Restarts the member's session.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION; REBALANCE_IN_PROGRESS when the
    /// member has to join again.
    pub(crate) fn heartbeat(&mut self, request: &HeartbeatRequestData) -> Result<(), ErrorCode> {
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

    /// Handles the expired session of a member, or of a pending member.
    pub(crate) fn on_session_timeout(&mut self, member_id: &MemberId) {
        if self.group.is_pending(member_id.as_str()) {
            tracing::info!(
                group = %self.group_id,
                member = %member_id,
                "member id expired before a client joined with it"
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
        // The session restarts when the parked request is answered.
        if member.has_satisfied_heartbeat() {
            return;
        }
        tracing::info!(group = %self.group_id, member = %member_id, "session of a member expired");
        let timeout = match member.is_new {
            true => NEW_MEMBER_JOIN_TIMEOUT,
            false => member.session_timeout(),
        };
        let cause = Cause::SessionExpired(self.name(member_id), timeout);
        self.remove_member(member_id);
        match self.group.state {
            State::Empty => {}
            State::PreparingRebalance { .. } => {
                self.note(false, cause);
                self.complete_if_all_joined();
            }
            State::CompletingRebalance { .. } | State::Stable => {
                self.prepare_rebalance(cause);
            }
        }
    }

    /// Completes the rebalance when all remaining members have joined, also before the initial
    /// delay of a group that was empty is over.
    fn complete_if_all_joined(&mut self) {
        if self.group.has_all_members_joined() {
            self.complete_join();
        }
    }
}
