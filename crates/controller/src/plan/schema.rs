//! The schema of configurations as the model defines them: Apache Kafka 4.3's.

use std::str::FromStr;

use dohle_model::config::{ConfigType, Scope, UpdateMode, find, lookup};
use dohle_model::record::ConfigResource;

use super::ConfigSchema;

/// Topics and brokers by [`dohle_model::config`]; groups' and client metrics' entries are kept for the
/// brokers to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct KafkaConfigs;

const fn scope(resource: &ConfigResource) -> Option<Scope> {
    match resource {
        ConfigResource::Topic(_) => Some(Scope::Topic),
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => Some(Scope::Broker),
        ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) => None,
    }
}

/// The listener's own settings: `listener.name.NAME.PROPERTY`.
fn without_listener(name: &str) -> &str {
    let of_listener = name.strip_prefix("listener.name.");
    of_listener
        .and_then(|rest| rest.split_once('.'))
        .map_or(name, |(_, property)| property)
}

impl ConfigSchema for KafkaConfigs {
    fn check(&self, resource: &ConfigResource, name: &str, value: &str) -> Result<(), String> {
        let Some(scope) = scope(resource) else {
            return Ok(());
        };
        let name = if scope == Scope::Broker {
            without_listener(name)
        } else {
            name
        };
        let definition = lookup(scope, name).map_err(|error| error.to_string())?;
        definition
            .validate(value)
            .map_err(|error| error.to_string())?;
        match (resource, definition.update_mode) {
            (ConfigResource::Broker(_) | ConfigResource::BrokerDefault, UpdateMode::ReadOnly) => {
                Err(format!(
                    "{name} can't be changed while brokers run: set it in their files and restart \
                     them"
                ))
            }
            (ConfigResource::BrokerDefault, UpdateMode::PerBroker) => Err(format!(
                "{name} is set for each broker by itself, not for all at once: name the broker"
            )),
            _ => Ok(()),
        }
    }

    fn check_together(
        &self,
        resource: &ConfigResource,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        let number = |name: &str| value(name).and_then(|value| i64::from_str(value.trim()).ok());
        let ordered = |least: &str, most: &str| match (number(least), number(most)) {
            (Some(least_value), Some(most_value))
                if least_value > most_value && most_value >= 0 =>
            {
                Err(format!(
                    "{least} is {least_value}, more than {most}, which is {most_value}"
                ))
            }
            _ => Ok(()),
        };
        match resource {
            ConfigResource::Topic(_) => {
                ordered("min.compaction.lag.ms", "max.compaction.lag.ms")?;
                ordered("local.retention.ms", "retention.ms")?;
                ordered("local.retention.bytes", "retention.bytes")
            }
            _ => Ok(()),
        }
    }

    fn is_list(&self, resource: &ConfigResource, name: &str) -> bool {
        let definition = scope(resource).and_then(|scope| find(scope, name));
        definition.is_some_and(|definition| definition.kind == ConfigType::List)
    }

    fn default_value(&self, resource: &ConfigResource, name: &str) -> Option<String> {
        let definition = find(scope(resource)?, name)?;
        definition.default_value().map(str::to_owned)
    }
}
