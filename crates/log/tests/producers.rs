//! Tests of idempotent and transactional producers, in memory and across restarts.

mod common;

use common::*;
use dohle_log::validate::AppendOrigin;
use dohle_log::{AppendError, BatchOptions, LeaderAppend, Log, LogConfig, OpenOptions, validate};
use dohle_model::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use expect_test::{Expect, expect};
use std::time::Duration;

fn try_append(log: &mut Log, records: bytes::Bytes) -> Result<String, ErrorCode> {
    let validated = validate(records, log.config(), AppendOrigin::Client, NOW).unwrap();
    match log.append_as_leader(validated, LeaderEpoch(0), NOW) {
        Ok(LeaderAppend::Appended(info)) => Ok(format!("appended at {}", info.first_offset)),
        Ok(LeaderAppend::Duplicate(batch)) => Ok(format!(
            "duplicate of {}..={}",
            batch.first_offset(),
            batch.last_offset
        )),
        Ok(LeaderAppend::AlreadyEnded) => panic!("not a marker"),
        Err(error) => {
            if let AppendError::Storage(error) = &error {
                panic!("{error}");
            }
            Err(error.code())
        }
    }
}

/// Appends batches given as (producer epoch, first sequence, records), and checks the result of
/// each.
#[track_caller]
fn check(batches: &[(i16, i32, i32)], expected: Expect) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default());
    let mut trace = String::new();
    for (epoch, sequence, count) in batches {
        let outcome = match try_append(&mut log, from_producer(9, *epoch, *sequence, *count)) {
            Ok(text) => text,
            Err(code) => code.to_string(),
        };
        trace += &format!("epoch {epoch}, {count} from {sequence}: {outcome}\n");
    }
    expected.assert_eq(&trace);
}

#[test]
fn sequences_must_follow_each_other() {
    check(
        &[
            (0, 0, 3),
            (0, 3, 1),
            (0, 5, 1),
            (0, 4, 2),
            (0, 3, 1),
            (0, 3, 2),
        ],
        expect![[r#"
            epoch 0, 3 from 0: appended at 0
            epoch 0, 1 from 3: appended at 3
            epoch 0, 1 from 5: OUT_OF_ORDER_SEQUENCE_NUMBER
            epoch 0, 2 from 4: appended at 4
            epoch 0, 1 from 3: duplicate of 3..=3
            epoch 0, 2 from 3: OUT_OF_ORDER_SEQUENCE_NUMBER
        "#]],
    );
}

#[test]
fn the_last_five_batches_are_known_as_duplicates() {
    check(
        &[
            (0, 0, 1),
            (0, 1, 1),
            (0, 2, 1),
            (0, 3, 1),
            (0, 4, 1),
            (0, 5, 1),
            (0, 1, 1),
            (0, 0, 1),
        ],
        expect![[r#"
            epoch 0, 1 from 0: appended at 0
            epoch 0, 1 from 1: appended at 1
            epoch 0, 1 from 2: appended at 2
            epoch 0, 1 from 3: appended at 3
            epoch 0, 1 from 4: appended at 4
            epoch 0, 1 from 5: appended at 5
            epoch 0, 1 from 1: duplicate of 1..=1
            epoch 0, 1 from 0: OUT_OF_ORDER_SEQUENCE_NUMBER
        "#]],
    );
}

#[test]
fn a_new_epoch_begins_at_zero_and_fences_the_old() {
    check(
        &[(1, 0, 2), (2, 2, 1), (2, 0, 1), (1, 2, 1), (2, 1, 1)],
        expect![[r#"
            epoch 1, 2 from 0: appended at 0
            epoch 2, 1 from 2: OUT_OF_ORDER_SEQUENCE_NUMBER
            epoch 2, 1 from 0: appended at 2
            epoch 1, 1 from 2: INVALID_PRODUCER_EPOCH
            epoch 2, 1 from 1: appended at 3
        "#]],
    );
}

#[test]
fn a_producer_without_an_epoch_may_send_any_sequence_until_it_has_one() {
    check(
        &[
            (-1, 0, 2),
            (-1, 0, 2),
            (-1, 7, 1),
            (0, 9, 1),
            (0, 9, 1),
            (-1, 10, 1),
            (0, 10, 1),
        ],
        expect![[r#"
            epoch -1, 2 from 0: appended at 0
            epoch -1, 2 from 0: duplicate of 0..=1
            epoch -1, 1 from 7: appended at 2
            epoch 0, 1 from 9: appended at 3
            epoch 0, 1 from 9: duplicate of 3..=3
            epoch -1, 1 from 10: INVALID_PRODUCER_EPOCH
            epoch 0, 1 from 10: appended at 4
        "#]],
    );
}

#[test]
fn a_batch_of_an_earlier_epoch_is_no_duplicate_of_one_with_its_sequence() {
    check(
        &[(1, 0, 1), (1, 1, 1), (2, 0, 1), (2, 1, 1)],
        expect![[r#"
            epoch 1, 1 from 0: appended at 0
            epoch 1, 1 from 1: appended at 1
            epoch 2, 1 from 0: appended at 2
            epoch 2, 1 from 1: appended at 3
        "#]],
    );
}

#[test]
fn an_unknown_producer_may_begin_anywhere_and_sequences_wrap() {
    check(
        &[
            (0, i32::MAX - 1, 1),
            (0, i32::MAX, 3),
            (0, 2, 1),
            (0, i32::MAX, 3),
        ],
        expect![[r#"
            epoch 0, 1 from 2147483646: appended at 0
            epoch 0, 3 from 2147483647: appended at 1
            epoch 0, 1 from 2: appended at 4
            epoch 0, 3 from 2147483647: duplicate of 1..=3
        "#]],
    );
}

#[test]
fn producers_are_known_again_after_restart_and_recovery_and_on_followers() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes: 500,
        ..LogConfig::default()
    };
    let mut log = open(dir.path(), config.clone());
    for i in 0..20 {
        try_append(&mut log, from_producer(9, 0, i, 1)).unwrap();
    }
    try_append(&mut log, from_producer(10, 0, 0, 1)).unwrap();
    let all = bytes::Bytes::from(read_all(&log, Offset(0)));

    let follower_dir = tempfile::tempdir().unwrap();
    let mut follower = open(follower_dir.path(), config.clone());
    follower.append_as_follower(all, NOW).unwrap();
    assert_eq!(
        try_append(&mut follower, from_producer(9, 0, 19, 1)).unwrap(),
        "duplicate of 19..=19"
    );

    log.flush(NOW).unwrap();
    let recovery_point = log.recovery_point();
    drop(log);
    let snapshots = files(dir.path())
        .iter()
        .filter(|f| f.0.ends_with(".snapshot"))
        .count();
    assert!(snapshots > 2);
    let options = OpenOptions {
        recovery_point,
        ..unclean()
    };
    let (mut log, _) = open_with(dir.path(), config.clone(), options);
    assert_eq!(
        try_append(&mut log, from_producer(9, 0, 19, 1)).unwrap(),
        "duplicate of 19..=19"
    );
    assert_eq!(
        try_append(&mut log, from_producer(9, 0, 21, 1)),
        Err(ErrorCode::OutOfOrderSequenceNumber)
    );
    let end = log.close(NOW).unwrap();

    let options = OpenOptions {
        clean_shutdown: true,
        recovery_point: end,
        ..unclean()
    };
    let (mut log, _) = open_with(dir.path(), config, options);
    assert_eq!(
        try_append(&mut log, from_producer(9, 0, 19, 1)).unwrap(),
        "duplicate of 19..=19"
    );
    assert_eq!(
        try_append(&mut log, from_producer(9, 0, 20, 1)).unwrap(),
        "appended at 21"
    );
    log.truncate_to(Offset(10), NOW).unwrap();
    assert_eq!(
        try_append(&mut log, from_producer(9, 0, 10, 1)).unwrap(),
        "appended at 10"
    );
}

#[test]
fn idle_producers_are_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let expiration = Duration::from_secs(60);
    let config = LogConfig {
        producer_id_expiration_ms: expiration,
        ..LogConfig::default()
    };
    let mut log = open(dir.path(), config);
    try_append(&mut log, from_producer(9, 0, 0, 1)).unwrap();
    assert_eq!(log.remove_expired_producers(Timestamp(NOW.0 + 59_999)), 0);
    assert_eq!(log.remove_expired_producers(Timestamp(NOW.0 + 60_000)), 1);
    assert_eq!(
        try_append(&mut log, from_producer(9, 0, 7, 1)).unwrap(),
        "appended at 1"
    );
}

fn transactional(id: i64, sequence: i32, count: i32) -> bytes::Bytes {
    let producer = Some((ProducerId(id), ProducerEpoch(0), Some(Sequence(sequence))));
    build(
        BatchOptions {
            producer,
            transactional: true,
            ..Default::default()
        },
        count,
        10,
        NOW.0,
    )
}

fn end_txn(
    log: &mut Log,
    id: i64,
    committed: bool,
    coordinator_epoch: i32,
) -> Result<(), ErrorCode> {
    let records = marker(id, 0, committed, coordinator_epoch);
    let validated = validate(records, log.config(), AppendOrigin::Coordinator, NOW).unwrap();
    log.append_as_leader(validated, LeaderEpoch(0), NOW)
        .map(|_| ())
        .map_err(|error| error.code())
}

#[test]
fn transactions_hold_back_the_last_stable_offset_until_their_marker_is_replicated() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default());
    append(&mut log, batch(2, 10, NOW.0), 0);
    try_append(&mut log, transactional(1, 0, 3)).unwrap(); // 2..=4
    try_append(&mut log, transactional(2, 0, 2)).unwrap(); // 5..=6
    assert_eq!(log.last_stable_offset(Offset(7)), Offset(2));
    assert_eq!(
        try_append(&mut log, from_producer(1, 0, 3, 1)),
        Err(ErrorCode::InvalidTxnState)
    );
    end_txn(&mut log, 1, false, 5).unwrap(); // 7
    assert_eq!(log.last_stable_offset(Offset(8)), Offset(2));
    log.on_high_watermark(Offset(8));
    assert_eq!(log.last_stable_offset(Offset(8)), Offset(5));
    assert_eq!(
        end_txn(&mut log, 1, true, 4),
        Err(ErrorCode::TransactionCoordinatorFenced)
    );
    end_txn(&mut log, 2, true, 5).unwrap(); // 8
    log.on_high_watermark(Offset(9));
    assert_eq!(log.last_stable_offset(Offset(9)), Offset(9));

    let check = |log: &Log| {
        let aborted = log.aborted_transactions(Offset(0), Offset(9));
        let aborted: Vec<_> = aborted
            .iter()
            .map(|txn| {
                (
                    txn.producer_id.0,
                    txn.first_offset.0,
                    txn.last_offset.0,
                    txn.last_stable_offset.0,
                )
            })
            .collect();
        assert_eq!(aborted, [(1, 2, 7, 5)]);
        assert!(log.aborted_transactions(Offset(8), Offset(9)).is_empty());
    };
    check(&log);
    let records = bytes::Bytes::from(read_all(&log, Offset(0)));
    drop(log);
    let log = open(dir.path(), LogConfig::default());
    check(&log);
    let end = log.close(NOW).unwrap();
    let options = OpenOptions {
        clean_shutdown: true,
        recovery_point: end,
        ..unclean()
    };
    check(&open_with(dir.path(), LogConfig::default(), options).0);
    let dir = tempfile::tempdir().unwrap();
    let mut follower = open(dir.path(), LogConfig::default());
    follower.append_as_follower(records, NOW).unwrap();
    check(&follower);
}

#[test]
fn producers_of_deleted_segments_are_known_after_a_crash() {
    // The active segment was just opened, is opened by the deletion, or has no snapshot.
    for case in ["opened", "all", "no snapshot"] {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            retention_ms: Some(Duration::from_secs(60)),
            ..LogConfig::default()
        };
        let mut log = open(dir.path(), config.clone());
        try_append(&mut log, from_producer(9, 0, 0, 3)).unwrap();
        let later = Timestamp(NOW.0 + 100_000);
        if case != "all" {
            log.roll(NOW).unwrap();
            append(&mut log, batch(1, 10, later.0), 0);
        }
        if case == "no snapshot" {
            log.flush(NOW).unwrap();
            std::fs::remove_file(dir.path().join("00000000000000000003.snapshot")).unwrap();
        }
        let deleted = log.delete_old_segments(log.log_end_offset(), later);
        assert_eq!(deleted.unwrap().len(), 1, "{case}");
        drop(log);
        let (mut log, _) = open_with(dir.path(), config, unclean());
        assert_eq!(log.log_start_offset(), Offset(3), "{case}");
        let again = try_append(&mut log, from_producer(9, 0, 0, 3)).unwrap();
        assert_eq!(again, "duplicate of 0..=2", "{case}");
    }
}
