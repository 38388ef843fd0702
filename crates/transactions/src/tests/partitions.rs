//! Partitions of a transaction.

use dohle_model::ErrorCode;

use super::driver::{Driver, partition, producer};
use crate::requests::VerifyPartitions;
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
