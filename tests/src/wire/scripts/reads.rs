//! Fetch and ListOffsets with levels of isolation. Pure.

use serde_json::{Value, json};

use super::super::batches::TIMESTAMP;
use super::super::script::{Script, Step, Until, around, call, case, each};
use super::{add, end, init, with, write, write_plain};

pub(super) fn fetch() -> Script {
    let topics = [("t", 1)];
    let mut sequences = each("committed and aborted", 4..=18, &topics, |_| committed());
    sequences.extend(each("levels of isolation", 4..=18, &topics, |_| levels()));
    sequences.extend(each("a log whose start moved", 4..=18, &topics, |_| {
        log_start()
    }));
    sequences.extend(each("sizes", 4..=18, &topics, |_| sizes()));
    sequences.extend(each("topics", 4..=18, &topics, |_| topics_and_partitions()));
    sequences.extend(each("replicas", 4..=14, &topics, |_| replicas(false)));
    sequences.extend(each("replicas", 15..=18, &topics, |_| replicas(true)));
    sequences.extend(each("sessions", 7..=18, &topics, |_| sessions()));
    sequences.extend(each("a deleted topic", 7..=18, &topics, |_| deleted()));
    sequences.extend(each("negative timestamps", 4..=18, &topics, |_| {
        negative_timestamps()
    }));
    let empty = json!({"MaxWaitMs": 0, "MinBytes": 0, "Topics": []});
    sequences.extend(each("no list", 4..=18, &[], |_| {
        let request = with(&empty, &json!({"Topics": null}));
        vec![case("no list of topics", request)]
    }));
    sequences.extend(around(4..=18, &empty));
    Script {
        api: "Fetch",
        unordered: &[],
        sequences,
    }
}

const UNCOMMITTED: i8 = 0;
const COMMITTED: i8 = 1;

fn from(isolation: i8, offset: i64) -> Value {
    let partition = json!({"Partition": 0, "FetchOffset": offset, "PartitionMaxBytes": 1_000_000});
    json!({"MaxWaitMs": 0, "MinBytes": 0, "MaxBytes": 10_000_000, "IsolationLevel": isolation,
        "Topics": [{"Topic": "t%", "TopicId": "$id of t", "Partitions": [partition]}]})
}

/// Returns steps that fill a log: records 0 to 1 are of no transaction, 2 to 3 are committed and 5
/// to 6 aborted; 8 is of no transaction; from 9 on a transaction is open.
fn log() -> Vec<Step> {
    let mut steps = vec![
        write_plain(&["p0", "p1"]),
        init(),
        add(&[0]),
        write(0, &["c2", "c3"]),
    ];
    steps.extend(end(true));
    steps.extend([add(&[0]), write(2, &["a5", "a6"])]);
    steps.extend(end(false));
    steps.extend([
        write_plain(&["p8"]),
        add(&[0]),
        write(4, &["o9", "o10"]),
        write_plain(&["p11"]),
    ]);
    steps
}

fn committed() -> Vec<Step> {
    let bytes = |max: i32| {
        let mut request = from(COMMITTED, 0);
        request["Topics"][0]["Partitions"][0]["PartitionMaxBytes"] = json!(max);
        request
    };
    let mut steps = log();
    steps.extend([
        case("from the start", from(COMMITTED, 0)),
        case("from the start, uncommitted too", from(UNCOMMITTED, 0)),
        case("from within an aborted batch", from(COMMITTED, 6)),
        case("from a marker", from(COMMITTED, 7)),
        case("from behind the aborted ones", from(COMMITTED, 8)),
        case("from the last stable offset", from(COMMITTED, 9)),
        case("from behind the last stable offset", from(COMMITTED, 11)),
        case("from the end", from(COMMITTED, 12)),
        case("from the end, uncommitted too", from(UNCOMMITTED, 12)),
        case("from behind the end", from(COMMITTED, 13)),
        case("from a negative offset", from(COMMITTED, -1)),
        case("one batch", bytes(1)),
    ]);
    steps.extend(end(false));
    steps.push(case("after an abort", from(COMMITTED, 5)));
    steps
}

fn levels() -> Vec<Step> {
    let of = |level: i8| from(level, 9);
    let mut steps = log();
    steps.extend([
        case("level 2", of(2)),
        case("level -1", of(-1)),
        case("the highest level", of(i8::MAX)),
        case("the lowest level", of(i8::MIN)),
    ]);
    steps
}

fn sizes() -> Vec<Step> {
    let partition = |max: i32| {
        let mut request = from(UNCOMMITTED, 0);
        request["Topics"][0]["Partitions"][0]["PartitionMaxBytes"] = json!(max);
        request
    };
    let whole = |changes: Value| with(&from(UNCOMMITTED, 0), &changes);
    vec![
        write_plain(&["0", "1"]),
        write_plain(&["2", "3"]),
        case("no bytes of a partition", partition(0)),
        case("-1 bytes of a partition", partition(-1)),
        case("no bytes", whole(json!({"MaxBytes": 0}))),
        case("-1 bytes", whole(json!({"MaxBytes": -1}))),
        case("-1 bytes, from the end", {
            let mut request = whole(json!({"MaxBytes": -1}));
            request["Topics"][0]["Partitions"][0]["FetchOffset"] = json!(4);
            request
        }),
        case("-1 bytes of a partition, from the end", {
            let mut request = partition(-1);
            request["Topics"][0]["Partitions"][0]["FetchOffset"] = json!(4);
            request
        }),
        case("at least -1 bytes", whole(json!({"MinBytes": -1}))),
        case(
            "a negative time",
            whole(json!({"MaxWaitMs": -1, "MinBytes": 1_000_000})),
        ),
    ]
}

fn topics_and_partitions() -> Vec<Step> {
    let partition = |index: i32, epoch: i32| {
        json!({"Partition": index, "FetchOffset": 0, "CurrentLeaderEpoch": epoch,
            "PartitionMaxBytes": 1_000_000})
    };
    let topics = |topics: Value| with(&from(UNCOMMITTED, 0), &json!({ "Topics": topics }));
    let topic = |name: &str, id: &str, partitions: Value| {
        topics(json!([{"Topic": name, "TopicId": id, "Partitions": partitions}]))
    };
    let own = |partitions: Value| topic("t%", "$id of t", partitions);
    let one = json!([partition(0, -1)]);
    vec![
        write_plain(&["0"]),
        case("no topic", topics(json!([]))),
        case("no partition", own(json!([]))),
        case(
            "a topic that does not exist",
            topic("none%", &"ab".repeat(16), one.clone()),
        ),
        case("no topic's name", topic("", &"0".repeat(32), one)),
        case(
            "a partition that does not exist",
            own(json!([partition(7, -1)])),
        ),
        case("a negative partition", own(json!([partition(-1, -1)]))),
        case(
            "a partition twice",
            own(json!([partition(0, -1), partition(0, -1)])),
        ),
        case("the leader's epoch", own(json!([partition(0, 0)]))),
        case("a later epoch", own(json!([partition(0, 1)]))),
        case("epoch -2", own(json!([partition(0, -2)]))),
    ]
}

/// Requests of replicas; from version 15 on, their id is in a field of its own.
fn replicas(in_state: bool) -> Vec<Step> {
    let of = |id: i32| {
        let field = match in_state {
            true => json!({"ReplicaState": {"ReplicaId": id, "ReplicaEpoch": -1}}),
            false => json!({ "ReplicaId": id }),
        };
        with(&from(UNCOMMITTED, 0), &field)
    };
    vec![
        write_plain(&["0"]),
        case("another broker", of(9)),
        case("a tool", of(-2)),
    ]
}

/// The answers name the session `<session>`, so each request but the first is sent with its id.
fn sessions() -> Vec<Step> {
    let of = |epoch: i32, topics: Value| {
        let session = json!({"SessionId": "$session", "SessionEpoch": epoch, "Topics": topics});
        with(&from(UNCOMMITTED, 0), &session)
    };
    let all = from(UNCOMMITTED, 0)["Topics"].clone();
    let mut behind = all.clone();
    behind[0]["Partitions"][0]["FetchOffset"] = json!(1);
    let mut empty = all.clone();
    empty[0]["Partitions"] = json!([]);
    let forgotten = json!([{"Topic": "t%", "TopicId": "$id of t", "Partitions": [0]}]);
    let first = with(&from(UNCOMMITTED, 0), &json!({"SessionEpoch": 0}));
    vec![
        write_plain(&["0"]),
        case(
            "a new one without topics",
            with(&first, &json!({"Topics": []})),
        ),
        case(
            "a new one without partitions",
            with(&first, &json!({ "Topics": empty })),
        ),
        case("a new one", first).capture(&[("session", "SessionId")]),
        case("with what changed", of(1, behind)),
        case("with nothing", of(2, json!([]))),
        case("an epoch twice", of(2, json!([]))),
        case("an epoch that is too high", of(9, json!([]))),
        case("an epoch below -1", of(-3, json!([]))),
        case(
            "another session",
            with(&of(1, json!([])), &json!({"SessionId": 7})),
        ),
        case(
            "without its partition",
            with(
                &of(3, json!([])),
                &json!({ "ForgottenTopicsData": forgotten }),
            ),
        ),
        case("without partitions", of(4, json!([]))),
        case("the last request", of(-1, json!([]))),
        case("after the last request", of(5, json!([]))),
    ]
}

/// A session that begins before its topic is deleted, one that begins afterwards, and none.
fn deleted() -> Vec<Step> {
    let whole = from(UNCOMMITTED, 0);
    let new = with(&whole, &json!({"SessionEpoch": 0}));
    let later = json!({"SessionId": "$session", "SessionEpoch": 1, "Topics": []});
    let mut steps = vec![case("a new session", new.clone()).capture(&[("session", "SessionId")])];
    steps.extend(delete_topic());
    steps.extend([
        case("the session", with(&whole, &later)),
        case("no session", with(&whole, &json!({"SessionEpoch": -1}))),
        case("a new session of it", new),
    ]);
    steps
}

/// Deletes `t%`, and waits until the broker's metadata are without it.
fn delete_topic() -> [Step; 2] {
    let request = json!({"TopicNames": ["t%"], "TimeoutMs": 10000});
    let gone = Step::Call {
        api: "Metadata",
        version: 8,
        request: json!({"Topics": [{"Name": "t%"}], "AllowAutoTopicCreation": false}),
        until: Until::Field("Topics.0.ErrorCode", json!(3)),
        captures: Vec::new(),
    };
    [call("DeleteTopics", 5, request), gone]
}

fn negative_timestamps() -> Vec<Step> {
    let batch = |timestamp: i64| {
        let batch = json!([{"records": ["a"], "timestamp": timestamp}]);
        call("Produce", 11, super::produced(Value::Null, 0, batch))
    };
    vec![
        batch(-1),
        batch(-5),
        case("the batches", from(UNCOMMITTED, 0)),
    ]
}

fn log_start() -> Vec<Step> {
    let partitions = json!([{"PartitionIndex": 0, "Offset": 6}]);
    let delete = json!({"Topics": [{"Name": "t%", "Partitions": partitions}], "TimeoutMs": 10000});
    let mut steps = log();
    steps.extend([
        call("DeleteRecords", 2, delete),
        case("before the start", from(COMMITTED, 5)),
        case("from the start", from(COMMITTED, 6)),
    ]);
    steps
}

pub(super) fn list_offsets() -> Script {
    let topics = [("t", 1)];
    let mut sequences = each("offsets", 1..=11, &topics, |_| offsets());
    sequences.extend(each("records without timestamps", 1..=11, &topics, |_| {
        let batch = json!([{"records": ["a", "b"], "timestamp": -1}]);
        let produce = super::produced(Value::Null, 0, batch);
        vec![
            call("Produce", 11, produce),
            case("the highest one", at(UNCOMMITTED, -3)),
            case("timestamp 0", at(UNCOMMITTED, 0)),
        ]
    }));
    sequences.extend(each("the highest timestamp", 1..=11, &topics, |_| {
        highest_timestamp()
    }));
    let empty = json!({"ReplicaId": -1, "Topics": []});
    sequences.extend(around(1..=11, &empty));
    Script {
        api: "ListOffsets",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}

fn at(isolation: i8, timestamp: i64) -> Value {
    let partition = json!({"PartitionIndex": 0, "Timestamp": timestamp});
    json!({"ReplicaId": -1, "IsolationLevel": isolation, "TimeoutMs": 1000,
        "Topics": [{"Name": "t%", "Partitions": [partition]}]})
}

/// One marker only: it has the server's time, and two of them may have the same.
fn highest_timestamp() -> Vec<Step> {
    let mut steps = vec![
        write_plain(&["p0", "p1"]),
        case("of records", at(COMMITTED, -3)),
        init(),
        add(&[0]),
        write(0, &["c2", "c3"]),
        case("of records, a transaction is open", at(COMMITTED, -3)),
    ];
    steps.extend(end(true));
    steps.extend([
        case("of a marker", at(COMMITTED, -3)),
        add(&[0]),
        write(2, &["o5", "o6"]),
        case("of a marker before a transaction", at(COMMITTED, -3)),
        case(
            "of a marker before a transaction, uncommitted too",
            at(UNCOMMITTED, -3),
        ),
    ]);
    steps
}

fn offsets() -> Vec<Step> {
    let epoch = |epoch: i32| {
        let mut request = at(COMMITTED, -1);
        request["Topics"][0]["Partitions"][0]["CurrentLeaderEpoch"] = json!(epoch);
        request
    };
    let topics = |topics: Value| with(&at(COMMITTED, -1), &json!({"Topics": topics}));
    let mut steps = log();
    steps.extend([
        case("the end", at(UNCOMMITTED, -1)),
        case("the last stable offset", at(COMMITTED, -1)),
        case("level 2", at(2, -1)),
        case("level -1", at(-1, -1)),
        case("the highest level", at(i8::MAX, -1)),
        case("the lowest level", at(i8::MIN, -1)),
        case("the start", at(COMMITTED, -2)),
        case("the local start", at(COMMITTED, -4)),
        case("the end of what is tiered", at(COMMITTED, -5)),
        case("the start of what waits to be tiered", at(COMMITTED, -6)),
        case("a special timestamp that does not exist", at(COMMITTED, -7)),
        case("the lowest timestamp", at(COMMITTED, i64::MIN)),
        case("timestamp 0", at(COMMITTED, 0)),
        case("a timestamp of records", at(COMMITTED, TIMESTAMP + 1)),
        case(
            "a timestamp of records, uncommitted too",
            at(UNCOMMITTED, TIMESTAMP + 1),
        ),
        case("the highest timestamp", at(COMMITTED, i64::MAX)),
        case("the leader's epoch", epoch(0)),
        case("a later epoch", epoch(1)),
        case("no topic", topics(json!([]))),
        case(
            "no partition",
            topics(json!([{"Name": "t%", "Partitions": []}])),
        ),
        case(
            "a topic that does not exist",
            topics(json!([{"Name": "none%", "Partitions": [{"PartitionIndex": 0}]}])),
        ),
        case(
            "a partition that does not exist",
            topics(json!([{"Name": "t%", "Partitions": [{"PartitionIndex": 1}]}])),
        ),
        case(
            "a partition twice",
            topics(json!([{"Name": "t%", "Partitions": [
                {"PartitionIndex": 0, "Timestamp": -1}, {"PartitionIndex": 0, "Timestamp": -2}]}])),
        ),
        case(
            "a topic twice",
            topics(json!([
                {"Name": "t%", "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]},
                {"Name": "t%", "Partitions": [{"PartitionIndex": 7, "Timestamp": -1}]}])),
        ),
        case("epoch -2", epoch(-2)),
        case(
            "an empty name",
            topics(json!([{"Name": "", "Partitions": [{"PartitionIndex": 0}]}])),
        ),
        case(
            "a negative partition",
            topics(json!([{"Name": "t%", "Partitions": [{"PartitionIndex": -1}]}])),
        ),
        case(
            "a replica",
            with(&at(COMMITTED, -1), &json!({"ReplicaId": 5})),
        ),
        case(
            "a tool",
            with(&at(COMMITTED, -1), &json!({"ReplicaId": -2})),
        ),
    ]);
    steps.extend(end(true));
    steps.push(case("after a commit", at(COMMITTED, -1)));
    steps
}
