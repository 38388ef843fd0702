//! Loops of consume, process and produce in transactions, with several client families:
//! transactions are committed and aborted, and a program that was replaced returns. With the Java
//! client and aiokafka, the coordinator is also killed between every two steps, a commit loses its
//! response, and the leader of the target moves during a transaction.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::transactional::{Flavour, Transactional, Work};
use dohle_tests::cluster::text;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, eventually};
use kacrab_protocol::generated as kafka;

use crate::faults::allow_lost_connections;

pub const SOURCE: &str = "orders";
pub const TARGET: &str = "invoices";
pub const GROUP: &str = "billing";
pub const ID: &str = "biller";
/// The type of keys in FindCoordinator.
const TRANSACTION: i8 = 1;
/// The steps of one transaction.
pub const STEPS: [&str; 5] = ["begin", "read 5", "write", "offsets", "commit"];

/// The faults during the work of a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Faults {
    None,
    Killed,
}

fn cluster() -> Result<Cluster> {
    let mut cluster = Cluster::of(3)
        .property("group.initial.rebalance.delay.ms", "0")
        .property("offsets.topic.num.partitions", "3")
        .property("transaction.state.log.num.partitions", "3")
        .start()?;
    allow_lost_connections(&mut cluster);
    let config = [("min.insync.replicas", "2")];
    cluster.create_topic(SOURCE, 1, 3, &config)?;
    cluster.create_topic(TARGET, 2, 3, &config)?;
    Ok(cluster)
}

/// Returns the broker that coordinates the transactions of [`ID`].
pub fn coordinator(cluster: &Cluster) -> Result<i32> {
    let request = kafka::FindCoordinatorRequestData {
        key_type: TRANSACTION,
        coordinator_keys: vec![text(ID)],
        ..Default::default()
    };
    eventually(DEADLINE, "the transactions have a coordinator", || {
        let answer = cluster.connect()?.call(&request, 6)?;
        let found = &answer.coordinators[0];
        let is_up = cluster
            .nodes()
            .iter()
            .any(|node| node.id == found.node_id && node.is_up());
        Ok((found.error_code == 0 && is_up).then_some(found.node_id))
    })
}

/// Kills a broker, and starts it again once `meanwhile` is done.
fn while_killed(
    cluster: &mut Cluster,
    broker: i32,
    meanwhile: impl FnOnce() -> Result<()>,
) -> Result<()> {
    cluster.broker(broker).kill()?;
    meanwhile()?;
    cluster.broker(broker).start()?;
    for topic in [SOURCE, TARGET, "__transaction_state", "__consumer_offsets"] {
        cluster.wait_in_sync(topic)?;
    }
    Ok(())
}

/// Returns the values of the target that a reader of committed records receives.
pub fn committed(cluster: &Cluster) -> Result<Vec<String>> {
    let arguments = [
        "-C",
        "-t",
        TARGET,
        "-e",
        "-q",
        "-X",
        "isolation.level=read_committed",
    ];
    let output = kcat(&cluster.bootstrap(), &arguments).run()?.ok()?;
    Ok(output.lines().map(str::to_owned).collect())
}

/// Makes three transactions, during which brokers are killed.
fn three_with_kills(cluster: &mut Cluster, copy: &mut Transactional) -> Result<()> {
    // Before every step of one transaction the coordinator is killed.
    for step in STEPS {
        let coordinator = coordinator(cluster)?;
        while_killed(cluster, coordinator, || {
            copy.step(step)
                .with_context(|| format!("{step}, its coordinator killed"))
        })?;
    }
    // The coordinator is killed while the commit is in progress: it may have happened or not.
    for step in &STEPS[..4] {
        copy.step(step)?;
    }
    let killed = coordinator(cluster)?;
    copy.ask("commit")?;
    while_killed(cluster, killed, || {
        let failed = copy.answer("commit")?;
        ensure!(failed.is_none(), "the commit failed: {failed:?}");
        Ok(())
    })?;
    // The leader of a partition that was written to moves before the transaction ends.
    for step in &STEPS[..3] {
        copy.step(step)?;
    }
    let leader = cluster.leader(TARGET, 0)?;
    while_killed(cluster, leader, || {
        copy.step("offsets")?;
        copy.step("commit")
    })?;
    Ok(())
}

/// Writes records to the source.
pub fn write_orders(bootstrap: &str, count: usize) -> Result<()> {
    let lines: String = (0..count).map(|n| format!("{n}:order {n}\n")).collect();
    kcat(bootstrap, &["-P", "-t", SOURCE, "-K:", "-X", "acks=all"])
        .input(lines)
        .run()?
        .ok()?;
    Ok(())
}

fn story(flavour: Flavour, faults: Faults) -> Result<()> {
    let mut cluster = cluster()?;
    let bootstrap = cluster.bootstrap();
    let work = Work {
        bootstrap: &bootstrap,
        source: SOURCE,
        target: TARGET,
        group: GROUP,
        transactional_id: ID,
    };
    write_orders(&bootstrap, 40)?;

    let mut copy = Transactional::start(flavour, work)?;
    copy.step("init")?;
    for step in STEPS {
        copy.step(step)?;
    }
    match faults {
        Faults::Killed => three_with_kills(&mut cluster, &mut copy)?,
        Faults::None => {
            for step in STEPS.repeat(3) {
                copy.step(step)?;
            }
        }
    }
    // An aborted transaction's records are not visible, and its offsets are not committed.
    for step in &STEPS[..4] {
        copy.step(step)?;
    }
    copy.step("abort")?;
    copy.kill()?;
    let seen: BTreeSet<String> = committed(&cluster)?.into_iter().collect();
    ensure!(seen.len() == 20, "{seen:?}");

    // A program that is considered dead during a transaction is replaced, and returns.
    let mut zombie = Transactional::start(flavour, work)?;
    zombie.step("init")?;
    for step in &STEPS[..3] {
        zombie.step(step)?;
    }
    zombie.pause()?;
    let mut copy = Transactional::start(flavour, work)?;
    copy.step("init")?;
    for _ in 0..4 {
        for step in STEPS {
            copy.step(step)?;
        }
    }
    zombie.resume()?;
    zombie.ask("commit")?;
    let fenced = zombie.answer("commit")?;
    ensure!(fenced.is_some(), "the zombie committed");
    zombie.kill()?;
    copy.finish()?;

    let mut seen = committed(&cluster)?;
    seen.sort();
    let mut expected: Vec<String> = (0..40).map(|n| format!("copy of order {n}")).collect();
    expected.sort();
    ensure!(seen == expected, "{} records: {seen:?}", seen.len());
    Ok(())
}

#[test]
fn transactions_of_the_java_client() -> Result<()> {
    story(Flavour::Java, Faults::Killed)
}

#[test]
fn transactions_of_librdkafka() -> Result<()> {
    story(Flavour::Confluent, Faults::None)
}

#[test]
fn transactions_of_aiokafka() -> Result<()> {
    story(Flavour::Aiokafka, Faults::Killed)
}

#[test]
fn transactions_of_kafkajs() -> Result<()> {
    story(Flavour::Kafkajs, Faults::None)
}
