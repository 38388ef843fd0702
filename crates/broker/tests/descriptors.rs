//! Tests of partitions while descriptors are short. One test, because the limit applies to the
//! process.

mod support;

use dohle_broker::partition::Acks;
use dohle_model::ErrorCode;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::*;

/// Sets the limit of open descriptors. Open files stay open. With a limit of 0 no file can be
/// opened, even with a descriptor that another thread releases.
fn limit_descriptors(limit: u64) {
    let limits = Rlimit {
        current: Some(limit),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, limits).unwrap();
}

fn wait_until_led(cluster: &Cluster, node: i32) {
    wait_for(&cluster.replica(node), |replica| replica.is_leader());
}

#[test]
fn logs_that_could_not_be_opened_are_opened_when_there_are_descriptors() {
    let cluster = Cluster::start(2, &[]);

    // A new partition.
    limit_descriptors(0);
    cluster.create_topic(&[1, 2], &[]);
    let refused = append(&cluster.replica(1), &["too early"], Acks::Leader).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::KafkaStorageError);
    limit_descriptors(200);
    wait_until_led(&cluster, 1);
    produce(&cluster.replica(1), &["a"]);
    produce(&cluster.replica(1), &["b", "c"]);
    cluster.wait_settled(2, 3);

    // An append that has to open its file fails, without other effects.
    cluster.stop(1);
    cluster.start_broker(1);
    wait_until_led(&cluster, 1);
    limit_descriptors(0);
    let refused = append(&cluster.replica(1), &["not now"], Acks::Leader).unwrap_err();
    assert_eq!(refused.code(), ErrorCode::KafkaStorageError);
    assert!(cluster.replica(1).is_leader());
    limit_descriptors(200);
    assert_eq!(produce(&cluster.replica(1), &["d"]).base_offset, offset(3));
    cluster.wait_settled(2, 4);
    assert_eq!(
        all_bytes(&cluster.replica(2)),
        all_bytes(&cluster.replica(1))
    );

    // A deletion writes checkpoints; their failure takes no directory offline.
    limit_descriptors(0);
    cluster.delete_topic();
    limit_descriptors(200);
    for node in [1, 2] {
        let failed = cluster.partitions(node).failed_dirs();
        assert!(failed.borrow().is_empty());
    }
}
