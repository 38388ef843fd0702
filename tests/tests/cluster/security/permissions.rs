//! Every API that a node advertises, sent by users with all permissions, with none, and with
//! permissions that a denial takes away.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use dohle_tests::wait::DEADLINE;
use dohle_tests::wire::names::Scope;
use dohle_tests::wire::permissions::{DENIALS, Refusal, Row, rows};
use dohle_tests::wire::run::{self, Client, Target};
use dohle_tests::wire::schema::Schemas;
use dohle_tests::wire::script::call;
use dohle_tests::wire::session;
use serde_json::{Value, json};

use super::sasl::cluster;

const USERS: &str = "org.apache.kafka.common.security.plain.PlainLoginModule required \
                     user_nobody=\"secret\" user_allowed=\"secret\" user_denied=\"secret\";";

/// Gives `allowed` and `denied` all permissions on everything, and takes all from `denied`.
fn acls() -> Value {
    let resources = [
        (2, "*"),
        (3, "*"),
        (4, "kafka-cluster"),
        (5, "*"),
        (6, "*"),
        (7, "*"),
    ];
    let mut acls = Vec::new();
    for (kind, name) in resources {
        for (principal, permission) in [("allowed", 3), ("denied", 3), ("denied", 2)] {
            acls.push(json!({"ResourceType": kind, "ResourceName": name,
                "ResourcePatternType": 3, "Principal": format!("User:{principal}"), "Host": "*",
                "Operation": 2, "PermissionType": permission}));
        }
    }
    json!({ "Creations": acls })
}

/// Creates what the requests are about.
fn set_up(client: &mut Client<'_>, scope: &mut Scope) -> Result<()> {
    let topic = json!({"Name": "t", "NumPartitions": 1, "ReplicationFactor": 1});
    let records = json!([{"Index": 0, "Records": [{"records": ["a"]}]}]);
    let produced = json!({"Acks": -1, "TimeoutMs": 2000,
        "TopicData": [{"Name": "t", "PartitionData": records}]});
    let partition = json!([{"PartitionIndex": 0, "CommittedOffset": 0, "CommittedMetadata": ""}]);
    let committed = json!({"GroupId": "g", "Topics": [{"Name": "t", "Partitions": partition}]});
    let id = json!({"TransactionalId": "tx", "TransactionTimeoutMs": 60000});
    let added = json!({"V3AndBelowTransactionalId": "tx", "V3AndBelowProducerId": "$pid",
        "V3AndBelowProducerEpoch": "$epoch",
        "V3AndBelowTopics": [{"Name": "t", "Partitions": [0]}]});
    let captured = [("pid", "ProducerId"), ("epoch", "ProducerEpoch")];
    let steps = [
        call("CreateTopics", 7, json!({ "Topics": [topic] })),
        call("Produce", 9, produced),
        call("OffsetCommit", 8, committed),
        call("InitProducerId", 5, id).capture(&captured),
        call("AddPartitionsToTxn", 3, added),
        call("CreateAcls", 3, acls()),
        call("Metadata", 12, json!({"Topics": [{"Name": "t"}]}))
            .capture(&[("id of t", "Topics.0.TopicId")]),
    ];
    steps
        .iter()
        .try_for_each(|step| client.prepare(scope, step))
}

/// Connects as a user.
fn connect<'a>(schemas: &'a Schemas, target: Target, user: &str) -> Result<Client<'a>> {
    let mut client = Client::new(schemas, target);
    client.call("SaslHandshake", 1, &json!({"Mechanism": "PLAIN"}))?;
    let plain: String = format!("\0{user}\0secret")
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let answer = client.call("SaslAuthenticate", 2, &json!({ "AuthBytes": plain }))?;
    ensure!(run::errors(&answer).is_empty(), "{user}: {answer}");
    Ok(client)
}

/// Returns the rows of all APIs that a node advertises, with their highest versions. Fails for an
/// API without a row.
fn advertised(client: &mut Client<'_>, schemas: &Schemas) -> Result<Vec<(Row, i16)>> {
    let answer = client.call("ApiVersions", 2, &json!({}))?;
    let mut rows = rows();
    let mut found = Vec::new();
    for api in answer["ApiKeys"].as_array().context("no list of APIs")? {
        let key = api["ApiKey"].as_i64().context("no key")?;
        let of_key = |row: &Row| {
            let request = schemas.request(row.api);
            request.is_ok_and(|request| i64::from(request.api_key) == key)
        };
        let at = rows.iter().position(of_key).with_context(|| {
            format!("API {key} has no row: add a request to tests/src/wire/permissions.rs")
        })?;
        let version = api["MaxVersion"].as_i64().context("no version")?;
        found.push((rows.remove(at), i16::try_from(version)?));
    }
    Ok(found)
}

/// Returns why an answer does not refuse the client, or refuses it otherwise.
fn not_refused(row: &Row, answer: &Value) -> Option<String> {
    let mut codes = run::errors(answer);
    codes.dedup();
    let is_refused = match row.refusal {
        Refusal::Free(_) => true,
        Refusal::Code(code) => codes == [code],
        Refusal::Hides(field) => codes.is_empty() && is_empty(&answer[field]),
    };
    (!is_refused).then(|| format!("{}: {answer}", row.api))
}

/// Returns why an answer refuses a client that is allowed everything.
fn refused(row: &Row, answer: &Value) -> Option<String> {
    let codes = run::errors(answer);
    let is_refused = codes.iter().any(|code| DENIALS.contains(code));
    let is_hidden = match row.refusal {
        Refusal::Hides(field) => is_empty(&answer[field]),
        _ => false,
    };
    (is_refused || is_hidden).then(|| format!("{}: {answer}", row.api))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.is_empty(),
        Value::Number(number) => number.as_i64().is_none_or(|it| it <= 0),
        _ => true,
    }
}

/// Sends the request of each row as a user, and returns what `wrong` says about the answers.
fn sweep(
    client: &mut Client<'_>,
    scope: &Scope,
    rows: &[(Row, i16)],
    wrong: fn(&Row, &Value) -> Option<String>,
) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for (row, version) in rows {
        // These requests begin another authentication.
        if row.api.starts_with("Sasl") {
            continue;
        }
        let request = scope.fill(&row.request)?;
        let answer = client.call(row.api, *version, &request)?;
        found.extend(wrong(row, &answer));
    }
    Ok(found)
}

/// Returns what a client without permissions must not change.
fn state(client: &mut Client<'_>) -> Result<String> {
    let topics = client.call("Metadata", 12, &json!({"Topics": null}))?;
    let ends = json!({"ReplicaId": -1,
        "Topics": [{"Name": "t", "Partitions": [{"PartitionIndex": 0, "Timestamp": -1}]}]});
    let ends = client.call("ListOffsets", 5, &ends)?;
    let groups = client.call("ListGroups", 4, &json!({}))?;
    let transactions = json!({"TransactionalIds": ["tx"]});
    let transactions = client.call("DescribeTransactions", 0, &transactions)?;
    Ok([topics, ends, groups, transactions]
        .map(|it| it.to_string())
        .join("\n"))
}

#[test]
fn every_api_of_a_node_refuses_users_without_permissions_and_serves_those_with_them() -> Result<()>
{
    let properties = [
        (
            "authorizer.class.name",
            "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        ),
        ("super.users", "User:ANONYMOUS"),
        ("offsets.topic.num.partitions", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("auto.create.topics.enable", "false"),
        ("listener.name.clients.plain.sasl.jaas.config", USERS),
        ("delegation.token.secret.key", "secret"),
    ];
    let (mut cluster, address) = cluster(&properties)?;
    let schemas = session::schemas()?;
    let target = |address: SocketAddr| Target {
        address,
        answer_limit: DEADLINE,
    };
    let open = target(cluster.broker(1).address);
    run::warm_up(&schemas, open)?;
    let mut scope = Scope::new(String::new());
    let mut administrator = Client::new(&schemas, open);
    set_up(&mut administrator, &mut scope)?;
    let closed = target(address.parse()?);
    let rows = advertised(&mut administrator, &schemas)?;
    // A token that `nobody` does not own.
    let token = json!({"Renewers": [], "MaxLifetimeMs": -1});
    let created = connect(&schemas, closed, "allowed")?.call("CreateDelegationToken", 2, &token)?;
    ensure!(run::errors(&created).is_empty(), "{created}");

    let before = state(&mut administrator)?;
    for user in ["nobody", "denied"] {
        let mut client = connect(&schemas, closed, user)?;
        let wrong = sweep(&mut client, &scope, &rows, not_refused)?;
        ensure!(
            wrong.is_empty(),
            "not refused to {user}:\n{}",
            wrong.join("\n")
        );
        ensure!(
            state(&mut administrator)? == before,
            "{user} changed something"
        );
    }
    let mut client = connect(&schemas, closed, "allowed")?;
    let wrong = sweep(&mut client, &scope, &rows, refused)?;
    ensure!(wrong.is_empty(), "refused:\n{}", wrong.join("\n"));
    Ok(())
}
