//! What has to hold at all times, and at the end.

use std::collections::{BTreeMap, BTreeSet};

use dohle_log::batch::ControlRecord;
use dohle_log::producer_state::BATCHES_RETAINED;
use dohle_log::{Batches, Log, ReadLimits};
use dohle_model::{NodeId, Offset, ProducerEpoch, ProducerId, Sequence, TopicPartition};
use dohle_transactions::TransactionVersion;

use super::brokers::replayed;
use super::history::transaction_of;
use super::messages::Produce;
use super::world::{World, data_partitions};
use crate::transactions::TRANSACTION_TOPIC;

/// A batch of a data partition.
struct Entry {
    first: Offset,
    producer: ProducerId,
    epoch: ProducerEpoch,
    sequence: Option<Sequence>,
    /// The coordinator's epoch of a marker; other batches have `values`.
    marker: Option<i32>,
    values: Vec<u64>,
}

fn entries(log: &Log) -> Vec<Entry> {
    let mut found = Vec::new();
    let mut at = Offset::ZERO;
    while at < log.log_end_offset() {
        let limits = ReadLimits {
            max_bytes: 10_000,
            upper_bound: Offset(i64::MAX),
            min_one: true,
        };
        let read = log.read(at, limits).unwrap();
        for batch in Batches::new(&read.records) {
            let batch = batch.unwrap();
            let header = &batch.header;
            let marker = ControlRecord::of(&batch).filter(|_| header.attributes.is_control());
            let marker = marker.map(|marker| match marker {
                ControlRecord::EndTxn(marker) => marker.coordinator_epoch,
                other @ ControlRecord::Other(_) => panic!("{other:?}"),
            });
            let values = batch.records(batch.payload());
            let values = values.map(|record| record.unwrap().value.unwrap().to_vec());
            let values =
                values.filter_map(|value| Some(u64::from_be_bytes(value.try_into().ok()?)));
            found.push(Entry {
                first: header.base_offset,
                producer: header.producer_id.unwrap(),
                epoch: header.producer_epoch.unwrap(),
                sequence: header.base_sequence,
                marker,
                values: if marker.is_some() {
                    Vec::new()
                } else {
                    values.collect()
                },
            });
        }
        at = read.next_offset;
    }
    found
}

/// What a consumer with `isolation.level=read_committed` returns, as Kafka's `CompletedFetch` finds
/// it from the aborted transactions that a fetch response names.
fn read_committed(log: &Log, to: Offset) -> Vec<u64> {
    let mut seen = Vec::new();
    let mut at = Offset::ZERO;
    while at < to {
        let limits = ReadLimits {
            max_bytes: 700,
            upper_bound: to,
            min_one: true,
        };
        let read = log.read(at, limits).unwrap();
        let mut aborted = log.aborted_transactions(at, read.next_offset);
        aborted.sort_by_key(|txn| txn.first_offset);
        let mut aborted = aborted.into_iter().peekable();
        let mut void = BTreeSet::new();
        for batch in Batches::new(&read.records) {
            let batch = batch.unwrap();
            let header = batch.header;
            while let Some(txn) = aborted.next_if(|txn| txn.first_offset <= header.last_offset()) {
                void.insert(Some(txn.producer_id));
            }
            if header.attributes.is_control() {
                if let Some(ControlRecord::EndTxn(marker)) = ControlRecord::of(&batch)
                    && !marker.committed
                {
                    void.remove(&header.producer_id);
                }
                continue;
            }
            if void.contains(&header.producer_id) {
                continue;
            }
            for record in batch.records(batch.payload()) {
                let value = record.unwrap().value.unwrap();
                seen.push(u64::from_be_bytes(value.try_into().unwrap()));
            }
        }
        assert!(read.next_offset > at, "a read makes progress");
        at = read.next_offset;
    }
    seen
}

/// What the log has of a producer.
#[derive(Default)]
struct Producer {
    /// The epochs of the last marker: of the producer, and of the coordinator.
    marker: Option<(ProducerEpoch, i32)>,
    /// The first offset of the open transaction.
    open: Option<Offset>,
    /// The transactions of its records since the last marker.
    transactions: BTreeSet<u64>,
    /// The epoch of the last batch, and the sequence that follows it.
    next: Option<(ProducerEpoch, i32)>,
}

/// The first offset of each transaction, and that of its marker. Checks that no record follows the
/// marker that ends its transaction, nor a marker of a higher epoch, that a transaction has one
/// marker, and that the sequences of an epoch have no gap.
fn transactions(
    name: &TopicPartition,
    entries: &[Entry],
    version: TransactionVersion,
) -> Vec<(Offset, Option<Offset>)> {
    let mut producers: BTreeMap<ProducerId, Producer> = BTreeMap::new();
    let mut ended: BTreeSet<u64> = BTreeSet::new();
    let mut found = Vec::new();
    for entry in entries {
        let (first, epoch) = (entry.first, entry.epoch);
        let what = || {
            format!(
                "{name}: epoch {epoch} of producer {} at {first}",
                entry.producer
            )
        };
        let producer = producers.entry(entry.producer).or_default();
        if let Some((marker, _)) = producer.marker {
            assert!(epoch >= marker, "{} follows a marker of {marker}", what());
        }
        let Some(coordinator) = entry.marker else {
            for value in &entry.values {
                let transaction = transaction_of(*value);
                let is_open = !ended.contains(&transaction);
                assert!(is_open, "{}, {value}, follows its marker", what());
                producer.transactions.insert(transaction);
            }
            let sequence = entry.sequence.expect("clients number their batches").0;
            let next = (epoch, sequence + entry.values.len() as i32);
            if let Some((before, expected)) = producer.next.replace(next)
                && before == epoch
            {
                assert_eq!(sequence, expected, "{}: a gap", what());
            }
            producer.open.get_or_insert(first);
            continue;
        };
        // In version 2 each transaction has its own epoch. Before, a marker of a newer coordinator
        // is written again.
        let is_again = producer
            .marker
            .is_some_and(|marker| match version.bumps_epochs() {
                true => marker.0 == epoch,
                false => producer.open.is_none() && marker == (epoch, coordinator),
            });
        assert!(!is_again, "{}, a second marker", what());
        let before = producer.marker.replace((epoch, coordinator));
        assert!(
            before.is_none_or(|(_, before)| before <= coordinator),
            "{}, a marker of coordinator {coordinator} after {before:?}",
            what()
        );
        ended.append(&mut producer.transactions);
        if let Some(begin) = producer.open.take() {
            found.push((begin, Some(first)));
        }
    }
    let open = producers.into_values().filter_map(|producer| producer.open);
    found.extend(open.map(|begin| (begin, None)));
    found
}

impl World {
    /// Checks what readers find in a replica, whether it leads, used to, or follows.
    pub fn check_replica(&mut self, name: &TopicPartition, id: NodeId) {
        if name.topic.as_str() == TRANSACTION_TOPIC.name {
            return;
        }
        let replica = self.partitions[name].replica(id);
        let Some(replica) = replica.filter(|replica| !replica.has_lost) else {
            return;
        };
        let (log, high_watermark) = (&replica.log, replica.high_watermark);
        let entries = entries(log);
        let transactions = transactions(name, &entries, self.version);
        // A snapshot does not contain whether a marker is committed, so a log that read its
        // producers from one treats the markers before as committed, as in Kafka.
        let first_open = |replicated: Offset| {
            let open = transactions
                .iter()
                .filter(|(_, marker)| marker.is_none_or(|marker| marker >= replicated));
            let first = open.map(|(first, _)| *first).min();
            first.unwrap_or(high_watermark).min(high_watermark)
        };
        let remembered = high_watermark.max(replica.remembers_from);
        let expected = first_open(high_watermark)..=first_open(remembered);
        let stable = log.last_stable_offset(high_watermark);
        assert!(
            expected.contains(&stable),
            "{name} at {id}: last stable offset {stable}, expected {expected:?}"
        );
        let seen = read_committed(log, stable);
        self.note("read", || format!("{} of {name} at {id}", seen.len()));
        self.history.see(name, &seen);
    }

    /// A batch that a leader refused as out of order is none of the last batches of its producer,
    /// which a leader acknowledges again.
    pub fn check_out_of_order(&self, id: NodeId, produce: &Produce) {
        let replica = self.partitions[&produce.partition].replica(id).unwrap();
        let entries = entries(&replica.log);
        let of_producer = entries.iter().filter(|entry| {
            let producer = (entry.producer, entry.epoch);
            entry.marker.is_none()
                && producer == (produce.producer.id, produce.producer.epoch)
                && entry.first >= replica.remembers_from
        });
        let mut last = of_producer.rev().take(BATCHES_RETAINED);
        let found = last.find(|entry| entry.sequence == Some(Sequence(produce.sequence)));
        if let Some(found) = found {
            panic!(
                "{} at {id}: sequence {} of {:?} is refused, although the log has it at {}",
                produce.partition, produce.sequence, produce.producer, found.first
            );
        }
    }

    /// A transaction that is complete is open in no partition.
    pub fn check_completed(&self) {
        for broker in self.brokers.values() {
            for (index, shard) in &broker.shards {
                let partition = &self.partitions[&super::world::state_partition(*index)];
                let is_current = partition.leader_epoch == shard.epoch;
                let Some(machine) = shard.machine.as_ref() else {
                    continue;
                };
                if !is_current || !shard.is_active {
                    continue;
                }
                for (id, metadata) in machine.iter() {
                    if !metadata.state.may_expire() {
                        continue;
                    }
                    let ids = [Some(metadata.producer_id), metadata.previous_producer_id];
                    for producer in ids.into_iter().flatten() {
                        self.check_closed(id.as_str(), producer);
                    }
                }
            }
        }
    }

    fn check_closed(&self, id: &str, producer: ProducerId) {
        for name in data_partitions() {
            let Some(replica) = self.partitions[&name].current() else {
                continue;
            };
            let entry = replica.log.producer_state().producer(producer);
            let open = entry.and_then(|entry| entry.current_txn_first_offset);
            assert_eq!(
                open, None,
                "{name}: the transaction of {id}, producer {producer}, is complete and open here"
            );
        }
    }

    /// All transactions have ended.
    pub fn check_end(&mut self) {
        let mut visible = BTreeSet::new();
        for name in data_partitions() {
            let mut logs = Vec::new();
            for (id, replica) in self.partitions[&name].replicas() {
                let end = replica.log.log_end_offset();
                let stable = replica.log.last_stable_offset(replica.high_watermark);
                assert_eq!(stable, end, "{name} at {id}: a transaction hangs");
                logs.push(read_committed(&replica.log, end));
            }
            assert!(logs.windows(2).all(|pair| pair[0] == pair[1]), "{name}");
            self.history.see(&name, &logs[0]);
            visible.extend(logs[0].iter().copied());
            for id in super::world::NODES {
                self.check_replica(&name, id);
            }
        }
        let committed = self.history.check_end(&visible);
        *self.counts.entry("committed").or_default() += committed;
        self.check_replay();
    }

    /// The state of each shard is what its log makes.
    fn check_replay(&self) {
        for broker in self.brokers.values() {
            for (index, shard) in &broker.shards {
                let partition = &self.partitions[&super::world::state_partition(*index)];
                let (Some(replica), Some(machine)) = (partition.current(), &shard.machine) else {
                    continue;
                };
                if partition.leader_epoch != shard.epoch {
                    continue;
                }
                let replayed = replayed(&replica.log, replica.log.log_end_offset());
                let states = |machine: &dohle_transactions::TransactionMachine| -> Vec<_> {
                    let states = machine.iter();
                    let states = states.map(|(id, metadata)| {
                        let mut metadata = metadata.clone();
                        // Records do not have it.
                        metadata.last_producer_epoch = None;
                        (id.clone(), metadata)
                    });
                    states.collect()
                };
                assert_eq!(states(machine), states(&replayed));
            }
        }
    }
}
