//! Tests of segments that are shorter than they were, or missing, when no index entry proves it:
//! the file `closed-segments` reveals the loss when the log is opened. See `missing_tail.rs` for
//! what index entries prove.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::*;
use dohle_log::{Batches, Damage, Log, LogConfig, OpenOptions, ReadError, Replaced};
use dohle_model::Offset;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 2000,
        index_interval_bytes: 700,
        ..LogConfig::default()
    }
}

/// A log of several segments that was not closed.
struct Stopped {
    dir: tempfile::TempDir,
    recovery_point: Offset,
    /// The batches of the whole log.
    good: Vec<u8>,
    segments: Vec<Offset>,
}

/// Creates batches of two records: `flushed` of them are flushed, `unflushed` are appended after
/// that.
fn stopped(flushed: i64, unflushed: i64) -> Stopped {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), config());
    for at in 0..flushed {
        append(&mut log, batch(2, 60, NOW.0 + at), 0);
    }
    log.flush(NOW).unwrap();
    let recovery_point = log.recovery_point();
    for at in 0..unflushed {
        append(&mut log, batch(2, 60, NOW.0 + flushed + at), 0);
    }
    let good = read_all(&log, Offset(0));
    let segments = log.segment_base_offsets().collect();
    Stopped {
        dir,
        recovery_point,
        good,
        segments,
    }
}

impl Stopped {
    fn file(&self, segment: Offset, suffix: &str) -> PathBuf {
        self.dir.path().join(format!("{segment:020}{suffix}"))
    }

    /// Removes the index files of a segment, so that they prove nothing about its content.
    fn remove_indexes(&self, segment: Offset) {
        for suffix in [".index", ".timeindex"] {
            remove_if_exists(&self.file(segment, suffix));
        }
    }

    fn remove(&self, segment: Offset) {
        for suffix in [".log", ".index", ".timeindex", ".txnindex", ".snapshot"] {
            remove_if_exists(&self.file(segment, suffix));
        }
    }

    /// Returns the position and the base offset of each batch of a segment.
    fn batches(&self, segment: Offset) -> Vec<(usize, Offset)> {
        let bytes = fs::read(self.file(segment, ".log")).unwrap();
        let batches = Batches::new(&bytes).map(Result::unwrap);
        batches
            .map(|batch| (batch.position, batch.header.base_offset))
            .collect()
    }

    /// Truncates a segment before one of its batches. Returns the first missing offset.
    fn cut(&self, segment: Offset, batch: usize) -> Offset {
        let (position, first) = self.batches(segment)[batch];
        truncate(&self.file(segment, ".log"), position);
        first
    }

    fn open_at(&self, recovery_point: Offset) -> Log {
        let options = OpenOptions {
            recovery_point,
            ..unclean()
        };
        open_with(self.dir.path(), config(), options).0
    }

    fn open(&self) -> Log {
        self.open_at(self.recovery_point)
    }

    /// Checks that the log reports exactly `missing`, also after another start, and can be repaired
    /// from intact batches.
    #[track_caller]
    fn check_missing(&self, recovery_point: Offset, missing: &[(Offset, Offset)]) {
        let end = Offset(ranges(&self.good).last().unwrap().1 + 1);
        for start in 0..2 {
            let log = self.open_at(recovery_point);
            assert_eq!(offsets(log.damage()), missing, "start {start}");
            assert_eq!(log.log_end_offset(), end, "start {start}");
            for (first, next) in missing {
                let error = log.read(*first, ALL).unwrap_err();
                assert!(matches!(error, ReadError::Damaged(_)), "{error}");
                assert!(
                    self.good
                        .ends_with(&read_until_damage(&log, *next, missing))
                );
            }
        }
        let mut log = self.open_at(recovery_point);
        log.flush(NOW).unwrap();
        while let Some(damage) = log.damage().first().cloned() {
            let replaced = repair(&mut log, damage.segment, &self.good, |_| {});
            assert!(matches!(replaced, Replaced::Done(_)));
        }
        assert_eq!(read_all(&log, Offset(0)), self.good, "repaired");
        let recovery_point = log.recovery_point();
        drop(log);
        let log = self.open_at(recovery_point);
        assert_eq!(log.damage(), [], "repaired, another start");
        assert_eq!(read_all(&log, Offset(0)), self.good);
    }
}

/// Returns the bytes from `from` to the log's end; nothing when more is missing on the way.
fn read_until_damage(log: &Log, from: Offset, missing: &[(Offset, Offset)]) -> Vec<u8> {
    if missing.iter().any(|(first, _)| *first >= from) {
        return Vec::new();
    }
    read_all(log, from)
}

fn remove_if_exists(path: &Path) {
    if path.exists() {
        fs::remove_file(path).unwrap();
    }
}

fn truncate(path: &Path, size: usize) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(size as u64).unwrap();
}

fn offsets(damage: &[Damage]) -> Vec<(Offset, Offset)> {
    damage.iter().map(|it| (it.start, it.end)).collect()
}

#[test]
fn a_flushed_segment_that_was_cut_is_found_without_its_indexes_and_above_the_checkpoint() {
    let count = stopped(30, 0).batches(Offset(0)).len();
    for batch in 0..count {
        for checkpoint in [Offset(0), Offset(2), stopped(30, 0).recovery_point] {
            let log = stopped(30, 0);
            let (first, next) = (log.segments[0], log.segments[1]);
            let missing = log.cut(first, batch);
            log.remove_indexes(first);
            log.check_missing(checkpoint, &[(missing, next)]);
        }
    }
}

#[test]
fn a_log_file_that_is_missing_is_found() {
    let count = stopped(40, 0).segments.len();
    assert!(count > 3);
    for at in 0..count - 1 {
        for (whole_segment, without_list) in [(false, false), (true, false), (false, true)] {
            let log = stopped(40, 0);
            let (base, next) = (log.segments[at], log.segments[at + 1]);
            if whole_segment {
                log.remove(base);
            } else {
                fs::remove_file(log.file(base, ".log")).unwrap();
            }
            if without_list {
                // The index alone proves the loss, but not at the log's start.
                if at == 0 {
                    continue;
                }
                fs::remove_file(log.dir.path().join("closed-segments.deleted")).unwrap();
            }
            log.check_missing(log.recovery_point, &[(base, next)]);
        }
    }
}

#[test]
fn several_segments_that_are_missing_in_a_row_are_found() {
    let log = stopped(50, 0);
    let [_, second, third, fourth, ..] = log.segments[..] else {
        panic!("{:?}", log.segments);
    };
    log.remove(second);
    log.remove(third);
    log.check_missing(log.recovery_point, &[(second, third), (third, fourth)]);
}

#[test]
fn a_segment_that_was_not_flushed_and_lost_its_end_ends_the_log() {
    for whole_segment in [false, true] {
        let log = stopped(20, 30);
        let at = log
            .segments
            .partition_point(|base| *base <= log.recovery_point);
        assert!(at + 2 < log.segments.len());
        let base = log.segments[at];
        let end = if whole_segment {
            log.remove(base);
            base
        } else {
            log.cut(base, 2)
        };
        let mut opened = log.open();
        assert_eq!(opened.log_end_offset(), end);
        assert_eq!(opened.damage(), []);
        assert!(log.good.starts_with(&read_all(&opened, Offset(0))));
        append(&mut opened, batch(2, 60, NOW.0), 0);
        let all = read_all(&opened, Offset(0));
        drop(opened);
        let opened = log.open();
        assert_eq!(read_all(&opened, Offset(0)), all, "after another start");
        assert_eq!(opened.damage(), []);
    }
}

#[test]
fn a_segment_that_was_flushed_in_part_keeps_what_follows_its_missing_end() {
    let log = stopped(20, 30);
    let at = log
        .segments
        .partition_point(|base| *base <= log.recovery_point)
        - 1;
    let (base, next) = (log.segments[at], log.segments[at + 1]);
    assert!(base < log.recovery_point && log.recovery_point < next);
    let missing = log.cut(base, 0);
    log.check_missing(log.recovery_point, &[(missing, next)]);
}

#[test]
fn a_segment_that_kafka_closed_and_that_was_cut_after_its_last_index_entry_is_found() {
    let log = stopped(30, 0);
    let (first, next) = (log.segments[0], log.segments[1]);
    fs::remove_file(log.dir.path().join("closed-segments.deleted")).unwrap();
    // Kafka enters no last batch into the offset index.
    let index = log.file(first, ".index");
    let size = fs::metadata(&index).unwrap().len() as usize;
    truncate(&index, size - 8);
    let batches = log.batches(first);
    let entries = dohle_log::offset_index_entries(&fs::read(&index).unwrap(), first);
    let last_indexed = entries.last().unwrap().1 as usize;
    let after = batches
        .iter()
        .position(|(position, _)| *position == last_indexed);
    let missing = log.cut(first, after.unwrap() + 1);
    log.check_missing(log.recovery_point, &[(missing, next)]);
}

#[test]
fn segments_of_kafka_are_entered_in_the_list_at_the_first_start() {
    let log = stopped(30, 0);
    let (first, next) = (log.segments[0], log.segments[1]);
    let list = log.dir.path().join("closed-segments.deleted");
    let written = fs::read(&list).unwrap();
    fs::remove_file(&list).unwrap();
    assert_eq!(log.open().damage(), []);
    assert_eq!(fs::read(&list).unwrap(), written);
    let missing = log.cut(first, 1);
    log.remove_indexes(first);
    log.check_missing(log.recovery_point, &[(missing, next)]);
}

#[test]
fn a_log_that_kafka_compacted_under_an_earlier_policy_is_not_cut_at_the_gaps() {
    let log = stopped(30, 0);
    let (first, next) = (log.segments[0], log.segments[1]);
    // Kafka cleaned the last batches of a segment away, and enters none of a cleaned segment's last
    // batches into the offset index. It deletes the list when it opens the log.
    let gap = log.cut(first, 6);
    let kept_to = log.batches(first)[4].0;
    let index = log.file(first, ".index");
    let entries = dohle_log::offset_index_entries(&fs::read(&index).unwrap(), first);
    let kept = entries
        .iter()
        .filter(|(_, position)| *position as usize <= kept_to);
    truncate(&index, kept.count() * 8);
    remove_if_exists(&log.file(first, ".timeindex"));
    fs::remove_file(log.dir.path().join("closed-segments.deleted")).unwrap();
    // The checkpoint of recovery points is lost too.
    for start in 0..2 {
        let opened = log.open_at(Offset(0));
        let expected = Offset(ranges(&log.good).last().unwrap().1 + 1);
        assert_eq!(opened.log_end_offset(), expected, "start {start}");
        assert_eq!(opened.damage(), [], "start {start}");
        let read = opened.read(gap, ALL).unwrap();
        assert_eq!(ranges(&read.records)[0].0, next.0, "start {start}");
    }
}

#[test]
fn a_list_that_cannot_be_read_proves_nothing_and_is_written_again() {
    let log = stopped(30, 0);
    let list = log.dir.path().join("closed-segments.deleted");
    let written = fs::read(&list).unwrap();
    truncate(&list, written.len() - 1);
    let opened = log.open();
    assert_eq!(opened.damage(), []);
    assert_eq!(read_all(&opened, Offset(0)), log.good);
    assert_eq!(fs::read(&list).unwrap(), written);
}

#[test]
fn a_truncation_that_was_interrupted_leaves_no_later_segments() {
    let log = stopped(40, 0);
    let mut opened = log.open();
    let bases = log.segments.clone();
    let inside = bases[1].plus(2);
    let kept: Vec<_> = bases[2..]
        .iter()
        .map(|base| {
            (
                log.file(*base, ".log"),
                fs::read(log.file(*base, ".log")).unwrap(),
            )
        })
        .collect();
    opened.truncate_to(inside, NOW).unwrap();
    let end = opened.log_end_offset();
    drop(opened);
    // The crash came before the newest segments were removed.
    let (path, bytes) = &kept[kept.len() - 1];
    fs::write(path, bytes).unwrap();
    let opened = log.open();
    assert_eq!(opened.log_end_offset(), end);
    assert!(log.good.starts_with(&read_all(&opened, Offset(0))));
}
