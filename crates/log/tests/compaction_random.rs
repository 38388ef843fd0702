//! Random operations on a compacted log: no key loses its newest value.
//!
//! `DOHLE_FUZZ_CASES` sets the number of lives; proptest prints the steps of a failing one,
//! shortened.

mod common;

use std::collections::BTreeMap;

use common::compact::*;
use common::*;
use dohle_log::{BatchOptions, Batches, CleanerLimits, CompressionType, Log, OpenOptions};
use dohle_model::{Offset, ProducerId, Timestamp};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Step {
    /// Appends: producer, or none; entries of (key, value or tombstone); codec.
    Append(Option<i64>, Vec<(u8, Option<u8>)>, u8),
    Transaction {
        commit: bool,
        entries: Vec<(u8, Option<u8>)>,
    },
    Settle,
    Clean {
        memory: usize,
        wait: i64,
    },
    Crash,
    Restart,
    Truncate(u8),
}

fn step() -> impl Strategy<Value = Step> {
    let entries = || prop::collection::vec((0..12u8, prop::option::weighted(0.8, 0..9u8)), 1..6);
    prop_oneof![
        10 => (prop::option::of(1..3i64), entries(), 0..5u8)
            .prop_map(|(producer, entries, codec)| Step::Append(producer, entries, codec)),
        3 => (any::<bool>(), entries())
            .prop_map(|(commit, entries)| Step::Transaction { commit, entries }),
        3 => Just(Step::Settle),
        4 => (48..600usize, 0..80i64)
            .prop_map(|(memory, wait)| Step::Clean { memory, wait }),
        1 => Just(Step::Crash),
        1 => Just(Step::Restart),
        1 => any::<u8>().prop_map(Step::Truncate),
    ]
}

/// A log, and the expected value of each key.
struct Life {
    dir: tempfile::TempDir,
    log: Option<Log>,
    /// Every record that was appended: offset, key, value.
    all: Vec<(i64, u8, Option<u8>)>,
    now: Timestamp,
    /// The end of what was compacted; no truncation goes below it.
    cleaned: Offset,
}

impl Life {
    fn log(&mut self) -> &mut Log {
        self.log.as_mut().expect("the log is open")
    }

    fn sequence(&mut self, id: i64) -> i32 {
        let state = self.log().producer_state().producer(ProducerId(id));
        let last = state.and_then(|entry| entry.batches.back());
        last.map_or(0, |batch| batch.last_sequence.unwrap().0 + 1)
    }

    fn append(&mut self, options: BatchOptions, entries: &[(u8, Option<u8>)], counts: bool) {
        let text: Vec<_> = entries
            .iter()
            .map(|(key, value)| (key.to_string(), value.map(|value| value.to_string())))
            .collect();
        let entries_text: Vec<Entry<'_>> = text
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_deref()))
            .collect();
        let records = keyed(options, self.now, &entries_text);
        let first = append(self.log(), records, 0).first_offset.0;
        if counts {
            let offsets = first..;
            self.all.extend(
                offsets
                    .zip(entries)
                    .map(|(offset, (key, value))| (offset, *key, *value)),
            );
        }
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Append(id, entries, codec) => {
                let options = match id {
                    Some(id) => producer(*id, Some(self.sequence(*id))),
                    None => BatchOptions::default(),
                };
                let compression = CompressionType::from_id(*codec).unwrap();
                self.append(
                    BatchOptions {
                        compression,
                        ..options
                    },
                    entries,
                    true,
                );
            }
            Step::Transaction { commit, entries } => {
                let options = producer(7, Some(self.sequence(7)));
                let options = BatchOptions {
                    transactional: true,
                    ..options
                };
                self.append(options, entries, *commit);
                end_txn(self.log(), 7, *commit);
            }
            Step::Settle => settle(self.log()),
            Step::Clean { memory, wait } => {
                self.now = Timestamp(self.now.0 + wait * 1000);
                let limits = CleanerLimits {
                    dedupe_buffer_bytes: *memory,
                    ..LIMITS
                };
                let now = self.now;
                let high_watermark = self.log().log_end_offset();
                self.log().on_high_watermark(high_watermark);
                let found = self.log().cleanable(high_watermark, now).unwrap();
                if clean_with(self.log(), limits, now).is_some() {
                    self.cleaned = self.cleaned.max(found.first_uncleanable_offset);
                }
            }
            Step::Crash => {
                let recovery_point = self.log().recovery_point();
                self.reopen(OpenOptions {
                    recovery_point,
                    ..unclean()
                });
            }
            Step::Restart => {
                let recovery_point = self.log.take().unwrap().close(NOW).unwrap();
                self.reopen(OpenOptions {
                    recovery_point,
                    clean_shutdown: true,
                    ..unclean()
                });
            }
            Step::Truncate(place) => {
                let span = self.log().log_end_offset().since(self.cleaned);
                let to = self.cleaned.plus(span * i64::from(*place) / 255);
                self.log().truncate_to(to, NOW).unwrap();
                let end = self.log().log_end_offset();
                self.all.retain(|record| record.0 < end.0);
                // A transaction that the truncation left open is ended, as a coordinator would do.
                if self
                    .log()
                    .producer_state()
                    .first_unstable_offset()
                    .is_some()
                {
                    let high_watermark = end;
                    self.log().on_high_watermark(high_watermark);
                    if self.log().last_stable_offset(high_watermark) < high_watermark {
                        let first = self.log().last_stable_offset(high_watermark).0;
                        let mut all = std::mem::take(&mut self.all);
                        all.retain(|record| record.0 < first || !self.in_open(record.0));
                        self.all = all;
                        end_txn(self.log(), 7, false);
                    }
                }
            }
        }
    }

    /// Returns whether the record belongs to the open transaction.
    fn in_open(&self, offset: i64) -> bool {
        let log = self.log.as_ref().expect("the log is open");
        let records = read_all(log, Offset(offset));
        let batch = Batches::new(&records).next().unwrap().unwrap();
        batch.header.producer_id == Some(ProducerId(7))
    }

    fn reopen(&mut self, options: OpenOptions) {
        let checkpoint = self.log.take().and_then(|log| log.cleaner_checkpoint());
        let (mut log, report) = open_with(self.dir.path(), compacted(), options);
        assert_eq!(report.bytes_truncated, 0);
        log.set_cleaner_checkpoint(checkpoint);
        self.log = Some(log);
    }

    fn check(&mut self) {
        let now = self.now;
        let mut newest: BTreeMap<u8, (i64, Option<u8>)> = BTreeMap::new();
        for (offset, key, value) in &self.all {
            newest.insert(*key, (*offset, *value));
        }
        let log = self.log.as_ref().expect("the log is open");
        let aborted = log.aborted_transactions(Offset(0), log.log_end_offset());
        let is_void = |offset: i64| {
            let of_aborted = |txn: &&dohle_log::AbortedTxn| {
                (txn.first_offset.0..=txn.last_offset.0).contains(&offset)
            };
            aborted.iter().any(|txn| of_aborted(&txn)) && self.is_transactional(offset)
        };
        let mut seen: BTreeMap<u8, (i64, Option<u8>)> = BTreeMap::new();
        let mut last = -1;
        for (offset, key, value) in content(log) {
            assert!(offset > last, "offsets grow");
            last = offset;
            if key.starts_with('!') || is_void(offset) {
                continue;
            }
            let key: u8 = key.parse().unwrap();
            let value = value.map(|value| value.parse().unwrap());
            assert!(
                self.all.contains(&(offset, key, value)),
                "{offset} {key} was never written"
            );
            seen.insert(key, (offset, value));
        }
        for (key, (offset, value)) in &newest {
            match seen.get(key) {
                Some(found) => assert_eq!(found, &(*offset, *value), "key {key}"),
                // Only a tombstone may be removed, and only after its retention.
                None => assert!(
                    value.is_none() && now.0 >= NOW.0 + 100_000,
                    "key {key} at {offset} is lost"
                ),
            }
        }
    }

    fn is_transactional(&self, offset: i64) -> bool {
        self.in_open(offset)
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(
            std::env::var("DOHLE_FUZZ_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(40)
        )
    })]

    #[test]
    fn no_key_loses_its_newest_value_in_any_life(steps in prop::collection::vec(step(), 1..60)) {
        let dir = tempfile::tempdir().unwrap();
        let log = open(dir.path(), compacted());
        let mut life = Life {
            dir, log: Some(log), all: Vec::new(), now: NOW, cleaned: Offset(0),
        };
        for step in &steps {
            life.apply(step);
            life.check();
        }
    }
}
