//! A stateful Kafka Streams application with `exactly_once_v2`: two instances count words,
//! aggregate windows and join a table, while brokers and instances are killed. Its output is what a
//! batch computation over the input gives, each update exactly once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::java;
use dohle_tests::length::Length;
use dohle_tests::program::{Program, Running};

use crate::faults::allow_lost_connections;

/// The number of records of each input topic for each kill, and the number that is written each
/// second.
const RECORDS_PER_KILL: usize = 500;
const RATE: usize = 100;
const LIMIT: Duration = Duration::from_secs(600);

fn streams(arguments: &[&str]) -> Program {
    java::class("Streams").args(arguments).limit(LIMIT)
}

fn instance(bootstrap: &str, directory: &Path, name: char) -> Result<Running> {
    let state = directory.join(format!("state-{name}"));
    let state = state.to_string_lossy();
    let mut running = streams(&["run", bootstrap, &state]).start()?;
    running.wait_for_line(|line| line == "state RUNNING")?;
    Ok(running)
}

/// What the driver of Kafka's smoke test writes.
#[derive(Clone, Copy)]
struct SmokeWork {
    keys: u32,
    /// For each key.
    records: u32,
    seconds: u32,
}

/// Kafka's smoke test: its driver writes records, two instances process them, one is killed, and
/// the driver compares what came out.
fn smoke(guarantee: &str, work: SmokeWork) -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("group.initial.rebalance.delay.ms", "500")
        .property("offsets.topic.num.partitions", "6")
        .property("transaction.state.log.num.partitions", "6")
        .start()?;
    allow_lost_connections(&mut cluster);
    let topics = [
        "echo",
        "data",
        "fk",
        "min",
        "min-suppressed",
        "min-raw",
        "max",
        "sum",
        "sws-raw",
        "sws-suppressed",
        "dif",
        "cnt",
        "avg",
        "wcnt",
        "tagg",
    ];
    for topic in topics {
        cluster.create_topic(topic, 5, 3, &[("min.insync.replicas", "2")])?;
    }
    let bootstrap = cluster.bootstrap();
    let scratch = cluster.scratch().to_owned();
    let run = |name: &str| -> Result<Running> {
        let file = scratch.join(format!("{name}.properties"));
        let state = scratch.join(name);
        std::fs::write(
            &file,
            format!(
                "bootstrap.servers={bootstrap}\nstate.dir={}\n\
                 processing.guarantee={guarantee}\n\
                 replication.factor=3\nsession.timeout.ms=6000\n",
                state.display()
            ),
        )?;
        let class = java::class("org.apache.kafka.streams.tests.StreamsSmokeTest");
        class.arg(&file).arg("process").limit(LIMIT).start()
    };
    let mut first = run("a")?;
    let second = run("b")?;
    let amount = [work.keys, work.records, work.seconds].map(|it| it.to_string());
    let mut driver = java::class("SmokeDriver")
        .args([&bootstrap, guarantee])
        .args(&amount)
        .limit(LIMIT)
        .start()?;
    driver.wait_for_line(|line| line == "writing")?;
    first.kill()?;
    let broker = cluster.leader("data", 0)?;
    cluster.broker(broker).kill()?;
    cluster.broker(broker).start()?;
    let first = run("a")?;
    let output = driver.finish()?;
    ensure!(output.stdout.contains("SUCCESS"), "{output}");
    for instance in [first, second] {
        instance.terminate()?;
        instance.finish()?;
    }
    Ok(())
}

#[test]
fn the_smoke_test_of_kafka_streams_passes() -> Result<()> {
    let guarantees = &["exactly_once_v2", "at_least_once"];
    let little = SmokeWork {
        keys: 10,
        records: 100,
        seconds: 3,
    };
    // The work of `StreamsSmokeTest run`.
    let all = SmokeWork {
        keys: 20,
        records: 1000,
        seconds: 30,
    };
    let (guarantees, work) = Length::wished().choose((&guarantees[..1], little), (guarantees, all));
    for guarantee in guarantees {
        smoke(guarantee, work)?;
    }
    Ok(())
}

#[test]
fn a_streams_application_processes_each_record_exactly_once() -> Result<()> {
    let seed: u64 = match std::env::var("DOHLE_SEED") {
        Ok(seed) => seed.parse()?,
        Err(_) => u64::from(std::process::id()),
    };
    println!("DOHLE_SEED={seed}");
    let kills = Length::wished().choose(3, 10);
    let mut cluster = Cluster::of(3)
        .property("group.initial.rebalance.delay.ms", "500")
        .property("offsets.topic.num.partitions", "6")
        .property("transaction.state.log.num.partitions", "6")
        .start()?;
    allow_lost_connections(&mut cluster);
    for topic in [
        "lines",
        "clicks",
        "word-counts",
        "click-windows",
        "click-regions",
    ] {
        cluster.create_topic(topic, 4, 3, &[("min.insync.replicas", "2")])?;
    }
    let table = [("min.insync.replicas", "2"), ("cleanup.policy", "compact")];
    cluster.create_topic("users", 4, 3, &table)?;

    let bootstrap = cluster.bootstrap();
    let scratch = cluster.scratch().to_owned();
    let mut instances = vec![
        instance(&bootstrap, &scratch, 'a')?,
        instance(&bootstrap, &scratch, 'b')?,
    ];
    let records = (RECORDS_PER_KILL * kills).to_string();
    let input = [
        "input",
        &bootstrap,
        &seed.to_string(),
        &records,
        &RATE.to_string(),
    ];
    let mut input = streams(&input).start()?;

    let mut random = seed;
    for kill in 0..kills {
        // The output has grown since the last kill, so the application has processed records.
        input.wait_for_line(|line| {
            line == format!("written {}", kill * RECORDS_PER_KILL + RECORDS_PER_KILL / 2)
        })?;
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let choice = (random >> 33) as usize;
        if choice.is_multiple_of(2) {
            let broker = i32::try_from(choice / 2 % 3)? + 1;
            println!("broker {broker} is killed");
            cluster.broker(broker).kill()?;
            cluster.broker(broker).start()?;
        } else {
            let which = choice / 2 % 2;
            println!("instance {which} is killed");
            instances[which].kill()?;
            instances[which] = instance(&bootstrap, &scratch, ['a', 'b'][which])?;
        }
    }
    input.finish()?.ok()?;
    let complete = streams(&["check", &bootstrap, "120"]).run()?.ok()?;
    println!("{complete}");
    // The instances must not write anything twice while they end.
    for instance in instances {
        instance.terminate()?;
        instance.finish()?;
    }
    let again = streams(&["check", &bootstrap, "0"]).run()?.ok()?;
    ensure!(again == complete, "first {complete}, then {again}");
    Ok(())
}
