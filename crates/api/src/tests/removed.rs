//! Requests to partitions that are removed from this broker while they are served.

use std::net::Ipv4Addr;
use std::time::Duration;

use dohle_broker::blocking::WorkOwner;
use dohle_broker::partition::{FetchParams, Isolation};
use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{ErrorCode, Offset, PartitionIndex, TopicId};
use dohle_protocol::messages::delete_records_request::{
    DeleteRecordsPartition, DeleteRecordsRequestData, DeleteRecordsTopic,
};
use dohle_protocol::messages::delete_records_response::DeleteRecordsResponseData;
use dohle_protocol::messages::produce_response::ProduceResponseData;
use dohle_protocol::{ApiKey, KafkaString};
use parking_lot::Mutex;
use tokio::time::timeout;

use super::data::produce;
use super::fetch::{partition, request, topic};
use super::harness::{Broker, DIRS, NODE, OTHER, ask, batch};
use crate::fetch::read_from_disk;
use crate::fetch_session::{ColdRead, FetchContext, FetchSession, Reads};
use crate::wire;

/// A deadline that is exceeded only on a failure.
const DEADLINE: Duration = Duration::from_secs(60);

/// Returns the deletion of a topic, or the move of its partition to another broker, and the error
/// of a request that waits for its replicas meanwhile.
fn removed(id: TopicId, is_deleted: bool) -> (MetadataRecord, ErrorCode) {
    let moved = PartitionChange {
        replicas: Some(vec![OTHER]),
        directories: Some(vec![DIRS[0]]),
        isr: Some(vec![OTHER]),
        leader: Some(Some(OTHER)),
        ..PartitionChange::default()
    };
    match is_deleted {
        true => (
            MetadataRecord::RemoveTopic { id },
            ErrorCode::UnknownTopicOrPartition,
        ),
        false => (
            MetadataRecord::PartitionChange {
                topic_id: id,
                partition: PartitionIndex(0),
                change: moved,
            },
            ErrorCode::NotLeaderOrFollower,
        ),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deletion_of_records_that_waits_for_replicas_ends_when_its_partition_is_removed() {
    let broker = Broker::start(&[]).await;
    for is_deleted in [true, false] {
        let id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
        let change = PartitionChange {
            isr: Some(vec![NODE]),
            ..PartitionChange::default()
        };
        let shrunk = MetadataRecord::PartitionChange {
            topic_id: id,
            partition: PartitionIndex(0),
            change,
        };
        broker.apply(&[shrunk]).await;
        let mut client = broker.client();
        let produce = produce("t", 0, -1, batch(&["a"]));
        let produced = ask!(client, Produce, 9, produce, ProduceResponseData);
        let produced = &produced.responses[0].partition_responses[0];
        assert_eq!(produced.error_code, 0);
        // The other broker is alive, and has not deleted the record.
        let partition = DeleteRecordsPartition {
            offset: 1,
            ..DeleteRecordsPartition::default()
        };
        let request = DeleteRecordsRequestData {
            topics: vec![DeleteRecordsTopic {
                name: KafkaString::from("t".to_owned()),
                partitions: vec![partition],
                ..DeleteRecordsTopic::default()
            }],
            timeout_ms: i32::MAX,
            ..DeleteRecordsRequestData::default()
        };
        let mut body = bytes::BytesMut::new();
        request.write(&mut body, 2).unwrap();
        client.send(ApiKey::DeleteRecords, 2, &body).await;
        let deleted = async {
            while broker.partition(id, 0).positions().log_start_offset < Offset(1) {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, deleted).await.unwrap();
        let (record, expected) = removed(id, is_deleted);
        broker.apply(&[record]).await;
        let answer = timeout(DEADLINE, client.receive(ApiKey::DeleteRecords, 2)).await;
        let response = DeleteRecordsResponseData::read(&mut answer.unwrap(), 2).unwrap();
        let partition = &response.topics[0].partitions[0];
        assert_eq!(partition.error_code, expected.code());
        if !is_deleted {
            broker.apply(&[MetadataRecord::RemoveTopic { id }]).await;
        }
    }
}

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
            let (record, expected) = removed(id, is_deleted);
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
