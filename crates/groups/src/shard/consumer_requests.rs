//! Requests to consumer groups: ConsumerGroupHeartbeat, and finding or creating the group for it.

use dohle_model::ErrorCode;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestData;
use dohle_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponseData;

use crate::ids::GroupId;
use crate::migration::upgrade;
use crate::modern::consumer::ConsumerGroup;
use crate::modern::consumer::heartbeat::{LEAVE_TEMPORARILY, validate};
use crate::modern::consumer::step::{ConsumerGroupStep, cancel_timers};
use crate::modern::heartbeat::{JOIN, LEAVE};
use crate::shard::{Kind, Shard};
use crate::step::{Caller, Failed};
use crate::timers::Timer;
use crate::wire::millis;
use crate::{Effects, Step};

impl Shard {
    /// Plans ConsumerGroupHeartbeat. When the request needs regular expressions to be resolved,
    /// [`Step::unresolved`] names them, and the request is planned again with their matches. The
    /// response shows state of the group, so it waits for the commit of all its records.
    ///
    /// [`Step::unresolved`]: dohle_machine::Step::unresolved
    pub fn consumer_group_heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequestData,
        caller: Caller<'_>,
        step: &mut Step<'_>,
    ) -> ConsumerGroupHeartbeatResponseData {
        self.observe(step);
        let response = validate(request, caller.version, step.config)
            .and_then(|()| self.route_consumer_heartbeat(request, caller, step));
        match response {
            Ok(response) => {
                step.read_up_to(self.written(request.group_id.as_str()));
                response
            }
            Err(failed) => {
                step.effects = Effects::default();
                let message = failed.message;
                ConsumerGroupHeartbeatResponseData {
                    error_code: failed.code.code(),
                    error_message: (!message.is_empty()).then(|| KafkaString::from(message)),
                    ..ConsumerGroupHeartbeatResponseData::default()
                }
            }
        }
    }

    fn route_consumer_heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequestData,
        caller: Caller<'_>,
        step: &mut Step<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponseData, Failed> {
        let group_id = GroupId::new(request.group_id.as_str());
        match request.member_epoch {
            LEAVE | LEAVE_TEMPORARILY => {
                self.with_consumer_group(&group_id, step, |group| group.leave(request))
            }
            JOIN => {
                self.with_joined_group(&group_id, step, |group| group.heartbeat(request, caller))
            }
            _ => {
                self.with_consumer_group(&group_id, step, |group| group.heartbeat(request, caller))
            }
        }
    }

    /// Compares the topics of the cluster with those of the last call. Groups that subscribe to a
    /// changed topic compute the hash of their topics with the next heartbeat.
    pub(super) fn observe(&mut self, step: &Step<'_>) {
        for group_id in self.topics.observe(step.image) {
            let group = self.groups.get_mut(&group_id);
            if let Some(group) = group.and_then(|group| group.consumer_mut()) {
                group.common.metadata_checked = None;
            }
        }
    }

    /// Plans on a consumer group.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND, and the errors of the plan.
    pub(super) fn with_consumer_group<R>(
        &mut self,
        group_id: &GroupId,
        step: &mut Step<'_>,
        plan: impl FnOnce(&mut ConsumerGroupStep<'_, '_>) -> Result<R, Failed>,
    ) -> Result<R, Failed> {
        let group = self.groups.get_mut(group_id).ok_or_else(|| {
            let message = format!("Consumer group {group_id} not found.");
            Failed::because(ErrorCode::GroupIdNotFound, message)
        })?;
        let group = group
            .consumer_mut()
            .ok_or_else(|| not_a_consumer_group(group_id.as_str()))?;
        plan(&mut ConsumerGroupStep {
            group_id,
            group,
            timers: &mut self.timers,
            topics: &mut self.topics,
            step,
        })
    }

    /// Plans on the group that a member of the consumer protocol joins: the consumer group with
    /// this id, the one that the classic group with this id becomes, or a new one.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND when the classic group cannot become a consumer group, and the errors of
    /// the plan.
    fn with_joined_group<R>(
        &mut self,
        group_id: &GroupId,
        step: &mut Step<'_>,
        plan: impl FnOnce(&mut ConsumerGroupStep<'_, '_>) -> Result<R, Failed>,
    ) -> Result<R, Failed> {
        let group = self.groups.get(group_id);
        let mut group = match group.map(|group| &group.kind) {
            None => ConsumerGroup::default(),
            Some(Kind::Consumer(_)) => return self.with_consumer_group(group_id, step, plan),
            Some(Kind::Classic(classic)) if classic.is_empty() => {
                upgrade::replace_empty(classic, group_id, step)
            }
            Some(Kind::Classic(classic)) => {
                upgrade::upgrade(classic, group_id, &mut self.topics, step)?
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

    /// Prepares a classic group to be replaced by the consumer group `group`: answers its parked
    /// requests, so that its members join again, and continues their sessions in the consumer
    /// group.
    fn release_classic(&mut self, group_id: &GroupId, group: &ConsumerGroup, step: &mut Step<'_>) {
        let Some(mut classic) = self.classic_step(group_id, step) else {
            return;
        };
        classic.answer_all(ErrorCode::RebalanceInProgress);
        for member in group.members().values() {
            cancel_timers(&mut self.timers, group_id, member.id());
            let timeout = member.classic.as_ref().map_or(0, |c| c.session_timeout_ms);
            let timer = Timer::ConsumerSession(group_id.clone(), member.id().clone());
            let deadline = step.now.saturating_add(millis(timeout));
            self.timers.set(timer, deadline);
        }
    }
}

/// Returns GROUP_ID_NOT_FOUND for a request of the consumer protocol to another kind of group.
pub(super) fn not_a_consumer_group(group_id: &str) -> Failed {
    Failed::because(
        ErrorCode::GroupIdNotFound,
        format!("Group {group_id} is not a consumer group."),
    )
}
