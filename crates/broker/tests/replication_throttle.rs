//! Tests of the limits for throttled replicas (KIP-73), with real streams.
//!
//! The limit is one byte a second, measured over windows of 100 seconds: it admits one message and
//! then nothing more while a test runs, however slow the machine is.

mod support;

use dohle_broker::partition::Acks;
use dohle_model::record::ConfigResource;
use dohle_model::{NodeId, TopicName};
use support::{Cluster, all_bytes, append, produce, wait_for};

const LEADER_RATE: &str = "leader.replication.throttled.rate";
const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";
const LEADER_REPLICAS: &str = "leader.replication.throttled.replicas";
const FOLLOWER_REPLICAS: &str = "follower.replication.throttled.replicas";

/// What may be transferred before a limit is noticed: one message, and one batch more.
const OVERSHOOT_BYTES: usize = (1 << 20) + 20_000;

const BATCHES: i64 = 300;
const BATCH_BYTES: usize = 10_000;

/// Starts two brokers; the first leads two partitions of 3 MB and is their only replica.
fn start() -> std::sync::Arc<Cluster> {
    let cluster = Cluster::start(2, &[("replication.quota.window.size.seconds", "100")]);
    cluster.create_topic(&[1], &[]);
    cluster.create_partition(1, &[1]);
    let value = "x".repeat(BATCH_BYTES);
    for index in [0, 1] {
        let leader = cluster.replica_at(1, index);
        for _ in 0..BATCHES {
            append(&leader, &[&value], Acks::Leader).unwrap();
        }
    }
    cluster
}

fn throttle(cluster: &Cluster, node: i32, (rate, replicas): (&str, &str), list: &str) {
    let topic = ConfigResource::Topic(TopicName::new("t").unwrap());
    cluster.set_config(topic, replicas, Some(list));
    cluster.set_config(ConfigResource::Broker(NodeId(node)), rate, Some("1"));
}

/// Adds broker 2 to both partitions, of which the first is throttled, and removes the limit once
/// the second has all records.
fn check_that_only_the_first_waits(cluster: &Cluster, limited: i32, rate: &str) {
    for index in [0, 1] {
        cluster.assign_replicas(index, &[1, 2]);
    }
    let all = |it: &dohle_broker::partition::Partition| it.positions().log_end_offset.0 == BATCHES;
    wait_for(&cluster.replica_at(2, 1), all);
    let throttled = cluster.replica_at(2, 0);
    wait_for(&throttled, |it| it.positions().log_end_offset.0 > 0);
    let received = all_bytes(&throttled).len();
    assert!(received <= OVERSHOOT_BYTES, "{received} bytes");
    assert_eq!(cluster.registration().isr, [NodeId(1)]);
    let broker = ConfigResource::Broker(NodeId(limited));
    cluster.set_config(broker, rate, None);
    cluster.wait_isr(&[1, 2]);
    cluster.wait_settled(2, BATCHES);
    assert_eq!(all_bytes(&throttled), all_bytes(&cluster.replica(1)));
}

#[test]
fn a_throttled_follower_receives_what_its_limit_allows_and_delays_no_other() {
    let cluster = start();
    throttle(&cluster, 2, (FOLLOWER_RATE, FOLLOWER_REPLICAS), "0:2");
    check_that_only_the_first_waits(&cluster, 2, FOLLOWER_RATE);
}

#[test]
fn a_throttled_leader_sends_what_its_limit_allows_and_delays_no_other() {
    let cluster = start();
    throttle(&cluster, 1, (LEADER_RATE, LEADER_REPLICAS), "0:1");
    check_that_only_the_first_waits(&cluster, 1, LEADER_RATE);
}

#[test]
fn replicas_in_the_isr_are_not_delayed() {
    let cluster = Cluster::start(2, &[("replication.quota.window.size.seconds", "100")]);
    cluster.create_topic(&[1, 2], &[]);
    throttle(&cluster, 1, (LEADER_RATE, LEADER_REPLICAS), "*");
    throttle(&cluster, 2, (FOLLOWER_RATE, FOLLOWER_REPLICAS), "*");
    let leader = cluster.replica(1);
    let value = "x".repeat(BATCH_BYTES);
    for _ in 0..100 {
        // Waits until both replicas have it.
        produce(&leader, &[&value]);
    }
    cluster.wait_settled(2, 100);
}

#[test]
fn replicas_that_no_topic_lists_are_not_delayed() {
    let cluster = start();
    throttle(&cluster, 1, (LEADER_RATE, LEADER_REPLICAS), "0:2,1:1");
    throttle(&cluster, 2, (FOLLOWER_RATE, FOLLOWER_REPLICAS), "0:1,1:2");
    cluster.assign_replicas(0, &[1, 2]);
    cluster.wait_isr(&[1, 2]);
    cluster.wait_settled(2, BATCHES);
}
