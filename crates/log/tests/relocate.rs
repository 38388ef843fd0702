//! A copy of a log takes the place of the log: what it takes over, and what began before.

mod common;

use common::*;
use dohle_log::{LogConfig, OpenOptions};
use dohle_model::{LeaderEpoch, Offset, ProducerId};

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
    copy.truncate_fully_and_start_at(Offset(1), NOW).unwrap();
    let records = read_all(log, Offset(1)).into();
    copy.append_replicated(records, Offset(2), NOW).unwrap();
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
    assert_eq!(producers(&copy), [false, true]);
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
