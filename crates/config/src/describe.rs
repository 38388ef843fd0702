//! What DescribeConfigs tells of a topic's, a group's or a broker's properties: values, where they
//! come from, and the places that were outvoted (KIP-226, KIP-569).

use super::Properties;
use super::definition::{ConfigDef, ConfigType};
use super::effective::BrokerValues;
use super::{Scope, definitions, find};

/// Where a value comes from. The numbers are the wire's.
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
    /// Nobody set it.
    Default = 5,
    /// Set for the group.
    Group = 8,
}

/// One of the places where a value could come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Synonym {
    /// The property's name there.
    pub name: String,
    /// Its value there; `None` for none, and for what is never shown.
    pub value: Option<String>,
    /// The place.
    pub source: ConfigSource,
}

/// A property as it is described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DescribedConfig {
    /// Its name.
    pub name: String,
    /// Its effective value; `None` for none, and for what is never shown.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// Whether it can only be set in the file.
    pub is_read_only: bool,
    /// Whether values are never shown.
    pub is_sensitive: bool,
    /// All places that have a value, the strongest first.
    pub synonyms: Vec<Synonym>,
    /// Its type; `None` for a property that nobody knows.
    pub kind: Option<ConfigType>,
    /// Its documentation.
    pub documentation: Option<&'static str>,
}

/// All properties of a topic that sets `own` values. Internal ones only if it sets them.
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

/// All properties of a group that sets `own` values.
#[must_use]
pub(crate) fn describe_group(
    own: Option<&Properties>,
    broker: &BrokerValues,
) -> Vec<DescribedConfig> {
    let describe = |def: &'static ConfigDef| {
        let mut described = entry(def, own, ConfigSource::Group, broker);
        // Unlike a topic's, a group's property tells its own default where brokers have none.
        if def.broker_name.is_none() {
            described.synonyms.push(Synonym {
                name: def.name.to_owned(),
                value: def.default_value().map(str::to_owned),
                source: ConfigSource::Default,
            });
        }
        described
    };
    definitions(Scope::Group).map(describe).collect()
}

/// A property that has a broker's property as its default, or none.
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

/// All properties of a broker: those Kafka defines, and any other in its file (which are not shown:
/// they might be secrets).
#[must_use]
pub(crate) fn describe_broker(broker: &BrokerValues) -> Vec<DescribedConfig> {
    let mut described: Vec<_> = definitions(Scope::Broker)
        .filter(|def| !def.is_internal || broker.set(def.name).is_some())
        .map(|def| {
            let synonyms = broker_synonyms(def, broker);
            broker_entry(def, broker.get(def.name), synonyms)
        })
        .collect();
    for name in broker
        .fixed
        .keys()
        .filter(|name| find(Scope::Broker, name).is_none())
    {
        described.push(DescribedConfig {
            name: name.clone(),
            value: None,
            source: ConfigSource::StaticBroker,
            is_read_only: true,
            is_sensitive: true,
            synonyms: vec![Synonym {
                name: name.clone(),
                value: None,
                source: ConfigSource::StaticBroker,
            }],
            kind: None,
            documentation: None,
        });
    }
    described.sort_by(|a, b| a.name.cmp(&b.name));
    described
}

/// The properties that are set at run time for all brokers.
#[must_use]
pub(crate) fn describe_broker_default(broker: &BrokerValues) -> Vec<DescribedConfig> {
    let entries = broker.dynamic_default.iter();
    entries
        .filter_map(|(name, value)| {
            let def = find(Scope::Broker, name)?;
            let mut synonyms = broker_synonyms(def, broker);
            synonyms.retain(|synonym| synonym.source == ConfigSource::DynamicDefaultBroker);
            Some(broker_entry(def, Some(value), synonyms))
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
        is_read_only: !def.is_dynamic(),
        is_sensitive,
        synonyms,
        kind: Some(def.kind),
        documentation: Some(def.documentation),
    }
}

/// The places that have a value for a broker's property, under any of its names; those before the
/// first with the name itself are left out, as Kafka does.
fn broker_synonyms(def: &ConfigDef, broker: &BrokerValues) -> Vec<Synonym> {
    let own_name = [def.name];
    let names = if def.synonyms.is_empty() {
        &own_name[..]
    } else {
        def.synonyms
    };
    let layers = [
        (&broker.dynamic_broker, ConfigSource::DynamicBroker),
        (&broker.dynamic_default, ConfigSource::DynamicDefaultBroker),
        (&broker.fixed, ConfigSource::StaticBroker),
    ];
    let shown = |value: &str| (!def.kind.is_sensitive()).then(|| value.to_owned());
    let mut synonyms = Vec::new();
    for (layer, source) in layers {
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
