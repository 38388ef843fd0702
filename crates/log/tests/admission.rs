//! Tests of the batches that a leader accepts, and of Kafka's codes for the others.

mod common;

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::*;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    BatchOptions, Batches, CleanupPolicy, CompressionType, LogConfig, TargetCompression,
    TimestampType, ValidateError, validate,
};
use dohle_model::{ErrorCode, LeaderEpoch, Offset, Timestamp};

const CODECS: [CompressionType; 5] = [
    CompressionType::None,
    CompressionType::Gzip,
    CompressionType::Snappy,
    CompressionType::Lz4,
    CompressionType::Zstd,
];

fn check(records: Bytes, config: &LogConfig) -> Result<Bytes, ValidateError> {
    let origin = AppendOrigin::Client;
    let validated = validate(records, config, origin, NOW)?;
    Ok(validated.assign(Offset(500), LeaderEpoch(7)).1)
}

#[track_caller]
fn code(records: Bytes, config: &LogConfig) -> ErrorCode {
    check(records, config).unwrap_err().code()
}

/// Changes bytes and recomputes the checksum.
fn patched(records: &Bytes, at: usize, bytes: &[u8]) -> Bytes {
    let mut records = BytesMut::from(&records[..]);
    records[at..at + bytes.len()].copy_from_slice(bytes);
    let crc = dohle_log::batch::crc32c(&records[21..]);
    records[17..21].copy_from_slice(&crc.to_be_bytes());
    records.freeze()
}

/// Returns offset, timestamp and value of the records, after decompression.
fn values(records: &[u8]) -> Vec<(i64, i64, Vec<u8>)> {
    let batch = Batches::new(records).next().unwrap().unwrap();
    batch.header.check_crc(batch.bytes).unwrap();
    let uncompressed = batch.uncompressed(1 << 30).unwrap();
    let view = |record: dohle_log::batch::RecordView<'_>| {
        assert_eq!(record.headers().count(), 1);
        (
            record.offset.0,
            record.timestamp.unwrap().0,
            record.value.unwrap().to_vec(),
        )
    };
    batch
        .records(&uncompressed)
        .map(|record| view(record.unwrap()))
        .collect()
}

#[test]
fn a_good_batch_only_gets_offset_and_epoch() {
    for codec in CODECS {
        let sent = compressed(codec, 10, 100, NOW.0);
        let stored = check(sent.clone(), &LogConfig::default()).unwrap();
        let header = dohle_log::BatchHeader::parse(&stored).unwrap();
        assert_eq!(header.base_offset, Offset(500));
        assert_eq!(header.partition_leader_epoch, Some(LeaderEpoch(7)));
        assert_eq!(stored[8..12], sent[8..12]);
        assert_eq!(stored[16..], sent[16..], "{codec}");
        assert_eq!(values(&stored)[9].0, 509);
    }
}

#[test]
fn bytes_that_nobody_shares_are_patched_in_place() {
    let sent = batch(3, 100, NOW.0);
    let at = sent.as_ptr();
    assert_eq!(check(sent, &LogConfig::default()).unwrap().as_ptr(), at);
    let sent = batch(3, 100, NOW.0);
    let shared = sent.clone();
    assert_ne!(
        check(sent, &LogConfig::default()).unwrap().as_ptr(),
        shared.as_ptr()
    );
    assert_eq!(shared[..8], [0; 8]);
}

#[test]
fn log_append_time_is_the_leaders_clock() {
    let config = LogConfig {
        message_timestamp_type: TimestampType::LogAppendTime,
        ..LogConfig::default()
    };
    for codec in CODECS {
        let sent = compressed(codec, 3, 10, 5);
        let validated = validate(sent, &config, AppendOrigin::Client, NOW).unwrap();
        assert_eq!(validated.log_append_time(), Some(NOW));
        let (header, stored) = validated.assign(Offset(0), LeaderEpoch(0));
        assert_eq!(header.max_timestamp, Some(NOW));
        assert!(values(&stored).iter().all(|record| record.1 == NOW.0));
    }
}

#[test]
fn a_topic_with_create_time_overrules_a_producer_that_says_log_append_time() {
    for codec in CODECS {
        let good = compressed(codec, 3, 10, NOW.0);
        let attributes = good[22] | 0x08;
        let stored = check(patched(&good, 22, &[attributes]), &LogConfig::default()).unwrap();
        let header = dohle_log::BatchHeader::parse(&stored).unwrap();
        assert_eq!(
            header.attributes.timestamp_type(),
            TimestampType::CreateTime
        );
        assert_eq!(header.max_timestamp, Some(Timestamp(NOW.0 + 2)), "{codec}");
        header.check_crc(&stored).unwrap();
        let times: Vec<i64> = values(&stored).iter().map(|record| record.1).collect();
        assert_eq!(times, [NOW.0, NOW.0 + 1, NOW.0 + 2]);
    }
}

#[test]
fn the_leader_recompresses_to_the_topics_codec() {
    for source in CODECS {
        for target in CODECS {
            let config = LogConfig {
                compression_type: TargetCompression::Codec(target),
                ..LogConfig::default()
            };
            let sent = compressed(source, 50, 300, NOW.0);
            let stored = check(sent.clone(), &config).unwrap();
            let header = dohle_log::BatchHeader::parse(&stored).unwrap();
            assert_eq!(header.attributes.compression().unwrap(), target);
            assert_eq!(header.size as usize, stored.len());
            let expected: Vec<_> = values(&sent)
                .into_iter()
                .map(|record| (record.0 + 500, record.1, record.2))
                .collect();
            assert!(values(&stored) == expected, "{source} to {target}");
        }
    }
}

#[test]
fn recompression_stops_at_the_largest_batch() {
    for source in CODECS {
        let config = LogConfig {
            compression_type: TargetCompression::Codec(CompressionType::None),
            max_message_bytes: 20_000,
            ..LogConfig::default()
        };
        let sent = compressed(source, 50, 3000, NOW.0);
        assert_eq!(code(sent, &config), ErrorCode::MessageTooLarge, "{source}");
        let config = LogConfig {
            compression_type: TargetCompression::Codec(CompressionType::Gzip),
            max_message_bytes: 100,
            ..LogConfig::default()
        };
        let sent = compressed(source, 50, 3000, NOW.0);
        assert_eq!(code(sent, &config), ErrorCode::MessageTooLarge, "{source}");
    }
}

#[test]
fn broken_batches_get_kafkas_codes() {
    let config = LogConfig::default();
    let good = batch(3, 100, NOW.0);
    let flip = |at: usize| {
        let mut bytes = BytesMut::from(&good[..]);
        bytes[at] ^= 0x40;
        bytes.freeze()
    };
    let two = Bytes::from([&good[..], &good[..]].concat());
    let max = LogConfig {
        max_message_bytes: good.len() as u32 - 1,
        ..config.clone()
    };
    let append_time = LogConfig {
        message_timestamp_type: TimestampType::LogAppendTime,
        ..config.clone()
    };
    for (what, records, config, expected) in [
        ("nothing", Bytes::new(), &config, ErrorCode::InvalidRecord),
        (
            "a cut header",
            good.slice(..60),
            &config,
            ErrorCode::CorruptMessage,
        ),
        (
            "a cut batch",
            good.slice(..good.len() - 1),
            &config,
            ErrorCode::CorruptMessage,
        ),
        ("two batches", two, &config, ErrorCode::InvalidRecord),
        (
            "a flipped bit",
            flip(200),
            &config,
            ErrorCode::CorruptMessage,
        ),
        (
            "magic 0",
            patched(&good, 16, &[0]),
            &config,
            ErrorCode::UnsupportedForMessageFormat,
        ),
        (
            "magic 1",
            patched(&good, 16, &[1]),
            &config,
            ErrorCode::UnsupportedForMessageFormat,
        ),
        (
            "magic 7",
            patched(&good, 16, &[7]),
            &config,
            ErrorCode::CorruptMessage,
        ),
        (
            "a negative length",
            patched(&good, 8, &[0xff; 4]),
            &config,
            ErrorCode::CorruptMessage,
        ),
        (
            "a length of 5",
            patched(&good, 8, &[0, 0, 0, 5]),
            &config,
            ErrorCode::CorruptMessage,
        ),
        (
            "2 GiB",
            patched(&good, 8, &[0x7f, 255, 255, 255]),
            &config,
            ErrorCode::CorruptMessage,
        ),
        (
            "base offset 1",
            patched(&good, 7, &[1]),
            &config,
            ErrorCode::InvalidRecord,
        ),
        (
            "a count of 0",
            patched(&good, 57, &[0; 4]),
            &config,
            ErrorCode::InvalidRecord,
        ),
        (
            "a negative count",
            patched(&good, 57, &[0xff; 4]),
            &config,
            ErrorCode::InvalidRecord,
        ),
        (
            "a count of 4",
            patched(&good, 60, &[4]),
            &config,
            ErrorCode::InvalidRecord,
        ),
        (
            "a delta of 7",
            patched(&good, 26, &[7]),
            &config,
            ErrorCode::InvalidRecord,
        ),
        (
            "both lie",
            patched(&patched(&good, 60, &[8]), 26, &[7]),
            &config,
            ErrorCode::InvalidRecord,
        ),
        (
            "codec 5",
            patched(&good, 22, &[5]),
            &config,
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            "a control batch",
            patched(&good, 22, &[0x20]),
            &config,
            ErrorCode::InvalidRecord,
        ),
        (
            "log append time",
            patched(&good, 22, &[0x08]),
            &append_time,
            ErrorCode::InvalidTimestamp,
        ),
        (
            "log append time without a time",
            patched(&patched(&good, 22, &[0x08]), 35, &[0xff; 8]),
            &config,
            ErrorCode::InvalidTimestamp,
        ),
        (
            "a producer without sequence",
            patched(&good, 43, &[0; 10]),
            &config,
            ErrorCode::InvalidRecord,
        ),
        (
            "a transaction of a producer without epoch",
            patched(
                &patched(&patched(&good, 43, &[0; 8]), 53, &[0; 4]),
                22,
                &[0x10],
            ),
            &config,
            ErrorCode::InvalidProducerEpoch,
        ),
        ("too large", good.clone(), &max, ErrorCode::MessageTooLarge),
    ] {
        let error = check(records, config).expect_err(what);
        assert_eq!(error.code(), expected, "{what}: {error}");
    }
}

#[test]
fn lying_counts_inside_compressed_batches_of_compacted_topics_are_found() {
    let config = LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        ..LogConfig::default()
    };
    for codec in &CODECS[1..] {
        let good = compressed(*codec, 3, 100, NOW.0);
        let lying = patched(&patched(&good, 60, &[4]), 26, &[3]);
        assert_eq!(code(lying, &config), ErrorCode::InvalidRecord, "{codec}");
        assert!(check(good, &config).is_ok());
    }
}

#[test]
fn compacted_topics_need_keys() {
    let config = LogConfig {
        cleanup_policy: CleanupPolicy {
            delete: false,
            compact: true,
        },
        ..LogConfig::default()
    };
    for compression in CODECS {
        let options = BatchOptions {
            compression,
            ..BatchOptions::default()
        };
        let mut builder = dohle_log::BatchBuilder::new(options);
        builder.append(Some(NOW), Some(b"k"), Some(b"v"), &[]);
        builder.append(Some(NOW), None, Some(b"v"), &[]);
        let error = check(builder.build().unwrap(), &config).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRecord);
        assert_eq!(error.record_errors()[0].batch_index, 1);
    }
}

#[test]
fn timestamps_must_be_in_range() {
    let limit = Duration::from_secs(60);
    let late = compressed(CompressionType::Gzip, 3, 10, NOW.0 + 3_600_001);
    assert_eq!(
        code(late, &LogConfig::default()),
        ErrorCode::InvalidTimestamp
    );
    let config = LogConfig {
        message_timestamp_before_max_ms: Some(limit),
        ..LogConfig::default()
    };
    for codec in CODECS {
        let early = compressed(codec, 3, 10, NOW.0 - 60_001);
        let error = check(early, &config).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidTimestamp);
        assert_eq!(
            error.record_errors().len(),
            1,
            "the second record is just young enough"
        );
        assert!(check(compressed(codec, 3, 10, NOW.0 - 60_000), &config).is_ok());
    }
    let none = {
        let mut builder = dohle_log::BatchBuilder::new(BatchOptions::default());
        builder.append(None, None, Some(b"v"), &[]);
        builder.build().unwrap()
    };
    assert!(check(none, &config).is_ok());
}

#[test]
fn a_wrong_largest_timestamp_is_corrected() {
    for codec in CODECS {
        let sent = patched(&compressed(codec, 3, 10, NOW.0), 35, &0i64.to_be_bytes());
        let stored = check(sent, &LogConfig::default()).unwrap();
        let header = dohle_log::BatchHeader::parse(&stored).unwrap();
        assert_eq!(header.max_timestamp, Some(Timestamp(NOW.0 + 2)), "{codec}");
        header.check_crc(&stored).unwrap();
    }
}

/// As in Kafka: a negative timestamp is none, and the header of a batch without any has -1.
#[test]
fn the_largest_timestamp_of_records_without_timestamps_is_stored_as_minus_one() {
    for codec in CODECS {
        let none = patched(&compressed(codec, 1, 10, NOW.0), 27, &(-5i64).to_be_bytes());
        let sent = patched(&none, 35, &(-5i64).to_be_bytes());
        let stored = check(sent, &LogConfig::default()).unwrap();
        assert_eq!(stored[35..43], (-1i64).to_be_bytes(), "{codec}");
        assert_eq!(stored[27..35], (-5i64).to_be_bytes(), "{codec}");
        dohle_log::BatchHeader::parse(&stored)
            .unwrap()
            .check_crc(&stored)
            .unwrap();
    }
}
