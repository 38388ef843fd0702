//! `dohle explain`: why a group rebalanced, why a replica is not in sync, why a leader changed, and
//! which addresses cannot be reached, on three nodes to which that happens.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::kcat::kcat;
use dohle_tests::program::Running;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, until};

use super::console_tools::ours;
use super::faults::{allow_lost_connections, produce_until_acknowledged};
use super::metrics::port;

const TOPIC: &str = "orders";
const GROUP: &str = "billing";
const PARTITION: &str = "orders-0";

/// Runs `dohle explain` with the HTTP listeners of all nodes.
fn explain(cluster: &Cluster, ports: &[u16], words: &[&str]) -> Result<String> {
    let http: Vec<String> = ports
        .iter()
        .map(|port| format!("http://127.0.0.1:{port}"))
        .collect();
    let http = http.join(",");
    let args: Vec<&str> = words.iter().copied().chain(["--http", &http]).collect();
    ours("explain", &cluster.bootstrap(), &args)?.run()?.clean()
}

/// Explains until the text has all parts.
fn explained(cluster: &Cluster, ports: &[u16], words: &[&str], parts: &[&str]) -> Result<String> {
    let mut text = String::new();
    until(DEADLINE, format!("{words:?} has {parts:?}"), || {
        text = explain(cluster, ports, words)?;
        let missing = parts.iter().find(|part| !text.contains(*part));
        ensure!(missing.is_none(), "{missing:?} is not in:\n{text}");
        Ok(true)
    })?;
    Ok(text)
}

fn member(bootstrap: &str) -> Result<Running> {
    let session = [
        "-X",
        "session.timeout.ms=1500",
        "-X",
        "heartbeat.interval.ms=300",
    ];
    kcat(bootstrap, &["-G", GROUP])
        .args(session)
        .arg(TOPIC)
        .start()
}

#[test]
fn causes_are_explained_while_members_die_and_nodes_hang_and_stop() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("http.listeners", "http://127.0.0.1:0")
        .property("group.min.session.timeout.ms", "1000")
        .property("group.initial.rebalance.delay.ms", "300")
        .property("replica.lag.time.max.ms", "1500")
        .start()?;
    allow_lost_connections(&mut cluster);
    let ports: Vec<u16> = cluster.nodes().iter().map(port).collect::<Result<_>>()?;
    cluster.create_topic(TOPIC, 2, 3, &[("min.insync.replicas", "2")])?;

    rebalances(&cluster, &ports)?;
    hanging_follower(&mut cluster, &ports)?;
    stopped_leader(&mut cluster, &ports)?;

    let topic = explained(
        &cluster,
        &ports,
        &["topic", TOPIC],
        &["retention.ms=604800000"],
    )?;
    ensure!(topic.contains("Partition 0, led by broker"), "{topic}");
    let gone = ["group", "biling"];
    let failed = ours("explain", &cluster.bootstrap(), &gone)?.run()?;
    ensure!(
        failed.code == 1 && failed.stderr.contains(GROUP),
        "{failed:?}"
    );
    Ok(())
}

/// A member joins another one, and is killed.
fn rebalances(cluster: &Cluster, ports: &[u16]) -> Result<()> {
    let mut first = member(&cluster.bootstrap())?;
    let words = ["group", GROUP];
    explained(cluster, ports, &words, &["is Stable and has 1 member"])?;
    let second = member(&cluster.bootstrap())?;
    explained(
        cluster,
        ports,
        &words,
        &["is Stable and has 2 members", "joined.", "heartbeat"],
    )?;
    first.kill()?;
    let cause = "timed out: no heartbeat for 1500 ms, its session timeout";
    explained(
        cluster,
        ports,
        &words,
        &[cause, "is Stable and has 1 member"],
    )?;
    // The log of the coordinator has the same words.
    let mut logs = cluster.nodes().iter().map(|node| node.log());
    ensure!(
        logs.any(|log| log.is_ok_and(|log| log.contains(cause))),
        "no log has {cause}"
    );
    // Without HTTP there is still an answer, which names what is missing.
    let deaf = ["group", GROUP, "--http", "http://127.0.0.1:1"];
    let text = ours("explain", &cluster.bootstrap(), &deaf)?
        .run()?
        .clean()?;
    for part in [
        "has 1 member",
        "could not be asked",
        "127.0.0.1:1",
        "http.listeners",
    ] {
        ensure!(text.contains(part), "{part} is not in:\n{text}");
    }
    second.interrupt()?;
    second.finish()?;
    let left = explained(cluster, ports, &words, &["has 0 members", "left"])?;
    ensure!(left.contains("at 127.0.0.1 left"), "{left}");
    Ok(())
}

/// A follower hangs, is removed from the ISR, and catches up again.
fn hanging_follower(cluster: &mut Cluster, ports: &[u16]) -> Result<()> {
    let leader = cluster.leader(TOPIC, 0)?;
    let nodes = cluster.nodes().iter().map(|node| node.id);
    let follower = nodes
        .into_iter()
        .find(|id| *id != leader)
        .context("a follower")?;
    cluster.broker(follower).pause()?;
    produce_until_acknowledged(cluster, TOPIC, "while one hangs")?;
    let words = ["partition", PARTITION];
    let removed = format!("broker {follower} left the ISR");
    let parts = [
        "not caught up for",
        "under-replicated: 1 of 3",
        removed.as_str(),
    ];
    explained(cluster, ports, &words, &parts)?;
    cluster.broker(follower).resume()?;
    cluster.wait_in_sync(TOPIC)?;
    let back = format!("broker {follower} joined the ISR");
    let parts = [
        "All replicas are in sync",
        "caught up with the leader",
        back.as_str(),
    ];
    explained(cluster, ports, &words, &parts)?;
    Ok(())
}

/// The leader stops, and its addresses cannot be reached any more.
fn stopped_leader(cluster: &mut Cluster, ports: &[u16]) -> Result<()> {
    let local = explained(
        cluster,
        ports,
        &["listener"],
        &["All addresses can be reached"],
    )?;
    ensure!(local.contains("clients on other machines"), "{local}");
    let leader = cluster.leader(TOPIC, 0)?;
    cluster.broker(leader).stop()?;
    let is_led = |leads: i32| leads != leader;
    let others = |state: &dohle_tests::cluster::PartitionState| state.leader.is_some_and(is_led);
    cluster.wait_for_partition(TOPIC, 0, Duration::from_secs(30), others)?;
    let reason = format!("took over from {leader}: its broker is shutting down");
    let words = ["partition", PARTITION];
    explained(
        cluster,
        ports,
        &words,
        &[&reason, "Its broker is out of service now"],
    )?;
    let problem = format!("Broker {leader} advertises");
    let parts = [
        problem.as_str(),
        "(out of service)",
        "PROBLEM",
        "Connection refused",
    ];
    explained(cluster, ports, &["listener"], &parts)?;
    Ok(())
}
