//! DescribeClientQuotas and AlterClientQuotas. Pure.
//!
//! Each sequence removes the quotas that it sets, so that filters which match all entities match
//! its own alone.

use serde_json::{Value, json};

use super::super::script::{Script, Step, Until, around, call, case, each};

const EXACT: i8 = 0;
const DEFAULT: i8 = 1;
const SPECIFIED: i8 = 2;

pub(super) fn describe_client_quotas() -> Script {
    let mut sequences = each("filters", 0..=1, &[], |_| described());
    let request = json!({"Components": [], "Strict": false});
    sequences.extend(around(0..=1, &request));
    Script {
        api: "DescribeClientQuotas",
        unordered: &["Entries", "Entity", "Values"],
        sequences,
    }
}

pub(super) fn alter_client_quotas() -> Script {
    let mut sequences = each("entities", 0..=1, &[], |_| entities());
    sequences.extend(each("values", 0..=1, &[], |_| values()));
    let request = json!({"Entries": [], "ValidateOnly": false});
    sequences.extend(around(0..=1, &request));
    Script {
        api: "AlterClientQuotas",
        unordered: &["Entries", "Entity"],
        sequences,
    }
}

/// Returns an entity of types and names; no name is the default.
fn entity(parts: &[(&str, Option<&str>)]) -> Value {
    let part =
        |(kind, name): &(&str, Option<&str>)| json!({"EntityType": kind, "EntityName": name});
    parts.iter().map(part).collect()
}

fn entry(parts: &[(&str, Option<&str>)], ops: Value) -> Value {
    json!({"Entity": entity(parts), "Ops": ops})
}

fn set(key: &str, value: Value) -> Value {
    json!({"Key": key, "Value": value, "Remove": false})
}

fn remove(key: &str) -> Value {
    json!({"Key": key, "Value": 0, "Remove": true})
}

fn altered(entries: &[Value], validate: bool) -> Value {
    json!({"Entries": entries, "ValidateOnly": validate})
}

const RATE: &str = "producer_byte_rate";

/// The entities that filters match, each with a quota.
const SOME: [&[(&str, Option<&str>)]; 9] = [
    &[("user", Some("u"))],
    &[("user", Some("v"))],
    &[("user", None)],
    &[("client-id", Some("c"))],
    &[("client-id", None)],
    &[("user", Some("u")), ("client-id", Some("c"))],
    &[("user", None), ("client-id", None)],
    &[("ip", Some("10.0.0.1"))],
    &[("ip", None)],
];

fn key(parts: &[(&str, Option<&str>)]) -> &'static str {
    match parts[0].0 {
        "ip" => "connection_creation_rate",
        _ => RATE,
    }
}

/// Sets a quota of each of [`SOME`] in one batch, and waits until the broker describes one.
fn created() -> [Step; 2] {
    let entries = SOME.map(|parts| entry(parts, json!([set(key(parts), json!(1000))])));
    [
        call("AlterClientQuotas", 1, altered(&entries, false)),
        wait(
            json!([{"EntityType": "user", "MatchType": EXACT, "Match": "v"}]),
            "Entries.0.Values.0.Key",
            json!(RATE),
        ),
    ]
}

/// Removes the quotas of [`SOME`], and waits until the broker describes none.
fn removed() -> [Step; 2] {
    let keys = |parts: &[(&str, Option<&str>)]| match parts[0].0 {
        "ip" => json!([remove("connection_creation_rate")]),
        _ => json!([
            remove(RATE),
            remove("consumer_byte_rate"),
            remove("request_percentage"),
            remove("controller_mutation_rate")
        ]),
    };
    let entries = SOME.map(|parts| entry(parts, keys(parts)));
    [
        call("AlterClientQuotas", 1, altered(&entries, false)),
        wait(json!([]), "Entries", json!([])),
    ]
}

fn wait(components: Value, path: &'static str, value: Value) -> Step {
    Step::Call {
        api: "DescribeClientQuotas",
        version: 1,
        request: json!({"Components": components, "Strict": false}),
        until: Until::Field(path, value),
        captures: Vec::new(),
    }
}

fn described() -> Vec<Step> {
    let component = |kind: &str, match_type: i8, name: Option<&str>| {
        json!({"EntityType": kind, "MatchType": match_type,
            "Match": name})
    };
    let of =
        |components: &[Value], strict: bool| json!({"Components": components, "Strict": strict});
    let one = |name, kind: &str, match_type: i8, matched: Option<&str>| {
        case(name, of(&[component(kind, match_type, matched)], false))
    };
    let user = |strict| of(&[component("user", EXACT, Some("u"))], strict);
    let both = |strict| {
        let user = component("user", EXACT, Some("u"));
        of(&[user, component("client-id", EXACT, Some("c"))], strict)
    };
    let mut steps: Vec<Step> = removed().into();
    steps.push(case("nothing", of(&[], false)));
    steps.extend(created());
    steps.extend([
        case("everything", of(&[], false)),
        case("everything, strictly", of(&[], true)),
        case("a user", user(false)),
        case("a user, strictly", user(true)),
        case("a user and a client id", both(false)),
        case("a user and a client id, strictly", both(true)),
        one("the default user", "user", DEFAULT, None),
        one("any user", "user", SPECIFIED, None),
        one("a client id", "client-id", EXACT, Some("c")),
        one("any client id", "client-id", SPECIFIED, None),
        one("a user without quotas", "user", EXACT, Some("none")),
        one("an address", "ip", EXACT, Some("10.0.0.1")),
        one("the default address", "ip", DEFAULT, None),
        one("any address", "ip", SPECIFIED, None),
        one("no address", "ip", EXACT, Some("nowhere")),
        one("an empty name", "user", EXACT, Some("")),
        one("exact without a name", "user", EXACT, None),
        one("default with a name", "user", DEFAULT, Some("u")),
        one("any with a name", "user", SPECIFIED, Some("u")),
        one("match type 3", "user", 3, Some("u")),
        one("a negative match type", "user", -1, Some("u")),
        one("an empty type", "", EXACT, Some("u")),
        one("a type that does not exist", "group", EXACT, Some("u")),
        one("a type in capitals", "User", EXACT, Some("u")),
        case(
            "a type twice",
            of(
                &[
                    component("user", EXACT, Some("u")),
                    component("user", DEFAULT, None),
                ],
                false,
            ),
        ),
        case(
            "an address and a user",
            of(
                &[
                    component("user", EXACT, Some("u")),
                    component("ip", SPECIFIED, None),
                ],
                false,
            ),
        ),
    ]);
    steps.extend(removed());
    steps
}

fn entities() -> Vec<Step> {
    let one = |name, parts: &[(&str, Option<&str>)]| {
        let entry = entry(parts, json!([set(key(parts), json!(5))]));
        case(name, altered(&[entry], true))
    };
    let mut steps: Vec<Step> = removed().into();
    steps.extend([
        case("no entry", altered(&[], false)),
        one("a user", &[("user", Some("u"))]),
        one("the default user", &[("user", None)]),
        one("an empty user", &[("user", Some(""))]),
        one("a client id", &[("client-id", Some("c"))]),
        one("the default client id", &[("client-id", None)]),
        one("an address", &[("ip", Some("10.0.0.1"))]),
        one("the default address", &[("ip", None)]),
        one("an address of version 6", &[("ip", Some("::1"))]),
        one("no address", &[("ip", Some("not an address"))]),
        one(
            "a user and a client id",
            &[("user", Some("u")), ("client-id", Some("c"))],
        ),
        one("both defaults", &[("user", None), ("client-id", None)]),
        one(
            "a user and the default client id",
            &[("user", Some("u")), ("client-id", None)],
        ),
        one(
            "an address and a user",
            &[("ip", Some("10.0.0.1")), ("user", Some("u"))],
        ),
        one("a type twice", &[("user", Some("u")), ("user", Some("v"))]),
        case("a type that does not exist", {
            let entry = entry(&[("group", Some("g"))], json!([set(RATE, json!(5))]));
            altered(&[entry], true)
        }),
        case("an empty type", {
            let entry = entry(&[("", Some("g"))], json!([set(RATE, json!(5))]));
            altered(&[entry], true)
        }),
        case("no entity", {
            let no_entity = json!({"Entity": [], "Ops": [set(RATE, json!(5))]});
            altered(&[no_entity], true)
        }),
        case("an entity twice", {
            let entry = entry(&[("user", Some("u"))], json!([set(RATE, json!(5))]));
            altered(&[entry.clone(), entry], true)
        }),
        case("a good and a bad one", {
            let good = entry(&[("user", Some("u"))], json!([set(RATE, json!(5))]));
            let bad = entry(&[("user", Some("v"))], json!([set(RATE, json!(0))]));
            altered(&[good, bad], true)
        }),
    ]);
    steps.extend(removed());
    steps
}

fn values() -> Vec<Step> {
    let of = |name, ops: Value| {
        let entry = entry(&[("user", Some("u"))], ops);
        case(name, altered(&[entry], false))
    };
    let one = |name, key: &str, value: Value| of(name, json!([set(key, value)]));
    let address = |name, key: &str, value: Value| {
        let entry = entry(&[("ip", Some("10.0.0.1"))], json!([set(key, value)]));
        case(name, altered(&[entry], false))
    };
    let mut steps: Vec<Step> = removed().into();
    steps.extend([
        of("no change", json!([])),
        one("a rate", RATE, json!(1000)),
        one("the same rate", RATE, json!(1000)),
        one("a fraction of a byte", RATE, json!(0.5)),
        one("nearly a whole number", RATE, json!(7.000_000_1)),
        one("zero", RATE, json!(0)),
        one("a negative rate", RATE, json!(-1)),
        one("a rate above 64 bits", RATE, json!(1e19)),
        one("not a number", RATE, json!("NaN")),
        one("infinity", RATE, json!("inf")),
        one("a percentage", "request_percentage", json!(0.5)),
        one("a high percentage", "request_percentage", json!(1e6)),
        one("an infinite percentage", "request_percentage", json!("inf")),
        one(
            "a rate of mutations",
            "controller_mutation_rate",
            json!(0.1),
        ),
        one(
            "a rate of connections of a user",
            "connection_creation_rate",
            json!(5),
        ),
        one("a quota that does not exist", "no_such_rate", json!(5)),
        one("an empty name", "", json!(5)),
        of("a removal", json!([remove(RATE)])),
        of("a removal of nothing", json!([remove(RATE)])),
        of(
            "a removal of a quota that does not exist",
            json!([remove("no_such_rate")]),
        ),
        of(
            "a quota twice",
            json!([set(RATE, json!(5)), set(RATE, json!(6))]),
        ),
        of(
            "a good and a bad quota",
            json!([
                set("consumer_byte_rate", json!(5)),
                set("no_such", json!(6))
            ]),
        ),
        address(
            "a rate of connections",
            "connection_creation_rate",
            json!(10),
        ),
        address(
            "a fraction of a connection",
            "connection_creation_rate",
            json!(0.5),
        ),
        address(
            "a rate of connections above 32 bits",
            "connection_creation_rate",
            json!(4e9),
        ),
        address("a rate of bytes of an address", RATE, json!(10)),
    ]);
    steps.extend(removed());
    steps
}
