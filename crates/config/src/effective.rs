//! The effective value of a property: the strongest of the values that different places set.

use std::sync::Arc;

use super::constraint::Violation;
use super::definition::ConfigDef;
use super::key::{BrokerKey, ConfigValue};
use super::value::list;
use super::{Properties, Scope, find, violation_of_change};
use dohle_model::ids::NodeId;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;

/// A broker's values, by the place where they are set; cheap to clone. The order of precedence is:
/// set for this broker, set for all brokers, set in its file or environment, default.
///
/// Invariant: values were validated when they were set. A value that is invalid nevertheless reads
/// as the default.
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

    /// Returns the values of a node: those of its file, and those that the metadata sets for it.
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

    /// Returns the effective value of a property: the one that was set, or its default.
    #[must_use]
    pub fn read<T: ConfigValue>(&self, key: &BrokerKey<T>) -> T {
        key.read(self.set(key.name()))
    }

    /// Returns whether a property was set anywhere.
    #[must_use]
    pub fn is_set<T>(&self, key: &BrokerKey<T>) -> bool {
        self.set(key.name()).is_some()
    }

    /// Returns the text of a property that was set, without space around it; `None` when it is
    /// empty.
    #[must_use]
    pub fn text_set<T>(&self, key: &BrokerKey<T>) -> Option<&str> {
        let text = self.set(key.name()).map(str::trim);
        text.filter(|text| !text.is_empty())
    }

    /// Returns the effective value of a property as text; `None` when it has none, or an empty one.
    #[must_use]
    pub fn text<T>(&self, key: &BrokerKey<T>) -> Option<&str> {
        let text = self.get(key.name()).map(str::trim);
        text.filter(|text| !text.is_empty())
    }

    /// Returns the items of a list: of the one that was set, or of the default.
    pub fn list<T>(&self, key: &BrokerKey<T>) -> impl Iterator<Item = &str> {
        list(self.text(key).unwrap_or_default())
    }

    /// Returns the effective value of a property with a whole number, given the definition.
    #[must_use]
    pub fn number(&self, def: &ConfigDef) -> Option<i64> {
        let set = self.set(def.name).and_then(parse);
        set.or_else(|| parse(def.default_value()?))
    }

    /// Returns the effective value; `None` when the property is not set and has no default.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.set(name)
            .or_else(|| find(Scope::Broker, name)?.default_value())
    }

    /// Returns what a change contradicts: `after` are all values that are then set for this broker,
    /// or for all brokers.
    #[must_use]
    pub fn violation_of(&self, for_all: bool, after: Properties) -> Option<Violation> {
        let mut new = self.clone();
        let layer = if for_all {
            &mut new.dynamic_default
        } else {
            &mut new.dynamic_broker
        };
        let before = std::mem::replace(layer, Arc::new(after));
        let after = layer.clone();
        let is_changed = |name: &str| before.get(name) != after.get(name);
        let value = |values: &Self, name: &str| values.effective(name);
        violation_of_change(
            Scope::Broker,
            &|name| value(self, name),
            &|name| value(&new, name),
            is_changed,
        )
    }

    /// Returns the effective value of any property, as text. Of a setting with several names (such
    /// as `log.retention.ms`) the number is in milliseconds, from the first name that has a value.
    #[must_use]
    pub fn effective(&self, name: &str) -> Option<String> {
        match find(Scope::Broker, name) {
            Some(def) if !def.synonyms.is_empty() => {
                let value = self.milliseconds(def.synonyms)?;
                Some(value.to_string())
            }
            _ => self.get(name).map(str::to_owned),
        }
    }

    /// Returns the value that was set; `None` when only the default applies.
    pub(crate) fn set(&self, name: &str) -> Option<&str> {
        [&self.dynamic_broker, &self.dynamic_default, &self.fixed]
            .into_iter()
            .find_map(|layer| layer.get(name))
            .map(String::as_str)
    }

    /// Returns milliseconds from the first of the given names that has a value: `log.retention.ms`
    /// before `log.retention.minutes` before `log.retention.hours`. Negative values are returned
    /// unchanged.
    fn milliseconds(&self, names: &[&str]) -> Option<i64> {
        names.iter().find_map(|name| {
            let def = find(Scope::Broker, name)?;
            let value = self.number(def)?;
            Some(if value < 0 {
                value
            } else {
                value.saturating_mul(def.unit_ms())
            })
        })
    }

    /// Returns a topic's value as text: its own, or else the broker's.
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

fn parse(value: &str) -> Option<i64> {
    value.trim().parse().ok()
}
