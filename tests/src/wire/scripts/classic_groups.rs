//! Groups of the classic protocol: membership, and what administrators ask. Pure.

use serde_json::{Value, json};

use super::super::script::{Script, Step, Until, around, call, case, each};
use super::{joining, with};

/// Joins `g%` as its only member: `$member` and `$generation`.
fn join() -> Step {
    let captures = [("member", "MemberId"), ("generation", "GenerationId")];
    call("JoinGroup", 3, joining(&json!({}))).capture(&captures)
}

/// Joins, and assigns nothing: the group is stable.
fn stable() -> [Step; 2] {
    [join(), call("SyncGroup", 3, synced(&json!({})))]
}

/// Asks for an id of a member, and does not join with it.
fn pending() -> Step {
    Step::Call {
        api: "JoinGroup",
        version: 4,
        request: joining(&json!({"GroupId": "p%"})),
        until: Until::Field("ErrorCode", json!(79)),
        captures: vec![("pending", "MemberId")],
    }
}

pub(super) fn join_group() -> Script {
    let mut sequences = each("one member", 0..=9, &[], |_| joined());
    sequences.extend(each("bad requests", 0..=9, &[], |_| bad_joins()));
    sequences.extend(each("a static member", 5..=9, &[], |_| static_member()));
    sequences.extend(each("a consumer group", 0..=9, &[], |_| {
        in_a_consumer_group()
    }));
    sequences.extend(around(0..=9, &joining(&json!({"GroupId": ""}))));
    Script {
        api: "JoinGroup",
        unordered: &[],
        sequences,
    }
}

fn joined() -> Vec<Step> {
    let of = |changes: Value| {
        let request = joining(&json!({"MemberId": "$member"}));
        case("", with(&request, &changes))
    };
    let named = |name: &'static str, changes: Value| match of(changes) {
        Step::Case { request, .. } => case(name, request),
        other => other,
    };
    let other = json!([{"Name": "other", "Metadata": ""}]);
    vec![
        case("a new member", joining(&json!({}))).capture(&[("member", "MemberId")]),
        named("with its id", json!({})),
        named("with its id again", json!({})),
        named("with another protocol", json!({ "Protocols": other })),
        named("another type", json!({"ProtocolType": "connect"})),
        named("no protocol", json!({"Protocols": []})),
        named(
            "a member that does not exist",
            json!({"MemberId": "nobody"}),
        ),
        case(
            "a new member of another type",
            joining(&json!({"ProtocolType": "connect"})),
        ),
    ]
}

fn bad_joins() -> Vec<Step> {
    let of = |name: &'static str, changes: Value| case(name, joining(&changes));
    vec![
        of("no group", json!({"GroupId": ""})),
        of("a session of 1 ms", json!({"SessionTimeoutMs": 1})),
        of("a session of -1 ms", json!({"SessionTimeoutMs": -1})),
        of(
            "a session of the longest time",
            json!({"SessionTimeoutMs": i32::MAX}),
        ),
        of(
            "a member that does not exist",
            json!({"MemberId": "nobody"}),
        ),
        of("no protocol", json!({"Protocols": []})),
        of("no type", json!({"ProtocolType": ""})),
        of(
            "no type and no protocol",
            json!({"ProtocolType": "", "Protocols": []}),
        ),
    ]
}

fn static_member() -> Vec<Step> {
    let request = joining(&json!({"GroupInstanceId": "i"}));
    vec![
        case("a new member", request.clone()).capture(&[("member", "MemberId")]),
        call(
            "SyncGroup",
            3,
            json!({"GroupId": "g%", "GenerationId": 1, "MemberId": "$member",
            "GroupInstanceId": "i", "Assignments": []}),
        ),
        case("again", request.clone()),
        case(
            "with the id of before",
            with(&request, &json!({"MemberId": "$member"})),
        ),
    ]
}

/// Joins a group that has a member of the consumer protocol, which leaves it later. The group has
/// one assignment only: its interval is the longest one, so that it does not pass meanwhile. The
/// answer to the member that leaves comes after the begin of the rebalance of the other one.
fn in_a_consumer_group() -> Vec<Step> {
    let interval = json!({"Name": "consumer.assignment.interval.ms", "ConfigOperation": 0,
        "Value": "15000"});
    let group = json!({"ResourceType": 32, "ResourceName": "g%", "Configs": [interval]});
    let configured = json!({"Resources": [group], "ValidateOnly": false});
    let consumer = json!({"GroupId": "g%", "MemberId": "m", "MemberEpoch": 0,
        "RebalanceTimeoutMs": 30000, "SubscribedTopicNames": ["t%"], "TopicPartitions": []});
    let leaves = json!({"GroupId": "g%", "MemberId": "m", "MemberEpoch": -1});
    let member = [("member", "MemberId")];
    let known = joining(&json!({"MemberId": "$member"}));
    vec![
        call("IncrementalAlterConfigs", 1, configured),
        call("ConsumerGroupHeartbeat", 1, consumer),
        case("a new member", joining(&json!({}))).capture(&member),
        case("with its id", known.clone()),
        case("with its id again", known.clone()),
        call("ConsumerGroupHeartbeat", 1, leaves),
        case("alone", known.clone()),
        case("alone, again", known),
    ]
}

/// Returns a request with an assignment of the only member of `g%`.
fn synced(changes: &Value) -> Value {
    let assignments = json!([{"MemberId": "$member", "Assignment": "0102"}]);
    let request = json!({"GroupId": "g%", "GenerationId": "$generation", "MemberId": "$member",
        "ProtocolType": "consumer", "ProtocolName": "range", "Assignments": assignments});
    with(&request, changes)
}

pub(super) fn sync_group() -> Script {
    let steps = || {
        let of = |name: &'static str, changes: Value| case(name, synced(&changes));
        vec![
            join(),
            of(
                "an earlier generation",
                json!({"GenerationId": "$generation-1"}),
            ),
            of(
                "a later generation",
                json!({"GenerationId": "$generation+1"}),
            ),
            of(
                "a member that does not exist",
                json!({"MemberId": "nobody"}),
            ),
            of("no member", json!({"MemberId": ""})),
            of("another group", json!({"GroupId": "none%"})),
            of("no group", json!({"GroupId": ""})),
            of("another type", json!({"ProtocolType": "connect"})),
            of("another protocol", json!({"ProtocolName": "other"})),
            of("a type and no protocol", json!({"ProtocolName": null})),
            of(
                "no type and no protocol",
                json!({"ProtocolType": null, "ProtocolName": null}),
            ),
            of("an assignment", json!({})),
            of("the assignment again", json!({})),
            of("no assignment", json!({"Assignments": []})),
            of("an instance", json!({"GroupInstanceId": "i"})),
        ]
    };
    let mut sequences = each("one member", 0..=5, &[], |_| steps());
    let request = json!({"GroupId": "", "ProtocolType": "a", "ProtocolName": "b"});
    sequences.extend(around(0..=5, &request));
    Script {
        api: "SyncGroup",
        unordered: &[],
        sequences,
    }
}

pub(super) fn heartbeat() -> Script {
    let request = json!({"GroupId": "g%", "GenerationId": "$generation", "MemberId": "$member"});
    let steps = || {
        let of = |name: &'static str, changes: Value| case(name, with(&request, &changes));
        let mut steps = vec![join(), of("before the assignment", json!({}))];
        steps.push(call("SyncGroup", 3, synced(&json!({}))));
        steps.extend([
            of("a member", json!({})),
            of(
                "an earlier generation",
                json!({"GenerationId": "$generation-1"}),
            ),
            of("generation -1", json!({"GenerationId": -1})),
            of(
                "a member that does not exist",
                json!({"MemberId": "nobody"}),
            ),
            of("no member", json!({"MemberId": ""})),
            of("another group", json!({"GroupId": "none%"})),
            of("no group", json!({"GroupId": ""})),
            of("an instance", json!({"GroupInstanceId": "i"})),
            pending(),
            of(
                "a pending member",
                json!({"GroupId": "p%", "MemberId": "$pending"}),
            ),
        ]);
        steps
    };
    let mut sequences = each("one member", 0..=4, &[], |_| steps());
    sequences.extend(around(0..=4, &json!({"GroupId": ""})));
    Script {
        api: "Heartbeat",
        unordered: &[],
        sequences,
    }
}

pub(super) fn leave_group() -> Script {
    let of = |group: &str, members: Value, member: &str| {
        let mut request = json!({"GroupId": group, "MemberId": member});
        request["Members"] = members;
        request
    };
    let one = |member: &str| json!([{"MemberId": member}]);
    let single =
        |name: &'static str, group: &str, member: &str| case(name, of(group, one(member), member));
    let first = || {
        let mut steps = stable().to_vec();
        steps.extend([
            single("a member that does not exist", "g%", "nobody"),
            single("no member", "g%", ""),
            single("another group", "none%", "nobody"),
            single("no group", "", "nobody"),
            single("a member", "g%", "$member"),
            single("the member again", "g%", "$member"),
            pending(),
            single("a pending member", "p%", "$pending"),
        ]);
        steps
    };
    let several = || {
        let static_one = |instance: &str| json!({"MemberId": "", "GroupInstanceId": instance});
        let mut steps = stable().to_vec();
        steps.extend([
            case("no members", of("g%", json!([]), "")),
            case(
                "an instance that does not exist",
                of("g%", json!([static_one("i")]), ""),
            ),
            case(
                "a member twice",
                of(
                    "g%",
                    json!([{"MemberId": "$member"}, {"MemberId": "$member"}]),
                    "",
                ),
            ),
        ]);
        steps
    };
    let mut sequences = each("one member", 0..=5, &[], |_| first());
    sequences.extend(each("several members", 3..=5, &[], |_| several()));
    sequences.extend(around(0..=5, &of("none", one("nobody"), "nobody")));
    Script {
        api: "LeaveGroup",
        unordered: &[],
        sequences,
    }
}

pub(super) fn describe_groups() -> Script {
    let of = |groups: &[&str]| json!({ "Groups": groups });
    let steps = || {
        let mut steps = vec![case("a group that does not exist", of(&["none%"])), join()];
        steps.push(case("before the assignment", of(&["g%"])));
        steps.push(call("SyncGroup", 3, synced(&json!({}))));
        let operations = json!({"IncludeAuthorizedOperations": true});
        steps.extend([
            case("a stable group", of(&["g%"])),
            case("its operations", with(&of(&["g%"]), &operations)),
            case("a group twice", of(&["g%", "g%"])),
            case("no group", of(&[])),
            case("an empty name", of(&[""])),
            case("a group and one that does not exist", of(&["none%", "g%"])),
            pending(),
            case("a pending member", of(&["p%"])),
            leave(),
            case("an empty group", of(&["g%"])),
        ]);
        steps
    };
    let mut sequences = each("states", 0..=6, &[], |_| steps());
    sequences.extend(around(0..=6, &of(&[])));
    Script {
        api: "DescribeGroups",
        unordered: &["Groups"],
        sequences,
    }
}

/// The only member leaves `g%`.
fn leave() -> Step {
    call(
        "LeaveGroup",
        2,
        json!({"GroupId": "g%", "MemberId": "$member"}),
    )
}

pub(super) fn list_groups() -> Script {
    let of =
        |states: &[&str], types: &[&str]| json!({"StatesFilter": states, "TypesFilter": types});
    let steps = || {
        let mut steps = stable().to_vec();
        steps.extend([
            case("all", of(&[], &[])),
            case("stable ones", of(&["Stable"], &[])),
            case("stable ones in capitals", of(&["STABLE"], &[])),
            case("empty ones", of(&["Empty"], &[])),
            case("dead and stable ones", of(&["Dead", "Stable"], &[])),
            case("a state that does not exist", of(&["None"], &[])),
            case("an empty state", of(&[""], &[])),
            case("classic ones", of(&[], &["classic"])),
            case("classic ones in capitals", of(&[], &["CLASSIC"])),
            case("of the consumer protocol", of(&[], &["consumer"])),
            case("a type that does not exist", of(&[], &["none"])),
            case("stable classic ones", of(&["Stable"], &["classic"])),
            pending(),
            case("with a pending member", of(&[], &[])),
        ]);
        steps
    };
    let mut sequences = each("filters", 0..=5, &[], |_| steps());
    sequences.extend(around(0..=5, &of(&["None"], &["none"])));
    Script {
        api: "ListGroups",
        unordered: &["Groups"],
        sequences,
    }
}

pub(super) fn delete_groups() -> Script {
    let of = |groups: &[&str]| json!({ "GroupsNames": groups });
    let steps = || {
        let mut steps = stable().to_vec();
        steps.extend([
            case("a stable group", of(&["g%"])),
            leave(),
            case("a group that does not exist", of(&["none%"])),
            case("no group", of(&[])),
            case("an empty name", of(&[""])),
            case("a group and one that does not exist", of(&["none%", "g%"])),
            case("the group again", of(&["g%"])),
            pending(),
            case("a pending member", of(&["p%"])),
        ]);
        steps
    };
    let mut sequences = each("states", 0..=3, &[], |_| steps());
    sequences.extend(around(0..=3, &of(&[])));
    Script {
        api: "DeleteGroups",
        unordered: &["Results"],
        sequences,
    }
}

pub(super) fn offset_commit() -> Script {
    let topics = [("t", 2)];
    let mut sequences = each("no member", 2..=10, &topics, |_| simple_commits());
    sequences.extend(each("a member", 2..=10, &topics, |_| commits_of_a_member()));
    sequences.extend(around(2..=10, &json!({"GroupId": "g", "Topics": []})));
    Script {
        api: "OffsetCommit",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}

fn commit(changes: &Value) -> Value {
    let partition = json!({"PartitionIndex": 0, "CommittedOffset": 5, "CommittedMetadata": "m"});
    let topics = json!([{"Name": "t%", "TopicId": "$id of t", "Partitions": [partition]}]);
    with(&json!({"GroupId": "g%", "Topics": topics}), changes)
}

fn of_partitions(partitions: &[Value]) -> Value {
    let topic = json!({"Name": "t%", "TopicId": "$id of t", "Partitions": partitions});
    commit(&json!({ "Topics": [topic] }))
}

fn simple_commits() -> Vec<Step> {
    let of = |name: &'static str, changes: Value| case(name, commit(&changes));
    let partition = |changes: Value| {
        let partition = json!({"PartitionIndex": 0, "CommittedOffset": 5,
            "CommittedMetadata": "m"});
        with(&partition, &changes)
    };
    let one = |changes: Value| of_partitions(&[partition(changes)]);
    let topic = |name: &str, id: &str| {
        let partitions = [partition(json!({}))];
        commit(&json!({"Topics": [{"Name": name, "TopicId": id, "Partitions": partitions}]}))
    };
    vec![
        of("a partition", json!({})),
        of("no group", json!({"GroupId": ""})),
        of("a member", json!({"MemberId": "nobody"})),
        of("a generation", json!({"GenerationIdOrMemberEpoch": 1})),
        of("generation -2", json!({"GenerationIdOrMemberEpoch": -2})),
        of(
            "a member and a generation",
            json!({"MemberId": "nobody", "GenerationIdOrMemberEpoch": 1}),
        ),
        of("an instance", json!({"GroupInstanceId": "i"})),
        of("a time to keep", json!({"RetentionTimeMs": 1_000_000})),
        of("no topic", json!({"Topics": []})),
        case("no partition", of_partitions(&[])),
        case("a negative offset", one(json!({"CommittedOffset": -1}))),
        case("no metadata", one(json!({"CommittedMetadata": null}))),
        case(
            "4096 bytes of metadata",
            one(json!({"CommittedMetadata": "x".repeat(4096)})),
        ),
        case(
            "4097 bytes of metadata",
            one(json!({"CommittedMetadata": "x".repeat(4097)})),
        ),
        case("an epoch", one(json!({"CommittedLeaderEpoch": 3}))),
        case(
            "a partition that does not exist",
            one(json!({"PartitionIndex": 7})),
        ),
        case("a negative partition", one(json!({"PartitionIndex": -1}))),
        case(
            "a partition twice",
            of_partitions(&[
                partition(json!({})),
                partition(json!({"CommittedOffset": 6})),
            ]),
        ),
        case(
            "a topic that does not exist",
            topic("none%", &"ab".repeat(16)),
        ),
        case("no topic's name", topic("", &"0".repeat(32))),
    ]
}

fn commits_of_a_member() -> Vec<Step> {
    let own = json!({"MemberId": "$member", "GenerationIdOrMemberEpoch": "$generation"});
    let of = |name: &'static str, changes: Value| case(name, commit(&with(&own, &changes)));
    vec![
        join(),
        of("before the assignment", json!({})),
        call("SyncGroup", 3, synced(&json!({}))),
        of("a partition", json!({})),
        of(
            "an earlier generation",
            json!({"GenerationIdOrMemberEpoch": "$generation-1"}),
        ),
        of(
            "a later generation",
            json!({"GenerationIdOrMemberEpoch": "$generation+1"}),
        ),
        of("no generation", json!({"GenerationIdOrMemberEpoch": -1})),
        of(
            "a member that does not exist",
            json!({"MemberId": "nobody"}),
        ),
        of("no member", json!({"MemberId": ""})),
        of(
            "nobody",
            json!({"MemberId": "", "GenerationIdOrMemberEpoch": -1}),
        ),
        of("an instance", json!({"GroupInstanceId": "i"})),
        leave(),
        of("after it left", json!({})),
        of(
            "nobody, after it left",
            json!({"MemberId": "", "GenerationIdOrMemberEpoch": -1}),
        ),
    ]
}

pub(super) fn offset_delete() -> Script {
    let topics = [("t", 2)];
    let of = |group: &str, topic: &str, partitions: &[i32]| {
        let partitions = partitions.iter();
        let partitions = partitions.map(|index| json!({ "PartitionIndex": index }));
        let topics = json!([{"Name": topic, "Partitions": partitions.collect::<Vec<_>>()}]);
        json!({"GroupId": group, "Topics": topics})
    };
    let steps = || {
        vec![
            call("OffsetCommit", 8, commit(&json!({}))),
            case("a partition", of("g%", "t%", &[0])),
            call("OffsetCommit", 8, commit(&json!({}))),
            case("one without an offset", of("g%", "t%", &[0, 1])),
            call("OffsetCommit", 8, commit(&json!({}))),
            case("a partition that does not exist", of("g%", "t%", &[7])),
            case("a negative partition", of("g%", "t%", &[-1])),
            case("a partition twice", of("g%", "t%", &[0, 0])),
            case("a topic that does not exist", of("g%", "none%", &[0])),
            case("no partition", of("g%", "t%", &[])),
            case("no topic", json!({"GroupId": "g%", "Topics": []})),
            case("a group that does not exist", of("none%", "t%", &[0])),
            case("no group", of("", "t%", &[0])),
        ]
    };
    let mut sequences = each("offsets", 0..=0, &topics, |_| steps());
    sequences.extend(around(0..=0, &json!({"GroupId": "none", "Topics": []})));
    Script {
        api: "OffsetDelete",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}
