//! A classic group of consumers becomes a consumer group, because a member of the consumer protocol
//! joins it (`group.consumer.migration.policy`).
//!
//! Its members stay, with their partitions, and continue with JoinGroup and SyncGroup
//! (`classic_members`).

use dohle_model::{ErrorCode, Timestamp};

use crate::Step;
use crate::classic::{ClassicGroup, Member};
use crate::config::GroupConfig;
use crate::ids::{GroupId, MemberId};
use crate::migration::embedded::{self, Malformed};
use crate::modern::consumer::group::ConsumerGroup;
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::member::{Assignment, ModernMember, assignment_to_record, owned_since};
use crate::modern::topics::Topics;
use crate::records::{ClassicMetadata, ConsumerGroupValue, ConsumerTargetValue, Record};
use crate::step::Failed;

/// A new consumer group in place of a classic group without members.
pub(crate) fn replace_empty(
    classic: &ClassicGroup,
    group_id: &GroupId,
    step: &mut Step<'_>,
) -> ConsumerGroup {
    if !classic.is_simple() {
        step.write(Record::Classic(group_id.clone(), None));
        tracing::info!(group = %group_id, "empty classic group becomes a consumer group");
    }
    ConsumerGroup::default()
}

/// The consumer group that a classic group becomes. Its records are written.
///
/// # Errors
/// GROUP_ID_NOT_FOUND when the classic group cannot become a consumer group.
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
    group.common.group_epoch = classic.generation();
    group.common.target.epoch = classic.generation();
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
        group.common.target.set(member_id.clone(), target);
        let _ = group.update_member(member);
    }
    assert_eq!(
        group.members().len(),
        classic.members().len(),
        "group {group_id}: members after and before the upgrade"
    );
    assert_eq!(
        group.common.target.members().count(),
        group.members().len(),
        "group {group_id}: members with a target after the upgrade"
    );
    let names = group.common.subscribed().names();
    group.common.metadata_hash = topics.hash(step.image, names);
    step.write(Record::Classic(group_id.clone(), None));
    step.effects.records.extend(creation(&group, group_id));
    tracing::info!(group = %group_id, "classic group becomes a consumer group");
    Ok(group)
}

/// The reason why a classic group cannot become a consumer group, apart from what its members sent.
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

/// The member of the consumer group that a member of the classic group becomes, and its target
/// assignment, which is its present assignment. `None` when the assignment has data of an assignor
/// of the client's own.
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
        common: ModernMember {
            instance_id: member.instance_id.clone(),
            rack_id: subscription.rack_id.as_ref().map(ToString::to_string),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            subscribed_topic_names: topics.map(ToString::to_string).collect(),
            member_epoch: generation,
            previous_member_epoch: generation,
            assigned_partitions: owned_since(&target, generation),
            ..ModernMember::new(member_id.clone())
        },
        rebalance_timeout_ms: member.rebalance_timeout_ms,
        classic: Some(ClassicMetadata {
            session_timeout_ms: member.session_timeout_ms,
            supported_protocols: member.protocols.clone(),
        }),
        ..ConsumerMember::new(member_id.clone())
    };
    Ok(Some((upgraded, target)))
}

/// The records that create a group.
fn creation(group: &ConsumerGroup, group_id: &GroupId) -> Vec<Record> {
    let id = || group_id.clone();
    let members = || group.members().values();
    let mut records: Vec<Record> = Vec::new();
    records.extend(members().map(|member| {
        let value = Some(member.subscription());
        Record::ConsumerMember(id(), member.id().clone(), value)
    }));
    let value = ConsumerGroupValue {
        epoch: group.group_epoch(),
        metadata_hash: group.common.metadata_hash,
    };
    records.push(Record::ConsumerGroup(id(), Some(value)));
    records.extend(members().map(|member| {
        let target = group.target(member.id().as_str());
        let value = target.map(|target| assignment_to_record(target));
        let value = Some(value.unwrap_or_default());
        Record::ConsumerTargetMember(id(), member.id().clone(), value)
    }));
    let value = ConsumerTargetValue {
        assignment_epoch: group.assignment_epoch(),
        assignment_timestamp: Some(Timestamp(0)),
    };
    records.push(Record::ConsumerTarget(id(), Some(value)));
    records.extend(
        members().map(|member| {
            Record::ConsumerCurrent(id(), member.id().clone(), Some(member.current()))
        }),
    );
    records
}
