//! EndTxn and WriteTxnMarkers. Pure.

use serde_json::{Value, json};

use super::super::names::MADE_UP;
use super::super::script::{Script, Step, around, case, each};
use super::{ID, add, add_group, complete, ended, init, with, write};

pub(super) fn end_txn() -> Script {
    let plain = json!({"TransactionalId": ID, "ProducerId": 7, "ProducerEpoch": 0,
        "Committed": true});
    let mut sequences = each("nothing was added", 0..=5, &[], |_| empty());
    let topics = [("t", 2)];
    sequences.extend(each("a commit", 0..=5, &topics, |_| ends(true)));
    sequences.extend(each("an abort", 0..=5, &topics, |_| ends(false)));
    sequences.extend(each("with records", 0..=5, &topics, |_| with_records()));
    sequences.extend(each("the next", 5..=5, &topics, |_| next()));
    sequences.extend(each("bad requests", 0..=5, &topics, |_| bad()));
    sequences.extend(around(0..=5, &plain));
    Script {
        api: "EndTxn",
        unordered: &[],
        sequences,
    }
}

fn empty() -> Vec<Step> {
    vec![
        init(),
        case("a commit", ended(true)),
        case("an abort", ended(false)),
    ]
}

fn ends(commit: bool) -> Vec<Step> {
    let next = |commit| with(&ended(commit), &json!({"ProducerEpoch": "$epoch+1"}));
    vec![
        init(),
        add(&[0, 1]),
        add_group(),
        case("the first time", ended(commit)),
        complete(commit),
        case("again", ended(commit)),
        case("the other way", ended(!commit)),
        // The abort of nothing comes last: version 5 carries it out.
        case("a commit with the next epoch", next(true)),
        case("an abort with the next epoch", next(false)),
    ]
}

fn with_records() -> Vec<Step> {
    vec![
        init(),
        add(&[0]),
        write(0, &["a", "b"]),
        case("a commit", ended(true)),
        complete(true),
    ]
}

/// Returns the steps that use the next epoch, which version 5 gives.
fn next() -> Vec<Step> {
    let captures = [("pid", "ProducerId"), ("epoch", "ProducerEpoch")];
    vec![
        init(),
        add(&[0]),
        case("a commit", ended(true)).capture(&captures),
        complete(true),
        add(&[1]),
        case("an abort of the next", ended(false)).capture(&captures),
        complete(false),
        case("an abort of nothing", ended(false)).capture(&captures),
        complete(false),
        case("a commit of nothing", ended(true)),
    ]
}

fn bad() -> Vec<Step> {
    let changed = |changes: Value| with(&ended(true), &changes);
    let never = json!({"ProducerId": MADE_UP, "ProducerEpoch": 0});
    vec![
        case("an id that never was", changed(never)),
        init(),
        init(),
        add(&[0]),
        case("an empty id", changed(json!({"TransactionalId": ""}))),
        case("no id", changed(json!({"TransactionalId": null}))),
        case("another id", changed(json!({"TransactionalId": "other%"}))),
        case(
            "another producer",
            changed(json!({"ProducerId": "$pid+100000"})),
        ),
        case(
            "the highest producer",
            changed(json!({"ProducerId": i64::MAX})),
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
        case(
            "the lowest epoch",
            changed(json!({"ProducerEpoch": i16::MIN})),
        ),
    ]
}

pub(super) fn write_txn_markers() -> Script {
    let mut sequences = each("an open transaction", 1..=2, &[("t", 2)], |_| open());
    sequences.extend(each("epochs of coordinators", 1..=2, &[("t", 1)], |_| {
        coordinators()
    }));
    sequences.extend(each("epochs of producers", 1..=2, &[("t", 1)], |_| {
        epochs()
    }));
    sequences.extend(each("bad requests", 1..=2, &[("t", 1)], |_| bad_markers()));
    for (name, version) in VERSIONS {
        sequences.extend(each(name, 2..=2, &[("t", 1)], |_| of_version(version)));
    }
    sequences.extend(around(1..=2, &json!({"Markers": []})));
    Script {
        api: "WriteTxnMarkers",
        unordered: &["Markers", "Topics", "Partitions"],
        sequences,
    }
}

const VERSIONS: [(&str, i8); 7] = [
    ("transaction version 0", 0),
    ("transaction version 1", 1),
    ("transaction version 2", 2),
    ("transaction version 3", 3),
    ("the highest transaction version", i8::MAX),
    ("transaction version -1", -1),
    ("the lowest transaction version", i8::MIN),
];

fn marker(changes: &Value) -> Value {
    let marker = json!({"ProducerId": "$pid", "ProducerEpoch": "$epoch", "TransactionResult": true,
        "CoordinatorEpoch": 0, "Topics": [{"Name": "t%", "PartitionIndexes": [0]}]});
    with(&marker, changes)
}

fn markers(changes: &[Value]) -> Value {
    json!({"Markers": changes.iter().map(marker).collect::<Vec<_>>()})
}

fn open() -> Vec<Step> {
    vec![
        init(),
        add(&[0]),
        write(0, &["a"]),
        case("an abort", markers(&[json!({"TransactionResult": false})])),
        case(
            "an abort again",
            markers(&[json!({"TransactionResult": false})]),
        ),
        case("a commit", markers(&[json!({})])),
    ]
}

fn coordinators() -> Vec<Step> {
    let of = |epoch: i32| markers(&[json!({"CoordinatorEpoch": epoch})]);
    vec![
        init(),
        add(&[0]),
        write(0, &["a"]),
        case("a later epoch", of(5)),
        case("an earlier epoch", of(4)),
        case("the same epoch", of(5)),
        case("no epoch", of(-1)),
        case("the lowest epoch", of(i32::MIN)),
        case("the highest epoch", of(i32::MAX)),
    ]
}

fn epochs() -> Vec<Step> {
    let of = |epoch: Value| markers(&[json!({"ProducerEpoch": epoch})]);
    vec![
        init(),
        init(),
        add(&[0]),
        write(0, &["a"]),
        case("an earlier epoch", of(json!("$epoch-1"))),
        case("a later epoch", of(json!("$epoch+1"))),
        case(
            "its epoch, which is an earlier one now",
            of(json!("$epoch")),
        ),
        case("the highest epoch", of(json!(i16::MAX))),
        case("the lowest epoch", of(json!(i16::MIN))),
    ]
}

fn bad_markers() -> Vec<Step> {
    let topics = |topics: Value| markers(&[json!({"Topics": topics})]);
    let topic =
        |name: &str, partitions: &[i32]| json!({"Name": name, "PartitionIndexes": partitions});
    vec![
        case("no marker", markers(&[])),
        init(),
        case("no topic", topics(json!([]))),
        case("no partition", topics(json!([topic("t%", &[])]))),
        case(
            "a topic that does not exist",
            topics(json!([topic("none%", &[0])])),
        ),
        case(
            "a partition that does not exist",
            topics(json!([topic("t%", &[0, 1])])),
        ),
        case("a negative partition", topics(json!([topic("t%", &[-1])]))),
        case("an empty topic name", topics(json!([topic("", &[0])]))),
        case("an illegal topic name", topics(json!([topic("a b", &[0])]))),
        case("a partition twice", topics(json!([topic("t%", &[0, 0])]))),
        case(
            "a topic twice",
            topics(json!([topic("t%", &[0]), topic("t%", &[0])])),
        ),
        case("a producer twice", markers(&[json!({}), json!({})])),
        case(
            "a producer that never was",
            markers(&[json!({"ProducerId": MADE_UP})]),
        ),
        case(
            "the highest producer",
            markers(&[json!({"ProducerId": i64::MAX})]),
        ),
        case("a negative producer", markers(&[json!({"ProducerId": -1})])),
        case(
            "several producers",
            markers(&[
                json!({"ProducerId": MADE_UP + 1}),
                json!({"ProducerId": MADE_UP + 2}),
            ]),
        ),
        case(
            "the topic of offsets",
            topics(json!([
                topic("__consumer_offsets", &[0]),
                topic("t%", &[0])
            ])),
        ),
    ]
}

/// Returns markers of a transaction version; at first with the epoch of the records, which version
/// 2 refuses.
fn of_version(version: i8) -> Vec<Step> {
    let of = |epoch: &str| json!({"ProducerEpoch": epoch, "TransactionVersion": version});
    vec![
        init(),
        init(),
        add(&[0]),
        write(0, &["a"]),
        case("the epoch of the records", markers(&[of("$epoch")])),
        case("the next epoch", markers(&[of("$epoch+1")])),
        case("the next epoch again", markers(&[of("$epoch+1")])),
        case("an earlier epoch", markers(&[of("$epoch-1")])),
    ]
}
