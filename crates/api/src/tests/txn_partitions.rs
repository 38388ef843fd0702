//! Tests of transactional Produce and WriteTxnMarkers, and of Fetch and DescribeProducers after
//! them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dohle_broker::partition::{Partition, TxnMarker};
use dohle_broker::partitions::{MarkerCommit, MarkerReplay, wall_clock};
use dohle_coordinator::transactions::VerifyRequest;
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::{ErrorCode, ProducerEpoch, ProducerId, Sequence, Timestamp, TopicName};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::describe_producers_request::{
    DescribeProducersRequestData, TopicRequest,
};
use dohle_protocol::messages::describe_producers_response::DescribeProducersResponseData;
use dohle_protocol::messages::produce_request::ProduceRequestData;
use dohle_protocol::messages::produce_response::ProduceResponseData;
use dohle_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequestData,
};
use dohle_protocol::messages::write_txn_markers_response::WriteTxnMarkersResponseData;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::data::produce;
use super::harness::{Broker, NODE, OTHER, TestClient, ask};
use crate::VerifyTransactions;

type Outcomes = Vec<Result<(), ErrorCode>>;

/// A transaction coordinator whose outcomes the test decides.
#[derive(Debug, Default)]
struct Coordinator {
    asked: Mutex<Vec<VerifyRequest>>,
    /// The outcome for all partitions of each request, in order; success afterwards.
    outcomes: Mutex<Vec<Result<(), ErrorCode>>>,
    /// When set, requests are answered once this completes.
    held: Mutex<Option<oneshot::Receiver<()>>>,
}

impl VerifyTransactions for Coordinator {
    fn verify(&self, request: VerifyRequest, _: Instant) -> BoxFuture<'static, Outcomes> {
        let outcome = self.outcomes.lock().pop().unwrap_or(Ok(()));
        let outcomes = vec![outcome; request.partitions.len()];
        self.asked.lock().push(request);
        let held = self.held.lock().take();
        Box::pin(async move {
            if let Some(held) = held {
                let _ = held.await;
            }
            outcomes
        })
    }
}

/// Starts a broker with a topic `t`, and a client.
async fn start() -> (Broker, Arc<Coordinator>, TestClient) {
    let broker = Broker::start(&[]).await;
    broker.topic("t", 2).await;
    let coordinator = Arc::new(Coordinator::default());
    let verifier: Arc<dyn VerifyTransactions> = Arc::clone(&coordinator) as _;
    broker.context.set_transaction_verifier(verifier);
    let client = broker.client();
    (broker, coordinator, client)
}

fn text(value: &str) -> KafkaString {
    KafkaString::from(value.to_owned())
}

fn data(id: i64, epoch: i16, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer: Some((
            ProducerId(id),
            ProducerEpoch(epoch),
            Some(Sequence(sequence)),
        )),
        transactional: true,
        ..BatchOptions::default()
    });
    builder.append(Some(wall_clock()), None, Some(b"t"), &[]);
    builder.build().unwrap()
}

fn request(index: i32, records: Bytes) -> ProduceRequestData {
    ProduceRequestData {
        transactional_id: Some(text("tx")),
        ..produce("t", index, -1, records)
    }
}

/// Sends a request. Returns the code and the base offset of the first partition.
async fn sent(client: &mut TestClient, version: i16, request: &ProduceRequestData) -> (i16, i64) {
    let response = ask!(client, Produce, version, *request, ProduceResponseData);
    let partition = &response.responses[0].partition_responses[0];
    (partition.error_code, partition.base_offset)
}

fn marker(id: i64, epoch: i16, partitions: &[(&str, i32)]) -> WritableTxnMarker {
    let mut topics: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (topic, index) in partitions {
        topics.entry(topic).or_default().push(*index);
    }
    let topics = topics
        .into_iter()
        .map(|(name, partition_indexes)| WritableTxnMarkerTopic {
            name: text(name),
            partition_indexes,
            ..WritableTxnMarkerTopic::default()
        });
    WritableTxnMarker {
        producer_id: id,
        producer_epoch: epoch,
        transaction_result: true,
        topics: topics.collect(),
        coordinator_epoch: 3,
        transaction_version: 2,
        ..WritableTxnMarker::default()
    }
}

/// Writes markers. Returns the code for each partition, in the order of the request.
async fn ended(client: &mut TestClient, version: i16, markers: Vec<WritableTxnMarker>) -> Vec<i16> {
    let request = WriteTxnMarkersRequestData {
        markers,
        ..WriteTxnMarkersRequestData::default()
    };
    let response = ask!(
        client,
        WriteTxnMarkers,
        version,
        request,
        WriteTxnMarkersResponseData
    );
    let topics = response.markers.iter().flat_map(|marker| &marker.topics);
    let partitions = topics.flat_map(|topic| &topic.partitions);
    partitions.map(|partition| partition.error_code).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_batch_in_a_partition_is_verified_and_no_other() {
    let (_broker, coordinator, mut client) = start().await;
    for (version, add) in [(9, false), (11, false), (12, true)] {
        let id = i64::from(version);
        assert_eq!(
            sent(&mut client, version, &request(0, data(id, 4, 0)))
                .await
                .0,
            0
        );
        let asked = std::mem::take(&mut *coordinator.asked.lock());
        assert_eq!(asked.len(), 1, "version {version}");
        assert_eq!(
            (asked[0].transactional_id.as_str(), asked[0].add),
            ("tx", add)
        );
        assert_eq!((asked[0].producer.id.0, asked[0].producer.epoch.0), (id, 4));
        assert_eq!(asked[0].partitions.len(), 1);
        assert_eq!(
            sent(&mut client, version, &request(0, data(id, 4, 1)))
                .await
                .0,
            0
        );
        assert!(
            coordinator.asked.lock().is_empty(),
            "the transaction is open"
        );
        // A batch without a transaction needs no verification, with a transactional id or without.
        let plain = request(1, super::harness::batch(&["a"]));
        assert_eq!(sent(&mut client, version, &plain).await.0, 0);
        assert!(coordinator.asked.lock().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_coordinator_refuses_is_not_appended() {
    let (broker, coordinator, mut client) = start().await;
    let cases = [
        (
            9,
            ErrorCode::TransactionAbortable,
            ErrorCode::InvalidTxnState,
        ),
        (
            11,
            ErrorCode::TransactionAbortable,
            ErrorCode::TransactionAbortable,
        ),
        (12, ErrorCode::NotCoordinator, ErrorCode::NotEnoughReplicas),
        (
            9,
            ErrorCode::ConcurrentTransactions,
            ErrorCode::NotEnoughReplicas,
        ),
        (
            12,
            ErrorCode::InvalidProducerEpoch,
            ErrorCode::InvalidProducerEpoch,
        ),
        (
            12,
            ErrorCode::InvalidProducerIdMapping,
            ErrorCode::InvalidProducerIdMapping,
        ),
    ];
    for (version, outcome, expected) in cases {
        coordinator.outcomes.lock().push(Err(outcome));
        let sent = sent(&mut client, version, &request(0, data(7, 4, 0))).await;
        assert_eq!(
            sent,
            (expected.code(), -1),
            "{outcome} in version {version}"
        );
    }
    assert_eq!(
        sent(&mut client, 12, &request(0, data(7, 4, 0))).await,
        (0, 0)
    );
    // What was not verified is refused before it is seen that clients may not write there.
    broker.topic("__consumer_offsets", 1).await;
    let internal = ProduceRequestData {
        transactional_id: Some(text("tx")),
        ..produce("__consumer_offsets", 0, -1, data(7, 4, 0))
    };
    coordinator
        .outcomes
        .lock()
        .push(Err(ErrorCode::TransactionAbortable));
    let abortable = ErrorCode::TransactionAbortable.code();
    assert_eq!(sent(&mut client, 11, &internal).await, (abortable, -1));
    let internal_topic = ErrorCode::InvalidTopicException.code();
    assert_eq!(sent(&mut client, 12, &internal).await, (internal_topic, -1));
    // Adding a partition is retried while the previous transaction is about to end.
    coordinator.asked.lock().clear();
    coordinator
        .outcomes
        .lock()
        .push(Err(ErrorCode::ConcurrentTransactions));
    assert_eq!(
        sent(&mut client, 12, &request(1, data(7, 4, 0))).await,
        (0, 0)
    );
    assert_eq!(coordinator.asked.lock().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_needs_a_transactional_id_and_one_producer() {
    let (_broker, coordinator, mut client) = start().await;
    let without = produce("t", 0, -1, data(7, 4, 0));
    let refused = ErrorCode::TransactionalIdAuthorizationFailed.code();
    assert_eq!(sent(&mut client, 9, &without).await, (refused, -1));
    let mut two = request(0, data(7, 4, 0));
    let other = request(1, data(8, 4, 0));
    two.topic_data.extend(other.topic_data);
    let refused = ErrorCode::InvalidProducerIdMapping.code();
    assert_eq!(sent(&mut client, 9, &two).await, (refused, -1));
    assert!(coordinator.asked.lock().is_empty());
    // Without a coordinator the producer gets a retriable error.
    let broker = Broker::start(&[]).await;
    broker.topic("t", 1).await;
    let again = ErrorCode::NotEnoughReplicas.code();
    let mut client = broker.client();
    assert_eq!(
        sent(&mut client, 12, &request(0, data(7, 4, 0))).await,
        (again, -1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_that_overtakes_the_verification_wins() {
    let (broker, coordinator, mut client) = start().await;
    let (answer, held) = oneshot::channel();
    *coordinator.held.lock() = Some(held);
    let mut body = bytes::BytesMut::new();
    request(0, data(7, 4, 0)).write(&mut body, 12).unwrap();
    client
        .send(dohle_protocol::ApiKey::Produce, 12, &body)
        .await;
    let asked = || !coordinator.asked.lock().is_empty();
    tokio::time::timeout(std::time::Duration::from_secs(10), async {
        while !asked() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .unwrap();
    let mut other = broker.client();
    assert_eq!(
        ended(&mut other, 2, vec![marker(7, 5, &[("t", 0)])]).await,
        [0]
    );
    answer.send(()).unwrap();
    let mut response = client.receive(dohle_protocol::ApiKey::Produce, 12).await;
    let response = ProduceResponseData::read(&mut response, 12).unwrap();
    let code = response.responses[0].partition_responses[0].error_code;
    assert_eq!(code, ErrorCode::InvalidProducerEpoch.code());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_are_answered_in_order_and_change_nothing_when_they_come_again() {
    let (broker, _, mut client) = start().await;
    let id = broker
        .topic_led_by("far", 1, OTHER, vec![NODE, OTHER])
        .await;
    assert!(!broker.partition(id, 0).is_leader());
    assert_eq!(
        sent(&mut client, 12, &request(0, data(7, 4, 0))).await,
        (0, 0)
    );
    let end = |broker: &Broker, index| {
        let name = TopicName::new("t").unwrap();
        let image = broker.context.image();
        let topic = image.topic(name.as_str()).unwrap().id;
        broker.partition(topic, index).positions().log_end_offset.0
    };
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let not_leader = ErrorCode::NotLeaderOrFollower.code();
    for _ in 0..3 {
        let markers = vec![
            marker(7, 5, &[("t", 0), ("t", 9), ("far", 0), ("none", 0)]),
            marker(8, 1, &[("t", 1)]),
        ];
        let codes = ended(&mut client, 2, markers).await;
        assert_eq!(codes, [not_leader, unknown, 0, unknown, 0]);
        assert_eq!((end(&broker, 0), end(&broker, 1)), (2, 1));
    }
    let older = WritableTxnMarker {
        coordinator_epoch: 2,
        ..marker(7, 5, &[("t", 0)])
    };
    let fenced = ErrorCode::TransactionCoordinatorFenced.code();
    assert_eq!(ended(&mut client, 2, vec![older]).await, [fenced]);
    // Version 1 is that of markers with the epoch of the records.
    assert_eq!(
        sent(&mut client, 9, &request(0, data(9, 4, 0))).await,
        (0, 2)
    );
    let late = ErrorCode::InvalidProducerEpoch.code();
    assert_eq!(
        ended(&mut client, 2, vec![marker(9, 4, &[("t", 0)])]).await,
        [late]
    );
    let hostile = ErrorCode::UnknownServerError.code();
    assert_eq!(
        ended(&mut client, 2, vec![marker(-1, 4, &[("t", 0)])]).await,
        [hostile]
    );
    assert_eq!(
        ended(&mut client, 1, vec![marker(9, 4, &[("t", 0)])]).await,
        [0]
    );
    assert!(ended(&mut client, 1, Vec::new()).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_are_answered_by_producer_and_without_what_has_no_partitions() {
    let (_broker, _, mut client) = start().await;
    let mut half = marker(8, 1, &[("t", 0), ("u", 0)]);
    half.topics[1].partition_indexes.clear();
    let request = WriteTxnMarkersRequestData {
        markers: vec![
            marker(7, 1, &[("t", 0)]),
            marker(9, 1, &[]),
            half,
            marker(7, 2, &[("none", 0), ("t", 1)]),
        ],
        ..WriteTxnMarkersRequestData::default()
    };
    let response = ask!(
        client,
        WriteTxnMarkers,
        2,
        request,
        WriteTxnMarkersResponseData
    );
    let answered: Vec<_> = response
        .markers
        .iter()
        .map(|marker| {
            let topics = marker.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter();
                let partitions = partitions.map(|it| (it.partition_index, it.error_code));
                (topic.name.as_str(), partitions.collect::<Vec<_>>())
            });
            (marker.producer_id, topics.collect::<Vec<_>>())
        })
        .collect();
    let unknown = ErrorCode::UnknownTopicOrPartition.code();
    let first = vec![("t", vec![(0, 0), (1, 0)]), ("none", vec![(0, unknown)])];
    assert_eq!(answered, [(7, first), (8, vec![("t", vec![(0, 0)])])]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_are_described_with_their_transactions() {
    let (_broker, _, mut client) = start().await;
    let before = wall_clock();
    sent(&mut client, 12, &request(0, data(7, 4, 0))).await;
    for id in (8..20).rev() {
        sent(&mut client, 12, &request(0, data(id, 0, 0))).await;
    }
    ended(&mut client, 2, vec![marker(7, 5, &[("t", 0)])]).await;
    let request = DescribeProducersRequestData {
        topics: vec![TopicRequest {
            name: text("t"),
            partition_indexes: vec![0],
            ..TopicRequest::default()
        }],
        ..DescribeProducersRequestData::default()
    };
    let found = ask!(
        client,
        DescribeProducers,
        0,
        request,
        DescribeProducersResponseData
    );
    let producers: Vec<_> = found.topics[0].partitions[0]
        .active_producers
        .iter()
        .map(|it| {
            assert!(Timestamp(it.last_timestamp) >= before);
            let (id, epoch) = (it.producer_id, it.producer_epoch);
            let (start, coordinator) = (it.current_txn_start_offset, it.coordinator_epoch);
            (id, epoch, it.last_sequence, coordinator, start)
        })
        .collect();
    let mut expected = vec![(7, 5, -1, 3, -1)];
    expected.extend((8..20).map(|id| (i64::from(id), 0, 0, -1, i64::from(20 - id))));
    assert_eq!(producers, expected, "in the order of their ids");
    let unknown = ErrorCode::UnknownTopicOrPartition;
    let invalid = ErrorCode::InvalidTopicException;
    for (topic, code) in [("none", unknown), ("a/b", invalid), ("", invalid)] {
        let request = DescribeProducersRequestData {
            topics: vec![TopicRequest {
                name: text(topic),
                partition_indexes: vec![0],
                ..TopicRequest::default()
            }],
            ..DescribeProducersRequestData::default()
        };
        let refused = ask!(
            client,
            DescribeProducers,
            0,
            request,
            DescribeProducersResponseData
        );
        let partition = &refused.topics[0].partitions[0];
        assert_eq!(partition.error_code, code.code(), "{topic}");
        assert!(partition.error_message.is_some());
    }
}

#[derive(Debug, Default)]
struct Offsets(AtomicUsize);

impl MarkerReplay for Offsets {
    fn write_marker(
        self: Arc<Self>,
        partition: &Arc<Partition>,
        marker: &TxnMarker,
    ) -> Result<MarkerCommit, ErrorCode> {
        if self.0.fetch_add(1, Ordering::Relaxed) == 0 {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        let written = partition.write_marker(marker, wall_clock());
        written.map_err(|error| error.code())?;
        Ok(Box::pin(std::future::ready(Ok(()))))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn markers_in_the_topic_of_a_coordinator_are_left_to_it() {
    let (broker, _, mut client) = start().await;
    broker.topic("__consumer_offsets", 1).await;
    let offsets = Arc::new(Offsets::default());
    let replay: Arc<dyn MarkerReplay> = Arc::clone(&offsets) as _;
    let topic = TopicName::new("__consumer_offsets").unwrap();
    broker.context.partitions.replay_markers_of(topic, &replay);
    let markers = || vec![marker(7, 5, &[("__consumer_offsets", 0), ("t", 0)])];
    let busy = ErrorCode::NotLeaderOrFollower.code();
    assert_eq!(ended(&mut client, 2, markers()).await, [busy, 0]);
    assert_eq!(ended(&mut client, 2, markers()).await, [0, 0]);
    assert_eq!(offsets.0.load(Ordering::Relaxed), 2);
    // The shard was dropped, and another one takes over soon.
    drop(replay);
    drop(offsets);
    assert_eq!(ended(&mut client, 2, markers()).await, [busy, 0]);
}
