//! Tests of the life of a log: append, read, roll, recover, truncate, delete.

mod common;

use common::*;
use dohle_log::{
    AppendError, Log, LogConfig, OpenFiles, OpenOptions, ReadError, ReadLimits, RecoveryReport,
    StorageErrorKind,
};
use dohle_model::{LeaderEpoch, Offset, Timestamp, TopicId};
use dohle_storage::simulated::{Image, Power};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    }
}

/// Thousands of partitions may be created at once: nothing is looked for in a new directory.
#[test]
fn a_new_log_costs_a_directory_and_two_files() {
    let power = Power::new(1, u64::MAX, |_| {});
    let disk = power.disk(Image::new());
    let (log, _) = open_on(&disk, LogConfig::default());
    log.ensure_partition_metadata(TopicId::from_bytes([7; 16]))
        .unwrap();
    // The directory; the `.log`; `partition.metadata` and its content.
    assert_eq!(power.operations(), 4);
    assert_eq!(log.topic_id().unwrap(), Some(TopicId::from_bytes([7; 16])));
}

#[test]
fn what_is_appended_is_read_byte_for_byte() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default());
    let mut expected = Vec::new();
    for i in 0..20 {
        let info = append(&mut log, batch(3, 50, NOW.0), 0);
        assert_eq!(
            (info.first_offset, info.last_offset),
            (Offset(i * 3), Offset(i * 3 + 2))
        );
        expected.extend_from_slice(&info.records);
    }
    assert_eq!(log.log_end_offset(), Offset(60));
    assert_eq!(read_all(&log, Offset(0)), expected);
    let on_disk = std::fs::read(dir.path().join("00000000000000000000.log")).unwrap();
    assert_eq!(on_disk, expected);
}

#[test]
fn reads_give_whole_batches_within_their_limits() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    for _ in 0..4 {
        append(&mut log, batch(5, 20, NOW.0), 0);
    }
    let size = log.size() as usize / 4;
    let read = |offset, max_bytes, upper, min_one| {
        let limits = ReadLimits {
            max_bytes,
            upper_bound: Offset(upper),
            min_one,
        };
        let info = log.read(Offset(offset), limits).unwrap();
        assert!(
            ranges(&info.records)
                .last()
                .is_none_or(|last| last.1 + 1 == info.next_offset.0)
        );
        (ranges(&info.records), info.first_entry_incomplete)
    };
    assert_eq!(
        read(0, 3 * size - 1, 99, true),
        (vec![(0, 4), (5, 9)], false)
    );
    assert_eq!(
        read(7, 10 * size, 99, true),
        (vec![(5, 9), (10, 14), (15, 19)], false)
    );
    assert_eq!(read(7, size - 1, 99, true), (vec![(5, 9)], false));
    assert_eq!(read(7, size - 1, 99, false), (vec![], true));
    assert_eq!(read(0, 10 * size, 10, true), (vec![(0, 4), (5, 9)], false));
    assert_eq!(read(10, 10 * size, 10, true), (vec![], false));
    assert_eq!(read(10, 10 * size, 12, true), (vec![], false));
    assert_eq!(read(20, 10 * size, 99, true), (vec![], false));
    let limits = ReadLimits {
        max_bytes: 1,
        upper_bound: Offset(99),
        min_one: true,
    };
    assert!(matches!(
        log.read(Offset(21), limits),
        Err(ReadError::OffsetOutOfRange { .. })
    ));
}

#[test]
fn a_full_segment_rolls_and_a_clean_restart_finds_everything() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    for i in 0..30 {
        append(&mut log, batch(5, 20, NOW.0 + i), 0);
    }
    let bases: Vec<_> = log.segment_base_offsets().collect();
    assert!(bases.len() > 3, "{bases:?}");
    let expected = read_all(&log, Offset(0));
    let end = log.close(NOW).unwrap();
    assert_eq!(end, Offset(150));

    let options = OpenOptions {
        clean_shutdown: true,
        recovery_point: end,
        ..unclean()
    };
    let (mut log, report) = open_with(dir.path(), small_segments(), options);
    assert_eq!(report.segments_recovered, 0);
    assert_eq!(log.log_end_offset(), end);
    assert_eq!(log.recovery_point(), end);
    assert_eq!(read_all(&log, Offset(0)), expected);
    for offset in [0, 1, 49, 77, 120, 149] {
        let info = log.read(Offset(offset), ALL).unwrap();
        let first = ranges(&info.records)[0];
        assert!(first.0 <= offset && offset <= first.1, "{offset} {first:?}");
    }
    assert_eq!(
        append(&mut log, batch(1, 1, NOW.0), 0).first_offset,
        Offset(150)
    );
}

#[test]
fn recovery_rebuilds_the_same_index_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    for i in 0..30 {
        append(&mut log, batch(5, 20, NOW.0 + i), 3);
    }
    let end = log.log_end_offset();
    let expected = read_all(&log, Offset(0));
    log.close(NOW).unwrap();
    let content = |names: &[(String, u64)]| -> Vec<_> {
        let read = |name: &String| std::fs::read(dir.path().join(name)).unwrap();
        names
            .iter()
            .map(|(name, _)| (name.clone(), read(name)))
            .collect()
    };
    let is_index = |name: &str| name.ends_with("index");
    let names: Vec<_> = files(dir.path())
        .into_iter()
        .filter(|f| is_index(&f.0))
        .collect();
    let before = content(&names);
    for (name, _) in &names {
        std::fs::remove_file(dir.path().join(name)).unwrap();
    }
    std::fs::remove_file(dir.path().join("leader-epoch-checkpoint")).unwrap();

    let (log, report) = open_with(dir.path(), small_segments(), unclean());
    assert_eq!(
        report.segments_recovered,
        log.segment_base_offsets().count()
    );
    assert_eq!(report.bytes_truncated, 0);
    assert_eq!(log.log_end_offset(), end);
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(3)));
    assert_eq!(read_all(&log, Offset(0)), expected);
    log.close(NOW).unwrap();
    assert_eq!(content(&names), before);
}

#[test]
fn followers_take_only_what_continues_their_log() {
    let leader_dir = tempfile::tempdir().unwrap();
    let mut leader = open(leader_dir.path(), small_segments());
    for i in 0..20 {
        append(&mut leader, batch(5, 20, NOW.0 + i), 1 + i as i32 / 10);
    }
    let records = bytes::Bytes::from(read_all(&leader, Offset(0)));
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    let info = log
        .append_as_follower(records.clone(), NOW)
        .unwrap()
        .unwrap();
    assert_eq!(
        (info.first_offset, info.last_offset),
        (Offset(0), Offset(99))
    );
    assert_eq!(log.leader_epochs(), leader.leader_epochs());
    let bases: Vec<_> = log.segment_base_offsets().collect();
    assert_eq!(bases, leader.segment_base_offsets().collect::<Vec<_>>());
    log.close(NOW).unwrap();
    leader.close(NOW).unwrap();
    let content = |dir: &tempfile::TempDir| -> Vec<_> {
        let names = files(dir.path()).into_iter().map(|file| file.0);
        names
            .map(|name| (name.clone(), std::fs::read(dir.path().join(name)).unwrap()))
            .collect()
    };
    assert_eq!(content(&dir), content(&leader_dir));

    let (mut log, _) = open_with(dir.path(), small_segments(), unclean());
    let again = log.append_as_follower(records.slice(..200), NOW);
    assert!(matches!(
        again,
        Err(AppendError::Batch(_) | AppendError::NotContiguous { .. })
    ));
    assert_eq!(log.log_end_offset(), Offset(100));
    assert!(
        log.append_as_follower(bytes::Bytes::new(), NOW)
            .unwrap()
            .is_none()
    );
}

#[test]
fn truncation_removes_whole_batches_and_their_epochs() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    for i in 0..30 {
        append(&mut log, batch(5, 20, NOW.0 + i), i as i32 / 10);
    }
    assert!(!log.truncate_to(Offset(150), NOW).unwrap());
    assert!(log.truncate_to(Offset(102), NOW).unwrap());
    assert_eq!(log.log_end_offset(), Offset(100));
    assert_eq!(log.latest_epoch(), Some(LeaderEpoch(1)));
    assert_eq!(ranges(&read_all(&log, Offset(0))).last(), Some(&(95, 99)));
    assert!(log.truncate_to(Offset(20), NOW).unwrap());
    assert_eq!(
        append(&mut log, batch(2, 20, NOW.0), 5).first_offset,
        Offset(20)
    );
    assert_eq!(ranges(&read_all(&log, Offset(0))).len(), 5);
    let (log, report) = open_with(dir.path(), small_segments(), unclean());
    assert_eq!(report.bytes_truncated, 0);
    assert_eq!(log.log_end_offset(), Offset(22));
    assert_eq!(
        log.leader_epochs().epoch_for_offset(Offset(20)),
        Some(LeaderEpoch(5))
    );
}

#[test]
fn a_log_that_is_truncated_fully_begins_where_it_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    for _ in 0..10 {
        append(&mut log, batch(5, 20, NOW.0), 0);
    }
    log.truncate_fully_and_start_at(Offset(1000), NOW).unwrap();
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(1000), Offset(1000))
    );
    assert_eq!(
        append(&mut log, batch(1, 1, NOW.0), 0).first_offset,
        Offset(1000)
    );
    let log = open(dir.path(), small_segments());
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(1000), Offset(1001))
    );
}

#[test]
fn retention_takes_old_segments_below_the_high_watermark() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        retention_ms: Some(Duration::from_millis(10)),
        ..small_segments()
    };
    let mut log = open(dir.path(), config);
    for i in 0..30 {
        append(&mut log, batch(5, 20, NOW.0 + i), 0);
    }
    let bases: Vec<_> = log.segment_base_offsets().collect();
    assert!(
        log.delete_old_segments(Offset(0), Timestamp(NOW.0 + 1000))
            .unwrap()
            .is_empty()
    );
    // The first segment's last batch was stamped when its end was reached.
    let deleted = log
        .delete_old_segments(bases[2], Timestamp(NOW.0 + 1000))
        .unwrap();
    let expected: Vec<_> = bases[..2].to_vec();
    assert_eq!(
        deleted
            .iter()
            .map(|segment| segment.base_offset)
            .collect::<Vec<_>>(),
        expected
    );
    assert_eq!(log.log_start_offset(), bases[2]);
    assert!(
        files(dir.path())
            .iter()
            .any(|file| file.0.ends_with(".log.deleted"))
    );
    deleted
        .into_iter()
        .for_each(|segment| segment.unlink().unwrap());
    assert!(
        !files(dir.path())
            .iter()
            .any(|file| file.0.ends_with(".log.deleted"))
    );

    let deleted = log
        .delete_old_segments(Offset(150), Timestamp(NOW.0 + 1000))
        .unwrap();
    assert_eq!(deleted.len(), bases.len() - 2);
    assert_eq!(
        (log.log_start_offset(), log.log_end_offset()),
        (Offset(150), Offset(150))
    );
    assert_eq!(log.size(), 0);
    assert!(
        log.delete_old_segments(Offset(150), Timestamp(i64::MAX))
            .unwrap()
            .is_empty()
    );
    let log = open(dir.path(), small_segments());
    assert_eq!(log.log_end_offset(), Offset(150));
}

#[test]
fn retention_by_size_keeps_at_least_the_limit() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        retention_bytes: Some(4000),
        retention_ms: None,
        ..small_segments()
    };
    let mut log = open(dir.path(), config);
    for _ in 0..30 {
        append(&mut log, batch(5, 20, NOW.0), 0);
    }
    let deleted = log.delete_old_segments(Offset(150), NOW).unwrap();
    assert!(!deleted.is_empty());
    assert!(
        log.size() >= 4000 && log.size() < 4000 + 2000,
        "{}",
        log.size()
    );
}

#[test]
fn deleted_records_free_segments_below_the_log_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    for _ in 0..30 {
        append(&mut log, batch(5, 20, NOW.0), 0);
    }
    let bases: Vec<_> = log.segment_base_offsets().collect();
    assert!(log.maybe_advance_log_start_offset(bases[2].plus(3)));
    assert!(!log.maybe_advance_log_start_offset(bases[1]));
    assert_eq!(log.delete_old_segments(Offset(150), NOW).unwrap().len(), 2);
    assert_eq!(log.log_start_offset(), bases[2].plus(3));
    assert!(log.read(bases[2], ALL).is_err());
    assert_eq!(
        ranges(&log.read(bases[2].plus(3), ALL).unwrap().records)[0].0,
        bases[2].0
    );
}

#[test]
fn offsets_are_found_by_timestamp() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    assert_eq!(run_search(&log.plan_offset_of_max_timestamp()), None);
    for i in 0..30 {
        append(&mut log, batch(5, 20, NOW.0 + 10 * i), 0);
    }
    let check = |log: &dohle_log::Log| {
        let find = |at| {
            let found = run_search(&log.plan_offset_for_timestamp(Timestamp(NOW.0 + at)));
            found.map(|found| (found.timestamp.0 - NOW.0, found.offset.0))
        };
        assert_eq!(find(-5), Some((0, 0)));
        assert_eq!(find(3), Some((3, 3)));
        assert_eq!(find(5), Some((10, 5)));
        assert_eq!(find(152), Some((152, 77)));
        assert_eq!(find(294), Some((294, 149)));
        assert_eq!(find(295), None);
        let max = run_search(&log.plan_offset_of_max_timestamp()).unwrap();
        assert_eq!((max.timestamp.0 - NOW.0, max.offset.0), (294, 149));
    };
    check(&log);
    log.flush(NOW).unwrap();
    check(&log);
    let end = log.close(NOW).unwrap();
    let options = OpenOptions {
        clean_shutdown: true,
        recovery_point: end,
        ..unclean()
    };
    check(&open_with(dir.path(), small_segments(), options).0);
}

#[test]
fn a_flush_advances_the_recovery_point_unless_the_log_was_truncated() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    for _ in 0..10 {
        append(&mut log, batch(5, 20, NOW.0), 0);
    }
    let task = log.prepare_flush(NOW).unwrap();
    append(&mut log, batch(5, 20, NOW.0), 0);
    assert!(log.complete_flush(task.run().unwrap()));
    assert_eq!(log.recovery_point(), Offset(50));

    let task = log.prepare_flush(NOW).unwrap();
    log.truncate_to(Offset(20), NOW).unwrap();
    assert_eq!(log.recovery_point(), Offset(20));
    assert!(!log.complete_flush(task.run().unwrap()));
    assert_eq!(log.recovery_point(), Offset(20));
    log.flush(NOW).unwrap();
    assert!(log.prepare_flush(NOW).is_none());
}

#[test]
fn recovery_reads_only_segments_past_the_recovery_point() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    for _ in 0..30 {
        append(&mut log, batch(5, 20, NOW.0), 0);
    }
    log.flush(NOW).unwrap();
    let recovery_point = log.recovery_point();
    drop(log);
    let options = OpenOptions {
        recovery_point,
        ..unclean()
    };
    let (log, report) = open_with(dir.path(), small_segments(), options);
    assert_eq!(report.segments_recovered, 1);
    assert_eq!(ranges(&read_all(&log, Offset(0))).len(), 30);
}

#[test]
fn a_read_that_was_planned_before_a_deletion_or_truncation_ends_well() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        retention_bytes: Some(0),
        ..small_segments()
    };
    let mut log = open(dir.path(), config);
    for _ in 0..30 {
        append(&mut log, batch(5, 20, NOW.0), 0);
    }
    log.flush(NOW).unwrap();
    let old = log.plan_read(Offset(7), ALL).unwrap();
    let end = log.plan_read(Offset(148), ALL).unwrap();
    log.truncate_to(Offset(146), NOW).unwrap();
    append(&mut log, batch(1, 700, NOW.0), 1);
    for segment in log.delete_old_segments(Offset(100), NOW).unwrap() {
        segment.unlink().unwrap();
    }
    assert_eq!(ranges(&old.read().unwrap().records)[0], (5, 9));
    assert!(ranges(&end.read().unwrap().records).is_empty());
}

#[test]
fn readers_that_go_on_get_every_batch_once_through_rolls_and_flushes() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), small_segments());
    let mut positions = [Offset(0); 12];
    let mut seen = vec![Vec::new(); positions.len()];
    for i in 0..200 {
        append(&mut log, batch(1 + i % 7, 20 * (i as usize % 5), NOW.0), 0);
        for (reader, at) in positions.iter_mut().enumerate().skip(i as usize % 3) {
            let max_bytes = 100 + 300 * reader;
            let limits = ReadLimits {
                max_bytes,
                upper_bound: Offset(i64::MAX),
                min_one: true,
            };
            let info = log.read(*at, limits).unwrap();
            seen[reader].extend_from_slice(&info.records);
            *at = info.next_offset;
        }
        match i % 50 {
            20 => log.flush(NOW).unwrap(),
            40 => assert!(log.close_idle_files() > 0),
            _ => {}
        }
    }
    let expected = read_all(&log, Offset(0));
    for (reader, at) in positions.into_iter().enumerate() {
        let rest = if at < log.log_end_offset() {
            read_all(&log, at)
        } else {
            Vec::new()
        };
        assert!(
            [&seen[reader][..], &rest[..]].concat() == expected,
            "reader {reader}"
        );
    }
}

#[test]
fn a_failed_write_takes_the_log_offline() {
    let dir = tempfile::tempdir().unwrap();
    // Every write to this device fails: no space left.
    let path = dir.path().join("00000000000000000000.log");
    std::os::unix::fs::symlink("/dev/full", path).unwrap();
    let mut log = open(dir.path(), LogConfig::default());
    let try_append = |log: &mut dohle_log::Log| {
        let origin = dohle_log::AppendOrigin::Client;
        let validated = dohle_log::validate(batch(1, 1, NOW.0), log.config(), origin, NOW).unwrap();
        log.append_as_leader(validated, LeaderEpoch(0), NOW)
            .unwrap_err()
    };
    let error = try_append(&mut log);
    assert!(matches!(error, AppendError::Storage(_)), "{error}");
    assert!(error.to_string().starts_with("append to "), "{error}");
    assert_eq!(error.code(), dohle_model::ErrorCode::KafkaStorageError);
    assert!(log.is_failed());
    assert_eq!(log.log_end_offset(), Offset(0));
    assert!(matches!(try_append(&mut log), AppendError::Offline));
    assert!(log.close(NOW).is_err());
}

#[test]
fn segments_roll_by_the_time_their_records_span() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_ms: Duration::from_millis(100),
        ..LogConfig::default()
    };
    let mut log = open(dir.path(), config);
    for at in [0, 50, 98, 99, 150, 300] {
        append(&mut log, batch(1, 10, NOW.0 + at), 0);
    }
    let bases: Vec<_> = log.segment_base_offsets().map(|base| base.0).collect();
    assert_eq!(bases, [0, 4, 5]);
}

#[test]
fn a_segment_rolls_when_its_indexes_are_full() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        index_interval_bytes: 1,
        segment_index_bytes: 12 * 5,
        ..LogConfig::default()
    };
    let mut log = open(dir.path(), config);
    for i in 0..20 {
        append(&mut log, batch(1, 10, NOW.0 + i), 0);
    }
    assert!(log.segment_base_offsets().count() > 2);
    log.flush(NOW).unwrap();
    assert!(
        files(dir.path())
            .iter()
            .all(|file| !file.0.ends_with("index") || file.1 <= 60)
    );
}

#[test]
fn a_flush_that_a_truncation_or_deletion_overtakes_leaves_nothing_wrong_behind() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t-0");
    let mut log = open(&path, small_segments());
    for _ in 0..30 {
        append(&mut log, batch(5, 20, NOW.0), 0);
    }
    let task = log.prepare_flush(NOW).unwrap();
    log.truncate_to(Offset(12), NOW).unwrap();
    let flushed = task.run().unwrap();
    assert!(
        files(&path)
            .iter()
            .any(|file| file.0.ends_with(".snapshot"))
    );
    log.complete_flush(flushed);
    assert!(
        !files(&path)
            .iter()
            .any(|file| file.0.ends_with(".snapshot"))
    );

    append(&mut log, batch(5, 20, NOW.0), 1);
    let task = log.prepare_flush(NOW).unwrap();
    log.retire();
    std::fs::rename(&path, dir.path().join("t-0.gone")).unwrap();
    task.run().unwrap();
}

#[test]
fn a_flush_that_fails_is_reported_though_the_directory_cannot_be_seen() {
    // The parent is replaced by a file, so nothing in the directory can be opened, as on a device
    // that returns an error for every call.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("d/t-0");
    let mut log = open(&path, small_segments());
    for _ in 0..30 {
        append(&mut log, batch(5, 20, NOW.0), 0);
    }
    let task = log.prepare_flush(NOW).unwrap();
    std::fs::rename(dir.path().join("d"), dir.path().join("away")).unwrap();
    std::fs::write(dir.path().join("d"), "").unwrap();
    assert!(!path.exists());
    let error = task.run().unwrap_err();
    assert_eq!(error.error.kind(), StorageErrorKind::Device, "{error:?}");
    // The same when the system reports that the directory does not exist.
    std::fs::remove_file(dir.path().join("d")).unwrap();
    assert!(log.flush(NOW).is_err());
    assert!(log.is_failed());
    assert_eq!(log.recovery_point(), Offset(0), "nothing counts as flushed");
}

#[test]
fn followers_refuse_batches_of_an_older_leader_epoch() {
    // Batches of a leader, one for each epoch, from `first` on. No checksum covers the epoch.
    let of_epochs = |first: usize, epochs: &[i32]| {
        let dir = tempfile::tempdir().unwrap();
        let mut leader = open(dir.path(), LogConfig::default());
        let mut records = Vec::new();
        for at in 0..first + epochs.len() {
            let mut batch = append(&mut leader, batch(5, 20, NOW.0), 0).records.to_vec();
            if at >= first {
                batch[12..16].copy_from_slice(&epochs[at - first].to_be_bytes());
                records.extend_from_slice(&batch);
            }
        }
        bytes::Bytes::from(records)
    };
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default());
    log.append_as_follower(of_epochs(0, &[2, 3]), NOW).unwrap();
    let before = (log.log_end_offset(), log.leader_epochs().clone());

    // An epoch that is older than that of the log's last record.
    let refused = log.append_as_follower(of_epochs(2, &[2]), NOW);
    let regression = |result| match result {
        Err(AppendError::EpochRegression { epoch, latest }) => (epoch.0, latest.0),
        other => panic!("{other:?}"),
    };
    assert_eq!(regression(refused), (2, 3));
    // An epoch that is older than that of the previous batch in the same message.
    let refused = log.append_as_follower(of_epochs(2, &[5, 4]), NOW);
    assert_eq!(regression(refused), (4, 5));
    assert_eq!((log.log_end_offset(), log.leader_epochs().clone()), before);
    assert!(!log.is_failed());
    let taken = log.append_as_follower(of_epochs(2, &[3, 4]), NOW);
    assert_eq!(taken.unwrap().unwrap().last_offset, Offset(19));
}

#[test]
fn a_log_that_was_truncated_to_nothing_leaves_no_index_of_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let clean = |recovery_point| OpenOptions {
        recovery_point,
        clean_shutdown: true,
        ..unclean()
    };
    let mut log = open(dir.path(), LogConfig::default());
    append(&mut log, batch(1, 0, NOW.0), 0);
    let end = log.close(NOW).unwrap();
    let (mut log, _) = open_with(dir.path(), LogConfig::default(), clean(end));
    log.truncate_to(Offset::ZERO, NOW).unwrap();
    drop(log);
    let log = open(dir.path(), LogConfig::default());
    let end = log.close(NOW).unwrap();
    let (_, report) = open_with(dir.path(), LogConfig::default(), clean(end));
    assert_eq!(report, RecoveryReport::default());
}

#[test]
fn a_clean_stop_of_an_idle_log_makes_no_system_call() {
    let power = Power::new(1, u64::MAX, |_| {});
    let environment = power.disk(Image::new()).environment();
    let open = |clean_shutdown, recovery_point| {
        let options = OpenOptions {
            clean_shutdown,
            recovery_point,
            ..unclean()
        };
        let files = OpenFiles::default().within(environment.clone());
        let config = Arc::new(small_segments());
        let log = Log::open_with(
            Path::new("/t-0"),
            partition(),
            config,
            options,
            files.into(),
        );
        log.unwrap().0
    };
    let mut log = open(false, Offset::ZERO);
    for _ in 0..20 {
        append(&mut log, batch(5, 50, NOW.0), 0);
    }
    let end = log.close(NOW).unwrap();
    let log = open(true, end);
    assert!(log.segment_base_offsets().count() > 2);
    let before = power.operations();
    assert!(before > 20, "{before} operations");
    assert!(!log.close_unsynced(NOW).unwrap());
    assert_eq!(power.operations(), before);
}
