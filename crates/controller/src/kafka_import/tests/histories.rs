//! Imports of three nodes whose logs come from random histories of a Kafka quorum: elections,
//! records that reach only some of the nodes, and records that a later leader replaces.

use std::cmp::Ordering;

use dohle_model::NodeId;
use dohle_storage::simulated::Random;

use super::kafka_node::{self, KafkaNode, Record, config, leader_change};
use super::{planned, replayed};
use crate::raft::imported::{ImportedEntry, ImportedLog};

const HISTORIES: u64 = 150;
const NODES: usize = 3;

/// An epoch and the number of its batch, which no other batch has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Batch {
    epoch: i32,
    number: u32,
    is_leader_change: bool,
    records: u32,
}

impl Batch {
    /// The configured properties are the numbers of the batch's records.
    fn keys(&self) -> impl Iterator<Item = String> {
        let count = if self.is_leader_change {
            0
        } else {
            self.records
        };
        let number = self.number;
        (0..count).map(move |at| format!("property.{number}.{at}"))
    }

    fn records(&self) -> Vec<Record> {
        match self.is_leader_change {
            true => vec![leader_change()],
            false => self.keys().map(|key| config(&key, "x")).collect(),
        }
    }
}

/// A history: the log and the epoch of each node, and what is committed.
struct History {
    random: Random,
    logs: [Vec<Batch>; NODES],
    epochs: [i32; NODES],
    committed: Vec<Batch>,
    batches: u32,
}

fn end(log: &[Batch]) -> u32 {
    log.iter().map(|batch| batch.records).sum()
}

/// What Kafka compares when it votes.
fn position(log: &[Batch]) -> (i32, u32) {
    (log.last().map_or(0, |batch| batch.epoch), end(log))
}

fn common(one: &[Batch], other: &[Batch]) -> usize {
    one.iter().zip(other).take_while(|(a, b)| a == b).count()
}

impl History {
    fn new(seed: u64) -> Self {
        let mut history = Self {
            random: Random(seed),
            logs: Default::default(),
            epochs: [0; NODES],
            committed: Vec::new(),
            batches: 0,
        };
        for _ in 0..2 + history.random.below(6) {
            history.reign();
        }
        history
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    /// A node is elected by one other, and appends; each of the others fetches some of its log.
    fn reign(&mut self) {
        let leader = self.below(NODES);
        let voter = (leader + 1 + self.below(NODES - 1)) % NODES;
        if position(&self.logs[leader]) < position(&self.logs[voter]) {
            return;
        }
        let epoch = self.epochs.iter().max().unwrap() + 1;
        (self.epochs[leader], self.epochs[voter]) = (epoch, epoch);
        for at in 0..1 + self.below(3) {
            self.batches += 1;
            let is_leader_change = at == 0;
            let records = if is_leader_change {
                1
            } else {
                1 + self.below(3) as u32
            };
            let number = self.batches;
            self.logs[leader].push(Batch {
                epoch,
                number,
                is_leader_change,
                records,
            });
        }
        let log = self.logs[leader].clone();
        for follower in (0..NODES).filter(|node| *node != leader) {
            let fetches = self.random.one_in(2);
            if !fetches {
                continue;
            }
            let kept = common(&self.logs[follower], &log);
            let fetched = kept + self.below(log.len() - kept + 1);
            self.logs[follower] = log[..fetched].to_vec();
            self.epochs[follower] = epoch;
            let is_own = log[..fetched]
                .last()
                .is_some_and(|batch| batch.epoch == epoch);
            if is_own && fetched > self.committed.len() {
                self.committed = log[..fetched].to_vec();
            }
        }
    }

    /// The files of a node, with a snapshot of some of what is committed.
    fn node(&mut self, of: usize, with_snapshot: bool) -> KafkaNode {
        let id = i32::try_from(of).unwrap() + 1;
        let mut node = KafkaNode::new(id);
        node.quorum_state = kafka_node::quorum_state(self.epochs[of], -1, &[1, 2, 3]);
        let log = self.logs[of].clone();
        let mut first = 0;
        if with_snapshot {
            first = self.below(common(&log, &self.committed) + 1);
        }
        if let Some(last) = log[..first].last() {
            let covered = u64::from(end(&log[..first]));
            let records = log[..first].iter().flat_map(Batch::keys);
            let records = records.map(|key| config(&key, "x")).collect();
            node.snapshot = Some((covered, last.epoch, Vec::new(), records));
            node.log_begin = covered;
        }
        for batch in &log[first..] {
            node.append(batch.epoch, batch.records());
        }
        node
    }
}

/// The term and the index of the last entry.
fn last(log: &ImportedLog) -> (u64, u64) {
    let snapshot = log.snapshot.as_ref().map(|it| (it.term, it.index));
    let entry = log.entries.last().map(|entry| (entry.term, entry.index));
    entry.or(snapshot).unwrap_or_default()
}

/// Returns the entry with this index.
fn entry(log: &ImportedLog, index: u64) -> Option<&ImportedEntry> {
    log.entries.iter().find(|entry| entry.index == index)
}

#[test]
fn imported_logs_compare_as_kafkas_do_and_every_majority_has_what_is_committed() {
    let (mut committed, mut replaced) = (0, 0);
    for seed in 0..HISTORIES {
        let mut history = History::new(seed);
        committed += history.committed.len();
        let imported = [0, 1, 2].map(|of| planned(&history.node(of, false)).log);
        let shortened = [0, 1, 2].map(|of| planned(&history.node(of, true)).log);
        for one in 0..NODES {
            // The begin of a log in a snapshot changes nothing after it.
            if let (Some(whole), Some(short)) = (&imported[one], &shortened[one]) {
                let same = |it: &ImportedEntry| entry(whole, it.index) == Some(it);
                assert!(
                    short.entries.iter().all(|it| it.index == 0 || same(it)),
                    "seed {seed}"
                );
                assert_eq!(last(whole), last(short), "seed {seed}");
                let newest = u64::try_from(history.epochs[one]).unwrap();
                assert_eq!(whole.vote, (newest, NodeId(one as i32 + 1)), "seed {seed}");
            }
            for other in 0..NODES {
                let (Some(ours), Some(theirs)) = (&imported[one], &imported[other]) else {
                    continue;
                };
                let kafkas = position(&history.logs[one]).cmp(&position(&history.logs[other]));
                assert_eq!(last(ours).cmp(&last(theirs)), kafkas, "seed {seed}");
                // Log matching: the same term at an index, and everything up to it is the same.
                let both = ours.entries.iter().zip(&theirs.entries);
                let same = both.clone().rposition(|(a, b)| a.term == b.term);
                let same = same.map_or(0, |at| at + 1);
                replaced += usize::from(same < ours.entries.len().min(theirs.entries.len()));
                assert!(both.take(same).all(|(a, b)| a == b), "seed {seed}");
                // The one that a majority of these two elects.
                let elected = if kafkas == Ordering::Less {
                    theirs
                } else {
                    ours
                };
                let images = replayed(&elected.entries);
                let (_, image) = images.last().unwrap();
                let of_all = dohle_model::record::ConfigResource::BrokerDefault;
                for key in history.committed.iter().flat_map(Batch::keys) {
                    let found = image.config(&of_all, &key);
                    assert!(
                        one == other || found.is_some(),
                        "seed {seed}: {key} is lost"
                    );
                }
            }
        }
    }
    assert!(
        committed > 300 && replaced > 50,
        "{committed} committed, {replaced} replaced"
    );
}
