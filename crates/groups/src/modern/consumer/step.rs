//! A consumer group in the course of one step, and what its members' timers and configuration are.

use std::time::Duration;

use dohle_model::ErrorCode;

use crate::config::GroupConfig;
use crate::ids::{GroupId, MemberId};
use crate::modern::consumer::group::ConsumerGroup;
use crate::modern::member::{ConsumerMember, MemberState};
use crate::modern::topics::Topics;
use crate::step::{Failed, Step};
use crate::timers::{Timer, Timers};

/// A group, and what surrounds it. The group is changed by replay alone; a turn only notes when it
/// looked at the metadata.
pub(crate) struct Turn<'t, 's> {
    /// The group's id.
    pub group_id: &'t GroupId,
    /// The group.
    pub group: &'t mut ConsumerGroup,
    /// The timers of all groups.
    pub timers: &'t mut Timers,
    /// What is known of topics.
    pub topics: &'t mut Topics,
    /// The step.
    pub step: &'t mut Step<'s>,
}

impl Turn<'_, '_> {
    /// The member with this id.
    pub(crate) fn known(&self, member_id: &str) -> Result<&ConsumerMember, Failed> {
        self.group
            .member(member_id)
            .ok_or_else(|| unknown_member(self.group_id, member_id))
    }

    /// Begins a member's session anew.
    pub(crate) fn set_session(&mut self, member: &ConsumerMember) {
        let timeout = session_timeout(self.step.config, self.group_id, member);
        let timer = Timer::ConsumerSession(self.group_id.clone(), member.member_id.clone());
        self.set(timer, timeout);
    }

    /// A member that has to give something back has its rebalance timeout for it.
    pub(crate) fn set_rebalance(&mut self, member: &ConsumerMember) {
        let timer = Timer::ConsumerRebalance(self.group_id.clone(), member.member_id.clone());
        match member.state {
            MemberState::UnrevokedPartitions => {
                self.set(timer, millis(member.rebalance_timeout_ms));
            }
            _ => self.timers.cancel(&timer),
        }
    }

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
            "consumer.heartbeat.interval.ms",
            config.group_consumer_heartbeat_interval,
            (
                config.group_consumer_min_heartbeat_interval,
                config.group_consumer_max_heartbeat_interval,
            ),
        )
    }

    /// How long it takes at least from one target assignment to the next (KIP-1263).
    pub(crate) fn assignment_interval(&self) -> Duration {
        let config = self.step.config;
        of_group(
            config,
            self.group_id,
            "consumer.assignment.interval.ms",
            config.group_consumer_assignment_interval,
            (
                config.group_consumer_min_assignment_interval,
                config.group_consumer_max_assignment_interval,
            ),
        )
    }
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

/// A member that is not in the group.
pub(crate) fn unknown_member(group_id: &GroupId, member_id: &str) -> Failed {
    Failed::because(
        ErrorCode::UnknownMemberId,
        format!("Member {member_id} is not a member of group {group_id}."),
    )
}

/// How long a member may be silent: as it says itself in the classic protocol, else as configured.
fn session_timeout(config: &GroupConfig, group_id: &GroupId, member: &ConsumerMember) -> Duration {
    match &member.classic {
        Some(classic) => millis(classic.session_timeout_ms),
        None => of_group(
            config,
            group_id,
            "consumer.session.timeout.ms",
            config.group_consumer_session_timeout,
            (
                config.group_consumer_min_session_timeout,
                config.group_consumer_max_session_timeout,
            ),
        ),
    }
}

/// A group's own value within the broker's bounds, or the broker's.
fn of_group(
    config: &GroupConfig,
    group_id: &GroupId,
    name: &str,
    otherwise: Duration,
    (min, max): (Duration, Duration),
) -> Duration {
    let own = config.groups.get(group_id.as_str());
    let own = own.and_then(|values| values.get(name)?.parse().ok());
    own.map_or(otherwise, |ms| Duration::from_millis(ms).min(max).max(min))
}

/// A time of the wire, nothing when it is negative.
pub(crate) fn millis(ms: i32) -> Duration {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0))
}
