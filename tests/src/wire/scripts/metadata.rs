//! Metadata, DescribeTopicPartitions, DeleteRecords and OffsetForLeaderEpoch. Pure.

use serde_json::{Value, json};

use super::super::script::{Script, Step, around, call, case, each, frames};
use super::{automatic_topics, with, write_plain};

pub(super) fn metadata() -> Script {
    let topics = [("t", 2), ("u", 1)];
    let mut sequences = each("topics", 0..=13, &topics, |_| by_name());
    sequences.extend(each("ids", 10..=13, &topics, |_| by_id()));
    let request = json!({"Topics": [], "AllowAutoTopicCreation": false});
    sequences.extend(frames(0..=13, &request));
    sequences.extend(around(0..=13, &request));
    sequences.extend(automatic_topics::sequences());
    Script {
        api: "Metadata",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}

fn asked(topics: Value) -> Value {
    json!({"Topics": topics, "AllowAutoTopicCreation": false})
}

fn by_name() -> Vec<Step> {
    let of = |names: &[&str]| {
        let topics = names.iter().map(|name| json!({ "Name": name }));
        asked(topics.collect())
    };
    let allowed = json!({"IncludeClusterAuthorizedOperations": true,
        "IncludeTopicAuthorizedOperations": true});
    vec![
        case("a topic", of(&["t%"])),
        case("its operations", with(&of(&["t%"]), &allowed)),
        case("a topic twice", of(&["t%", "t%"])),
        case("one that does not exist", of(&["none%"])),
        case("one that does not exist twice", of(&["none%", "none%"])),
        case("a topic and one that does not exist", of(&["none%", "t%"])),
        case("an empty name", of(&[""])),
        case("an illegal name", of(&["a b%"])),
        case("no list", asked(Value::Null)),
        case("an empty list", asked(json!([]))),
    ]
}

fn by_id() -> Vec<Step> {
    let topic = |name: Value, id: &str| json!({"Name": name, "TopicId": id});
    let zero = "0".repeat(32);
    vec![
        case("an id", asked(json!([topic(Value::Null, "$id of t")]))),
        case(
            "an id twice",
            asked(json!([
                topic(Value::Null, "$id of t"),
                topic(Value::Null, "$id of t")
            ])),
        ),
        case(
            "one that does not exist",
            asked(json!([topic(Value::Null, &"ab".repeat(16))])),
        ),
        case(
            "an id and its name",
            asked(json!([topic(json!("t%"), "$id of t")])),
        ),
        case(
            "an id and another name",
            asked(json!([topic(json!("u%"), "$id of t")])),
        ),
        case(
            "an id and a name",
            asked(json!([
                topic(Value::Null, "$id of t"),
                topic(json!("u%"), &zero)
            ])),
        ),
        case(
            "zeros and no name",
            asked(json!([topic(Value::Null, &zero)])),
        ),
    ]
}

pub(super) fn describe_topic_partitions() -> Script {
    let topics = [("a", 2), ("b", 1)];
    let mut sequences = each("topics", 0..=0, &topics, |_| described());
    let request = json!({"Topics": [{"Name": "none"}]});
    sequences.extend(around(0..=0, &request));
    Script {
        api: "DescribeTopicPartitions",
        unordered: &[],
        sequences,
    }
}

fn described() -> Vec<Step> {
    let of = |names: &[&str]| {
        let topics = names.iter().map(|name| json!({ "Name": name }));
        json!({"Topics": topics.collect::<Vec<_>>()})
    };
    let both = of(&["a%", "b%"]);
    let limit = |limit: i32| with(&both, &json!({"ResponsePartitionLimit": limit}));
    let cursor = |topic: &str, partition: i32| {
        let cursor = json!({"TopicName": topic, "PartitionIndex": partition});
        with(&both, &json!({ "Cursor": cursor }))
    };
    vec![
        case("a topic", of(&["a%"])),
        case("two topics", both.clone()),
        case("two topics, the last one first", of(&["b%", "a%"])),
        case("a topic twice", of(&["a%", "a%"])),
        case("one that does not exist", of(&["none%"])),
        case("one that does not exist twice", of(&["none%", "none%"])),
        case("a topic and one that does not exist", of(&["none%", "a%"])),
        case(
            "an internal topic that does not exist",
            of(&["__share_group_state"]),
        ),
        case("an empty name", of(&[""])),
        case("an illegal name", of(&["a b%"])),
        case("the log of metadata", of(&["__cluster_metadata"])),
        case("one partition", limit(1)),
        case("two partitions", limit(2)),
        case("three partitions", limit(3)),
        case("no partition", limit(0)),
        case("-1 partitions", limit(-1)),
        case("from partition 1", cursor("a%", 1)),
        case("from the second topic", cursor("b%", 0)),
        case("from behind the first topic", cursor("a%", 2)),
        case("from behind the last topic", cursor("c%", 0)),
        case("from a topic that does not exist", cursor("aa%", 0)),
        case("from partition -1", cursor("a%", -1)),
    ]
}

pub(super) fn delete_records() -> Script {
    let topics = [("t", 2)];
    let mut sequences = each("offsets", 0..=2, &topics, |_| deleted());
    sequences.extend(each("policies", 0..=2, &[], |_| policies()));
    let empty = json!({"Topics": [], "TimeoutMs": 10000});
    sequences.extend(around(0..=2, &empty));
    Script {
        api: "DeleteRecords",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}

fn deletion(name: &str, partitions: &[(i32, i64)]) -> Value {
    let partitions = partitions.iter();
    let partitions = partitions.map(|(index, offset)| {
        json!({"PartitionIndex": index,
        "Offset": offset})
    });
    json!({"Name": name, "Partitions": partitions.collect::<Vec<_>>()})
}

fn deletions(topics: &[Value]) -> Value {
    json!({"Topics": topics, "TimeoutMs": 10000})
}

fn deleted() -> Vec<Step> {
    let of = |partitions: &[(i32, i64)]| deletions(&[deletion("t%", partitions)]);
    vec![
        write_plain(&["0", "1", "2", "3", "4", "5"]),
        case("no topic", deletions(&[])),
        case("no partition", of(&[])),
        case("to offset 2", of(&[(0, 2)])),
        case("to offset 2 again", of(&[(0, 2)])),
        case("to an earlier offset", of(&[(0, 1)])),
        case("beyond the end", of(&[(0, 7)])),
        case("-2", of(&[(0, -2)])),
        case("a partition that does not exist", of(&[(7, 0)])),
        case(
            "a partition and one that does not exist",
            of(&[(0, 3), (7, 0)]),
        ),
        case("a negative partition", of(&[(-1, 0)])),
        case("a partition twice", of(&[(0, 3), (0, 4)])),
        case(
            "a topic twice",
            deletions(&[deletion("t%", &[(0, 4)]), deletion("t%", &[(1, 0)])]),
        ),
        case(
            "a topic that does not exist",
            deletions(&[deletion("none%", &[(0, 0)])]),
        ),
        case("an empty name", deletions(&[deletion("", &[(0, 0)])])),
        case("an illegal name", deletions(&[deletion("a b%", &[(0, 0)])])),
        case(
            "a timeout of 0",
            with(&of(&[(0, 5)]), &json!({"TimeoutMs": 0})),
        ),
        case("all", of(&[(0, -1)])),
        case("an empty partition", of(&[(1, -1)])),
    ]
}

fn policies() -> Vec<Step> {
    let create = |name: &str, policy: &str| {
        let configs = json!([{"Name": "cleanup.policy", "Value": policy}]);
        let topic = json!({"Name": name, "NumPartitions": 1, "ReplicationFactor": 1,
            "Configs": configs});
        call(
            "CreateTopics",
            7,
            json!({"Topics": [topic], "timeoutMs": 10000}),
        )
    };
    let serves = |name: &str| {
        let partition = json!([{"PartitionIndex": 0, "Timestamp": -1}]);
        let topics = json!([{"Name": name, "Partitions": partition}]);
        call("ListOffsets", 5, json!({"ReplicaId": -1, "Topics": topics}))
    };
    vec![
        create("c%", "compact"),
        serves("c%"),
        case("a compacted topic", deletions(&[deletion("c%", &[(0, 0)])])),
        create("b%", "compact,delete"),
        serves("b%"),
        case(
            "a compacted topic that deletes too",
            deletions(&[deletion("b%", &[(0, 0)])]),
        ),
        case(
            "the topic of groups",
            deletions(&[deletion("__consumer_offsets", &[(0, 0)])]),
        ),
    ]
}

pub(super) fn offset_for_leader_epoch() -> Script {
    let topics = [("t", 2)];
    let mut sequences = each("epochs", 2..=4, &topics, |_| epochs());
    let empty = json!({"ReplicaId": -1, "Topics": []});
    sequences.extend(around(2..=4, &empty));
    Script {
        api: "OffsetForLeaderEpoch",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}

fn epochs() -> Vec<Step> {
    let topics = |topics: Value| json!({"ReplicaId": -1, "Topics": topics});
    let partition = |index: i32, current: i32, epoch: i32| {
        let mut partition = json!({"Partition": index, "LeaderEpoch": epoch});
        partition["CurrentLeaderEpoch"] = json!(current);
        partition
    };
    let of = |name: &str, partitions: &[Value]| {
        topics(json!([{"Topic": name, "Partitions": partitions}]))
    };
    let one = |current: i32, epoch: i32| of("t%", &[partition(0, current, epoch)]);
    vec![
        case("an empty log", one(-1, 0)),
        write_plain(&["0", "1"]),
        case("epoch 0", one(-1, 0)),
        case("epoch 1", one(-1, 1)),
        case("epoch -1", one(-1, -1)),
        case("epoch -2", one(-1, -2)),
        case("the current epoch", one(0, 0)),
        case("a later current epoch", one(1, 0)),
        case("current epoch -2", one(-2, 0)),
        case("no topic", topics(json!([]))),
        case("no partition", of("t%", &[])),
        case(
            "a topic that does not exist",
            of("none%", &[partition(0, -1, 0)]),
        ),
        case("an empty name", of("", &[partition(0, -1, 0)])),
        case(
            "a partition that does not exist",
            of("t%", &[partition(7, -1, 0)]),
        ),
        case("a negative partition", of("t%", &[partition(-1, -1, 0)])),
        case(
            "a partition twice",
            of("t%", &[partition(0, -1, 0), partition(0, -1, 1)]),
        ),
        case(
            "another replica",
            with(&one(-1, 0), &json!({"ReplicaId": 5})),
        ),
        case("a tool", with(&one(-1, 0), &json!({"ReplicaId": -2}))),
    ]
}
