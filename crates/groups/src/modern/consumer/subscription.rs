//! What a group subscribes to after a member changed, whether its epoch rises by it, and the target
//! assignment that follows.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use dohle_model::image::MetadataImage;
use dohle_model::{Timestamp, TopicId};

use crate::modern::assignor::{Assignor, GroupSpec, MemberSpec};
use crate::modern::consumer::group::{ConsumerGroup, Resolved, decrease, increase};
use crate::modern::consumer::regex;
use crate::modern::consumer::step::Turn;
use crate::modern::member::{Assignment, ConsumerMember, assignment_to_record};
use crate::modern::reconcile::{Reported, Target, reconcile};
use crate::records::{ConsumerGroupValue, ConsumerTargetValue, Record};
use crate::step::Failed;

/// A change of one member: as it was, and as it is going to be. A static member that takes the
/// place of another has the other's state under its own id before.
#[derive(Debug)]
pub(crate) struct Change<'a> {
    /// As it was.
    pub old: &'a ConsumerMember,
    /// As it is going to be.
    pub new: ConsumerMember,
    /// The partitions that the member says it has.
    pub reported: Option<&'a Reported>,
}

/// What a group subscribes to with a change.
#[derive(Debug)]
pub(crate) struct Subscription {
    /// The group epoch with it.
    pub group_epoch: i32,
    /// What its regular expressions match with it.
    resolved: BTreeMap<String, Arc<Resolved>>,
    /// Whether the member subscribes to something else with it.
    changed: bool,
}

impl Turn<'_, '_> {
    /// Writes what a member says of itself, if that is new, and the group's new epoch when what it
    /// subscribes to, or those topics, have changed.
    pub(crate) fn subscribe(&mut self, change: &Change<'_>) -> Result<Subscription, Failed> {
        let (old, new) = (change.old, &change.new);
        if new != old || self.group.member(new.member_id.as_str()).is_none() {
            self.step.write(Record::ConsumerMember(
                self.group_id.clone(),
                new.member_id.clone(),
                Some(new.subscription()),
            ));
        }
        let regexes = regex::update(self.group_id, self.group, old, new, self.topics, self.step)?;
        let names_changed = new.subscribed_topic_names != old.subscribed_topic_names;
        let mut subscription = Subscription {
            group_epoch: self.group.group_epoch(),
            resolved: regexes.resolved,
            changed: names_changed || regexes.own_changed,
        };
        // Who joins is in an epoch above 0, also when it subscribes to nothing yet.
        let mut bump = names_changed || regexes.changed || self.group.group_epoch() == 0;
        let checked = self.group.metadata_checked;
        let expired = checked.is_none_or(|epoch| self.group.group_epoch() < epoch);
        if bump || expired {
            let names = names_with(self.group, change);
            let matched = subscription.resolved.values().flat_map(|r| r.topics.iter());
            let all = names.keys().chain(matched).map(String::as_str);
            let hash = self.topics.hash(self.step.image, all);
            bump |= hash != self.group.metadata_hash;
            if bump {
                subscription.group_epoch += 1;
                self.write_epoch(subscription.group_epoch, hash);
            }
            self.group.metadata_checked = Some(subscription.group_epoch);
            if self.group.has_partition_metadata {
                let group_id = self.group_id.clone();
                self.step
                    .write(Record::ConsumerPartitionMetadata(group_id, None));
            }
        }
        Ok(subscription)
    }

    /// Raises the group's epoch.
    pub(crate) fn write_epoch(&mut self, epoch: i32, metadata_hash: i64) {
        let value = ConsumerGroupValue {
            epoch,
            metadata_hash,
        };
        self.step
            .write(Record::ConsumerGroup(self.group_id.clone(), Some(value)));
        tracing::info!(group = %self.group_id, epoch, "the group's epoch rises");
    }

    /// Computes a new target assignment if the group's epoch asks for one. Returns the epoch of the
    /// target assignment and what it gives to the member.
    pub(crate) fn assign(
        &mut self,
        change: &Change<'_>,
        subscription: &Subscription,
    ) -> (i32, Arc<Assignment>) {
        let epoch = subscription.group_epoch;
        if epoch <= self.group.assignment_epoch() || !self.may_assign() {
            return self.last_target(&change.new);
        }
        let assignor = self.assignor_with(change);
        let spec = spec(self.group, self.step.image, change, &subscription.resolved);
        let mut assigned = assignor.assign(&spec);
        for member_id in spec.members.keys() {
            let assignment = assigned.entry(member_id.clone()).or_default();
            let before = self.group.target(member_id.as_str());
            let same =
                |before: &Arc<Assignment>| Arc::ptr_eq(before, assignment) || before == assignment;
            if !before.is_some_and(same) {
                self.step.write(Record::ConsumerTargetMember(
                    self.group_id.clone(),
                    member_id.clone(),
                    Some(assignment_to_record(assignment)),
                ));
            }
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
            "a new target assignment"
        );
        let own = assigned.remove(&change.new.member_id);
        (epoch, own.unwrap_or_default())
    }

    /// Takes one step towards the target assignment, and writes it if it leads somewhere.
    pub(crate) fn reconcile(
        &mut self,
        change: Change<'_>,
        subscription: &Subscription,
        (epoch, assignment): (i32, Arc<Assignment>),
    ) -> Result<ConsumerMember, Failed> {
        let member = change.new;
        if !subscription.changed && member.is_reconciled_to(epoch) {
            return Ok(member);
        }
        let target = Target {
            epoch,
            assignment,
            subscribed: topics_of(&member, &subscription.resolved, self.step.image),
            subscription_changed: subscription.changed,
            reported: change.reported,
        };
        let reconciled = reconcile(self.group, member.clone(), &target)?;
        if reconciled != member {
            self.step.write(Record::ConsumerCurrent(
                self.group_id.clone(),
                reconciled.member_id.clone(),
                Some(reconciled.current()),
            ));
            if !reconciled.uses_classic_protocol() {
                self.set_rebalance(&reconciled);
            }
        }
        Ok(reconciled)
    }

    /// Whether enough time has passed since the last target assignment. When not, the next request
    /// of any member asks again.
    fn may_assign(&self) -> bool {
        let interval = self.assignment_interval();
        let interval = i64::try_from(interval.as_millis()).unwrap_or(i64::MAX);
        match self.group.assignment_timestamp {
            None | Some(Timestamp(0)) => true,
            // A clock that was set back must not hold the group up.
            Some(last) => {
                let since = self.step.wall.0.saturating_sub(last.0);
                since < 0 || since >= interval
            }
        }
    }

    /// What the target assignment there is gives to a member; for a static one, to whoever had its
    /// place.
    pub(crate) fn last_target(&self, member: &ConsumerMember) -> (i32, Arc<Assignment>) {
        let member_id = match &member.instance_id {
            Some(instance_id) => {
                let before = self.group.static_member(instance_id.as_str());
                before.map(|member| &member.member_id)
            }
            None => Some(&member.member_id),
        };
        let target = member_id.and_then(|id| self.group.target(id.as_str()));
        let target = target.cloned().unwrap_or_default();
        (self.group.assignment_epoch(), target)
    }

    /// The assignor that most members ask for, of several the one that is configured first.
    fn assignor_with(&self, change: &Change<'_>) -> Assignor {
        let mut asked = self.group.assignors().clone();
        if let Some(new) = &change.new.server_assignor {
            increase(&mut asked, new);
        }
        if let Some(old) = &change.old.server_assignor {
            decrease(&mut asked, old);
        }
        preferred(&self.step.config.group_consumer_assignors, &asked)
    }
}

/// The assignor that most ask for, of several the one that is configured first; the first of all
/// when nobody asks.
pub(crate) fn preferred(configured: &[String], asked: &BTreeMap<String, usize>) -> Assignor {
    let mut best = (Assignor::Uniform, None);
    for name in configured {
        let Some(assignor) = Assignor::of(name) else {
            continue;
        };
        let count = asked.get(name).copied().unwrap_or(0);
        if best.1.is_none_or(|most| count > most) {
            best = (assignor, Some(count));
        }
    }
    best.0
}

/// How many members name each topic with a change.
fn names_with(group: &ConsumerGroup, change: &Change<'_>) -> BTreeMap<String, usize> {
    let mut names = group.subscribed().clone();
    if change.old.subscribed_topic_names == change.new.subscribed_topic_names {
        return names;
    }
    for name in &change.new.subscribed_topic_names {
        increase(&mut names, name);
    }
    for name in &change.old.subscribed_topic_names {
        decrease(&mut names, name);
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
    let names = member.subscribed_topic_names.iter().chain(matched);
    names
        .filter_map(|name| image.topic_ids.get(name.as_str()).copied())
        .collect()
}

/// What a member subscribes to in its own words.
type Said<'a> = (&'a BTreeSet<String>, Option<&'a str>);

/// The group with a change, as the assignors see it.
fn spec(
    group: &ConsumerGroup,
    image: &MetadataImage,
    change: &Change<'_>,
    resolved: &BTreeMap<String, Arc<Resolved>>,
) -> GroupSpec {
    let new = &change.new;
    let replaced = new.instance_id.as_ref().and_then(|instance_id| {
        let before = group.static_member(instance_id.as_str())?;
        (before.member_id != new.member_id).then_some(&before.member_id)
    });
    let mut subscriptions: HashMap<Said<'_>, Arc<BTreeSet<TopicId>>> = HashMap::new();
    let others = group.members().values();
    let others = others.filter(|m| m.member_id != new.member_id && Some(&m.member_id) != replaced);
    let mut spec = GroupSpec::default();
    for member in others.chain([new]) {
        let topics = subscriptions
            .entry((&member.subscribed_topic_names, member.regex()))
            .or_insert_with(|| Arc::new(topics_of(member, resolved, image)));
        let had = match (replaced, member.member_id == new.member_id) {
            (Some(replaced), true) => replaced,
            _ => &member.member_id,
        };
        let member_spec = MemberSpec {
            instance_id: member.instance_id.clone(),
            topics: topics.clone(),
            assignment: group.target(had.as_str()).cloned().unwrap_or_default(),
        };
        spec.members.insert(member.member_id.clone(), member_spec);
    }
    for topic_id in subscriptions.values().flat_map(|topics| topics.iter()) {
        let partitions = image.topics.get(topic_id).map_or(0, |t| t.partitions.len());
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        spec.partitions.insert(*topic_id, partitions);
    }
    let mut distinct = subscriptions.values();
    let first = distinct.next().cloned();
    spec.homogeneous = distinct.all(|topics| Some(topics) == first.as_ref());
    spec
}
