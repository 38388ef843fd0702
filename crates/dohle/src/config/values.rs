//! Reads single properties, with messages that name the property, its value and what is allowed.

use dohle_config::{BrokerValues, Scope, find, list};

use super::ConfigFault;
use super::listeners::{Address, parse_address};

/// Reads properties of one node.
pub(super) struct Reader<'a> {
    pub values: &'a BrokerValues,
}

impl Reader<'_> {
    /// The value that was set and is not empty.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.values
            .set(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// The value that was set, or the default.
    pub fn effective(&self, name: &str) -> Option<&str> {
        self.values
            .get(name)
            .map(str::trim)
            .filter(|value| !value.is_empty())
    }

    /// The items of a list that was set, or of its default.
    pub fn list(&self, name: &str) -> impl Iterator<Item = &str> {
        list(self.values.get(name).unwrap_or_default())
    }

    /// A list of `NAME://host:port`.
    pub fn addresses(&self, name: &str) -> Result<Vec<Address>, ConfigFault> {
        self.list(name)
            .map(|item| {
                parse_address(item).map_err(|reason| {
                    let allowed = format!("a list of NAME://host:port ({reason})");
                    self.invalid(name, &allowed)
                })
            })
            .collect()
    }

    /// `name` has a value that is not allowed.
    pub fn invalid(&self, name: &str, allowed: &str) -> ConfigFault {
        let hidden = find(Scope::Broker, name).is_some_and(|def| def.kind.is_sensitive());
        ConfigFault::Invalid {
            name: name.to_owned(),
            value: if hidden {
                "[hidden]".to_owned()
            } else {
                self.values.get(name).unwrap_or_default().to_owned()
            },
            allowed: allowed.to_owned(),
        }
    }

    /// `name` must be set and is not.
    #[expect(clippy::unused_self, reason = "reads like invalid()")]
    pub fn missing(&self, name: &str, wanted: &str) -> ConfigFault {
        ConfigFault::Missing {
            name: name.to_owned(),
            wanted: wanted.to_owned(),
        }
    }
}
