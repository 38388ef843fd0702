//! Compares which values of each property are accepted with what Apache Kafka accepts: at the start
//! of a node, and at run time for one broker, for all brokers, for a topic and for a group.
//!
//! `tests/compat/java/PropertySweep.java` records Kafka's answers in `testdata/sweep-4.3.1.tsv`,
//! and those of a later release about the properties that it adds in `testdata/sweep-4.4.0.tsv`.
//! Every difference is listed in `testdata/sweep-differences.txt` below its reason.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::Arc;

use dohle_config::{BrokerValues, Properties};
use dohle_controller::plan::ConfigSchema;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_model::{NodeId, TopicName};

use crate::config::{NodeConfig, Sources};
use crate::schema::Definitions;

const RECORDED: [&str; 2] = [
    include_str!("testdata/sweep-4.3.1.tsv"),
    include_str!("testdata/sweep-4.4.0.tsv"),
];
const DIFFERENCES: &str = include_str!("testdata/sweep-differences.txt");

/// The properties of the node that Kafka was asked about.
const NODE: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.quorum.voters", "1@localhost:9093"),
    ("controller.listener.names", "CONTROLLER"),
    (
        "listeners",
        "PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093",
    ),
    ("log.dirs", "/tmp/logs"),
];

/// One place and property, with the values that Kafka accepts and refuses.
struct Line<'a> {
    place: &'a str,
    name: &'a str,
    accepted: Vec<&'a str>,
    refused: Vec<&'a str>,
}

fn recorded() -> impl Iterator<Item = Line<'static>> {
    RECORDED.into_iter().flat_map(str::lines).map(|line| {
        let mut fields = line.split('\t');
        let mut next = || fields.next().expect("four fields");
        let (place, name) = (next(), next());
        Line {
            place,
            name,
            accepted: values(next()),
            refused: values(next()),
        }
    })
}

/// Reads values in square brackets.
fn values(text: &str) -> Vec<&str> {
    let inner = text
        .strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'));
    inner.map_or_else(Vec::new, |inner| inner.split("] [").collect())
}

fn starts(name: &str, value: &str) -> Result<(), String> {
    let mut sources = Sources {
        has_file: true,
        ..Sources::default()
    };
    for (name, value) in NODE.iter().chain(&[(name, value)]) {
        let text = format!("{name}={value}");
        sources
            .add_override(&text)
            .map_err(|error| error.to_string())?;
    }
    let config = NodeConfig::new(sources, "host");
    config.map(drop).map_err(|error| error.to_string())
}

fn is_altered(resource: &ConfigResource, name: &str, value: &str) -> Result<(), String> {
    let fixed: Properties = NODE
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let definitions = Definitions {
        values: BrokerValues::fixed(Arc::new(fixed)),
    };
    definitions.check(resource, name, value)?;
    let after = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    let for_all = *resource == ConfigResource::BrokerDefault;
    if for_all || matches!(resource, ConfigResource::Broker(_)) {
        let violation = definitions.values.violation_of(for_all, after);
        return violation.map_or(Ok(()), |violation| Err(violation.to_string()));
    }
    definitions.check_together(resource, &MetadataImage::default(), &after)
}

fn answer(place: &str, name: &str, value: &str) -> Result<(), String> {
    let resource = match place {
        "start" => return starts(name, value),
        "broker" => ConfigResource::Broker(NodeId(1)),
        "default" => ConfigResource::BrokerDefault,
        "topic" => ConfigResource::Topic(TopicName::new("sweep").unwrap()),
        "group" => ConfigResource::Group("sweep".into()),
        other => panic!("there is no place {other}"),
    };
    is_altered(&resource, name, value)
}

/// Formats what differs: the values that Kafka accepts and Dohle refuses after `K+`, the opposite
/// after `K-`.
fn differences() -> String {
    let mut text = String::new();
    for line in recorded() {
        let differing = |values: &[&str], is_accepted: bool| {
            let values = values.iter();
            let differing =
                values.filter(|value| answer(line.place, line.name, value).is_ok() != is_accepted);
            let shown: Vec<String> = differing.map(|value| format!(" [{value}]")).collect();
            shown.concat()
        };
        for (mark, values, is_accepted) in
            [("K+", &line.accepted, true), ("K-", &line.refused, false)]
        {
            let values = differing(values, is_accepted);
            if !values.is_empty() {
                writeln!(text, "{} {} {mark}{values}", line.place, line.name).unwrap();
            }
        }
    }
    text
}

#[test]
fn values_are_accepted_and_refused_as_kafka_does_unless_a_reason_is_given() {
    let found = differences();
    let found: BTreeSet<&str> = found.lines().collect();
    let intended = DIFFERENCES.lines();
    let intended: BTreeSet<&str> = intended
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    let new: Vec<_> = found.difference(&intended).collect();
    let gone: Vec<_> = intended.difference(&found).collect();
    assert!(
        new.is_empty() && gone.is_empty(),
        "differences from Kafka that are not listed:\n{new:#?}\nlisted, and not found:\n{gone:#?}"
    );
}
