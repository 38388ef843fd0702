//! Tests of the runtime with a machine that is independent of groups, on real partitions: loads,
//! failover, timers, parked requests, commits, failed appends.

mod group_transactions;
mod leases;
mod simulation;
mod transactions;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use dohle_log::{BatchBuilder, BatchOptions, CompressionType};
use dohle_model::image::MetadataImage;
use dohle_model::record::{ConfigResource, MetadataRecord, PartitionChange};
use dohle_model::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicName};
use futures::FutureExt as _;
use tokio::time::{Instant, timeout};

use self::leases::{Acquire, CountTopics, Grant, Holder, LeaseConfig, Leases, Release, TimeLeft};
use super::shard::ShardRuntime;
use super::{
    Coordinator, CoordinatorConfig, CoordinatorSettings, InternalTopic, TopicSettings, partition_of,
};
use dohle_broker::partition::{Acks, AppendOrigin};
use dohle_broker::partitions::wall_clock;
use dohle_broker::testing::{DIRS, NODE, OTHER, Replicas};

const DEADLINE: Duration = Duration::from_secs(20);
const HOUR: Duration = Duration::from_hours(1);
/// The topic's configuration that limits the time of a lease, in milliseconds.
const TIME_MAX: &str = "lease.time.max.ms";

static LEASES_TOPIC: InternalTopic = InternalTopic {
    name: "__leases",
    replication_factor_property: "leases.topic.replication.factor",
    settings: |_| TopicSettings {
        min_insync_replicas: None,
        partitions: 4,
        replication_factor: 2,
        configs: vec![("cleanup.policy", "compact".to_owned())],
    },
};

fn settings(image: &MetadataImage) -> CoordinatorSettings<Leases> {
    let topic = TopicName::new(LEASES_TOPIC.name).unwrap();
    let configs = image.configs.get(&ConfigResource::Topic(topic));
    let time_max = configs.and_then(|configs| configs.get(TIME_MAX)?.parse().ok());
    CoordinatorSettings {
        machine: Arc::new(LeaseConfig {
            time_max: time_max.map_or(HOUR, Duration::from_millis),
        }),
        commit_timeout: DEADLINE,
        load_buffer: 1 << 16,
        codec: CompressionType::None,
        upkeep_interval: HOUR,
        batch_bytes_max: 1 << 20,
    }
}

/// A broker that coordinates leases.
struct Node {
    replicas: Replicas,
    leases: Arc<Coordinator<Leases>>,
}

impl Node {
    async fn start() -> Self {
        let mut replicas = Replicas::open(&[], &DIRS[..1]);
        let config = CoordinatorConfig::new(NODE, &LEASES_TOPIC, settings);
        let (metadata, partitions) = (&replicas.metadata, &replicas.partitions);
        let leases = Coordinator::start(config, Arc::clone(metadata), Arc::clone(partitions));
        let coordinator = Arc::clone(&leases);
        replicas.observe(move |change| coordinator.on_metadata(change));
        replicas.register().await;
        Self { replicas, leases }
    }

    /// Starts the node with one partition of leases, whose replicas are in sync.
    async fn with_replicas(replicas: &[NodeId]) -> (Self, TopicId) {
        let node = Self::start().await;
        let made = node
            .replicas
            .topic_led_by(LEASES_TOPIC.name, 1, NODE, replicas.to_vec());
        let topic = made.await;
        node.loaded().await;
        (node, topic)
    }

    /// Waits until the shard of a lease is loaded.
    async fn loaded(&self) {
        let loading = async {
            let lease = Holder { name: "" };
            while self.leases.run("", &lease).await == Err(ErrorCode::CoordinatorLoadInProgress) {
                tokio::task::yield_now().await;
            }
        };
        timeout(DEADLINE, loading).await.expect("the shard loads");
    }

    async fn change(&self, topic_id: TopicId, change: PartitionChange) {
        let change = MetadataRecord::PartitionChange {
            topic_id,
            partition: PartitionIndex(0),
            change,
        };
        self.replicas.apply(&[change]).await;
    }

    /// Elects a leader, in a new epoch.
    async fn lead(&self, topic: TopicId, leader: NodeId) {
        let change = PartitionChange {
            leader: Some(Some(leader)),
            isr: Some(vec![NODE]),
            ..PartitionChange::default()
        };
        self.change(topic, change).await;
    }

    async fn in_sync(&self, topic: TopicId, isr: &[NodeId]) {
        let change = PartitionChange {
            isr: Some(isr.to_vec()),
            ..PartitionChange::default()
        };
        self.change(topic, change).await;
    }

    async fn configure(&self, key: &str, value: &str) {
        let config = MetadataRecord::Config {
            resource: ConfigResource::Topic(TopicName::new(LEASES_TOPIC.name).unwrap()),
            key: key.into(),
            value: Some(value.into()),
        };
        self.replicas.apply(&[config]).await;
    }

    async fn holder(&self, name: &'static str) -> Result<Option<String>, ErrorCode> {
        self.leases.run(name, &Holder { name }).await
    }

    async fn release(&self, name: &'static str, owner: &'static str) -> Result<(), ErrorCode> {
        self.leases.run(name, &Release { name, owner }).await?
    }

    /// Acquires a lease; completes when it is granted or refused.
    async fn acquire(
        &self,
        name: &'static str,
        owner: &'static str,
        time: Duration,
    ) -> Result<Duration, ErrorCode> {
        let acquire = Acquire { name, owner, time };
        let Grant(granted) = self.leases.park(name, &acquire).await?.reply().await?;
        granted
    }
}

/// Returns whether a future has not completed when all other work is done.
async fn nothing_yet(mut future: std::pin::Pin<&mut impl Future>) -> bool {
    for _ in 0..200 {
        if future.as_mut().now_or_never().is_some() {
            return false;
        }
        tokio::task::yield_now().await;
    }
    true
}

fn owner(name: &str) -> Result<Option<String>, ErrorCode> {
    Ok(Some(name.to_owned()))
}

#[tokio::test]
async fn a_lease_outlives_the_leadership_that_granted_it() {
    let (node, topic) = Node::with_replicas(&[NODE]).await;
    assert_eq!(node.holder("a").await, Ok(None));
    assert_eq!(node.acquire("a", "first", HOUR).await, Ok(HOUR));
    assert_eq!(node.holder("a").await, owner("first"));
    node.lead(topic, OTHER).await;
    let gone = Err(ErrorCode::NotCoordinator);
    assert_eq!(node.holder("a").await, gone);
    assert_eq!(node.acquire("b", "first", HOUR).await, gone.map(|_| HOUR));
    node.lead(topic, NODE).await;
    node.loaded().await;
    assert_eq!(node.holder("a").await, owner("first"));
    // An election of the same leader creates a new shard too.
    node.lead(topic, NODE).await;
    node.loaded().await;
    assert_eq!(node.holder("a").await, owner("first"));
    assert_eq!(node.release("a", "first").await, Ok(()));
    assert_eq!(node.holder("a").await, Ok(None));
}

#[tokio::test]
async fn a_request_for_an_earlier_leadership_is_refused() {
    let (node, topic) = Node::with_replicas(&[NODE]).await;
    assert_eq!(node.acquire("a", "first", HOUR).await, Ok(HOUR));
    let holder = Holder { name: "a" };
    let release = Release {
        name: "a",
        owner: "first",
    };
    let index = PartitionIndex(0);
    let leases = &node.leases;
    let (earlier, _) = leases.run_in_shard(index, None, &holder).await.unwrap();
    node.lead(topic, NODE).await;
    node.loaded().await;
    let late = leases.run_in_shard(index, Some(earlier), &release).await;
    assert_eq!(late, Err(ErrorCode::NotCoordinator));
    assert_eq!(node.holder("a").await, owner("first"));
    let (current, _) = leases.run_in_shard(index, None, &holder).await.unwrap();
    let released = leases.run_in_shard(index, Some(current), &release).await;
    assert_eq!(released, Ok((current, Ok(()))));
    assert_eq!(node.holder("a").await, Ok(None));
}

#[tokio::test]
async fn each_key_belongs_to_one_partition_and_each_partition_has_a_machine() {
    let node = Node::start().await;
    node.replicas.topic(LEASES_TOPIC.name, 4).await;
    let image = node.replicas.metadata.image();
    let names = ["a", "b", "c", "d"];
    let partitions = names.map(|name| partition_of(&image, LEASES_TOPIC.name, name).unwrap().0);
    assert_eq!(partitions, [1, 2, 3, 0]);
    for name in names {
        while node.holder(name).await == Err(ErrorCode::CoordinatorLoadInProgress) {
            tokio::task::yield_now().await;
        }
        assert_eq!(node.acquire(name, "me", HOUR).await, Ok(HOUR));
    }
    // Every machine has only its own leases.
    let holders = node.leases.run_in_all(&Holder { name: "a" }).await;
    let found = [Ok(None), owner("me"), Ok(None), Ok(None)];
    assert_eq!(holders, found);
}

#[tokio::test]
async fn a_parked_request_is_answered_by_another_request_after_its_commit() {
    let (node, topic) = Node::with_replicas(&[NODE, OTHER]).await;
    node.in_sync(topic, &[NODE]).await;
    assert_eq!(node.acquire("a", "first", HOUR).await, Ok(HOUR));
    let mut second = std::pin::pin!(node.acquire("a", "second", HOUR));
    assert!(nothing_yet(second.as_mut()).await, "the lease is taken");
    assert_eq!(node.leases.parked(), 1);
    // Nothing is committed while the other replica, which does not acknowledge, is in sync.
    node.in_sync(topic, &[NODE, OTHER]).await;
    let mut released = std::pin::pin!(node.release("a", "first"));
    assert!(nothing_yet(released.as_mut()).await, "not committed");
    assert!(nothing_yet(second.as_mut()).await, "not committed");
    let mut read = std::pin::pin!(node.holder("a"));
    assert!(
        nothing_yet(read.as_mut()).await,
        "shows what is not committed"
    );
    node.in_sync(topic, &[NODE]).await;
    assert_eq!(timeout(DEADLINE, released).await.unwrap(), Ok(()));
    assert_eq!(timeout(DEADLINE, second).await.unwrap(), Ok(HOUR));
    assert_eq!(timeout(DEADLINE, read).await.unwrap(), owner("second"));
    assert_eq!(node.leases.parked(), 0);
}

#[tokio::test]
async fn a_reply_is_sent_after_the_machine_has_continued() {
    let (node, _) = Node::with_replicas(&[NODE]).await;
    assert_eq!(node.acquire("a", "first", HOUR / 2).await, Ok(HOUR / 2));
    let mut second = std::pin::pin!(node.acquire("a", "second", HOUR));
    assert!(nothing_yet(second.as_mut()).await, "the lease is taken");
    // The time of the second owner begins with the commit.
    assert_eq!(node.release("a", "first").await, Ok(()));
    let left = node.leases.run("a", &TimeLeft { name: "a" }).await;
    assert!(left.unwrap() > Some(HOUR / 2), "{left:?}");
}

#[tokio::test]
async fn a_parked_request_shows_nothing_that_is_not_committed() {
    let (node, topic) = Node::with_replicas(&[NODE, OTHER]).await;
    let mut granted = std::pin::pin!(node.acquire("a", "first", HOUR));
    assert!(nothing_yet(granted.as_mut()).await, "not committed");
    // The owner requests the lease again. This request appends no record, and its reply depends on
    // the first one.
    let mut again = std::pin::pin!(node.acquire("a", "first", HOUR));
    assert!(
        nothing_yet(again.as_mut()).await,
        "shows what is not committed"
    );
    node.in_sync(topic, &[NODE]).await;
    assert_eq!(timeout(DEADLINE, granted).await.unwrap(), Ok(HOUR));
    assert_eq!(timeout(DEADLINE, again).await.unwrap(), Ok(HOUR));
}

#[tokio::test]
async fn a_refusal_needs_no_commit() {
    let (node, topic) = Node::with_replicas(&[NODE, OTHER]).await;
    node.in_sync(topic, &[NODE, OTHER]).await;
    let refused = node.acquire("a", "", HOUR);
    let refused = timeout(DEADLINE, refused).await.unwrap();
    assert_eq!(refused, Err(ErrorCode::InvalidRequest));
}

#[tokio::test]
async fn what_waits_for_a_commit_fails_when_leadership_ends() {
    let (node, topic) = Node::with_replicas(&[NODE, OTHER]).await;
    let mut granted = std::pin::pin!(node.acquire("a", "first", HOUR));
    assert!(nothing_yet(granted.as_mut()).await, "not committed");
    let mut parked = std::pin::pin!(node.acquire("a", "second", HOUR));
    assert!(nothing_yet(parked.as_mut()).await, "the lease is taken");
    node.lead(topic, OTHER).await;
    let gone = Err(ErrorCode::NotCoordinator);
    assert_eq!(timeout(DEADLINE, granted).await.unwrap(), gone);
    assert_eq!(timeout(DEADLINE, parked).await.unwrap(), gone);
    assert_eq!(node.leases.parked(), 0);
}

#[tokio::test]
async fn a_request_that_is_dropped_is_forgotten() {
    let (node, _) = Node::with_replicas(&[NODE]).await;
    assert_eq!(node.acquire("a", "first", HOUR).await, Ok(HOUR));
    {
        let mut second = std::pin::pin!(node.acquire("a", "second", HOUR));
        assert!(nothing_yet(second.as_mut()).await, "the lease is taken");
        assert_eq!(node.leases.parked(), 1);
    }
    assert_eq!(node.leases.parked(), 0);
    // The machine replies to a token without a waiting request.
    assert_eq!(node.release("a", "first").await, Ok(()));
    assert_eq!(node.holder("a").await, owner("second"));
}

#[tokio::test]
async fn a_timer_passes_the_lease_on_and_runs_anew_after_a_load() {
    let (node, topic) = Node::with_replicas(&[NODE]).await;
    let short = Duration::from_millis(20);
    assert_eq!(node.acquire("a", "first", short).await, Ok(short));
    let second = timeout(DEADLINE, node.acquire("a", "second", HOUR)).await;
    assert_eq!(second.expect("a timer expires"), Ok(HOUR));
    assert_eq!(node.holder("a").await, owner("second"));
    // The next shard starts the timers of the leases that it has loaded.
    assert_eq!(node.acquire("b", "first", short).await, Ok(short));
    node.lead(topic, NODE).await;
    node.loaded().await;
    let third = timeout(DEADLINE, node.acquire("b", "third", HOUR)).await;
    assert_eq!(third.expect("a timer expires"), Ok(HOUR));
}

#[tokio::test]
async fn what_cannot_be_appended_changes_nothing() {
    let (node, topic) = Node::with_replicas(&[NODE, OTHER]).await;
    node.in_sync(topic, &[NODE]).await;
    assert_eq!(node.acquire("a", "first", HOUR).await, Ok(HOUR));
    node.configure("min.insync.replicas", "2").await;
    let unavailable = ErrorCode::CoordinatorNotAvailable;
    let refused = node.acquire("b", "first", HOUR).await;
    assert_eq!(refused, Err(unavailable));
    assert_eq!(node.release("a", "first").await, Err(unavailable));
    assert_eq!(node.holder("a").await, owner("first"));
    assert_eq!(node.holder("b").await, Ok(None));
    node.configure("min.insync.replicas", "1").await;
    assert_eq!(node.acquire("b", "second", HOUR).await, Ok(HOUR));
    assert_eq!(node.release("a", "first").await, Ok(()));
}

#[tokio::test]
async fn a_timer_whose_records_cannot_be_appended_expires_again() {
    let (node, topic) = Node::with_replicas(&[NODE, OTHER]).await;
    node.in_sync(topic, &[NODE]).await;
    assert_eq!(node.acquire("a", "first", HOUR).await, Ok(HOUR));
    // When the lease is loaded, its time is nearly over, and too few replicas are in sync.
    node.configure(TIME_MAX, "20").await;
    node.configure("min.insync.replicas", "2").await;
    node.lead(topic, NODE).await;
    node.loaded().await;
    // The timer grants the lease to this request, but the append of the record fails.
    let second = timeout(DEADLINE, node.acquire("a", "second", HOUR)).await;
    let unavailable = Err(ErrorCode::CoordinatorNotAvailable);
    assert_eq!(second.expect("a timer expires"), unavailable);
    assert_eq!(node.holder("a").await, owner("first"));
    node.configure(TIME_MAX, "3600000").await;
    node.configure("min.insync.replicas", "1").await;
    let third = timeout(DEADLINE, node.acquire("a", "third", HOUR)).await;
    assert_eq!(third.expect("the timer expires again"), Ok(HOUR));
}

#[tokio::test]
async fn a_request_is_planned_again_with_what_was_computed_for_it() {
    let (node, _) = Node::with_replicas(&[NODE]).await;
    for name in ["orders", "orders-eu", "payments"] {
        node.replicas.topic(name, 1).await;
    }
    let count = CountTopics { prefix: "orders" };
    assert_eq!(node.leases.run("a", &count).await, Ok(2));
}

#[tokio::test]
async fn a_changed_configuration_reaches_the_next_step() {
    let (node, _) = Node::with_replicas(&[NODE]).await;
    assert_eq!(node.acquire("a", "first", HOUR).await, Ok(HOUR));
    node.configure(TIME_MAX, "60000").await;
    let minute = Duration::from_mins(1);
    assert_eq!(node.acquire("b", "first", HOUR).await, Ok(minute));
}

#[tokio::test]
async fn a_deleted_topic_reaches_the_machine() {
    let (node, _) = Node::with_replicas(&[NODE]).await;
    let topic_id = node.replicas.topic("orders", 1).await;
    assert_eq!(node.acquire("orders", "first", HOUR).await, Ok(HOUR));
    let deleted = MetadataRecord::RemoveTopic { id: topic_id };
    node.replicas.apply(&[deleted]).await;
    let ended = async {
        while node.holder("orders").await != Ok(None) {
            tokio::task::yield_now().await;
        }
    };
    timeout(DEADLINE, ended).await.expect("the lease ends");
}

#[tokio::test]
async fn records_that_cannot_be_decoded_are_not_served_and_unknown_types_are_skipped() {
    let (node, topic) = Node::with_replicas(&[NODE]).await;
    let append = |key: &[u8]| {
        let mut batch = BatchBuilder::new(BatchOptions::default());
        batch.append(None, Some(key), Some(b"?"), &[]);
        let (batch, origin) = (batch.build().unwrap(), AppendOrigin::Coordinator);
        let partition = node.replicas.partition(topic, 0);
        let appended = partition.append(batch, Acks::All, origin, wall_clock());
        appended.unwrap();
    };
    assert_eq!(node.acquire("a", "first", HOUR).await, Ok(HOUR));
    append(&[0x7f, 0xff, 1]);
    node.lead(topic, NODE).await;
    node.loaded().await;
    assert_eq!(node.holder("a").await, owner("first"));
    // A record with the key of a lease, whose value is too short.
    append(&[0, 7, b'a']);
    node.lead(topic, NODE).await;
    node.loaded().await;
    assert_eq!(node.holder("a").await, Err(ErrorCode::NotCoordinator));
}

/// A request that begins another load right after a failed one waits for it.
#[tokio::test]
async fn the_end_of_a_load_is_announced_before_the_next_one_begins() {
    let (node, topic) = Node::with_replicas(&[NODE]).await;
    for _ in 0..2_000 {
        let partition = node.replicas.partition(topic, 0);
        let shard = ShardRuntime::<Leases>::new(partition, LeaderEpoch(3));
        std::thread::scope(|scope| {
            scope.spawn(|| shard.fail(Duration::ZERO));
            while !shard.may_load_again(HOUR) {
                std::hint::spin_loop();
            }
        });
        let waits = shard.until_loaded(Instant::now() + HOUR).now_or_never();
        assert_eq!(waits, None, "the shard loads");
    }
}
