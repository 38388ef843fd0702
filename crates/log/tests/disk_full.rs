//! Tests of a log on a file system without space: writes that do not fit are refused, appended
//! records stay readable, and the log works again when there is space.

mod common;

use std::path::Path;

use common::small_fs::{Ballast, in_small_fs};
use common::*;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    AppendError, CleanupPolicy, Log, LogConfig, OpenOptions, StorageErrorKind, validate,
};
use dohle_model::{LeaderEpoch, Offset};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// Room for a few segments.
const SIZE: &str = "size=1m";

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 60_000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    }
}

fn try_append(log: &mut Log, size: usize) -> Result<(), AppendError> {
    let records = batch(3, size, NOW.0);
    let validated = validate(records, log.config(), AppendOrigin::Client, NOW).unwrap();
    let epoch = log.latest_epoch().unwrap_or(LeaderEpoch(0));
    log.append_as_leader(validated, epoch, NOW).map(drop)
}

/// Appends until there is no space.
fn fill(log: &mut Log, size: usize) {
    for _ in 0..10_000 {
        match try_append(log, size) {
            Ok(()) => {}
            Err(AppendError::Storage(error)) => {
                assert_eq!(error.kind(), StorageErrorKind::Full, "{error}");
                return;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the file system was never full");
}

/// Checks that the files of the log contain what the log lists, and nothing else.
#[track_caller]
fn check_consistent(log: &Log) {
    assert!(!log.is_failed());
    let found = files(log.dir());
    let logs = found.iter().filter(|(name, _)| name.ends_with(".log"));
    assert_eq!(logs.map(|(_, size)| size).sum::<u64>(), log.size());
    assert!(
        found.iter().all(|(name, _)| !name.ends_with(".tmp")),
        "{found:?}"
    );
}

#[test]
fn an_append_without_space_leaves_a_log_that_goes_on_when_there_is_space() {
    let name = "an_append_without_space_leaves_a_log_that_goes_on_when_there_is_space";
    in_small_fs(name, SIZE, |root| {
        let dir = root.join("t-0");
        let mut log = open(&dir, config());
        let ballast = root.join("half");
        std::fs::write(&ballast, vec![0; 500_000]).unwrap();
        fill(&mut log, 3_000);
        check_consistent(&log);
        let end = log.log_end_offset();
        let before = read_all(&log, Offset::ZERO);
        for _ in 0..3 {
            // A batch larger than the space that a page may have left.
            let error = try_append(&mut log, 5_000).unwrap_err();
            assert!(matches!(error, AppendError::Storage(_)), "{error}");
            check_consistent(&log);
        }
        assert_eq!(log.log_end_offset(), end);
        assert_eq!(read_all(&log, Offset::ZERO), before);

        std::fs::remove_file(&ballast).unwrap();
        try_append(&mut log, 3_000).unwrap();
        log.flush(NOW).unwrap();
        assert_eq!(log.recovery_point(), log.log_end_offset());
        let after = read_all(&log, Offset::ZERO);
        assert_eq!(&after[..before.len()], before);
        drop(log);
        let (log, report) = open_with(&dir, config(), unclean());
        assert_eq!(report.bytes_truncated, 0);
        assert_eq!(read_all(&log, Offset::ZERO), after);
    });
}

#[test]
fn a_follower_without_space_keeps_the_batches_that_fit() {
    let name = "a_follower_without_space_keeps_the_batches_that_fit";
    in_small_fs(name, SIZE, |root| {
        let source = tempfile::tempdir().unwrap();
        let mut leader = open(source.path(), config());
        for _ in 0..60 {
            append(&mut leader, batch(3, 3_000, NOW.0), 0);
        }
        let records = read_all(&leader, Offset::ZERO);
        let dir = root.join("t-0");
        let mut log = open(&dir, config());
        let ballast = root.join("most");
        std::fs::write(&ballast, vec![0; 700_000]).unwrap();
        let error = log
            .append_as_follower(records.clone().into(), NOW)
            .unwrap_err();
        assert!(
            matches!(&error, AppendError::Storage(error) if error.kind() == StorageErrorKind::Full),
            "{error}"
        );
        check_consistent(&log);
        let held = read_all(&log, Offset::ZERO);
        assert_eq!(held, records[..held.len()]);
        std::fs::remove_file(&ballast).unwrap();
        let rest = read_all(&leader, log.log_end_offset());
        log.append_as_follower(rest.into(), NOW).unwrap();
        assert_eq!(read_all(&log, Offset::ZERO), records);
    });
}

#[test]
fn a_segment_that_cannot_be_made_leaves_the_log_as_it_was() {
    let name = "a_segment_that_cannot_be_made_leaves_the_log_as_it_was";
    in_small_fs(name, "size=1m,nr_inodes=20", |root| {
        let dir = root.join("t-0");
        let mut log = open(&dir, config());
        append(&mut log, batch(3, 3_000, NOW.0), 0);
        let mut fillers = Vec::new();
        loop {
            let path = root.join(format!("f{}", fillers.len()));
            if std::fs::write(&path, "").is_err() {
                break;
            }
            fillers.push(path);
        }
        let before: Vec<Offset> = log.segment_base_offsets().collect();
        assert_eq!(log.roll(NOW).unwrap_err().kind(), StorageErrorKind::Full);
        check_consistent(&log);
        assert_eq!(log.segment_base_offsets().collect::<Vec<_>>(), before);
        // The existing segment accepts records until it is full.
        append(&mut log, batch(3, 3_000, NOW.0), 0);
        fill(&mut log, 3_000);
        check_consistent(&log);
        for path in fillers {
            std::fs::remove_file(path).unwrap();
        }
        assert!(log.roll(NOW).unwrap());
        append(&mut log, batch(3, 3_000, NOW.0), 0);
        check_consistent(&log);
    });
}

#[test]
fn a_flush_without_space_for_derived_files_is_made_up_for() {
    let name = "a_flush_without_space_for_derived_files_is_made_up_for";
    in_small_fs(name, SIZE, |root| {
        let dir = root.join("t-0");
        let mut log = open(&dir, config());
        for at in 0..10 {
            append(&mut log, batch(3, 3_000, NOW.0), at / 5);
            append(&mut log, from_producer(7, 0, at * 3, 3), at / 5);
        }
        log.roll(NOW).unwrap();
        append(&mut log, batch(1, 10, NOW.0), 1);
        let ballast = Ballast::fill(root);
        let task = log.prepare_flush(NOW).unwrap();
        let failed = task.run().unwrap_err();
        assert_eq!(failed.error.kind(), StorageErrorKind::Full, "{failed:?}");
        log.postpone_flush(failed);
        check_consistent(&log);
        assert_eq!(log.recovery_point(), Offset::ZERO);
        assert_eq!(log.flush(NOW).unwrap_err().kind(), StorageErrorKind::Full);
        check_consistent(&log);
        drop(ballast);
        log.flush(NOW).unwrap();
        assert_eq!(log.recovery_point(), log.log_end_offset());
        let written = |end: &str| {
            files(&dir)
                .iter()
                .any(|(name, size)| name.ends_with(end) && *size > 0)
        };
        assert!(written(".index") && written(".timeindex") && written(".snapshot"));
        assert!(written("leader-epoch-checkpoint"));
    });
}

#[test]
fn a_log_is_opened_and_read_on_a_full_disk() {
    let name = "a_log_is_opened_and_read_on_a_full_disk";
    in_small_fs(name, SIZE, |root| {
        let dir = root.join("t-0");
        let mut log = open(&dir, config());
        for at in 0..30 {
            append(&mut log, batch(3, 3_000, NOW.0), at / 10);
        }
        let expected = read_all(&log, Offset::ZERO);
        let epochs = log.leader_epochs().clone();
        let end = log.log_end_offset();
        drop(log);
        let ballast = Ballast::fill(root);
        // After a crash only the records' file exists.
        let (log, report) = open_with(&dir, config(), unclean());
        assert_eq!(report.bytes_truncated, 0);
        assert!(report.segments_recovered > 1);
        assert_eq!(read_all(&log, Offset::ZERO), expected);
        assert_eq!(*log.leader_epochs(), epochs);
        drop(log);
        let (mut log, _) = open_with(&dir, config(), unclean());
        drop(ballast);
        log.flush(NOW).unwrap();
        assert_eq!(log.close(NOW).unwrap(), end);
        let clean = OpenOptions {
            recovery_point: end,
            clean_shutdown: true,
            ..unclean()
        };
        let (log, report) = open_with(&dir, config(), clean);
        assert_eq!(report.segments_recovered, 0);
        assert_eq!(read_all(&log, Offset::ZERO), expected);
    });
}

#[test]
fn records_are_deleted_from_a_full_disk() {
    let name = "records_are_deleted_from_a_full_disk";
    in_small_fs(name, SIZE, |root| {
        let dir = root.join("t-0");
        let mut log = open(&dir, config());
        fill(&mut log, 3_000);
        let _ballast = Ballast::fill(root);
        let end = log.log_end_offset();
        assert!(log.maybe_advance_log_start_offset(end));
        let deleted = log.delete_old_segments(end, NOW).unwrap();
        assert!(deleted.len() > 3, "{deleted:?}");
        for segment in deleted {
            segment.unlink().unwrap();
        }
        check_consistent(&log);
        try_append(&mut log, 3_000).unwrap();
        log.flush(NOW).unwrap();
    });
}

#[test]
fn a_truncation_that_leaves_nothing_readable_changes_nothing_on_a_full_disk() {
    let name = "a_truncation_that_leaves_nothing_readable_changes_nothing_on_a_full_disk";
    in_small_fs(name, SIZE, |root| {
        let mut log = open(&root.join("t-0"), config());
        try_append(&mut log, 100).unwrap();
        log.flush(NOW).unwrap();
        log.roll(NOW).unwrap();
        try_append(&mut log, 100).unwrap();
        try_append(&mut log, 100).unwrap();
        // The log starts within its last batch.
        let start = Offset(7);
        assert!(log.maybe_advance_log_start_offset(start));
        for segment in log.delete_old_segments(Offset(9), NOW).unwrap() {
            segment.unlink().unwrap();
        }
        assert_eq!(log.recovery_point(), Offset(3));
        let expected = read_all(&log, start);
        let ballast = Ballast::fill(root);
        let error = log.truncate_to(Offset(8), NOW).unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Full, "{error}");
        check_consistent(&log);
        assert_eq!(read_all(&log, start), expected);
        drop(ballast);
        assert!(log.truncate_to(Offset(8), NOW).unwrap());
        assert_eq!(log.log_start_offset(), Offset(8));
        assert_eq!(log.log_end_offset(), Offset(8));
    });
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize),
    Roll,
    Flush,
    Truncate(u8),
    DeleteOld(u8),
    Crash,
    Fill,
    Free,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => (1..4_000usize).prop_map(Step::Append),
        1 => Just(Step::Roll),
        3 => Just(Step::Flush),
        1 => any::<u8>().prop_map(Step::Truncate),
        1 => any::<u8>().prop_map(Step::DeleteOld),
        1 => Just(Step::Crash),
        2 => Just(Step::Fill),
        2 => Just(Step::Free),
    ]
}

/// Runs random steps; after each of them the log reads as the model predicts.
fn live(root: &Path, steps: Vec<Step>) {
    let dir = root.join("t-0");
    let config = LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: true,
            compact: false,
        },
        segment_bytes: 20_000,
        ..config()
    };
    let mut log = open(&dir, config.clone());
    let mut ballast = None;
    let mut epoch = 0;
    let mut checkpoint = Offset::ZERO;
    let mut expected: Vec<u8> = Vec::new();
    let full = |error: dohle_log::StorageError| {
        assert_eq!(error.kind(), StorageErrorKind::Full, "{error}");
    };
    for step in steps {
        match step {
            Step::Append(size) => {
                let validated = validate(
                    batch(3, size, NOW.0),
                    log.config(),
                    AppendOrigin::Client,
                    NOW,
                )
                .unwrap();
                match log.append_as_leader(validated, LeaderEpoch(epoch), NOW) {
                    Ok(dohle_log::LeaderAppend::Appended(info)) => expected.extend(&info.records),
                    Err(AppendError::Storage(error)) => full(error),
                    other => panic!("{other:?}"),
                }
            }
            Step::Roll => drop(log.roll(NOW).map_err(full)),
            Step::Flush => {
                if log.flush(NOW).map_err(full).is_ok() {
                    checkpoint = log.recovery_point();
                }
            }
            Step::Truncate(part) => {
                let kept = log.log_end_offset().since(log.log_start_offset());
                let to = log.log_start_offset().plus(kept * i64::from(part) / 255);
                let end = log.log_end_offset();
                match log.truncate_to(to, NOW) {
                    Ok(_) => {
                        expected = cut(&expected, log.log_end_offset());
                        epoch += 1;
                    }
                    Err(error) => {
                        full(error);
                        assert_eq!(log.log_end_offset(), end);
                    }
                }
            }
            Step::DeleteOld(part) => {
                let kept = log.log_end_offset().since(log.log_start_offset());
                let to = log.log_start_offset().plus(kept * i64::from(part) / 510);
                log.maybe_advance_log_start_offset(to);
                let deleted = log.delete_old_segments(log.log_end_offset(), NOW);
                for segment in deleted.map_err(full).unwrap_or_default() {
                    segment.unlink().unwrap();
                }
            }
            Step::Crash => {
                let log_start_offset = log.log_start_offset();
                drop(log);
                let options = OpenOptions {
                    log_start_offset,
                    recovery_point: checkpoint,
                    ..unclean()
                };
                log = open_with(&dir, config.clone(), options).0;
            }
            Step::Fill => ballast = ballast.or_else(|| Some(Ballast::fill(root))),
            Step::Free => ballast = None,
        }
        check_consistent(&log);
        let start = log.segment_base_offsets().next().unwrap();
        expected = after(&expected, start);
        assert_eq!(
            read_all(&log, log.log_start_offset()),
            after(&expected, log.log_start_offset())
        );
    }
    drop((log, ballast));
    std::fs::remove_dir_all(&dir).unwrap();
}

/// Returns the batches below `end`.
fn cut(records: &[u8], end: Offset) -> Vec<u8> {
    let batches = dohle_log::Batches::new(records).map(Result::unwrap);
    let kept = batches.filter(|batch| batch.header.next_offset() <= end);
    kept.flat_map(|batch| batch.bytes.to_vec()).collect()
}

/// Returns the batches that end at `start` or later.
fn after(records: &[u8], start: Offset) -> Vec<u8> {
    let batches = dohle_log::Batches::new(records).map(Result::unwrap);
    let kept = batches.filter(|batch| batch.header.last_offset() >= start);
    kept.flat_map(|batch| batch.bytes.to_vec()).collect()
}

#[test]
fn random_lives_on_a_disk_that_is_full_at_times_lose_nothing() {
    let name = "random_lives_on_a_disk_that_is_full_at_times_lose_nothing";
    in_small_fs(name, SIZE, |root| {
        let cases = std::env::var("DOHLE_FUZZ_CASES").ok();
        let config = Config {
            cases: cases.and_then(|cases| cases.parse().ok()).unwrap_or(40),
            failure_persistence: None,
            ..Config::default()
        };
        let steps = prop::collection::vec(step(), 1..120);
        TestRunner::new(config)
            .run(&steps, |steps| {
                let _ = std::fs::remove_dir_all(root.join("t-0"));
                let _ = std::fs::remove_file(root.join("ballast"));
                live(root, steps);
                Ok(())
            })
            .unwrap();
    });
}
