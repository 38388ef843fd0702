//! Replicas on a broker whose log directories are all cordoned, on three nodes (KIP-1066). Pure.

use serde_json::{Value, json};

use super::super::script::{Sequence, Server, Step, call, case, each, on};
use super::three_nodes::{moved, until};

/// The broker.
const CORDONED: i32 = 2;

/// Returns the sequences about an API.
pub(super) fn sequences(api: &str) -> Vec<Sequence> {
    let of = |version, steps: fn() -> Vec<Step>| {
        let steps = |_| while_cordoned(steps());
        let sequences = each("cordoned log directories", version..=version, &[], steps);
        on(Server::Three, sequences)
    };
    match api {
        // Without the configuration of a new topic in the answer.
        "CreateTopics" => of(4, new_topics),
        "CreatePartitions" => of(3, new_partitions),
        "AlterPartitionReassignments" => of(1, moves),
        _ => Vec::new(),
    }
}

/// Creates a topic on the broker, takes some steps while its directories are cordoned, and lifts
/// that again.
fn while_cordoned(steps: Vec<Step>) -> Vec<Step> {
    let config = |operation: i8, value: Value| {
        let entry = json!({"Name": "cordoned.log.dirs", "ConfigOperation": operation,
            "Value": value});
        let broker = json!({"ResourceType": 4, "ResourceName": CORDONED.to_string(),
            "Configs": [entry]});
        let request = json!({"Resources": [broker], "ValidateOnly": false});
        call("IncrementalAlterConfigs", 1, request)
    };
    // The broker reports its directories with a heartbeat. Until then it may be given replicas.
    let noticed = |code: i16| {
        let mut request = created("seen%", &placed(3));
        request["validateOnly"] = json!(true);
        until(
            "CreateTopics",
            7,
            request,
            "Topics.0.ErrorCode",
            json!(code),
        )
    };
    let mut all = vec![
        call("CreateTopics", 7, created("t%", &assigned(&[1]))),
        call(
            "CreateTopics",
            7,
            created("there%", &assigned(&[CORDONED, 1])),
        ),
        Step::Node(CORDONED),
        config(0, json!("*")),
        Step::Node(1),
        noticed(38),
    ];
    all.extend(steps);
    all.extend([
        Step::Node(CORDONED),
        config(1, Value::Null),
        Step::Node(1),
        noticed(0),
    ]);
    all
}

fn created(name: &str, how: &Value) -> Value {
    json!({"Topics": [super::with(&json!({ "Name": name }), how)], "timeoutMs": 10000,
        "validateOnly": false})
}

fn assigned(brokers: &[i32]) -> Value {
    let assignments = json!([{"PartitionIndex": 0, "BrokerIds": brokers}]);
    json!({"NumPartitions": -1, "ReplicationFactor": -1, "Assignments": assignments})
}

fn placed(replicas: i16) -> Value {
    json!({"NumPartitions": 3, "ReplicationFactor": replicas, "Assignments": []})
}

fn new_topics() -> Vec<Step> {
    vec![
        case("on that broker", created("a%", &assigned(&[CORDONED]))),
        case(
            "on that broker and another one",
            created("b%", &assigned(&[1, CORDONED])),
        ),
        case("on others", created("c%", &assigned(&[1, 3]))),
        case("two replicas", created("d%", &placed(2))),
        case("three replicas", created("e%", &placed(3))),
    ]
}

fn new_partitions() -> Vec<Step> {
    let of = |count: i32, broker: i32| {
        let assignments = json!([{ "BrokerIds": [broker] }]);
        json!({"Topics": [{"Name": "t%", "Count": count, "Assignments": assignments}],
            "TimeoutMs": 10000, "ValidateOnly": false})
    };
    vec![
        case("on another broker", of(2, 3)),
        case("on that broker", of(3, CORDONED)),
    ]
}

fn moves() -> Vec<Step> {
    vec![
        case("to that broker", moved("t%", &json!([CORDONED]))),
        case(
            "to that broker and others",
            moved("t%", &json!([1, 3, CORDONED])),
        ),
        case(
            "of its replica's sibling",
            moved("there%", &json!([CORDONED, 3])),
        ),
        case("away from it", moved("there%", &json!([1]))),
    ]
}
