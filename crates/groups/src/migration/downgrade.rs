//! A consumer group becomes a classic group, because its last member of the consumer protocol
//! leaves and members of the classic protocol remain (`group.consumer.migration.policy`). They
//! rejoin in the classic group.

use std::collections::BTreeMap;

use bytes::Bytes;
use dohle_model::{ErrorCode, PartitionIndex};

use crate::ids::MemberId;
use crate::migration::embedded::{self, Malformed, PROTOCOL_TYPE};
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::consumer::step::ConsumerGroupStep;
use crate::records::{ClassicGroupValue, ClassicMemberValue, ClassicMetadata, Record};
use crate::step::{Failed, OnCommit};

impl ConsumerGroupStep<'_, '_> {
    /// Whether the group becomes a classic group when these members leave: members remain, all of
    /// them use the classic protocol, and one that leaves does not.
    pub(crate) fn downgrades_without(&self, member_ids: &[MemberId]) -> bool {
        let leaving = member_ids
            .iter()
            .filter_map(|id| self.group.member(id.as_str()));
        let classic_leaving = leaving
            .filter(|member| member.uses_classic_protocol())
            .count();
        assert!(
            member_ids.len() <= self.group.members().len(),
            "group {}: {} of {} members leave",
            self.group_id,
            member_ids.len(),
            self.group.members().len()
        );
        let remaining = self.group.members().len() - member_ids.len();
        let only_classic = self.group.classic_members() - classic_leaving == remaining;
        remaining > 0
            && only_classic
            && classic_leaving < member_ids.len()
            && self.may_downgrade(remaining)
    }

    /// Whether the group becomes a classic group when a static member of the classic protocol
    /// replaces `replaced`.
    pub(crate) fn downgrades_in_place_of(&self, replaced: &ConsumerMember) -> bool {
        let members = self.group.members().len();
        !replaced.uses_classic_protocol()
            && self.group.classic_members() == members - 1
            && self.may_downgrade(members)
    }

    fn may_downgrade(&self, members: usize) -> bool {
        let config = self.step.config;
        config.group_consumer_migration_policy.downgrades() && members <= config.group_max_size
    }

    /// Writes the classic group that this group becomes: without the members `leaving`, and with
    /// `joining` in place of the static member with its instance id. When `rebalance` is set, its
    /// members have to rejoin.
    ///
    /// # Errors
    /// GROUP_ID_NOT_FOUND when the subscription of a member cannot be read.
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
            // This step has written records of the joining member.
            self.write_removal(joining.id());
        }
        let tombstones = self.group.tombstones(self.group_id);
        self.step.effects.records.extend(tombstones);
        self.step
            .write(Record::Classic(self.group_id.clone(), Some(value)));
        self.step.effects.on_commit = Some(OnCommit::Downgraded {
            group_id: self.group_id.clone(),
            rebalance,
        });
        tracing::info!(group = %self.group_id, "consumer group becomes a classic group");
        Ok(())
    }

    fn classic_value(
        &self,
        leaving: &[MemberId],
        joining: Option<&ConsumerMember>,
    ) -> Result<ClassicGroupValue, Malformed> {
        let joining_instance = joining.and_then(|member| member.common.instance_id.as_ref());
        let stays = |member: &&ConsumerMember| {
            let is_replaced = joining_instance.is_some()
                && member.common.instance_id.as_ref() == joining_instance;
            !leaving.contains(member.id()) && !is_replaced
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
                member_id: member.id().clone(),
                group_instance_id: member.common.instance_id.clone(),
                client_id: member.common.client_id.clone(),
                client_host: member.common.client_host.clone(),
                rebalance_timeout: member.rebalance_timeout_ms,
                session_timeout: classic.session_timeout_ms,
                assignment: self.classic_assignment(member, &subscription)?,
                subscription,
            });
        }
        assert!(
            values
                .iter()
                .all(|member| !leaving.contains(&member.member_id)),
            "group {}: a member that leaves is in the classic group",
            self.group_id
        );
        assert!(
            values.len() <= self.group.members().len() + usize::from(joining.is_some()),
            "group {}: {} of {} members remain",
            self.group_id,
            values.len(),
            self.group.members().len()
        );
        Ok(ClassicGroupValue {
            protocol_type: PROTOCOL_TYPE.to_owned(),
            generation: self.group.group_epoch(),
            protocol,
            leader: values.first().map(|member| member.member_id.clone()),
            current_state_timestamp: Some(self.step.wall),
            members: values,
        })
    }

    /// A member's target as an assignment of the classic protocol. A static member has the target
    /// of the member that it replaces.
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

/// The protocol that all members support and most prefer: of several the first in the alphabet.
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
