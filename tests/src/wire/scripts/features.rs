//! UpdateFeatures. Pure.
//!
//! Levels of `metadata.version` and of features that a server does not have are not set: a server
//! has the levels of its release.

use serde_json::{Value, json};

use super::super::script::{Script, Server, Step, around, case, each, on};
use super::with;

pub(super) fn update_features() -> Script {
    let mut sequences = each("with downgrades allowed or not", 0..=0, &[], |_| first());
    sequences.extend(each("with kinds of change", 1..=2, &[], |_| kinds()));
    let request = json!({"timeoutMs": 60000, "FeatureUpdates": []});
    sequences.extend(around(0..=2, &request));
    Script {
        api: "UpdateFeatures",
        unordered: &["Results"],
        sequences: on(Server::Features, sequences),
    }
}

fn updates(updates: &[Value], validate: bool) -> Value {
    json!({"timeoutMs": 60000, "FeatureUpdates": updates, "ValidateOnly": validate})
}

fn first() -> Vec<Step> {
    let of = |level: i16, downgrade: bool| {
        let update = json!({"Feature": "transaction.version", "MaxVersionLevel": level,
            "AllowDowngrade": downgrade});
        json!({"timeoutMs": 60000, "FeatureUpdates": [update]})
    };
    vec![
        case(
            "no update",
            json!({"timeoutMs": 60000, "FeatureUpdates": []}),
        ),
        case("the same level", of(2, false)),
        case("a lower level", of(1, false)),
        case("a lower level, allowed", of(1, true)),
        case("a higher level", of(2, false)),
        case("a level that does not exist", of(9, false)),
        case("a negative level", of(-1, true)),
        case("level 0, not allowed", of(0, false)),
        case(
            "a timeout of 0",
            with(&of(2, false), &json!({"timeoutMs": 0})),
        ),
        case(
            "a timeout of -1",
            with(&of(2, false), &json!({"timeoutMs": -1})),
        ),
    ]
}

const UPGRADE: i8 = 1;
const SAFE: i8 = 2;
const UNSAFE: i8 = 3;

fn update(feature: &str, level: i16, kind: i8) -> Value {
    json!({"Feature": feature, "MaxVersionLevel": level, "UpgradeType": kind})
}

fn kinds() -> Vec<Step> {
    let check = |feature: &str, level, kind| updates(&[update(feature, level, kind)], true);
    let change = |feature: &str, level, kind| updates(&[update(feature, level, kind)], false);
    let transactions = "transaction.version";
    vec![
        case("no update", updates(&[], false)),
        case("no update, validated", updates(&[], true)),
        case("the same level, validated", check(transactions, 2, UPGRADE)),
        case(
            "a lower level as an upgrade, validated",
            check(transactions, 1, UPGRADE),
        ),
        case("a lower level, validated", check(transactions, 1, SAFE)),
        case(
            "a lower level, unsafe, validated",
            check(transactions, 1, UNSAFE),
        ),
        case("level 0, validated", check(transactions, 0, SAFE)),
        case(
            "a level that does not exist, validated",
            check(transactions, 3, UPGRADE),
        ),
        case(
            "the highest level, validated",
            check(transactions, i16::MAX, UPGRADE),
        ),
        case("a negative level, validated", check(transactions, -1, SAFE)),
        case("kind 0, validated", check(transactions, 1, 0)),
        case("kind 4, validated", check(transactions, 1, 4)),
        case("a negative kind, validated", check(transactions, 1, -1)),
        case(
            "a feature that does not exist, validated",
            check("no.such", 1, UPGRADE),
        ),
        case(
            "level 0 of a feature that does not exist",
            check("no.such", 0, SAFE),
        ),
        case("an empty name, validated", check("", 1, UPGRADE)),
        case(
            "no name",
            updates(&[json!({"Feature": null, "MaxVersionLevel": 1})], true),
        ),
        case("group.version, lower", check("group.version", 0, SAFE)),
        case(
            "group.version, too high",
            check("group.version", 99, UPGRADE),
        ),
        case(
            "eligible.leader.replicas.version, lower",
            check("eligible.leader.replicas.version", 0, SAFE),
        ),
        case(
            "metadata.version, too high",
            check("metadata.version", 999, UPGRADE),
        ),
        case(
            "metadata.version, too low",
            check("metadata.version", 1, UNSAFE),
        ),
        case(
            "metadata.version, level 0",
            check("metadata.version", 0, UNSAFE),
        ),
        case(
            "kraft.version, too high",
            check("kraft.version", 9, UPGRADE),
        ),
        case(
            "a good and a bad one, validated",
            updates(
                &[
                    update("group.version", 1, UPGRADE),
                    update("no.such", 1, UPGRADE),
                    update(transactions, 9, UPGRADE),
                ],
                true,
            ),
        ),
        case(
            "a feature twice",
            updates(
                &[update(transactions, 1, SAFE), update(transactions, 1, SAFE)],
                true,
            ),
        ),
        case(
            "a timeout of 0, validated",
            with(&check(transactions, 1, SAFE), &json!({"timeoutMs": 0})),
        ),
        case(
            "a timeout of -1, validated",
            with(&check(transactions, 1, SAFE), &json!({"timeoutMs": -1})),
        ),
        case("a lower level", change(transactions, 1, SAFE)),
        case("the same lower level", change(transactions, 1, SAFE)),
        case(
            "a good and a bad one",
            updates(
                &[
                    update(transactions, 2, UPGRADE),
                    update("no.such", 1, UPGRADE),
                ],
                false,
            ),
        ),
        case("a higher level", change(transactions, 2, UPGRADE)),
        case("a higher level again", change(transactions, 2, UPGRADE)),
        case("level 0", change(transactions, 0, UNSAFE)),
        case("from 0 to the highest", change(transactions, 2, UPGRADE)),
    ]
}
