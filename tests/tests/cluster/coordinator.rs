//! The coordinator of groups dies, loses replicas, and is restarted, while a client commits
//! offsets: acknowledged offsets are found again, and others are refused with errors that clients
//! retry.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::cluster::text;
use dohle_tests::program::Program;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, eventually, until};
use kacrab_protocol::generated as kafka;

use crate::faults::allow_lost_connections;

const GROUP: &str = "g";
const TOPIC: &str = "t";
const OFFSETS: &str = "__consumer_offsets";
const COORDINATOR_NOT_AVAILABLE: i16 = 15;

/// The codes that clients retry, some of them after looking for the coordinator again.
const TRANSIENT: [i16; 3] = [14, COORDINATOR_NOT_AVAILABLE, 16];

/// Returns the broker that coordinates the group, as any broker reports it.
fn coordinator(cluster: &Cluster) -> Result<Option<i32>> {
    let request = kafka::FindCoordinatorRequestData {
        coordinator_keys: vec![text(GROUP)],
        ..Default::default()
    };
    let answer = cluster.connect()?.call(&request, 6)?;
    let found = &answer.coordinators[0];
    let transient = found.error_code == COORDINATOR_NOT_AVAILABLE;
    ensure!(found.error_code == 0 || transient, "{found:?}");
    Ok((found.error_code == 0).then_some(found.node_id))
}

fn commit_request(offset: i64) -> kafka::OffsetCommitRequestData {
    kafka::OffsetCommitRequestData {
        group_id: text(GROUP),
        generation_id_or_member_epoch: -1,
        topics: vec![kafka::OffsetCommitRequestTopic {
            name: text(TOPIC),
            partitions: vec![kafka::OffsetCommitRequestPartition {
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Commits once. Returns the code.
fn try_commit(cluster: &Cluster, offset: i64) -> Result<i16> {
    let id = coordinator(cluster)?.context("no coordinator")?;
    let node = cluster.nodes().iter().find(|node| node.id == id);
    let mut connection = node.context("an unknown node")?.connect()?;
    connection.limit(Duration::from_secs(10))?;
    let answer = connection.call(&commit_request(offset), 8)?;
    Ok(answer.topics[0].partitions[0].error_code)
}

/// Commits until it is acknowledged, as clients do; fails on other errors than transient ones.
fn commit(cluster: &Cluster, offset: i64) -> Result<()> {
    let mut refused = None;
    until(DEADLINE, format!("offset {offset} is committed"), || {
        let code = try_commit(cluster, offset)?;
        if code != 0 && !TRANSIENT.contains(&code) {
            refused = Some(code);
        }
        Ok(code == 0 || refused.is_some())
    })?;
    ensure!(refused.is_none(), "refused with {refused:?}");
    Ok(())
}

/// Returns the committed offset, once the coordinator has loaded it; never -1 before that.
fn committed(cluster: &Cluster) -> Result<i64> {
    let request = kafka::OffsetFetchRequestData {
        groups: vec![kafka::OffsetFetchRequestGroup {
            group_id: text(GROUP),
            topics: Some(vec![kafka::OffsetFetchRequestTopics {
                name: text(TOPIC),
                partition_indexes: vec![0],
                ..Default::default()
            }]),
            ..Default::default()
        }],
        ..Default::default()
    };
    eventually(DEADLINE, "the committed offset is known", || {
        let id = coordinator(cluster)?.context("no coordinator")?;
        let node = cluster.nodes().iter().find(|node| node.id == id);
        let mut connection = node.context("an unknown node")?.connect()?;
        let answer = connection.call(&request, 8)?;
        let group = &answer.groups[0];
        if TRANSIENT.contains(&group.error_code) {
            return Ok(None);
        }
        ensure!(group.error_code == 0, "{group:?}");
        Ok(Some(group.topics[0].partitions[0].committed_offset))
    })
}

#[test]
fn no_acknowledged_offset_is_lost_when_coordinators_are_killed() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("offsets.topic.num.partitions", "3")
        .property("min.insync.replicas", "2")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic(TOPIC, 1, 3, &[])?;
    let mut offset = 0;
    for _ in 0..3 {
        for _ in 0..20 {
            offset += 1;
            commit(&cluster, offset)?;
        }
        let killed = coordinator(&cluster)?.context("no coordinator")?;
        cluster.broker(killed).kill()?;
        // The next coordinator has the offset that was acknowledged last.
        assert_eq!(committed(&cluster)?, offset);
        offset += 1;
        commit(&cluster, offset)?;
        cluster.broker(killed).start()?;
        cluster.wait_in_sync(OFFSETS)?;
    }
    cluster.stop()?;
    cluster.start()?;
    assert_eq!(committed(&cluster)?, offset);
    cluster.stop()
}

#[test]
fn a_coordinator_that_stops_hands_over_without_a_refusal_that_clients_give_up_on() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("offsets.topic.num.partitions", "1")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic(TOPIC, 1, 3, &[])?;
    let mut offset = 0;
    for _ in 0..3 {
        offset += 1;
        commit(&cluster, offset)?;
        let stopped = coordinator(&cluster)?.context("no coordinator")?;
        cluster.broker(stopped).stop()?;
        assert_eq!(committed(&cluster)?, offset);
        cluster.broker(stopped).start()?;
        cluster.wait_in_sync(OFFSETS)?;
    }
    cluster.stop()
}

#[test]
fn commits_are_refused_while_replicas_lack_and_accepted_when_they_are_back() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("offsets.topic.num.partitions", "1")
        .property("offsets.topic.replication.factor", "2")
        .property("min.insync.replicas", "2")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic(TOPIC, 1, 3, &[("min.insync.replicas", "1")])?;
    commit(&cluster, 1)?;
    let state = cluster.describe(OFFSETS)?[0].clone();
    let leader = state.leader.context("no leader")?;
    let other = state.replicas.iter().copied().find(|id| *id != leader);
    let other = other.context("no follower")?;
    cluster.broker(other).kill()?;
    cluster.wait_for_partition(OFFSETS, 0, DEADLINE, |partition| partition.isr == [leader])?;
    assert_eq!(try_commit(&cluster, 2)?, COORDINATOR_NOT_AVAILABLE);
    // The committed offset can be read all the time, and the refused one left no trace.
    assert_eq!(committed(&cluster)?, 1);
    cluster.broker(other).start()?;
    commit(&cluster, 3)?;
    assert_eq!(committed(&cluster)?, 3);
    cluster.stop()
}

#[test]
fn the_first_of_many_requests_makes_the_topic_with_as_many_replicas_as_there_are_brokers()
-> Result<()> {
    let mut cluster = Cluster::of(2).start()?;
    let answers: Vec<Result<Option<i32>>> = thread::scope(|scope| {
        let ask = || scope.spawn(|| coordinator(&cluster));
        let asking: Vec<_> = (0..20).map(|_| ask()).collect();
        let joined = asking.into_iter().map(|asked| asked.join());
        joined.map(|answer| answer.expect("no panic")).collect()
    });
    for answer in answers {
        assert!(answer?.is_some(), "everybody waited for the same topic");
    }
    let partitions = cluster.describe(OFFSETS)?;
    assert_eq!(partitions.len(), 50);
    assert!(
        partitions
            .iter()
            .all(|partition| partition.replicas.len() == 2)
    );
    let mut told = 0;
    for node in cluster.nodes() {
        told += node
            .log()?
            .matches("was created with 2 of 3 replicas")
            .count();
    }
    assert_eq!(told, 1, "and one line tells of the missing replica");
    cluster.stop()
}

#[test]
fn kafkajs_sees_no_error_of_topics_and_groups_that_come_to_be() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("num.partitions", "6")
        .property("default.replication.factor", "3")
        .start()?;
    let output = Program::new("node")
        .env("NODE_PATH", dohle_tests::compat().join("node/node_modules"))
        .env("KAFKAJS_NO_PARTITIONER_WARNING", "1")
        .arg(dohle_tests::root().join("tests/compat/node/auto_create.js"))
        .args([cluster.bootstrap().as_str(), "20"])
        .run()?;
    assert_eq!(output.clean()?, "done\n");
    let partitions = cluster.describe("new-to-consume")?;
    assert_eq!(partitions.len(), 6);
    assert!(
        partitions
            .iter()
            .all(|partition| partition.replicas.len() == 3)
    );
    cluster.stop()
}
