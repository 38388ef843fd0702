//! Events of groups without a request: the shard was loaded, a timer expired, records were
//! committed.

use dohle_model::ErrorCode;

use crate::Step;
use crate::history::Cause;
use crate::ids::GroupId;
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::consumer::step::ConsumerGroupStep;
use crate::shard::Shard;
use crate::step::OnCommit;
use crate::timers::Timer;

/// The shard was loaded.
impl Shard {
    /// Starts the sessions of members of classic groups. A group with more members than
    /// `group.max.size` rebalances, so that the members above the limit can commit before they
    /// leave.
    pub(crate) fn on_classic_loaded(&mut self, step: &mut Step<'_>) {
        let group_ids: Vec<GroupId> = self.groups.keys().cloned().collect();
        for group_id in &group_ids {
            if let Some(mut classic) = self.classic_step(group_id, step) {
                classic.on_loaded();
            }
        }
    }

    /// Starts the sessions of members of consumer groups, and the rebalance timeouts of those that
    /// have to give partitions back.
    pub(crate) fn on_consumer_loaded(&mut self, step: &mut Step<'_>) {
        for (group_id, group) in &mut self.groups {
            let Some(group) = group.consumer_mut() else {
                continue;
            };
            let members: Vec<ConsumerMember> = group.members().values().cloned().collect();
            let mut consumer = ConsumerGroupStep {
                group_id,
                group,
                timers: &mut self.timers,
                topics: &mut self.topics,
                step,
            };
            for member in &members {
                consumer.set_session(member);
                consumer.set_rebalance_timer(member);
            }
        }
    }
}

/// A timer expired.
impl Shard {
    /// Handles an expired timer of a classic group.
    pub(crate) fn on_classic_timeout(&mut self, timer: &Timer, step: &mut Step<'_>) {
        let (Timer::ClassicJoin(group_id)
        | Timer::ClassicSync(group_id)
        | Timer::ClassicSession(group_id, _)) = timer
        else {
            return;
        };
        let Some(mut classic) = self.classic_step(group_id, step) else {
            return;
        };
        match timer {
            Timer::ClassicJoin(_) => classic.on_join_timeout(),
            Timer::ClassicSync(_) => classic.on_sync_timeout(),
            Timer::ClassicSession(_, member_id) => classic.on_session_timeout(member_id),
            _ => {}
        }
    }

    /// Handles an expired timer of a member of a consumer group.
    pub(crate) fn on_consumer_timeout(&mut self, timer: &Timer, step: &mut Step<'_>) {
        let (Timer::ConsumerSession(group_id, member_id)
        | Timer::ConsumerRebalance(group_id, member_id)
        | Timer::ConsumerJoin(group_id, member_id)
        | Timer::ConsumerSync(group_id, member_id)) = timer
        else {
            return;
        };
        self.observe(step);
        let _ = self.with_consumer_group(group_id, step, |consumer| {
            consumer.on_timeout(timer, member_id);
            Ok(())
        });
    }
}

/// Records were committed, or have failed.
impl Shard {
    /// Continues once records of a classic group are committed, or have failed.
    pub(crate) fn on_classic_written(
        &mut self,
        on_commit: &OnCommit,
        outcome: Result<(), ErrorCode>,
        step: &mut Step<'_>,
    ) {
        let (OnCommit::Assignment { group_id, .. }
        | OnCommit::StaticMember { group_id, .. }
        | OnCommit::Empty { group_id, .. }) = on_commit
        else {
            return;
        };
        let Some(mut classic) = self.classic_step(group_id, step) else {
            return;
        };
        match on_commit {
            OnCommit::Assignment { generation, .. } => {
                classic.on_assignment_written(*generation, outcome);
            }
            OnCommit::StaticMember {
                member_id,
                old_member_id,
                token,
                ..
            } => classic.on_static_member_written(member_id, old_member_id, *token, outcome),
            OnCommit::Empty { generation, .. } => {
                if let Err(code) = outcome {
                    classic.on_empty_failed(*generation, code);
                }
            }
            OnCommit::Downgraded { .. } => {}
        }
        self.maybe_forget_new(on_commit, outcome);
    }

    /// Removes a new group whose first record failed.
    fn maybe_forget_new(&mut self, on_commit: &OnCommit, outcome: Result<(), ErrorCode>) {
        let OnCommit::Empty {
            group_id,
            generation: 0,
        } = on_commit
        else {
            return;
        };
        let classic = self.classic_group(group_id.as_str());
        if outcome.is_err() && classic.is_some_and(|classic| classic.is_unused()) {
            self.remove_members(group_id);
        }
    }

    /// Continues once the records that made a consumer group a classic group are committed: starts
    /// the sessions of its members, and begins a rebalance when `rebalance` is set.
    pub(crate) fn on_downgraded(
        &mut self,
        group_id: &GroupId,
        rebalance: bool,
        step: &mut Step<'_>,
    ) {
        let Some(mut classic) = self.classic_step(group_id, step) else {
            return;
        };
        classic.restart_sessions();
        if rebalance {
            classic.prepare_rebalance(Cause::BecameClassic);
        }
    }
}
