//! What the options mean, and what lines become.

use dohle_admin::client::{key_values, why_not_delivered};
use expect_test::{Expect, expect};
use kacrab::producer::ProducerError;

use super::*;

fn settings(line: &str) -> anyhow::Result<ProducerSettings> {
    ProducerSettings::read(&TOOL.read(&format!("--bootstrap-server b:1 --topic t {line}"))?)
}

/// The records of `lines` as text, or what is wrong with them.
fn check(properties: &[&str], lines: &[&str], expected: Expect) {
    let mut text = String::new();
    match LineParser::new("t", &key_values(properties.iter().copied())) {
        Err(error) => text += &format!("{error}\n"),
        Ok(parser) => {
            for (line, number) in lines.iter().zip(1..) {
                text += &match parser.parse(line.as_bytes(), number) {
                    Err(error) => format!("{error}\n"),
                    Ok(record) => format!(
                        "{:?} {:?} {:?}\n",
                        record
                            .headers
                            .iter()
                            .map(|h| (&h.key, &h.value))
                            .collect::<Vec<_>>(),
                        record.key,
                        record.value
                    ),
                };
            }
        }
    }
    expected.assert_eq(&text);
}

#[test]
fn a_line_is_a_value_unless_properties_say_more() {
    check(
        &[],
        &["a\tb", ""],
        expect![[r#"
        [] None Some(b"a\tb")
        [] None Some(b"")
    "#]],
    );
    check(
        &["parse.key=true", "key.separator=::"],
        &["k::v::w", "kv", "::"],
        expect![[r#"
            [] Some(b"k") Some(b"v::w")
            No key separator found on line number 2: 'kv'
            [] Some(b"") Some(b"")
        "#]],
    );
}

#[test]
fn headers_come_first_and_the_null_marker_stands_for_nothing() {
    check(
        &["parse.key=true", "parse.headers=true", "null.marker=NUL"],
        &[
            "h1:v1,h2:v2\tk1\tvalue1",
            "h1:NUL,h2:,\tNUL\tvalue2",
            "NUL\tk3\tNUL",
            "h1\tk\tv",
            "NUL:1\tk\tv",
            "h:v\tno key",
        ],
        expect![[r#"
            [(b"h1", Some(b"v1")), (b"h2", Some(b"v2"))] Some(b"k1") Some(b"value1")
            [(b"h1", None), (b"h2", Some(b""))] None Some(b"value2")
            [] Some(b"k3") None
            No header key separator found in pair 'h1' on line number 4
            Header keys should not be equal to the null marker 'NUL' as they can't be null
            No key separator found on line number 6: 'h:v	no key'
        "#]],
    );
}

#[test]
fn errors_may_be_ignored() {
    check(
        &["parse.key=true", "parse.headers=true", "ignore.error=true"],
        &["plain", "h1,h2:v\tplain", "h:v\tk\tv"],
        expect![[r#"
            [] None Some(b"plain")
            [(b"h1", None), (b"h2", Some(b"v"))] None Some(b"plain")
            [(b"h", Some(b"v"))] Some(b"k") Some(b"v")
        "#]],
    );
}

#[test]
fn separators_must_differ() {
    for (properties, expected) in [
        (
            ["headers.separator=:", "a=b"],
            "headers.separator and headers.key.separator",
        ),
        (
            ["headers.delimiter=,", "a=b"],
            "headers.delimiter and headers.separator",
        ),
        (
            ["key.separator=x", "null.marker=x"],
            "null.marker and key.separator",
        ),
        (
            ["headers.separator=[", "a=b"],
            "\"[\", the value of headers.separator, is not",
        ),
    ] {
        let properties = key_values(properties);
        let error = LineParser::new("t", &properties).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
}

#[test]
fn options_win_over_properties_and_those_over_defaults() {
    let settings = settings(
        "--producer-property linger.ms=5 --producer-property acks=1 --request-required-acks all \
         --compression-codec --batch-size 100 --max-partition-memory-bytes 2000",
    )
    .unwrap();
    let value = |name: &str| settings.producer.get(name).unwrap_or("-").to_owned();
    assert_eq!(value("linger.ms"), "5");
    assert_eq!(value("acks"), "all");
    assert_eq!(value("compression.type"), "gzip");
    assert_eq!(value("batch.size"), "2000");
    assert_eq!(value("retries"), "3");
    assert_eq!(value("client.id"), "console-producer");
}

#[test]
fn old_and_new_names_do_not_go_together_and_java_classes_are_refused() {
    for (line, expected) in [
        (
            "--producer-property a=b --command-property c=d",
            "Options --command-property and --producer-property cannot be specified together.",
        ),
        (
            "--property a=b --reader-property c=d",
            "Options --reader-property and --property cannot be specified together.",
        ),
        (
            "--line-reader foo.Bar",
            "foo.Bar is a Java class, and this tool runs none",
        ),
    ] {
        let error = settings(line).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error}");
    }
    let reader = "--line-reader org.apache.kafka.tools.LineMessageReader";
    assert!(settings(reader).is_ok());
}

#[test]
fn failures_are_counted_by_their_reason() {
    let mut tally = send::Tally::default();
    let large = ProducerError::RecordTooLarge {
        size: 86,
        max_request_size: 10,
    };
    for large in [None, Some(&large), None, Some(&large)] {
        tally.count(large.map_or(Ok(()), |error| Err(why_not_delivered(error))));
    }
    expect![[r#"
        2 of 4 records were not delivered:
          2: The message is 86 bytes when serialized which is larger than 10, which is the value of the max.request.size configuration.
    "#]]
    .assert_eq(&(tally.failures().unwrap() + "\n"));
    assert_eq!(send::Tally::default().failures(), None);
}

#[test]
fn the_first_records_without_a_key_stay_together_and_others_are_left_to_the_client() {
    let parser = LineParser::new("t", &key_values(["parse.key=true", "null.marker=-"])).unwrap();
    let mut beginning = send::Beginning::new(&[4, 7], 3, 10);
    let mut placed = |line: &str| {
        let mut record = parser.parse(line.as_bytes(), 1).unwrap();
        beginning.place(&mut record);
        record.has_assigned_partition().then_some(record.partition)
    };
    assert_eq!(placed("-\tsix..."), Some(7));
    assert_eq!(placed("key\tvalue"), None);
    assert_eq!(placed("-\tanother six"), Some(7));
    assert_eq!(placed("-\tone more"), None);
    let mut none = send::Beginning::new(&[], 3, 10);
    let mut record = parser.parse(b"-\tx", 1).unwrap();
    none.place(&mut record);
    assert!(!record.has_assigned_partition());
}

#[test]
fn the_producer_follows_the_largest_message_of_the_topic_unless_its_limits_are_set() {
    let check = |line: &str, limit: usize, expected: [&str; 2]| {
        let mut producer = settings(line).unwrap().producer;
        follow_message_bytes_max(&mut producer, limit);
        let found = ["max.request.size", "buffer.memory"].map(|name| producer.get(name));
        assert_eq!(found.map(|value| value.unwrap_or("-")), expected, "{line}");
    };
    check("", 900_000, ["-", "-"]);
    check("", 20_000_000, ["20065536", "-"]);
    check("", 40_000_000, ["40065536", "40065536"]);
    check("", usize::MAX, ["2147483647", "2147483647"]);
    let set = "--max-memory-bytes 7 --command-property max.request.size=9";
    check(set, 40_000_000, ["9", "7"]);
}
