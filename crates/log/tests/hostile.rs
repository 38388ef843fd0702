//! Tests of bytes that no honest peer or disk produces: nothing panics, and memory stays bounded.
//!
//! `DOHLE_FUZZ_CASES` sets the number of cases of each test; proptest prints what it needs to
//! repeat a failure, and `PROPTEST_RNG_SEED` repeats a whole run.

mod common;

use bytes::{Bytes, BytesMut};
use common::*;
use dohle_log::compression::{CompressionLevel, compress, decompress};
use dohle_log::producer_state::snapshot;
use dohle_log::validate::AppendOrigin;
use dohle_log::{
    BatchHeader, BatchOptions, Batches, CleanupPolicy, CompressionType, LeaderEpochCache,
    LogConfig, MetaProperties, TargetCompression, validate,
};
use dohle_model::{LeaderEpoch, Offset};
use proptest::prelude::*;
use std::time::Duration;

fn cases(default: u32) -> ProptestConfig {
    let cases = std::env::var("DOHLE_FUZZ_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(cases.unwrap_or(default))
    }
}

fn codec() -> impl Strategy<Value = CompressionType> {
    (0u8..5).prop_map(|id| CompressionType::from_id(id).unwrap())
}

/// Generates a valid batch with some bytes changed, with a recomputed checksum or not.
fn mutated() -> impl Strategy<Value = Bytes> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    (
        codec(),
        1..20i32,
        0..200usize,
        prop::collection::vec(change, 0..6),
        any::<bool>(),
        0..40usize,
    )
        .prop_map(|(codec, count, size, changes, mend, cut)| {
            let good = compressed(codec, count, size, NOW.0);
            let mut bytes = BytesMut::from(&good[..]);
            for (at, value) in changes {
                let at = at.index(bytes.len());
                bytes[at] = value;
            }
            bytes.truncate(bytes.len() - cut.min(bytes.len()));
            if mend && bytes.len() > 61 {
                let crc = dohle_log::batch::crc32c(&bytes[21..]);
                bytes[17..21].copy_from_slice(&crc.to_be_bytes());
            }
            bytes.freeze()
        })
}

fn read_everything(records: &Bytes) {
    for batch in Batches::new(records).map_while(Result::ok) {
        let _ = batch.header.check_crc(batch.bytes);
        if let Ok(uncompressed) = batch.uncompressed(1 << 20) {
            assert!(uncompressed.len() <= 1 << 20);
            for record in batch.records(&uncompressed).map_while(Result::ok) {
                assert!(record.headers().count() <= uncompressed.len());
            }
        }
        let _ = dohle_log::batch::ControlRecord::of(&batch);
    }
    let configs = [
        LogConfig::default(),
        LogConfig {
            cleanup_policy: CleanupPolicy {
                delete: true,
                compact: true,
            },
            message_timestamp_before_max_ms: Some(Duration::from_secs(3600)),
            ..LogConfig::default()
        },
        LogConfig {
            compression_type: TargetCompression::Codec(CompressionType::Lz4),
            max_message_bytes: 3000,
            ..LogConfig::default()
        },
    ];
    for config in configs {
        for origin in [AppendOrigin::Client, AppendOrigin::Coordinator] {
            if let Ok(validated) = validate(records.clone(), &config, origin, NOW) {
                assert!(validated.size() <= config.max_message_bytes as usize);
                let (header, stored) = validated.assign(Offset(77), LeaderEpoch(1));
                assert_eq!(BatchHeader::parse(&stored), Ok(header));
                header.check_crc(&stored).unwrap();
            }
        }
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn random_bytes_as_a_batch_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_everything(&Bytes::from(bytes));
    }

    #[test]
    fn damaged_batches_are_refused_or_stored_with_a_correct_checksum(records in mutated()) {
        read_everything(&records);
    }

    #[test]
    fn a_follower_appends_a_damaged_batch_whole_or_not_at_all(records in mutated()) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), LogConfig::default());
        let end = match log.append_as_follower(records, NOW) {
            Ok(Some(info)) => info.last_offset.plus(1),
            Ok(None) | Err(_) => Offset(0),
        };
        prop_assert_eq!(log.log_end_offset(), end);
        prop_assert!(!log.is_failed());
    }

    #[test]
    fn damaged_compressed_data_give_no_more_bytes_than_the_limit(
        codec in codec(),
        data in prop::collection::vec(any::<u8>(), 0..2000),
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
    ) {
        if let Ok(out) = decompress(codec, &data, 10_000) {
            prop_assert!(out.len() <= 10_000);
        }
        let mut out = Vec::new();
        compress(codec, CompressionLevel(None), &data, &mut out).unwrap();
        if !out.is_empty() {
            let at = at.index(out.len());
            out[at] = value;
        }
        if let Ok(out) = decompress(codec, &out, 10_000) {
            prop_assert!(out.len() <= 10_000);
        }
    }

    #[test]
    fn random_contents_of_files_do_not_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in "[0-9 \\-\na-z=.:]{0,80}",
    ) {
        let _ = snapshot::decode(&bytes, Offset(0), NOW, Duration::from_secs(1));
        let _ = LeaderEpochCache::decode(&text);
        let _ = LeaderEpochCache::decode(&format!("0\n1\n{text}"));
        let _ = MetaProperties::decode(&text, std::path::Path::new("x"));
    }

    #[test]
    fn good_batches_before_random_bytes_open_as_they_were(
        batches in 1..5usize,
        garbage in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), LogConfig::default());
        for _ in 0..batches {
            append(&mut log, batch(2, 10, NOW.0), 0);
        }
        let expected = read_all(&log, Offset(0));
        drop(log);
        let path = dir.path().join("00000000000000000000.log");
        let bytes = [&expected[..], &garbage[..]].concat();
        std::fs::write(path, bytes).unwrap();
        let (log, report) = open_with(dir.path(), LogConfig::default(), unclean());
        prop_assert_eq!(report.bytes_truncated, garbage.len() as u64);
        prop_assert_eq!(read_all(&log, Offset(0)), expected);
    }
}

#[test]
fn a_tail_torn_at_any_byte_costs_only_the_last_batch() {
    for codec in [CompressionType::None, CompressionType::Zstd] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(dir.path(), LogConfig::default());
        append(&mut log, batch(3, 40, NOW.0), 0);
        append(&mut log, from_producer(9, 0, 0, 2), 1);
        let kept = read_all(&log, Offset(0));
        append(&mut log, compressed(codec, 4, 30, NOW.0), 2);
        let whole = read_all(&log, Offset(0));
        log.flush(NOW).unwrap();
        drop(log);
        let path = dir.path().join("00000000000000000000.log");
        for cut in kept.len()..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let (mut log, report) = open_with(dir.path(), LogConfig::default(), unclean());
            assert_eq!(report.bytes_truncated as usize, cut - kept.len());
            assert_eq!(log.log_end_offset(), Offset(5), "cut at {cut}");
            assert_eq!(log.latest_epoch(), Some(LeaderEpoch(1)));
            assert_eq!(read_all(&log, Offset(0)), kept);
            assert_eq!(std::fs::metadata(&path).unwrap().len() as usize, kept.len());
            assert_eq!(
                append(&mut log, batch(1, 1, NOW.0), 3).first_offset,
                Offset(5)
            );
        }
    }
}

#[test]
fn a_bad_batch_in_the_middle_ends_the_log_there() {
    let dir = tempfile::tempdir().unwrap();
    let config = LogConfig {
        segment_bytes: 700,
        ..LogConfig::default()
    };
    let mut log = open(dir.path(), config.clone());
    for _ in 0..20 {
        append(&mut log, batch(2, 40, NOW.0), 0);
    }
    let bases: Vec<_> = log.segment_base_offsets().collect();
    drop(log);
    let path = dir.path().join(format!("{:020}.log", bases[2].0));
    let mut bytes = std::fs::read(&path).unwrap();
    let second = BatchHeader::parse(&bytes).unwrap().size as usize;
    bytes[second + 70] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let (log, report) = open_with(dir.path(), config, unclean());
    assert!(report.bytes_truncated > 1000);
    assert_eq!(log.log_end_offset(), bases[2].plus(2));
    assert_eq!(log.segment_base_offsets().collect::<Vec<_>>(), bases[..3]);
}

#[test]
fn a_batch_that_expands_a_thousandfold_is_bounded() {
    for codec in [
        CompressionType::Gzip,
        CompressionType::Zstd,
        CompressionType::Lz4,
    ] {
        let options = BatchOptions {
            compression: codec,
            ..BatchOptions::default()
        };
        let mut builder = dohle_log::BatchBuilder::new(options);
        builder.append(Some(NOW), Some(b"k"), Some(&vec![0; 64 << 20]), &[]);
        let bomb = builder.build().unwrap();
        let config = LogConfig {
            compression_type: TargetCompression::Codec(CompressionType::None),
            ..LogConfig::default()
        };
        let error = validate(bomb, &config, AppendOrigin::Client, NOW).unwrap_err();
        assert_eq!(
            error.code(),
            dohle_model::ErrorCode::MessageTooLarge,
            "{error}"
        );
    }
}

#[test]
fn index_entries_beyond_the_last_offset_stay_within_it() {
    let entry = [[0xff; 8].as_slice(), &[0xff; 4]].concat();
    let base = Offset(i64::MAX - 1);
    let offsets = dohle_log::offset_index_entries(&entry[..8], base);
    assert_eq!(offsets, [(Offset(i64::MAX), u32::MAX)]);
    assert_eq!(
        dohle_log::time_index_entries(&entry, base),
        [(-1, Offset(i64::MAX))]
    );
}
