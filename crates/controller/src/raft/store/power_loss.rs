//! Simulates losses of power under the real writer: at a random operation on a file the power
//! fails, and any part of what was not synced by then may be on the disk.
//!
//! Every start then succeeds. It finds everything that was acknowledged and, of the rest, a first
//! part in order. A power loss during a start is simulated as well.
//!
//! `DOHLE_TORN_STATES=20000 DOHLE_SEED=1` runs more of them, from a seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_storage::simulated::Random;
use futures::FutureExt;
use openraft::storage::IOFlushed;
use openraft::type_config::TypeConfigExt;
use parking_lot::Mutex;
use tokio::sync::{oneshot, watch};

use super::disk::{Disk, Recovered};
use super::simulated_disks::{Disks, Image};
use super::tests::blob;
use super::writer::{Command, Writer};
use super::{Counters, FatalSender};
use crate::raft::snapshot;
use crate::raft::types::{Entry, EntryPayload, LogId, Payload, SnapshotMeta, Types, Vote, log_id};

/// Small, so that the journal is rewritten often.
const LIMIT: u64 = 20_000;
const STATES: u64 = 120;

/// The content of a voter's log.
#[derive(Debug, Clone, Default, PartialEq)]
struct Log {
    vote: Option<Vote>,
    purged: Option<LogId>,
    entries: BTreeMap<u64, Entry>,
}

impl Log {
    fn last(&self) -> Option<LogId> {
        let last = self.entries.values().next_back();
        last.map_or(self.purged, |entry| Some(entry.log_id))
    }

    fn end(&self) -> u64 {
        self.last().map_or(0, |last| last.index + 1)
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Vote(vote) => self.vote = Some(*vote),
            Op::Entry(entry) => drop(self.entries.insert(entry.log_id.index, entry.clone())),
            Op::Truncate(from) => drop(self.entries.split_off(from)),
            Op::Purge(upto) => {
                self.entries = self.entries.split_off(&(upto.index + 1));
                self.purged = self.purged.max(Some(*upto));
            }
        }
    }
}

impl std::fmt::Display for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let vote = self.vote.as_ref().map(ToString::to_string);
        let indexes = self.entries.keys();
        let (first, last) = (indexes.clone().next(), self.last());
        write!(f, "vote {vote:?}, entries {first:?} to {last:?}")
    }
}

#[derive(Debug, Clone)]
enum Op {
    Vote(Vote),
    Entry(Entry),
    Truncate(u64),
    Purge(LogId),
}

type Ack = Box<dyn FnMut() -> bool + Send>;

/// What a voter acknowledged, and the commands that it received since.
#[derive(Default)]
struct Memory {
    acknowledged: Log,
    asked: Vec<(Ack, Vec<Op>)>,
    /// The index of the last snapshot that was completed.
    snapshot: Option<u64>,
}

impl Memory {
    /// Adds the commands that have been acknowledged by now.
    fn settle(&mut self) {
        while let Some((ack, _)) = self.asked.first_mut() {
            if !ack() {
                return;
            }
            for op in self.asked.remove(0).1 {
                self.acknowledged.apply(&op);
            }
        }
    }

    /// Adds the commands that were acknowledged before the power failed; later acknowledgements of
    /// the dead process do not count.
    fn lose_power(&mut self) {
        self.settle();
        for (ack, _) in &mut self.asked {
            *ack = Box::new(|| false);
        }
    }

    /// Returns whether a start may find this log: what was acknowledged, and any first part of the
    /// rest.
    fn allows(&self, found: &Log) -> bool {
        let mut log = self.acknowledged.clone();
        let mut allowed = log == *found;
        for op in self.asked.iter().flat_map(|(_, ops)| ops) {
            log.apply(op);
            allowed |= log == *found;
        }
        allowed
    }
}

struct SimulatedVoter {
    power: Disks,
    number: usize,
    memory: Arc<Mutex<Memory>>,
    writer: Writer,
}

impl SimulatedVoter {
    /// Starts a voter on what a loss of power left, and checks what it finds.
    fn start(power: &Disks, number: usize, memory: &Arc<Mutex<Memory>>, what: &str) -> Self {
        let files = power.files(number);
        snapshot::remove_temporary(&files).unwrap();
        let (mut disk, recovered) =
            Disk::open(files, LIMIT, 3_000).unwrap_or_else(|error| panic!("{what}: {error}"));
        let found = log_of(&mut disk, recovered);
        let snapshot = snapshot::open_latest(&power.files(number)).unwrap();
        let snapshot = snapshot.map(|mut file| {
            file.verify()
                .unwrap_or_else(|error| panic!("{what}: {error}"));
            file.meta.last_log_id.unwrap().index
        });
        {
            let memory = &mut *memory.lock();
            assert!(
                memory.allows(&found),
                "{what}: found {found}\nafter {}\nand {:?}",
                memory.acknowledged,
                memory.asked.iter().map(|(_, ops)| ops).collect::<Vec<_>>()
            );
            assert!(snapshot >= memory.snapshot, "{what}: snapshot is lost");
            assert!(
                found.purged.map(|id| id.index) <= snapshot,
                "{what}: purged more than the snapshot covers"
            );
            if !power.is_cut() {
                // The start has also synced what it found.
                memory.acknowledged = found;
                memory.asked.clear();
                memory.snapshot = snapshot;
            }
        }
        let fatal = FatalSender(watch::Sender::new(None));
        Self {
            power: power.clone(),
            number,
            memory: Arc::clone(memory),
            writer: Writer::new(disk, Arc::new(Counters::default()), fatal),
        }
    }

    fn log(&self) -> Log {
        self.memory.lock().acknowledged.clone()
    }

    /// Carries out groups of commands; each is acknowledged at its end.
    fn ask(&mut self, groups: Vec<Vec<Op>>) {
        let mut commands = Vec::new();
        for ops in groups.into_iter().filter(|ops| !ops.is_empty()) {
            let (command, ack) = command(&ops);
            commands.push(command);
            self.memory.lock().asked.push((ack, ops));
        }
        self.writer.on_group(commands.into_iter());
        let cut = self.power.is_cut();
        let mut memory = self.memory.lock();
        if !cut {
            memory.settle();
            assert!(
                memory.asked.is_empty(),
                "commands of an earlier group are not acknowledged"
            );
        }
    }

    /// Takes a snapshot of everything, and drops most of what it covers.
    fn snapshot(&mut self, keep: u64) {
        let Some(last) = self.log().last() else {
            return;
        };
        let meta = SnapshotMeta {
            last_log_id: Some(last),
            ..SnapshotMeta::default()
        };
        let files = self.power.files(self.number);
        snapshot::create(&files, &meta, |body| body.write_all(&blob(3_000))).unwrap();
        if self.power.is_cut() {
            return;
        }
        self.memory.lock().snapshot = Some(last.index);
        let upto = last.index.saturating_sub(keep);
        let upto = self.log().entries.get(&upto).map(|entry| entry.log_id);
        self.ask(upto.map(|upto| vec![Op::Purge(upto)]).into_iter().collect());
    }

    fn close(&mut self) {
        let (reply, _closed) = oneshot::channel();
        self.writer.on_group([Command::Close { reply }].into_iter());
    }
}

fn log_of(disk: &mut Disk, recovered: Recovered) -> Log {
    let entries = disk.read(0, u64::MAX, usize::MAX).unwrap();
    let tail = &entries[entries.len() - recovered.tail.len()..];
    assert_eq!(tail, recovered.tail, "the cache is the end of the log");
    Log {
        vote: recovered.vote,
        purged: recovered.purged,
        entries: entries
            .into_iter()
            .map(|entry| (entry.log_id.index, entry))
            .collect(),
    }
}

/// One command for operations of one kind, and whether it was acknowledged.
fn command(ops: &[Op]) -> (Command, Ack) {
    if let Op::Entry(_) = ops[0] {
        let entries = ops.iter().map(|op| match op {
            Op::Entry(entry) => entry.clone(),
            other => panic!("{other:?} among entries"),
        });
        let (flushed, mut answer) = Types::oneshot();
        let command = Command::Append {
            entries: entries.collect(),
            flushed: IOFlushed::signal(flushed),
        };
        let ack = move || {
            let answer = (&mut answer).now_or_never();
            answer.is_some_and(|answer| answer.unwrap().is_ok())
        };
        return (command, Box::new(ack));
    }
    let (reply, mut answer) = oneshot::channel::<std::io::Result<()>>();
    let command = match ops[0] {
        Op::Vote(vote) => Command::SaveVote { vote, reply },
        Op::Truncate(index) => Command::TruncateFrom { index, reply },
        Op::Purge(upto) => Command::Purge { upto, reply },
        Op::Entry(_) => unreachable!("handled above"),
    };
    let ack = move || answer.try_recv().is_ok_and(|answer| answer.is_ok());
    (command, Box::new(ack))
}

fn entries(random: &mut Random, term: u64, from: u64, count: u64) -> Vec<Op> {
    let entry = |index| {
        let len = match random.below(8) {
            0 => random.below(20_000),
            1 => 0,
            _ => random.below(1_500),
        };
        Op::Entry(Entry {
            log_id: log_id(term, index),
            payload: EntryPayload::Normal(Payload(blob(len as usize))),
        })
    };
    (from..from + count).map(entry).collect()
}

/// The voters of one simulation, and what is left of their disks.
struct Simulation {
    random: Random,
    memories: Vec<Arc<Mutex<Memory>>>,
    images: Vec<Image>,
    term: u64,
    starts: u64,
    what: String,
}

impl Simulation {
    fn new(seed: u64, voters: usize) -> Self {
        Self {
            random: Random(seed),
            memories: (0..voters).map(|_| Arc::default()).collect(),
            images: vec![Image::default(); voters],
            term: 0,
            starts: 0,
            what: String::new(),
        }
    }

    /// Starts all voters, runs `work` on them until the power fails, and keeps what is left of
    /// their disks.
    fn round(&mut self, seed: u64, work: impl FnOnce(&mut Self, &mut [SimulatedVoter])) {
        self.what = format!("seed {seed}, start {}", self.starts);
        let memories = self.memories.clone();
        let settle = move || {
            memories
                .iter()
                .for_each(|memory| memory.lock().lose_power())
        };
        let cut_at = self.random.below(60 * self.memories.len() as u64) + 1;
        let images = std::mem::take(&mut self.images);
        let power = Disks::new(self.random.next_number(), images, cut_at, settle);
        let mut voters = Vec::new();
        for (number, memory) in self.memories.iter().enumerate() {
            voters.push(SimulatedVoter::start(&power, number, memory, &self.what));
            self.starts += 1;
        }
        self.term += 1;
        if !power.is_cut() {
            work(self, &mut voters);
        }
        if !power.is_cut() && self.random.one_in(2) {
            voters.iter_mut().for_each(SimulatedVoter::close);
        }
        self.images = power.cut();
    }
}

/// Sends one voter any commands in random order.
fn work_of_one(simulation: &mut Simulation, voters: &mut [SimulatedVoter]) {
    let term = simulation.term;
    let random = &mut simulation.random;
    let voter = &mut voters[0];
    for _ in 0..random.below(12) {
        let log = voter.log();
        let mut groups = Vec::new();
        let mut end = log.end();
        if random.one_in(4) {
            groups.push(vec![Op::Vote(Vote::new(term, random.below(3)))]);
        }
        let first = log.purged.map_or(0, |id| id.index + 1);
        if random.one_in(5) && end > first {
            end -= random.below(end - first) + 1;
            groups.push(vec![Op::Truncate(end)]);
        }
        for _ in 0..random.below(3) {
            let count = random.below(4) + 1;
            groups.push(entries(random, term, end, count));
            end += count;
        }
        voter.ask(groups);
        if random.one_in(2) && !voter.power.is_cut() {
            voter.writer.copy_some();
        }
        if random.one_in(4) && !voter.power.is_cut() {
            voter.snapshot(random.below(4));
        }
        if voter.power.is_cut() {
            return;
        }
    }
}

/// Entries that a majority acknowledged.
type Committed = Arc<Mutex<BTreeMap<u64, Entry>>>;

/// Lets one voter lead two others, with Raft's rules about who may lead and what is committed.
fn work_of_three(
    simulation: &mut Simulation,
    voters: &mut [SimulatedVoter],
    committed: &Committed,
) {
    let term = simulation.term;
    check_majorities(&simulation.what, voters, committed);
    let random = &mut simulation.random;
    let leader = (0..3).max_by_key(|i| voters[*i].log().last()).unwrap();
    let vote = Vote::new(term, leader as u64);
    for voter in voters.iter_mut() {
        voter.ask(vec![vec![Op::Vote(vote)]]);
        if voter.power.is_cut() {
            return;
        }
    }
    for _ in 0..random.below(6) {
        let (from, count) = (voters[leader].log().end(), random.below(4) + 1);
        let new = entries(random, term, from, count);
        voters[leader].ask(vec![new]);
        if voters[leader].power.is_cut() {
            return;
        }
        let leads = voters[leader].log();
        for i in (0..3).filter(|i| *i != leader) {
            // A follower may miss a round, and gets the rest with the next one.
            if random.one_in(3) {
                continue;
            }
            let groups = catch_up(&voters[i].log(), &leads);
            voters[i].ask(groups);
            if voters[i].power.is_cut() {
                return;
            }
            committed.lock().extend(leads.entries.clone());
        }
        for voter in voters.iter_mut() {
            if random.one_in(3) {
                voter.writer.copy_some();
            }
        }
    }
}

/// Returns the commands that make the log of a follower equal to the leader's.
fn catch_up(log: &Log, leads: &Log) -> Vec<Vec<Op>> {
    let same = |index: &u64| log.entries.get(index) == leads.entries.get(index);
    let from = (0..leads.end()).find(|index| !same(index));
    let from = from.unwrap_or_else(|| leads.end());
    let mut groups = Vec::new();
    if log.end() > from {
        groups.push(vec![Op::Truncate(from)]);
    }
    let missing = leads.entries.range(from..);
    groups.push(missing.map(|(_, entry)| Op::Entry(entry.clone())).collect());
    groups
}

/// Checks that whichever two voters elect a leader, it has every committed entry.
fn check_majorities(what: &str, voters: &[SimulatedVoter], committed: &Committed) {
    let logs: Vec<Log> = voters.iter().map(SimulatedVoter::log).collect();
    for (one, other) in [(0, 1), (0, 2), (1, 2)] {
        let leads = [&logs[one], &logs[other]];
        let leads = leads.into_iter().max_by_key(|log| log.last()).unwrap();
        for (index, entry) in &*committed.lock() {
            let found = leads.entries.get(index) == Some(entry);
            assert!(found, "{what}: committed entry {index} is lost");
        }
    }
}

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed_and_states() -> (u64, u64) {
    let seed = from_environment("DOHLE_SEED").unwrap_or(1);
    println!("DOHLE_SEED={seed}");
    (
        seed,
        from_environment("DOHLE_TORN_STATES").unwrap_or(STATES),
    )
}

#[test]
fn a_voter_alone_starts_from_every_torn_state_with_what_it_acknowledged() {
    let (first, states) = seed_and_states();
    let mut total = 0;
    for seed in first.. {
        let mut simulation = Simulation::new(seed, 1);
        for _ in 0..30 {
            simulation.round(seed, work_of_one);
        }
        total += simulation.starts;
        if total >= states {
            break;
        }
    }
    println!("{total} torn states: no refusal and no loss");
}

#[test]
fn three_voters_start_from_every_torn_state_with_what_they_committed() {
    let (first, states) = seed_and_states();
    let mut total = 0;
    for seed in first.. {
        let mut simulation = Simulation::new(seed, 3);
        let committed = Committed::default();
        for _ in 0..10 {
            simulation.round(seed, |simulation, voters| {
                work_of_three(simulation, voters, &committed);
            });
        }
        total += simulation.starts;
        if total >= states {
            break;
        }
    }
    println!("{total} torn states: no refusal and no loss");
}
