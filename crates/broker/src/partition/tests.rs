//! Tests of the replication of one partition: which messages a leader accepts from its followers,
//! and a follower from its leader, when messages are late, repeated, or from a broker without a
//! role in it.

mod log_lines;
mod transactions;

use bytes::Bytes;
use dohle_log::Access;
use dohle_model::record::{ConfigResource, MetadataRecord, PartitionChange};
use dohle_model::{
    BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, Offset, PartitionIndex, Timestamp, TopicId,
};

use super::*;
use crate::replica::LeaderAnswer;
use crate::testing::{NODE, OTHER, Replicas, batch};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
/// The leader epoch of the harness's topics.
const EPOCH: LeaderEpoch = LeaderEpoch(3);

const RETRY: PartOutcome = PartOutcome::Retry { damaged_at: None };

/// Elects `leader`, which begins the next epoch.
async fn elect(broker: &Replicas, topic_id: TopicId, leader: NodeId, isr: &[NodeId]) {
    let change = PartitionChange {
        leader: Some(Some(leader)),
        isr: Some(isr.to_vec()),
        ..PartitionChange::default()
    };
    let partition = PartitionIndex(0);
    let record = MetadataRecord::PartitionChange {
        topic_id,
        partition,
        change,
    };
    broker.apply(&[record]).await;
}

fn append(partition: &Partition, count: usize) {
    for _ in 0..count {
        let records = batch(&["value"]);
        partition
            .append(records, Acks::Leader, AppendOrigin::Client, NOW)
            .unwrap();
    }
}

/// Returns the subscription of a follower whose log ends at `end` and whose last record has epoch
/// `last`.
fn request(
    subscription: u64,
    leader_epoch: LeaderEpoch,
    end: i64,
    last: i32,
) -> SubscriptionRequest {
    SubscriptionRequest {
        follower: OTHER,
        broker_epoch: BrokerEpoch(2),
        leader_epoch,
        subscription,
        fetch_offset: Offset(end),
        last_fetched_epoch: (end > 0).then_some(LeaderEpoch(last)),
        log_start_offset: Offset::ZERO,
        paused: false,
    }
}

/// Begins a subscription and returns its id.
#[track_caller]
fn start(partition: &Partition, request: &SubscriptionRequest) -> u64 {
    match partition.subscribe_follower(request, &ReadySet::new(), 0) {
        Ok(SubscriptionStart::Started(handle)) => handle.id,
        other => panic!("{other:?}"),
    }
}

/// Returns the log end that the leader has recorded for the other broker.
fn acked(partition: &Partition) -> Option<Offset> {
    partition.followers()[0].log_end_offset
}

#[tokio::test]
async fn an_ack_counts_only_for_its_own_subscription_epoch_and_what_was_sent() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    append(&partition, 10);
    let before = start(&partition, &request(1, EPOCH, 0, 0));
    let subscription = start(&partition, &request(2, EPOCH, 0, 0));
    // Reads a part of the log: at least one batch.
    assert!(
        partition
            .read_for_follower(subscription, 1, Access::Disk)
            .unwrap()
            .is_some()
    );
    let ack = |subscription, epoch, end| {
        partition.on_follower_ack(subscription, epoch, Offset(end), Offset::ZERO)
    };
    ack(before, EPOCH, 1);
    assert_eq!(
        acked(&partition),
        Some(Offset(0)),
        "of the subscription before"
    );
    ack(subscription, LeaderEpoch(2), 1);
    ack(subscription, LeaderEpoch(4), 1);
    assert_eq!(
        acked(&partition),
        Some(Offset(0)),
        "of another leader epoch"
    );
    ack(subscription, EPOCH, 1);
    assert_eq!(acked(&partition), Some(Offset(1)));
    assert_eq!(partition.positions().high_watermark, Offset(1));
    // An ack beyond what was sent is not trusted, although the leader has the records.
    ack(subscription, EPOCH, 10);
    assert_eq!(acked(&partition), Some(Offset(1)));
    assert_eq!(partition.positions().high_watermark, Offset(1));
    assert!(
        partition
            .read_for_follower(subscription, 1, Access::Disk)
            .unwrap()
            .is_none(),
        "the subscription ended"
    );
    let subscription = start(&partition, &request(3, EPOCH, 1, 3));
    partition.on_follower_ack(subscription, EPOCH, Offset(1), Offset(2));
    assert!(
        partition
            .read_for_follower(subscription, 1, Access::Disk)
            .unwrap()
            .is_none(),
        "its log cannot begin past its end"
    );
}

#[tokio::test]
async fn a_subscription_that_a_newer_one_overtook_is_refused() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    append(&partition, 10);
    let subscription = start(&partition, &request(7, EPOCH, 4, 3));
    // A subscription on another stream claims more records than the follower has.
    let late = partition.subscribe_follower(&request(6, EPOCH, 9, 3), &ReadySet::new(), 0);
    assert!(
        matches!(late, Ok(SubscriptionStart::Superseded)),
        "{late:?}"
    );
    assert_eq!(acked(&partition), Some(Offset(4)));
    assert!(
        partition
            .read_for_follower(subscription, 1, Access::Disk)
            .unwrap()
            .is_some(),
        "the newer one goes on"
    );
    // A restarted process counts from the beginning again; its registration shows that it is newer.
    let restarted = SubscriptionRequest {
        broker_epoch: BrokerEpoch(9),
        ..request(1, EPOCH, 3, 3)
    };
    start(&partition, &restarted);
    let late = partition.subscribe_follower(&request(8, EPOCH, 9, 3), &ReadySet::new(), 0);
    assert!(
        matches!(late, Ok(SubscriptionStart::Superseded)),
        "{late:?}"
    );
    assert_eq!(acked(&partition), Some(Offset(3)));
}

#[tokio::test]
async fn the_clusters_min_isr_holds_whatever_the_brokers_own_file_says() {
    let key = "min.insync.replicas";
    for (file, cluster) in [("1", "2"), ("2", "1")] {
        let broker = Replicas::start(&[(key, file)]).await;
        let config = MetadataRecord::Config {
            resource: ConfigResource::BrokerDefault,
            key: key.to_owned(),
            value: Some(cluster.to_owned()),
        };
        broker.apply(&[config]).await;
        let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
        let partition = broker.partition(topic_id, 0);
        elect(&broker, topic_id, NODE, &[NODE]).await;
        let appended = partition.append(batch(&["value"]), Acks::All, AppendOrigin::Client, NOW);
        let refused = appended.err().map(|error| error.code());
        let expected = (cluster == "2").then_some(ErrorCode::NotEnoughReplicas);
        assert_eq!(refused, expected, "file: {file}, cluster: {cluster}");
    }
}

#[tokio::test]
async fn a_leader_refuses_subscriptions_of_other_epochs_and_brokers() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    let refused = |request: &SubscriptionRequest| {
        let started = partition.subscribe_follower(request, &ReadySet::new(), 0);
        started.expect_err("refused").code()
    };
    let older = request(1, LeaderEpoch(2), 0, 0);
    assert_eq!(refused(&older), ErrorCode::FencedLeaderEpoch);
    let newer = request(1, LeaderEpoch(4), 0, 0);
    assert_eq!(refused(&newer), ErrorCode::UnknownLeaderEpoch);
    let stranger = SubscriptionRequest {
        follower: NodeId(8),
        ..request(1, EPOCH, 0, 0)
    };
    assert_eq!(refused(&stranger), ErrorCode::NotLeaderOrFollower);
    assert_eq!(acked(&partition), None);
}

/// Returns a leader whose log has the epochs 3 (offsets 0 to 9) and 5.
async fn leader_of_two_epochs() -> (Replicas, std::sync::Arc<Partition>) {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    append(&partition, 10);
    elect(&broker, topic_id, OTHER, &[NODE, OTHER]).await;
    elect(&broker, topic_id, NODE, &[NODE, OTHER]).await;
    assert_eq!(partition.leader_epoch(), LeaderEpoch(5));
    append(&partition, 10);
    (broker, partition)
}

#[tokio::test]
async fn a_log_that_ends_in_an_epoch_unknown_to_the_leader_diverges_wherever_it_ends() {
    let (_broker, partition) = leader_of_two_epochs().await;
    // The follower's log end, the epoch of its last record, and where the leader reports the
    // divergence.
    let cases = [
        (8, 3, None),
        (10, 3, None),
        (14, 5, None),
        (12, 3, Some((Some(3), Some(10)))),
        // Below the end of epoch 3 in the leader's log, but with an epoch that is not in it.
        (8, 4, Some((Some(3), Some(10)))),
        (8, 2, Some((Some(2), Some(0)))),
        (8, 6, Some((Some(5), Some(20)))),
        (21, 5, Some((Some(5), Some(20)))),
    ];
    for (number, (end, last, expected)) in cases.into_iter().enumerate() {
        let request = request(number as u64 + 1, LeaderEpoch(5), end, last);
        let parts = match partition
            .subscribe_follower(&request, &ReadySet::new(), 0)
            .unwrap()
        {
            SubscriptionStart::Started(_) => None,
            SubscriptionStart::Diverging { end, .. } => {
                Some((end.epoch.map(|it| it.0), end.end_offset.map(|it| it.0)))
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(parts, expected, "log end {end}, last epoch {last}");
    }
}

/// Returns a part of a leader's message without records that claims high watermark 0.
fn part(subscription: u64, leader_epoch: LeaderEpoch) -> LeaderPart {
    LeaderPart {
        answer: LeaderAnswer {
            subscription,
            leader_epoch,
            error: None,
            diverging: None,
        },
        high_watermark: Offset::ZERO,
        log_start_offset: Offset::ZERO,
    }
}

/// Returns records as a leader's log contains them, with its high watermark.
async fn leaders_records(count: usize) -> Bytes {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic("source", 1).await;
    let partition = broker.partition(topic_id, 0);
    append(&partition, count);
    let subscription = SubscriptionRequest {
        follower: OTHER,
        ..request(1, EPOCH, 0, 0)
    };
    // The only replica has no followers; a consumer reads it.
    assert!(
        partition
            .subscribe_follower(&subscription, &ReadySet::new(), 0)
            .is_err()
    );
    let params = FetchParams {
        fetch_offset: Offset::ZERO,
        current_leader_epoch: None,
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
        min_one: true,
        isolation: Isolation::LogEnd,
        leader_only: true,
    };
    partition.read(&params).unwrap().records
}

/// Returns every kind of answer of a leader to a subscription.
fn answers(subscription: u64, leader_epoch: LeaderEpoch) -> Vec<LeaderPart> {
    let error = |code| LeaderPart {
        answer: LeaderAnswer {
            error: Some(code),
            ..part(subscription, leader_epoch).answer
        },
        log_start_offset: Offset(1_000),
        ..part(subscription, leader_epoch)
    };
    let mut diverging = part(subscription, leader_epoch);
    diverging.answer.diverging = Some((LeaderEpoch(0), Offset::ZERO));
    let mut positions = part(subscription, leader_epoch);
    positions.high_watermark = Offset(3);
    vec![
        error(ErrorCode::NotLeaderOrFollower),
        error(ErrorCode::FencedLeaderEpoch),
        error(ErrorCode::OffsetOutOfRange),
        diverging,
        positions,
    ]
}

#[tokio::test]
async fn late_answers_of_a_former_leader_change_nothing() {
    let broker = Replicas::start(&[]).await;
    let records = leaders_records(3).await;
    let topic_id = broker.topic_led_by("t", 1, OTHER, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    let old = partition.begin_subscription(OTHER).unwrap().subscription;
    let outcome = partition.on_leader_part(&part(old, EPOCH), records.clone(), NOW);
    let acked = |outcome| matches!(outcome, PartOutcome::Ack { end, .. } if end == Offset(3));
    assert!(acked(outcome), "{outcome:?}");

    let third = NodeId(7);
    elect(&broker, topic_id, third, &[NODE, third]).await;
    assert!(
        partition.begin_subscription(OTHER).is_none(),
        "the former leader"
    );
    let new = partition.begin_subscription(third).unwrap().subscription;
    assert!(new > old, "{new} was used before");
    let before = partition.positions();
    let epoch = LeaderEpoch(4);
    assert_eq!(before.leader_epoch, epoch);
    let late = answers(old, EPOCH)
        .into_iter()
        .chain(answers(old, epoch))
        .chain(answers(new, EPOCH))
        .chain(answers(new, LeaderEpoch(5)));
    for late in late {
        for records in [Bytes::new(), records.clone()] {
            let outcome = partition.on_leader_part(&late, records, NOW);
            assert_eq!(outcome, PartOutcome::Nothing, "{late:?}");
        }
        assert_eq!(partition.positions(), before, "{late:?}");
    }
    // The subscription at the new leader is still valid.
    let mut current = part(new, epoch);
    current.high_watermark = Offset(2);
    partition.on_leader_part(&current, Bytes::new(), NOW);
    assert_eq!(partition.positions().high_watermark, Offset(2));
}

#[tokio::test]
async fn subscriptions_at_different_leaders_never_share_a_number() {
    let broker = Replicas::start(&[]).await;
    let mut numbers = std::collections::BTreeSet::new();
    for (topic, leader) in [
        ("a", OTHER),
        ("b", NodeId(7)),
        ("c", OTHER),
        ("d", NodeId(8)),
    ] {
        let topic_id = broker
            .topic_led_by(topic, 1, leader, vec![NODE, leader])
            .await;
        let partition = broker.partition(topic_id, 0);
        for _ in 0..2 {
            let begun = partition.begin_subscription(leader).unwrap();
            assert!(numbers.insert(begun.subscription), "{}", begun.subscription);
        }
    }
}

/// Returns a follower whose log has the offsets 0 to 2, or what DeleteRecords has left of them.
async fn follower(log_start_offset: i64) -> (Replicas, std::sync::Arc<Partition>) {
    let broker = Replicas::start(&[]).await;
    let records = leaders_records(3).await;
    let topic_id = broker.topic_led_by("t", 1, OTHER, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    let subscription = partition.begin_subscription(OTHER).unwrap().subscription;
    let mut data = part(subscription, EPOCH);
    data.high_watermark = Offset(3);
    data.log_start_offset = Offset(log_start_offset);
    partition.on_leader_part(&data, records, NOW);
    let positions = partition.positions();
    assert_eq!(positions.log_start_offset, Offset(log_start_offset));
    assert_eq!(positions.log_end_offset, Offset(3));
    (broker, partition)
}

/// Processes an answer without records, and truncates if the answer requires that.
fn answer(partition: &Partition, part: &LeaderPart) -> PartOutcome {
    match partition.on_leader_part(part, Bytes::new(), NOW) {
        PartOutcome::Truncate(truncation) => partition.truncate_to_leader(&truncation, NOW),
        outcome => outcome,
    }
}

/// A truncation reads records and writes files, which the thread of the stream must not do.
#[tokio::test]
async fn an_answer_leaves_the_truncation_to_another_thread() {
    let (broker, partition) = follower(0).await;
    let before = partition.positions();
    let begin = || partition.begin_subscription(OTHER).unwrap().subscription;
    let truncation = |parts_at: Option<i64>, leader_start: i64| {
        let mut part = part(begin(), EPOCH);
        part.log_start_offset = Offset(leader_start);
        part.answer.diverging = parts_at.map(|at| (EPOCH, Offset(at)));
        if parts_at.is_none() {
            part.answer.error = Some(ErrorCode::OffsetOutOfRange);
        }
        match partition.on_leader_part(&part, Bytes::new(), NOW) {
            PartOutcome::Truncate(truncation) => truncation,
            outcome => panic!("{outcome:?}"),
        }
    };
    for truncation in [truncation(Some(1), 0), truncation(None, 9)] {
        assert_eq!(partition.positions(), before);
        // The replica has subscribed again before the truncation runs.
        begin();
        let outcome = partition.truncate_to_leader(&truncation, NOW);
        assert_eq!(outcome, PartOutcome::Nothing);
        assert_eq!(partition.positions(), before);
    }
    // The partition has another leader by then.
    let late = truncation(Some(1), 0);
    let topic_id = partition.id().topic_id;
    elect(&broker, topic_id, OTHER, &[NODE, OTHER]).await;
    let outcome = partition.truncate_to_leader(&late, NOW);
    assert_eq!(outcome, PartOutcome::Nothing);
    assert_eq!(partition.positions().log_end_offset, before.log_end_offset);
}

#[tokio::test]
async fn a_log_that_has_nothing_in_common_with_the_leaders_begins_where_the_leaders_begins() {
    // The start of the follower's log, the start of the leader's, and the divergence point.
    for (follower_start, leader_start, parts_at) in [(3, 0, 1), (2, 1, 1), (2, 0, 2), (0, 0, 0)] {
        let (_broker, partition) = follower(follower_start).await;
        let subscription = partition.begin_subscription(OTHER).unwrap().subscription;
        let mut diverging = part(subscription, EPOCH);
        diverging.answer.diverging = Some((EPOCH, Offset(parts_at)));
        diverging.log_start_offset = Offset(leader_start);
        let outcome = answer(&partition, &diverging);
        assert_eq!(outcome, PartOutcome::Resubscribe, "parts at {parts_at}");
        let position = partition.begin_subscription(OTHER).unwrap().position;
        assert_eq!(position.fetch_offset, Offset(leader_start));
        assert_eq!(position.last_fetched_epoch, None);
        let start = partition.positions();
        assert_eq!(start.log_start_offset, Offset(leader_start));
        assert!(start.high_watermark <= start.log_end_offset);
    }
}

#[tokio::test]
async fn an_answer_that_removes_nothing_is_followed_by_a_wait() {
    let (_broker, partition) = follower(0).await;
    let before = partition.positions();
    let subscription = partition.begin_subscription(OTHER).unwrap().subscription;
    let mut diverging = part(subscription, EPOCH);
    diverging.answer.diverging = Some((EPOCH, Offset(3)));
    let outcome = answer(&partition, &diverging);
    assert_eq!(outcome, RETRY, "the two part at the end");
    // A leader that calls the log out of range, although its own begins inside it.
    let subscription = partition.begin_subscription(OTHER).unwrap().subscription;
    let mut out_of_range = part(subscription, EPOCH);
    out_of_range.answer.error = Some(ErrorCode::OffsetOutOfRange);
    out_of_range.log_start_offset = Offset(3);
    let outcome = answer(&partition, &out_of_range);
    assert_eq!(outcome, RETRY);
    assert_eq!(partition.positions(), before, "no record is lost");
    // An empty log that begins where the leader's does cannot be truncated any further.
    let (_broker, partition) = follower(3).await;
    for expected in [PartOutcome::Resubscribe, RETRY] {
        let subscription = partition.begin_subscription(OTHER).unwrap().subscription;
        let mut diverging = part(subscription, EPOCH);
        diverging.answer.diverging = Some((EPOCH, Offset(1)));
        let outcome = answer(&partition, &diverging);
        assert_eq!(outcome, expected);
    }
}

/// Runs a change of the partition that panics before it is complete.
fn panic_in(partition: &Partition) {
    let change = || partition.with(|_, _| panic!("planted"));
    assert!(catch_unwind(AssertUnwindSafe(change)).is_err());
}

#[tokio::test]
async fn a_partition_whose_change_panics_is_offline_and_the_others_go_on() {
    let broker = Replicas::start(&[]).await;
    let both = vec![NODE, OTHER];
    let topic_id = broker.topic_led_by("t", 2, NODE, both.clone()).await;
    let (partition, other) = (broker.partition(topic_id, 0), broker.partition(topic_id, 1));
    append(&partition, 1);
    let waiting = partition.wait_committed(EPOCH, Offset(1));
    let subscription = start(&partition, &request(1, EPOCH, 0, 0));
    let ready_set = ReadySet::new();
    let _watch = partition.watch(&ready_set, 5, ReadyOn::Any);
    panic_in(&partition);
    // The wait fails, and nothing is served from a change that may be incomplete.
    let failed = waiting.await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::KafkaStorageError);
    let mut moved = Vec::new();
    ready_set.take(&mut moved);
    assert_eq!(moved, [5]);
    assert!(
        partition
            .read_for_follower(subscription, 1, Access::Disk)
            .unwrap()
            .is_none()
    );
    assert!(!partition.is_leader());
    let reason = partition.offline().unwrap().to_string();
    assert!(reason.contains("panicked"), "{reason}");
    let refused = partition.append(batch(&["a"]), Acks::Leader, AppendOrigin::Client, NOW);
    assert_eq!(refused.unwrap_err().code(), ErrorCode::KafkaStorageError);
    // Changes of the metadata are still applied to the other partitions.
    assert!(broker.partitions.failed_dirs().borrow().is_empty());
    append(&other, 1);
    assert_eq!(other.positions().log_end_offset, Offset(1));
    elect(&broker, topic_id, OTHER, &both).await;
    assert_eq!(partition.leader(), Some(OTHER));
    assert!(
        partition.offline().is_some(),
        "for as long as the process runs"
    );
}

/// The process continues: the partition is not checked again while it is taken offline.
#[tokio::test]
async fn a_leader_epoch_that_falls_takes_the_partition_offline() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic("t", 1).await;
    let partition = broker.partition(topic_id, 0);
    let fall = |state: &mut State, _: &mut DeferredWakeups| {
        let older = LeaderEpoch(state.epoch().0 - 1);
        state.role = Role::Follower(Follower::new(older, None));
    };
    assert!(catch_unwind(AssertUnwindSafe(|| partition.with(fall))).is_err());
    assert!(partition.offline().is_some());
}

#[tokio::test]
async fn a_panic_while_reading_under_the_lock_takes_the_partition_offline_too() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic("t", 1).await;
    let partition = broker.partition(topic_id, 0);
    let panicking = || {
        let _state = partition.state.lock();
        panic!("planted");
    };
    assert!(catch_unwind(AssertUnwindSafe(panicking)).is_err());
    assert!(partition.offline().is_some());
    assert_eq!(partition.positions().log_end_offset, Offset::ZERO);
}

#[tokio::test]
async fn a_panic_in_what_the_metadata_ask_for_ends_at_its_partition() {
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic("t", 1).await;
    let partition = broker.partition(topic_id, 0);
    let contained: bool = partition.with_contained(|_, _| panic!("planted"));
    assert!(!contained);
    assert!(partition.offline().is_some());
}

#[tokio::test]
async fn deleted_records_wait_for_a_live_replica_that_is_not_connected_until_it_is_fenced() {
    use crate::testing::fence_other;
    let broker = Replicas::start(&[]).await;
    let topic_id = broker.topic_led_by("t", 1, NODE, vec![NODE, OTHER]).await;
    let partition = broker.partition(topic_id, 0);
    append(&partition, 3);
    let subscription = start(&partition, &request(1, EPOCH, 3, 3));
    assert_eq!(partition.positions().high_watermark, Offset(3));
    partition.end_subscription(subscription);
    let before = partition.delete_records(Some(Offset(2))).unwrap();
    let mut deleted = Box::pin(partition.wait_low_watermark(before));
    let early = futures::FutureExt::now_or_never(deleted.as_mut());
    assert!(early.is_none(), "a live replica still has the records");
    broker.apply(&[fence_other(true)]).await;
    let deleted = futures::FutureExt::now_or_never(deleted);
    assert_eq!(deleted.expect("complete").unwrap(), Offset(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_that_background_work_finds_leaves_the_partition_online() {
    let broker = Replicas::start(&[]).await;
    let id = broker.topic("t", 1).await;
    let found = broker.partition(id, 0);
    let read_failed = |kind: std::io::ErrorKind| {
        let error = StorageError {
            operation: "read",
            path: "00000000000000000000.timeindex".into(),
            source: kind.into(),
        };
        found.background_read_failed("compaction", &error);
    };
    read_failed(std::io::ErrorKind::InvalidData);
    read_failed(std::io::ErrorKind::UnexpectedEof);
    read_failed(std::io::ErrorKind::OutOfMemory);
    assert!(broker.partitions.failed_dirs().borrow().is_empty());
    let appended = found.append(batch(&["a"]), Acks::Leader, AppendOrigin::Client, NOW);
    assert_eq!(appended.unwrap().end(), Offset(1));
    read_failed(std::io::ErrorKind::PermissionDenied);
    assert!(!broker.partitions.failed_dirs().borrow().is_empty());
}
