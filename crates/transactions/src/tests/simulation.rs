//! Random runs: producers, zombies, partitions that lose their leaders, lost responses, failed
//! appends and changes of coordinator, compared with a model of what producers were promised.
//!
//! A seed is printed with each failure; `DOHLE_SEED` runs one alone, `DOHLE_SEEDS` many.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use dohle_model::{ErrorCode, TopicPartition};

use super::driver::{Driver, answered, partition};
use crate::ids::ProducerIdAndEpoch;
use crate::markers::Marker;
use crate::requests::{AbortTimedOut, MarkersAnswered};
use crate::state::{TransactionState, TransactionVersion};

/// A generator of random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, count: usize) -> usize {
        (self.next() % count as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

/// The actions of one producer since it was initialized.
#[derive(Debug, Clone)]
struct Client {
    id: String,
    producer: ProducerIdAndEpoch,
    added: BTreeSet<TopicPartition>,
    /// A decision whose response was lost, or that is not complete yet.
    repeats: Option<bool>,
}

/// The decision about a transaction.
#[derive(Debug, Clone)]
struct Decided {
    commit: bool,
    partitions: BTreeSet<TopicPartition>,
}

struct Run {
    random: Random,
    driver: Driver,
    /// The newest client of each id is the last one; the others are zombies.
    clients: Vec<Client>,
    sent: VecDeque<Marker>,
    /// The markers that each partition has, by transactional id and the epoch of the marker.
    written: HashMap<(String, ProducerIdAndEpoch), BTreeMap<TopicPartition, bool>>,
    /// The decisions that a successful EndTxn has promised, by transactional id and epoch of the
    /// marker.
    promised: HashMap<(String, ProducerIdAndEpoch), Decided>,
    handed_out: BTreeSet<ProducerIdAndEpoch>,
    version: TransactionVersion,
    committed: usize,
}

const IDS: [&str; 3] = ["a", "b", "c"];

impl Run {
    fn new(seed: u64, version: TransactionVersion) -> Self {
        let mut driver = Driver::new(version);
        driver.checks = false;
        Self {
            random: Random(seed),
            driver,
            clients: Vec::new(),
            sent: VecDeque::new(),
            written: HashMap::new(),
            promised: HashMap::new(),
            handed_out: BTreeSet::new(),
            version,
            committed: 0,
        }
    }

    fn act(&mut self) {
        if self.random.chance(4) {
            self.driver.fail_next = Some(ErrorCode::CoordinatorNotAvailable);
        }
        match self.random.below(100) {
            0..8 => self.init(),
            8..40 => self.add(),
            40..62 => self.end(),
            62..74 => self.take(),
            74..92 => self.answer(),
            92..95 => {
                let leaders: Vec<_> = (0..3).map(|_| self.random.below(4) as i32).collect();
                self.driver.topic("orders", &leaders);
            }
            95..99 => {
                let millis = self.random.below(20_000) as u64;
                self.driver.pass(millis);
                self.driver.timers();
            }
            _ => {
                // The outcomes of the markers in flight are lost, or late.
                self.driver.reload();
            }
        }
        self.driver.fail_next = None;
        self.driver.check();
    }

    fn init(&mut self) {
        let id = IDS[self.random.below(IDS.len())];
        let newest = self.clients.iter().rposition(|client| client.id == id);
        let expected = newest.map(|at| self.clients[at].producer);
        let expected = expected.filter(|_| self.random.chance(50));
        let Ok(producer) = self.driver.init(id, expected) else {
            return;
        };
        assert!(
            self.handed_out.insert(producer),
            "{id}: {producer:?} was handed out before"
        );
        let is_lost = self.random.chance(10);
        if is_lost && expected.is_some() {
            // The producer repeats the request, and gets the same response.
            assert_eq!(self.driver.init(id, expected), Ok(producer));
        }
        if !is_lost || expected.is_some() {
            self.clients.push(Client {
                id: id.to_owned(),
                producer,
                added: BTreeSet::new(),
                repeats: None,
            });
        }
        if self.clients.len() > 9 {
            self.clients.remove(0);
        }
    }

    /// Returns a client, more often a newer one.
    fn client(&mut self) -> Option<usize> {
        let count = self.clients.len();
        let at = self
            .random
            .below(count.max(1))
            .max(self.random.below(count.max(1)));
        (count > 0).then_some(at)
    }

    fn is_newest(&self, at: usize) -> bool {
        let id = &self.clients[at].id;
        self.clients[at + 1..].iter().all(|later| later.id != *id)
    }

    fn add(&mut self) {
        let Some(at) = self.client() else { return };
        let client = self.clients[at].clone();
        if client.repeats.is_some() {
            return;
        }
        let one = partition("orders", self.random.below(3) as i32);
        let added = self
            .driver
            .add(&client.id, client.producer, std::slice::from_ref(&one));
        if added.is_ok() {
            assert!(self.is_newest(at), "a zombie added a partition: {client:?}");
            self.clients[at].added.insert(one);
        }
    }

    fn end(&mut self) {
        let Some(at) = self.client() else { return };
        let client = self.clients[at].clone();
        let decision = client.repeats.unwrap_or_else(|| self.random.chance(60));
        if client.added.is_empty() {
            return;
        }
        match self.driver.end(&client.id, client.producer, decision) {
            Ok(next) => {
                let marker = next.unwrap_or(client.producer);
                let marker = self.marker_epoch(&client.id, marker);
                if !self.random.chance(85) {
                    // The response was lost: the client repeats the request.
                    self.clients[at].repeats = Some(decision);
                    return;
                }
                if let Some(marker) = marker {
                    let decided = Decided {
                        commit: decision,
                        partitions: client.added.clone(),
                    };
                    // Before version 2 transactions share the epoch.
                    if self.version.bumps_epochs() {
                        let key = (client.id.clone(), marker);
                        self.promised.insert(key, decided);
                    }
                }
                self.committed += usize::from(decision);
                let client = &mut self.clients[at];
                client.producer = next.unwrap_or(client.producer);
                client.added.clear();
                client.repeats = None;
            }
            Err(ErrorCode::ConcurrentTransactions) => {
                self.clients[at].repeats = Some(decision);
            }
            Err(
                ErrorCode::ProducerFenced
                | ErrorCode::InvalidProducerIdMapping
                | ErrorCode::InvalidTxnState,
            ) => {
                // A new producer has fenced the client, or the coordinator has aborted its
                // transaction.
                self.clients.remove(at);
            }
            Err(code) => assert_eq!(code, ErrorCode::CoordinatorNotAvailable),
        }
    }

    /// Returns the producer in the markers of the newest decision; `None` once all of them are
    /// written and the id was rotated.
    fn marker_epoch(&self, id: &str, next: ProducerIdAndEpoch) -> Option<ProducerIdAndEpoch> {
        let metadata = self.driver.get(id);
        (metadata.producer() == next).then_some(next)
    }

    fn take(&mut self) {
        let outgoing = self.driver.take();
        for to in outgoing.markers {
            self.sent.extend(to.markers);
        }
        for transactional_id in outgoing.timed_out {
            let fresh = self.driver.fresh();
            let _ = self.driver.run(&AbortTimedOut {
                transactional_id,
                fresh,
            });
        }
    }

    fn answer(&mut self) {
        if self.sent.is_empty() {
            return;
        }
        let at = self.random.below(self.sent.len());
        let Some(marker) = self.sent.remove(at) else {
            return;
        };
        let is_written = self.random.chance(80);
        if is_written {
            self.write(&marker);
        }
        let outcome = match is_written && self.random.chance(90) {
            true => Ok(()),
            false => Err(ErrorCode::RequestTimedOut),
        };
        let outcomes = [answered(&marker, outcome)];
        let _ = self.driver.run(&MarkersAnswered {
            outcomes: &outcomes,
        });
    }

    /// Writes a marker to a partition. All markers of a transaction have the same decision.
    fn write(&mut self, marker: &Marker) {
        if !self.version.bumps_epochs() {
            return;
        }
        let key = (marker.transactional_id.to_string(), marker.producer);
        let written = self.written.entry(key).or_default();
        for partition in marker.partitions.iter() {
            let before = written.insert(partition.clone(), marker.commit);
            assert!(
                before.is_none_or(|commit| commit == marker.commit),
                "{marker:?}"
            );
        }
        let decisions: BTreeSet<_> = written.values().collect();
        assert_eq!(decisions.len(), 1, "a torn transaction: {marker:?}");
    }

    /// Lets everything complete without failures: each decision must be on each of its partitions.
    fn settle(&mut self) {
        self.driver.topic("orders", &[1, 2, 3]);
        self.driver.reload();
        self.sent.clear();
        for _ in 0..100 {
            self.driver.pass(1_000);
            self.driver.timers();
            self.take();
            while let Some(marker) = self.sent.pop_front() {
                self.write(&marker);
                let outcomes = [answered(&marker, Ok(()))];
                let answered = self.driver.run(&MarkersAnswered {
                    outcomes: &outcomes,
                });
                answered.unwrap();
            }
        }
        self.driver.check();
        for (id, metadata) in self.driver.machine.iter() {
            let state = metadata.state;
            assert!(state.may_expire(), "{id} is {state} still");
            assert_ne!(state, TransactionState::Ongoing);
        }
        for ((id, marker), decided) in &self.promised {
            let written = self.written.get(&(id.clone(), *marker));
            let written = written.unwrap_or_else(|| panic!("{id} {marker:?}: {decided:?}"));
            for partition in &decided.partitions {
                assert_eq!(
                    written.get(partition),
                    Some(&decided.commit),
                    "{id} {marker:?}"
                );
            }
        }
    }
}

fn run(seed: u64, version: TransactionVersion) -> usize {
    println!("DOHLE_SEED={seed} {version:?}");
    let mut run = Run::new(seed, version);
    for _ in 0..300 {
        run.act();
    }
    run.settle();
    run.committed
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn random_runs_keep_what_producers_were_promised() {
    let versions = [
        TransactionVersion::V0,
        TransactionVersion::V1,
        TransactionVersion::V2,
    ];
    let seeds = match number("DOHLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("DOHLE_SEEDS").unwrap_or(30),
    };
    let mut committed = 0;
    for seed in seeds {
        for version in versions {
            committed += run(seed, version);
        }
    }
    assert!(committed > 0, "no run committed anything");
}
