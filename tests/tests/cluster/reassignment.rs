//! A reassignment is cancelled while one of the brokers does not answer.

use anyhow::{Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::node::binary;
use dohle_tests::program::{Output, Program};
use dohle_tests::wait::DEADLINE;

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
