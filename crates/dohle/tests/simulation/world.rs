//! Three brokers, a controller and a slow, unreliable network, driven by a seed, and the invariants
//! that are checked after every step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use dohle_broker::replica::{AlterFailure, IsrProposal};
use dohle_model::partition::LeaderRecoveryState;
use dohle_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset};

use super::controller::{Controller, Registration};
use super::invariants::{CommittedView, Invariants, ReplicaView};
use super::node::{ModelLog, Node, Record, Role, ToFollower, ToLeader};
use super::random::Random;

pub const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];

/// A broker, running or not.
pub enum Broker {
    Up(Box<Node>),
    Down {
        log: ModelLog,
        high_watermark: Offset,
        /// The broker epoch in its clean-shutdown file; `None` after any other stop.
        previous: Option<BrokerEpoch>,
    },
}

/// A proposal in flight to the controller.
#[derive(Clone)]
struct Proposed {
    leader: NodeId,
    /// The registration of the leader's process.
    broker_epoch: BrokerEpoch,
    proposal: IsrProposal,
    /// Whether an earlier copy got no response.
    in_doubt: bool,
}

/// A message in flight of a stream that broke or that the follower left. It reaches only the
/// process to which it was sent.
struct Late {
    from: NodeId,
    to: NodeId,
    /// The registration of the receiving process.
    process: BrokerEpoch,
    message: LateMessage,
}

enum LateMessage {
    ToLeader(ToLeader),
    ToFollower(ToFollower),
}

/// A stream from `follower` to `leader`, ordered until it breaks.
#[derive(Default)]
struct Stream {
    to_leader: VecDeque<ToLeader>,
    to_follower: VecDeque<ToFollower>,
}

pub struct Harness {
    pub(super) random: Random,
    now: Duration,
    pub(super) controller: Controller,
    pub(super) brokers: BTreeMap<NodeId, Broker>,
    /// The number of the disk that holds each broker's replica.
    pub(super) disks: BTreeMap<NodeId, u32>,
    /// Brokers that lost records, until the loss can no longer do harm, and whether the loss was
    /// reported to the controller.
    pub(super) losses: BTreeMap<NodeId, bool>,
    streams: BTreeMap<(NodeId, NodeId), Stream>,
    late: Vec<Late>,
    /// Registrations in flight to each broker.
    pub(super) feed: BTreeMap<NodeId, VecDeque<Registration>>,
    proposals: Vec<Proposed>,
    /// Copies of proposals that got no response and may still reach the controller, until a time.
    copies: Vec<(Proposed, Duration)>,
    last_told: Option<dohle_model::PartitionEpoch>,
    next_value: u64,
    invariants: Invariants,
    /// The last leader epoch in which each broker lost records, or reported that it had.
    pub(super) lost_in: BTreeMap<NodeId, LeaderEpoch>,
    /// The records that have been below a leader's high watermark.
    committed: Vec<Record>,
    /// The records that were acknowledged to producers.
    acked: BTreeMap<Offset, Record>,
    /// The last events.
    pub trace: VecDeque<String>,
    /// A hash of all events.
    pub trace_hash: u64,
    pub steps: u64,
    pub counts: BTreeMap<&'static str, u64>,
}

/// The longest time that a copy of a proposal is in flight.
const COPY_LIFE: Duration = Duration::from_secs(10);

impl Harness {
    pub fn new(seed: u64) -> Self {
        let controller = Controller::new(&NODES, super::node::CONFIG.min_insync_replicas);
        let mut brokers = BTreeMap::new();
        for id in NODES {
            let epoch = controller.eligible[&id];
            let node = Node::new(id, ModelLog::default(), Offset::ZERO, epoch);
            brokers.insert(id, Broker::Up(Box::new(node)));
        }
        let mut world = Self {
            random: Random::new(seed),
            now: Duration::from_secs(1),
            controller,
            brokers,
            disks: NODES.iter().map(|id| (*id, 1)).collect(),
            losses: BTreeMap::new(),
            streams: BTreeMap::new(),
            late: Vec::new(),
            feed: NODES.iter().map(|id| (*id, VecDeque::new())).collect(),
            proposals: Vec::new(),
            copies: Vec::new(),
            last_told: None,
            next_value: 0,
            invariants: Invariants::default(),
            lost_in: BTreeMap::new(),
            committed: Vec::new(),
            acked: BTreeMap::new(),
            trace: VecDeque::new(),
            trace_hash: 0,
            steps: 0,
            counts: BTreeMap::new(),
        };
        world.tell();
        world
    }

    /// Makes one random event, and then checks the invariants.
    pub fn step(&mut self, faults: bool) {
        self.steps += 1;
        let node = *self.random.pick(&NODES).unwrap();
        let other = *self.random.pick(&NODES).unwrap();
        match self.random.below(if faults { 107 } else { 100 }) {
            0..8 if faults => self.produce(node),
            0..30 => self.deliver_to_leader(node, other),
            30..54 => self.deliver_to_follower(node, other),
            54..70 => self.send(node, other),
            70..78 => self.follow_metadata(node),
            78..84 => self.subscribe(node),
            84..90 => self.alter(),
            90..92 => self.tick(node),
            92..94 => self.pass_time(),
            94..96 => self.flush(node),
            96..98 => self.start(node),
            98..99 => self.deliver_late(),
            99..100 => self.deliver_copy(),
            100..102 => self.break_stream(node, other),
            102..103 => self.stop(node),
            103..104 => self.fence(node),
            104..105 => self.rebalance(),
            _ => self.unfence(node),
        }
        self.forget_harmless_losses();
        self.tell();
        self.check();
    }

    pub(super) fn note(&mut self, kind: &'static str, text: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += 1;
        if self.trace.len() == 60 {
            self.trace.pop_front();
        }
        let line = format!("{} {kind} {}", self.steps, text());
        // FNV-1a, which is the same on every machine.
        self.trace_hash = line.bytes().fold(self.trace_hash, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        self.trace.push_back(line);
    }

    pub(super) fn node(&mut self, id: NodeId) -> Option<&mut Node> {
        match self.brokers.get_mut(&id) {
            Some(Broker::Up(node)) => Some(node),
            _ => None,
        }
    }

    fn eligible(&self) -> impl Fn(NodeId, BrokerEpoch) -> bool + use<> {
        let eligible = self.controller.eligible.clone();
        move |id, epoch| eligible.get(&id) == Some(&epoch)
    }

    fn produce(&mut self, id: NodeId) {
        let (now, value) = (self.now, self.next_value);
        let Some(node) = self.node(id) else { return };
        let epoch = node.epoch();
        let Some(leader) = node.leader() else { return };
        if leader.admit().is_err() {
            return;
        }
        let record = Record { epoch, value };
        node.log.append(record);
        let end = node.log.end();
        node.waiting.push((end, record));
        let effects = match &mut node.role {
            Role::Leader(leader) => leader.on_append(end, now),
            Role::Follower(_) => return,
        };
        let acked = node.apply(effects);
        self.next_value += 1;
        self.note("produce", || format!("{value} at {id}, end {end}"));
        self.acknowledge(id, acked);
    }

    fn acknowledge(&mut self, id: NodeId, acked: Vec<(Offset, Record)>) {
        for (end, record) in acked {
            self.note("acked", || format!("{} at {id}", record.value));
            self.acked.insert(Offset(end.0 - 1), record);
        }
        self.collect(id);
    }

    /// Sends the node's proposals, and records what is committed.
    fn collect(&mut self, id: NodeId) {
        let Some(node) = self.node(id) else { return };
        let (proposal, broker_epoch) = (node.proposal.take(), node.broker_epoch);
        let ended: Vec<_> = std::mem::take(&mut node.ended)
            .into_iter()
            .filter(|(_, feed)| !feed.gone)
            .map(|(follower, feed)| (follower, node.ended(feed.subscription, feed.leader_epoch)))
            .collect();
        let high_watermark = node.high_watermark.0 as usize;
        for (follower, message) in ended {
            if let Some(stream) = self.streams.get_mut(&(follower, id)) {
                stream.to_follower.push_back(message);
            }
        }
        if let Some(proposal) = proposal {
            let members: Vec<i32> = proposal.isr.iter().map(|member| member.id.0).collect();
            self.note("propose", || format!("{members:?} by {id}"));
            self.proposals.push(Proposed {
                leader: id,
                broker_epoch,
                proposal,
                in_doubt: false,
            });
        }
        let known = self.committed.len();
        if high_watermark > known
            && let Some(Broker::Up(node)) = self.brokers.get(&id)
        {
            self.committed
                .extend_from_slice(&node.log.records[known..high_watermark]);
        }
    }

    fn deliver_to_leader(&mut self, follower: NodeId, leader: NodeId) {
        let now = self.now;
        let eligible = self.eligible();
        let Some(stream) = self.streams.get_mut(&(follower, leader)) else {
            return;
        };
        let Some(message) = stream.to_leader.pop_front() else {
            return;
        };
        let Some(node) = self.node(leader) else {
            return;
        };
        let (reply, effects) = node.on_follower(follower, &message, now, eligible);
        let acked = node.apply(effects);
        if let Some(reply) = reply {
            let stream = self.streams.entry((follower, leader)).or_default();
            stream.to_follower.push_back(reply);
        }
        self.note("to leader", || format!("{follower}→{leader} {message:?}"));
        self.acknowledge(leader, acked);
    }

    fn deliver_to_follower(&mut self, follower: NodeId, leader: NodeId) {
        let Some(stream) = self.streams.get_mut(&(follower, leader)) else {
            return;
        };
        let Some(message) = stream.to_follower.pop_front() else {
            return;
        };
        let Some(node) = self.node(follower) else {
            return;
        };
        let reply = node.on_leader(leader, &message);
        if let Some(reply) = reply {
            let stream = self.streams.entry((follower, leader)).or_default();
            stream.to_leader.push_back(reply);
        }
        self.note("to follower", || format!("{leader}→{follower} {message:?}"));
    }

    /// Delivers a late message, in any order. The answer is lost, because its stream is gone.
    fn deliver_late(&mut self) {
        if self.late.is_empty() {
            return;
        }
        let at = self.random.below(self.late.len() as u64) as usize;
        let late = self.late.swap_remove(at);
        let (now, eligible) = (self.now, self.eligible());
        let Some(node) = self.node(late.to) else {
            return;
        };
        if node.broker_epoch != late.process {
            return;
        }
        let acked = match &late.message {
            LateMessage::ToLeader(message) => {
                let (_, effects) = node.on_follower(late.from, message, now, eligible);
                if let ToLeader::Subscribe { subscription, .. } = message
                    && let Some(feed) = node.feeds.get_mut(&late.from)
                    && feed.subscription == *subscription
                {
                    feed.gone = true;
                }
                node.apply(effects)
            }
            LateMessage::ToFollower(message) => {
                node.on_leader(late.from, message);
                Vec::new()
            }
        };
        self.note("late", || match &late.message {
            LateMessage::ToLeader(message) => format!("{}→{} {message:?}", late.from, late.to),
            LateMessage::ToFollower(message) => format!("{}→{} {message:?}", late.from, late.to),
        });
        self.acknowledge(late.to, acked);
    }

    /// Keeps the messages in flight on a stream for late delivery, or drops them.
    fn keep_late(&mut self, follower: NodeId, leader: NodeId, stream: Stream) {
        let to_leader = stream.to_leader.into_iter().map(LateMessage::ToLeader);
        let to_follower = stream.to_follower.into_iter().map(LateMessage::ToFollower);
        let to_leader = to_leader.map(|message| (follower, leader, message));
        let to_follower = to_follower.map(|message| (leader, follower, message));
        for (from, to, message) in to_leader.chain(to_follower) {
            let Some(process) = self.node(to).map(|node| node.broker_epoch) else {
                continue;
            };
            if self.random.one_in(2) {
                self.late.push(Late {
                    from,
                    to,
                    process,
                    message,
                });
            }
        }
    }

    fn send(&mut self, leader: NodeId, follower: NodeId) {
        let count = self.random.below(8) as usize;
        let Some(node) = self.node(leader) else {
            return;
        };
        if let Some(message) = node.send(follower, count) {
            let stream = self.streams.entry((follower, leader)).or_default();
            stream.to_follower.push_back(message);
        }
    }

    fn subscribe(&mut self, follower: NodeId) {
        let Some(node) = self.node(follower) else {
            return;
        };
        let Role::Follower(core) = &node.role else {
            return;
        };
        let Some(leader) = core.leader() else { return };
        if let Some(message) = node.subscribe(leader) {
            self.streams
                .entry((follower, leader))
                .or_default()
                .to_leader
                .push_back(message);
        }
    }

    fn follow_metadata(&mut self, id: NodeId) {
        let now = self.now;
        if self.node(id).is_none() {
            return;
        }
        let Some(registration) = self.feed.get_mut(&id).and_then(VecDeque::pop_front) else {
            return;
        };
        self.on_registration(id, &registration, now);
    }

    fn on_registration(&mut self, id: NodeId, registration: &Registration, now: Duration) {
        let eligible = self.eligible();
        let Some(node) = self.node(id) else { return };
        let (leads, effects) = node.on_registration(registration, now, eligible);
        let (epoch, acked) = (node.epoch(), node.apply(effects));
        if leads {
            let records = node.log.records.clone();
            self.check_new_leader(id, epoch, &records);
        }
        self.note("metadata", || format!("at {id}: {registration:?}"));
        self.acknowledge(id, acked);
    }

    fn check_new_leader(&mut self, id: NodeId, epoch: LeaderEpoch, records: &[Record]) {
        // A registration may arrive late, after a newer leader has acknowledged more.
        let before = self.acked.iter().filter(|(_, record)| record.epoch < epoch);
        for (offset, record) in before {
            let found = records.get(offset.0 as usize);
            assert_eq!(
                found,
                Some(record),
                "leader {id} of epoch {epoch} lacks offset {offset}"
            );
        }
    }

    /// Delivers a copy of a proposal that has been repeated since. The response is lost.
    fn deliver_copy(&mut self) {
        let now = self.now;
        self.copies.retain(|(_, until)| now <= *until);
        if self.copies.is_empty() {
            return;
        }
        let at = self.random.below(self.copies.len() as u64) as usize;
        let (copy, _) = self.copies.swap_remove(at);
        let outcome = self
            .controller
            .alter(copy.leader, copy.broker_epoch, &copy.proposal);
        self.note("copy", || {
            format!("by {}: {:?}", copy.leader, outcome.err())
        });
    }

    /// Lets the controller answer a proposal. The request or the response may be lost. A request
    /// that was repeated may also arrive late.
    fn alter(&mut self) {
        if self.proposals.is_empty() {
            return;
        }
        let at = self.random.below(self.proposals.len() as u64) as usize;
        let proposed = self.proposals[at].clone();
        let Proposed {
            leader,
            broker_epoch,
            ref proposal,
            in_doubt,
        } = proposed;
        let still = self.node(leader).and_then(|node| node.leader());
        if !still.is_some_and(|it| it.is_proposed(proposal)) {
            self.proposals.remove(at);
            return;
        }
        if self.random.one_in(10) {
            self.proposals[at].in_doubt = true;
            if self.random.one_in(2) {
                let until = self.now + COPY_LIFE;
                self.copies.push((proposed, until));
            }
            return;
        }
        let outcome = self.controller.alter(leader, broker_epoch, proposal);
        let code = outcome.as_ref().err().copied();
        self.note("alter", || format!("by {leader}: {code:?}"));
        if self.random.one_in(10) || code == Some(ErrorCode::StaleBrokerEpoch) {
            self.proposals[at].in_doubt = true;
            return;
        }
        self.proposals.remove(at);
        let now = self.now;
        match outcome {
            Ok(registration) => self.on_registration(leader, &registration, now),
            Err(code) => {
                let failure = match code {
                    ErrorCode::IneligibleReplica if in_doubt => AlterFailure::RevertedInDoubt,
                    ErrorCode::IneligibleReplica => AlterFailure::Reverted,
                    _ => AlterFailure::Outdated,
                };
                let Some(node) = self.node(leader) else {
                    return;
                };
                let Some(core) = node.leader() else { return };
                let effects = core.on_alter_partition_failure(proposal, failure, now);
                let acked = node.apply(effects);
                self.acknowledge(leader, acked);
            }
        }
    }

    fn tick(&mut self, id: NodeId) {
        let (now, eligible) = (self.now, self.eligible());
        let Some(node) = self.node(id) else { return };
        let Some(leader) = node.leader() else { return };
        let effects = leader.on_tick(now, eligible);
        let acked = node.apply(effects);
        self.acknowledge(id, acked);
    }

    fn pass_time(&mut self) {
        self.now += Duration::from_millis(self.random.below(200));
    }

    fn flush(&mut self, id: NodeId) {
        if let Some(node) = self.node(id) {
            node.log.flushed = node.log.records.len();
        }
    }

    pub(super) fn break_stream(&mut self, follower: NodeId, leader: NodeId) {
        let Some(stream) = self.streams.remove(&(follower, leader)) else {
            return;
        };
        self.keep_late(follower, leader, stream);
        let now = self.now;
        if let Some(node) = self.node(follower) {
            node.on_break(leader);
        }
        if let Some(node) = self.node(leader)
            && node.feeds.remove(&follower).is_some()
            && let Some(core) = node.leader()
        {
            let effects = core.on_disconnect(follower, now);
            let acked = node.apply(effects);
            self.acknowledge(leader, acked);
        }
        self.note("break", || format!("{follower}→{leader}"));
    }

    /// Sends a change of the registration to every broker.
    fn tell(&mut self) {
        let epoch = self.controller.partition.partition_epoch;
        if self.last_told == Some(epoch) {
            return;
        }
        self.last_told = Some(epoch);
        if self.controller.partition.leader_recovery_state == LeaderRecoveryState::Recovering {
            self.note("unclean election", String::new);
        }
        let partition = Arc::clone(&self.controller.partition);
        self.note("committed", || {
            format!(
                "leader {:?} isr {:?} elr {:?} last known {:?}",
                partition.leader, partition.isr, partition.elr, partition.last_known_elr
            )
        });
        self.check_complete_replicas();
        for id in NODES {
            if self.node(id).is_some() {
                let registration = self.controller.registration();
                self.feed.entry(id).or_default().push_back(registration);
            }
        }
    }

    /// Checks that members of the ISR and the ELR have all acknowledged records, unless they lost
    /// records and the controller cannot know of it.
    fn check_complete_replicas(&self) {
        for id in self.controller.complete() {
            if self.losses.get(&id) == Some(&false) {
                continue;
            }
            let log = self.log(id);
            for (offset, record) in &self.acked {
                let found = log.records.get(offset.0 as usize);
                assert_eq!(
                    found,
                    Some(record),
                    "{id} is eligible and lacks offset {offset}"
                );
            }
        }
    }

    /// Returns what the checkers see of a running replica. A log that lost records may end below
    /// the end that its leader has recorded for it, until the broker has reported the loss and the
    /// next leader epoch has begun.
    fn view(&self, node: &Node) -> ReplicaView {
        let mut maximal_isr = Vec::new();
        if let Role::Leader(leader) = &node.role
            && node.epoch() == self.controller.partition.leader_epoch
        {
            for id in NODES {
                let unreported = self.losses.get(&id) == Some(&false);
                let lost_in = self.lost_in.get(&id);
                let kept = !unreported && lost_in.is_none_or(|epoch| *epoch < node.epoch());
                if kept && leader.isr().maximal_contains(id) {
                    maximal_isr.push((id, self.log(id).end()));
                }
            }
        }
        ReplicaView {
            id: node.id,
            process: node.broker_epoch,
            leader_epoch: node.epoch(),
            leads: matches!(node.role, Role::Leader(_)),
            high_watermark: node.high_watermark,
            log_end: node.log.end(),
            maximal_isr,
        }
    }

    fn log(&self, id: NodeId) -> &ModelLog {
        match &self.brokers[&id] {
            Broker::Up(node) => &node.log,
            Broker::Down { log, .. } => log,
        }
    }

    fn check_history(&mut self) {
        let partition = &self.controller.partition;
        let committed = CommittedView {
            leader: partition.leader,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
        };
        let mut result = self.invariants.on_committed(committed);
        let views: Vec<_> = self
            .brokers
            .values()
            .filter_map(|broker| match broker {
                Broker::Up(node) => Some(self.view(node)),
                Broker::Down { .. } => None,
            })
            .collect();
        for view in views {
            result = result.and_then(|()| self.invariants.on_replica(view));
        }
        if let Err(broken) = result {
            panic!("step {}: {broken}", self.steps);
        }
    }

    /// Checks the invariants.
    fn check(&mut self) {
        self.check_history();
        for (offset, record) in &self.acked {
            let committed = self.committed.get(offset.0 as usize);
            assert_eq!(
                committed,
                Some(record),
                "acknowledged offset {offset} is committed"
            );
        }
        for (id, broker) in &self.brokers {
            let Broker::Up(node) = broker else { continue };
            let below = &node.log.records[..node.high_watermark.0 as usize];
            let known = &self.committed[..below.len().min(self.committed.len())];
            assert_eq!(below, known, "{id} differs below its high watermark");
        }
    }

    /// Lets the cluster recover, after which all replicas must be in sync and equal.
    pub fn settle(&mut self) {
        for id in NODES {
            self.start(id);
            self.unfence(id);
        }
        for _ in 0..40_000 {
            self.step(false);
            if self.is_settled() {
                self.check_all_is_readable();
                return;
            }
        }
        panic!("the replicas do not come together");
    }

    /// Checks that acknowledged records are below the high watermark of every replica.
    fn check_all_is_readable(&self) {
        for (offset, record) in &self.acked {
            for (id, broker) in &self.brokers {
                let Broker::Up(node) = broker else { continue };
                let found = node.log.records.get(offset.0 as usize);
                assert_eq!(found, Some(record), "offset {offset} at {id}");
                assert!(*offset < node.high_watermark, "offset {offset} at {id}");
            }
        }
    }

    fn is_settled(&self) -> bool {
        let mut logs = Vec::new();
        for broker in self.brokers.values() {
            let Broker::Up(node) = broker else {
                return false;
            };
            if node.high_watermark != node.log.end() {
                return false;
            }
            logs.push(&node.log.records);
        }
        self.controller.partition.isr.len() == NODES.len()
            && logs.windows(2).all(|pair| pair[0] == pair[1])
    }
}
