//! Tests of InitProducerId.

use dohle_model::{ErrorCode, ProducerEpoch};

use super::driver::{Driver, TIMEOUT, partition, producer};
use crate::requests::{InitProducerId, PlannedReply};
use crate::state::{TransactionState, TransactionVersion};

fn request(id: &str) -> InitProducerId<'_> {
    InitProducerId {
        transactional_id: id,
        timeout_ms: TIMEOUT,
        expected: None,
        two_phase_commit: false,
        keep_prepared: false,
        fresh: None,
    }
}

#[test]
fn each_new_producer_fences_the_one_before() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let needs = driver.run(&request("t")).unwrap();
    assert_eq!(needs, PlannedReply::NeedsProducerId);
    assert!(driver.log.is_empty());
    let first = driver.init("t", None).unwrap();
    assert_eq!(first, producer(1_001, 0));
    assert_eq!(driver.init("t", None), Ok(producer(1_001, 1)));
    let of = [partition("orders", 0)];
    assert_eq!(driver.add("t", first, &of), Err(ErrorCode::ProducerFenced));
}

#[test]
fn a_request_that_cannot_be_served_is_refused_in_the_order_of_kafka() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let mut refused = |request| match driver.run(&request).unwrap() {
        PlannedReply::Reply(Err(code)) => code,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(request("")), ErrorCode::InvalidRequest);
    for timeout_ms in [0, -1, i32::MIN, 900_001, i32::MAX] {
        let request = InitProducerId {
            timeout_ms,
            ..request("t")
        };
        assert_eq!(refused(request), ErrorCode::InvalidTransactionTimeout);
    }
    let two_phase = InitProducerId {
        two_phase_commit: true,
        keep_prepared: true,
        ..request("t")
    };
    assert_eq!(
        refused(two_phase),
        ErrorCode::TransactionalIdAuthorizationFailed
    );
    let keeps = InitProducerId {
        keep_prepared: true,
        timeout_ms: 0,
        ..request("t")
    };
    assert_eq!(refused(keeps), ErrorCode::UnsupportedVersion);
}

#[test]
fn a_producer_that_names_its_epoch_continues_and_may_repeat_the_request() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let first = driver.init("t", None).unwrap();
    let second = driver.init("t", Some(first)).unwrap();
    assert_eq!(second.epoch, ProducerEpoch(1));
    // The producer did not receive the response.
    assert_eq!(driver.init("t", Some(first)), Ok(second));
    let third = driver.init("t", Some(second)).unwrap();
    assert_eq!(third.epoch, ProducerEpoch(2));
    let fenced = Err(ErrorCode::ProducerFenced);
    assert_eq!(driver.init("t", Some(first)), fenced);
    assert_eq!(driver.init("t", Some(producer(5, 2))), fenced);
    // A new producer ends the right of the old one to repeat its request.
    let new = driver.init("t", None).unwrap();
    assert_eq!(driver.init("t", Some(second)), fenced);
    assert_eq!(driver.init("t", Some(third)), fenced);
    assert_eq!(driver.init("t", Some(new)).unwrap().epoch, ProducerEpoch(4));
}

#[test]
fn an_open_transaction_is_aborted_before_a_new_producer_gets_its_epoch() {
    for (version, epoch) in [(TransactionVersion::V0, 2), (TransactionVersion::V2, 2)] {
        let mut driver = Driver::new(version);
        let first = driver.init("t", None).unwrap();
        driver.add("t", first, &[partition("orders", 0)]).unwrap();
        let concurrent = Err(ErrorCode::ConcurrentTransactions);
        assert_eq!(driver.init("t", None), concurrent);
        assert_eq!(driver.state("t"), TransactionState::PrepareAbort);
        assert!(driver.signalled);
        assert_eq!(driver.init("t", None), concurrent);
        let markers = driver.complete();
        assert_eq!(markers[0].markers[0].producer, producer(1_001, 1));
        assert!(!markers[0].markers[0].commit);
        assert_eq!(driver.init("t", None), Ok(producer(1_001, epoch)));
        let fenced = Err(ErrorCode::ProducerFenced);
        assert_eq!(driver.end("t", first, true), fenced, "{version:?}");
    }
}

#[test]
fn a_producer_whose_epochs_are_exhausted_gets_a_new_id() {
    let mut driver = Driver::new(TransactionVersion::V1);
    driver.checks = false;
    driver.init("t", None).unwrap();
    while driver.get("t").producer_epoch.0 < i16::MAX - 1 {
        driver.init("t", None).unwrap();
    }
    let last = driver.get("t").producer();
    let rotated = driver.init("t", Some(last)).unwrap();
    assert_eq!(rotated, producer(1_002, 0));
    // The producer did not receive the response; the coordinator has changed meanwhile.
    assert_eq!(driver.init("t", Some(last)), Ok(rotated));
    driver.check();
    let stale = producer(last.id.0, 3);
    assert_eq!(
        driver.init("t", Some(stale)),
        Err(ErrorCode::ProducerFenced)
    );
}

#[test]
fn a_request_whose_record_is_not_appended_changes_nothing() {
    let mut driver = Driver::new(TransactionVersion::V2);
    driver.fail_next = Some(ErrorCode::CoordinatorNotAvailable);
    let failed = Err(ErrorCode::CoordinatorNotAvailable);
    assert_eq!(driver.init("t", None), failed);
    assert!(driver.machine.is_empty());
    let first = driver.init("t", None).unwrap();
    assert_eq!(first.epoch, ProducerEpoch(0));
}
