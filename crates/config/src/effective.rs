//! What a property's value is, of all the places where it can be set.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use super::definition::ConfigDef;
use super::value::{list, parse_boolean};
use super::{Scope, find};
use dohle_model::ids::NodeId;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;

/// Properties by name.
pub type Properties = BTreeMap<String, String>;

/// A broker's values in their layers; cheap to clone. The strongest layer first: set for this
/// broker, set for all brokers, set in its file or environment, default.
///
/// Invariant: values were validated where they were set. One that is damaged nevertheless reads as
/// its default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BrokerValues {
    /// Set at run time for this broker.
    pub dynamic_broker: Arc<Properties>,
    /// Set at run time for all brokers.
    pub dynamic_default: Arc<Properties>,
    /// From the file, the environment and the command line.
    pub fixed: Arc<Properties>,
}

impl BrokerValues {
    /// Values of a node without any dynamic configuration.
    #[must_use]
    pub fn fixed(values: Arc<Properties>) -> Self {
        Self {
            fixed: values,
            ..Self::default()
        }
    }

    /// The node's own values under what the metadata sets for it.
    #[must_use]
    pub fn new(fixed: Arc<Properties>, image: &MetadataImage, node: NodeId) -> Self {
        let layer =
            |resource: &ConfigResource| image.configs.get(resource).cloned().unwrap_or_default();
        Self {
            dynamic_broker: layer(&ConfigResource::Broker(node)),
            dynamic_default: layer(&ConfigResource::BrokerDefault),
            fixed,
        }
    }

    /// The effective value; `None` when the property is not set and has no default.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.set(name)
            .or_else(|| find(Scope::Broker, name)?.default_value())
    }

    /// The value that somebody set, default aside.
    #[must_use]
    pub fn set(&self, name: &str) -> Option<&str> {
        [&self.dynamic_broker, &self.dynamic_default, &self.fixed]
            .into_iter()
            .find_map(|layer| layer.get(name))
            .map(String::as_str)
    }

    /// The effective value as a number; `None` when it is not set and has no default.
    #[must_use]
    pub fn number<T: FromStr>(&self, name: &str) -> Option<T> {
        let default = || find(Scope::Broker, name)?.default_value();
        self.set(name).and_then(parse).or_else(|| parse(default()?))
    }

    /// The effective value of a switch; false when it is not set and has no default.
    #[must_use]
    pub fn boolean(&self, name: &str) -> bool {
        self.get(name).and_then(parse_boolean).unwrap_or(false)
    }

    /// The items of a list.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        list(self.get(name).unwrap_or_default())
    }

    /// Milliseconds from the first of several names that has a value: `log.retention.ms` before
    /// `log.retention.minutes` before `log.retention.hours`. Negative values stay as they are.
    #[must_use]
    pub fn milliseconds(&self, names: &[&str]) -> Option<i64> {
        names.iter().find_map(|name| {
            let value: i64 = self.number(name)?;
            Some(if value < 0 {
                value
            } else {
                value.saturating_mul(unit_ms(name))
            })
        })
    }

    /// A topic's value as text: its own, or else the broker's.
    #[must_use]
    pub fn topic_value(&self, topic: Option<&Properties>, def: &ConfigDef) -> Option<String> {
        if let Some(own) = topic.and_then(|values| values.get(def.name)) {
            return Some(own.clone());
        }
        let Some(broker_name) = def.broker_name else {
            return def.default_value().map(str::to_owned);
        };
        let synonyms = find(Scope::Broker, broker_name).map_or(&[][..], |def| def.synonyms);
        if synonyms.is_empty() {
            self.get(broker_name).map(str::to_owned)
        } else {
            self.milliseconds(synonyms).map(|value| value.to_string())
        }
    }
}

fn parse<T: FromStr>(value: &str) -> Option<T> {
    value.trim().parse().ok()
}

fn unit_ms(name: &str) -> i64 {
    const MINUTE: i64 = 60 * 1000;
    if name.ends_with(".hours") {
        60 * MINUTE
    } else if name.ends_with(".minutes") {
        MINUTE
    } else {
        1
    }
}
