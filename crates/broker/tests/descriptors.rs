//! Partitions while descriptors are short. One test: the limit is the process's.

mod support;

use std::fs::File;

use dohle_broker::partition::Acks;
use dohle_model::ErrorCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::*;

/// Takes all descriptors that are left.
fn exhaust() -> Vec<File> {
    std::iter::from_fn(|| File::open("/dev/null").ok()).collect()
}

fn wait_until_led(cluster: &Cluster, node: i32) {
    wait_for(&cluster.replica(node), |replica| replica.is_leader());
}

#[test]
fn logs_that_could_not_be_opened_are_opened_when_there_are_descriptors() {
    let limit = getrlimit(Resource::Nofile);
    let few = Rlimit {
        current: Some(200),
        ..limit
    };
    setrlimit(Resource::Nofile, few).unwrap();
    let cluster = Cluster::start(2, &[]);

    // A new partition.
    let held = exhaust();
    cluster.create_topic(&[1, 2], &[]);
    let refused = append(&cluster.replica(1), &["too early"], Acks::Leader).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::KafkaStorageError);
    drop(held);
    wait_until_led(&cluster, 1);
    produce(&cluster.replica(1), &["a"]);
    produce(&cluster.replica(1), &["b", "c"]);
    cluster.wait_settled(2, 3);

    // An append that has to open its file fails, and nothing else.
    cluster.stop(1);
    cluster.start_broker(1);
    wait_until_led(&cluster, 1);
    let held = exhaust();
    let refused = append(&cluster.replica(1), &["not now"], Acks::Leader).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::KafkaStorageError);
    assert!(cluster.replica(1).is_leader());
    drop(held);
    assert_eq!(produce(&cluster.replica(1), &["d"]).base_offset, offset(3));
    cluster.wait_settled(2, 4);
    assert_eq!(
        all_bytes(&cluster.replica(2)),
        all_bytes(&cluster.replica(1))
    );

    // A deletion writes checkpoints: that they cannot be written takes no directory offline.
    let held = exhaust();
    cluster.delete_topic();
    drop(held);
    for node in [1, 2] {
        let failed = cluster.partitions(node).failed_dirs();
        assert!(failed.borrow().is_empty());
    }
    setrlimit(Resource::Nofile, limit).unwrap();
}
