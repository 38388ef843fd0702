//! Tests of markers: their recipients, the effects of outcomes, and the markers of a new
//! coordinator.

use dohle_model::{ErrorCode, NodeId};

use super::driver::{Driver, answered, partition};
use crate::markers::BrokerMarkers;
use crate::requests::{Describe, MarkersAnswered};
use crate::state::{TransactionState, TransactionVersion};

/// Returns a driver with a transaction of all partitions of `orders` that has just been committed.
fn committed() -> Driver {
    let mut driver = Driver::new(TransactionVersion::V2);
    let first = driver.init("t", None).unwrap();
    let of = [
        partition("orders", 0),
        partition("orders", 1),
        partition("orders", 2),
    ];
    driver.add("t", first, &of).unwrap();
    driver.end("t", first, true).unwrap();
    assert!(driver.signalled);
    driver
}

fn brokers(markers: &[BrokerMarkers]) -> Vec<i32> {
    markers.iter().map(|to| to.broker.0).collect()
}

#[test]
fn the_last_marker_completes_the_transaction() {
    let mut driver = committed();
    let markers = driver.take().markers;
    assert_eq!(brokers(&markers), [1, 2, 3]);
    assert!(driver.take().markers.is_empty(), "they are on their way");
    driver.answer(&markers[..2], Ok(()));
    assert_eq!(driver.state("t"), TransactionState::PrepareCommit);
    let described = driver
        .run(&Describe {
            transactional_id: "t",
        })
        .unwrap()
        .unwrap();
    assert_eq!(described.partitions.len(), 1);
    driver.answer(&markers[2..], Ok(()));
    assert_eq!(driver.state("t"), TransactionState::CompleteCommit);
}

#[test]
fn a_marker_that_cannot_be_written_is_sent_again_to_the_new_leader() {
    for code in [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::UnknownTopicOrPartition,
        ErrorCode::NotEnoughReplicas,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::RequestTimedOut,
        ErrorCode::KafkaStorageError,
        ErrorCode::UnknownServerError,
    ] {
        let mut driver = committed();
        let markers = driver.take().markers;
        driver.answer(&markers[1..], Ok(()));
        driver.answer(&markers[..1], Err(code));
        assert!(driver.take().markers.is_empty(), "after a moment: {code}");
        driver.topic("orders", &[3, 2, 3]);
        driver.pass(100);
        driver.timers();
        assert!(driver.signalled);
        let again = driver.complete();
        assert_eq!(brokers(&again), [3], "{code}");
        assert_eq!(driver.state("t"), TransactionState::CompleteCommit);
    }
}

#[test]
fn partitions_without_a_leader_wait_and_deleted_ones_need_no_marker() {
    let mut driver = committed();
    driver.topic("orders", &[1, 0]);
    let markers = driver.complete();
    assert_eq!(brokers(&markers), [1]);
    assert_eq!(driver.state("t"), TransactionState::PrepareCommit);
    driver.delete_topic("orders");
    driver.pass(100);
    driver.timers();
    assert!(driver.complete().is_empty());
    assert_eq!(driver.state("t"), TransactionState::CompleteCommit);
}

#[test]
fn logs_that_cannot_have_records_of_the_transaction_count_as_written() {
    let mut driver = committed();
    let markers = driver.take().markers;
    driver.answer(&markers[..1], Err(ErrorCode::UnsupportedForMessageFormat));
    driver.answer(&markers[1..], Ok(()));
    assert_eq!(driver.state("t"), TransactionState::CompleteCommit);
}

#[test]
fn a_coordinator_that_a_partition_has_fenced_sends_no_more_markers() {
    for code in [
        ErrorCode::TransactionCoordinatorFenced,
        ErrorCode::InvalidProducerEpoch,
    ] {
        let mut driver = committed();
        let markers = driver.take().markers;
        driver.answer(&markers[..1], Err(code));
        driver.answer(&markers[1..2], Err(ErrorCode::RequestTimedOut));
        driver.answer(&markers[2..], Ok(()));
        driver.pass(10_000);
        driver.timers();
        assert!(driver.take().markers.is_empty(), "{code}");
        assert_eq!(driver.state("t"), TransactionState::PrepareCommit);
    }
}

#[test]
fn answers_that_are_late_change_nothing() {
    let mut driver = committed();
    let old = driver.take().markers;
    driver.answer(&old, Ok(()));
    let next = driver.get("t").producer();
    driver.add("t", next, &[partition("orders", 0)]).unwrap();
    driver.end("t", next, false).unwrap();
    driver.take();
    // Outcomes of the previous transaction, and of a partition to which no marker was sent.
    driver.answer(&old, Ok(()));
    assert_eq!(driver.state("t"), TransactionState::PrepareAbort);
}

#[test]
fn a_new_coordinator_sends_the_markers_of_prepared_transactions_again() {
    let mut driver = committed();
    let markers = driver.take().markers;
    driver.answer(&markers[..1], Ok(()));
    driver.reload();
    assert!(driver.signalled);
    assert_eq!(driver.take().markers, markers);
    driver.answer(&markers, Ok(()));
    assert_eq!(driver.state("t"), TransactionState::CompleteCommit);
}

#[test]
fn a_completion_that_is_not_appended_is_made_again() {
    let mut driver = committed();
    let markers = driver.take().markers;
    driver.fail_next = Some(ErrorCode::CoordinatorNotAvailable);
    driver.answer(&markers, Ok(()));
    assert_eq!(driver.state("t"), TransactionState::PrepareCommit);
    for _ in 0..3 {
        driver.pass(100);
        driver.timers();
        assert!(std::mem::take(&mut driver.signalled));
        driver.fail_next = Some(ErrorCode::CoordinatorNotAvailable);
        assert!(driver.take().markers.is_empty());
    }
    driver.fail_next = None;
    driver.pass(100);
    driver.timers();
    driver.take();
    assert_eq!(driver.state("t"), TransactionState::CompleteCommit);
    driver.pass(100);
    driver.timers();
    assert_eq!(driver.timers(), 0, "nothing is left to do");
    assert_eq!(
        driver.machine.timers.len(),
        1,
        "the timeout of the ended transaction"
    );
}

#[test]
fn many_partitions_are_taken_in_parts() {
    let mut driver = Driver::new(TransactionVersion::V2);
    driver.checks = false;
    driver.topic("wide", &[1; 30_000]);
    let first = driver.init("t", None).unwrap();
    let all: Vec<_> = (0..30_000).map(|index| partition("wide", index)).collect();
    driver.add("t", first, &all).unwrap();
    driver.end("t", first, true).unwrap();
    let one = driver.take();
    assert_eq!(one.markers[0].markers[0].partitions.len(), 20_000);
    driver.pass(100);
    driver.timers();
    let two = driver.take();
    assert_eq!(two.markers[0].markers[0].partitions.len(), 10_000);
    let parts = one.markers.iter().chain(&two.markers);
    let outcomes: Vec<_> = parts.map(|to| answered(&to.markers[0], Ok(()))).collect();
    assert_eq!(one.markers[0].broker, NodeId(1));
    driver
        .run(&MarkersAnswered {
            outcomes: &outcomes,
        })
        .unwrap();
    assert_eq!(driver.state("t"), TransactionState::CompleteCommit);
}
