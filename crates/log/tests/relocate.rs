//! A copy of a log takes the place of the log: what it takes over, and what began before.

mod common;

use common::*;
use dohle_log::{Access, DecompressionMemory, LogConfig, OpenOptions, Records, TimestampSearch};
use dohle_model::{LeaderEpoch, Offset, ProducerId, Timestamp};

/// Returns a log whose first producer has no records left, and whose last leader wrote none.
fn source(dir: &std::path::Path) -> dohle_log::Log {
    let mut log = open(dir, LogConfig::default());
    append(&mut log, from_producer(7, 0, 0, 1), 3);
    append(&mut log, from_producer(8, 0, 0, 1), 3);
    assert!(log.assign_epoch_start(LeaderEpoch(5)));
    log.on_high_watermark(Offset(2));
    log.maybe_advance_log_start_offset(Offset(1));
    log
}

/// Copies the batches of a log.
fn copy_of(log: &dohle_log::Log, dir: &std::path::Path) -> dohle_log::Log {
    let options = OpenOptions {
        log_start_offset: Offset(1),
        ..unclean()
    };
    let (mut copy, _) = open_with(dir, LogConfig::default(), options);
    let start = log.log_start_offset();
    let producers = log.producers_below(start, NOW).unwrap().unwrap();
    copy.begin_copy_at(start, producers, NOW).unwrap();
    if start < log.log_end_offset() {
        let records = read_all(log, start).into();
        let end = log.log_end_offset();
        copy.append_replicated(records, end, NOW).unwrap();
    }
    copy
}

fn producers(log: &dohle_log::Log) -> Vec<bool> {
    let known = |id| log.producer_state().producer(ProducerId(id)).is_some();
    vec![known(7), known(8)]
}

#[test]
fn a_copy_takes_over_what_batches_do_not_contain() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let source = source(old.path());
    let mut copy = copy_of(&source, new.path());
    assert_eq!(copy.latest_epoch(), Some(LeaderEpoch(3)));
    copy.take_over(&source, Some(Offset(1)));
    assert_eq!(producers(&copy), [true, true]);
    assert_eq!(copy.latest_epoch(), Some(LeaderEpoch(5)));
    assert_eq!(copy.cleaner_checkpoint(), Some(Offset(1)));
}

#[test]
fn a_flush_of_the_log_does_not_apply_to_its_copy() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut source = source(old.path());
    let flush = source.prepare_flush(NOW).unwrap();
    let mut copy = copy_of(&source, new.path());
    copy.take_over(&source, None);
    let before = copy.recovery_point();
    source.mark_replaced();
    // The old directory may be gone when the flush runs.
    std::fs::remove_dir_all(old.path()).unwrap();
    let flushed = flush.run().unwrap();
    assert!(!copy.complete_flush(flushed));
    assert_eq!(copy.recovery_point(), before);
}

#[test]
fn a_crash_or_a_truncation_after_the_swap_forgets_no_producer_without_records() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut source = source(old.path());
    append(&mut source, from_producer(9, 0, 0, 1), 5);
    let mut copy = copy_of(&source, new.path());
    copy.flush(NOW).unwrap();
    copy.take_over(&source, None);
    let recovery_point = copy.recovery_point();
    drop(copy);
    let options = OpenOptions {
        log_start_offset: Offset(1),
        recovery_point,
        ..unclean()
    };
    let (mut copy, _) = open_with(new.path(), LogConfig::default(), options);
    assert_eq!(producers(&copy), [true, true]);
    copy.truncate_to(Offset(2), NOW).unwrap();
    assert_eq!(producers(&copy), [true, true]);
    assert!(copy.producer_state().producer(ProducerId(9)).is_none());
}

#[test]
fn a_copy_begins_with_the_producers_below_its_first_batch() {
    let dir = tempfile::tempdir().unwrap();
    let mut source = source(dir.path());
    let below = |log: &dohle_log::Log, offset| {
        let state = log.producers_below(Offset(offset), NOW).unwrap();
        state.map(|state| {
            let known = |id| state.producer(ProducerId(id)).is_some();
            vec![known(7), known(8)]
        })
    };
    assert_eq!(below(&source, 0), Some(vec![false, false]));
    assert_eq!(below(&source, 1), Some(vec![true, false]));
    assert_eq!(below(&source, 2), Some(vec![true, true]));
    source.roll(NOW).unwrap();
    source.delete_segments_below_start(NOW).unwrap();
    source.maybe_advance_log_start_offset(Offset(2));
    source.delete_segments_below_start(NOW).unwrap();
    assert_eq!(below(&source, 1), None);
    assert_eq!(below(&source, 2), Some(vec![true, true]));
}

#[test]
fn a_copy_takes_over_the_high_watermark() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut source = open(old.path(), LogConfig::default());
    aborted_transaction(&mut source, 7, 3); // 0..=2
    append(&mut source, batch(2, 10, NOW.0), 3); // 3..=4
    append(&mut source, batch(2, 10, NOW.0), 3); // 5..=6
    source.on_high_watermark(Offset(5));
    let mut copy = copy_of(&source, new.path());
    copy.take_over(&source, None);
    assert_eq!(copy.last_stable_offset(Offset(5)), Offset(5));
    // The producers are read again, without the transaction, whose marker is committed.
    copy.truncate_to(Offset(5), NOW).unwrap();
    assert_eq!(copy.last_stable_offset(Offset(5)), Offset(5));
}

#[test]
fn reads_that_were_planned_before_the_swap_use_no_file_of_another_log() {
    let (old, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let fill = |log: &mut dohle_log::Log, size| {
        for at in 0..6 {
            append(log, batch(1, size, NOW.0 + at), 3);
        }
        log.roll(NOW).unwrap();
        append(log, batch(1, size, NOW.0 + 6), 3);
        log.flush(NOW).unwrap();
    };
    let mut source = open(old.path(), LogConfig::default());
    fill(&mut source, 10);
    let read = source.plan_read(Offset(4), ALL).unwrap();
    let search = |at| source.plan_offset_for_timestamp(Timestamp(NOW.0 + at));
    let (searches, memory) = ([search(4), search(99)], DecompressionMemory::default());
    source.close_idle_files();
    // The partition moves away, and back: the names belong to another log.
    source.mark_replaced();
    std::fs::rename(
        old.path().join("00000000000000000000.log"),
        new.path().join("old"),
    )
    .unwrap();
    let other = tempfile::tempdir().unwrap();
    let mut later = open(other.path(), LogConfig::default());
    fill(&mut later, 300);
    for name in ["00000000000000000000.log", "00000000000000000000.index"] {
        std::fs::copy(other.path().join(name), old.path().join(name)).unwrap();
    }
    for search in searches {
        assert_eq!(search.find(&memory).unwrap(), TimestampSearch::Changed);
    }
    let located = read.locate(0, Access::Disk).unwrap();
    assert_eq!(located.next_offset, Offset(4), "nothing is found");
    assert!(matches!(located.records, Records::Memory(bytes) if bytes.is_empty()));
}
