//! Tests of encoding and decoding records, of records that Apache Kafka wrote, and of invalid
//! bytes.

use std::fmt::Write as _;

use expect_test::expect_file;

use super::*;

/// Records that Apache Kafka 4.3.1 wrote.
const GOLDEN: &str = include_str!("testdata/kafka-4.3.1.txt");

fn hex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn golden() -> Vec<(Vec<u8>, Option<Vec<u8>>)> {
    let lines = GOLDEN.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (key, value) = line.split_once(' ').unwrap();
            (hex(key), (value != "null").then(|| hex(value)))
        })
        .collect()
}

#[test]
fn what_kafka_wrote_is_understood() {
    let mut text = String::new();
    for (key, value) in golden() {
        let record = decode(&key, value.as_deref()).unwrap();
        writeln!(text, "{record:#?}").unwrap();
    }
    expect_file!["testdata/kafka-4.3.1.expected.txt"].assert_eq(&text);
}

#[test]
fn what_kafka_wrote_is_written_the_same_here() {
    let mut versions = Vec::new();
    for (key, value) in golden() {
        let record = decode(&key, value.as_deref()).unwrap().unwrap();
        let (key_again, value_again) = encode(&record).unwrap();
        assert_eq!(key_again, key, "{record:?}");
        assert_eq!(value_again.as_deref(), value.as_deref(), "{record:?}");
        versions.push(record.version);
    }
    assert!(versions.contains(&ValueVersion::V0) && versions.contains(&ValueVersion::V1));
}

/// Returns a record with all fields.
fn full(version: ValueVersion) -> TransactionRecord {
    let partition = |topic: &str, index| TopicPartition {
        topic: TopicName::new(topic).unwrap(),
        partition: PartitionIndex(index),
    };
    TransactionRecord {
        transactional_id: TransactionalId::new("t"),
        metadata: Some(TransactionMetadata {
            producer_id: ProducerId(5),
            previous_producer_id: Some(ProducerId(4)),
            next_producer_id: Some(ProducerId(6)),
            producer_epoch: ProducerEpoch(i16::MAX),
            last_producer_epoch: None,
            timeout_ms: None,
            state: TransactionState::PrepareCommit,
            partitions: [partition("a", 0), partition("a", 7), partition("b", 1)]
                .into_iter()
                .collect(),
            started: Some(Timestamp(10)),
            updated: Timestamp(20),
            client_version: TransactionVersion::V2,
        }),
        version,
    }
}

#[test]
fn all_fields_are_read_again_and_version_0_lacks_the_tagged_ones() {
    let record = full(ValueVersion::V1);
    let (key, value) = encode(&record).unwrap();
    assert_eq!(decode(&key, value.as_deref()).unwrap().unwrap(), record);
    let (key, value) = encode(&full(ValueVersion::V0)).unwrap();
    let mut without = full(ValueVersion::V0);
    let metadata = without.metadata.as_mut().unwrap();
    metadata.previous_producer_id = None;
    metadata.next_producer_id = None;
    metadata.client_version = TransactionVersion::V0;
    assert_eq!(decode(&key, value.as_deref()).unwrap().unwrap(), without);
}

#[test]
fn bytes_that_are_no_record_are_errors_and_unknown_types_are_skipped() {
    let (key, value) = encode(&full(ValueVersion::V1)).unwrap();
    let value = value.unwrap();
    for length in 0..value.len() {
        assert!(decode(&key, Some(&value[..length])).is_err(), "{length}");
    }
    assert_eq!(decode(&[0, 1, 0, 0], Some(&value)), Ok(None));
    assert_eq!(decode(&[0], None), Err(RecordFormatError::Truncated));
    let newer = RecordFormatError::Version {
        version: 2,
        last: 1,
    };
    assert_eq!(decode(&key, Some(&[0, 2])), Err(newer));
    let mut unknown_state = value.to_vec();
    unknown_state[16] = 8;
    let invalid = decode(&key, Some(&unknown_state)).unwrap_err();
    assert_eq!(invalid.to_string(), "8 is not the state of a transaction");
}

#[test]
fn unknown_tagged_fields_are_skipped() {
    let mut record = full(ValueVersion::V1);
    let metadata = record.metadata.as_mut().unwrap();
    metadata.previous_producer_id = None;
    metadata.next_producer_id = None;
    metadata.client_version = TransactionVersion::V0;
    let (key, value) = encode(&record).unwrap();
    let mut newer = value.unwrap().to_vec();
    // One field instead of none: tag 9, two bytes.
    assert_eq!(newer.pop(), Some(0));
    newer.extend([1, 9, 2, 0xab, 0xcd]);
    assert_eq!(decode(&key, Some(&newer)).unwrap().unwrap(), record);
}

#[test]
fn an_id_that_is_too_long_is_an_error() {
    let record = TransactionRecord {
        transactional_id: TransactionalId::new(&"t".repeat(40_000)),
        ..full(ValueVersion::V1)
    };
    let too_long = RecordFormatError::TooLong { length: 40_000 };
    assert_eq!(encode(&record), Err(too_long));
}
