//! Tests that the write-back of appended records is started, and of nothing else.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use common::*;
use dohle_log::validate::AppendOrigin;
use dohle_log::{AppendError, Log, LogConfig, StorageErrorKind, validate};
use dohle_model::{LeaderEpoch, Offset};
use dohle_storage::simulated::{Image, Power, SimulatedDisk};

const PAGE: u64 = 4_096;

#[test]
fn the_write_back_of_appended_records_is_started_once() {
    let disk = Power::new(1, u64::MAX, |_| {}).disk(Image::new());
    let (mut log, files) = open_on(&disk, LogConfig::default());
    append(&mut log, batch(1, 3 * PAGE as usize, NOW.0), 0);
    files.write_back().start();
    assert_eq!(disk.started_write_backs(), [(0, 3 * PAGE)]);
    append(&mut log, batch(1, 2 * PAGE as usize, NOW.0), 0);
    files.write_back().start();
    files.write_back().start();
    let started = disk.started_write_backs();
    assert_eq!(started, [(0, 3 * PAGE), (3 * PAGE, 2 * PAGE)]);
    // What replaces truncated records is started too.
    log.truncate_to(Offset(1), NOW).unwrap();
    append(&mut log, batch(1, 2 * PAGE as usize, NOW.0), 1);
    files.write_back().start();
    assert_eq!(disk.started_write_backs()[2..], [(3 * PAGE, 2 * PAGE)]);
}

#[test]
fn a_segment_that_was_closed_by_a_roll_is_started_with_the_next_one() {
    let disk = Power::new(1, u64::MAX, |_| {}).disk(Image::new());
    let (mut log, files) = open_on(&disk, LogConfig::default());
    append(&mut log, batch(1, 2 * PAGE as usize, NOW.0), 0);
    log.roll(NOW).unwrap();
    append(&mut log, batch(1, PAGE as usize, NOW.0), 0);
    files.write_back().start();
    assert_eq!(disk.started_write_backs(), [(0, 2 * PAGE), (0, PAGE)]);
    // A flush has written the closed segment, whose file is closed then.
    append(&mut log, batch(1, 2 * PAGE as usize, NOW.0), 0);
    log.roll(NOW).unwrap();
    log.flush(NOW).unwrap();
    files.write_back().start();
    assert_eq!(disk.started_write_backs().len(), 2);
}

#[test]
fn appends_ring_the_bell_of_the_write_back() {
    let disk = Power::new(1, u64::MAX, |_| {}).disk(Image::new());
    let (mut log, files) = open_on(&disk, LogConfig::default());
    let rings = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&rings);
    files.write_back().when_due(move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    append(&mut log, batch(1, 500_000, NOW.0), 0);
    assert_eq!(rings.load(Ordering::Relaxed), 0);
    for _ in 0..20 {
        append(&mut log, batch(1, 500_000, NOW.0), 0);
    }
    assert_eq!(rings.load(Ordering::Relaxed), 1);
}

/// Numbers of errors of Linux.
const EIO: i32 = 5;
const EINVAL: i32 = 22;

/// Returns a log with two pages of records whose write-back fails with this error.
fn log_with_failed_write_back(disk: &SimulatedDisk, errno: i32) -> Log {
    let (mut log, files) = open_on(disk, LogConfig::default());
    append(&mut log, batch(1, 2 * PAGE as usize, NOW.0), 0);
    disk.fail_write_backs(errno);
    files.write_back().start();
    log
}

#[test]
fn a_failed_write_back_fails_the_next_append_as_a_failed_sync_would() {
    let disk = Power::new(1, u64::MAX, |_| {}).disk(Image::new());
    let mut log = log_with_failed_write_back(&disk, EIO);
    let end = log.log_end_offset();
    let records = validate(batch(1, 10, NOW.0), log.config(), AppendOrigin::Client, NOW).unwrap();
    let error = log
        .append_as_leader(records, LeaderEpoch(0), NOW)
        .unwrap_err();
    let AppendError::Storage(error) = error else {
        panic!("{error}");
    };
    assert_eq!(error.kind(), StorageErrorKind::Device);
    assert!(error.to_string().contains("write-back"), "{error}");
    assert!(log.is_failed() && log.log_end_offset() == end);
}

#[test]
fn a_failed_write_back_fails_the_next_flush_and_a_clean_shutdown() {
    let disk = Power::new(1, u64::MAX, |_| {}).disk(Image::new());
    let mut log = log_with_failed_write_back(&disk, EIO);
    let recovery_point = log.recovery_point();
    let error = log.flush(NOW).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Device);
    assert!(log.is_failed() && log.recovery_point() == recovery_point);
    // A segment that was closed since keeps the error.
    let disk = Power::new(1, u64::MAX, |_| {}).disk(Image::new());
    let mut log = log_with_failed_write_back(&disk, EIO);
    log.roll(NOW).unwrap();
    let error = log.close_unsynced(NOW).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Device);
}

#[test]
fn a_system_that_cannot_start_the_write_back_early_loses_nothing() {
    let disk = Power::new(1, u64::MAX, |_| {}).disk(Image::new());
    let mut log = log_with_failed_write_back(&disk, EINVAL);
    append(&mut log, batch(1, 10, NOW.0), 0);
    log.flush(NOW).unwrap();
    assert_eq!(log.recovery_point(), log.log_end_offset());
}
