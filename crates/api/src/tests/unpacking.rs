//! Tests that work on compressed batches, searches by time and flushes block neither a network
//! thread nor a lock.
//!
//! Everything runs on one thread here: a handler that blocked it would stop the test.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use dohle_log::{BatchBuilder, BatchOptions, CompressionType, DecompressionMemory};
use dohle_model::features::GROUP_VERSION;
use dohle_model::record::MetadataRecord;
use dohle_model::{ErrorCode, NodeId, Offset, Timestamp};
use dohle_protocol::messages::consumer_group_heartbeat_request::ConsumerGroupHeartbeatRequestData;
use dohle_protocol::messages::consumer_group_heartbeat_response::ConsumerGroupHeartbeatResponseData;
use dohle_protocol::messages::list_offsets_request::{
    ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};
use dohle_protocol::messages::list_offsets_response::ListOffsetsResponseData;
use dohle_protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponseData};
use dohle_protocol::{ApiKey, KafkaString};
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use super::data::produce;
use super::harness::{Broker, TestClient, ask, batch};
use dohle_broker::blocking::WorkOwner;
use dohle_broker::partition::{Acks, AppendOrigin};

const DEADLINE: Duration = Duration::from_secs(30);
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const PRODUCE: i16 = 9;
const LIST: i16 = 8;
const HEARTBEAT: i16 = 1;

fn gzip(values: &[&str]) -> Bytes {
    let options = BatchOptions {
        compression: CompressionType::Gzip,
        ..BatchOptions::default()
    };
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder.append(Some(NOW), None, Some(value.as_bytes()), &[]);
    }
    builder.build().unwrap()
}

/// A batch with a good header and checksum whose payload is not gzip.
fn not_gzip() -> Bytes {
    let mut batch = BytesMut::from(&gzip(&["a"])[..61]);
    batch.extend_from_slice(b"not gzip");
    let length = (batch.len() - 12) as u32;
    batch[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = dohle_log::batch::crc32c(&batch[21..]);
    batch[17..21].copy_from_slice(&crc.to_be_bytes());
    batch.freeze()
}

fn list(timestamp: i64) -> ListOffsetsRequestData {
    let partition = ListOffsetsPartition {
        current_leader_epoch: -1,
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let topic = ListOffsetsTopic {
        name: KafkaString::from_static("t"),
        partitions: vec![partition],
        ..ListOffsetsTopic::default()
    };
    ListOffsetsRequestData {
        replica_id: -1,
        topics: vec![topic],
        ..ListOffsetsRequestData::default()
    }
}

async fn listed(client: &mut TestClient, timestamp: i64) -> (i16, i64) {
    let request = list(timestamp);
    let response = ask!(client, ListOffsets, LIST, request, ListOffsetsResponseData);
    let partition = &response.topics[0].partitions[0];
    (partition.error_code, partition.offset)
}

async fn produced(client: &mut TestClient, records: Bytes) -> PartitionProduceResponse {
    let request = produce("t", 0, 1, records);
    let mut response = ask!(client, Produce, PRODUCE, request, ProduceResponseData);
    response.responses[0].partition_responses.remove(0)
}

macro_rules! body {
    ($request:expr, $version:expr) => {{
        let mut body = BytesMut::new();
        $request.write(&mut body, $version).unwrap();
        body
    }};
}

/// Receives the next response on a connection with several requests, after its correlation id.
async fn next_response(client: &mut TestClient, expected: i32) -> Bytes {
    let response = async {
        let length = client.stream.read_u32().await.unwrap();
        let mut frame = vec![0; length as usize];
        client.stream.read_exact(&mut frame).await.unwrap();
        let mut frame = Bytes::from(frame);
        assert_eq!(frame.get_i32(), expected);
        frame
    };
    timeout(DEADLINE, response).await.unwrap()
}

fn decompression(broker: &Broker) -> Arc<DecompressionMemory> {
    Arc::clone(broker.context.partitions.decompression())
}

async fn until(what: impl Fn() -> bool) {
    let reached = async {
        while !what() {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, reached).await.unwrap();
}

/// A lane of the pool.
#[derive(Clone, Copy)]
enum Lane {
    Disk,
    Compute,
    Search,
}

/// Fills a lane until the sender is dropped.
async fn occupy(broker: &Broker, lane: Lane) -> Sender<()> {
    let (release, gate) = channel::<()>();
    let gate = Arc::new(Mutex::new(gate));
    let waiting = broker.context.partitions.blocking().waiting();
    for occupant in 0..64 {
        let (partitions, gate) = (Arc::clone(&broker.context.partitions), Arc::clone(&gate));
        tokio::spawn(async move {
            let wait = move || gate.lock().recv_timeout(DEADLINE).is_ok();
            let pool = partitions.blocking();
            let owner = WorkOwner::Broker(NodeId(occupant));
            match lane {
                Lane::Disk => pool.disk(owner, wait).await,
                Lane::Compute => pool.compute(owner, wait).await,
                Lane::Search => pool.search(owner, wait).await,
            }
        });
    }
    // Once polled, each future has its place or waits for one.
    for _ in 0..64 {
        tokio::task::yield_now().await;
    }
    assert!(broker.context.partitions.blocking().waiting() > waiting);
    release
}

#[tokio::test]
async fn a_batch_that_is_not_what_its_codec_says_is_refused_and_not_stored() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let mut client = broker.client();
    let refused = produced(&mut client, not_gzip()).await;
    assert_eq!(refused.error_code, ErrorCode::InvalidRecord.code());
    let message = refused.error_message.unwrap();
    assert!(message.as_str().contains("gzip"), "{message:?}");
    assert_eq!(
        broker.partition(id, 0).positions().log_end_offset,
        Offset(0)
    );
    assert_eq!(
        produced(&mut client, gzip(&["a", "b"])).await.base_offset,
        0
    );
    assert_eq!(listed(&mut client, -1).await, (0, 2));
}

#[tokio::test]
async fn a_bad_batch_in_the_log_fails_the_search_that_meets_it_and_nothing_else() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let mut client = broker.client();
    let partition = broker.partition(id, 0);
    // The batch is stored as a leader without the check would store it.
    let stored = partition.append(not_gzip(), Acks::Leader, AppendOrigin::Coordinator, NOW);
    stored.unwrap();
    let corrupt = (ErrorCode::CorruptMessage.code(), -1);
    for timestamp in [0, NOW.0, -3] {
        assert_eq!(listed(&mut client, timestamp).await, corrupt);
    }
    assert!(broker.context.partitions.failed_dirs().borrow().is_empty());
    assert!(partition.is_leader());
    assert_eq!(produced(&mut client, gzip(&["a"])).await.base_offset, 1);
    assert_eq!(listed(&mut client, -1).await, (0, 2));
    assert_eq!(listed(&mut client, NOW.0 + 1).await, (0, -1));
}

#[tokio::test]
async fn a_search_by_time_holds_neither_the_network_thread_nor_the_partitions_lock() {
    for timestamp in [-3, NOW.0] {
        let broker = Broker::start(&[]).await;
        broker.topic("t", 1).await;
        let (mut searching, mut other) = (broker.client(), broker.client());
        assert_eq!(produced(&mut other, gzip(&["a", "b"])).await.base_offset, 0);
        let memory = decompression(&broker);
        {
            // The search stops in the middle, where it needs memory to decompress.
            let _all = memory.acquire(u64::MAX);
            let body = body!(list(timestamp), LIST);
            searching.send(ApiKey::ListOffsets, LIST, &body).await;
            until(|| memory.waiting() == 1).await;
            let appended = timeout(DEADLINE, produced(&mut other, batch(&["c"]))).await;
            assert_eq!(appended.unwrap().base_offset, 2);
            assert_eq!(listed(&mut other, -1).await, (0, 3));
        }
        let mut response = searching.receive(ApiKey::ListOffsets, LIST).await;
        let response = ListOffsetsResponseData::read(&mut response, LIST).unwrap();
        let found = &response.topics[0].partitions[0];
        assert_eq!((found.error_code, found.offset), (0, 0));
        assert_eq!(memory.held(), 0);
    }
}

#[tokio::test]
async fn connections_with_many_searches_hold_up_another_client_for_one_of_them() {
    const MANY: usize = 40;
    let broker = Broker::start(&[]).await;
    broker.topic("t", 2).await;
    let mut greedy: Vec<_> = (0..MANY).map(|_| broker.client()).collect();
    let mut other = broker.client_at(Ipv4Addr::new(10, 0, 0, 2));
    assert_eq!(produced(&mut greedy[0], gzip(&["a"])).await.base_offset, 0);
    let request = produce("t", 1, 1, batch(&["b"]));
    let response = ask!(other, Produce, PRODUCE, request, ProduceResponseData);
    assert_eq!(response.responses[0].partition_responses[0].error_code, 0);

    let pool = broker.context.partitions.blocking();
    let memory = decompression(&broker);
    // The searches of the many connections stop in the middle. The search of the other needs no
    // memory.
    let all = memory.acquire(u64::MAX);
    let release = occupy(&broker, Lane::Search).await;
    let occupied = pool.waiting();
    for client in &mut greedy {
        let body = body!(list(0), LIST);
        client.send(ApiKey::ListOffsets, LIST, &body).await;
    }
    until(|| pool.waiting() == occupied + MANY).await;
    let mut request = list(0);
    request.topics[0].partitions[0].partition_index = 1;
    let body = body!(request, LIST);
    other.send(ApiKey::ListOffsets, LIST, &body).await;
    until(|| pool.waiting() == occupied + MANY + 1).await;
    drop(release);
    // The turn of this client comes after one of theirs, which takes one of several places.
    let mut response = other.receive(ApiKey::ListOffsets, LIST).await;
    let response = ListOffsetsResponseData::read(&mut response, LIST).unwrap();
    assert_eq!(response.topics[0].partitions[0].offset, 0);
    assert!(memory.waiting() > 0 && pool.waiting() > 0);
    drop(all);
    for client in &mut greedy {
        client.receive(ApiKey::ListOffsets, LIST).await;
    }
    assert_eq!(pool.waiting(), 0);
}

#[tokio::test]
async fn records_of_a_connection_are_appended_in_order_while_a_batch_is_checked_elsewhere() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let (mut client, mut other) = (broker.client(), broker.client());
    let memory = decompression(&broker);
    {
        let _all = memory.acquire(u64::MAX);
        for records in [gzip(&["a", "b"]), batch(&["c"])] {
            let body = body!(produce("t", 0, 1, records), PRODUCE);
            client.send(ApiKey::Produce, PRODUCE, &body).await;
        }
        let body = body!(list(-1), LIST);
        client.send(ApiKey::ListOffsets, LIST, &body).await;
        until(|| memory.waiting() == 1).await;
        // Requests of another connection that shares the thread are answered.
        assert_eq!(listed(&mut other, -1).await, (0, 0));
        let end = broker.partition(id, 0).positions().log_end_offset;
        assert_eq!(end, Offset(0), "the second batch waits for the first");
    }
    for (correlation_id, expected) in [(1, 0), (2, 2)] {
        let mut response = next_response(&mut client, correlation_id).await;
        assert_eq!(response.get_u8(), 0, "no tagged fields");
        let response = ProduceResponseData::read(&mut response, PRODUCE).unwrap();
        let partition = &response.responses[0].partition_responses[0];
        assert_eq!((partition.error_code, partition.base_offset), (0, expected));
    }
    let mut response = next_response(&mut client, 3).await;
    assert_eq!(response.get_u8(), 0, "no tagged fields");
    let response = ListOffsetsResponseData::read(&mut response, LIST).unwrap();
    assert_eq!(response.topics[0].partitions[0].offset, 3);
}

#[tokio::test]
async fn a_flush_that_flush_messages_asks_for_runs_elsewhere_and_before_the_answer() {
    let broker = Broker::start(&[("log.flush.interval.messages", "1")]).await;
    let id = broker.topic("t", 1).await;
    let (mut client, mut other) = (broker.client(), broker.client());
    let release = occupy(&broker, Lane::Disk).await;
    let body = body!(produce("t", 0, 1, batch(&["a"])), PRODUCE);
    client.send(ApiKey::Produce, PRODUCE, &body).await;
    let partition = broker.partition(id, 0);
    until(|| partition.positions().log_end_offset == Offset(1)).await;
    assert_eq!(listed(&mut other, -1).await, (0, 1));
    let early = client.stream.read_u8().now_or_never();
    assert!(
        early.is_none(),
        "nothing is answered that is not on the disk"
    );
    assert!(partition.has_unflushed());
    drop(release);
    let mut response = client.receive(ApiKey::Produce, PRODUCE).await;
    let response = ProduceResponseData::read(&mut response, PRODUCE).unwrap();
    assert_eq!(response.responses[0].partition_responses[0].base_offset, 0);
    assert!(!partition.has_unflushed());
}

fn heartbeat(group: &'static str) -> ConsumerGroupHeartbeatRequestData {
    ConsumerGroupHeartbeatRequestData {
        group_id: KafkaString::from_static(group),
        member_id: KafkaString::from_static("m"),
        rebalance_timeout_ms: 10_000,
        topic_partitions: Some(Vec::new()),
        ..ConsumerGroupHeartbeatRequestData::default()
    }
}

/// Joins a group that subscribes to topic `t` by name. Returns the error code.
async fn joins(client: &mut TestClient, group: &'static str) -> i16 {
    let request = ConsumerGroupHeartbeatRequestData {
        subscribed_topic_names: Some(vec![KafkaString::from_static("t")]),
        ..heartbeat(group)
    };
    let response = ask!(
        client,
        ConsumerGroupHeartbeat,
        HEARTBEAT,
        request,
        ConsumerGroupHeartbeatResponseData
    );
    response.error_code
}

#[tokio::test]
async fn an_expression_is_looked_up_without_holding_up_the_shards_other_groups() {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 1).await;
    broker.topic("__consumer_offsets", 1).await;
    let level = MetadataRecord::FeatureLevel {
        name: GROUP_VERSION.to_owned(),
        level: 1,
    };
    broker.apply(&[level]).await;
    let (mut client, mut other) = (broker.client(), broker.client());
    let loaded = async { while joins(&mut other, "first").await != 0 {} };
    timeout(DEADLINE, loaded).await.unwrap();
    let release = occupy(&broker, Lane::Compute).await;
    let with_regex = ConsumerGroupHeartbeatRequestData {
        subscribed_topic_regex: Some(KafkaString::from_static("t.*")),
        ..heartbeat("g")
    };
    let body = body!(with_regex, HEARTBEAT);
    client
        .send(ApiKey::ConsumerGroupHeartbeat, HEARTBEAT, &body)
        .await;
    let joined = timeout(DEADLINE, joins(&mut other, "second")).await;
    assert_eq!(joined.unwrap(), 0);
    let early = client.stream.read_u8().now_or_never();
    assert!(early.is_none(), "the expression is not looked up yet");
    drop(release);
    let mut response = client
        .receive(ApiKey::ConsumerGroupHeartbeat, HEARTBEAT)
        .await;
    let response = ConsumerGroupHeartbeatResponseData::read(&mut response, HEARTBEAT).unwrap();
    assert_eq!(response.error_code, 0, "{:?}", response.error_message);
    let assigned = response.assignment.unwrap().topic_partitions;
    assert_eq!(assigned[0].partitions, [0]);
}
