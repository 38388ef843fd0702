//! The tools that produce, consume and dump records: `console-producer`, `console-consumer`, the
//! two performance tests and `dump-log`, compared with Kafka's own: the same command line prints
//! the same, against Dohle and against Apache Kafka.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::java;
use dohle_tests::node::binary;
use dohle_tests::ports::free_ports;
use dohle_tests::program::{Output, Program, Running};
use dohle_tests::replicas::{files, partitions};
use dohle_tests::wait::{DEADLINE, until};

/// Returns a tool of Dohle.
pub(super) fn ours(name: &str, bootstrap: &str, args: &[&str]) -> Result<Program> {
    let program = Program::new(binary()?).arg(name);
    let program = match bootstrap {
        "" => program,
        _ => program.args(["--bootstrap-server", bootstrap]),
    };
    Ok(program.args(args))
}

/// Returns a tool of Kafka.
pub(super) fn theirs(name: &str, bootstrap: &str, args: &[&str]) -> Program {
    java::tool(name)
        .args(["--bootstrap-server", bootstrap])
        .args(args)
}

/// A single node of Apache Kafka, in a folder of its own.
pub(super) struct Kafka {
    pub(super) folder: PathBuf,
    pub(super) bootstrap: String,
    /// The addresses of the listeners besides the one of `bootstrap`, with host names.
    pub(super) others: Vec<String>,
    running: Option<Running>,
}

impl Kafka {
    pub(super) fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, &[])
    }

    /// Starts the node with further properties.
    pub(super) fn start_with(folder: &Path, more: &[(&str, &str)]) -> Result<Self> {
        Self::start_on(folder, &[], more)
    }

    /// Starts the node with further listeners, given their names and security protocols, and with
    /// further properties.
    pub(super) fn start_on(
        folder: &Path,
        listeners: &[(&str, &str)],
        more: &[(&str, &str)],
    ) -> Result<Self> {
        let folder = folder.join("kafka");
        std::fs::create_dir_all(&folder)?;
        let port = free_ports(2)?;
        let (broker, controller) = (port, port + 1);
        let data = folder.join("data");
        let (mut others, mut map) = (Vec::new(), String::new());
        let mut advertised = format!("PLAINTEXT://127.0.0.1:{broker}");
        for (name, protocol) in listeners {
            let address = format!("localhost:{}", free_ports(1)?);
            advertised += &format!(",{name}://{address}");
            map += &format!(",{name}:{protocol}");
            others.push(address);
        }
        let mut properties = format!(
            "process.roles=broker,controller\nnode.id=1\n\
             controller.quorum.voters=1@127.0.0.1:{controller}\n\
             listeners={advertised},CONTROLLER://127.0.0.1:{controller}\n\
             advertised.listeners={advertised}\n\
             controller.listener.names=CONTROLLER\n\
             listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{map}\n\
             log.dirs={}\noffsets.topic.replication.factor=1\noffsets.topic.num.partitions=2\n\
             transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
             transaction.state.log.num.partitions=2\n\
             group.initial.rebalance.delay.ms=0\nauto.create.topics.enable=false\n",
            data.display()
        );
        for (name, value) in more {
            properties += &format!("{name}={value}\n");
        }
        let file = folder.join("server.properties");
        std::fs::write(&file, properties)?;
        let file = file.display().to_string();
        let id = "4L6g3nShT-eMCtK--X86sw";
        let format = java::class("kafka.tools.StorageTool");
        format.args(["format", "-t", id, "-c", &file]).run()?.ok()?;
        let server = java::class("kafka.Kafka").arg(&file);
        let running = server.limit(Duration::from_secs(600)).start()?;
        let bootstrap = format!("127.0.0.1:{broker}");
        until(DEADLINE, "Kafka answers", || {
            Ok(ours("topics", &bootstrap, &["--list"])?.run()?.code == 0)
        })?;
        Ok(Self {
            folder,
            bootstrap,
            others,
            running: Some(running),
        })
    }

    /// Stops the node with SIGINT, like Ctrl-C.
    pub(super) fn stop(&mut self) -> Result<()> {
        let running = self.running.take().context("Kafka is not running")?;
        running.interrupt()?;
        running.finish()?;
        Ok(())
    }

    fn create(&self, topic: &str, partitions: &str) -> Result<()> {
        let topic = ["--create", "--topic", topic, "--partitions", partitions];
        ours("topics", &self.bootstrap, &topic)?.run()?.ok()?;
        Ok(())
    }
}

/// Lines with headers, keys and nulls.
const LINES: &str = "h1:v1,h2:v2\tk1\tvalue1\nh1:NUL\tNUL\tvalue2\nNUL\tk3\tNUL\nh:\t\t\n";
const READER: [&str; 6] = [
    "--reader-property",
    "parse.key=true",
    "--reader-property",
    "parse.headers=true",
    "--reader-property",
    "null.marker=NUL",
];
/// All columns that contain no time.
const COLUMNS: [&str; 8] = [
    "--formatter-property",
    "print.key=true",
    "--formatter-property",
    "print.headers=true",
    "--formatter-property",
    "print.offset=true",
    "--formatter-property",
    "print.partition=true",
];

fn produce(program: Program, topic: &str, input: &str, args: &[&str]) -> Result<()> {
    let topic = ["--topic", topic];
    program.args(topic).args(args).input(input).run()?.clean()?;
    Ok(())
}

/// Reads the first partition of a topic with a console consumer.
fn read(program: Program, topic: &str, count: &str, args: &[&str]) -> Result<String> {
    let from = ["--topic", topic, "--partition", "0", "--from-beginning"];
    let program = program
        .args(from)
        .args(["--max-messages", count])
        .args(args);
    let output = program.run()?;
    ensure!(
        output.stderr == format!("Processed a total of {count} messages\n"),
        "{output}"
    );
    output.ok()
}

/// Both consumers print the same for the records of both producers.
fn both_ways(bootstrap: &str) -> Result<()> {
    let producers = [
        ("one", ours("console-producer", bootstrap, &[])?),
        ("two", theirs("ConsoleProducer", bootstrap, &[])),
    ];
    for (topic, producer) in producers {
        produce(producer, topic, LINES, &READER)?;
        let shown = read(
            ours("console-consumer", bootstrap, &[])?,
            topic,
            "4",
            &COLUMNS,
        )?;
        let kafka = read(
            theirs("ConsoleConsumer", bootstrap, &[]),
            topic,
            "4",
            &COLUMNS,
        )?;
        assert_eq!(shown, kafka);
        assert_eq!(
            shown,
            "Partition:0\tOffset:0\th1:v1,h2:v2\tk1\tvalue1\n\
             Partition:0\tOffset:1\th1:null\tnull\tvalue2\n\
             Partition:0\tOffset:2\tNO_HEADERS\tk3\tnull\n\
             Partition:0\tOffset:3\th:\t\t\n"
        );
    }
    Ok(())
}

#[test]
fn our_console_tools_and_kafkas_read_what_the_others_write() -> Result<()> {
    let cluster = Cluster::of(1).start()?;
    cluster.create_topic("one", 1, 1, &[])?;
    cluster.create_topic("two", 1, 1, &[])?;
    both_ways(&cluster.bootstrap())
}

#[test]
fn a_group_goes_on_where_it_left_off_in_both_protocols() -> Result<()> {
    let cluster = Cluster::of(1)
        .property("group.initial.rebalance.delay.ms", "0")
        .start()?;
    cluster.create_topic("t", 1, 1, &[])?;
    let bootstrap = cluster.bootstrap();
    let lines = "1\n2\n3\n4\n5\n";
    produce(ours("console-producer", &bootstrap, &[])?, "t", lines, &[])?;
    for protocol in ["classic", "consumer"] {
        let property = format!("group.protocol={protocol}");
        let consume = |count: &str| -> Result<String> {
            let consumer = ours("console-consumer", &bootstrap, &["--topic", "t"])?;
            let output = consumer
                .args([
                    "--group",
                    protocol,
                    "--from-beginning",
                    "--timeout-ms",
                    "30000",
                ])
                .args(["--command-property", &property, "--max-messages", count])
                .run()?;
            ensure!(
                output.stderr == format!("Processed a total of {count} messages\n"),
                "{output}"
            );
            output.ok()
        };
        assert_eq!(consume("2")?, "1\n2\n", "{protocol}");
        assert_eq!(consume("3")?, "3\n4\n5\n", "{protocol}");
    }
    Ok(())
}

#[test]
fn a_consumer_that_is_interrupted_commits_and_leaves() -> Result<()> {
    let cluster = Cluster::of(1)
        .property("group.initial.rebalance.delay.ms", "0")
        .start()?;
    cluster.create_topic("t", 1, 1, &[])?;
    let bootstrap = cluster.bootstrap();
    produce(
        ours("console-producer", &bootstrap, &[])?,
        "t",
        "1\n2\n",
        &[],
    )?;
    let consumer = || {
        let of_group = ["--topic", "t", "--group", "g", "--from-beginning"];
        ours("console-consumer", &bootstrap, &of_group)
    };
    let mut running = consumer()?.start()?;
    running.wait_for_line(|line| line == "2")?;
    running.interrupt()?;
    let output = running.finish()?;
    assert_eq!(output.stderr, "Processed a total of 2 messages\n");
    output.ok()?;
    // The member's partitions are free at once, long before its session would have expired.
    produce(ours("console-producer", &bootstrap, &[])?, "t", "3\n", &[])?;
    let next = consumer()?
        .args(["--max-messages", "1", "--timeout-ms", "20000"])
        .run()?;
    assert_eq!(next.ok()?, "3\n");
    Ok(())
}

#[test]
fn what_cannot_be_delivered_or_found_is_told_and_fails() -> Result<()> {
    let cluster = Cluster::of(1)
        .property("auto.create.topics.enable", "false")
        .start()?;
    cluster.create_topic("orders", 1, 1, &[("max.message.bytes", "200")])?;
    let bootstrap = cluster.bootstrap();
    let produce = |topic: &str, input: String| -> Result<Output> {
        let producer = ours("console-producer", &bootstrap, &["--topic", topic])?;
        producer.input(input).run()
    };
    let large = produce("orders", format!("{}\nfits\n", "x".repeat(5000)))?;
    assert_eq!(large.code, 1, "{large}");
    assert!(
        large.stderr.contains("1 of 2 records were not delivered"),
        "{large}"
    );
    let typo = produce("odrers", "x\n".to_owned())?;
    assert_eq!(typo.code, 1, "{typo}");
    assert!(typo.stderr.contains("Did you mean orders?"), "{typo}");
    let nobody = ours("console-consumer", "127.0.0.1:1", &["--topic", "orders"])?;
    let nobody = nobody.run()?;
    assert_eq!(nobody.code, 1, "{nobody}");
    assert!(
        nobody.stderr.contains("No broker answers at 127.0.0.1:1"),
        "{nobody}"
    );
    Ok(())
}

#[test]
fn the_performance_tests_move_all_records_and_print_kafkas_lines() -> Result<()> {
    let cluster = Cluster::of(1)
        .property("group.initial.rebalance.delay.ms", "0")
        .start()?;
    cluster.create_topic("t", 3, 1, &[])?;
    let bootstrap = cluster.bootstrap();
    let mut total = 0;
    for acks in ["0", "1", "all"] {
        let load = [
            "--topic",
            "t",
            "--num-records",
            "5000",
            "--record-size",
            "100",
        ];
        let acks = format!("acks={acks}");
        let producer = ours("producer-perf-test", &bootstrap, &load)?.args(["--throughput", "-1"]);
        let small = ["--command-property", &acks, "batch.size=500", "linger.ms=0"];
        let sent = producer.args(small).run()?.clean()?;
        let line = sent.lines().last().unwrap_or_default();
        assert!(line.starts_with("5000 records sent, "), "{sent}");
        assert!(line.ends_with(" ms 99.9th."), "{sent}");
        total += 5000;
    }
    let total = total.to_string();
    let all = [
        "--topic",
        "t",
        "--num-records",
        &total,
        "--timeout",
        "30000",
    ];
    let read = ours("consumer-perf-test", &bootstrap, &all)?
        .run()?
        .clean()?;
    let lines: Vec<&str> = read.lines().collect();
    assert!(
        lines[0].starts_with("start.time, end.time, data.consumed.in.MB, "),
        "{read}"
    );
    let columns: Vec<&str> = lines[1].split(", ").collect();
    assert_eq!((columns.len(), columns[4]), (10, total.as_str()), "{read}");
    Ok(())
}

/// Runs both tools on the same files, and compares their output.
pub(super) fn dump(files: &[PathBuf], options: &[&str]) -> Result<()> {
    let names: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let arguments = ["--files", &names.join(",")];
    let kafka = java::tool("DumpLogSegments")
        .args(arguments)
        .args(options)
        .run()?
        .ok()?;
    let shown = ours("dump-log", "", &arguments)?
        .args(options)
        .run()?
        .ok()?;
    ensure!(
        shown == kafka,
        "{options:?}: ours\n{shown}\nKafka's\n{kafka}"
    );
    Ok(())
}

/// Returns all files of a topic that the tools read.
pub(super) fn of_topic(data: &Path, topic: &str, extensions: &[&str]) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    for partition in partitions(data, topic)? {
        for extension in extensions {
            all.extend(files(&partition, extension)?);
        }
    }
    ensure!(
        !all.is_empty(),
        "no {extensions:?} of {topic} in {}",
        data.display()
    );
    Ok(all)
}

/// Writes a topic of several segments, and the offsets of a group.
fn fill(bootstrap: &str) -> Result<()> {
    let lines: Vec<String> = (0..3000)
        .map(|n| format!("key-{n}\tvalue of {n}\n"))
        .collect();
    for codec in ["none", "gzip", "zstd"] {
        let producer = ours(
            "console-producer",
            bootstrap,
            &["--compression-codec", codec],
        )?;
        produce(
            producer,
            "t",
            &lines.concat(),
            &["--reader-property", "parse.key=true"],
        )?;
    }
    let consumer = [
        "--topic",
        "t",
        "--group",
        "g",
        "--from-beginning",
        "--max-messages",
        "9000",
    ];
    let read = ours("console-consumer", bootstrap, &consumer)?;
    let read = read.args(["--timeout-ms", "30000"]).run()?.ok()?;
    ensure!(
        read.lines().count() == 9000,
        "{} lines",
        read.lines().count()
    );
    Ok(())
}

fn dump_all(data: &Path) -> Result<()> {
    let logs = of_topic(data, "t", &["log"])?;
    dump(&logs, &[])?;
    dump(&logs, &["--print-data-log"])?;
    dump(
        &logs[..1],
        &[
            "--print-data-log",
            "--skip-record-metadata",
            "--max-bytes",
            "20000",
        ],
    )?;
    dump(
        &of_topic(data, "t", &["index", "timeindex", "snapshot"])?,
        &[],
    )?;
    let offsets = of_topic(data, "__consumer_offsets", &["log"])?;
    dump(&offsets, &["--offsets-decoder"])
}

#[test]
fn our_dump_of_our_files_is_kafkas() -> Result<()> {
    let mut cluster = Cluster::of(1)
        .property("group.initial.rebalance.delay.ms", "0")
        .property("offsets.topic.num.partitions", "2")
        .start()?;
    cluster.create_topic("t", 2, 1, &[])?;
    fill(&cluster.bootstrap())?;
    cluster.stop()?;
    dump_all(&cluster.nodes()[0].data.clone())
}

#[test]
fn our_tools_do_with_apache_kafka_what_kafkas_do() -> Result<()> {
    let cluster = Cluster::of(1).prepare()?;
    let mut kafka = Kafka::start(cluster.scratch())?;
    for (topic, count) in [("one", "1"), ("two", "1"), ("t", "2")] {
        kafka.create(topic, count)?;
    }
    both_ways(&kafka.bootstrap)?;
    fill(&kafka.bootstrap)?;
    let formatter = "org.apache.kafka.tools.consumer.OffsetsMessageFormatter";
    let offsets = "__consumer_offsets";
    let show = |program: Program, partition: &str, count: &str| -> Result<String> {
        let program = program
            .args(["--topic", offsets, "--partition", partition])
            .args(["--from-beginning", "--max-messages", count])
            .args(["--formatter", formatter, "--timeout-ms", "60000"]);
        program.run()?.ok()
    };
    let mut lines = 0;
    for partition in ["0", "1"] {
        let asked = ["--topic", offsets, "--partitions", partition];
        let ends = ours("get-offsets", &kafka.bootstrap, &asked)?.run()?.ok()?;
        let (_, count) = ends.trim().rsplit_once(':').context("an end")?;
        if count == "0" {
            continue;
        }
        let shown = show(
            ours("console-consumer", &kafka.bootstrap, &[])?,
            partition,
            count,
        )?;
        let other = show(
            theirs("ConsoleConsumer", &kafka.bootstrap, &[]),
            partition,
            count,
        )?;
        assert_eq!(shown, other);
        lines += shown.lines().count();
    }
    ensure!(lines > 0, "no offsets of groups are shown");
    kafka.stop()?;
    dump_all(&kafka.folder.join("data"))
}
