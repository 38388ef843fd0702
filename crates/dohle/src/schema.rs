//! Decides which dynamic configuration the controller accepts, from the definitions of properties.

use dohle_config::providers::has_reference;
use dohle_config::{
    BrokerValues, ConfigDef, ConfigType, LISTENER_PREFIX, ListenerProperty, Scope, UpdateMode,
    find, lookup,
};
use dohle_controller::plan::ConfigSchema;
use dohle_model::record::ConfigResource;
use dohle_tls::TlsError;

use crate::config::{PRINCIPAL_BUILDER_CLASS, check_principal_builder};

/// The definitions of `dohle-model`, with the controller's own properties as topics' defaults.
#[derive(Debug, Clone)]
pub struct Definitions {
    /// The controller's properties.
    pub values: BrokerValues,
}

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
            ConfigResource::Group(_) => {
                let def = lookup(Scope::Group, name)
                    .map_err(|error| format!("Unknown group config name: {name} ({error})"))?;
                def.validate(value).map_err(|error| error.to_string())
            }
            ConfigResource::ClientMetrics(_) => Err(format!(
                "{name} cannot be set: client metrics are not supported yet"
            )),
        }
    }

    fn check_together(
        &self,
        resource: &ConfigResource,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        match resource {
            ConfigResource::Topic(_) => {}
            ConfigResource::Group(_) => return check_group(&self.values, value),
            _ => return Ok(()),
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
            ConfigResource::Topic(_) | ConfigResource::Group(_) => {
                self.values.topic_value(None, def)
            }
            _ => def.default_value().map(str::to_owned),
        }
    }
}

/// Groups' properties whose bounds are properties of brokers, `group.KIND.min.NAME` and
/// `group.KIND.max.NAME` (Kafka's `GroupConfig.validate`).
const BOUNDED: &[&str] = &[
    "consumer.heartbeat.interval.ms",
    "consumer.session.timeout.ms",
    "consumer.assignment.interval.ms",
    "share.heartbeat.interval.ms",
    "share.session.timeout.ms",
    "share.record.lock.duration.ms",
    "share.delivery.count.limit",
    "share.partition.max.record.locks",
    "share.assignment.interval.ms",
    "streams.heartbeat.interval.ms",
    "streams.session.timeout.ms",
    "streams.assignment.interval.ms",
];

fn check_group(
    broker: &BrokerValues,
    value: &dyn Fn(&str) -> Option<String>,
) -> Result<(), String> {
    let number = |name: &str| value(name).and_then(|text| text.trim().parse::<i64>().ok());
    let bound = |name: &str| broker.number(find(Scope::Broker, name)?);
    for name in BOUNDED {
        let (Some(number), Some((kind, rest))) = (number(name), name.split_once('.')) else {
            continue;
        };
        let (min, max) = (
            format!("group.{kind}.min.{rest}"),
            format!("group.{kind}.max.{rest}"),
        );
        if bound(&min).is_some_and(|min| number < min) {
            return Err(format!("{name} must be greater than or equal to {min}"));
        }
        if bound(&max).is_some_and(|max| number > max) {
            return Err(format!("{name} must be less than or equal to {max}"));
        }
    }
    let standby = "streams.num.standby.replicas";
    let standby_max = "group.streams.max.standby.replicas";
    if let (Some(wanted), Some(max)) = (number(standby), bound(standby_max))
        && wanted > max
    {
        return Err(format!(
            "{standby} must be less than or equal to {standby_max}"
        ));
    }
    for kind in ["consumer", "share", "streams"] {
        let session = format!("{kind}.session.timeout.ms");
        let heartbeat = format!("{kind}.heartbeat.interval.ms");
        if let (Some(timeout), Some(interval)) = (number(&session), number(&heartbeat))
            && timeout <= interval
        {
            return Err(format!("{session} must be greater than {heartbeat}"));
        }
    }
    Ok(())
}

fn check_broker(resource: &ConfigResource, name: &str, value: &str) -> Result<(), String> {
    if has_reference(value) {
        return Err(format!(
            "{name} refers to a configuration provider; references are resolved in the properties \
             that a node starts with, not in values that are set at run time: set the value itself"
        ));
    }
    let for_all = matches!(resource, ConfigResource::BrokerDefault);
    if name.starts_with(LISTENER_PREFIX) {
        return check_listener(for_all, name, value);
    }
    let def = lookup(Scope::Broker, name).map_err(|error| error.to_string())?;
    if !def.is_dynamic() || def.needs_restart {
        return Err(format!(
            "Cannot update these configs dynamically: {name}; set it in the properties of each \
             broker and restart it"
        ));
    }
    if for_all && def.update_mode == UpdateMode::PerBroker {
        return Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: \
             {name}"
        ));
    }
    def.validate(value).map_err(|error| error.to_string())?;
    check_class(def, name, value)
}

/// Refuses a class that no node can load, as at the start. The value is set under `name`.
fn check_class(def: &ConfigDef, name: &str, value: &str) -> Result<(), String> {
    let value = value.trim();
    match def.name {
        _ if value.is_empty() => Ok(()),
        PRINCIPAL_BUILDER_CLASS => {
            check_principal_builder(name, value).map_err(|error| error.to_string())
        }
        "ssl.engine.factory.class" | "ssl.provider" => {
            let (property, value) = (name.to_owned(), value.to_owned());
            Err(TlsError::Class { property, value }.to_string())
        }
        _ => Ok(()),
    }
}

/// Checks a value of a property of one listener. `for_all` is whether it is set for all brokers.
fn check_listener(for_all: bool, name: &str, value: &str) -> Result<(), String> {
    match ListenerProperty::parse(name) {
        Some(property) if property.def.is_dynamic() && !property.def.needs_restart => {
            if for_all && property.def.update_mode == UpdateMode::PerBroker {
                return Err(format!(
                    "Cannot update these configs at default cluster level, broker id must be \
                     specified: {name}"
                ));
            }
            let valid = property.validate(name, value);
            valid.map_err(|error| error.to_string())?;
            check_class(property.def, name, value)
        }
        _ => Err(format!("Cannot update these configs dynamically: {name}")),
    }
}

fn definition(resource: &ConfigResource, name: &str) -> Option<&'static ConfigDef> {
    match resource {
        ConfigResource::Topic(_) => find(Scope::Topic, name),
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => {
            find(Scope::Broker, name).or_else(|| Some(ListenerProperty::parse(name)?.def))
        }
        ConfigResource::Group(_) => find(Scope::Group, name),
        ConfigResource::ClientMetrics(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn together(values: &[(&str, &str)]) -> Result<(), String> {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let group = ConfigResource::Group("g".into());
        let values: BTreeMap<&str, &str> = values.iter().copied().collect();
        let value = |name: &str| {
            let own = values.get(name).map(|value| (*value).to_owned());
            own.or_else(|| definitions.default_value(&group, name))
        };
        definitions.check_together(&group, &value)
    }

    #[test]
    fn a_groups_properties_keep_within_the_bounds_of_the_broker() {
        assert_eq!(together(&[]), Ok(()));
        assert_eq!(
            together(&[("consumer.session.timeout.ms", "60000")]),
            Ok(())
        );
        let refused = [
            (
                "consumer.session.timeout.ms",
                "44999",
                "consumer.session.timeout.ms must be greater than or equal to \
                 group.consumer.min.session.timeout.ms",
            ),
            (
                "consumer.heartbeat.interval.ms",
                "15001",
                "consumer.heartbeat.interval.ms must be less than or equal to \
                 group.consumer.max.heartbeat.interval.ms",
            ),
            (
                "streams.num.standby.replicas",
                "3",
                "streams.num.standby.replicas must be less than or equal to \
                 group.streams.max.standby.replicas",
            ),
        ];
        for (name, value, reason) in refused {
            assert_eq!(together(&[(name, value)]), Err(reason.to_owned()));
        }
    }

    #[test]
    fn a_property_of_one_listener_is_checked_like_the_property_without_prefix() {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let check = |resource, name: &str, value| {
            let checked = definitions.check(&resource, name, value);
            checked.map_err(|error| error.split(':').next().unwrap_or_default().to_owned())
        };
        let node = || ConfigResource::Broker(dohle_model::NodeId(1));
        let auth = "listener.name.out.ssl.client.auth";
        assert_eq!(check(node(), auth, "required"), Ok(()));
        let refused = check(node(), auth, "maybe").unwrap_err();
        assert!(refused.starts_with(auth), "{refused}");
        let not_for_all = "Cannot update these configs at default cluster level, broker id must be \
                           specified";
        assert_eq!(
            check(ConfigResource::BrokerDefault, auth, "required"),
            Err(not_for_all.to_owned())
        );
        let fixed = Err("Cannot update these configs dynamically".to_owned());
        for name in [
            "listener.name.out.ssl.principal.mapping.rules",
            "listener.name.out.log.dirs",
            "listener.name.out",
        ] {
            assert_eq!(check(node(), name, "x"), fixed, "{name}");
        }
    }

    /// CVE-2023-25194, CVE-2025-27817, CVE-2025-27818, CVE-2025-27819: who may alter configurations
    /// must not make a node load a login module, read a file as a token or connect to a URL.
    #[test]
    fn login_modules_and_urls_of_tokens_cannot_be_altered() {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let module = "com.sun.security.auth.module.JndiLoginModule required \
                      user.provider.url=\"ldap://attacker\";";
        let all = || ConfigResource::BrokerDefault;
        let node = || ConfigResource::Broker(dohle_model::NodeId(1));
        for (name, value) in [
            ("sasl.jaas.config", module),
            ("sasl.oauthbearer.jwks.endpoint.url", "file:///etc/shadow"),
            (
                "sasl.oauthbearer.jwks.endpoint.url",
                "https://attacker/jwks",
            ),
            ("sasl.oauthbearer.token.endpoint.url", "file:///etc/shadow"),
            ("sasl.oauthbearer.assertion.file", "/etc/shadow"),
            ("sasl.login.callback.handler.class", "attacker.Handler"),
            ("sasl.server.callback.handler.class", "attacker.Handler"),
        ] {
            let of_listener = format!("listener.name.out.plain.{name}");
            for name in [name, &of_listener] {
                for resource in [all(), node()] {
                    let checked = definitions.check(&resource, name, value);
                    assert!(checked.is_err(), "{name} of {resource:?} can be altered");
                }
            }
        }
    }

    /// Who may alter configurations must not read files or variables of brokers: Kafka resolves
    /// references in altered values, and lets the same request define the provider.
    #[test]
    fn a_reference_to_a_provider_cannot_be_set_at_run_time() {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let node = || ConfigResource::Broker(dohle_model::NodeId(1));
        let refused = [
            (
                "listener.name.out.ssl.keystore.location",
                "${file:/etc/shadow:root}",
            ),
            ("listener.name.out.ssl.keystore.password", "x${env:SECRET}"),
            ("log.retention.ms", "${env:SECRET}"),
        ];
        for (name, value) in refused {
            let error = definitions.check(&node(), name, value).unwrap_err();
            assert!(
                error.contains("refers to a configuration provider"),
                "{error}"
            );
            assert!(!error.contains(value), "{error}");
        }
        let all = ConfigResource::BrokerDefault;
        for name in ["config.providers", "config.providers.file.class"] {
            assert!(definitions.check(&all, name, "file").is_err(), "{name}");
        }
    }

    #[test]
    fn classes_that_are_refused_at_the_start_cannot_be_altered() {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let node = ConfigResource::Broker(dohle_model::NodeId(1));
        let built_in =
            "org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder";
        for (name, is_allowed) in [
            ("principal.builder.class", built_in),
            ("ssl.engine.factory.class", ""),
            ("ssl.provider", ""),
        ] {
            for name in [name.to_owned(), format!("listener.name.out.{name}")] {
                let refused = definitions.check(&node, &name, "my.Class").unwrap_err();
                let names = format!("{name} is \"my.Class\"");
                assert!(refused.starts_with(&names), "{refused}");
                assert_eq!(
                    definitions.check(&node, &name, is_allowed),
                    Ok(()),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn a_name_that_no_group_property_has_is_refused() {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let group = ConfigResource::Group("g".into());
        assert!(definitions.check(&group, "retention.ms", "1").is_err());
        assert!(
            definitions
                .check(&group, "consumer.session.timeout.ms", "x")
                .is_err()
        );
    }
}
