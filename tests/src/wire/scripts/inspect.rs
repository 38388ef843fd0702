//! ListTransactions, DescribeTransactions and DescribeProducers. Pure.

use serde_json::{Value, json};

use super::super::names::MADE_UP;
use super::super::script::{Script, Step, around, call, case, each};
use super::{ID, add, add_group, end, ended, init, produced, with, write, write_plain};

pub(super) fn list_transactions() -> Script {
    let mut sequences = each("an open one", 0..=2, &[("t", 1)], |_| open());
    sequences.extend(each("durations", 1..=2, &[("t", 1)], |_| durations()));
    sequences.extend(each("patterns", 2..=2, &[("t", 1)], |_| patterns()));
    sequences.extend(
        around(0..=2, &filters(&[], &[]))
            .into_iter()
            .map(|mut sequence| {
                // What follows the first sequences is another server's business.
                sequence.steps.iter_mut().for_each(narrow);
                sequence
            }),
    );
    Script {
        api: "ListTransactions",
        unordered: &["TransactionStates", "UnknownStateFilters"],
        sequences,
    }
}

/// Makes a request match no transaction.
fn narrow(step: &mut Step) {
    if let Step::Case { request, .. } = step {
        request["ProducerIdFilters"] = json!([MADE_UP]);
    }
}

fn filters(states: &[&str], producers: &[Value]) -> Value {
    json!({"StateFilters": states, "ProducerIdFilters": producers})
}

fn open() -> Vec<Step> {
    let own = [json!("$pid")];
    let mut steps = vec![
        init(),
        case("before it begins", filters(&[], &own)),
        case("the state Empty", filters(&["Empty"], &own)),
        add(&[0]),
        case("no filter", filters(&[], &[])),
        case("its producer", filters(&[], &own)),
        case("its state", filters(&["Ongoing"], &own)),
        case(
            "several states",
            filters(&["Ongoing", "Empty", "CompleteAbort"], &own),
        ),
        case("another state", filters(&["CompleteCommit"], &own)),
        case("a state twice", filters(&["Ongoing", "Ongoing"], &own)),
        case("a state that does not exist", filters(&["Nothing"], &own)),
        case(
            "one that exists and one that does not",
            filters(&["Ongoing", "Nothing"], &own),
        ),
        case("a state in small letters", filters(&["ongoing"], &own)),
        case("an empty state", filters(&[""], &own)),
        case("the state Dead", filters(&["Dead"], &own)),
        case(
            "the state PrepareEpochFence",
            filters(&["PrepareEpochFence"], &own),
        ),
        case("another producer", filters(&[], &[json!(MADE_UP)])),
        case("a negative producer", filters(&[], &[json!(-1)])),
        case(
            "several producers",
            filters(&[], &[json!(MADE_UP), json!("$pid"), json!("$pid")]),
        ),
        case(
            "no list of states",
            with(&filters(&[], &own), &json!({"StateFilters": null})),
        ),
    ];
    steps.extend(end(true));
    steps.push(case("after a commit", filters(&[], &own)));
    steps
}

fn durations() -> Vec<Step> {
    let of = |duration: i64| {
        let own = filters(&[], &[json!("$pid")]);
        with(&own, &json!({"DurationFilter": duration}))
    };
    vec![
        init(),
        case("before it begins", of(0)),
        add(&[0]),
        case("no filter", of(-1)),
        case("longer than an hour", of(3_600_000)),
        case("the highest", of(i64::MAX)),
        case("another negative one", of(-2)),
        case("the lowest", of(i64::MIN)),
    ]
}

fn patterns() -> Vec<Step> {
    let of = |pattern: Value| {
        let own = filters(&[], &[json!("$pid")]);
        with(&own, &json!({"TransactionalIdPattern": pattern}))
    };
    vec![
        init(),
        add(&[0]),
        case("no pattern", of(Value::Null)),
        case("an empty pattern", of(json!(""))),
        case("its name", of(json!(ID))),
        case("a part of its name", of(json!("tx"))),
        case("its beginning", of(json!("tx.*"))),
        case("its end", of(json!(".*patterns.*"))),
        case("anything", of(json!(".*"))),
        case("a class", of(json!("[a-z]{2}\\..+"))),
        case("capitals", of(json!("TX.*"))),
        case("capitals or not", of(json!("(?i)TX.*"))),
        case("another name", of(json!("other.*"))),
        case("an open bracket", of(json!("(tx"))),
        case("a star alone", of(json!("*"))),
        case("look ahead", of(json!("(?=tx).*"))),
    ]
}

pub(super) fn describe_transactions() -> Script {
    let mut sequences = each("states", 0..=0, &[("t", 3), ("u", 1)], |_| states());
    sequences.extend(around(0..=0, &json!({"TransactionalIds": ["never"]})));
    Script {
        api: "DescribeTransactions",
        unordered: &["Topics", "Partitions"],
        sequences,
    }
}

fn states() -> Vec<Step> {
    let ids = |ids: &[&str]| json!({"TransactionalIds": ids});
    let own = || ids(&[ID]);
    let mut steps = vec![
        case("no id", ids(&[])),
        case("an id that never was", own()),
        case("an empty id", ids(&[""])),
        case("null", json!({"TransactionalIds": [null]})),
        case("no list", json!({"TransactionalIds": null})),
        init(),
        case("a new one", own()),
        add(&[2, 0]),
        case("with partitions", own()),
        add_group(),
        case("with a group", own()),
        case("the id twice", ids(&[ID, ID])),
        case("one that is and one that never was", ids(&[ID, "never%"])),
    ];
    steps.extend(end(true));
    steps.push(case("after a commit", own()));
    steps.push(add(&[1]));
    steps.push(case("the next one", own()));
    steps.extend(end(false));
    steps.push(case("after an abort", own()));
    steps
}

pub(super) fn describe_producers() -> Script {
    let request = json!({"Topics": [{"Name": "never", "PartitionIndexes": [0]}]});
    let mut sequences = each("producers", 0..=0, &[("t", 2)], |_| producers());
    sequences.extend(each("epochs", 0..=0, &[("t", 1)], |_| producer_epochs()));
    sequences.extend(around(0..=0, &request));
    Script {
        api: "DescribeProducers",
        unordered: &["ActiveProducers"],
        sequences,
    }
}

fn topic(name: &str, partitions: &[i32]) -> Value {
    json!({"Name": name, "PartitionIndexes": partitions})
}

fn producers() -> Vec<Step> {
    let of = |topics: &[Value]| json!({"Topics": topics});
    let own = || of(&[topic("t%", &[0])]);
    let idempotent = json!([{"producer": MADE_UP, "epoch": 3, "sequence": 0, "records": ["i"]}]);
    let mut steps = vec![
        case("no producer", own()),
        write_plain(&["plain"]),
        case("a producer without an id", own()),
        call("Produce", 11, produced(Value::Null, 0, idempotent)),
        case("an idempotent producer", own()),
        init(),
        add(&[0]),
        case("before the first record", own()),
        write(0, &["a", "b"]),
        case("an open transaction", own()),
        write(2, &["c"]),
        case("a second batch", own()),
    ];
    steps.extend(end(true));
    steps.extend([
        case("after a commit", own()),
        case("several partitions", of(&[topic("t%", &[1, 0])])),
        case("a partition twice", of(&[topic("t%", &[0, 0])])),
        case("no topic", of(&[])),
        case("no partition", of(&[topic("t%", &[])])),
        case("a partition that does not exist", of(&[topic("t%", &[2])])),
        case("a negative partition", of(&[topic("t%", &[-1])])),
        case("a topic that does not exist", of(&[topic("none%", &[0])])),
        case("an empty topic name", of(&[topic("", &[0])])),
        case("an illegal topic name", of(&[topic("a b", &[0])])),
        case(
            "no topic name",
            of(&[json!({"Name": null, "PartitionIndexes": [0]})]),
        ),
    ]);
    steps
}

/// Returns a transaction that ends with the next epoch.
fn producer_epochs() -> Vec<Step> {
    let own = json!({"Topics": [topic("t%", &[0])]});
    let captures = [("pid", "ProducerId"), ("epoch", "ProducerEpoch")];
    vec![
        init(),
        add(&[0]),
        write(0, &["a"]),
        call("EndTxn", 5, ended(false)).capture(&captures),
        super::complete(false),
        case("after an abort", own.clone()),
        call(
            "Produce",
            12,
            produced(json!(ID), 0, json!([super::batch(0, &["b"])])),
        ),
        case("the next transaction", own),
    ]
}
