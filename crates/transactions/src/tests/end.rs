//! Tests of EndTxn in both versions of the protocol.

use dohle_model::{ErrorCode, ProducerEpoch, ProducerId};

use super::driver::{Driver, partition, producer};
use crate::ids::ProducerIdAndEpoch;
use crate::state::{TransactionState, TransactionVersion};

use TransactionState::{
    CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit,
};

/// Returns a driver with a transactional id in this state, and its producer.
fn driver_in(version: TransactionVersion, state: TransactionState) -> Driver {
    let mut driver = Driver::new(version);
    let first = driver.init("t", None).unwrap();
    if state == Empty {
        return driver;
    }
    driver.add("t", first, &[partition("orders", 0)]).unwrap();
    if state == Ongoing {
        return driver;
    }
    let commit = matches!(state, PrepareCommit | CompleteCommit);
    driver.end("t", first, commit).unwrap();
    if matches!(state, CompleteCommit | CompleteAbort) {
        driver.complete();
    }
    assert_eq!(driver.state("t"), state);
    driver
}

fn earlier(producer: ProducerIdAndEpoch) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch {
        epoch: ProducerEpoch(producer.epoch.0 - 1),
        ..producer
    }
}

#[test]
fn a_transaction_of_version_2_raises_the_epoch_and_its_markers_have_the_new_one() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let first = driver.init("t", None).unwrap();
    let of = [
        partition("orders", 0),
        partition("orders", 1),
        partition("orders", 2),
    ];
    driver.add("t", first, &of).unwrap();
    let next = driver.end("t", first, true).unwrap().unwrap();
    assert_eq!(next, producer(1_001, 1));
    let markers = driver.complete();
    assert_eq!(markers.len(), 3);
    for to in &markers {
        let marker = &to.markers[0];
        assert_eq!((marker.producer, marker.commit), (next, true));
        assert_eq!(marker.version, TransactionVersion::V2);
    }
    assert_eq!(driver.state("t"), CompleteCommit);
    assert!(driver.get("t").partitions.is_empty());
    driver.add("t", next, &of).unwrap();
    assert_eq!(driver.end("t", next, false), Ok(Some(producer(1_001, 2))));
}

#[test]
fn a_transaction_of_version_1_keeps_the_epoch() {
    let mut driver = Driver::new(TransactionVersion::V1);
    let first = driver.init("t", None).unwrap();
    for commit in [true, false, true] {
        driver.add("t", first, &[partition("orders", 0)]).unwrap();
        assert_eq!(driver.end("t", first, commit), Ok(None));
        let markers = driver.complete();
        let marker = &markers[0].markers[0];
        assert_eq!((marker.producer, marker.commit), (first, commit));
        assert_eq!(marker.version, TransactionVersion::V0);
    }
}

#[test]
fn in_version_2_requests_are_answered_by_state_epoch_and_decision() {
    let fenced = Err(ErrorCode::ProducerFenced);
    let invalid = Err(ErrorCode::InvalidTxnState);
    // A state, and the results of: repeated abort, abort, repeated commit, commit. `None` means a
    // raised epoch.
    type Row = (TransactionState, [Option<Result<(), ErrorCode>>; 4]);
    let table: [Row; 4] = [
        (Empty, [Some(fenced), None, Some(fenced), Some(invalid)]),
        (Ongoing, [Some(fenced), None, Some(fenced), None]),
        (
            CompleteCommit,
            [Some(invalid), None, Some(Ok(())), Some(invalid)],
        ),
        (
            CompleteAbort,
            [Some(Ok(())), None, Some(invalid), Some(invalid)],
        ),
    ];
    for (state, answers) in table {
        for (case, answer) in answers.into_iter().enumerate() {
            let mut driver = driver_in(TransactionVersion::V2, state);
            let current = driver.get("t").producer();
            let (repeated, commit) = (case % 2 == 0, case >= 2);
            let from = if repeated { earlier(current) } else { current };
            let at = format!("{state} repeated={repeated} commit={commit}");
            let other = driver.end("t", producer(5, 0), commit);
            assert_eq!(other, Err(ErrorCode::InvalidProducerIdMapping), "{at}");
            let outcome = driver.end("t", from, commit);
            match answer {
                Some(Ok(())) => assert_eq!(outcome, Ok(Some(current)), "{at}"),
                Some(Err(code)) => assert_eq!(outcome, Err(code), "{at}"),
                None => {
                    let raised = producer(current.id.0, current.epoch.0 + 1);
                    assert_eq!(outcome, Ok(Some(raised)), "{at}");
                }
            }
        }
    }
}

#[test]
fn the_next_transaction_waits_until_the_markers_of_the_last_one_are_written() {
    let of = [partition("orders", 0)];
    let concurrent = ErrorCode::ConcurrentTransactions;
    for state in [PrepareCommit, PrepareAbort] {
        let mut driver = driver_in(TransactionVersion::V2, state);
        // The producer has this epoch from the response to its last request.
        let current = driver.get("t").producer();
        for from in [current, earlier(current), producer(5, 0)] {
            for commit in [true, false] {
                assert_eq!(driver.end("t", from, commit), Err(concurrent), "{state}");
            }
            assert_eq!(driver.add("t", from, &of), Err(concurrent), "{state}");
            assert_eq!(driver.init("t", Some(from)), Err(concurrent), "{state}");
        }
        driver.complete();
        let raised = producer(current.id.0, current.epoch.0 + 1);
        assert_eq!(driver.end("t", current, false), Ok(Some(raised)), "{state}");
    }
}

#[test]
fn before_version_2_a_repeated_request_succeeds_when_the_decision_was_the_same() {
    let concurrent = Err(ErrorCode::ConcurrentTransactions);
    let invalid = Err(ErrorCode::InvalidTxnState);
    let table = [
        (Empty, invalid, invalid),
        (PrepareCommit, concurrent, concurrent),
        (PrepareAbort, concurrent, concurrent),
        (CompleteCommit, Ok(None), invalid),
        (CompleteAbort, invalid, Ok(None)),
        (Ongoing, Ok(None), Ok(None)),
    ];
    for (state, commit, abort) in table {
        for (decision, answer) in [(true, commit), (false, abort)] {
            let mut driver = driver_in(TransactionVersion::V0, state);
            let current = driver.get("t").producer();
            let stale = driver.end("t", earlier(current), decision);
            assert_eq!(stale, Err(ErrorCode::ProducerFenced), "{state}");
            assert_eq!(
                driver.end("t", current, decision),
                answer,
                "{state} {decision}"
            );
        }
    }
}

#[test]
fn an_abort_without_partitions_is_complete_at_once() {
    let mut driver = driver_in(TransactionVersion::V2, Empty);
    let first = driver.get("t").producer();
    driver.end("t", first, false).unwrap();
    assert_eq!(driver.state("t"), CompleteAbort);
    assert_eq!(driver.get("t").started, Some(driver.wall));
    assert!(driver.take().markers.is_empty());
}

#[test]
fn unknown_ids_and_empty_ones_are_refused() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let nobody = producer(1, 0);
    assert_eq!(driver.end("", nobody, true), Err(ErrorCode::InvalidRequest));
    let unknown = Err(ErrorCode::InvalidProducerIdMapping);
    assert_eq!(driver.end("t", nobody, true), unknown);
}

#[test]
fn the_last_epoch_ends_with_a_new_id_and_the_request_may_be_repeated() {
    let mut driver = Driver::new(TransactionVersion::V2);
    driver.checks = false;
    let mut current = driver.init("t", None).unwrap();
    let of = [partition("orders", 0)];
    while current.epoch.0 < i16::MAX - 1 {
        current = driver.end("t", current, false).unwrap().unwrap();
    }
    driver.checks = true;
    driver.add("t", current, &of).unwrap();
    let next = driver.end("t", current, true).unwrap().unwrap();
    assert_eq!(next, producer(1_002, 0));
    assert_eq!(driver.state("t"), PrepareCommit);
    let concurrent = Err(ErrorCode::ConcurrentTransactions);
    assert_eq!(driver.end("t", current, true), concurrent);
    // The marker has the highest epoch of the old id, which is above that of the records.
    let markers = driver.complete();
    assert_eq!(markers[0].markers[0].producer, producer(1_001, i16::MAX));
    assert_eq!(driver.get("t").producer(), next);
    assert_eq!(driver.end("t", current, true), Ok(Some(next)));
    driver.reload();
    assert_eq!(driver.end("t", current, true), Ok(Some(next)));
    driver.add("t", next, &of).unwrap();
    assert_eq!(
        driver.get("t").previous_producer_id,
        Some(ProducerId(1_002))
    );
}
