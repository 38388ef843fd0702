//! DescribeAcls, CreateAcls and DeleteAcls. Pure.
//!
//! Each sequence removes the ACLs that it creates, so that filters which select all ACLs select its
//! own alone.

use serde_json::{Value, json};

use super::super::script::{Script, Sequence, Server, Step, Until, around, call, case, each, on};
use super::with;

const ANY: i8 = 1;
const TOPIC: i8 = 2;
const GROUP: i8 = 3;
const CLUSTER: i8 = 4;
const TRANSACTIONAL_ID: i8 = 5;
const DELEGATION_TOKEN: i8 = 6;
const USER: i8 = 7;

const MATCH: i8 = 2;
const LITERAL: i8 = 3;
const PREFIXED: i8 = 4;

const ALL: i8 = 2;
const READ: i8 = 3;
const WRITE: i8 = 4;
const DESCRIBE: i8 = 8;

const DENY: i8 = 2;
const ALLOW: i8 = 3;

pub(super) fn describe_acls() -> Script {
    let mut sequences = on_both(|| each("filters", 1..=3, &[], |_| described()));
    let request = filter(&json!({}));
    sequences.extend(on(Server::Authorizer, around(1..=3, &request)));
    Script {
        api: "DescribeAcls",
        unordered: &["Resources", "Acls"],
        sequences,
    }
}

pub(super) fn create_acls() -> Script {
    let mut sequences = on_both(|| {
        let mut sequences = each("resources", 1..=3, &[], |_| resources());
        sequences.extend(each("entries", 1..=3, &[], |_| entries()));
        sequences
    });
    let request = json!({"Creations": []});
    sequences.extend(on(Server::Authorizer, around(1..=3, &request)));
    Script {
        api: "CreateAcls",
        unordered: &[],
        sequences,
    }
}

pub(super) fn delete_acls() -> Script {
    let mut sequences = on_both(|| each("filters", 1..=3, &[], |_| deleted()));
    let request = json!({"Filters": []});
    sequences.extend(on(Server::Authorizer, around(1..=3, &request)));
    Script {
        api: "DeleteAcls",
        unordered: &["MatchingAcls"],
        sequences,
    }
}

/// Returns sequences with an authorizer, and those of the last version without, where requests are
/// refused whatever they contain.
fn on_both(sequences: impl Fn() -> Vec<Sequence>) -> Vec<Sequence> {
    let mut found = on(Server::Authorizer, sequences());
    let without = |mut sequence: Sequence| {
        sequence.name = "without an authorizer";
        sequence
            .steps
            .retain(|step| matches!(step, Step::Case { .. }));
        sequence.steps.truncate(2);
        sequence
    };
    let plain = on(Server::Plain, sequences());
    let first = plain.first().map(|it| it.name);
    let plain = plain.into_iter().filter(|it| Some(it.name) == first);
    found.extend(plain.map(without));
    found
}

/// Returns an ACL: `User:u` may read the topic `t%`, with changes.
fn acl(changes: &Value) -> Value {
    let acl = json!({"ResourceType": TOPIC, "ResourceName": "t%", "ResourcePatternType": LITERAL,
        "Principal": "User:u", "Host": "*", "Operation": READ, "PermissionType": ALLOW});
    with(&acl, changes)
}

fn creations(changes: &[Value]) -> Value {
    json!({"Creations": changes.iter().map(acl).collect::<Vec<_>>()})
}

/// Returns a filter that selects every ACL, with changes.
fn filter(changes: &Value) -> Value {
    let filter = json!({"ResourceTypeFilter": ANY, "ResourceNameFilter": null,
        "PatternTypeFilter": ANY, "PrincipalFilter": null, "HostFilter": null, "Operation": 1,
        "PermissionType": ANY});
    with(&filter, changes)
}

fn filters(changes: &[Value]) -> Value {
    json!({"Filters": changes.iter().map(filter).collect::<Vec<_>>()})
}

/// Creates ACLs in one batch, and waits until the broker describes them.
fn created(acls: &[Value]) -> [Step; 2] {
    let mut acls = acls.to_vec();
    let marker = json!({"ResourceType": DELEGATION_TOKEN, "ResourceName": "marker"});
    acls.push(marker);
    let marker = filter(&json!({"ResourceTypeFilter": DELEGATION_TOKEN}));
    let path = "Resources.0.ResourceName";
    [
        call("CreateAcls", 3, creations(&acls)),
        described_as(marker, path, json!("marker")),
    ]
}

/// Removes all ACLs, and waits until the broker describes none.
fn removed() -> [Step; 2] {
    [
        call("DeleteAcls", 3, filters(&[json!({})])),
        described_as(filter(&json!({})), "Resources", json!([])),
    ]
}

fn described_as(filter: Value, path: &'static str, value: Value) -> Step {
    Step::Call {
        api: "DescribeAcls",
        version: 3,
        request: filter,
        until: Until::Field(path, value),
        captures: Vec::new(),
    }
}

/// The ACLs that filters select from.
fn some() -> Vec<Value> {
    vec![
        json!({}),
        json!({"Operation": WRITE, "Host": "127.0.0.1"}),
        json!({"PermissionType": DENY, "Principal": "User:v"}),
        json!({"ResourceName": "*"}),
        json!({"ResourceName": "t", "ResourcePatternType": PREFIXED}),
        json!({"ResourceName": "x", "ResourcePatternType": PREFIXED}),
        json!({"ResourceName": "other%"}),
        json!({"ResourceType": GROUP, "ResourceName": "g%", "Principal": "User:*"}),
        json!({"ResourceType": CLUSTER, "ResourceName": "kafka-cluster",
            "Operation": DESCRIBE}),
        json!({"ResourceType": TRANSACTIONAL_ID, "ResourceName": "t%", "Operation": ALL}),
    ]
}

/// The fields of filters, of which each case changes some.
fn cases_of_filters() -> Vec<(&'static str, Value)> {
    let name = |name: &str, kind: i8| {
        json!({"ResourceTypeFilter": TOPIC, "ResourceNameFilter": name,
            "PatternTypeFilter": kind})
    };
    vec![
        ("a literal name", name("t%", LITERAL)),
        ("a name and any pattern", name("t%", ANY)),
        ("a name that patterns match", name("t%", MATCH)),
        ("no topic, which patterns match", name("xyz", MATCH)),
        ("a prefix", name("t", PREFIXED)),
        ("a part of a prefix", name("te", PREFIXED)),
        ("the wildcard", name("*", LITERAL)),
        ("the wildcard, which patterns match", name("*", MATCH)),
        ("an empty name", name("", LITERAL)),
        ("groups", json!({"ResourceTypeFilter": GROUP})),
        ("the cluster", json!({"ResourceTypeFilter": CLUSTER})),
        ("users", json!({"ResourceTypeFilter": USER})),
        ("all prefixes", json!({"PatternTypeFilter": PREFIXED})),
        (
            "everything that patterns match",
            json!({"PatternTypeFilter": MATCH}),
        ),
        ("a principal", json!({"PrincipalFilter": "User:v"})),
        ("every user", json!({"PrincipalFilter": "User:*"})),
        ("no principal", json!({"PrincipalFilter": ""})),
        (
            "a principal without a type",
            json!({"PrincipalFilter": "v"}),
        ),
        ("a host", json!({"HostFilter": "127.0.0.1"})),
        ("every host", json!({"HostFilter": "*"})),
        ("an operation", json!({"Operation": WRITE})),
        ("all operations", json!({"Operation": ALL})),
        ("denials", json!({"PermissionType": DENY})),
        (
            "a principal and an operation",
            json!({"PrincipalFilter": "User:u", "Operation": READ}),
        ),
    ]
}

/// Filters with codes that no release has.
fn bad_filters() -> Vec<(&'static str, Value)> {
    vec![
        ("resource type 0", json!({"ResourceTypeFilter": 0})),
        ("resource type 99", json!({"ResourceTypeFilter": 99})),
        (
            "a negative resource type",
            json!({"ResourceTypeFilter": -1}),
        ),
        ("pattern type 0", json!({"PatternTypeFilter": 0})),
        ("pattern type 9", json!({"PatternTypeFilter": 9})),
        ("operation 0", json!({"Operation": 0})),
        ("operation 99", json!({"Operation": 99})),
        ("permission 0", json!({"PermissionType": 0})),
        ("permission 9", json!({"PermissionType": 9})),
    ]
}

fn described() -> Vec<Step> {
    let mut steps: Vec<Step> = removed().into();
    steps.push(case("nothing", filter(&json!({}))));
    steps.extend(created(&some()));
    steps.push(case("everything", filter(&json!({}))));
    let cases = cases_of_filters().into_iter().chain(bad_filters());
    steps.extend(cases.map(|(name, changes)| case(name, filter(&changes))));
    steps.extend(removed());
    steps
}

fn resources() -> Vec<Step> {
    let one = |name, changes: Value| case(name, creations(&[changes]));
    let named = |kind: i8, name: &str| json!({"ResourceType": kind, "ResourceName": name});
    let mut steps: Vec<Step> = removed().into();
    steps.extend([
        case("no ACL", creations(&[])),
        one("a topic", json!({})),
        one("the same ACL again", json!({})),
        one("a group", named(GROUP, "g%")),
        one("the cluster", named(CLUSTER, "kafka-cluster")),
        one("another name of the cluster", named(CLUSTER, "other")),
        one("the cluster as a wildcard", named(CLUSTER, "*")),
        one("a transactional id", named(TRANSACTIONAL_ID, "tx%")),
        one("a delegation token", named(DELEGATION_TOKEN, "token")),
        one("a user", named(USER, "User:w")),
        one("a user without a type", named(USER, "w")),
        one("any resource type", named(ANY, "t%")),
        one("resource type 0", named(0, "t%")),
        one("resource type 99", named(99, "t%")),
        one("a negative resource type", named(-1, "t%")),
        one("an empty name", named(TOPIC, "")),
        one("a name that no topic can have", named(TOPIC, "a b/c")),
        one("the wildcard", named(TOPIC, "*")),
        one("no name", json!({"ResourceName": null})),
        one("a prefix", json!({"ResourcePatternType": PREFIXED})),
        one(
            "an empty prefix",
            json!({"ResourcePatternType": PREFIXED, "ResourceName": ""}),
        ),
        one("any pattern", json!({"ResourcePatternType": ANY})),
        one("a matching pattern", json!({"ResourcePatternType": MATCH})),
        one("pattern type 0", json!({"ResourcePatternType": 0})),
        one("pattern type 9", json!({"ResourcePatternType": 9})),
    ]);
    steps.extend(removed());
    steps
}

fn entries() -> Vec<Step> {
    let one = |name, changes: Value| case(name, creations(&[changes]));
    let principal = |principal: &str| json!({ "Principal": principal });
    let mut steps: Vec<Step> = removed().into();
    steps.extend([
        one("every user", principal("User:*")),
        one("another type of principal", principal("Group:g")),
        one("a principal without a type", principal("u")),
        one("an empty type", principal(":u")),
        one("a principal without a name", principal("User:")),
        one("a name with colons", principal("User:a:b")),
        one("an empty principal", principal("")),
        one("no principal", json!({"Principal": null})),
        one("a host", json!({"Host": "10.0.0.1"})),
        one("the name of a host", json!({"Host": "localhost"})),
        one("an empty host", json!({"Host": ""})),
        one("no host", json!({"Host": null})),
        one("all operations", json!({"Operation": ALL})),
        one("any operation", json!({"Operation": 1})),
        one("operation 0", json!({"Operation": 0})),
        one("operation 99", json!({"Operation": 99})),
        one("a negative operation", json!({"Operation": -1})),
        one("a denial", json!({"PermissionType": DENY})),
        one("any permission", json!({"PermissionType": ANY})),
        one("permission 0", json!({"PermissionType": 0})),
        one("permission 9", json!({"PermissionType": 9})),
        one(
            "an operation that topics do not have",
            json!({"Operation": 12}),
        ),
        case(
            "a good and a bad one",
            creations(&[json!({"Host": "1.2.3.4"}), principal("u")]),
        ),
        case("an ACL twice", creations(&[json!({}), json!({})])),
    ]);
    steps.extend(removed());
    steps
}

fn deleted() -> Vec<Step> {
    let mut steps: Vec<Step> = removed().into();
    steps.push(case("nothing", filters(&[json!({})])));
    steps.push(case("no filter", filters(&[])));
    for (name, changes) in cases_of_filters() {
        steps.extend(created(&some()));
        steps.push(case(name, filters(&[changes])));
    }
    for (name, changes) in bad_filters() {
        steps.push(case(name, filters(&[changes])));
    }
    steps.extend(removed());
    steps.extend(created(&some()));
    let group = json!({"ResourceTypeFilter": GROUP});
    steps.push(case(
        "a good and a bad one",
        filters(&[group.clone(), json!({"Operation": 99})]),
    ));
    let topic = json!({"ResourceTypeFilter": TOPIC, "PermissionType": DENY});
    steps.push(case(
        "filters that select the same",
        filters(&[topic.clone(), topic]),
    ));
    steps.push(case("what is gone", filters(&[group])));
    steps.extend(removed());
    steps
}
