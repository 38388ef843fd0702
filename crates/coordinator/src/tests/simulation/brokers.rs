//! A broker: the shards of the coordinator that it serves, and what it does for the partitions that
//! it leads. The machine, the log, and what lies between a step and its reply are the real ones.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_log::batch::EndTxnMarker;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    Batches, CompressionType, DecompressionMemory, ReadLimits, TxnAppend, TxnBegin,
    VerificationGuard,
};
use dohle_machine::{Effects, Machine as _, Request as _, Step, run_expired_timer};
use dohle_model::image::MetadataImage;
use dohle_model::{
    ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, ProducerId, Sequence, Uuid,
};
use dohle_transactions::{
    AbortTimedOut, AddPartitions, CompleteEnded, EndTxn, InitProducerId, MarkerOutcome,
    MarkersAnswered, MarkersToSend, PlannedReply, ProducerIdAndEpoch, TransactionMachine,
    TransactionVersion, VerifyPartitions,
};

use super::messages::{MarkerTo, Message, Produce, Question, Reply, ReplyTo, Request, Then};
use super::replicas::Partition;
use super::world::{World, state_partition};
use crate::batches::batches;
use crate::load::Replay;
use crate::partition_of;
use crate::replay::{CommitPoint, append_and_replay};
use crate::transactions::{self, TRANSACTION_TOPIC};

/// `transaction.timeout.ms` of all producers.
pub const TIMEOUT: i32 = 10_000;
/// After how long a timer whose records could not be appended expires again.
const RUN_AGAIN: Duration = Duration::from_millis(500);

/// The coordinator of a partition of `__transaction_state`, in one leader epoch.
pub struct Shard {
    pub epoch: LeaderEpoch,
    /// `None` until it is read.
    pub machine: Option<TransactionMachine>,
    /// Whether what was read is committed: it serves requests.
    pub is_active: bool,
    pub has_work: bool,
}

/// A batch that waits for the coordinator to confirm its transaction.
struct Verifying {
    to: ReplyTo,
    begin: TxnBegin,
    guard: VerificationGuard,
    produce: Produce,
}

/// The memory of a broker that is up.
pub struct Broker {
    pub process: u64,
    pub image: Arc<MetadataImage>,
    pub shards: BTreeMap<PartitionIndex, Shard>,
    verifying: BTreeMap<u64, Verifying>,
    next_number: u64,
}

impl Broker {
    pub fn new(process: u64, image: Arc<MetadataImage>) -> Self {
        Self {
            process,
            image,
            shards: BTreeMap::new(),
            verifying: BTreeMap::new(),
            next_number: 0,
        }
    }
}

impl World {
    /// Makes a step of an active shard, as `ShardRuntime::step` does.
    pub fn step<R>(
        &mut self,
        node: NodeId,
        index: PartitionIndex,
        bytes_max: usize,
        plan: impl FnOnce(&mut TransactionMachine, &mut Step<'_, TransactionMachine>) -> R,
    ) -> Result<(R, CommitPoint), ErrorCode> {
        let (now, wall) = (self.now, self.wall);
        let broker = self.brokers.get_mut(&node);
        let broker = broker.ok_or(ErrorCode::NotCoordinator)?;
        let shard = broker.shards.get_mut(&index);
        let shard = shard.ok_or(ErrorCode::NotCoordinator)?;
        let Some(machine) = shard.machine.as_mut().filter(|_| shard.is_active) else {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        };
        let mut step = Step {
            now,
            wall,
            image: &broker.image,
            config: &self.config,
            fresh: Uuid([0; 16]),
            lookups: None,
            unresolved: Vec::new(),
            effects: Effects::default(),
        };
        let reply = plan(machine, &mut step);
        let Effects {
            records,
            reads,
            signal,
            ..
        } = step.effects;
        shard.has_work |= signal;
        if records.is_empty() {
            return Ok((reply, CommitPoint::of(None, reads)));
        }
        let partition = self.partitions.get_mut(&state_partition(index)).unwrap();
        let replica = partition.leading(node).ok_or(ErrorCode::NotCoordinator)?;
        if replica.leader_epoch != shard.epoch {
            return Err(ErrorCode::NotCoordinator);
        }
        let codec = CompressionType::None;
        let batches = batches(records, bytes_max, codec, wall, None)?;
        let end = append_and_replay(machine, batches, None, false, |bytes| {
            let origin = AppendOrigin::Coordinator;
            let appended = partition.append(node, bytes, &TxnAppend::Plain, origin, wall);
            match appended {
                Ok(end) => Ok(end),
                Err(ErrorCode::NotEnoughReplicas) => Err(ErrorCode::CoordinatorNotAvailable),
                Err(ErrorCode::NotLeaderOrFollower) => Err(ErrorCode::NotCoordinator),
                Err(code) => panic!("records of transactions are refused: {code}"),
            }
        })?;
        let log_end = partition.replica(node).unwrap().log.log_end_offset();
        assert_eq!(end, log_end);
        Ok((reply, CommitPoint::of(Some(end), reads)))
    }

    /// Sends a message once a step's commit is there.
    fn after(&mut self, node: NodeId, index: PartitionIndex, point: CommitPoint, then: Then) {
        let end = point.written.max(point.read).unwrap_or(Offset::ZERO);
        let partition = self.partitions.get_mut(&state_partition(index)).unwrap();
        if let Err(then) = partition.wait(node, end, then) {
            self.ended(node, then, ErrorCode::NotCoordinator);
        }
        self.committed(node, &state_partition(index));
    }

    /// The reply to `request` in the shard of a transactional id, once it is committed.
    fn answer<R>(
        &mut self,
        node: NodeId,
        id: &str,
        plan: impl FnOnce(&mut TransactionMachine, &mut Step<'_, TransactionMachine>) -> R,
        message: impl FnOnce(Result<R, ErrorCode>) -> Message,
    ) {
        let index = partition_of(&self.image, TRANSACTION_TOPIC.name, id).unwrap();
        match self.step(node, index, usize::MAX, plan) {
            Ok((reply, point)) => {
                let message = message(Ok(reply));
                self.after(node, index, point, Then::Send(message));
            }
            Err(code) => {
                let message = message(Err(code));
                self.network.push(message);
            }
        }
    }

    /// A client's request to a coordinator, or to the leader of a partition.
    pub fn on_request(&mut self, node: NodeId, to: ReplyTo, request: Request) {
        let fresh = Some(self.fresh_producer_id());
        match request {
            Request::Init { id, expected } => {
                let plan = |fresh| InitProducerId {
                    transactional_id: id.as_str(),
                    timeout_ms: TIMEOUT,
                    expected,
                    two_phase_commit: false,
                    keep_prepared: false,
                    fresh,
                };
                self.answer(
                    node,
                    id.as_str(),
                    |machine, step| planned(|id| plan(id).plan(machine, step), fresh),
                    |reply| Message::Response(to, reply.and_then(transactions::reply).map(Some)),
                );
            }
            Request::Add {
                id,
                producer,
                partition,
            } => {
                let partitions = [partition];
                let request = AddPartitions {
                    transactional_id: id.as_str(),
                    producer,
                    partitions: &partitions,
                    client_version: TransactionVersion::V0,
                };
                self.answer(
                    node,
                    id.as_str(),
                    |machine, step| request.plan(machine, step),
                    |reply| Message::Response(to, reply.flatten().map(|()| None)),
                );
            }
            Request::End {
                id,
                producer,
                commit,
                version,
            } => {
                let plan = |fresh| EndTxn {
                    transactional_id: id.as_str(),
                    producer,
                    commit,
                    client_version: version,
                    fresh,
                };
                self.answer(
                    node,
                    id.as_str(),
                    |machine, step| planned(|id| plan(id).plan(machine, step), fresh),
                    |reply| Message::Response(to, reply.and_then(transactions::reply)),
                );
            }
            Request::Produce(produce) => self.on_produce(node, to, produce),
        }
    }

    /// Produce: the first batch of a transaction in a partition is verified first.
    fn on_produce(&mut self, node: NodeId, to: ReplyTo, produce: Produce) {
        let wall = self.wall;
        let bumps_epoch = produce.version.bumps_epochs();
        let begin = TxnBegin {
            producer_id: produce.producer.id,
            epoch: produce.producer.epoch,
            sequence: Sequence(produce.sequence),
            bumps_epoch,
        };
        let partition = self.partitions.get_mut(&produce.partition).unwrap();
        let Some(replica) = partition.leading(node) else {
            let code = ErrorCode::NotLeaderOrFollower;
            return self.network.push(Message::Response(to, Err(code)));
        };
        match replica.log.begin_verification(&begin, wall) {
            Ok(None) => self.append(node, to, &produce, &TxnAppend::Plain),
            Err(error) => {
                let response = Message::Response(to, Err(error.code()));
                self.network.push(response);
            }
            Ok(Some(guard)) => {
                let broker = self.brokers.get_mut(&node).unwrap();
                broker.next_number += 1;
                let question = Question {
                    from: node,
                    process: broker.process,
                    number: broker.next_number,
                    id: produce.id.clone(),
                    producer: produce.producer,
                    partition: produce.partition.clone(),
                    add: bumps_epoch,
                };
                let verifying = Verifying {
                    to,
                    begin,
                    guard,
                    produce,
                };
                broker.verifying.insert(question.number, verifying);
                let image = Arc::clone(&broker.image);
                let coordinator = coordinator(&image, question.id.as_str());
                self.network.push(match coordinator {
                    Some(coordinator) => Message::Question(coordinator, question),
                    None => Message::Answer(question, Err(ErrorCode::CoordinatorNotAvailable)),
                });
            }
        }
    }

    fn append(&mut self, node: NodeId, to: ReplyTo, produce: &Produce, txn: &TxnAppend) {
        let wall = self.wall;
        let partition = self.partitions.get_mut(&produce.partition).unwrap();
        let log_end = |partition: &Partition<Then>| {
            let replica = partition.replica(node);
            replica.map(|replica| replica.log.log_end_offset())
        };
        let before = log_end(partition);
        let records = produce.records.clone();
        let appended = partition.append(node, records, txn, AppendOrigin::Client, wall);
        let is_duplicate = appended.is_ok() && log_end(partition) == before;
        let response = Message::Response(to, Ok(None));
        self.note("produce", || {
            format!(
                "at {node}: {:?} {:?} #{} in {}: {appended:?}",
                to, produce.producer, produce.sequence, produce.partition
            )
        });
        if is_duplicate {
            self.note("duplicate", String::new);
        }
        match appended {
            Ok(end) => {
                let partition = self.partitions.get_mut(&produce.partition).unwrap();
                let _ = partition.wait(node, end, Then::Send(response));
                self.committed(node, &produce.partition);
            }
            Err(code) => {
                if code == ErrorCode::OutOfOrderSequenceNumber {
                    self.check_out_of_order(node, produce);
                }
                self.network.push(response.failed(code));
            }
        }
    }

    /// A leader asks whether a partition is in a transaction, or adds it.
    pub fn on_question(&mut self, node: NodeId, question: Question) {
        let partitions = [question.partition.clone()];
        let id = question.id.clone();
        let (transactional_id, producer) = (id.as_str(), question.producer);
        let partitions = &partitions[..];
        if question.add {
            let request = AddPartitions {
                transactional_id,
                producer,
                partitions,
                client_version: TransactionVersion::V2,
            };
            self.answer(
                node,
                transactional_id,
                |machine, step| request.plan(machine, step),
                |reply| Message::Answer(question, reply.flatten()),
            );
        } else {
            let request = VerifyPartitions {
                transactional_id,
                producer,
                partitions,
            };
            self.answer(
                node,
                transactional_id,
                |machine, step| request.plan(machine, step),
                |reply| Message::Answer(question, reply.flatten().and_then(|each| each[0])),
            );
        }
    }

    /// The coordinator's answer to a leader.
    pub fn on_answer(&mut self, question: &Question, outcome: Result<(), ErrorCode>) {
        let (node, wall) = (question.from, self.wall);
        let Some(broker) = self.brokers.get_mut(&node) else {
            return;
        };
        if broker.process != question.process {
            return;
        }
        let Some(verifying) = broker.verifying.remove(&question.number) else {
            return;
        };
        let Verifying {
            to,
            begin,
            guard,
            produce,
        } = verifying;
        let partition = self.partitions.get_mut(&produce.partition).unwrap();
        let txn = match (outcome, partition.leading(node)) {
            (Err(code), _) => Err(code),
            (_, None) => Err(ErrorCode::NotLeaderOrFollower),
            (Ok(()), Some(replica)) => {
                let confirmed = replica.log.confirm_verification(&begin, guard, wall);
                confirmed.map_err(|error| error.code())
            }
        };
        match txn {
            Ok(txn) => self.append(node, to, &produce, &txn),
            Err(code) => self.network.push(Message::Response(to, Err(code))),
        }
    }

    /// A marker of the coordinator.
    pub fn on_marker(&mut self, node: NodeId, to: MarkerTo) {
        let wall = self.wall;
        let records = EndTxnMarker {
            committed: to.marker.commit,
            coordinator_epoch: to.epoch.0,
            timestamp: Some(wall),
        };
        let producer = to.marker.producer;
        let records = records.batch(producer.id, producer.epoch);
        let txn = TxnAppend::marker(to.marker.version.level());
        let name = to.partition.clone();
        let partition = self.partitions.get_mut(&name).unwrap();
        let appended = partition.append(node, records, &txn, AppendOrigin::Coordinator, wall);
        self.note("marker", || {
            let commit = to.marker.commit;
            format!(
                "at {node}: {producer:?} commit {commit} of coordinator {} in {name}: {appended:?}",
                to.epoch
            )
        });
        let answer = Message::MarkerAnswer(to, Ok(()));
        match appended {
            Ok(end) => {
                let partition = self.partitions.get_mut(&name).unwrap();
                let _ = partition.wait(node, end, Then::Send(answer));
                self.committed(node, &name);
            }
            Err(code) => self.network.push(answer.failed(code)),
        }
    }

    /// The outcome of a marker, for the shard that it was taken from.
    pub fn on_marker_answer(&mut self, to: MarkerTo, outcome: Result<(), ErrorCode>) {
        let node = to.from;
        let Some(broker) = self.brokers.get_mut(&node) else {
            return;
        };
        let shard = broker.shards.get(&to.shard);
        let is_same = shard.is_some_and(|shard| shard.epoch == to.epoch);
        if broker.process != to.process || !is_same {
            return;
        }
        let outcomes = [MarkerOutcome {
            transactional_id: to.marker.transactional_id,
            producer: to.marker.producer,
            partitions: vec![(to.partition, outcome)],
        }];
        // A failed append is tried again by the machine's timer.
        let _ = self.step(node, to.shard, usize::MAX, |machine, step| {
            let outcomes = &outcomes;
            MarkersAnswered { outcomes }.plan(machine, step);
        });
    }

    /// Takes the markers of a shard that has signalled.
    pub fn take_markers(&mut self, node: NodeId, index: PartitionIndex) {
        let Some(shard) = self.shard_mut(node, index) else {
            return;
        };
        if !std::mem::take(&mut shard.has_work) {
            return;
        }
        let epoch = shard.epoch;
        let _ = self.step(node, index, usize::MAX, |machine, step| {
            CompleteEnded.plan(machine, step);
        });
        let taken = self.step(node, index, 1 << 20, |machine, step| {
            MarkersToSend.plan(machine, step)
        });
        if let Ok((outgoing, point)) = taken {
            self.after(node, index, point, Then::Taken(index, epoch, outgoing));
        }
    }

    fn shard_mut(&mut self, node: NodeId, index: PartitionIndex) -> Option<&mut Shard> {
        self.brokers.get_mut(&node)?.shards.get_mut(&index)
    }

    /// Runs the timers of a shard that have expired.
    pub fn run_timers(&mut self, node: NodeId, index: PartitionIndex) {
        for _ in 0..10 {
            let now = self.now;
            let Some(shard) = self.shard_mut(node, index).filter(|it| it.is_active) else {
                return;
            };
            let machine = shard.machine.as_mut().expect("it is active");
            if machine.timers().next().is_none_or(|next| next > now) {
                return;
            }
            let mut timer = None;
            let outcome = self.step(node, index, 1 << 20, |machine, step| {
                timer = run_expired_timer(machine, step);
            });
            if let (Err(_), Some(timer)) = (outcome, timer)
                && let Some(shard) = self.shard_mut(node, index)
                && let Some(machine) = shard.machine.as_mut()
            {
                machine.timers().set_if_absent(timer, now + RUN_AGAIN);
            }
        }
    }

    /// Reads the log of a shard that this broker has begun to lead.
    pub fn load(&mut self, node: NodeId, index: PartitionIndex) {
        let partition = self.partitions.get_mut(&state_partition(index)).unwrap();
        let Some(replica) = partition.leading(node) else {
            return;
        };
        let broker = self.brokers.get_mut(&node).unwrap();
        let Some(shard) = broker.shards.get_mut(&index) else {
            return;
        };
        if shard.machine.is_some() || shard.epoch != replica.leader_epoch {
            return;
        }
        let epoch = shard.epoch;
        let end = replica.log.log_end_offset();
        shard.machine = Some(replayed(&replica.log, end));
        let loaded = Then::Loaded(index, epoch);
        assert!(partition.wait(node, end, loaded).is_ok(), "it leads");
        self.committed(node, &state_partition(index));
    }

    /// What was waited for is committed.
    pub fn on_committed(&mut self, node: NodeId, then: Then) {
        match then {
            Then::Send(message) => self.network.push(message),
            Then::Loaded(index, epoch) => {
                let Some(shard) = self.shard_mut(node, index) else {
                    return;
                };
                if shard.epoch == epoch {
                    shard.is_active = true;
                    self.note("loaded", || format!("{index} at {node}, epoch {epoch}"));
                    let _ = self.step(node, index, 1 << 20, |machine, step| {
                        machine.on_loaded(step);
                    });
                }
            }
            Then::Taken(shard, epoch, outgoing) => {
                let Some(broker) = self.brokers.get(&node) else {
                    return;
                };
                let process = broker.process;
                for to in outgoing.markers {
                    for marker in to.markers {
                        for partition in marker.partitions.iter() {
                            let marker = MarkerTo {
                                from: node,
                                process,
                                shard,
                                epoch,
                                marker: marker.clone(),
                                partition: partition.clone(),
                            };
                            self.network.push(Message::Marker(to.broker, marker));
                        }
                    }
                }
                for transactional_id in outgoing.timed_out {
                    let fresh = self.fresh_producer_id();
                    let request = AbortTimedOut {
                        transactional_id,
                        fresh,
                    };
                    let _ = self.step(node, shard, usize::MAX, |machine, step| {
                        request.plan(machine, step);
                    });
                }
                if outgoing.is_partial
                    && let Some(shard) = self.shard_mut(node, shard)
                {
                    shard.has_work = true;
                }
            }
        }
    }

    /// What was waited for will not come: the leadership has ended, or it takes too long.
    pub fn ended(&mut self, node: NodeId, then: Then, code: ErrorCode) {
        match then {
            Then::Send(message) => {
                let code = match message {
                    Message::MarkerAnswer(..) if code == ErrorCode::NotCoordinator => {
                        ErrorCode::NotLeaderOrFollower
                    }
                    _ => code,
                };
                self.network.push(message.failed(code));
            }
            Then::Loaded(..) | Then::Taken(..) => {
                self.note("ended", || format!("at {node}: {then:?}"));
            }
        }
    }
}

/// The machine that a log makes up to `end`.
pub fn replayed(log: &dohle_log::Log, end: Offset) -> TransactionMachine {
    let memory = DecompressionMemory::default();
    let mut replay = Replay::<TransactionMachine>::default();
    let mut at = log.log_start_offset();
    while at < end {
        let limits = ReadLimits {
            max_bytes: 2_000,
            upper_bound: end,
            min_one: true,
        };
        let read = log.read(at, limits).unwrap();
        for batch in Batches::new(&read.records) {
            replay.batch(&batch.unwrap(), at, &memory).unwrap();
        }
        assert!(read.next_offset > at, "a read makes progress");
        at = read.next_offset;
    }
    replay.machine
}

/// Plans without a fresh producer id first, and with one when the plan needs it.
fn planned<T>(
    mut plan: impl FnMut(Option<ProducerId>) -> PlannedReply<T>,
    fresh: Option<ProducerId>,
) -> PlannedReply<T> {
    match plan(None) {
        PlannedReply::NeedsProducerId => plan(fresh),
        planned => planned,
    }
}

/// The coordinator of a transactional id.
pub fn coordinator(image: &MetadataImage, id: &str) -> Option<NodeId> {
    let index = partition_of(image, TRANSACTION_TOPIC.name, id)?;
    let topic = image.topic(TRANSACTION_TOPIC.name)?;
    topic.partitions.get(&index)?.leader
}

/// As [`Reply`] has it.
pub fn producer_of(reply: &Reply) -> Option<ProducerIdAndEpoch> {
    reply.as_ref().ok().copied().flatten()
}
