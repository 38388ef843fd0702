//! Figures of a cluster's life: its start, many partitions, idling, a leader's death, its end.

use std::net::ToSocketAddrs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use dohle_tests::cluster::{describe, text};
use dohle_tests::records::{self, produce};
use dohle_tests::wait::let_pass;
use dohle_tests::{Cluster, KafkaConnection, proc};
use kacrab_protocol::generated as kafka;

use crate::figures::Figures;
use crate::options::Lengths;
use crate::statistics::median;
use crate::system::System;
use crate::usage::Usage;
use crate::workloads::Shape;

/// The names of the parts.
pub const MANY: &str = "1,000 partitions × 3";
pub const DEATH: &str = "SIGKILL of a leader";
const STOP: &str = "stop of three nodes";

/// How often a figure looks whether what it waits for has happened.
const PACE: Duration = Duration::from_millis(5);
/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(180);
/// What follows the creation of many partitions is not part of idling.
const SETTLING: Duration = Duration::from_secs(3);

/// Waits until `observe` returns a value. An error counts as "not yet".
pub fn poll<T>(what: &str, mut observe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let start = Instant::now();
    loop {
        let last = match observe() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => "not yet".to_owned(),
            Err(error) => format!("{error:#}"),
        };
        ensure!(
            start.elapsed() < LIMIT,
            "{what}: not within {LIMIT:?}; last seen: {last}"
        );
        std::thread::park_timeout(PACE);
    }
}

/// Returns the milliseconds since then.
pub fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// Starts the nodes, and measures the time until a record is acknowledged by all replicas.
pub fn start(mut cluster: Cluster, figures: &mut Figures) -> Result<System> {
    println!("    start");
    let begin = Instant::now();
    for node in cluster.nodes_mut() {
        node.launch()?;
    }
    let record = record()?;
    let shape = Shape {
        partitions: 1,
        replicas: 3,
    };
    poll("the first record is acknowledged", || {
        create(&mut cluster.connect()?, "first", shape, &[])?;
        acknowledge(&cluster, "first", None, &record).map(Some)
    })?;
    let time = milliseconds(begin);
    figures
        .of("start of three nodes")
        .cost("to the first acknowledged record", "ms", time);
    cluster.start()?;
    let system = System::of(cluster)?;
    memory(&system, "idle", figures)?;
    Ok(system)
}

/// Measures the resident memory of the nodes, on average.
pub fn memory(system: &System, workload: &'static str, figures: &mut Figures) -> Result<()> {
    if system.pids.is_empty() {
        return Ok(());
    }
    let bytes = system.pids.iter().map(|pid| proc::resident_bytes(*pid));
    let all: u64 = bytes.sum::<Result<u64>>()?;
    let each = all as f64 / system.pids.len() as f64;
    let mut figures = figures.of(workload);
    figures.cost("resident memory of a node", "MB", each / 1e6);
    Ok(())
}

/// Creates a topic, and waits until all replicas are in sync.
pub fn create_topic(
    system: &System,
    name: &str,
    shape: Shape,
    configs: &[(&str, &str)],
) -> Result<()> {
    // A null broker has every topic.
    if system.null_brokers().is_some() {
        return Ok(());
    }
    poll(&format!("{name} is there"), || {
        let mut connection = connect(system)?;
        create(&mut connection, name, shape, configs)?;
        is_complete(&mut connection, name, shape)
    })
}

fn is_complete(connection: &mut KafkaConnection, name: &str, shape: Shape) -> Result<Option<()>> {
    let seen = describe(connection, name)?;
    let replicas = usize::try_from(shape.replicas)?;
    let complete = seen
        .iter()
        .filter(|partition| partition.leader.is_some() && partition.isr.len() == replicas);
    Ok((complete.count() == usize::try_from(shape.partitions)?).then_some(()))
}

/// Deletes a topic.
pub fn delete_topic(system: &System, name: &str) -> Result<()> {
    if let Some(null_brokers) = system.null_brokers() {
        return null_brokers.clear();
    }
    let topic = kafka::DeleteTopicState {
        name: Some(text(name)),
        ..Default::default()
    };
    let request = kafka::DeleteTopicsRequestData {
        topics: vec![topic],
        timeout_ms: 60_000,
        ..Default::default()
    };
    let response = connect(system)?.call(&request, 6)?;
    let result = response.responses.first().context("no topic")?;
    let error = result.error_code;
    ensure!(error == 0, "delete {name}: error {error}");
    Ok(())
}

fn connect(system: &System) -> Result<KafkaConnection> {
    let first = system.bootstrap.split(',').next().context("no address")?;
    let mut addresses = first.to_socket_addrs().with_context(|| first.to_owned())?;
    let mut connection =
        KafkaConnection::open(addresses.next().context("an address without a host")?)?;
    // Longer than a server may take over a request.
    connection.limit(LIMIT)?;
    Ok(connection)
}

/// Returns a batch with one record.
pub fn record() -> Result<Bytes> {
    Ok(records::batch(&[&[b'x'; 1024]])?.freeze())
}

fn create(
    connection: &mut KafkaConnection,
    name: &str,
    shape: Shape,
    configs: &[(&str, &str)],
) -> Result<()> {
    const TOPIC_ALREADY_EXISTS: i16 = 36;
    let configs = configs
        .iter()
        .map(|(name, value)| kafka::CreatableTopicConfig {
            name: text(name),
            value: Some(text(value)),
            ..Default::default()
        });
    let topic = kafka::CreatableTopic {
        name: text(name),
        num_partitions: shape.partitions,
        replication_factor: shape.replicas,
        configs: configs.collect(),
        ..Default::default()
    };
    let request = kafka::CreateTopicsRequestData {
        topics: vec![topic],
        timeout_ms: 60_000,
        ..Default::default()
    };
    let response = connection.call(&request, 7)?;
    let result = response.topics.first().context("no topic")?;
    let error = result.error_code;
    ensure!(
        error == 0 || error == TOPIC_ALREADY_EXISTS,
        "create {name}: error {error}"
    );
    Ok(())
}

/// Appends a record to partition 0 with acks=all, as a client that was given the addresses does.
/// Leaves out the node `dead`.
pub fn acknowledge(
    cluster: &Cluster,
    topic: &str,
    dead: Option<i32>,
    record: &Bytes,
) -> Result<()> {
    let alive = || cluster.nodes().iter().filter(|node| Some(node.id) != dead);
    let mut last = None;
    for node in alive() {
        let leader = node
            .connect()
            .and_then(|mut node| describe(&mut node, topic));
        let leader = match leader {
            Ok(partitions) => partitions.first().and_then(|partition| partition.leader),
            Err(error) => {
                last = Some(error);
                continue;
            }
        };
        let Some(leader) = alive().find(|node| Some(node.id) == leader) else {
            continue;
        };
        let produced = produce(&mut leader.connect()?, topic, 0, -1, record.clone())?;
        ensure!(produced.error_code == 0, "{produced:?}");
        return Ok(());
    }
    Err(last.unwrap_or_else(|| anyhow::anyhow!("{topic}-0 has no leader that is alive")))
}

/// Creates a topic of many partitions and waits until all their replicas are in sync. Returns the
/// milliseconds.
pub fn creation(system: &System, name: &str, shape: Shape) -> Result<f64> {
    let mut connection = connect(system)?;
    let begin = Instant::now();
    create(&mut connection, name, shape, &[])?;
    poll("all replicas are in sync", || {
        is_complete(&mut connect(system)?, name, shape)
    })?;
    Ok(milliseconds(begin))
}

/// Measures the creation of many partitions; then what the idle cluster uses.
pub fn many_partitions(system: &System, lengths: &Lengths, figures: &mut Figures) -> Result<()> {
    println!("    {MANY}");
    let shape = Shape {
        partitions: 1000,
        replicas: 3,
    };
    let mut figures = figures.of(MANY);
    let time = creation(system, "many", shape)?;
    figures.cost("created and in sync", "ms", time);
    let_pass(SETTLING);
    let before = Usage::of(&system.pids)?;
    let begin = Instant::now();
    let_pass(lengths.idle);
    let used = Usage::of(&system.pids)?.since(before);
    let share = used.cpu.as_secs_f64() / begin.elapsed().as_secs_f64();
    figures.cost("CPU of three idle nodes", "% of a CPU", share * 100.0);
    Ok(())
}

/// Kills a partition's leader so many times, and measures the time until the next record is
/// acknowledged.
pub fn leaders_death(system: &mut System, times: usize, figures: &mut Figures) -> Result<()> {
    println!("    {DEATH}");
    let cluster = system.cluster()?;
    let record = record()?;
    let shape = Shape {
        partitions: 1,
        replicas: 3,
    };
    create(&mut cluster.connect()?, "gap", shape, &[])?;
    let mut gaps = Vec::new();
    for _ in 0..times {
        cluster.wait_in_sync("gap")?;
        let leader = cluster.leader("gap", 0)?;
        acknowledge(cluster, "gap", None, &record)?;
        let begin = Instant::now();
        cluster.broker(leader).kill()?;
        poll("a record is acknowledged after the leader's death", || {
            acknowledge(cluster, "gap", Some(leader), &record).map(Some)
        })?;
        gaps.push(milliseconds(begin));
        cluster.start()?;
    }
    let mut figures = figures.of(DEATH);
    figures.cost("gap, median", "ms", median(&gaps).context("no gaps")?);
    let longest = gaps.iter().copied().fold(0.0, f64::max);
    figures.cost("gap, longest", "ms", longest);
    system.find_processes()
}

/// Stops all nodes at once with SIGTERM. Returns the milliseconds until the last has ended.
pub fn end(system: &mut System) -> Result<f64> {
    let cluster = system.cluster()?;
    let begin = Instant::now();
    for node in cluster.nodes() {
        node.ask_to_stop()?;
    }
    for node in cluster.nodes_mut() {
        node.wait_until_ended()?;
    }
    Ok(milliseconds(begin))
}

/// Measures the clean end of all nodes.
pub fn stop(mut system: System, figures: &mut Figures) -> Result<()> {
    println!("    {STOP}");
    let time = end(&mut system)?;
    system.cluster()?.silence();
    figures.of(STOP).cost("to the end of the last", "ms", time);
    Ok(())
}
