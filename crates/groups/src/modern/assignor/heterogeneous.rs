//! `uniform` for members that subscribe to different topics (Kafka's
//! `UniformHeterogeneousAssignmentBuilder`). Each member keeps the partitions of topics that it
//! still subscribes to. Unassigned partitions go to the least loaded subscribers, starting with the
//! topics that have most partitions per subscriber. Then partitions move from the most to the least
//! loaded subscribers of each topic until no move improves the balance.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_model::{PartitionIndex, TopicId};

use super::{GroupAssignment, GroupSpec};
use crate::ids::MemberId;
use crate::modern::member::Assignment;

/// The largest number of rounds in which all topics are balanced. One round suffices for members
/// with the same topics; where subscriptions overlap, each round about halves the imbalance.
const ITERATIONS_MAX: usize = 16;

/// A member's place in the order of their ids.
type Member = usize;

/// A topic that members subscribe to.
struct Topic {
    id: TopicId,
    /// The members that subscribe to it, in order.
    subscribers: Vec<Member>,
    /// The owner of each partition.
    owners: Vec<Option<Member>>,
}

pub(super) fn assign(spec: &GroupSpec) -> GroupAssignment {
    let mut topics: BTreeMap<TopicId, Topic> = BTreeMap::new();
    for (member, of) in spec.members.values().enumerate() {
        for id in of.topics.iter() {
            let partitions = usize::try_from(spec.count(*id)).unwrap_or(0);
            let topic = topics.entry(*id).or_insert_with(|| Topic {
                id: *id,
                subscribers: Vec::new(),
                owners: vec![None; partitions],
            });
            topic.subscribers.push(member);
        }
    }
    if topics.is_empty() {
        return GroupAssignment::new();
    }
    let mut loads = vec![0; spec.members.len()];
    for (member, of) in spec.members.values().enumerate() {
        keep(&mut topics, &mut loads, member, &of.topics, &of.assignment);
    }
    let mut topics: Vec<Topic> = topics.into_values().collect();
    topics.sort_by(order);
    for topic in &mut topics {
        assign_rest(topic, &mut loads);
    }
    topics.retain(|topic| !topic.owners.is_empty());
    balance(&mut topics, &mut loads);
    collect(spec, &topics)
}

/// Keeps the partitions of a member of topics that it still subscribes to.
fn keep(
    topics: &mut BTreeMap<TopicId, Topic>,
    loads: &mut [usize],
    member: Member,
    subscribed: &std::collections::BTreeSet<TopicId>,
    assignment: &Assignment,
) {
    for (topic_id, partitions) in assignment {
        let Some(topic) = topics.get_mut(topic_id) else {
            continue;
        };
        if !subscribed.contains(topic_id) {
            continue;
        }
        for partition in partitions {
            let place = usize::try_from(partition.0).ok();
            let owner = place.and_then(|place| topic.owners.get_mut(place));
            if let Some(owner @ None) = owner {
                *owner = Some(member);
                loads[member] += 1;
            }
        }
    }
}

/// Orders topics: those with most partitions per subscriber first, then those with fewer
/// subscribers, then by id.
fn order(a: &Topic, b: &Topic) -> std::cmp::Ordering {
    let density = |topic: &Topic| topic.owners.len() as f64 / topic.subscribers.len() as f64;
    density(b)
        .total_cmp(&density(a))
        .then(a.subscribers.len().cmp(&b.subscribers.len()))
        .then(a.id.cmp(&b.id))
}

fn assign_rest(topic: &mut Topic, loads: &mut [usize]) {
    let mut balancer = Balancer::new(&topic.subscribers, loads);
    for owner in topic.owners.iter_mut().filter(|owner| owner.is_none()) {
        let member = balancer.next_least_loaded(loads);
        *owner = Some(member);
        loads[member] += 1;
    }
}

fn balance(topics: &mut [Topic], loads: &mut [usize]) {
    let can_move = |topic: &&mut Topic| topic.subscribers.len() >= 2;
    let mut topics: Vec<&mut Topic> = topics.iter_mut().filter(can_move).collect();
    let mut last_moved = None;
    for _ in 0..ITERATIONS_MAX {
        for (place, topic) in topics.iter_mut().enumerate() {
            if last_moved == Some(place) {
                return;
            }
            let moved = balance_topic(topic, loads);
            if moved > 0 || last_moved.is_none() {
                last_moved = Some(place);
            }
        }
    }
}

/// Moves partitions of a topic from its most to its least loaded subscribers. Returns the number of
/// moved partitions.
fn balance_topic(topic: &mut Topic, loads: &mut [usize]) -> usize {
    let mut balancer = Balancer::new(&topic.subscribers, loads);
    if balancer.imbalance(loads) <= 1 {
        return 0;
    }
    let mut owned: BTreeMap<Member, Vec<usize>> = BTreeMap::new();
    for (partition, owner) in topic.owners.iter().enumerate() {
        if let Some(owner) = owner {
            owned.entry(*owner).or_default().push(partition);
        }
    }
    let mut moved = 0;
    while !balancer.is_balanced() {
        let partition = loop {
            let Some(from) = balancer.next_most_loaded(loads) else {
                return moved;
            };
            match owned.get_mut(&from).and_then(Vec::pop) {
                Some(partition) => break partition,
                None => balancer.exclude_most_loaded(),
            }
        };
        let to = balancer.next_least_loaded(loads);
        if balancer.is_balanced() {
            break;
        }
        if let Some(from) = topic.owners[partition].replace(to) {
            loads[from] -= 1;
        }
        loads[to] += 1;
        moved += 1;
    }
    moved
}

fn collect(spec: &GroupSpec, topics: &[Topic]) -> GroupAssignment {
    let ids: Vec<&MemberId> = spec.members.keys().collect();
    let mut assigned: Vec<Assignment> = vec![Assignment::new(); ids.len()];
    for topic in topics {
        for (partition, owner) in (0..).map(PartitionIndex).zip(&topic.owners) {
            if let Some(member) = owner {
                let of = assigned[*member].entry(topic.id).or_default();
                of.insert(partition);
            }
        }
    }
    let assigned = ids.into_iter().zip(assigned);
    assigned
        .map(|(id, assignment)| match spec.members.get(id) {
            Some(member) if *member.assignment == assignment => {
                (id.clone(), member.assignment.clone())
            }
            _ => (id.clone(), Arc::new(assignment)),
        })
        .collect()
}

/// Two ranges of a topic's subscribers in the order of their loads: the least loaded, which gets
/// partitions, grows to the right; the most loaded, which gives them, grows to the left. In each
/// all members began with the same load.
///
/// ```text
///            least                  most
///            loaded   #             loaded
///   load     range    ###          [#######]   # have none to give
///           [-->   ]#######  ...   [  <-###]###
/// ```
struct Balancer {
    members: Vec<Member>,
    least_end: usize,
    least_load: isize,
    next_least: usize,
    most_start: usize,
    most_end: usize,
    most_load: isize,
    /// One past the next member to take from.
    next_most: usize,
}

impl Balancer {
    fn new(subscribers: &[Member], loads: &[usize]) -> Self {
        let mut members = subscribers.to_vec();
        members.sort_by_key(|member| (loads[*member], *member));
        let load = |member: Option<&Member>| member.map_or(0, |m| loads[*m].cast_signed());
        Self {
            least_end: 0,
            least_load: load(members.first()) - 1,
            next_least: 0,
            most_start: members.len(),
            most_end: members.len(),
            most_load: load(members.last()) + 1,
            next_most: members.len(),
            members,
        }
    }

    /// The difference between the highest and the lowest load before any move.
    fn imbalance(&self, loads: &[usize]) -> usize {
        match (self.members.first(), self.members.last()) {
            (Some(first), Some(last)) => loads[*last] - loads[*first],
            _ => 0,
        }
    }

    fn is_balanced(&self) -> bool {
        self.most_load - self.least_load <= 1
    }

    /// The member that gets the next partition.
    fn next_least_loaded(&mut self, loads: &[usize]) -> Member {
        if self.next_least >= self.least_end {
            self.least_load += 1;
            while let Some(member) = self.members.get(self.least_end)
                && loads[*member].cast_signed() == self.least_load
            {
                self.least_end += 1;
            }
            self.next_least = 0;
        }
        let member = self.members[self.next_least];
        self.next_least += 1;
        member
    }

    /// The member that gives the next partition; `None` when no member can.
    fn next_most_loaded(&mut self, loads: &[usize]) -> Option<Member> {
        if self.next_most <= self.most_start {
            let below = self.most_start.checked_sub(1).map(|i| self.members[i]);
            match below {
                Some(member) if self.most_end <= self.most_start => {
                    self.most_load = loads[member].cast_signed();
                }
                _ => self.most_load -= 1,
            }
            while let Some(below) = self.most_start.checked_sub(1)
                && loads[self.members[below]].cast_signed() == self.most_load
            {
                self.most_start -= 1;
            }
            self.next_most = self.most_end;
        }
        self.next_most = self.next_most.checked_sub(1)?;
        Some(self.members[self.next_most])
    }

    /// Excludes the member that was returned last, which has no partition to give.
    fn exclude_most_loaded(&mut self) {
        self.members.swap(self.next_most, self.most_end - 1);
        self.most_end -= 1;
    }
}
