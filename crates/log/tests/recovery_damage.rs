//! Damages every kind of file of a partition, at random and in cases that failed once.
//!
//! Invariant: the log either opens with everything below the recovery point, reporting exactly what
//! is lost of it, or fails to open with an error about this partition's content. No offset is given
//! twice and nothing panics.
//!
//! `DOHLE_SEED` repeats a run, `DOHLE_FUZZ_CASES` sets its length.

mod common;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use common::*;
use dohle_log::damage::segment_of;
use dohle_log::{
    BatchHeader, Batches, Damage, Log, LogConfig, OpenOptions, ReadError, StorageErrorKind,
};
use dohle_model::{LeaderEpoch, Offset, TopicId};
use dohle_storage::simulated::Random;

fn config() -> LogConfig {
    LogConfig {
        segment_bytes: 3000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    }
}

/// A closed log: its folder and its content.
struct Closed {
    dir: tempfile::TempDir,
    /// The bytes of each batch by its first offset.
    batches: BTreeMap<i64, Vec<u8>>,
    end: Offset,
    recovery_point: Offset,
    clean: bool,
    epochs: dohle_log::LeaderEpochCache,
}

/// Returns a log of several segments, with three leader epochs, and idempotent and aborted
/// transactional records.
fn closed(clean: bool, unflushed: usize) -> Closed {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), config());
    let mut batches = BTreeMap::new();
    let mut take = |info: dohle_log::AppendInfo| {
        batches.insert(info.first_offset.0, info.records.to_vec());
    };
    for i in 0..40 {
        let epoch = 2 + i / 15;
        take(append(
            &mut log,
            batch(1 + i % 4, 30, NOW.0 + 10 * i64::from(i)),
            epoch,
        ));
        take(append(&mut log, from_producer(7, 0, i, 1), epoch));
        if i % 9 == 4 {
            let aborted = aborted_transaction(&mut log, 100 + i64::from(i), epoch);
            aborted.into_iter().for_each(&mut take);
        }
    }
    log.ensure_partition_metadata(TopicId::from_bytes([3; 16]))
        .unwrap();
    log.flush(NOW).unwrap();
    let recovery_point = log.recovery_point();
    for i in 0..unflushed {
        take(append(&mut log, batch(2, 30, NOW.0 + 1000 + i as i64), 5));
    }
    let end = log.log_end_offset();
    let epochs = log.leader_epochs().clone();
    let recovery_point = if clean {
        log.close(NOW).unwrap()
    } else {
        recovery_point
    };
    Closed {
        dir,
        batches,
        end,
        recovery_point,
        clean,
        epochs,
    }
}

impl Closed {
    fn options(&self) -> OpenOptions {
        OpenOptions {
            recovery_point: self.recovery_point,
            clean_shutdown: self.clean,
            ..unclean()
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.dir.path()).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn open(&self) -> Result<Log, dohle_log::StorageError> {
        let config = std::sync::Arc::new(config());
        let opened = Log::open(self.dir.path(), partition(), config, self.options());
        opened.and_then(|(log, _)| {
            log.ensure_partition_metadata(TopicId::from_bytes([3; 16]))?;
            Ok(log)
        })
    }

    /// Checks the invariant of this file.
    #[track_caller]
    fn check(&self, what: &str) {
        let mut log = match self.open() {
            Ok(log) => log,
            Err(error) => {
                assert_eq!(error.kind(), StorageErrorKind::Damage, "{what}: {error}");
                let named = error.path.starts_with(self.dir.path());
                assert!(
                    named,
                    "{what}: the error names a file of the partition: {error}"
                );
                return;
            }
        };
        let end = log.log_end_offset();
        assert!(end >= self.recovery_point, "{what}: the log ends at {end}");
        assert!(
            end <= self.end,
            "{what}: the log ends at {end}, after {}",
            self.end
        );
        assert_eq!(log.log_start_offset(), Offset::ZERO, "{what}");
        let damage = damage_of(&log);
        self.check_content(&log, &damage, what);
        if damage.is_empty() && end == self.end {
            assert_eq!(log.leader_epochs(), &self.epochs, "{what}");
        }
        // The log can be appended to after everything that it has, also after another start.
        let next = append(&mut log, batch(3, 30, NOW.0 + 9000), 9);
        assert_eq!(next.first_offset, end, "{what}");
        let list = log.damage().to_vec();
        drop(log);
        let log = self.open_unclean();
        assert_eq!(log.log_end_offset(), end.plus(3), "{what}, second start");
        let kept = list.iter().all(|it| log.damage().contains(it));
        assert!(
            kept,
            "{what}, second start: {list:?} became {:?}",
            log.damage()
        );
        let info = log.read(end, ALL).unwrap();
        assert_eq!(info.records, next.records, "{what}, second start");
    }

    fn open_unclean(&self) -> Log {
        let options = OpenOptions {
            clean_shutdown: false,
            ..self.options()
        };
        open_with(self.dir.path(), config(), options).0
    }

    /// Checks that every batch is either intact or reported as damaged, and that no other reads
    /// fail.
    #[track_caller]
    fn check_content(&self, log: &Log, damage: &[Damage], what: &str) {
        let files = segments_of(self.dir.path());
        for (first, bytes) in &self.batches {
            let header = BatchHeader::parse(bytes).unwrap();
            let (first, next) = (Offset(*first), header.next_offset());
            if first >= log.log_end_offset() {
                assert!(
                    first >= self.recovery_point,
                    "{what}: offset {first} is lost"
                );
                continue;
            }
            let is_damaged = |it: &&Damage| it.start < next && it.end > first;
            let there = files.iter().any(|file| contains(file, bytes));
            if let Some(it) = damage.iter().find(is_damaged) {
                assert!(
                    it.start <= first && next <= it.end,
                    "{what}: {it} covers a part of the batch at {first}"
                );
                continue;
            }
            assert!(
                there,
                "{what}: the batch at {first} is neither there nor reported"
            );
        }
        for it in log.damage().iter().filter(|it| it.start < it.end) {
            let error = log.read(it.start, ALL).unwrap_err();
            assert!(matches!(error, ReadError::Damaged(_)), "{what}: {error}");
        }
        if damage.is_empty() {
            let all = read_all(log, Offset::ZERO);
            let expected: Vec<u8> = self.below(log.log_end_offset());
            assert!(all == expected, "{what}: reads answer what was appended");
        }
    }

    fn below(&self, end: Offset) -> Vec<u8> {
        let batches = self.batches.range(..end.0);
        batches.flat_map(|(_, bytes)| bytes.clone()).collect()
    }
}

fn segments_of(dir: &Path) -> Vec<Vec<u8>> {
    let names = files(dir).into_iter().map(|file| file.0);
    names
        .filter(|name| name.ends_with(".log"))
        .map(|name| std::fs::read(dir.join(name)).unwrap())
        .collect()
}

fn contains(file: &[u8], batch: &[u8]) -> bool {
    file.windows(batch.len()).any(|window| window == batch)
}

/// Returns the damage that the log lists, after comparing it with a check of every segment.
fn damage_of(log: &Log) -> Vec<Damage> {
    let mut found = log.damage().to_vec();
    for segment in log.segment_base_offsets() {
        if let Some(check) = log.plan_check(segment).unwrap() {
            found.extend(check.run(&mut |_| true).unwrap().unwrap());
        }
    }
    found
}

fn below(random: &mut Random, end: usize) -> usize {
    random.below(end as u64) as usize
}

/// Removes a file, or damages its bytes.
fn remove_or_harm(random: &mut Random, path: &Path) -> String {
    if below(random, 5) > 0 {
        return harm(random, path);
    }
    std::fs::remove_file(path).unwrap();
    format!("{} removed", path.file_name().unwrap().to_string_lossy())
}

/// Removes all files of a segment that is not the last one.
fn remove_segment(random: &mut Random, log: &Closed) -> String {
    let bases = log.segments();
    let base = bases[below(random, bases.len() - 1)];
    for path in log.files() {
        if path
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with(&format!("{base:020}."))
        {
            std::fs::remove_file(path).unwrap();
        }
    }
    format!("segment {base} removed")
}

/// Damages a file: flips bits, writes zeroes, truncates, or duplicates bytes.
fn harm(random: &mut Random, path: &Path) -> String {
    let mut bytes = std::fs::read(path).unwrap();
    let size = bytes.len();
    let at = below(random, size);
    let longest = [4, 64, 1000][below(random, 3)];
    let length = 1 + below(random, longest);
    let end = (at + length).min(size);
    let how = match below(random, 6) {
        0 | 1 if size > 0 => {
            bytes[at] ^= 1 << below(random, 8);
            format!("flip in byte {at}")
        }
        2 => {
            bytes[at..end].fill(0);
            format!("zeros from {at} to {end}")
        }
        3 => {
            // Often between two batches, where the bytes before are valid.
            let starts = Batches::new(&bytes)
                .map_while(Result::ok)
                .map(|it| it.position);
            let between = starts.filter(|start| *start <= at).last();
            let at = between.filter(|_| below(random, 2) == 0).unwrap_or(at);
            bytes.truncate(at);
            format!("cut at {at}")
        }
        4 => {
            let copy = bytes[at..end].to_vec();
            bytes.splice(end..end, copy);
            format!("bytes {at} to {end} twice")
        }
        _ => {
            for byte in &mut bytes[at..end] {
                *byte = random.next_number() as u8;
            }
            format!("random bytes from {at} to {end}")
        }
    };
    std::fs::write(path, bytes).unwrap();
    let name = path.file_name().unwrap().to_string_lossy();
    format!("{name} of {size} bytes: {how}")
}

/// Files that a crash, or found damage, leaves beside the files of a closed log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Leftover {
    Nothing,
    /// An interrupted repair or compaction.
    Swap,
    /// The list of damaged ranges.
    Damage,
}

impl Closed {
    /// The base offsets of the segments, in order.
    fn segments(&self) -> Vec<i64> {
        let names = files(self.dir.path()).into_iter().map(|file| file.0);
        let bases = names.filter_map(|name| name.strip_suffix(".log")?.parse().ok());
        let mut bases: Vec<i64> = bases.collect();
        bases.sort_unstable();
        bases
    }

    /// Removes the sizes of these segments from `closed-segments`, as a swap does first.
    fn forget_sizes(&self, segments: &[i64]) {
        change(&self.file("closed-segments.deleted"), |bytes| {
            let text = std::str::from_utf8(bytes).unwrap();
            let mut text: String = text.lines().filter(|line| !line.starts_with("crc")).fold(
                String::new(),
                |text, line| match line.split(' ').collect::<Vec<_>>()[..] {
                    [base, _, _] if segments.contains(&base.parse().unwrap()) => {
                        text + base + " -\n"
                    }
                    _ => text + line + "\n",
                },
            );
            let checksum = dohle_log::batch::crc32c(text.as_bytes());
            text += &format!("crc32c {checksum:08x}\n");
            *bytes = text.into_bytes();
        });
    }

    /// Leaves a swap at a random step: one or two closed segments are replaced by one with all
    /// their batches. Returns the files that the swap has created, and a description.
    fn leave_swap(&self, random: &mut Random) -> (Vec<PathBuf>, String) {
        let bases = self.segments();
        // Only flushed segments are replaced.
        let flushed = bases.partition_point(|base| *base <= self.recovery_point.0) - 1;
        let at = below(random, flushed - 1);
        let old = &bases[at..at + 1 + below(random, 2)];
        let step = below(random, 4);
        self.forget_sizes(old);
        let file = |base: i64, suffix: &str| self.file(&format!("{base:020}{suffix}"));
        let log = old
            .iter()
            .map(|base| std::fs::read(file(*base, ".log")).unwrap());
        let log = log.collect::<Vec<_>>().concat();
        let (start, end) = ranges(&log).last().copied().unwrap();
        let last = &self.batches[&start];
        let header = BatchHeader::parse(last).unwrap();
        let position = (log.len() - last.len()) as u32;
        let relative = |offset: i64| ((offset - old[0]) as u32).to_be_bytes();
        let index = [relative(end), position.to_be_bytes()].concat();
        let timestamp = header.max_timestamp.unwrap().0.to_be_bytes();
        let times = [&timestamp[..], &relative(end)].concat();
        let aborted = old
            .iter()
            .filter_map(|base| std::fs::read(file(*base, ".txnindex")).ok());
        let aborted = aborted.collect::<Vec<_>>().concat();
        let mut new = vec![(".timeindex", times), (".index", index), (".log", log)];
        if !aborted.is_empty() {
            new.insert(0, (".txnindex", aborted));
        }
        let mut made = Vec::new();
        for (suffix, bytes) in new {
            let end = match step {
                // The swap is undecided as long as one file has its first name.
                0 if [".txnindex", ".timeindex"].contains(&suffix) => ".swap",
                0 => ".cleaned",
                3 if suffix == ".log" => "",
                _ => ".swap",
            };
            if step >= 2 {
                for base in old {
                    let deleted = file(*base, &format!("{suffix}.deleted"));
                    // Not every segment has aborted transactions.
                    let renamed = std::fs::rename(file(*base, suffix), deleted);
                    assert!(renamed.is_ok() || suffix == ".txnindex");
                }
            }
            let path = file(old[0], &format!("{suffix}{end}"));
            std::fs::write(&path, bytes).unwrap();
            made.push(path);
        }
        (made, format!("swap of {old:?} at step {step}"))
    }

    /// Damages a segment, and lets a check find the damage. Returns the file with the list, if
    /// there is one.
    fn leave_damage(&self, random: &mut Random) -> (Vec<PathBuf>, String) {
        let bases = self.segments();
        let base = bases[below(random, bases.len() - 1)];
        let what = remove_or_harm(random, &self.file(&format!("{base:020}.log")));
        let Ok(mut log) = self.open() else {
            return (Vec::new(), what);
        };
        for segment in log.segment_base_offsets().collect::<Vec<_>>() {
            if let Some(check) = log.plan_check(segment).unwrap() {
                let found = check.run(&mut |_| true).unwrap().unwrap();
                log.note_damage(&check, found).unwrap();
            }
        }
        let list = self.file("damaged-ranges");
        assert_eq!(list.exists(), !log.damage().is_empty());
        (list.exists().then_some(list).into_iter().collect(), what)
    }
}

#[test]
fn damage_to_any_file_is_mended_or_reported() {
    random_damage(80, |_| Leftover::Nothing);
}

#[test]
fn damage_to_what_a_swap_or_earlier_damage_left_is_mended_or_reported() {
    random_damage(80, |case| match case % 4 {
        0 | 1 => Leftover::Swap,
        _ => Leftover::Damage,
    });
}

fn random_damage(cases: u64, leftover: impl Fn(u64) -> Leftover) {
    let variable = |name| std::env::var(name).ok().and_then(|text| text.parse().ok());
    let seed: u64 = variable("DOHLE_SEED").unwrap_or(1);
    let cases: u64 = variable("DOHLE_FUZZ_CASES").unwrap_or(cases);
    println!("DOHLE_SEED={seed} DOHLE_FUZZ_CASES={cases}");
    for case in 0..cases {
        let mut random = Random(seed.wrapping_add(case.wrapping_mul(0xd1b5_4a32_d192_ed03)));
        let clean = case % 2 == 0;
        let log = closed(clean, if clean { 0 } else { below(&mut random, 20) });
        let (made, left) = match leftover(case) {
            Leftover::Nothing => (log.files(), String::new()),
            Leftover::Swap => log.leave_swap(&mut random),
            Leftover::Damage => log.leave_damage(&mut random),
        };
        let harmed = match (made.len(), leftover(case)) {
            (0, _) => String::new(),
            (_, Leftover::Nothing) if below(&mut random, 8) == 0 => {
                remove_segment(&mut random, &log)
            }
            (count, Leftover::Nothing) => {
                let at = below(&mut random, count);
                remove_or_harm(&mut random, &made[at])
            }
            (count, _) => {
                let at = below(&mut random, count);
                harm(&mut random, &made[at])
            }
        };
        let state = if clean { "clean" } else { "unclean" };
        log.check(&format!(
            "DOHLE_SEED={seed} case {case}, {state} stop, {left}, {harmed}"
        ));
    }
}

/// Changes the bytes of a file of a log.
fn change(path: &Path, how: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = std::fs::read(path).unwrap();
    how(&mut bytes);
    std::fs::write(path, bytes).unwrap();
}

fn last_segment(log: &Closed) -> String {
    let names = files(log.dir.path()).into_iter().map(|file| file.0);
    let last = names.filter(|name| name.ends_with(".log")).max().unwrap();
    last.trim_end_matches(".log").to_owned()
}

#[test]
fn the_end_of_a_log_never_comes_from_its_index_alone() {
    for garbage in [[0xff; 8], [0; 8], [0, 0, 0, 9, 0x7f, 0, 0, 0]] {
        let log = closed(true, 0);
        let index = log.file(&format!("{}.index", last_segment(&log)));
        change(&index, |bytes| *bytes = garbage.to_vec());
        let opened = log.open().unwrap();
        assert_eq!(opened.log_end_offset(), log.end, "{garbage:x?}");
        assert!(opened.damage().is_empty());
        drop(opened);
        log.check(&format!("index entry {garbage:x?}"));
    }
}

#[test]
fn a_log_that_lost_its_end_reports_what_is_missing_and_gives_no_offset_twice() {
    for clean in [true, false] {
        let log = closed(clean, 0);
        let path = log.file(&format!("{}.log", last_segment(&log)));
        // The first index entry points behind the new end of the file.
        change(&path, |bytes| bytes.truncate(150));
        let opened = log.open().unwrap();
        assert_eq!(opened.log_end_offset(), log.recovery_point);
        let [damage] = opened.damage() else {
            panic!("{:?}", opened.damage());
        };
        assert_eq!(segment_of(&path), Some(damage.segment));
        assert_eq!(damage.end, log.recovery_point);
        let before = damage.start.previous().unwrap();
        assert!(
            opened.read(before, ALL).is_ok(),
            "what is before it is read"
        );
        drop(opened);
        log.check("a file that lost its end");
    }
}

#[test]
fn damage_below_the_recovery_point_is_kept_and_above_it_the_log_is_cut() {
    let log = closed(false, 3);
    let path = log.file(&format!("{}.log", last_segment(&log)));
    let size = std::fs::metadata(&path).unwrap().len();
    // Flips a bit of the first batch, below the recovery point, and one of the last batch, above
    // it.
    change(&path, |bytes| {
        bytes[100] ^= 1;
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
    });
    let (opened, report) = open_with(log.dir.path(), config(), log.options());
    assert_eq!(opened.log_end_offset().0, log.end.0 - 2);
    assert!(report.bytes_truncated > 0 && report.bytes_truncated < size);
    let [damage] = opened.damage() else {
        panic!("{:?}", opened.damage());
    };
    assert_eq!((damage.position, damage.start), (0, damage.segment));
    assert!(damage.end <= log.recovery_point);
    // The records after the damage can be read.
    let rest = opened.read(damage.end, ALL).unwrap();
    let first = ranges(&rest.records)[0].0;
    assert_eq!(first, damage.end.0);
}

#[test]
fn recovery_takes_no_batch_of_an_older_leader_than_the_one_before() {
    // Above the recovery point the log ends before such a batch.
    let log = closed(false, 3);
    let path = log.file(&format!("{}.log", last_segment(&log)));
    let last = log.batches.last_key_value().unwrap();
    let position = std::fs::metadata(&path).unwrap().len() as usize - last.1.len();
    change(&path, |bytes| {
        bytes[position + 12..position + 16].copy_from_slice(&[0, 0, 0, 1])
    });
    let opened = log.open().unwrap();
    assert_eq!(opened.log_end_offset().0, *last.0);
    assert_eq!(opened.latest_epoch(), Some(LeaderEpoch(5)));
    drop(opened);
    // A single batch with a newer leader epoch than the batches around it is the wrong one.
    let log = closed(false, 3);
    let path = log.file(&format!("{}.log", last_segment(&log)));
    let position = std::fs::metadata(&path).unwrap().len() as usize - 2 * last.1.len();
    change(&path, |bytes| bytes[position + 12] = 0x40);
    let opened = log.open().unwrap();
    assert_eq!(opened.log_end_offset().0, *last.0 - 2);
    assert_eq!(opened.latest_epoch(), Some(LeaderEpoch(5)));
}

#[test]
fn leader_epochs_that_cannot_be_read_are_taken_from_the_batches() {
    for text in [
        "",
        "0\n1\n",
        "garbage",
        "0\n1\n2 0\n",
        "0\n3\n2 0\n3 7\n4 90\n",
    ] {
        for clean in [true, false] {
            let log = closed(clean, 0);
            change(&log.file("leader-epoch-checkpoint"), |bytes| {
                *bytes = text.as_bytes().to_vec();
            });
            let opened = log.open().unwrap();
            assert_eq!(
                opened.leader_epochs(),
                &log.epochs,
                "{text:?}, clean {clean}"
            );
        }
    }
}

#[test]
fn a_length_that_reaches_beyond_the_file_fails_the_read_and_does_not_hang() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default());
    for _ in 0..5 {
        append(&mut log, batch(2, 30, NOW.0), 0);
    }
    // A reader that has read up to offset 4 continues at the damaged batch.
    let limits = dohle_log::ReadLimits {
        upper_bound: Offset(4),
        ..ALL
    };
    assert_eq!(log.read(Offset(0), limits).unwrap().next_offset, Offset(4));
    let size = (log.size() / 5) as usize;
    let path = dir.path().join("00000000000000000000.log");
    change(&path, |bytes| {
        bytes[2 * size + 8..2 * size + 12].copy_from_slice(&0x7fff_fff0_i32.to_be_bytes());
    });
    let Err(ReadError::Storage(error)) = log.read(Offset(4), ALL) else {
        panic!("the read fails");
    };
    assert_eq!(error.kind(), StorageErrorKind::Damage, "{error}");
    assert!(
        error.to_string().contains(&format!("byte {}", 2 * size)),
        "{error}"
    );
}

#[test]
fn a_truncation_counts_for_recovery_before_the_checkpoint_is_written_again() {
    // The checkpoint contains the recovery point from before the truncation. The crash then tears
    // the batches that were appended after it.
    let log = closed(false, 0);
    let mut opened = log.open().unwrap();
    opened.truncate_to(Offset(50), NOW).unwrap();
    let end = opened.log_end_offset();
    let kept = read_all(&opened, Offset(0));
    append(&mut opened, batch(2, 30, NOW.0), 6);
    let path = log.file(&format!("{}.log", last_segment(&log)));
    drop(opened);
    change(&path, |bytes| bytes.truncate(bytes.len() - 5));
    let mut opened = log.open().unwrap();
    assert_eq!(opened.damage(), [], "a torn tail is no damage");
    assert_eq!(opened.log_end_offset(), end);
    assert_eq!(read_all(&opened, Offset(0)), kept);
    // Once a flush has passed the old recovery point, that point is valid again.
    while opened.log_end_offset() <= log.recovery_point {
        append(&mut opened, batch(5, 30, NOW.0), 7);
    }
    opened.flush(NOW).unwrap();
    let flushed = opened.recovery_point();
    drop(opened);
    let path = log.file(&format!("{}.log", last_segment(&log)));
    change(&path, |bytes| bytes.truncate(bytes.len() - 5));
    let options = OpenOptions {
        recovery_point: flushed,
        ..unclean()
    };
    let (opened, _) = open_with(log.dir.path(), config(), options);
    assert_eq!(opened.log_end_offset(), flushed);
    assert_eq!(opened.damage().len(), 1);
}

#[test]
fn a_clean_start_reads_no_segment_as_a_whole() {
    let log = closed(true, 0);
    let (opened, report) = open_with(log.dir.path(), config(), log.options());
    assert_eq!(report, dohle_log::RecoveryReport::default());
    assert!(opened.segment_base_offsets().count() > 3);
    assert_eq!(opened.leader_epochs(), &log.epochs);
}
