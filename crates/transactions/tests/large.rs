//! A transaction with 10,000 partitions: what it costs to grow and to end it.

#![allow(unsafe_code)]

mod common;

use std::sync::Arc;

use dohle_machine::Request as _;
use dohle_model::image::TopicImage;
use dohle_model::partition::PartitionRegistration;
use dohle_model::{NodeId, PartitionIndex, ProducerId, TopicId, TopicName, TopicPartition, Uuid};
use dohle_transactions::{
    AddPartitions, EndTxn, InitProducerId, MarkerOutcome, MarkersAnswered, MarkersToSend, Outgoing,
    PlannedReply, ProducerIdAndEpoch, TransactionState, TransactionVersion,
};

use common::Driver;

const PARTITIONS: i32 = 10_000;
const TOPICS: i32 = 10;
const BROKERS: i32 = 3;

fn topic(number: i32) -> TopicName {
    TopicName::new(&format!("topic-{number}")).unwrap()
}

fn partition(number: i32) -> TopicPartition {
    TopicPartition {
        topic: topic(number % TOPICS),
        partition: PartitionIndex(number / TOPICS),
    }
}

/// Adds the topics to the metadata; the brokers lead their partitions in turn.
fn create_topics(driver: &mut Driver) {
    for number in 0..TOPICS {
        let partitions = (0..PARTITIONS / TOPICS).map(|index| {
            let leader = NodeId(index % BROKERS + 1);
            let registration = PartitionRegistration::new(vec![leader], Vec::new(), vec![leader]);
            (PartitionIndex(index), Arc::new(registration))
        });
        let id = TopicId(Uuid([u8::try_from(number + 1).unwrap(); 16]));
        let name = topic(number);
        driver.image.topic_ids.insert(name.clone(), id);
        let topic = TopicImage {
            name,
            id,
            partitions: partitions.collect(),
        };
        driver.image.topics.insert(id, topic);
    }
}

fn initialize(driver: &mut Driver) -> ProducerIdAndEpoch {
    let request = InitProducerId {
        transactional_id: "t",
        timeout_ms: 60_000,
        expected: None,
        two_phase_commit: false,
        keep_prepared: false,
        fresh: Some(ProducerId(1)),
    };
    let (reply, _, _) = driver.step(|machine, step| request.plan(machine, step));
    match reply {
        PlannedReply::Reply(producer) => producer.unwrap(),
        PlannedReply::NeedsProducerId => panic!("an id was given"),
    }
}

/// Adds partitions, and returns the bytes that this has allocated.
fn add(driver: &mut Driver, producer: ProducerIdAndEpoch, partitions: &[TopicPartition]) -> i64 {
    let request = AddPartitions {
        transactional_id: "t",
        producer,
        partitions,
        client_version: TransactionVersion::V2,
    };
    let (reply, records, bytes) = driver.step(|machine, step| request.plan(machine, step));
    reply.unwrap();
    assert_eq!(records, 1);
    bytes
}

#[test]
fn adding_a_partition_costs_about_the_same_however_many_there_are() {
    let mut driver = Driver::new();
    let producer = initialize(&mut driver);
    let mut bytes_max = 0;
    for number in 0..PARTITIONS {
        let bytes = add(&mut driver, producer, &[partition(number)]);
        // At the end, the set has 240,000 bytes and more.
        assert!(bytes < 8_192, "{bytes} bytes for partition {number}");
        bytes_max = bytes.max(bytes_max);
    }
    println!("at most {bytes_max} bytes are allocated for a partition that is added");
    let metadata = driver.machine.get("t").unwrap();
    assert_eq!(metadata.partitions.len(), PARTITIONS as usize);
}

#[test]
fn a_transaction_with_many_partitions_ends_with_one_marker_for_each_broker() {
    let mut driver = Driver::new();
    create_topics(&mut driver);
    let producer = initialize(&mut driver);
    let all: Vec<_> = (0..PARTITIONS).map(partition).collect();
    let mut bytes = add(&mut driver, producer, &all);
    let end = EndTxn {
        transactional_id: "t",
        producer,
        commit: true,
        client_version: TransactionVersion::V2,
        fresh: None,
    };
    bytes += driver.step(|machine, step| end.plan(machine, step)).2;
    let taken = driver.step(|machine, step| MarkersToSend.plan(machine, step));
    let (Outgoing { markers, .. }, _, allocated) = taken;
    bytes += allocated;
    let brokers: Vec<_> = markers.iter().map(|to| to.broker).collect();
    assert_eq!(brokers, [NodeId(1), NodeId(2), NodeId(3)]);
    let mut written = 0;
    for marker in markers.iter().flat_map(|to| &to.markers) {
        let partitions = marker.partitions.iter();
        let outcome = MarkerOutcome {
            transactional_id: marker.transactional_id.clone(),
            producer: marker.producer,
            partitions: partitions.map(|it| (it.clone(), Ok(()))).collect(),
        };
        written += outcome.partitions.len();
        let request = MarkersAnswered {
            outcomes: &[outcome],
        };
        bytes += driver.step(|machine, step| request.plan(machine, step)).2;
    }
    assert_eq!(written, PARTITIONS as usize);
    let metadata = driver.machine.get("t").unwrap();
    assert_eq!(metadata.state, TransactionState::CompleteCommit);
    let each = bytes / i64::from(PARTITIONS);
    println!("{each} bytes are allocated for each of {PARTITIONS} partitions, from begin to end");
    // A copy of the set for each partition would be 240,000.
    assert!(each < 4_096, "{each} bytes for each partition");
}
