//! Tests of offsets of transactions in the coordinator of groups, on real partitions: markers in
//! the order of the log, their commits, and loads.

use std::sync::Arc;

use bytes::Bytes;
use dohle_broker::partition::{Acks, AppendOrigin, Partition, TxnMarker};
use dohle_broker::partitions::wall_clock;
use dohle_broker::testing::{DIRS, NODE, OTHER, Replicas};
use dohle_groups::records::{OffsetKey, OffsetValue};
use dohle_groups::requests::{OffsetFetch, TxnOffsetCommit};
use dohle_groups::{GroupId, Record};
use dohle_log::{BatchBuilder, BatchOptions, TxnAppend, TxnBegin};
use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{
    ErrorCode, NodeId, Offset, PartitionIndex, ProducerEpoch, ProducerId, Sequence, Timestamp,
    TopicId,
};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::WriteTxnMarkersRequestData;
use dohle_protocol::messages::offset_commit_request::{
    OffsetCommitRequestData, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use dohle_protocol::messages::offset_fetch_request::{
    OffsetFetchRequestGroup, OffsetFetchRequestTopics,
};
use dohle_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic,
};
use dohle_transactions::ProducerIdAndEpoch;
use tokio::time::timeout;

use super::{DEADLINE, nothing_yet};
use crate::TransactionWrite;
use crate::groups::{GroupCoordinator, OFFSETS_TOPIC, start};

const UNSTABLE: i16 = ErrorCode::UnstableOffsetCommit.code();

/// A broker that coordinates groups in one partition.
struct Node {
    replicas: Replicas,
    groups: Arc<GroupCoordinator>,
    topic: TopicId,
}

impl Node {
    async fn start() -> Self {
        let mut replicas = Replicas::open(&[], &DIRS[..1]);
        let groups = start(
            NODE,
            Arc::clone(&replicas.properties),
            Arc::clone(&replicas.metadata),
            Arc::clone(&replicas.partitions),
        );
        let coordinator = Arc::clone(&groups);
        replicas.observe(move |change| coordinator.on_metadata(change));
        replicas.register().await;
        let both = vec![NODE, OTHER];
        let topic = replicas.topic_led_by(OFFSETS_TOPIC.name, 1, NODE, both);
        let topic = topic.await;
        let node = Self {
            replicas,
            groups,
            topic,
        };
        node.lead(NODE).await;
        node.loaded().await;
        node
    }

    async fn change(&self, change: PartitionChange) {
        let change = MetadataRecord::PartitionChange {
            topic_id: self.topic,
            partition: PartitionIndex(0),
            change,
        };
        self.replicas.apply(&[change]).await;
    }

    /// Elects a leader, in a new epoch, and leaves this broker alone in the ISR.
    async fn lead(&self, leader: NodeId) {
        let change = PartitionChange {
            leader: Some(Some(leader)),
            isr: Some(vec![NODE]),
            ..PartitionChange::default()
        };
        self.change(change).await;
    }

    async fn in_sync(&self, isr: &[NodeId]) {
        let change = PartitionChange {
            isr: Some(isr.to_vec()),
            ..PartitionChange::default()
        };
        self.change(change).await;
    }

    async fn loaded(&self) {
        let loading = async {
            while self.fetch().await == Err(ErrorCode::CoordinatorLoadInProgress) {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, loading).await.expect("the shard loads");
    }

    fn partition(&self) -> Arc<Partition> {
        self.replicas.partition(self.topic, 0)
    }

    /// Begins the transaction of a producer in the partition.
    fn verified(&self, id: i64) -> TxnAppend {
        let begin = TxnBegin {
            producer_id: ProducerId(id),
            epoch: ProducerEpoch(0),
            sequence: Sequence(0),
            bumps_epoch: false,
        };
        let partition = self.partition();
        let guard = partition.begin_verification(&begin, wall_clock()).unwrap();
        guard.map_or(TxnAppend::Plain, TxnAppend::Verified)
    }

    /// Commits an offset of partition `index` of `t` in a transaction.
    async fn commit(
        &self,
        id: i64,
        append: TxnAppend,
        index: i32,
        offset: i64,
    ) -> Result<(), ErrorCode> {
        let partition = OffsetCommitRequestPartition {
            partition_index: index,
            committed_offset: offset,
            ..OffsetCommitRequestPartition::default()
        };
        let topic = OffsetCommitRequestTopic {
            name: text("t"),
            partitions: vec![partition],
            ..OffsetCommitRequestTopic::default()
        };
        let request = OffsetCommitRequestData {
            group_id: text("g"),
            topics: vec![topic],
            ..OffsetCommitRequestData::default()
        };
        let transaction = TransactionWrite {
            producer: producer(id),
            append,
        };
        let commit = TxnOffsetCommit {
            request: &request,
            version: 3,
        };
        let outcome = self.groups.run_in_transaction("g", transaction, &commit);
        outcome.await?.map(drop).map_err(|failed| failed.code)
    }

    /// Writes the marker of a transaction, and returns the code for the partition.
    async fn end(&self, id: i64, committed: bool) -> i16 {
        let topic = WritableTxnMarkerTopic {
            name: text(OFFSETS_TOPIC.name),
            partition_indexes: vec![0],
            ..WritableTxnMarkerTopic::default()
        };
        let marker = WritableTxnMarker {
            producer_id: id,
            transaction_result: committed,
            topics: vec![topic],
            ..WritableTxnMarker::default()
        };
        let request = WriteTxnMarkersRequestData {
            markers: vec![marker],
            ..WriteTxnMarkersRequestData::default()
        };
        let response = self.replicas.partitions.write_txn_markers(request).await;
        response.markers[0].topics[0].partitions[0].error_code
    }

    /// Fetches offset and code of partitions 0 and 1 of `t`, as far as they are stable.
    async fn fetch(&self) -> Result<Vec<(i64, i16)>, ErrorCode> {
        let topic = OffsetFetchRequestTopics {
            name: text("t"),
            partition_indexes: vec![0, 1],
            ..OffsetFetchRequestTopics::default()
        };
        let request = OffsetFetchRequestGroup {
            group_id: text("g"),
            member_epoch: -1,
            topics: Some(vec![topic]),
            ..OffsetFetchRequestGroup::default()
        };
        let fetch = OffsetFetch {
            request: &request,
            require_stable: true,
        };
        let fetched = self.groups.run("g", &fetch).await?;
        let fetched = fetched.map_err(|failed| failed.code)?;
        let partitions = fetched.topics[0].partitions.iter();
        let partitions = partitions.map(|it| (it.committed_offset, it.error_code));
        Ok(partitions.collect())
    }

    /// Appends the record of an offset without the coordinator, as an earlier leader would.
    fn append(&self, id: i64, index: i32, offset: i64) {
        let key = OffsetKey {
            group_id: GroupId::new("g"),
            topic: "t".into(),
            partition: PartitionIndex(index),
        };
        let value = OffsetValue {
            offset: Offset(offset),
            leader_epoch: None,
            metadata: Arc::default(),
            commit_timestamp: Timestamp(1),
            expire_timestamp: None,
            topic_id: None,
        };
        let (key, value) = Record::Offset(key, Some(value)).encode().unwrap();
        let producer = producer(id);
        let mut batch = BatchBuilder::new(BatchOptions {
            producer: Some((producer.id, producer.epoch, None)),
            transactional: true,
            ..BatchOptions::default()
        });
        batch.append(None, Some(&key), value.as_deref(), &[]);
        let batch: Bytes = batch.build().unwrap();
        let (txn, origin) = (self.verified(id), AppendOrigin::Coordinator);
        let partition = self.partition();
        let appended = partition.append_in_txn(batch, &txn, Acks::All, origin, wall_clock());
        appended.unwrap();
    }

    /// Appends the marker of a transaction without the coordinator.
    fn append_marker(&self, id: i64, committed: bool) {
        let marker = TxnMarker {
            producer_id: ProducerId(id),
            producer_epoch: ProducerEpoch(0),
            committed,
            coordinator_epoch: 0,
            transaction_version: 0,
        };
        let written = self.partition().write_marker(&marker, wall_clock());
        written.unwrap();
    }
}

fn producer(id: i64) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch {
        id: ProducerId(id),
        epoch: ProducerEpoch(0),
    }
}

fn text(text: &str) -> KafkaString {
    KafkaString::from(text.to_owned())
}

#[tokio::test]
async fn a_marker_takes_effect_for_readers_when_it_is_committed() {
    let node = Node::start().await;
    assert_eq!(node.commit(7, node.verified(7), 0, 5).await, Ok(()));
    assert_eq!(node.fetch().await, Ok(vec![(-1, UNSTABLE), (-1, 0)]));
    // Nothing is committed while the other replica, which does not acknowledge, is in sync.
    node.in_sync(&[NODE, OTHER]).await;
    let mut ended = std::pin::pin!(node.end(7, true));
    assert!(nothing_yet(ended.as_mut()).await, "not committed");
    let mut fetched = std::pin::pin!(node.fetch());
    assert!(nothing_yet(fetched.as_mut()).await, "not committed");
    node.in_sync(&[NODE]).await;
    assert_eq!(timeout(DEADLINE, ended).await.unwrap(), 0);
    let committed = Ok(vec![(5, 0), (-1, 0)]);
    assert_eq!(timeout(DEADLINE, fetched).await.unwrap(), committed);
    // The repeated marker is answered, and changes nothing.
    let end = node.partition().positions().log_end_offset;
    assert_eq!(node.end(7, false).await, 0);
    assert_eq!(node.partition().positions().log_end_offset, end);
    assert_eq!(node.fetch().await, committed);
}

#[tokio::test]
async fn what_is_not_verified_or_of_an_older_epoch_changes_nothing() {
    let node = Node::start().await;
    let refused = node.commit(7, TxnAppend::Plain, 0, 5).await;
    assert_eq!(refused, Err(ErrorCode::InvalidTxnState));
    assert_eq!(node.fetch().await, Ok(vec![(-1, 0), (-1, 0)]));
    // A marker of a newer epoch arrives first.
    let marker = TxnMarker {
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(3),
        committed: false,
        coordinator_epoch: 0,
        transaction_version: 0,
    };
    let guard = node.verified(7);
    node.partition()
        .write_marker(&marker, wall_clock())
        .unwrap();
    let refused = node.commit(7, guard, 0, 5).await;
    assert_eq!(refused, Err(ErrorCode::InvalidProducerEpoch));
    assert_eq!(node.fetch().await, Ok(vec![(-1, 0), (-1, 0)]));
}

#[tokio::test]
async fn open_and_ended_transactions_are_loaded() {
    let node = Node::start().await;
    // Transaction 7 is committed, 8 aborted, 9 open; their records and markers alternate.
    node.append(7, 0, 5);
    node.append(8, 0, 6);
    node.append(9, 1, 7);
    node.append_marker(7, true);
    node.append_marker(8, false);
    node.lead(NODE).await;
    node.loaded().await;
    assert_eq!(node.fetch().await, Ok(vec![(5, 0), (-1, UNSTABLE)]));
    // The transaction continues at the coordinator that has loaded it.
    assert_eq!(node.commit(9, node.verified(9), 0, 8).await, Ok(()));
    node.lead(OTHER).await;
    assert_ne!(node.end(9, true).await, 0, "not the leader");
    node.lead(NODE).await;
    node.loaded().await;
    assert_eq!(node.fetch().await, Ok(vec![(-1, UNSTABLE), (-1, UNSTABLE)]));
    assert_eq!(node.end(9, true).await, 0);
    assert_eq!(node.fetch().await, Ok(vec![(8, 0), (7, 0)]));
    node.lead(NODE).await;
    node.loaded().await;
    assert_eq!(node.fetch().await, Ok(vec![(8, 0), (7, 0)]));
}
