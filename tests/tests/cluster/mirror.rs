//! MirrorMaker 2 between Apache Kafka and Dohle: topics, configurations, records and the offsets of
//! groups are copied to Dohle and back, exactly once where MirrorMaker supports it.

use std::time::Duration;

use anyhow::{Result, ensure};
use dohle_tests::clients::java;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::ports::free_port;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, until};

use crate::console_tools::{Kafka, ours};

const SETTLED: Duration = Duration::from_secs(150);

/// Returns the committed values of a topic, in order.
fn values(bootstrap: &str, topic: &str) -> Result<Vec<String>> {
    let isolation = "isolation.level=read_committed";
    let arguments = ["-C", "-t", topic, "-e", "-q", "-X", isolation];
    let output = kcat(bootstrap, &arguments).run()?.ok()?;
    Ok(output.lines().map(str::to_owned).collect())
}

fn produce(bootstrap: &str, topic: &str, numbers: std::ops::Range<u32>) -> Result<()> {
    let lines: String = numbers.map(|n| format!("{n}\n")).collect();
    kcat(bootstrap, &["-P", "-t", topic, "-X", "acks=all"])
        .input(lines)
        .run()?
        .ok()?;
    Ok(())
}

#[test]
fn mirror_maker_copies_from_kafka_and_back() -> Result<()> {
    let cluster = Cluster::of(3)
        .property("group.initial.rebalance.delay.ms", "0")
        .property("offsets.topic.num.partitions", "3")
        .property("transaction.state.log.num.partitions", "3")
        .start()?;
    let kafka = Kafka::start(cluster.scratch())?;
    let dohle = cluster.bootstrap();
    let config = ["--config", "retention.ms=123456789"];
    let topic = ["--create", "--topic", "orders", "--partitions", "1"];
    ours("topics", &kafka.bootstrap, &topic)?
        .args(config)
        .run()?
        .ok()?;
    let topic = ["--create", "--topic", "invoices", "--partitions", "1"];
    ours("topics", &dohle, &topic)?.run()?.ok()?;
    produce(&kafka.bootstrap, "orders", 0..500)?;
    produce(&dohle, "invoices", 0..300)?;
    // A group at the source has read a part.
    let reset = [
        "--group",
        "billing",
        "--topic",
        "orders",
        "--reset-offsets",
        "--to-offset",
        "200",
        "--execute",
    ];
    ours("consumer-groups", &kafka.bootstrap, &reset)?
        .run()?
        .ok()?;

    let file = cluster.scratch().join("mm2.properties");
    let port = free_port()?;
    std::fs::write(
        &file,
        format!(
            "clusters=kafka,dohle\nkafka.bootstrap.servers={}\ndohle.bootstrap.servers={dohle}\n\
             kafka->dohle.enabled=true\nkafka->dohle.topics=orders\nkafka->dohle.groups=billing\n\
             dohle->kafka.enabled=true\ndohle->kafka.topics=invoices\n\
             dohle.exactly.once.source.support=enabled\nkafka.exactly.once.source.support=enabled\n\
             dedicated.mode.enable.internal.rest=true\nlisteners=http://127.0.0.1:{port}\n\
             sync.group.offsets.enabled=true\nsync.group.offsets.interval.seconds=1\n\
             emit.checkpoints.interval.seconds=1\nrefresh.topics.interval.seconds=2\n\
             refresh.groups.interval.seconds=2\nsync.topic.configs.interval.seconds=2\n\
             offset.lag.max=10\nreplication.factor=1\ncheckpoints.topic.replication.factor=1\n\
             heartbeats.topic.replication.factor=1\noffset-syncs.topic.replication.factor=1\n\
             offset.storage.replication.factor=1\nstatus.storage.replication.factor=1\n\
             config.storage.replication.factor=1\n",
            kafka.bootstrap
        ),
    )?;
    let mut mirror = java::class("org.apache.kafka.connect.mirror.MirrorMaker")
        .arg(&file)
        .limit(Duration::from_secs(400))
        .start()?;
    let numbers = |count: u32| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    until(SETTLED, "the records of Kafka are at Dohle", || {
        Ok(values(&dohle, "kafka.orders")?.len() >= 500)
    })?;
    until(SETTLED, "the records of Dohle are at Kafka", || {
        Ok(values(&kafka.bootstrap, "dohle.invoices")?.len() >= 300)
    })?;
    // MirrorMaker is killed while it copies more records, and starts again.
    produce(&kafka.bootstrap, "orders", 500..2000)?;
    mirror.kill()?;
    let mirror = java::class("org.apache.kafka.connect.mirror.MirrorMaker")
        .arg(&file)
        .limit(Duration::from_secs(400))
        .start()?;
    until(SETTLED, "all records of Kafka are at Dohle", || {
        Ok(values(&dohle, "kafka.orders")?.len() >= 2000)
    })?;
    until(DEADLINE, "the offset of the group is at Dohle", || {
        let arguments = ["--group", "billing", "--describe"];
        let output = ours("consumer-groups", &dohle, &arguments)?.run()?.ok()?;
        let line = output.lines().find(|line| line.contains("kafka.orders"));
        let offset = line.and_then(|line| line.split_whitespace().nth(3)?.parse::<u32>().ok());
        // A translated offset is never larger than the original.
        Ok(offset.is_some_and(|offset| offset > 0 && offset <= 200))
    })?;
    mirror.interrupt()?;
    mirror.finish()?;
    let copied = values(&dohle, "kafka.orders")?;
    ensure!(copied == numbers(2000), "{} records at Dohle", copied.len());
    let copied = values(&kafka.bootstrap, "dohle.invoices")?;
    ensure!(copied == numbers(300), "{} records at Kafka", copied.len());
    let described = ours("topics", &dohle, &["--describe", "--topic", "kafka.orders"])?
        .run()?
        .ok()?;
    ensure!(described.contains("retention.ms=123456789"), "{described}");
    Ok(())
}
