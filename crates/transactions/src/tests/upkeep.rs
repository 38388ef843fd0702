//! Tests of timeouts, expiry, and lists of transactions.

use std::time::Duration;

use dohle_machine::Machine as _;
use dohle_model::ErrorCode;

use super::driver::{Driver, TIMEOUT, partition, producer};
use crate::requests::{AbortTimedOut, Describe, InitProducerId, List, TransactionFilter};
use crate::state::{TransactionState, TransactionVersion};

#[test]
fn a_transaction_that_lasts_longer_than_its_timeout_is_aborted_with_a_higher_epoch() {
    for version in [TransactionVersion::V0, TransactionVersion::V2] {
        let mut driver = Driver::new(version);
        let first = driver.init("t", None).unwrap();
        driver.add("t", first, &[partition("orders", 0)]).unwrap();
        driver.pass(30_000);
        driver.add("t", first, &[partition("orders", 1)]).unwrap();
        driver.pass(30_000);
        driver.timers();
        assert_eq!(driver.state("t"), TransactionState::Ongoing);
        driver.pass(1);
        driver.timers();
        assert_eq!(driver.state("t"), TransactionState::PrepareAbort);
        assert!(driver.signalled);
        assert_eq!(driver.get("t").producer(), producer(1_001, 1));
        let markers = driver.complete();
        assert_eq!(markers[0].markers[0].producer, producer(1_001, 1));
        let of = [partition("orders", 0)];
        assert_eq!(driver.add("t", first, &of), Err(ErrorCode::ProducerFenced));
    }
}

#[test]
fn a_timeout_counts_from_the_begin_of_each_transaction_and_across_a_load() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let first = driver.init("t", None).unwrap();
    driver.add("t", first, &[partition("orders", 0)]).unwrap();
    driver.pass(50_000);
    let next = driver.end("t", first, true).unwrap().unwrap();
    driver.complete();
    driver.add("t", next, &[partition("orders", 0)]).unwrap();
    driver.pass(20_000);
    driver.timers();
    assert_eq!(driver.state("t"), TransactionState::Ongoing);
    driver.reload();
    driver.pass(40_000);
    driver.timers();
    assert_eq!(driver.state("t"), TransactionState::Ongoing);
    driver.pass(1);
    driver.timers();
    assert_eq!(driver.state("t"), TransactionState::PrepareAbort);
}

#[test]
fn an_abort_that_is_not_appended_is_made_again() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let first = driver.init("t", None).unwrap();
    driver.add("t", first, &[partition("orders", 0)]).unwrap();
    driver.pass(TIMEOUT as u64 + 1);
    driver.fail_next = Some(ErrorCode::CoordinatorNotAvailable);
    driver.timers();
    assert_eq!(driver.state("t"), TransactionState::Ongoing);
    driver.pass(500);
    driver.timers();
    assert_eq!(driver.state("t"), TransactionState::PrepareAbort);
}

#[test]
fn a_timed_out_producer_whose_epochs_are_exhausted_gets_a_new_id() {
    let mut driver = Driver::new(TransactionVersion::V2);
    driver.checks = false;
    let mut current = driver.init("t", None).unwrap();
    while current.epoch.0 < i16::MAX - 1 {
        current = driver.end("t", current, false).unwrap().unwrap();
    }
    driver.add("t", current, &[partition("orders", 0)]).unwrap();
    driver.pass(TIMEOUT as u64 + 1);
    driver.timers();
    assert_eq!(driver.state("t"), TransactionState::Ongoing);
    let timed_out = driver.take().timed_out;
    assert_eq!(timed_out.len(), 1);
    let request = AbortTimedOut {
        transactional_id: timed_out[0].clone(),
        fresh: driver.fresh(),
    };
    driver.run(&request).unwrap();
    let markers = driver.complete();
    assert_eq!(markers[0].markers[0].producer, producer(1_001, i16::MAX));
    assert_eq!(driver.get("t").producer(), producer(1_002, 0));
}

#[test]
fn two_phase_commit_has_no_timeout() {
    let mut driver = Driver::new(TransactionVersion::V2);
    driver.config.two_phase_commit_enable = true;
    let first = driver.init_with(InitProducerId {
        transactional_id: "t",
        timeout_ms: 0,
        expected: None,
        two_phase_commit: true,
        keep_prepared: false,
        fresh: None,
    });
    driver
        .add("t", first.unwrap(), &[partition("orders", 0)])
        .unwrap();
    driver.reload();
    driver.pass(365 * 24 * 3600 * 1000);
    driver.timers();
    assert_eq!(driver.state("t"), TransactionState::Ongoing);
    let described = driver
        .run(&Describe {
            transactional_id: "t",
        })
        .unwrap()
        .unwrap();
    assert_eq!(described.timeout_ms, i32::MAX);
}

/// Runs the upkeep like the runtime. Returns the number of its steps.
fn upkeep(driver: &mut Driver) -> usize {
    let mut steps = 0;
    loop {
        let flow = driver.step(|machine, step| machine.on_interval(step));
        steps += 1;
        if flow.unwrap().is_break() {
            return steps;
        }
    }
}

#[test]
fn ids_that_nothing_has_changed_expire_unless_their_transaction_is_open() {
    let mut driver = Driver::new(TransactionVersion::V2);
    driver.config.transactional_id_expiration = Duration::from_secs(10);
    let open = driver.init("open", None).unwrap();
    driver.add("open", open, &[partition("orders", 0)]).unwrap();
    let done = driver.init("done", None).unwrap();
    driver.add("done", done, &[partition("orders", 0)]).unwrap();
    driver.end("done", done, true).unwrap();
    driver.init("empty", None).unwrap();
    driver.complete();
    driver.pass(9_999);
    upkeep(&mut driver);
    assert_eq!(driver.machine.len(), 3);
    driver.pass(1);
    upkeep(&mut driver);
    assert_eq!(driver.machine.len(), 1);
    let gone = driver
        .run(&Describe {
            transactional_id: "done",
        })
        .unwrap();
    assert_eq!(gone, Err(ErrorCode::TransactionalIdNotFound));
    // The id was removed, so it is new again.
    assert_eq!(driver.init("done", None).unwrap().id.0, 1_004);
}

#[test]
fn many_expired_ids_are_removed_in_parts() {
    let mut driver = Driver::new(TransactionVersion::V2);
    driver.checks = false;
    for id in 0..1_200 {
        driver.init(&format!("t{id:04}"), None).unwrap();
    }
    driver.pass(7 * 24 * 3_600_000);
    driver.init("t0600", None).unwrap();
    assert_eq!(upkeep(&mut driver), 3);
    assert_eq!(driver.machine.len(), 1);
    driver.check();
}

#[test]
fn lists_are_filtered_by_state_producer_duration_and_pattern() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let a = driver.init("app-a", None).unwrap();
    driver.add("app-a", a, &[partition("orders", 0)]).unwrap();
    driver.pass(5_000);
    let b = driver.init("app-b", None).unwrap();
    driver.add("app-b", b, &[partition("orders", 0)]).unwrap();
    driver.init("sink", None).unwrap();
    let mut listed = |filter: TransactionFilter| -> Vec<String> {
        let listed = driver.run(&List { filter: &filter }).unwrap();
        let ids = listed.into_iter();
        ids.map(|it| it.transactional_id.to_string()).collect()
    };
    let all = TransactionFilter::default;
    assert_eq!(listed(all()), ["app-a", "app-b", "sink"]);
    let states = |states: &[TransactionState]| TransactionFilter {
        states: Some(states.to_vec()),
        ..all()
    };
    assert_eq!(
        listed(states(&[TransactionState::Ongoing])),
        ["app-a", "app-b"]
    );
    assert!(listed(states(&[])).is_empty());
    let producer_ids = vec![b.id];
    assert_eq!(
        listed(TransactionFilter {
            producer_ids,
            ..all()
        }),
        ["app-b"]
    );
    let duration_ms = |ms| TransactionFilter {
        duration_ms: Some(ms),
        ..all()
    };
    // As in Kafka, an id without a transaction counts as open since 1970.
    assert_eq!(listed(duration_ms(4_999)), ["app-a", "sink"]);
    assert_eq!(listed(duration_ms(5_000)), ["sink"]);
    let pattern = |text| TransactionFilter {
        pattern: TransactionFilter::pattern(text).unwrap(),
        ..all()
    };
    assert_eq!(listed(pattern("app-.*")), ["app-a", "app-b"]);
    assert!(
        listed(pattern("app")).is_empty(),
        "the whole id has to match"
    );
    assert_eq!(listed(pattern("")).len(), 3);
    for text in ["(", "a**"] {
        let invalid = TransactionFilter::pattern(text).unwrap_err();
        assert_eq!(invalid, ErrorCode::InvalidRegularExpression, "{text}");
    }
}
