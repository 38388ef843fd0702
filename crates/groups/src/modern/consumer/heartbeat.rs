//! ConsumerGroupHeartbeat, versions 0 to 1 (KIP-848): a member joins, reports its partitions,
//! receives its assignment, and leaves. From version 1 on members choose their ids.

use std::collections::BTreeSet;

use dohle_model::{ErrorCode, PartitionIndex, TopicId};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::consumer_group_heartbeat_request::{
    ConsumerGroupHeartbeatRequestData, TopicPartitions as RequestPartitions,
};
use dohle_protocol::messages::consumer_group_heartbeat_response::{
    Assignment as ResponseAssignment, ConsumerGroupHeartbeatResponseData,
    TopicPartitions as ResponsePartitions,
};

use crate::config::GroupConfig;
use crate::history::Cause;
use crate::ids::{InstanceId, MemberId};
use crate::modern::consumer::member::{ConsumerMember, LEFT_TEMPORARILY};
use crate::modern::consumer::step::{ConsumerGroupStep, name};
use crate::modern::consumer::subscription::Change;
use crate::modern::heartbeat::{JOIN, LEAVE};
use crate::modern::member::{Owned, Reported};
use crate::step::{Caller, Failed};
use crate::wire::{text, topic_id_to_wire};

/// The epoch in the heartbeat of a static member that leaves and is going to come back.
pub(crate) const LEAVE_TEMPORARILY: i32 = LEFT_TEMPORARILY;

impl ConsumerGroupStep<'_, '_> {
    /// Plans a heartbeat of a member that joins or continues.
    pub(crate) fn heartbeat(
        &mut self,
        request: &ConsumerGroupHeartbeatRequestData,
        caller: Caller<'_>,
    ) -> Result<ConsumerGroupHeartbeatResponseData, Failed> {
        self.refuse_if_full(request.member_id.as_str())?;
        let member_id = match request.member_id.as_str() {
            "" => MemberId::new(&self.step.fresh.to_string()),
            given => MemberId::new(given),
        };
        let reported = request.topic_partitions.as_deref().map(reported);
        let arrival = self.arrival(request, member_id, reported.as_ref())?;
        let old = arrival.member;
        let change = Change {
            new: described(&old, request, caller),
            old: &old,
            reported: reported.as_ref(),
        };
        let subscription = self.subscribe(&change)?;
        let target = self.assign(&change, &subscription);
        let member = self.reconcile(change, &subscription, target)?;
        if old.uses_classic_protocol() {
            self.cancel_timers(old.id());
            self.set_rebalance_timer(&member);
        }
        self.set_session(&member);
        let interval = i32::try_from(self.heartbeat_interval().as_millis()).unwrap_or(i32::MAX);
        // A member that sends its previous epoch did not receive the last response.
        let tell = is_full(request)
            || request.member_epoch != old.common.member_epoch
            || old.common.assigned_partitions != member.common.assigned_partitions;
        Ok(ConsumerGroupHeartbeatResponseData {
            member_id: Some(text(member.id().as_str())),
            member_epoch: member.common.member_epoch,
            heartbeat_interval_ms: interval,
            assignment: tell.then(|| Box::new(to_wire(&member.common.assigned_partitions))),
            ..ConsumerGroupHeartbeatResponseData::default()
        })
    }

    /// Plans the heartbeat of a member that leaves.
    pub(crate) fn leave(
        &mut self,
        request: &ConsumerGroupHeartbeatRequestData,
    ) -> Result<ConsumerGroupHeartbeatResponseData, Failed> {
        let member_id = request.member_id.as_str();
        let member = match &request.instance_id {
            None => self.known(member_id)?,
            Some(instance_id) => self.static_member_as(instance_id.as_str(), member_id)?,
        };
        let member = member.clone();
        let response = ConsumerGroupHeartbeatResponseData {
            member_id: Some(text(member.id().as_str())),
            member_epoch: request.member_epoch,
            ..ConsumerGroupHeartbeatResponseData::default()
        };
        let is_static = request.instance_id.is_some();
        if is_static && request.member_epoch == LEAVE_TEMPORARILY {
            self.leave_temporarily(member);
        } else {
            tracing::info!(group = %self.group_id, member = %member.id(), "member leaves");
            let cause = Cause::Left(vec![(name(&member), None)]);
            self.fence(&[member.id().clone()], cause)?;
        }
        Ok(response)
    }
}

/// Whether a request has all fields, as when a member joins and after an error. The response to it
/// has the whole assignment.
fn is_full(request: &ConsumerGroupHeartbeatRequestData) -> bool {
    let subscribes =
        request.subscribed_topic_names.is_some() || request.subscribed_topic_regex.is_some();
    request.member_epoch == JOIN
        || (request.rebalance_timeout_ms != -1 && subscribes && request.topic_partitions.is_some())
}

/// The member with the description in a request.
fn described(
    old: &ConsumerMember,
    request: &ConsumerGroupHeartbeatRequestData,
    caller: Caller<'_>,
) -> ConsumerMember {
    let mut new = old.clone();
    if let Some(instance_id) = &request.instance_id {
        new.common.instance_id = Some(InstanceId::new(instance_id.as_str()));
    }
    if let Some(rack_id) = &request.rack_id {
        new.common.rack_id = Some(rack_id.as_str().to_owned());
    }
    if request.rebalance_timeout_ms != -1 {
        new.rebalance_timeout_ms = request.rebalance_timeout_ms;
    }
    if let Some(assignor) = &request.server_assignor {
        new.server_assignor = Some(assignor.as_str().to_owned());
    }
    if let Some(names) = &request.subscribed_topic_names {
        new.common.subscribed_topic_names =
            names.iter().map(|name| name.as_str().to_owned()).collect();
    }
    if let Some(regex) = &request.subscribed_topic_regex {
        regex.as_str().clone_into(&mut new.subscribed_topic_regex);
    }
    caller.client_id.clone_into(&mut new.common.client_id);
    caller.client_host.clone_into(&mut new.common.client_host);
    new.classic = None;
    new
}

fn reported(topics: &[RequestPartitions]) -> Reported {
    let topics = topics.iter();
    topics
        .flat_map(|topic| {
            let id = TopicId::from_bytes(topic.topic_id.to_bytes());
            topic
                .partitions
                .iter()
                .map(move |p| (id, PartitionIndex(*p)))
        })
        .collect::<BTreeSet<_>>()
}

fn to_wire(owned: &Owned) -> ResponseAssignment {
    let topics = owned.iter();
    let topic_partitions = topics
        .map(|(topic_id, partitions)| ResponsePartitions {
            topic_id: topic_id_to_wire(*topic_id),
            partitions: partitions.keys().map(|partition| partition.0).collect(),
            _unknown_tagged_fields: Vec::new(),
        })
        .collect();
    ResponseAssignment {
        topic_partitions,
        _unknown_tagged_fields: Vec::new(),
    }
}

/// Checks the fields of a request that do not depend on the group.
///
/// # Errors
/// INVALID_REQUEST, UNSUPPORTED_ASSIGNOR.
pub(crate) fn validate(
    request: &ConsumerGroupHeartbeatRequestData,
    version: i16,
    config: &GroupConfig,
) -> Result<(), Failed> {
    let invalid = |message: &str| Err(Failed::because(ErrorCode::InvalidRequest, message));
    let is_blank = |text: &KafkaString| text.as_str().trim().is_empty();
    let epoch = request.member_epoch;
    if (version >= 1 || epoch > 0 || epoch == LEAVE) && is_blank(&request.member_id) {
        return invalid("MemberId can't be empty.");
    }
    if is_blank(&request.group_id) {
        return invalid("GroupId can't be empty.");
    }
    if request.instance_id.as_ref().is_some_and(is_blank) {
        return invalid("InstanceId can't be empty.");
    }
    if request.rack_id.as_ref().is_some_and(is_blank) {
        return invalid("RackId can't be empty.");
    }
    if epoch == JOIN {
        let owned = request.topic_partitions.as_deref();
        if request.rebalance_timeout_ms == -1 {
            return invalid("RebalanceTimeoutMs must be provided in first request.");
        }
        if !owned.is_some_and(<[_]>::is_empty) {
            return invalid("TopicPartitions must be empty when (re-)joining.");
        }
        if request.subscribed_topic_names.is_none() && request.subscribed_topic_regex.is_none() {
            return invalid(
                "Either SubscribedTopicNames or SubscribedTopicRegex must be non-null when \
                 (re-)joining.",
            );
        }
    } else if epoch == LEAVE_TEMPORARILY {
        if request.instance_id.is_none() {
            return invalid("InstanceId can't be null.");
        }
    } else if epoch < LEAVE_TEMPORARILY {
        return invalid("MemberEpoch is invalid.");
    }
    let supported = &config.group_consumer_assignors;
    match &request.server_assignor {
        Some(name) if !supported.iter().any(|known| known == name.as_str()) => {
            let supported = supported.join(", ");
            Err(Failed::because(
                ErrorCode::UnsupportedAssignor,
                format!(
                    "ServerAssignor {name} is not supported. Supported assignors: {supported}."
                ),
            ))
        }
        _ => Ok(()),
    }
}
