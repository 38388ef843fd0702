//! Shared parts of the tests of compaction.

use std::time::Duration;

use bytes::Bytes;
use dohle_log::batch::ControlRecord;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    BatchBuilder, BatchHeader, BatchOptions, Batches, CleanStats, CleanerLimits, CleanupPolicy,
    Log, LogConfig, Replaced, validate,
};
use dohle_model::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::{NOW, append, marker, read_all};

pub const LIMITS: CleanerLimits = CleanerLimits {
    dedupe_buffer_bytes: 1 << 20,
    load_factor: 0.9,
    io_buffer_bytes: 8 << 10,
};

pub const COMPACT: CleanupPolicy = CleanupPolicy {
    delete: false,
    compact: true,
};

pub fn compacted() -> LogConfig {
    LogConfig {
        segment_bytes: 1000,
        index_interval_bytes: 200,
        cleanup_policy: COMPACT,
        delete_retention_ms: Duration::from_secs(100),
        ..LogConfig::default()
    }
}

pub fn later(seconds: i64) -> Timestamp {
    Timestamp(NOW.0 + seconds * 1000)
}

pub type Entry<'a> = (&'a str, Option<&'a str>);

pub fn keyed(options: BatchOptions, at: Timestamp, entries: &[Entry<'_>]) -> Bytes {
    let mut builder = BatchBuilder::new(options);
    for (key, value) in entries {
        let value = value.map(str::as_bytes);
        builder.append(Some(at), Some(key.as_bytes()), value, &[("h", Some(b"v"))]);
    }
    builder.build().unwrap()
}

pub fn put(log: &mut Log, entries: &[Entry<'_>]) {
    append(log, keyed(BatchOptions::default(), NOW, entries), 0);
}

/// Closes the active segment and flushes everything to the disk.
pub fn settle(log: &mut Log) {
    log.roll(NOW).unwrap();
    log.flush(NOW).unwrap();
}

pub fn clean_with(log: &mut Log, limits: CleanerLimits, now: Timestamp) -> Option<CleanStats> {
    let high_watermark = log.log_end_offset();
    log.on_high_watermark(high_watermark);
    let cleaning = log.begin_cleaning(high_watermark, now).unwrap()?;
    let mut cleaner = cleaning.index(limits, &mut |_| true).unwrap();
    while let Some(segment) = cleaner.next_segment(&mut |_| true).unwrap() {
        match log.replace_segments(segment).unwrap() {
            Replaced::Done(swapped) => {
                swapped.sync().unwrap();
                for deleted in swapped.deleted {
                    deleted.unlink().unwrap();
                }
            }
            Replaced::Stale => panic!("nothing else changed the log"),
        }
    }
    assert!(log.complete_cleaning(&cleaner));
    Some(cleaner.stats())
}

pub fn clean(log: &mut Log, now: Timestamp) -> CleanStats {
    clean_with(log, LIMITS, now).expect("there is something to clean")
}

/// Returns offset, key and value of every record, including control records as `!commit` and
/// `!abort`.
pub fn content(log: &Log) -> Vec<(i64, String, Option<String>)> {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let records = read_all(log, log.log_start_offset());
    let mut found = Vec::new();
    for batch in Batches::new(&records) {
        let batch = batch.unwrap();
        batch.header.check_crc(batch.bytes).unwrap();
        if let Some(ControlRecord::EndTxn(marker)) = batch
            .header
            .attributes
            .is_control()
            .then(|| ControlRecord::of(&batch))
            .flatten()
        {
            let name = if marker.committed {
                "!commit"
            } else {
                "!abort"
            };
            found.push((batch.header.base_offset.0, name.to_owned(), None));
            continue;
        }
        let uncompressed = batch.uncompressed(1 << 20).unwrap();
        for record in batch.records(&uncompressed) {
            let record = record.unwrap();
            assert_eq!(record.headers().count(), 1, "headers stay");
            let key = record.key.map(text).unwrap_or_default();
            found.push((record.offset.0, key, record.value.map(text)));
        }
    }
    found
}

pub fn listed(log: &Log) -> Vec<String> {
    let line = |(offset, key, value): (i64, String, Option<String>)| {
        format!("{offset} {key}={}", value.unwrap_or_else(|| "-".to_owned()))
    };
    content(log).into_iter().map(line).collect()
}

pub fn headers(log: &Log) -> Vec<BatchHeader> {
    let records = read_all(log, log.log_start_offset());
    Batches::new(&records)
        .map(|batch| batch.unwrap().header)
        .collect()
}

pub fn producer(id: i64, sequence: Option<i32>) -> BatchOptions {
    BatchOptions {
        producer: Some((ProducerId(id), ProducerEpoch(0), sequence.map(Sequence))),
        ..BatchOptions::default()
    }
}

pub fn transactional(log: &mut Log, id: i64, sequence: i32, entries: &[Entry<'_>]) {
    let options = BatchOptions {
        transactional: true,
        ..producer(id, Some(sequence))
    };
    append(log, keyed(options, NOW, entries), 0);
}

pub fn end_txn(log: &mut Log, id: i64, committed: bool) {
    let records = marker(id, 0, committed, 1);
    let validated = validate(records, log.config(), AppendOrigin::Coordinator, NOW).unwrap();
    log.append_as_leader(validated, LeaderEpoch(0), NOW)
        .unwrap();
}
