//! Requests to partitions that are removed from this broker while they are served.

use std::net::Ipv4Addr;
use std::time::Duration;

use dohle_broker::blocking::WorkOwner;
use dohle_broker::partition::{FetchParams, Isolation};
use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{ErrorCode, Offset, PartitionIndex};
use dohle_protocol::messages::produce_response::ProduceResponseData;
use dohle_protocol::{ApiKey, KafkaString};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::data::produce;
use super::fetch::{partition, request, topic};
use super::harness::{Broker, DIRS, NODE, OTHER, batch};
use crate::fetch::read_from_disk;
use crate::fetch_session::{ColdRead, FetchContext, FetchSession, Reads};
use crate::wire;

/// A deadline that is exceeded only on a failure.
const DEADLINE: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_produce_request_that_waits_for_replicas_fails_like_one_that_comes_later() {
    let broker = Broker::start(&[]).await;
    for version in [7, 9, 13] {
        for is_deleted in [true, false] {
            let id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
            let mut client = broker.client();
            let mut produce = produce("t", 0, -1, batch(&["a"]));
            produce.timeout_ms = i32::MAX;
            if version >= 13 {
                produce.topic_data[0].name = KafkaString::default();
                produce.topic_data[0].topic_id = wire::wire_id(id);
            }
            let mut body = bytes::BytesMut::new();
            produce.write(&mut body, version).unwrap();
            client.send(ApiKey::Produce, version, &body).await;
            let appended = async {
                while broker.partition(id, 0).positions().log_end_offset < Offset(1) {
                    tokio::task::yield_now().await;
                }
            };
            timeout(DEADLINE, appended).await.unwrap();
            let moved = MetadataRecord::PartitionChange {
                topic_id: id,
                partition: PartitionIndex(0),
                change: PartitionChange {
                    replicas: Some(vec![OTHER]),
                    directories: Some(vec![DIRS[0]]),
                    isr: Some(vec![OTHER]),
                    leader: Some(Some(OTHER)),
                    ..PartitionChange::default()
                },
            };
            let (record, expected) = match is_deleted {
                true => (
                    MetadataRecord::RemoveTopic { id },
                    ErrorCode::UnknownTopicOrPartition,
                ),
                false => (moved, ErrorCode::NotLeaderOrFollower),
            };
            broker.apply(&[record]).await;
            let answer = timeout(DEADLINE, client.receive(ApiKey::Produce, version)).await;
            let response = ProduceResponseData::read(&mut answer.unwrap(), version).unwrap();
            let code = response.responses[0].partition_responses[0].error_code;
            assert_eq!(code, expected.code(), "version {version}");
            if !is_deleted {
                broker.apply(&[MetadataRecord::RemoveTopic { id }]).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partition_that_is_removed_before_its_read_from_the_disk_is_read_once_more() {
    let broker = Broker::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let mut session = FetchSession::new(Isolation::HighWatermark);
    let wanted = request(vec![topic("t", id, vec![partition(0, 0)])]);
    session.update(wanted, 10, Isolation::HighWatermark);
    let tokens = session.begin();
    let context = FetchContext {
        may_read: &|_| true,
        node: NODE,
        metadata: &broker.context.metadata,
        partitions: &broker.context.partitions,
        isolation: Isolation::HighWatermark,
        max_bytes: None,
        is_full: true,
        leader_only: true,
        rack: None,
        owner: WorkOwner::client(Ipv4Addr::LOCALHOST.into()),
    };
    let cold = ColdRead {
        partition: broker.partition(id, 0),
        params: FetchParams {
            fetch_offset: Offset(0),
            current_leader_epoch: None,
            last_fetched_epoch: None,
            max_bytes: 1,
            min_one: true,
            isolation: Isolation::HighWatermark,
            leader_only: true,
        },
    };
    let before = broker.context.image();
    broker.apply(&[MetadataRecord::RemoveTopic { id }]).await;
    let (session, mut reads) = (Mutex::new(session), Reads::default());
    read_from_disk(&session, tokens[0], cold, &context, &before, &mut reads).await;
    let removed: Vec<_> = reads.removed.iter().map(|(_, id)| id.topic_id).collect();
    assert_eq!(removed, [id]);
}
