//! Tests of the definitions, and of the documents that are generated from them.

use std::sync::Arc;
use std::time::Duration;

use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_model::{NodeId, TopicName};
use expect_test::{expect, expect_file};

use super::*;

fn properties(pairs: &[(&str, &str)]) -> Arc<Properties> {
    Arc::new(
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect(),
    )
}

/// Breaks a long text into lines, so that a test is readable.
pub(crate) fn folded(text: &str) -> String {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 60 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines.join("\n")
}

/// Formats a property like Kafka's `kafka-configs --describe --all`.
fn line(config: &DescribedConfig) -> String {
    let null = || "null".to_owned();
    let synonym = |synonym: &Synonym| {
        let source = match synonym.source {
            ConfigSource::DynamicTopic => "DYNAMIC_TOPIC_CONFIG",
            ConfigSource::Group => "DYNAMIC_GROUP_CONFIG",
            ConfigSource::DynamicBrokerLogger => "DYNAMIC_BROKER_LOGGER_CONFIG",
            ConfigSource::DynamicBroker => "DYNAMIC_BROKER_CONFIG",
            ConfigSource::DynamicDefaultBroker => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            ConfigSource::StaticBroker => "STATIC_BROKER_CONFIG",
            ConfigSource::Default => "DEFAULT_CONFIG",
            ConfigSource::ClientMetrics => "DYNAMIC_CLIENT_METRICS_CONFIG",
        };
        format!(
            "{source}:{}={}",
            synonym.name,
            synonym.value.clone().unwrap_or_else(null)
        )
    };
    let synonyms: Vec<String> = config.synonyms.iter().map(synonym).collect();
    format!(
        "{}={} sensitive={} synonyms={{{}}}\n",
        config.name,
        config.value.clone().unwrap_or_else(null),
        config.is_sensitive,
        synonyms.join(", ")
    )
}

const SCOPES: [Scope; 4] = [
    Scope::Broker,
    Scope::Topic,
    Scope::Group,
    Scope::ClientMetrics,
];

/// The properties of Apache Kafka 4.4.0 that 4.3.1 does not have. 4.4.0 changes no other one.
const ADDED_IN_4_4: &str = include_str!("testdata/kafka-4.4.0.tsv");

#[test]
fn definitions_are_those_of_kafka() {
    let mut lines: Vec<String> = Vec::new();
    for scope in [Scope::Broker, Scope::Topic, Scope::Group] {
        for def in definitions(scope) {
            if table::OWN.iter().any(|own| own.name == def.name) {
                continue;
            }
            let default = match def.default {
                ConfigDefault::Required => "\\M",
                ConfigDefault::Null => "\\N",
                ConfigDefault::Value(value) => value,
            };
            let mode = match (scope, def.update_mode) {
                (Scope::Broker, UpdateMode::ReadOnly) => "read-only",
                (Scope::Broker, UpdateMode::PerBroker) => "per-broker",
                (Scope::Broker, UpdateMode::ClusterWide) => "cluster-wide",
                _ => def.broker_name.unwrap_or("-"),
            };
            let (kind, importance) = (format!("{:?}", def.kind), format!("{:?}", def.importance));
            let line = [
                match scope {
                    Scope::Broker => "broker",
                    Scope::Topic => "topic",
                    Scope::Group => "group",
                    Scope::ClientMetrics => "client-metrics",
                },
                def.name,
                &kind.to_uppercase(),
                default,
                &importance.to_uppercase(),
                mode,
            ];
            lines.push(line.join("\t") + "\n");
        }
    }
    lines.sort();
    let (added, mut lines): (Vec<_>, Vec<_>) = lines
        .into_iter()
        .partition(|line| ADDED_IN_4_4.contains(&**line));
    // The list of 4.3.1 has no groups.
    lines.retain(|line| !line.starts_with("group"));
    expect_file!["testdata/kafka-4.3.1.tsv"].assert_eq(&lines.concat());
    assert_eq!(added.concat(), ADDED_IN_4_4);
}

#[test]
fn tables_are_sorted_and_every_default_is_allowed() {
    for scope in SCOPES {
        for def in definitions(scope) {
            assert_eq!(find(scope, def.name), Some(def));
            if let Some(value) = def.default_value()
                && def.validator != Validator::NonEmpty
            {
                assert_eq!(def.validate(value), Ok(()));
            }
            for synonym in def.synonyms.iter().chain(&def.broker_name) {
                assert!(find(Scope::Broker, synonym).is_some(), "{synonym}");
            }
        }
    }
}

#[test]
fn a_topic_is_described_as_kafka_describes_it() {
    let own = properties(&[("retention.bytes", "1000")]);
    let broker = BrokerValues {
        dynamic_default: properties(&[("min.insync.replicas", "1")]),
        fixed: properties(&[
            ("log.retention.hours", "100"),
            ("log.roll.ms", "3600000"),
            ("min.insync.replicas", "1"),
        ]),
        ..BrokerValues::default()
    };
    let text: String = describe::describe_topic(Some(&own), &broker)
        .iter()
        .map(line)
        .collect();
    expect_file!["testdata/describe-topic.txt"].assert_eq(&text);
}

#[test]
fn internal_properties_of_a_group_are_described_when_it_sets_them() {
    let described = |own: &[(&str, &str)]| {
        let described = describe::describe_group(Some(&properties(own)), &BrokerValues::default());
        let lines = described.iter().map(|config| folded(&line(config)));
        let lines = lines.filter(|line| line.starts_with("streams.") && line.contains("as"));
        lines.collect::<String>()
    };
    expect![[r#"
        streams.assignment.interval.ms=1000 sensitive=false
        synonyms={DEFAULT_CONFIG:group.streams.assignment.interval.ms=1000}
        streams.assignor.name=sticky sensitive=false
        synonyms={DEFAULT_CONFIG:group.streams.assignors=sticky}
        streams.num.standby.replicas=0 sensitive=false
        synonyms={DEFAULT_CONFIG:group.streams.num.standby.replicas=0}
        streams.rack.aware.assignment.tags= sensitive=false
        synonyms={DEFAULT_CONFIG:group.streams.rack.aware.assignment.tags=}
    "#]]
    .assert_eq(&described(&[]));
    let name = "streams.assignor.offload.enable";
    assert!(described(&[(name, "false")]).contains(name));
}

#[test]
fn a_broker_is_described_with_what_it_does_not_know_hidden() {
    let broker = BrokerValues {
        dynamic_broker: properties(&[("ssl.keystore.password", "secret")]),
        fixed: properties(&[
            ("log.retention.hours", "100"),
            ("log.roll.ms", "3600000"),
            ("some.unknown", "7"),
        ]),
        ..BrokerValues::default()
    };
    let wanted = [
        "log.retention.",
        "log.roll.ms",
        "some.unknown",
        "ssl.keystore.password",
    ];
    let text: String = describe::describe_broker(&broker)
        .iter()
        .filter(|config| wanted.iter().any(|prefix| config.name.starts_with(prefix)))
        .map(|config| folded(&line(config)))
        .collect();
    expect![[r#"
        log.retention.bytes=-1 sensitive=false
        synonyms={DEFAULT_CONFIG:log.retention.bytes=-1}
        log.retention.check.interval.ms=300000 sensitive=false
        synonyms={DEFAULT_CONFIG:log.retention.check.interval.ms=300000}
        log.retention.hours=100 sensitive=false
        synonyms={STATIC_BROKER_CONFIG:log.retention.hours=100,
        DEFAULT_CONFIG:log.retention.hours=168}
        log.retention.minutes=null sensitive=false synonyms={}
        log.retention.ms=null sensitive=false synonyms={}
        log.roll.ms=3600000 sensitive=false
        synonyms={STATIC_BROKER_CONFIG:log.roll.ms=3600000,
        DEFAULT_CONFIG:log.roll.hours=168}
        some.unknown=null sensitive=true
        synonyms={STATIC_BROKER_CONFIG:some.unknown=null}
        ssl.keystore.password=null sensitive=true
        synonyms={DYNAMIC_BROKER_CONFIG:ssl.keystore.password=null}
    "#]]
    .assert_eq(&text);
}

#[test]
fn a_misspelt_name_gets_the_nearest_real_one() {
    let say = |name| folded(&lookup(Scope::Broker, name).unwrap_err().to_string());
    expect![[r#"
        there is no property "log.retention.hour"; did you mean
        "log.retention.hours"?"#]]
    .assert_eq(&say("log.retention.hour"));
    expect![[r#"
        there is no property "mun.partitions"; did you mean
        "num.partitions"?"#]]
    .assert_eq(&say("mun.partitions"));
    expect![[r#"there is no property "Listeners"; did you mean "listeners"?"#]]
        .assert_eq(&say("Listeners"));
    expect![[r#"there is no property "my.own.thing""#]].assert_eq(&say("my.own.thing"));
}

#[track_caller]
fn check_refused(scope: Scope, name: &str, value: &str, expected: expect_test::Expect) {
    let error = find(scope, name).expect(name).validate(value).unwrap_err();
    expected.assert_eq(&folded(&error.to_string()));
}

#[test]
fn a_bad_value_is_refused_with_what_is_allowed() {
    check_refused(
        Scope::Broker,
        "num.partitions",
        "0",
        expect![[r#"
        num.partitions is "0"; allowed is a whole number of 32 bits,
        at least 1"#]],
    );
    check_refused(
        Scope::Broker,
        "num.partitions",
        "three",
        expect![[r#"
        num.partitions is "three"; allowed is a whole number of 32
        bits, at least 1"#]],
    );
    check_refused(
        Scope::Broker,
        "auto.create.topics.enable",
        "yes",
        expect![[r#"auto.create.topics.enable is "yes"; allowed is true or false"#]],
    );
    check_refused(
        Scope::Broker,
        "compression.type",
        "brotli",
        expect![[r#"
            compression.type is "brotli"; allowed is one of
            uncompressed, zstd, lz4, snappy, gzip, producer"#]],
    );
    check_refused(
        Scope::Broker,
        "process.roles",
        "broker,leader",
        expect![[r#"
            process.roles is "broker,leader"; allowed is a list of any
            of broker, controller"#]],
    );
    check_refused(
        Scope::Topic,
        "min.cleanable.dirty.ratio",
        "1.5",
        expect![[r#"
            min.cleanable.dirty.ratio is "1.5"; allowed is a number, 0
            to 1"#]],
    );
    check_refused(
        Scope::Topic,
        "compression.gzip.level",
        "0",
        expect![[r#"compression.gzip.level is "0"; allowed is 1 to 9, or -1"#]],
    );
    check_refused(
        Scope::Topic,
        "cleanup.policy",
        "delete,archive",
        expect![[r#"
            cleanup.policy is "delete,archive"; allowed is a list of any
            of compact, delete"#]],
    );
    check_refused(
        Scope::Topic,
        "segment.bytes",
        "99999999999",
        expect![[r#"
            segment.bytes is "99999999999"; allowed is a whole number of
            32 bits, at least 1048576"#]],
    );
    check_refused(
        Scope::Topic,
        "leader.replication.throttled.replicas",
        "a:b",
        expect![[r#"
            leader.replication.throttled.replicas is "a:b"; allowed is *
            or a list of partition:broker pairs such as 0:1,0:2"#]],
    );
}

#[test]
fn a_topic_inherits_what_it_does_not_set() {
    let defaults = TopicConfig::resolve(None, &BrokerValues::default());
    assert_eq!(defaults.retention, Some(Duration::from_secs(7 * 24 * 3600)));
    assert_eq!(defaults.retention_bytes, None);
    assert_eq!(defaults.max_message_bytes, 1_048_588);
    assert_eq!(defaults.flush, None);
    assert_eq!(defaults.message_timestamp_before_max, None);

    let broker = BrokerValues {
        dynamic_broker: properties(&[("log.segment.bytes", "2000000")]),
        dynamic_default: properties(&[
            ("log.segment.bytes", "3000000"),
            ("compression.type", "zstd"),
        ]),
        fixed: properties(&[
            ("log.retention.minutes", "5"),
            ("log.cleanup.policy", "compact"),
            ("compression.type", "gzip"),
        ]),
    };
    let own = properties(&[
        ("min.insync.replicas", "2"),
        ("cleanup.policy", "compact, delete"),
    ]);
    let config = TopicConfig::resolve(Some(&own), &broker);
    assert_eq!(config.segment_bytes, 2_000_000);
    assert_eq!(
        config.compression_type,
        TargetCompression::Codec(dohle_model::CompressionType::Zstd)
    );
    assert_eq!(config.retention, Some(Duration::from_secs(300)));
    assert_eq!(config.min_insync_replicas, 2);
    assert_eq!(
        config.cleanup_policy,
        CleanupPolicy {
            delete: true,
            compact: true
        }
    );
}

#[test]
fn unlimited_retention_is_none() {
    let own = properties(&[("retention.ms", "-1")]);
    assert_eq!(
        TopicConfig::resolve(Some(&own), &BrokerValues::default()).retention,
        None
    );
}

#[test]
fn each_property_that_is_listed_has_documentation() {
    for scope in [Scope::Broker, Scope::Topic, Scope::Group] {
        let listed = definitions(scope).filter(|def| !def.is_internal);
        let lacking: Vec<_> = listed
            .filter(|def| def.documentation.trim().is_empty())
            .map(|def| def.name)
            .collect();
        assert!(lacking.is_empty(), "{lacking:?}");
    }
}

#[test]
fn a_damaged_value_reads_as_the_default() {
    let broker = BrokerValues::fixed(properties(&[("num.partitions", "many")]));
    assert_eq!(BrokerConfig::resolve(&broker).num_partitions, 1);
}

/// Generates the reference for users from the definitions, so that both always agree.
fn reference() -> String {
    let mut text = String::from(
        "# Properties that Dohle acts on\n\n\
         A test generates this page from the definitions in `crates/config`; to update it: \
         `UPDATE_EXPECT=1 cargo test -p dohle-config`.\nNames, defaults and ranges are those of \
         Apache Kafka 4.3 and 4.4, whose documentation describes each. Every other property of \
         theirs\nis accepted, checked and described, but has no effect; a node logs the names of \
         those that are set in one line at its start.\nThe properties at the end of the page \
         accept only their default: to ignore them would cost safety or durability.\n",
    );
    for (title, scope) in [
        ("Brokers and controllers", Scope::Broker),
        ("Topics", Scope::Topic),
        ("Groups", Scope::Group),
        ("Client metrics subscriptions", Scope::ClientMetrics),
    ] {
        text += &format!(
            "\n## {title}\n\n| Property | Default | Allowed | Changes |\n|---|---|---|---|\n"
        );
        let mut defs: Vec<_> = definitions(scope)
            .filter(|def| def.status == Status::Honoured)
            .collect();
        defs.sort_by_key(|def| def.name);
        for def in defs {
            let default = match (def.default, def.broker_name) {
                (_, Some(name)) => format!("the broker's `{name}`"),
                (ConfigDefault::Required, _) => "must be set".to_owned(),
                (ConfigDefault::Null | ConfigDefault::Value(""), _) => String::new(),
                (ConfigDefault::Value(value), _) => format!("`{value}`"),
            };
            let changes = match (scope, def.update_mode) {
                (Scope::Topic | Scope::Group | Scope::ClientMetrics, _) => "at run time",
                _ if def.needs_restart => "with a restart",
                (_, UpdateMode::ReadOnly) => "with a restart",
                (_, UpdateMode::PerBroker) => "at run time, broker by broker",
                (_, UpdateMode::ClusterWide) => "at run time",
            };
            let allowed = def.allowed();
            text += &format!("| `{}` | {default} | {allowed} | {changes} |\n", def.name);
        }
    }
    text += "\n## Properties that accept only their default\n\n";
    for scope in SCOPES {
        for def in definitions(scope).filter(|def| def.status == Status::OnlyDefault) {
            let default = match def.default_value() {
                None | Some("") => "not set".to_owned(),
                Some(value) => format!("`{value}`"),
            };
            text += &format!("- `{}`: {default}\n", def.name);
        }
    }
    text
}

#[test]
fn what_is_not_implemented_and_must_not_be_ignored_is_refused() {
    for (scope, name, refused, accepted) in [
        (
            Scope::Broker,
            "remote.log.storage.system.enable",
            "true",
            "FALSE",
        ),
        (
            Scope::Broker,
            "create.topic.policy.class.name",
            "com.example.Policy",
            "",
        ),
        (Scope::Topic, "remote.storage.enable", "true", "false"),
    ] {
        let def = find(scope, name).unwrap();
        let error = def.validate(refused).unwrap_err().to_string();
        assert!(error.contains("does not implement"), "{error}");
        assert_eq!(def.validate(accepted), Ok(()), "{name}");
    }
}

#[test]
fn a_change_is_checked_against_the_values_that_a_broker_has() {
    let values = BrokerValues {
        dynamic_broker: properties(&[("log.retention.bytes", "100")]),
        fixed: properties(&[("num.io.threads", "16"), ("log.retention.hours", "1")]),
        ..BrokerValues::default()
    };
    let violation = |for_all: bool, changes: &[(&str, &str)]| {
        let mut after = Properties::clone(&properties(changes));
        if !for_all {
            after.extend(Properties::clone(&values.dynamic_broker));
        }
        let violation = values.violation_of(for_all, after);
        violation.map(|violation| folded(&violation.to_string()))
    };
    for threads in ["8", "16", "32"] {
        assert_eq!(violation(false, &[("num.io.threads", threads)]), None);
    }
    for threads in ["7", "33"] {
        assert!(violation(false, &[("num.io.threads", threads)]).is_some());
    }
    let refused = violation(true, &[("log.local.retention.ms", "3600001")]).unwrap();
    expect![[r#"
        log.local.retention.ms (3600001) must be -2, or 0 up to
        log.retention.ms (3600000)"#]]
    .assert_eq(&refused);
    // The retention by size is set for the broker, and stays below that for all brokers.
    assert!(violation(true, &[("log.local.retention.bytes", "101")]).is_some());
    assert_eq!(
        violation(true, &[("log.local.retention.bytes", "100")]),
        None
    );
    let refused = violation(false, &[("max.connections.per.ip", "0")]).unwrap();
    assert!(
        refused.contains("max.connections.per.ip.overrides"),
        "{refused}"
    );
}

#[test]
fn the_reference_for_users_says_what_the_definitions_say() {
    expect_file!["../../../docs/configuration-reference.md"].assert_eq(&reference());
}

#[test]
fn an_offset_reset_of_a_share_group_may_be_a_duration() {
    let def = find(Scope::Group, "share.auto.offset.reset").unwrap();
    for value in [
        "latest",
        "earliest",
        "by_duration:P1D",
        "by_duration:PT1H30M",
        "by_duration:PT0.5S",
    ] {
        assert!(def.validate(value).is_ok(), "{value}");
    }
    for value in [
        "",
        "newest",
        "by_duration:",
        "by_duration:P",
        "by_duration:PT",
        "by_duration:-P1D",
    ] {
        assert!(def.validate(value).is_err(), "{value}");
    }
}

#[test]
fn a_groups_properties_come_from_the_broker_where_the_group_sets_none() {
    let broker = BrokerValues::fixed(properties(&[(
        "group.consumer.heartbeat.interval.ms",
        "6000",
    )]));
    let own = properties(&[("consumer.session.timeout.ms", "46000")]);
    let described = describe::describe_group(Some(&own), &broker);
    let lines: String = described
        .iter()
        .filter(|config| !config.name.starts_with("errors."))
        .take(5)
        .map(|config| folded(line(config).trim_end()) + "\n")
        .collect();
    expect![[r#"
        consumer.assignment.interval.ms=1000 sensitive=false
        synonyms={DEFAULT_CONFIG:group.consumer.assignment.interval.ms=1000}
        consumer.heartbeat.interval.ms=6000 sensitive=false
        synonyms={STATIC_BROKER_CONFIG:group.consumer.heartbeat.interval.ms=6000,
        DEFAULT_CONFIG:group.consumer.heartbeat.interval.ms=5000}
        consumer.session.timeout.ms=46000 sensitive=false
        synonyms={DYNAMIC_GROUP_CONFIG:consumer.session.timeout.ms=46000,
        DEFAULT_CONFIG:group.consumer.session.timeout.ms=45000}
        share.assignment.interval.ms=1000 sensitive=false
        synonyms={DEFAULT_CONFIG:group.share.assignment.interval.ms=1000}
        share.auto.offset.reset=latest sensitive=false
        synonyms={DEFAULT_CONFIG:share.auto.offset.reset=latest}
    "#]]
    .assert_eq(&lines);
}

#[test]
fn every_property_that_is_acted_on_has_a_key() {
    let keys: Vec<(&str, &str, bool)> = keys::broker::all()
        .into_iter()
        .chain(keys::topic::all())
        .chain(keys::group::all())
        .chain(keys::client_metrics::all())
        .collect();
    for (constant, name, reads_default) in &keys {
        assert_eq!(*constant, name.to_uppercase().replace('.', "_"));
        assert!(
            reads_default,
            "the default of {name} is no value of its key's type"
        );
    }
    let has_key = |name| keys.iter().any(|(_, key, _)| *key == name);
    // A broker's property that is the default of a topic's property is read together with the
    // topic's.
    let mut through_topics = Vec::new();
    for def in definitions(Scope::Topic).filter(|def| def.status == Status::Honoured) {
        let broker = def.broker_name.and_then(|name| find(Scope::Broker, name));
        through_topics.extend(broker.into_iter().flat_map(|def| {
            let own = std::iter::once(def.name);
            own.chain(def.synonyms.iter().copied())
        }));
    }
    for scope in SCOPES {
        for def in definitions(scope).filter(|def| def.status == Status::Honoured) {
            let name = def.name;
            let is_read =
                has_key(name) || (scope == Scope::Broker && through_topics.contains(&name));
            assert!(is_read, "{name} is marked as honoured and has no key");
        }
    }
}

#[test]
fn a_snapshot_reads_and_describes_a_topic_under_what_the_metadata_sets() {
    let mut image = MetadataImage::default();
    let topic = ConfigResource::Topic(TopicName::new("t").unwrap());
    let set = [
        (topic, properties(&[("segment.bytes", "2000000")])),
        (
            ConfigResource::BrokerDefault,
            properties(&[("log.retention.bytes", "7")]),
        ),
    ];
    image.configs.extend(set);
    let configs = ConfigSnapshot::new(properties(&[]), &image, NodeId(1));
    let read = |name: &str| {
        let config = configs.topic(name);
        (config.segment_bytes, config.retention_bytes)
    };
    assert_eq!(read("t"), (2_000_000, Some(7)));
    assert_eq!(read("u"), (1 << 30, Some(7)));
    let segment_bytes = |described: Vec<DescribedConfig>| {
        let found = described.into_iter().find(|it| it.name == "segment.bytes");
        found.and_then(|found| found.value)
    };
    let text = |value: &str| Some(value.to_owned());
    let new = properties(&[("segment.bytes", "3000000")]);
    assert_eq!(segment_bytes(configs.describe_topic("t")), text("2000000"));
    // A topic that exists is described with its own values.
    let described = [
        configs.describe_new_topic("t", &new),
        configs.describe_new_topic("u", &new),
    ];
    let described = described.map(segment_bytes);
    assert_eq!(described, [text("2000000"), text("3000000")]);
}
