//! A consumer group during one step, with its members' timers and its configuration.

use std::time::Duration;

use dohle_config::GroupKey;
use dohle_config::keys::group as keys;
use dohle_model::ErrorCode;

use crate::Step;
use crate::config::GroupConfig;
use crate::history::{Cause, GroupEvent, MemberName, Rebalance};
use crate::ids::{GroupId, MemberId};
use crate::modern::consumer::group::ConsumerGroup;
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::member::MemberState;
use crate::modern::topics::Topics;
use crate::step::Failed;
use crate::timers::{Timer, Timers};
use crate::wire::millis;

/// A group, and what a plan on it needs. A plan does not change the group, except for
/// `metadata_checked`; its records do when they are replayed.
pub(crate) struct ConsumerGroupStep<'t, 's> {
    /// The group's id.
    pub group_id: &'t GroupId,
    /// The group.
    pub group: &'t mut ConsumerGroup,
    /// The timers of all groups.
    pub timers: &'t mut Timers,
    /// The topics of the cluster.
    pub topics: &'t mut Topics,
    /// The step.
    pub step: &'t mut Step<'s>,
}

impl ConsumerGroupStep<'_, '_> {
    /// The member with this id.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID.
    pub(crate) fn known(&self, member_id: &str) -> Result<&ConsumerMember, Failed> {
        self.group
            .member(member_id)
            .ok_or_else(|| unknown_member(self.group_id, member_id))
    }

    /// Adds a rebalance, which leaves the group with this number of members, to the history.
    pub(crate) fn note(&mut self, epoch: i32, members: usize, cause: Cause) {
        let rebalance = Rebalance {
            generation: epoch,
            members,
            began: true,
            cause,
        };
        self.step.effects.events.push(GroupEvent {
            group_id: self.group_id.clone(),
            rebalance,
        });
    }

    /// Starts a member's session anew.
    pub(crate) fn set_session(&mut self, member: &ConsumerMember) {
        let timeout = session_timeout(self.step.config, self.group_id, member);
        let timer = Timer::ConsumerSession(self.group_id.clone(), member.id().clone());
        self.set(timer, timeout);
    }

    /// Starts the rebalance timeout of a member that has to give partitions back, and ends that of
    /// any other member.
    pub(crate) fn set_rebalance_timer(&mut self, member: &ConsumerMember) {
        let timer = Timer::ConsumerRebalance(self.group_id.clone(), member.id().clone());
        match member.common.state {
            MemberState::UnrevokedPartitions => {
                self.set(timer, millis(member.rebalance_timeout_ms));
            }
            _ => self.timers.cancel(&timer),
        }
    }

    /// Starts a timer that expires after `timeout`.
    pub(crate) fn set(&mut self, timer: Timer, timeout: Duration) {
        self.timers
            .set(timer, self.step.now.saturating_add(timeout));
    }

    /// Ends all timers of a member.
    pub(crate) fn cancel_timers(&mut self, member_id: &MemberId) {
        cancel_timers(self.timers, self.group_id, member_id);
    }

    /// How often members heartbeat.
    pub(crate) fn heartbeat_interval(&self) -> Duration {
        let config = self.step.config;
        of_group(
            config,
            self.group_id,
            &keys::CONSUMER_HEARTBEAT_INTERVAL_MS,
            config.group_consumer_heartbeat_interval,
            (
                config.group_consumer_min_heartbeat_interval,
                config.group_consumer_max_heartbeat_interval,
            ),
        )
    }

    /// The shortest time between two target assignments (KIP-1263).
    pub(crate) fn assignment_interval(&self) -> Duration {
        let config = self.step.config;
        of_group(
            config,
            self.group_id,
            &keys::CONSUMER_ASSIGNMENT_INTERVAL_MS,
            config.group_consumer_assignment_interval,
            (
                config.group_consumer_min_assignment_interval,
                config.group_consumer_max_assignment_interval,
            ),
        )
    }
}

/// The name of a member for the history.
pub(crate) fn name(member: &ConsumerMember) -> MemberName {
    let common = &member.common;
    MemberName::new(
        member.id(),
        common.instance_id.as_ref(),
        &common.client_host,
    )
}

/// Ends all timers of a member.
pub(crate) fn cancel_timers(timers: &mut Timers, group_id: &GroupId, member_id: &MemberId) {
    for timer in [
        Timer::ConsumerSession,
        Timer::ConsumerRebalance,
        Timer::ConsumerJoin,
        Timer::ConsumerSync,
    ] {
        timers.cancel(&timer(group_id.clone(), member_id.clone()));
    }
}

/// Returns UNKNOWN_MEMBER_ID for an id that no member has.
pub(crate) fn unknown_member(group_id: &GroupId, member_id: &str) -> Failed {
    Failed::because(
        ErrorCode::UnknownMemberId,
        format!("Member {member_id} is not a member of group {group_id}."),
    )
}

/// How long a member may be silent. A member of the classic protocol sets this itself; for others
/// it is configured.
pub(crate) fn session_timeout(
    config: &GroupConfig,
    group_id: &GroupId,
    member: &ConsumerMember,
) -> Duration {
    match &member.classic {
        Some(classic) => millis(classic.session_timeout_ms),
        None => of_group(
            config,
            group_id,
            &keys::CONSUMER_SESSION_TIMEOUT_MS,
            config.group_consumer_session_timeout,
            (
                config.group_consumer_min_session_timeout,
                config.group_consumer_max_session_timeout,
            ),
        ),
    }
}

/// Returns the value that is configured for the group, within the broker's bounds; the broker's
/// default when the group has none.
fn of_group(
    config: &GroupConfig,
    group_id: &GroupId,
    key: &GroupKey<Duration>,
    default: Duration,
    (min, max): (Duration, Duration),
) -> Duration {
    let own = config.groups.get(group_id.as_str());
    let own = own.and_then(|own| key.own(own));
    own.map_or(default, |value| value.min(max).max(min))
}
