//! The APIs of features that are switched off: share groups and streams groups, whose levels are 0,
//! and voters that change while a quorum with the static voters of `kraft.version` 0 runs. Pure.

use std::ops::RangeInclusive;

use serde_json::{Value, json};

use super::super::script::{Script, around, case, each};
use super::with;

type Cases = Vec<(&'static str, Value)>;

fn script(api: &'static str, versions: RangeInclusive<i16>, cases: Cases) -> Script {
    let first = cases
        .first()
        .map_or(Value::Null, |(_, request)| request.clone());
    let steps = |_| {
        let cases = cases.iter();
        cases
            .map(|(name, request)| case(name, request.clone()))
            .collect()
    };
    let mut sequences = each("switched off", versions.clone(), &[("t", 1)], steps);
    // The steps above name the sequence's topic, which the sequences with broken bytes lack.
    let plain = without_ids(&first);
    sequences.extend(around(versions, &plain));
    Script {
        api,
        unordered: &[],
        sequences,
    }
}

/// Replaces ids of topics, which only sequences with topics have.
fn without_ids(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with('$') => json!("ab".repeat(16)),
        Value::Array(items) => items.iter().map(without_ids).collect(),
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields = fields.map(|(name, value)| (name.clone(), without_ids(value)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

const ID: &str = "$id of t";

pub(super) fn scripts() -> Vec<Script> {
    let mut scripts = share_groups();
    scripts.extend(share_offsets());
    scripts.extend(share_state());
    scripts.extend(streams_groups());
    scripts.extend(voters());
    scripts
}

fn share_groups() -> Vec<Script> {
    let beat = json!({"GroupId": "s%", "MemberId": "m", "MemberEpoch": 0,
        "SubscribedTopicNames": ["t%"]});
    let partition = json!({"PartitionIndex": 0, "AcknowledgementBatches": []});
    let topics = json!([{"TopicId": ID, "Partitions": [partition]}]);
    let fetch = json!({"GroupId": "s%", "MemberId": "m", "ShareSessionEpoch": 0, "MaxWaitMs": 0,
        "MinBytes": 0, "MaxRecords": 10, "BatchSize": 10, "Topics": topics});
    let acknowledge = json!({"GroupId": "s%", "MemberId": "m", "ShareSessionEpoch": 1,
        "Topics": topics});
    vec![
        script(
            "ShareGroupHeartbeat",
            1..=1,
            vec![
                ("a member", beat.clone()),
                ("no group", with(&beat, &json!({"GroupId": ""}))),
                ("epoch -1", with(&beat, &json!({"MemberEpoch": -1}))),
            ],
        ),
        script(
            "ShareGroupDescribe",
            1..=1,
            vec![
                ("a group", json!({"GroupIds": ["s%"]})),
                (
                    "two groups",
                    json!({"GroupIds": ["s%", ""], "IncludeAuthorizedOperations": true}),
                ),
                ("a group twice", json!({"GroupIds": ["s%", "s%"]})),
                ("no group", json!({"GroupIds": []})),
            ],
        ),
        script(
            "ShareFetch",
            1..=2,
            vec![
                ("a partition", fetch.clone()),
                ("no topic", with(&fetch, &json!({"Topics": []}))),
                (
                    "no group",
                    with(&fetch, &json!({"GroupId": null, "MemberId": null})),
                ),
                ("epoch 7", with(&fetch, &json!({"ShareSessionEpoch": 7}))),
            ],
        ),
        script(
            "ShareAcknowledge",
            1..=2,
            vec![
                ("a partition", acknowledge.clone()),
                ("no topic", with(&acknowledge, &json!({"Topics": []}))),
                (
                    "no group",
                    with(&acknowledge, &json!({"GroupId": null, "MemberId": null})),
                ),
            ],
        ),
    ]
}

fn share_offsets() -> Vec<Script> {
    let topic = json!({"TopicName": "t%", "Partitions": [0]});
    let group = |topics: Value| json!({"GroupId": "s%", "Topics": topics});
    let partition = json!({"PartitionIndex": 0, "StartOffset": 0});
    let altered = json!([{"TopicName": "t%", "Partitions": [partition]}]);
    vec![
        script(
            "DescribeShareGroupOffsets",
            0..=1,
            vec![
                ("a partition", json!({"Groups": [group(json!([topic]))]})),
                ("all partitions", json!({"Groups": [group(Value::Null)]})),
                (
                    "a group twice",
                    json!({"Groups": [group(Value::Null), group(json!([]))]}),
                ),
                ("no group", json!({"Groups": []})),
            ],
        ),
        script(
            "AlterShareGroupOffsets",
            0..=0,
            vec![
                ("a partition", group(altered)),
                ("no topic", group(json!([]))),
            ],
        ),
        script(
            "DeleteShareGroupOffsets",
            0..=0,
            vec![
                ("a topic", group(json!([{"TopicName": "t%"}]))),
                ("no topic", group(json!([]))),
            ],
        ),
    ]
}

fn share_state() -> Vec<Script> {
    let apis = [
        (
            "InitializeShareGroupState",
            0..=0,
            json!({"StateEpoch": 0, "StartOffset": 0}),
        ),
        ("ReadShareGroupState", 0..=0, json!({"LeaderEpoch": 0})),
        (
            "WriteShareGroupState",
            0..=1,
            json!({"StateEpoch": 0, "LeaderEpoch": 0, "StartOffset": 0, "StateBatches": []}),
        ),
        ("DeleteShareGroupState", 0..=0, json!({})),
        (
            "ReadShareGroupStateSummary",
            0..=1,
            json!({"LeaderEpoch": 0}),
        ),
    ];
    let scripts = apis.into_iter().map(|(api, versions, fields)| {
        let of = |group: &str, id: &str, indexes: &[i32]| {
            let partitions = indexes.iter();
            let partitions = partitions.map(|index| with(&fields, &json!({ "Partition": index })));
            json!({"GroupId": group,
                "Topics": [{"TopicId": id, "Partitions": partitions.collect::<Vec<_>>()}]})
        };
        let cases = vec![
            ("a partition", of("s%", ID, &[0])),
            ("two partitions", of("s%", ID, &[0, 1])),
            (
                "a topic that does not exist",
                of("s%", &"ab".repeat(16), &[0]),
            ),
            ("an id of zeros", of("s%", &"0".repeat(32), &[0])),
            ("a negative partition", of("s%", ID, &[-1])),
            ("no partition", of("s%", ID, &[])),
            ("no topic", json!({"GroupId": "s%", "Topics": []})),
            ("no group", of("", ID, &[0])),
        ];
        script(api, versions, cases)
    });
    scripts.collect()
}

fn streams_groups() -> Vec<Script> {
    let beat = json!({"GroupId": "s%", "MemberId": "m", "MemberEpoch": 0,
        "EndpointInformationEpoch": 0, "RebalanceTimeoutMs": 1000});
    vec![
        script(
            "StreamsGroupHeartbeat",
            0..=1,
            vec![
                ("a member", beat.clone()),
                ("no group", with(&beat, &json!({"GroupId": ""}))),
                ("epoch -1", with(&beat, &json!({"MemberEpoch": -1}))),
            ],
        ),
        script(
            "StreamsGroupDescribe",
            0..=1,
            vec![
                ("a group", json!({"GroupIds": ["s%"]})),
                (
                    "a group and its topology",
                    json!({"GroupIds": ["s%"], "IncludeTopologyDescription": true}),
                ),
                (
                    "two groups",
                    json!({"GroupIds": ["s%", ""], "IncludeAuthorizedOperations": true}),
                ),
                ("no group", json!({"GroupIds": []})),
            ],
        ),
        script(
            "StreamsGroupTopologyDescriptionUpdate",
            0..=0,
            topology_descriptions(),
        ),
    ]
}

fn topology_descriptions() -> Cases {
    let node = |kind: i8, sink: Value| {
        json!({"Name": "n", "NodeType": kind, "SourceTopics": ["t%"], "SinkTopic": sink,
            "Stores": ["s"], "Successors": ["n"]})
    };
    let nodes = [node(1, Value::Null), node(3, json!("t%"))];
    let store = json!({"Source": node(1, Value::Null), "Processor": node(2, Value::Null)});
    let topology = json!({"Subtopologies": [{"SubtopologyId": "0", "Nodes": nodes}],
        "GlobalStores": [store]});
    let empty = json!({"Subtopologies": [], "GlobalStores": []});
    let update = json!({"GroupId": "s%", "MemberId": "m", "TopologyEpoch": 0,
        "TopologyDescription": topology});
    vec![
        ("a topology", update.clone()),
        (
            "an empty one",
            with(&update, &json!({ "TopologyDescription": empty })),
        ),
        ("no group", with(&update, &json!({"GroupId": ""}))),
        ("epoch -1", with(&update, &json!({"TopologyEpoch": -1}))),
    ]
}

fn voters() -> Vec<Script> {
    let listeners = json!([{"Name": "CONTROLLER", "Host": "localhost", "Port": 9093}]);
    let add = json!({"ClusterId": null, "TimeoutMs": 1000, "VoterId": 9,
        "VoterDirectoryId": "ab".repeat(16), "Listeners": listeners});
    let remove = json!({"ClusterId": null, "VoterId": 1, "VoterDirectoryId": "ab".repeat(16)});
    let own = crate::cluster::CLUSTER_ID;
    let common = |request: &Value| {
        let zeros = "0".repeat(32);
        vec![
            ("a voter", request.clone()),
            (
                "a voter of the cluster",
                with(request, &json!({ "ClusterId": own })),
            ),
            (
                "another cluster",
                with(request, &json!({"ClusterId": "other"})),
            ),
            ("an empty cluster", with(request, &json!({"ClusterId": ""}))),
            ("a negative id", with(request, &json!({"VoterId": -1}))),
            (
                "a directory of zeros",
                with(request, &json!({ "VoterDirectoryId": zeros })),
            ),
        ]
    };
    let mut adding = common(&add);
    let other = json!([{"Name": "OTHER", "Host": "localhost", "Port": 9093}]);
    adding.extend([
        ("no listener", with(&add, &json!({"Listeners": []}))),
        (
            "another listener",
            with(&add, &json!({ "Listeners": other })),
        ),
        ("a voter that is there", with(&add, &json!({"VoterId": 1}))),
    ]);
    let mut removing = common(&remove);
    removing.push((
        "a voter that is not there",
        with(&remove, &json!({"VoterId": 9})),
    ));
    vec![
        script("AddRaftVoter", 0..=1, adding),
        script("RemoveRaftVoter", 0..=0, removing),
    ]
}
