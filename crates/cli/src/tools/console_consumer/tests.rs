//! What the options mean, and what is printed.

use std::sync::Arc;

use bytes::Bytes;
use dohle_admin::client::key_values;
use expect_test::{Expect, expect};
use kacrab::consumer::{ConsumerRecord, RecordHeader, TimestampType};

use super::formatter::Formatter;
use super::settings::{ConsumerSettings, From, What};
use super::*;
use crate::tool_run::Output;

fn settings(line: &str) -> anyhow::Result<ConsumerSettings> {
    let parsed = TOOL.read(&format!("--bootstrap-server b:1 {line}"))?;
    ConsumerSettings::read(&parsed, Output::Text, "12345")
}

fn record(
    offset: i64,
    headers: &[(&'static str, Option<&'static str>)],
    key: Option<&'static str>,
    value: Option<&'static str>,
) -> ConsumerRecord {
    let bytes = |text: &'static str| Bytes::from_static(text.as_bytes());
    ConsumerRecord {
        topic: Arc::from("a"),
        partition: 0,
        offset,
        timestamp: 1_795_239_835_004 + offset,
        timestamp_type: TimestampType::CreateTime,
        key: key.map(bytes),
        value: value.map(bytes),
        headers: headers
            .iter()
            .map(|(key, value)| RecordHeader {
                key: bytes(key),
                value: value.map(bytes),
            })
            .collect(),
        leader_epoch: Some(7),
    }
}

/// The records that Kafka's own tool was shown.
fn records() -> [ConsumerRecord; 3] {
    [
        record(
            0,
            &[("h1", Some("v1")), ("h2", Some("v2"))],
            Some("k1"),
            Some("value1"),
        ),
        record(1, &[("h1", None)], None, Some("value2")),
        record(2, &[], Some("k3"), None),
    ]
}

fn check(class: &str, properties: &[&str], expected: Expect) {
    let properties = key_values(properties.iter().copied());
    let formatter = Formatter::of_class(class, &properties).unwrap();
    let mut out = Vec::new();
    for record in records() {
        if let Err(error) = formatter.format(&record, &mut out) {
            out.extend_from_slice(format!("({error})\n").as_bytes());
        }
    }
    expected.assert_eq(&String::from_utf8_lossy(&out));
}

#[test]
fn columns_are_in_kafkas_order() {
    let all = [
        "print.timestamp=true",
        "print.key=true",
        "print.offset=TRUE",
        "print.partition=true",
        "print.headers=true",
        "print.epoch=true",
        "print.delivery=true",
    ];
    check(
        "org.apache.kafka.tools.consumer.DefaultMessageFormatter",
        &all,
        expect![[r#"
        CreateTime:1795239835004	Partition:0	Offset:0	Delivery:NOT_PRESENT	Epoch:7	h1:v1,h2:v2	k1	value1
        CreateTime:1795239835005	Partition:0	Offset:1	Delivery:NOT_PRESENT	Epoch:7	h1:null	null	value2
        CreateTime:1795239835006	Partition:0	Offset:2	Delivery:NOT_PRESENT	Epoch:7	NO_HEADERS	k3	null
    "#]],
    );
    check(
        "kafka.tools.DefaultMessageFormatter",
        &[],
        expect![[r#"
        value1
        value2
        null
    "#]],
    );
}

#[test]
fn separators_and_the_text_for_null_can_be_chosen() {
    let properties = [
        "print.key=true",
        "null.literal=NIL",
        "key.separator==",
        "line.separator=|",
    ];
    check(
        "DefaultMessageFormatter",
        &properties,
        expect!["k1=value1|NIL=value2|k3=NIL|"],
    );
    let properties = ["print.value=false", "print.offset=true"];
    check(
        "DefaultMessageFormatter",
        &properties,
        expect![[r#"
        Offset:0
        Offset:1
        Offset:2
    "#]],
    );
}

#[test]
fn a_value_that_cannot_be_read_leaves_no_half_line() {
    let long = "value.deserializer=org.apache.kafka.common.serialization.LongDeserializer";
    check(
        "DefaultMessageFormatter",
        &["print.key=true", long],
        expect![[r#"
        (Size of data received by LongDeserializer is not 8)
        (Size of data received by LongDeserializer is not 8)
        k3	null
    "#]],
    );
    check("NoOpMessageFormatter", &[], expect![""]);
}

#[test]
fn json_has_all_that_is_known_and_base64_for_what_is_no_text() {
    let mut records = records();
    records[1].value = Some(Bytes::from_static(b"\xff\x00"));
    let lines: Vec<String> = records
        .iter()
        .map(|r| formatter::json(r).compact())
        .collect();
    expect![[r#"
        {"topic":"a","partition":0,"offset":0,"timestamp":1795239835004,"timestampType":"CreateTime","leaderEpoch":7,"headers":[{"key":"h1","value":"v1"},{"key":"h2","value":"v2"}],"key":"k1","value":"value1"}
        {"topic":"a","partition":0,"offset":1,"timestamp":1795239835005,"timestampType":"CreateTime","leaderEpoch":7,"headers":[{"key":"h1","value":null}],"key":null,"valueBase64":"/wA="}
        {"topic":"a","partition":0,"offset":2,"timestamp":1795239835006,"timestampType":"CreateTime","leaderEpoch":7,"headers":[],"key":"k3","value":null}
    "#]]
    .assert_eq(&(lines.join("\n") + "\n"));
}

#[test]
fn options_that_do_not_go_together_are_refused_in_kafkas_words() {
    for (line, expected) in [
        (
            "",
            "Exactly one of the following arguments is required: [topic], [include]",
        ),
        (
            "--topic a --offset 1",
            "The partition is required when offset is specified.",
        ),
        (
            "--include a --partition 0",
            "The topic is required when partition is specified.",
        ),
        (
            "--topic a --partition 0 --from-beginning --offset 1",
            "Options from-beginning and offset cannot be specified together.",
        ),
        (
            "--topic a --partition 0 --offset x",
            "The provided offset value 'x' is incorrect. Valid values are 'earliest', 'latest', or \
             a non-negative long.",
        ),
        (
            "--topic a --partition 0 --group x",
            "Options group and partition cannot be specified together.",
        ),
        (
            "--topic a --group x --command-property group.id=y",
            "The group ids provided in different places (directly using '--group', via \
             '--consumer-property', or via '--consumer.config') do not match. Detected group ids: \
             'x', 'y'",
        ),
        (
            "--topic a --from-beginning --command-property auto.offset.reset=latest",
            "Can't simultaneously specify --from-beginning and 'auto.offset.reset=latest', please \
             remove one option",
        ),
        (
            "--topic a --consumer-property x=y --command-property x=y",
            "Options --command-property and --consumer-property cannot be specified together.",
        ),
        (
            "--topic a --formatter nonsense",
            "nonsense is a Java class, and this tool runs none",
        ),
        (
            "--topic a --formatter my.DefaultMessageFormatter",
            "my.DefaultMessageFormatter is a",
        ),
    ] {
        let error = settings(line).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{line}: {error}");
    }
}

#[test]
fn a_group_that_nobody_named_commits_nothing() {
    let settings = settings("--topic a --from-beginning --timeout-ms -1").unwrap();
    assert_eq!(settings.what, What::Topic("a".to_owned()));
    let value = |name: &str| settings.consumer.get(name).unwrap_or("-").to_owned();
    assert_eq!(value("group.id"), "console-consumer-12345");
    assert_eq!(value("auto.offset.reset"), "earliest");
    assert_eq!(value("isolation.level"), "read_uncommitted");
    assert!(!settings.auto_commit());
    assert_eq!(settings.timeout, None);
}

#[test]
fn a_named_group_commits_and_an_offset_may_count_from_the_end() {
    let named = settings("--topic a --group g --max-messages 3").unwrap();
    assert!(named.auto_commit());
    assert_eq!(named.messages_max, Some(3));
    let last = settings("--topic a --partition 2 --offset -5").unwrap();
    assert_eq!(
        last.what,
        What::Partition("a".to_owned(), 2, From::BeforeEnd(5))
    );
}
