//! Kafka Connect's distributed worker with exactly-once sources: a file is copied to a topic and
//! from there to another file, while the two workers are killed.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use dohle_tests::clients::java;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::http::{self, Response};
use dohle_tests::length::Length;
use dohle_tests::ports::free_port;
use dohle_tests::program::Running;
use dohle_tests::{Cluster, until};

use crate::faults::allow_lost_connections;

const TOPIC: &str = "lines";
const LINES_PER_KILL: usize = 200;
/// A worker's start, a rebalance and the restart of its tasks included.
const SETTLED: Duration = Duration::from_secs(120);

struct Worker {
    running: Running,
    port: u16,
}

impl Worker {
    fn start(bootstrap: &str, folder: &Path, port: u16) -> Result<Self> {
        let file = folder.join(format!("worker-{port}.properties"));
        std::fs::write(
            &file,
            format!(
                "bootstrap.servers={bootstrap}\ngroup.id=workers\n\
                 listeners=HTTP://127.0.0.1:{port}\n\
                 key.converter=org.apache.kafka.connect.storage.StringConverter\n\
                 value.converter=org.apache.kafka.connect.storage.StringConverter\n\
                 config.storage.topic=connect-configs\nconfig.storage.replication.factor=3\n\
                 offset.storage.topic=connect-offsets\noffset.storage.replication.factor=3\n\
                 offset.storage.partitions=3\nstatus.storage.topic=connect-status\n\
                 status.storage.replication.factor=3\nstatus.storage.partitions=3\n\
                 exactly.once.source.support=enabled\noffset.flush.interval.ms=500\n\
                 session.timeout.ms=6000\nheartbeat.interval.ms=500\nrebalance.timeout.ms=10000\n\
                 scheduled.rebalance.max.delay.ms=1000\nplugin.discovery=service_load\n\
                 connector.client.config.override.policy=All\n"
            ),
        )?;
        let running = java::class("org.apache.kafka.connect.cli.ConnectDistributed")
            .arg(&file)
            .limit(Duration::from_secs(600))
            .start()?;
        Ok(Self { running, port })
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Result<Response> {
        http::request(method, self.port, path, body)
    }

    /// Creates a connector once the worker has joined its group.
    fn create(&self, name: &str, config: &str) -> Result<()> {
        let path = format!("/connectors/{name}/config");
        until(SETTLED, format!("the connector {name} is created"), || {
            let answer = self.call("PUT", &path, config)?;
            ensure!(answer.status < 300 || answer.status == 409, "{answer:?}");
            Ok(answer.status < 300)
        })
    }
}

fn append(file: &Path, lines: std::ops::Range<usize>) -> Result<()> {
    let mut text = String::new();
    for line in lines {
        writeln!(text, "line {line}")?;
    }
    let mut file = OpenOptions::new().create(true).append(true).open(file)?;
    Ok(file.write_all(text.as_bytes())?)
}

fn expected(count: usize) -> Vec<String> {
    (0..count).map(|line| format!("line {line}")).collect()
}

#[test]
fn a_file_goes_through_connect_exactly_once() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("group.initial.rebalance.delay.ms", "500")
        .property("offsets.topic.num.partitions", "3")
        .property("transaction.state.log.num.partitions", "3")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic(TOPIC, 1, 3, &[("min.insync.replicas", "2")])?;
    let bootstrap = cluster.bootstrap();
    let folder = cluster.scratch().to_owned();
    let (from, to) = (folder.join("from.txt"), folder.join("to.txt"));
    append(&from, 0..LINES_PER_KILL)?;

    let ports = [free_port()?, free_port()?];
    let mut workers = Vec::new();
    for port in ports {
        workers.push(Worker::start(&bootstrap, &folder, port)?);
    }
    let class = |name: &str| format!("org.apache.kafka.connect.file.{name}");
    workers[0].create(
        "source",
        &format!(
            r#"{{"connector.class": "{}", "tasks.max": "1", "topic": "{TOPIC}", "file": "{}",
                "exactly.once.support": "required", "transaction.boundary": "poll"}}"#,
            class("FileStreamSourceConnector"),
            from.display()
        ),
    )?;
    workers[0].create(
        "sink",
        &format!(
            r#"{{"connector.class": "{}", "tasks.max": "1", "topics": "{TOPIC}", "file": "{}",
                "consumer.override.isolation.level": "read_committed"}}"#,
            class("FileStreamSinkConnector"),
            to.display()
        ),
    )?;
    let written = |count: usize| -> Result<bool> {
        let text = std::fs::read_to_string(&to).unwrap_or_default();
        let lines: std::collections::BTreeSet<&str> = text.lines().collect();
        Ok(expected(count)
            .iter()
            .all(|line| lines.contains(line.as_str())))
    };
    until(SETTLED, "the sink has the first lines", || {
        written(LINES_PER_KILL)
    })?;
    let mut count = LINES_PER_KILL;
    for kill in 0..Length::wished().choose(2, 6) {
        // The source is reading these lines when one of the workers is killed.
        append(&from, count..count + LINES_PER_KILL)?;
        count += LINES_PER_KILL;
        let which = kill % 2;
        workers[which].running.kill()?;
        append(&from, count..count + LINES_PER_KILL)?;
        count += LINES_PER_KILL;
        workers[which] = Worker::start(&bootstrap, &folder, ports[which])?;
        until(SETTLED, "the sink has all lines", || written(count))?;
    }
    let arguments = [
        "-C",
        "-t",
        TOPIC,
        "-e",
        "-q",
        "-X",
        "isolation.level=read_committed",
    ];
    let output = kcat(&bootstrap, &arguments).run()?.ok()?;
    let lines: Vec<&str> = output.lines().collect();
    ensure!(
        lines == expected(count),
        "the topic has {} lines, {count} were written",
        lines.len()
    );
    Ok(())
}
