//! The tools with a cluster whose nodes are numbered from 0, whatever the bootstrap address: the
//! place of an address in the list is no broker's id. And with brokers that cannot be reached.

use std::collections::BTreeSet;

use anyhow::{Context, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::secure::Credentials;
use dohle_tests::cluster::{Builder, text};
use dohle_tests::program::Output;
use dohle_tests::proxy::{LoadBalancer, Proxies};
use dohle_tests::wait::{DEADLINE, eventually, until};
use kacrab_protocol::generated as kafka;

use super::console_tools::ours;
use super::import_kafka::{add_scram_listener, tool_as};
use super::perf;
use super::security::delegation_tokens::{only_token, token};

const TOPIC: &str = "orders";
const GROUP: &str = "workers";
/// Records of each partition.
const RECORDS: usize = 4;

/// Three nodes, and a topic with a partition on each of them.
fn cluster() -> Result<(Cluster, Proxies)> {
    let mut cluster = builder().prepare()?;
    let proxies = Proxies::start(&cluster)?;
    cluster.start()?;
    super::faults::allow_lost_connections(&mut cluster);
    cluster.create_topic(TOPIC, 3, 1, &[])?;
    Ok((cluster, proxies))
}

fn builder() -> Builder {
    Cluster::of(3)
        .first_id(0)
        .property("group.initial.rebalance.delay.ms", "0")
        .property("offsets.topic.num.partitions", "3")
}

/// Returns lists of bootstrap servers: one that is not node 0, all of them in another order, one
/// behind a host name that cannot be resolved, and a load balancer.
fn lists(nodes: &[String], balancer: &LoadBalancer) -> [String; 4] {
    [
        nodes[2].clone(),
        [nodes[1].as_str(), &nodes[2], &nodes[0]].join(","),
        format!("no-such-host.invalid:9092,{}", nodes[1]),
        balancer.address().to_string(),
    ]
}

/// Writes records to each partition; a record holds the number of its partition.
fn fill(cluster: &Cluster) -> Result<()> {
    for partition in 0..3 {
        let lines: String = (0..RECORDS).map(|n| format!("{partition}-{n}\n")).collect();
        let partition = partition.to_string();
        let args = ["-P", "-t", TOPIC, "-p", &partition];
        kcat(&cluster.bootstrap(), &args)
            .input(lines)
            .run()?
            .clean()?;
    }
    Ok(())
}

/// Runs `console-consumer` from the beginning.
fn consume(bootstrap: &str, args: &[&str]) -> Result<Output> {
    let topic = ["--topic", TOPIC, "--from-beginning"];
    ours("console-consumer", bootstrap, &topic)?
        .args(args)
        .run()
}

/// Returns the partitions that these records are from.
fn partitions(output: &str) -> BTreeSet<&str> {
    output
        .lines()
        .filter_map(|line| line.split('-').next())
        .collect()
}

#[test]
fn the_place_of_a_bootstrap_address_is_no_broker_id() -> Result<()> {
    let mut cluster = builder()
        .property(
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        )
        .property("super.users", "User:ANONYMOUS")
        .start()?;
    super::faults::allow_lost_connections(&mut cluster);
    cluster.create_topic(TOPIC, 3, 1, &[])?;
    fill(&cluster)?;
    let nodes = cluster.nodes().iter().map(|node| node.address.to_string());
    let nodes: Vec<String> = nodes.collect();
    let balancer = LoadBalancer::start(&nodes)?;
    let lists = lists(&nodes, &balancer);
    let all = (3 * RECORDS).to_string();
    let mut told = BTreeSet::new();
    for (number, list) in lists.iter().enumerate() {
        let topic = format!("perf-{number}");
        cluster.create_topic(&topic, 3, 1, &[])?;
        for protocol in ["classic", "consumer"] {
            let protocol = format!("group.protocol={protocol}");
            let args = ["--max-messages", &all, "--timeout-ms", "60000"];
            let read = consume(
                list,
                &[&args[..], &["--command-property", &protocol]].concat(),
            )?;
            let read = read.ok()?;
            ensure!(partitions(&read).len() == 3, "{list}: {read}");
        }
        let load = [
            "--topic",
            &topic,
            "--num-records",
            "300",
            "--record-size",
            "20",
        ];
        let sent = ours("producer-perf-test", list, &load)?.args(["--throughput", "-1"]);
        // Small batches, so that all partitions get records.
        let small = ["--command-property", "batch.size=500", "linger.ms=0"];
        let sent = sent.args(small).run()?.ok()?;
        ensure!(sent.contains("300 records sent"), "{list}: {sent}");
        let lines: String = (0..300).map(|n| format!("line {n}\n")).collect();
        let producer = ours("console-producer", list, &["--topic", &topic])?;
        producer.input(lines).run()?.clean()?;
        let ends = ours("get-offsets", list, &["--topic", &topic])?;
        let ends = ends.run()?.clean()?;
        let ends = ends
            .lines()
            .map(|line| line.rsplit(':').next()?.parse::<u64>().ok());
        let ends = ends.collect::<Option<Vec<u64>>>().context("offsets")?;
        let all: u64 = ends.iter().sum();
        ensure!(ends.len() == 3 && all > 300, "{list}: {ends:?}");
        let all = all.to_string();
        let load = [
            "--topic",
            &topic,
            "--num-records",
            &all,
            "--timeout",
            "60000",
        ];
        let read = ours("consumer-perf-test", list, &load)?.run()?.clean()?;
        let count = read.lines().nth(1).and_then(|line| line.split(", ").nth(4));
        ensure!(count == Some(all.as_str()), "{list}: {read}");
        measure(list, &topic)?;
        told.insert(describe(list)?);
    }
    ensure!(told.len() == 1, "the tools differ: {told:#?}");
    Ok(())
}

/// Runs each load of `perf`.
fn measure(bootstrap: &str, topic: &str) -> Result<()> {
    const RECORDS: u64 = 300;
    let load = format!("--topic {topic} --num-records {RECORDS} --record-size 20");
    let small = "--batch-records 10";
    for command in ["produce", "end-to-end", "mixed"] {
        let report = perf::run(bootstrap, &format!("{command} {load} {small}"))?;
        perf::check_produced(&report, RECORDS);
    }
    let report = perf::run(bootstrap, &format!("consume --topic {topic} --verify"))?;
    let read = report["consume"]["records"].as_u64();
    ensure!(read > Some(3 * RECORDS), "{bootstrap}: {report}");
    Ok(())
}

/// Returns what the tools that ask brokers and coordinators print.
fn describe(bootstrap: &str) -> Result<String> {
    let reset = [
        "--reset-offsets",
        "--group",
        GROUP,
        "--topic",
        TOPIC,
        "--to-offset",
        "2",
    ];
    let reset = [&reset[..], &["--execute"]].concat();
    let group = ["--describe", "--group", GROUP];
    let config = [
        "--describe",
        "--entity-type",
        "brokers",
        "--entity-name",
        "0",
        "--all",
    ];
    // Deletes nothing, and asks each leader.
    let delete = format!(
        r#"{{"partitions": [{{"topic": "{TOPIC}", "partition": 0, "offset": 0}},
            {{"topic": "{TOPIC}", "partition": 1, "offset": 0}},
            {{"topic": "{TOPIC}", "partition": 2, "offset": 0}}], "version": 1}}"#
    );
    let folder = tempfile::tempdir()?;
    let delete_file = folder.path().join("delete.json").display().to_string();
    std::fs::write(&delete_file, delete)?;
    let elections = ["--election-type", "preferred", "--all-topic-partitions"];
    let rule = ["--allow-principal", "User:alice", "--operation", "Read"];
    let rule = [&rule[..], &["--topic", TOPIC]].concat();
    let add = [&rule[..], &["--add"]].concat();
    let remove = [&rule[..], &["--remove", "--force"]].concat();
    let runs: [(&str, &[&str]); 19] = [
        ("acls", &add),
        ("acls", &["--list"]),
        ("acls", &remove),
        ("delete-records", &["--offset-json-file", &delete_file]),
        ("leader-election", &elections),
        ("reassign-partitions", &["--list"]),
        ("broker-api-versions", &[]),
        ("features", &["describe"]),
        ("cluster", &["cluster-id"]),
        ("cluster", &["list-endpoints"]),
        ("consumer-groups", &reset),
        ("consumer-groups", &group),
        ("groups", &["--list"]),
        ("get-offsets", &["--topic", TOPIC]),
        ("topics", &["--describe", "--topic", TOPIC]),
        ("configs", &config),
        ("log-dirs", &["--describe", "--topic-list", TOPIC]),
        ("metadata-quorum", &["describe", "--replication"]),
        ("transactions", &["list"]),
    ];
    let mut told = String::new();
    for (tool, args) in runs {
        let printed = match tool {
            // Offsets of the quorum advance.
            "metadata-quorum" | "features" => {
                let printed = ours(tool, bootstrap, args)?.run()?.ok()?;
                format!("{} lines\n", printed.lines().count())
            }
            // Each consumer has been a group.
            "groups" => {
                let printed = ours(tool, bootstrap, args)?.run()?.ok()?;
                let own = printed.lines().filter(|line| line.starts_with(GROUP));
                own.map(|line| format!("{line}\n")).collect()
            }
            _ => ours(tool, bootstrap, args)?.run()?.ok()?,
        };
        told += &printed;
    }
    ensure!(told.contains("principal=User:alice"), "{told}");
    Ok(told)
}

#[test]
fn delegation_tokens_are_managed_at_every_bootstrap_address() -> Result<()> {
    let mut cluster = builder()
        .property("delegation.token.secret.key", "secret-of-all-nodes")
        // A node that has not heard of the user yet refuses her.
        .allow("authentication failed")
        .prepare()?;
    let nodes: Vec<String> = add_scram_listener(&cluster)?
        .split(',')
        .map(str::to_owned)
        .collect();
    cluster.start()?;
    let mechanism = "SCRAM-SHA-512";
    let credential = format!("{mechanism}=[iterations=4096,password=secret]");
    let user = [
        "--alter",
        "--entity-type",
        "users",
        "--entity-name",
        "alice",
    ];
    ours("configs", &cluster.bootstrap(), &user)?
        .args(["--add-config", &credential])
        .run()?
        .ok()?;
    let alice = Credentials::sasl(mechanism, "alice", "secret");
    let tool = |user: &Credentials, list: &str, line: &str| {
        let (tool, line) = line.split_once(' ').context("a tool and its options")?;
        tool_as(user, (&cluster, list), (tool, line))
    };
    for node in &nodes {
        until(DEADLINE, "the user can log in", || {
            tool(&alice, node, "topics --list").map(|_| true)
        })?;
    }
    let balancer = LoadBalancer::start(&nodes)?;
    for list in lists(&nodes, &balancer) {
        let run = |line: &str| tool(&alice, &list, &format!("delegation-tokens {line}"));
        let created = only_token(&run("--create --max-life-time-period 3600000")?)?;
        let (id, hmac) = &created;
        let is_listed = |expected: bool| {
            until(DEADLINE, format!("{list} lists {id}: {expected}"), || {
                Ok(run("--describe")?.contains(id.as_str()) == expected)
            })
        };
        is_listed(true)?;
        run(&format!("--renew --renew-time-period 600000 --hmac {hmac}"))?;
        until(DEADLINE, "the token can log in", || {
            tool(&token(&created), &list, "topics --list").map(|_| true)
        })?;
        run(&format!("--expire --expiry-time-period -1 --hmac {hmac}"))?;
        is_listed(false)?;
    }
    Ok(())
}

/// Returns the broker that coordinates [`GROUP`].
fn coordinator(cluster: &Cluster) -> Result<i32> {
    let request = kafka::FindCoordinatorRequestData {
        coordinator_keys: vec![text(GROUP)],
        ..Default::default()
    };
    eventually(DEADLINE, "the group has a coordinator", || {
        let answer = cluster.connect()?.call(&request, 6)?;
        let found = &answer.coordinators[0];
        Ok((found.error_code == 0).then_some(found.node_id))
    })
}

#[test]
fn a_consumer_that_cannot_read_a_partition_reports_it_and_fails() -> Result<()> {
    let (cluster, mut proxies) = cluster()?;
    fill(&cluster)?;
    let coordinator = coordinator(&cluster)?;
    let away = (0..3)
        .find(|id| *id != coordinator)
        .context("another node")?;
    let lost = (0..3).find(|partition| cluster.leader(TOPIC, *partition).ok() == Some(away));
    let lost = lost.context("a partition of that node")?.to_string();
    let bootstrap = proxies.address(coordinator).to_string();
    proxies.close(away);

    let group = [
        "--group",
        GROUP,
        "--command-property",
        "enable.auto.commit=false",
    ];
    let failed = consume(
        &bootstrap,
        &[&group[..], &["--timeout-ms", "12000"]].concat(),
    )?;
    let reason = format!("Cannot read {TOPIC}-{lost}: Broker {away} does not answer at ");
    ensure!(
        failed.code == 1 && failed.stderr.contains(&reason),
        "{failed}"
    );
    ensure!(partitions(&failed.stdout).len() == 2, "{failed}");

    let one = [
        "--topic",
        TOPIC,
        "--partition",
        &lost,
        "--offset",
        "earliest",
    ];
    let failed = ours("console-consumer", &bootstrap, &one)?;
    let failed = failed.args(["--timeout-ms", "3000"]).run()?;
    ensure!(failed.code == 1, "{failed}");

    let load = [
        "--topic",
        TOPIC,
        "--num-records",
        "12",
        "--timeout",
        "12000",
    ];
    let perf = ours("consumer-perf-test", &bootstrap, &load)?;
    let group_of_perf = [
        "--group",
        GROUP,
        "--command-property",
        "enable.auto.commit=false",
    ];
    let perf = perf.args(group_of_perf).run()?;
    ensure!(perf.code == 1 && perf.stderr.contains(&reason), "{perf}");

    // A consumer without a timeout waits, and reads the partition once it can.
    let all = (3 * RECORDS).to_string();
    let topic = ["--topic", TOPIC, "--from-beginning", "--max-messages", &all];
    let mut waits = ours("console-consumer", &bootstrap, &topic)?
        .args(group)
        .start()?;
    until(DEADLINE, "the other partitions are read", || {
        Ok(waits.lines_so_far().len() == 2 * RECORDS)
    })?;
    proxies.open(away)?;
    let read = waits.finish()?.ok()?;
    ensure!(partitions(&read).len() == 3, "{read}");
    Ok(())
}

#[test]
fn a_consumer_without_new_records_ends_at_its_timeout_without_an_error() -> Result<()> {
    let (cluster, _proxies) = cluster()?;
    fill(&cluster)?;
    let bootstrap = cluster.bootstrap();
    for level in ["read_uncommitted", "read_committed"] {
        let args = ["--timeout-ms", "12000", "--isolation-level", level];
        let read = consume(&bootstrap, &args)?;
        ensure!(read.code == 0, "{read}");
        ensure!(read.stdout.lines().count() == 3 * RECORDS, "{read}");
        ensure!(!read.stderr.contains("Cannot read"), "{read}");
    }
    Ok(())
}

#[test]
fn a_consumer_outlives_the_broker_at_its_bootstrap_address() -> Result<()> {
    let (mut cluster, _proxies) = cluster()?;
    cluster.create_topic("kept", 1, 3, &[])?;
    cluster.wait_in_sync("kept")?;
    // The coordinator stays, so that only the consumer's metadata have to come from elsewhere.
    let stays = coordinator(&cluster)?;
    let leader = cluster.leader("kept", 0)?;
    let first = match leader == stays {
        true => (0..3).find(|id| *id != stays).context("another node")?,
        false => leader,
    };
    let bootstrap = cluster.broker(first).address.to_string();
    let args = [
        "--topic",
        "kept",
        "--group",
        GROUP,
        "--from-beginning",
        "--max-messages",
        "2",
    ];
    let mut consumer = ours("console-consumer", &bootstrap, &args)?.start()?;
    let produce = |cluster: &Cluster, line: &str| -> Result<()> {
        let args = ["-P", "-t", "kept", "-p", "0"];
        let producer = kcat(&cluster.bootstrap(), &args).input(format!("{line}\n"));
        producer.run()?.ok()?;
        Ok(())
    };
    produce(&cluster, "before")?;
    consumer.wait_for_line(|line| line == "before")?;
    cluster.broker(first).kill()?;
    cluster.wait_for_partition("kept", 0, DEADLINE, |partition| {
        partition.leader.is_some_and(|leader| leader != first)
    })?;
    produce(&cluster, "after")?;
    consumer.wait_for_line(|line| line == "after")?;
    consumer.finish()?.ok()?;
    Ok(())
}
