//! Reassignments: one that is cancelled while a broker does not answer, and throttled ones.

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::clients::java::tool;
use dohle_tests::node::binary;
use dohle_tests::program::{Output, Program};
use dohle_tests::wait::DEADLINE;

use super::console_tools::{ours, theirs};
use super::faults::{allow_lost_connections, produce_until_acknowledged};

fn reassign(cluster: &mut Cluster, asked: i32, action: &str) -> Result<Output> {
    let plan = cluster.scratch().join("plan.json");
    let timeout = cluster.scratch().join("client.properties");
    std::fs::write(&timeout, "request.timeout.ms=3000\n")?;
    let bootstrap = cluster.broker(asked).address.to_string();
    Program::new(binary()?)
        .args(["reassign-partitions", "--bootstrap-server", &bootstrap])
        .arg("--command-config")
        .arg(timeout)
        .arg("--reassignment-json-file")
        .arg(plan)
        .arg(action)
        .run()
}

/// Creates the topic `t` with one partition on these brokers.
fn create_on(cluster: &mut Cluster, replicas: &[i32]) -> Result<()> {
    let bootstrap = cluster.broker(replicas[0]).address.to_string();
    let assignment: Vec<String> = replicas.iter().map(i32::to_string).collect();
    let created = Program::new(binary()?)
        .args([
            "topics",
            "--bootstrap-server",
            &bootstrap,
            "--create",
            "--topic",
            "t",
        ])
        .args(["--replica-assignment", &assignment.join(":")])
        .run()?;
    ensure!(created.code == 0, "{created}");
    cluster.leader("t", 0)?;
    Ok(())
}

#[test]
fn a_cancelled_reassignment_is_reported_while_a_broker_is_paused() -> Result<()> {
    let mut cluster = Cluster::of(3)
        // The paused broker counts as live throughout.
        .property("broker.session.timeout.ms", "60000")
        .start()?;
    allow_lost_connections(&mut cluster);
    // The active controller is not paused, so that the tool waits only for the paused broker.
    let controller = cluster.controller()?;
    let paused = controller % 3 + 1;
    let leader = paused % 3 + 1;
    let replicas = vec![leader, controller];
    create_on(&mut cluster, &replicas)?;
    produce_until_acknowledged(&cluster, "t", "a record")?;
    let moved = format!(r#"{{"topic":"t","partition":0,"replicas":[{leader},{paused}]}}"#);
    let plan = format!(r#"{{"version":1,"partitions":[{moved}]}}"#);
    std::fs::write(cluster.scratch().join("plan.json"), plan)?;
    cluster.broker(paused).pause()?;
    let started = reassign(&mut cluster, leader, "--execute")?;
    ensure!(started.code == 0, "{started}");

    let cancelled = reassign(&mut cluster, leader, "--cancel")?;
    ensure!(cancelled.code == 1, "{cancelled}");
    let cancel = "Successfully cancelled partition reassignment for: t-0";
    ensure!(cancelled.stdout.contains(cancel), "{cancelled}");
    let topics = "Clearing topic-level throttles on topic t";
    ensure!(cancelled.stdout.contains(topics), "{cancelled}");
    let rest = format!("the throttles of broker {paused} were not cleared; all else is done");
    ensure!(cancelled.stdout.contains(&rest), "{cancelled}");
    let why = format!("Broker {paused} keeps its throttles: ");
    ensure!(cancelled.stderr.contains(&why), "{cancelled}");
    cluster.wait_for_partition("t", 0, DEADLINE, |state| state.replicas == replicas)?;

    cluster.broker(paused).resume()?;
    let again = reassign(&mut cluster, leader, "--cancel")?;
    let nothing = "None of the specified partition reassignments are active.";
    ensure!(again.code == 0 && again.stdout.contains(nothing), "{again}");
    Ok(())
}

/// Runs the tool that moves partitions, of Kafka or ours, with the plan that the test wrote.
fn move_partition(cluster: &Cluster, is_ours: bool, args: &[&str]) -> Result<String> {
    let plan = cluster.scratch().join("plan.json");
    let plan = plan.display().to_string();
    let args = [&["--reassignment-json-file", &plan], args].concat();
    let bootstrap = cluster.bootstrap();
    let output = match is_ours {
        true => ours("reassign-partitions", &bootstrap, &args)?.run()?,
        false => theirs("ReassignPartitionsCommand", &bootstrap, &args).run()?,
    };
    output.ok()
}

/// Returns the values that are set at run time and are about throttled replicas.
fn throttles(cluster: &Cluster, entity: [&str; 2]) -> Result<Vec<String>> {
    let [kind, name] = entity;
    let args = ["--describe", "--entity-type", kind, "--entity-name", name];
    let described = ours("configs", &cluster.bootstrap(), &args)?
        .run()?
        .clean()?;
    let values = described.lines().map(str::trim);
    let values = values.filter(|line| line.contains(".replication.throttled."));
    let value = |line: &str| {
        line.split_whitespace()
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    Ok(values.map(value).collect())
}

/// A broker sends and receives one message at once, and then a byte a second: the partition does
/// not arrive before the limit is raised.
#[test]
fn a_throttled_reassignment_waits_for_its_limit_and_ends_without_it() -> Result<()> {
    let mut cluster = Cluster::of(3).start()?;
    create_on(&mut cluster, &[1])?;
    tool("ProducerPerformance")
        .args(["--bootstrap-server", &cluster.bootstrap(), "--topic", "t"])
        .args(["--num-records", "8000", "--record-size", "1000"])
        .args(["--throughput", "-1"])
        .run()?
        .clean()?;
    for (is_ours, from, to) in [(false, 1, 2), (true, 2, 3)] {
        let moved = format!(r#"{{"topic":"t","partition":0,"replicas":[{to}]}}"#);
        let plan = format!(r#"{{"version":1,"partitions":[{moved}]}}"#);
        std::fs::write(cluster.scratch().join("plan.json"), plan)?;
        let begun = move_partition(&cluster, is_ours, &["--execute", "--throttle", "1"])?;
        ensure!(begun.contains("Successfully started"), "{begun}");
        let (from, to) = (from.to_string(), to.to_string());
        let mut topic = throttles(&cluster, ["topics", "t"])?;
        topic.sort();
        let listed = [
            format!("follower.replication.throttled.replicas=0:{to}"),
            format!("leader.replication.throttled.replicas=0:{from}"),
        ];
        ensure!(topic == listed, "{topic:?}");
        for broker in [&from, &to] {
            let mut rates = throttles(&cluster, ["brokers", broker])?;
            rates.sort();
            let expected =
                ["follower", "leader"].map(|side| format!("{side}.replication.throttled.rate=1"));
            ensure!(rates == expected, "{rates:?}");
        }
        let waits = move_partition(&cluster, is_ours, &["--verify"])?;
        ensure!(waits.contains("t-0 is still in progress"), "{waits}");

        let raise = ["--execute", "--additional", "--throttle", "100000000"];
        move_partition(&cluster, is_ours, &raise)?;
        cluster.wait_for_partition("t", 0, DEADLINE, |state| {
            state.replicas == [to.parse::<i32>().unwrap_or(0)]
        })?;
        let ended = move_partition(&cluster, is_ours, &["--verify"])?;
        ensure!(
            ended.contains("Reassignment of partition t-0 is completed."),
            "{ended}"
        );
        for entity in [["topics", "t"], ["brokers", &from], ["brokers", &to]] {
            let left = throttles(&cluster, entity)?;
            ensure!(left.is_empty(), "{entity:?}: {left:?}");
        }
    }
    let ends = ours("get-offsets", &cluster.bootstrap(), &["--topic", "t"])?;
    ensure!(ends.run()?.clean()? == "t:0:8000\n", "records are missing");
    Ok(())
}
