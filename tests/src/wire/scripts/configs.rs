//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs and ListConfigResources. Pure.
//!
//! Of the loggers of a broker, only `root` is common to all servers.

use serde_json::{Value, json};

use super::super::script::{Script, Step, Until, around, call, case, each};
use super::with;

const TOPIC: i8 = 2;
const BROKER: i8 = 4;
const LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
const GROUP: i8 = 32;

const SET: i8 = 0;
const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

pub(super) fn describe_configs() -> Script {
    let topics = [("t", 1)];
    let mut sequences = each("topics", 1..=4, &topics, |_| described_topics());
    sequences.extend(each("brokers", 1..=4, &[], |_| described_brokers()));
    sequences.extend(each("names of others", 1..=4, &[], |_| {
        described_names_of_others()
    }));
    sequences.extend(each("loggers", 1..=4, &[], |_| described_loggers()));
    sequences.extend(each("groups and others", 1..=4, &topics, |_| {
        described_others()
    }));
    sequences.extend(around(1..=4, &json!({"Resources": []})));
    Script {
        api: "DescribeConfigs",
        unordered: &["Results", "Configs"],
        sequences,
    }
}

fn asked(kind: i8, name: &str, keys: &Value) -> Value {
    json!({"ResourceType": kind, "ResourceName": name, "ConfigurationKeys": keys})
}

fn described(resources: &[Value]) -> Value {
    json!({"Resources": resources, "IncludeSynonyms": true})
}

fn change(kind: i8, name: &str, operation: i8, config: &str, value: Value) -> Value {
    let config = json!({"Name": config, "ConfigOperation": operation, "Value": value});
    json!({"ResourceType": kind, "ResourceName": name, "Configs": [config]})
}

fn changed(resources: &[Value]) -> Value {
    json!({ "Resources": resources })
}

/// Waits until the broker has a new value: Kafka answers a change before all of its brokers do.
fn shown(kind: i8, name: &str, config: &str, value: &str) -> Step {
    Step::Call {
        api: "DescribeConfigs",
        version: 4,
        request: described(&[asked(kind, name, &json!([config]))]),
        until: Until::Field("Results.0.Configs.0.Value", json!(value)),
        captures: Vec::new(),
    }
}

fn described_topics() -> Vec<Step> {
    let of = |name: &str, keys: Value| described(&[asked(TOPIC, name, &keys)]);
    let set = |name: &str, value: &str| {
        let change = change(TOPIC, "t%", SET, name, json!(value));
        call("IncrementalAlterConfigs", 1, changed(&[change]))
    };
    vec![
        case("all", of("t%", Value::Null)),
        case(
            "no synonyms",
            with(
                &of("t%", json!(["retention.ms"])),
                &json!({"IncludeSynonyms": false}),
            ),
        ),
        case("one", of("t%", json!(["retention.ms"]))),
        case(
            "one twice",
            of("t%", json!(["retention.ms", "retention.ms"])),
        ),
        case("one that does not exist", of("t%", json!(["no.such"]))),
        case("none", of("t%", json!([]))),
        set("max.message.bytes", " 2097152 "),
        shown(TOPIC, "t%", "max.message.bytes", "2097152"),
        case(
            "a value with blanks",
            of("t%", json!(["max.message.bytes"])),
        ),
        set("cleanup.policy", "compact,delete"),
        shown(TOPIC, "t%", "cleanup.policy", "compact,delete"),
        case("a list", of("t%", json!(["cleanup.policy"]))),
        case(
            "a topic twice",
            described(&[
                asked(TOPIC, "t%", &json!(["retention.ms"])),
                asked(TOPIC, "t%", &json!(["segment.ms"])),
            ]),
        ),
        case("a topic that does not exist", of("none%", Value::Null)),
        case("an empty name", of("", Value::Null)),
        case("an illegal name", of("a b%", Value::Null)),
    ]
}

fn described_brokers() -> Vec<Step> {
    let of = |name: &str, keys: &[&str]| described(&[asked(BROKER, name, &json!(keys))]);
    let keys = [
        "node.id",
        "broker.id",
        "min.insync.replicas",
        "log.retention.ms",
        "log.retention.hours",
        "num.io.threads",
        "message.max.bytes",
        "log.segment.bytes",
        "auto.create.topics.enable",
        "offsets.topic.num.partitions",
        "group.initial.rebalance.delay.ms",
        "process.roles",
        "num.partitions",
    ];
    vec![
        case("some", of("1", &keys)),
        case("one that does not exist", of("1", &["no.such"])),
        case(
            "a default of the cluster",
            of("", &["log.retention.ms", "num.io.threads"]),
        ),
        case(
            "the default in sync replicas of the cluster",
            of("", &["min.insync.replicas"]),
        ),
        case("another broker", of("9", &[])),
        case("no number", of("x", &[])),
        case("a negative number", of("-1", &[])),
    ]
}

/// Names that brokers do not define. They are removed again for the other sequences.
fn described_names_of_others() -> Vec<Step> {
    const OWN: &str = "my.own";
    const OF_LISTENER: &str = "listener.name.my.own";
    let of = |name: &str| described(&[asked(BROKER, name, &json!([OWN, OF_LISTENER]))]);
    let change = |name: &str, operation: i8, config: &str, value: Value| {
        let change = change(BROKER, name, operation, config, value);
        call("IncrementalAlterConfigs", 1, changed(&[change]))
    };
    let shown = |name: &str, path: &'static str, value: Value| Step::Call {
        api: "DescribeConfigs",
        version: 4,
        request: described(&[asked(BROKER, name, &json!([OWN]))]),
        until: Until::Field(path, value),
        captures: Vec::new(),
    };
    let config = "Results.0.Configs.0.Name";
    vec![
        change("1", SET, OF_LISTENER, json!("x")),
        change("1", SET, OWN, json!("x")),
        shown("1", config, json!(OWN)),
        case("of a broker", of("1")),
        case("of all brokers, not set", of("")),
        change("", SET, OWN, json!("y")),
        shown("", config, json!(OWN)),
        case("of a broker and of all", of("1")),
        case("of all brokers", of("")),
        change("1", DELETE, OF_LISTENER, Value::Null),
        change("1", DELETE, OWN, Value::Null),
        change("", DELETE, OWN, Value::Null),
        shown("1", "Results.0.Configs", json!([])),
        case("deleted", of("1")),
    ]
}

/// Sets the level of the root logger.
fn level(value: &str) -> Step {
    let change = change(LOGGER, "1", SET, "root", json!(value));
    call("IncrementalAlterConfigs", 1, changed(&[change]))
}

fn described_loggers() -> Vec<Step> {
    let of = |name: &str, keys: &[&str]| described(&[asked(LOGGER, name, &json!(keys))]);
    vec![
        level("WARN"),
        case("one", of("1", &["root"])),
        case(
            "one, with everything about it",
            with(&of("1", &["root"]), &json!({"IncludeDocumentation": true})),
        ),
        case("one that does not exist", of("1", &["no.such"])),
        level("FATAL"),
        case("one with another level", of("1", &["root"])),
        level("INFO"),
        case("another broker", of("9", &[])),
        case("no number", of("x", &[])),
        case("a negative number", of("-1", &[])),
        case("an empty name", of("", &[])),
        case(
            "a broker and its loggers",
            described(&[
                asked(BROKER, "1", &json!(["node.id"])),
                asked(LOGGER, "1", &json!(["root"])),
            ]),
        ),
    ]
}

fn described_others() -> Vec<Step> {
    let of = |kind: i8, name: &str, keys: Value| described(&[asked(kind, name, &keys)]);
    let set = change(
        GROUP,
        "s%",
        SET,
        "consumer.session.timeout.ms",
        json!("46000"),
    );
    let subscription = change(
        CLIENT_METRICS,
        "m%",
        SET,
        "match",
        json!(" client_id=no-such-client "),
    );
    vec![
        case("a group", of(GROUP, "g%", Value::Null)),
        call("IncrementalAlterConfigs", 1, changed(&[set])),
        shown(GROUP, "s%", "consumer.session.timeout.ms", "46000"),
        case("a group with a configuration", of(GROUP, "s%", Value::Null)),
        case(
            "one of a group",
            of(GROUP, "s%", json!(["consumer.session.timeout.ms"])),
        ),
        case("a group without a name", of(GROUP, "", Value::Null)),
        case("client metrics", of(CLIENT_METRICS, "none%", Value::Null)),
        call("IncrementalAlterConfigs", 1, changed(&[subscription])),
        shown(CLIENT_METRICS, "m%", "match", "client_id=no-such-client"),
        case(
            "client metrics with a configuration",
            of(CLIENT_METRICS, "m%", Value::Null),
        ),
        case(
            "one of client metrics",
            of(CLIENT_METRICS, "m%", json!(["metrics"])),
        ),
        case(
            "client metrics without a name",
            of(CLIENT_METRICS, "", Value::Null),
        ),
        case("no resource", described(&[])),
        case("type 0", of(0, "x", Value::Null)),
        case("type 3", of(3, "x", Value::Null)),
        case("type 99", of(99, "x", Value::Null)),
        case("type -1", of(-1, "x", Value::Null)),
        case(
            "a topic and a type that does not exist",
            described(&[
                asked(TOPIC, "t%", &json!(["retention.ms"])),
                asked(99, "x", &Value::Null),
            ]),
        ),
    ]
}

pub(super) fn alter_configs() -> Script {
    let topics = [("t", 1)];
    let mut sequences = each("resources", 0..=2, &topics, |_| altered());
    sequences.extend(around(0..=2, &json!({"Resources": []})));
    Script {
        api: "AlterConfigs",
        unordered: &["Responses"],
        sequences,
    }
}

fn altered() -> Vec<Step> {
    let list = |resources: &[Value]| json!({ "Resources": resources });
    let resource = |kind: i8, name: &str, configs: &[(&str, Value)]| {
        let configs = configs.iter();
        let configs = configs.map(|(name, value)| json!({"Name": name, "Value": value}));
        json!({"ResourceType": kind, "ResourceName": name,
            "Configs": configs.collect::<Vec<_>>()})
    };
    let topic = |configs: &[(&str, Value)]| list(&[resource(TOPIC, "t%", configs)]);
    let one = ("retention.ms", json!("60000"));
    vec![
        case("no resource", list(&[])),
        case("a topic", topic(std::slice::from_ref(&one))),
        case(
            "a topic, validated",
            with(
                &topic(std::slice::from_ref(&one)),
                &json!({"ValidateOnly": true}),
            ),
        ),
        case("no configuration", topic(&[])),
        case("one that does not exist", topic(&[("no.such", json!("1"))])),
        case("a bad value", topic(&[("retention.ms", json!("x"))])),
        case("a null value", topic(&[("retention.ms", Value::Null)])),
        case("a name twice", topic(&[one.clone(), one.clone()])),
        case(
            "remote storage",
            topic(&[("remote.storage.enable", json!("true"))]),
        ),
        case(
            "a topic twice",
            list(&[
                resource(TOPIC, "t%", std::slice::from_ref(&one)),
                resource(TOPIC, "t%", &[]),
            ]),
        ),
        case(
            "a topic that does not exist",
            list(&[resource(TOPIC, "none%", std::slice::from_ref(&one))]),
        ),
        case(
            "an empty name",
            list(&[resource(TOPIC, "", std::slice::from_ref(&one))]),
        ),
        case(
            "an illegal name",
            list(&[resource(TOPIC, "a b%", std::slice::from_ref(&one))]),
        ),
        case(
            "no configuration of a broker",
            list(&[resource(BROKER, "1", &[])]),
        ),
        case("another broker", list(&[resource(BROKER, "9", &[])])),
        case(
            "loggers",
            list(&[resource(LOGGER, "1", &[("root", json!("INFO"))])]),
        ),
        case(
            "loggers of another broker",
            list(&[resource(LOGGER, "9", &[])]),
        ),
        case(
            "a group",
            list(&[resource(
                GROUP,
                "g%",
                &[("consumer.session.timeout.ms", json!("46000"))],
            )]),
        ),
        case(
            "client metrics",
            list(&[resource(
                CLIENT_METRICS,
                "m%",
                &[
                    ("interval.ms", json!("1000")),
                    ("match", json!("client_id=no-such-client")),
                ],
            )]),
        ),
        case(
            "type 0",
            list(&[resource(0, "x", std::slice::from_ref(&one))]),
        ),
        case("type 99", list(&[resource(99, "x", &[one])])),
    ]
}

pub(super) fn incremental_alter_configs() -> Script {
    let topics = [("t", 1)];
    let mut sequences = each("topics", 0..=1, &topics, |_| topic_changes());
    sequences.extend(each("brokers", 0..=1, &[], |_| broker_changes()));
    sequences.extend(each("loggers", 0..=1, &topics, |_| logger_changes()));
    sequences.extend(each("groups and others", 0..=1, &topics, |_| {
        other_changes()
    }));
    sequences.extend(each("client metrics", 0..=1, &[], |_| {
        client_metrics_changes()
    }));
    sequences.extend(around(0..=1, &changed(&[])));
    Script {
        api: "IncrementalAlterConfigs",
        unordered: &["Responses"],
        sequences,
    }
}

fn topic_changes() -> Vec<Step> {
    let of = |operation: i8, name: &str, value: Value| {
        changed(&[change(TOPIC, "t%", operation, name, value)])
    };
    let at = |topic: &str| changed(&[change(TOPIC, topic, SET, "retention.ms", json!("1000"))]);
    let retention = |operation: i8, value: Value| of(operation, "retention.ms", value);
    let policy = |operation: i8, value: &str| of(operation, "cleanup.policy", json!(value));
    let none = json!({"ResourceType": TOPIC, "ResourceName": "t%", "Configs": []});
    vec![
        case("no resource", changed(&[])),
        case("no configuration", changed(&[none])),
        case("set", retention(SET, json!("60000"))),
        case(
            "set, validated",
            with(&at("t%"), &json!({"ValidateOnly": true})),
        ),
        case("set null", retention(SET, Value::Null)),
        case("set a word for a number", retention(SET, json!("x"))),
        case("append to a number", retention(APPEND, json!("1"))),
        case("delete", retention(DELETE, Value::Null)),
        case("delete again", retention(DELETE, json!("1"))),
        case("an operation that does not exist", retention(9, json!("1"))),
        case("a negative operation", retention(-1, json!("1"))),
        case("append a policy", policy(APPEND, "compact")),
        case("append the policy again", policy(APPEND, "compact")),
        case("append a policy that does not exist", policy(APPEND, "x")),
        case("subtract a policy", policy(SUBTRACT, "compact")),
        case(
            "subtract a policy that is not set",
            policy(SUBTRACT, "compact"),
        ),
        case("subtract all policies", policy(SUBTRACT, "delete")),
        case("one that does not exist", of(SET, "no.such", json!("1"))),
        case(
            "delete one that does not exist",
            of(DELETE, "no.such", Value::Null),
        ),
        case("an empty name of a configuration", of(SET, "", json!("1"))),
        case(
            "remote storage",
            of(SET, "remote.storage.enable", json!("true")),
        ),
        case(
            "in sync replicas 0",
            of(SET, "min.insync.replicas", json!("0")),
        ),
        case(
            "a configuration twice",
            changed(&[
                json!({"ResourceType": TOPIC, "ResourceName": "t%", "Configs": [
                {"Name": "retention.ms", "ConfigOperation": SET, "Value": "1"},
                {"Name": "retention.ms", "ConfigOperation": DELETE, "Value": null}]}),
            ]),
        ),
        case(
            "a topic twice",
            changed(&[
                change(TOPIC, "t%", SET, "retention.ms", json!("1")),
                change(TOPIC, "t%", SET, "segment.ms", json!("1000")),
            ]),
        ),
        case("a topic that does not exist", at("none%")),
        case(
            "one that does not exist, a topic that does not exist",
            changed(&[change(TOPIC, "none%", SET, "no.such", json!("1"))]),
        ),
        case("an empty name", at("")),
        case("an illegal name", at("a b%")),
        case(
            "a good and a bad one",
            changed(&[
                change(TOPIC, "t%", SET, "segment.ms", json!("2000")),
                change(TOPIC, "none%", SET, "segment.ms", json!("2000")),
            ]),
        ),
    ]
}

fn broker_changes() -> Vec<Step> {
    let of = |name: &str, operation: i8, config: &str, value: Value| {
        let change = changed(&[change(BROKER, name, operation, config, value)]);
        with(&change, &json!({"ValidateOnly": true}))
    };
    let set = |config: &str, value: &str| of("1", SET, config, json!(value));
    let all = |config: &str, value: &str| of("", SET, config, json!(value));
    vec![
        case("a configuration", set("log.cleaner.threads", "2")),
        case("a configuration of all", all("log.cleaner.threads", "2")),
        case("one that cannot be changed", set("node.id", "5")),
        case(
            "one that cannot be changed, of all",
            all("log.dirs", "/tmp"),
        ),
        case("one of a single broker, of all", all("listeners", "A://:1")),
        case("one that the broker does not have", set("my.own", "x")),
        case("one that no broker has", all("my.own", "x")),
        case(
            "one that is added to one that the broker does not have",
            of("1", APPEND, "my.own", json!("x")),
        ),
        case("a name without characters", set("", "x")),
        case(
            "one that the listener does not have",
            set("listener.name.a.my.own", "x"),
        ),
        case(
            "one that the listener does not have, of all",
            all("listener.name.a.my.own", "x"),
        ),
        case(
            "one of the broker with the prefix of a listener",
            set("listener.name.a.num.io.threads", "8"),
        ),
        case(
            "a bad value with the prefix of a listener",
            set("listener.name.a.num.io.threads", "x"),
        ),
        case("a bad value", set("num.io.threads", "x")),
        case("in sync replicas", set("min.insync.replicas", "1")),
        case("in sync replicas of all", all("min.insync.replicas", "1")),
        case(
            "delete in sync replicas",
            of("1", DELETE, "min.insync.replicas", Value::Null),
        ),
        case(
            "delete in sync replicas of all",
            of("", DELETE, "min.insync.replicas", Value::Null),
        ),
        case(
            "delete one that is not set",
            of("1", DELETE, "log.retention.ms", Value::Null),
        ),
        case(
            "another broker",
            of("9", SET, "log.cleaner.threads", json!("2")),
        ),
        case("no number", of("x", SET, "log.cleaner.threads", json!("2"))),
    ]
}

fn logger_changes() -> Vec<Step> {
    let of = |operation: i8, name: &str, value: Value| {
        changed(&[change(LOGGER, "1", operation, name, value)])
    };
    let root = |operation: i8, value: Value| of(operation, "root", value);
    let at = |broker: &str| changed(&[change(LOGGER, broker, SET, "root", json!("WARN"))]);
    let none = json!({"ResourceType": LOGGER, "ResourceName": "1", "Configs": []});
    let two = |first: &str, second: &str| {
        changed(&[
            json!({"ResourceType": LOGGER, "ResourceName": "1", "Configs": [
            {"Name": first, "ConfigOperation": SET, "Value": "ERROR"},
            {"Name": second, "ConfigOperation": SET, "Value": "ERROR"}]}),
        ])
    };
    vec![
        case("no configuration", changed(&[none])),
        case("set", root(SET, json!("WARN"))),
        shown(LOGGER, "1", "root", "WARN"),
        case(
            "set, validated",
            with(&root(SET, json!("ERROR")), &json!({"ValidateOnly": true})),
        ),
        case(
            "a bad level, validated",
            with(&root(SET, json!("x")), &json!({"ValidateOnly": true})),
        ),
        case("off", root(SET, json!("OFF"))),
        case("lower case", root(SET, json!("error"))),
        case("a number", root(SET, json!("1"))),
        case("an empty level", root(SET, json!(""))),
        case("null", root(SET, Value::Null)),
        case("append", root(APPEND, json!("ERROR"))),
        case("subtract", root(SUBTRACT, json!("ERROR"))),
        case("delete the root", root(DELETE, Value::Null)),
        case("an operation that does not exist", root(9, json!("ERROR"))),
        case("a negative operation", root(-1, json!("ERROR"))),
        case("one that does not exist", of(SET, "no.such", json!("INFO"))),
        case(
            "delete one that does not exist",
            of(DELETE, "no.such", Value::Null),
        ),
        case("an empty name of a logger", of(SET, "", json!("INFO"))),
        case("a good and a bad one", two("root", "no.such")),
        case("a logger twice", two("root", "root")),
        case("another broker", at("9")),
        case("no number", at("x")),
        case("a negative number", at("-1")),
        case("an empty name", at("")),
        shown(LOGGER, "1", "root", "WARN"),
        case(
            "loggers and a topic",
            changed(&[
                change(LOGGER, "1", SET, "root", json!("FATAL")),
                change(TOPIC, "t%", SET, "segment.ms", json!("2000")),
            ]),
        ),
        shown(LOGGER, "1", "root", "FATAL"),
        case(
            "bad loggers and a topic",
            changed(&[
                change(LOGGER, "1", SET, "root", json!("x")),
                change(TOPIC, "t%", SET, "segment.ms", json!("3000")),
            ]),
        ),
        case("set again", root(SET, json!("INFO"))),
        shown(LOGGER, "1", "root", "INFO"),
    ]
}

fn other_changes() -> Vec<Step> {
    let of = |kind: i8, name: &str, config: &str, value: &str| {
        changed(&[change(kind, name, SET, config, json!(value))])
    };
    let group = |config: &str, value: &str| of(GROUP, "g%", config, value);
    vec![
        case("a group", group("consumer.session.timeout.ms", "46000")),
        case(
            "a group, blanks around a value",
            group("consumer.session.timeout.ms", " 46000 "),
        ),
        case(
            "a group, too high",
            group("consumer.session.timeout.ms", "99999999"),
        ),
        case(
            "a group, too low",
            group("consumer.session.timeout.ms", "1"),
        ),
        case("a group, one that does not exist", group("no.such", "1")),
        case(
            "a group without a name",
            of(GROUP, "", "consumer.session.timeout.ms", "46000"),
        ),
        case("type 0", of(0, "x", "a", "b")),
        case("type 3", of(3, "x", "a", "b")),
        case("type 99", of(99, "x", "a", "b")),
        case("type -1", of(-1, "x", "a", "b")),
    ]
}

/// The subscriptions match no client.
fn client_metrics_changes() -> Vec<Step> {
    let of = |operation: i8, config: &str, value: Value| {
        changed(&[change(CLIENT_METRICS, "m%", operation, config, value)])
    };
    let set = |config: &str, value: &str| of(SET, config, json!(value));
    let at = |name: &str| {
        changed(&[change(
            CLIENT_METRICS,
            name,
            SET,
            "interval.ms",
            json!("1000"),
        )])
    };
    vec![
        case("a pattern", set("match", "client_id=no-such-client")),
        case("an interval", set("interval.ms", "1000")),
        case("an interval with blanks", set("interval.ms", " 1000 ")),
        case("the shortest interval", set("interval.ms", "100")),
        case("too short an interval", set("interval.ms", "99")),
        case("the longest interval", set("interval.ms", "3600000")),
        case("too long an interval", set("interval.ms", "3600001")),
        case("a negative interval", set("interval.ms", "-1")),
        case("a word for an interval", set("interval.ms", "x")),
        case("too high a number", set("interval.ms", "3000000000")),
        case("no interval", set("interval.ms", "")),
        case("a null interval", of(SET, "interval.ms", Value::Null)),
        case("all metrics", set("metrics", "*")),
        case("some metrics", set("metrics", "org.apache.kafka., com.x")),
        case("an empty list of metrics", set("metrics", "")),
        case("an empty item of metrics", set("metrics", "a,,b")),
        case("metrics twice", set("metrics", "a,a")),
        case("append metrics", of(APPEND, "metrics", json!("c"))),
        case("subtract metrics", of(SUBTRACT, "metrics", json!("c"))),
        case(
            "append to the interval",
            of(APPEND, "interval.ms", json!("1")),
        ),
        case(
            "all fields of clients",
            set(
                "match",
                "client_id=no-such-client,client_instance_id=a.*,client_software_name=b|c,\
                 client_software_version=1,client_source_address=1,client_source_port=1",
            ),
        ),
        case(
            "blanks around patterns",
            set(
                "match",
                " client_id = no-such-client , client_source_port = 1 ",
            ),
        ),
        case("no patterns", set("match", "")),
        case(
            "a field twice",
            set("match", "client_id=a,client_id=no-such-client"),
        ),
        case("a field that does not exist", set("match", "user=a")),
        case("a field alone", set("match", "client_id")),
        case("a field without a pattern", set("match", "client_id=")),
        case("a pattern without a field", set("match", "=a")),
        case("two equals signs", set("match", "client_id=a=b")),
        case(
            "an equals sign at the end",
            set("match", "client_id=no-such-client="),
        ),
        case(
            "an item without characters",
            set("match", "client_id=no-such-client,,"),
        ),
        case("no regular expression", set("match", "client_id=(")),
        case("one that does not exist", set("no.such", "1")),
        case("one without a name", set("", "1")),
        case(
            "delete one that does not exist",
            of(DELETE, "no.such", Value::Null),
        ),
        case("delete", of(DELETE, "interval.ms", Value::Null)),
        case("an empty name", at("")),
        case("a name with other characters", at("a b/%")),
    ]
}

pub(super) fn list_config_resources() -> Script {
    let topics = [("a", 1), ("b", 1)];
    let mut sequences = each("client metrics", 0..=0, &topics, |_| {
        vec![case("all", json!({}))]
    });
    sequences.extend(each("types", 1..=1, &topics, |_| listed()));
    sequences.extend(around(0..=1, &json!({"ResourceTypes": [16]})));
    Script {
        api: "ListConfigResources",
        unordered: &["ConfigResources"],
        sequences,
    }
}

fn listed() -> Vec<Step> {
    let of = |types: &[i8]| json!({ "ResourceTypes": types });
    let set = change(
        GROUP,
        "g%",
        SET,
        "consumer.session.timeout.ms",
        json!("46000"),
    );
    vec![
        call("IncrementalAlterConfigs", 1, changed(&[set])),
        case("topics", of(&[TOPIC])),
        case("topics twice", of(&[TOPIC, TOPIC])),
        case("brokers", of(&[BROKER])),
        case("loggers", of(&[8])),
        case("client metrics", of(&[16])),
        case("groups", of(&[GROUP])),
        case("topics and groups", of(&[TOPIC, GROUP])),
        case("type 0", of(&[0])),
        case("type 99", of(&[99])),
        case("type -1", of(&[-1])),
        case("topics and type 99", of(&[TOPIC, 99])),
        case("all", of(&[])),
    ]
}
