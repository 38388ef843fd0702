//! Reads single properties; its errors name the property, its value and the allowed values.

use dohle_config::{BrokerKey, BrokerValues};

use super::ConfigFault;
use super::address::{ListenerAddress, parse_address};

/// Reads properties of one node.
pub(super) struct PropertyReader<'a> {
    pub values: &'a BrokerValues,
}

impl PropertyReader<'_> {
    /// Returns the value if it is set and not empty.
    pub fn get<T>(&self, key: &BrokerKey<T>) -> Option<&str> {
        self.values.text_set(key)
    }

    /// Returns the value if it is set, or else the default.
    pub fn effective<T>(&self, key: &BrokerKey<T>) -> Option<&str> {
        self.values.text(key)
    }

    /// Returns the items of a list, or of its default.
    pub fn list<T>(&self, key: &BrokerKey<T>) -> impl Iterator<Item = &str> {
        self.values.list(key)
    }

    /// Reads a list of `NAME://host:port`.
    pub fn addresses<T>(&self, key: &BrokerKey<T>) -> Result<Vec<ListenerAddress>, ConfigFault> {
        self.list(key)
            .map(|item| {
                parse_address(item).map_err(|reason| {
                    let allowed = format!("a list of NAME://host:port ({reason})");
                    self.invalid(key, &allowed)
                })
            })
            .collect()
    }

    /// Returns the error for a value that is not allowed.
    pub fn invalid<T>(&self, key: &BrokerKey<T>, allowed: &str) -> ConfigFault {
        ConfigFault::Invalid {
            name: key.name().to_owned(),
            value: if key.definition().kind.is_sensitive() {
                "[hidden]".to_owned()
            } else {
                self.values.text(key).unwrap_or_default().to_owned()
            },
            allowed: allowed.to_owned(),
        }
    }

    /// Returns the error for a required property that is not set.
    #[expect(clippy::unused_self, reason = "reads like invalid()")]
    pub fn missing<T>(&self, key: &BrokerKey<T>, wanted: &str) -> ConfigFault {
        ConfigFault::Missing {
            name: key.name().to_owned(),
            wanted: wanted.to_owned(),
        }
    }
}
