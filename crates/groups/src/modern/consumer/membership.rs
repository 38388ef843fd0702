//! Finds the member that sent a request: a known member, a new one, or a static member that
//! replaces an earlier one (KIP-345). Removes members.

use dohle_model::ErrorCode;
use dohle_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestData;

use crate::history::Cause;
use crate::ids::{GroupId, MemberId};
use crate::modern::consumer::group::ConsumerGroup;
use crate::modern::consumer::member::{ConsumerMember, LEFT_TEMPORARILY};
use crate::modern::consumer::step::{ConsumerGroupStep, name, session_timeout};
use crate::modern::heartbeat::{JOIN, WrongEpoch, check_epoch};
use crate::modern::member::{MemberState, Owned, Reported, assignment_to_record};
use crate::records::Record;
use crate::step::Failed;
use crate::timers::Timer;
use crate::wire::millis;

/// The member that sent a request.
pub(crate) struct Arrival {
    /// The member before the request. When the member replaces another one, this is the replaced
    /// member under the new id.
    pub member: ConsumerMember,
}

impl ConsumerGroupStep<'_, '_> {
    /// Refuses a new member when the group is full.
    ///
    /// # Errors
    /// GROUP_MAX_SIZE_REACHED.
    pub(crate) fn refuse_if_full(&self, member_id: &str) -> Result<(), Failed> {
        let max = self.step.config.group_consumer_max_size;
        let is_new = member_id.is_empty() || self.group.member(member_id).is_none();
        if self.group.members().len() < max || !is_new {
            return Ok(());
        }
        Err(Failed::because(
            ErrorCode::GroupMaxSizeReached,
            format!("The consumer group has reached its maximum capacity of {max} members."),
        ))
    }

    /// The member that sent a heartbeat.
    pub(crate) fn arrival(
        &mut self,
        request: &ConsumerGroupHeartbeatRequestData,
        member_id: MemberId,
        reported: Option<&Reported>,
    ) -> Result<Arrival, Failed> {
        let joins = request.member_epoch == JOIN;
        let member = match request.instance_id.as_ref() {
            Some(instance_id) if joins => {
                self.join_static(instance_id.as_str(), member_id, Protocol::Consumer)?
            }
            Some(instance_id) => {
                let member = self.static_member_as(instance_id.as_str(), member_id.as_str())?;
                member.clone()
            }
            None if joins => self.join_dynamic(member_id, Protocol::Consumer),
            None => self.known(member_id.as_str())?.clone(),
        };
        if !joins {
            refuse_wrong_epoch(&member, request.member_epoch, reported)?;
        }
        Ok(Arrival { member })
    }

    /// The member that joins without an instance id: a known one, or a new one.
    pub(crate) fn join_dynamic(
        &mut self,
        member_id: MemberId,
        protocol: Protocol,
    ) -> ConsumerMember {
        if let Some(member) = self.group.member(member_id.as_str()) {
            return member.clone();
        }
        tracing::info!(
            group = %self.group_id,
            member = %member_id,
            protocol = protocol.name(),
            "member joins"
        );
        ConsumerMember::new(member_id)
    }

    /// The static member that joins: a new one, or one that replaces the member with the same
    /// instance id and takes over its assignment. A member of the consumer protocol can only be
    /// replaced after it has left.
    pub(crate) fn join_static(
        &mut self,
        instance_id: &str,
        member_id: MemberId,
        protocol: Protocol,
    ) -> Result<ConsumerMember, Failed> {
        let Some(before) = self.group.static_member(instance_id) else {
            tracing::info!(
                group = %self.group_id,
                member = %member_id,
                instance_id,
                protocol = protocol.name(),
                "static member joins"
            );
            let known = self.group.member(member_id.as_str()).cloned();
            return Ok(known.unwrap_or_else(|| ConsumerMember::new(member_id)));
        };
        let has_left = before.common.member_epoch == LEFT_TEMPORARILY;
        if protocol == Protocol::Consumer && !before.uses_classic_protocol() && !has_left {
            return Err(Failed::because(
                ErrorCode::UnreleasedInstanceId,
                format!(
                    "Static member {member_id} with instance id {instance_id} cannot join the \
                     group because the instance id is owned by {} member.",
                    before.id()
                ),
            ));
        }
        let before = before.clone();
        let mut member = before.clone();
        member.common.member_id = member_id;
        member.common.member_epoch = 0;
        member.common.previous_member_epoch = 0;
        tracing::info!(
            group = %self.group_id,
            member = %member.id(),
            instance_id,
            protocol = protocol.name(),
            before = %before.id(),
            "static member replaced"
        );
        self.replace(&before, &member);
        Ok(member)
    }

    /// The static member with this instance id.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID, and FENCED_INSTANCE_ID when it has another member id.
    pub(crate) fn static_member_as(
        &self,
        instance_id: &str,
        member_id: &str,
    ) -> Result<&ConsumerMember, Failed> {
        let Some(member) = self.group.static_member(instance_id) else {
            return Err(Failed::because(
                ErrorCode::UnknownMemberId,
                format!("Instance id {instance_id} is unknown."),
            ));
        };
        refuse_if_fenced(member, instance_id, member_id)?;
        Ok(member)
    }

    /// A static member leaves and is going to come back: it keeps its assignment until its session
    /// expires.
    pub(crate) fn leave_temporarily(&mut self, mut member: ConsumerMember) {
        tracing::info!(
            group = %self.group_id,
            member = %member.id(),
            "static member leaves temporarily"
        );
        member.common.member_epoch = LEFT_TEMPORARILY;
        member.common.partitions_pending_revocation = Owned::new();
        let assigned = member.common.assigned_partitions.values_mut();
        for epoch in assigned.flat_map(|partitions| partitions.values_mut()) {
            *epoch = 0;
        }
        self.step.write(Record::ConsumerCurrent(
            self.group_id.clone(),
            member.id().clone(),
            Some(member.current()),
        ));
    }

    /// Removes members. The group epoch rises, so that other members get their partitions. When
    /// only members of the classic protocol remain, the group becomes a classic group.
    ///
    /// The timers of the members continue, because the members stay when the records cannot be
    /// written. The timer of a removed member does nothing when it expires.
    pub(crate) fn fence(&mut self, member_ids: &[MemberId], cause: Cause) -> Result<(), Failed> {
        for member_id in member_ids {
            assert!(
                self.group.member(member_id.as_str()).is_some(),
                "group {}: {member_id} leaves and is not a member",
                self.group_id
            );
        }
        let members = self.group.members().len().saturating_sub(member_ids.len());
        let epoch = self.group.group_epoch().saturating_add(1);
        if self.downgrades_without(member_ids) {
            self.note(epoch, members, cause);
            return self.downgrade(member_ids, None, true);
        }
        for member_id in member_ids {
            self.write_removal(member_id);
        }
        let left = self.subscription_without(member_ids);
        for regex in &left.regexes_gone {
            let (group_id, regex) = (self.group_id.clone(), regex.clone());
            self.step
                .write(Record::ConsumerRegex(group_id, regex, None));
        }
        let topics = left.topics.iter().map(String::as_str);
        let hash = self.topics.hash(self.step.image, topics);
        self.write_epoch(epoch, hash, members, cause);
        Ok(())
    }

    /// Removes a member that was silent or too slow.
    pub(crate) fn expire(&mut self, member_id: &MemberId, cause: Cause) {
        tracing::info!(
            group = %self.group_id,
            member = %member_id,
            reason = cause.to_string(),
            "member fenced"
        );
        if let Err(failed) = self.fence(std::slice::from_ref(member_id), cause) {
            tracing::warn!(group = %self.group_id, %failed, "member could not be fenced");
        }
    }

    fn replace(&mut self, before: &ConsumerMember, member: &ConsumerMember) {
        self.write_removal(before.id());
        let target = self.group.target(before.id().as_str());
        let target = target
            .map(|target| assignment_to_record(target))
            .unwrap_or_default();
        let (group_id, member_id) = (self.group_id, member.id());
        for record in [
            Record::ConsumerMember(
                group_id.clone(),
                member_id.clone(),
                Some(member.subscription()),
            ),
            Record::ConsumerTargetMember(group_id.clone(), member_id.clone(), Some(target)),
            Record::ConsumerCurrent(group_id.clone(), member_id.clone(), Some(member.current())),
        ] {
            self.step.write(record);
        }
    }

    pub(crate) fn write_removal(&mut self, member_id: &MemberId) {
        let id = || (self.group_id.clone(), member_id.clone());
        let ((group, member), (group_2, member_2), (group_3, member_3)) = (id(), id(), id());
        self.step
            .write(Record::ConsumerCurrent(group, member, None));
        self.step
            .write(Record::ConsumerTargetMember(group_2, member_2, None));
        self.step
            .write(Record::ConsumerMember(group_3, member_3, None));
    }

    fn subscription_without(&self, member_ids: &[MemberId]) -> Left {
        let mut names = self.group.common.subscribed().clone();
        let mut regexes = self.group.regexes().clone();
        let gone = member_ids.iter();
        for member in gone.filter_map(|id| self.group.member(id.as_str())) {
            for name in &member.common.subscribed_topic_names {
                names.decrease(name);
            }
            if let Some(regex) = member.regex() {
                regexes.decrease(regex);
            }
        }
        let mut topics: Vec<String> = names.names().map(str::to_owned).collect();
        let mut regexes_gone = Vec::new();
        for (regex, resolved) in self.group.resolved() {
            match regexes.contains(regex) {
                true => topics.extend(resolved.topics.iter().cloned()),
                false => regexes_gone.push(regex.clone()),
            }
        }
        Left {
            topics,
            regexes_gone,
        }
    }
}

impl ConsumerGroupStep<'_, '_> {
    /// Handles an expired timer of a member: removes the member, unless it has done what the timer
    /// waited for.
    pub(crate) fn on_timeout(&mut self, timer: &Timer, member_id: &MemberId) {
        let Some(member) = self.group.member(member_id.as_str()) else {
            return;
        };
        let rebalance_timeout = millis(member.rebalance_timeout_ms);
        let name = name(member);
        let cause = match timer {
            Timer::ConsumerSession(..) => {
                let timeout = session_timeout(self.step.config, self.group_id, member);
                Cause::SessionExpired(name, timeout)
            }
            Timer::ConsumerRebalance(..) => {
                let is_late = member.common.state == MemberState::UnrevokedPartitions;
                if !is_late || member.common.member_epoch < 0 {
                    return;
                }
                Cause::RevocationTimedOut(name, rebalance_timeout)
            }
            _ if !member.uses_classic_protocol() => return,
            Timer::ConsumerJoin(..) => Cause::JoinTimedOut(vec![name], rebalance_timeout),
            _ => Cause::SyncTimedOut(vec![name], rebalance_timeout),
        };
        // The timer runs again in case the records cannot be written.
        match timer {
            Timer::ConsumerSession(..) => self.set_session(&member.clone()),
            _ => self.set(timer.clone(), rebalance_timeout),
        }
        self.expire(member_id, cause);
    }
}

/// The subscription of the group without the members that leave.
struct Left {
    topics: Vec<String>,
    regexes_gone: Vec<String>,
}

/// The protocol that a member uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// KIP-848.
    Consumer,
    /// JoinGroup and SyncGroup.
    Classic,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Consumer => "consumer",
            Self::Classic => "classic",
        }
    }
}

/// Returns FENCED_INSTANCE_ID when the static member has another member id than the request.
pub(crate) fn refuse_if_fenced(
    member: &ConsumerMember,
    instance_id: &str,
    member_id: &str,
) -> Result<(), Failed> {
    if member.id().as_str() == member_id {
        return Ok(());
    }
    Err(Failed::because(
        ErrorCode::FencedInstanceId,
        format!(
            "Static member {member_id} with instance id {instance_id} was fenced by member {}.",
            member.id()
        ),
    ))
}

/// Returns FENCED_MEMBER_EPOCH when a heartbeat has another epoch than the member.
fn refuse_wrong_epoch(
    member: &ConsumerMember,
    named: i32,
    reported: Option<&Reported>,
) -> Result<(), Failed> {
    let comparison = match check_epoch(&member.common, named, reported) {
        Ok(()) => return Ok(()),
        Err(WrongEpoch::Smaller) => "smaller",
        Err(WrongEpoch::Greater) => "greater",
    };
    let epoch = member.common.member_epoch;
    Err(Failed::because(
        ErrorCode::FencedMemberEpoch,
        format!(
            "The consumer group member has a {comparison} member epoch ({named}) than the one \
             known by the group coordinator ({epoch}). The member must abandon all its partitions \
             and rejoin."
        ),
    ))
}

impl ConsumerGroup {
    /// The records that delete everything that was written for the group, except its offsets.
    #[must_use]
    pub fn tombstones(&self, group_id: &GroupId) -> Vec<Record> {
        let group = || group_id.clone();
        let mut records = Vec::new();
        let members = || self.members().keys().cloned();
        records.extend(members().map(|id| Record::ConsumerCurrent(group(), id, None)));
        let targets = self.common.target.members().cloned();
        records.extend(targets.map(|id| Record::ConsumerTargetMember(group(), id, None)));
        records.push(Record::ConsumerTarget(group(), None));
        records.extend(members().map(|id| Record::ConsumerMember(group(), id, None)));
        let regexes = self.resolved().keys().cloned();
        records.extend(regexes.map(|regex| Record::ConsumerRegex(group(), regex, None)));
        if self.has_partition_metadata {
            records.push(Record::ConsumerPartitionMetadata(group(), None));
        }
        records.push(Record::ConsumerGroup(group(), None));
        records
    }
}
