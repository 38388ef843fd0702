//! Random operations on a leader's log and a follower's, with several transactions at a time: the
//! view of a reader of committed records, and the last stable offset, are compared with a list of
//! batches.
//!
//! `DOHLE_FUZZ_CASES` sets the number of lives; proptest prints the steps of a failing one,
//! shortened.

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use common::compact::{LIMITS, compacted};
use common::*;
use dohle_log::batch::ControlRecord;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    BatchBuilder, BatchOptions, Batches, LeaderAppend, Log, LogConfig, OpenOptions, ReadLimits,
    Replaced, TxnAppend, validate,
};
use dohle_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// Records of the producer's transaction, which begins if none is open.
    Data {
        producer: i64,
        count: i32,
    },
    /// Records without a transaction.
    Plain(i32),
    End {
        producer: i64,
        commit: bool,
        /// Whether the marker raises the epoch (`transaction.version` 2).
        bump: bool,
    },
    /// The follower receives a part of the records that it lacks, in per mille.
    Follow(u16),
    /// The high watermark moves towards the smaller of the two ends, in per mille.
    Commit(u16),
    /// The follower becomes the leader, if it has all committed records.
    Elect,
    /// An unclean election: the batches from one of them on, which may be committed, are lost.
    Lose(u16),
    AdvanceStart(u16),
    Retention,
    Roll,
    Flush,
    Clean,
    /// The process dies; written data are kept.
    Crash,
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    let producer = 1..5i64;
    prop_oneof![
        10 => (producer.clone(), 1..4i32)
            .prop_map(|(producer, count)| Step::Data { producer, count }),
        3 => (1..4i32).prop_map(Step::Plain),
        6 => (producer, any::<bool>(), any::<bool>())
            .prop_map(|(producer, commit, bump)| Step::End { producer, commit, bump }),
        6 => (300..1001u16).prop_map(Step::Follow),
        6 => (300..1001u16).prop_map(Step::Commit),
        1 => Just(Step::Elect),
        1 => (0..1001u16).prop_map(Step::Lose),
        1 => (0..600u16).prop_map(Step::AdvanceStart),
        1 => Just(Step::Retention),
        2 => Just(Step::Roll),
        2 => Just(Step::Flush),
        2 => Just(Step::Clean),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
    ]
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Data(i64),
    Marker {
        producer: i64,
        commit: bool,
        bump: bool,
    },
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    first: i64,
    last: i64,
    kind: Kind,
}

/// The content of the leader's log.
#[derive(Debug, Default)]
struct Model {
    entries: Vec<Entry>,
}

impl Model {
    /// Removes the entries that do not end below `end`. Returns outcome, and whether the epoch
    /// rises, of each transaction that is open again.
    fn cut(&mut self, end: i64) -> BTreeMap<i64, (bool, bool)> {
        let kept = self.entries.partition_point(|entry| entry.last < end);
        let lost = self.entries.split_off(kept);
        let open = self.open();
        let mut decided = BTreeMap::new();
        for entry in lost {
            if let Kind::Marker {
                producer,
                commit,
                bump,
            } = entry.kind
                && open.contains_key(&producer)
            {
                decided.entry(producer).or_insert((commit, bump));
            }
        }
        decided
    }

    /// Returns the first offset of each open transaction.
    fn open(&self) -> BTreeMap<i64, i64> {
        let mut open = BTreeMap::new();
        for entry in &self.entries {
            match entry.kind {
                Kind::Plain => {}
                Kind::Data(producer) => drop(open.entry(producer).or_insert(entry.first)),
                Kind::Marker { producer, .. } => drop(open.remove(&producer)),
            }
        }
        open
    }

    /// Returns the transactions that the entries below `end` begin and end: first offset, and
    /// marker with the outcome.
    fn transactions(&self, end: i64) -> Vec<(i64, Option<(i64, bool)>)> {
        let mut open = BTreeMap::new();
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.last < end) {
            match entry.kind {
                Kind::Plain => {}
                Kind::Data(producer) => drop(open.entry(producer).or_insert(entry.first)),
                Kind::Marker {
                    producer, commit, ..
                } => {
                    if let Some(first) = open.remove(&producer) {
                        found.push((first, Some((entry.first, commit))));
                    }
                }
            }
        }
        found.extend(open.into_values().map(|first| (first, None)));
        found
    }

    /// Returns the last stable offset of a log that has all entries below `end`. Markers at
    /// `replicated` and above hold it back.
    fn stable(&self, end: i64, start: i64, high_watermark: i64, replicated: i64) -> i64 {
        let unstable = self
            .transactions(end)
            .into_iter()
            .filter(|(_, marker)| marker.is_none_or(|(marker, _)| marker >= replicated));
        let first = unstable.map(|(first, _)| first).min();
        first.map_or(high_watermark, |first| first.max(start).min(high_watermark))
    }

    /// Returns the offsets of the committed records in `[from, to)`.
    fn committed(&self, from: i64, to: i64) -> BTreeSet<i64> {
        let mut open: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        let mut found = BTreeSet::new();
        for entry in &self.entries {
            let offsets = entry.first..=entry.last;
            match entry.kind {
                Kind::Plain => found.extend(offsets),
                Kind::Data(producer) => open.entry(producer).or_default().extend(offsets),
                Kind::Marker {
                    producer, commit, ..
                } => {
                    let offsets = open.remove(&producer).unwrap_or_default();
                    found.extend(offsets.into_iter().filter(|_| commit));
                }
            }
        }
        found.retain(|offset| (from..to).contains(offset));
        found
    }
}

/// Returns what a consumer with `isolation.level=read_committed` receives from `[from, to)`, by the
/// rules of Kafka's `CompletedFetch`: each read is combined with the aborted transactions that the
/// log returns for it.
fn read_committed(log: &Log, from: Offset, to: Offset, max_bytes: usize) -> BTreeSet<i64> {
    let mut seen = BTreeSet::new();
    let mut at = from;
    while at < to {
        let limits = ReadLimits {
            max_bytes,
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
            if header.attributes.is_transactional() && void.contains(&header.producer_id) {
                continue;
            }
            let payload = batch.uncompressed(1 << 20).unwrap();
            let offsets = batch.records(&payload).map(|it| it.unwrap().offset);
            seen.extend(offsets.filter(|it| *it >= at).map(|it| it.0));
        }
        if read.next_offset == at {
            // Compaction removed everything from here to the upper bound.
            break;
        }
        at = read.next_offset;
    }
    seen
}

struct Replica {
    dir: tempfile::TempDir,
    log: Option<Log>,
    config: LogConfig,
    /// Markers below this offset may count as replicated although the high watermark is smaller,
    /// because the log loaded its producers from a snapshot, which contains only open transactions,
    /// as in Kafka.
    from_snapshot: i64,
}

impl Replica {
    fn new() -> Self {
        let config = LogConfig {
            delete_retention_ms: Duration::ZERO,
            ..compacted()
        };
        let dir = tempfile::tempdir().unwrap();
        let log = Some(open(dir.path(), config.clone()));
        Self {
            dir,
            log,
            config,
            from_snapshot: 0,
        }
    }

    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("the log is open")
    }

    fn end(&mut self) -> i64 {
        self.log().log_end_offset().0
    }

    fn start(&mut self) -> i64 {
        self.log().log_start_offset().0
    }

    fn set_high_watermark(&mut self, high_watermark: i64) {
        let end = self.end();
        self.log()
            .on_high_watermark(Offset(high_watermark.min(end)));
    }

    fn reopen(&mut self, clean: bool, high_watermark: i64) {
        let mut log = self.log.take().expect("the log is open");
        let cleaned = log.cleaner_checkpoint();
        let mut options = OpenOptions {
            log_start_offset: log.log_start_offset(),
            recovery_point: log.recovery_point(),
            ..unclean()
        };
        if clean {
            options.clean_shutdown = true;
            options.recovery_point = log.close(NOW).unwrap();
        } else {
            drop(log);
        }
        log = open_with(self.dir.path(), self.config.clone(), options).0;
        log.set_cleaner_checkpoint(cleaned);
        self.log = Some(log);
        self.from_snapshot = self.end();
        self.set_high_watermark(high_watermark);
    }

    fn truncate(&mut self, to: i64) {
        self.log().truncate_to(Offset(to), NOW).unwrap();
        self.from_snapshot = self.end();
    }

    fn clean(&mut self, high_watermark: i64, now: Timestamp) {
        let log = self.log.as_mut().expect("the log is open");
        let Some(cleaning) = log.begin_cleaning(Offset(high_watermark), now).unwrap() else {
            return;
        };
        let mut cleaner = cleaning.index(LIMITS, &mut |_| true).unwrap();
        while let Some(segment) = cleaner.next_segment(&mut |_| true).unwrap() {
            let Replaced::Done(swapped) = log.replace_segments(segment).unwrap() else {
                panic!("nothing else changed the log");
            };
            swapped.sync().unwrap();
            for deleted in swapped.deleted {
                deleted.unlink().unwrap();
            }
        }
        assert!(log.complete_cleaning(&cleaner));
    }

    /// Returns epoch and next sequence of a producer.
    fn producer(&mut self, id: i64) -> (i16, i32) {
        let entry = self.log().producer_state().producer(ProducerId(id));
        let Some(entry) = entry else { return (0, 0) };
        let last = entry.batches.back().and_then(|batch| batch.last_sequence);
        let epoch = entry.epoch.map_or(0, |epoch| epoch.0);
        (epoch, last.map_or(0, |last| last.0 + 1))
    }

    #[track_caller]
    fn check(&mut self, model: &Model, high_watermark: i64, name: &str) {
        let (start, end) = (self.start(), self.end());
        let high_watermark = high_watermark.min(end);
        let log = self.log.as_ref().expect("the log is open");
        let stable = log.last_stable_offset(Offset(high_watermark));
        let at_least = model.stable(end, start, high_watermark, high_watermark);
        let replicated = high_watermark.max(self.from_snapshot);
        let at_most = model.stable(end, start, high_watermark, replicated);
        let expected = at_least..=at_most;
        assert!(
            expected.contains(&stable.0),
            "stable {stable} of the {name}, {expected:?}"
        );
        for (from, max_bytes) in [(start, 400), ((start + stable.0) / 2, 1 << 20)] {
            let seen = read_committed(log, Offset(from), stable, max_bytes);
            let expected = model.committed(from, stable.0);
            assert_eq!(
                seen, expected,
                "what a reader of the {name} sees from {from} to {stable}"
            );
        }
    }
}

struct Life {
    leader: Replica,
    follower: Replica,
    model: Model,
    high_watermark: i64,
    epoch: i32,
    /// The end of what was compacted; no truncation goes below it.
    cleaned: i64,
    /// The outcomes of transactions whose markers were lost. A coordinator decides once, before it
    /// writes a marker, and writes the marker again until it is replicated.
    decided: BTreeMap<i64, (bool, bool)>,
    now: Timestamp,
    next_key: u32,
}

impl Life {
    fn new() -> Self {
        Self {
            leader: Replica::new(),
            follower: Replica::new(),
            model: Model::default(),
            high_watermark: 0,
            epoch: 0,
            cleaned: 0,
            decided: BTreeMap::new(),
            now: NOW,
            next_key: 0,
        }
    }

    fn batch(&mut self, producer: Option<(i64, i16, i32)>, count: i32) -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: producer.map(|(id, epoch, sequence)| {
                (
                    ProducerId(id),
                    ProducerEpoch(epoch),
                    Some(Sequence(sequence)),
                )
            }),
            transactional: producer.is_some(),
            ..BatchOptions::default()
        });
        for _ in 0..count {
            // Every key is unique, so that compaction removes only aborted records.
            self.next_key += 1;
            let key = self.next_key.to_be_bytes();
            builder.append(Some(NOW), Some(&key), Some(b"value"), &[]);
        }
        builder.build().unwrap()
    }

    fn append(&mut self, records: Bytes, txn: &TxnAppend, kind: Kind) -> bool {
        let origin = match kind {
            Kind::Marker { .. } => AppendOrigin::Coordinator,
            Kind::Plain | Kind::Data(_) => AppendOrigin::Client,
        };
        let epoch = LeaderEpoch(self.epoch);
        let log = self.leader.log();
        let validated = validate(records, log.config(), origin, NOW).unwrap();
        match log.append_in_txn(validated, txn, epoch, NOW).unwrap() {
            LeaderAppend::Appended(info) => {
                let (first, last) = (info.first_offset.0, info.last_offset.0);
                self.model.entries.push(Entry { first, last, kind });
                true
            }
            LeaderAppend::AlreadyEnded => false,
            LeaderAppend::Duplicate(batch) => panic!("duplicate {batch:?}"),
        }
    }

    fn end_transaction(&mut self, id: i64, commit: bool, bump: bool) {
        let epoch = self.leader.producer(id).0 + i16::from(bump);
        let txn = TxnAppend::marker(if bump { 2 } else { 1 });
        let kind = Kind::Marker {
            producer: id,
            commit,
            bump,
        };
        self.append(marker(id, epoch, commit, 1), &txn, kind);
        // A repeated marker changes nothing.
        assert!(!self.append(marker(id, epoch, commit, 1), &txn, kind));
    }

    /// Writes the marker of a decided transaction again.
    fn complete_decided(&mut self, producer: i64) {
        if let Some((commit, bump)) = self.decided.remove(&producer) {
            self.end_transaction(producer, commit, bump);
        }
    }

    /// Updates the model after the leader's log was truncated to `to` or below, or the follower's
    /// log has replaced it.
    fn cut(&mut self, to: i64) {
        self.leader.truncate(to);
        let end = self.leader.end();
        // A marker that is lost once more has the same outcome.
        self.decided.extend(self.model.cut(end));
        self.follower.truncate(end);
        self.high_watermark = self.high_watermark.min(end);
        self.leader.set_high_watermark(self.high_watermark);
        self.follower.set_high_watermark(self.high_watermark);
        self.epoch += 1;
    }

    fn follow(&mut self, per_mille: u16) {
        let (from, to) = (self.follower.end(), self.leader.end());
        let to = from + (to - from) * i64::from(per_mille) / 1000;
        while self.follower.end() < to {
            let limits = ReadLimits {
                max_bytes: 300,
                upper_bound: Offset(to),
                min_one: true,
            };
            let at = Offset(self.follower.end());
            let records = self.leader.log().read(at, limits).unwrap().records;
            let committed = Offset(self.high_watermark);
            let follower = self.follower.log();
            if follower
                .append_replicated(records, committed, NOW)
                .unwrap()
                .is_none()
            {
                break;
            }
        }
        self.follower.set_high_watermark(self.high_watermark);
    }

    fn apply(&mut self, step: &Step) {
        let high_watermark = self.high_watermark;
        match *step {
            Step::Data { producer, count } => {
                self.complete_decided(producer);
                let (epoch, sequence) = self.leader.producer(producer);
                let records = self.batch(Some((producer, epoch, sequence)), count);
                self.append(records, &TxnAppend::Plain, Kind::Data(producer));
            }
            Step::Plain(count) => {
                let records = self.batch(None, count);
                self.append(records, &TxnAppend::Plain, Kind::Plain);
            }
            Step::End {
                producer,
                commit,
                bump,
            } => {
                self.complete_decided(producer);
                self.end_transaction(producer, commit, bump);
            }
            Step::Follow(per_mille) => self.follow(per_mille),
            Step::Commit(per_mille) => {
                let end = self.follower.end().min(self.leader.end());
                let gap = (end - high_watermark).max(0);
                let to = high_watermark + gap * i64::from(per_mille) / 1000;
                // The high watermark is at the end of a batch.
                let ends = self.model.entries.iter().map(|entry| entry.last + 1);
                let to = ends.filter(|end| *end <= to).max();
                self.high_watermark = to.unwrap_or(0).max(high_watermark);
                self.leader.set_high_watermark(self.high_watermark);
                // The follower receives the high watermark later.
            }
            Step::Elect => {
                let end = self.follower.end();
                if end >= high_watermark && end >= self.cleaned {
                    std::mem::swap(&mut self.leader, &mut self.follower);
                    self.cut(end);
                }
            }
            Step::Lose(per_mille) => {
                let floor = self
                    .cleaned
                    .max(self.leader.start() + 1)
                    .max(self.follower.start() + 1);
                let ends = self.model.entries.iter().map(|entry| entry.last + 1);
                let ends: Vec<_> = ends.filter(|end| *end >= floor).collect();
                let at = ends.len() * usize::from(per_mille) / 1001;
                if let Some(end) = ends.get(at) {
                    self.cut(*end);
                }
            }
            Step::AdvanceStart(per_mille) => {
                let start = self.leader.start();
                let to = start + (high_watermark - start).max(0) * i64::from(per_mille) / 1000;
                for replica in [&mut self.leader, &mut self.follower] {
                    if replica.end() >= to {
                        replica.log().maybe_advance_log_start_offset(Offset(to));
                    }
                }
            }
            Step::Retention => {
                for replica in [&mut self.leader, &mut self.follower] {
                    // Open transactions are in the snapshots of the remaining segments.
                    replica.log().flush(NOW).unwrap();
                    let high_watermark = Offset(high_watermark.min(replica.end()));
                    let log = replica.log();
                    for segment in log.delete_old_segments(high_watermark, NOW).unwrap() {
                        segment.unlink().unwrap();
                    }
                }
            }
            Step::Roll => drop(self.leader.log().roll(NOW).unwrap()),
            Step::Flush => {
                self.leader.log().flush(NOW).unwrap();
                self.follower.log().flush(NOW).unwrap();
            }
            Step::Clean => {
                self.now.0 += 1000;
                self.leader.log().flush(NOW).unwrap();
                self.leader.clean(high_watermark, self.now);
                self.cleaned = self.cleaned.max(high_watermark);
            }
            Step::Crash | Step::Restart => {
                let clean = matches!(step, Step::Restart);
                self.leader.reopen(clean, high_watermark);
                self.follower.reopen(clean, high_watermark);
            }
        }
    }

    fn check(&mut self) {
        self.leader
            .check(&self.model, self.high_watermark, "leader");
        // Until it follows, the follower's log may lack the records below the leader's high
        // watermark.
        self.follower.set_high_watermark(self.high_watermark);
        self.follower
            .check(&self.model, self.high_watermark, "follower");
        let open = |replica: &mut Replica| {
            let state = replica.log().producer_state();
            let mut open: Vec<_> = state
                .producers()
                .filter_map(|(_, entry)| entry.current_txn_first_offset)
                .map(|first| first.0)
                .collect();
            open.sort_unstable();
            open
        };
        let mut expected: Vec<_> = self.model.open().into_values().collect();
        expected.sort_unstable();
        assert_eq!(
            open(&mut self.leader),
            expected,
            "open transactions of the leader"
        );
    }
}

fn cases() -> u32 {
    let set = std::env::var("DOHLE_FUZZ_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(48)
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases())
    })]

    #[test]
    fn a_reader_sees_what_is_committed_and_nothing_else(
        steps in prop::collection::vec(step(), 1..90)
    ) {
        let mut life = Life::new();
        for step in &steps {
            life.apply(step);
            life.check();
        }
    }
}
