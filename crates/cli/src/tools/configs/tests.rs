//! What is printed, against what Kafka's tool prints for the same state.

use std::collections::BTreeMap;

use dohle_admin::{ConfigEntry, ConfigSource, ScramChange};
use dohle_model::scram::ScramMechanism;
use expect_test::expect;

use super::entity::{Entities, Entity};
use super::quotas::{Quotas, render as render_quotas, scram_change};
use super::resources::{Described, render};
use super::*;
use crate::numbers::java_double;

fn read(line: &str) -> Result<Entities, UsageError> {
    entities(&TOOL.read(&format!("--bootstrap-server h:1 {line}"))?)
}

#[test]
fn entities_are_named_by_type_and_name_or_by_one_option() {
    let of = |line: &str| read(line).map_err(|error| error.to_string());
    let topic = Entities {
        types: vec![Entity::Topic],
        names: vec!["t".to_owned()],
    };
    assert_eq!(
        of("--describe --entity-type topics --entity-name t"),
        Ok(topic.clone())
    );
    assert_eq!(of("--describe --topic t"), Ok(topic));
    let both = Entities {
        types: vec![Entity::User, Entity::Client],
        names: vec!["u".to_owned(), String::new()],
    };
    let line = "--describe --entity-type users --entity-name u --entity-type clients \
                --entity-default";
    assert_eq!(of(line), Ok(both));
    let defaults = of("--describe --broker-defaults").unwrap();
    assert_eq!(defaults.names, [""]);
    assert_eq!(
        of("--describe --entity-type brokers").unwrap().names.len(),
        0
    );
}

#[test]
fn a_scram_credential_is_read_as_by_kafkas_tool_and_never_printed() {
    let read = |value: &str| match scram_change(ScramMechanism::Sha256, value) {
        Ok(ScramChange::Set {
            password,
            iterations,
        }) => Ok((password.expose().to_owned(), iterations.get())),
        Ok(ScramChange::Delete) => panic!("{value}"),
        Err(error) => Err(error.to_string()),
    };
    let set = |password: &str, iterations| Ok((password.to_owned(), iterations));
    assert_eq!(read("iterations=8192,password=a,b=c"), set("a,b=c", 8192));
    assert_eq!(read("password=secret"), set("secret", 4096));
    assert_eq!(read("iterations=-1,password=x"), set("x", 4096));
    assert_eq!(
        read("iterations=4095,password=x").unwrap_err(),
        "Iterations 4095 is less than the minimum 4096 required for SCRAM-SHA-256"
    );
    for wrong in [
        "swordfish",
        "iterations=8192",
        "iterations=x,password=swordfish",
        "",
    ] {
        let error = read(wrong).unwrap_err();
        assert!(
            error.starts_with("Invalid credential property SCRAM-SHA-256"),
            "{error}"
        );
        assert!(!error.contains("swordfish"), "{error}");
    }
}

#[test]
fn options_that_do_not_go_together_are_refused_in_kafkas_words() {
    for (line, part) in [
        (
            "--topic t",
            "Command must include exactly one action: --describe, --alter",
        ),
        ("--describe", "At least one entity type must be specified"),
        (
            "--describe --entity-type topic",
            "Invalid entity type topic, the entity type must be",
        ),
        (
            "--describe --topic t --broker 1",
            "Only 'users' and 'clients' entity types may be",
        ),
        (
            "--describe --broker x",
            "must be a valid integer broker id, but it is: x",
        ),
        (
            "--describe --topic t --add-config a=b",
            "can't be used with option \"[add-config]\"",
        ),
        ("--alter --topic t", "At least one of --add-config"),
        (
            "--alter --entity-type topics --add-config a=b",
            "An entity name must be specified",
        ),
        (
            "--alter --entity-type brokers --add-config a=b",
            "An entity-name or default entity must be specified",
        ),
        (
            "--describe --entity-type topics --topic t",
            "should not be used in conjunction with specific entity flags",
        ),
    ] {
        let error = read(line).unwrap_err().to_string();
        assert!(error.contains(part), "{line}: {error}");
    }
}

#[test]
fn properties_are_printed_as_kafka_does() {
    let entry = |name: &str, value: Option<&str>, source, sensitive| ConfigEntry {
        name: name.to_owned(),
        value: value.map(str::to_owned),
        source,
        sensitive,
        read_only: false,
        synonyms: vec![
            (source, name.to_owned(), value.map(str::to_owned)),
            (
                ConfigSource::DefaultConfig,
                "log.retention.ms".to_owned(),
                None,
            ),
        ],
    };
    let topic = Described {
        entity_type: Entity::Topic,
        entity_name: "t".to_owned(),
        configs: vec![entry(
            "retention.ms",
            Some("1000"),
            ConfigSource::DynamicTopicConfig,
            false,
        )],
    };
    expect![[r#"
        Dynamic configs for topic t are:
          retention.ms=1000 sensitive=false synonyms={DYNAMIC_TOPIC_CONFIG:retention.ms=1000, DEFAULT_CONFIG:log.retention.ms=null}
    "#]]
    .assert_eq(&render(&topic, false));
    let brokers = Described {
        entity_type: Entity::Broker,
        entity_name: String::new(),
        configs: Vec::new(),
    };
    assert_eq!(
        render(&brokers, true),
        "Default configs for brokers in the cluster are:\n"
    );
}

#[test]
fn quotas_are_printed_as_kafka_does() {
    let quotas = Quotas {
        entity: BTreeMap::from([
            ("client-id".to_owned(), None),
            ("user".to_owned(), Some("alice".to_owned())),
        ]),
        quotas: BTreeMap::from([("producer_byte_rate".to_owned(), java_double(1024.0))]),
    };
    let expected = "Quota configs for user-principal 'alice', the default client-id are \
                    producer_byte_rate=1024.0\n";
    assert_eq!(render_quotas(&quotas), expected);
    for (value, text) in [
        (0.0, "0.0"),
        (0.5, "0.5"),
        (1e7, "1.0E7"),
        (12_345_678.0, "1.2345678E7"),
        (0.000_1, "1.0E-4"),
    ] {
        assert_eq!(java_double(value), text);
    }
}
