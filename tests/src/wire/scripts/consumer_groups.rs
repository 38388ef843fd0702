//! Groups of the consumer protocol (KIP-848). Pure.

use serde_json::{Value, json};

use super::super::script::{Script, Step, Until, around, call, case, each};
use super::with;

/// Returns a heartbeat of the member `m` of `g%`.
fn beat(changes: &Value) -> Value {
    let request = json!({"GroupId": "g%", "MemberId": "m", "MemberEpoch": 0,
        "RebalanceTimeoutMs": 30000, "SubscribedTopicNames": ["t%"], "TopicPartitions": []});
    with(&request, changes)
}

/// Returns a heartbeat that changes nothing.
fn quiet(epoch: &Value) -> Value {
    json!({"GroupId": "g%", "MemberId": "m", "MemberEpoch": epoch})
}

pub(super) fn heartbeat() -> Script {
    let topics = [("t", 2)];
    let mut sequences = each("one member", 0..=1, &topics, |_| one_member());
    sequences.extend(each("bad requests", 0..=1, &topics, |_| bad()));
    sequences.extend(each("regular expressions", 1..=1, &topics, |_| {
        expressions()
    }));
    sequences.extend(each("a static member", 0..=1, &topics, |_| static_member()));
    sequences.extend(each("a classic member", 0..=1, &topics, |_| {
        beside_a_classic_member()
    }));
    sequences.extend(around(0..=1, &beat(&json!({"GroupId": ""}))));
    Script {
        api: "ConsumerGroupHeartbeat",
        unordered: &["TopicPartitions"],
        sequences,
    }
}

/// Waits until the coordinator knows the topic: it assigns its partitions in another group.
fn known() -> Step {
    Step::Call {
        api: "ConsumerGroupHeartbeat",
        version: 1,
        request: beat(&json!({"GroupId": "w%"})),
        until: Until::Field("Assignment.TopicPartitions.0.Partitions.0", json!(0)),
        captures: Vec::new(),
    }
}

fn one_member() -> Vec<Step> {
    let epoch = [("epoch", "MemberEpoch")];
    let owned = json!({"MemberEpoch": "$epoch", "SubscribedTopicNames": null,
        "RebalanceTimeoutMs": -1,
        "TopicPartitions": [{"TopicId": "$id of t", "Partitions": [0, 1]}]});
    vec![
        known(),
        case("a new member", beat(&json!({}))).capture(&epoch),
        case("with what it owns", beat(&owned)).capture(&epoch),
        case("again", quiet(&json!("$epoch"))).capture(&epoch),
        case("an earlier epoch", quiet(&json!("$epoch-1"))),
        case("a later epoch", quiet(&json!("$epoch+1"))),
        case("it joins again", beat(&json!({}))).capture(&epoch),
        case("it leaves", quiet(&json!(-1))),
        case("it leaves again", quiet(&json!(-1))),
        case("after it left", quiet(&json!("$epoch"))),
    ]
}

fn bad() -> Vec<Step> {
    let of = |name: &'static str, changes: Value| case(name, beat(&changes));
    let owned = json!([{"TopicId": "$id of t", "Partitions": [0]}]);
    vec![
        known(),
        of("no group", json!({"GroupId": ""})),
        of("a blank group", json!({"GroupId": " "})),
        of("no member", json!({"MemberId": ""})),
        of(
            "a group that does not exist",
            json!({"GroupId": "none%", "MemberEpoch": 1}),
        ),
        of("epoch -3", json!({"MemberEpoch": -3})),
        of("epoch -2", json!({"MemberEpoch": -2})),
        of("no rebalance timeout", json!({"RebalanceTimeoutMs": -1})),
        of(
            "a rebalance timeout of -2",
            json!({"RebalanceTimeoutMs": -2}),
        ),
        of("no subscription", json!({"SubscribedTopicNames": null})),
        of("an empty subscription", json!({"SubscribedTopicNames": []})),
        of(
            "partitions of a new member",
            json!({ "TopicPartitions": owned }),
        ),
        of("no list of partitions", json!({"TopicPartitions": null})),
        of("no instance", json!({"InstanceId": ""})),
        of("no rack", json!({"RackId": ""})),
        of(
            "an assignor that does not exist",
            json!({"ServerAssignor": "none"}),
        ),
        of("no assignor", json!({"ServerAssignor": ""})),
    ]
}

fn expressions() -> Vec<Step> {
    let of = |changes: Value| {
        let request = beat(&json!({"SubscribedTopicNames": null}));
        with(&request, &changes)
    };
    let changes = |member: &str, epoch: Value| {
        json!({"GroupId": "r%", "MemberId": member, "MemberEpoch": epoch,
            "SubscribedTopicRegex": "t%"})
    };
    let one = |member: &str, epoch: Value| of(changes(member, epoch));
    let resolved = |member: &'static str| {
        let partition = Until::Field("Assignment.TopicPartitions.0.Partitions.0", json!(0));
        Step::Call {
            api: "ConsumerGroupHeartbeat",
            version: 1,
            request: one(member, json!("$epoch")),
            until: partition,
            captures: vec![("epoch", "MemberEpoch")],
        }
    };
    let alone = |epoch: Value| json!({"GroupId": "r%", "MemberId": "m", "MemberEpoch": epoch});
    vec![
        known(),
        case("one that matches a topic", one("m", json!(0))).capture(&[("epoch", "MemberEpoch")]),
        resolved("m"),
        case("one that matches a topic, later", one("m", json!("$epoch"))),
        case("a heartbeat", alone(json!("$epoch"))),
        case("one that is known", one("n", json!(0))),
        case("a bad one", of(json!({"SubscribedTopicRegex": "["}))),
        case("an empty one", of(json!({"SubscribedTopicRegex": ""}))),
        case("no topic", of(json!({"SubscribedTopicRegex": "none-such"}))),
    ]
}

fn static_member() -> Vec<Step> {
    let of = |member: &str, epoch: Value| {
        beat(&json!({"MemberId": member, "MemberEpoch": epoch, "InstanceId": "i"}))
    };
    vec![
        known(),
        case("a new member", of("m", json!(0))).capture(&[("epoch", "MemberEpoch")]),
        case("another one", of("n", json!(0))),
        case("an unknown one with an epoch", of("n", json!(1))),
        case("it leaves for a while", of("m", json!(-2))),
        case("another one instead", of("n", json!(0))),
        case("the one of before", of("m", json!("$epoch"))),
        case(
            "an instance that does not exist",
            beat(&json!({"InstanceId": "j",
            "MemberEpoch": -2})),
        ),
    ]
}

/// A member of the classic protocol joins the group, and leaves it.
fn beside_a_classic_member() -> Vec<Step> {
    let epoch = [("epoch", "MemberEpoch")];
    let left = json!({"GroupId": "g%", "Members": [{"MemberId": "$member"}]});
    let later = quiet(&json!("$epoch"));
    vec![
        known(),
        case("a new member", beat(&json!({}))).capture(&epoch),
        call("JoinGroup", 3, super::joining(&json!({}))).capture(&[("member", "MemberId")]),
        case("after a classic member joined", later.clone()).capture(&epoch),
        case("a heartbeat", later.clone()).capture(&epoch),
        call("LeaveGroup", 3, left),
        case("after it left", later.clone()).capture(&epoch),
        case("a later heartbeat", later),
    ]
}

pub(super) fn describe() -> Script {
    let topics = [("t", 2)];
    let of = |groups: &[&str]| json!({ "GroupIds": groups });
    let classic = super::joining(&json!({"GroupId": "c%"}));
    let steps = || {
        let operations = json!({"IncludeAuthorizedOperations": true});
        vec![
            case("a group that does not exist", of(&["none%"])),
            known(),
            call("ConsumerGroupHeartbeat", 1, beat(&json!({}))),
            case("one member", of(&["g%"])),
            case("its operations", with(&of(&["g%"]), &operations)),
            case("a group twice", of(&["g%", "g%"])),
            case("no group", of(&[])),
            case("an empty name", of(&[""])),
            case("a group and one that does not exist", of(&["none%", "g%"])),
            call("JoinGroup", 3, classic.clone()),
            case("a classic group", of(&["c%"])),
            call("JoinGroup", 3, super::joining(&json!({}))).capture(&[("member", "MemberId")]),
            case("a classic member too", of(&["g%"])),
            call(
                "LeaveGroup",
                3,
                json!({"GroupId": "g%", "Members": [{"MemberId": "$member"}]}),
            ),
            case("after it left", of(&["g%"])),
            call("ConsumerGroupHeartbeat", 1, quiet(&json!(-1))),
            case("an empty group", of(&["g%"])),
        ]
    };
    let mut sequences = each("states", 0..=1, &topics, |_| steps());
    sequences.extend(around(0..=1, &of(&[])));
    Script {
        api: "ConsumerGroupDescribe",
        unordered: &["Groups", "Members", "TopicPartitions"],
        sequences,
    }
}
