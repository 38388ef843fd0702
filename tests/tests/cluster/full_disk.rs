//! The disks of all three nodes become full: producers are refused early and with a reason, a node
//! starts on its full disk and serves reads, and once records or topics are deleted everything
//! resumes by itself, including the first consumer group. Each acknowledged record is there once
//! and in order.

#[path = "../../../crates/log/tests/common/small_fs.rs"]
mod small_fs;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use dohle_tests::clients::member::{Flavour, Member};
use dohle_tests::clients::producer::Producer;
use dohle_tests::cluster::text;
use dohle_tests::records::{batch, fetch, produce};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, replicas, until};
use kacrab_protocol::generated::{self as kafka, delete_records_request, delete_topics_request};
use small_fs::{Ballast, in_small_fs, mount};

use super::faults::{allow_lost_connections, produce_until_acknowledged};

/// The disk of a node. The reserve is a twentieth of it.
const DISK: &str = "size=56m";
const PARTITIONS: i32 = 3;
const VALUE: usize = 4096;
/// Batches of this many bytes fill the topics that are deleted later.
const OLD_BATCH: usize = 500_000;
const COORDINATOR_NOT_AVAILABLE: i16 = 15;
const KAFKA_STORAGE_ERROR: i16 = 56;

struct Story {
    cluster: Cluster,
    producer: Producer,
}

/// Returns the partitions of a topic with connections to their leaders.
fn leaders(cluster: &Cluster, topic: &str) -> Result<Vec<(i32, dohle_tests::KafkaConnection)>> {
    let states = cluster.describe(topic)?;
    let open = (0..).zip(states).map(|(partition, state)| {
        let node = cluster
            .nodes()
            .iter()
            .find(|node| Some(node.id) == state.leader);
        Ok((partition, node.context("no leader")?.connect()?))
    });
    open.collect()
}

/// Creates a topic and writes some megabytes to it.
fn create_old(cluster: &Cluster, topic: &str) -> Result<()> {
    cluster.create_topic(topic, PARTITIONS, 3, &[("segment.bytes", "1048576")])?;
    for (partition, mut leader) in leaders(cluster, topic)? {
        for _ in 0..8 {
            let records = batch(&[&[7; OLD_BATCH]])?.freeze();
            let produced = produce(&mut leader, topic, partition, -1, records)?;
            ensure!(produced.error_code == 0, "{produced:?}");
        }
    }
    Ok(())
}

/// Deletes all records of a topic with DeleteRecords.
fn delete_records(cluster: &Cluster, topic: &str) -> Result<()> {
    for (partition, mut leader) in leaders(cluster, topic)? {
        let request = kafka::DeleteRecordsRequestData {
            topics: vec![delete_records_request::DeleteRecordsTopic {
                name: text(topic),
                partitions: vec![delete_records_request::DeleteRecordsPartition {
                    partition_index: partition,
                    offset: -1,
                    ..Default::default()
                }],
                ..Default::default()
            }],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let response = leader.call(&request, 2)?;
        let result = &response.topics.first().context("no topic")?.partitions;
        let result = result.first().context("no partition")?;
        ensure!(result.error_code == 0, "{topic}-{partition}: {result:?}");
    }
    Ok(())
}

fn delete_topic(cluster: &Cluster, topic: &str) -> Result<()> {
    let request = kafka::DeleteTopicsRequestData {
        topics: vec![delete_topics_request::DeleteTopicState {
            name: Some(text(topic)),
            ..Default::default()
        }],
        timeout_ms: 30_000,
        ..Default::default()
    };
    let response = cluster.connect()?.call(&request, 6)?;
    let result = response.responses.first().context("no topic")?;
    ensure!(result.error_code == 0, "{topic}: {result:?}");
    Ok(())
}

/// Checks that no topic is created while the disk of the active controller is short of space.
fn check_no_topic_is_created(cluster: &Cluster) -> Result<()> {
    let mut attempts = 0;
    until(DEADLINE, "topics are refused", || {
        // The controller may not have heard of the full disks yet and create the first ones.
        attempts += 1;
        let topic = kafka::CreatableTopic {
            name: text(&format!("new-{attempts}")),
            num_partitions: 1,
            replication_factor: 3,
            ..Default::default()
        };
        let request = kafka::CreateTopicsRequestData {
            topics: vec![topic],
            timeout_ms: 30_000,
            ..Default::default()
        };
        let response = cluster.connect()?.call(&request, 7)?;
        let result = response.topics.first().context("no topic")?;
        let message = result.error_message.as_ref().map_or("", |it| it.as_str());
        ensure!(result.error_code == KAFKA_STORAGE_ERROR, "{result:?}");
        ensure!(message.contains("log.dir.reserve.bytes"), "{message}");
        Ok(true)
    })
}

/// Checks that the topic of groups is not created either, and that the response has the reason.
fn check_no_group_has_a_coordinator(cluster: &Cluster) -> Result<()> {
    let request = kafka::FindCoordinatorRequestData {
        coordinator_keys: vec![text("readers")],
        ..Default::default()
    };
    let response = cluster.connect()?.call(&request, 4)?;
    let found = response.coordinators.first().context("no coordinator")?;
    ensure!(found.error_code == COORDINATOR_NOT_AVAILABLE, "{found:?}");
    let message = found.error_message.as_ref().map_or("", |it| it.as_str());
    ensure!(message.contains("log.dir.reserve.bytes"), "{message}");
    Ok(())
}

impl Story {
    /// Waits until every leader refuses records, and checks the reason in the response.
    fn wait_until_refused(&self, topic: &str) -> Result<()> {
        for (partition, mut leader) in leaders(&self.cluster, topic)? {
            let what = format!("the leader of {topic}-{partition} refuses records");
            until(DEADLINE, what, || {
                let records = batch(&[b"one more"])?.freeze();
                let produced = produce(&mut leader, topic, partition, 1, records)?;
                if produced.error_code == 0 {
                    return Ok(false);
                }
                ensure!(produced.error_code == KAFKA_STORAGE_ERROR, "{produced:?}");
                let message = produced.error_message.context("no reason")?;
                ensure!(
                    message.contains("log.dir.reserve.bytes") && message.contains("data"),
                    "{message}"
                );
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// Waits until more records are acknowledged, in every partition.
    fn wait_until_acknowledged(&mut self, more: usize) -> Result<()> {
        let before = self.producer.acknowledged()?.keys().copied();
        let ends: BTreeMap<i32, i64> = before.collect();
        until(DEADLINE, "records are acknowledged again", || {
            let now: BTreeMap<i32, i64> = self.producer.acknowledged()?.keys().copied().collect();
            let more = i64::try_from(more)?;
            Ok((0..PARTITIONS).all(|partition| {
                now.get(&partition).copied().unwrap_or(-1)
                    >= ends.get(&partition).copied().unwrap_or(-1) + more
            }))
        })
    }

    /// Kills a node whose disk has no byte left and starts it again, and checks that it serves what
    /// it served before. Later records may have been acknowledged without it.
    fn restart_on_full_disk(&mut self, id: i32) -> Result<()> {
        let mut connection = self.cluster.broker(id).connect()?;
        let mut readable = Vec::new();
        for partition in 0..PARTITIONS {
            let (_, high_watermark) = fetch(&mut connection, "t", partition, 0)?;
            readable.push(high_watermark);
        }
        self.cluster.broker(id).kill()?;
        for partition in 0..PARTITIONS {
            self.cluster
                .wait_for_partition("t", partition as usize, DEADLINE, |state| {
                    state.leader.is_some_and(|leader| leader != id)
                })?;
        }
        self.cluster.broker(id).start()?;
        let mut connection = self.cluster.broker(id).connect()?;
        for (partition, readable) in (0..PARTITIONS).zip(readable) {
            let what = format!("node {id} serves t-{partition}");
            let mut offset = 0;
            until(DEADLINE, what, || {
                let (values, _) = fetch(&mut connection, "t", partition, offset)?;
                offset += i64::try_from(values.len())?;
                Ok(offset >= readable)
            })?;
        }
        Ok(())
    }
}

/// Returns the number of a record of the producer, whose values have `size` bytes.
fn number(value: &Bytes, size: usize) -> Result<u64> {
    ensure!(value.len() == size, "{} bytes", value.len());
    Ok(std::str::from_utf8(&value[..10])?.parse()?)
}

/// Checks that each record that a producer has sent to this many partitions of `t`, with values of
/// `size` bytes, is in its partition once, in the order of the numbers, and at the offset that was
/// acknowledged.
pub(super) fn check_records(
    cluster: &Cluster,
    (partitions, size): (i32, usize),
    acknowledged: &BTreeMap<(i32, i64), u64>,
) -> Result<()> {
    let mut found = 0;
    for (partition, mut leader) in leaders(cluster, "t")? {
        let mut offset = 0;
        loop {
            let (values, high_watermark) = fetch(&mut leader, "t", partition, offset)?;
            for value in &values {
                let number = number(value, size)?;
                let expected = offset * i64::from(partitions) + i64::from(partition);
                ensure!(
                    i64::try_from(number)? == expected,
                    "{number} at offset {offset} of partition {partition}"
                );
                ensure!(
                    acknowledged.get(&(partition, offset)) == Some(&number),
                    "{number} was not acknowledged at offset {offset} of partition {partition}"
                );
                offset += 1;
                found += 1;
            }
            if offset >= high_watermark {
                break;
            }
        }
    }
    ensure!(found == acknowledged.len(), "{found} records");
    Ok(())
}

fn story(root: &Path) -> Result<()> {
    let mut cluster = Cluster::of(3)
        .directory(root)
        .property("min.insync.replicas", "2")
        .property("replica.lag.time.max.ms", "2000")
        .property("offsets.topic.num.partitions", "3")
        .property("group.min.session.timeout.ms", "1000")
        .prepare()?;
    for node in cluster.nodes() {
        std::fs::create_dir(&node.data)?;
        mount(&node.data, DISK);
    }
    allow_lost_connections(&mut cluster);
    cluster.allow("has less free bytes than log.dir.reserve.bytes");
    cluster.allow("log directory is full");
    cluster.allow("no space for a segment's index files");
    // The last member leaves just before the nodes stop.
    cluster.allow("record of an empty group could not be written");
    // sled cannot be opened on a full disk; its copy of the metadata log is made again later.
    cluster.allow("removed the copy of the metadata log in sled");
    cluster.start()?;
    create_old(&cluster, "old-records")?;
    create_old(&cluster, "old-topic")?;
    cluster.create_topic("read", 1, 3, &[])?;
    produce_until_acknowledged(&cluster, "read", "a record")?;
    cluster.create_topic("t", PARTITIONS, 3, &[("segment.bytes", "1048576")])?;
    let producer = Producer::start(&cluster.bootstrap(), "t", PARTITIONS, VALUE)?;
    let mut story = Story { cluster, producer };

    story.wait_until_acknowledged(10)?;
    story.wait_until_refused("old-topic")?;
    check_no_topic_is_created(&story.cluster)?;
    check_no_group_has_a_coordinator(&story.cluster)?;
    let bootstrap = story.cluster.bootstrap();
    let mut reader = Member::start(Flavour::ConfluentRange, &bootstrap, "read", "readers")?;
    // Fills the space that the reserve has kept: not one byte is left.
    let nodes = story.cluster.nodes().iter();
    let ballast: Vec<Ballast> = nodes.map(|node| Ballast::fill(&node.data)).collect();
    story.wait_until_refused("old-topic")?;
    let restarted = story.cluster.leader("t", 0)?;
    story.restart_on_full_disk(restarted)?;
    story.wait_until_refused("old-topic")?;
    delete_records(&story.cluster, "old-records")?;
    story.wait_until_acknowledged(10)?;

    story.wait_until_refused("old-topic")?;
    delete_topic(&story.cluster, "old-topic")?;
    story.wait_until_acknowledged(10)?;
    drop(ballast);
    let Story {
        mut cluster,
        producer,
    } = story;
    let acknowledged = producer.stop()?;
    until(DEADLINE, "the group commits what it read", || {
        Ok(reader.committed()?.get(&0) == Some(&1))
    })?;
    reader.leave()?.ok()?;
    cluster.wait_in_sync("t")?;
    check_records(&cluster, (PARTITIONS, VALUE), &acknowledged)?;
    cluster.stop()?;
    replicas::assert_identical(&cluster, "t")?;
    eprintln!("{} records were acknowledged", acknowledged.len());
    Ok(())
}

#[test]
fn three_full_disks_lose_nothing_and_service_resumes_by_itself() {
    let name = "full_disk::three_full_disks_lose_nothing_and_service_resumes_by_itself";
    // The properties and logs of the nodes are outside of the nodes' disks.
    in_small_fs(name, "size=64m", |root| story(root).unwrap());
}
