//! The interface through which plans check configuration against the definitions of properties.

use std::collections::BTreeMap;

use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;

/// Defines the configuration names and values that a resource accepts.
pub trait ConfigSchema: Send + Sync {
    /// Checks a value.
    ///
    /// # Errors
    /// The reason why the name or the value is not allowed.
    fn check(&self, resource: &ConfigResource, name: &str, value: &str) -> Result<(), String>;

    /// Checks the values that a resource has after a change against each other, and against those
    /// that it has in the image.
    ///
    /// # Errors
    /// The values that contradict each other.
    fn check_together(
        &self,
        resource: &ConfigResource,
        image: &MetadataImage,
        after: &BTreeMap<String, String>,
    ) -> Result<(), String>;

    /// Whether the value is a comma-separated list, to which values can be appended.
    fn is_list(&self, resource: &ConfigResource, name: &str) -> bool;

    /// Returns the default value as text.
    fn default_value(&self, resource: &ConfigResource, name: &str) -> Option<String>;
}

/// A schema that accepts everything, for tests that do not depend on configuration names.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyConfig;

impl ConfigSchema for AnyConfig {
    fn check(&self, _: &ConfigResource, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn check_together(
        &self,
        _: &ConfigResource,
        _: &MetadataImage,
        _: &BTreeMap<String, String>,
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
