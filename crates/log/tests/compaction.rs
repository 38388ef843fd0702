//! Tests of compaction: the records that it keeps, those that it removes, and that nothing else
//! changes.

mod common;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::compact::*;
use common::*;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    AppendError, BatchBuilder, BatchOptions, Batches, CleanError, CleanerLimits, CleanupPolicy,
    CompressionType, DecompressionMemory, Log, LogConfig, OpenOptions, TimestampSearch, validate,
};
use dohle_model::{LeaderEpoch, Offset, Sequence, Timestamp};

#[test]
fn of_each_key_the_newest_record_stays_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    put(
        &mut log,
        &[("a", Some("1")), ("b", Some("1")), ("c", Some("1"))],
    );
    put(&mut log, &[("a", Some("2"))]);
    put(&mut log, &[("b", Some("2")), ("a", Some("3"))]);
    settle(&mut log);
    put(&mut log, &[("a", Some("4")), ("a", Some("5"))]);
    let stats = clean(&mut log, NOW);
    let expected = ["2 c=1", "4 b=2", "5 a=3", "6 a=4", "7 a=5"];
    assert_eq!(listed(&log), expected, "the active segment is left alone");
    assert_eq!(
        (stats.keys, stats.records_read, stats.records_kept),
        (3, 6, 3)
    );
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(0), Offset(8))
    );
    let ranges = ranges(&read_all(&log, Offset(0)));
    assert_eq!(
        ranges,
        [(0, 2), (4, 5), (6, 7)],
        "a batch keeps its range of offsets"
    );
    assert_eq!(log.cleaner_checkpoint(), Some(Offset(6)));
    assert_eq!(
        clean_with(&mut log, LIMITS, NOW),
        None,
        "nothing is dirty any more"
    );

    for recovery_point in [Offset(0), log.recovery_point()] {
        drop(std::mem::replace(&mut log, {
            let options = OpenOptions {
                recovery_point,
                ..unclean()
            };
            open_with(dir.path(), compacted(), options).0
        }));
        assert_eq!(listed(&log), expected);
        assert_eq!(
            (log.log_start_offset(), log.log_end_offset()),
            (Offset(0), Offset(8))
        );
    }
}

#[test]
fn tombstones_stay_until_their_horizon_and_take_older_values_with_them_at_once() {
    for codec in [CompressionType::None, CompressionType::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), compacted());
        let options = BatchOptions {
            compression: codec,
            ..BatchOptions::default()
        };
        let early = keyed(options, NOW, &[("a", Some("1")), ("b", Some("1"))]);
        append(&mut log, early, 0);
        append(
            &mut log,
            keyed(options, later(-5), &[("a", None), ("c", Some("1"))]),
            0,
        );
        settle(&mut log);
        clean(&mut log, later(50));
        assert_eq!(listed(&log), ["1 b=1", "2 a=-", "3 c=1"]);
        let header = headers(&log)[1];
        assert_eq!(
            header.delete_horizon(),
            Some(later(150)),
            "seen first at 50 s"
        );
        assert_eq!(
            header.max_timestamp,
            Some(later(-5)),
            "records keep their times"
        );
        assert_eq!(headers(&log)[0].delete_horizon(), None);
        let records = read_all(&log, Offset(2));
        let batch = Batches::new(&records).next().unwrap().unwrap();
        assert_eq!(batch.header.attributes.compression(), Ok(codec));
        let uncompressed = batch.uncompressed(1000).unwrap();
        for record in batch.records(&uncompressed) {
            assert_eq!(record.unwrap().timestamp, Some(later(-5)));
        }

        put(&mut log, &[("d", Some("1"))]);
        settle(&mut log);
        clean(&mut log, later(149));
        assert_eq!(listed(&log), ["1 b=1", "2 a=-", "3 c=1", "4 d=1"]);
        put(&mut log, &[("e", Some("1"))]);
        settle(&mut log);
        clean(&mut log, later(150));
        assert_eq!(listed(&log), ["1 b=1", "3 c=1", "4 d=1", "5 e=1"]);
        assert_eq!(
            headers(&log)[1].delete_horizon(),
            Some(later(150)),
            "it is kept"
        );
        let found = run_search(&log.plan_offset_for_timestamp(later(-5))).unwrap();
        assert_eq!(found.offset, Offset(1));
    }
}

#[test]
fn every_codec_comes_out_as_it_went_in() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes: 4000,
        ..compacted()
    };
    let mut log = open(dir.path(), config);
    let codecs = || (0..5).map(|id| CompressionType::from_id(id).unwrap());
    let value = "v".repeat(300);
    for codec in codecs() {
        let options = BatchOptions {
            compression: codec,
            ..BatchOptions::default()
        };
        let keys: Vec<_> = (0..5).map(|i| format!("{codec}-{i}")).collect();
        let mut entries: Vec<Entry<'_>> = vec![("same", Some(&value))];
        entries.extend(keys.iter().map(|key| (key.as_str(), Some(value.as_str()))));
        append(&mut log, keyed(options, NOW, &entries), 0);
    }
    settle(&mut log);
    clean(&mut log, NOW);
    let codecs: Vec<_> = codecs().map(Ok).collect();
    let found: Vec<_> = headers(&log)
        .iter()
        .map(|header| header.attributes.compression())
        .collect();
    assert_eq!(found, codecs);
    let same: Vec<_> = content(&log)
        .into_iter()
        .filter(|it| it.1 == "same")
        .collect();
    assert_eq!(same, [(24, "same".to_owned(), Some(value))]);
    assert_eq!(content(&log).len(), 26);
}

#[test]
fn what_may_be_cleaned_ends_at_the_high_watermark_and_at_young_records() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        min_compaction_lag_ms: Duration::from_secs(10),
        max_compaction_lag_ms: Some(Duration::from_secs(20)),
        ..compacted()
    };
    let mut log = open(dir.path(), config);
    for at in [0, 5, 30] {
        append(
            &mut log,
            keyed(BatchOptions::default(), later(at), &[("a", Some("1"))]),
            0,
        );
        log.roll(NOW).unwrap();
    }
    let look = |log: &Log, high_watermark: i64, at: i64| {
        let found = log.cleanable(Offset(high_watermark), later(at)).unwrap();
        let look_again = found.look_again_at.map(|at| (at.0 - NOW.0) as f64 / 1000.0);
        (
            found.first_uncleanable_offset.0,
            found.is_blocked,
            look_again,
        )
    };
    let found = log.cleanable(Offset(3), later(100)).unwrap();
    assert!(found.needs_flush && found.cleanable_bytes == 0, "{found:?}");
    log.flush(NOW).unwrap();
    assert!(!log.cleanable(Offset(3), later(100)).unwrap().needs_flush);
    assert_eq!(look(&log, 3, 100), (3, false, None));
    assert_eq!(look(&log, 2, 100), (2, true, None));
    assert_eq!(look(&log, 0, 100), (0, true, None));
    assert_eq!(look(&log, 3, 9), (0, false, Some(10.0)));
    assert_eq!(look(&log, 3, 12), (1, false, Some(15.0)));
    assert_eq!(look(&log, 3, 16), (2, false, Some(20.001)));
    assert_eq!(look(&log, 1, 16), (1, true, Some(20.001)));
    let overdue = log.cleanable(Offset(3), later(21)).unwrap();
    assert!(overdue.is_overdue && overdue.is_due());
}

#[test]
fn a_log_is_due_when_enough_of_it_is_dirty() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    let look = |log: &Log| {
        let found = log.cleanable(log.log_end_offset(), NOW).unwrap();
        ((found.ratio() * 100.0).round() as i64, found.is_due())
    };
    assert_eq!(look(&log), (0, false));
    put(&mut log, &[("a", Some("1"))]);
    assert_eq!(
        look(&log),
        (0, false),
        "the active segment is never cleaned"
    );
    settle(&mut log);
    assert_eq!(look(&log), (100, true));
    clean(&mut log, NOW);
    assert_eq!(look(&log), (0, false));
    put(&mut log, &[("b", Some("1"))]);
    settle(&mut log);
    assert_eq!(look(&log), (50, false));
    put(&mut log, &[("c", Some("1"))]);
    settle(&mut log);
    assert_eq!(look(&log), (67, true));
    let restarted = |checkpoint| {
        let mut log = open(dir.path(), compacted());
        log.set_cleaner_checkpoint(checkpoint);
        log.flush(NOW).unwrap();
        look(&log)
    };
    assert_eq!(restarted(log.cleaner_checkpoint()), (67, true));
    assert_eq!(restarted(Some(Offset(2))), (33, false));
    assert_eq!(
        restarted(Some(Offset(77))),
        (100, true),
        "it is not of this log"
    );
}

#[test]
fn the_last_batch_of_a_producer_stays_without_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    for sequence in 0..4 {
        append(
            &mut log,
            keyed(producer(9, Some(sequence)), NOW, &[("a", Some("1"))]),
            0,
        );
    }
    put(&mut log, &[("a", Some("2"))]);
    settle(&mut log);
    clean(&mut log, NOW);
    assert_eq!(listed(&log), ["4 a=2"]);
    let kept = headers(&log)[0];
    assert_eq!(
        (kept.base_offset, kept.record_count, kept.size),
        (Offset(3), 0, 61)
    );
    assert_eq!(kept.last_sequence(), Some(Sequence(3)));
    // Also when no other file contains the state of the producer.
    for name in files(dir.path()).into_iter().map(|file| file.0) {
        if name.ends_with(".snapshot") {
            std::fs::remove_file(dir.path().join(name)).unwrap();
        }
    }
    drop(log);
    let mut log = open(dir.path(), compacted());
    let again = keyed(producer(9, Some(3)), NOW, &[("a", Some("1"))]);
    let validated = validate(again, log.config(), AppendOrigin::Client, NOW).unwrap();
    let answer = log
        .append_as_leader(validated, LeaderEpoch(0), NOW)
        .unwrap();
    assert!(
        matches!(answer, dohle_log::LeaderAppend::Duplicate(_)),
        "{answer:?}"
    );
    append(
        &mut log,
        keyed(producer(9, Some(4)), NOW, &[("b", Some("1"))]),
        0,
    );
    settle(&mut log);
    clean(&mut log, NOW);
    assert_eq!(listed(&log), ["4 a=2", "5 b=1"]);
    assert_eq!(
        headers(&log).len(),
        2,
        "a newer batch tells of the producer"
    );
}

#[test]
fn records_of_aborted_transactions_go_and_markers_follow_after_their_horizon() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    put(&mut log, &[("a", Some("1"))]);
    transactional(&mut log, 1, 0, &[("a", Some("void")), ("b", Some("void"))]);
    transactional(&mut log, 2, 0, &[("b", Some("1"))]);
    end_txn(&mut log, 1, false); // 4
    end_txn(&mut log, 2, true); // 5
    // Newer batches contain the state of the producers.
    transactional(&mut log, 1, 2, &[("c", Some("1"))]);
    transactional(&mut log, 2, 1, &[("d", Some("1"))]);
    settle(&mut log);
    log.on_high_watermark(log.log_end_offset());
    let open_at = log.last_stable_offset(log.log_end_offset());
    assert_eq!(open_at, Offset(6));
    assert_eq!(
        log.cleanable(log.log_end_offset(), NOW)
            .unwrap()
            .cleanable_bytes,
        0,
        "open transactions hold compaction back"
    );
    end_txn(&mut log, 1, true); // 8
    end_txn(&mut log, 2, true); // 9
    settle(&mut log);
    clean(&mut log, NOW);
    let expected = [
        "0 a=1",
        "3 b=1",
        "4 !abort=-",
        "5 !commit=-",
        "6 c=1",
        "7 d=1",
        "8 !commit=-",
        "9 !commit=-",
    ];
    assert_eq!(listed(&log), expected);
    let aborted = log.aborted_transactions(Offset(0), Offset(10));
    assert_eq!(
        aborted.len(),
        1,
        "its batches were there in this round: {aborted:?}"
    );

    put(&mut log, &[("b", Some("2"))]);
    settle(&mut log);
    clean(&mut log, later(10));
    // No batch of either transaction is left, so the delete horizons of both markers begin.
    assert_eq!(log.aborted_transactions(Offset(0), Offset(10)), []);
    assert_eq!(
        headers(&log)[1].delete_horizon(),
        Some(later(110)),
        "{:?}",
        listed(&log)
    );
    put(&mut log, &[("e", Some("1"))]);
    settle(&mut log);
    clean(&mut log, later(109));
    assert!(listed(&log).contains(&"4 !abort=-".to_owned()));
    put(&mut log, &[("f", Some("1"))]);
    settle(&mut log);
    clean(&mut log, later(111));
    let expected = [
        "0 a=1",
        "6 c=1",
        "7 d=1",
        "8 !commit=-",
        "9 !commit=-",
        "10 b=2",
        "11 e=1",
        "12 f=1",
    ];
    let found: Vec<_> = listed(&log)
        .into_iter()
        .filter(|it| !it.starts_with("5 "))
        .collect();
    assert_eq!(found, expected);
    drop(log);
    assert_eq!(
        open(dir.path(), compacted()).aborted_transactions(Offset(0), Offset(99)),
        []
    );
}

#[test]
fn the_transaction_index_of_a_cleaned_segment_survives_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    transactional(&mut log, 1, 0, &[("a", Some("void"))]);
    end_txn(&mut log, 1, false);
    put(&mut log, &[("b", Some("1"))]);
    settle(&mut log);
    clean(&mut log, NOW);
    let before = log.aborted_transactions(Offset(0), Offset(9));
    assert_eq!(before.len(), 1);
    let recovery_point = log.recovery_point();
    drop(log);
    let options = OpenOptions {
        recovery_point,
        ..unclean()
    };
    let (log, report) = open_with(dir.path(), compacted(), options);
    assert_eq!(report.segments_recovered, 1, "only the active one");
    assert_eq!(log.aborted_transactions(Offset(0), Offset(9)), before);
}

#[test]
fn little_memory_takes_several_rounds_to_the_same_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    let keys: Vec<_> = (0..40).map(|i| format!("k{i}")).collect();
    for round in 0..3 {
        let value = round.to_string();
        for keys in keys.chunks(3) {
            let entries: Vec<Entry<'_>> = keys
                .iter()
                .map(|key| (key.as_str(), Some(value.as_str())))
                .collect();
            put(&mut log, &entries);
        }
    }
    settle(&mut log);
    let limits = CleanerLimits {
        dedupe_buffer_bytes: 24 * 10,
        ..LIMITS
    };
    let mut rounds = 0;
    let mut checkpoint = Offset(0);
    while let Some(stats) = clean_with(&mut log, limits, NOW) {
        assert!((1..10).contains(&stats.keys), "{stats:?}");
        let next = log.cleaner_checkpoint().unwrap();
        assert!(next > checkpoint, "each round makes progress");
        checkpoint = next;
        rounds += 1;
    }
    assert!(rounds >= 12, "{rounds}");
    let newest: BTreeMap<_, _> = content(&log)
        .into_iter()
        .map(|(_, key, value)| (key, value))
        .collect();
    assert_eq!(newest.len(), 40);
    assert!(newest.values().all(|value| value.as_deref() == Some("2")));
    let none = CleanerLimits {
        dedupe_buffer_bytes: 0,
        ..LIMITS
    };
    put(&mut log, &[("a", Some("1"))]);
    settle(&mut log);
    let cleaning = log
        .begin_cleaning(log.log_end_offset(), NOW)
        .unwrap()
        .unwrap();
    let error = cleaning.index(none, &mut |_| true).unwrap_err();
    assert!(
        error.to_string().contains("log.cleaner.dedupe.buffer.size"),
        "{error}"
    );
}

#[test]
fn running_reads_go_on_in_the_old_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    for i in 0..30 {
        let key = format!("k{}", i % 4);
        put(
            &mut log,
            &[
                (&key, Some("some value of some length")),
                (&key, Some("other")),
            ],
        );
    }
    settle(&mut log);
    let expected = log.read(Offset(9), ALL).unwrap();
    let plan = log.plan_read(Offset(9), ALL).unwrap();
    let search = log.plan_offset_for_timestamp(NOW);
    clean(&mut log, NOW);
    assert_eq!(plan.read().unwrap(), expected);
    let TimestampSearch::Found(Some(found)) = search.find(&DecompressionMemory::default()).unwrap()
    else {
        panic!("the old files can still be read");
    };
    assert_eq!(found.offset, Offset(0));
    let first = content(&log)[0].0;
    assert!(first > 9, "{first}");
    let next = log.read(Offset(9), ALL).unwrap();
    assert!(
        ranges(&next.records)[0].1 >= first,
        "an offset that is gone is read from the next"
    );
    let found = run_search(&log.plan_offset_for_timestamp(NOW)).unwrap();
    assert_eq!(found.offset.0, first);
}

#[test]
fn followers_take_the_gaps_of_a_compacted_leader_and_compact_on_their_own() {
    let (leader_dir, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut leader = open(leader_dir.path(), compacted());
    for i in 0..60 {
        let key = format!("k{}", if i < 50 { i % 3 } else { i % 5 });
        append(
            &mut leader,
            keyed(BatchOptions::default(), NOW, &[(&key, Some("value"))]),
            i / 20,
        );
    }
    settle(&mut leader);
    put_with_epoch(&mut leader, 3);
    clean(&mut leader, NOW);
    let records = Bytes::from(read_all(&leader, Offset(0)));
    let mut log = open(dir.path(), compacted());
    log.append_as_follower(records.clone(), NOW).unwrap();
    assert_eq!(log.log_end_offset(), leader.log_end_offset());
    assert_eq!(content(&log), content(&leader));
    assert_eq!(log.latest_epoch(), leader.latest_epoch());
    // A follower that is truncated to the end of an epoch in the leader's log continues from there.
    let end = leader
        .leader_epochs()
        .end_offset_for(LeaderEpoch(2), leader.log_end_offset());
    log.truncate_to(end.unwrap().end_offset, NOW).unwrap();
    let next = log.log_end_offset();
    let rest = Bytes::from(read_all(&leader, next));
    log.append_as_follower(rest, NOW).unwrap();
    assert_eq!(content(&log), content(&leader));
    settle(&mut log);
    clean(&mut log, NOW);
    let newest = |log: &Log| -> BTreeMap<_, _> {
        content(log)
            .into_iter()
            .map(|it| (it.1, (it.0, it.2)))
            .collect()
    };
    assert_eq!(newest(&log), newest(&leader));

    // The policy was changed: gaps among committed records are accepted as compaction's, others are
    // not.
    let dir = tempfile::tempdir().unwrap();
    let mut plain = open(dir.path(), LogConfig::default());
    let refused = plain.append_as_follower(records.clone(), NOW);
    assert!(
        matches!(refused, Err(AppendError::NotContiguous { .. })),
        "{refused:?}"
    );
    let refused = plain.append_replicated(records.clone(), Offset(5), NOW);
    assert!(
        matches!(refused, Err(AppendError::NotContiguous { .. })),
        "{refused:?}"
    );
    plain
        .append_replicated(records, leader.log_end_offset(), NOW)
        .unwrap();
    assert_eq!(plain.log_end_offset(), leader.log_end_offset());
}

fn put_with_epoch(log: &mut Log, epoch: i32) {
    append(
        log,
        keyed(BatchOptions::default(), NOW, &[("z", Some("1"))]),
        epoch,
    );
}

#[test]
fn indexes_of_a_cleaned_segment_are_those_that_recovery_builds() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    for i in 0..200 {
        let key = format!("k{}", i * 7 % 50);
        let at = Timestamp(NOW.0 + i);
        append(
            &mut log,
            keyed(BatchOptions::default(), at, &[(&key, Some("v"))]),
            0,
        );
    }
    settle(&mut log);
    let config = LogConfig {
        segment_bytes: 4000,
        ..compacted()
    };
    log.set_config(Arc::new(config.clone()));
    clean(&mut log, NOW);
    assert!((3..9).contains(&log.segment_base_offsets().count()));
    let expected = content(&log);
    for (offset, key, _) in &expected {
        let info = log.read(Offset(*offset), ALL).unwrap();
        assert_eq!(ranges(&info.records)[0].1, *offset, "{key}");
    }
    log.close(NOW).unwrap();
    let indexes = || -> Vec<_> {
        let names = files(dir.path()).into_iter().map(|file| file.0);
        let names = names.filter(|name| name.ends_with("index"));
        names
            .map(|name| (std::fs::read(dir.path().join(&name)).unwrap(), name))
            .collect()
    };
    let before = indexes();
    assert!(before.iter().any(|(bytes, _)| !bytes.is_empty()));
    for (_, name) in &before {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    let log = open_with(dir.path(), config, unclean()).0;
    assert_eq!(content(&log), expected);
    log.close(NOW).unwrap();
    assert_eq!(indexes(), before);
}

#[test]
fn retention_and_deleted_records_go_from_a_compacted_log_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    for i in 0..60 {
        put(
            &mut log,
            &[(if i % 20 == 0 { "rare" } else { "often" }, Some("v"))],
        );
    }
    settle(&mut log);
    let end = log.log_end_offset();
    let week = later(8 * 24 * 3600);
    assert!(
        log.delete_old_segments(end, week).unwrap().is_empty(),
        "compact alone keeps all"
    );
    clean(&mut log, NOW);
    assert_eq!(listed(&log), ["40 rare=v", "59 often=v"]);
    assert_eq!(log.log_start_offset(), Offset(0));
    log.maybe_advance_log_start_offset(Offset(50));
    let deleted = log.delete_old_segments(end, NOW).unwrap();
    assert!(
        !deleted.is_empty(),
        "segments below the start go, the empty ones among them"
    );
    deleted.into_iter().for_each(|it| it.unlink().unwrap());
    assert_eq!(listed(&log), ["59 often=v"]);
    let both = CleanupPolicy {
        delete: true,
        compact: true,
    };
    log.set_config(Arc::new(LogConfig {
        cleanup_policy: both,
        ..compacted()
    }));
    let deleted = log.delete_old_segments(end, week).unwrap();
    deleted.into_iter().for_each(|it| it.unlink().unwrap());
    assert_eq!((log.log_start_offset(), log.size()), (end, 0));
}

#[test]
fn records_without_a_key_are_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(
        dir.path(),
        LogConfig {
            cleanup_policy: Default::default(),
            ..compacted()
        },
    );
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(Some(NOW), None, Some(b"v"), &[("h", None)]);
    builder.append(Some(NOW), Some(b"a"), Some(b"1"), &[("h", None)]);
    append(&mut log, builder.build().unwrap(), 0);
    settle(&mut log);
    log.set_config(Arc::new(compacted()));
    assert_eq!(clean(&mut log, NOW).records_without_key, 1);
    assert_eq!(listed(&log), ["1 a=1"]);
}

#[test]
fn a_damaged_segment_is_left_as_it_is_and_named() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    put(&mut log, &[("a", Some("1")), ("a", Some("2"))]);
    settle(&mut log);
    let path = dir.path().join("00000000000000000000.log");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[70] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let cleaning = log
        .begin_cleaning(log.log_end_offset(), NOW)
        .unwrap()
        .unwrap();
    let error = cleaning.index(LIMITS, &mut |_| true).unwrap_err();
    let CleanError::Uncleanable(reason) = &error else {
        panic!("{error:?}")
    };
    assert!(
        reason.contains("t-0 of the segment at 0") && reason.contains("CRC"),
        "{reason}"
    );
    assert_eq!(std::fs::read(&path).unwrap(), bytes);
    assert_eq!(
        files(dir.path())
            .iter()
            .filter(|file| file.0.ends_with("cleaned"))
            .count(),
        0
    );
}

#[test]
fn a_cleaning_stops_when_it_is_told_to_and_leaves_nothing_behind() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    for i in 0..40 {
        put(&mut log, &[("a", Some(&i.to_string()))]);
    }
    settle(&mut log);
    let before = content(&log);
    for allowed in 0..60 {
        let mut left = allowed;
        let mut throttle = |_| {
            left -= 1;
            left >= 0
        };
        let cleaning = log
            .begin_cleaning(log.log_end_offset(), NOW)
            .unwrap()
            .unwrap();
        let stopped = match cleaning.index(LIMITS, &mut throttle) {
            Ok(mut cleaner) => {
                assert!(
                    log.begin_cleaning(log.log_end_offset(), NOW)
                        .unwrap()
                        .is_none()
                );
                cleaner.next_segment(&mut throttle).map(drop)
            }
            Err(error) => Err(error),
        };
        assert!(
            matches!(stopped, Err(CleanError::Stopped) | Ok(())),
            "{stopped:?}"
        );
    }
    assert_eq!(content(&log), before);
    assert_eq!(
        files(dir.path())
            .iter()
            .filter(|file| file.0.ends_with("cleaned"))
            .count(),
        0
    );
}

#[test]
fn compaction_waits_for_a_flush_that_is_at_work() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), compacted());
    put(&mut log, &[("a", Some("1"))]);
    settle(&mut log);
    put(&mut log, &[("a", Some("2"))]);
    let task = log.prepare_flush(NOW).unwrap();
    assert!(
        log.begin_cleaning(log.log_end_offset(), NOW)
            .unwrap()
            .is_none()
    );
    let flushed = task.run().unwrap();
    log.complete_flush(flushed);
    assert!(
        log.begin_cleaning(log.log_end_offset(), NOW)
            .unwrap()
            .is_some()
    );
}
