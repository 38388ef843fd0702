//! Static members (KIP-345): a client that joins with the `group.instance.id` of a member replaces
//! that member and takes over its assignment. A stable group needs no rebalance for this, unless
//! the replacement changes the selected protocol; the client is answered once its new id is
//! committed (`OnCommit::StaticMember`).
//!
//! From JoinGroup version 9 on a leader that returns this way is asked to skip the assignment
//! (KIP-814).

use dohle_model::ErrorCode;

use crate::classic::group::State;
use crate::classic::join::Join;
use crate::classic::member::Replaced;
use crate::classic::step::{ClassicGroupStep, join_error, sync_error, write_error};
use crate::history::Cause;
use crate::ids::MemberId;
use crate::step::{JoinReply, JoinToken, OnCommit};
use crate::wire::text;

/// From this version of JoinGroup on the response can ask a leader to skip the assignment
/// (KIP-814).
const SKIP_ASSIGNMENT: i16 = 9;

impl ClassicGroupStep<'_, '_> {
    /// Plans the JoinGroup of a static member that names no member id, while a member has its
    /// instance id.
    pub(super) fn replace_static_member(
        &mut self,
        join: &Join<'_>,
        old_member_id: &MemberId,
        member_id: MemberId,
    ) {
        tracing::info!(
            group = %self.group_id,
            instance = ?join.instance_id,
            member = %member_id,
            replaced = %old_member_id,
            "static member replaced"
        );
        let Some(old) = self.group.member(old_member_id.as_str()) else {
            return;
        };
        let replaced = Replaced {
            protocols: old.protocols.clone(),
            rebalance_timeout_ms: old.rebalance_timeout_ms,
            session_timeout_ms: old.session_timeout_ms,
            leader: self.group.leader().cloned(),
            version: join.caller.version,
        };
        self.take_over(old_member_id, &member_id);
        self.update_member(join, &member_id);
        self.park_join(join, &member_id);
        match self.group.state {
            State::Stable if self.group.select_protocol() == self.group.protocol => {
                self.write_static_member(join, old_member_id, member_id, replaced);
            }
            // The leader may have made an assignment for the old id.
            State::Stable | State::CompletingRebalance { .. } => {
                self.prepare_rebalance(Cause::StaticMemberReplaced(self.name(&member_id)));
            }
            State::Empty | State::PreparingRebalance { .. } => self.maybe_complete_join(),
        }
    }

    /// Gives a member another id. Parked requests with the old id are answered with
    /// FENCED_INSTANCE_ID.
    fn take_over(&mut self, old_member_id: &MemberId, member_id: &MemberId) {
        let code = ErrorCode::FencedInstanceId;
        self.answer_join(old_member_id, join_error(old_member_id.as_str(), code));
        self.answer_sync(old_member_id, sync_error(code));
        self.cancel_session(old_member_id);
        self.group.rename(old_member_id, member_id);
        if let Some(member) = self.group.member_mut(member_id.as_str()) {
            member.is_new = false;
            member.replaced = None;
        }
        if self.group.pending_syncs.is_empty() {
            self.cancel_sync_timer();
        }
        self.restart_session(member_id);
    }

    fn write_static_member(
        &mut self,
        join: &Join<'_>,
        old_member_id: &MemberId,
        member_id: MemberId,
        replaced: Replaced,
    ) {
        if let Some(member) = self.group.member_mut(member_id.as_str()) {
            member.replaced = Some(replaced);
        }
        let on_commit = OnCommit::StaticMember {
            group_id: self.group_id.clone(),
            member_id,
            old_member_id: old_member_id.clone(),
            token: join.token,
        };
        self.write(self.group.record(self.group_id), on_commit);
    }

    /// Continues once the new id is committed, or has failed. Does nothing when a rebalance has
    /// begun since: the parked JoinGroup then takes part in it.
    pub(crate) fn on_static_member_written(
        &mut self,
        member_id: &MemberId,
        old_member_id: &MemberId,
        token: JoinToken,
        outcome: Result<(), ErrorCode>,
    ) {
        let Some(member) = self.group.member_mut(member_id.as_str()) else {
            return;
        };
        if member.join != Some(token) || self.group.state != State::Stable {
            return;
        }
        let Some(replaced) = self
            .group
            .member_mut(member_id.as_str())
            .and_then(|member| member.replaced.take())
        else {
            return;
        };
        match outcome {
            Ok(()) => self.admit(member_id, &replaced),
            Err(code) => self.revert(member_id, old_member_id, token, replaced, code),
        }
    }

    fn admit(&mut self, member_id: &MemberId, replaced: &Replaced) {
        let mut response = self.generation_for(member_id);
        if replaced.version >= SKIP_ASSIGNMENT {
            response.skip_assignment = self.group.is_leader(member_id.as_str());
        } else {
            // An older client that learned that it leads would send an assignment, which no other
            // member has asked for.
            response.members.clear();
            response.leader = text(replaced.leader.as_ref().map_or("", MemberId::as_str));
        }
        self.answer_join(member_id, response);
        self.restart_session(member_id);
    }

    fn revert(
        &mut self,
        member_id: &MemberId,
        old_member_id: &MemberId,
        token: JoinToken,
        replaced: Replaced,
        code: ErrorCode,
    ) {
        tracing::warn!(
            group = %self.group_id,
            member = %member_id,
            %code,
            "new id of a static member could not be written: it keeps the old one"
        );
        let mut refusal = self.generation_for(member_id);
        refusal.members.clear();
        refusal.member_id = text("");
        refusal.leader = text(replaced.leader.as_ref().map_or("", MemberId::as_str));
        refusal.error_code = write_error(code).code();
        self.group.take_join(member_id.as_str());
        self.step.reply(token, JoinReply(refusal));
        self.group.update(
            member_id,
            replaced.protocols,
            replaced.rebalance_timeout_ms,
            replaced.session_timeout_ms,
        );
        self.take_over(member_id, old_member_id);
    }
}
