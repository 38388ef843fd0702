//! Tests of damaged ranges: a check finds them, only reads of them fail, and a repair restores the
//! segment.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use common::*;
use dohle_log::batch::BATCH_HEADER_SIZE;
use dohle_log::log::RepairStart;
use dohle_log::{Damage, Log, LogConfig, OpenOptions, ReadError, RepairError, Replaced};
use dohle_model::{LeaderEpoch, Offset};
use proptest::prelude::*;

const FIRST: &str = "00000000000000000000.log";

fn small_segments() -> LogConfig {
    LogConfig {
        segment_bytes: 4000,
        index_interval_bytes: 300,
        ..LogConfig::default()
    }
}

/// Returns a flushed log with the records of two leaders in several segments.
fn filled(dir: &Path) -> Log {
    let mut log = open(dir, small_segments());
    for at in 0..40 {
        let epoch = i32::from(at >= 5);
        log.assign_epoch_start(LeaderEpoch(epoch));
        append(&mut log, batch(5, 40, NOW.0 + at), epoch);
    }
    log.flush(NOW).unwrap();
    assert!(log.segment_base_offsets().count() > 3);
    log
}

/// Returns `(position, size)` of each batch of a segment's file.
fn batches(path: &Path) -> Vec<(usize, usize)> {
    let bytes = fs::read(path).unwrap();
    dohle_log::Batches::new(&bytes)
        .map(|batch| {
            let batch = batch.unwrap();
            (batch.position, batch.bytes.len())
        })
        .collect()
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

fn check(log: &Log, offset: Offset) -> (dohle_log::SegmentCheck, Vec<Damage>) {
    let check = log.plan_check(offset).unwrap().unwrap();
    let found = check.run(&mut |_| true).unwrap().unwrap();
    (check, found)
}

/// Checks the first segment and notes the damage that is found.
fn note(log: &mut Log) -> Vec<Damage> {
    let (check, found) = check(log, Offset(0));
    log.note_damage(&check, found).unwrap()
}

/// Repairs the first segment from the intact bytes of all batches.
fn repair(log: &mut Log, good: &[u8]) -> Result<(), RepairError> {
    let end = log.log_end_offset();
    let started = log.begin_repair(Offset(0), end, NOW).unwrap();
    let RepairStart::Started(mut repair) = started else {
        panic!("{started:?}");
    };
    while let Some(missing) = repair.next_missing(&mut |_| true)? {
        for batch in dohle_log::Batches::new(good).map(Result::unwrap) {
            if batch.header.base_offset >= missing.start
                && batch.header.next_offset() <= missing.end
            {
                repair.supply(&Bytes::copy_from_slice(batch.bytes), &mut |_| true)?;
            }
        }
    }
    let cleaned = repair.finish(&mut |_| true)?;
    let Replaced::Done(swapped) = log.replace_segments(cleaned).unwrap() else {
        panic!("the segment is still there");
    };
    swapped.sync().unwrap();
    for deleted in swapped.deleted {
        deleted.unlink().unwrap();
    }
    Ok(())
}

fn first(dir: &Path) -> PathBuf {
    dir.join(FIRST)
}

#[test]
fn an_intact_log_has_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let log = filled(dir.path());
    for base in log.segment_base_offsets().collect::<Vec<_>>() {
        assert_eq!(check(&log, base).1, []);
    }
}

#[test]
fn a_flipped_bit_fails_the_reads_of_its_batch_alone() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = filled(dir.path());
    let good = read_all(&log, Offset(0));
    let (position, size) = batches(&first(dir.path()))[2];
    change(&first(dir.path()), |bytes| bytes[position + 70] ^= 1);
    let found = note(&mut log);
    assert_eq!(found.len(), 1, "{found:?}");
    let damage = &found[0];
    assert_eq!((damage.start, damage.end), (Offset(10), Offset(15)));
    assert_eq!(
        (damage.position, damage.length),
        (position as u64, size as u64)
    );
    assert!(damage.reason.contains("CRC32C"), "{}", damage.reason);
    assert_eq!(note(&mut log), [], "it is new once");

    let before = log.read(Offset(0), ALL).unwrap();
    assert_eq!(
        before.next_offset,
        Offset(10),
        "a read ends before the damage"
    );
    for inside in 10..15 {
        let error = log.read(Offset(inside), ALL).unwrap_err();
        assert!(matches!(error, ReadError::Damaged(_)), "{error}");
        assert!(error.to_string().contains(&format!("byte {position}")));
    }
    let after = read_all(&log, Offset(15));
    assert!(good.ends_with(&after));

    repair(&mut log, &good).unwrap();
    assert_eq!(log.damage(), []);
    assert_eq!(read_all(&log, Offset(0)), good);
    log.close(NOW).unwrap();
    let log = open(dir.path(), small_segments());
    assert_eq!(read_all(&log, Offset(0)), good, "also after a restart");
}

#[test]
fn a_destroyed_length_damages_its_batch_alone() {
    for length in [0u32, 7, 0x7fff_fff0, u32::MAX] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path());
        let good = read_all(&log, Offset(0));
        let (position, _) = batches(&first(dir.path()))[1];
        change(&first(dir.path()), |bytes| {
            bytes[position + 8..position + 12].copy_from_slice(&length.to_be_bytes());
        });
        let found = note(&mut log);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].start, found[0].end), (Offset(5), Offset(10)));
        assert!(log.read(Offset(5), ALL).is_err());
        let after = read_all(&log, Offset(10));
        assert!(good.ends_with(&after), "the next batch is not affected");
        repair(&mut log, &good).unwrap();
        assert_eq!(read_all(&log, Offset(0)), good);
    }
}

#[test]
fn what_the_checksum_does_not_cover_is_checked_too() {
    // Byte 7 is the last of the base offset, byte 15 the last of the leader epoch.
    for (at, value) in [(7, 0x20), (7, 0x01), (6, 0x01), (15, 0x02)] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path());
        let good = read_all(&log, Offset(0));
        let (position, _) = batches(&first(dir.path()))[2];
        change(&first(dir.path()), |bytes| bytes[position + at] ^= value);
        let found = note(&mut log);
        let offsets: Vec<_> = found.iter().map(|it| (it.start.0, it.end.0)).collect();
        assert_eq!(offsets, [(10, 15)], "byte {at}: {found:?}");
        repair(&mut log, &good).unwrap();
        assert_eq!(read_all(&log, Offset(0)), good);
    }
}

#[test]
fn only_batches_that_belong_there_repair_a_segment() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = filled(dir.path());
    let good = read_all(&log, Offset(0));
    let damaged = batches(&first(dir.path()));
    let (position, size) = damaged[2];
    change(&first(dir.path()), |bytes| bytes[position + 70] ^= 1);
    note(&mut log);
    let mut others = Vec::new();
    let with = |change: &dyn Fn(&mut [u8])| {
        let mut bytes = good.clone();
        change(&mut bytes[position..position + size]);
        bytes
    };
    others.push(("no batch at all", good[..position].to_vec()));
    others.push(("a wrong checksum", with(&|batch| batch[70] ^= 2)));
    others.push(("another leader epoch", with(&|batch| batch[15] ^= 4)));
    for (what, bytes) in others {
        let error = repair(&mut log, &bytes).unwrap_err();
        assert!(
            matches!(error, RepairError::DoesNotFit(_)),
            "{what}: {error}"
        );
        let left = files(dir.path());
        assert!(
            !left.iter().any(|file| file.0.ends_with(".cleaned")),
            "{left:?}"
        );
        assert!(log.read(Offset(10), ALL).is_err());
    }
    repair(&mut log, &good).unwrap();
    assert_eq!(read_all(&log, Offset(0)), good);
}

/// Changes the lowest byte of the base offset of one batch of the first segment.
fn change_base_offset(dir: &Path, at: usize, flip: u8) {
    let (position, _) = batches(&first(dir))[at];
    change(&first(dir), |bytes| bytes[position + 7] ^= flip);
}

#[test]
fn of_two_batches_with_the_same_offsets_neither_is_returned() {
    // The seventh batch has no offset that fits, so the eighth could be wrong as well as the ninth,
    // which has the offsets 41 to 45 instead of 45 to 49.
    let dir = tempfile::tempdir().unwrap();
    let mut log = filled(dir.path());
    let good = read_all(&log, Offset(0));
    let (position, _) = batches(&first(dir.path()))[7];
    change(&first(dir.path()), |bytes| bytes[position] ^= 1);
    change_base_offset(dir.path(), 9, 4);
    let found = note(&mut log);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].start, found[0].end), (Offset(35), Offset(50)));
    repair(&mut log, &good).unwrap();
    assert_eq!(read_all(&log, Offset(0)), good);
}

#[test]
fn after_a_gap_neither_of_two_batches_with_the_same_offsets_is_returned() {
    let source = tempfile::tempdir().unwrap();
    let records = read_all(&filled(source.path()), Offset(0));
    let dir = tempfile::tempdir().unwrap();
    let mut config = LogConfig::default();
    config.cleanup_policy.compact = true;
    let mut log = open(dir.path(), config);
    for (at, batch) in dohle_log::Batches::new(&records).enumerate().take(5) {
        // As if compaction had removed the second batch.
        if at != 1 {
            let batch = Bytes::copy_from_slice(batch.unwrap().bytes);
            log.append_as_follower(batch, NOW).unwrap();
        }
    }
    log.flush(NOW).unwrap();
    change_base_offset(dir.path(), 2, 1);
    let found = note(&mut log);
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].start, found[0].end), (Offset(5), Offset(20)));
}

#[test]
fn damage_above_the_high_watermark_waits() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = filled(dir.path());
    let (position, _) = batches(&first(dir.path()))[2];
    change(&first(dir.path()), |bytes| bytes[position + 70] ^= 1);
    note(&mut log);
    let started = log.begin_repair(Offset(0), Offset(14), NOW).unwrap();
    assert!(matches!(started, RepairStart::NotCommitted), "{started:?}");
    let started = log.begin_repair(Offset(0), Offset(15), NOW).unwrap();
    assert!(matches!(started, RepairStart::Started(_)), "{started:?}");
}

#[test]
fn the_active_segment_is_closed_and_flushed_before_its_repair() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default());
    for _ in 0..4 {
        append(&mut log, batch(5, 40, NOW.0), 0);
    }
    let good = read_all(&log, Offset(0));
    let (position, _) = batches(&first(dir.path()))[3];
    change(&first(dir.path()), |bytes| bytes[position + 70] ^= 1);
    assert_eq!(note(&mut log).len(), 1);
    let end = log.log_end_offset();
    let started = log.begin_repair(Offset(0), end, NOW).unwrap();
    assert!(matches!(started, RepairStart::NeedsFlush), "{started:?}");
    log.flush(NOW).unwrap();
    repair(&mut log, &good).unwrap();
    append(&mut log, batch(5, 40, NOW.0), 0);
    assert!(read_all(&log, Offset(0)).starts_with(&good));
}

#[test]
fn damage_goes_with_its_records() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = filled(dir.path());
    let (position, _) = batches(&first(dir.path()))[2];
    change(&first(dir.path()), |bytes| bytes[position + 70] ^= 1);
    let (check, found) = check(&log, Offset(0));
    log.truncate_to(Offset(12), NOW).unwrap();
    assert_eq!(
        log.note_damage(&check, found).unwrap(),
        [],
        "the check was of other records"
    );
    let dir = tempfile::tempdir().unwrap();
    let mut log = filled(dir.path());
    change(&first(dir.path()), |bytes| bytes[position + 70] ^= 1);
    assert_eq!(note(&mut log).len(), 1);
    let second = log.segment_base_offsets().nth(1).unwrap();
    log.maybe_advance_log_start_offset(second);
    log.delete_old_segments(log.log_end_offset(), NOW).unwrap();
    assert_eq!(log.damage(), []);
}

#[test]
fn what_a_check_found_is_known_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = filled(dir.path());
    let good = read_all(&log, Offset(0));
    let (position, _) = batches(&first(dir.path()))[2];
    change(&first(dir.path()), |bytes| bytes[position + 70] ^= 1);
    let found = note(&mut log);
    let recovery_point = log.close(NOW).unwrap();
    let open = |clean_shutdown| {
        let options = OpenOptions {
            recovery_point,
            clean_shutdown,
            ..unclean()
        };
        open_with(dir.path(), small_segments(), options).0
    };
    for clean_shutdown in [true, false] {
        let mut log = open(clean_shutdown);
        assert_eq!(log.damage(), found, "clean {clean_shutdown}");
        let error = log.read(Offset(12), ALL).unwrap_err();
        assert!(matches!(error, ReadError::Damaged(_)), "{error}");
        assert_eq!(note(&mut log), [], "clean {clean_shutdown}");
    }
    repair(&mut open(true), &good).unwrap();
    assert_eq!(open(true).damage(), []);
}

/// Returns whether a base offset changes together with the batch before it or the header after it.
/// No checksum covers a base offset. A wrong one is detected by its neighbours: without them, the
/// offsets look like those around records that compaction removed.
fn hides_itself(batches: &[(usize, usize)], changes: &[(usize, u8)]) -> bool {
    const BASE_OFFSET_SIZE: usize = 8;
    let changed = |(from, size): (usize, usize)| {
        let mut positions = changes.iter().map(|&(at, _)| at);
        positions.any(|at| (from..from + size).contains(&at))
    };
    let mut neighbours = batches.windows(2);
    neighbours.any(|pair| {
        let [before, after] = [pair[0], pair[1]];
        changed(before) && changed((after.0, BASE_OFFSET_SIZE))
            || changed((before.0, BASE_OFFSET_SIZE)) && changed((after.0, BATCH_HEADER_SIZE))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Readers get the original records or an error, and a repair restores all of them, whatever
    /// bytes change, unless the change [`hides_itself`].
    #[test]
    fn any_damage_is_found_and_repaired(
        changes in prop::collection::vec((any::<prop::sample::Index>(), 1..=255u8), 1..6),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = filled(dir.path());
        let good = read_all(&log, Offset(0));
        let size = fs::metadata(first(dir.path())).unwrap().len() as usize;
        let changes: Vec<(usize, u8)> =
            changes.into_iter().map(|(at, flip)| (at.index(size), flip)).collect();
        prop_assume!(!hides_itself(&batches(&first(dir.path())), &changes));
        change(&first(dir.path()), |bytes| {
            for (at, flip) in changes {
                bytes[at] ^= flip;
            }
        });
        let found = note(&mut log);
        let end = log.segment_base_offsets().nth(1).unwrap();
        let mut at = Offset(0);
        while at < end {
            let damaged = found.iter().find(|damage| damage.start <= at && at < damage.end);
            match (log.read(at, ALL), damaged) {
                (Err(ReadError::Damaged(_)), Some(damage)) => at = damage.end,
                (Ok(info), None) => {
                    let read = &info.records[..];
                    prop_assert!(good.windows(read.len()).any(|window| window == read));
                    at = info.next_offset;
                }
                (read, damaged) => prop_assert!(false, "{read:?} {damaged:?}"),
            }
        }
        if !found.is_empty() {
            repair(&mut log, &good).unwrap();
        }
        prop_assert_eq!(read_all(&log, Offset(0)), good);
    }
}
