//! Events of a classic group without a request: it is loaded, it is deleted, or its first record
//! fails.

use dohle_model::ErrorCode;

use crate::classic::group::ClassicGroup;
use crate::classic::step::{ClassicGroupStep, join_error, write_error};
use crate::history::Cause;
use crate::ids::{GroupId, MemberId};
use crate::timers::{Timer, Timers};

impl ClassicGroup {
    /// Whether the group never had a member, and no client is about to join.
    pub(crate) fn is_unused(&self) -> bool {
        self.is_empty() && self.generation() == 0 && self.pending_members().is_empty()
    }

    /// Ends all timers of the group and of its members.
    pub(crate) fn cancel_timers(&self, group_id: &GroupId, timers: &mut Timers) {
        timers.cancel(&Timer::ClassicJoin(group_id.clone()));
        timers.cancel(&Timer::ClassicSync(group_id.clone()));
        for member_id in self.members().keys().chain(self.pending_members()) {
            timers.cancel(&Timer::ClassicSession(group_id.clone(), member_id.clone()));
        }
    }
}

impl ClassicGroupStep<'_, '_> {
    /// Starts the sessions of all members after the group was loaded. When it has more members than
    /// `group.max.size`, it rebalances, so that the members above the limit can commit before they
    /// leave.
    pub(crate) fn on_loaded(&mut self) {
        self.restart_sessions();
        if self.group.members().len() > self.step.config.group_max_size {
            self.prepare_rebalance(Cause::TooManyMembers);
        }
    }

    /// Handles a failure to write the record that the group is empty.
    ///
    /// A new group (generation 0) is removed, and its parked JoinGroups are refused. For any other
    /// group the log still has the generation before, with members that are gone: a coordinator
    /// that loads it removes them when their sessions expire.
    pub(crate) fn on_empty_failed(&mut self, generation: i32, code: ErrorCode) {
        let group = self.group_id;
        if code == ErrorCode::NotCoordinator {
            // The next coordinator loads the group and removes its members.
            tracing::info!(
                %group, generation,
                "record of an empty group was not written: another broker coordinates the group"
            );
        } else {
            tracing::warn!(
                %group, generation, %code,
                "record of an empty group could not be written"
            );
        }
        if generation != 0 || self.group.generation() != 0 {
            return;
        }
        let refusal = write_error(code);
        let member_ids: Vec<MemberId> = self.group.members().keys().cloned().collect();
        for member_id in &member_ids {
            self.answer_join(member_id, join_error("", refusal));
        }
        self.group.cancel_timers(self.group_id, self.timers);
        *self.group = ClassicGroup::default();
    }
}
