//! Tests of the log lines with which a partition reports its changes to operators.

use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};

use super::*;
use crate::testing::capture;

/// Returns a leader's answer that reports a divergence at this offset.
fn diverging(partition: &Partition, parts_at: i64, leader_start: i64) -> LeaderPart {
    let subscription = partition.begin_subscription(OTHER).unwrap().subscription;
    let mut diverging = part(subscription, EPOCH);
    diverging.answer.diverging = Some((EPOCH, Offset(parts_at)));
    diverging.log_start_offset = Offset(leader_start);
    diverging
}

#[tokio::test]
async fn a_truncation_logs_how_many_records_it_removed() {
    let (_broker, partition) = follower(0).await;
    let (lines, _guard) = capture();
    let outcome = answer(&partition, &diverging(&partition, 1, 0));
    assert_eq!(outcome, PartOutcome::Resubscribe);
    let truncated = "log truncated to where it diverges from the leader's";
    let numbers = ["from=3", "to=1", "records=2"];
    lines.assert_one(&[&["INFO", truncated, "partition=t-0"][..], &numbers].concat());
    // Three records were committed here: the leader was elected without them.
    lines.assert_one(&[
        "WARN",
        "truncated below the high watermark",
        "to=1",
        "high_watermark=3",
    ]);
}

#[tokio::test]
async fn a_truncation_of_the_whole_log_logs_how_many_records_it_removed() {
    let (_broker, partition) = follower(1).await;
    let (lines, _guard) = capture();
    let outcome = answer(&partition, &diverging(&partition, 0, 0));
    assert_eq!(outcome, PartOutcome::Resubscribe);
    let numbers = ["from=3", "to=1", "records=2", "new_log_start_offset=0"];
    lines.assert_one(
        &[
            &["INFO", "log truncated fully", "partition=t-0"][..],
            &numbers,
        ]
        .concat(),
    );
}

fn registration(isr: &[NodeId], partition_epoch: i32) -> PartitionRegistration {
    PartitionRegistration {
        leader: Some(NODE),
        leader_epoch: EPOCH,
        partition_epoch: dohle_model::PartitionEpoch(partition_epoch),
        ..PartitionRegistration::new(
            vec![NODE, OTHER],
            vec![dohle_model::DirectoryId::UNASSIGNED; 2],
            isr.to_vec(),
        )
    }
}

const LAG_MAX: std::time::Duration = std::time::Duration::from_secs(30);

#[tokio::test]
async fn each_change_of_the_isr_names_the_replica_and_the_reason() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    let (lines, _guard) = capture();
    partition.become_leader(&registration(&[NODE], 100), LAG_MAX);
    let replica = format!("replica={OTHER}");
    let partition_name = "partition=t-0";
    let reason = "reason=\"removed by the controller\"";
    lines.assert_one(&["INFO", "ISR shrunk", partition_name, &replica, reason]);
    partition.become_leader(&registration(&[NODE, OTHER], 101), LAG_MAX);
    let reason = "reason=\"caught up with the leader\"";
    lines.assert_one(&["INFO", "ISR expanded", partition_name, &replica, reason]);
}

#[tokio::test]
async fn a_leader_of_an_unclean_election_warns_of_what_it_may_lack() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, OTHER, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    let (lines, _guard) = capture();
    let mut elected = registration(&[NODE], 100);
    elected.leader_epoch = LeaderEpoch(9);
    elected.leader_recovery_state = LeaderRecoveryState::Recovering;
    partition.become_leader(&elected, LAG_MAX);
    let text = "became leader through an unclean election";
    let numbers = ["leader_epoch=9", "log_end_offset=0", "high_watermark=0"];
    lines.assert_one(&[&["WARN", text, "partition=t-0"][..], &numbers].concat());
}
