//! Tests of compressed batches whose content contradicts their headers, and of batches that unpack
//! to far more than their size: when they are appended, and when they are read later.

mod common;

use bytes::{Bytes, BytesMut};
use common::*;
use dohle_log::batch::{BATCH_HEADER_SIZE, UNPACKED_BYTES_MAX};
use dohle_log::{
    AppendOrigin, BatchOptions, Batches, Brief, CompressionType, DecompressionMemory, LogConfig,
    StorageErrorKind, TargetCompression, TimestampSearch, ValidateError, validate,
    validate_briefly, validate_fully,
};
use dohle_model::{ErrorCode, Offset, Timestamp};

const COMPRESSED: [CompressionType; 4] = [
    CompressionType::Gzip,
    CompressionType::Snappy,
    CompressionType::Lz4,
    CompressionType::Zstd,
];
/// More than the window of any batch here, and far less than what the largest batches unpack to.
const WINDOW_MAX: u64 = 2 << 20;

/// Recomputes length and checksum.
fn mended(mut batch: BytesMut) -> Bytes {
    let length = (batch.len() - 12) as u32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = dohle_log::batch::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

/// Returns a batch with the header of `count` records in this codec, and another payload.
fn with_payload(codec: CompressionType, count: i32, payload: &[u8]) -> Bytes {
    let good = compressed(codec, count, 10, NOW.0);
    let mut batch = BytesMut::from(&good[..BATCH_HEADER_SIZE]);
    batch.extend_from_slice(payload);
    mended(batch)
}

fn claiming(batch: &Bytes, count: i32) -> Bytes {
    let mut batch = BytesMut::from(&batch[..]);
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    mended(batch)
}

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut value = ((value << 1) ^ (value >> 63)) as u64;
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Returns a zstd frame with a window of `1 << window_log` bytes: `records` records, each with a
/// value of `size` zeros, in a few bytes for each 128 KiB.
fn zeros(window_log: u8, records: i32, size: u64) -> Vec<u8> {
    const BLOCK_MAX: u64 = 128 << 10;
    let mut out = vec![0x28, 0xb5, 0x2f, 0xfd, 0, (window_log - 10) << 3];
    let mut block = |kind: u32, size: u64, last: bool, content: &[u8]| {
        let header = u32::from(last) | kind << 1 | (size as u32) << 3;
        out.extend_from_slice(&header.to_le_bytes()[..3]);
        out.extend_from_slice(content);
    };
    for index in 0..records {
        let mut body = vec![0, 0];
        varint(&mut body, i64::from(index));
        varint(&mut body, -1);
        varint(&mut body, size as i64);
        let mut head = Vec::new();
        // The count of headers, zero, is one more zero after the value.
        varint(&mut head, body.len() as i64 + size as i64 + 1);
        head.extend_from_slice(&body);
        block(0, head.len() as u64, false, &head);
        let mut left = size + 1;
        while left > 0 {
            let step = left.min(BLOCK_MAX);
            left -= step;
            block(1, step, index + 1 == records && left == 0, &[0]);
        }
    }
    out
}

/// Returns a batch that unpacks to `records` records of `size` bytes.
fn bomb(window_log: u8, records: i32, size: u64) -> Bytes {
    with_payload(
        CompressionType::Zstd,
        records,
        &zeros(window_log, records, size),
    )
}

fn refused(records: Bytes) -> ValidateError {
    validate(records, &LogConfig::default(), AppendOrigin::Client, NOW).unwrap_err()
}

#[test]
fn what_is_not_in_the_codec_that_the_header_names_is_refused() {
    for codec in COMPRESSED {
        let good = compressed(codec, 5, 100, NOW.0);
        let payload = &good[BATCH_HEADER_SIZE..];
        let mut flipped = payload.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 0x10;
        for (what, payload) in [
            ("text", &b"this is not compressed at all"[..]),
            ("nothing", &[][..]),
            ("half of it", &payload[..payload.len() / 2]),
            ("a flipped bit", &flipped),
            ("it, and more", &[payload, &b"more"[..]].concat()),
        ] {
            let error = refused(with_payload(codec, 5, payload));
            assert_eq!(
                error.code(),
                ErrorCode::InvalidRecord,
                "{codec}, {what}: {error}"
            );
        }
    }
}

#[test]
fn a_header_that_claims_two_billion_records_is_refused() {
    for codec in COMPRESSED.into_iter().chain([CompressionType::None]) {
        let good = compressed(codec, 1, 20, NOW.0);
        for count in [2, 1000, i32::MAX] {
            let error = refused(claiming(&good, count));
            assert_eq!(error.code(), ErrorCode::InvalidRecord, "{codec}: {error}");
        }
        let fewer = claiming(&compressed(codec, 3, 20, NOW.0), 2);
        assert_eq!(refused(fewer).code(), ErrorCode::InvalidRecord, "{codec}");
    }
}

#[test]
fn records_inside_a_compressed_batch_are_checked_one_by_one() {
    for codec in COMPRESSED {
        // The second record is 2 hours ahead, the header's largest timestamp claims otherwise.
        let options = BatchOptions {
            compression: codec,
            ..BatchOptions::default()
        };
        let mut builder = dohle_log::BatchBuilder::new(options);
        builder.append(Some(NOW), None, Some(b"a"), &[]);
        builder.append(Some(Timestamp(NOW.0 + 7_200_000)), None, Some(b"b"), &[]);
        let mut batch = BytesMut::from(&builder.build().unwrap()[..]);
        batch[35..43].copy_from_slice(&NOW.0.to_be_bytes());
        let error = refused(mended(batch));
        assert_eq!(error.code(), ErrorCode::InvalidTimestamp, "{codec}");
        assert_eq!(error.record_errors()[0].batch_index, 1);

        // A batch with the offsets 0 and 2, with a count of two.
        let mut builder = dohle_log::BatchBuilder::new(options);
        builder.append_at(0, Some(NOW), None, Some(b"a"), &[]);
        builder.append_at(2, Some(NOW), None, Some(b"b"), &[]);
        let error = refused(claiming(&builder.build().unwrap(), 2));
        assert_eq!(error.code(), ErrorCode::InvalidRecord, "{codec}");
        assert_eq!(error.record_errors()[0].batch_index, 1);
    }
}

#[test]
fn what_a_batch_may_unpack_to_is_bounded() {
    let bomb = bomb(17, 2, UNPACKED_BYTES_MAX / 2);
    assert!(bomb.len() < 20_000, "{} bytes", bomb.len());
    let memory = DecompressionMemory::default();
    let config = LogConfig::default();
    let error = validate_fully(bomb, &config, AppendOrigin::Client, NOW, &memory).unwrap_err();
    assert_eq!(error, ValidateError::Unpacked(UNPACKED_BYTES_MAX));
    assert_eq!(error.code(), ErrorCode::InvalidRecord);
    assert!(memory.peak() < WINDOW_MAX, "{}", memory.peak());
    assert_eq!(memory.held(), 0);
}

#[test]
fn what_a_record_may_unpack_to_is_configured() {
    let config = |max| LogConfig {
        max_decompressed_message_bytes: max,
        ..LogConfig::default()
    };
    let validated = |records, config: &LogConfig| {
        validate(records, config, AppendOrigin::Client, NOW).map(drop)
    };
    for codec in COMPRESSED {
        let batch = compressed(codec, 5, 100, NOW.0);
        let Err(ValidateError::RecordTooLarge {
            index: 0,
            size,
            max,
        }) = validated(batch.clone(), &config(50))
        else {
            panic!("{codec}");
        };
        assert!(size > 100 && max == 50, "{codec}: {size}");
        let error = validated(batch.clone(), &config(size - 1)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidRecord, "{codec}");
        assert_eq!(validated(batch, &config(size)), Ok(()), "{codec}");
    }
    // The limit of a bomb of one record is found before the record is unpacked.
    let memory = DecompressionMemory::default();
    let bomb = bomb(17, 1, UNPACKED_BYTES_MAX / 2);
    let error = validate_fully(bomb, &config(1000), AppendOrigin::Client, NOW, &memory);
    assert!(matches!(error, Err(ValidateError::RecordTooLarge { .. })));
    // Records that are not compressed are bounded by `max.message.bytes`.
    let mut recompressing = config(50);
    recompressing.compression_type = TargetCompression::Codec(CompressionType::Lz4);
    for config in [config(50), recompressing] {
        assert_eq!(validated(batch(5, 100, NOW.0), &config), Ok(()));
    }
}

#[test]
fn a_brief_check_leaves_to_others_what_takes_long() {
    let config = LogConfig::default();
    let memory = DecompressionMemory::new(4 << 20);
    let brief = |records: Bytes| {
        validate_briefly(records, &config, AppendOrigin::Client, NOW, &memory).unwrap()
    };
    let large = bomb(17, 1, 10 << 20);
    let Brief::Postponed(records) = brief(large.clone()) else {
        panic!("10 MiB come out of it");
    };
    assert_eq!(records, large);
    validate_fully(records, &config, AppendOrigin::Client, NOW, &memory).unwrap();

    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    let noise: Vec<u8> = (0..60_000).map(|_| random()).collect();
    let mut builder = dohle_log::BatchBuilder::new(BatchOptions {
        compression: CompressionType::Lz4,
        ..BatchOptions::default()
    });
    builder.append(Some(NOW), None, Some(&noise), &[]);
    assert!(matches!(
        brief(builder.build().unwrap()),
        Brief::Postponed(_)
    ));

    for codec in COMPRESSED {
        let small = compressed(codec, 20, 100, NOW.0);
        assert!(
            matches!(brief(small.clone()), Brief::ValidatedBatch(_)),
            "{codec}"
        );
        let _all = memory.acquire(u64::MAX);
        assert!(
            matches!(brief(small), Brief::Postponed(_)),
            "{codec}: no memory is free, and a brief check does not wait"
        );
    }
}

#[test]
fn coordinators_batches_are_not_decompressed() {
    let garbage = with_payload(CompressionType::Gzip, 1, b"not gzip");
    let config = LogConfig::default();
    assert!(validate(garbage, &config, AppendOrigin::Coordinator, NOW).is_ok());
}

/// Returns a log that a leader without these checks has filled: a valid batch, then `bad`, then a
/// valid one.
fn replicated(bad: &Bytes) -> (tempfile::TempDir, dohle_log::Log) {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(dir.path(), LogConfig::default());
    append(&mut log, batch(2, 10, NOW.0 - 100), 0);
    let mut bad = BytesMut::from(&bad[..]);
    bad[..8].copy_from_slice(&log.log_end_offset().0.to_be_bytes());
    bad[12..16].copy_from_slice(&0u32.to_be_bytes());
    log.append_as_follower(bad.freeze(), NOW).unwrap().unwrap();
    append(&mut log, batch(2, 10, NOW.0 + 1000), 0);
    (dir, log)
}

#[test]
fn a_search_that_meets_a_bad_batch_fails_alone() {
    let memory = DecompressionMemory::default();
    for codec in COMPRESSED {
        let bad = with_payload(codec, 1, b"not compressed");
        let (_dir, log) = replicated(&bad);
        let find = |at| log.plan_offset_for_timestamp(Timestamp(at)).find(&memory);
        let error = find(NOW.0).unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::Damage, "{codec}: {error}");
        let before = find(NOW.0 - 100).unwrap();
        assert!(
            matches!(before, TimestampSearch::Found(Some(found)) if found.offset == Offset(0)),
            "{before:?}"
        );
        let largest = log.plan_offset_of_max_timestamp().find(&memory).unwrap();
        assert!(
            matches!(largest, TimestampSearch::Found(Some(found)) if found.offset == Offset(4)),
            "{largest:?}"
        );
        assert_eq!(memory.held(), 0);
    }
}

#[test]
fn searches_at_once_hold_no_more_than_the_nodes_memory() {
    // A window of 8 MiB, from which 12 MiB are unpacked.
    let large = bomb(23, 1, 12 << 20);
    let (_dir, log) = replicated(&large);
    let memory = DecompressionMemory::new(20 << 20);
    std::thread::scope(|scope| {
        for _ in 0..12 {
            let plan = log.plan_offset_for_timestamp(NOW);
            let memory = &memory;
            scope.spawn(move || {
                let found = plan.find(memory).unwrap();
                let TimestampSearch::Found(Some(found)) = found else {
                    panic!("{found:?}");
                };
                assert_eq!(found.offset, Offset(2));
            });
        }
    });
    assert_eq!(memory.held(), 0);
    let peak = memory.peak();
    assert!(
        (8 << 20..=20 << 20).contains(&peak),
        "{peak} bytes were held"
    );
}

#[test]
fn records_larger_than_the_window_are_streamed_whole_where_they_are_wanted() {
    let memory = DecompressionMemory::default();
    let batch = bomb(17, 3, 100_000);
    let batch = Batches::new(&batch).next().unwrap().unwrap();
    let mut stream = batch.stream(&memory).unwrap();
    for index in 0..3 {
        let record = stream.next_record().unwrap().unwrap();
        assert_eq!(record.offset_delta, index);
        assert_eq!(record.value.unwrap(), vec![0; 100_000]);
    }
    assert!(stream.next_record().unwrap().is_none());
    let mut stream = batch.stream(&memory).unwrap();
    for index in 0..3 {
        let head = stream.next_head().unwrap().unwrap();
        assert_eq!((head.index, head.has_key), (index, false));
        assert_eq!(head.timestamp, Some(NOW));
    }
    assert!(stream.next_head().unwrap().is_none());
    assert!(memory.peak() < WINDOW_MAX);
}

#[test]
fn a_search_over_files_that_were_deleted_meanwhile_asks_to_be_planned_anew() {
    let dir = tempfile::tempdir().unwrap();
    {
        let config = LogConfig {
            segment_bytes: 200,
            ..LogConfig::default()
        };
        let mut log = open(dir.path(), config);
        for i in 0..4 {
            append(&mut log, batch(1, 100, NOW.0 + i), 0);
        }
        log.close(NOW).unwrap();
    }
    let options = dohle_log::OpenOptions {
        recovery_point: Offset(4),
        clean_shutdown: true,
        ..unclean()
    };
    let (log, _) = open_with(dir.path(), LogConfig::default(), options);
    let memory = DecompressionMemory::default();
    let plan = log.plan_offset_for_timestamp(NOW);
    std::fs::remove_file(dir.path().join("00000000000000000000.log")).unwrap();
    assert_eq!(plan.find(&memory).unwrap(), TimestampSearch::Changed);
    let later = log.plan_offset_for_timestamp(Timestamp(NOW.0 + 2));
    let found = later.find(&memory).unwrap();
    assert!(
        matches!(found, TimestampSearch::Found(Some(found)) if found.offset == Offset(2)),
        "{found:?}"
    );
}
