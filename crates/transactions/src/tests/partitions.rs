//! Tests of the partitions of a transaction.

use dohle_machine::{LogRecord as _, Machine as _};
use dohle_model::{ErrorCode, ProducerEpoch};

use super::driver::{Driver, TIMEOUT, partition, producer};
use crate::ids::{ProducerIdAndEpoch, TransactionalId};
use crate::metadata::TransactionMetadata;
use crate::records::{TransactionRecord, ValueVersion};
use crate::requests::{AbortTimedOut, VerifyPartitions};
use crate::state::{TransactionState, TransactionVersion};

#[test]
fn the_first_partition_begins_a_transaction_and_a_repeated_one_changes_nothing() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let first = driver.init("t", None).unwrap();
    assert_eq!(driver.state("t"), TransactionState::Empty);
    driver.pass(100);
    driver.add("t", first, &[partition("orders", 0)]).unwrap();
    assert_eq!(driver.state("t"), TransactionState::Ongoing);
    let (began, records) = (driver.wall, driver.log.len());
    driver.pass(100);
    driver.add("t", first, &[partition("orders", 0)]).unwrap();
    assert_eq!(driver.log.len(), records);
    driver.add("t", first, &[partition("orders", 2)]).unwrap();
    assert_eq!(driver.get("t").started, Some(began));
    assert_eq!(driver.get("t").partitions.len(), 2);
}

#[test]
fn partitions_are_added_for_the_present_producer_only() {
    let mut driver = Driver::new(TransactionVersion::V2);
    let of = [partition("orders", 0)];
    let unknown = ErrorCode::InvalidProducerIdMapping;
    assert_eq!(
        driver.add("", producer(1, 0), &of),
        Err(ErrorCode::InvalidRequest)
    );
    assert_eq!(driver.add("t", producer(1, 0), &of), Err(unknown));
    let first = driver.init("t", None).unwrap();
    let second = driver.init("t", None).unwrap();
    assert_eq!(driver.add("t", first, &of), Err(ErrorCode::ProducerFenced));
    assert_eq!(driver.add("t", producer(77, 1), &of), Err(unknown));
    driver.add("t", second, &of).unwrap();
    driver.end("t", second, true).unwrap();
    let next = driver.get("t").producer();
    let concurrent = Err(ErrorCode::ConcurrentTransactions);
    assert_eq!(driver.add("t", next, &of), concurrent);
    driver.complete();
    driver.add("t", next, &of).unwrap();
}

#[test]
fn verification_tells_the_partitions_that_are_in_the_transaction() {
    let mut driver = Driver::new(TransactionVersion::V1);
    let first = driver.init("t", None).unwrap();
    driver.add("t", first, &[partition("orders", 1)]).unwrap();
    let partitions = [partition("orders", 0), partition("orders", 1)];
    let verify = |driver: &mut Driver, producer| {
        let request = VerifyPartitions {
            transactional_id: "t",
            producer,
            partitions: &partitions,
        };
        driver.run(&request).unwrap()
    };
    let abortable = Err(ErrorCode::TransactionAbortable);
    assert_eq!(verify(&mut driver, first), Ok(vec![abortable, Ok(())]));
    let fenced = verify(&mut driver, producer(first.id.0, 9));
    assert_eq!(fenced, Err(ErrorCode::ProducerFenced));
    driver.end("t", first, true).unwrap();
    let concurrent = Err(ErrorCode::ConcurrentTransactions);
    assert_eq!(verify(&mut driver, first), concurrent);
}

/// Adds partitions of topics until no more are accepted, and returns how many there are.
fn fill(driver: &mut Driver, producer: ProducerIdAndEpoch) -> usize {
    for index in 0.. {
        // One topic with many partitions, and many with one.
        let name = match index % 2 {
            0 => "orders".to_owned(),
            _ => format!("other-{index}"),
        };
        match driver.add("t", producer, &[partition(&name, index)]) {
            Ok(()) => {}
            Err(code) => {
                assert_eq!(code, ErrorCode::UnknownServerError);
                return usize::try_from(index).unwrap();
            }
        }
    }
    unreachable!("the loop ends");
}

/// The producer has the last epoch that any gets.
fn exhaust(driver: &mut Driver) -> ProducerIdAndEpoch {
    let metadata = TransactionMetadata {
        producer_epoch: ProducerEpoch(i16::MAX - 1),
        ..driver.get("t").clone()
    };
    let producer = metadata.producer();
    let record = TransactionRecord {
        transactional_id: TransactionalId::new("t"),
        metadata: Some(metadata),
        version: ValueVersion::V1,
    };
    driver.log.push(record.encode().unwrap());
    driver.machine.replay(record);
    producer
}

/// The size of the newest record as a batch.
fn bytes_of_last(driver: &Driver) -> usize {
    let (key, value) = driver.log.last().unwrap();
    // A header, and a record with two lengths of up to three bytes.
    61 + 1 + 1 + 1 + 3 + 3 + 3 + key.len() + value.as_ref().unwrap().len() + 1
}

#[test]
fn a_transaction_that_accepts_no_more_partitions_can_be_ended_in_every_way() {
    use TransactionVersion::{V0, V1, V2};
    const MAX: usize = 1_500;
    for (version, later) in [(V0, V0), (V0, V2), (V1, V0), (V2, V0), (V2, V2)] {
        for how in ["commit", "abort", "timeout", "fence"] {
            let mut driver = Driver::new(version);
            driver.config.record_bytes_max = MAX;
            driver.init("t", None).unwrap();
            // The record that ends the transaction has an id for the next one, which takes the most
            // bytes.
            let first = exhaust(&mut driver);
            // A record of version 0 has less than the state, and the version changes below.
            driver.checks = false;
            let count = fill(&mut driver, first);
            let ongoing = bytes_of_last(&driver);
            assert!(ongoing > MAX * 4 / 5, "{ongoing} bytes, {count} partitions");
            // What is there can be added again.
            driver.add("t", first, &[partition("orders", 0)]).unwrap();
            let level = i16::from(later.level());
            let feature = TransactionVersion::FEATURE.to_owned();
            driver.image.features.insert(feature, level);
            match how {
                "commit" => drop(driver.end("t", first, true).unwrap()),
                "abort" => drop(driver.end("t", first, false).unwrap()),
                "timeout" => {
                    driver.pass(TIMEOUT as u64 + 1);
                    driver.timers();
                    let timed_out = driver.take().timed_out;
                    for transactional_id in timed_out {
                        let fresh = driver.fresh();
                        let request = AbortTimedOut {
                            transactional_id,
                            fresh,
                        };
                        driver.run(&request).unwrap();
                    }
                }
                _ => {
                    let fenced = driver.init("t", None);
                    assert_eq!(fenced, Err(ErrorCode::ConcurrentTransactions), "{how}");
                }
            }
            assert!(driver.state("t").is_prepared(), "{version:?} {how}");
            let prepared = bytes_of_last(&driver);
            assert!(
                prepared <= MAX,
                "{prepared} bytes: {version:?} {later:?} {how}"
            );
            assert_eq!(driver.get("t").partitions.len(), count);
        }
    }
}
