//! InitProducerId. Pure.

use serde_json::{Value, json};

use super::super::names::MADE_UP;
use super::super::script::{Script, Sequence, Server, Step, around, call, case, each, on};
use super::{ID, add, ended, init, wait_for};

pub(super) fn init_producer_id() -> Script {
    let plain = json!({"TransactionalId": null, "TransactionTimeoutMs": 60000});
    let mut sequences = each("without an id", 0..=5, &[], |_| without_id());
    sequences.extend(each("with an id", 0..=5, &[], |_| with_id()));
    sequences.extend(each("with a producer", 3..=5, &[], |_| with_producer()));
    sequences.extend(each("without id, with a producer", 3..=5, &[], |_| {
        idempotent_producer()
    }));
    sequences.extend(each("in a transaction", 0..=5, &[("t", 1)], |_| {
        in_a_transaction()
    }));
    sequences.extend(each("after a commit", 0..=5, &[("t", 1)], |_| {
        after_a_commit()
    }));
    sequences.extend(around(0..=5, &plain));
    sequences.extend(unstable());
    Script {
        api: "InitProducerId",
        unordered: &[],
        sequences,
    }
}

fn request(id: &Value, timeout: i32) -> Value {
    json!({"TransactionalId": id, "TransactionTimeoutMs": timeout})
}

fn without_id() -> Vec<Step> {
    let timeout = |timeout| request(&Value::Null, timeout);
    vec![
        case("a new producer", timeout(60000)),
        case("another producer", timeout(60000)),
        case("no timeout", timeout(0)),
        case("the lowest timeout", timeout(i32::MIN)),
        case("the highest timeout", timeout(i32::MAX)),
    ]
}

fn with_id() -> Vec<Step> {
    let timeout = |timeout| request(&json!(ID), timeout);
    vec![
        case("a new id", timeout(60000)),
        case("the id again", timeout(60000)),
        case("the highest timeout that is allowed", timeout(900_000)),
        case("a timeout above what is allowed", timeout(900_001)),
        case("the highest timeout", timeout(i32::MAX)),
        case("a timeout of 1", timeout(1)),
        case("no timeout", timeout(0)),
        case("a negative timeout", timeout(-1)),
        case("an empty id", request(&json!(""), 60000)),
        case(
            "a long id",
            request(&json!(format!("{ID}{}", "x".repeat(1000))), 60000),
        ),
        case("an id that is not ASCII", request(&json!("tx%äöü€"), 60000)),
    ]
}

fn with_producer() -> Vec<Step> {
    let producer = |pid: Value, epoch: Value| {
        json!({"TransactionalId": ID, "TransactionTimeoutMs": 60000, "ProducerId": pid,
            "ProducerEpoch": epoch})
    };
    vec![
        case(
            "a producer that never was",
            producer(json!(MADE_UP), json!(0)),
        ),
        init(),
        case("its own", producer(json!("$pid"), json!("$epoch"))),
        case("the epoch before", producer(json!("$pid"), json!("$epoch"))),
        case("a later epoch", producer(json!("$pid"), json!("$epoch+7"))),
        case(
            "the highest epoch",
            producer(json!("$pid"), json!(i16::MAX)),
        ),
        case(
            "another producer",
            producer(json!("$pid+100000"), json!("$epoch")),
        ),
        case("the highest producer", producer(json!(i64::MAX), json!(0))),
        case(
            "a producer without an epoch",
            producer(json!("$pid"), json!(-1)),
        ),
        case(
            "an epoch without a producer",
            producer(json!(-1), json!("$epoch")),
        ),
        case("a negative producer", producer(json!(-2), json!(0))),
        case("a negative epoch", producer(json!("$pid"), json!(-2))),
    ]
}

fn idempotent_producer() -> Vec<Step> {
    let request = |pid: Value, epoch: Value| {
        json!({"TransactionalId": null, "TransactionTimeoutMs": 60000, "ProducerId": pid,
            "ProducerEpoch": epoch})
    };
    vec![
        case(
            "a producer that never was",
            request(json!(MADE_UP), json!(3)),
        ),
        case(
            "a producer without an epoch",
            request(json!(MADE_UP), json!(-1)),
        ),
        case("an epoch without a producer", request(json!(-1), json!(3))),
    ]
}

fn in_a_transaction() -> Vec<Step> {
    let request = request(&json!(ID), 60000);
    vec![
        init(),
        add(&[0]),
        case("while it is open", request.clone()),
        wait_for("CompleteAbort"),
        case("after it was aborted", request),
    ]
}

fn after_a_commit() -> Vec<Step> {
    let request = request(&json!(ID), 60000);
    vec![
        init(),
        add(&[0]),
        call("EndTxn", 5, ended(true)),
        wait_for("CompleteCommit"),
        case("a new epoch", request),
    ]
}

/// Returns the sequences of version 6 (KIP-939).
fn unstable() -> Vec<Sequence> {
    let two_phase = |id: &str, two_phase: bool, keep: bool| {
        json!({"TransactionalId": id, "TransactionTimeoutMs": 60000, "Enable2Pc": two_phase,
            "KeepPreparedTxn": keep})
    };
    let steps = |_| {
        vec![
            case("without an id", request(&Value::Null, 60000)),
            case("a new id", two_phase(ID, false, false)),
            case("two phases", two_phase(ID, true, false)),
            case("two phases, another id", two_phase("two%", true, false)),
            case("the prepared transaction", two_phase(ID, true, true)),
            case(
                "the prepared transaction, one phase",
                two_phase(ID, false, true),
            ),
            case("an empty id", two_phase("", true, false)),
        ]
    };
    let open = |_| {
        vec![
            init(),
            add(&[0]),
            case("the prepared transaction", two_phase(ID, true, true)),
            case("two phases", two_phase(ID, true, false)),
        ]
    };
    let name = "two phases";
    let mut sequences = on(Server::Unstable, each(name, 6..=6, &[], steps));
    let allowed = "two phases that are allowed";
    sequences.extend(on(Server::TwoPhase, each(allowed, 6..=6, &[], steps)));
    let in_transaction = each("two phases in a transaction", 6..=6, &[("t", 1)], open);
    sequences.extend(on(Server::TwoPhase, in_transaction));
    let above = |_| {
        vec![case(
            "a version that is not served",
            two_phase(ID, false, false),
        )]
    };
    sequences.extend(on(Server::Unstable, each("versions", 7..=7, &[], above)));
    sequences
}
