//! Tests of partitions whose records are not in the page cache, on a stream with others.

use std::sync::mpsc;

use dohle_log::Batches;
use tokio::sync::mpsc::unbounded_channel;

use super::*;

const CREDITS: i64 = 8 << 20;
/// The number of disk operations at a time.
const DISK_PLACES: usize = 8;

/// A broker that leads all partitions of a topic, and a stream of the other broker.
struct Leader {
    broker: Replicas,
    topic_id: dohle_model::TopicId,
    session: Arc<LeaderSession>,
    stream: LeaderStream,
    /// The received records, by partition.
    received: HashMap<i32, Vec<u8>>,
}

impl Leader {
    async fn of(partitions: i32) -> Self {
        let broker = Replicas::start(&[]).await;
        let replicas = vec![NODE, OTHER];
        let topic_id = broker
            .topic_led_by("t", partitions, NODE, replicas.clone())
            .await;
        let session = LeaderSession::new(
            Arc::clone(&broker.partitions),
            NodePeer::default(),
            Arc::default(),
        );
        let hello = v1::FollowerMessage {
            credit_bytes: CREDITS as u64,
            ..hello()
        };
        session.on_message(hello).unwrap();
        let stream = LeaderStream::new(Arc::clone(&session), false);
        Self {
            broker,
            topic_id,
            session,
            stream,
            received: HashMap::new(),
        }
    }

    fn append(&self, partition: i32) {
        let partition = self.broker.partition(self.topic_id, partition);
        let records = batch(&["a value that takes some bytes"]);
        let appended = partition.append(records, Acks::Leader, AppendOrigin::Client, NOW);
        appended.unwrap();
    }

    /// Makes reads of the partition behave as if nothing of its file were in the page cache.
    fn make_cold(&self, partition: i32) {
        let partition = self.broker.partition(self.topic_id, partition);
        partition.is_uncached.store(true, Ordering::Relaxed);
    }

    fn subscribe(&self, partition: i32, number: u64) {
        let partition = self.broker.partition(self.topic_id, partition);
        self.session.subscribe(&v1::Subscribe {
            partition: partition.id().partition.0,
            ..subscribe(&partition, number, 3)
        });
    }

    fn unsubscribe(&self, partition: i32) {
        let gone = v1::PartitionRef {
            topic_id: convert::uuid_to_wire(self.topic_id.0),
            partition,
        };
        let message = v1::FollowerMessage {
            unsubscribe: vec![gone],
            ..v1::FollowerMessage::default()
        };
        self.session.on_message(message).unwrap();
    }

    fn credits(&self) -> i64 {
        self.session.inner.lock().credits
    }

    fn received_bytes(&self) -> i64 {
        self.received.values().map(|it| it.len() as i64).sum()
    }

    fn receive(&mut self, out: Outgoing) -> Vec<v1::PartitionData> {
        let mut payload = out.payload.concat().into_iter();
        for part in &out.parts {
            assert_eq!(part.error, None);
            let records = payload.by_ref().take(part.length as usize);
            let received = self.received.entry(part.partition).or_default();
            received.extend(records);
        }
        assert_eq!(payload.next(), None);
        out.parts
    }

    /// Returns what the stream sends without waiting: the partitions with records.
    fn sent_now(&mut self) -> Vec<i32> {
        let waker = noop_waker();
        let out = self
            .stream
            .poll_message(true, &mut Context::from_waker(&waker));
        let parts = self.receive(out);
        let with_records = parts.iter().filter(|part| part.length > 0);
        with_records.map(|part| part.partition).collect()
    }

    /// Receives until no read is in progress and nothing is left to send.
    async fn receive_all(&mut self) {
        loop {
            let next = poll_fn(|cx| {
                let out = self.stream.poll_message(true, cx);
                if out.parts.is_empty() && self.stream.cold.running() > 0 {
                    return Poll::Pending;
                }
                Poll::Ready(out)
            });
            let out = tokio::time::timeout(DEADLINE, next).await.unwrap();
            if out.parts.is_empty() {
                return;
            }
            self.receive(out);
        }
    }

    /// Returns the offsets of the records received of a partition.
    fn offsets(&self, partition: i32) -> Vec<i64> {
        let records = Bytes::from(self.received.get(&partition).cloned().unwrap_or_default());
        Batches::new(&records)
            .map(|batch| batch.unwrap().header.base_offset.0)
            .collect()
    }

    /// Occupies all threads that may wait for the disk, until the returned sender is dropped.
    async fn block_the_disk(&self) -> mpsc::Sender<()> {
        let (release, released) = mpsc::channel::<()>();
        let released = Arc::new(Mutex::new(released));
        let (begin, mut begun) = unbounded_channel();
        for _ in 0..DISK_PLACES {
            let (released, begin) = (Arc::clone(&released), begin.clone());
            let partitions = Arc::clone(&self.broker.partitions);
            tokio::spawn(async move {
                let wait = move || {
                    begin.send(()).unwrap();
                    let _ = released.lock().recv_timeout(DEADLINE);
                };
                partitions
                    .blocking()
                    .disk(WorkOwner::Broker(NODE), wait)
                    .await
            });
        }
        for _ in 0..DISK_PLACES {
            begun.recv().await.unwrap();
        }
        release
    }
}

#[tokio::test]
async fn a_partition_that_waits_for_the_disk_holds_up_no_other() {
    let mut leader = Leader::of(2).await;
    for _ in 0..3 {
        leader.append(0);
    }
    leader.make_cold(0);
    let release = leader.block_the_disk().await;
    leader.subscribe(0, 1);
    leader.subscribe(1, 2);
    for round in 0..3 {
        leader.append(1);
        // The cold partition grows too; its new records wait for the old ones.
        leader.append(0);
        assert_eq!(leader.sent_now(), [1], "round {round}");
        assert_eq!(
            leader.credits(),
            CREDITS - MESSAGE_BYTES as i64 - leader.received_bytes(),
            "what the read may bring is reserved"
        );
    }
    assert!(leader.offsets(0).is_empty());
    drop(release);
    leader.receive_all().await;
    assert_eq!(leader.offsets(0), [0, 1, 2, 3, 4, 5]);
    assert_eq!(leader.offsets(1), [0, 1, 2]);
    assert_eq!(leader.credits(), CREDITS - leader.received_bytes());
}

#[tokio::test]
async fn a_subscription_that_ends_while_its_records_are_read_gets_none_of_them() {
    let mut leader = Leader::of(1).await;
    for _ in 0..3 {
        leader.append(0);
    }
    leader.make_cold(0);
    let release = leader.block_the_disk().await;
    leader.subscribe(0, 1);
    assert!(leader.sent_now().is_empty());
    leader.unsubscribe(0);
    assert!(leader.sent_now().is_empty());
    assert_eq!(leader.stream.cold.running(), 1);
    // The next subscription has the same token, and a read of its own.
    leader.subscribe(0, 2);
    assert!(leader.sent_now().is_empty());
    assert_eq!(leader.stream.cold.running(), 2);
    drop(release);
    leader.receive_all().await;
    assert_eq!(leader.offsets(0), [0, 1, 2]);
    assert_eq!(leader.credits(), CREDITS - leader.received_bytes());

    leader.unsubscribe(0);
    leader.make_cold(0);
    let release = leader.block_the_disk().await;
    leader.subscribe(0, 3);
    assert!(leader.sent_now().is_empty());
    leader.unsubscribe(0);
    drop(release);
    leader.receive_all().await;
    assert_eq!(leader.offsets(0), [0, 1, 2]);
    assert_eq!(leader.credits(), CREDITS - leader.received_bytes());
}

#[tokio::test]
async fn a_stream_waits_for_few_reads_at_a_time_and_makes_all_of_them() {
    let partitions = 12;
    let mut leader = Leader::of(partitions).await;
    for partition in 0..partitions {
        leader.append(partition);
        leader.make_cold(partition);
    }
    let release = leader.block_the_disk().await;
    for partition in 0..partitions {
        leader.subscribe(partition, partition as u64 + 1);
        assert!(leader.sent_now().is_empty());
        assert!(leader.stream.cold.running() <= 4);
        assert!(leader.credits() >= CREDITS / 2);
    }
    // One of the waiting subscriptions ends.
    leader.unsubscribe(9);
    drop(release);
    leader.receive_all().await;
    for partition in 0..partitions {
        let expected: &[i64] = if partition == 9 { &[] } else { &[0] };
        assert_eq!(leader.offsets(partition), expected, "partition {partition}");
    }
    assert_eq!(leader.credits(), CREDITS - leader.received_bytes());
}
