//! Committed offsets: read by Kafka's own tools, over the network and from the log's files; while
//! coordinators die; and when they expire.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::java::tool;
use dohle_tests::clients::kcat::kcat;
use dohle_tests::clients::member::{Flavour, Member};
use dohle_tests::cluster::text;
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, KafkaConnection, replicas, until};
use kacrab_protocol::generated as kafka;

use crate::faults::allow_lost_connections;

pub(crate) const TOPIC: &str = "orders";
/// How long a member may take to join and to commit.
const SETTLED: Duration = Duration::from_secs(60);

/// Two partitions with ten records each.
fn start() -> Result<Cluster> {
    let cluster = Cluster::of(1)
        .property("group.min.session.timeout.ms", "1000")
        .property("group.initial.rebalance.delay.ms", "0")
        .property("group.consumer.min.heartbeat.interval.ms", "300")
        .property("group.consumer.heartbeat.interval.ms", "300")
        .property("offsets.topic.num.partitions", "2")
        .start()?;
    cluster.create_topic(TOPIC, 2, 1, &[])?;
    for partition in ["0", "1"] {
        let lines: String = (0..10).map(|n| format!("{n}\n")).collect();
        let bootstrap = cluster.bootstrap();
        kcat(&bootstrap, &["-P", "-t", TOPIC, "-p", partition])
            .input(lines)
            .run()?
            .ok()?;
    }
    Ok(cluster)
}

/// Runs Kafka's `kafka-consumer-groups.sh`.
fn groups(cluster: &Cluster, args: &[&str]) -> Result<String> {
    tool("consumer.group.ConsumerGroupCommand")
        .args(["--bootstrap-server", &cluster.bootstrap()])
        .args(args)
        .run()?
        .clean()
}

/// Returns the words of the line of a table that begins with these.
fn row<'a>(table: &'a str, begin: &[&str]) -> Result<Vec<&'a str>> {
    let rows = table
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.into_iter()
        .find(|words| words.starts_with(begin))
        .with_context(|| format!("no line begins with {begin:?}:\n{table}"))
}

#[test]
fn kafkas_tool_sets_shows_and_deletes_offsets_and_groups() -> Result<()> {
    let cluster = start()?;
    let reset = groups(
        &cluster,
        &[
            "--reset-offsets",
            "--group",
            "billing",
            "--topic",
            TOPIC,
            "--to-offset",
            "4",
            "--execute",
        ],
    )?;
    assert_eq!(row(&reset, &["billing", TOPIC, "1"])?[3], "4", "{reset}");

    let of_group = ["--describe", "--group", "billing"];
    // Without members the tool prints a notice on its standard error.
    let described = tool("consumer.group.ConsumerGroupCommand")
        .args(["--bootstrap-server", &cluster.bootstrap()])
        .args(of_group)
        .run()?
        .ok()?;
    let first = row(&described, &["billing", TOPIC, "0"])?;
    assert_eq!(first[3..6], ["4", "10", "6"], "{described}");

    let listed = groups(&cluster, &["--list", "--state"])?;
    assert_eq!(row(&listed, &["billing"])?, ["billing", "Empty"]);
    let listed = groups(&cluster, &["--list", "--type"])?;
    assert_eq!(row(&listed, &["billing"])?, ["billing", "Classic"]);

    let only = format!("{TOPIC}:0");
    let args = ["--delete-offsets", "--group", "billing", "--topic", &only];
    let deleted = groups(&cluster, &args)?;
    assert!(deleted.contains("Request succeeded"), "{deleted}");
    let deleted = groups(&cluster, &["--delete", "--group", "billing"])?;
    assert!(deleted.contains("was successful"), "{deleted}");
    assert_eq!(groups(&cluster, &["--list"])?.trim(), "");
    Ok(())
}

/// Lets a member read everything, commit, and leave.
fn commit(cluster: &Cluster, flavour: Flavour, group: &str) -> Result<()> {
    let mut member = Member::start(flavour, &cluster.bootstrap(), TOPIC, group)?;
    until(SETTLED, format!("{group} has committed"), || {
        let committed = member.committed()?;
        Ok(committed.len() == 2 && committed.values().all(|offset| *offset == 10))
    })?;
    member.leave()?;
    Ok(())
}

#[test]
fn what_groups_write_is_understood_by_kafkas_own_tool() -> Result<()> {
    let mut cluster = start()?;
    commit(&cluster, Flavour::JavaRange, "classic")?;
    commit(&cluster, Flavour::JavaConsumer, "modern")?;
    groups(
        &cluster,
        &[
            "--reset-offsets",
            "--group",
            "gone",
            "--topic",
            TOPIC,
            "--to-earliest",
            "--execute",
        ],
    )?;
    groups(&cluster, &["--delete", "--group", "gone"])?;
    cluster.stop()?;

    let mut files: Vec<PathBuf> = Vec::new();
    for partition in 0..2 {
        let folder = format!("__consumer_offsets-{partition}");
        files.extend(replicas::files(
            &cluster.nodes()[0].data.join(folder),
            "log",
        )?);
    }
    let names: Vec<String> = files.iter().map(|it| it.display().to_string()).collect();
    let dump = tool("DumpLogSegments")
        .args(["--offsets-decoder", "--files", &names.join(",")])
        .run()?
        .ok()?;
    let records: Vec<&str> = dump
        .lines()
        .filter(|line| line.contains(" key: "))
        .collect();
    let key = |line: &&str, group: &str, kind: i32| {
        let begin = format!("key: {{\"type\":\"{kind}\",\"data\":");
        line.contains(&begin) && line.contains(&format!("\":\"{group}\""))
    };
    let last = |group: &str, kind: i32| -> Result<&str> {
        let found = records.iter().rfind(|line| key(line, group, kind));
        let found = found.with_context(|| format!("{group} has no record of type {kind}: {dump}"));
        found.copied()
    };
    for line in &records {
        let understood = line.contains("payload: {\"version\"") || line.contains("<DELETE>");
        ensure!(understood, "{line}");
    }
    for group in ["classic", "modern"] {
        let offset = last(group, 1)?;
        let expected = "{\"version\":\"4\",\"data\":{\"offset\":10,";
        ensure!(offset.contains(expected), "{offset}");
    }
    // The records of the classic group with a member, and after it has become empty.
    let stable = records.iter().filter(|line| key(line, "classic", 2));
    let stable =
        stable.filter(|line| line.contains("\"assignedPartitions\":[{\"topic\":\"orders\""));
    ensure!(stable.count() == 1, "{dump}");
    let empty = last("classic", 2)?;
    ensure!(
        empty.contains("\"generation\":2,\"protocol\":null"),
        "{empty}"
    );
    // The records of the consumer group: its epoch, its member and the member's assignment, until
    // it left.
    last("modern", 3)?;
    for kind in [5, 7, 8] {
        let gone = last("modern", kind)?;
        ensure!(gone.contains("<DELETE>"), "{gone}");
        let there = records.iter().filter(|line| key(line, "modern", kind));
        ensure!(there.count() > 1, "{dump}");
    }
    let subscribed = records.iter().find(|line| key(line, "modern", 5));
    let subscribed = subscribed.context("the member")?;
    let names_only = "\"subscribedTopicNames\":[\"orders\"]";
    let new_protocol = "\"classicMemberMetadata\":null";
    ensure!(subscribed.contains(names_only), "{subscribed}");
    ensure!(subscribed.contains(new_protocol), "{subscribed}");
    for kind in [1, 2] {
        let gone = last("gone", kind)?;
        ensure!(gone.contains("<DELETE>"), "{gone}");
    }
    Ok(())
}

/// COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE, NOT_COORDINATOR.
const TRY_AGAIN: [i16; 3] = [14, 15, 16];
/// The number of groups that commit.
const GROUPS: usize = 60;

fn name(group: usize) -> String {
    format!("group-{group}")
}

/// Returns a commit without membership, of partition 0.
pub(crate) fn commit_request(group: &str, offset: i64) -> kafka::OffsetCommitRequestData {
    kafka::OffsetCommitRequestData {
        group_id: text(group),
        generation_id_or_member_epoch: -1,
        topics: vec![kafka::OffsetCommitRequestTopic {
            name: text(TOPIC),
            partitions: vec![kafka::OffsetCommitRequestPartition {
                partition_index: 0,
                committed_offset: offset,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Returns a request for the committed offsets of partition 0.
pub(crate) fn fetch_request(groups: impl Iterator<Item = String>) -> kafka::OffsetFetchRequestData {
    let groups = groups.map(|group| kafka::OffsetFetchRequestGroup {
        group_id: text(&group),
        member_epoch: -1,
        topics: Some(vec![kafka::OffsetFetchRequestTopics {
            name: text(TOPIC),
            partition_indexes: vec![0],
            ..Default::default()
        }]),
        ..Default::default()
    });
    kafka::OffsetFetchRequestData {
        groups: groups.collect(),
        ..Default::default()
    }
}

/// Commits this offset for every group at its coordinator, until all groups have it.
fn commit_all(cluster: &Cluster, offset: i64) -> Result<()> {
    let mut left: BTreeSet<usize> = (0..GROUPS).collect();
    until(
        DEADLINE,
        format!("all groups have committed {offset}"),
        || {
            for node in cluster.nodes().iter().filter(|node| node.is_up()) {
                let mut connection = node.connect()?;
                for group in left.clone() {
                    let request = commit_request(&name(group), offset);
                    let answer = connection.call(&request, 7)?;
                    let code = answer.topics[0].partitions[0].error_code;
                    ensure!(code == 0 || TRY_AGAIN.contains(&code), "error {code}");
                    if code == 0 {
                        left.remove(&group);
                    }
                }
            }
            Ok(left.is_empty())
        },
    )
}

/// Fetches all groups from a node. Each group has this offset, or must be asked for again.
fn fetch(connection: &mut KafkaConnection, offset: i64) -> Result<BTreeSet<String>> {
    let request = fetch_request((0..GROUPS).map(name));
    let mut known = BTreeSet::new();
    for group in connection.call(&request, 8)?.groups {
        if TRY_AGAIN.contains(&group.error_code) {
            continue;
        }
        assert_eq!(group.error_code, 0, "{}", group.group_id);
        let partition = &group.topics[0].partitions[0];
        assert_eq!(partition.error_code, 0, "{}", group.group_id);
        assert_eq!(partition.committed_offset, offset, "{}", group.group_id);
        known.insert(group.group_id.to_string());
    }
    Ok(known)
}

/// Asks all nodes for all groups, until each group was returned by some node.
fn fetch_all(cluster: &Cluster, offset: i64) -> Result<()> {
    let mut known = BTreeSet::new();
    until(DEADLINE, "all groups are served", || {
        for node in cluster.nodes().iter().filter(|node| node.is_up()) {
            known.append(&mut fetch(&mut node.connect()?, offset)?);
        }
        Ok(known.len() == GROUPS)
    })
}

#[test]
fn no_committed_offset_is_lost_or_denied_while_coordinators_die() -> Result<()> {
    let mut cluster = Cluster::of(3)
        .property("offsets.topic.num.partitions", "6")
        .start()?;
    allow_lost_connections(&mut cluster);
    cluster.create_topic(TOPIC, 1, 3, &[])?;
    let find = kafka::FindCoordinatorRequestData {
        key: text(&name(0)),
        ..Default::default()
    };
    until(DEADLINE, "there is a coordinator", || {
        Ok(cluster.connect()?.call(&find, 3)?.error_code == 0)
    })?;
    commit_all(&cluster, 0)?;
    for victim in 1..=3 {
        let offset = i64::from(victim);
        cluster.broker(victim).kill()?;
        fetch_all(&cluster, offset - 1)?;
        commit_all(&cluster, offset)?;
        cluster.broker(victim).start()?;
        cluster.wait_in_sync("__consumer_offsets")?;
        fetch_all(&cluster, offset)?;
    }
    cluster.stop()?;
    cluster.start()?;
    fetch_all(&cluster, 3)
}

#[test]
fn offsets_expire_and_groups_with_their_last_one() -> Result<()> {
    let cluster = Cluster::of(1)
        .property("offsets.retention.check.interval.ms", "500")
        .property("offsets.topic.num.partitions", "2")
        .start()?;
    cluster.create_topic(TOPIC, 1, 1, &[])?;
    let mut connection = cluster.connect()?;
    // Old clients send a retention time.
    for (group, retention_time_ms) in [("soon", 1), ("later", 3_600_000), ("default", -1)] {
        let request = kafka::OffsetCommitRequestData {
            retention_time_ms,
            ..commit_request(group, 1)
        };
        until(DEADLINE, format!("{group} has committed"), || {
            let find = kafka::FindCoordinatorRequestData {
                key: text(group),
                ..Default::default()
            };
            connection.call(&find, 3)?;
            let answer = connection.call(&request, 4)?;
            Ok(answer.topics[0].partitions[0].error_code == 0)
        })?;
    }
    until(DEADLINE, "one group is gone", || {
        let groups = connection
            .call(&kafka::ListGroupsRequestData::default(), 5)?
            .groups;
        let names: BTreeSet<_> = groups.iter().map(|it| it.group_id.as_str()).collect();
        ensure!(
            names.contains("later") && names.contains("default"),
            "{names:?}"
        );
        Ok(!names.contains("soon"))
    })
}
