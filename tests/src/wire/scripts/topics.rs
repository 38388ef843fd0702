//! CreateTopics, DeleteTopics and CreatePartitions. Pure.

use serde_json::{Value, json};

use super::super::script::{Script, Step, around, call, case, each};
use super::with;

pub(super) fn create_topics() -> Script {
    let mut sequences = each("good topics", 2..=7, &[], |_| good());
    sequences.extend(each("names", 2..=7, &[], |_| names()));
    sequences.extend(each("partitions", 2..=7, &[], |_| counts()));
    sequences.extend(each("assignments", 2..=7, &[], |_| assignments()));
    sequences.extend(each("configurations", 2..=7, &[], |_| configurations()));
    sequences.extend(each("timeouts", 2..=7, &[], |_| timeouts()));
    let empty = json!({"Topics": [], "timeoutMs": 10000});
    sequences.extend(around(2..=7, &empty));
    Script {
        api: "CreateTopics",
        unordered: &["Topics"],
        sequences,
    }
}

/// Returns a topic of one partition, with some of its fields changed.
fn topic(changes: &Value) -> Value {
    let topic = json!({"Name": "n%", "NumPartitions": 1, "ReplicationFactor": 1});
    with(&topic, changes)
}

fn created(topics: &[Value]) -> Value {
    json!({"Topics": topics, "timeoutMs": 10000})
}

fn validated(changes: &Value) -> Value {
    with(&created(&[topic(changes)]), &json!({"validateOnly": true}))
}

fn good() -> Vec<Step> {
    let assigned = json!({"Name": "assigned%", "NumPartitions": -1, "ReplicationFactor": -1,
        "Assignments": [{"PartitionIndex": 0, "BrokerIds": [1]}]});
    let configured = json!({"Name": "configured%",
        "Configs": [{"Name": "retention.ms", "Value": "60000"}]});
    vec![
        case("no topic", created(&[])),
        case("a topic, validated", validated(&json!({}))),
        case("a topic", created(&[topic(&json!({}))])),
        case("the topic again", created(&[topic(&json!({}))])),
        case("the topic again, validated", validated(&json!({}))),
        case(
            "the default numbers",
            created(&[json!({"Name": "d%", "NumPartitions": -1, "ReplicationFactor": -1})]),
        ),
        case("an assignment", created(&[topic(&assigned)])),
        case("a configuration", created(&[topic(&configured)])),
        case(
            "a good and a bad one",
            created(&[
                topic(&json!({"Name": "good%"})),
                topic(&json!({"Name": "bad%", "NumPartitions": 0})),
            ]),
        ),
        case(
            "a topic twice",
            created(&[
                topic(&json!({"Name": "twice%"})),
                topic(&json!({"Name": "twice%"})),
            ]),
        ),
        case(
            "a topic twice, and another",
            created(&[
                topic(&json!({"Name": "twice%"})),
                topic(&json!({"Name": "other%"})),
                topic(&json!({"Name": "twice%"})),
            ]),
        ),
    ]
}

fn names() -> Vec<Step> {
    let of = |name: &str| validated(&json!({ "Name": name }));
    let first = topic(&json!({"Name": "a.b%"}));
    vec![
        case("an empty name", of("")),
        case("one dot", of(".")),
        case("two dots", of("..")),
        case("a blank", of("a b%")),
        case("a slash", of("a/b%")),
        case("letters of another script", of("ä%")),
        case("249 characters", of(&"x".repeat(249))),
        case("250 characters", of(&"x".repeat(250))),
        case("the topic of groups", of("__consumer_offsets")),
        case("the log of metadata", of("__cluster_metadata")),
        call("CreateTopics", 7, created(&[first])),
        case("a dot and an underscore collide", of("a_b%")),
    ]
}

fn counts() -> Vec<Step> {
    let of = |partitions: i32, replicas: i16| {
        validated(&json!({"NumPartitions": partitions, "ReplicationFactor": replicas}))
    };
    vec![
        case("no partition", of(0, 1)),
        case("-2 partitions", of(-2, 1)),
        case("too many partitions", of(i32::MAX, 1)),
        case("no replica", of(1, 0)),
        case("-2 replicas", of(1, -2)),
        case("more replicas than brokers", of(1, 2)),
        case("no partition and no replica", of(0, 0)),
    ]
}

fn assignments() -> Vec<Step> {
    let of = |assignments: Value| {
        validated(&json!({"NumPartitions": -1, "ReplicationFactor": -1,
            "Assignments": assignments}))
    };
    let with_counts = |partitions: i32, replicas: i16| {
        validated(
            &json!({"NumPartitions": partitions, "ReplicationFactor": replicas,
            "Assignments": [{"PartitionIndex": 0, "BrokerIds": [1]}]}),
        )
    };
    let one = |index: i32, brokers: &[i32]| json!({"PartitionIndex": index, "BrokerIds": brokers});
    vec![
        case("two partitions", of(json!([one(0, &[1]), one(1, &[1])]))),
        case("out of order", of(json!([one(1, &[1]), one(0, &[1])]))),
        case("a gap", of(json!([one(0, &[1]), one(2, &[1])]))),
        case("not from 0", of(json!([one(1, &[1])]))),
        case("a partition twice", of(json!([one(0, &[1]), one(0, &[1])]))),
        case("a negative partition", of(json!([one(-1, &[1])]))),
        case("no broker", of(json!([one(0, &[])]))),
        case("an unknown broker", of(json!([one(0, &[9])]))),
        case("a negative broker", of(json!([one(0, &[-1])]))),
        case("a broker twice", of(json!([one(0, &[1, 1])]))),
        case("with a number of partitions", with_counts(1, -1)),
        case("with a number of replicas", with_counts(-1, 1)),
        case("with both numbers", with_counts(1, 1)),
    ]
}

fn configurations() -> Vec<Step> {
    let list = |configs: Value| validated(&json!({ "Configs": configs }));
    let of = |name: &str, value: Value| list(json!([{"Name": name, "Value": value}]));
    let bad = |name: &str, value: &str| {
        validated(&json!({"ReplicationFactor": 2,
            "Configs": [{"Name": name, "Value": value}]}))
    };
    vec![
        case("an unknown one", of("no.such", json!("1"))),
        case("an empty name", of("", json!("1"))),
        case("a null value", of("retention.ms", Value::Null)),
        case("an empty value", of("retention.ms", json!(""))),
        case("a word for a number", of("retention.ms", json!("x"))),
        case("a value out of range", of("retention.ms", json!("-2"))),
        case(
            "blanks around a value",
            of("retention.ms", json!(" 60000 ")),
        ),
        case("a broker's name", of("log.retention.ms", json!("1"))),
        case("no policy", of("cleanup.policy", json!(""))),
        case("an unknown policy", of("cleanup.policy", json!("x"))),
        case(
            "a ratio above 1",
            of("min.cleanable.dirty.ratio", json!("1.1")),
        ),
        case(
            "a policy twice",
            of("cleanup.policy", json!("compact,delete,delete")),
        ),
        case("remote storage", of("remote.storage.enable", json!("true"))),
        case(
            "no remote storage",
            of("remote.storage.enable", json!("false")),
        ),
        case("an unknown compression", of("compression.type", json!("x"))),
        case("capitals", of("compression.type", json!("GZIP"))),
        case("in sync replicas 0", of("min.insync.replicas", json!("0"))),
        case("in sync replicas 9", of("min.insync.replicas", json!("9"))),
        case(
            "a bad number of replicas and remote storage",
            bad("remote.storage.enable", "true"),
        ),
        case(
            "a bad number of replicas and an unknown one",
            bad("no.such", "true"),
        ),
        case(
            "a name twice",
            list(json!([{"Name": "retention.ms", "Value": "1"},
                {"Name": "retention.ms", "Value": "2"}])),
        ),
        case(
            "local retention above the retention",
            list(json!([{"Name": "retention.ms", "Value": "1"},
                {"Name": "local.retention.ms", "Value": "2"}])),
        ),
    ]
}

fn timeouts() -> Vec<Step> {
    let of = |name: &str, timeout: i32| {
        with(
            &created(&[topic(&json!({ "Name": name }))]),
            &json!({"timeoutMs": timeout}),
        )
    };
    let bad = |timeout: i32| {
        with(
            &validated(&json!({"NumPartitions": 0})),
            &json!({"timeoutMs": timeout}),
        )
    };
    vec![
        case("0", of("zero%", 0)),
        case("-1", of("minus%", -1)),
        case(
            "0, validated",
            with(&validated(&json!({})), &json!({"timeoutMs": 0})),
        ),
        case("0, a bad one", bad(0)),
    ]
}

pub(super) fn delete_topics() -> Script {
    let topics = [("t", 1), ("u", 1), ("v", 1), ("w", 1), ("x", 1), ("y", 1)];
    let mut sequences = each("by name", 1..=6, &topics, by_name);
    sequences.extend(each("by id", 6..=6, &topics, |_| by_id()));
    sequences.extend(around(1..=6, &deletion(6, &[])));
    Script {
        api: "DeleteTopics",
        unordered: &["Responses"],
        sequences,
    }
}

/// Returns a request that deletes topics by name.
fn deletion(version: i16, names: &[&str]) -> Value {
    if version < 6 {
        return json!({"TopicNames": names, "TimeoutMs": 10000});
    }
    let topics = names.iter().map(|name| json!({ "Name": name }));
    json!({"Topics": topics.collect::<Vec<_>>(), "TimeoutMs": 10000})
}

fn by_name(version: i16) -> Vec<Step> {
    let of = |names: &[&str]| deletion(version, names);
    let within = |names: &[&str], timeout: i32| {
        with(&deletion(version, names), &json!({"TimeoutMs": timeout}))
    };
    vec![
        case("no topic", of(&[])),
        case("a topic", of(&["t%"])),
        case("the topic again", of(&["t%"])),
        case("one that does not exist", of(&["none%"])),
        case("two that do not exist", of(&["none%", "none2%"])),
        case("an empty name", of(&[""])),
        case("an illegal name", of(&["a b"])),
        case("a topic twice", of(&["u%", "u%"])),
        case("a topic twice, and another", of(&["u%", "v%", "u%"])),
        case("a topic and one that does not exist", of(&["w%", "none%"])),
        case("a timeout of 0", within(&["x%"], 0)),
        case("a timeout of -1", within(&["y%"], -1)),
    ]
}

fn by_id() -> Vec<Step> {
    let zero = "0".repeat(32);
    let of = |topics: Value| json!({"Topics": topics, "TimeoutMs": 10000});
    let id = |id: &str| json!({"Name": null, "TopicId": id});
    let name = |name: &str| json!({ "Name": name });
    vec![
        case("a topic", of(json!([id("$id of t")]))),
        case("the topic again", of(json!([id("$id of t")]))),
        case("one that does not exist", of(json!([id(&"ab".repeat(16))]))),
        case("zeros and no name", of(json!([id(&zero)]))),
        case("zeros twice", of(json!([id(&zero), id(&zero)]))),
        case("an id twice", of(json!([id("$id of u"), id("$id of u")]))),
        case(
            "a name and an id",
            of(json!([{"Name": "u%", "TopicId": "$id of u"}])),
        ),
        case("by name and by id", of(json!([name("v%"), id("$id of v")]))),
        case("by id and by name", of(json!([id("$id of v"), name("v%")]))),
        case("two topics", of(json!([id("$id of w"), name("x%")]))),
    ]
}

pub(super) fn create_partitions() -> Script {
    let topics = [("t", 2), ("u", 1), ("v", 1)];
    let mut sequences = each("partitions", 0..=3, &topics, |_| partitions());
    let empty = json!({"Topics": [], "TimeoutMs": 10000});
    sequences.extend(around(0..=3, &empty));
    Script {
        api: "CreatePartitions",
        unordered: &["Results"],
        sequences,
    }
}

fn partitions() -> Vec<Step> {
    let list = |topics: Value| json!({"Topics": topics, "TimeoutMs": 10000});
    let of = |name: &str, count: i32| list(json!([{"Name": name, "Count": count}]));
    let check = |count: i32| with(&of("t%", count), &json!({"ValidateOnly": true}));
    let assigned = |count: i32, assignments: &[&[i32]]| {
        let assignments = assignments.iter().map(|ids| json!({ "BrokerIds": ids }));
        let assignments = assignments.collect::<Vec<_>>();
        let topic = json!({"Name": "t%", "Count": count, "Assignments": assignments});
        with(&list(json!([topic])), &json!({"ValidateOnly": true}))
    };
    vec![
        case("no topic", list(json!([]))),
        case("more, validated", check(3)),
        case("as many, validated", check(2)),
        case("fewer, validated", check(1)),
        case("none, validated", check(0)),
        case("-1, validated", check(-1)),
        case("too many, validated", check(i32::MAX)),
        case("too many without assignments, validated", {
            let topic = json!({"Name": "t%", "Count": 20_000, "Assignments": null});
            with(&list(json!([topic])), &json!({"ValidateOnly": true}))
        }),
        case("an assignment", assigned(3, &[&[1]])),
        case("two assignments", assigned(4, &[&[1], &[1]])),
        case("no assignment", assigned(3, &[])),
        case("too few assignments", assigned(4, &[&[1]])),
        case("too many assignments", assigned(3, &[&[1], &[1]])),
        case("an assignment to an unknown broker", assigned(3, &[&[9]])),
        case("an assignment to nobody", assigned(3, &[&[]])),
        case("an assignment to a broker twice", assigned(3, &[&[1, 1]])),
        case("one that does not exist", of("none%", 2)),
        case("an empty name", of("", 2)),
        case(
            "a topic twice",
            list(json!([{"Name": "u%", "Count": 2}, {"Name": "u%", "Count": 3}])),
        ),
        case(
            "a topic and one that does not exist",
            list(json!([{"Name": "u%", "Count": 2}, {"Name": "none%", "Count": 3}])),
        ),
        case("more", of("t%", 3)),
        case(
            "a timeout of 0",
            with(&of("v%", 2), &json!({"TimeoutMs": 0})),
        ),
        case(
            "a timeout of -1",
            with(&of("v%", 3), &json!({"TimeoutMs": -1})),
        ),
    ]
}
