//! Bad days of the coordinator of transactions: too few replicas of `__transaction_state` are in
//! sync, the coordinator is cut off from the others, or it hangs and comes back. Nothing is
//! acknowledged that could be lost, the codes are those that clients try again on, and producers go
//! on by themselves.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::transactional::{Flavour, Transactional, Work};
use dohle_tests::cluster::text;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, KafkaConnection, eventually};
use kacrab_protocol::generated as kafka;

use crate::faults::allow_lost_connections;
use crate::transactions::{GROUP, ID, SOURCE, STEPS, TARGET, committed, coordinator, write_orders};

const LOG: &str = "__transaction_state";
/// Another transactional id, of a producer that is driven request by request.
const RAW: &str = "raw";
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const NOT_COORDINATOR: i16 = 16;
/// The codes that producers try again on, looking for the coordinator anew or not.
const TRANSIENT: [i16; 4] = [14, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR, 51];
/// How long a request to a coordinator waits for its records to be committed, and some more.
const COMMIT_LIMIT: Duration = Duration::from_secs(30);

/// A producer's id and epoch.
type Producer = (i64, i16);

fn cluster(replicas: &str) -> Result<Cluster> {
    let mut cluster = Cluster::of(3)
        .property("broker.session.timeout.ms", "3000")
        .property("group.initial.rebalance.delay.ms", "0")
        .property("offsets.topic.num.partitions", "1")
        .property("transaction.state.log.num.partitions", "1")
        .property("transaction.state.log.replication.factor", replicas)
        .property("transaction.state.log.min.isr", "2")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic(SOURCE, 1, 3, &[])?;
    cluster.create_topic(TARGET, 2, 3, &[])?;
    write_orders(&cluster.bootstrap(), 60)?;
    Ok(cluster)
}

fn copy(cluster: &Cluster) -> Result<Transactional> {
    let work = Work {
        bootstrap: &cluster.bootstrap(),
        source: SOURCE,
        target: TARGET,
        group: GROUP,
        transactional_id: ID,
    };
    let mut copy = Transactional::start(Flavour::Java, work)?;
    copy.step("init")?;
    transaction(&mut copy)?;
    Ok(copy)
}

fn transaction(copy: &mut Transactional) -> Result<()> {
    STEPS.iter().try_for_each(|step| copy.step(step))
}

fn connect(cluster: &Cluster, broker: i32) -> Result<KafkaConnection> {
    let node = cluster.nodes().iter().find(|node| node.id == broker);
    let mut connection = node.context("an unknown node")?.connect()?;
    connection.limit(COMMIT_LIMIT)?;
    Ok(connection)
}

fn initialize(broker: &mut KafkaConnection, id: &str) -> Result<Result<Producer, i16>> {
    let request = kafka::InitProducerIdRequestData {
        transactional_id: Some(text(id)),
        transaction_timeout_ms: 600_000,
        ..Default::default()
    };
    let answer = broker.call(&request, 4)?;
    Ok(match answer.error_code {
        0 => Ok((answer.producer_id, answer.producer_epoch)),
        code => Err(code),
    })
}

/// Adds a partition of the target.
fn add(broker: &mut KafkaConnection, producer: Producer, partition: i32) -> Result<i16> {
    let request = kafka::AddPartitionsToTxnRequestData {
        v3_and_below_transactional_id: text(RAW),
        v3_and_below_producer_id: producer.0,
        v3_and_below_producer_epoch: producer.1,
        v3_and_below_topics: vec![kafka::AddPartitionsToTxnTopic {
            name: text(TARGET),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    };
    let answer = broker.call(&request, 3)?;
    let results = &answer.results_by_topic_v3_and_below[0].results_by_partition;
    Ok(results[0].partition_error_code)
}

fn commit(broker: &mut KafkaConnection, producer: Producer) -> Result<i16> {
    let request = kafka::EndTxnRequestData {
        transactional_id: text(RAW),
        producer_id: producer.0,
        producer_epoch: producer.1,
        committed: true,
        ..Default::default()
    };
    Ok(broker.call(&request, 4)?.error_code)
}

/// The state of the transaction of [`RAW`].
fn state(broker: &mut KafkaConnection) -> Result<String> {
    let request = kafka::DescribeTransactionsRequestData {
        transactional_ids: vec![text(RAW)],
        ..Default::default()
    };
    let answer = broker.call(&request, 0)?;
    let described = &answer.transaction_states[0];
    ensure!(described.error_code == 0, "{described:?}");
    Ok(described.transaction_state.as_str().to_owned())
}

/// Begins a transaction with one partition.
fn begin(cluster: &Cluster) -> Result<Producer> {
    let mut broker = connect(cluster, coordinator(cluster)?)?;
    let producer = initialize(&mut broker, RAW)?;
    let producer = producer.map_err(|code| anyhow::anyhow!("InitProducerId: {code}"))?;
    let code = add(&mut broker, producer, 0)?;
    ensure!(code == 0, "AddPartitionsToTxn: {code}");
    Ok(producer)
}

/// Commits the transaction of [`RAW`] as clients do: any error but a transient one fails.
fn commit_at_last(cluster: &Cluster, producer: Producer) -> Result<()> {
    let code = eventually(DEADLINE, "the transaction is committed", || {
        let mut broker = connect(cluster, coordinator(cluster)?)?;
        let code = commit(&mut broker, producer)?;
        Ok((!TRANSIENT.contains(&code)).then_some(code))
    })?;
    ensure!(code == 0, "EndTxn: {code}");
    eventually(DEADLINE, "the transaction is complete", || {
        let mut broker = connect(cluster, coordinator(cluster)?)?;
        Ok((state(&mut broker)? == "CompleteCommit").then_some(()))
    })
}

/// How many records a reader of committed records sees, each of them once.
fn count(cluster: &Cluster) -> Result<usize> {
    let mut seen = committed(cluster)?;
    let count = seen.len();
    seen.sort();
    seen.dedup();
    ensure!(seen.len() == count, "some records are there twice");
    Ok(count)
}

#[test]
fn below_its_min_isr_the_log_of_transactions_refuses_and_recovers_by_itself() -> Result<()> {
    let mut cluster = cluster("2")?;
    let mut copy = copy(&cluster)?;
    let producer = begin(&cluster)?;
    for step in &STEPS[..4] {
        copy.step(step)?;
    }
    let partition = cluster.describe(LOG)?[0].clone();
    let leader = partition.leader.context("no leader")?;
    let other = partition.replicas.iter().copied().find(|id| *id != leader);
    let other = other.context("no follower")?;
    cluster.broker(other).kill()?;
    cluster.wait_for_partition(LOG, 0, DEADLINE, |partition| partition.isr == [leader])?;

    let mut broker = connect(&cluster, leader)?;
    let unavailable = COORDINATOR_NOT_AVAILABLE;
    assert_eq!(initialize(&mut broker, "new")?, Err(unavailable));
    assert_eq!(initialize(&mut broker, RAW)?, Err(unavailable));
    assert_eq!(add(&mut broker, producer, 1)?, unavailable);
    assert_eq!(commit(&mut broker, producer)?, unavailable);
    // What needs no record is answered, and what was refused has left no trace.
    assert_eq!(add(&mut broker, producer, 0)?, 0);
    assert_eq!(state(&mut broker)?, "Ongoing");

    copy.ask("commit")?;
    cluster.broker(other).start()?;
    let failed = copy.answer("commit")?;
    ensure!(failed.is_none(), "the commit failed: {failed:?}");
    commit_at_last(&cluster, producer)?;
    transaction(&mut copy)?;
    copy.finish()?;
    assert_eq!(count(&cluster)?, 15);
    cluster.stop()
}

#[test]
fn a_coordinator_that_is_cut_off_decides_nothing_and_producers_go_on_when_it_is_back() -> Result<()>
{
    let mut cluster = cluster("3")?;
    // At the end all nodes stop while their sessions come back: the last one finds no controller.
    cluster.allow("other brokers have not taken over all leaderships in time");
    cluster.allow("no active controller to register with");
    // A paused node may be the coordinator of the group, whose member has expired when it resumes.
    cluster.allow("record of an empty group could not be written");
    let mut copy = copy(&cluster)?;
    let producer = begin(&cluster)?;
    for step in &STEPS[..4] {
        copy.step(step)?;
    }
    let alone = coordinator(&cluster)?;
    let others: Vec<i32> = (1..=3).filter(|id| *id != alone).collect();
    for id in &others {
        cluster.broker(*id).pause()?;
    }
    copy.ask("commit")?;
    let mut broker = connect(&cluster, alone)?;
    assert_eq!(commit(&mut broker, producer)?, COORDINATOR_NOT_AVAILABLE);
    for id in &others {
        cluster.broker(*id).resume()?;
    }
    let failed = copy.answer("commit")?;
    ensure!(failed.is_none(), "the commit failed: {failed:?}");
    commit_at_last(&cluster, producer)?;
    // The group's coordinator may have expired the member when it resumed, so a new one joins.
    copy.finish()?;
    self::copy(&cluster)?.finish()?;
    assert_eq!(count(&cluster)?, 15);
    cluster.wait_in_sync(LOG)?;
    cluster.stop()
}

#[test]
fn a_coordinator_that_hangs_is_replaced_and_decides_nothing_when_it_wakes() -> Result<()> {
    let mut cluster = cluster("3")?;
    // It may also have been the coordinator of the group, whose member has expired when it wakes.
    cluster.allow("record of an empty group could not be written");
    let mut copy = copy(&cluster)?;
    let producer = begin(&cluster)?;
    for step in &STEPS[..4] {
        copy.step(step)?;
    }
    let hangs = coordinator(&cluster)?;
    let mut broker = connect(&cluster, hangs)?;
    cluster.broker(hangs).pause()?;
    copy.step("commit")?;
    assert_ne!(coordinator(&cluster)?, hangs);
    commit_at_last(&cluster, producer)?;
    cluster.broker(hangs).resume()?;
    // It has another state in mind, in which the transaction is open.
    let code = commit(&mut broker, producer)?;
    ensure!(TRANSIENT.contains(&code), "EndTxn: {code}");
    // If it was also the coordinator of the group, the member may have expired at the next one
    // before its client looked for that, so a new one joins.
    copy.finish()?;
    self::copy(&cluster)?.finish()?;
    assert_eq!(count(&cluster)?, 15);
    cluster.wait_in_sync(LOG)?;
    cluster.stop()
}
