//! Compares the chunked encoding of fetch responses with the codec's own.

use bytes::{Bytes, BytesMut};
use dohle_protocol::encode_response;
use dohle_protocol::fetch::{
    FetchChunk, FetchPartitionResponse, FetchResponse, FetchTopicResponse, encode_fetch_response,
};
use dohle_protocol::messages::fetch_response::{
    AbortedTransaction, EpochEndOffset, FetchResponseData, FetchableTopicResponse,
    LeaderIdAndEpoch, NodeEndpoint, PartitionData,
};
use dohle_protocol::{KafkaString, KafkaUuid};
use proptest::prelude::*;

fn partition() -> impl Strategy<Value = FetchPartitionResponse> {
    let records = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..600), 0..4);
    let aborted = prop::option::of(prop::collection::vec((any::<i64>(), any::<i64>()), 0..3));
    (
        any::<[i32; 3]>(),
        any::<i16>(),
        any::<[i64; 3]>(),
        any::<[bool; 2]>(),
        aborted,
        records,
    )
        .prop_map(|(small, error_code, large, flags, aborted, records)| {
            let one = |(producer_id, first_offset)| AbortedTransaction {
                producer_id,
                first_offset,
                ..AbortedTransaction::default()
            };
            let aborted = aborted.map(|list: Vec<_>| list.into_iter().map(one).collect());
            let mut data = PartitionData {
                partition_index: small[0],
                error_code,
                high_watermark: large[0],
                last_stable_offset: large[1],
                log_start_offset: large[2],
                aborted_transactions: aborted,
                ..PartitionData::default()
            };
            if flags[0] {
                data.diverging_epoch = EpochEndOffset {
                    epoch: 3,
                    end_offset: 9,
                    ..EpochEndOffset::default()
                };
            }
            if flags[1] {
                data.current_leader = LeaderIdAndEpoch {
                    leader_id: small[1],
                    leader_epoch: small[2],
                    ..LeaderIdAndEpoch::default()
                };
            }
            FetchPartitionResponse {
                data,
                records: records.into_iter().map(Bytes::from).collect(),
            }
        })
}

fn response() -> impl Strategy<Value = FetchResponse> {
    let topic = (
        "[a-z]{0,20}",
        any::<u64>(),
        prop::collection::vec(partition(), 0..4),
    )
        .prop_map(|(name, id, partitions)| FetchTopicResponse {
            name: KafkaString::from(name),
            topic_id: KafkaUuid::from_parts(id, 1),
            partitions,
        });
    let endpoint =
        ("[a-z]{0,9}", any::<i32>(), any::<bool>()).prop_map(|(host, port, rack)| NodeEndpoint {
            node_id: 1,
            host: KafkaString::from(host),
            port,
            rack: rack.then(|| KafkaString::from_static("r")),
            ..NodeEndpoint::default()
        });
    (
        prop::collection::vec(topic, 0..4),
        prop::collection::vec(endpoint, 0..3),
    )
        .prop_map(|(topics, node_endpoints)| FetchResponse {
            throttle_time_ms: 12_345,
            error_code: 0,
            session_id: 0,
            topics,
            node_endpoints,
        })
}

/// Returns the encoded response, as chunks in memory.
fn encoded(response: FetchResponse, version: i16, correlation_id: i32) -> Vec<Bytes> {
    let chunks = encode_fetch_response(response, version, correlation_id).unwrap();
    let bytes = |chunk| match chunk {
        FetchChunk::Encoded(bytes) | FetchChunk::Records(bytes) => bytes,
    };
    chunks.into_iter().map(bytes).collect()
}

fn as_codec(response: &FetchResponse) -> FetchResponseData {
    let partition = |partition: &FetchPartitionResponse| PartitionData {
        records: Some(partition.records.concat().into()),
        ..partition.data.clone()
    };
    let topic = |topic: &FetchTopicResponse| FetchableTopicResponse {
        topic: topic.name.clone(),
        topic_id: topic.topic_id,
        partitions: topic.partitions.iter().map(partition).collect(),
        ..FetchableTopicResponse::default()
    };
    FetchResponseData {
        throttle_time_ms: response.throttle_time_ms,
        error_code: response.error_code,
        session_id: response.session_id,
        responses: response.topics.iter().map(topic).collect(),
        node_endpoints: response.node_endpoints.clone(),
        ..FetchResponseData::default()
    }
}

proptest! {
    #[test]
    fn chunks_are_byte_for_byte_what_the_codec_writes(
        response in response(),
        version in 4_i16..=18,
        session in any::<i32>(),
    ) {
        let mut response = response;
        if version >= 7 {
            response.session_id = session;
            response.error_code = 70;
        }
        let chunks = encoded(response.clone(), version, 77);
        let whole = encode_response(&as_codec(&response), version, 77).unwrap();
        prop_assert_eq!(chunks.concat(), whole.to_vec());
    }
}

#[test]
fn large_records_are_not_copied() {
    let records = Bytes::from(vec![1; 4096]);
    let partition = FetchPartitionResponse {
        records: vec![records.clone()],
        ..FetchPartitionResponse::default()
    };
    let topic = FetchTopicResponse {
        name: KafkaString::from_static("t"),
        topic_id: KafkaUuid::ZERO,
        partitions: vec![partition],
    };
    let response = FetchResponse {
        topics: vec![topic],
        ..FetchResponse::default()
    };
    let chunks = encoded(response, 12, 1);
    assert_eq!(chunks.len(), 3);
    assert_eq!(chunks[1].as_ptr(), records.as_ptr());
    let mut whole = BytesMut::new();
    chunks
        .iter()
        .for_each(|chunk| whole.extend_from_slice(chunk));
    assert_eq!(
        whole.len() - 4,
        i32::from_be_bytes(whole[..4].try_into().unwrap()) as usize
    );
}
