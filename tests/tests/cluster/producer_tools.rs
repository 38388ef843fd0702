//! The tools that produce write each record once, and in order: to several partitions and brokers,
//! in small batches, and while leaders change.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::wait::{DEADLINE, until};

use crate::console_tools::ours;
use crate::faults::allow_lost_connections;

const PARTITIONS: i32 = 3;
/// Properties with which each batch has a few records, and is sent at once.
const SMALL_BATCHES: [&str; 2] = ["batch.size=500", "linger.ms=0"];

/// Returns the values of a topic by partition, in their order.
fn values(cluster: &Cluster, topic: &str) -> Result<BTreeMap<i32, Vec<String>>> {
    let args = ["-C", "-t", topic, "-o", "beginning", "-e", "-q"];
    let program = kcat(&cluster.bootstrap(), &args).args(["-f", "%p %s\\n"]);
    let consumed = program.limit(Duration::from_secs(120)).run()?.ok()?;
    let mut values: BTreeMap<i32, Vec<String>> = BTreeMap::new();
    for line in consumed.lines() {
        let (partition, value) = line.split_once(' ').unwrap_or((line, ""));
        let of_partition = values.entry(partition.parse()?).or_default();
        of_partition.push(value.to_owned());
    }
    Ok(values)
}

/// Checks that a topic has the numbers below `count`, each once, and ascending in each partition.
fn check(cluster: &Cluster, topic: &str, count: usize) -> Result<()> {
    let values = values(cluster, topic)?;
    let mut all = Vec::new();
    for (partition, values) in &values {
        let numbers: Result<Vec<usize>, _> = values.iter().map(|value| value.parse()).collect();
        let numbers = numbers?;
        let disorder = numbers.windows(2).find(|pair| pair[0] >= pair[1]);
        ensure!(disorder.is_none(), "{topic}-{partition} has {disorder:?}");
        all.extend(numbers);
    }
    all.sort_unstable();
    let twice = all.windows(2).filter(|pair| pair[0] == pair[1]).count();
    ensure!(
        all.len() == count && twice == 0,
        "{topic} has {} records of {count}, {twice} of them twice",
        all.len()
    );
    ensure!(values.len() > 1, "{topic}: only {:?}", values.keys());
    Ok(())
}

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("{number:010}\n")).collect()
}

#[test]
fn small_batches_to_partitions_of_several_brokers_are_written_once() -> Result<()> {
    let cluster = Cluster::of(3).start()?;
    let bootstrap = cluster.bootstrap();
    for (topic, count, properties) in [
        ("few", 300, &SMALL_BATCHES[..]),
        ("many", 30_000, &SMALL_BATCHES[..]),
        ("defaults", 30_000, &[]),
    ] {
        cluster.create_topic(topic, PARTITIONS, 3, &[])?;
        let number = count.to_string();
        let load = ["--topic", topic, "--num-records", &number];
        let sizes = ["--record-size", "100", "--throughput", "-1"];
        let server = format!("bootstrap.servers={bootstrap}");
        let producer = ours("producer-perf-test", "", &load)?.args(sizes);
        let producer = producer.args(["--producer-props", &server]);
        producer.args(properties).run()?.clean()?;
        let written = values(&cluster, topic)?
            .values()
            .map(Vec::len)
            .sum::<usize>();
        ensure!(written == count, "{topic} has {written} records of {count}");
    }
    cluster.create_topic("lines", PARTITIONS, 3, &[])?;
    let producer = ours("console-producer", &bootstrap, &["--topic", "lines"])?;
    let properties = SMALL_BATCHES
        .iter()
        .flat_map(|it| ["--command-property", *it]);
    let producer = producer.args(properties).input(lines(0..20_000));
    producer.run()?.clean()?;
    check(&cluster, "lines", 20_000)
}

#[test]
fn records_are_written_once_while_leaders_change() -> Result<()> {
    const STEP: usize = 3_000;
    let mut cluster = Cluster::of(3)
        .property("min.insync.replicas", "2")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic("t", PARTITIONS, 3, &[])?;
    let producer = ours("console-producer", &cluster.bootstrap(), &["--topic", "t"])?;
    let properties = SMALL_BATCHES
        .iter()
        .flat_map(|it| ["--command-property", *it]);
    let mut producer = producer.args(properties).interactive().start()?;
    let mut sent = 0;
    for id in 1..=3 {
        let before = sent;
        for line in lines(sent..sent + STEP).lines() {
            producer.send_line(line)?;
        }
        sent += STEP;
        until(DEADLINE, "some of the records are written", || {
            let written = values(&cluster, "t")?;
            Ok(written.values().map(Vec::len).sum::<usize>() > before)
        })?;
        // Abruptly and cleanly, while records are on their way.
        match id {
            2 => cluster.broker(id).stop()?,
            _ => cluster.broker(id).kill()?,
        }
        for line in lines(sent..sent + STEP).lines() {
            producer.send_line(line)?;
        }
        sent += STEP;
        cluster.broker(id).start()?;
        cluster.wait_in_sync("t")?;
    }
    producer.finish()?.ok()?;
    check(&cluster, "t", sent)
}
