//! A machine with a log, a clock and metadata, driven like by the runtime.
//!
//! After each step another machine replays the log from its start, and must have the same state.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dohle_machine::{LogRecord as _, Machine as _, Request, run_expired_timer};
use dohle_model::image::{MetadataImage, TopicImage};
use dohle_model::partition::PartitionRegistration;
use dohle_model::{
    ErrorCode, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicId,
    TopicName, TopicPartition, Uuid,
};

use crate::config::TransactionConfig;
use crate::ids::ProducerIdAndEpoch;
use crate::markers::{BrokerMarkers, Marker, MarkerOutcome};
use crate::metadata::TransactionMetadata;
use crate::records::{TransactionRecord, ValueVersion};
use crate::requests::{
    AddPartitions, CompleteEnded, EndTxn, InitProducerId, MarkersAnswered, MarkersToSend, Outgoing,
    PlannedReply,
};
use crate::shard::{Effects, Step, TransactionMachine};
use crate::state::{TransactionState, TransactionVersion};

pub const START: Timestamp = Timestamp(1_000_000);
pub const TIMEOUT: i32 = 60_000;

pub fn producer(id: i64, epoch: i16) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch {
        id: ProducerId(id),
        epoch: ProducerEpoch(epoch),
    }
}

pub fn partition(topic: &str, index: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new(topic).unwrap(),
        partition: PartitionIndex(index),
    }
}

#[derive(Debug)]
pub struct Driver {
    pub machine: TransactionMachine,
    pub config: TransactionConfig,
    pub image: MetadataImage,
    pub now: Duration,
    pub wall: Timestamp,
    pub log: Vec<(Bytes, Option<Bytes>)>,
    /// The next append fails with this code.
    pub fail_next: Option<ErrorCode>,
    /// Whether recent steps have raised the signal.
    pub signalled: bool,
    /// Whether every step compares the state with the log.
    pub checks: bool,
    next_id: i64,
}

impl Driver {
    pub fn new(version: TransactionVersion) -> Self {
        let mut driver = Self {
            machine: TransactionMachine::default(),
            config: TransactionConfig {
                transaction_max_timeout: Duration::from_secs(900),
                transactional_id_expiration: Duration::from_secs(7 * 24 * 3600),
                two_phase_commit_enable: false,
                record_bytes_max: 1 << 20,
            },
            image: MetadataImage::default(),
            now: Duration::from_secs(5),
            wall: START,
            log: Vec::new(),
            fail_next: None,
            signalled: false,
            checks: true,
            next_id: 1_000,
        };
        let feature = TransactionVersion::FEATURE.to_owned();
        driver
            .image
            .features
            .insert(feature, i16::from(version.level()));
        driver.topic("orders", &[1, 2, 3]);
        driver
    }

    /// Adds a topic whose partitions these brokers lead; 0 means no leader.
    pub fn topic(&mut self, name: &str, leaders: &[i32]) {
        let name = TopicName::new(name).unwrap();
        let mut bytes = [0; 16];
        bytes[..name.as_str().len().min(16)].copy_from_slice(name.as_str().as_bytes());
        let id = TopicId(Uuid(bytes));
        let partitions = (0..).zip(leaders).map(|(index, leader)| {
            let registration = PartitionRegistration {
                leader: (*leader > 0).then_some(NodeId(*leader)),
                ..PartitionRegistration::new(vec![NodeId(1)], Vec::new(), vec![NodeId(1)])
            };
            (PartitionIndex(index), Arc::new(registration))
        });
        let topic = TopicImage {
            name: name.clone(),
            id,
            partitions: partitions.collect(),
        };
        self.image.topics.insert(id, topic);
        self.image.topic_ids.insert(name, id);
    }

    pub fn delete_topic(&mut self, name: &str) {
        let id = self.image.topic_ids.remove(name).unwrap();
        self.image.topics.remove(&id);
    }

    pub fn pass(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.wall.0 += i64::try_from(millis).unwrap();
    }

    /// Plans a request, appends its records and replays them.
    pub fn run<Q: Request<Machine = TransactionMachine>>(
        &mut self,
        request: &Q,
    ) -> Result<Q::Reply, ErrorCode> {
        self.step(|machine, step| request.plan(machine, step))
    }

    pub fn step<R>(
        &mut self,
        plan: impl FnOnce(&mut TransactionMachine, &mut Step<'_>) -> R,
    ) -> Result<R, ErrorCode> {
        let image = self.image.clone();
        let config = self.config.clone();
        let mut step = Step {
            now: self.now,
            wall: self.wall,
            image: &image,
            config: &config,
            fresh: Uuid([0; 16]),
            lookups: None,
            unresolved: Vec::new(),
            effects: Effects::default(),
        };
        let reply = plan(&mut self.machine, &mut step);
        let Effects {
            records, signal, ..
        } = step.effects;
        self.signalled |= signal;
        if !records.is_empty()
            && let Some(code) = self.fail_next.take()
        {
            return Err(code);
        }
        let mut subjects = BTreeSet::new();
        for record in records {
            self.log.push(record.encode().unwrap());
            subjects.insert(record.transactional_id.clone());
            self.machine.replay(record);
        }
        let end = Offset(i64::try_from(self.log.len()).unwrap());
        self.machine.on_appended(subjects, end);
        if self.checks {
            self.check();
        }
        Ok(reply)
    }

    /// Returns a machine that has replayed the log.
    pub fn replayed(&self) -> TransactionMachine {
        let mut machine = TransactionMachine::default();
        for (key, value) in &self.log {
            let record = TransactionRecord::decode(key, value.as_deref()).unwrap();
            machine.replay(record.unwrap());
        }
        machine
    }

    /// Checks that a replay of the log results in the same state.
    #[track_caller]
    pub fn check(&self) {
        let version = ValueVersion::of(TransactionVersion::of(&self.image));
        let states = |machine: &TransactionMachine| -> Vec<_> {
            let states = machine.iter();
            states
                .map(|(id, metadata)| (id.clone(), stored(metadata, version)))
                .collect()
        };
        assert_eq!(states(&self.machine), states(&self.replayed()));
    }

    /// Lets another broker become the coordinator, which loads the log.
    pub fn reload(&mut self) {
        self.machine = self.replayed();
        self.step(|machine, step| machine.on_loaded(step)).unwrap();
    }

    /// Runs the timers that have expired, and returns how many there were.
    pub fn timers(&mut self) -> usize {
        let mut expired = 0;
        while self.machine.timers.next().is_some_and(|at| at <= self.now) {
            let mut timer = None;
            let outcome = self.step(|machine, step| timer = run_expired_timer(machine, step));
            if let (Err(_), Some(timer)) = (outcome, timer) {
                let again = self.now + Duration::from_millis(500);
                self.machine.timers.set_if_absent(timer, again);
            }
            expired += 1;
        }
        expired
    }

    pub fn fresh(&mut self) -> ProducerId {
        self.next_id += 1;
        ProducerId(self.next_id)
    }

    pub fn get(&self, id: &str) -> &TransactionMetadata {
        self.machine.get(id).unwrap()
    }

    pub fn state(&self, id: &str) -> TransactionState {
        self.get(id).state
    }

    pub fn init(
        &mut self,
        id: &str,
        expected: Option<ProducerIdAndEpoch>,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        self.init_with(InitProducerId {
            transactional_id: id,
            timeout_ms: TIMEOUT,
            expected,
            two_phase_commit: false,
            keep_prepared: false,
            fresh: None,
        })
    }

    pub fn init_with(
        &mut self,
        request: InitProducerId<'_>,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        match self.run(&request)? {
            PlannedReply::Reply(reply) => reply,
            PlannedReply::NeedsProducerId => {
                let fresh = Some(self.fresh());
                match self.run(&InitProducerId { fresh, ..request })? {
                    PlannedReply::Reply(reply) => reply,
                    PlannedReply::NeedsProducerId => panic!("an id was given"),
                }
            }
        }
    }

    pub fn add(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
        partitions: &[TopicPartition],
    ) -> Result<(), ErrorCode> {
        let client_version = TransactionVersion::of(&self.image);
        self.run(&AddPartitions {
            transactional_id: id,
            producer,
            partitions,
            client_version,
        })?
    }

    pub fn end(
        &mut self,
        id: &str,
        producer: ProducerIdAndEpoch,
        commit: bool,
    ) -> Result<Option<ProducerIdAndEpoch>, ErrorCode> {
        let request = EndTxn {
            transactional_id: id,
            producer,
            commit,
            client_version: TransactionVersion::of(&self.image),
            fresh: None,
        };
        match self.run(&request)? {
            PlannedReply::Reply(reply) => reply,
            PlannedReply::NeedsProducerId => {
                let fresh = Some(self.fresh());
                match self.run(&EndTxn { fresh, ..request })? {
                    PlannedReply::Reply(reply) => reply,
                    PlannedReply::NeedsProducerId => panic!("an id was given"),
                }
            }
        }
    }

    /// Takes the work for the task outside.
    pub fn take(&mut self) -> Outgoing {
        self.signalled = false;
        let _ = self.run(&CompleteEnded);
        self.run(&MarkersToSend).unwrap()
    }

    /// Reports one outcome for all markers.
    pub fn answer(&mut self, markers: &[BrokerMarkers], outcome: Result<(), ErrorCode>) {
        let outcomes: Vec<_> = markers
            .iter()
            .flat_map(|to| &to.markers)
            .map(|marker| answered(marker, outcome))
            .collect();
        let _ = self.run(&MarkersAnswered {
            outcomes: &outcomes,
        });
    }

    /// Sends all markers that are due, and reports them as written.
    pub fn complete(&mut self) -> Vec<BrokerMarkers> {
        let markers = self.take().markers;
        self.answer(&markers, Ok(()));
        markers
    }
}

pub fn answered(marker: &Marker, outcome: Result<(), ErrorCode>) -> MarkerOutcome {
    let partitions = marker.partitions.iter();
    MarkerOutcome {
        transactional_id: marker.transactional_id.clone(),
        producer: marker.producer,
        partitions: partitions
            .map(|partition| (partition.clone(), outcome))
            .collect(),
    }
}

/// Returns the state as records of this version store it.
fn stored(metadata: &TransactionMetadata, version: ValueVersion) -> TransactionMetadata {
    let mut stored = TransactionMetadata {
        last_producer_epoch: None,
        ..metadata.clone()
    };
    if version == ValueVersion::V0 {
        stored.previous_producer_id = None;
        stored.next_producer_id = None;
        stored.client_version = TransactionVersion::V0;
    }
    stored
}
