//! Reads single properties, with messages that name the property, its value and what is allowed.

use dohle_config::{BrokerKey, BrokerValues};

use super::ConfigFault;
use super::address::{Address, parse_address};

/// Reads properties of one node.
pub(super) struct Reader<'a> {
    pub values: &'a BrokerValues,
}

impl Reader<'_> {
    /// The value that was set and is not empty.
    pub fn get<T>(&self, key: &BrokerKey<T>) -> Option<&str> {
        self.values.text_set(key)
    }

    /// The value that was set, or the default.
    pub fn effective<T>(&self, key: &BrokerKey<T>) -> Option<&str> {
        self.values.text(key)
    }

    /// The items of a list that was set, or of its default.
    pub fn list<T>(&self, key: &BrokerKey<T>) -> impl Iterator<Item = &str> {
        self.values.list(key)
    }

    /// A list of `NAME://host:port`.
    pub fn addresses<T>(&self, key: &BrokerKey<T>) -> Result<Vec<Address>, ConfigFault> {
        self.list(key)
            .map(|item| {
                parse_address(item).map_err(|reason| {
                    let allowed = format!("a list of NAME://host:port ({reason})");
                    self.invalid(key, &allowed)
                })
            })
            .collect()
    }

    /// The property has a value that is not allowed.
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

    /// The property must be set and is not.
    #[expect(clippy::unused_self, reason = "reads like invalid()")]
    pub fn missing<T>(&self, key: &BrokerKey<T>, wanted: &str) -> ConfigFault {
        ConfigFault::Missing {
            name: key.name().to_owned(),
            wanted: wanted.to_owned(),
        }
    }
}
