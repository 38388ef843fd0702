//! Tests of records that stay in their file: a range contains exactly what a read returns, and
//! never sends anything else, whatever happens to the log meanwhile.

mod common;

use std::os::unix::fs::FileExt;

use common::*;
use dohle_log::{Access, FileRange, Log, LogConfig, RangeError, ReadLimits, ReadPlan, Records};
use dohle_model::Offset;
use dohle_storage::simulated::{Image, Power};
use proptest::prelude::*;

/// Returns all bytes of a range, read window by window.
fn sent(range: &mut FileRange, window: usize, access: Access) -> Result<Vec<u8>, RangeError> {
    let mut all = Vec::new();
    let mut buffer = vec![0; window];
    while all.len() < range.len() {
        let read = range.read(all.len(), &mut buffer, access)?;
        // The socket accepts a part; the rest is read again.
        let accepted = (read * 3 / 4).max(1);
        all.extend_from_slice(&buffer[..accepted]);
    }
    Ok(all)
}

fn located(plan: &ReadPlan, window: usize, access: Access) -> (Vec<u8>, Offset) {
    let located = plan.locate(0, access).unwrap();
    let bytes = match located.records {
        Records::Memory(bytes) => bytes.to_vec(),
        Records::File(mut range) => sent(&mut range, window, access).unwrap(),
    };
    (bytes, located.next_offset)
}

fn range(plan: &ReadPlan) -> FileRange {
    match plan.locate(0, Access::Disk).unwrap().records {
        Records::File(range) => range,
        Records::Memory(bytes) => panic!("{} bytes in memory", bytes.len()),
    }
}

fn limits(max_bytes: usize, upper_bound: i64) -> ReadLimits {
    ReadLimits {
        max_bytes,
        upper_bound: Offset(upper_bound),
        min_one: true,
    }
}

/// Returns a log of two closed segments and an active one, with batches of 10 records and about 2
/// KB.
fn log_of_three(dir: &std::path::Path) -> Log {
    let config = LogConfig {
        segment_bytes: 400_000,
        index_interval_bytes: 4096,
        retention_bytes: Some(0),
        ..LogConfig::default()
    };
    let mut log = open(dir, config);
    for _ in 0..500 {
        append(&mut log, batch(10, 200, NOW.0), 0);
    }
    log.flush(NOW).unwrap();
    log
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(12)
    })]

    #[test]
    fn a_range_has_what_a_read_has(
        sizes in prop::collection::vec((1..30i32, 0..3_000usize), 20..120),
        reads in prop::collection::vec((0..1_000i64, 0..400_000usize, 0..1_100i64), 30),
        flush in any::<bool>(),
        window in 4_096..100_000usize,
    ) {
        let dir = tempfile::tempdir().unwrap();
        let config = LogConfig {
            segment_bytes: 1_500_000,
            index_interval_bytes: 4096,
            ..LogConfig::default()
        };
        let mut log = open(dir.path(), config);
        for (count, size) in sizes {
            append(&mut log, batch(count, size, NOW.0), 0);
        }
        if flush {
            log.flush(NOW).unwrap();
        }
        let end = log.log_end_offset().0;
        for (at, max_bytes, upper) in reads {
            let offset = Offset(end * at / 1_000);
            let limits = limits(max_bytes, end * upper / 1_000);
            let plan = log.plan_read(offset, limits).unwrap();
            let read = plan.read().unwrap();
            let (bytes, next_offset) = located(&plan, window, Access::Disk);
            prop_assert!(bytes == read.records, "{} {} bytes", bytes.len(), read.records.len());
            // This reader's next read begins at the offset that the range returned.
            prop_assert!(next_offset >= read.next_offset);
            let next = log.plan_read(next_offset, limits).unwrap();
            let same = log.plan_read(read.next_offset, limits).unwrap();
            prop_assert!(next.read().unwrap().records == same.read().unwrap().records);
        }
    }
}

#[test]
fn what_was_just_written_is_read_without_waiting_for_the_disk() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let log = log_of_three(dir.path());
    let plan = log.plan_read(Offset(5), limits(300_000, i64::MAX)).unwrap();
    let read = plan.read().unwrap();
    match plan.locate(0, Access::Cached) {
        Ok(located) => {
            let Records::File(mut range) = located.records else {
                panic!("a range");
            };
            let sent = sent(&mut range, 64 << 10, Access::Cached).unwrap();
            assert!(sent == read.records);
        }
        // The file system cannot determine what is cached (tmpfs): the caller reads on another
        // thread.
        Err(RangeError::NotCached) => {}
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn a_few_bytes_at_the_end_are_read_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log_of_three(dir.path());
    let end = log.log_end_offset();
    append(&mut log, batch(2, 100, NOW.0), 0);
    for offset in [end, Offset(end.0 + 1)] {
        let plan = log.plan_read(offset, ALL).unwrap();
        let located = plan.locate(16 << 10, Access::Disk).unwrap();
        let Records::Memory(bytes) = located.records else {
            panic!("in memory");
        };
        assert_eq!(ranges(&bytes), [(end.0, end.0 + 1)]);
        assert_eq!(located.next_offset, Offset(end.0 + 2));
    }
}

#[test]
fn a_truncation_ends_a_range_and_never_changes_what_it_sends() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log_of_three(dir.path());
    let end = log.log_end_offset().0;
    let plan = log.plan_read(Offset(end - 500), ALL).unwrap();
    let whole = plan.read().unwrap().records;
    let mut range = range(&plan);
    let mut window = vec![0; 8 << 10];
    let first = range.read(0, &mut window, Access::Disk).unwrap();
    assert!(window[..first] == whole[..first]);
    // Records of another leader replace those that have not been sent yet.
    log.truncate_to(Offset(end - 300), NOW).unwrap();
    for _ in 0..30 {
        append(&mut log, batch(10, 300, NOW.0), 1);
    }
    let mut at = first;
    while at < range.len() {
        match range.read(at, &mut window, Access::Disk) {
            Err(RangeError::Truncated) => return,
            Ok(read) => {
                assert!(
                    window[..read] == whole[at..at + read],
                    "wrong bytes at {at}"
                );
                at += read;
            }
            Err(error) => panic!("{error}"),
        }
    }
    panic!("the range was sent to its end though its records are gone");
}

#[test]
fn a_range_outlives_retention_and_closed_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log_of_three(dir.path());
    let plan = log.plan_read(Offset(100), ALL).unwrap();
    let whole = plan.read().unwrap().records;
    let mut range = range(&plan);
    let mut window = vec![0; 8 << 10];
    range.read(0, &mut window, Access::Disk).unwrap();
    log.close_idle_files();
    for segment in log.delete_old_segments(log.log_end_offset(), NOW).unwrap() {
        segment.unlink().unwrap();
    }
    log.close_idle_files();
    assert!(log.log_start_offset() > Offset(100));
    assert!(sent(&mut range, 8 << 10, Access::Disk).unwrap() == whole);
    assert!(plan.read().unwrap().records == whole, "and so does a read");
}

#[test]
fn a_damaged_header_ends_a_range_and_later_reads_end_before_it() {
    let dir = tempfile::tempdir().unwrap();
    let log = log_of_three(dir.path());
    let plan = log.plan_read(Offset(0), limits(200_000, i64::MAX)).unwrap();
    let whole = plan.read().unwrap().records;
    let damaged = ranges(&whole).len() / 2;
    let size = whole.len() / ranges(&whole).len();
    let at = (damaged * size) as u64;
    let file = dir.path().join("00000000000000000000.log");
    let file = std::fs::OpenOptions::new().write(true).open(file).unwrap();
    // The length of the batch: longer than the file.
    file.write_all_at(&0x7fff_fff0_i32.to_be_bytes(), at + 8)
        .unwrap();
    let error = sent(&mut range(&plan), 16 << 10, Access::Disk).unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&format!("at byte {at}")), "{text}");

    let plan = log.plan_read(Offset(0), limits(200_000, i64::MAX)).unwrap();
    let (bytes, next_offset) = located(&plan, 16 << 10, Access::Disk);
    assert!(bytes == whole[..at as usize]);
    assert_eq!(next_offset, Offset(10 * damaged as i64));
    let error = log
        .plan_read(next_offset, limits(200_000, i64::MAX))
        .unwrap()
        .locate(0, Access::Disk)
        .unwrap_err();
    assert!(matches!(error, RangeError::Storage(_)), "{error}");
}

#[test]
fn headers_that_were_read_to_find_the_first_batch_are_not_read_again_to_find_the_last() {
    let disk = Power::new(1, u64::MAX, |_| {}).disk(Image::new());
    let (mut log, _) = open_on(&disk, LogConfig::default());
    for _ in 0..20 {
        append(&mut log, batch(1, 100, NOW.0), 0);
    }
    // The high watermark ends the reads. The second one continues where the first one ended.
    for (first, end) in [(0, 10), (10, 15)] {
        let plan = log.plan_read(Offset(first), limits(1 << 20, end)).unwrap();
        let before = disk.reads();
        let located = plan.locate(0, Access::Cached).unwrap();
        assert_eq!(located.next_offset, Offset(end));
        assert_eq!(
            disk.reads() - before,
            1,
            "reads of the headers of {first}..{end}"
        );
    }
}
