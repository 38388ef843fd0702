//! ApiVersions, DescribeCluster, DescribeQuorum, DescribeLogDirs, UnregisterBroker, elections and
//! reassignments. Pure.

use serde_json::{Value, json};

use super::super::script::{Script, Step, around, call, case, each};
use super::{with, write_plain};
use crate::cluster::CLUSTER_ID;

pub(super) fn api_versions() -> Script {
    let of = |name: &str, version: &str| {
        let mut request = json!({ "ClientSoftwareName": name });
        request["ClientSoftwareVersion"] = json!(version);
        request
    };
    let good = of("wire", "1.0");
    let mut sequences = each("advertised", 0..=5, &[], |_| {
        vec![case("a client", good.clone())]
    });
    sequences.extend(each("software", 3..=5, &[], |_| {
        vec![
            case("no name", of("", "1.0")),
            case("no version", of("wire", "")),
            case("a blank", of("w x", "1.0")),
            case("a dash at the end", of("wire-", "1.0")),
            case("dots and dashes", of("w.i-re", "1.0-a.b")),
        ]
    }));
    sequences.extend(each("node", 5..=5, &[], |_| {
        let of =
            |cluster: &str, node: i32| with(&good, &json!({"ClusterId": cluster, "NodeId": node}));
        vec![
            case("this node", of(CLUSTER_ID, 1)),
            case("another node", of(CLUSTER_ID, 2)),
            case("another cluster", of("other", 1)),
            case("a cluster without a node", of(CLUSTER_ID, -1)),
            case("a negative node", of(CLUSTER_ID, -2)),
            case(
                "a node without a cluster",
                with(&good, &json!({"NodeId": 1})),
            ),
        ]
    }));
    sequences.extend(each("bytes", 3..=5, &[], |_| {
        vec![case("a byte is missing", good.clone()).changed(super::super::script::Change::Cut)]
    }));
    Script {
        api: "ApiVersions",
        unordered: &["ApiKeys", "SupportedFeatures", "FinalizedFeatures"],
        sequences,
    }
}

pub(super) fn describe_cluster() -> Script {
    let of = |kind: i8, operations: bool| {
        let mut request = json!({ "EndpointType": kind });
        request["IncludeClusterAuthorizedOperations"] = json!(operations);
        request
    };
    let cases = || {
        vec![
            case("brokers", of(1, false)),
            case("brokers, operations", of(1, true)),
            case(
                "fenced brokers",
                json!({"EndpointType": 1, "IncludeFencedBrokers": true}),
            ),
            case("controllers", of(2, false)),
            case("kind 0", of(0, false)),
            case("kind 3", of(3, false)),
            case("kind -1", of(-1, false)),
        ]
    };
    let mut sequences = each("kinds", 0..=2, &[], |_| cases());
    sequences.extend(around(0..=2, &of(1, false)));
    Script {
        api: "DescribeCluster",
        unordered: &[],
        sequences,
    }
}

pub(super) fn describe_quorum() -> Script {
    let topic = |name: &str, partitions: &[i32]| {
        let partitions = partitions.iter();
        let partitions = partitions.map(|index| json!({ "PartitionIndex": index }));
        json!({"TopicName": name, "Partitions": partitions.collect::<Vec<_>>()})
    };
    let of = |topics: Value| json!({ "Topics": topics });
    let log = topic("__cluster_metadata", &[0]);
    let cases = || {
        vec![
            case("the log of metadata", of(json!([log.clone()]))),
            case("no topic", of(json!([]))),
            case(
                "no partition",
                of(json!([topic("__cluster_metadata", &[])])),
            ),
            case(
                "partition 1",
                of(json!([topic("__cluster_metadata", &[1])])),
            ),
            case(
                "two partitions",
                of(json!([topic("__cluster_metadata", &[0, 1])])),
            ),
            case(
                "a partition twice",
                of(json!([topic("__cluster_metadata", &[0, 0])])),
            ),
            case("the topic twice", of(json!([log.clone(), log.clone()]))),
            case("another topic", of(json!([topic("x", &[0])]))),
            case("an empty name", of(json!([topic("", &[0])]))),
            case(
                "another topic too",
                of(json!([log.clone(), topic("x", &[0])])),
            ),
        ]
    };
    let mut sequences = each("topics", 0..=2, &[], |_| cases());
    sequences.extend(around(0..=2, &of(json!([]))));
    Script {
        api: "DescribeQuorum",
        unordered: &[],
        sequences,
    }
}

pub(super) fn describe_log_dirs() -> Script {
    let topics = [("t", 2)];
    let of = |topics: Value| json!({ "Topics": topics });
    let topic = |name: &str, partitions: &[i32]| json!({"Topic": name, "Partitions": partitions});
    let steps = || {
        vec![
            write_plain(&["a"]),
            case("a partition", of(json!([topic("t%", &[0])]))),
            case("two partitions", of(json!([topic("t%", &[0, 1])]))),
            case("a partition twice", of(json!([topic("t%", &[0, 0])]))),
            case(
                "a partition that does not exist",
                of(json!([topic("t%", &[7])])),
            ),
            case(
                "a topic that does not exist",
                of(json!([topic("none%", &[0])])),
            ),
            case("no partition", of(json!([topic("t%", &[])]))),
            case("an empty name", of(json!([topic("", &[0])]))),
            case("no topic", of(json!([]))),
        ]
    };
    let mut sequences = each("partitions", 1..=5, &topics, |_| steps());
    sequences.extend(around(1..=5, &of(json!([]))));
    Script {
        api: "DescribeLogDirs",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}

pub(super) fn alter_replica_log_dirs() -> Script {
    let topics = [("t", 2)];
    let dir = |path: &str, topics: Value| json!({"Path": path, "Topics": topics});
    let topic = |name: &str, partitions: &[i32]| json!({"Name": name, "Partitions": partitions});
    let of = |dirs: Value| json!({ "Dirs": dirs });
    let unknown = move |topics: Value| of(json!([dir("/nowhere", topics)]));
    let own = move |topics: Value| of(json!([dir("$dir", topics)]));
    let long = "x".repeat(240);
    let steps = |_| {
        vec![
            call("DescribeLogDirs", 4, json!({"Topics": []}))
                .capture(&[("dir", "Results.0.LogDir")]),
            case("no directory", of(json!([]))),
            case("no topic", own(json!([]))),
            case("no partition", own(json!([topic("t%", &[])]))),
            case("to where it is", own(json!([topic("t%", &[0])]))),
            case("all to where they are", own(json!([topic("t%", &[0, 1])]))),
            case("a partition twice", own(json!([topic("t%", &[0, 0])]))),
            case("an unknown directory", unknown(json!([topic("t%", &[0])]))),
            case(
                "a relative directory",
                of(json!([dir("data", json!([topic("t%", &[0])]))])),
            ),
            case(
                "an empty directory",
                of(json!([dir("", json!([topic("t%", &[0])]))])),
            ),
            case(
                "an unknown directory, then where it is",
                of(json!([
                    dir("/nowhere", json!([topic("t%", &[0])])),
                    dir("$dir", json!([topic("t%", &[0])]))
                ])),
            ),
            case(
                "where it is, then an unknown directory",
                of(json!([
                    dir("$dir", json!([topic("t%", &[0])])),
                    dir("/nowhere", json!([topic("t%", &[0])]))
                ])),
            ),
            case(
                "a partition that does not exist",
                own(json!([topic("t%", &[7])])),
            ),
            case("a negative partition", own(json!([topic("t%", &[-1])]))),
            case(
                "a topic that does not exist",
                own(json!([topic("none%", &[0])])),
            ),
            case("an empty name", own(json!([topic("", &[0])]))),
            case("an invalid name", own(json!([topic("a/b", &[0])]))),
            case(
                "an invalid name in an unknown directory",
                unknown(json!([topic("a/b", &[0])])),
            ),
            case("a long name", own(json!([topic(&long, &[0])]))),
            case(
                "a long name in an unknown directory",
                unknown(json!([topic(&long, &[0])])),
            ),
        ]
    };
    let mut sequences = each("moves", 1..=2, &topics, steps);
    sequences.extend(around(1..=2, &of(json!([]))));
    Script {
        api: "AlterReplicaLogDirs",
        unordered: &["Results", "Partitions"],
        sequences,
    }
}

pub(super) fn unregister_controller() -> Script {
    let of = |controller: i32| json!({ "ControllerId": controller });
    let steps = |_| {
        vec![
            case("one that does not exist", of(9)),
            case("a negative id", of(-1)),
            case("the highest id", of(i32::MAX)),
            case("the active one", of(1)),
        ]
    };
    let mut sequences = each("controllers", 0..=0, &[], steps);
    sequences.extend(around(0..=0, &of(9)));
    Script {
        api: "UnregisterController",
        unordered: &[],
        sequences,
    }
}

pub(super) fn unregister_broker() -> Script {
    let of = |id: i32| json!({ "BrokerId": id });
    let cases = || {
        vec![
            case("one that does not exist", of(9)),
            case("a negative id", of(-1)),
            case("the highest id", of(i32::MAX)),
        ]
    };
    let mut sequences = each("brokers", 0..=0, &[], |_| cases());
    sequences.extend(around(0..=0, &of(9)));
    Script {
        api: "UnregisterBroker",
        unordered: &[],
        sequences,
    }
}

pub(super) fn elect_leaders() -> Script {
    let topics = [("t", 2)];
    let mut sequences = each("elections", 0..=2, &topics, elections);
    let request = elected(0, &json!([]));
    sequences.extend(around(0..=2, &request));
    Script {
        api: "ElectLeaders",
        unordered: &["ReplicaElectionResults", "PartitionResult"],
        sequences,
    }
}

fn elected(kind: i8, topics: &Value) -> Value {
    json!({"ElectionType": kind, "TopicPartitions": topics, "TimeoutMs": 10000})
}

fn elections(version: i16) -> Vec<Step> {
    let topic = |name: &str, partitions: &[i32]| json!({"Topic": name, "Partitions": partitions});
    let of = |topics: Value| elected(0, &topics);
    let own = json!([topic("t%", &[0, 1])]);
    let mut steps = vec![
        case("not needed", of(own.clone())),
        case(
            "a topic that does not exist",
            of(json!([topic("none%", &[0])])),
        ),
        case("an empty name", of(json!([topic("", &[0])]))),
        case(
            "a partition that does not exist",
            of(json!([topic("t%", &[-1, 0, 7])])),
        ),
        case("a partition twice", of(json!([topic("t%", &[0, 0])]))),
        case(
            "a topic twice",
            of(json!([topic("t%", &[0]), topic("t%", &[1])])),
        ),
        case(
            "a topic twice, a partition twice",
            of(json!([topic("t%", &[0]), topic("t%", &[0])])),
        ),
        case("no partition", of(json!([topic("t%", &[])]))),
        case("no topic", of(json!([]))),
        case(
            "a timeout of 0",
            with(&of(own.clone()), &json!({"TimeoutMs": 0})),
        ),
    ];
    if version == 0 {
        return steps;
    }
    let kinds = [("of any replica", 1), ("of kind 2", 2), ("of kind -1", -1)];
    for (name, kind) in kinds {
        let topics = json!([topic("t%", &[0, 1, 7]), topic("none%", &[0])]);
        steps.push(case(name, elected(kind, &topics)));
    }
    steps.extend([
        case("of kind 2, no topic", elected(2, &json!([]))),
        case(
            "of kind 2, no partition",
            elected(2, &json!([topic("t%", &[])])),
        ),
        case("of kind 2, all", elected(2, &Value::Null)),
        case("of kind 0, all", elected(0, &Value::Null)),
        case("of kind 1, all", elected(1, &Value::Null)),
    ]);
    steps
}

pub(super) fn alter_partition_reassignments() -> Script {
    let topics = [("t", 2)];
    let mut sequences = each("moves", 0..=1, &topics, |_| moves());
    let request = json!({"TimeoutMs": 10000, "Topics": []});
    sequences.extend(around(0..=1, &request));
    Script {
        api: "AlterPartitionReassignments",
        unordered: &["Responses", "Partitions"],
        sequences,
    }
}

fn moves() -> Vec<Step> {
    let partition =
        |index: i32, replicas: Value| json!({"PartitionIndex": index, "Replicas": replicas});
    let list = |topics: Value| json!({"TimeoutMs": 10000, "Topics": topics});
    let of =
        |name: &str, partitions: &[Value]| list(json!([{"Name": name, "Partitions": partitions}]));
    let to = |replicas: Value| of("t%", &[partition(0, replicas)]);
    let topic = |index: i32| json!({"Name": "t%", "Partitions": [partition(index, json!([1]))]});
    vec![
        case("no topic", list(json!([]))),
        case("no partition", of("t%", &[])),
        case("to where it is", to(json!([1]))),
        case("a cancel of none", to(Value::Null)),
        case("to no broker", to(json!([]))),
        case("to an unknown broker", to(json!([9]))),
        case("to a negative broker", to(json!([-1]))),
        case("to a broker twice", to(json!([1, 1]))),
        case("to a known and an unknown broker", to(json!([1, 9]))),
        case(
            "more replicas, not allowed",
            with(
                &to(json!([1, 9])),
                &json!({"AllowReplicationFactorChange": false}),
            ),
        ),
        case(
            "a topic that does not exist",
            of("none%", &[partition(0, json!([1]))]),
        ),
        case("an empty name", of("", &[partition(0, json!([1]))])),
        case(
            "a partition that does not exist",
            of("t%", &[partition(7, json!([1]))]),
        ),
        case(
            "a negative partition",
            of("t%", &[partition(-1, json!([1]))]),
        ),
        case(
            "a partition twice",
            of("t%", &[partition(0, json!([1])), partition(0, Value::Null)]),
        ),
        case("a topic twice", list(json!([topic(0), topic(1)]))),
        case(
            "a timeout of 0",
            with(&to(json!([1])), &json!({"TimeoutMs": 0})),
        ),
    ]
}

pub(super) fn list_partition_reassignments() -> Script {
    let topics = [("t", 1)];
    let of = |topics: Value| json!({"TimeoutMs": 10000, "Topics": topics});
    let topic =
        |name: &str, partitions: &[i32]| json!({"Name": name, "PartitionIndexes": partitions});
    let cases = || {
        vec![
            case("all", of(Value::Null)),
            case("no topic", of(json!([]))),
            case("a partition", of(json!([topic("t%", &[0])]))),
            case(
                "a partition that does not exist",
                of(json!([topic("t%", &[7])])),
            ),
            case(
                "a topic that does not exist",
                of(json!([topic("none%", &[0])])),
            ),
            case("no partition", of(json!([topic("t%", &[])]))),
            case("a partition twice", of(json!([topic("t%", &[0, 0])]))),
            case(
                "a timeout of 0",
                with(&of(Value::Null), &json!({"TimeoutMs": 0})),
            ),
            case(
                "a timeout of -1",
                with(&of(Value::Null), &json!({"TimeoutMs": -1})),
            ),
        ]
    };
    let mut sequences = each("moves", 0..=0, &topics, |_| cases());
    sequences.extend(around(0..=0, &of(json!([]))));
    Script {
        api: "ListPartitionReassignments",
        unordered: &["Topics"],
        sequences,
    }
}
