//! The files of transactions: Kafka's dump tool reads Dohle's as Dohle's own tool does, and Dohle
//! goes on with those that Apache Kafka wrote: segments, indexes of aborted transactions, snapshots
//! of producers, and the states of transactions and groups.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::transactional::{Flavour, Transactional, Work};
use dohle_tests::cluster::text;
use dohle_tests::replicas::partitions;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, until};
use kacrab_protocol::generated as kafka;

use crate::console_tools::{Kafka, dump, of_topic, ours};

const SOURCE: &str = "orders";
const TARGET: &str = "invoices";
const ORDERS: usize = 40;
/// One transaction.
const STEPS: [&str; 5] = ["begin", "read 5", "write", "offsets", "commit"];

fn copy(bootstrap: &str) -> Result<Transactional> {
    let work = Work {
        bootstrap,
        source: SOURCE,
        target: TARGET,
        group: "billing",
        transactional_id: "biller",
    };
    let mut copy = Transactional::start(Flavour::Java, work)?;
    copy.step("init")?;
    Ok(copy)
}

fn steps(copy: &mut Transactional, steps: &[&str]) -> Result<()> {
    steps.iter().try_for_each(|step| copy.step(step))
}

/// One node, with as many partitions of the internal topics as [`Kafka`].
fn cluster() -> Result<Cluster> {
    Cluster::of(1)
        .property("group.initial.rebalance.delay.ms", "0")
        .property("offsets.topic.num.partitions", "2")
        .property("transaction.state.log.num.partitions", "2")
        .property("transaction.state.log.replication.factor", "1")
        .property("transaction.state.log.min.isr", "1")
        .start()
}

fn create_topics(bootstrap: &str) -> Result<()> {
    for topic in [SOURCE, TARGET] {
        let arguments = ["--create", "--topic", topic, "--partitions", "1"];
        // The least that Kafka accepts.
        let config = ["--config", "segment.bytes=1048576"];
        ours("topics", bootstrap, &arguments)?
            .args(config)
            .run()?
            .ok()?;
    }
    Ok(())
}

/// Fills some segments of the target with committed, aborted and, at last, an open transaction.
fn fill(bootstrap: &str) -> Result<()> {
    let lines: String = (0..ORDERS).map(|n| format!("{n}:order {n}\n")).collect();
    kcat(bootstrap, &["-P", "-t", SOURCE, "-K:", "-X", "acks=all"])
        .input(lines)
        .run()?
        .ok()?;
    let mut first = copy(bootstrap)?;
    steps(&mut first, &STEPS)?;
    steps(&mut first, &STEPS[..4])?;
    first.step("abort")?;
    first.kill()?;
    let arguments = ["--topic", TARGET, "--num-records", "2500"];
    let load = ["--record-size", "1000", "--throughput", "2500"];
    let transactions = [
        "--transactional-id",
        "load",
        "--transaction-duration-ms",
        "100",
    ];
    ours("producer-perf-test", bootstrap, &arguments)?
        .args(load)
        .args(transactions)
        .run()?
        .ok()?;
    let mut second = copy(bootstrap)?;
    steps(&mut second, &STEPS)?;
    steps(&mut second, &STEPS[..4])?;
    second.step("abort")?;
    second.kill()?;
    let mut third = copy(bootstrap)?;
    steps(&mut third, &STEPS[..4])?;
    third.kill()
}

/// The records of the target that a reader of committed records sees: offset and value of each.
fn committed(bootstrap: &str) -> Result<String> {
    let arguments = ["-C", "-t", TARGET, "-e", "-q", "-f", "%o %s\n"];
    let isolation = ["-X", "isolation.level=read_committed"];
    kcat(bootstrap, &[&arguments[..], &isolation].concat())
        .run()?
        .ok()
}

fn copies(committed: &str) -> Vec<&str> {
    let values = committed.lines().filter_map(|line| line.split_once(' '));
    let mut copies: Vec<&str> = values
        .map(|(_, value)| value)
        .filter(|value| value.starts_with("copy of "))
        .collect();
    copies.sort_unstable();
    copies
}

#[test]
fn our_dump_of_our_transactions_is_kafkas() -> Result<()> {
    let mut cluster = cluster()?;
    let bootstrap = cluster.bootstrap();
    create_topics(&bootstrap)?;
    fill(&bootstrap)?;
    cluster.stop()?;
    let data = &cluster.nodes()[0].data;
    let logs = of_topic(data, TARGET, &["log"])?;
    ensure!(logs.len() > 1, "one segment");
    dump(&logs, &["--print-data-log"])?;
    let aborted = of_topic(data, TARGET, &["txnindex"])?;
    let length: u64 = aborted
        .iter()
        .map(|file| Ok(file.metadata()?.len()))
        .sum::<Result<u64>>()?;
    ensure!(length > 0, "no aborted transaction");
    dump(&aborted, &[])?;
    dump(&of_topic(data, TARGET, &["snapshot"])?, &[])?;
    let states = of_topic(data, "__transaction_state", &["log"])?;
    dump(&states, &["--transaction-log-decoder"])?;
    let offsets = of_topic(data, "__consumer_offsets", &["log"])?;
    dump(&offsets, &["--offsets-decoder"])
}

/// Lets the cluster create its internal topics.
fn find_coordinators(cluster: &Cluster) -> Result<()> {
    for key_type in [0, 1] {
        let request = kafka::FindCoordinatorRequestData {
            key_type,
            coordinator_keys: vec![text("any")],
            ..Default::default()
        };
        until(DEADLINE, "there is a coordinator", || {
            let answer = cluster.connect()?.call(&request, 6)?;
            Ok(answer.coordinators[0].error_code == 0)
        })?;
    }
    Ok(())
}

/// Puts the files of all partitions of a topic in the place of Dohle's, which keeps the topic's id.
fn take_over(from: &Path, to: &Path, topic: &str) -> Result<()> {
    for partition in partitions(to, topic)? {
        let name = partition.file_name().context("a name")?;
        let kept = "partition.metadata";
        for entry in std::fs::read_dir(&partition)? {
            let path = entry?.path();
            if path.file_name().is_none_or(|name| name != kept) {
                std::fs::remove_file(path)?;
            }
        }
        for entry in std::fs::read_dir(from.join(name))? {
            let entry = entry?;
            if entry.file_name() != kept {
                std::fs::copy(entry.path(), partition.join(entry.file_name()))?;
            }
        }
    }
    Ok(())
}

#[test]
fn transactions_that_kafka_began_go_on() -> Result<()> {
    let mut cluster = cluster()?;
    let mut kafka = Kafka::start(cluster.scratch())?;
    create_topics(&kafka.bootstrap)?;
    fill(&kafka.bootstrap)?;
    let before = committed(&kafka.bootstrap)?;
    ensure!(copies(&before).len() == 10, "{:?}", copies(&before));
    kafka.stop()?;

    create_topics(&cluster.bootstrap())?;
    find_coordinators(&cluster)?;
    cluster.stop()?;
    let (from, to) = (kafka.folder.join("data"), cluster.nodes()[0].data.clone());
    for topic in [SOURCE, TARGET, "__transaction_state", "__consumer_offsets"] {
        take_over(&from, &to, topic)?;
    }
    cluster.start()?;
    let bootstrap = cluster.bootstrap();
    let seen = committed(&bootstrap)?;
    ensure!(seen == before, "{:?}", copies(&seen));

    // The program with the open transaction comes back, and goes on at the committed offsets.
    let mut last = copy(&bootstrap)?;
    for _ in 0..(ORDERS - 10) / 5 {
        steps(&mut last, &STEPS)?;
    }
    last.finish()?;
    let mut expected: Vec<String> = (0..ORDERS).map(|n| format!("copy of order {n}")).collect();
    expected.sort_unstable();
    let after = committed(&bootstrap)?;
    ensure!(copies(&after) == expected, "{:?}", copies(&after));
    ensure!(after.starts_with(&before), "records before changed");
    Ok(())
}
