//! Tests of Produce, ListOffsets, OffsetForLeaderEpoch, DeleteRecords, DescribeProducers and
//! DescribeLogDirs.

use bytes::Bytes;
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::record::{ConfigResource, MetadataRecord};
use dohle_model::{ErrorCode, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicName};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequestData, DeleteRecordsTopic,
};
use dohle_protocol::messages::delete_records_response::DeleteRecordsResponseData;
use dohle_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequestData;
use dohle_protocol::messages::describe_log_dirs_response::DescribeLogDirsResponseData;
use dohle_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};
use dohle_protocol::messages::list_offsets_response::ListOffsetsResponseData;
use dohle_protocol::messages::offset_for_leader_epoch_request::{
    OffsetForLeaderEpochRequestData, OffsetForLeaderPartition, OffsetForLeaderTopic,
};
use dohle_protocol::messages::offset_for_leader_epoch_response::OffsetForLeaderEpochResponseData;
use dohle_protocol::messages::produce_request::{
    PartitionProduceData, ProduceRequestData, TopicProduceData,
};
use dohle_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponseData};
use tokio::io::AsyncReadExt;

use super::harness::{Broker, NODE, OTHER, TestClient, ask, batch};
use crate::wire;

fn text(value: &str) -> KafkaString {
    KafkaString::from(value.to_owned())
}

pub(super) fn produce(topic: &str, index: i32, acks: i16, records: Bytes) -> ProduceRequestData {
    let partition = PartitionProduceData {
        index,
        records: Some(records),
        ..PartitionProduceData::default()
    };
    let topic = TopicProduceData {
        name: text(topic),
        partition_data: vec![partition],
        ..TopicProduceData::default()
    };
    ProduceRequestData {
        acks,
        timeout_ms: 5000,
        topic_data: vec![topic],
        ..Default::default()
    }
}

async fn produced(
    client: &mut TestClient,
    version: i16,
    request: &ProduceRequestData,
) -> (PartitionProduceResponse, ProduceResponseData) {
    let mut response = ask!(client, Produce, version, *request, ProduceResponseData);
    let partition = response.responses[0].partition_responses.remove(0);
    (partition, response)
}

async fn list(client: &mut TestClient, topic: &str, timestamp: i64) -> (i16, i64, i64) {
    let partition = ListOffsetsPartition {
        current_leader_epoch: -1,
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic {
        name: text(topic),
        partitions: vec![partition],
        ..ListOffsetsTopic::default()
    };
    let request = ListOffsetsRequestData {
        replica_id: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let response = ask!(client, ListOffsets, 8, request, ListOffsetsResponseData);
    let partition = &response.topics[0].partitions[0];
    (partition.error_code, partition.offset, partition.timestamp)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_of_produce_appends_and_answers_the_offset() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let mut client = broker.client();
    let mut offset = 0;
    for version in 3..=13 {
        for acks in [1, -1] {
            let mut request = produce("t", 0, acks, batch(&["a", "b"]));
            if version >= 13 {
                request.topic_data[0].name = KafkaString::default();
                request.topic_data[0].topic_id = wire::wire_id(id);
            }
            let (partition, _) = produced(&mut client, version, &request).await;
            assert_eq!(partition.error_code, 0, "version {version}: {partition:?}");
            assert_eq!(partition.base_offset, offset);
            offset += 2;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acks_0_is_not_answered_and_an_error_closes_the_connection() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let mut client = broker.client();
    let mut body = bytes::BytesMut::new();
    produce("t", 0, 0, batch(&["a"]))
        .write(&mut body, 9)
        .unwrap();
    client.send(dohle_protocol::ApiKey::Produce, 9, &body).await;
    // The next response on the connection is that of the next request.
    assert_eq!(list(&mut client, "t", -1).await, (0, 1, -1));
    assert_eq!(broker.partition(id, 0).positions().log_end_offset.0, 1);

    let mut body = bytes::BytesMut::new();
    produce("nowhere", 0, 0, batch(&["a"]))
        .write(&mut body, 9)
        .unwrap();
    client.send(dohle_protocol::ApiKey::Produce, 9, &body).await;
    assert_eq!(client.stream.read(&mut [0; 9]).await.unwrap(), 0, "closed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_produced_says_why() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 1).await;
    broker.topic("__consumer_offsets", 1).await;
    let mut client = broker.client();
    let good = batch(&["a"]);
    let mut bad_crc = good.to_vec();
    *bad_crc.last_mut().unwrap() ^= 1;
    let mut old_magic = good.to_vec();
    old_magic[16] = 1;
    let mut transactional = good.to_vec();
    transactional[22] |= 0x10;
    let cases = [
        (
            produce("none", 0, 1, good.clone()),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            produce("t", 1, 1, good.clone()),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            produce("t", -1, 1, good.clone()),
            ErrorCode::UnknownTopicOrPartition,
        ),
        (
            produce("t", 0, 2, good.clone()),
            ErrorCode::InvalidRequiredAcks,
        ),
        (produce("t", 0, 1, Bytes::new()), ErrorCode::InvalidRecord),
        (
            produce("t", 0, 1, [&good[..], &good[..]].concat().into()),
            ErrorCode::InvalidRecord,
        ),
        (
            produce("t", 0, 1, good.slice(..good.len() - 1)),
            ErrorCode::InvalidRecord,
        ),
        (
            produce("t", 0, 1, bad_crc.into()),
            ErrorCode::CorruptMessage,
        ),
        (
            produce("t", 0, 1, old_magic.into()),
            ErrorCode::InvalidRecord,
        ),
        (
            produce("t", 0, 1, transactional.into()),
            ErrorCode::TransactionalIdAuthorizationFailed,
        ),
        (
            produce("__consumer_offsets", 0, 1, good.clone()),
            ErrorCode::InvalidTopicException,
        ),
    ];
    for (request, code) in cases {
        let (partition, _) = produced(&mut client, 9, &request).await;
        let found = ErrorCode::from_code(partition.error_code);
        assert_eq!(found, Some(code), "{:?}", partition.error_message);
        assert!(!partition.error_message.unwrap().is_empty());
        assert_eq!(partition.base_offset, -1);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_too_large_is_answered_with_the_limit_and_where_it_was_set() {
    let broker = Broker::start(&[("message.max.bytes", "100")]).await;
    broker.topic("t", 1).await;
    let mut client = broker.client();
    let large = batch(&["a value that needs some bytes of the batch"]);
    let size = large.len();
    let request = produce("t", 0, 1, large);
    let own = ConfigResource::Broker(NODE);
    let all = ConfigResource::BrokerDefault;
    let topic = ConfigResource::Topic(TopicName::new("t").unwrap());
    for (change, limit, origin) in [
        (
            None,
            100,
            "from message.max.bytes in this broker's properties",
        ),
        (
            Some((all, "message.max.bytes")),
            99,
            "from message.max.bytes, set at run time for all brokers",
        ),
        (
            Some((own, "message.max.bytes")),
            98,
            "from message.max.bytes, set at run time for this broker",
        ),
        (Some((topic, "max.message.bytes")), 97, "set for the topic"),
    ] {
        if let Some((resource, name)) = change {
            let change = MetadataRecord::Config {
                resource,
                key: name.into(),
                value: Some(limit.to_string()),
            };
            broker.apply(&[change]).await;
        }
        let (partition, _) = produced(&mut client, 9, &request).await;
        assert_eq!(partition.error_code, ErrorCode::MessageTooLarge.code());
        let message = partition.error_message.unwrap().to_string();
        let expected = format!(
            "the record batch has {size} bytes, more than max.message.bytes={limit} of the topic t \
             ({origin}). Raise max.message.bytes"
        );
        assert!(message.starts_with(&expected), "{message}");
        for setting in ["max.request.size", "batch.size"] {
            assert!(message.contains(setting), "{message}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeated_batch_is_answered_with_its_offset_and_its_largest_timestamp() {
    let timestamp = 1_700_000_000_000;
    for kind in ["LogAppendTime", "CreateTime"] {
        let broker = Broker::start(&[("log.message.timestamp.type", kind)]).await;
        broker.topic("t", 1).await;
        let mut client = broker.client();
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: Some((ProducerId(7), ProducerEpoch(0), Some(Sequence(0)))),
            ..BatchOptions::default()
        });
        builder.append(Some(Timestamp(timestamp)), None, Some(b"a"), &[]);
        let request = produce("t", 0, 1, builder.build().unwrap());
        let (mut first, _) = produced(&mut client, 9, &request).await;
        let (again, _) = produced(&mut client, 9, &request).await;
        assert_eq!(first.error_code, 0);
        assert_eq!(first.log_append_time_ms > 0, kind == "LogAppendTime");
        if kind == "CreateTime" {
            // As in Kafka, although the first response has none.
            first.log_append_time_ms = timestamp;
        }
        assert_eq!(again, first, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_last_batch_for_a_partition_is_appended() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 2).await;
    let mut client = broker.client();
    let mut request = produce("t", 0, 1, batch(&["a"]));
    let other = produce("t", 1, 1, batch(&["b"])).topic_data.remove(0);
    let last = produce("t", 0, 1, batch(&["c", "d", "e"]))
        .topic_data
        .remove(0);
    let partitions = &mut request.topic_data[0].partition_data;
    partitions.extend(other.partition_data);
    // In the same topic, and in the topic named once more.
    partitions.extend(
        produce("t", 0, 1, batch(&["x", "y"]))
            .topic_data
            .remove(0)
            .partition_data,
    );
    request.topic_data.push(last);
    let (other, response) = produced(&mut client, 9, &request).await;
    let partitions = response
        .responses
        .iter()
        .flat_map(|it| &it.partition_responses);
    let answered: Vec<_> = [&other]
        .into_iter()
        .chain(partitions)
        .map(|it| (it.index, it.error_code, it.base_offset))
        .collect();
    assert_eq!(answered, [(1, 0, 0), (0, 0, 0)]);
    assert_eq!(list(&mut client, "t", -1).await.1, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_batch_is_answered_with_the_logs_start() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 1).await;
    let mut client = broker.client();
    let mut bad_crc = batch(&["a"]).to_vec();
    *bad_crc.last_mut().unwrap() ^= 1;
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(Some(Timestamp(i64::MAX)), None, Some(b"a"), &[]);
    for (records, code, start) in [
        (builder.build().unwrap(), ErrorCode::InvalidTimestamp, 0),
        (bad_crc.into(), ErrorCode::CorruptMessage, -1),
    ] {
        let (partition, _) = produced(&mut client, 9, &produce("t", 0, 1, records)).await;
        assert_eq!(ErrorCode::from_code(partition.error_code), Some(code));
        assert_eq!(partition.log_start_offset, start, "{code:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_producer_at_the_wrong_broker_is_told_the_leader() {
    let broker = Broker::start(&[]).await;
    broker.topic_led_by("t", 1, OTHER, vec![OTHER, NODE]).await;
    broker
        .topic_led_by("elsewhere", 1, OTHER, vec![OTHER])
        .await;
    let mut client = broker.client();
    for topic in ["t", "elsewhere"] {
        let request = produce(topic, 0, 1, batch(&["a"]));
        let (partition, response) = produced(&mut client, 10, &request).await;
        assert_eq!(partition.error_code, ErrorCode::NotLeaderOrFollower.code());
        assert_eq!(partition.current_leader.leader_id, OTHER.0);
        assert_eq!(partition.current_leader.leader_epoch, 3);
        assert_eq!(response.node_endpoints[0].node_id, OTHER.0);
        assert_eq!(response.node_endpoints[0].host.as_str(), "host2");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_are_listed_by_place_and_time() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 1).await;
    let mut client = broker.client();
    assert_eq!(list(&mut client, "t", -2).await, (0, 0, -1));
    let request = produce("t", 0, 1, batch(&["a", "b", "c"]));
    produced(&mut client, 9, &request).await;
    let time = 1_700_000_000_000;
    assert_eq!(list(&mut client, "t", -1).await, (0, 3, -1));
    assert_eq!(list(&mut client, "t", time).await, (0, 0, time));
    assert_eq!(list(&mut client, "t", time + 1).await, (0, -1, -1));
    assert_eq!(list(&mut client, "t", -3).await.0, 0);
    let code = ErrorCode::UnsupportedVersion.code();
    assert_eq!(list(&mut client, "t", -9).await.0, code);
    let code = ErrorCode::UnknownTopicOrPartition.code();
    assert_eq!(list(&mut client, "none", -1).await.0, code);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_epoch_ends_where_the_log_does() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 1).await;
    let mut client = broker.client();
    let request = produce("t", 0, 1, batch(&["a", "b"]));
    produced(&mut client, 9, &request).await;
    let partition = OffsetForLeaderPartition {
        current_leader_epoch: 3,
        leader_epoch: 3,
        ..OffsetForLeaderPartition::default()
    };
    let fenced = OffsetForLeaderPartition {
        current_leader_epoch: 2,
        ..partition.clone()
    };
    let topic = OffsetForLeaderTopic {
        topic: text("t"),
        partitions: vec![partition, fenced],
        ..OffsetForLeaderTopic::default()
    };
    let request = OffsetForLeaderEpochRequestData {
        replica_id: -1,
        topics: vec![topic],
        ..Default::default()
    };
    let response = ask!(
        client,
        OffsetForLeaderEpoch,
        4,
        request,
        OffsetForLeaderEpochResponseData
    );
    let [end, fenced] = &response.topics[0].partitions[..] else {
        panic!("two partitions")
    };
    assert_eq!(
        (end.error_code, end.leader_epoch, end.end_offset),
        (0, 3, 2)
    );
    assert_eq!(fenced.error_code, ErrorCode::FencedLeaderEpoch.code());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_records_move_the_start() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 1).await;
    let mut client = broker.client();
    let request = produce("t", 0, 1, batch(&["a", "b", "c"]));
    produced(&mut client, 9, &request).await;
    for (offset, code, low) in [
        (2, 0, 2),
        (9, ErrorCode::OffsetOutOfRange.code(), -1),
        (-2, ErrorCode::OffsetOutOfRange.code(), -1),
        (-1, 0, 3),
    ] {
        let partition = DeleteRecordsPartition {
            offset,
            ..DeleteRecordsPartition::default()
        };
        let topic = DeleteRecordsTopic {
            name: text("t"),
            partitions: vec![partition],
            ..DeleteRecordsTopic::default()
        };
        let request = DeleteRecordsRequestData {
            topics: vec![topic],
            timeout_ms: 1000,
            ..Default::default()
        };
        let response = ask!(client, DeleteRecords, 2, request, DeleteRecordsResponseData);
        let partition = &response.topics[0].partitions[0];
        assert_eq!(
            (partition.error_code, partition.low_watermark),
            (code, low),
            "{offset}"
        );
    }
    assert_eq!(list(&mut client, "t", -2).await.1, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_dirs_are_described_with_their_replicas() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 2).await;
    let mut client = broker.client();
    let request = produce("t", 1, 1, batch(&["a"]));
    produced(&mut client, 9, &request).await;
    let request = DescribeLogDirsRequestData::default();
    let request = DescribeLogDirsRequestData {
        topics: None,
        ..request
    };
    let response = ask!(
        client,
        DescribeLogDirs,
        4,
        request,
        DescribeLogDirsResponseData
    );
    let dir = &response.results[0];
    assert_eq!(dir.error_code, 0);
    assert!(dir.total_bytes > 0);
    let sizes: Vec<_> = dir.topics[0]
        .partitions
        .iter()
        .map(|partition| (partition.partition_index, partition.partition_size > 0))
        .collect();
    assert_eq!(sizes, [(0, false), (1, true)]);
}
