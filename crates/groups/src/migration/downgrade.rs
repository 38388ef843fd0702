//! A classic group that becomes a consumer group, or was one (`group.consumer.migration.policy`).

use dohle_machine::Machine as _;
use dohle_model::ErrorCode;

use crate::classic::step::{join_error, sync_error};
use crate::ids::{GroupId, MemberId};
use crate::shard::{Group, Kind, Shard};
use crate::step::Step;

impl Shard {
    /// The group is about to become a consumer group: whoever waits in it is answered with `code`.
    pub(crate) fn abandon_classic(
        &mut self,
        group_id: &GroupId,
        code: ErrorCode,
        step: &mut Step<'_>,
    ) {
        let Some(mut turn) = self.classic_turn(group_id, step) else {
            return;
        };
        let member_ids: Vec<MemberId> = turn.group.members().keys().cloned().collect();
        for member_id in &member_ids {
            turn.answer_join(member_id, join_error(member_id.as_str(), code));
            turn.answer_sync(member_id, sync_error(code));
        }
    }

    /// A consumer group without members gives way to a classic one.
    pub(crate) fn make_classic(&mut self, group_id: &GroupId, step: &mut Step<'_>) {
        let Some(group) = self.groups.get(group_id) else {
            return;
        };
        let Kind::Consumer(consumer) = &group.kind else {
            return;
        };
        let tombstones = consumer.tombstones(group_id);
        for tombstone in &tombstones {
            self.replay(tombstone.clone());
        }
        self.groups
            .entry(group_id.clone())
            .or_insert_with(Group::empty);
        step.effects.records.extend(tombstones);
        step.effects.skip_replay = true;
        tracing::info!(group = %group_id, "an empty consumer group becomes a classic group");
    }

    /// The group was a consumer group, and is a classic one since it was written: its members'
    /// sessions begin, and it rebalances if its assignment does not stand.
    pub(crate) fn on_downgraded(
        &mut self,
        group_id: &GroupId,
        rebalance: bool,
        step: &mut Step<'_>,
    ) {
        let Some(mut turn) = self.classic_turn(group_id, step) else {
            return;
        };
        let member_ids: Vec<MemberId> = turn.group.members().keys().cloned().collect();
        for member_id in &member_ids {
            turn.restart_session(member_id);
        }
        if rebalance {
            turn.prepare_rebalance("the group was a consumer group");
        }
    }
}
