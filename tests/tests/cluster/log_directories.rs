//! All replicas of a node move to its other log directory, under a limit and under a producer with
//! acks=all, with the tools of Kafka and ours. The node is killed in the middle, continues with the
//! copies, and no acknowledged record is lost. A second move, of another node, is cancelled.
//!
//! New replicas avoid directories in `cordoned.log.dirs`, and brokers all of whose directories are
//! in it (KIP-1066).

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::member::{Flavour, Member};
use dohle_tests::clients::producer::Producer;
use dohle_tests::cluster::text;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, replicas, until};
use kacrab_protocol::generated as kafka;

use super::console_tools::{ours, theirs};
use super::failed_directory::{give_second_directories, second_directory};
use super::faults::{allow_lost_connections, produce_until_acknowledged};
use super::full_disk::check_records;

const PARTITIONS: i32 = 3;
const VALUE: usize = 200;
/// The topics with all their replicas: an ordinary one, a compacted one and an internal one.
const TOPICS: [&str; 3] = ["t", "compacted", "__consumer_offsets"];
/// A limit that no move of this story ends under.
const SLOWLY: &str = "20000";
const FAST: &str = "1000000000";

/// Returns the other log directory than the one that a node has a replica in.
fn other_directory(cluster: &mut Cluster, id: i32, replica: &str) -> Result<PathBuf> {
    let (first, second) = (
        cluster.broker(id).data.clone(),
        second_directory(cluster, id),
    );
    let is_in_first = first.join(replica).exists();
    ensure!(
        is_in_first != second.join(replica).exists(),
        "{replica} is in one directory of {id}"
    );
    Ok(if is_in_first { second } else { first })
}

/// Writes the plan that moves all replicas of a node to its other directory. Returns how many there
/// are.
fn write_plan(cluster: &mut Cluster, id: i32) -> Result<usize> {
    let mut entries = Vec::new();
    for topic in TOPICS {
        for (partition, state) in cluster.describe(topic)?.iter().enumerate() {
            let to = other_directory(cluster, id, &format!("{topic}-{partition}"))?;
            let dir = |replica: &i32| match *replica == id {
                true => to.display().to_string(),
                false => "any".to_owned(),
            };
            let dirs: Vec<String> = state.replicas.iter().map(dir).collect();
            entries.push(serde_json::json!({
                "topic": topic, "partition": partition, "replicas": state.replicas,
                "log_dirs": dirs,
            }));
        }
    }
    let plan = serde_json::json!({"version": 1, "partitions": entries});
    std::fs::write(cluster.scratch().join("plan.json"), plan.to_string())?;
    Ok(entries.len())
}

/// Runs the tool that moves replicas, of Kafka or ours, with the plan that the test wrote.
fn reassign(cluster: &Cluster, is_ours: bool, args: &[&str]) -> Result<String> {
    let plan = cluster.scratch().join("plan.json").display().to_string();
    let args = [&["--reassignment-json-file", &plan], args].concat();
    let bootstrap = cluster.bootstrap();
    let program = match is_ours {
        true => ours("reassign-partitions", &bootstrap, &args)?,
        false => theirs("ReassignPartitionsCommand", &bootstrap, &args),
    };
    program.run()?.ok()
}

/// Starts to move all replicas of a node with this limit.
fn execute(cluster: &Cluster, is_ours: bool, limit: &str, replicas: usize) -> Result<()> {
    let limit = ["--replica-alter-log-dirs-throttle", limit];
    let begun = reassign(
        cluster,
        is_ours,
        &[&["--execute", "--additional"], &limit[..]].concat(),
    )?;
    let started = begun
        .matches("Successfully started moving log directory to ")
        .count();
    ensure!(started == replicas, "{begun}");
    Ok(())
}

/// Returns the copies that a tool shows in the log directories of a node.
fn copies(cluster: &Cluster, is_ours: bool, id: i32) -> Result<usize> {
    let id = id.to_string();
    let args = ["--describe", "--broker-list", &id];
    let described = match is_ours {
        true => ours("log-dirs", &cluster.bootstrap(), &args)?,
        false => theirs("LogDirsCommand", &cluster.bootstrap(), &args),
    };
    Ok(described.run()?.ok()?.matches(r#""isFuture":true"#).count())
}

fn wait_until_complete(cluster: &Cluster) -> Result<()> {
    until(DEADLINE, "all replicas have moved", || {
        let verified = reassign(cluster, true, &["--verify", "--preserve-throttles"])?;
        Ok(!verified.contains("is still in progress"))
    })
}

#[test]
fn replicas_move_between_log_directories_under_load_and_across_a_kill() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("offsets.topic.num.partitions", "1")
        .property("group.min.session.timeout.ms", "1000")
        .property("log.segment.bytes", "4194304")
        .prepare()?;
    give_second_directories(&cluster)?;
    cluster.start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic("t", PARTITIONS, 3, &[("min.insync.replicas", "2")])?;
    // A compacted topic accepts no record without a key.
    cluster.create_topic("compacted", 1, 3, &[])?;
    produce_until_acknowledged(&cluster, "compacted", "a value")?;
    let bootstrap = cluster.bootstrap();
    let entity = ["--entity-type", "topics", "--entity-name", "compacted"];
    let compact = ["--alter", "--add-config", "cleanup.policy=compact"];
    ours("configs", &bootstrap, &[&entity[..], &compact].concat())?
        .run()?
        .clean()?;
    let mut reader = Member::start(Flavour::ConfluentRange, &bootstrap, "compacted", "readers")?;
    until(DEADLINE, "the group commits what it read", || {
        Ok(reader.committed()?.get(&0) == Some(&1))
    })?;
    let mut producer = Producer::start(&bootstrap, "t", PARTITIONS, VALUE)?;
    until(DEADLINE, "there are records to copy", || {
        Ok(producer.acknowledged()?.len() > 20_000)
    })?;

    // Leaders and followers, until the node is killed.
    let moved = write_plan(&mut cluster, 1)?;
    execute(&cluster, true, SLOWLY, moved)?;
    ensure!(
        copies(&cluster, true, 1)? >= 3,
        "the copies of t are not complete"
    );
    let waits = reassign(&cluster, false, &["--verify"])?;
    ensure!(
        waits.contains("Reassignment of replica t-0-1 is still in progress."),
        "{waits}"
    );
    cluster.broker(1).kill()?;
    let before = cluster.broker(1).log()?.len();
    cluster.broker(1).start()?;
    let continued = "replica moves to another log directory";
    until(DEADLINE, "the moves are continued", || {
        Ok(cluster.broker(1).log()?[before..]
            .matches(continued)
            .count()
            >= 3)
    })?;
    ensure!(
        copies(&cluster, false, 1)? >= 3,
        "the copies of t are not continued"
    );
    execute(&cluster, false, FAST, moved)?;
    wait_until_complete(&cluster)?;
    let ended = reassign(&cluster, false, &["--verify"])?;
    let completed = ended.matches(" completed successfully.").count();
    ensure!(completed == moved, "{ended}");

    // A move of another node is cancelled.
    let moved = write_plan(&mut cluster, 2)?;
    execute(&cluster, false, SLOWLY, moved)?;
    ensure!(
        copies(&cluster, true, 2)? >= 3,
        "the copies of t are not complete"
    );
    let cancelled = reassign(&cluster, true, &["--cancel"])?;
    ensure!(
        cancelled.contains("Successfully started moving log directory to "),
        "{cancelled}"
    );
    ensure!(
        copies(&cluster, true, 2)? == 0,
        "the moves are not cancelled"
    );

    let acknowledged = producer.stop()?;
    reader.leave()?.ok()?;
    cluster.wait_in_sync("t")?;
    check_records(&cluster, (PARTITIONS, VALUE), &acknowledged)?;
    cluster.stop()?;
    for id in 1..=2 {
        for data in [
            cluster.broker(id).data.clone(),
            second_directory(&mut cluster, id),
        ] {
            for entry in std::fs::read_dir(data)? {
                let name = entry?.file_name().to_string_lossy().into_owned();
                ensure!(
                    !name.ends_with("-future") && !name.ends_with("-stray"),
                    "{name}"
                );
            }
        }
    }
    for topic in TOPICS {
        replicas::assert_identical(&cluster, topic)?;
    }
    eprintln!("{} records were acknowledged", acknowledged.len());
    Ok(())
}

/// Sets `cordoned.log.dirs` of the broker 1, or removes it.
fn cordon(cluster: &Cluster, dirs: Option<&str>) -> Result<()> {
    let change = match dirs {
        Some(dirs) => [
            "--add-config".to_owned(),
            format!("cordoned.log.dirs={dirs}"),
        ],
        None => ["--delete-config".to_owned(), "cordoned.log.dirs".to_owned()],
    };
    let entity = ["--alter", "--entity-type", "brokers", "--entity-name", "1"];
    let args = [&entity[..], &change.each_ref().map(String::as_str)].concat();
    let altered = ours("configs", &cluster.bootstrap(), &args)?;
    altered.run()?.clean()?;
    Ok(())
}

/// Returns the error of a topic that would be created, on any broker or on the broker 1.
fn refusal(cluster: &Cluster, replicas: i16, is_assigned: bool) -> Result<(i16, String)> {
    let mut topic = kafka::CreatableTopic {
        name: text("refused"),
        num_partitions: 1,
        replication_factor: replicas,
        ..Default::default()
    };
    if is_assigned {
        (topic.num_partitions, topic.replication_factor) = (-1, -1);
        topic.assignments = vec![kafka::CreatableReplicaAssignment {
            broker_ids: vec![1],
            ..Default::default()
        }];
    }
    let request = kafka::CreateTopicsRequestData {
        topics: vec![topic],
        timeout_ms: 30_000,
        validate_only: true,
        ..Default::default()
    };
    let response = cluster.connect()?.call(&request, 7)?;
    let result = response.topics.into_iter().next();
    let result = result.context("no answer for the topic")?;
    let message = result.error_message.map(|text| text.to_string());
    Ok((result.error_code, message.unwrap_or_default()))
}

#[test]
fn new_replicas_avoid_cordoned_log_directories() -> Result<()> {
    const INVALID_REPLICATION_FACTOR: i16 = 38;
    const INVALID_REPLICA_ASSIGNMENT: i16 = 39;
    let mut cluster = Cluster::of(2)
        .property("offsets.topic.replication.factor", "1")
        .prepare()?;
    give_second_directories(&cluster)?;
    cluster.start()?;
    cluster.create_topic("before", 2, 2, &[])?;
    let first = cluster.broker(1).data.clone();
    let second = second_directory(&mut cluster, 1);
    ensure!(
        first.join("before-0").exists() != first.join("before-1").exists(),
        "each directory has a replica"
    );

    cordon(&cluster, Some(&second.display().to_string()))?;
    cluster.create_topic("t", 4, 2, &[])?;
    for partition in 0..4 {
        let replica = first.join(format!("t-{partition}"));
        ensure!(replica.exists(), "{} is missing", replica.display());
    }

    cordon(&cluster, Some("*"))?;
    until(DEADLINE, "the broker gets no new replica", || {
        Ok(refusal(&cluster, 2, false)?.0 == INVALID_REPLICATION_FACTOR)
    })?;
    let (code, message) = refusal(&cluster, 2, true)?;
    ensure!(code == INVALID_REPLICA_ASSIGNMENT, "{code}: {message}");
    ensure!(
        message.contains("log directories are cordoned"),
        "{message}"
    );
    // The other broker has room, and the replicas that there are serve.
    cluster.create_topic("elsewhere", 3, 1, &[])?;
    for state in cluster.describe("elsewhere")? {
        ensure!(state.replicas == [2], "{state:?}");
    }
    produce_until_acknowledged(&cluster, "t", "a value")?;

    cordon(&cluster, None)?;
    until(DEADLINE, "the broker gets new replicas again", || {
        Ok(refusal(&cluster, 2, false)?.0 == 0)
    })?;
    cluster.stop()
}
