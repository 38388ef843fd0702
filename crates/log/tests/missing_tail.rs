//! Tests of records that are missing at the end of a closed segment's file: the loss is detected
//! when the log is opened, kept until it is repaired, and never confused with the gaps that
//! compaction leaves.

mod common;

use std::fs;
use std::path::Path;

use common::compact::{compacted, put, settle};
use common::*;
use dohle_log::{Batches, CleanupPolicy, Damage, Log, LogConfig, OpenOptions, ReadError, Replaced};
use dohle_model::Offset;

const FIRST: &str = "00000000000000000000.log";

/// Returns a configuration with an index entry every few batches.
fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 700,
        ..LogConfig::default()
    }
}

struct Closed {
    dir: tempfile::TempDir,
    recovery_point: Offset,
    good: Vec<u8>,
    /// The base offset of the second segment.
    second: Offset,
}

/// Returns several segments of batches of two records, closed cleanly.
fn closed() -> Closed {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), config());
    for at in 0..30 {
        append(&mut log, batch(2, 60, NOW.0 + at), 0);
    }
    let good = read_all(&log, Offset(0));
    let second = log.segment_base_offsets().nth(1).unwrap();
    let recovery_point = log.close(NOW).unwrap();
    Closed {
        dir,
        recovery_point,
        good,
        second,
    }
}

impl Closed {
    fn open_with(&self, config: LogConfig, clean_shutdown: bool) -> Log {
        let options = OpenOptions {
            recovery_point: self.recovery_point,
            clean_shutdown,
            ..unclean()
        };
        open_with(self.dir.path(), config, options).0
    }

    fn open(&self, clean_shutdown: bool) -> Log {
        self.open_with(config(), clean_shutdown)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let path = self.dir.path().join(FIRST);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }
}

/// Returns the position of each batch of the first segment, and its base offset.
fn batches(dir: &Path) -> Vec<(usize, Offset)> {
    let bytes = fs::read(dir.join(FIRST)).unwrap();
    let batches = Batches::new(&bytes).map(Result::unwrap);
    batches
        .map(|batch| (batch.position, batch.header.base_offset))
        .collect()
}

fn offsets(damage: &[Damage]) -> Vec<(Offset, Offset)> {
    damage.iter().map(|it| (it.start, it.end)).collect()
}

fn check_first(log: &mut Log) {
    let check = log.plan_check(Offset(0)).unwrap().unwrap();
    let found = check.run(&mut |_| true).unwrap().unwrap();
    log.note_damage(&check, found).unwrap();
}

#[test]
fn a_closed_segment_that_lost_its_end_reports_what_is_missing() {
    let count = batches(closed().dir.path()).len();
    for at in 0..count {
        for (clean, inside) in [(true, 0), (false, 0), (true, 9)] {
            let what = format!("cut {inside} bytes into batch {at}, clean {clean}");
            let log = closed();
            let (position, first) = batches(log.dir.path())[at];
            log.change(|bytes| bytes.truncate(position + inside));
            let missing = [(first, log.second)];
            let mut opened = log.open(clean);
            assert_eq!(offsets(opened.damage()), missing, "{what}");
            let error = opened.read(first, ALL).unwrap_err();
            assert!(matches!(error, ReadError::Damaged(_)), "{what}: {error}");
            assert!(log.good.ends_with(&read_all(&opened, log.second)), "{what}");
            check_first_unless_empty(&mut opened);
            assert_eq!(offsets(opened.damage()), missing, "{what}, after a check");
            drop(opened);
            // The list of damaged ranges keeps the damage; without the list, the files prove it.
            let opened = log.open(clean);
            assert_eq!(offsets(opened.damage()), missing, "{what}, second start");
            drop(opened);
            fs::remove_file(log.dir.path().join("damaged-ranges")).unwrap();
            let mut opened = log.open(clean);
            assert_eq!(offsets(opened.damage()), missing, "{what}, third start");
            opened.flush(NOW).unwrap();
            let replaced = repair(&mut opened, Offset(0), &log.good, |_| {});
            assert!(matches!(replaced, Replaced::Done(_)), "{what}");
            assert_eq!(opened.damage(), []);
            drop(opened);
            let opened = log.open(clean);
            assert_eq!(opened.damage(), [], "{what}, repaired");
            assert_eq!(read_all(&opened, Offset(0)), log.good, "{what}, repaired");
        }
    }
}

/// An empty file has nothing to check.
fn check_first_unless_empty(log: &mut Log) {
    if log.plan_check(Offset(0)).unwrap().is_some() {
        check_first(log);
    }
}

#[test]
fn an_end_that_is_lost_is_found_beside_damage_that_is_known() {
    let log = closed();
    let all = batches(log.dir.path());
    log.change(|bytes| bytes[all[1].0 + 70] ^= 1);
    let mut opened = log.open(true);
    check_first(&mut opened);
    let known = (all[1].1, all[2].1);
    assert_eq!(offsets(opened.damage()), [known]);
    opened.close(NOW).unwrap();
    let (position, first) = all[all.len() - 2];
    log.change(|bytes| bytes.truncate(position));
    let mut opened = log.open(true);
    let both = [known, (first, log.second)];
    assert_eq!(offsets(opened.damage()), both);
    check_first(&mut opened);
    assert_eq!(offsets(opened.damage()), both, "a check keeps both");
    opened.flush(NOW).unwrap();
    let replaced = repair(&mut opened, Offset(0), &log.good, |_| {});
    assert!(matches!(replaced, Replaced::Done(_)));
    assert_eq!(
        read_all(&opened, Offset(0)),
        log.good,
        "one repair, both ranges"
    );
}

#[test]
fn a_repair_does_not_drop_damage_that_was_found_while_it_ran() {
    let log = closed();
    let all = batches(log.dir.path());
    log.change(|bytes| bytes.truncate(all[all.len() - 2].0));
    let mut opened = log.open(true);
    opened.flush(NOW).unwrap();
    let missing = (all[all.len() - 2].1, log.second);
    assert_eq!(offsets(opened.damage()), [missing]);
    let replaced = repair(&mut opened, Offset(0), &log.good, |opened| {
        log.change(|bytes| bytes[all[1].0 + 70] ^= 1);
        check_first(opened);
    });
    assert!(matches!(replaced, Replaced::Stale), "{replaced:?}");
    let both = [(all[1].1, all[2].1), missing];
    assert_eq!(offsets(opened.damage()), both);
    let replaced = repair(&mut opened, Offset(0), &log.good, |_| {});
    assert!(matches!(replaced, Replaced::Done(_)));
    assert_eq!(read_all(&opened, Offset(0)), log.good);
}

#[test]
fn gaps_that_compaction_left_are_no_missing_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    // The last records of the first segments are overwritten later; the first record is kept.
    put(&mut log, &[("first", Some("stays"))]);
    for round in 0..60 {
        let key = format!("{}", round % 4);
        put(
            &mut log,
            &[(&key, Some("some value")), ("other", Some("x"))],
        );
    }
    settle(&mut log);
    common::compact::clean_with(&mut log, common::compact::LIMITS, NOW).unwrap();
    let bases: Vec<_> = log.segment_base_offsets().collect();
    let good = read_all(&log, Offset(0));
    let first_end = batches_end(dir.path());
    assert!(
        first_end < bases[1],
        "a gap before {}: {first_end}",
        bases[1]
    );
    let recovery_point = log.close(NOW).unwrap();
    let was_compacted = LogConfig {
        cleanup_policy: CleanupPolicy::default(),
        ..compacted()
    };
    let log = Closed {
        dir,
        recovery_point,
        good,
        second: bases[1],
    };
    for config in [compacted(), was_compacted] {
        for clean in [true, false] {
            for without_indexes in [false, true] {
                for entry in fs::read_dir(log.dir.path()).unwrap() {
                    let path = entry.unwrap().path();
                    if without_indexes && path.extension().is_some_and(|it| it == "index") {
                        fs::remove_file(path).unwrap();
                    }
                }
                let mut opened = log.open_with(config.clone(), clean);
                assert_eq!(opened.damage(), [], "clean {clean}");
                check_first(&mut opened);
                assert_eq!(opened.damage(), [], "clean {clean}, after a check");
                assert_eq!(read_all(&opened, Offset(0)), log.good);
            }
        }
    }
}

fn batches_end(dir: &Path) -> Offset {
    let bytes = fs::read(dir.join(FIRST)).unwrap();
    let last = Batches::new(&bytes).map(Result::unwrap).last();
    last.map_or(Offset(0), |batch| batch.header.next_offset())
}

#[test]
fn a_repair_brings_back_the_aborted_transactions_of_what_was_missing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default());
    append(&mut log, batch(2, 60, NOW.0), 0);
    aborted_transaction(&mut log, 5, 0);
    log.roll(NOW).unwrap();
    append(&mut log, batch(2, 60, NOW.0), 0);
    let good = read_all(&log, Offset(0));
    let end = log.log_end_offset();
    let aborted = log.aborted_transactions(Offset(0), end);
    assert_eq!(aborted.len(), 1);
    let second = log.segment_base_offsets().nth(1).unwrap();
    let recovery_point = log.close(NOW).unwrap();
    let log = Closed {
        dir,
        recovery_point,
        good,
        second,
    };
    let marker = batches(log.dir.path()).last().unwrap().0;
    log.change(|bytes| bytes.truncate(marker));
    let mut opened = log.open_with(LogConfig::default(), true);
    opened.flush(NOW).unwrap();
    assert_eq!(opened.damage().len(), 1);
    let replaced = repair(&mut opened, Offset(0), &log.good, |_| {});
    assert!(matches!(replaced, Replaced::Done(_)));
    assert_eq!(opened.aborted_transactions(Offset(0), end), aborted);
    assert_eq!(read_all(&opened, Offset(0)), log.good);
}
