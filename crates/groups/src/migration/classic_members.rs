//! Members of the classic protocol in a consumer group. While a group changes from one protocol to
//! the other, they continue with JoinGroup, SyncGroup, Heartbeat and LeaveGroup.
//!
//! JoinGroup corresponds to a heartbeat of the consumer protocol: it carries the subscription and
//! the present partitions, and takes the member one step towards its target; the generation is the
//! member epoch. The response to SyncGroup has the assignment. Heartbeat is answered with
//! REBALANCE_IN_PROGRESS when the member has to join again.

use bytes::Bytes;
use dohle_model::{ErrorCode, PartitionIndex};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::consumer_protocol_subscription::ConsumerProtocolSubscriptionData;
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;
use dohle_protocol::messages::join_group_request::JoinGroupRequestData;
use dohle_protocol::messages::join_group_response::JoinGroupResponseData;
use dohle_protocol::messages::leave_group_request::MemberIdentity;
use dohle_protocol::messages::sync_group_request::SyncGroupRequestData;
use dohle_protocol::messages::sync_group_response::SyncGroupResponseData;

use crate::classic::join::rebalance_timeout_ms;
use crate::history::{Cause, ClientReason};
use crate::ids::{GroupId, InstanceId, MemberId};
use crate::migration::embedded::{self, PROTOCOL_TYPE};
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::consumer::membership::{Protocol, refuse_if_fenced};
use crate::modern::consumer::step::{ConsumerGroupStep, name};
use crate::modern::consumer::subscription::{Change, Subscription};
use crate::modern::member::MemberState;
use crate::records::ClassicMetadata;
use crate::step::{Caller, Failed};
use crate::timers::Timer;
use crate::wire::{millis, text};
use dohle_config::MigrationPolicy;

/// From this version on a dynamic member has to join with an id from the coordinator (KIP-394).
const KNOWN_MEMBER_ID: i16 = 4;

impl ConsumerGroupStep<'_, '_> {
    /// Plans JoinGroup.
    pub(crate) fn classic_join(
        &mut self,
        request: &JoinGroupRequestData,
        caller: Caller<'_>,
    ) -> Result<JoinGroupResponseData, Failed> {
        let instance_id = request.group_instance_id.as_ref().map(KafkaString::as_str);
        let is_unknown = request.member_id.as_str().is_empty();
        let member_id = match request.member_id.as_str() {
            "" => MemberId::new(&self.step.fresh.to_string()),
            given => MemberId::new(given),
        };
        self.refuse_classic(request, &member_id)?;
        if caller.version >= KNOWN_MEMBER_ID && instance_id.is_none() && is_unknown {
            return Ok(JoinGroupResponseData {
                error_code: ErrorCode::MemberIdRequired.code(),
                member_id: text(member_id.as_str()),
                ..JoinGroupResponseData::default()
            });
        }
        let said = request.protocols.first().map(|protocol| &protocol.metadata);
        let said = embedded::subscription(said.unwrap_or(&Bytes::new())).map_err(|error| {
            let message = format!("The subscription of member {member_id} is malformed: {error}.");
            Failed::because(ErrorCode::InconsistentGroupProtocol, message)
        })?;
        let before = instance_id.and_then(|id| self.group.static_member(id));
        let downgrades = before.is_some_and(|before| self.downgrades_in_place_of(before));
        let old = self.classic_arrival(instance_id, member_id, is_unknown)?;
        let reported = embedded::reported(&said, self.step.image);
        let change = Change {
            new: described(&old, request, &said, caller),
            old: &old,
            reported: Some(&reported),
        };
        let subscription = self.subscribe(&change)?;
        let member = match downgrades {
            true => self.downgrade_in_place(change, &subscription)?,
            false => {
                let target = self.assign(&change, &subscription);
                self.reconcile(change, &subscription, target)?
            }
        };
        if !downgrades {
            self.set_classic_timers(&member);
        }
        let protocol = request
            .protocols
            .first()
            .map(|protocol| protocol.name.clone());
        Ok(JoinGroupResponseData {
            member_id: text(member.id().as_str()),
            generation_id: member.common.member_epoch,
            protocol_type: Some(text(PROTOCOL_TYPE)),
            protocol_name: protocol,
            ..JoinGroupResponseData::default()
        })
    }

    /// A static member of the classic protocol replaces the last member of the consumer protocol,
    /// so the group becomes a classic group. The assignment stays if it is up to date.
    fn downgrade_in_place(
        &mut self,
        change: Change<'_>,
        subscription: &Subscription,
    ) -> Result<ConsumerMember, Failed> {
        let is_stale = self.group.assignment_epoch() < subscription.group_epoch;
        let member = match is_stale {
            true => change.new,
            false => {
                let target = self.last_target(&change.new);
                self.reconcile(change, subscription, target)?
            }
        };
        self.downgrade(&[], Some(&member), is_stale)?;
        Ok(member)
    }

    /// Checks that a member of the classic protocol may join.
    ///
    /// # Errors
    /// INCONSISTENT_GROUP_PROTOCOL, GROUP_MAX_SIZE_REACHED.
    fn refuse_classic(
        &self,
        request: &JoinGroupRequestData,
        member_id: &MemberId,
    ) -> Result<(), Failed> {
        let inconsistent = ErrorCode::InconsistentGroupProtocol;
        if self.step.config.group_consumer_migration_policy == MigrationPolicy::Disabled {
            let message = format!(
                "Cannot join the consumer group {} with the classic protocol because the group \
                 migration is disabled.",
                self.group_id
            );
            return Err(Failed::because(inconsistent, message));
        }
        self.refuse_if_full(member_id.as_str())?;
        let names = request
            .protocols
            .iter()
            .map(|protocol| protocol.name.as_str());
        if !self
            .group
            .supports_classic(request.protocol_type.as_str(), names)
        {
            let message = format!("Member {member_id}'s protocols are not supported.");
            return Err(Failed::because(inconsistent, message));
        }
        Ok(())
    }

    fn classic_arrival(
        &mut self,
        instance_id: Option<&str>,
        member_id: MemberId,
        is_unknown: bool,
    ) -> Result<ConsumerMember, Failed> {
        match instance_id {
            None => Ok(self.join_dynamic(member_id, Protocol::Classic)),
            Some(instance_id) if is_unknown => {
                self.join_static(instance_id, member_id, Protocol::Classic)
            }
            Some(instance_id) => {
                let member = self.static_member_as(instance_id, member_id.as_str())?;
                Ok(member.clone())
            }
        }
    }

    /// Plans SyncGroup.
    pub(crate) fn classic_sync(
        &mut self,
        request: &SyncGroupRequestData,
    ) -> Result<SyncGroupResponseData, Failed> {
        let instance_id = request.group_instance_id.as_ref().map(KafkaString::as_str);
        let member = self.classic_member(request.member_id.as_str(), instance_id)?;
        check_generation(&member, request.generation_id)?;
        let classic = member.classic.as_ref();
        let Some((protocol, metadata)) = classic.and_then(|c| c.supported_protocols.first()) else {
            return Err(ErrorCode::InconsistentGroupProtocol.into());
        };
        check_protocol(&member, protocol, request)?;
        let is_behind = self.group.assignment_epoch() > member.common.member_epoch;
        if is_behind && member.common.state != MemberState::UnrevokedPartitions {
            self.await_join(&member);
            let message = format!(
                "A new rebalance is triggered in group {} and member {} should rejoin to catch up.",
                self.group_id,
                member.id()
            );
            return Err(Failed::because(ErrorCode::RebalanceInProgress, message));
        }
        let topics = member.common.assigned_partitions.iter();
        let topics = topics.map(|(topic_id, partitions)| {
            let partitions: Vec<PartitionIndex> = partitions.keys().copied().collect();
            (topic_id, partitions)
        });
        let assignment = embedded::serialize(topics, metadata, self.step.image)
            .map_err(|error| Failed::because(ErrorCode::UnknownServerError, error.to_string()))?;
        self.timers
            .cancel(&self.timer(Timer::ConsumerSync, &member));
        self.set_session(&member);
        Ok(SyncGroupResponseData {
            protocol_type: request.protocol_type.clone(),
            protocol_name: request.protocol_name.clone(),
            assignment,
            ..SyncGroupResponseData::default()
        })
    }

    /// Plans Heartbeat.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, FENCED_INSTANCE_ID, ILLEGAL_GENERATION; REBALANCE_IN_PROGRESS when the
    /// member has to join again.
    pub(crate) fn classic_heartbeat(
        &mut self,
        request: &HeartbeatRequestData,
    ) -> Result<(), Failed> {
        let instance_id = request.group_instance_id.as_ref().map(KafkaString::as_str);
        let member = self.classic_member(request.member_id.as_str(), instance_id)?;
        check_generation(&member, request.generation_id)?;
        self.set_session(&member);
        let has_more_to_do = match member.common.state {
            _ if member.common.member_epoch < self.group.assignment_epoch() => true,
            MemberState::UnrevokedPartitions => true,
            MemberState::UnreleasedPartitions => {
                !self.group.waits_on_unreleased_partition(&member.common)
            }
            MemberState::Stable | MemberState::Unknown => false,
        };
        if has_more_to_do {
            self.await_join(&member);
            return Err(ErrorCode::RebalanceInProgress.into());
        }
        Ok(())
    }

    /// Plans LeaveGroup. Returns the outcome of each member.
    pub(crate) fn leave_all(
        &mut self,
        members: &[MemberIdentity],
    ) -> Result<Vec<Result<(), ErrorCode>>, Failed> {
        let mut gone: Vec<MemberId> = Vec::new();
        let mut left = Vec::new();
        let mut outcomes = Vec::new();
        for identity in members {
            let found = self.leaving(identity);
            if let Ok(member_id) = &found {
                let reason = identity
                    .reason
                    .as_ref()
                    .map_or("not provided", KafkaString::as_str);
                let group = self.group_id;
                tracing::info!(%group, member = %member_id, reason, "member leaves");
                if !gone.contains(member_id) {
                    let sent = identity.reason.as_ref().map_or("", KafkaString::as_str);
                    let member = self.group.member(member_id.as_str());
                    left.extend(member.map(|member| (name(member), ClientReason::new(sent))));
                    gone.push(member_id.clone());
                }
            }
            outcomes.push(found.map(|_| ()).map_err(|failed| failed.code));
        }
        if !gone.is_empty() {
            self.fence(&gone, Cause::Left(left))?;
        }
        Ok(outcomes)
    }

    /// The member that leaves. An administrator may name a static member by its instance id alone.
    fn leaving(&self, identity: &MemberIdentity) -> Result<MemberId, Failed> {
        let member_id = identity.member_id.as_str();
        let member = match identity.group_instance_id.as_ref().map(KafkaString::as_str) {
            None => self.known(member_id)?,
            Some(instance_id) => match self.group.static_member(instance_id) {
                Some(member) if member_id.is_empty() => member,
                _ => self.static_member_as(instance_id, member_id)?,
            },
        };
        Ok(member.id().clone())
    }

    fn classic_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<ConsumerMember, Failed> {
        let member = match instance_id {
            None => self.known(member_id)?,
            Some(instance_id) => {
                let member = self.group.static_member(instance_id).ok_or_else(|| {
                    let group_id = self.group_id;
                    let message = format!(
                        "Member with instance id {instance_id} is not a member of group {group_id}."
                    );
                    Failed::because(ErrorCode::UnknownMemberId, message)
                })?;
                refuse_if_fenced(member, instance_id, member_id)?;
                member
            }
        };
        if !member.uses_classic_protocol() {
            let message = format!("Member {} does not use the classic protocol.", member.id());
            return Err(Failed::because(ErrorCode::UnknownMemberId, message));
        }
        Ok(member.clone())
    }

    /// Starts the timers of a member that joined: it has to sync within its rebalance timeout.
    fn set_classic_timers(&mut self, member: &ConsumerMember) {
        self.timers.cancel(&self.timer(Timer::ConsumerJoin, member));
        self.set_session(member);
        let timer = self.timer(Timer::ConsumerSync, member);
        self.set(timer, millis(member.rebalance_timeout_ms));
    }

    /// Starts the timeout for a member to join again, unless it runs already.
    fn await_join(&mut self, member: &ConsumerMember) {
        let timer = self.timer(Timer::ConsumerJoin, member);
        if self.timers.deadline(&timer).is_none() {
            self.set(timer, millis(member.rebalance_timeout_ms));
        }
    }

    fn timer(&self, of: impl Fn(GroupId, MemberId) -> Timer, member: &ConsumerMember) -> Timer {
        of(self.group_id.clone(), member.id().clone())
    }
}

fn described(
    old: &ConsumerMember,
    request: &JoinGroupRequestData,
    said: &ConsumerProtocolSubscriptionData,
    caller: Caller<'_>,
) -> ConsumerMember {
    let mut new = old.clone();
    if let Some(instance_id) = &request.group_instance_id {
        new.common.instance_id = Some(InstanceId::new(instance_id.as_str()));
    }
    if let Some(rack_id) = said
        .rack_id
        .as_ref()
        .filter(|rack| !rack.as_str().is_empty())
    {
        new.common.rack_id = Some(rack_id.as_str().to_owned());
    }
    new.rebalance_timeout_ms = rebalance_timeout_ms(request, caller.version);
    new.common.subscribed_topic_names = said.topics.iter().map(ToString::to_string).collect();
    new.subscribed_topic_regex = String::new();
    caller.client_id.clone_into(&mut new.common.client_id);
    caller.client_host.clone_into(&mut new.common.client_host);
    let protocols = request.protocols.iter();
    new.classic = Some(ClassicMetadata {
        session_timeout_ms: request.session_timeout_ms,
        supported_protocols: protocols
            .map(|protocol| (protocol.name.to_string(), protocol.metadata.clone()))
            .collect(),
    });
    new
}

fn check_generation(member: &ConsumerMember, generation: i32) -> Result<(), Failed> {
    if member.common.member_epoch == generation {
        return Ok(());
    }
    Err(Failed::because(
        ErrorCode::IllegalGeneration,
        format!(
            "The request generation id {generation} is not equal to the member epoch {} of member \
             {}.",
            member.common.member_epoch,
            member.id()
        ),
    ))
}

fn check_protocol(
    member: &ConsumerMember,
    protocol: &str,
    request: &SyncGroupRequestData,
) -> Result<(), Failed> {
    let differs = |asked: &Option<KafkaString>, known: &str| {
        asked.as_ref().is_some_and(|asked| asked.as_str() != known)
    };
    if differs(&request.protocol_type, PROTOCOL_TYPE) || differs(&request.protocol_name, protocol) {
        let message = format!(
            "The protocol in the SyncGroup request of member {} is not {PROTOCOL_TYPE}, \
             {protocol}, as in its JoinGroup response.",
            member.id()
        );
        return Err(Failed::because(
            ErrorCode::InconsistentGroupProtocol,
            message,
        ));
    }
    Ok(())
}
