//! Groups of the classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup.
//!
//! Such a group lives in memory; a record is written when it is new, when its leader's assignment
//! is known, when a static member is replaced, and when it becomes empty. Eager and cooperative
//! rebalancing (KIP-429) look the same from here: what members keep meanwhile is up to them.
//!
//! Source: KIP-62, 134, 345, 389, 394, 429, 559, 800, 814; `GroupMetadataManager` and
//! `ClassicGroup` of Apache Kafka 4.3.
//!
//! Differs from Kafka, which leaves these without an answer: a request that another one of the
//! same member supersedes is told REBALANCE_IN_PROGRESS, the SyncGroup of a member that is removed
//! UNKNOWN_MEMBER_ID. A protocol that a member names twice counts once. Of protocols with equally
//! many votes the first in the alphabet wins, of members that may lead the first by id; Kafka
//! leaves both to the order of a hash map. A static member that is replaced before it has synced
//! causes no rebalance when the time to sync is over.
//!
//! Invariants: every parked request is answered; a generation never falls; a group with members has
//! one leader, which is a member; a session runs for members, and for those that were given an id,
//! and for nobody else.

pub mod describe;
pub mod group;
mod heartbeat;
mod join;
mod leave;
mod member;
mod protocol;
mod rebalance;
mod record;
mod static_members;
pub(crate) mod step;
mod sync;

#[cfg(test)]
mod tests;

pub use group::{ClassicGroup, InitialDelay, State};
pub use member::{Member, Protocol};

use dohle_model::ErrorCode;

use crate::ids::{GroupId, MemberId};
use crate::records::ClassicGroupValue;
use crate::shard::{Group, Kind, Shard};
use crate::step::{OnCommit, Step};
use crate::timers::{Timer, Timers};

impl Shard {
    /// Makes a classic group's record, or its tombstone, part of the state.
    pub(crate) fn replay_classic(&mut self, group_id: GroupId, value: Option<ClassicGroupValue>) {
        match value {
            Some(value) => {
                let group = self.groups.entry(group_id).or_insert_with(Group::empty);
                group.kind = Kind::Classic(ClassicGroup::of(value));
            }
            None => self.forget_classic(&group_id),
        }
    }

    /// A group was deleted. One of the other protocol with this id stays.
    fn forget_classic(&mut self, group_id: &GroupId) {
        let Some(Kind::Classic(classic)) = self.groups.get(group_id).map(|group| &group.kind)
        else {
            return;
        };
        classic.cancel_timers(group_id, &mut self.timers);
        self.drop_classic(group_id);
    }

    /// Sessions of the members that were loaded begin. A group with more members than
    /// `group.max.size` rebalances, so that those who are too many can commit before they go.
    pub(crate) fn on_classic_loaded(&mut self, step: &mut Step<'_>) {
        let max = step.config.group_max_size;
        for (group_id, group) in &mut self.groups {
            let Kind::Classic(group) = &mut group.kind else {
                continue;
            };
            let mut turn = step::Turn {
                group_id,
                group,
                timers: &mut self.timers,
                step,
            };
            let member_ids: Vec<MemberId> = turn.group.members().keys().cloned().collect();
            for member_id in &member_ids {
                turn.restart_session(member_id);
            }
            if member_ids.len() > max {
                turn.prepare_rebalance("the group was loaded and has too many members");
            }
        }
    }

    /// A timer of a classic group has run out.
    pub(crate) fn on_classic_timeout(&mut self, timer: &Timer, step: &mut Step<'_>) {
        let (Timer::ClassicJoin(group_id)
        | Timer::ClassicSync(group_id)
        | Timer::ClassicSession(group_id, _)) = timer
        else {
            return;
        };
        let Some(mut turn) = self.classic_turn(group_id, step) else {
            return;
        };
        match timer {
            Timer::ClassicJoin(_) => turn.on_join_timeout(),
            Timer::ClassicSync(_) => turn.on_sync_timeout(),
            Timer::ClassicSession(_, member_id) => turn.on_session_timeout(member_id),
            _ => {}
        }
    }

    /// What a classic group wrote is committed, or could not be.
    pub(crate) fn on_classic_written(
        &mut self,
        written: &OnCommit,
        outcome: Result<(), ErrorCode>,
        step: &mut Step<'_>,
    ) {
        let (OnCommit::Assignment { group_id, .. }
        | OnCommit::StaticMember { group_id, .. }
        | OnCommit::Empty { group_id, .. }) = written
        else {
            return;
        };
        let Some(mut turn) = self.classic_turn(group_id, step) else {
            return;
        };
        match written {
            OnCommit::Assignment { generation, .. } => {
                turn.on_assignment_written(*generation, outcome);
            }
            OnCommit::StaticMember {
                member_id,
                old_member_id,
                token,
                ..
            } => turn.on_static_member_written(member_id, old_member_id, *token, outcome),
            OnCommit::Empty { generation, .. } => {
                if let Err(code) = outcome {
                    turn.on_empty_failed(*generation, code);
                }
            }
            OnCommit::Downgraded { .. } => {}
        }
        self.maybe_forget_new(written, outcome);
    }

    /// A new group that could not be written is not there.
    fn maybe_forget_new(&mut self, written: &OnCommit, outcome: Result<(), ErrorCode>) {
        let OnCommit::Empty {
            group_id,
            generation: 0,
        } = written
        else {
            return;
        };
        let Some(group) = self.groups.get(group_id) else {
            return;
        };
        let is_unused = matches!(&group.kind, Kind::Classic(classic) if classic.is_unused());
        if outcome.is_err() && is_unused {
            self.drop_classic(group_id);
        }
    }

    /// Nothing but offsets is left of a group, or nothing at all.
    fn drop_classic(&mut self, group_id: &GroupId) {
        if let Some(group) = self.groups.get_mut(group_id) {
            group.kind = Kind::Classic(ClassicGroup::default());
            if group.offsets.is_empty() {
                self.groups.remove(group_id);
            }
        }
    }
}

impl ClassicGroup {
    /// Whether nobody was ever a member, or is about to be.
    fn is_unused(&self) -> bool {
        self.is_empty() && self.generation() == 0 && self.pending_members().is_empty()
    }

    /// Ends all timers of the group, its members' included: it goes.
    pub(crate) fn cancel_timers(&self, group_id: &GroupId, timers: &mut Timers) {
        timers.cancel(&Timer::ClassicJoin(group_id.clone()));
        timers.cancel(&Timer::ClassicSync(group_id.clone()));
        for member_id in self.members().keys().chain(self.pending_members()) {
            timers.cancel(&Timer::ClassicSession(group_id.clone(), member_id.clone()));
        }
    }
}

impl step::Turn<'_, '_> {
    /// An empty group could not be written. If it is a new one, those who wait to join it are sent
    /// away, and it is gone. Else the generation before is in the log, whose members are gone too:
    /// whoever loads it lets them expire.
    fn on_empty_failed(&mut self, generation: i32, code: ErrorCode) {
        tracing::warn!(
            group = %self.group_id,
            generation,
            %code,
            "that a group is empty could not be written"
        );
        if generation != 0 || self.group.generation() != 0 {
            return;
        }
        let refusal = step::write_error(code);
        let member_ids: Vec<MemberId> = self.group.members().keys().cloned().collect();
        for member_id in &member_ids {
            self.answer_join(member_id, step::join_error("", refusal));
        }
        self.group.cancel_timers(self.group_id, self.timers);
        *self.group = ClassicGroup::default();
    }
}
