//! Tests of TxnOffsetCommit and its verification, and of OffsetFetch after it, in every version.

use std::sync::Arc;
use std::time::Duration;

use dohle_coordinator::transactions::VerifyRequest;
use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{ErrorCode, PartitionIndex, TopicId};
use dohle_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestData, OffsetFetchRequestGroup,
};
use dohle_protocol::messages::offset_fetch_response::OffsetFetchResponseData;
use dohle_protocol::messages::txn_offset_commit_request::{
    TxnOffsetCommitRequestData, TxnOffsetCommitRequestPartition, TxnOffsetCommitRequestTopic,
};
use dohle_protocol::messages::txn_offset_commit_response::TxnOffsetCommitResponseData;
use dohle_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequestData,
};
use dohle_protocol::messages::write_txn_markers_response::WriteTxnMarkersResponseData;
use dohle_protocol::{KafkaString, KafkaUuid};
use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::coordinator::Nothing;
use super::harness::{Broker, NODE, TestClient, ask};
use crate::{VerifyTransactions, wire};

/// A transaction coordinator that returns the outcomes that the test has queued, and then success.
#[derive(Debug, Default)]
struct Verifier {
    asked: Mutex<Vec<VerifyRequest>>,
    next: Mutex<Option<ErrorCode>>,
    /// When set, the next request is answered once this completes.
    held: Mutex<Option<oneshot::Receiver<()>>>,
}

impl VerifyTransactions for Verifier {
    fn verify(
        &self,
        request: VerifyRequest,
        _: Instant,
    ) -> BoxFuture<'static, Vec<Result<(), ErrorCode>>> {
        let outcome = self.next.lock().take().map_or(Ok(()), Err);
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

struct Groups {
    broker: Broker,
    verifier: Arc<Verifier>,
    client: TestClient,
    topic: TopicId,
    /// The id of `t`.
    committed: TopicId,
}

impl Groups {
    /// Starts a broker with topic `t` of two partitions that coordinates all groups in one shard.
    async fn start() -> Self {
        Self::start_with(&[]).await
    }

    async fn start_with(properties: &[(&str, &str)]) -> Self {
        let broker = Broker::start(properties).await;
        let committed = broker.topic("t", 2).await;
        let topic = broker.topic("__consumer_offsets", 1).await;
        let verifier = Arc::new(Verifier::default());
        broker
            .context
            .set_transaction_verifier(Arc::clone(&verifier) as Arc<dyn VerifyTransactions>);
        let client = broker.client();
        let this = Self {
            broker,
            verifier,
            client,
            topic,
            committed,
        };
        this.loaded().await;
        this
    }

    async fn loaded(&self) {
        let loading: Result<(), ErrorCode> = Err(ErrorCode::CoordinatorLoadInProgress);
        let loaded = async {
            while self
                .broker
                .context
                .groups
                .run_in_all(&Nothing)
                .await
                .contains(&loading)
            {
                tokio::task::yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), loaded).await.unwrap();
    }

    /// Elects this broker again, so that the shard is loaded from the log.
    async fn reload(&self) {
        let change = PartitionChange {
            leader: Some(Some(NODE)),
            ..PartitionChange::default()
        };
        let elected = MetadataRecord::PartitionChange {
            topic_id: self.topic,
            partition: PartitionIndex(0),
            change,
        };
        self.broker.apply(&[elected]).await;
        self.loaded().await;
    }

    /// Sends a request for `t`, by its name and its id. Returns the code of each partition.
    async fn send(&mut self, version: i16, mut request: TxnOffsetCommitRequestData) -> Vec<i16> {
        for topic in &mut request.topics {
            topic.topic_id = wire::wire_id(self.committed);
        }
        let response = ask!(
            self.client,
            TxnOffsetCommit,
            version,
            request,
            TxnOffsetCommitResponseData
        );
        for topic in &response.topics {
            let expected = match version {
                6.. => ("", wire::wire_id(self.committed)),
                _ => ("t", KafkaUuid::ZERO),
            };
            assert_eq!((topic.name.as_str(), topic.topic_id), expected);
        }
        let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
        partitions.map(|partition| partition.error_code).collect()
    }

    /// Commits an offset of `t-0` in a transaction of producer 7.
    async fn commit(&mut self, version: i16, epoch: i16, offset: i64) -> i16 {
        let codes = self.send(version, request(epoch, &[(0, offset)])).await;
        assert_eq!(codes.len(), 1);
        codes[0]
    }

    /// Writes the marker that ends the transaction of producer 7.
    async fn end(&mut self, epoch: i16, committed: bool) -> i16 {
        let topic = WritableTxnMarkerTopic {
            name: text("__consumer_offsets"),
            partition_indexes: vec![0],
            ..WritableTxnMarkerTopic::default()
        };
        let marker = WritableTxnMarker {
            producer_id: 7,
            producer_epoch: epoch,
            transaction_result: committed,
            topics: vec![topic],
            coordinator_epoch: 1,
            ..WritableTxnMarker::default()
        };
        let request = WriteTxnMarkersRequestData {
            markers: vec![marker],
            ..WriteTxnMarkersRequestData::default()
        };
        let response = ask!(
            self.client,
            WriteTxnMarkers,
            1,
            request,
            WriteTxnMarkersResponseData
        );
        response.markers[0].topics[0].partitions[0].error_code
    }

    /// Fetches offset and code of `t-0`; `None` when the group has none.
    async fn fetch(&mut self, require_stable: bool) -> Option<(i64, i16)> {
        let group = OffsetFetchRequestGroup {
            group_id: text("g"),
            member_epoch: -1,
            topics: None,
            ..OffsetFetchRequestGroup::default()
        };
        let request = OffsetFetchRequestData {
            groups: vec![group],
            require_stable,
            ..OffsetFetchRequestData::default()
        };
        let response = ask!(
            self.client,
            OffsetFetch,
            9,
            request,
            OffsetFetchResponseData
        );
        let topics = response.groups[0].topics.first();
        topics.map(|topic| {
            let partition = &topic.partitions[0];
            (partition.committed_offset, partition.error_code)
        })
    }
}

fn text(text: &str) -> KafkaString {
    KafkaString::from(text.to_owned())
}

fn request(epoch: i16, offsets: &[(i32, i64)]) -> TxnOffsetCommitRequestData {
    let partition = |(index, offset): &(i32, i64)| TxnOffsetCommitRequestPartition {
        partition_index: *index,
        committed_offset: *offset,
        ..TxnOffsetCommitRequestPartition::default()
    };
    let topic = TxnOffsetCommitRequestTopic {
        name: text("t"),
        partitions: offsets.iter().map(partition).collect(),
        ..TxnOffsetCommitRequestTopic::default()
    };
    TxnOffsetCommitRequestData {
        transactional_id: text("tx"),
        group_id: text("g"),
        producer_id: 7,
        producer_epoch: epoch,
        topics: vec![topic],
        ..TxnOffsetCommitRequestData::default()
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn offsets_of_a_transaction_are_committed_aborted_and_loaded() {
    let mut groups = Groups::start().await;
    let unstable = ErrorCode::UnstableOffsetCommit.code();
    for version in 0..=6 {
        let offset = i64::from(version);
        assert_eq!(groups.commit(version, 0, offset).await, 0);
        let before = (version > 0).then_some((offset - 1, 0));
        assert_eq!(groups.fetch(false).await, before);
        let stable = before.map(|_| (-1, unstable));
        assert_eq!(groups.fetch(true).await, stable);
        if version == 3 {
            groups.reload().await;
            assert_eq!(groups.fetch(true).await, stable, "open after a load");
        }
        assert_eq!(groups.end(0, true).await, 0);
        assert_eq!(groups.fetch(true).await, Some((offset, 0)));
        // A marker that is sent again changes nothing.
        assert_eq!(groups.end(0, true).await, 0);
        // Another transaction, which is aborted.
        assert_eq!(groups.commit(version, 0, 99).await, 0);
        assert_eq!(groups.fetch(true).await, Some((-1, unstable)));
        assert_eq!(groups.end(0, false).await, 0);
        assert_eq!(groups.fetch(true).await, Some((offset, 0)));
    }
    groups.reload().await;
    assert_eq!(groups.fetch(true).await, Some((6, 0)));
    // Each transaction was verified once: two of each version.
    let asked = groups.verifier.asked.lock();
    let adds: Vec<bool> = asked.iter().map(|request| request.add).collect();
    assert_eq!(adds, [[false; 10].as_slice(), &[true; 4]].concat());
    let partition = &asked[0].partitions[0];
    assert_eq!(partition.topic.as_str(), "__consumer_offsets");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn producers_and_members_are_fenced() {
    let mut groups = Groups::start().await;
    assert_eq!(groups.commit(3, 5, 1).await, 0);
    assert_eq!(groups.end(5, true).await, 0);
    let fenced = ErrorCode::InvalidProducerEpoch.code();
    assert_eq!(groups.commit(3, 4, 2).await, fenced);
    // The coordinator of transactions refuses.
    for (version, refused, expected) in [
        (
            5,
            ErrorCode::ProducerFenced,
            ErrorCode::InvalidProducerEpoch,
        ),
        (
            4,
            ErrorCode::TransactionAbortable,
            ErrorCode::TransactionAbortable,
        ),
        (
            3,
            ErrorCode::TransactionAbortable,
            ErrorCode::InvalidTxnState,
        ),
    ] {
        *groups.verifier.next.lock() = Some(refused);
        let code = groups.commit(version, 5, 2).await;
        assert_eq!(code, expected.code(), "version {version}");
    }
    // The generation of a group that has no members.
    let mut of_member = request(5, &[(0, 2)]);
    of_member.member_id = text("a");
    of_member.generation_id_or_member_epoch = 3;
    let unknown = ErrorCode::UnknownMemberId.code();
    assert_eq!(groups.send(3, of_member.clone()).await, [unknown]);
    of_member.group_id = text("nobody");
    let illegal = ErrorCode::IllegalGeneration.code();
    assert_eq!(groups.send(5, of_member.clone()).await, [illegal]);
    let not_found = ErrorCode::GroupIdNotFound.code();
    assert_eq!(groups.send(6, of_member).await, [not_found]);
    let mut unnamed = request(5, &[(0, 2)]);
    unnamed.group_id = text("");
    let invalid = ErrorCode::InvalidGroupId.code();
    assert_eq!(groups.send(3, unnamed).await, [invalid]);
    let missing = ErrorCode::UnknownTopicOrPartition.code();
    for version in [3, 6] {
        let codes = groups.send(version, request(5, &[(0, 2), (9, 2)])).await;
        assert_eq!(codes, [missing, 0]);
    }
    groups.committed = TopicId::from_bytes([9; 16]);
    let unknown = ErrorCode::UnknownTopicId.code();
    assert_eq!(groups.commit(6, 5, 2).await, unknown);
    assert_eq!(groups.fetch(false).await, Some((1, 0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_verification_only_version_5_asks_the_coordinator() {
    let off = [("transaction.partition.verification.enable", "false")];
    let mut groups = Groups::start_with(&off).await;
    for version in [4, 5] {
        assert_eq!(groups.commit(version, 0, 1).await, 0);
        assert_eq!(groups.end(0, true).await, 0);
        assert_eq!(groups.fetch(true).await, Some((1, 0)));
    }
    let asked = groups.verifier.asked.lock();
    let adds: Vec<bool> = asked.iter().map(|request| request.add).collect();
    assert_eq!(adds, [true]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_marker_of_the_transaction_before_may_come_while_the_next_one_is_verified() {
    let mut groups = Groups::start().await;
    assert_eq!(groups.commit(5, 0, 1).await, 0);
    let (release, held) = oneshot::channel();
    *groups.verifier.held.lock() = Some(held);
    let mut client = groups.broker.client();
    let next = tokio::spawn(async move {
        let request = request(1, &[(0, 2)]);
        let response = ask!(
            client,
            TxnOffsetCommit,
            5,
            request,
            TxnOffsetCommitResponseData
        );
        response.topics[0].partitions[0].error_code
    });
    let asked = async {
        while groups.verifier.asked.lock().len() < 2 {
            tokio::task::yield_now().await;
        }
    };
    timeout(Duration::from_secs(10), asked).await.unwrap();
    // The marker's epoch is above that of its transaction, as with transaction.version 2.
    assert_eq!(groups.end(1, true).await, 0);
    release.send(()).unwrap();
    assert_eq!(next.await.unwrap(), 0);
    let unstable = ErrorCode::UnstableOffsetCommit.code();
    assert_eq!(groups.fetch(true).await, Some((-1, unstable)));
    assert_eq!(groups.fetch(false).await, Some((1, 0)));
    assert_eq!(groups.end(2, true).await, 0);
    assert_eq!(groups.fetch(true).await, Some((2, 0)));
}
