//! Live groups that go over from one protocol to the other (`group.consumer.migration.policy`).
//!
//! Up: a member of the consumer protocol joins a classic group of consumers. Its members stay, with
//! what they have, and go on through JoinGroup and SyncGroup (`classic_members`). Down: the last
//! member of the consumer protocol leaves, and others are left: they rejoin in a classic group.

use std::collections::BTreeMap;

use bytes::Bytes;
use dohle_model::{ErrorCode, PartitionIndex, Timestamp};

use crate::classic::{ClassicGroup, Member};
use crate::config::GroupConfig;
use crate::ids::{GroupId, MemberId};
use crate::migration::embedded::{self, Malformed, PROTOCOL_TYPE};
use crate::modern::consumer::group::ConsumerGroup;
use crate::modern::consumer::step::Turn;
use crate::modern::member::{Assignment, ConsumerMember, assignment_to_record, owned_since};
use crate::modern::topics::Topics;
use crate::records::{
    ClassicGroupValue, ClassicMemberValue, ClassicMetadata, ConsumerGroupValue,
    ConsumerTargetValue, Record,
};
use crate::shard::{Kind, Shard};
use crate::step::{Failed, OnCommit, Step};
use crate::timers::Timer;

/// A new consumer group where a classic one has no members.
pub(crate) fn take_place_of(
    classic: &ClassicGroup,
    group_id: &GroupId,
    step: &mut Step<'_>,
) -> ConsumerGroup {
    if !classic.is_simple() {
        step.write(Record::Classic(group_id.clone(), None));
        tracing::info!(group = %group_id, "an empty classic group becomes a consumer group");
    }
    ConsumerGroup::default()
}

/// The consumer group that a classic one becomes, and its records.
///
/// # Errors
/// GROUP_ID_NOT_FOUND when it can't.
pub(crate) fn upgrade(
    classic: &ClassicGroup,
    group_id: &GroupId,
    topics: &mut Topics,
    step: &mut Step<'_>,
) -> Result<ConsumerGroup, Failed> {
    let refused = |why: &str| {
        let message =
            format!("Cannot upgrade classic group {group_id} to consumer group because {why}");
        Failed::because(ErrorCode::GroupIdNotFound, message)
    };
    if let Some(why) = obstacle(classic, step.config) {
        return Err(refused(why));
    }
    let malformed = "the embedded consumer protocol is malformed.";
    let protocol = classic.protocol().map(str::to_owned);
    let Some(protocol) = protocol.or_else(|| classic.select_protocol()) else {
        return Err(refused(malformed));
    };
    let mut group = ConsumerGroup::default();
    group.group_epoch = classic.generation();
    group.assignment_epoch = classic.generation();
    for (member_id, member) in classic.members() {
        let (member, target) = upgraded(member_id, member, &protocol, classic.generation(), step)
            .map_err(|error| {
                tracing::warn!(group = %group_id, member = %member_id, %error, "upgrade refused");
                refused(malformed)
            })?
            .ok_or_else(|| {
                refused(
                    "an unsupported custom assignor is in use. Please refer to the documentation \
                     or switch to a default assignor before re-attempting the upgrade.",
                )
            })?;
        group.set_target(member_id.clone(), target);
        let _ = group.update_member(member);
    }
    let names = group.subscribed().keys().map(String::as_str);
    group.metadata_hash = topics.hash(step.image, names);
    step.write(Record::Classic(group_id.clone(), None));
    step.effects.records.extend(creation(&group, group_id));
    tracing::info!(group = %group_id, "a classic group becomes a consumer group");
    Ok(group)
}

/// Why a classic group can't become a consumer group, whatever its members said.
fn obstacle(classic: &ClassicGroup, config: &GroupConfig) -> Option<&'static str> {
    if !config.group_consumer_migration_policy.upgrades() {
        Some("online upgrade is disabled.")
    } else if !classic.uses_consumer_protocol() {
        Some("the group does not use the consumer embedded protocol.")
    } else if classic.members().len() > config.group_consumer_max_size {
        Some("the group size exceeds the consumer group maximum size.")
    } else {
        None
    }
}

/// A member of a classic group as one of a consumer group, and its target assignment: what it has.
/// None when it uses an assignor of its own.
fn upgraded(
    member_id: &MemberId,
    member: &Member,
    protocol: &str,
    generation: i32,
    step: &Step<'_>,
) -> Result<Option<(ConsumerMember, Assignment)>, Malformed> {
    let Some(target) = embedded::assignment(&member.assignment, step.image)? else {
        return Ok(None);
    };
    let metadata = member.metadata(protocol).cloned().unwrap_or_default();
    let subscription = embedded::subscription(&metadata)?;
    let topics = subscription.topics.iter();
    let upgraded = ConsumerMember {
        instance_id: member.instance_id.clone(),
        rack_id: subscription.rack_id.as_ref().map(ToString::to_string),
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        client_id: member.client_id.clone(),
        client_host: member.client_host.clone(),
        subscribed_topic_names: topics.map(ToString::to_string).collect(),
        classic: Some(ClassicMetadata {
            session_timeout_ms: member.session_timeout_ms,
            supported_protocols: member.protocols.clone(),
        }),
        member_epoch: generation,
        previous_member_epoch: generation,
        assigned_partitions: owned_since(&target, generation),
        ..ConsumerMember::new(member_id.clone())
    };
    Ok(Some((upgraded, target)))
}

/// The records that make a group.
fn creation(group: &ConsumerGroup, group_id: &GroupId) -> Vec<Record> {
    let id = || group_id.clone();
    let members = || group.members().values();
    let mut records: Vec<Record> = Vec::new();
    records.extend(members().map(|member| {
        let value = Some(member.subscription());
        Record::ConsumerMember(id(), member.member_id.clone(), value)
    }));
    let value = ConsumerGroupValue {
        epoch: group.group_epoch,
        metadata_hash: group.metadata_hash,
    };
    records.push(Record::ConsumerGroup(id(), Some(value)));
    records.extend(members().map(|member| {
        let target = group.target(member.member_id.as_str());
        let value = target.map(|target| assignment_to_record(target));
        let value = Some(value.unwrap_or_default());
        Record::ConsumerTargetMember(id(), member.member_id.clone(), value)
    }));
    let value = ConsumerTargetValue {
        assignment_epoch: group.assignment_epoch,
        assignment_timestamp: Some(Timestamp(0)),
    };
    records.push(Record::ConsumerTarget(id(), Some(value)));
    records.extend(members().map(|member| {
        Record::ConsumerCurrent(id(), member.member_id.clone(), Some(member.current()))
    }));
    records
}

impl Shard {
    /// A classic group is going to be the consumer group `group`: requests that wait in it are
    /// answered, so that its members join again, and their sessions go on in the other.
    pub(crate) fn release_classic(
        &mut self,
        group_id: &GroupId,
        group: &ConsumerGroup,
        step: &mut Step<'_>,
    ) {
        self.abandon_classic(group_id, ErrorCode::RebalanceInProgress, step);
        let Some(Kind::Classic(_)) = self.groups.get(group_id).map(|group| &group.kind) else {
            return;
        };
        for member in group.members().values() {
            crate::modern::consumer::step::cancel_timers(
                &mut self.timers,
                group_id,
                &member.member_id,
            );
            let timeout = member.classic.as_ref().map_or(0, |c| c.session_timeout_ms);
            let timer = Timer::ConsumerSession(group_id.clone(), member.member_id.clone());
            let deadline = step
                .now
                .saturating_add(crate::modern::consumer::step::millis(timeout));
            self.timers.set(timer, deadline);
        }
    }
}

impl Turn<'_, '_> {
    /// Whether the group becomes a classic one when these members leave: others are left, all of
    /// the classic protocol, and one that leaves is not.
    pub(crate) fn downgrades_without(&self, member_ids: &[MemberId]) -> bool {
        let gone = member_ids
            .iter()
            .filter_map(|id| self.group.member(id.as_str()));
        let classic_gone = gone.filter(|member| member.uses_classic_protocol()).count();
        let left = self.group.members().len() - member_ids.len();
        let only_classic = self.group.classic_members() - classic_gone == left;
        left > 0 && only_classic && classic_gone < member_ids.len() && self.may_downgrade(left)
    }

    /// Whether the group becomes a classic one when a static member of the classic protocol takes
    /// the place of `before`.
    pub(crate) fn downgrades_in_place_of(&self, before: &ConsumerMember) -> bool {
        let members = self.group.members().len();
        !before.uses_classic_protocol()
            && self.group.classic_members() == members - 1
            && self.may_downgrade(members)
    }

    fn may_downgrade(&self, members: usize) -> bool {
        let config = self.step.config;
        config.group_consumer_migration_policy.downgrades() && members <= config.group_max_size
    }

    /// The group becomes a classic one without some members, and with `joining` in the place of the
    /// static member with its instance id. Its members rejoin when `rebalance` says so.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND when what members said as consumers can't be read.
    pub(crate) fn downgrade(
        &mut self,
        leaving: &[MemberId],
        joining: Option<&ConsumerMember>,
        rebalance: bool,
    ) -> Result<(), Failed> {
        let value = self.classic_value(leaving, joining).map_err(|error| {
            tracing::warn!(group = %self.group_id, %error, "downgrade refused");
            let group_id = self.group_id;
            let message = format!("Cannot downgrade the consumer group {group_id}: {error}.");
            Failed::because(ErrorCode::GroupIdNotFound, message)
        })?;
        if let Some(joining) = joining {
            // Its own records were asked for in this step.
            self.write_removal(&joining.member_id);
        }
        let tombstones = self.group.tombstones(self.group_id);
        self.step.effects.records.extend(tombstones);
        self.step
            .write(Record::Classic(self.group_id.clone(), Some(value)));
        self.step.effects.on_commit = Some(OnCommit::Downgraded {
            group_id: self.group_id.clone(),
            rebalance,
        });
        tracing::info!(group = %self.group_id, "a consumer group becomes a classic group");
        Ok(())
    }

    fn classic_value(
        &self,
        leaving: &[MemberId],
        joining: Option<&ConsumerMember>,
    ) -> Result<ClassicGroupValue, Malformed> {
        let joins_for = joining.and_then(|member| member.instance_id.as_ref());
        let stays = |member: &&ConsumerMember| {
            let replaced = joins_for.is_some() && member.instance_id.as_ref() == joins_for;
            !leaving.contains(&member.member_id) && !replaced
        };
        let staying = self.group.members().values().filter(stays);
        let members: Vec<(&ConsumerMember, &ClassicMetadata)> = staying
            .chain(joining)
            .filter_map(|member| Some((member, member.classic.as_ref()?)))
            .collect();
        let protocol = select_protocol(&members);
        let mut values = Vec::new();
        for (member, classic) in &members {
            let protocols = classic.supported_protocols.iter();
            let mut of = protocols.filter(|(name, _)| Some(name) == protocol.as_ref());
            let subscription = of.next().map(|(_, metadata)| metadata.clone());
            let subscription = subscription.unwrap_or_default();
            values.push(ClassicMemberValue {
                member_id: member.member_id.clone(),
                group_instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout: member.rebalance_timeout_ms,
                session_timeout: classic.session_timeout_ms,
                assignment: self.classic_assignment(member, &subscription)?,
                subscription,
            });
        }
        Ok(ClassicGroupValue {
            protocol_type: PROTOCOL_TYPE.to_owned(),
            generation: self.group.group_epoch(),
            protocol,
            leader: values.first().map(|member| member.member_id.clone()),
            current_state_timestamp: Some(self.step.wall),
            members: values,
        })
    }

    /// A member's target assignment. A static member that takes another's place has the other's.
    fn classic_assignment(
        &self,
        member: &ConsumerMember,
        subscription: &Bytes,
    ) -> Result<Bytes, Malformed> {
        let (_, target) = self.last_target(member);
        let topics = target.iter();
        let topics = topics.map(|(topic_id, partitions)| {
            let partitions: Vec<PartitionIndex> = partitions.iter().copied().collect();
            (topic_id, partitions)
        });
        embedded::serialize(topics, subscription, self.step.image)
    }
}

/// The protocol that all support and most prefer; of several the first in the alphabet.
fn select_protocol(members: &[(&ConsumerMember, &ClassicMetadata)]) -> Option<String> {
    let by_all = |name: &str| {
        members.iter().all(|(_, classic)| {
            let mut protocols = classic.supported_protocols.iter();
            protocols.any(|(supported, _)| supported == name)
        })
    };
    let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, classic) in members {
        let mut protocols = classic
            .supported_protocols
            .iter()
            .map(|(name, _)| name.as_str());
        *votes
            .entry(protocols.find(|name| by_all(name))?)
            .or_default() += 1;
    }
    let most = votes.values().max()?;
    let winner = votes.iter().find(|(_, count)| *count == most);
    winner.map(|(name, _)| (*name).to_owned())
}
