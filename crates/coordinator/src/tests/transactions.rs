//! Tests of the coordinator of transactions on real partitions, with another broker that answers
//! over a real connection as the test directs.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dohle_broker::replication::{
    BrokerClient, BrokerRequestHandlers, ReplicationServer, ReplicatorConfig, StreamReplicator,
};
use dohle_broker::testing::{DIRS, NODE, OTHER, Replicas};
use dohle_config::{BrokerValues, Properties};
use dohle_model::image::MetadataImage;
use dohle_model::record::{BrokerRegistration, ConfigResource, MetadataRecord, PartitionChange};
use dohle_model::{
    ApiError, BrokerEpoch, ErrorCode, IncarnationId, NodeId, Offset, PartitionIndex, ProducerId,
    TopicId, TopicName, TopicPartition, Uuid,
};
use dohle_protocol::messages::add_partitions_to_txn_response::{
    AddPartitionsToTxnPartitionResult, AddPartitionsToTxnResult, AddPartitionsToTxnTopicResult,
};
use dohle_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
};
use dohle_protocol::messages::{
    AddPartitionsToTxnRequestData, AddPartitionsToTxnResponseData, WriteTxnMarkersRequestData,
    WriteTxnMarkersResponseData,
};
use dohle_transactions::{
    AddPartitions, EndTxn, InitProducerId, ProducerIdAndEpoch, TransactionState,
    TransactionVersion, TransactionalId,
};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::DEADLINE;
use crate::transactions::{
    PartitionMarkers, TRANSACTION_TOPIC, TransactionCoordinator, TransactionServices,
    TransactionVerifier, VerifyRequest, start,
};
use crate::{ProducerIdSource, partition_of};

#[derive(Debug, Default)]
struct Ids(AtomicI64);

impl ProducerIdSource for Ids {
    fn next(&self, _: Instant) -> BoxFuture<'_, Result<ProducerId, ApiError>> {
        let id = ProducerId(self.0.fetch_add(1, Ordering::Relaxed));
        Box::pin(async move { Ok(id) })
    }
}

/// The answer of the other broker to a marker: a code for all partitions, or no answer at all.
#[derive(Debug, Clone, Copy)]
enum Answer {
    Code(i16),
    Never,
}

/// The state of broker 2.
#[derive(Debug, Default)]
struct Other {
    /// The answers to the next requests; after these every marker is written.
    answers: Mutex<VecDeque<Answer>>,
    received: Mutex<Vec<WriteTxnMarkersRequestData>>,
    verified: Mutex<Vec<AddPartitionsToTxnRequestData>>,
    changed: Notify,
    /// Gives a permit for each verification that may be answered.
    gate: Notify,
}

impl Other {
    async fn write(&self, request: WriteTxnMarkersRequestData) -> WriteTxnMarkersResponseData {
        let answer = self.answers.lock().pop_front().unwrap_or(Answer::Code(0));
        self.received.lock().push(request.clone());
        self.changed.notify_waiters();
        let Answer::Code(error_code) = answer else {
            return std::future::pending().await;
        };
        let markers = request.markers.iter().map(|marker| {
            let topics = marker.topics.iter().map(|topic| {
                let partitions = topic.partition_indexes.iter();
                let partitions = partitions.map(|index| WritableTxnMarkerPartitionResult {
                    partition_index: *index,
                    error_code,
                    ..WritableTxnMarkerPartitionResult::default()
                });
                WritableTxnMarkerTopicResult {
                    name: topic.name.clone(),
                    partitions: partitions.collect(),
                    ..WritableTxnMarkerTopicResult::default()
                }
            });
            WritableTxnMarkerResult {
                producer_id: marker.producer_id,
                topics: topics.collect(),
                ..WritableTxnMarkerResult::default()
            }
        });
        WriteTxnMarkersResponseData {
            markers: markers.collect(),
            ..WriteTxnMarkersResponseData::default()
        }
    }

    /// Partition 0 of each topic is in the transaction, the others are not.
    async fn verify(
        &self,
        request: AddPartitionsToTxnRequestData,
    ) -> AddPartitionsToTxnResponseData {
        self.verified.lock().push(request.clone());
        self.changed.notify_waiters();
        self.gate.notified().await;
        let results = request.transactions.iter().map(|transaction| {
            let topics = transaction.topics.iter().map(|topic| {
                let partitions = topic.partitions.iter();
                let partitions = partitions.map(|index| AddPartitionsToTxnPartitionResult {
                    partition_index: *index,
                    partition_error_code: match index {
                        0 => 0,
                        1 => ErrorCode::TransactionAbortable.code(),
                        _ => ErrorCode::ProducerFenced.code(),
                    },
                    ..AddPartitionsToTxnPartitionResult::default()
                });
                AddPartitionsToTxnTopicResult {
                    name: topic.name.clone(),
                    results_by_partition: partitions.collect(),
                    ..AddPartitionsToTxnTopicResult::default()
                }
            });
            AddPartitionsToTxnResult {
                transactional_id: transaction.transactional_id.clone(),
                topic_results: topics.collect(),
                ..AddPartitionsToTxnResult::default()
            }
        });
        AddPartitionsToTxnResponseData {
            results_by_transaction: results.collect(),
            ..AddPartitionsToTxnResponseData::default()
        }
    }

    /// Waits until `count` requests for markers have arrived.
    async fn received(&self, count: usize) -> Vec<WriteTxnMarkersRequestData> {
        let waiting = async {
            loop {
                let changed = self.changed.notified();
                let received = self.received.lock().clone();
                if received.len() >= count {
                    return received;
                }
                changed.await;
            }
        };
        timeout(DEADLINE, waiting).await.expect("markers are sent")
    }
}

/// Broker 1, which coordinates transactions, and broker 2.
struct Cluster {
    replicas: Replicas,
    transactions: Arc<TransactionCoordinator>,
    verifier: Arc<TransactionVerifier>,
    other: Arc<Other>,
    /// The partitions behind the service of broker 2, which are not used.
    _others: Replicas,
}

impl Cluster {
    async fn start(properties: &[(&str, &str)]) -> Self {
        let mut replicas = Replicas::open(properties, &DIRS[..1]);
        let incarnation = IncarnationId(Uuid([9; 16]));
        let client = Arc::new(BrokerClient::new(
            NODE,
            "cluster".to_owned(),
            incarnation,
            "PLAINTEXT".to_owned(),
            Arc::clone(&replicas.metadata),
        ));
        let partitions = Arc::clone(&replicas.partitions);
        let services = TransactionServices {
            producer_ids: Arc::new(Ids::default()),
            local_markers: Arc::new(PartitionMarkers(Arc::clone(&partitions))),
            brokers: Arc::clone(&client),
        };
        let transactions = start(
            NODE,
            Arc::clone(&replicas.properties),
            Arc::clone(&replicas.metadata),
            partitions,
            services,
        );
        let verifier = TransactionVerifier::new(
            NODE,
            Arc::clone(&replicas.metadata),
            Arc::clone(&transactions),
            client,
        );
        let coordinator = transactions.coordinator();
        replicas.observe(move |change| Arc::clone(&coordinator).on_metadata(change));
        replicas.register().await;
        let (other, port, others) = serve_other().await;
        let registered = replicas.metadata.image().brokers[&OTHER].clone();
        let mut endpoints = registered.endpoints.clone();
        endpoints[0].host = "127.0.0.1".to_owned();
        endpoints[0].port = port;
        let moved = BrokerRegistration {
            endpoints,
            epoch: BrokerEpoch(10),
            ..(*registered).clone()
        };
        replicas
            .apply(&[MetadataRecord::RegisterBroker(moved)])
            .await;
        Self {
            replicas,
            transactions,
            verifier,
            other,
            _others: others,
        }
    }

    /// Starts the cluster with one partition of `__transaction_state`.
    async fn with_topic(properties: &[(&str, &str)], replicas: &[NodeId]) -> (Self, TopicId) {
        let cluster = Self::start(properties).await;
        let name = TRANSACTION_TOPIC.name;
        let replicas = replicas.to_vec();
        let topic = cluster.replicas.topic_led_by(name, 1, NODE, replicas).await;
        (cluster, topic)
    }

    async fn change(&self, topic_id: TopicId, change: PartitionChange) {
        let change = MetadataRecord::PartitionChange {
            topic_id,
            partition: PartitionIndex(0),
            change,
        };
        self.replicas.apply(&[change]).await;
    }

    async fn lead(&self, topic_id: TopicId, leader: NodeId, isr: &[NodeId]) {
        let change = PartitionChange {
            leader: Some(Some(leader)),
            isr: Some(isr.to_vec()),
            ..PartitionChange::default()
        };
        self.change(topic_id, change).await;
    }

    async fn init(&self, id: &str) -> Result<ProducerIdAndEpoch, ErrorCode> {
        self.init_with_timeout(id, 60_000).await
    }

    async fn init_with_timeout(
        &self,
        id: &str,
        timeout_ms: i32,
    ) -> Result<ProducerIdAndEpoch, ErrorCode> {
        let request = InitProducerId {
            transactional_id: id,
            timeout_ms,
            expected: None,
            two_phase_commit: false,
            keep_prepared: false,
            fresh: None,
        };
        let deadline = Instant::now() + DEADLINE;
        self.transactions.init_producer_id(request, deadline).await
    }

    async fn add(
        &self,
        id: &str,
        producer: ProducerIdAndEpoch,
        partitions: &[TopicPartition],
    ) -> Result<(), ErrorCode> {
        let request = AddPartitions {
            transactional_id: id,
            producer,
            partitions,
            client_version: TransactionVersion::V2,
        };
        self.transactions.add_partitions(&request).await
    }

    async fn end(
        &self,
        id: &str,
        producer: ProducerIdAndEpoch,
    ) -> Result<Option<ProducerIdAndEpoch>, ErrorCode> {
        let request = EndTxn {
            transactional_id: id,
            producer,
            commit: true,
            client_version: TransactionVersion::V2,
            fresh: None,
        };
        let deadline = Instant::now() + DEADLINE;
        self.transactions.end_txn(request, deadline).await
    }

    /// Begins a transaction of these partitions, and commits it.
    async fn commit(&self, id: &str, partitions: &[TopicPartition]) -> ProducerIdAndEpoch {
        let producer = self.init(id).await.unwrap();
        self.add(id, producer, partitions).await.unwrap();
        self.end(id, producer).await.unwrap().unwrap()
    }

    /// Waits until a transaction is in this state.
    async fn until(&self, id: &str, state: TransactionState) {
        let waiting = async {
            loop {
                let described = self.transactions.describe(id).await;
                if described.is_ok_and(|described| described.state == state) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, waiting)
            .await
            .expect("the transaction gets there");
    }
}

/// Serves the requests of broker 2.
async fn serve_other() -> (Arc<Other>, u16, Replicas) {
    let other = Arc::new(Other::default());
    let (writes, verifies) = (Arc::clone(&other), Arc::clone(&other));
    let handlers = BrokerRequestHandlers::default()
        .on(move |_, request: WriteTxnMarkersRequestData| {
            let other = Arc::clone(&writes);
            async move { other.write(request).await }
        })
        .on(move |_, request: AddPartitionsToTxnRequestData| {
            let other = Arc::clone(&verifies);
            async move { other.verify(request).await }
        });
    let replicas = Replicas::start(&[]).await;
    let replicator = StreamReplicator::new(ReplicatorConfig {
        node: NODE,
        cluster_id: "cluster".into(),
        incarnation: IncarnationId(Uuid([9; 16])),
        listener: "PLAINTEXT".into(),
        connector: Default::default(),
        runtimes: vec![tokio::runtime::Handle::current()],
    });
    let server = ReplicationServer::new(Arc::clone(&replicas.partitions), &replicator, handlers);
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let server = server.clone();
            tokio::spawn(async move { server.serve_connection(stream, Default::default()).await });
        }
    });
    (other, port, replicas)
}

fn partition(topic: &str, index: i32) -> TopicPartition {
    TopicPartition {
        topic: TopicName::new(topic).unwrap(),
        partition: PartitionIndex(index),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn markers_reach_all_leaders_once_and_complete_the_transaction() {
    let (cluster, _) = Cluster::with_topic(&[], &[NODE]).await;
    let near = cluster.replicas.topic("near", 2).await;
    cluster
        .replicas
        .topic_led_by("far", 2, OTHER, vec![OTHER])
        .await;
    let all = [
        partition("near", 0),
        partition("far", 0),
        partition("far", 1),
    ];
    let next = cluster.commit("t", &all).await;
    cluster.until("t", TransactionState::CompleteCommit).await;
    let received = cluster.other.received(1).await;
    assert_eq!(received.len(), 1);
    let marker = &received[0].markers[0];
    assert_eq!((marker.producer_id, marker.producer_epoch), (next.id.0, 1));
    assert_eq!(
        (marker.coordinator_epoch, marker.transaction_version),
        (3, 2)
    );
    assert!(marker.transaction_result);
    assert_eq!(marker.topics[0].partition_indexes, [0, 1]);
    let positions = |index| cluster.replicas.partition(near, index).positions();
    assert_eq!(positions(0).log_end_offset, Offset(1), "one marker");
    assert_eq!(
        positions(1).log_end_offset,
        Offset(0),
        "not in the transaction"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_does_not_answer_holds_up_no_other() {
    let (cluster, _) = Cluster::with_topic(&[], &[NODE]).await;
    let replicas = vec![OTHER];
    cluster
        .replicas
        .topic_led_by("far", 1, OTHER, replicas)
        .await;
    let near = cluster.replicas.topic("near", 1).await;
    let refused = Answer::Code(ErrorCode::NotLeaderOrFollower.code());
    let answers = [refused, refused, Answer::Never];
    cluster.other.answers.lock().extend(answers);
    cluster.commit("t", &[partition("far", 0)]).await;
    let received = cluster.other.received(3).await;
    assert!(received.iter().all(|it| it.markers == received[0].markers));
    cluster.commit("u", &[partition("near", 0)]).await;
    cluster.until("u", TransactionState::CompleteCommit).await;
    let positions = cluster.replicas.partition(near, 0).positions();
    assert_eq!(positions.log_end_offset, Offset(1));
    cluster.until("t", TransactionState::PrepareCommit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_moves_to_this_broker_gets_its_marker_here() {
    let (cluster, _) = Cluster::with_topic(&[], &[NODE]).await;
    let far = cluster
        .replicas
        .topic_led_by("far", 1, OTHER, vec![OTHER, NODE])
        .await;
    let refused = Answer::Code(ErrorCode::NotLeaderOrFollower.code());
    cluster.other.answers.lock().extend([refused; 100]);
    cluster.commit("t", &[partition("far", 0)]).await;
    cluster.other.received(2).await;
    cluster.lead(far, NODE, &[NODE]).await;
    cluster.until("t", TransactionState::CompleteCommit).await;
    let positions = cluster.replicas.partition(far, 0).positions();
    assert_eq!(positions.log_end_offset, Offset(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_coordinator_sends_the_markers_of_what_it_finds_prepared() {
    let (cluster, topic) = Cluster::with_topic(&[], &[NODE]).await;
    let replicas = vec![OTHER];
    cluster
        .replicas
        .topic_led_by("far", 1, OTHER, replicas)
        .await;
    let refused = Answer::Code(ErrorCode::NotEnoughReplicas.code());
    cluster.other.answers.lock().extend([refused; 1000]);
    cluster.commit("t", &[partition("far", 0)]).await;
    let received = cluster.other.received(1).await;
    assert_eq!(received[0].markers[0].coordinator_epoch, 3);
    cluster.lead(topic, NODE, &[NODE]).await;
    cluster.other.answers.lock().clear();
    cluster.until("t", TransactionState::CompleteCommit).await;
    let received = cluster.other.received(2).await;
    let last = received.last().unwrap();
    assert_eq!(last.markers[0].coordinator_epoch, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_committed_is_not_answered_nor_carried_out() {
    let cluster = Cluster::start(&[]).await;
    let (name, replicas) = (TRANSACTION_TOPIC.name, vec![NODE, OTHER]);
    let topic = cluster.replicas.topic_led_by(name, 2, NODE, replicas).await;
    let in_sync = async |index: i32, isr: &[NodeId]| {
        let change = MetadataRecord::PartitionChange {
            topic_id: topic,
            partition: PartitionIndex(index),
            change: PartitionChange {
                isr: Some(isr.to_vec()),
                ..PartitionChange::default()
            },
        };
        cluster.replicas.apply(&[change]).await;
    };
    in_sync(0, &[NODE]).await;
    in_sync(1, &[NODE]).await;
    cluster
        .replicas
        .topic_led_by("far", 1, OTHER, vec![OTHER])
        .await;
    let far = [partition("far", 0)];
    let image = cluster.replicas.metadata.image();
    let id_in = |index: i32| {
        let mut ids = (0..).map(|number| format!("t{number}"));
        let is_in = |id: &String| partition_of(&image, name, id) == Some(PartitionIndex(index));
        ids.find(is_in).unwrap()
    };
    let (stuck, other) = (id_in(0), id_in(1));
    let producer = cluster.init(&stuck).await.unwrap();
    cluster.add(&stuck, producer, &far).await.unwrap();
    // Broker 2 is in sync, and has nothing of what follows.
    in_sync(0, &[NODE, OTHER]).await;
    let log = cluster.replicas.partition(topic, 0);
    let before = log.positions().log_end_offset;
    let mut end = Box::pin(cluster.end(&stuck, producer));
    assert!(futures::poll!(&mut end).is_pending());
    assert_eq!(log.positions().log_end_offset, before.plus(1), "decided");
    let mut describe = Box::pin(cluster.transactions.describe(&stuck));
    assert!(futures::poll!(&mut describe).is_pending());
    // The markers of later transactions pass meanwhile, by the same way.
    for _ in 0..20 {
        cluster.commit(&other, &far).await;
        cluster
            .until(&other, TransactionState::CompleteCommit)
            .await;
    }
    assert!(futures::poll!(&mut end).is_pending());
    assert!(futures::poll!(&mut describe).is_pending());
    let producers = |received: &[WriteTxnMarkersRequestData]| -> Vec<i64> {
        let markers = received.iter().flat_map(|request| &request.markers);
        markers.map(|marker| marker.producer_id).collect()
    };
    let received = cluster.other.received.lock().clone();
    assert_eq!(received.len(), 20);
    assert!(!producers(&received).contains(&producer.id.0));
    // The decision is committed.
    in_sync(0, &[NODE]).await;
    timeout(DEADLINE, end).await.unwrap().unwrap();
    assert!(timeout(DEADLINE, describe).await.unwrap().is_ok());
    cluster
        .until(&stuck, TransactionState::CompleteCommit)
        .await;
    let received = cluster.other.received.lock().clone();
    let sent = producers(&received[20..]);
    assert_eq!(sent, [producer.id.0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_accepts_no_more_partitions_can_be_committed() {
    let (cluster, _) = Cluster::with_topic(&[], &[NODE]).await;
    let topic = TopicName::new(TRANSACTION_TOPIC.name).unwrap();
    let max = MetadataRecord::Config {
        resource: ConfigResource::Topic(topic),
        key: "max.message.bytes".into(),
        value: Some("1000".into()),
    };
    let version = MetadataRecord::FeatureLevel {
        name: TransactionVersion::FEATURE.to_owned(),
        level: 2,
    };
    cluster.replicas.apply(&[max, version]).await;
    cluster.replicas.topic("near", 1).await;
    let producer = cluster.init("t").await.unwrap();
    let mut added = 0;
    let refused = loop {
        // A client that does not raise the epoch: the record of the end has more fields.
        let request = AddPartitions {
            transactional_id: "t",
            producer,
            partitions: &[partition("near", added)],
            client_version: TransactionVersion::V0,
        };
        match cluster.transactions.add_partitions(&request).await {
            Ok(()) => added += 1,
            Err(code) => break code,
        }
    };
    assert_eq!(refused, ErrorCode::UnknownServerError);
    assert!(added > 150, "{added} partitions in 1000 bytes");
    cluster.end("t", producer).await.unwrap();
    cluster.until("t", TransactionState::CompleteCommit).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn below_the_min_isr_transactions_wait_and_go_on_by_themselves() {
    let (cluster, topic) = Cluster::with_topic(&[], &[NODE, OTHER]).await;
    cluster.lead(topic, NODE, &[NODE]).await;
    let replicas = vec![OTHER];
    cluster
        .replicas
        .topic_led_by("far", 1, OTHER, replicas)
        .await;
    let refused = Answer::Code(ErrorCode::NotEnoughReplicas.code());
    cluster.other.answers.lock().extend([refused; 1000]);
    cluster.commit("t", &[partition("far", 0)]).await;
    let min_isr = |value: &str| MetadataRecord::Config {
        resource: ConfigResource::Topic(TopicName::new(TRANSACTION_TOPIC.name).unwrap()),
        key: "min.insync.replicas".into(),
        value: Some(value.into()),
    };
    cluster.replicas.apply(&[min_isr("2")]).await;
    let not_available = Err(ErrorCode::CoordinatorNotAvailable);
    assert_eq!(cluster.init("u").await, not_available);
    // All markers are written, but the record of the completion cannot be.
    let received = cluster.other.received.lock().len();
    cluster.other.answers.lock().clear();
    cluster.other.received(received + 1).await;
    cluster.until("t", TransactionState::PrepareCommit).await;
    cluster.replicas.apply(&[min_isr("1")]).await;
    cluster.until("t", TransactionState::CompleteCommit).await;
    cluster.init("u").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn leaders_verify_with_the_coordinator_here_or_on_another_broker_in_batches() {
    let (cluster, topic) = Cluster::with_topic(&[], &[NODE]).await;
    let partitions: Vec<_> = (0..3).map(|index| partition("orders", index)).collect();
    let producer = cluster.init("t").await.unwrap();
    let request = |id: &str, add| VerifyRequest {
        transactional_id: TransactionalId::new(id),
        producer,
        partitions: partitions.clone(),
        add,
    };
    let deadline = Instant::now() + DEADLINE;
    let abortable = Err(ErrorCode::TransactionAbortable);
    let verified = cluster.verifier.verify(request("t", false), deadline).await;
    assert_eq!(verified, [abortable; 3]);
    let added = cluster.verifier.verify(request("t", true), deadline).await;
    assert_eq!(added, [Ok(()); 3]);
    let verified = cluster.verifier.verify(request("t", false), deadline).await;
    assert_eq!(verified, [Ok(()); 3]);

    cluster.lead(topic, OTHER, &[OTHER]).await;
    let asked: Vec<_> = (0..5)
        .map(|index| {
            let verifier = Arc::clone(&cluster.verifier);
            let request = request(&format!("t{index}"), false);
            tokio::spawn(async move { verifier.verify(request, deadline).await })
        })
        .collect();
    for asked in asked {
        let waiting = async {
            // Each request in flight needs a permit; at most two requests contain all five
            // verifications.
            loop {
                cluster.other.gate.notify_one();
                if asked.is_finished() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, waiting).await.unwrap();
        let fenced = Err(ErrorCode::InvalidProducerEpoch);
        assert_eq!(asked.await.unwrap(), [Ok(()), abortable, fenced]);
    }
    let requests = cluster.other.verified.lock().clone();
    let sent: usize = requests.iter().map(|it| it.transactions.len()).sum();
    assert_eq!(sent, 5);
    assert!(
        requests
            .iter()
            .all(|it| it.transactions.iter().all(|one| one.verify_only))
    );

    // The partition has no leader, so no broker can be asked.
    let change = PartitionChange {
        leader: Some(None),
        ..PartitionChange::default()
    };
    cluster.change(topic, change).await;
    let nobody = cluster.verifier.verify(request("t", false), deadline).await;
    assert_eq!(nobody, [Err(ErrorCode::CoordinatorNotAvailable); 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_lasts_longer_than_its_timeout_is_aborted() {
    let (cluster, _) = Cluster::with_topic(&[], &[NODE]).await;
    let near = cluster.replicas.topic("near", 1).await;
    let producer = cluster.init_with_timeout("t", 20).await.unwrap();
    let of = [partition("near", 0)];
    cluster.add("t", producer, &of).await.unwrap();
    cluster.until("t", TransactionState::CompleteAbort).await;
    let positions = cluster.replicas.partition(near, 0).positions();
    assert_eq!(positions.log_end_offset, Offset(1), "one marker");
    let fenced = cluster.add("t", producer, &of).await;
    assert_eq!(fenced, Err(ErrorCode::ProducerFenced));
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_nobody_uses_are_removed_as_the_properties_say() {
    let properties = [
        ("transactional.id.expiration.ms", "1"),
        (
            "transaction.remove.expired.transaction.cleanup.interval.ms",
            "10",
        ),
    ];
    let (cluster, _) = Cluster::with_topic(&properties, &[NODE]).await;
    cluster.init("t").await.unwrap();
    let waiting = async {
        while cluster.transactions.describe("t").await.is_ok() {
            tokio::task::yield_now().await;
        }
        cluster.transactions.describe("t").await
    };
    let removed = timeout(DEADLINE, waiting).await.expect("the id expires");
    assert_eq!(removed.err(), Some(ErrorCode::TransactionalIdNotFound));
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_partitions_of_a_broker_get_their_markers_in_one_request() {
    let (cluster, _) = Cluster::with_topic(&[], &[NODE]).await;
    let count = 10_000;
    let made = cluster
        .replicas
        .topic_led_by("far", count, OTHER, vec![OTHER]);
    made.await;
    let all: Vec<_> = (0..count).map(|index| partition("far", index)).collect();
    cluster.commit("t", &all).await;
    cluster.until("t", TransactionState::CompleteCommit).await;
    let received = cluster.other.received(1).await;
    assert_eq!(received.len(), 1);
    let mut sent = received[0].markers[0].topics[0].partition_indexes.clone();
    sent.sort_unstable();
    assert!(sent.into_iter().eq(0..count));
}

#[test]
fn the_topic_of_transactions_is_configured_as_the_properties_say() {
    let properties = [
        ("transaction.state.log.num.partitions", "7"),
        ("transaction.state.log.replication.factor", "2"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.segment.bytes", "1048576"),
    ];
    let properties = properties.map(|(key, value)| (key.to_owned(), value.to_owned()));
    let properties = Arc::new(Properties::from(properties));
    let values = BrokerValues::new(properties, &MetadataImage::default(), NODE);
    let settings = (TRANSACTION_TOPIC.settings)(&values);
    assert_eq!(settings.partitions, 7);
    assert_eq!(settings.replication_factor, 2);
    assert_eq!(settings.min_insync_replicas, Some(1));
    let configs = settings
        .configs
        .iter()
        .map(|(key, value)| format!("{key}={value}"));
    let expected = [
        "cleanup.policy=compact",
        "compression.type=uncompressed",
        "unclean.leader.election.enable=false",
        "segment.bytes=1048576",
    ];
    assert!(configs.eq(expected));
}
