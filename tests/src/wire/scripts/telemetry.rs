//! GetTelemetrySubscriptions and PushTelemetry (KIP-714). Pure.
//!
//! Ids of instances are made up where an answer depends on them, and each sequence has its own: a
//! broker keeps the instances of clients.

use serde_json::{Value, json};

use super::super::script::{Script, Step, TELEMETRY_BYTES_MAX, Until, around, call, case, each};
use super::with;

const CLIENT_METRICS: i8 = 16;

const NO_ID: &str = "00000000000000000000000000000000";

/// Metrics without any resource.
const EMPTY: &str = "";
/// A gauge `a` of 1.0.
const GAUGE: &str = "0a14121212100a01612a0b0a0921000000000000f03f";
/// A thousand bytes of 0, with gzip.
const ZEROS: &str = "1f8b080000000000020363601805a360140c77000080170b06e8030000";

fn get(id: &str) -> Value {
    json!({ "ClientInstanceId": id })
}

/// Returns an id whose halves differ, since the id of a subscription depends on their difference.
fn id(digit: char) -> String {
    format!("abab{}{}", digit.to_string().repeat(12), "0".repeat(16))
}

/// Subscribes the clients with these instance ids, and waits until the broker does: `probe` is one
/// of them that the sequence does not use.
fn subscribe(metrics: &str, ids: &[&str], probe: &str) -> Vec<Step> {
    let ids: Vec<String> = ids.iter().map(|hex| base64(hex)).collect();
    let set = |name: &str, value: &str| json!({"Name": name, "ConfigOperation": 0, "Value": value});
    let configs = json!([
        set("interval.ms", "60000"),
        set("metrics", metrics),
        set("match", &format!("client_instance_id={}", ids.join("|"))),
    ]);
    let resource = json!({"ResourceType": CLIENT_METRICS, "ResourceName": "s%",
        "Configs": configs});
    let seen = Step::Call {
        api: "GetTelemetrySubscriptions",
        version: 0,
        request: get(probe),
        until: Until::Field("PushIntervalMs", json!(60_000)),
        captures: Vec::new(),
    };
    vec![
        call(
            "IncrementalAlterConfigs",
            1,
            json!({ "Resources": [resource] }),
        ),
        seen,
    ]
}

/// Returns an id, given as hexadecimal digits, as texts have it: base64 for URLs without padding.
fn base64(hex: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let bits = hex.chars().filter_map(|digit| digit.to_digit(16));
    let mut bits: Vec<u32> = bits
        .flat_map(|digit| (0..4).rev().map(move |bit| digit >> bit & 1))
        .collect();
    bits.resize(132, 0);
    let sixes = bits
        .chunks(6)
        .map(|six| six.iter().fold(0, |all, bit| all << 1 | bit));
    sixes.map(|six| char::from(DIGITS[six as usize])).collect()
}

pub(super) fn get_subscriptions() -> Script {
    let mut sequences = each("new clients", 0..=0, &[], |_| {
        vec![
            case("without an id", get(NO_ID)).capture(&[("instance", "ClientInstanceId")]),
            case("again at once", get("$instance")),
            case("with an id of its own", get(&id('1'))),
            case("with its id again at once", get(&id('1'))),
        ]
    });
    sequences.extend(each("subscriptions", 0..=0, &[], |_| {
        let (client, probe) = (id('2'), id('3'));
        let before = case("none that matches", get(&client));
        let mut steps = vec![before];
        steps.extend(subscribe("org.apache.kafka.", &[&client, &probe], &probe));
        // A client whose subscriptions changed is not throttled.
        steps.push(case("one that matches", get(&client)));
        steps.extend(subscribe("*,org.apache.", &[&client, &id('4')], &id('4')));
        steps.push(case("all metrics", get(&client)));
        steps.push(case("one that matches others", get(&id('5'))));
        steps
    }));
    sequences.extend(around(0..=0, &get(&id('6'))));
    Script {
        api: "GetTelemetrySubscriptions",
        unordered: &["RequestedMetrics"],
        sequences,
    }
}

pub(super) fn push() -> Script {
    let of = |changes: &Value| {
        let request = json!({"ClientInstanceId": "$instance", "SubscriptionId": "$subscription",
            "Terminating": false, "CompressionType": 0, "Metrics": EMPTY});
        with(&request, changes)
    };
    let known = || {
        let step = call("GetTelemetrySubscriptions", 0, get(NO_ID));
        step.capture(&[
            ("instance", "ClientInstanceId"),
            ("subscription", "SubscriptionId"),
        ])
    };
    let mut sequences = each("pushes", 0..=0, &[], |_| {
        vec![
            known(),
            case("no metrics", of(&json!({}))),
            case("again at once", of(&json!({ "Metrics": GAUGE }))),
            case(
                "the last one",
                of(&json!({"Metrics": GAUGE, "Terminating": true})),
            ),
            case("after the last one", of(&json!({ "Metrics": GAUGE }))),
            known(),
            case("a gauge", of(&json!({ "Metrics": GAUGE }))),
        ]
    });
    sequences.extend(each("bad requests", 0..=0, &[], |_| {
        let unknown = json!({"ClientInstanceId": id('7'), "SubscriptionId": 0});
        let reserved = json!({"ClientInstanceId": "00000000000000000000000000000001"});
        let garbage = "ffffffffffffffffffffffff";
        vec![
            known(),
            case(
                "an id that is not used",
                of(&json!({"ClientInstanceId": NO_ID})),
            ),
            case("an id that is reserved", of(&reserved)),
            case("an instance that is not known", of(&unknown)),
            case(
                "another subscription",
                of(&json!({"SubscriptionId": "$subscription+1"})),
            ),
            case(
                "a codec that does not exist, too early",
                of(&json!({"CompressionType": 5})),
            ),
            known(),
            case(
                "a codec that does not exist",
                of(&json!({"CompressionType": 5})),
            ),
            known(),
            case("a negative codec", of(&json!({"CompressionType": -1}))),
            known(),
            case("no message", of(&json!({ "Metrics": garbage }))),
            known(),
            case(
                "no gzip",
                of(&json!({"CompressionType": 1, "Metrics": garbage})),
            ),
            known(),
            case(
                "no zstd",
                of(&json!({"CompressionType": 4, "Metrics": garbage})),
            ),
            known(),
            case(
                "a message that is cut",
                of(&json!({ "Metrics": &GAUGE[..40] })),
            ),
            known(),
            case(
                "more bytes than allowed",
                of(&json!({ "Metrics": "00".repeat(TELEMETRY_BYTES_MAX + 1) })),
            ),
            known(),
            case(
                "more bytes than allowed, unpacked",
                of(&json!({"CompressionType": 1, "Metrics": ZEROS})),
            ),
        ]
    }));
    sequences.extend(each("errors and questions", 0..=0, &[], |_| {
        let ask = || get("$instance");
        vec![
            known(),
            case(
                "another subscription",
                of(&json!({"SubscriptionId": "$subscription+1"})),
            ),
            call("GetTelemetrySubscriptions", 0, ask()),
            case("a push after the question", of(&json!({}))),
            known(),
            case("another codec", of(&json!({"CompressionType": 9}))),
            call("GetTelemetrySubscriptions", 0, ask()),
            case("another push after the question", of(&json!({}))),
        ]
    }));
    let request = with(
        &of(&json!({})),
        &json!({"ClientInstanceId": id('8'), "SubscriptionId": 0}),
    );
    sequences.extend(around(0..=0, &request));
    Script {
        api: "PushTelemetry",
        unordered: &[],
        sequences,
    }
}
