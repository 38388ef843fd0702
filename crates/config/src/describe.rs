//! The answers to DescribeConfigs for topics, groups, client metrics and brokers: each property's
//! value, the place where it was set, and the values that this place overrides (KIP-226, KIP-569).

use std::collections::BTreeSet;

use super::Properties;
use super::definition::{ConfigDef, ConfigType};
use super::effective::BrokerValues;
use super::listener::ListenerProperty;
use super::{Scope, definitions, find};

/// The place where a value was set. The numbers are those of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(i8)]
pub enum ConfigSource {
    /// Set for the topic.
    DynamicTopic = 1,
    /// Set at run time for the broker.
    DynamicBroker = 2,
    /// Set at run time for all brokers.
    DynamicDefaultBroker = 3,
    /// Set in the broker's file or environment.
    StaticBroker = 4,
    /// The value is the default.
    Default = 5,
    /// The level of a logger, which all come from the broker's memory.
    DynamicBrokerLogger = 6,
    /// Set for the client metrics subscription.
    ClientMetrics = 7,
    /// Set for the group.
    Group = 8,
}

/// One of the places where a value is set, or its default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// The name of the property in this place.
    pub name: String,
    /// The value in this place; `None` when there is none, or when it is hidden.
    pub value: Option<String>,
    /// The place.
    pub source: ConfigSource,
}

/// A property as a response describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConfig {
    /// Its name.
    pub name: String,
    /// The effective value; `None` when there is none, or when it is hidden.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether the value can only be set in the file.
    pub is_read_only: bool,
    /// Whether values are hidden.
    pub is_sensitive: bool,
    /// All places that have a value, in the order of precedence.
    pub synonyms: Vec<Synonym>,
    /// The type; `None` for an undefined property.
    pub kind: Option<ConfigType>,
    /// Its documentation.
    pub documentation: Option<&'static str>,
}

/// Describes all properties of a topic that sets `own` values. Internal properties are included
/// only if the topic sets them.
#[must_use]
pub(crate) fn describe_topic(
    own: Option<&Properties>,
    broker: &BrokerValues,
) -> Vec<DescribedConfig> {
    let is_set = |name: &str| own.is_some_and(|own| own.contains_key(name));
    let mut described: Vec<_> = definitions(Scope::Topic)
        .filter(|def| !def.is_internal || is_set(def.name))
        .map(|def| entry(def, own, ConfigSource::DynamicTopic, broker))
        .collect();
    described.sort_by(|a, b| a.name.cmp(&b.name));
    described
}

/// Describes all properties of a group that sets `own` values. Internal properties are included
/// only if the group sets them.
#[must_use]
pub(crate) fn describe_group(
    own: Option<&Properties>,
    broker: &BrokerValues,
) -> Vec<DescribedConfig> {
    let describe = |def: &'static ConfigDef| {
        let mut described = entry(def, own, ConfigSource::Group, broker);
        // A property of groups without a counterpart of brokers has its default listed as a
        // synonym; a property of topics does not.
        if def.broker_name.is_none() {
            described.synonyms.push(Synonym {
                name: def.name.to_owned(),
                value: def.default_value().map(str::to_owned),
                source: ConfigSource::Default,
            });
        }
        described
    };
    let is_set = |name: &str| own.is_some_and(|own| own.contains_key(name));
    definitions(Scope::Group)
        .filter(|def| !def.is_internal || is_set(def.name))
        .map(describe)
        .collect()
}

/// Describes all properties of a client metrics subscription that sets `own` values.
#[must_use]
pub(crate) fn describe_client_metrics(own: Option<&Properties>) -> Vec<DescribedConfig> {
    let broker = BrokerValues::default();
    definitions(Scope::ClientMetrics)
        .map(|def| entry(def, own, ConfigSource::ClientMetrics, &broker))
        .collect()
}

/// Describes a property of a topic, a group or a subscription, whose default may be a property of
/// brokers.
fn entry(
    def: &'static ConfigDef,
    own: Option<&Properties>,
    own_source: ConfigSource,
    broker: &BrokerValues,
) -> DescribedConfig {
    let is_sensitive = def.kind.is_sensitive();
    let mut synonyms = Vec::new();
    if let Some(value) = own.and_then(|own| own.get(def.name)) {
        let (name, value) = (def.name.to_owned(), Some(value.clone()));
        synonyms.push(Synonym {
            name,
            value,
            source: own_source,
        });
    }
    if let Some(broker_def) = def.broker_name.and_then(|name| find(Scope::Broker, name)) {
        synonyms.extend(broker_synonyms(broker_def, broker));
    }
    DescribedConfig {
        name: def.name.to_owned(),
        value: broker.topic_value(own, def).filter(|_| !is_sensitive),
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |first| first.source),
        is_read_only: false,
        is_sensitive,
        synonyms,
        kind: Some(def.kind),
        documentation: Some(def.documentation),
    }
}

/// Describes all properties of a broker: the defined ones, those of single listeners, and any
/// others in its file, whose values are hidden because they may be secrets.
#[must_use]
pub(crate) fn describe_broker(broker: &BrokerValues) -> Vec<DescribedConfig> {
    let mut described: Vec<_> = definitions(Scope::Broker)
        .filter(|def| !def.is_internal || broker.set(def.name).is_some())
        .map(|def| {
            let synonyms = broker_synonyms(def, broker);
            broker_entry(def, broker.get(def.name), synonyms)
        })
        .collect();
    let set: BTreeSet<&String> = layers(broker)
        .into_iter()
        .flat_map(|(layer, _)| layer.keys())
        .collect();
    let others = set.into_iter();
    described.extend(
        others
            .filter(|name| find(Scope::Broker, name).is_none())
            .map(|name| undefined_broker_entry(name, broker)),
    );
    described.sort_by(|a, b| a.name.cmp(&b.name));
    described
}

/// Describes the properties that are set at run time for all brokers.
#[must_use]
pub(crate) fn describe_broker_default(broker: &BrokerValues) -> Vec<DescribedConfig> {
    // The layers of this broker do not count.
    let broker = BrokerValues {
        dynamic_default: broker.dynamic_default.clone(),
        ..BrokerValues::default()
    };
    let entries = broker.dynamic_default.iter();
    entries
        .map(|(name, value)| match find(Scope::Broker, name) {
            Some(def) => {
                let mut synonyms = broker_synonyms(def, &broker);
                synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
                broker_entry(def, Some(value), synonyms)
            }
            None => undefined_broker_entry(name, &broker),
        })
        .collect()
}

fn broker_entry(
    def: &'static ConfigDef,
    value: Option<&str>,
    synonyms: Vec<Synonym>,
) -> DescribedConfig {
    let is_sensitive = def.kind.is_sensitive();
    DescribedConfig {
        name: def.name.to_owned(),
        value: value.filter(|_| !is_sensitive).map(str::to_owned),
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |first| first.source),
        is_read_only: !def.is_dynamic() || def.needs_restart,
        is_sensitive,
        synonyms,
        kind: Some(def.kind),
        documentation: Some(def.documentation),
    }
}

/// Describes a property that the tables do not have: one of a single listener, or an unknown one.
fn undefined_broker_entry(name: &str, broker: &BrokerValues) -> DescribedConfig {
    let def = ListenerProperty::parse(name).map(|property| property.def);
    let is_sensitive = def.is_none_or(|def| def.kind.is_sensitive());
    let shown = |value: &str| (!is_sensitive).then(|| value.to_owned());
    let mut synonyms = Vec::new();
    for (layer, source) in layers(broker) {
        for name in std::iter::once(name).chain(def.map(|def| def.name)) {
            if let Some(value) = layer.get(name) {
                synonyms.push(Synonym {
                    name: name.to_owned(),
                    value: shown(value),
                    source,
                });
            }
        }
    }
    DescribedConfig {
        name: name.to_owned(),
        value: broker.set(name).and_then(shown),
        source: synonyms
            .first()
            .map_or(ConfigSource::Default, |first| first.source),
        is_read_only: true,
        is_sensitive,
        synonyms,
        kind: def.map(|def| def.kind),
        documentation: def.map(|def| def.documentation),
    }
}

/// Returns the places where a broker's values are set, in the order of precedence.
fn layers(broker: &BrokerValues) -> [(&Properties, ConfigSource); 3] {
    [
        (&*broker.dynamic_broker, ConfigSource::DynamicBroker),
        (&*broker.dynamic_default, ConfigSource::DynamicDefaultBroker),
        (&*broker.fixed, ConfigSource::StaticBroker),
    ]
}

/// Returns the places that have a value for a property of brokers under any of its names. As in
/// Kafka, the list starts with the first place that has the name itself.
fn broker_synonyms(def: &ConfigDef, broker: &BrokerValues) -> Vec<Synonym> {
    let own_name = [def.name];
    let names = if def.synonyms.is_empty() {
        &own_name[..]
    } else {
        def.synonyms
    };
    let shown = |value: &str| (!def.kind.is_sensitive()).then(|| value.to_owned());
    let mut synonyms = Vec::new();
    for (layer, source) in layers(broker) {
        for name in names {
            if let Some(value) = layer.get(*name) {
                let (name, value) = ((*name).to_owned(), shown(value));
                synonyms.push(Synonym {
                    name,
                    value,
                    source,
                });
            }
        }
    }
    for name in names {
        if let Some(value) = find(Scope::Broker, name).and_then(ConfigDef::default_value) {
            let (name, value) = ((*name).to_owned(), shown(value));
            synonyms.push(Synonym {
                name,
                value,
                source: ConfigSource::Default,
            });
        }
    }
    synonyms
        .into_iter()
        .skip_while(|synonym| synonym.name != def.name)
        .collect()
}
