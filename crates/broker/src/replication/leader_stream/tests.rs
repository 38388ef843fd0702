//! The stream against subscriptions that begin on another thread.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use dohle_model::Timestamp;
use futures::task::noop_waker;

use super::*;
use crate::api::tests::harness::{Broker, NODE, OTHER, batch};
use crate::partition::{Acks, AppendOrigin};

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

/// Whether the stream has served this subscription.
fn is_served(calls: &LeaderCalls, id: &TopicIdPartition, number: u64) -> bool {
    let inner = calls.inner.lock();
    inner
        .find(id)
        .is_some_and(|it| it.number == number && it.told.is_some())
}

/// A subscription raises the high watermark, so its feed moves before `subscribe` returns, while
/// the stream runs on another thread: as with one that waited for the metadata.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_moves_as_it_begins_is_served() {
    let broker = Broker::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    let calls = LeaderCalls::new(Arc::clone(&broker.context.partitions));
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
