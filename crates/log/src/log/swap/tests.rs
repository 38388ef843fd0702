//! Tests of crashes at every step of a swap, and at every step of the start after it.

use std::collections::BTreeMap;
use std::fs;

use bytes::Bytes;
use dohle_model::{LeaderEpoch, PartitionIndex, Timestamp, TopicName, TopicPartition};

use super::*;
use crate::batch::{BatchBuilder, BatchOptions, Batches};
use crate::clean::{Cleaner, CleanerLimits};
use crate::config::LogConfig;
use crate::log::closed_segments;
use crate::validate::AppendOrigin;
use crate::{LeaderAppend, OpenOptions, ReadLimits, validate};
use dohle_config::CleanupPolicy;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn config() -> Arc<LogConfig> {
    Arc::new(LogConfig {
        segment_bytes: 600,
        index_interval_bytes: 100,
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        ..LogConfig::default()
    })
}

fn open(dir: &Path, recovery_point: Offset) -> Log {
    let topic_partition = TopicPartition {
        topic: TopicName::new("t").unwrap(),
        partition: PartitionIndex(0),
    };
    let options = OpenOptions {
        log_start_offset: Offset::ZERO,
        recovery_point,
        clean_shutdown: false,
        now: NOW,
    };
    Log::open(dir, topic_partition, config(), options)
        .unwrap()
        .0
}

fn append(log: &mut Log, key: u32, value: u32) {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    let value = value.to_be_bytes();
    builder.append(Some(NOW), Some(&key.to_be_bytes()), Some(&value), &[]);
    let validated = validate(
        builder.build().unwrap(),
        log.config(),
        AppendOrigin::Client,
        NOW,
    );
    let appended = log.append_as_leader(validated.unwrap(), LeaderEpoch(0), NOW);
    assert!(matches!(appended, Ok(LeaderAppend::Appended(_))));
}

/// Returns offset, key and value of every record.
fn records(log: &Log) -> Vec<(i64, Vec<u8>, Vec<u8>)> {
    let limits = ReadLimits {
        max_bytes: 1 << 20,
        upper_bound: Offset(i64::MAX),
        min_one: true,
    };
    let (mut found, mut at) = (Vec::new(), log.log_start_offset());
    while at < log.log_end_offset() {
        let info = log.read(at, limits).unwrap();
        assert!(info.next_offset > at, "a read at {at} makes progress");
        at = info.next_offset;
        collect(&info.records, &mut found);
    }
    found
}

fn collect(bytes: &Bytes, found: &mut Vec<(i64, Vec<u8>, Vec<u8>)>) {
    for batch in Batches::new(bytes) {
        let batch = batch.unwrap();
        batch.header.check_crc(batch.bytes).unwrap();
        for record in batch.records(batch.payload()) {
            let record = record.unwrap();
            let (key, value) = (record.key.unwrap(), record.value.unwrap());
            found.push((record.offset.0, key.to_vec(), value.to_vec()));
        }
    }
}

fn newest(records: &[(i64, Vec<u8>, Vec<u8>)]) -> BTreeMap<Vec<u8>, (i64, Vec<u8>)> {
    let entry = |it: &(i64, Vec<u8>, Vec<u8>)| (it.1.clone(), (it.0, it.2.clone()));
    records.iter().map(entry).collect()
}

fn copy(from: &Path) -> (tempfile::TempDir, Arc<Path>) {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
    }
    let path = to.path().into();
    (to, path)
}

fn begin(log: &mut Log) -> Cleaner {
    let cleaning = log.begin_cleaning(log.log_end_offset(), NOW).unwrap();
    let limits = CleanerLimits {
        dedupe_buffer_bytes: 1 << 20,
        load_factor: 0.9,
        io_buffer_bytes: 1000,
    };
    cleaning.unwrap().index(limits, &mut |_| true).unwrap()
}

/// The content that a log must still have after a crash.
struct Before {
    recovery_point: Offset,
    end: Offset,
    all: Vec<(i64, Vec<u8>, Vec<u8>)>,
}

impl Before {
    fn of(log: &Log) -> Self {
        Self {
            recovery_point: log.recovery_point(),
            end: log.log_end_offset(),
            all: records(log),
        }
    }

    /// Opens the log and checks that it has lost nothing.
    #[track_caller]
    fn check(&self, dir: &Path, what: &str) {
        let log = open(dir, self.recovery_point);
        assert_eq!(log.log_end_offset(), self.end, "{what}");
        assert_eq!(log.log_start_offset(), Offset::ZERO, "{what}");
        let found = records(&log);
        assert_eq!(newest(&found), newest(&self.all), "{what}");
        let moved = found.iter().find(|record| !self.all.contains(record));
        assert_eq!(moved, None, "{what}: a record that was not there");
        let names = fs::read_dir(dir).unwrap().map(|it| it.unwrap().file_name());
        let left: Vec<_> = names
            .filter_map(|name| name.into_string().ok())
            .filter(|name| name != closed_segments::FILE)
            .filter(|name| {
                [CLEANED_SUFFIX, SWAP_SUFFIX, DELETED_SUFFIX]
                    .iter()
                    .any(|end| name.ends_with(end))
            })
            .collect();
        assert_eq!(left, Vec::<String>::new(), "{what}");
    }

    /// Checks that the log can be used as before.
    #[track_caller]
    fn goes_on(&self, dir: &Path, what: &str) {
        let mut log = open(dir, self.recovery_point);
        append(&mut log, 1, 4711);
        log.flush(NOW).unwrap();
        let mut cleaner = begin(&mut log);
        while let Some(segment) = cleaner.next_segment(&mut |_| true).unwrap() {
            assert!(
                matches!(log.replace_segments(segment), Ok(Replaced::Done(_))),
                "{what}"
            );
        }
        let keys = newest(&self.all).len();
        assert!(records(&log).len() < keys + 12, "{what}: it is compacted");
    }
}

/// Returns a log whose next cleaning merges segments into several new ones.
fn dirty_log(dir: &Path) -> Log {
    let mut log = open(dir, Offset::ZERO);
    for i in 0..60 {
        // Some keys are unique, so that some records of every segment are kept.
        append(&mut log, if i % 7 == 0 { 1000 + i } else { i % 3 }, i);
    }
    log.flush(NOW).unwrap();
    // From now on several of its segments fit into one.
    let config = LogConfig {
        segment_bytes: 1700,
        ..(*config()).clone()
    };
    log.set_config(Arc::new(config));
    log
}

#[test]
fn a_crash_at_any_step_of_a_swap_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = dirty_log(dir.path());
    let before = Before::of(&log);
    let mut cleaner = begin(&mut log);
    let mut swaps = 0;
    while let Some(cleaned) = cleaner.next_segment(&mut |_| true).unwrap() {
        let count = swap_steps(dir.path(), &cleaned.replaces).len();
        assert!(cleaned.replaces.len() > 1, "segments are merged");
        forget(&mut log, &cleaned);
        for done in 0..=count {
            let (_keep, crashed) = copy(dir.path());
            for step in &swap_steps(&crashed, &cleaned.replaces)[..done] {
                step.run(&*Environment::native().files).unwrap();
            }
            crash_while_starting(&before, &crashed, &format!("swap {swaps}, step {done}"));
        }
        assert!(matches!(
            log.replace_segments(cleaned),
            Ok(Replaced::Done(_))
        ));
        swaps += 1;
    }
    assert!(swaps > 1, "{swaps}");
    assert!(log.complete_cleaning(&cleaner));
    assert!(records(&log).len() < before.all.len() / 2);
    drop(cleaner);
    drop(log);
    before.check(dir.path(), "no crash");
}

/// Does what [`Log::replace_segments`] does before the first of the steps.
fn forget(log: &mut Log, cleaned: &CleanedSegment) {
    let replaces = |base_offset| cleaned.replaces.contains(&base_offset);
    log.forget_sizes(replaces).unwrap();
}

/// Interrupts the start after the crash too, after each of its steps.
fn crash_while_starting(before: &Before, crashed: &Arc<Path>, what: &str) {
    let count = recovery_steps(&Environment::native(), crashed)
        .unwrap()
        .len();
    for done in 0..count {
        let (_keep, again) = copy(crashed);
        for step in &recovery_steps(&Environment::native(), &again).unwrap()[..done] {
            step.run(&*Environment::native().files).unwrap();
        }
        before.check(&again, &format!("{what}, then step {done} of the start"));
    }
    before.check(crashed, what);
    before.goes_on(crashed, what);
}

#[test]
fn a_crash_while_a_segment_is_written_drops_what_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = dirty_log(dir.path());
    let before = Before::of(&log);
    let mut cleaner = begin(&mut log);
    let cleaned = cleaner.next_segment(&mut |_| true).unwrap().unwrap();
    let name = file_name(cleaned.replaces[0], ".log.cleaned");
    let size = fs::metadata(dir.path().join(&name)).unwrap().len();
    for cut in (0..size).step_by(7) {
        let (_keep, crashed) = copy(dir.path());
        let file = fs::OpenOptions::new()
            .write(true)
            .open(crashed.join(&name))
            .unwrap();
        file.set_len(cut).unwrap();
        before.check(&crashed, &format!("cut at {cut}"));
    }
    drop(cleaned);
    let left = fs::metadata(dir.path().join(&name));
    assert!(left.is_err(), "a segment that is not swapped in is deleted");
}

#[test]
fn a_segment_that_compaction_empties_keeps_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), Offset::ZERO);
    for i in 0..40 {
        append(&mut log, 7, i);
    }
    log.flush(NOW).unwrap();
    let before = Before::of(&log);
    let mut cleaner = begin(&mut log);
    let cleaned = cleaner.next_segment(&mut |_| true).unwrap().unwrap();
    assert_eq!(cleaned.segment.size, 0);
    forget(&mut log, &cleaned);
    for done in 0..=swap_steps(dir.path(), &cleaned.replaces).len() {
        let (_keep, crashed) = copy(dir.path());
        for step in &swap_steps(&crashed, &cleaned.replaces)[..done] {
            step.run(&*Environment::native().files).unwrap();
        }
        crash_while_starting(&before, &crashed, &format!("step {done}"));
    }
    drop(cleaned);
}

#[test]
fn a_truncation_or_retention_in_between_makes_a_cleaned_segment_stale() {
    let stale = |change: &dyn Fn(&mut Log)| {
        let dir = tempfile::tempdir().unwrap();
        let mut log = dirty_log(dir.path());
        let mut cleaner = begin(&mut log);
        let cleaned = cleaner.next_segment(&mut |_| true).unwrap().unwrap();
        change(&mut log);
        let expected = records(&log);
        assert!(matches!(log.replace_segments(cleaned), Ok(Replaced::Stale)));
        assert_eq!(records(&log), expected);
        drop(log);
        assert_eq!(records(&open(dir.path(), Offset::ZERO)), expected);
    };
    stale(&|log| assert!(log.truncate_to(Offset(55), NOW).unwrap()));
    stale(&|log| log.truncate_fully_and_start_at(Offset(0), NOW).unwrap());
    stale(&|log| {
        let start = log.segment_base_offsets().nth(2).unwrap();
        log.maybe_advance_log_start_offset(start);
        let deleted = log.delete_old_segments(log.log_end_offset(), NOW).unwrap();
        assert!(!deleted.is_empty());
        deleted.into_iter().for_each(|it| it.unlink().unwrap());
    });
}

#[test]
fn a_swap_that_the_disk_has_torn_is_refused_in_words() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = dirty_log(dir.path());
    let mut cleaner = begin(&mut log);
    let cleaned = cleaner.next_segment(&mut |_| true).unwrap().unwrap();
    for step in &swap_steps(dir.path(), &cleaned.replaces)[..4] {
        step.run(&*Environment::native().files).unwrap();
    }
    let path = dir.path().join(file_name(cleaned.replaces[0], ".log.swap"));
    let size = fs::metadata(&path).unwrap().len();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(size - 3).unwrap();
    let error = recover(&Environment::native(), &dir.path().into())
        .unwrap_err()
        .to_string();
    assert!(error.contains("from another replica"), "{error}");
    assert!(path.exists(), "nothing is thrown away");
}

#[test]
fn old_segments_that_a_decided_swap_covers_are_gone_after_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = dirty_log(dir.path());
    let before = Before::of(&log);
    let mut cleaner = begin(&mut log);
    let cleaned = cleaner.next_segment(&mut |_| true).unwrap().unwrap();
    forget(&mut log, &cleaned);
    let replaces = cleaned.replaces.clone();
    let is_old = |base: &Offset| replaces[1..].contains(base);
    let expected: Vec<_> = log
        .segment_base_offsets()
        .filter(|it| !is_old(it))
        .collect();
    let decided = 4;
    for done in decided..=swap_steps(dir.path(), &replaces).len() {
        let (_keep, crashed) = copy(dir.path());
        for step in &swap_steps(&crashed, &replaces)[..done] {
            step.run(&*Environment::native().files).unwrap();
        }
        let log = open(&crashed, before.recovery_point);
        let bases: Vec<_> = log.segment_base_offsets().collect();
        assert_eq!(bases, expected, "step {done}");
        let mut offsets: Vec<_> = records(&log).iter().map(|record| record.0).collect();
        let found = offsets.len();
        offsets.dedup();
        assert_eq!(
            offsets.len(),
            found,
            "step {done}: each record is there once"
        );
        assert!(offsets.is_sorted(), "step {done}");
    }
}

#[test]
fn a_swap_whose_last_offset_was_flipped_removes_no_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = dirty_log(dir.path());
    let mut cleaner = begin(&mut log);
    let cleaned = cleaner.next_segment(&mut |_| true).unwrap().unwrap();
    let bases: Vec<_> = log.segment_base_offsets().collect();
    assert!(
        bases.len() > cleaned.replaces.len() + 1,
        "segments follow that are not replaced"
    );
    for step in &swap_steps(dir.path(), &cleaned.replaces)[..4] {
        step.run(&*Environment::native().files).unwrap();
    }
    let path = dir.path().join(file_name(cleaned.replaces[0], ".log.swap"));
    let mut bytes = fs::read(&path).unwrap();
    let last = Batches::new(&bytes).last().unwrap().unwrap().position;
    // The lowest byte of the base offset, which the checksum does not cover: 64 offsets more.
    bytes[last + 7] ^= 0x40;
    fs::write(&path, bytes).unwrap();
    let error = recover(&Environment::native(), &dir.path().into())
        .unwrap_err()
        .to_string();
    assert!(error.contains("decide differently"), "{error}");
    for base in bases {
        let name = file_name(base, LOG_SUFFIX);
        assert!(dir.path().join(&name).exists(), "{name}");
    }
}

#[test]
fn a_swap_without_the_new_records_stops_before_the_old_ones_are_renamed() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = dirty_log(dir.path());
    let mut cleaner = begin(&mut log);
    let cleaned = cleaner.next_segment(&mut |_| true).unwrap().unwrap();
    let replaces = cleaned.replaces.clone();
    let name = |base, end: &str| dir.path().join(file_name(base, end));
    fs::remove_file(name(replaces[0], ".log.cleaned")).unwrap();
    assert!(log.replace_segments(cleaned).is_err());
    for base in replaces {
        assert!(name(base, ".log").exists(), "the segment at {base}");
    }
}

#[test]
fn a_swap_is_synced_or_reports_that_it_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("t-0");
    let mut log = dirty_log(&path);
    let mut cleaner = begin(&mut log);
    let cleaned = cleaner.next_segment(&mut |_| true).unwrap().unwrap();
    let Ok(Replaced::Done(swapped)) = log.replace_segments(cleaned) else {
        panic!("the swap is done");
    };
    swapped.sync().unwrap();
    fs::rename(&path, dir.path().join("elsewhere")).unwrap();
    assert!(swapped.sync().is_err(), "nobody has deleted the log");
    log.retire();
    swapped.sync().unwrap();
}
