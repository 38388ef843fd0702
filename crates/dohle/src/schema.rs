//! Which dynamic configuration the controller accepts: the definitions, asked by resource.

use dohle_controller::plan::ConfigSchema;
use dohle_model::config::{BrokerValues, ConfigDef, ConfigType, Scope, find, lookup};
use dohle_model::record::ConfigResource;

/// The definitions of `dohle-model`, with the controller's own properties as topics' defaults.
#[derive(Debug, Clone)]
pub struct Definitions {
    /// The controller's properties.
    pub values: BrokerValues,
}

/// Prefixes of brokers' properties of one listener (KIP-103).
const LISTENER_PREFIX: &str = "listener.name.";

impl ConfigSchema for Definitions {
    fn check(&self, resource: &ConfigResource, name: &str, value: &str) -> Result<(), String> {
        match resource {
            ConfigResource::Topic(_) => {
                let def = lookup(Scope::Topic, name)
                    .map_err(|error| format!("Unknown topic config name: {name} ({error})"))?;
                def.validate(value).map_err(|error| error.to_string())
            }
            ConfigResource::Broker(_) | ConfigResource::BrokerDefault => {
                check_broker(resource, name, value)
            }
            ConfigResource::Group(_) => Err(format!(
                "{name} cannot be set: configuration of groups is not there yet"
            )),
            ConfigResource::ClientMetrics(_) => Err(format!(
                "{name} cannot be set: client metrics are not there yet"
            )),
        }
    }

    fn check_together(
        &self,
        resource: &ConfigResource,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        if !matches!(resource, ConfigResource::Topic(_)) {
            return Ok(());
        }
        let number = |name| value(name).and_then(|text| text.trim().parse::<i64>().ok());
        let (min, max) = (
            number("min.compaction.lag.ms"),
            number("max.compaction.lag.ms"),
        );
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            return Err(format!(
                "conflict topic config setting min.compaction.lag.ms ({min}) > \
                 max.compaction.lag.ms ({max})"
            ));
        }
        Ok(())
    }

    fn is_list(&self, resource: &ConfigResource, name: &str) -> bool {
        definition(resource, name).is_some_and(|def| def.kind == ConfigType::List)
    }

    fn default_value(&self, resource: &ConfigResource, name: &str) -> Option<String> {
        let def = definition(resource, name)?;
        match resource {
            ConfigResource::Topic(_) => self.values.topic_value(None, def),
            _ => def.default_value().map(str::to_owned),
        }
    }
}

fn check_broker(resource: &ConfigResource, name: &str, value: &str) -> Result<(), String> {
    if let Some(rest) = name.strip_prefix(LISTENER_PREFIX) {
        let known = rest
            .split_once('.')
            .and_then(|(_, base)| find(Scope::Broker, base));
        return match known {
            Some(def) if def.is_dynamic() => def.validate(value).map_err(|error| error.to_string()),
            _ => Err(format!("Cannot update these configs dynamically: {name}")),
        };
    }
    let def = lookup(Scope::Broker, name).map_err(|error| error.to_string())?;
    if !def.is_dynamic() || def.needs_restart {
        return Err(format!(
            "Cannot update these configs dynamically: {name}; set it in the properties of each \
             broker and restart it"
        ));
    }
    let for_all = matches!(resource, ConfigResource::BrokerDefault);
    if for_all && def.update_mode == dohle_model::config::UpdateMode::PerBroker {
        return Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: \
             {name}"
        ));
    }
    def.validate(value).map_err(|error| error.to_string())
}

fn definition(resource: &ConfigResource, name: &str) -> Option<&'static ConfigDef> {
    match resource {
        ConfigResource::Topic(_) => find(Scope::Topic, name),
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => find(Scope::Broker, name),
        ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) => None,
    }
}
