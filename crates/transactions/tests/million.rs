//! Many transactional ids: what each costs in memory, and what a step of their expiry costs.
//!
//! `DOHLE_IDS=1000000` sets how many; the figures are printed (`--nocapture`).

#![allow(unsafe_code)]

mod common;

use std::time::Instant;

use bytes::Bytes;
use dohle_machine::{LogRecord as _, Machine as _};
use dohle_model::{
    PartitionIndex, ProducerEpoch, ProducerId, Timestamp, TopicName, TopicPartition,
};
use dohle_transactions::{
    PartitionSet, TransactionMetadata, TransactionRecord, TransactionState, TransactionVersion,
    TransactionalId, ValueVersion,
};

use common::{Driver, allocated};

/// Bytes for an id whose transaction is complete, its text of 24 bytes included.
const COMPLETE_MAX: i64 = 260;
/// Bytes for an id with an open transaction of one partition, and for its timer.
const OPEN_MAX: i64 = 450;
/// What one step of the expiry looks at, and what it removes.
const EXAMINED_MAX: usize = 10_000;
const TOMBSTONES_MAX: usize = 500;

fn count() -> usize {
    let count = std::env::var("DOHLE_IDS").map(|count| count.parse().unwrap());
    count.unwrap_or(25_000)
}

/// The newest records of ids, in no order of the ids, as the log has them.
fn log(count: usize, state: TransactionState) -> Vec<(Bytes, Option<Bytes>)> {
    let partitions: PartitionSet = (state == TransactionState::Ongoing)
        .then(|| TopicPartition {
            topic: TopicName::new("orders").unwrap(),
            partition: PartitionIndex(3),
        })
        .into_iter()
        .collect();
    let record = |at: usize| {
        // A permutation: the multiplier is odd, and the modulus a power of two.
        let number = at.wrapping_mul(0x9E37_79B1) & 0xFFFF_FFFF;
        let producer_id = ProducerId(i64::try_from(at).unwrap());
        TransactionRecord {
            transactional_id: TransactionalId::new(&format!("transactions-{number:011}")),
            metadata: Some(TransactionMetadata {
                producer_id,
                previous_producer_id: Some(producer_id),
                next_producer_id: None,
                producer_epoch: ProducerEpoch(7),
                last_producer_epoch: None,
                timeout_ms: Some(60_000),
                state,
                partitions: partitions.clone(),
                started: Some(Timestamp(1_000_000)),
                updated: Timestamp(1_000_000),
                client_version: TransactionVersion::V2,
            }),
            version: ValueVersion::V1,
        }
    };
    (0..count).map(|at| record(at).encode().unwrap()).collect()
}

/// A machine that has loaded a log.
fn load(log: &[(Bytes, Option<Bytes>)]) -> Driver {
    let mut driver = Driver::new();
    for (key, value) in log {
        let record = TransactionRecord::decode(key, value.as_deref()).unwrap();
        driver.machine.replay(record.unwrap());
    }
    driver.step(|machine, step| machine.on_loaded(step));
    driver
}

#[test]
fn an_id_costs_a_few_hundred_bytes() {
    let count = count();
    for (state, max) in [
        (TransactionState::CompleteCommit, COMPLETE_MAX),
        (TransactionState::Ongoing, OPEN_MAX),
    ] {
        let log = log(count, state);
        let (before, begun) = (allocated().live, Instant::now());
        let driver = load(&log);
        let took = begun.elapsed();
        let bytes = (allocated().live - before) / i64::try_from(count).unwrap();
        println!("{count} ids, {state}: {bytes} bytes each, loaded in {took:?}");
        assert_eq!(driver.machine.len(), count);
        assert!(bytes <= max, "{bytes} bytes for an id that is {state}");
    }
}

#[test]
fn a_step_of_the_expiry_looks_at_a_part_of_the_ids() {
    let count = count();
    let mut driver = load(&log(count, TransactionState::CompleteCommit));
    // None has expired: the steps look at each id once.
    let mut steps = 0;
    loop {
        let (flow, records, _) = driver.step(|machine, step| machine.on_interval(step));
        assert_eq!(records, 0);
        steps += 1;
        if flow.is_break() {
            break;
        }
    }
    assert_eq!(steps, count / EXAMINED_MAX + 1);
    // All have: each step writes a number of tombstones, and continues after the one before.
    driver.wall.0 += 7 * 24 * 3_600_000;
    let mut steps = 0;
    loop {
        let (flow, records, _) = driver.step(|machine, step| machine.on_interval(step));
        assert!(records <= TOMBSTONES_MAX, "{records} records in a step");
        steps += 1;
        if flow.is_break() {
            break;
        }
    }
    assert!(driver.machine.is_empty());
    assert_eq!(steps, count / TOMBSTONES_MAX + 1);
}
