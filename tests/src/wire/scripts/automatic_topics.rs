//! Topics that a request for metadata creates. Pure.
//!
//! Versions before 4 have no field that forbids it.

use serde_json::{Value, json};

use super::super::script::{Sequence, Server, Step, case, each, on};
use super::three_nodes::until;

/// Returns the sequences of Metadata.
pub(super) fn sequences() -> Vec<Sequence> {
    // The first sequence finds no internal topic.
    let mut sequences = each("internal topics", 12..=12, &[], |_| internal());
    let topics = [("t", 1), ("c.d", 1)];
    sequences.extend(each("automatic topics", 0..=13, &topics, created));
    on(Server::AutomaticTopics, sequences)
}

fn asked(names: &[&str], allow: bool) -> Value {
    let topics = names.iter().map(|name| json!({ "Name": name }));
    json!({"Topics": topics.collect::<Vec<_>>(), "AllowAutoTopicCreation": allow})
}

fn led(topic: &str) -> Step {
    let path = "Topics.0.Partitions.0.LeaderId";
    until("Metadata", 12, asked(&[topic], false), path, json!(1))
}

fn created(version: i16) -> Vec<Step> {
    let mut steps = Vec::new();
    if version >= 4 {
        steps.extend([
            case("a new topic, not allowed", asked(&["n%"], false)),
            case("a new topic, not allowed again", asked(&["n%"], false)),
        ]);
    }
    if version >= 10 {
        let id = "ab".repeat(16);
        let topics = json!([{"Name": null, "TopicId": id}]);
        let request = json!({"Topics": topics, "AllowAutoTopicCreation": true});
        steps.push(case("an id that no topic has", request));
    }
    let long = "x".repeat(250);
    let allowed = |names: &[&str]| asked(names, true);
    steps.extend([
        case("a topic that exists", allowed(&["t%"])),
        case("a new topic", allowed(&["n%"])),
        led("n%"),
        case("the new topic", allowed(&["n%"])),
        case("a topic and a new one", allowed(&["t%", "o%"])),
        case(
            "two new topics, one of them twice",
            allowed(&["p%", "q%", "p%"]),
        ),
        led("p%"),
        led("q%"),
        case("the two topics", allowed(&["p%", "q%"])),
        case("an empty name", allowed(&[""])),
        case("an illegal name", allowed(&["a b%"])),
        case("a dot", allowed(&["."])),
        case("a name that is too long", allowed(&[&long])),
        case("a name that collides with a topic's", allowed(&["c_d%"])),
        case("an illegal name and a new topic", allowed(&["a b%", "r%"])),
        case("the log of metadata", allowed(&["__cluster_metadata"])),
        case(
            "the log of metadata again",
            allowed(&["__cluster_metadata"]),
        ),
        case(
            "an internal topic that cannot be created",
            allowed(&["__share_group_state"]),
        ),
    ]);
    steps
}

fn internal() -> Vec<Step> {
    let mut steps = Vec::new();
    for (name, first, then) in [
        ("__consumer_offsets", "of groups", "of groups, created"),
        (
            "__transaction_state",
            "of transactions",
            "of transactions, created",
        ),
    ] {
        steps.extend([
            case(first, asked(&[name], true)),
            led(name),
            case(then, asked(&[name], true)),
        ]);
    }
    steps
}
