//! Compares compaction with Apache Kafka's own cleaner: both clean the same logs and leave the same
//! records.
//!
//! Runs when `DOHLE_KAFKA_LIBS` is a folder with the jars of Apache Kafka 4.3; does nothing
//! otherwise, as most machines have no JVM. The logs are random: `DOHLE_SEED` repeats a run.
//!
//! The two compress similarly but not to the same number of bytes, and segments are grouped by
//! their size. So both begin each round with the files of one of them, in turns.

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::compact::*;
use common::*;
use dohle_log::batch::ControlRecord;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    BatchBuilder, BatchOptions, Batches, CleanerLimits, CompressionType, Log, LogConfig,
    OpenOptions, validate,
};
use dohle_model::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use dohle_storage::simulated::Random;

const RETENTION: Duration = Duration::from_secs(100);
/// Room for all keys: when the map is full, Kafka's cleaner stops at the next key, this one at the
/// next new key.
const MAP_BYTES: usize = 24 * 1000;

fn config(segment_bytes: u32) -> LogConfig {
    LogConfig {
        segment_bytes,
        delete_retention_ms: RETENTION,
        ..compacted()
    }
}

/// The source of the batches that are appended to both logs.
struct Writer {
    random: Random,
    sequences: [i32; 4],
    open: [bool; 4],
    now: Timestamp,
}

impl Writer {
    fn records(&mut self, options: BatchOptions) -> (bytes::Bytes, i32) {
        let compression = CompressionType::from_id(self.random.below(5) as u8).unwrap();
        let mut builder = BatchBuilder::new(BatchOptions {
            compression,
            ..options
        });
        let count = 1 + self.random.below(6);
        for _ in 0..count {
            let key = format!("key-{}", self.random.below(150));
            let value = format!("value-{}", self.random.below(1_000_000));
            let value = (self.random.below(5) > 0).then_some(value.as_bytes());
            let at = Timestamp(self.now.0 - self.random.below(5000) as i64);
            builder.append(Some(at), Some(key.as_bytes()), value, &[("h", Some(b"v"))]);
        }
        (builder.build().unwrap(), count as i32)
    }

    fn producer(&self, at: usize, sequence: Option<i32>) -> BatchOptions {
        let producer = (
            ProducerId(at as i64 + 1),
            ProducerEpoch(0),
            sequence.map(Sequence),
        );
        BatchOptions {
            producer: Some(producer),
            ..BatchOptions::default()
        }
    }

    /// Returns one batch: plain, of an idempotent producer, of a transaction, or a marker.
    fn next(&mut self) -> (bytes::Bytes, AppendOrigin) {
        let at = self.random.below(6) as usize;
        if at >= 4 {
            return (
                self.records(BatchOptions::default()).0,
                AppendOrigin::Client,
            );
        }
        let is_transactional = at >= 2;
        if is_transactional && self.open[at] && self.random.below(3) == 0 {
            return self.marker(at);
        }
        let options = BatchOptions {
            transactional: is_transactional,
            ..self.producer(at, Some(self.sequences[at]))
        };
        let (records, count) = self.records(options);
        self.sequences[at] += count;
        self.open[at] = is_transactional;
        (records, AppendOrigin::Client)
    }

    fn marker(&mut self, at: usize) -> (bytes::Bytes, AppendOrigin) {
        let options = BatchOptions {
            transactional: true,
            control: true,
            ..self.producer(at, None)
        };
        let mut builder = BatchBuilder::new(options);
        let (key, value) = ControlRecord::encode_end_txn(self.random.below(2) == 0, 1);
        builder.append(Some(self.now), Some(&key), Some(&value), &[]);
        self.open[at] = false;
        (builder.build().unwrap(), AppendOrigin::Coordinator)
    }

    fn write(&mut self, logs: &mut [Log], batches: usize) {
        let mut all: Vec<_> = Vec::new();
        for _ in 0..batches {
            all.push(self.next());
        }
        for at in 2..4 {
            if self.open[at] {
                all.push(self.marker(at));
            }
        }
        for (records, origin) in all {
            for log in &mut *logs {
                let validated = validate(records.clone(), log.config(), origin, self.now).unwrap();
                log.append_as_leader(validated, LeaderEpoch(0), self.now)
                    .unwrap();
            }
        }
    }
}

/// Opens a log that was closed cleanly and ends at `end`, so that its indexes and snapshots are
/// read, not rebuilt.
fn open_flushed(dir: &Path, segment_bytes: u32, end: Offset) -> Log {
    let options = OpenOptions {
        recovery_point: end,
        ..unclean()
    };
    open_with(dir, config(segment_bytes), options).0
}

/// Describes everything that a reader sees of a log, batch by batch.
fn described(log: &Log) -> Vec<String> {
    let mut lines: Vec<_> = log
        .segment_base_offsets()
        .map(|base| format!("segment {base}"))
        .collect();
    let records = read_all(log, Offset(0));
    for batch in Batches::new(&records) {
        let batch = batch.unwrap();
        let header = batch.header;
        header.check_crc(batch.bytes).unwrap();
        lines.push(format!(
            "batch {}..={} of {:?} {:?} {:?}, {} records, {:?}, horizon {:?}, max {:?}",
            header.base_offset,
            header.last_offset(),
            header.producer_id,
            header.producer_epoch,
            header.base_sequence,
            header.record_count,
            header.attributes,
            header.delete_horizon(),
            header.max_timestamp,
        ));
        let uncompressed = batch.uncompressed(1 << 20).unwrap();
        for record in batch.records(&uncompressed) {
            let record = record.unwrap();
            let headers: Vec<_> = record.headers().collect();
            lines.push(format!(
                "  {} {:?} {:?}={:?} {headers:?}",
                record.offset, record.timestamp, record.key, record.value
            ));
        }
    }
    for aborted in log.aborted_transactions(Offset(0), log.log_end_offset()) {
        lines.push(format!("{aborted:?}"));
    }
    lines
}

fn replace(from: &Path, to: &Path) {
    fs::remove_dir_all(to).unwrap();
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}

fn clean_with_kafka(
    libs: &Path,
    dir: &Path,
    segment_bytes: u32,
    now: Timestamp,
    first_dirty: Offset,
) -> Offset {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kafka/CleanLog.java");
    let arguments = [
        dir.display().to_string(),
        segment_bytes.to_string(),
        RETENTION.as_millis().to_string(),
        now.0.to_string(),
        first_dirty.0.to_string(),
        MAP_BYTES.to_string(),
    ];
    let output = Command::new("java")
        .args(["-Xmx256m", "-cp", &format!("{}/*", libs.display())])
        .arg(program)
        .args(arguments)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    Offset(
        text.trim()
            .parse()
            .unwrap_or_else(|_| panic!("{text}\n{errors}")),
    )
}

#[test]
fn kafkas_cleaner_leaves_the_same() {
    let Some(libs) = std::env::var_os("DOHLE_KAFKA_LIBS").map(PathBuf::from) else {
        return;
    };
    let seed = std::env::var("DOHLE_SEED")
        .ok()
        .and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or(1);
    eprintln!("DOHLE_SEED={seed}");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let now = Timestamp(now.as_millis() as i64);
    let mut writer = Writer {
        random: Random(seed),
        sequences: [0; 4],
        open: [false; 4],
        now,
    };
    let (ours, theirs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (ours, theirs) = (ours.path().join("t-0"), theirs.path().join("t-0"));
    let limits = CleanerLimits {
        dedupe_buffer_bytes: MAP_BYTES,
        ..LIMITS
    };
    let mut first_dirty = Offset(0);
    let mut records_left = 0;
    let mut end = Offset(0);
    for round in 0..6 {
        // Larger segments from now on: old ones are merged.
        let segment_bytes = if round < 3 { 1500 } else { 6000 };
        let mut logs = [&ours, &theirs].map(|dir| open_flushed(dir, segment_bytes, end));
        writer.write(&mut logs, 60);
        let [mut log, other] = logs;
        end = log.log_end_offset();
        other.close(now).unwrap();
        let at = Timestamp(now.0 + round * 60_000);
        log.flush(now).unwrap();
        log.set_cleaner_checkpoint(Some(first_dirty));
        let theirs_at = clean_with_kafka(&libs, &theirs, segment_bytes, at, first_dirty);
        let sizes = theirs.join("closed-segments.deleted");
        assert!(
            !sizes.exists(),
            "Kafka changes segments, so it has to delete their sizes"
        );
        clean_with(&mut log, limits, at).expect("there is something dirty");
        first_dirty = log.cleaner_checkpoint().unwrap();
        assert_eq!(first_dirty, theirs_at, "round {round}");
        let other = open_flushed(&theirs, segment_bytes, end);
        let (found, expected) = (described(&log), described(&other));
        let differs = found.iter().zip(&expected).position(|(a, b)| a != b);
        if let Some(at) = differs {
            let around = at.saturating_sub(3)..(at + 3).min(found.len()).min(expected.len());
            panic!(
                "round {round}, DOHLE_SEED={seed}:\nours {:#?}\nKafka's {:#?}",
                &found[around.clone()],
                &expected[around]
            );
        }
        assert_eq!(found.len(), expected.len(), "round {round}");
        records_left = found.len();
        other.close(now).unwrap();
        log.close(now).unwrap();
        let (from, to) = if round % 2 == 0 {
            (&ours, &theirs)
        } else {
            (&theirs, &ours)
        };
        replace(from, to);
    }
    assert!(records_left > 100, "{records_left}");
}
