//! All properties at one metadata offset.

use std::sync::Arc;

use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_model::{NodeId, TopicName};

use super::Properties;
use super::describe::{
    DescribedConfig, describe_broker, describe_broker_default, describe_client_metrics,
    describe_group, describe_topic,
};
use super::effective::BrokerValues;
use super::topic::TopicConfig;

/// The properties of a node and an image of the metadata, resolved once for a request or a
/// coordinator.
#[derive(Debug, Clone)]
pub struct ConfigSnapshot<'a> {
    image: &'a MetadataImage,
    values: BrokerValues,
}

impl<'a> ConfigSnapshot<'a> {
    /// Resolves the properties of a node: its file, overridden by the image's values for this node.
    #[must_use]
    pub fn new(fixed: Arc<Properties>, image: &'a MetadataImage, node: NodeId) -> Self {
        Self {
            image,
            values: BrokerValues::new(fixed, image, node),
        }
    }

    /// Returns the values of the broker's properties.
    #[must_use]
    pub fn broker(&self) -> &BrokerValues {
        &self.values
    }

    /// Returns the configuration of a topic: its own values, and the broker's for all others.
    #[must_use]
    pub fn topic(&self, name: &str) -> TopicConfig {
        TopicConfig::resolve(self.own_of_topic(name), &self.values)
    }

    /// Describes all properties of a topic.
    #[must_use]
    pub fn describe_topic(&self, name: &str) -> Vec<DescribedConfig> {
        describe_topic(self.own_of_topic(name), &self.values)
    }

    /// Describes all properties of a topic as if it existed and set these values.
    #[must_use]
    pub fn describe_new_topic(&self, name: &str, own: &Properties) -> Vec<DescribedConfig> {
        describe_topic(self.own_of_topic(name).or(Some(own)), &self.values)
    }

    /// Describes all properties of a group.
    #[must_use]
    pub fn describe_group(&self, id: &str) -> Vec<DescribedConfig> {
        describe_group(self.own(&ConfigResource::Group(id.into())), &self.values)
    }

    /// Describes all properties of a client metrics subscription.
    #[must_use]
    pub fn describe_client_metrics(&self, name: &str) -> Vec<DescribedConfig> {
        describe_client_metrics(self.own(&ConfigResource::ClientMetrics(name.into())))
    }

    /// Describes all properties of the broker.
    #[must_use]
    pub fn describe_broker(&self) -> Vec<DescribedConfig> {
        describe_broker(&self.values)
    }

    /// Describes the properties that are set at run time for all brokers.
    #[must_use]
    pub fn describe_broker_default(&self) -> Vec<DescribedConfig> {
        describe_broker_default(&self.values)
    }

    fn own_of_topic(&self, name: &str) -> Option<&'a Properties> {
        let name = TopicName::new(name).ok()?;
        self.own(&ConfigResource::Topic(name))
    }

    fn own(&self, resource: &ConfigResource) -> Option<&'a Properties> {
        self.image.configs.get(resource).map(|own| &**own)
    }
}
