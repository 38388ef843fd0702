//! Requests to three nodes: at followers, about partitions without a leader, and about replicas on
//! a node that is down. Pure.
//!
//! All sequences share the topics that [`topics`] lists.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::super::names::MADE_UP;
use super::super::script::{Sequence, Server, Step, Until, call, case, each, on};
use super::with;

/// Replicated to all nodes, led by the first one.
const LED: &str = "led";
/// On the first node alone.
const SINGLE: &str = "single";
/// On the third node alone.
const ORPHAN: &str = "orphan";
/// On the third node, its leader, and on the first.
const LEFT: &str = "left";
/// Topics of the first and second node that are moved to the first and third, one for each version.
const MOVED: [&str; 2] = ["moved0", "moved1"];
/// Topics of the first and third node that are moved to the second and third, one for each version.
const KEPT: [&str; 2] = ["kept0", "kept1"];

/// Returns the topics, of one partition each, and the nodes of their replicas.
pub fn topics() -> Vec<(&'static str, Vec<i32>)> {
    vec![
        (LED, vec![1, 2, 3]),
        (SINGLE, vec![1]),
        (ORPHAN, vec![3]),
        (LEFT, vec![3, 1]),
        (MOVED[0], vec![1, 2]),
        (MOVED[1], vec![1, 2]),
        (KEPT[0], vec![1, 3]),
        (KEPT[1], vec![1, 3]),
    ]
}

/// Writes two batches to the replicated topic, and waits until they are committed on the second
/// node.
pub fn before() -> Vec<Step> {
    let idempotent = json!([{"producer": MADE_UP, "epoch": 3, "sequence": 0, "records": ["i"]}]);
    let plain = json!([{"records": ["a", "b", "c"]}]);
    vec![
        call("Produce", 11, produced(LED, -1, &idempotent)),
        call("Produce", 11, produced(LED, -1, &plain)),
        Step::Node(2),
        until(
            "Fetch",
            11,
            fetched(LED, 0, -1),
            "Responses.0.Partitions.0.HighWatermark",
            json!(4),
        ),
    ]
}

/// Waits until the metadata of both nodes that are left are those of a cluster whose third node is
/// gone.
pub fn after_a_kill() -> Vec<Step> {
    let replicas = "Topics.0.Partitions.0.IsrNodes";
    let leader = "Topics.0.Partitions.0.LeaderId";
    let mut steps = Vec::new();
    for node in [1, 2] {
        steps.push(Step::Node(node));
        for topic in [LED, KEPT[0], KEPT[1]] {
            let isr = if topic == LED {
                json!([1, 2])
            } else {
                json!([1])
            };
            steps.push(until("Metadata", 12, metadata(&[topic]), replicas, isr));
        }
        for (topic, id) in [(ORPHAN, -1), (LEFT, 1)] {
            let request = metadata(&[topic]);
            steps.push(until("Metadata", 12, request, leader, json!(id)));
        }
    }
    steps
}

/// Returns the sequences about an API.
pub(super) fn sequences(api: &str) -> Vec<Sequence> {
    let three = |versions, steps: fn(i16) -> Vec<Step>| {
        on(Server::Three, each("three nodes", versions, &[], steps))
    };
    let two = |versions: RangeInclusive<i16>, steps: fn(i16) -> Vec<Step>| {
        on(
            Server::TwoOfThree,
            each("a node is down", versions, &[], steps),
        )
    };
    let (three, two) = match api {
        "Produce" => (
            three(3..=13, produce),
            two(3..=13, produce_without_a_leader),
        ),
        "Fetch" => (three(4..=18, fetch), two(4..=18, fetch_without_a_leader)),
        "ListOffsets" => (
            three(1..=11, offsets),
            two(1..=11, offsets_without_a_leader),
        ),
        "OffsetForLeaderEpoch" => (three(2..=4, epochs), two(2..=4, epochs_without_a_leader)),
        "DescribeProducers" => (
            three(0..=0, producers),
            two(0..=0, producers_without_a_leader),
        ),
        "DeleteRecords" => (
            three(0..=2, deletions),
            two(0..=2, deletions_without_a_leader),
        ),
        "Metadata" => (
            three(0..=13, topics_and_brokers),
            two(0..=13, missing_brokers),
        ),
        "DescribeTopicPartitions" => (three(0..=0, partitions), two(0..=0, partitions)),
        "DescribeCluster" => (three(0..=2, brokers), two(0..=2, brokers)),
        "ElectLeaders" => (three(0..=2, elections), two(0..=2, elections)),
        "AlterPartitionReassignments" => (Vec::new(), two(0..=1, moves)),
        "ListPartitionReassignments" => (Vec::new(), two(0..=0, list_of_moves)),
        "CreateTopics" => (Vec::new(), two(2..=7, new_topics)),
        "DescribeConfigs" => (three(1..=4, configs), Vec::new()),
        "UnregisterController" => (Vec::new(), two(0..=0, controllers)),
        _ => (Vec::new(), Vec::new()),
    };
    three.into_iter().chain(two).collect()
}

pub(super) fn until(
    api: &'static str,
    version: i16,
    request: Value,
    path: &'static str,
    is: Value,
) -> Step {
    Step::Call {
        api,
        version,
        request,
        until: Until::Field(path, is),
        captures: Vec::new(),
    }
}

fn id_of(topic: &str) -> String {
    format!("$id of {topic}")
}

fn produced(topic: &str, acks: i16, batches: &Value) -> Value {
    let partition = json!([{"Index": 0, "Records": batches}]);
    json!({"TransactionalId": null, "Acks": acks, "TimeoutMs": 2000,
        "TopicData": [{"Name": topic, "TopicId": id_of(topic), "PartitionData": partition}]})
}

fn produce(_: i16) -> Vec<Step> {
    let batch = json!([{"records": ["x"]}]);
    vec![
        Step::Node(2),
        case("at a follower", produced(LED, -1, &batch)),
        case(
            "at a follower, acks of the leader",
            produced(LED, 1, &batch),
        ),
        case("at a node without a replica", produced(SINGLE, -1, &batch)),
    ]
}

fn produce_without_a_leader(_: i16) -> Vec<Step> {
    let batch = json!([{"records": ["x"]}]);
    vec![
        case("no leader", produced(ORPHAN, -1, &batch)),
        case("no leader, acks of the leader", produced(ORPHAN, 1, &batch)),
    ]
}

fn fetched(topic: &str, offset: i64, epoch: i32) -> Value {
    let partition = json!({"Partition": 0, "FetchOffset": offset, "CurrentLeaderEpoch": epoch,
        "PartitionMaxBytes": 1_000_000});
    json!({"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 10_000_000,
        "Topics": [{"Topic": topic, "TopicId": id_of(topic), "Partitions": [partition]}]})
}

fn fetch(_: i16) -> Vec<Step> {
    vec![
        Step::Node(2),
        case("at a follower", fetched(LED, 0, -1)),
        case("at a follower, from the end", fetched(LED, 4, -1)),
        case("at a follower, from behind the end", fetched(LED, 9, -1)),
        case("at a follower, the leader's epoch", fetched(LED, 0, 0)),
        case("at a follower, a later epoch", fetched(LED, 0, 1)),
        case("at a follower, epoch -2", fetched(LED, 0, -2)),
        case("at a node without a replica", fetched(SINGLE, 0, -1)),
    ]
}

fn fetch_without_a_leader(_: i16) -> Vec<Step> {
    vec![case("no leader", fetched(ORPHAN, 0, -1))]
}

fn offset(topic: &str, timestamp: i64, changes: &Value) -> Value {
    let partition = json!({"PartitionIndex": 0, "Timestamp": timestamp});
    json!({"ReplicaId": -1, "IsolationLevel": 0, "TimeoutMs": 1000,
        "Topics": [{"Name": topic, "Partitions": [with(&partition, changes)]}]})
}

fn offsets(_: i16) -> Vec<Step> {
    let plain = |timestamp| offset(LED, timestamp, &json!({}));
    let epoch = |epoch: i32| offset(LED, -1, &json!({ "CurrentLeaderEpoch": epoch }));
    let tool = |timestamp| with(&plain(timestamp), &json!({"ReplicaId": -2}));
    vec![
        Step::Node(2),
        case("at a follower", plain(-1)),
        case("the start at a follower", plain(-2)),
        case("timestamp 0 at a follower", plain(0)),
        case("at a follower, the leader's epoch", epoch(0)),
        case("at a follower, a later epoch", epoch(1)),
        case("at a follower, epoch -2", epoch(-2)),
        case("a tool at a follower", tool(-1)),
        case("the start of a tool at a follower", tool(-2)),
        case("timestamp 0 of a tool at a follower", tool(0)),
        case(
            "at a node without a replica",
            offset(SINGLE, -1, &json!({})),
        ),
    ]
}

fn offsets_without_a_leader(_: i16) -> Vec<Step> {
    vec![case("no leader", offset(ORPHAN, -1, &json!({})))]
}

fn epoch_end(topic: &str, epoch: i32, current: i32) -> Value {
    let partition = json!({"Partition": 0, "LeaderEpoch": epoch, "CurrentLeaderEpoch": current});
    json!({"ReplicaId": -1, "Topics": [{"Topic": topic, "Partitions": [partition]}]})
}

fn epochs(_: i16) -> Vec<Step> {
    let replica = with(&epoch_end(LED, 0, 0), &json!({"ReplicaId": 3}));
    vec![
        Step::Node(2),
        case("at a follower", epoch_end(LED, 0, -1)),
        case("at a follower, the leader's epoch", epoch_end(LED, 0, 0)),
        case("at a follower, a later epoch", epoch_end(LED, 0, 1)),
        case("at a follower, epoch -2", epoch_end(LED, 0, -2)),
        case("at a node without a replica", epoch_end(SINGLE, 0, -1)),
        Step::Node(1),
        case("a replica", replica),
    ]
}

fn epochs_without_a_leader(_: i16) -> Vec<Step> {
    vec![case("no leader", epoch_end(ORPHAN, 0, -1))]
}

fn producers_of(topic: &str) -> Value {
    json!({"Topics": [{"Name": topic, "PartitionIndexes": [0]}]})
}

fn producers(_: i16) -> Vec<Step> {
    vec![
        case("at the leader", producers_of(LED)),
        Step::Node(2),
        case("at a follower", producers_of(LED)),
        case("at a node without a replica", producers_of(SINGLE)),
    ]
}

fn producers_without_a_leader(_: i16) -> Vec<Step> {
    vec![case("no leader", producers_of(ORPHAN))]
}

fn deleted(topic: &str) -> Value {
    let partitions = json!([{"PartitionIndex": 0, "Offset": 1}]);
    json!({"Topics": [{"Name": topic, "Partitions": partitions}], "TimeoutMs": 2000})
}

fn deletions(_: i16) -> Vec<Step> {
    vec![
        Step::Node(2),
        case("at a follower", deleted(LED)),
        case("at a node without a replica", deleted(SINGLE)),
    ]
}

fn deletions_without_a_leader(_: i16) -> Vec<Step> {
    vec![case("no leader", deleted(ORPHAN))]
}

fn metadata(topics: &[&str]) -> Value {
    let topics: Vec<Value> = topics.iter().map(|name| json!({ "Name": name })).collect();
    json!({"Topics": topics, "AllowAutoTopicCreation": false})
}

fn topics_and_brokers(_: i16) -> Vec<Step> {
    let request = metadata(&[LEFT, LED, "never", ORPHAN]);
    vec![
        case("at the first node", request.clone()),
        Step::Node(3),
        case("at the third node", request),
    ]
}

fn missing_brokers(_: i16) -> Vec<Step> {
    vec![
        case("some topics", metadata(&[LEFT, LED, ORPHAN])),
        Step::Node(2),
        case("no leader", metadata(&[ORPHAN])),
    ]
}

fn partitions(_: i16) -> Vec<Step> {
    let topics = [LEFT, LED, ORPHAN].map(|name| json!({ "Name": name }));
    vec![case(
        "some topics",
        json!({ "Topics": topics, "ResponsePartitionLimit": 2000 }),
    )]
}

fn brokers(version: i16) -> Vec<Step> {
    let mut steps = vec![case("all", json!({}))];
    if version >= 2 {
        steps.push(case(
            "those that are fenced too",
            json!({"IncludeFencedBrokers": true}),
        ));
    }
    steps
}

fn elections(version: i16) -> Vec<Step> {
    let of = |kind: i8, topic: &str| {
        json!({"ElectionType": kind, "TimeoutMs": 10000,
            "TopicPartitions": [{"Topic": topic, "Partitions": [0]}]})
    };
    let mut steps = vec![
        case("of the preferred replica", of(0, LED)),
        case("of the preferred replica of an orphan", of(0, ORPHAN)),
    ];
    if version >= 1 {
        steps.push(case("of any replica", of(1, LED)));
        steps.push(case("of any replica of an orphan", of(1, ORPHAN)));
    }
    steps
}

pub(super) fn moved(topic: &str, replicas: &Value) -> Value {
    let partitions = json!([{"PartitionIndex": 0, "Replicas": replicas}]);
    json!({"TimeoutMs": 10000, "Topics": [{"Name": topic, "Partitions": partitions}]})
}

/// Cancels a move to a node that is down, and one that completed without the replica that is down.
fn moves(version: i16) -> Vec<Step> {
    let (pending, kept) = (MOVED[version as usize], KEPT[version as usize]);
    let replicas = "Topics.0.Partitions.0.ReplicaNodes";
    let of = |topic, is| until("Metadata", 12, metadata(&[topic]), replicas, is);
    vec![
        case("to a node that is down", moved(pending, &json!([1, 3]))),
        of(pending, json!([1, 3, 2])),
        case("a cancel", moved(pending, &Value::Null)),
        of(pending, json!([1, 2])),
        case("a second cancel", moved(pending, &Value::Null)),
        case("beside a node that is down", moved(kept, &json!([2, 3]))),
        of(kept, json!([2, 3])),
        case("a cancel of what is done", moved(kept, &Value::Null)),
    ]
}

fn list_of_moves(_: i16) -> Vec<Step> {
    let of = |topics: Value| json!({"TimeoutMs": 10000, "Topics": topics});
    let own = json!([{"Name": MOVED[0], "PartitionIndexes": [0]}]);
    vec![
        call(
            "AlterPartitionReassignments",
            0,
            moved(MOVED[0], &json!([1, 3])),
        ),
        case("one", of(own)),
        case("all", of(Value::Null)),
        call(
            "AlterPartitionReassignments",
            0,
            moved(MOVED[0], &Value::Null),
        ),
        case("none any more", of(Value::Null)),
    ]
}

fn new_topics(_: i16) -> Vec<Step> {
    let of = |name: &str, changes: &Value| {
        let topic = json!({"Name": name, "NumPartitions": 1, "ReplicationFactor": 1});
        json!({"Topics": [with(&topic, changes)], "timeoutMs": 10000})
    };
    let on = |brokers: &[i32]| {
        let assignments = json!([{"PartitionIndex": 0, "BrokerIds": brokers}]);
        json!({"NumPartitions": -1, "ReplicationFactor": -1, "Assignments": assignments})
    };
    vec![
        case(
            "three replicas",
            of("three%", &json!({"ReplicationFactor": 3})),
        ),
        case("two replicas", of("two%", &json!({"ReplicationFactor": 2}))),
        case("on the node that is down", of("down%", &on(&[3]))),
        case("on that node and another one", of("partly%", &on(&[3, 1]))),
    ]
}

fn configs(_: i16) -> Vec<Step> {
    let of = |name: &str| {
        json!({"Resources": [{"ResourceType": 4, "ResourceName": name,
            "ConfigurationKeys": ["node.id"]}]})
    };
    vec![case("another broker", of("2")), case("no broker", of("9"))]
}

fn controllers(_: i16) -> Vec<Step> {
    let down = json!({"ControllerId": 3});
    vec![
        case("the node that is down", down.clone()),
        case("the node that is down, again", down),
        case("no node", json!({"ControllerId": 4})),
    ]
}
