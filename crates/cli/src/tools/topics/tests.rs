//! What is printed, against what Kafka's tool prints for the same state.

use std::collections::BTreeSet;

use dohle_admin::{ConfigEntry, ConfigSource, Partition, PartitionId, Reassignment, Topic};
use expect_test::expect;
use kacrab_protocol::KafkaUuid;

use super::describe::{Described, Shown, render, rows};
use super::*;

fn partition(partition: i32, leader: Option<i32>, isr: &[i32]) -> Partition {
    Partition {
        partition,
        leader,
        replicas: vec![1, 2, 3],
        isr: isr.to_vec(),
        elr: Some(Vec::new()),
        last_known_elr: Some(Vec::new()),
    }
}

fn config(name: &str, value: &str, source: ConfigSource) -> ConfigEntry {
    ConfigEntry {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        source,
        sensitive: false,
        read_only: false,
        synonyms: Vec::new(),
    }
}

fn orders() -> Described {
    let moving = PartitionId {
        topic: "orders".to_owned(),
        partition: 2,
    };
    let reassignment = Reassignment {
        replicas: vec![1, 2, 3],
        adding: vec![3],
        removing: vec![1],
    };
    Described {
        topic: Topic {
            name: "orders".to_owned(),
            id: KafkaUuid::from_base64("Th_tigX8Ru2SofOlg6A9Zw").unwrap(),
            partitions: vec![
                partition(0, Some(1), &[1, 2, 3]),
                partition(1, Some(2), &[2]),
                partition(2, None, &[]),
            ],
        },
        configs: vec![
            config("min.insync.replicas", "1", ConfigSource::DynamicTopicConfig),
            config(
                "cleanup.policy",
                "compact,delete",
                ConfigSource::DynamicTopicConfig,
            ),
            config("segment.bytes", "1073741824", ConfigSource::DefaultConfig),
        ],
        reassignments: [(moving, reassignment)].into(),
    }
}

fn shown(set: impl FnOnce(&mut Shown)) -> String {
    let mut shown = Shown::default();
    set(&mut shown);
    render(&rows(&[orders()], shown, &BTreeSet::from([1, 2])), shown)
}

#[test]
fn a_topic_is_described_in_kafkas_columns() {
    expect![[r#"
        Topic: orders	TopicId: Th_tigX8Ru2SofOlg6A9Zw	PartitionCount: 3	ReplicationFactor: 3	Configs: min.insync.replicas=1,cleanup.policy=compact,delete
        	Topic: orders	Partition: 0	Leader: 1	Replicas: 1,2,3	Isr: 1,2,3	Elr: 	LastKnownElr: 
        	Topic: orders	Partition: 1	Leader: 2	Replicas: 1,2,3	Isr: 2	Elr: 	LastKnownElr: 
        	Topic: orders	Partition: 2	Leader: none	Replicas: 1,2,3	Isr: 	Adding Replicas: 3	Removing Replicas: 1	Elr: 	LastKnownElr: 
    "#]]
    .assert_eq(&shown(|_| ()));
}

#[test]
fn reports_leave_the_partitions_that_they_are_about() {
    let partitions = |text: &str| -> Vec<String> {
        assert!(!text.contains("TopicId"), "{text}");
        let numbers = text
            .lines()
            .map(|line| line.split('\t').nth(2).unwrap().to_owned());
        numbers.collect()
    };
    let under = shown(|shown| shown.under_replicated = true);
    assert_eq!(partitions(&under), ["Partition: 1", "Partition: 2"]);
    let unavailable = shown(|shown| shown.unavailable = true);
    assert_eq!(partitions(&unavailable), ["Partition: 2"]);
    let under_min = shown(|shown| shown.under_min_isr = true);
    assert_eq!(partitions(&under_min), ["Partition: 2"]);
    let at_min = shown(|shown| shown.at_min_isr = true);
    assert_eq!(partitions(&at_min), ["Partition: 1"]);
    let overridden = shown(|shown| shown.with_overrides = true);
    assert_eq!(overridden.lines().count(), 1, "{overridden}");
}

#[test]
fn options_that_do_not_go_together_are_refused_in_kafkas_words() {
    for (line, expected) in [
        (
            "--list --create",
            "Command must include exactly one action: --list, --describe, --create, --alter or \
             --delete",
        ),
        ("--delete", "Missing required argument \"[topic]\""),
        (
            "--alter --topic t",
            "Missing required argument \"[partitions]\"",
        ),
        (
            "--describe --config a=b",
            "Option \"[config]\" can't be used with option \"[describe]\"",
        ),
        (
            "--create --topic t --replica-assignment 1:2 --partitions 2",
            "Option \"[replica-assignment]\" can't be used with option \"[partitions]\"",
        ),
    ] {
        let error = TOOL.read(line).unwrap_err();
        assert_eq!(error.to_string(), expected, "{line}");
    }
    assert!(TOOL.read("--describe").is_ok());
}

#[test]
fn assignments_and_configs_are_read() {
    let line = "--create --topic t --replica-assignment 1:2,2:3 --config retention.ms=5 --config \
                cleanup.policy=compact,delete";
    let topic = creation(&TOOL.read(line).unwrap()).unwrap();
    assert_eq!(topic.assignment, [[1, 2], [2, 3]]);
    let configs: Vec<_> = topic
        .configs
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(configs, ["cleanup.policy=compact,delete", "retention.ms=5"]);
    assert_eq!((topic.partitions, topic.replication_factor), (None, None));
    for (line, part) in [
        (
            "--create --topic t --replica-assignment 1:1",
            "duplicate entries: 1",
        ),
        (
            "--create --topic t --replica-assignment 1:2,3",
            "Partition 1 has different",
        ),
        (
            "--create --topic t --config retention.ms",
            "format \"key=val\"",
        ),
        ("--create --topic t --partitions 0", "greater than 0"),
        (
            "--create --topic t --replication-factor 40000",
            "between 1 and 32767",
        ),
    ] {
        let error = creation(&TOOL.read(line).unwrap()).unwrap_err().to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn a_name_with_a_typo_is_answered_with_the_nearest() {
    let message = "Topic 'oders' does not exist as expected";
    let error = unknown_name(message, "oders", ["orders", "payments"]);
    assert_eq!(
        error.to_string(),
        "Topic 'oders' does not exist as expected"
    );
    let hinted: &ErrorWithHint = error.downcast_ref().unwrap();
    assert_eq!(hinted.hint, "Did you mean orders?");
}
