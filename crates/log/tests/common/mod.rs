//! Shared parts of the tests of the log.
#![allow(dead_code, reason = "each test file uses a part")]

pub mod compact;
pub mod small_fs;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dohle_log::batch::EndTxnMarker;
use dohle_log::log::RepairStart;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    AppendInfo, BatchBuilder, BatchOptions, Batches, CompressionType, DecompressionMemory,
    LeaderAppend, Log, LogConfig, OpenFiles, OpenOptions, ReadLimits, RecoveryReport, Replaced,
    TimestampOffset, TimestampPlan, TimestampSearch, validate,
};
use dohle_model::{
    LeaderEpoch, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicName,
    TopicPartition,
};
use dohle_storage::simulated::SimulatedDisk;

pub const NOW: Timestamp = Timestamp(1_700_000_000_000);

pub fn partition() -> TopicPartition {
    TopicPartition {
        topic: TopicName::new("t").unwrap(),
        partition: PartitionIndex(0),
    }
}

/// What a search of a log that does not change meanwhile finds.
pub fn run_search(plan: &TimestampPlan) -> Option<TimestampOffset> {
    match plan.find(&DecompressionMemory::default()).unwrap() {
        TimestampSearch::Found(found) => found,
        TimestampSearch::Changed => panic!("the log did not change"),
    }
}

pub fn open_with(dir: &Path, config: LogConfig, options: OpenOptions) -> (Log, RecoveryReport) {
    Log::open(dir, partition(), Arc::new(config), options).unwrap()
}

pub fn unclean() -> OpenOptions {
    OpenOptions {
        log_start_offset: Offset::ZERO,
        recovery_point: Offset::ZERO,
        clean_shutdown: false,
        now: NOW,
    }
}

pub fn open(dir: &Path, config: LogConfig) -> Log {
    open_with(dir, config, unclean()).0
}

/// Opens a log on a simulated disk.
pub fn open_on(disk: &SimulatedDisk, config: LogConfig) -> (Log, Arc<OpenFiles>) {
    let files = Arc::new(OpenFiles::default().within(disk.environment()));
    let opened = Log::open_with(
        Path::new("/t-0"),
        partition(),
        Arc::new(config),
        unclean(),
        Arc::clone(&files),
    );
    (opened.unwrap().0, files)
}

/// Returns a batch as a producer sends it: `count` records of `size` bytes, timestamps from `at`
/// on.
pub fn batch(count: i32, size: usize, at: i64) -> Bytes {
    build(BatchOptions::default(), count, size, at)
}

pub fn build(options: BatchOptions, count: i32, size: usize, at: i64) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for i in 0..count {
        let value = vec![b'a' + (i % 26) as u8; size];
        let at = Timestamp(at + i64::from(i));
        builder.append(
            Some(at),
            Some(&i.to_be_bytes()),
            Some(&value),
            &[("h", Some(b"v"))],
        );
    }
    builder.build().unwrap()
}

pub fn compressed(codec: CompressionType, count: i32, size: usize, at: i64) -> Bytes {
    build(
        BatchOptions {
            compression: codec,
            ..BatchOptions::default()
        },
        count,
        size,
        at,
    )
}

pub fn from_producer(id: i64, epoch: i16, sequence: i32, count: i32) -> Bytes {
    let producer = Some((
        ProducerId(id),
        ProducerEpoch(epoch),
        Some(Sequence(sequence)),
    ));
    build(
        BatchOptions {
            producer,
            ..BatchOptions::default()
        },
        count,
        10,
        NOW.0,
    )
}

pub fn append(log: &mut Log, records: Bytes, epoch: i32) -> AppendInfo {
    let validated = validate(records, log.config(), AppendOrigin::Client, NOW).unwrap();
    match log
        .append_as_leader(validated, LeaderEpoch(epoch), NOW)
        .unwrap()
    {
        LeaderAppend::Appended(info) => info,
        other => panic!("not appended: {other:?}"),
    }
}

/// Returns the marker that ends a transaction.
pub fn marker(id: i64, epoch: i16, committed: bool, coordinator_epoch: i32) -> Bytes {
    let marker = EndTxnMarker {
        committed,
        coordinator_epoch,
        timestamp: Some(NOW),
    };
    marker.batch(ProducerId(id), ProducerEpoch(epoch))
}

/// Appends a batch of a transaction, and the marker that aborts it.
pub fn aborted_transaction(log: &mut Log, producer: i64, epoch: i32) -> [AppendInfo; 2] {
    let options = BatchOptions {
        transactional: true,
        ..compact::producer(producer, Some(0))
    };
    let data = append(log, build(options, 2, 10, NOW.0), epoch);
    let records = marker(producer, 0, false, 1);
    let validated = validate(records, log.config(), AppendOrigin::Coordinator, NOW).unwrap();
    match log
        .append_as_leader(validated, LeaderEpoch(epoch), NOW)
        .unwrap()
    {
        LeaderAppend::Appended(marker) => [data, marker],
        other => panic!("not appended: {other:?}"),
    }
}

pub const ALL: ReadLimits = ReadLimits {
    max_bytes: 1 << 30,
    upper_bound: Offset(i64::MAX),
    min_one: true,
};

/// Returns all records from `offset` on, of all segments.
pub fn read_all(log: &Log, offset: Offset) -> Vec<u8> {
    let mut out = Vec::new();
    let mut at = offset;
    while at < log.log_end_offset() {
        let info = log.read(at, ALL).unwrap();
        assert!(
            info.next_offset > at,
            "a read at {at} makes no progress: {info:?}"
        );
        out.extend_from_slice(&info.records);
        at = info.next_offset;
    }
    out
}

/// Returns the offset ranges of the batches in a buffer.
pub fn ranges(records: &[u8]) -> Vec<(i64, i64)> {
    let range = |batch: dohle_log::Batch<'_>| {
        batch.header.check_crc(batch.bytes).unwrap();
        (batch.header.base_offset.0, batch.header.last_offset().0)
    };
    Batches::new(records)
        .map(|batch| range(batch.unwrap()))
        .collect()
}

pub fn files(dir: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                entry.metadata().unwrap().len(),
            )
        })
        .collect();
    files.sort();
    files
}

/// Repairs a segment from intact batches; `meanwhile` runs before the swap.
pub fn repair(
    log: &mut Log,
    segment: Offset,
    good: &[u8],
    meanwhile: impl FnOnce(&mut Log),
) -> Replaced {
    let end = log.log_end_offset();
    let RepairStart::Started(mut repair) = log.begin_repair(segment, end, NOW).unwrap() else {
        panic!("the segment at {segment} can be repaired");
    };
    while let Some(missing) = repair.next_missing(&mut |_| true).unwrap() {
        for batch in Batches::new(good).map(Result::unwrap) {
            let header = batch.header;
            if header.base_offset >= missing.start && header.next_offset() <= missing.end {
                let bytes = Bytes::copy_from_slice(batch.bytes);
                repair.supply(&bytes, &mut |_| true).unwrap();
            }
        }
    }
    let cleaned = repair.finish(&mut |_| true).unwrap();
    meanwhile(log);
    log.replace_segments(cleaned).unwrap()
}
