//! Definitions of configuration properties: one definition serves file, environment, describe,
//! validation and documentation.
//!
//! Names, types, defaults, ranges, importance, update modes and documentation are Apache Kafka
//! 4.3's. A definition also has whether Dohle acts on the property. A property without an effect is
//! accepted, checked and described, and a node logs at its start which of them are set.

use std::collections::BTreeMap;

use dohle_model::suggest;

mod broker;
mod choices;
mod cleaner;
mod client_metrics;
mod client_patterns;
mod constraint;
mod definition;
mod describe;
mod effective;
mod group;
mod key;
pub mod keys;
mod listener;
pub mod properties;
pub mod providers;
mod snapshot;
mod table;
pub mod topic;
mod value;

pub use broker::{BrokerConfig, DynamicBrokerConfig};
pub use choices::{
    AddressCounts, CleanupPolicy, LogFormat, TargetCompression, ThrottledReplicas, TimestampType,
};
pub use cleaner::{CleanerConfig, ScrubConfig};
pub use client_metrics::ClientMetricsConfig;
pub use client_patterns::{ClientField, ClientPatterns, InvalidPattern};
pub use constraint::{Constraint, Lookup, Relation, Violation};
pub use definition::{
    ConfigDef, ConfigType, Default as ConfigDefault, Importance, Status, UpdateMode, Validator,
};
pub use describe::{ConfigSource, DescribedConfig, Synonym};
pub use effective::BrokerValues;
pub use group::MigrationPolicy;
pub use key::{BrokerKey, ClientMetricsKey, ConfigValue, GroupKey, TopicKey};
pub use listener::{LISTENER_PREFIX, ListenerProperty, ListenerValues};
pub use snapshot::ConfigSnapshot;
pub use topic::TopicConfig;
pub use value::{ConfigError, list, parse_boolean};

/// Properties by name.
pub type Properties = BTreeMap<String, String>;

/// What a property belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// Topics.
    Topic,
    /// Brokers and controllers.
    Broker,
    /// Groups.
    Group,
    /// Subscriptions to metrics of clients.
    ClientMetrics,
}

/// A name that no definition has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownConfig {
    /// A name that is similar to a defined one.
    #[error("there is no property {name:?}; did you mean {nearest:?}?")]
    Misspelt {
        /// The name as given.
        name: String,
        /// The most similar defined name.
        nearest: &'static str,
    },
    /// A name that is similar to no defined one.
    #[error("there is no property {0:?}")]
    Unknown(String),
}

/// Returns the definition of a property.
#[must_use]
pub fn find(scope: Scope, name: &str) -> Option<&'static ConfigDef> {
    tables(scope).iter().find_map(|table| {
        let at = table
            .binary_search_by(|definition| definition.name.cmp(name))
            .ok()?;
        Some(&table[at])
    })
}

/// Returns all definitions; each table is sorted by name.
pub fn definitions(scope: Scope) -> impl Iterator<Item = &'static ConfigDef> {
    tables(scope).iter().flat_map(|table| table.iter())
}

/// Returns the definition of a property.
///
/// # Errors
/// When there is no such property; the error names the nearest one.
pub fn lookup(scope: Scope, name: &str) -> Result<&'static ConfigDef, UnknownConfig> {
    find(scope, name).ok_or_else(|| match nearest(scope, name) {
        Some(nearest) => UnknownConfig::Misspelt {
            name: name.to_owned(),
            nearest,
        },
        None => UnknownConfig::Unknown(name.to_owned()),
    })
}

/// Returns the property whose name is most similar to `name`, if at most a third of the letters
/// differ.
#[must_use]
pub fn nearest(scope: Scope, name: &str) -> Option<&'static str> {
    let public = definitions(scope).filter(|definition| !definition.is_internal);
    suggest::nearest(name, public.map(|definition| definition.name))
}

/// Returns the constraints of a scope that the values at a node's start contradict.
#[must_use]
pub fn violations_at_start(scope: Scope, value: Lookup<'_>) -> Vec<Violation> {
    let constraints = table::constraints(scope).iter().copied().flatten();
    constraints
        .filter(|constraint| !constraint.at_run_time_only)
        .filter_map(|constraint| constraint.violation(&constraint::Values { value, now: value }))
        .collect()
}

/// Returns the first constraint of a scope that a change contradicts. `now` are the values before
/// the change, `value` those after it. Constraints between properties that do not change are not
/// checked.
#[must_use]
pub fn violation_of_change(
    scope: Scope,
    now: Lookup<'_>,
    value: Lookup<'_>,
    is_changed: impl Fn(&str) -> bool,
) -> Option<Violation> {
    let mut constraints = table::constraints(scope).iter().copied().flatten();
    constraints.find_map(|constraint| {
        let concerned = constraint.names.iter().any(|name| is_changed(name));
        if !concerned {
            return None;
        }
        constraint.violation(&constraint::Values { value, now })
    })
}

const fn tables(scope: Scope) -> &'static [&'static [ConfigDef]] {
    match scope {
        Scope::Topic => table::TOPIC,
        Scope::Broker => table::BROKER,
        Scope::Group => table::GROUP,
        Scope::ClientMetrics => table::CLIENT_METRICS,
    }
}

#[cfg(test)]
mod tests;
