//! The administrative tools, compared with Kafka's own: for the same state of the same cluster both
//! print the same and end with the same code, against Apache Kafka and against Dohle.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::java;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::node::binary;
use dohle_tests::program::{Output, Program, Running};
use dohle_tests::wait::{DEADLINE, until};

use super::console_tools::{Kafka, ours, theirs};

/// The names of a tool: Dohle's, and Kafka's.
const TOPICS: (&str, &str) = ("topics", "TopicCommand");
const CONFIGS: (&str, &str) = ("configs", "ConfigCommand");
const CONSUMER_GROUPS: (&str, &str) = ("consumer-groups", "consumer.group.ConsumerGroupCommand");
const GROUPS: (&str, &str) = ("groups", "GroupsCommand");
const OFFSETS: (&str, &str) = ("get-offsets", "GetOffsetShell");
const DELETE_RECORDS: (&str, &str) = ("delete-records", "DeleteRecordsCommand");
const REASSIGN: (&str, &str) = ("reassign-partitions", "ReassignPartitionsCommand");
const ELECTION: (&str, &str) = ("leader-election", "LeaderElectionCommand");
const LOG_DIRS: (&str, &str) = ("log-dirs", "LogDirsCommand");
const QUORUM: (&str, &str) = ("metadata-quorum", "MetadataQuorumCommand");
const CLUSTER: (&str, &str) = ("cluster", "ClusterTool");
const VERSIONS: (&str, &str) = ("broker-api-versions", "BrokerApiVersionsCommand");
const FEATURES: (&str, &str) = ("features", "FeatureCommand");

/// A cluster on which both kinds of tools are run.
struct Both<'a> {
    bootstrap: &'a str,
    /// A folder for files that the tools read.
    folder: &'a Path,
}

/// Kafka iterates over hash maps, so lines, and lists in a line, may have any order.
pub(super) fn normal(text: &str) -> Vec<String> {
    let sort = |line: &str| {
        let mut words: Vec<&str> = line.split([',', ' ', '[', ']', '{', '}']).collect();
        words.sort_unstable();
        words.join(" ")
    };
    let mut lines: Vec<String> = text.lines().map(sort).collect();
    lines.sort();
    lines
}

/// Replaces numbers that change between two runs.
fn without_numbers(text: &str) -> String {
    let mut shown = String::new();
    for letter in text.replace(" -1", " 1").chars() {
        match letter.is_ascii_digit() {
            true if shown.ends_with('#') => {}
            true => shown.push('#'),
            false => shown.push(letter),
        }
    }
    // The width of columns depends on their numbers.
    shown.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl Both<'_> {
    fn ours(&self, tool: (&str, &str), args: &[&str]) -> Result<Output> {
        ours(tool.0, self.bootstrap, args)?.run()
    }

    fn theirs(&self, tool: (&str, &str), args: &[&str]) -> Result<Output> {
        // The subcommand of this tool comes first.
        if tool == CLUSTER {
            let bootstrap = ["--bootstrap-server", self.bootstrap];
            return java::tool(tool.1).args(args).args(bootstrap).run();
        }
        theirs(tool.1, self.bootstrap, args).run()
    }

    /// Checks that both tools print the same and end with the same code.
    #[track_caller]
    fn same(&self, tool: (&str, &str), args: &[&str]) -> Result<String> {
        let (ours, theirs) = (self.ours(tool, args)?, self.theirs(tool, args)?);
        assert_eq!(
            (normal(&ours.stdout), ours.code),
            (normal(&theirs.stdout), theirs.code),
            "{tool:?} {args:?}\n{ours}\n{theirs}"
        );
        Ok(ours.stdout)
    }

    /// Checks that both tools print the same except for numbers.
    #[track_caller]
    fn alike(&self, tool: (&str, &str), args: &[&str]) -> Result<String> {
        let (ours, theirs) = (self.ours(tool, args)?, self.theirs(tool, args)?);
        assert_eq!(
            (without_numbers(&ours.stdout), ours.code),
            (without_numbers(&theirs.stdout), theirs.code),
            "{tool:?} {args:?}\n{ours}\n{theirs}"
        );
        Ok(ours.stdout)
    }

    /// Checks that both tools report a failure with the same text. Kafka's tool of consumer groups
    /// ends with 0 nevertheless.
    #[track_caller]
    fn same_failure(&self, tool: (&str, &str), args: &[&str]) -> Result<Output> {
        let (ours, theirs) = (self.ours(tool, args)?, self.theirs(tool, args)?);
        assert_eq!(ours.code, 1, "{ours}");
        assert_eq!(
            normal(&ours.stdout),
            normal(&theirs.stdout),
            "{tool:?} {args:?}\n{ours}\n{theirs}"
        );
        ensure!(!ours.stderr.contains("panicked"), "{ours}");
        Ok(ours)
    }

    /// Changes the state, with Dohle's tool.
    fn step(&self, tool: (&str, &str), args: &[&str]) -> Result<String> {
        self.ours(tool, args)?.ok()
    }

    fn file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.folder.join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    /// Creates two topics with records, a group without members, and a group with a member.
    fn prepare(&self) -> Result<Running> {
        let orders = ["--create", "--topic", "orders", "--partitions", "3"];
        self.step(TOPICS, &orders)?;
        let compacted = ["--config", "cleanup.policy=compact,delete"];
        let plain = [
            "--create",
            "--topic",
            "plain.x",
            "--config",
            "retention.ms=3600000",
        ];
        let created = self.step(TOPICS, &[&plain[..], &compacted].concat())?;
        ensure!(created.ends_with("Created topic plain.x.\n"), "{created}");
        for (topic, partition, count) in
            [("orders", "0", 20), ("orders", "2", 7), ("plain.x", "0", 5)]
        {
            let lines: String = (0..count).map(|n| format!("k{n}:v{n}\n")).collect();
            let args = ["-P", "-t", topic, "-p", partition, "-K", ":"];
            kcat(self.bootstrap, &args).input(lines).run()?.ok()?;
        }
        let reset = [
            "--reset-offsets",
            "--group",
            "away",
            "--all-topics",
            "--to-latest",
        ];
        let reset = [
            &reset[..3],
            &["--topic", "orders:0,1", "--topic", "plain.x"],
            &reset[4..],
        ];
        self.step(
            CONSUMER_GROUPS,
            &[&reset.concat()[..], &["--execute"]].concat(),
        )?;
        let back = ["--reset-offsets", "--group", "away", "--topic", "orders:0"];
        let back = [&back[..], &["--shift-by", "-4", "--execute"]].concat();
        self.step(CONSUMER_GROUPS, &back)?;
        let member = {
            let args = ["-G", "here", "-X", "auto.offset.reset=earliest", "orders"];
            kcat(self.bootstrap, &args).start()?
        };
        until(DEADLINE, "the group is stable and has committed", || {
            let args = ["--describe", "--group", "here"];
            let told = self.ours(CONSUMER_GROUPS, &args)?;
            let columns = told
                .stdout
                .lines()
                .map(|line| line.split_whitespace().nth(5));
            Ok(columns.filter(|lag| *lag == Some("0")).count() == 2)
        })?;
        Ok(member)
    }
}

fn look_at_topics_and_configs(both: &Both<'_>) -> Result<()> {
    both.same(TOPICS, &["--list"])?;
    both.same(TOPICS, &["--describe"])?;
    both.same(
        TOPICS,
        &["--describe", "--topic", "ord.*", "--exclude-internal"],
    )?;
    both.same(TOPICS, &["--describe", "--topics-with-overrides"])?;
    both.same(TOPICS, &["--describe", "--at-min-isr-partitions"])?;
    both.same(TOPICS, &["--describe", "--under-replicated-partitions"])?;
    let gone = both.same_failure(TOPICS, &["--describe", "--topic", "odrers"])?;
    ensure!(gone.stderr == "Did you mean orders?\n", "{gone}");
    both.same_failure(TOPICS, &["--create", "--topic", "orders"])?;
    both.same_failure(
        TOPICS,
        &["--alter", "--topic", "orders", "--partitions", "2"],
    )?;
    let factor = ["--create", "--topic", "wide", "--replication-factor", "9"];
    let wide = both.ours(TOPICS, &factor)?;
    ensure!(
        wide.code == 1 && wide.stderr.contains("broker(s) in service"),
        "{wide}"
    );

    both.same(CONFIGS, &["--describe", "--topic", "plain.x"])?;
    both.same(CONFIGS, &["--describe", "--topic", "plain.x", "--all"])?;
    both.same(CONFIGS, &["--describe", "--topic", "nope"])?;
    both.same(CONFIGS, &["--describe", "--broker", "1", "--all"])?;
    both.same(CONFIGS, &["--describe", "--entity-type", "brokers"])?;
    let alter = ["--alter", "--topic", "plain.x", "--add-config"];
    let value = ["cleanup.policy=[delete,compact],max.message.bytes=2000000"];
    both.same(CONFIGS, &[&alter[..], &value].concat())?;
    let wrong = both.ours(CONFIGS, &[&alter[..], &["retention.ms=soon"]].concat())?;
    ensure!(
        wrong.code == 1 && wrong.stderr.contains("retention.ms"),
        "{wrong}"
    );
    both.same(
        CONFIGS,
        &[
            "--describe",
            "--entity-type",
            "topics",
            "--entity-name",
            "plain.x",
        ],
    )?;
    both.same(
        CONFIGS,
        &[
            "--alter",
            "--topic",
            "plain.x",
            "--delete-config",
            "max.message.bytes",
        ],
    )?;
    Ok(())
}

fn look_at_groups(both: &Both<'_>) -> Result<()> {
    both.same(GROUPS, &["--list"])?;
    for options in [
        &["--list"][..],
        &["--list", "--state"],
        &["--list", "--type", "--state", "empty"],
    ] {
        both.same(CONSUMER_GROUPS, options)?;
    }
    let describe = ["--describe", "--all-groups"];
    for options in [
        &[][..],
        &["--verbose", "--offsets"],
        &["--members"],
        &["--members", "--verbose"],
        &["--state"],
        &["--state", "--verbose"],
    ] {
        both.same(CONSUMER_GROUPS, &[&describe[..], options].concat())?;
    }
    let gone = both.same_failure(CONSUMER_GROUPS, &["--describe", "--group", "awaz"])?;
    ensure!(gone.stderr == "Did you mean away?\n", "{gone}");
    let reset = ["--reset-offsets", "--group", "away", "--dry-run"];
    for scenario in [
        &["--to-earliest"][..],
        &["--to-latest"],
        &["--to-current"],
        &["--to-offset", "3"],
        &["--shift-by", "-2"],
        &["--to-datetime", "2020-01-01T00:00:00.000"],
        &["--by-duration", "P1D"],
    ] {
        let scope = ["--topic", "orders:0", "--topic", "plain.x"];
        both.same(CONSUMER_GROUPS, &[&reset[..], &scope, scenario].concat())?;
    }
    let export = ["--all-topics", "--to-earliest", "--export"];
    let plan = both.same(CONSUMER_GROUPS, &[&reset[..], &export].concat())?;
    let plan = both.file("plan.csv", plan.trim_end())?;
    let plan = plan.to_str().context("path")?;
    both.same(
        CONSUMER_GROUPS,
        &[&reset[..], &["--from-file", plan]].concat(),
    )?;
    let busy = [
        "--reset-offsets",
        "--group",
        "here",
        "--all-topics",
        "--to-earliest",
        "--execute",
    ];
    both.same_failure(CONSUMER_GROUPS, &busy)?;
    both.same_failure(CONSUMER_GROUPS, &["--delete", "--group", "here"])?;
    let offsets = ["--delete-offsets", "--group", "away", "--topic", "plain.x"];
    both.same(CONSUMER_GROUPS, &offsets)?;
    let deleted = both.step(CONSUMER_GROUPS, &["--delete", "--group", "away"])?;
    let told = "Deletion of requested consumer groups ('away') was successful.\n";
    ensure!(deleted == told, "{deleted}");
    Ok(())
}

fn look_at_the_cluster(both: &Both<'_>) -> Result<()> {
    both.same(CLUSTER, &["cluster-id"])?;
    both.same(CLUSTER, &["list-endpoints"])?;
    both.alike(QUORUM, &["describe", "--status"])?;
    both.alike(QUORUM, &["describe", "--replication"])?;
    both.same(VERSIONS, &[])?;
    let described = ["describe"];
    let (ours, theirs) = (
        both.ours(FEATURES, &described)?.ok()?,
        both.theirs(FEATURES, &described)?.ok()?,
    );
    // Kafka 4.3 has no name for the newest level of metadata.version.
    let ours = ours.replace("4.4-IV2", "UNKNOWN 33");
    ensure!(
        without_numbers(&ours) == without_numbers(&theirs),
        "{ours}\n{theirs}"
    );
    // Each of these commands may run twice.
    for args in [
        &["downgrade", "--feature", "transaction.version=1"][..],
        &["upgrade", "--feature", "transaction.version=2"],
        &["upgrade", "--feature", "transaction.version=3"],
        &["downgrade", "--release-version", "4.0"],
    ] {
        both.same(FEATURES, args)?;
    }
    both.same(LOG_DIRS, &["--describe", "--topic-list", "orders,plain.x"])?;
    both.same(
        ELECTION,
        &["--election-type", "preferred", "--all-topic-partitions"],
    )?;
    let one = [
        "--election-type",
        "preferred",
        "--topic",
        "orders",
        "--partition",
        "1",
    ];
    both.same(ELECTION, &one)?;
    Ok(())
}

fn cut_and_move(both: &Both<'_>) -> Result<()> {
    both.same(OFFSETS, &["--exclude-internal-topics"])?;
    both.same(
        OFFSETS,
        &[
            "--topic-partitions",
            "ord.*:0-2,plain.x",
            "--time",
            "earliest",
        ],
    )?;
    both.same_failure(OFFSETS, &["--topic", "nope"])?;
    let cut = r#"{"partitions":[{"topic":"orders","partition":0,"offset":4}],"version":1}"#;
    let cut = both.file("cut.json", cut)?;
    let cut = cut.to_str().context("path")?;
    both.same(DELETE_RECORDS, &["--offset-json-file", cut])?;
    let from = both.same(OFFSETS, &["--topic", "orders", "--time", "-2"])?;
    ensure!(from == "orders:0:4\norders:1:0\norders:2:0\n", "{from}");

    both.same(REASSIGN, &["--list"])?;
    // The partitions are there already, so the second tool finds what the first one found.
    let described = both.step(TOPICS, &["--describe", "--topic", "orders"])?;
    let line = described
        .lines()
        .find(|line| line.contains("Partition: 1\t"));
    let replicas = line.and_then(|line| line.split("Replicas: ").nth(1)?.split('\t').next());
    let replicas = replicas.context("no replicas")?;
    let entry = format!(r#"{{"topic":"orders","partition":1,"replicas":[{replicas}]}}"#);
    let plan = format!(r#"{{"version":1,"partitions":[{entry}]}}"#);
    let plan = both.file("plan.json", &plan)?;
    let plan = ["--reassignment-json-file", plan.to_str().context("path")?];
    for action in ["--execute", "--verify", "--cancel"] {
        let args = [&[action][..], &plan].concat();
        both.same(REASSIGN, &args)?;
        until(DEADLINE, "nothing moves", || {
            Ok(both.step(REASSIGN, &["--list"])? == "No partition reassignments found.\n")
        })?;
    }
    Ok(())
}

/// Checks that output in JSON can be parsed and has the same content as the text.
fn look_at_json(both: &Both<'_>) -> Result<()> {
    for (tool, args, fields) in [
        (TOPICS, &["--list"][..], &[][..]),
        (TOPICS, &["--describe"], &["topicId", "partitions"]),
        (
            CONFIGS,
            &["--describe", "--topic", "plain.x"],
            &["entityName", "configs"],
        ),
        (
            OFFSETS,
            &["--time", "latest"],
            &["topic", "partition", "offset"],
        ),
        (GROUPS, &["--list"], &["group", "type", "protocol"]),
        (CONSUMER_GROUPS, &["--list"], &["group", "state"]),
        (
            CONSUMER_GROUPS,
            &["--describe", "--all-groups"],
            &["currentOffset", "lag"],
        ),
        (
            CONSUMER_GROUPS,
            &["--describe", "--all-groups", "--members"],
            &["consumerId"],
        ),
        (
            CONSUMER_GROUPS,
            &["--describe", "--all-groups", "--state"],
            &["coordinator"],
        ),
        (CLUSTER, &["list-endpoints"], &["host", "port"]),
        (VERSIONS, &[], &["apis"]),
        (
            FEATURES,
            &["describe"],
            &["feature", "finalizedVersionLevel"],
        ),
    ] {
        let text = both.step(tool, &[args, &["--output", "json"]].concat())?;
        let json: serde_json::Value =
            serde_json::from_str(&text).with_context(|| format!("{tool:?}: {text}"))?;
        let rows = json
            .as_array()
            .with_context(|| format!("{tool:?}: {text}"))?;
        ensure!(!rows.is_empty(), "{tool:?} {args:?} told nothing");
        for field in fields {
            ensure!(
                rows[0].get(field).is_some(),
                "no {field} in {tool:?}: {text}"
            );
        }
    }
    for args in [["describe", "--status"], ["describe", "--replication"]] {
        let text = both.step(QUORUM, &[&args[..], &["--output", "json"]].concat())?;
        let json: serde_json::Value = serde_json::from_str(&text)?;
        ensure!(
            json["voters"].as_array().is_some_and(|all| !all.is_empty()),
            "{text}"
        );
    }
    Ok(())
}

/// Each command runs as both tools, so the stories take long; Java needs most of the time.
fn tell(bootstrap: &str, folder: &Path) -> Result<()> {
    let both = Both { bootstrap, folder };
    let member = both.prepare()?;
    look_at_topics_and_configs(&both)?;
    look_at_the_cluster(&both)?;
    cut_and_move(&both)?;
    look_at_json(&both)?;
    look_at_groups(&both)?;
    drop(member);
    Ok(())
}

#[test]
fn of_apache_kafka_both_kinds_of_tools_tell_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let kafka = Kafka::start(folder.path())?;
    tell(&kafka.bootstrap, folder.path())
}

#[test]
fn of_dohle_both_kinds_of_tools_tell_the_same() -> Result<()> {
    // The nodes are numbered from 0, as in Kubernetes, and the first address is not node 0's.
    let mut cluster = Cluster::of(3)
        .first_id(0)
        .property("group.initial.rebalance.delay.ms", "0")
        .start()?;
    super::faults::allow_lost_connections(&mut cluster);
    let addresses = cluster.nodes().iter().rev().map(|node| node.address);
    let addresses: Vec<String> = addresses.map(|address| address.to_string()).collect();
    tell(&addresses.join(","), cluster.scratch())
}

#[test]
fn every_tool_has_a_link_and_tells_its_version_and_its_options() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let bin = folder.path().join("bin");
    let install = || {
        Program::new(binary()?)
            .arg("install-links")
            .arg(&bin)
            .run()?
            .clean()
    };
    let first = install()?;
    ensure!(first.contains(" links made in "), "{first}");
    ensure!(install()?.starts_with("0 links made in "), "a second time");
    let names = std::fs::read_dir(&bin)?;
    let names: Result<Vec<PathBuf>> = names.map(|entry| Ok(entry?.path())).collect();
    let mut seen = 0;
    for path in names? {
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .context("a name")?;
        if name.contains("server-st") {
            continue;
        }
        seen += 1;
        let version = Program::new(&path).arg("--version").run()?.clean()?;
        ensure!(version.starts_with("4.3.1"), "{name}: {version}");
        let help = Program::new(&path).arg("--help").run()?.clean()?;
        ensure!(help.contains("Options:"), "{name}: {help}");
        let unknown = Program::new(&path).arg("--verison").run()?;
        ensure!(
            unknown.code == 1 && unknown.stderr.contains("--version"),
            "{name}: {unknown}"
        );
    }
    ensure!(seen >= 38, "{seen} links of tools");
    Ok(())
}

#[test]
fn addresses_that_do_not_work_are_told_with_what_to_do() -> Result<()> {
    let port = dohle_tests::ports::free_port()?;
    let nobody = ours("topics", &format!("127.0.0.1:{port}"), &["--list"])?.run()?;
    ensure!(nobody.code == 1, "{nobody}");
    let told = format!(
        "No broker answers at 127.0.0.1:{port} (Connection refused). Is a broker listening"
    );
    ensure!(nobody.stdout.contains(&told), "{nobody}");

    let advertised = "PLAINTEXT://no-such-host.invalid:9092";
    let mut cluster = Cluster::of(1).property("advertised.listeners", advertised);
    cluster = cluster.allow("no-such-host.invalid");
    let cluster = cluster.start()?;
    let args = ["--describe", "--topic-list", "t"];
    let wrong = ours("log-dirs", &cluster.bootstrap(), &args)?.run()?;
    ensure!(wrong.code == 1, "{wrong}");
    for fact in [
        "no-such-host.invalid:9092",
        &cluster.bootstrap(),
        "advertised.listeners of broker 1",
    ] {
        ensure!(wrong.stderr.contains(fact), "no {fact} in {wrong}");
    }
    Ok(())
}
