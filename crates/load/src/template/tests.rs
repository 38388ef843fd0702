//! Batches of a template, read by the log's parser.

use dohle_log::{Batches, CompressionType};

use super::*;

const CODECS: [Compression; 5] = [
    Compression::None,
    Compression::Gzip,
    Compression::Snappy,
    Compression::Lz4,
    Compression::Zstd,
];

fn content(compression: Compression, marked: bool) -> BatchContent<'static> {
    BatchContent {
        records: 7,
        record_size: 100,
        random_bytes: 40,
        keys: &[1, 2, 3],
        compression,
        transactional: false,
        marked,
        seed: 5,
    }
}

fn stamp(number: i32, marked: bool) -> Stamp {
    Stamp {
        timestamp_ms: 1_700_000_000_000 + i64::from(number),
        producer: Some(Sequenced {
            producer_id: 4_000_000_000 + i64::from(number),
            epoch: 3,
            base_sequence: 7 * number,
        }),
        mark: marked.then_some(DueMark {
            run: 77,
            due: 1_000_000 + number as u64,
        }),
    }
}

#[test]
fn a_stamped_batch_has_a_valid_checksum_and_its_own_fields() {
    for compression in CODECS {
        for marked in [false, true] {
            let template = BatchTemplate::new(&content(compression, marked)).unwrap();
            for number in [0, 1, 300] {
                let bytes = join(&template.stamp(&stamp(number, marked)));
                let batch = Batches::new(&bytes).next().unwrap().unwrap();
                let header = batch.header;
                header.check_crc(&bytes).unwrap();
                assert_eq!(header.size as usize, bytes.len());
                assert_eq!(header.base_timestamp, 1_700_000_000_000 + i64::from(number));
                let id = header.producer_id.map(|id| id.0);
                assert_eq!(id, Some(4_000_000_000 + i64::from(number)));
                assert_eq!(header.producer_epoch.map(|epoch| epoch.0), Some(3));
                assert_eq!(header.base_sequence.map(|it| it.0), Some(7 * number));
                let codec = CompressionType::from_id(compression as u8);
                assert_eq!(header.attributes.compression().ok(), codec);
                let plain = batch.uncompressed(1 << 20).unwrap();
                let records: Vec<_> = batch.records(&plain).map(Result::unwrap).collect();
                assert_eq!(records.len(), 7);
                assert!(records.iter().all(|it| it.value.unwrap().len() == 100));
                assert!(records.iter().all(|it| it.key.unwrap().len() == 14));
                assert_eq!(template.payload_bytes, 7 * 114);
                let mark = DueMark::read(records[0].value.unwrap());
                assert_eq!(mark == stamp(number, marked).mark, marked);
            }
        }
    }
}

#[test]
fn a_batch_without_a_producer_has_none() {
    let template = BatchTemplate::new(&content(Compression::None, false)).unwrap();
    let stamp = Stamp {
        producer: None,
        ..stamp(1, false)
    };
    let bytes = join(&template.stamp(&stamp));
    let header = Batches::new(&bytes).next().unwrap().unwrap().header;
    header.check_crc(&bytes).unwrap();
    assert_eq!((header.producer_id, header.base_sequence), (None, None));
    assert!(!header.attributes.is_transactional());
}

#[test]
fn a_transactional_batch_has_the_attribute() {
    let content = BatchContent {
        transactional: true,
        ..content(Compression::Lz4, false)
    };
    let template = BatchTemplate::new(&content).unwrap();
    let bytes = join(&template.stamp(&stamp(1, false)));
    let header = Batches::new(&bytes).next().unwrap().unwrap().header;
    assert!(header.attributes.is_transactional());
}

#[test]
fn random_values_do_not_compress_and_equal_ones_do() {
    let size = |random_bytes| {
        let content = BatchContent {
            records: 50,
            record_size: 1000,
            random_bytes,
            ..content(Compression::Zstd, false)
        };
        BatchTemplate::new(&content)
            .unwrap()
            .stamp(&stamp(0, false))
            .len()
    };
    let (all, half, none) = (size(1000), size(500), size(0));
    assert!(all > 50_000, "{all}");
    assert!((25_000..30_000).contains(&half), "{half}");
    assert!(none < 2_000, "{none}");
}
