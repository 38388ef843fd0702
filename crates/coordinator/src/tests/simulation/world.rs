//! Brokers, clients, a network that loses, repeats and reorders messages, and one random event
//! after the other.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_log::validate::AppendOrigin;
use dohle_log::{BatchBuilder, BatchOptions, TxnAppend};
use dohle_machine::LogRecord as _;
use dohle_model::image::{MetadataImage, TopicImage};
use dohle_model::partition::PartitionRegistration;
use dohle_model::{
    ErrorCode, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicId,
    TopicName, TopicPartition, Uuid,
};
use dohle_storage::simulated::{Image, Random};
use dohle_transactions::{
    PartitionSet, TransactionConfig, TransactionMetadata, TransactionRecord, TransactionState,
    TransactionVersion, TransactionalId, ValueVersion,
};

use super::brokers::{Broker, Shard, TIMEOUT};
use super::clients::Client;
use super::history::History;
use super::messages::{MarkerTo, Message, Request, Then};
use super::mood::{Event, Mood};
use super::replicas::{Disk, Partition, pick};
use crate::partition_of;
use crate::transactions::TRANSACTION_TOPIC;

pub const NODES: [NodeId; 3] = [NodeId(1), NodeId(2), NodeId(3)];
const DATA: &str = "orders";
const DATA_PARTITIONS: i32 = 2;
const SHARDS: i32 = 2;
pub const IDS: [&str; 3] = ["a", "b", "c"];
/// Messages that are on their way at most; older ones are lost.
const MESSAGES_MAX: usize = 60;
const EVENTS_SHOWN: usize = 120;

pub struct World {
    pub random: Random,
    pub now: Duration,
    pub wall: Timestamp,
    /// `transaction.version` of the cluster, and of all clients.
    pub version: TransactionVersion,
    pub config: TransactionConfig,
    /// What the controller has decided.
    pub image: Arc<MetadataImage>,
    pub partitions: BTreeMap<TopicPartition, Partition<Then>>,
    disks: BTreeMap<NodeId, Disk>,
    pub brokers: BTreeMap<NodeId, Broker>,
    pub network: Vec<Message>,
    /// Messages that arrive no earlier than at an event, after many that were sent later.
    delayed: Vec<Delayed>,
    pub clients: BTreeMap<u64, Client>,
    pub history: History,
    next_producer_id: i64,
    next_process: u64,
    pub next_client: u64,
    pub trace: VecDeque<String>,
    pub counts: BTreeMap<&'static str, u64>,
    events: u64,
    pub mood: Mood,
}

/// A message that arrives no earlier than at the event `due`.
struct Delayed {
    due: u64,
    message: Message,
    /// A broker that is elected for the partition just before.
    leader: Option<(TopicPartition, NodeId)>,
    /// Of a marker: where the log ended that it was for.
    log_end: Offset,
}

/// The number of events after which a delayed message arrives that has done no harm.
const HARMLESS: u64 = 500;

pub fn state_partition(index: PartitionIndex) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new(TRANSACTION_TOPIC.name).unwrap(),
        partition: index,
    }
}

pub fn data_partitions() -> Vec<TopicPartition> {
    let partition = |index| TopicPartition {
        topic: TopicName::new(DATA).unwrap(),
        partition: PartitionIndex(index),
    };
    (0..DATA_PARTITIONS).map(partition).collect()
}

impl World {
    pub fn new(seed: u64, version: TransactionVersion) -> Self {
        let mut random = Random(seed);
        let mood = Mood::new(&mut random);
        let mut partitions = BTreeMap::new();
        let states = (0..SHARDS).map(|index| state_partition(PartitionIndex(index)));
        for name in data_partitions().into_iter().chain(states) {
            let leader = pick(&NODES, &mut random).unwrap();
            partitions.insert(name.clone(), Partition::new(name, &NODES, leader));
        }
        let disks = NODES.map(|id| (id, Disk::new(&mut random, Image::new())));
        let mut world = Self {
            random,
            now: Duration::from_secs(1),
            wall: Timestamp(1_700_000_000_000),
            version,
            config: TransactionConfig {
                transaction_max_timeout: Duration::from_secs(900),
                transactional_id_expiration: Duration::from_secs(7 * 24 * 3600),
                two_phase_commit_enable: false,
                record_bytes_max: 1 << 20,
            },
            image: Arc::default(),
            partitions,
            disks: disks.into(),
            brokers: BTreeMap::new(),
            network: Vec::new(),
            delayed: Vec::new(),
            clients: BTreeMap::new(),
            history: History::default(),
            next_producer_id: 1_000,
            next_process: 0,
            next_client: 0,
            trace: VecDeque::new(),
            counts: BTreeMap::new(),
            events: 0,
            mood,
        };
        for id in NODES {
            world.start(id);
        }
        world.learn_all();
        world.write_exhausted_epochs();
        world
    }

    /// Some transactional ids have used most epochs of their producer.
    fn write_exhausted_epochs(&mut self) {
        for id in IDS {
            if !self.random.one_in(3) {
                continue;
            }
            let producer_id = self.fresh_producer_id();
            let epoch = i16::MAX - 2 - self.random.below(6) as i16;
            let metadata = TransactionMetadata {
                producer_id,
                previous_producer_id: Some(producer_id),
                next_producer_id: None,
                producer_epoch: ProducerEpoch(epoch),
                last_producer_epoch: None,
                timeout_ms: Some(TIMEOUT),
                state: TransactionState::Empty,
                partitions: PartitionSet::default(),
                started: None,
                updated: self.wall,
                client_version: TransactionVersion::V0,
            };
            let record = TransactionRecord {
                transactional_id: TransactionalId::new(id),
                metadata: Some(metadata),
                version: ValueVersion::of(self.version),
            };
            let (key, value) = record.encode().unwrap();
            let mut builder = BatchBuilder::new(BatchOptions::default());
            builder.append(Some(self.wall), Some(&key), value.as_deref(), &[]);
            let records: Bytes = builder.build().unwrap();
            let index = partition_of(&self.image, TRANSACTION_TOPIC.name, id).unwrap();
            let partition = self.partitions.get_mut(&state_partition(index)).unwrap();
            let leader = partition.leader.unwrap();
            let origin = AppendOrigin::Coordinator;
            let appended = partition.append(leader, records, &TxnAppend::Plain, origin, self.wall);
            appended.unwrap();
        }
    }

    pub fn fresh_producer_id(&mut self) -> ProducerId {
        self.next_producer_id += 1;
        ProducerId(self.next_producer_id)
    }

    pub fn note(&mut self, kind: &'static str, text: impl FnOnce() -> String) {
        *self.counts.entry(kind).or_default() += 1;
        if self.trace.len() == EVENTS_SHOWN {
            self.trace.pop_front();
        }
        self.trace
            .push_back(format!("{} {kind} {}", self.events, text()));
    }

    /// The metadata that the controller has committed.
    fn publish(&mut self) {
        let mut image = MetadataImage::default();
        let feature = TransactionVersion::FEATURE.to_owned();
        image
            .features
            .insert(feature, i16::from(self.version.level()));
        for (name, byte) in [(DATA, 1), (TRANSACTION_TOPIC.name, 2)] {
            let name = TopicName::new(name).unwrap();
            let id = TopicId(Uuid([byte; 16]));
            let partitions = self.partitions.values();
            let partitions = partitions.filter(|partition| partition.name.topic == name);
            let partitions = partitions.map(|partition| {
                let registration = PartitionRegistration {
                    leader: partition.leader,
                    leader_epoch: partition.leader_epoch,
                    ..PartitionRegistration::new(
                        NODES.to_vec(),
                        Vec::new(),
                        partition.isr.iter().copied().collect(),
                    )
                };
                (partition.name.partition, Arc::new(registration))
            });
            let topic = TopicImage {
                name: name.clone(),
                id,
                partitions: partitions.collect(),
            };
            image.topics.insert(id, topic);
            image.topic_ids.insert(name, id);
        }
        self.image = Arc::new(image);
    }

    pub fn names(&self) -> Vec<TopicPartition> {
        self.partitions.keys().cloned().collect()
    }

    pub fn any_partition(&mut self) -> TopicPartition {
        let names = self.names();
        let at = self.random.below(names.len() as u64) as usize;
        names[at].clone()
    }

    pub fn any_node(&mut self) -> NodeId {
        pick(&NODES, &mut self.random).unwrap()
    }

    pub fn start(&mut self, id: NodeId) {
        if self.brokers.contains_key(&id) {
            return;
        }
        self.next_process += 1;
        for partition in self.partitions.values_mut() {
            partition.start(id, &self.disks[&id], self.wall);
        }
        self.publish();
        let broker = Broker::new(self.next_process, Arc::clone(&self.image));
        self.brokers.insert(id, broker);
        self.note("start", || id.to_string());
    }

    fn stop(&mut self, id: NodeId) {
        if self.brokers.remove(&id).is_none() {
            return;
        }
        let loses = self.random.one_in(2) && self.partitions.values().all(|it| it.may_lose(id));
        for partition in self.partitions.values_mut() {
            for then in partition.stop(id, &mut self.random) {
                if let Then::Send(message) = then {
                    self.network.extend(message.unanswered());
                }
            }
        }
        if loses {
            let disk = self.disks.get_mut(&id).unwrap();
            disk.lose_power(&mut self.random);
            for partition in self.partitions.values_mut() {
                partition.lose(id);
            }
        }
        self.publish();
        match loses {
            true => self.note("power loss", || id.to_string()),
            false => self.note("kill", || id.to_string()),
        }
    }

    fn elect(&mut self, name: &TopicPartition, id: NodeId) {
        let partition = self.partitions.get_mut(name).unwrap();
        if partition.leader != Some(id) && partition.elect(id) {
            let epoch = partition.leader_epoch;
            self.publish();
            self.note("elect", || format!("{id} in {name}, epoch {epoch}"));
        }
    }

    /// A broker learns what the controller has decided about a partition.
    fn learn(&mut self, name: &TopicPartition, id: NodeId) {
        let Some(broker) = self.brokers.get_mut(&id) else {
            return;
        };
        broker.image = Arc::clone(&self.image);
        let partition = self.partitions.get_mut(name).unwrap();
        let before = partition.replica(id).unwrap().leader_epoch;
        let (leads, ended) = partition.learn(id);
        let epoch = partition.leader_epoch;
        if before == epoch {
            return;
        }
        if name.topic.as_str() == TRANSACTION_TOPIC.name {
            broker.shards.remove(&name.partition);
            if leads {
                let shard = Shard {
                    epoch,
                    machine: None,
                    is_active: false,
                    has_work: false,
                };
                broker.shards.insert(name.partition, shard);
            }
        }
        for then in ended {
            self.ended(id, then, ErrorCode::NotCoordinator);
        }
        let what = if leads { "leads" } else { "follows" };
        self.note(what, || format!("{id} in {name}, epoch {epoch}"));
    }

    pub fn learn_all(&mut self) {
        for name in self.names() {
            for id in NODES {
                self.learn(&name, id);
            }
        }
    }

    /// Does what waited for the high watermark of a leader.
    pub fn committed(&mut self, id: NodeId, name: &TopicPartition) {
        let partition = self.partitions.get_mut(name).unwrap();
        partition.commit(id);
        for then in partition.take_committed(id) {
            self.on_committed(id, then);
        }
    }

    fn replicate(&mut self, name: &TopicPartition, follower: NodeId, bytes: usize, is_lost: bool) {
        let wall = self.wall;
        let partition = self.partitions.get_mut(name).unwrap();
        partition.replicate(follower, bytes, is_lost, wall);
        for id in NODES {
            self.committed(id, name);
        }
    }

    /// Somebody waits no longer for a commit. The records may be committed later.
    fn lose_patience(&mut self) {
        let (name, id) = (self.any_partition(), self.any_node());
        let partition = self.partitions.get_mut(&name).unwrap();
        let may = |then: &Then| matches!(then, Then::Send(_));
        if let Some(then) = partition.take_impatient(id, may) {
            self.note("impatient", || format!("{then:?}"));
            let code = match name.topic.as_str() == TRANSACTION_TOPIC.name {
                true => ErrorCode::CoordinatorNotAvailable,
                false => ErrorCode::RequestTimedOut,
            };
            self.ended(id, then, code);
        }
    }

    fn deliver(&mut self, faults: bool) {
        if self.network.is_empty() {
            return;
        }
        if self.network.len() > MESSAGES_MAX {
            let lost = self.network.remove(0);
            self.network.extend(lost.unanswered());
        }
        // Mostly an older one, so that some transactions are quick.
        let among = if self.random.one_in(4) {
            MESSAGES_MAX
        } else {
            6
        };
        let among = among.min(self.network.len()) as u64;
        let at = self.random.below(among) as usize;
        let message = self.network.remove(at);
        if faults {
            match self.random.below(self.mood.lost_one_in) {
                0 => {
                    // It is lost, or comes after its sender has given up.
                    self.note("lose", || format!("{message:?}"));
                    self.network.extend(message.unanswered());
                    if self.random.one_in(2) {
                        self.delay(message);
                    }
                    return;
                }
                1 => {
                    self.note("repeat", String::new);
                    self.delay(message.clone());
                }
                2 => return self.delay(message),
                _ if message.is_decision()
                    && self.random.one_in(self.mood.decision_delayed_one_in) =>
                {
                    // The sender of a marker gives up, and sends another one.
                    if matches!(message, Message::Marker(..)) {
                        self.network.extend(message.unanswered());
                    }
                    return self.delay(message);
                }
                _ => {}
            }
        }
        self.receive_at(message);
    }

    /// A message arrives, if there is somebody to receive it.
    fn receive_at(&mut self, message: Message) {
        let (Message::Request(node, ..) | Message::Question(node, _) | Message::Marker(node, _)) =
            message
        else {
            return self.receive(message);
        };
        if self.brokers.contains_key(&node) {
            self.receive(message);
        } else {
            self.network.extend(message.unanswered());
        }
    }

    fn delay(&mut self, message: Message) {
        let is_moved = self.random.one_in(self.mood.leader_moves_one_in);
        let is_refused = match &message {
            // Before version 2 a late end or marker has the epoch of the next transaction too, and
            // ends it (KIP-890). Only a marker of an older coordinator is refused, where the newer
            // one has ended the transaction.
            Message::Request(_, _, Request::End { version, .. }) => version.bumps_epochs(),
            Message::Marker(_, marker) if !marker.marker.version.bumps_epochs() => {
                is_moved && self.move_coordinator(marker)
            }
            _ => true,
        };
        if !is_refused {
            return self.network.push(message);
        }
        self.note("delay", || format!("{message:?}"));
        let mut due = self.events + 1 + self.random.below(self.mood.delay_max);
        if message.is_decision() && self.mood.is_adverse {
            due = self.events + HARMLESS;
        }
        let log_end = match &message {
            Message::Marker(_, marker) => self.partitions[&marker.partition].current(),
            _ => None,
        };
        let log_end = log_end.map_or(Offset::ZERO, |leader| leader.log.log_end_offset());
        let leader = match &message {
            Message::Answer(question, _) if is_moved => self.move_leader(&question.partition),
            Message::Marker(_, marker) if is_moved && marker.marker.version.bumps_epochs() => {
                let name = marker.partition.clone();
                self.move_leader(&name)
            }
            _ => None,
        };
        self.delayed.push(Delayed {
            due,
            message,
            leader,
            log_end,
        });
    }

    /// Elects another coordinator for the transaction of a marker, which the present one has not
    /// completed. Returns whether it was elected.
    fn move_coordinator(&mut self, marker: &MarkerTo) -> bool {
        let transaction = self.transaction(&marker.marker.transactional_id);
        let is_open = transaction
            .is_some_and(|it| it.state.is_prepared() && it.producer() == marker.marker.producer);
        let name = state_partition(marker.shard);
        is_open
            && self.partitions[&name].leader_epoch == marker.epoch
            && self.move_leader(&name).is_some()
    }

    /// Elects another leader. Returns the present one, which leads again when a delayed decision
    /// arrives.
    fn move_leader(&mut self, name: &TopicPartition) -> Option<(TopicPartition, NodeId)> {
        let before = self.partitions[name].leader?;
        let id = self.any_node();
        self.elect(name, id);
        if self.partitions[name].leader == Some(before) {
            return None;
        }
        for id in NODES {
            self.learn(name, id);
        }
        Some((name.clone(), before))
    }

    /// Whether a delayed decision would change another transaction than the one it is about, if a
    /// broker accepted it now.
    fn does_harm(&self, delayed: &Delayed) -> bool {
        match &delayed.message {
            Message::Marker(node, marker) => {
                let leads = match &delayed.leader {
                    Some((name, id)) if *name == marker.partition => id == node,
                    _ => self.partitions[&marker.partition].leader == Some(*node),
                };
                let leader = self.partitions[&marker.partition].current();
                let leader = leader.filter(|_| leads);
                let entry = leader.and_then(|leader| {
                    let producers = leader.log.producer_state();
                    producers.producer(marker.marker.producer.id)
                });
                let open = entry.and_then(|entry| entry.current_txn_first_offset);
                open.is_some_and(|open| open >= delayed.log_end)
            }
            Message::Answer(question, Ok(())) => {
                let transaction = self.transaction(&question.id);
                transaction.is_some_and(|it| it.state.may_expire())
            }
            Message::Request(_, _, Request::End { id, producer, .. }) => {
                let transaction = self.transaction(id);
                transaction.is_some_and(|it| {
                    it.state == TransactionState::Ongoing && it.producer() != *producer
                })
            }
            _ => false,
        }
    }

    /// The state of a transactional id at its coordinator, if that has loaded it.
    fn transaction(&self, id: &TransactionalId) -> Option<&TransactionMetadata> {
        let index = partition_of(&self.image, TRANSACTION_TOPIC.name, id.as_str())?;
        let leader = self.partitions[&state_partition(index)].leader?;
        let shard = self.brokers.get(&leader)?.shards.get(&index)?;
        let machine = shard.machine.as_ref().filter(|_| shard.is_active)?;
        machine.get(id.as_str())
    }

    /// Delayed messages that are due arrive.
    fn release_delayed(&mut self) {
        let now = self.events;
        let delayed = std::mem::take(&mut self.delayed);
        let mut due = Vec::new();
        for it in delayed {
            if self.mood.is_adverse && self.does_harm(&it) {
                self.note("harm", || format!("{:?}", it.message));
                due.push(it);
            } else if it.due <= now {
                due.push(it);
            } else {
                self.delayed.push(it);
            }
        }
        for Delayed {
            message, leader, ..
        } in due
        {
            if let Some((name, id)) = leader {
                self.elect(&name, id);
                self.learn(&name, id);
            }
            self.receive_at(message);
        }
    }

    fn receive(&mut self, message: Message) {
        match message {
            Message::Request(node, to, request) => self.on_request(node, to, request),
            Message::Response(to, reply) => self.on_response(to, reply),
            Message::Question(node, question) => self.on_question(node, question),
            Message::Answer(question, outcome) => self.on_answer(&question, outcome),
            Message::Marker(node, marker) => self.on_marker(node, marker),
            Message::MarkerAnswer(marker, outcome) => self.on_marker_answer(marker, outcome),
        }
    }

    fn pass_time(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.wall.0 += millis as i64;
    }

    fn shards(&mut self, id: NodeId) {
        for index in (0..SHARDS).map(PartitionIndex) {
            self.load_if_led(id, index);
            self.run_timers(id, index);
            self.take_markers(id, index);
        }
    }

    fn load_if_led(&mut self, id: NodeId, index: PartitionIndex) {
        if self.brokers.contains_key(&id) {
            self.load(id, index);
        }
    }

    fn upkeep(&mut self) {
        let (name, id) = (self.any_partition(), self.any_node());
        let wall = self.wall;
        let rolls = self.random.one_in(3);
        let partition = self.partitions.get_mut(&name).unwrap();
        partition.checkpoint(id);
        if let Some(replica) = partition.replica_mut(id) {
            match rolls {
                true => drop(replica.log.roll(wall).unwrap()),
                false => replica.log.flush(wall).unwrap(),
            }
        }
    }

    /// One random event.
    pub fn event(&mut self) {
        self.events += 1;
        self.release_delayed();
        let (name, id) = (self.any_partition(), self.any_node());
        match self.mood.pick(&mut self.random) {
            Event::Deliver => self.deliver(true),
            Event::Replicate => {
                for id in NODES {
                    if !self.random.one_in(4) {
                        let bytes = 100 + self.random.below(1_500) as usize;
                        let is_lost = self.random.one_in(10);
                        self.replicate(&name, id, bytes, is_lost);
                    }
                }
            }
            Event::Client => self.client_acts(),
            Event::Shards => self.shards(id),
            Event::Learn => self.learn(&name, id),
            Event::ExpandIsr => {
                let partition = self.partitions.get_mut(&name).unwrap();
                partition.expand_isr(id);
            }
            Event::Elect => self.elect(&name, id),
            Event::PassTime => {
                let millis = self.random.below(3_000);
                self.pass_time(millis);
            }
            Event::LosePatience => self.lose_patience(),
            Event::Upkeep => self.upkeep(),
            Event::Stop => self.stop(id),
            Event::Start => self.start(id),
            Event::Read => self.check_replica(&name, id),
        }
        self.check_completed();
    }

    /// Everything recovers, and the clients are gone: all transactions end.
    pub fn settle(&mut self) {
        self.clients.clear();
        let delayed = self.delayed.drain(..);
        self.network.extend(delayed.map(|it| it.message));
        for id in NODES {
            self.start(id);
        }
        for _ in 0..400 {
            self.events += 1;
            self.learn_all();
            for name in self.names() {
                for id in NODES {
                    self.replicate(&name, id, 10_000, false);
                    let partition = self.partitions.get_mut(&name).unwrap();
                    partition.expand_isr(id);
                }
            }
            for id in NODES {
                self.shards(id);
            }
            for _ in 0..self.network.len() {
                self.deliver(false);
            }
            self.pass_time(200);
            self.check_completed();
            if self.is_settled() {
                return self.check_end();
            }
        }
        panic!("transactions do not end: {}", self.unsettled());
    }

    fn is_settled(&self) -> bool {
        self.unsettled().is_empty()
    }

    /// What has not ended yet.
    fn unsettled(&self) -> String {
        let mut found = String::new();
        for partition in self.partitions.values() {
            let leader = partition.current();
            let end = leader.map(|leader| leader.log.log_end_offset());
            for (id, replica) in partition.replicas() {
                let ends = [replica.high_watermark, replica.log.log_end_offset()];
                if ends.map(Some) != [end; 2] {
                    found += &format!("{} at {id} is not in sync. ", partition.name);
                }
            }
        }
        for index in (0..SHARDS).map(PartitionIndex) {
            let partition = &self.partitions[&state_partition(index)];
            let leader = partition.leader.and_then(|id| self.brokers.get(&id));
            let shard = leader.and_then(|broker| broker.shards.get(&index));
            let Some(machine) = shard.and_then(|shard| shard.machine.as_ref()) else {
                found += &format!("shard {index} is not loaded. ");
                continue;
            };
            for (id, metadata) in machine.iter() {
                if !metadata.state.may_expire() {
                    found += &format!("{id} is {}. ", metadata.state);
                }
            }
        }
        if !self.network.is_empty() {
            found += "messages are on their way. ";
        }
        found
    }
}
