//! What is printed, against what Kafka's tool prints for the same state; and proposals.

use std::collections::BTreeMap;

use dohle_admin::{Node, Replica, ReplicaLogDir};
use expect_test::expect;

use super::generate::{parse_brokers, propose};
use super::plan::{format, parse, parse_topics};
use super::throttle::{moves, throttled_replicas};
use super::verify::{render, render_log_dirs, states};
use super::*;

fn id(topic: &str, partition: i32) -> PartitionId {
    PartitionId {
        topic: topic.to_owned(),
        partition,
    }
}

fn moving() -> BTreeMap<PartitionId, Reassignment> {
    let reassignment = Reassignment {
        replicas: vec![3, 2, 1],
        adding: vec![3],
        removing: vec![1],
    };
    [(id("orders", 1), reassignment)].into()
}

#[test]
fn moves_are_listed_as_kafka_does() {
    expect![[r#"
        Current partition reassignments:
        orders-1: replicas: 3,2,1. adding: 3. removing: 1.
    "#]]
    .assert_eq(&render_list(moving().iter()));
    let none = render_list(BTreeMap::new().iter());
    assert_eq!(none, "No partition reassignments found.\n");
}

#[test]
fn the_state_of_a_plan_is_told_as_kafka_does() {
    let targets = (0..3)
        .map(|partition| (id("orders", partition), vec![2, 3]))
        .collect();
    let current = BTreeMap::from([(id("orders", 0), vec![2, 3]), (id("orders", 2), vec![1, 2])]);
    expect![[r#"
        Status of partition reassignment:
        Reassignment of partition orders-0 is completed.
        Reassignment of partition orders-1 is still in progress.
        There is no active reassignment of partition orders-2, but replica set is 1,2 rather than 2,3.
    "#]]
    .assert_eq(&render(&states(&targets, &moving(), &current)));
}

#[test]
fn the_directories_of_replicas_are_told_as_kafka_does() {
    let replica = |broker| Replica {
        broker,
        id: id("t", 0),
    };
    let place = |current: Option<&str>, future: Option<&str>| ReplicaLogDir {
        current: current.map(str::to_owned),
        future: future.map(str::to_owned),
    };
    let targets = (1..=6)
        .map(|broker| (replica(broker), "/b".to_owned()))
        .collect();
    let found = BTreeMap::from([
        (replica(1), place(Some("/b"), None)),
        (replica(2), place(Some("/a"), None)),
        (replica(3), place(Some("/a"), Some("/b"))),
        (replica(4), place(Some("/a"), Some("/c"))),
        (replica(5), place(None, None)),
    ]);
    let (text, done) = render_log_dirs(&targets, &found);
    assert!(!done);
    expect![[r#"
        Reassignment of replica t-0-1 completed successfully.
        Partition t-0 on broker 2 is not being moved from log dir /a to /b.
        Reassignment of replica t-0-3 is still in progress.
        Partition t-0 on broker 4 is being moved to log dir /c instead of /b.
        Partition t-0 is not found in any live log dir on broker 5. There is likely an offline log directory on the broker.
        Partition t-0 cannot be found in any live log directory on broker 6."#]]
    .assert_eq(&text);
}

#[test]
fn plans_are_read_written_and_checked() {
    let text = r#"
        {"version":1,"partitions":[{"topic":"t","partition":0,"replicas":[1,2],"log_dirs":["/a","any"]}]}
    "#;
    let plan = parse(text).unwrap();
    plan.check().unwrap();
    assert_eq!(format(&plan.sorted(), &plan.log_dirs).unwrap(), text.trim());
    let entry = |replicas: &str| format!(r#"{{"topic":"t","partition":0,"replicas":{replicas}}}"#);
    let list = |entries: &[String]| format!(r#"{{"partitions":[{}]}}"#, entries.join(","));
    for (text, part) in [
        (list(&[]), "list cannot be empty"),
        (list(&[entry("[]")]), "replica list cannot be empty"),
        (
            list(&[entry("[1]"), entry("[2]")]),
            "contains duplicate topic partitions: t-0",
        ),
        (
            list(&[entry("[1,1]")]),
            "t-0 contains multiple entries for 1",
        ),
    ] {
        let error = parse(&text).unwrap().check().unwrap_err().to_string();
        assert!(error.contains(part), "{text}: {error}");
    }
    let wrong = r#"{"partitions":[{"topic":"t","partition":0,"replicas":[1],"log_dirs":[]}]}"#;
    let error = parse(wrong).unwrap_err().to_string();
    assert!(
        error.contains("is different from size of log dirs list"),
        "{error}"
    );
    assert!(
        parse("[")
            .unwrap_err()
            .to_string()
            .contains("not a valid JSON")
    );
    let twice = r#"{"topics":[{"topic":"a"},{"topic":"a"}]}"#;
    let error = parse_topics(twice).unwrap_err().to_string();
    assert_eq!(
        error,
        "List of topics to reassign contains duplicate entries: [a]"
    );
    let error = parse_brokers("1,2,1").unwrap_err().to_string();
    assert_eq!(error, "Broker list contains duplicate entries: [1]");
}

#[test]
fn throttles_name_who_sends_and_who_receives() {
    let proposed = BTreeMap::from([(id("orders", 0), vec![2, 3]), (id("orders", 1), vec![4])]);
    let current = BTreeMap::from([(id("orders", 0), vec![1, 2])]);
    let moves = moves(&moving(), &proposed, &current);
    let expected = ("0:1,0:2,1:1,1:2".to_owned(), "0:3,1:4".to_owned());
    assert_eq!(
        throttled_replicas(&moves),
        [("orders".to_owned(), expected)].into()
    );
}

#[test]
fn proposals_spread_leaders_and_racks() {
    let node = |id: i32, rack: Option<&str>| Node {
        id,
        host: "h".to_owned(),
        port: 1,
        rack: rack.map(str::to_owned),
        fenced: false,
    };
    let current: BTreeMap<_, _> = (0..12).map(|n| (id("t", n), vec![1, 2])).collect();
    for start in 0..7 {
        let racks = ["a", "a", "b", "b", "c", "c"];
        let nodes: Vec<Node> = (0..6)
            .map(|n| node(n, Some(racks[usize::try_from(n).unwrap()])))
            .collect();
        let proposed = propose(&current, &nodes, start).unwrap();
        let mut leaders: BTreeMap<i32, usize> = BTreeMap::new();
        for replicas in proposed.values() {
            *leaders.entry(replicas[0]).or_default() += 1;
            assert_ne!(replicas[0] / 2, replicas[1] / 2, "two racks: {proposed:?}");
        }
        assert!(leaders.values().all(|leads| *leads == 2), "{leaders:?}");
    }
    let error = propose(&current, &[node(1, None)], 0)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("replication factor of 2 cannot be reached"),
        "{error}"
    );
    let alone: BTreeMap<_, _> = [(id("t", 0), vec![1])].into();
    assert_eq!(
        propose(&alone, &[node(7, None)], 3).unwrap()[&id("t", 0)],
        [7]
    );
}

#[test]
fn options_that_do_not_go_together_are_refused_in_kafkas_words() {
    for (line, part) in [
        (
            "--list --verify",
            "Command must include exactly one action: --generate, --execute",
        ),
        (
            "--verify",
            "Missing required argument \"[reassignment-json-file]\"",
        ),
        (
            "--list --throttle 5",
            "Option \"[throttle]\" can't be used with action \"[list]\"",
        ),
    ] {
        let error = TOOL.read(&format!("--bootstrap-server h:1 {line}"));
        let error = error.unwrap_err().to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
}
