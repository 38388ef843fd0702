//! FindCoordinator. Pure.

use serde_json::{Value, json};

use super::super::script::{Script, Step, around, case, each};

pub(super) fn find_coordinator() -> Script {
    let mut sequences = each("one key", 0..=0, &[], |_| group());
    sequences.extend(each("one key of a type", 1..=3, &[], |_| one()));
    sequences.extend(each("several keys", 4..=6, &[], |_| several()));
    sequences.extend(around(0..=3, &json!({"Key": "tx"})));
    let keys = json!({"CoordinatorKeys": ["tx"]});
    sequences.extend(around(4..=6, &keys).into_iter().filter(|it| it.version > 3));
    sequences.retain(|it| it.name != "versions" || it.version != 4);
    Script {
        api: "FindCoordinator",
        unordered: &[],
        sequences,
    }
}

fn group() -> Vec<Step> {
    let key = |key: Value| json!({"Key": key});
    vec![
        case("a group", key(json!("g%"))),
        case("an empty group", key(json!(""))),
        case("null", key(Value::Null)),
    ]
}

fn one() -> Vec<Step> {
    let key = |kind: i8, key: Value| json!({"Key": key, "KeyType": kind});
    vec![
        case("a group", key(0, json!("g%"))),
        case("a transactional id", key(1, json!("tx%"))),
        case("an empty transactional id", key(1, json!(""))),
        case(
            "a transactional id that is not ASCII",
            key(1, json!("tx%äöü€")),
        ),
        case("null", key(1, Value::Null)),
        case("a share group", key(2, json!("g:AAAAAAAAAAAAAAAAAAAAAQ:0"))),
        case("a type that does not exist", key(3, json!("tx%"))),
        case("the highest type", key(i8::MAX, json!("tx%"))),
        case("a negative type", key(-1, json!("tx%"))),
    ]
}

fn several() -> Vec<Step> {
    let keys = |kind: i8, keys: &[&str]| json!({"CoordinatorKeys": keys, "KeyType": kind});
    vec![
        case("a group", keys(0, &["g%"])),
        case("an empty group", keys(0, &[""])),
        case("a transactional id", keys(1, &["tx%"])),
        case(
            "several transactional ids",
            keys(1, &["tx%", "other%", "third%"]),
        ),
        case("a transactional id twice", keys(1, &["tx%", "tx%"])),
        case("no key", keys(1, &[])),
        case("an empty transactional id", keys(1, &[""])),
        case("an empty one among others", keys(1, &["tx%", "", "other%"])),
        case("null", json!({"CoordinatorKeys": [null], "KeyType": 1})),
        case("no list", json!({"CoordinatorKeys": null, "KeyType": 1})),
        case("a type that does not exist", keys(3, &["tx%"])),
        case("a type that does not exist, no key", keys(3, &[])),
        case("a negative type", keys(-1, &["tx%"])),
    ]
}
