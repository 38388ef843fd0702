//! Tests of replication among brokers in one process: real streams, real logs, and a controller
//! that is only an image.

mod support;

use std::time::Duration;

use dohle_broker::blocking::WorkOwner;
use dohle_broker::partition::{Acks, AppendError, CommitError};
use dohle_model::record::PartitionChange;
use dohle_model::{ErrorCode, NodeId};
use support::{Cluster, DEADLINE, all_bytes, append, offset, produce, wait_for, within};

#[test]
fn a_single_replica_commits_what_it_appends() {
    let cluster = Cluster::start(1, &[]);
    cluster.create_topic(&[1], &[]);
    let leader = cluster.replica(1);
    let appended = produce(&leader, &["a", "b"]);
    assert_eq!(
        (appended.base_offset, appended.last_offset),
        (offset(0), offset(1))
    );
    assert_eq!(produce(&leader, &["c"]).base_offset, offset(2));
    assert_eq!(leader.positions().high_watermark, offset(3));
}

#[test]
fn three_replicas_hold_the_same_bytes() {
    let cluster = Cluster::start(3, &[]);
    cluster.create_topic(&[1, 2, 3], &[("min.insync.replicas", "2")]);
    let leader = cluster.replica(1);
    for at in 0..20 {
        produce(&leader, &[&format!("value {at}"), "and another"]);
    }
    for node in 1..=3 {
        cluster.wait_settled(node, 40);
        assert_eq!(
            all_bytes(&cluster.replica(node)),
            all_bytes(&leader),
            "broker {node}"
        );
    }
}

#[test]
fn large_batches_arrive_whole() {
    let cluster = Cluster::start(2, &[("message.max.bytes", "30000000")]);
    cluster.create_topic(&[1, 2], &[]);
    let leader = cluster.replica(1);
    let value = "x".repeat(20_000_000);
    produce(&leader, &[&value]);
    produce(&leader, &["small"]);
    produce(&leader, &[&value[..3_000_000]]);
    cluster.wait_settled(2, 3);
    assert_eq!(all_bytes(&cluster.replica(2)), all_bytes(&leader));
}

#[test]
fn a_follower_acks_after_its_flush_and_takes_in_records_meanwhile() {
    let cluster = Cluster::start(2, &[]);
    let flush = [("flush.messages", "1")];
    cluster.create_topic(&[1, 2], &flush);
    produce(&cluster.replica(1), &["a"]);

    // Occupies every thread that may write to the follower's disk. Dropped after the sender, so
    // that a failed test does not wait for these threads.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = std::sync::Arc::new(parking_lot::Mutex::new(released));
    let partitions = cluster.partitions(2);
    let places = 8;
    let (begin, mut begun) = tokio::sync::mpsc::unbounded_channel();
    for _ in 0..places {
        let (partitions, released) = (std::sync::Arc::clone(&partitions), released.clone());
        let begin = begin.clone();
        runtime.spawn(async move {
            let wait = move || {
                begin.send(()).unwrap();
                let _ = released.lock().recv();
            };
            let owner = WorkOwner::Broker(NodeId(9));
            partitions.blocking().disk(owner, wait).await
        });
    }
    for _ in 0..places {
        within(DEADLINE, begun.recv()).unwrap();
    }
    let leader = cluster.replica(1);
    for value in ["b", "c", "d"] {
        append(&leader, &[value], Acks::All).unwrap();
        let end = leader.positions().log_end_offset;
        // The thread of the stream is not blocked: it appends what the leader sends.
        wait_for(&cluster.replica(2), |it| {
            it.positions().log_end_offset == end
        });
    }
    assert_eq!(
        leader.positions().high_watermark,
        offset(1),
        "not on the disk yet"
    );
    for _ in 0..places {
        release.send(()).unwrap();
    }
    wait_for(&leader, |leader| {
        leader.positions().high_watermark == offset(4)
    });
    cluster.wait_settled(2, 4);
}

#[test]
fn nothing_is_acknowledged_without_the_in_sync_replicas() {
    let cluster = Cluster::start(2, &[]);
    cluster.create_topic(&[1, 2], &[]);
    let leader = cluster.replica(1);
    produce(&leader, &["a"]);
    cluster.answer_proposals(false);
    cluster.kill(2);
    let appended = append(&leader, &["b"], Acks::All).unwrap();
    let committed = leader.wait_committed(appended.leader_epoch, appended.end());
    assert!(within(Duration::from_millis(300), committed).is_none());
    assert_eq!(leader.positions().high_watermark, offset(1));
}

#[test]
fn a_dead_follower_leaves_the_isr_and_comes_back() {
    let cluster = Cluster::start(3, &[("replica.lag.time.max.ms", "300")]);
    cluster.create_topic(&[1, 2, 3], &[("min.insync.replicas", "2")]);
    let leader = cluster.replica(1);
    produce(&leader, &["a"]);
    cluster.kill(3);
    produce(&leader, &["b"]);
    cluster.wait_isr(&[1, 2]);
    produce(&leader, &["c"]);
    cluster.start_broker(3);
    cluster.wait_isr(&[1, 2, 3]);
    produce(&leader, &["d"]);
    cluster.wait_settled(3, 4);
    assert_eq!(all_bytes(&cluster.replica(3)), all_bytes(&leader));
}

#[test]
fn too_few_replicas_in_sync_refuse_acks_all() {
    let cluster = Cluster::start(2, &[("replica.lag.time.max.ms", "300")]);
    cluster.create_topic(&[1, 2], &[("min.insync.replicas", "2")]);
    let leader = cluster.replica(1);
    produce(&leader, &["a"]);
    cluster.kill(2);
    let appended = append(&leader, &["b"], Acks::All).unwrap();
    let committed = leader.wait_committed(appended.leader_epoch, appended.end());
    cluster.wait_isr(&[1]);
    // The registration reaches the leader with the controller's answer.
    wait_until_isr(&leader, 1);
    let refused = append(&leader, &["c"], Acks::All).unwrap_err();
    assert_eq!(refused, AppendError::NotEnoughReplicas { isr: 1, min: 2 });
    assert!(append(&leader, &["c"], Acks::Leader).is_ok());
    assert_eq!(
        leader.positions().high_watermark,
        offset(1),
        "under min.insync.replicas"
    );
    cluster.start_broker(2);
    cluster.wait_isr(&[1, 2]);
    within(support::DEADLINE, committed).unwrap().unwrap();
}

fn wait_until_isr(leader: &dohle_broker::partition::Partition, size: usize) {
    let deadline = std::time::Instant::now() + support::DEADLINE;
    while leader.isr().len() != size {
        assert!(
            std::time::Instant::now() < deadline,
            "ISR is {:?}",
            leader.isr()
        );
        std::thread::yield_now();
    }
}

#[test]
fn a_parked_wait_fails_when_the_leader_changes() {
    let cluster = Cluster::start(2, &[]);
    cluster.create_topic(&[1, 2], &[]);
    let leader = cluster.replica(1);
    produce(&leader, &["a"]);
    cluster.answer_proposals(false);
    cluster.kill(2);
    let appended = append(&leader, &["b"], Acks::All).unwrap();
    let committed = leader.wait_committed(appended.leader_epoch, appended.end());
    cluster.elect(2, &[2]);
    let failed = within(support::DEADLINE, committed).unwrap().unwrap_err();
    assert_eq!(failed.code(), ErrorCode::NotLeaderOrFollower);
    assert!(matches!(failed, CommitError::Role(_)));
}

#[test]
fn a_deposed_leader_truncates_what_was_never_committed() {
    let cluster = Cluster::start(3, &[("replica.lag.time.max.ms", "300")]);
    cluster.create_topic(&[1, 2, 3], &[("min.insync.replicas", "2")]);
    let old = cluster.replica(1);
    produce(&old, &["a", "b"]);
    cluster.answer_proposals(false);
    cluster.kill(2);
    cluster.kill(3);
    for value in ["lost 1", "lost 2", "lost 3"] {
        append(&old, &[value], Acks::Leader).unwrap();
    }
    drop(old);
    cluster.kill(1);
    cluster.answer_proposals(true);
    cluster.start_broker(2);
    cluster.start_broker(3);
    cluster.elect(2, &[2, 3]);
    let leader = cluster.replica(2);
    produce(&leader, &["c"]);
    cluster.start_broker(1);
    cluster.wait_isr(&[1, 2, 3]);
    produce(&leader, &["d"]);
    for node in [1, 3] {
        cluster.wait_settled(node, 4);
        assert_eq!(
            all_bytes(&cluster.replica(node)),
            all_bytes(&leader),
            "broker {node}"
        );
    }
}

#[test]
fn a_replica_that_is_far_behind_catches_up() {
    let cluster = Cluster::start(3, &[("replica.lag.time.max.ms", "300")]);
    cluster.create_topic(&[1, 2, 3], &[("segment.bytes", "1000000")]);
    let leader = cluster.replica(1);
    cluster.kill(3);
    cluster.change_partition(isr(&[1, 2]));
    let value = "x".repeat(10_000);
    for _ in 0..1_000 {
        append(&leader, &[&value], Acks::Leader).unwrap();
    }
    cluster.start_broker(3);
    cluster.wait_isr(&[1, 2, 3]);
    cluster.wait_settled(3, 1_000);
    let replica = cluster.replica(3);
    assert_eq!(replica.size_and_lag().0, leader.size_and_lag().0);
}

fn isr(nodes: &[i32]) -> PartitionChange {
    let isr = Some(nodes.iter().copied().map(dohle_model::NodeId).collect());
    PartitionChange {
        isr,
        ..PartitionChange::default()
    }
}

#[test]
fn a_replica_that_is_very_far_behind_catches_up_beside_the_others() {
    let cluster = Cluster::start(3, &[("replica.lag.time.max.ms", "300")]);
    cluster.create_topic(&[1, 2, 3], &[]);
    let leader = cluster.replica(1);
    cluster.kill(3);
    cluster.change_partition(isr(&[1, 2]));
    for _ in 0..100 {
        append(&leader, &["value"; 500], Acks::Leader).unwrap();
    }
    cluster.wait_settled(2, 50_000);
    cluster.start_broker(3);
    cluster.wait_isr(&[1, 2, 3]);
    produce(&leader, &["one more"]);
    cluster.wait_settled(3, 50_001);
    assert_eq!(all_bytes(&cluster.replica(3)), all_bytes(&leader));
}

#[test]
fn a_replica_older_than_the_leaders_log_begins_anew() {
    let cluster = Cluster::start(2, &[("replica.lag.time.max.ms", "300")]);
    cluster.create_topic(&[1, 2], &[]);
    let leader = cluster.replica(1);
    produce(&leader, &["a"]);
    cluster.kill(2);
    cluster.change_partition(isr(&[1]));
    produce(&leader, &["b"]);
    produce(&leader, &["c"]);
    assert_eq!(leader.delete_records(Some(offset(2))).unwrap(), offset(2));
    cluster.start_broker(2);
    cluster.wait_isr(&[1, 2]);
    cluster.wait_settled(2, 3);
    assert_eq!(cluster.replica(2).positions().log_start_offset, offset(2));
}

#[test]
fn a_replica_whose_log_begins_after_the_leaders_end_begins_anew() {
    let cluster = Cluster::start(2, &[("replica.lag.time.max.ms", "300")]);
    cluster.create_topic(&[1, 2], &[]);
    for value in ["a", "b", "c"] {
        produce(&cluster.replica(1), &[value]);
    }
    cluster.wait_settled(2, 3);
    let target = cluster.replica(1).delete_records(Some(offset(3))).unwrap();
    let low = cluster.replica(1).wait_low_watermark(target);
    within(support::DEADLINE, low).unwrap().unwrap();
    cluster.kill(1);
    // Stopped cleanly, so that the start of its log is on its disk.
    cluster.stop(2);
    cluster.wipe(1);
    cluster.elect(1, &[1]);
    cluster.start_broker(1);
    let leader = cluster.replica(1);
    produce(&leader, &["after the loss"]);
    assert_eq!(leader.positions().log_end_offset, offset(1));
    cluster.start_broker(2);
    cluster.wait_isr(&[1, 2]);
    produce(&leader, &["and on"]);
    cluster.wait_settled(2, 2);
    assert_eq!(all_bytes(&cluster.replica(2)), all_bytes(&leader));
    assert_eq!(cluster.replica(2).positions().log_start_offset, offset(0));
}

#[test]
fn deleted_records_go_on_every_replica() {
    let cluster = Cluster::start(3, &[]);
    cluster.create_topic(&[1, 2, 3], &[]);
    let leader = cluster.replica(1);
    for value in ["a", "b", "c"] {
        produce(&leader, &[value]);
    }
    let target = leader.delete_records(Some(offset(2))).unwrap();
    let low = leader.wait_low_watermark(target);
    assert_eq!(within(support::DEADLINE, low).unwrap().unwrap(), offset(2));
    for node in 2..=3 {
        assert_eq!(
            cluster.replica(node).positions().log_start_offset,
            offset(2)
        );
    }
    let above = leader.delete_records(Some(offset(9))).unwrap_err();
    assert_eq!(above.code(), ErrorCode::OffsetOutOfRange);
}

#[test]
fn a_clean_restart_keeps_records_and_watermark() {
    let cluster = Cluster::start(1, &[]);
    cluster.create_topic(&[1], &[]);
    produce(&cluster.replica(1), &["a", "b"]);
    cluster.stop(1);
    cluster.start_broker(1);
    let leader = cluster.replica(1);
    assert_eq!(leader.positions().high_watermark, offset(2));
    assert_eq!(produce(&leader, &["c"]).base_offset, offset(2));
}

#[test]
fn a_deleted_topic_is_gone_and_a_new_one_begins_empty() {
    let cluster = Cluster::start(1, &[]);
    cluster.create_topic(&[1], &[]);
    let old = cluster.replica(1);
    produce(&old, &["a"]);
    cluster.delete_topic();
    assert_eq!(
        append(&old, &["b"], Acks::Leader).unwrap_err().code(),
        ErrorCode::KafkaStorageError
    );
    assert!(
        cluster
            .partitions(1)
            .get(&support::partition_id())
            .is_none()
    );
    cluster.create_topic(&[1], &[]);
    let new = cluster.replica(1);
    wait_for(&new, |new| new.is_leader());
    assert_eq!(produce(&new, &["z"]).base_offset, offset(0));
}
