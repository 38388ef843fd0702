//! TxnOffsetCommit and OffsetFetch. Pure.

use serde_json::{Value, json};

use super::super::names::MADE_UP;
use super::super::script::{Script, Step, around, call, case, each};
use super::{ID, add, add_group, end, init, with};

pub(super) fn txn_offset_commit() -> Script {
    let topics = [("t", 2)];
    let mut sequences = each("offsets", 0..=6, &topics, |_| offsets());
    sequences.extend(each("without the group", 0..=6, &topics, |_| {
        without_group()
    }));
    sequences.extend(each("producers", 0..=6, &topics, |_| producers()));
    sequences.extend(each("members", 3..=6, &topics, |_| members()));
    sequences.extend(each("a consumer group", 3..=6, &topics, |_| {
        consumer_group()
    }));
    let mut request = committed(&json!([]));
    request["ProducerId"] = json!(7);
    request["ProducerEpoch"] = json!(0);
    sequences.extend(around(0..=6, &request));
    Script {
        api: "TxnOffsetCommit",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}

fn committed(topics: &Value) -> Value {
    json!({"TransactionalId": ID, "GroupId": "g%", "ProducerId": "$pid", "ProducerEpoch": "$epoch",
        "Topics": topics})
}

fn partition(index: i32, offset: i64) -> Value {
    json!({"PartitionIndex": index, "CommittedOffset": offset, "CommittedMetadata": "m"})
}

fn topic(name: &str, partitions: &[Value]) -> Value {
    let id = match name {
        "t%" => "$id of t".to_owned(),
        "" => "0".repeat(32),
        _ => "ab".repeat(16),
    };
    json!({"Name": name, "TopicId": id, "Partitions": partitions})
}

fn offsets() -> Vec<Step> {
    let topics = |topics: &[Value]| committed(&json!(topics));
    let one = |partition: Value| topics(&[topic("t%", &[partition])]);
    let metadata =
        |metadata: Value| with(&partition(0, 5), &json!({"CommittedMetadata": metadata}));
    let epoch = |epoch: i32| with(&partition(0, 5), &json!({"CommittedLeaderEpoch": epoch}));
    vec![
        init(),
        add_group(),
        case("one partition", one(partition(0, 5))),
        case("the same again", one(partition(0, 5))),
        case(
            "two partitions",
            topics(&[topic("t%", &[partition(0, 6), partition(1, 7)])]),
        ),
        case(
            "a partition twice",
            topics(&[topic("t%", &[partition(0, 6), partition(0, 7)])]),
        ),
        case("no topic", topics(&[])),
        case("no partition", topics(&[topic("t%", &[])])),
        case("offset 0", one(partition(0, 0))),
        case("the highest offset", one(partition(0, i64::MAX))),
        case("a negative offset", one(partition(0, -1))),
        case("the lowest offset", one(partition(0, i64::MIN))),
        case("no metadata", one(metadata(Value::Null))),
        case(
            "the longest metadata",
            one(metadata(json!("m".repeat(4096)))),
        ),
        case("longer metadata", one(metadata(json!("m".repeat(4097))))),
        case("a leader epoch", one(epoch(3))),
        case("a negative leader epoch", one(epoch(-2))),
        case(
            "a topic that does not exist",
            topics(&[topic("none%", &[partition(0, 5)])]),
        ),
        case(
            "a partition that does not exist",
            topics(&[topic("t%", &[partition(0, 5), partition(2, 5)])]),
        ),
        case("a negative partition", one(partition(-1, 5))),
        case(
            "an empty topic name",
            topics(&[topic("", &[partition(0, 5)])]),
        ),
        case(
            "no topic name",
            topics(&[json!({"Name": null, "Partitions": []})]),
        ),
    ]
}

fn without_group() -> Vec<Step> {
    let one = committed(&json!([topic("t%", &[partition(0, 5)])]));
    let mut steps = vec![
        init(),
        case("in no transaction", one.clone()),
        add(&[0]),
        case("in a transaction without the group", one.clone()),
    ];
    steps.extend(end(true));
    steps.push(case("after a commit", one));
    steps
}

fn producers() -> Vec<Step> {
    let one = committed(&json!([topic("t%", &[partition(0, 5)])]));
    let changed = |changes: Value| with(&one, &changes);
    let never = json!({"ProducerId": MADE_UP, "ProducerEpoch": 0});
    vec![
        case("an id that never was", changed(never)),
        init(),
        init(),
        add_group(),
        case("an empty id", changed(json!({"TransactionalId": ""}))),
        case("no id", changed(json!({"TransactionalId": null}))),
        case("another id", changed(json!({"TransactionalId": "other%"}))),
        case("an empty group", changed(json!({"GroupId": ""}))),
        case("no group", changed(json!({"GroupId": null}))),
        case("another group", changed(json!({"GroupId": "h%"}))),
        case(
            "another producer",
            changed(json!({"ProducerId": "$pid+100000"})),
        ),
        case("a negative producer", changed(json!({"ProducerId": -1}))),
        case(
            "an earlier epoch",
            changed(json!({"ProducerEpoch": "$epoch-1"})),
        ),
        case(
            "a later epoch",
            changed(json!({"ProducerEpoch": "$epoch+1"})),
        ),
        case(
            "the highest epoch",
            changed(json!({"ProducerEpoch": i16::MAX})),
        ),
        case("its own", one.clone()),
    ]
}

fn members() -> Vec<Step> {
    let one = committed(&json!([topic("t%", &[partition(0, 5)])]));
    let changed = |changes: Value| with(&one, &changes);
    let member = |member: Value, generation: Value| {
        changed(json!({"MemberId": member, "GenerationIdOrMemberEpoch": generation}))
    };
    let protocols = json!([{"Name": "range", "Metadata": "00"}]);
    let join = json!({"GroupId": "g%", "SessionTimeoutMs": 30000, "RebalanceTimeoutMs": 30000,
        "MemberId": "", "ProtocolType": "consumer", "Protocols": protocols});
    // Version 3 lets members join without an id.
    let captures = [("member", "MemberId"), ("generation", "GenerationId")];
    let sync = json!({"GroupId": "g%", "MemberId": "$member", "GenerationId": "$generation",
        "ProtocolType": "consumer", "ProtocolName": "range",
        "Assignments": [{"MemberId": "$member", "Assignment": "00"}]});
    vec![
        init(),
        add_group(),
        case(
            "a member of a group that never was",
            member(json!("m"), json!(1)),
        ),
        case(
            "a generation of a group that never was",
            member(json!(""), json!(1)),
        ),
        case("no member", changed(json!({"MemberId": null}))),
        call("JoinGroup", 3, join).capture(&captures),
        call("SyncGroup", 5, sync),
        case("its member", member(json!("$member"), json!("$generation"))),
        case(
            "a generation before",
            member(json!("$member"), json!("$generation-1")),
        ),
        case(
            "a generation to come",
            member(json!("$member"), json!("$generation+1")),
        ),
        case(
            "its member without a generation",
            member(json!("$member"), json!(-1)),
        ),
        case("another member", member(json!("m"), json!("$generation"))),
        case(
            "a generation without a member",
            member(json!(""), json!("$generation")),
        ),
        case("neither member nor generation", one.clone()),
        case("an instance", changed(json!({"GroupInstanceId": "i"}))),
        case(
            "its member with an instance",
            with(
                &member(json!("$member"), json!("$generation")),
                &json!({"GroupInstanceId": "i"}),
            ),
        ),
    ]
}

fn consumer_group() -> Vec<Step> {
    let one = committed(&json!([topic("t%", &[partition(0, 5)])]));
    let member = |member: &str, epoch: Value| {
        with(
            &one,
            &json!({"MemberId": member, "GenerationIdOrMemberEpoch": epoch}),
        )
    };
    let join = json!({"GroupId": "g%", "MemberId": "member-1", "MemberEpoch": 0,
        "RebalanceTimeoutMs": 30000, "SubscribedTopicNames": ["t%"], "TopicPartitions": []});
    vec![
        init(),
        add_group(),
        call("ConsumerGroupHeartbeat", 1, join).capture(&[("member_epoch", "MemberEpoch")]),
        case("its member", member("member-1", json!("$member_epoch"))),
        case(
            "an epoch before",
            member("member-1", json!("$member_epoch-1")),
        ),
        case(
            "an epoch to come",
            member("member-1", json!("$member_epoch+1")),
        ),
        case("another member", member("member-2", json!("$member_epoch"))),
        case("neither member nor epoch", one.clone()),
    ]
}

pub(super) fn offset_fetch() -> Script {
    let topics = [("t", 3)];
    let mut sequences = each("pending offsets", 1..=7, &topics, |version| {
        one(version >= 2)
    });
    sequences.extend(each("pending offsets of groups", 8..=10, &topics, |_| {
        several()
    }));
    let request = json!({"GroupId": "never", "Topics": []});
    sequences.extend(around(1..=7, &request));
    let request = json!({"Groups": [{"GroupId": "never", "Topics": []}]});
    sequences.extend(
        around(8..=10, &request)
            .into_iter()
            .filter(|it| it.version > 7),
    );
    sequences.retain(|it| it.name != "versions" || it.version != 8);
    Script {
        api: "OffsetFetch",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}

/// Returns steps after which partition 0 has an offset, and partition 1 one and a pending one.
fn pending() -> Vec<Step> {
    let commit = json!({"GroupId": "g%", "MemberId": "", "Topics": [
        topic("t%", &[partition(0, 3), partition(1, 4)])]});
    let in_transaction = committed(&json!([topic("t%", &[partition(1, 9)])]));
    vec![
        call("OffsetCommit", 8, commit),
        init(),
        add_group(),
        call("TxnOffsetCommit", 4, in_transaction),
    ]
}

fn one(has_all: bool) -> Vec<Step> {
    let of = |partitions: &[i32], stable: bool| {
        json!({"GroupId": "g%", "RequireStable": stable,
            "Topics": [{"Name": "t%", "PartitionIndexes": partitions}]})
    };
    let all = |stable: bool| json!({"GroupId": "g%", "RequireStable": stable, "Topics": null});
    let changed = |changes: Value| with(&of(&[0], true), &changes);
    let mut steps = pending();
    steps.extend([
        case("while pending", of(&[0, 1, 2], false)),
        case("while pending, stable ones", of(&[0, 1, 2], true)),
        case(
            "a partition without a pending one, stable ones",
            of(&[0], true),
        ),
        case("no topic", changed(json!({"Topics": []}))),
        case("no partition", of(&[], true)),
        case("a partition that does not exist", of(&[7, -1], true)),
        case(
            "a topic that does not exist",
            changed(json!({"Topics": [{"Name": "none%", "PartitionIndexes": [0]}]})),
        ),
        case("a group that never was", changed(json!({"GroupId": "h%"}))),
        case("an empty group", changed(json!({"GroupId": ""}))),
        case("no group", changed(json!({"GroupId": null}))),
        case("all topics", all(false)),
    ]);
    if has_all {
        steps.push(case("all topics, stable ones", all(true)));
    }
    steps.extend(end(true));
    steps.push(case("after a commit", of(&[0, 1, 2], true)));
    steps.push(add_group());
    let more = committed(&json!([topic("t%", &[partition(0, 100)])]));
    steps.push(call("TxnOffsetCommit", 4, more));
    steps.extend(end(false));
    steps.push(case("after an abort", of(&[0, 1, 2], true)));
    steps
}

fn several() -> Vec<Step> {
    let topics = |partitions: &[i32]| {
        let topic = json!({"Name": "t%", "TopicId": "$id of t"});
        json!([with(&topic, &json!({"PartitionIndexes": partitions}))])
    };
    let group = |name: &str, topics: Value| json!({"GroupId": name, "Topics": topics});
    let of = |groups: &[Value], stable: bool| json!({"Groups": groups, "RequireStable": stable});
    let own = |partitions: &[i32], stable: bool| of(&[group("g%", topics(partitions))], stable);
    let zero = "0".repeat(32);
    let nowhere = |id: &str| json!([{"Name": "none%", "TopicId": id, "PartitionIndexes": [0]}]);
    let member = |id: Value, epoch: i32| {
        let member = json!({"MemberId": id, "MemberEpoch": epoch});
        of(&[with(&group("g%", topics(&[0])), &member)], true)
    };
    let mut steps = pending();
    steps.extend([
        case("while pending", own(&[0, 1, 2], false)),
        case("while pending, stable ones", own(&[0, 1, 2], true)),
        case(
            "a partition without a pending one, stable ones",
            own(&[0], true),
        ),
        case("no group", of(&[], true)),
        case(
            "two groups",
            of(
                &[group("g%", topics(&[0, 1])), group("h%", topics(&[0]))],
                true,
            ),
        ),
        case(
            "a group twice",
            of(
                &[group("g%", topics(&[0])), group("g%", topics(&[1]))],
                true,
            ),
        ),
        case("no topic", of(&[group("g%", json!([]))], true)),
        case("no partition", own(&[], true)),
        case("a partition that does not exist", own(&[7, -1], true)),
        case(
            "a topic that does not exist",
            of(&[group("g%", nowhere(&"ab".repeat(16)))], true),
        ),
        case(
            "a topic id of zeros",
            of(&[group("g%", nowhere(&zero))], true),
        ),
        case("an empty group name", of(&[group("", topics(&[0]))], true)),
        case(
            "no group name",
            of(&[json!({"GroupId": null, "Topics": []})], true),
        ),
        case("a member", member(json!("m"), 1)),
        case("an empty member", member(json!(""), 0)),
        case("an epoch without a member", member(Value::Null, 1)),
        case("all topics", of(&[group("g%", Value::Null)], false)),
        case(
            "all topics, stable ones",
            of(&[group("g%", Value::Null)], true),
        ),
        case(
            "all topics of a group that never was",
            of(&[group("h%", Value::Null)], true),
        ),
    ]);
    steps.extend(end(true));
    steps.push(case("after a commit", own(&[0, 1, 2], true)));
    steps.push(add_group());
    let more = committed(&json!([topic("t%", &[partition(0, 100)])]));
    steps.push(call("TxnOffsetCommit", 4, more));
    steps.extend(end(false));
    steps.push(case("after an abort", own(&[0, 1, 2], true)));
    steps
}
