//! Tests that Kafka's own DumpLogSegments can read every file of a log.
//!
//! Runs when `DOHLE_KAFKA_DUMP_LOG` has a command, split at spaces, that is Kafka's
//! `kafka-dump-log` (`kafka-dump-log.sh`, or any wrapper of
//! `org.apache.kafka.tools.DumpLogSegments`); does nothing otherwise, as most machines have no JVM.

mod common;

use std::path::Path;
use std::process::Command;

use common::*;
use dohle_log::batch::ControlRecord;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    BatchBuilder, BatchOptions, CompressionType, Log, LogConfig, OpenOptions, validate,
};
use dohle_model::{LeaderEpoch, ProducerEpoch, ProducerId, Sequence, TopicId};

fn dump(command: &str, arguments: &[&str], files: &[String]) -> String {
    let mut words = command.split(' ');
    let output = Command::new(words.next().expect("a command"))
        .args(words)
        .args(arguments)
        .args(["--files", &files.join(",")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    text
}

fn write_log(dir: &Path, config: &LogConfig) -> Log {
    let mut log = open(dir, config.clone());
    log.ensure_partition_metadata(TopicId::from_bytes([3; 16]))
        .unwrap();
    for i in 0..200 {
        let codec = CompressionType::from_id((i % 5) as u8).unwrap();
        append(
            &mut log,
            compressed(codec, 7, 100, NOW.0 + i),
            i as i32 / 50,
        );
        append(
            &mut log,
            from_producer(1000 + i % 3, 0, (i / 3) as i32 * 2, 2),
            i as i32 / 50,
        );
        if i % 20 == 0 {
            transaction(&mut log, i, i % 40 == 0);
        }
    }
    log
}

fn transaction(log: &mut Log, i: i64, committed: bool) {
    let epoch = LeaderEpoch(i as i32 / 50);
    let producer = |sequence| Some((ProducerId(5), ProducerEpoch(i as i16), sequence));
    let options = BatchOptions {
        producer: producer(Some(Sequence(0))),
        transactional: true,
        ..BatchOptions::default()
    };
    append(log, build(options, 2, 10, NOW.0), epoch.0);
    let options = BatchOptions {
        producer: producer(None),
        control: true,
        ..options
    };
    let (key, value) = ControlRecord::encode_end_txn(committed, 1);
    let mut builder = BatchBuilder::new(options);
    builder.append(Some(NOW), Some(&key), Some(&value), &[]);
    let marker = builder.build().unwrap();
    let validated = validate(marker, log.config(), AppendOrigin::Coordinator, NOW).unwrap();
    log.append_as_leader(validated, epoch, NOW).unwrap();
}

fn check_files(command: &str, dir: &Path) {
    let of = |suffix: &str| -> Vec<String> {
        let names = files(dir).into_iter().map(|file| file.0);
        let names = names.filter(|name| name.ends_with(suffix));
        names
            .map(|name| dir.join(name).to_str().unwrap().to_owned())
            .collect()
    };
    let logs = of(".log");
    assert!(logs.len() > 3);
    let text = dump(command, &["--deep-iteration", "--print-data-log"], &logs);
    assert!(!text.to_lowercase().contains("invalid"), "{text}");
    assert!(
        !text.contains("isvalid: false") && !text.contains("Found"),
        "{text}"
    );
    assert!(text.contains("endTxnMarker: ABORT"), "{text}");
    let batches = text.matches("baseOffset: ").count();
    assert_eq!(batches, 200 + 200 + 10 * 2, "{text}");

    for arguments in [&["--index-sanity-check"][..], &["--verify-index-only"], &[]] {
        for suffix in [".index", ".timeindex"] {
            let text = dump(command, arguments, &of(suffix));
            for bad in ["ismatches", "failed", "out of order", "Found", "not found"] {
                assert!(!text.contains(bad), "{bad}: {text}");
            }
        }
    }
    let text = dump(command, &[], &of(".txnindex"));
    assert_eq!(text.matches("lastStableOffset").count(), 5, "{text}");
    let text = dump(command, &[], &of(".snapshot"));
    assert!(
        text.contains("producerId: 1002") && !text.contains("orrupt"),
        "{text}"
    );
}

#[test]
fn kafkas_dump_tool_reads_every_file() {
    let Ok(command) = std::env::var("DOHLE_KAFKA_DUMP_LOG") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("t-0");
    let config = LogConfig {
        segment_bytes: 20_000,
        index_interval_bytes: 500,
        ..LogConfig::default()
    };
    let log = write_log(&dir, &config);
    let end = log.close(NOW).unwrap();
    check_files(&command, &dir);

    for name in files(&dir).into_iter().map(|file| file.0) {
        if name.ends_with("index") {
            std::fs::remove_file(dir.join(name)).unwrap();
        }
    }
    let (log, report) = open_with(
        &dir,
        config,
        OpenOptions {
            recovery_point: end,
            ..unclean()
        },
    );
    assert!(report.segments_recovered > 3);
    log.close(NOW).unwrap();
    check_files(&command, &dir);
}
