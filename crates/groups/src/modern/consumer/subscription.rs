//! The effects of a member's request: on the subscription, the group epoch, the target assignment,
//! and the member's own assignment, in this order.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use dohle_model::image::MetadataImage;
use dohle_model::{ErrorCode, TopicId};

use crate::history::Cause;
use crate::ids::MemberId;
use crate::modern::assignor::{Assignor, GroupSpec, MemberSpec};
use crate::modern::consumer::group::{ConsumerGroup, Resolved};
use crate::modern::consumer::member::ConsumerMember;
use crate::modern::consumer::regex;
use crate::modern::consumer::step::{ConsumerGroupStep, name};
use crate::modern::counts::Counts;
use crate::modern::member::{Assignment, Reported, assignment_to_record};
use crate::modern::reconcile::{ReconcileTarget, reconcile};
use crate::modern::target::group_spec;
use crate::records::{ConsumerGroupValue, ConsumerTargetValue, Record};
use crate::step::Failed;

/// A change of one member. When a static member replaces another, `old` is the replaced member
/// under the id of the new one.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// The member before the request.
    pub old: &'a ConsumerMember,
    /// The member with its description in the request.
    pub new: ConsumerMember,
    /// The partitions that the member reports to have.
    pub reported: Option<&'a Reported>,
}

/// The subscription of a group after a change.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// The group epoch.
    pub group_epoch: i32,
    /// The topics that its regular expressions match.
    resolved: BTreeMap<String, Arc<Resolved>>,
    /// Whether the member's own subscription changed.
    changed: bool,
}

impl ConsumerGroupStep<'_, '_> {
    /// Writes the member's description if it is new, and the group's new epoch when the
    /// subscription, or the topics subscribed to, have changed.
    pub(crate) fn subscribe(&mut self, change: &Change<'_>) -> Result<Subscription, Failed> {
        let (old, new) = (change.old, &change.new);
        if new != old || self.group.member(new.id().as_str()).is_none() {
            self.step.write(Record::ConsumerMember(
                self.group_id.clone(),
                new.id().clone(),
                Some(new.subscription()),
            ));
        }
        let regexes = regex::update(self.group_id, self.group, old, new, self.topics, self.step)?;
        let names_changed = new.common.subscribed_topic_names != old.common.subscribed_topic_names;
        let changed = names_changed || regexes.changed;
        let mut group_epoch = self.group.group_epoch();
        if self.group.common.needs_hash(changed) {
            let names = names_with(self.group, change);
            let matched = regexes.resolved.values().flat_map(|r| r.topics.iter());
            let all = names.names().chain(matched.map(String::as_str));
            let metadata_hash = self.topics.hash(self.step.image, all);
            let rises = names_changed || regexes.raises_epoch;
            let next_epoch = self.group.common.next_epoch(rises, metadata_hash);
            if next_epoch > group_epoch {
                let is_new = self.group.member(change.new.id().as_str()).is_none();
                let cause = match (rises, is_new) {
                    (false, _) => Cause::TopicsChanged,
                    (true, true) => Cause::Joined(name(&change.new)),
                    (true, false) => Cause::SubscriptionChanged(name(&change.new)),
                };
                let members = self.group.members().len() + usize::from(is_new);
                self.write_epoch(next_epoch, metadata_hash, members, cause);
            }
            group_epoch = next_epoch;
            if self.group.has_partition_metadata {
                let group_id = self.group_id.clone();
                self.step
                    .write(Record::ConsumerPartitionMetadata(group_id, None));
            }
        }
        Ok(Subscription {
            group_epoch,
            changed: names_changed || regexes.own_changed,
            resolved: regexes.resolved,
        })
    }

    /// Writes a new group epoch, which begins a rebalance of a group with this number of members.
    pub(crate) fn write_epoch(
        &mut self,
        epoch: i32,
        metadata_hash: i64,
        members: usize,
        cause: Cause,
    ) {
        let before = self.group.group_epoch();
        assert!(
            epoch >= before,
            "group {}: the group epoch decreased from {before} to {epoch}",
            self.group_id
        );
        let value = ConsumerGroupValue {
            epoch,
            metadata_hash,
        };
        self.step
            .write(Record::ConsumerGroup(self.group_id.clone(), Some(value)));
        tracing::info!(
            group = %self.group_id, epoch, reason = cause.to_string(), "rebalance begins"
        );
        self.note(epoch, members, cause);
    }

    /// Computes and writes a new target assignment if the present one is older than the group
    /// epoch. Returns the epoch of the target assignment and the target of the member.
    pub(crate) fn assign(
        &mut self,
        change: &Change<'_>,
        subscription: &Subscription,
    ) -> (i32, Arc<Assignment>) {
        let epoch = subscription.group_epoch;
        let is_due = epoch > self.group.assignment_epoch();
        let interval = self.assignment_interval();
        let target = &self.group.common.target;
        if !is_due || !target.may_be_replaced(interval, self.step.wall) {
            return self.last_target(&change.new);
        }
        let assignor = self.assignor_with(change);
        let spec = spec(self.group, self.step.image, change, &subscription.resolved);
        let mut assigned = assignor.assign(&spec);
        for member_id in spec.members.keys() {
            assigned.entry(member_id.clone()).or_default();
        }
        assert_eq!(
            assigned.len(),
            spec.members.len(),
            "group {}: members with a target, and members",
            self.group_id
        );
        for (member_id, assignment) in self.group.common.target.changed_by(&assigned) {
            self.step.write(Record::ConsumerTargetMember(
                self.group_id.clone(),
                member_id.clone(),
                Some(assignment_to_record(assignment)),
            ));
        }
        let value = ConsumerTargetValue {
            assignment_epoch: epoch,
            assignment_timestamp: Some(self.step.wall),
        };
        self.step
            .write(Record::ConsumerTarget(self.group_id.clone(), Some(value)));
        tracing::info!(
            group = %self.group_id,
            epoch,
            assignor = assignor.name(),
            "target assignment computed"
        );
        let own = assigned.remove(change.new.id());
        (epoch, own.unwrap_or_default())
    }

    /// Takes one step of the member towards its target, and writes the member if it changed.
    ///
    /// # Errors
    /// FENCED_MEMBER_EPOCH when a newer coordinator left the member in a state that this version
    /// does not know.
    pub(crate) fn reconcile(
        &mut self,
        change: Change<'_>,
        subscription: &Subscription,
        (epoch, assignment): (i32, Arc<Assignment>),
    ) -> Result<ConsumerMember, Failed> {
        let member = change.new;
        if !subscription.changed && member.common.is_reconciled_to(epoch) {
            return Ok(member);
        }
        let target = ReconcileTarget {
            epoch,
            assignment,
            subscribed: topics_of(&member, &subscription.resolved, self.step.image),
            subscription_changed: subscription.changed,
            reported: change.reported,
        };
        let common = reconcile(self.group.owners(), member.common.clone(), &target);
        let common = common.map_err(|_| {
            Failed::because(
                ErrorCode::FencedMemberEpoch,
                "The consumer group member is in a unknown state. The member must abandon all its \
                 partitions and rejoin.",
            )
        })?;
        if common == member.common {
            return Ok(member);
        }
        let reconciled = ConsumerMember { common, ..member };
        self.step.write(Record::ConsumerCurrent(
            self.group_id.clone(),
            reconciled.id().clone(),
            Some(reconciled.current()),
        ));
        if !reconciled.uses_classic_protocol() {
            self.set_rebalance_timer(&reconciled);
        }
        Ok(reconciled)
    }

    /// The present target of a member. A static member has the target of the member that it
    /// replaces.
    pub(crate) fn last_target(&self, member: &ConsumerMember) -> (i32, Arc<Assignment>) {
        let member_id = match &member.common.instance_id {
            Some(instance_id) => {
                let replaced = self.group.static_member(instance_id.as_str());
                replaced.map(ConsumerMember::id)
            }
            None => Some(member.id()),
        };
        let target = member_id.and_then(|id| self.group.target(id.as_str()));
        let target = target.cloned().unwrap_or_default();
        (self.group.assignment_epoch(), target)
    }

    /// The assignor that most members ask for after the change.
    fn assignor_with(&self, change: &Change<'_>) -> Assignor {
        let mut asked = self.group.assignors().clone();
        if let Some(new) = &change.new.server_assignor {
            asked.increase(new);
        }
        if let Some(old) = &change.old.server_assignor {
            asked.decrease(old);
        }
        preferred(&self.step.config.group_consumer_assignors, &asked)
    }
}

/// Returns the configured assignor that most members ask for: the first of several, and the first
/// of all when no member asks for any.
pub(crate) fn preferred(configured: &[String], asked: &Counts) -> Assignor {
    let mut best = (Assignor::Uniform, None);
    for name in configured {
        let Some(assignor) = Assignor::of(name) else {
            continue;
        };
        let count = asked.get(name);
        if best.1.is_none_or(|most| count > most) {
            best = (assignor, Some(count));
        }
    }
    best.0
}

/// The topics that members subscribe to by name after a change.
fn names_with(group: &ConsumerGroup, change: &Change<'_>) -> Counts {
    let mut names = group.common.subscribed().clone();
    let old = &change.old.common.subscribed_topic_names;
    let new = &change.new.common.subscribed_topic_names;
    if old == new {
        return names;
    }
    for name in new {
        names.increase(name);
    }
    for name in old {
        names.decrease(name);
    }
    names
}

/// The topics that a member subscribes to and that exist.
pub(crate) fn topics_of(
    member: &ConsumerMember,
    resolved: &BTreeMap<String, Arc<Resolved>>,
    image: &MetadataImage,
) -> BTreeSet<TopicId> {
    let matched = member.regex().and_then(|regex| resolved.get(regex));
    let matched = matched.into_iter().flat_map(|resolved| &resolved.topics);
    let names = member.common.subscribed_topic_names.iter().chain(matched);
    names
        .filter_map(|name| image.topic_ids.get(name.as_str()).copied())
        .collect()
}

/// A member's subscription: topics by name, and a regular expression.
type NamesAndRegex<'a> = (&'a BTreeSet<String>, Option<&'a str>);

/// Returns the assignor's input after a change.
fn spec(
    group: &ConsumerGroup,
    image: &MetadataImage,
    change: &Change<'_>,
    resolved: &BTreeMap<String, Arc<Resolved>>,
) -> GroupSpec {
    let new = &change.new;
    let replaced = new.common.instance_id.as_ref().and_then(|instance_id| {
        let before = group.static_member(instance_id.as_str())?;
        (before.id() != new.id()).then_some(before.id())
    });
    // Members with the same subscription share one set of topics.
    let mut subscriptions: HashMap<NamesAndRegex<'_>, Arc<BTreeSet<TopicId>>> = HashMap::new();
    let mut members: Vec<(MemberId, MemberSpec)> = Vec::new();
    let others = group.members().values();
    let others = others.filter(|m| m.id() != new.id() && Some(m.id()) != replaced);
    for member in others.chain([new]) {
        let topics = subscriptions
            .entry((&member.common.subscribed_topic_names, member.regex()))
            .or_insert_with(|| Arc::new(topics_of(member, resolved, image)));
        let target_of = match (replaced, member.id() == new.id()) {
            (Some(replaced), true) => replaced,
            _ => member.id(),
        };
        let member_spec = MemberSpec {
            instance_id: member.common.instance_id.clone(),
            topics: topics.clone(),
            assignment: group
                .target(target_of.as_str())
                .cloned()
                .unwrap_or_default(),
        };
        members.push((member.id().clone(), member_spec));
    }
    group_spec(members, subscriptions.values(), image)
}
