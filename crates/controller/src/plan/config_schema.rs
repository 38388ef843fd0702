//! What plans on configuration need from the definitions of properties.

use dohle_model::record::ConfigResource;

/// Which configuration names and values a resource takes.
pub trait ConfigSchema: Send + Sync {
    /// Checks a value.
    ///
    /// # Errors
    /// Why the name or the value is not allowed, in words.
    fn check(&self, resource: &ConfigResource, name: &str, value: &str) -> Result<(), String>;

    /// Checks values against each other: `value` gives the one an entry will have, or its default.
    ///
    /// # Errors
    /// Which do not go together, in words.
    fn check_together(
        &self,
        resource: &ConfigResource,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String>;

    /// Whether the value is a list of texts separated by commas, which can be appended to.
    fn is_list(&self, resource: &ConfigResource, name: &str) -> bool;

    /// The default as text.
    fn default_value(&self, resource: &ConfigResource, name: &str) -> Option<String>;
}

/// A schema that takes anything; for tests of what has nothing to do with names.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyConfig;

impl ConfigSchema for AnyConfig {
    fn check(&self, _: &ConfigResource, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn check_together(
        &self,
        _: &ConfigResource,
        _: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        Ok(())
    }

    fn is_list(&self, _: &ConfigResource, name: &str) -> bool {
        name == "cleanup.policy"
    }

    fn default_value(&self, _: &ConfigResource, _: &str) -> Option<String> {
        None
    }
}
