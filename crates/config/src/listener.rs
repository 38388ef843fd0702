//! Properties that may be set for one listener: `listener.name.{name}.{property}`, and for one SASL
//! mechanism of it: `listener.name.{name}.{mechanism}.{property}` (KIP-103, KIP-226).

use super::definition::ConfigDef;
use super::effective::BrokerValues;
use super::key::{BrokerKey, ConfigValue};
use super::value::{ConfigError, list};
use super::{Scope, find};

/// The beginning of the name of every property of one listener.
pub const LISTENER_PREFIX: &str = "listener.name.";

/// Properties that are read per listener, besides those of TLS (`ssl.`) and SASL (`sasl.`).
const PER_LISTENER: &[&str] = &[
    "connections.max.reauth.ms",
    "max.connection.creation.rate",
    "max.connections",
    "principal.builder.class",
];

/// A property that is set for one listener.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ListenerProperty<'a> {
    /// The listener's name as the property has it, in lower case where Kafka finds it.
    pub listener: &'a str,
    /// The SASL mechanism, in lower case; `None` when the value is for all of them.
    pub mechanism: Option<&'a str>,
    /// The property without the prefix.
    pub def: &'static ConfigDef,
}

impl<'a> ListenerProperty<'a> {
    /// Parses a name; `None` when it has no listener's prefix, or when what follows the prefix is
    /// not a property that is read per listener.
    #[must_use]
    pub fn parse(name: &'a str) -> Option<Self> {
        let (listener, rest) = name.strip_prefix(LISTENER_PREFIX)?.split_once('.')?;
        let def = |name: &str| find(Scope::Broker, name).filter(|def| is_per_listener(def.name));
        if let Some(def) = def(rest) {
            return Some(Self {
                listener,
                mechanism: None,
                def,
            });
        }
        let (mechanism, rest) = rest.split_once('.')?;
        Some(Self {
            listener,
            mechanism: Some(mechanism),
            def: def(rest)?,
        })
    }

    /// Checks a value of the property `name`, which [`ListenerProperty::parse`] read.
    ///
    /// # Errors
    /// Names the property with its prefix, the value and what is allowed.
    pub fn validate(&self, name: &str, value: &str) -> Result<(), ConfigError> {
        self.def.validate(value).map_err(|error| ConfigError {
            name: name.to_owned(),
            ..error
        })
    }
}

fn is_per_listener(name: &str) -> bool {
    name.starts_with("ssl.") || name.starts_with("sasl.") || PER_LISTENER.contains(&name)
}

/// The values of a node as one of its listeners uses them: a value with the listener's prefix takes
/// precedence over one without, wherever either is set.
#[derive(Debug, Clone)]
pub struct ListenerValues<'a> {
    values: &'a BrokerValues,
    /// The beginnings of names, in the order of precedence.
    prefixes: Vec<String>,
}

impl BrokerValues {
    /// Returns the values for a listener, by its name in any case.
    #[must_use]
    pub fn listener(&self, name: &str) -> ListenerValues<'_> {
        let prefix = format!("{LISTENER_PREFIX}{}.", name.to_lowercase());
        ListenerValues {
            values: self,
            prefixes: vec![prefix, String::new()],
        }
    }
}

impl<'a> ListenerValues<'a> {
    /// Returns the values for one SASL mechanism of the listener, by its name in any case: values
    /// with the mechanism's name before the property take precedence.
    #[must_use]
    pub fn mechanism(&self, mechanism: &str) -> Self {
        let mechanism = mechanism.to_lowercase();
        let of_mechanism = self.prefixes.iter();
        let mut prefixes: Vec<String> =
            of_mechanism.map(|it| format!("{it}{mechanism}.")).collect();
        prefixes.extend(self.prefixes.iter().cloned());
        Self {
            values: self.values,
            prefixes,
        }
    }

    /// Returns the effective value of a property: the one that was set, or its default.
    #[must_use]
    pub fn read<T: ConfigValue>(&self, key: &BrokerKey<T>) -> T {
        key.read(self.set(key.name()).map(|(_, value)| value))
    }

    /// Returns the text that was set for a property, without space around it; `None` when it is
    /// empty.
    #[must_use]
    pub fn text_set<T>(&self, key: &BrokerKey<T>) -> Option<&'a str> {
        let (_, value) = self.set(key.name())?;
        Some(value.trim()).filter(|text| !text.is_empty())
    }

    /// Returns the effective value of a property as text; `None` when it has none, or an empty one.
    #[must_use]
    pub fn text<T>(&self, key: &BrokerKey<T>) -> Option<&'a str> {
        let set = self.set(key.name()).map(|(_, value)| value);
        let text = set.or_else(|| key.definition().default_value())?.trim();
        Some(text).filter(|text| !text.is_empty())
    }

    /// Returns the items of a list: of the one that was set, or of the default.
    pub fn list<T>(&self, key: &BrokerKey<T>) -> impl Iterator<Item = &'a str> + use<'a, T> {
        list(self.text(key).unwrap_or_default())
    }

    /// Returns the full name under which a property is set, for messages: with the listener's
    /// prefix if the value has it, and the plain name otherwise.
    #[must_use]
    pub fn name<T>(&self, key: &BrokerKey<T>) -> String {
        let set = self.set(key.name());
        set.map_or_else(|| key.name().to_owned(), |(name, _)| name)
    }

    /// Returns the value of a property that is refused when it is set, with the name that it was
    /// set under; `None` when it is empty or not set. Such a property has no key.
    #[must_use]
    pub fn refused(&self, name: &str) -> Option<(String, &'a str)> {
        let (name, value) = self.set(name)?;
        let value = value.trim();
        (!value.is_empty()).then_some((name, value))
    }

    /// Returns the value that was set, and the name that it was set under.
    fn set(&self, name: &str) -> Option<(String, &'a str)> {
        self.prefixes.iter().find_map(|prefix| {
            let name = format!("{prefix}{name}");
            let value = self.values.set(&name)?;
            Some((name, value))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use expect_test::expect;

    use super::*;
    use crate::Properties;
    use crate::describe::describe_broker;
    use crate::keys::broker::SECURITY_INTER_BROKER_PROTOCOL;

    const KEY: BrokerKey<String> = SECURITY_INTER_BROKER_PROTOCOL;

    fn properties(pairs: &[(&str, &str)]) -> Arc<Properties> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Arc::new(pairs.iter().map(owned).collect())
    }

    fn parsed(name: &str) -> Option<(&str, Option<&str>, &'static str)> {
        let property = ListenerProperty::parse(name)?;
        Some((property.listener, property.mechanism, property.def.name))
    }

    #[test]
    fn a_listeners_property_has_the_name_of_a_property_that_is_read_per_listener() {
        assert_eq!(
            parsed("listener.name.out.ssl.keystore.location"),
            Some(("out", None, "ssl.keystore.location"))
        );
        assert_eq!(
            parsed("listener.name.out.scram-sha-256.sasl.jaas.config"),
            Some(("out", Some("scram-sha-256"), "sasl.jaas.config"))
        );
        for name in [
            "ssl.keystore.location",
            "listener.name.out",
            "listener.name.ssl.keystore.location",
            "listener.name.out.log.dirs",
            "listener.name.out.plain.log.dirs",
            "listener.name.out.a.b.sasl.jaas.config",
        ] {
            assert_eq!(parsed(name), None, "{name}");
        }
    }

    #[test]
    fn the_listeners_own_value_takes_precedence_wherever_it_is_set() {
        let mut values = BrokerValues {
            dynamic_broker: properties(&[(KEY.name(), "dynamic")]),
            fixed: properties(&[
                (KEY.name(), "file"),
                ("listener.name.out.security.inter.broker.protocol", " own "),
                (
                    "listener.name.out.plain.security.inter.broker.protocol",
                    "mechanism",
                ),
                ("scram-sha-256.security.inter.broker.protocol", "scram"),
            ]),
            ..BrokerValues::default()
        };
        let out = values.listener("OUT");
        assert_eq!(
            (out.read(&KEY), out.text(&KEY)),
            ("own".to_owned(), Some("own"))
        );
        assert_eq!(
            out.name(&KEY),
            "listener.name.out.security.inter.broker.protocol"
        );
        assert_eq!(out.mechanism("PLAIN").text(&KEY), Some("mechanism"));
        assert_eq!(out.mechanism("SCRAM-SHA-256").text(&KEY), Some("scram"));
        assert_eq!(out.mechanism("OAUTHBEARER").text(&KEY), Some("own"));
        let other = values.listener("OTHER");
        assert_eq!(
            (other.text(&KEY), other.name(&KEY).as_str()),
            (Some("dynamic"), KEY.name())
        );

        values = BrokerValues::default();
        let out = values.listener("OUT");
        assert_eq!(
            (out.text_set(&KEY), out.text(&KEY)),
            (None, Some("PLAINTEXT"))
        );
    }

    #[test]
    fn a_secret_of_a_listener_is_hidden_in_errors_and_descriptions() {
        let name = "listener.name.out.ssl.keystore.password";
        let location = "listener.name.out.ssl.keystore.location";
        let values = BrokerValues {
            dynamic_broker: properties(&[(name, "secret"), (location, "/key.pem")]),
            fixed: properties(&[("ssl.keystore.location", "/old.pem")]),
            ..BrokerValues::default()
        };
        let described = describe_broker(&values);
        let of = |name: &str| described.iter().find(|it| it.name == name).unwrap();
        assert_eq!(
            (of(name).value.as_ref(), of(name).is_sensitive),
            (None, true)
        );
        assert!(!format!("{:?}", of(name)).contains("secret"));
        assert_eq!(of(location).value.as_deref(), Some("/key.pem"));
        let synonyms = of(location).synonyms.iter();
        let synonyms: Vec<_> = synonyms.map(|it| (it.name.as_str(), it.source)).collect();
        expect![[r#"
            [
                (
                    "listener.name.out.ssl.keystore.location",
                    DynamicBroker,
                ),
                (
                    "ssl.keystore.location",
                    StaticBroker,
                ),
            ]
        "#]]
        .assert_debug_eq(&synonyms);
        let name = "listener.name.out.ssl.client.auth";
        let property = ListenerProperty::parse(name).unwrap();
        assert_eq!(
            property.validate(name, "maybe").unwrap_err().to_string(),
            "listener.name.out.ssl.client.auth is \"maybe\"; allowed is one of required, \
             requested, none"
        );
    }
}
