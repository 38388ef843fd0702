//! AddPartitionsToTxn and AddOffsetsToTxn. Pure.

use serde_json::{Value, json};

use super::super::names::MADE_UP;
use super::super::script::{Script, Step, around, case, each};
use super::{ID, add, end, init, with};

pub(super) fn add_partitions_to_txn() -> Script {
    let mut sequences = each("from a client", 0..=3, &[("t", 3), ("u", 1)], |_| {
        of_client()
    });
    sequences.extend(each("after the end", 0..=3, &[("t", 1)], |_| {
        after_the_end()
    }));
    let topics = [("t", 3), ("u", 1)];
    sequences.extend(each("from a broker", 4..=5, &topics, |_| of_broker()));
    sequences.extend(each("to verify", 4..=5, &topics, |_| to_verify()));
    sequences.extend(around(0..=3, &client(json!([]))));
    let empty = json!({"Transactions": []});
    sequences.extend(
        around(4..=5, &empty)
            .into_iter()
            .filter(|it| it.version > 3),
    );
    // Version 4 is served: `around` the first versions asks for it.
    sequences.retain(|it| it.name != "versions" || it.version != 4);
    Script {
        api: "AddPartitionsToTxn",
        unordered: &[
            "ResultsByTopicV3AndBelow",
            "ResultsByTransaction",
            "TopicResults",
            "ResultsByPartition",
        ],
        sequences,
    }
}

fn topic(name: &str, partitions: &[i32]) -> Value {
    json!({"Name": name, "Partitions": partitions})
}

fn client(topics: Value) -> Value {
    json!({"V3AndBelowTransactionalId": ID, "V3AndBelowProducerId": 7,
        "V3AndBelowProducerEpoch": 0, "V3AndBelowTopics": topics})
}

fn own(topics: Value) -> Value {
    let own = json!({"V3AndBelowProducerId": "$pid", "V3AndBelowProducerEpoch": "$epoch"});
    with(&client(topics), &own)
}

fn of_client() -> Vec<Step> {
    let one = || json!([topic("t%", &[0])]);
    let changed = |changes: Value| with(&own(one()), &changes);
    let id = |id: Value| changed(json!({"V3AndBelowTransactionalId": id}));
    let pid = |pid: Value| changed(json!({"V3AndBelowProducerId": pid}));
    let epoch = |epoch: Value| changed(json!({"V3AndBelowProducerEpoch": epoch}));
    vec![
        case("an id that never was", client(one())),
        init(),
        init(),
        case("one partition", own(one())),
        case("the same again", own(one())),
        case(
            "several topics",
            own(json!([topic("t%", &[0, 1, 2]), topic("u%", &[0])])),
        ),
        case("a partition twice", own(json!([topic("t%", &[1, 1])]))),
        case(
            "a topic twice",
            own(json!([topic("t%", &[1]), topic("t%", &[2])])),
        ),
        case("no topic", own(json!([]))),
        case("no partition", own(json!([topic("t%", &[])]))),
        case(
            "a topic that does not exist",
            own(json!([topic("none%", &[0])])),
        ),
        case(
            "a topic that does not exist among others",
            own(json!([
                topic("t%", &[0]),
                topic("none%", &[0]),
                topic("u%", &[0])
            ])),
        ),
        case(
            "a partition that does not exist",
            own(json!([topic("t%", &[0, 3])])),
        ),
        case("a negative partition", own(json!([topic("t%", &[-1])]))),
        case(
            "the highest partition",
            own(json!([topic("t%", &[i32::MAX])])),
        ),
        case("an empty topic name", own(json!([topic("", &[0])]))),
        case("an illegal topic name", own(json!([topic("a b", &[0])]))),
        case(
            "the topic of offsets",
            own(json!([topic("__consumer_offsets", &[0])])),
        ),
        case(
            "the topic of transactions",
            own(json!([topic("__transaction_state", &[0])])),
        ),
        case("an empty id", id(json!(""))),
        case("another id", id(json!("other%"))),
        case("no id", id(Value::Null)),
        case("another producer", pid(json!("$pid+100000"))),
        case("the highest producer", pid(json!(i64::MAX))),
        case("a negative producer", pid(json!(-1))),
        case("an earlier epoch", epoch(json!("$epoch-1"))),
        case("a later epoch", epoch(json!("$epoch+1"))),
        case("the highest epoch", epoch(json!(i16::MAX))),
    ]
}

fn after_the_end() -> Vec<Step> {
    let one = json!([topic("t%", &[0])]);
    let mut steps = vec![init(), add(&[0])];
    steps.extend(end(true));
    steps.push(case("after a commit", own(one.clone())));
    steps.extend(end(false));
    steps.push(case("after an abort", own(one)));
    steps
}

fn transaction(verify: bool, topics: Value) -> Value {
    json!({"TransactionalId": ID, "ProducerId": "$pid", "ProducerEpoch": "$epoch",
        "VerifyOnly": verify, "Topics": topics})
}

fn broker(transactions: &[Value]) -> Value {
    json!({"Transactions": transactions})
}

fn of_broker() -> Vec<Step> {
    let one = || json!([topic("t%", &[0])]);
    let changed = |changes: Value| broker(&[with(&transaction(false, one()), &changes)]);
    let own = |topics: Value| broker(&[transaction(false, topics)]);
    let other = with(
        &transaction(false, one()),
        &json!({"TransactionalId": "other%"}),
    );
    vec![
        case("no transaction", broker(&[])),
        init(),
        init(),
        case("one partition", own(one())),
        case("the same again", own(one())),
        case(
            "several topics",
            own(json!([topic("t%", &[0, 1, 2]), topic("u%", &[0])])),
        ),
        case(
            "two transactions",
            broker(&[transaction(false, one()), other]),
        ),
        case(
            "a transaction twice",
            broker(&[transaction(false, one()), transaction(false, one())]),
        ),
        case("no topic", own(json!([]))),
        case("no partition", own(json!([topic("t%", &[])]))),
        case(
            "a topic that does not exist",
            own(json!([topic("none%", &[0])])),
        ),
        case(
            "a topic that does not exist among others",
            own(json!([topic("t%", &[0]), topic("none%", &[0])])),
        ),
        case(
            "a partition that does not exist",
            own(json!([topic("t%", &[0, 3])])),
        ),
        case("a negative partition", own(json!([topic("t%", &[-1])]))),
        case(
            "the topic of offsets",
            own(json!([topic("__consumer_offsets", &[0])])),
        ),
        case("an empty id", changed(json!({"TransactionalId": ""}))),
        case("no id", changed(json!({"TransactionalId": null}))),
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
    ]
}

fn to_verify() -> Vec<Step> {
    let own = |topics: Value| broker(&[transaction(true, topics)]);
    let one = || json!([topic("t%", &[0])]);
    let changed = |changes: Value| broker(&[with(&transaction(true, one()), &changes)]);
    let unknown = || json!({"TransactionalId": "never%", "ProducerId": MADE_UP});
    vec![
        case("an id that never was", {
            let transaction = with(&transaction(true, one()), &unknown());
            broker(&[with(&transaction, &json!({"ProducerEpoch": 0}))])
        }),
        init(),
        init(),
        case("before the transaction begins", own(one())),
        add(&[0, 2]),
        case("a partition in it", own(one())),
        case(
            "a partition that is not in it",
            own(json!([topic("t%", &[1])])),
        ),
        case(
            "some in it, some not",
            own(json!([topic("t%", &[0, 1, 2]), topic("u%", &[0])])),
        ),
        case(
            "a topic that does not exist",
            own(json!([topic("none%", &[0])])),
        ),
        case("no topic", own(json!([]))),
        case(
            "to verify and to add",
            broker(&[
                transaction(true, one()),
                with(
                    &transaction(false, json!([topic("u%", &[0])])),
                    &json!({"TransactionalId": "other%"}),
                ),
            ]),
        ),
        case(
            "another producer",
            changed(json!({"ProducerId": "$pid+100000"})),
        ),
        case(
            "an earlier epoch",
            changed(json!({"ProducerEpoch": "$epoch-1"})),
        ),
        case(
            "a later epoch",
            changed(json!({"ProducerEpoch": "$epoch+1"})),
        ),
        case("an empty id", changed(json!({"TransactionalId": ""}))),
    ]
}

pub(super) fn add_offsets_to_txn() -> Script {
    let request = json!({"TransactionalId": ID, "ProducerId": 7, "ProducerEpoch": 0,
        "GroupId": "g%"});
    let mut sequences = each("groups", 0..=4, &[("t", 1)], |_| groups());
    sequences.extend(around(0..=4, &request));
    Script {
        api: "AddOffsetsToTxn",
        unordered: &[],
        sequences,
    }
}

fn groups() -> Vec<Step> {
    let own = json!({"TransactionalId": ID, "ProducerId": "$pid", "ProducerEpoch": "$epoch",
        "GroupId": "g%"});
    let changed = |changes: Value| with(&own, &changes);
    let never = json!({"ProducerId": MADE_UP, "ProducerEpoch": 0});
    let mut steps = vec![
        case("an id that never was", changed(never)),
        init(),
        init(),
        case("a group", own.clone()),
        case("the same again", own.clone()),
        case("another group", changed(json!({"GroupId": "h%"}))),
        case("an empty group", changed(json!({"GroupId": ""}))),
        case("no group", changed(json!({"GroupId": null}))),
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
    ];
    steps.extend(end(true));
    steps.push(case("after a commit", own));
    steps
}
