//! Nodes die, hang, and stop cleanly, while clients continue.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::{digest_in, franz_go};
use dohle_tests::corpus::Corpus;
use dohle_tests::records::{batch, fetch, produce};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, replicas, until};

const NOT_ENOUGH_REPLICAS: i16 = 19;
const LINES: u64 = 200_000;

/// Allows the warnings that nodes log when others are killed or hang.
pub fn allow_lost_connections(cluster: &mut Cluster) {
    let texts = [
        "connection",
        "unreachable",
        "fencing broker: its session expired",
        "transport error",
        "no answer from a majority",
        "leadership of the quorum was not handed over",
        "raft stopped",
    ];
    for text in texts {
        cluster.allow(text);
    }
}

/// Produces one record to the current leader, until it is acknowledged by all replicas in sync.
pub fn produce_until_acknowledged(cluster: &Cluster, topic: &str, value: &str) -> Result<i64> {
    let mut offset = -1;
    until(DEADLINE, format!("{value} is acknowledged"), || {
        let leader = cluster.describe(topic)?[0].leader.context("no leader")?;
        let node = cluster
            .nodes()
            .iter()
            .find(|node| node.id == leader && node.is_up());
        let mut connection = node.context("the leader is down")?.connect()?;
        connection.limit(Duration::from_secs(5))?;
        let records = batch(&[value.as_bytes()])?.freeze();
        let produced = produce(&mut connection, topic, 0, -1, records)?;
        ensure!(produced.error_code == 0, "{produced:?}");
        offset = produced.base_offset;
        Ok(true)
    })?;
    Ok(offset)
}

pub fn values(cluster: &mut Cluster, topic: &str) -> Result<Vec<String>> {
    let leader = cluster.leader(topic, 0)?;
    let (values, _) = fetch(&mut cluster.broker(leader).connect()?, topic, 0, 0)?;
    Ok(values
        .iter()
        .map(|value| String::from_utf8_lossy(value).into_owned())
        .collect())
}

#[test]
fn a_killed_leader_is_replaced_and_comes_back_in_sync() -> Result<()> {
    let mut cluster = Cluster::of(3).start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic("t", 1, 3, &[("min.insync.replicas", "2")])?;
    produce_until_acknowledged(&cluster, "t", "before")?;
    let first = cluster.leader("t", 0)?;
    cluster.broker(first).kill()?;
    let state = cluster.wait_for_partition("t", 0, DEADLINE, |partition| {
        partition.leader.is_some_and(|leader| leader != first) && !partition.isr.contains(&first)
    })?;
    assert_eq!(state.isr.len(), 2, "{state:?}");
    produce_until_acknowledged(&cluster, "t", "after")?;
    cluster.broker(first).start()?;
    cluster.wait_in_sync("t")?;
    assert_eq!(values(&mut cluster, "t")?, ["before", "after"]);
    cluster.stop()?;
    replicas::assert_identical(&cluster, "t")?;
    Ok(())
}

#[test]
fn admin_requests_go_on_when_the_active_controller_is_killed() -> Result<()> {
    let mut cluster = Cluster::of(3).start()?;
    allow_lost_connections(&mut cluster);
    let mut known = vec!["t0".to_owned()];
    cluster.create_topic("t0", 2, 3, &[])?;
    for round in 1..=2 {
        let controller = cluster.controller()?;
        cluster.broker(controller).kill()?;
        let name = format!("t{round}");
        until(DEADLINE, format!("{name} is created"), || {
            cluster.create_topic(&name, 2, 2, &[])?;
            Ok(true)
        })?;
        known.push(name);
        assert_ne!(cluster.controller()?, controller);
        cluster.broker(controller).start()?;
        cluster.wait_for_brokers(3)?;
        for name in &known {
            cluster.wait_in_sync(name)?;
        }
    }
    Ok(())
}

#[test]
fn a_producer_sees_no_error_while_every_node_is_stopped_and_started_in_turn() -> Result<()> {
    let corpus = Corpus::slice(5 * LINES)?;
    let mut cluster = Cluster::of(3).start()?;
    allow_lost_connections(&mut cluster);
    let bootstrap = cluster.bootstrap();
    cluster.create_topic("t", 6, 3, &[("min.insync.replicas", "2")])?;
    let step = (corpus.digest.count() / 8).max(1).to_string();
    let mut producer = franz_go::produce(&bootstrap, "t", &corpus.path, "none")
        .args(["--progress", &step])
        .limit(Duration::from_secs(300))
        .start()?;
    for id in 1..=3 {
        producer.wait_for_line(|line| line.starts_with("acked "))?;
        cluster.broker(id).stop()?;
        let left = cluster.describe("t")?;
        let led = left
            .iter()
            .all(|partition| partition.leader.is_some_and(|l| l != id));
        assert!(led, "node {id} has stopped and leads still: {left:?}");
        cluster.broker(id).start()?;
        cluster.wait_in_sync("t")?;
    }
    let produced = producer.finish()?.ok()?;
    assert!(produced.contains("failed=0"), "{produced}");
    let consumed = franz_go::consume(&bootstrap, "t").run()?.clean()?;
    assert_eq!(digest_in(&consumed), corpus.digest.to_string());
    Ok(())
}

#[test]
fn a_leader_that_is_cut_off_acknowledges_nothing() -> Result<()> {
    let mut cluster = Cluster::of(3).start()?;
    allow_lost_connections(&mut cluster);
    // At the end all nodes stop while their sessions are still being restored: the last one cannot
    // ask for a controlled shutdown.
    cluster.allow("other brokers have not taken over all leaderships in time");
    cluster.create_topic("t", 1, 3, &[("min.insync.replicas", "2")])?;
    produce_until_acknowledged(&cluster, "t", "before")?;
    let leader = cluster.leader("t", 0)?;
    let others: Vec<i32> = (1..=3).filter(|id| *id != leader).collect();
    for id in &others {
        cluster.broker(*id).pause()?;
    }
    let mut connection = cluster.broker(leader).connect()?;
    connection.limit(Duration::from_secs(20))?;
    let records = batch(&[b"cut off"])?.freeze();
    // No response within the limit is correct too.
    if let Ok(produced) = produce(&mut connection, "t", 0, -1, records) {
        assert_ne!(produced.error_code, 0, "acknowledged: {produced:?}");
    }
    let mut connection = cluster.broker(leader).connect()?;
    let (readable, high_watermark) = fetch(&mut connection, "t", 0, 0)?;
    assert_eq!(
        (readable.len(), high_watermark),
        (1, 1),
        "readable without being safe"
    );
    for id in &others {
        cluster.broker(*id).resume()?;
    }
    produce_until_acknowledged(&cluster, "t", "after")?;
    cluster.wait_in_sync("t")?;
    let found = values(&mut cluster, "t")?;
    assert_eq!(
        found.first().map(String::as_str),
        Some("before"),
        "{found:?}"
    );
    assert_eq!(found.last().map(String::as_str), Some("after"), "{found:?}");
    cluster.stop()?;
    replicas::assert_identical(&cluster, "t")?;
    Ok(())
}

#[test]
fn a_leader_that_hangs_is_replaced_and_follows_when_it_wakes() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("broker.session.timeout.ms", "3000")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic("t", 1, 3, &[("min.insync.replicas", "2")])?;
    produce_until_acknowledged(&cluster, "t", "before")?;
    let leader = cluster.leader("t", 0)?;
    cluster.broker(leader).pause()?;
    cluster.wait_for_partition("t", 0, DEADLINE, |partition| {
        partition.leader.is_some_and(|now| now != leader)
    })?;
    produce_until_acknowledged(&cluster, "t", "meanwhile")?;
    cluster.broker(leader).resume()?;
    cluster.wait_in_sync("t")?;
    produce_until_acknowledged(&cluster, "t", "after")?;
    assert_eq!(values(&mut cluster, "t")?, ["before", "meanwhile", "after"]);
    cluster.stop()?;
    replicas::assert_identical(&cluster, "t")?;
    Ok(())
}

#[test]
fn the_isr_shrinks_when_a_follower_hangs_and_expands_when_it_wakes() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("replica.lag.time.max.ms", "2000")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic("t", 1, 3, &[("min.insync.replicas", "2")])?;
    let leader = cluster.leader("t", 0)?;
    let controller = cluster.controller()?;
    let follower = (1..=3)
        .find(|id| *id != leader && *id != controller)
        .context("no follower")?;
    produce_until_acknowledged(&cluster, "t", "before")?;
    cluster.broker(follower).pause()?;
    // Waits until the ISR has shrunk, because the hung follower counts until then.
    produce_until_acknowledged(&cluster, "t", "meanwhile")?;
    cluster.wait_for_partition("t", 0, DEADLINE, |partition| {
        partition.isr.len() == 2 && !partition.isr.contains(&follower)
    })?;
    cluster.broker(follower).resume()?;
    cluster.wait_for_partition("t", 0, DEADLINE, |partition| partition.isr.len() == 3)?;
    Ok(())
}

#[test]
fn too_few_replicas_in_sync_are_an_error_and_lose_nothing() -> Result<()> {
    // Five voters, so that there is a quorum without two of them.
    let mut cluster = Cluster::of(5).start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic("t", 1, 3, &[("min.insync.replicas", "2")])?;
    produce_until_acknowledged(&cluster, "t", "before")?;
    let leader = cluster.leader("t", 0)?;
    let followers: Vec<i32> = cluster.describe("t")?[0]
        .replicas
        .iter()
        .copied()
        .filter(|id| *id != leader)
        .collect();
    for id in &followers {
        cluster.broker(*id).kill()?;
    }
    cluster.wait_for_partition("t", 0, DEADLINE, |partition| partition.isr == [leader])?;
    let mut connection = cluster.broker(leader).connect()?;
    until(DEADLINE, "the leader knows that it is alone", || {
        let produced = produce(&mut connection, "t", 0, -1, batch(&[b"refused"])?.freeze())?;
        ensure!(produced.error_code == NOT_ENOUGH_REPLICAS, "{produced:?}");
        Ok(true)
    })?;
    let produced = produce(&mut connection, "t", 0, 1, batch(&[b"acks=1"])?.freeze())?;
    assert_eq!(
        produced.error_code, 0,
        "acks=1 needs the leader alone: {produced:?}"
    );
    for id in &followers {
        cluster.broker(*id).start()?;
    }
    produce_until_acknowledged(&cluster, "t", "after")?;
    let found = values(&mut cluster, "t")?;
    assert_eq!(
        found.first().map(String::as_str),
        Some("before"),
        "{found:?}"
    );
    assert_eq!(found.last().map(String::as_str), Some("after"), "{found:?}");
    Ok(())
}

#[test]
fn a_restart_of_the_whole_cluster_finds_everything() -> Result<()> {
    let corpus = Corpus::slice(LINES)?;
    let mut cluster = Cluster::of(3).start()?;
    allow_lost_connections(&mut cluster);
    let bootstrap = cluster.bootstrap();
    cluster.create_topic("t", 6, 3, &[("retention.ms", "360000000")])?;
    franz_go::produce(&bootstrap, "t", &corpus.path, "snappy")
        .run()?
        .clean()?;
    let before = cluster.describe("t")?;

    cluster.stop()?;
    cluster.start()?;
    cluster.wait_in_sync("t")?;
    let consumed = franz_go::consume(&bootstrap, "t").run()?.clean()?;
    assert_eq!(
        digest_in(&consumed),
        corpus.digest.to_string(),
        "after a clean stop"
    );

    for node in cluster.nodes_mut() {
        node.kill()?;
    }
    cluster.start()?;
    cluster.wait_in_sync("t")?;
    let consumed = franz_go::consume(&bootstrap, "t").run()?.clean()?;
    assert_eq!(
        digest_in(&consumed),
        corpus.digest.to_string(),
        "after SIGKILL"
    );
    for (now, before) in cluster.describe("t")?.iter().zip(&before) {
        assert_eq!(now.replicas, before.replicas);
        assert!(now.leader_epoch > before.leader_epoch, "{now:?} {before:?}");
    }
    Ok(())
}

#[test]
fn every_kind_of_acknowledgement_delivers_while_nothing_fails() -> Result<()> {
    let corpus = Corpus::slice(LINES)?;
    let cluster = Cluster::of(3).start()?;
    let bootstrap = cluster.bootstrap();
    for (acks, idempotent) in [("0", false), ("1", false), ("all", false), ("all", true)] {
        let topic = format!("acks-{acks}-{idempotent}");
        cluster.create_topic(&topic, 6, 3, &[])?;
        franz_go::produce(&bootstrap, &topic, &corpus.path, "none")
            .args(["--acks", acks, &format!("--idempotent={idempotent}")])
            .run()?
            .clean()?;
        // With acks=0 or 1 the followers may lag a moment: consume until all records are there.
        until(DEADLINE, format!("{topic} holds all records"), || {
            let consumed = franz_go::consume(&bootstrap, &topic).run()?.clean()?;
            ensure!(
                digest_in(&consumed) == corpus.digest.to_string(),
                "{consumed}"
            );
            Ok(true)
        })?;
    }
    Ok(())
}
