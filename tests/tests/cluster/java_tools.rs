//! Kafka's own command-line tools and its Java client, unchanged, against the cluster.

use std::path::PathBuf;

use anyhow::{Context, Result};
use dohle_tests::Cluster;
use dohle_tests::clients::java::tool;
use dohle_tests::wait::{DEADLINE, until};

/// A cluster, and Kafka's tools for it.
struct Tools {
    cluster: Cluster,
    bootstrap: String,
}

impl Tools {
    fn start(cluster: Cluster) -> Self {
        Self {
            bootstrap: cluster.bootstrap(),
            cluster,
        }
    }

    /// Runs a tool that must succeed without a warning.
    fn run(&self, name: &str, args: &[&str]) -> Result<String> {
        let bootstrap = ["--bootstrap-server", self.bootstrap.as_str()];
        tool(name).args(bootstrap).args(args).run()?.clean()
    }

    /// Runs a tool that must fail, and returns its whole output.
    fn fail(&self, name: &str, args: &[&str]) -> Result<String> {
        let bootstrap = ["--bootstrap-server", self.bootstrap.as_str()];
        let output = tool(name).args(bootstrap).args(args).run()?;
        assert_ne!(output.code, 0, "{output}");
        Ok(output.stdout + &output.stderr)
    }

    fn file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.cluster.scratch().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }
}

/// Returns the value of `NAME: VALUE` among columns that are separated by tabs.
fn column<'a>(line: &'a str, name: &str) -> &'a str {
    let prefix = format!("{name}: ");
    line.split('\t')
        .find_map(|column| column.trim_start().strip_prefix(&prefix))
        .unwrap_or("")
}

#[test]
fn topics_are_created_described_altered_listed_and_deleted() -> Result<()> {
    let tools = Tools::start(Cluster::of(3).start()?);
    let topics = |args: &[&str]| tools.run("TopicCommand", args);
    let created = topics(&[
        "--create",
        "--topic",
        "orders",
        "--partitions",
        "2",
        "--replication-factor",
        "3",
        "--config",
        "retention.ms=3600000",
    ])?;
    assert_eq!(created, "Created topic orders.\n");
    let again = tools.fail("TopicCommand", &["--create", "--topic", "orders"])?;
    assert!(again.contains("Topic 'orders' already exists."), "{again}");
    let idle = topics(&["--create", "--if-not-exists", "--topic", "orders"])?;
    assert_eq!(idle, "");

    topics(&["--alter", "--topic", "orders", "--partitions", "4"])?;
    let fewer = tools.fail(
        "TopicCommand",
        &["--alter", "--topic", "orders", "--partitions", "3"],
    )?;
    assert!(fewer.contains("would not be an increase"), "{fewer}");
    until(DEADLINE, "four partitions", || {
        Ok(tools.cluster.describe("orders")?.len() == 4)
    })?;
    let described = topics(&["--describe", "--topic", "orders"])?;
    let mut lines = described.lines();
    let head = lines.next().context("nothing described")?;
    assert_eq!(column(head, "Topic"), "orders", "{described}");
    assert_eq!(column(head, "TopicId").len(), 22, "{described}");
    assert_eq!(column(head, "PartitionCount"), "4", "{described}");
    assert_eq!(column(head, "ReplicationFactor"), "3", "{described}");
    assert!(
        column(head, "Configs").contains("retention.ms=3600000"),
        "{described}"
    );
    let partitions: Vec<&str> = lines.collect();
    assert_eq!(partitions.len(), 4, "{described}");
    for (number, line) in partitions.iter().enumerate() {
        assert_eq!(column(line, "Partition"), number.to_string(), "{described}");
        let replicas = column(line, "Replicas");
        assert_eq!(
            column(line, "Leader"),
            &replicas[..1],
            "preferred: {described}"
        );
        assert_eq!(column(line, "Isr").split(',').count(), 3, "{described}");
    }
    assert_eq!(topics(&["--list"])?, "orders\n");
    assert_eq!(
        topics(&["--describe", "--under-replicated-partitions"])?,
        ""
    );
    assert_eq!(topics(&["--describe", "--unavailable-partitions"])?, "");

    topics(&["--delete", "--topic", "orders"])?;
    until(DEADLINE, "the topic is gone", || {
        Ok(tools.cluster.describe("orders").is_err())
    })?;
    let gone = tools.fail("TopicCommand", &["--describe", "--topic", "orders"])?;
    assert!(gone.contains("does not exist"), "{gone}");
    Ok(())
}

#[test]
fn configs_are_described_and_altered() -> Result<()> {
    let tools = Tools::start(Cluster::of(3).start()?);
    tools.cluster.create_topic("t", 1, 3, &[])?;
    let configs = |args: &[&str]| tools.run("ConfigCommand", args);
    let of_topic = ["--entity-type", "topics", "--entity-name", "t"];
    let altered = configs(
        &[
            &of_topic[..],
            &[
                "--alter",
                "--add-config",
                "retention.ms=60000,cleanup.policy=[compact,delete]",
            ],
        ]
        .concat(),
    )?;
    assert_eq!(altered, "Completed updating config for topic t.\n");
    let described = until_described(&tools, &of_topic, "retention.ms=60000")?;
    assert!(
        described.contains("Dynamic configs for topic t are:"),
        "{described}"
    );
    assert!(
        described.contains("cleanup.policy=compact,delete"),
        "{described}"
    );
    assert!(
        described.contains("DYNAMIC_TOPIC_CONFIG:retention.ms=60000"),
        "{described}"
    );
    configs(
        &[
            &of_topic[..],
            &["--alter", "--delete-config", "retention.ms"],
        ]
        .concat(),
    )?;
    let described = configs(&[&of_topic[..], &["--describe", "--all"]].concat())?;
    assert!(
        described.contains("retention.ms=604800000 sensitive=false"),
        "{described}"
    );
    let wrong = tools.fail(
        "ConfigCommand",
        &[
            &of_topic[..],
            &["--alter", "--add-config", "retention.ms=soon"],
        ]
        .concat(),
    )?;
    assert!(wrong.contains("InvalidConfig"), "{wrong}");

    let of_broker = ["--entity-type", "brokers", "--entity-name", "1"];
    let all = configs(&[&of_broker[..], &["--describe", "--all"]].concat())?;
    for fact in [
        "node.id=1 ",
        "process.roles=broker,controller ",
        "num.partitions=1 ",
    ] {
        assert!(all.contains(fact), "no {fact} in:\n{all}");
    }
    Ok(())
}

fn until_described(tools: &Tools, entity: &[&str], fact: &str) -> Result<String> {
    let mut described = String::new();
    until(DEADLINE, fact, || {
        described = tools.run("ConfigCommand", &[entity, &["--describe"]].concat())?;
        Ok(described.contains(fact))
    })?;
    Ok(described)
}

#[test]
fn records_go_through_the_console_tools_and_offsets_are_told_and_cut() -> Result<()> {
    let tools = Tools::start(Cluster::of(3).start()?);
    tools.cluster.create_topic("t", 1, 3, &[])?;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let lines: String = (0..20).map(|n| format!("{codec}:{n}\n")).collect();
        let properties = [
            "--reader-property",
            "parse.key=true",
            "--reader-property",
            "key.separator=:",
        ];
        tool("ConsoleProducer")
            .args(["--bootstrap-server", &tools.bootstrap, "--topic", "t"])
            .args(["--compression-codec", codec])
            .args(properties)
            .input(lines)
            .run()?
            .ok()?;
    }
    let consumed = tool("ConsoleConsumer")
        .args([
            "--bootstrap-server",
            &tools.bootstrap,
            "--topic",
            "t",
            "--partition",
            "0",
        ])
        .args(["--offset", "earliest", "--max-messages", "100"])
        .args(["--formatter-property", "print.key=true"])
        .run()?
        .ok()?;
    assert_eq!(consumed.lines().count(), 100, "{consumed}");
    assert!(consumed.contains("gzip\t19\n"), "{consumed}");

    let offsets = |time: &str| tools.run("GetOffsetShell", &["--topic", "t", "--time", time]);
    assert_eq!(offsets("latest")?, "t:0:100\n");
    assert_eq!(offsets("earliest")?, "t:0:0\n");
    assert_eq!(offsets("max-timestamp")?.split(':').nth(1), Some("0"));
    let cut = r#"{"partitions":[{"topic":"t","partition":0,"offset":40}],"version":1}"#;
    let cut = tools.file("cut.json", cut)?;
    let path = cut.to_str().context("path")?;
    let answer = tools.run("DeleteRecordsCommand", &["--offset-json-file", path])?;
    assert!(
        answer.contains("partition: t-0\tlow_watermark: 40"),
        "{answer}"
    );
    assert_eq!(offsets("earliest")?, "t:0:40\n");
    Ok(())
}

#[test]
fn the_performance_tool_runs_with_every_acks() -> Result<()> {
    let tools = Tools::start(Cluster::of(3).start()?);
    tools
        .cluster
        .create_topic("t", 3, 3, &[("min.insync.replicas", "2")])?;
    for acks in ["0", "1", "all"] {
        let idempotence = format!("enable.idempotence={}", acks == "all");
        let printed = tool("ProducerPerformance")
            .args(["--bootstrap-server", &tools.bootstrap, "--topic", "t"])
            .args([
                "--num-records",
                "20000",
                "--record-size",
                "1024",
                "--throughput",
                "-1",
            ])
            .args(["--command-property", &format!("acks={acks}")])
            .args(["--command-property", &idempotence])
            .run()?
            .clean()?;
        assert!(
            printed.contains("20000 records sent"),
            "acks={acks}: {printed}"
        );
    }
    Ok(())
}

#[test]
fn partitions_are_moved_and_leaders_elected() -> Result<()> {
    let mut tools = Tools::start(Cluster::of(3).start()?);
    super::faults::allow_lost_connections(&mut tools.cluster);
    tools.cluster.create_topic("t", 1, 1, &[])?;
    let from = tools.cluster.leader("t", 0)?;
    tool("ProducerPerformance")
        .args([
            "--bootstrap-server",
            &tools.bootstrap,
            "--topic",
            "t",
            "--throughput",
            "-1",
        ])
        .args(["--num-records", "5000", "--record-size", "1024"])
        .run()?
        .clean()?;
    let target: Vec<i32> = (1..=3).filter(|id| *id != from).collect();
    let plan = format!(
        r#"{{"version":1,"partitions":[{{"topic":"t","partition":0,"replicas":[{},{}]}}]}}"#,
        target[0], target[1]
    );
    let plan = tools.file("plan.json", &plan)?;
    let plan = plan.to_str().context("path")?;
    let file = ["--reassignment-json-file", plan];
    let started = tools.run(
        "ReassignPartitionsCommand",
        &[&file[..], &["--execute"]].concat(),
    )?;
    assert!(
        started.contains("Successfully started partition reassignment for t-0"),
        "{started}"
    );
    tools
        .cluster
        .wait_for_partition("t", 0, DEADLINE, |partition| partition.replicas == target)?;
    let done = tools.run(
        "ReassignPartitionsCommand",
        &[&file[..], &["--verify"]].concat(),
    )?;
    assert!(
        done.contains("Reassignment of partition t-0 is completed."),
        "{done}"
    );
    let listed = tools.run("ReassignPartitionsCommand", &["--list"])?;
    assert!(
        listed.contains("No partition reassignments found."),
        "{listed}"
    );
    let ends = tools.run("GetOffsetShell", &["--topic", "t", "--time", "latest"])?;
    assert_eq!(ends, "t:0:5000\n");

    // The leader stops, and the other replica leads; once the first is back, it is elected again.
    tools.cluster.broker(target[0]).stop()?;
    tools
        .cluster
        .wait_for_partition("t", 0, DEADLINE, |p| p.leader == Some(target[1]))?;
    tools.cluster.broker(target[0]).start()?;
    tools.cluster.wait_in_sync("t")?;
    let one = [
        "--election-type",
        "preferred",
        "--topic",
        "t",
        "--partition",
        "0",
    ];
    let elected = tools.run("LeaderElectionCommand", &one)?;
    let done = "Successfully completed leader election (PREFERRED) for partitions t-0";
    assert!(elected.contains(done), "{elected}");
    tools
        .cluster
        .wait_for_partition("t", 0, DEADLINE, |p| p.leader == Some(target[0]))?;
    Ok(())
}

#[test]
fn the_cluster_its_quorum_and_its_log_directories_are_described() -> Result<()> {
    let tools = Tools::start(Cluster::of(3).start()?);
    tools.cluster.create_topic("t", 2, 3, &[])?;
    let id = tools.run("MetadataQuorumCommand", &["describe", "--status"])?;
    let controller = tools.cluster.controller()?;
    let status = |name: &str| {
        let line = id.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim_start_matches(':').trim().to_owned())
            .unwrap_or_default()
    };
    assert_eq!(status("LeaderId"), controller.to_string(), "{id}");
    for voter in 1..=3 {
        assert!(
            status("CurrentVoters").contains(&format!("\"id\": {voter}")),
            "{id}"
        );
    }
    let cluster_id = status("ClusterId");
    let told = tool("ClusterTool")
        .args(["cluster-id", "--bootstrap-server", &tools.bootstrap])
        .run()?
        .clean()?;
    assert_eq!(told, format!("Cluster ID: {cluster_id}\n"));
    let replication = tools.run("MetadataQuorumCommand", &["describe", "--replication"])?;
    let leaders = replication.lines().filter(|line| line.contains("Leader"));
    let followers = replication.lines().filter(|line| line.contains("Follower"));
    assert_eq!(
        (leaders.count(), followers.count()),
        (1, 2),
        "{replication}"
    );

    let directories = tools.run("LogDirsCommand", &["--describe", "--topic-list", "t"])?;
    let json = directories
        .lines()
        .find(|line| line.starts_with('{'))
        .context("no JSON")?;
    for partition in ["t-0", "t-1"] {
        let found = json
            .matches(&format!("\"partition\":\"{partition}\""))
            .count();
        assert_eq!(found, 3, "{directories}");
    }
    assert!(!json.contains("\"error\":\""), "{directories}");
    Ok(())
}
