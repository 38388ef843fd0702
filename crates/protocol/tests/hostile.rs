//! Tests that bytes of no honest client never panic, and never use more memory than their size
//! justifies.

use bytes::{BufMut, Bytes, BytesMut};
use dohle_protocol::message::{APIS, probe};
use dohle_protocol::messages::{
    MetadataRequestData, MetadataRequestTopic, PartitionProduceData, ProduceRequestData,
    TopicProduceData,
};
use dohle_protocol::{ApiKey, KafkaString, Request, RequestHeader};
use proptest::prelude::*;

/// Runs `DOHLE_FUZZ_CASES` cases of each test, or a few.
fn config() -> ProptestConfig {
    let cases = std::env::var("DOHLE_FUZZ_CASES")
        .ok()
        .and_then(|text| text.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(512),
        ..ProptestConfig::default()
    }
}

fn api() -> impl Strategy<Value = ApiKey> {
    prop::sample::select(APIS)
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn random_bodies_do_not_panic(
        key in api(),
        version in -1_i16..20,
        body in prop::collection::vec(any::<u8>(), 0..400),
    ) {
        let _ = probe(key, version, Bytes::from(body));
    }

    #[test]
    fn bodies_of_small_numbers_do_not_panic(
        key in api(),
        version in 0_i16..19,
        body in prop::collection::vec(
            prop::sample::select(&[0_u8, 1, 2, 3, 0x7f, 0x80, 0xff][..]),
            0..200,
        ),
    ) {
        let _ = probe(key, version, Bytes::from(body));
    }

    #[test]
    fn random_headers_do_not_panic(frame in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = RequestHeader::decode(&mut Bytes::from(frame));
    }

    #[test]
    fn a_damaged_produce_request_does_not_panic(
        version in 3_i16..=13,
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut body = BytesMut::new();
        produce(64, 3).write(&mut body, version).unwrap();
        let at = at.index(body.len());
        body[at] = byte;
        body.truncate(cut.index(body.len()) + 1);
        let _ = probe(ApiKey::Produce, version, body.freeze());
    }

    #[test]
    fn a_produce_request_comes_back_as_it_was(version in 3_i16..=13, records in 0_usize..100) {
        let request = produce(records, 4);
        let mut body = BytesMut::new();
        request.write(&mut body, version).unwrap();
        let read = ProduceRequestData::decode(body.freeze(), version).unwrap();
        prop_assert_eq!(&read.topic_data[0].partition_data, &request.topic_data[0].partition_data);
        prop_assert_eq!(read.acks, request.acks);
    }
}

fn produce(records: usize, partitions: i32) -> ProduceRequestData {
    let partition = |index| PartitionProduceData {
        index,
        records: Some(Bytes::from(vec![5; records])),
        ..PartitionProduceData::default()
    };
    let topic = TopicProduceData {
        partition_data: (0..partitions).map(partition).collect(),
        ..TopicProduceData::default()
    };
    ProduceRequestData {
        acks: -1,
        topic_data: vec![topic],
        ..ProduceRequestData::default()
    }
}

#[test]
fn an_array_count_larger_than_the_frame_is_refused_at_once() {
    // Metadata v1 with a count of 2^31-1 topics and none of them.
    let mut body = BytesMut::new();
    body.put_i32(i32::MAX);
    assert!(MetadataRequestData::decode(body.freeze(), 1).is_err());
    // Metadata v12 with a compact count of 2^32-1.
    let body = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0, 0]);
    assert!(MetadataRequestData::decode(body, 12).is_err());
}

#[test]
fn a_frame_full_of_empty_elements_is_refused() {
    let topic = MetadataRequestTopic {
        name: Some(KafkaString::default()),
        ..Default::default()
    };
    let topics = Some(vec![topic; 3 << 20]);
    let mut body = BytesMut::new();
    MetadataRequestData {
        topics,
        ..Default::default()
    }
    .write(&mut body, 12)
    .unwrap();
    let error = MetadataRequestData::decode(body.freeze(), 12).unwrap_err();
    assert!(error.to_string().contains("at most"), "{error}");
}

#[test]
fn records_of_a_produce_request_are_slices_of_the_frame() {
    let mut body = BytesMut::new();
    produce(1000, 1).write(&mut body, 9).unwrap();
    let frame = body.freeze();
    let range = frame.as_ptr() as usize..frame.as_ptr() as usize + frame.len();
    let request = ProduceRequestData::decode(frame.clone(), 9).unwrap();
    let records = request.topic_data[0].partition_data[0]
        .records
        .as_ref()
        .unwrap();
    assert!(range.contains(&(records.as_ptr() as usize)));
}
