//! Tests of transactions at their leader: verification, markers that are retried, and readers of
//! committed records while retention runs.

use std::cell::Cell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use dohle_log::{BatchBuilder, BatchOptions, TxnAppend, TxnBegin};
use dohle_model::record::ConfigResource;
use dohle_model::{ProducerEpoch, ProducerId, Sequence};

use super::*;
use crate::blocking::WorkOwner;
use crate::partitions::wall_clock;
use crate::testing::follow;

const ID: ProducerId = ProducerId(7);
const OWNER: WorkOwner = WorkOwner::Broker(OTHER);

fn data(epoch: i16, sequence: i32) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions {
        producer: Some((ID, ProducerEpoch(epoch), Some(Sequence(sequence)))),
        transactional: true,
        ..BatchOptions::default()
    });
    builder.append(Some(NOW), None, Some(b"t"), &[]);
    builder.build().unwrap()
}

fn begin(partition: &Partition, epoch: i16, sequence: i32) -> Result<TxnAppend, AppendError> {
    let begin = TxnBegin {
        producer_id: ID,
        epoch: ProducerEpoch(epoch),
        sequence: Sequence(sequence),
        bumps_epoch: true,
    };
    let guard = partition.begin_verification(&begin, NOW)?;
    Ok(guard.map_or(TxnAppend::Plain, TxnAppend::Verified))
}

fn marker(epoch: i16, committed: bool) -> TxnMarker {
    TxnMarker {
        producer_id: ID,
        producer_epoch: ProducerEpoch(epoch),
        committed,
        coordinator_epoch: 3,
        transaction_version: 2,
    }
}

async fn produce(
    partition: &Partition,
    epoch: i16,
    sequence: i32,
) -> Result<Appended, AppendError> {
    let txn = begin(partition, epoch, sequence)?;
    let records = data(epoch, sequence);
    partition
        .produce(records, &txn, Acks::All, NOW, OWNER)
        .await
}

fn is_pending<T>(future: Pin<&mut impl Future<Output = T>>) -> bool {
    matches!(
        future.poll(&mut Context::from_waker(Waker::noop())),
        Poll::Pending
    )
}

#[tokio::test]
async fn a_marker_and_its_retry_wait_for_the_replicas() {
    let broker = Replicas::start(&[("min.insync.replicas", "2")]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    let feed = follow(&partition);
    let ack = |end| {
        assert!(
            partition
                .read_for_follower(feed, 1 << 20, dohle_log::Access::Disk)
                .unwrap()
                .is_some()
        );
        partition.on_follower_ack(feed, EPOCH, Offset(end), Offset::ZERO);
    };
    produce(&partition, 4, 0).await.unwrap();
    ack(1);
    let positions = partition.positions();
    assert_eq!(
        (positions.high_watermark, positions.last_stable_offset),
        (Offset(1), Offset(0))
    );

    let written = partition.write_marker(&marker(5, true), NOW).unwrap();
    assert_eq!((written.base_offset, written.duplicate), (Offset(1), false));
    let retried = partition.write_marker(&marker(5, true), NOW).unwrap();
    assert_eq!((retried.end(), retried.duplicate), (Offset(2), true));
    assert_eq!(
        partition.positions().log_end_offset,
        Offset(2),
        "one marker"
    );
    let mut first = pin!(partition.wait_committed(written.leader_epoch, written.end()));
    let mut second = pin!(partition.wait_committed(retried.leader_epoch, retried.end()));
    assert!(is_pending(first.as_mut()) && is_pending(second.as_mut()));
    assert_eq!(partition.positions().last_stable_offset, Offset(0));
    ack(2);
    assert_eq!(partition.positions().high_watermark, Offset(2));
    first.await.unwrap();
    second.await.unwrap();
    assert_eq!(partition.positions().last_stable_offset, Offset(2));

    // Late batches of the transaction, and an older coordinator.
    let code = |result: Result<Appended, AppendError>| result.unwrap_err().code();
    assert_eq!(
        code(produce(&partition, 4, 1).await),
        ErrorCode::InvalidProducerEpoch
    );
    let older = TxnMarker {
        coordinator_epoch: 2,
        ..marker(5, true)
    };
    let fenced = code(partition.write_marker(&older, NOW));
    assert_eq!(fenced, ErrorCode::TransactionCoordinatorFenced);
}

#[tokio::test]
async fn a_marker_needs_the_leader_and_enough_replicas() {
    let broker = Replicas::start(&[("min.insync.replicas", "2")]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    elect(&broker, topic_id, NODE, &[NODE]).await;
    let code = || {
        partition
            .write_marker(&marker(5, true), NOW)
            .unwrap_err()
            .code()
    };
    assert_eq!(code(), ErrorCode::NotEnoughReplicas);
    elect(&broker, topic_id, OTHER, &[NODE, OTHER]).await;
    assert_eq!(code(), ErrorCode::NotLeaderOrFollower);
    let refused = begin(&partition, 4, 0).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::NotLeaderOrFollower);
}

#[tokio::test]
async fn a_wait_for_a_marker_ends_with_the_leadership() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    produce(&partition, 4, 0).await.unwrap();
    let written = partition.write_marker(&marker(5, true), NOW).unwrap();
    let committed = partition.wait_committed(written.leader_epoch, written.end());
    elect(&broker, topic_id, OTHER, &[NODE, OTHER]).await;
    assert_eq!(
        committed.await.unwrap_err().code(),
        ErrorCode::NotLeaderOrFollower
    );
}

#[tokio::test]
async fn verification_follows_its_property() {
    let enabled = "transaction.partition.verification.enable";
    for (value, code) in [("true", Some(ErrorCode::InvalidTxnState)), ("false", None)] {
        let broker = Replicas::start(&[(enabled, value)]).await;
        let topic_id = broker.topic("t", 1).await;
        let partition = broker.partition(topic_id, 0);
        let plain = partition
            .produce(data(4, 0), &TxnAppend::Plain, Acks::All, NOW, OWNER)
            .await;
        assert_eq!(
            plain.err().map(|error| error.code()),
            code,
            "{enabled}={value}"
        );
        produce(&partition, 4, 0).await.unwrap();
    }
}

#[tokio::test]
async fn idle_producers_are_forgotten_as_the_property_says_at_run_time() {
    let interval = ("producer.id.expiration.check.interval.ms", "5");
    let broker = Replicas::start(&[interval]).await;
    let topic_id = broker.topic("t", 1).await;
    let partition = broker.partition(topic_id, 0);
    let now = wall_clock();
    let mut batch = BatchBuilder::new(BatchOptions {
        producer: Some((ID, ProducerEpoch(0), Some(Sequence(0)))),
        ..BatchOptions::default()
    });
    batch.append(Some(now), None, Some(b"t"), &[]);
    let records = batch.build().unwrap();
    let plain = TxnAppend::Plain;
    partition
        .produce(records, &plain, Acks::All, now, OWNER)
        .await
        .unwrap();
    broker.partitions.expire_producers();
    assert_eq!(partition.producers().unwrap().len(), 1, "within a day");
    let at_once = MetadataRecord::Config {
        resource: ConfigResource::BrokerDefault,
        key: "producer.id.expiration.ms".into(),
        value: Some("1".into()),
    };
    broker.apply(&[at_once]).await;
    let forgotten = async {
        while !partition.producers().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let deadline = std::time::Duration::from_secs(20);
    let waited = tokio::time::timeout(deadline, forgotten).await;
    waited.expect("the task forgets the producer");
}

#[tokio::test]
async fn a_reader_beside_retention_gets_no_aborted_record_as_committed() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic("t", 1).await;
    let partition = broker.partition(topic_id, 0);
    produce(&partition, 4, 0).await.unwrap();
    partition.write_marker(&marker(5, false), NOW).unwrap();
    append(&partition, 1);
    let params = FetchParams {
        fetch_offset: Offset(0),
        current_leader_epoch: None,
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
        min_one: true,
        isolation: Isolation::LastStable,
        leader_only: false,
    };
    let read = partition.read(&params).unwrap();
    assert_eq!(read.aborted.len(), 1);
    let reads = Cell::new(0);
    let outcome = partition.read_with(&params, |plan| {
        reads.set(reads.get() + 1);
        // Between plan and read, retention removes the segment and its list of aborted
        // transactions.
        partition.state.lock().log_mut().unwrap().roll(NOW).unwrap();
        partition.delete_records(Some(Offset(3))).unwrap();
        assert_eq!(partition.apply_retention(NOW).segments.len(), 1);
        let info = plan.unwrap().read().unwrap();
        assert!(!info.records.is_empty(), "the file was open");
        Ok::<_, ReadError>((info.records, info.next_offset))
    });
    let error = outcome.expect_err("the list of what was read is gone");
    assert_eq!(
        (error.code(), reads.get()),
        (ErrorCode::OffsetOutOfRange, 1)
    );
}
