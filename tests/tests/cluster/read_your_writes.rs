//! What a broker has acknowledged is in its next answer, also on another connection.

use std::sync::atomic::{AtomicI64, Ordering};

use anyhow::{Context, Result, ensure};
use dohle_tests::Cluster;
use dohle_tests::KafkaConnection;
use dohle_tests::cluster::text;
use dohle_tests::wait::{DEADLINE, eventually};
use kacrab_protocol::generated as kafka;

use crate::offsets::{TOPIC, commit_request, fetch_request};

const GROUP: &str = "workers";
const COMMITS: i64 = 500;

/// Commits an offset of partition 0.
fn commit(connection: &mut KafkaConnection, offset: i64) -> Result<i16> {
    let answer = connection.call(&commit_request(GROUP, offset), 8)?;
    Ok(answer.topics[0].partitions[0].error_code)
}

/// Returns the committed offset of partition 0.
fn committed(connection: &mut KafkaConnection) -> Result<i64> {
    let request = fetch_request(std::iter::once(GROUP.to_owned()));
    let answer = connection.call(&request, 8)?;
    let group = answer.groups.first().context("no group")?;
    ensure!(group.error_code == 0, "error {}", group.error_code);
    Ok(group.topics[0].partitions[0].committed_offset)
}

#[test]
fn a_commit_is_seen_at_once_by_another_connection() -> Result<()> {
    let cluster = Cluster::of(3).start()?;
    cluster.create_topic(TOPIC, 1, 3, &[])?;
    let find = kafka::FindCoordinatorRequestData {
        coordinator_keys: vec![text(GROUP)],
        ..Default::default()
    };
    let node = eventually(DEADLINE, "the group has a coordinator", || {
        let answer = cluster.connect()?.call(&find, 6)?;
        let found = &answer.coordinators[0];
        let found = (found.error_code == 0).then_some(found.node_id);
        let mut nodes = cluster.nodes().iter();
        let Some(node) = nodes.find(|node| Some(node.id) == found) else {
            return Ok(None);
        };
        Ok((commit(&mut node.connect()?, 0)? == 0).then_some(node))
    })?;
    let (mut writer, mut reader) = (node.connect()?, node.connect()?);
    let acknowledged = AtomicI64::new(0);
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| -> Result<()> {
            for offset in 1..=COMMITS {
                ensure!(commit(&mut writer, offset)? == 0, "commit {offset}");
                acknowledged.store(offset, Ordering::SeqCst);
            }
            Ok(())
        });
        let mut rounds = 0;
        loop {
            let least = acknowledged.load(Ordering::SeqCst);
            let found = committed(&mut reader)?;
            ensure!(found >= least, "{found} after the answer to {least}");
            rounds += 1;
            if least == COMMITS || writing.is_finished() {
                break;
            }
        }
        ensure!(rounds > 1, "the offset was fetched {rounds} times");
        writing.join().expect("no panic")
    })
}

/// Returns the error of a topic in the metadata of a node.
fn error_of(connection: &mut KafkaConnection, topic: &str) -> Result<i16> {
    let wanted = kafka::MetadataRequestTopic {
        name: Some(text(topic)),
        ..Default::default()
    };
    let request = kafka::MetadataRequestData {
        topics: Some(vec![wanted]),
        ..Default::default()
    };
    let answer = connection.call(&request, 12)?;
    Ok(answer.topics.first().context("no topic")?.error_code)
}

const UNKNOWN_TOPIC_OR_PARTITION: i16 = 3;

#[test]
fn a_deleted_topic_is_gone_on_the_connection_that_deleted_it() -> Result<()> {
    let cluster = Cluster::of(3)
        .property("auto.create.topics.enable", "false")
        .start()?;
    for round in 0..5 {
        for node in cluster.nodes() {
            let topic = format!("t{round}-{}", node.id);
            cluster.create_topic(&topic, 3, 3, &[])?;
            let mut connection = node.connect()?;
            ensure!(error_of(&mut connection, &topic)? == 0, "{topic}");
            let request = kafka::DeleteTopicsRequestData {
                topic_names: vec![text(&topic)],
                timeout_ms: 30_000,
                ..Default::default()
            };
            let answer = connection.call(&request, 5)?;
            ensure!(answer.responses[0].error_code == 0, "{topic}: {answer:?}");
            let code = error_of(&mut connection, &topic)?;
            ensure!(code == UNKNOWN_TOPIC_OR_PARTITION, "{topic}: {code}");
        }
    }
    Ok(())
}
