//! Tests of the leader's stream: subscriptions that begin on another thread, late acks, and reads
//! that wait for the disk.

mod cold_reads;

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dohle_model::Timestamp;
use futures::task::noop_waker;

use super::*;
use crate::partition::{Acks, AppendOrigin};
use crate::testing::{NODE, OTHER, Replicas, batch};

const ROUNDS: u64 = 300;
const NOW: Timestamp = Timestamp(1_700_000_000_000);
const DEADLINE: Duration = Duration::from_secs(20);

fn hello() -> v1::FollowerMessage {
    let hello = v1::FollowerHello {
        cluster_id: "cluster".to_owned(),
        broker_id: OTHER.0,
        broker_epoch: i64::from(OTHER.0),
        ..v1::FollowerHello::default()
    };
    v1::FollowerMessage {
        hello: Some(hello),
        credit_bytes: 1 << 40,
        ..v1::FollowerMessage::default()
    }
}

/// Ends the other thread's loop, however the test ends.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Returns whether the stream has served this subscription.
fn is_served(calls: &LeaderSession, id: &TopicIdPartition, number: u64) -> bool {
    let inner = calls.inner.lock();
    inner
        .find(id)
        .is_some_and(|it| it.number == number && it.sent_positions.is_some())
}

/// A subscription raises the high watermark, so its token is queued before `subscribe` returns,
/// while the stream runs on another thread. The same applies to a subscription that waited for the
/// metadata.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_whose_partition_changes_as_it_begins_is_served() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    let calls = LeaderSession::new(
        Arc::clone(&broker.partitions),
        NodePeer::default(),
        Arc::default(),
    );
    calls.on_message(hello()).unwrap();
    let stop = AtomicBool::new(false);
    let runtime = tokio::runtime::Handle::current();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _entered = runtime.enter();
            let mut stream = LeaderStream::new(Arc::clone(&calls), false);
            let waker = noop_waker();
            while !stop.load(Ordering::Acquire) {
                let _ = Pin::new(&mut stream).poll_next(&mut Context::from_waker(&waker));
            }
        });
        let _stop = Stop(&stop);
        for number in 1..=ROUNDS {
            let records = batch(&["a"]);
            let appended = partition.append(records, Acks::Leader, AppendOrigin::Client, NOW);
            appended.unwrap();
            let subscribe = v1::Subscribe {
                topic_id: convert::uuid_to_wire(topic_id.0),
                partition: 0,
                leader_epoch: 3,
                fetch_offset: partition.positions().log_end_offset.0,
                last_fetched_epoch: LeaderEpoch::to_wire(Some(LeaderEpoch(3))),
                log_start_offset: 0,
                subscription: number,
                paused: false,
            };
            calls.subscribe(&subscribe);
            let begun = std::time::Instant::now();
            while !is_served(&calls, &partition.id(), number) {
                assert!(
                    begun.elapsed() < DEADLINE,
                    "subscription {number} is not served"
                );
                std::thread::yield_now();
            }
        }
    });
}

/// Starts a broker that leads `t-0`, with records in it, and a stream on which the other broker
/// subscribes.
async fn subscribed(
    records: usize,
) -> (Replicas, Arc<Partition>, Arc<LeaderSession>, LeaderStream) {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    for _ in 0..records {
        let appended = partition.append(batch(&["a"]), Acks::Leader, AppendOrigin::Client, NOW);
        appended.unwrap();
    }
    let calls = LeaderSession::new(
        Arc::clone(&broker.partitions),
        NodePeer::default(),
        Arc::default(),
    );
    calls.on_message(hello()).unwrap();
    let stream = LeaderStream::new(Arc::clone(&calls), false);
    (broker, partition, calls, stream)
}

fn subscribe(partition: &Partition, number: u64, leader_epoch: i32) -> v1::Subscribe {
    v1::Subscribe {
        topic_id: convert::uuid_to_wire(partition.id().topic_id.0),
        partition: 0,
        leader_epoch,
        fetch_offset: 0,
        last_fetched_epoch: -1,
        log_start_offset: 0,
        subscription: number,
        paused: false,
    }
}

fn ack(partition: &Partition, subscription: u64, leader_epoch: i32, end: i64) -> v1::Ack {
    v1::Ack {
        topic_id: convert::uuid_to_wire(partition.id().topic_id.0),
        partition: 0,
        leader_epoch,
        end,
        log_start_offset: 0,
        subscription,
    }
}

/// Returns what the stream sends next; nothing when no read is in progress.
async fn sent(stream: &mut LeaderStream) -> Vec<v1::PartitionData> {
    let next = poll_fn(|cx| {
        let out = stream.poll_message(true, cx);
        if out.parts.is_empty() && stream.cold.running() > 0 {
            return Poll::Pending;
        }
        Poll::Ready(out.parts)
    });
    tokio::time::timeout(DEADLINE, next).await.unwrap()
}

#[tokio::test]
async fn acks_of_another_subscription_epoch_or_stream_change_nothing() {
    let (broker, partition, calls, mut stream) = subscribed(3).await;
    calls.subscribe(&subscribe(&partition, 5, 3));
    assert_eq!(sent(&mut stream).await[0].subscription, 5);
    let other = LeaderSession::new(
        Arc::clone(&broker.partitions),
        NodePeer::default(),
        Arc::default(),
    );
    other.on_message(hello()).unwrap();
    other.on_ack(&ack(&partition, 5, 3, 3));
    for (number, epoch) in [(4, 3), (6, 3), (5, 2), (5, 4)] {
        calls.on_ack(&ack(&partition, number, epoch, 3));
    }
    assert_eq!(partition.positions().high_watermark, Offset(0));
    calls.on_ack(&ack(&partition, 5, 3, 3));
    assert_eq!(partition.positions().high_watermark, Offset(3));
}

#[tokio::test]
async fn an_end_of_a_subscription_names_its_own_number_and_epoch() {
    let (broker, partition, calls, mut stream) = subscribed(1).await;
    calls.subscribe(&subscribe(&partition, 5, 3));
    assert_eq!(sent(&mut stream).await[0].error, None);
    // This broker becomes a follower in epoch 4: the end that it sends is still that of epoch 3.
    let change = dohle_model::record::PartitionChange {
        leader: Some(Some(OTHER)),
        ..dohle_model::record::PartitionChange::default()
    };
    let record = dohle_model::record::MetadataRecord::PartitionChange {
        topic_id: partition.id().topic_id,
        partition: partition.id().partition,
        change,
    };
    broker.apply(&[record]).await;
    let ends = sent(&mut stream).await;
    assert_eq!((ends[0].subscription, ends[0].leader_epoch), (5, 3));
    assert_eq!(
        ends[0].error,
        Some(i32::from(ErrorCode::NotLeaderOrFollower.code()))
    );
    // A refusal has the epoch of the subscription too.
    calls.subscribe(&subscribe(&partition, 6, 3));
    let refused = sent(&mut stream).await;
    assert_eq!((refused[0].subscription, refused[0].leader_epoch), (6, 3));
    assert_eq!(
        refused[0].error,
        Some(i32::from(ErrorCode::FencedLeaderEpoch.code()))
    );
}

#[tokio::test]
async fn a_subscription_that_was_given_up_is_not_resumed() {
    let (_broker, partition, calls, _stream) = subscribed(1).await;
    let id = partition.id();
    calls.unsubscribe(id);
    let given_up = GivenUp::default();
    given_up.set();
    Arc::clone(&calls).resume(&subscribe(&partition, 6, 3), &given_up);
    assert!(calls.inner.lock().find(&id).is_none());
    Arc::clone(&calls).resume(&subscribe(&partition, 7, 3), &GivenUp::default());
    assert!(calls.inner.lock().find(&id).is_some());
}

/// A request that waited for the metadata continues when a newer one of the same follower has
/// begun, or waits too.
#[tokio::test]
async fn the_newer_of_two_requests_that_overlap_is_served() {
    let (broker, partition, calls, mut stream) = subscribed(1).await;
    calls.subscribe(&subscribe(&partition, 6, 3));
    assert_eq!(sent(&mut stream).await[0].subscription, 6);
    Arc::clone(&calls).resume(&subscribe(&partition, 5, 3), &GivenUp::default());
    let appended = partition.append(batch(&["b"]), Acks::Leader, AppendOrigin::Client, NOW);
    appended.unwrap();
    let parts: Vec<_> = sent(&mut stream)
        .await
        .iter()
        .map(|part| (part.subscription, part.error, part.length > 0))
        .collect();
    assert_eq!(parts, [(6, None, true)]);

    // Both wait for epoch 4. The older one waits anew, after the newer.
    calls.subscribe(&subscribe(&partition, 8, 4));
    Arc::clone(&calls).resume(&subscribe(&partition, 7, 4), &GivenUp::default());
    let change = dohle_model::record::PartitionChange {
        leader: Some(Some(NODE)),
        ..dohle_model::record::PartitionChange::default()
    };
    let record = dohle_model::record::MetadataRecord::PartitionChange {
        topic_id: partition.id().topic_id,
        partition: partition.id().partition,
        change,
    };
    broker.apply(&[record]).await;
    calls.pending.release(partition.id());
    let parts = sent(&mut stream).await;
    assert_eq!(parts[0].subscription, 8);
}

#[tokio::test]
async fn a_subscription_that_waits_for_the_metadata_is_forgotten_when_it_is_given_up() {
    let (broker, partition, calls, mut stream) = subscribed(1).await;
    calls.subscribe(&subscribe(&partition, 5, 4));
    let gone = v1::PartitionRef {
        topic_id: convert::uuid_to_wire(partition.id().topic_id.0),
        partition: 0,
    };
    let unsubscribe = v1::FollowerMessage {
        unsubscribe: vec![gone],
        ..v1::FollowerMessage::default()
    };
    calls.on_message(unsubscribe).unwrap();
    let change = dohle_model::record::PartitionChange {
        leader: Some(Some(NODE)),
        ..dohle_model::record::PartitionChange::default()
    };
    let record = dohle_model::record::MetadataRecord::PartitionChange {
        topic_id: partition.id().topic_id,
        partition: partition.id().partition,
        change,
    };
    broker.apply(&[record]).await;
    assert_eq!(partition.leader_epoch(), LeaderEpoch(4));
    assert!(
        sent(&mut stream).await.is_empty(),
        "nobody wants it any more"
    );
}
