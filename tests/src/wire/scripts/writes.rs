//! Produce in transactions. Pure.

use serde_json::{Value, json};

use super::super::names::MADE_UP;
use super::super::script::{Script, Step, Until, around, call, case, each};
use super::{ID, add, batch, end, init, produced, with};

pub(super) fn produce() -> Script {
    let topics = [("t", 2)];
    let mut sequences = each("added partitions", 3..=13, &topics, |_| added());
    sequences.extend(each(
        "partitions that are not added",
        3..=13,
        &topics,
        |_| not_added(),
    ));
    sequences.extend(each("producers", 3..=13, &topics, |_| producers()));
    sequences.extend(each("batches", 3..=13, &topics, |_| batches()));
    sequences.extend(each("topics", 3..=13, &topics, |_| topics_and_partitions()));
    sequences.extend(each("after the end", 3..=13, &topics, |_| after_the_end()));
    sequences.extend(each("damaged batches", 3..=13, &topics, |_| damaged()));
    sequences.extend(each("producers without an epoch", 3..=13, &topics, |_| {
        without_epoch()
    }));
    sequences.extend(each("compressed batches", 3..=13, &topics, |_| {
        compressed()
    }));
    sequences.extend(each("without a transaction", 3..=13, &topics, |_| plain()));
    let empty = json!({"TransactionalId": null, "Acks": 1, "TimeoutMs": 1000, "TopicData": []});
    sequences.extend(around(3..=13, &empty));
    // Advertised for old clients, which look at the lowest version only, and not served.
    sequences.extend(each("old versions", 0..=2, &[], |_| {
        vec![case("a version that is advertised only", empty.clone())]
    }));
    Script {
        api: "Produce",
        unordered: &["PartitionResponses"],
        sequences,
    }
}

fn own(partition: i32, sequence: i32) -> Value {
    produced(json!(ID), partition, json!([batch(sequence, &["a", "b"])]))
}

fn added() -> Vec<Step> {
    vec![
        init(),
        add(&[0]),
        case("the first batch", own(0, 0)),
        case("the second batch", own(0, 2)),
        case("the second batch again", own(0, 2)),
        case("the first batch again", own(0, 0)),
        case("a gap", own(0, 9)),
        case("a negative sequence", own(0, -1)),
        case("the highest sequence", own(0, i32::MAX)),
        case("acks of the leader", with(&own(0, 4), &json!({"Acks": 1}))),
        case("other acks", with(&own(0, 6), &json!({"Acks": 2}))),
    ]
}

fn not_added() -> Vec<Step> {
    vec![
        init(),
        case("in no transaction", own(0, 0)),
        add(&[1]),
        case("a partition that is in the transaction", own(1, 0)),
        case("a partition that is not in the transaction", own(0, 2)),
        case("the first batch of such a partition", own(0, 0)),
    ]
}

fn producers() -> Vec<Step> {
    let of = |changes: Value| {
        let batch = with(&batch(0, &["a"]), &changes);
        produced(json!(ID), 0, json!([batch]))
    };
    let id = |id: Value| produced(id, 0, json!([batch(0, &["a"])]));
    let plain = json!([{"records": ["plain"]}]);
    let idempotent = json!([{"producer": MADE_UP, "epoch": 0, "sequence": 0, "records": ["i"]}]);
    vec![
        init(),
        init(),
        add(&[0]),
        case("another producer", of(json!({"producer": "$pid+100000"}))),
        case("no producer", of(json!({"producer": -1}))),
        case("an earlier epoch", of(json!({"epoch": "$epoch-1"}))),
        case("a later epoch", of(json!({"epoch": "$epoch+1"}))),
        case("no id", id(Value::Null)),
        case("an empty id", id(json!(""))),
        case("another id", id(json!("other%"))),
        case(
            "a batch of no transaction",
            of(json!({"transactional": false})),
        ),
        case(
            "a batch of no producer",
            produced(json!(ID), 0, plain.clone()),
        ),
        case(
            "a batch of no producer, no id",
            produced(Value::Null, 0, plain),
        ),
        case(
            "an idempotent batch, no id",
            produced(Value::Null, 0, idempotent.clone()),
        ),
        case(
            "an idempotent batch of another producer",
            produced(json!(ID), 0, idempotent),
        ),
        case("its own", of(json!({}))),
    ]
}

fn batches() -> Vec<Step> {
    let of = |batches: Value| produced(json!(ID), 0, batches);
    let control = with(&batch(0, &["x"]), &json!({"control": true}));
    let plain_control = json!({"control": true, "records": ["x"]});
    vec![
        init(),
        add(&[0]),
        case("null", of(Value::Null)),
        case("no batch", of(json!([]))),
        case(
            "two batches",
            of(json!([batch(0, &["a"]), batch(1, &["b"])])),
        ),
        case("a batch without records", of(json!([batch(0, &[])]))),
        case("a control batch", of(json!([control]))),
        case(
            "a control batch, no id",
            produced(Value::Null, 0, json!([plain_control])),
        ),
    ]
}

fn topics_and_partitions() -> Vec<Step> {
    let topic = |changes: Value| {
        let partition = json!([{"Index": 0, "Records": [batch(0, &["a"])]}]);
        let topic = json!({"Name": "t%", "TopicId": "$id of t", "PartitionData": partition});
        with(&own(0, 0), &json!({"TopicData": [with(&topic, &changes)]}))
    };
    let never = json!({"Name": "none%", "TopicId": "ab".repeat(16)});
    let zero = json!({"Name": "", "TopicId": "0".repeat(32)});
    let both = json!([
        {"Index": 0, "Records": [batch(0, &["a"])]},
        {"Index": 1, "Records": [batch(0, &["b"])]}]);
    let twice = json!([
        {"Index": 0, "Records": [batch(0, &["a"])]},
        {"Index": 0, "Records": [batch(1, &["b"])]}]);
    vec![
        init(),
        add(&[0]),
        case("no topic", with(&own(0, 0), &json!({"TopicData": []}))),
        case("no partition", topic(json!({"PartitionData": []}))),
        case("a topic that does not exist", topic(never)),
        case("an empty topic name, an id of zeros", topic(zero)),
        case("a partition that does not exist", own(7, 0)),
        case("a negative partition", own(-1, 0)),
        case(
            "one partition of the transaction, one that is not",
            topic(json!({"PartitionData": both})),
        ),
        case("a partition twice", topic(json!({"PartitionData": twice}))),
    ]
}

fn after_the_end() -> Vec<Step> {
    let mut steps = vec![init(), add(&[0]), case("a batch", own(0, 0))];
    steps.extend(end(true));
    steps.push(case("after a commit", own(0, 2)));
    steps.push(add(&[0]));
    steps.push(case("in the next transaction", own(0, 2)));
    steps.extend(end(false));
    steps.push(case("after an abort", own(0, 4)));
    steps.push(init());
    steps.push(case("sequence 0 of the next epoch", own(1, 0)));
    steps.push(add(&[0]));
    steps.push(case("a later sequence of the next epoch", own(0, 6)));
    let old = with(&batch(0, &["a"]), &json!({"epoch": "$epoch-1"}));
    steps.push(case(
        "the epoch before",
        produced(json!(ID), 0, json!([old])),
    ));
    steps.push(case("the first sequence of the next epoch", own(0, 0)));
    steps
}

/// Positions in a batch: its length, the epoch of the leader, the magic number, and the checksum.
const LENGTH: usize = 8;
const LEADER_EPOCH: usize = 12;
const MAGIC: usize = 16;
const CHECKSUM: usize = 17;
/// The position of the codec.
const ATTRIBUTES: usize = 21;

fn damaged() -> Vec<Step> {
    let of = |changes: Value| {
        let batch = with(&json!({"records": ["a", "b"]}), &changes);
        produced(Value::Null, 0, json!([batch]))
    };
    let at = |position: usize, digits: &str| of(json!({ "damage": [[position, digits]] }));
    vec![
        case("a bad checksum", at(CHECKSUM, "00000000")),
        case("length 0", at(LENGTH, "00000000")),
        case("a negative length", at(LENGTH, "ffffffff")),
        case("a length one too low", at(LENGTH, "00000040")),
        case("a length one too high", at(LENGTH, "00000042")),
        case("a very high length", at(LENGTH, "7fffffff")),
        case("magic 0", at(MAGIC, "00")),
        case("magic 1", at(MAGIC, "01")),
        case("magic 3", at(MAGIC, "03")),
        case("an epoch of the leader", at(LEADER_EPOCH, "00000007")),
        case("a byte after the batch", of(json!({"after": "00"}))),
        case(
            "30 bytes after the batch",
            of(json!({"after": "00".repeat(30)})),
        ),
        case("no timestamps", of(json!({"timestamp": -1}))),
        case(
            "an epoch without a producer",
            of(json!({"epoch": 0, "sequence": 0})),
        ),
        case("offsets from 1", of(json!({"deltas": [1, 2]}))),
        case("offsets backwards", of(json!({"deltas": [1, 0]}))),
        case("an offset twice", of(json!({"deltas": [0, 0]}))),
        case(
            "a producer without a sequence",
            of(json!({"producer": MADE_UP, "epoch": 0, "sequence": -1})),
        ),
    ]
}

fn without_epoch() -> Vec<Step> {
    let of = |changes: Value| {
        let batch = with(&json!({"records": ["a", "b"]}), &changes);
        produced(Value::Null, 0, json!([batch]))
    };
    vec![
        case(
            "a producer without an epoch",
            of(json!({"producer": MADE_UP, "sequence": 0})),
        ),
        case(
            "a producer without an epoch again",
            of(json!({"producer": MADE_UP, "sequence": 0})),
        ),
        case(
            "a producer without an epoch, a gap",
            of(json!({"producer": MADE_UP, "sequence": 7})),
        ),
        case(
            "a transaction of a producer without an epoch",
            with(
                &of(json!({"producer": MADE_UP + 2, "sequence": 0, "transactional": true})),
                &json!({"TransactionalId": "tx%"}),
            ),
        ),
        case(
            "its first epoch, a later sequence",
            of(json!({"producer": MADE_UP, "epoch": 0, "sequence": 9})),
        ),
        case(
            "its first epoch",
            of(json!({"producer": MADE_UP, "epoch": 0, "sequence": 0})),
        ),
        case(
            "no epoch after the first one",
            of(json!({"producer": MADE_UP, "sequence": 2})),
        ),
    ]
}

/// Batches of each codec, before and after the topic refuses their timestamps.
fn compressed() -> Vec<Step> {
    let of = |codec: i8| {
        let batch = json!({"codec": codec, "records": ["a", "b"]});
        produced(Value::Null, 0, json!([batch]))
    };
    let config = json!({"Name": "message.timestamp.before.max.ms", "ConfigOperation": 0,
        "Value": "60000"});
    let resource = json!({"ResourceType": 2, "ResourceName": "t%", "Configs": [config]});
    vec![
        case("gzip", of(1)),
        case("snappy", of(2)),
        case("lz4", of(3)),
        case("zstd", of(4)),
        case("a codec that does not exist", {
            let mut request = of(0);
            request["TopicData"][0]["PartitionData"][0]["Records"][0]["damage"] =
                json!([[ATTRIBUTES, "0005"]]);
            request
        }),
        call(
            "IncrementalAlterConfigs",
            1,
            json!({ "Resources": [resource] }),
        ),
        Step::Call {
            api: "Produce",
            version: 11,
            request: of(0),
            until: Until::Field("Responses.0.PartitionResponses.0.ErrorCode", json!(32)),
            captures: Vec::new(),
        },
        case("old timestamps", of(0)),
        case("old timestamps, gzip", of(1)),
        case("old timestamps, snappy", of(2)),
        case("old timestamps, lz4", of(3)),
        case("old timestamps, zstd", of(4)),
    ]
}

fn plain() -> Vec<Step> {
    let batch = |value: &str| json!([{"records": [value]}]);
    let idempotent = |sequence: i32| {
        let batch = json!({"producer": MADE_UP + 1, "epoch": 0, "sequence": sequence,
            "records": ["i"]});
        produced(Value::Null, 0, json!([batch]))
    };
    let topic = |partition: i32, value: &str| {
        let partitions = json!([{"Index": partition, "Records": batch(value)}]);
        json!({"Name": "t%", "TopicId": "$id of t", "PartitionData": partitions})
    };
    let both = |topics: Value| {
        with(
            &produced(Value::Null, 0, batch("a")),
            &json!({ "TopicData": topics }),
        )
    };
    vec![
        case("a batch", produced(Value::Null, 0, batch("a"))),
        case(
            "acks of the leader",
            with(&produced(Value::Null, 0, batch("b")), &json!({"Acks": 1})),
        ),
        case(
            "a timeout of 0",
            with(
                &produced(Value::Null, 0, batch("c")),
                &json!({"TimeoutMs": 0}),
            ),
        ),
        case("a topic twice", both(json!([topic(0, "d"), topic(1, "e")]))),
        case(
            "a topic twice, a partition twice",
            both(json!([topic(0, "f"), topic(0, "g")])),
        ),
        case("the first batch", idempotent(0)),
        case("the first batch again", idempotent(0)),
        case("the second batch", idempotent(1)),
        case("the first batch once more", idempotent(0)),
        case("a gap", idempotent(7)),
    ]
}
