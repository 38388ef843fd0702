//! Notices about properties that do not prevent the start. Pure.

use std::collections::BTreeMap;

use dohle_config::providers::PROVIDERS_PREFIX;
use dohle_config::{ListenerProperty, Scope, Status, find, nearest};

use super::NodeConfig;

/// Prefixes of properties that belong to plug-ins, or to one listener, and are not in Kafka's list.
const OPEN_PREFIXES: &[&str] = &[
    "listener.name.",
    "rsm.config.",
    "rlmm.config.",
    "client.quota.callback.",
    "metrics.context.",
    "confluent.",
];

/// Properties of older versions of Kafka, with the reason why each has no effect.
const LEGACY: &[(&str, &str)] = &[
    ("zookeeper.", "Dohle does not use ZooKeeper"),
    ("inter.broker.protocol.version", "feature levels replace it"),
    (
        "log.message.format.version",
        "records always have format version 2",
    ),
    (
        "log.message.downconversion.enable",
        "records are not converted for old clients",
    ),
    (
        "log.message.timestamp.difference.max.ms",
        "see log.message.timestamp.before.max.ms",
    ),
    (
        "control.plane.listener.name",
        "controllers have a listener of their own",
    ),
    ("broker.id.generation.enable", "ids are not generated"),
    ("reserved.broker.max.id", "ids are not generated"),
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
        if name.starts_with(PROVIDERS_PREFIX) {
            continue;
        }
        let def = find(Scope::Broker, name);
        match def.or_else(|| Some(ListenerProperty::parse(name)?.def)) {
            Some(def) if def.status != Status::AcceptedIgnored => {}
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
    if !config.service_variables.is_empty() {
        notices.push(format!(
            "these variables of Kubernetes Services are ignored: {}; set enableServiceLinks: false \
             in the pod to have none of them",
            config.service_variables.join(", ")
        ));
    }
    if !ignored.is_empty() {
        notices.push(format!(
            "these properties of Kafka have no effect in Dohle: {}",
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
        return format!("{name} is a property of older versions of Kafka and has no effect: {why}");
    }
    match nearest(Scope::Broker, name) {
        Some(nearest) => {
            format!("unknown property {name} has no effect; did you mean {nearest}?")
        }
        None => format!("unknown property {name} has no effect"),
    }
}
