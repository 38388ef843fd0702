//! Notices about properties that do not prevent the start. Pure.

use std::collections::BTreeMap;

use dohle_config::{Scope, Status, find, nearest};

use super::NodeConfig;

/// Prefixes of properties that belong to plug-ins, or to one listener, and are not in Kafka's list.
const OPEN_PREFIXES: &[&str] = &[
    "listener.name.",
    "config.providers.",
    "rsm.config.",
    "rlmm.config.",
    "client.quota.callback.",
    "metrics.context.",
    "confluent.",
];

/// Properties of older versions of Kafka, with the reason why each has no effect.
const LEGACY: &[(&str, &str)] = &[
    ("zookeeper.", "there is no ZooKeeper"),
    (
        "inter.broker.protocol.version",
        "the cluster's features decide",
    ),
    ("log.message.format.version", "the format is version 2"),
    (
        "log.message.downconversion.enable",
        "nothing is down-converted",
    ),
    (
        "log.message.timestamp.difference.max.ms",
        "see log.message.timestamp.before.max.ms",
    ),
    (
        "control.plane.listener.name",
        "controllers have a listener of their own",
    ),
    ("broker.id.generation.enable", "node.id is given"),
    ("reserved.broker.max.id", "node.id is given"),
    (
        "offsets.commit.required.acks",
        "offsets are committed with acks=all",
    ),
    ("port", "see listeners"),
    ("host.name", "see listeners"),
    ("advertised.host.name", "see advertised.listeners"),
    ("advertised.port", "see advertised.listeners"),
];

/// Returns one sentence each: one for all ignored properties, and one for each unknown name.
#[must_use]
pub fn notices(config: &NodeConfig) -> Vec<String> {
    let mut ignored: Vec<&str> = Vec::new();
    let mut sentences = BTreeMap::new();
    let given = config.properties().keys();
    for name in given.filter(|name| !config.completed.contains(*name)) {
        match find(Scope::Broker, name) {
            Some(def) if def.status == Status::Honoured => {}
            Some(_) => ignored.push(name),
            None if OPEN_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) => {
                ignored.push(name);
            }
            None => {
                sentences.insert(name.as_str(), unknown(name));
            }
        }
    }
    let mut notices: Vec<String> = sentences.into_values().collect();
    if !ignored.is_empty() {
        notices.push(format!(
            "properties of Kafka that change nothing here: {}",
            ignored.join(", ")
        ));
    }
    notices
}

fn unknown(name: &str) -> String {
    let legacy = LEGACY
        .iter()
        .find(|(known, _)| *known == name || (known.ends_with('.') && name.starts_with(known)));
    if let Some((_, why)) = legacy {
        return format!("{name} is of older versions of Kafka and changes nothing: {why}");
    }
    match nearest(Scope::Broker, name) {
        Some(nearest) => {
            format!("there is no property {name}; did you mean {nearest}? It changes nothing")
        }
        None => format!("there is no property {name}; it changes nothing"),
    }
}
