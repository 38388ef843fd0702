//! Groups of the consumer protocol (KIP-848): ConsumerGroupHeartbeat, and members of the classic
//! protocol among them.
//!
//! ```text
//!   what members say, topics        the group epoch, when it rose        the target assignment
//!   ConsumerMember, ConsumerGroup -> ConsumerTargetMember, ConsumerTarget -> ConsumerCurrent
//!   subscription.rs                  assignor/                               reconcile.rs
//! ```
//!
//! A request is planned on the group and the member as it is going to be: records say what changes,
//! the answer says what replaying them makes. All of the state is replayed from records; when the
//! metadata was looked at, and the timers, live in memory.
//!
//! Source: KIP-848, 1101 (a hash of the topics), 1251 (assignment epochs), 1263 (batched
//! assignments); `GroupMetadataManager` and `modern/consumer` of Apache Kafka 4.3.
//!
//! Where it differs from Kafka: a regular expression has its topics with the answer to the request
//! that brings it; a member that names the epoch before is told its assignment again; who
//! subscribes to nothing yet is in epoch 1, not 0; a subscription of the classic protocol that
//! can't be read is INCONSISTENT_GROUP_PROTOCOL, not UNKNOWN_SERVER_ERROR; a clock that was set
//! back holds no target assignment up; a group that becomes a classic one rebalances once that is
//! committed.
//!
//! Invariant: a partition is never owned by two members.

mod commit;
mod describe;
pub mod group;
pub(crate) mod heartbeat;
pub mod member;
pub(crate) mod membership;
mod regex;
mod replay;
pub(crate) mod step;
pub(crate) mod subscription;

#[cfg(test)]
pub(crate) mod tests;

pub use group::ConsumerGroup;
pub use member::ConsumerMember;
pub use regex::Matches;

use dohle_model::ErrorCode;

use crate::ids::{GroupId, MemberId};
use crate::modern::consumer::step::ConsumerGroupStep;
use crate::modern::member::MemberState;
use crate::shard::{Kind, Shard};
use crate::step::{Failed, Step};
use crate::timers::Timer;
use crate::wire::millis;

impl Shard {
    /// Sessions of the members that were loaded begin, and the time that they have to give
    /// partitions back.
    pub(crate) fn on_consumer_loaded(&mut self, step: &mut Step<'_>) {
        for (group_id, group) in &mut self.groups {
            let Kind::Consumer(group) = &mut group.kind else {
                continue;
            };
            let members: Vec<ConsumerMember> = group.members().values().cloned().collect();
            let mut turn = ConsumerGroupStep {
                group_id,
                group,
                timers: &mut self.timers,
                topics: &mut self.topics,
                step,
            };
            for member in &members {
                turn.set_session(member);
                turn.set_rebalance_timer(member);
            }
        }
    }

    /// A timer of a member has run out: the member goes, if what it waited for did not happen.
    pub(crate) fn on_consumer_timeout(&mut self, timer: &Timer, step: &mut Step<'_>) {
        let (Timer::ConsumerSession(group_id, member_id)
        | Timer::ConsumerRebalance(group_id, member_id)
        | Timer::ConsumerJoin(group_id, member_id)
        | Timer::ConsumerSync(group_id, member_id)) = timer
        else {
            return;
        };
        self.observe(step);
        let _ = self.with_consumer_group(group_id, step, |turn| {
            turn.on_timeout(timer, member_id);
            Ok(())
        });
    }

    /// Looks at the metadata of a step. Groups whose topics changed look again when a member
    /// heartbeats.
    pub(crate) fn observe(&mut self, step: &Step<'_>) {
        for group_id in self.topics.observe(step.image) {
            let group = self.groups.get_mut(&group_id);
            if let Some(Kind::Consumer(group)) = group.map(|group| &mut group.kind) {
                group.common.metadata_checked = None;
            }
        }
    }

    /// Plans on a consumer group.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, and what the plan fails with.
    pub(crate) fn with_consumer_group<R>(
        &mut self,
        group_id: &GroupId,
        step: &mut Step<'_>,
        plan: impl FnOnce(&mut ConsumerGroupStep<'_, '_>) -> Result<R, Failed>,
    ) -> Result<R, Failed> {
        let group = self.groups.get_mut(group_id);
        let group = match group.map(|group| &mut group.kind) {
            Some(Kind::Consumer(group)) => group,
            Some(Kind::Classic(_)) => return Err(not_a_consumer_group(group_id)),
            None => {
                let message = format!("Consumer group {group_id} not found.");
                return Err(Failed::because(ErrorCode::GroupIdNotFound, message));
            }
        };
        plan(&mut ConsumerGroupStep {
            group_id,
            group,
            timers: &mut self.timers,
            topics: &mut self.topics,
            step,
        })
    }

    /// Plans on a group that a member of the consumer protocol joins: one that there is, one that
    /// the classic group with this id becomes, or a new one.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND when a classic group can't become one, and what the plan fails with.
    pub(crate) fn with_joined_group<R>(
        &mut self,
        group_id: &GroupId,
        step: &mut Step<'_>,
        plan: impl FnOnce(&mut ConsumerGroupStep<'_, '_>) -> Result<R, Failed>,
    ) -> Result<R, Failed> {
        let group = self.groups.get(group_id);
        let mut group = match group.map(|group| &group.kind) {
            Some(Kind::Consumer(_)) => return self.with_consumer_group(group_id, step, plan),
            None => ConsumerGroup::default(),
            Some(Kind::Classic(classic)) if classic.is_empty() => {
                crate::migration::upgrade::take_place_of(classic, group_id, step)
            }
            Some(Kind::Classic(classic)) => {
                crate::migration::upgrade::upgrade(classic, group_id, &mut self.topics, step)?
            }
        };
        let result = plan(&mut ConsumerGroupStep {
            group_id,
            group: &mut group,
            timers: &mut self.timers,
            topics: &mut self.topics,
            step,
        })?;
        self.release_classic(group_id, &group, step);
        Ok(result)
    }
}

impl ConsumerGroupStep<'_, '_> {
    fn on_timeout(&mut self, timer: &Timer, member_id: &MemberId) {
        let Some(member) = self.group.member(member_id.as_str()) else {
            return;
        };
        let rebalance_timeout = millis(member.rebalance_timeout_ms);
        let why = match timer {
            Timer::ConsumerSession(..) => "its session expired",
            Timer::ConsumerRebalance(..) => {
                let is_late = member.common.state == MemberState::UnrevokedPartitions;
                if !is_late || member.common.member_epoch < 0 {
                    return;
                }
                "it did not give back partitions within its rebalance timeout"
            }
            _ if !member.uses_classic_protocol() => return,
            Timer::ConsumerJoin(..) => "it did not join within its rebalance timeout",
            _ => "it did not sync within its rebalance timeout",
        };
        // Should this not be written, it is tried again.
        match timer {
            Timer::ConsumerSession(..) => self.set_session(&member.clone()),
            _ => self.set(timer.clone(), rebalance_timeout),
        }
        self.expire(member_id, why);
    }
}

fn not_a_consumer_group(group_id: &GroupId) -> Failed {
    Failed::because(
        ErrorCode::GroupIdNotFound,
        format!("Group {group_id} is not a consumer group."),
    )
}
