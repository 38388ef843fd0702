//! The parameters of a coordinator, and the snapshot of its configuration.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dohle_log::CompressionType;
use dohle_machine::Machine;
use dohle_model::NodeId;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;

use super::internal_topics::InternalTopic;

/// Resolves the settings from the metadata.
type Resolve<M> = Box<dyn Fn(&MetadataImage) -> CoordinatorSettings<M> + Send + Sync>;

/// The parameters of a coordinator.
pub struct CoordinatorConfig<M: Machine> {
    /// The id of this node.
    pub(super) node: NodeId,
    /// The topic that stores the machine's records.
    pub(super) topic: &'static InternalTopic,
    resolve: Resolve<M>,
}

impl<M: Machine> CoordinatorConfig<M> {
    /// Creates the parameters for a machine on `node` whose records are stored in `topic`.
    /// `resolve` reads the settings from the metadata; it is called when a configuration in the
    /// metadata changes, not for each request.
    pub fn new(
        node: NodeId,
        topic: &'static InternalTopic,
        resolve: impl Fn(&MetadataImage) -> CoordinatorSettings<M> + Send + Sync + 'static,
    ) -> Self {
        Self {
            node,
            topic,
            resolve: Box::new(resolve),
        }
    }

    /// Resolves the settings from these metadata.
    pub(super) fn resolve(&self, image: &MetadataImage) -> CoordinatorSettings<M> {
        (self.resolve)(image)
    }

    /// Returns whether the settings may depend on the configuration of a resource.
    pub(super) fn depends_on(&self, resource: &ConfigResource) -> bool {
        match resource {
            ConfigResource::Broker(id) => *id == self.node,
            ConfigResource::BrokerDefault | ConfigResource::Group(_) => true,
            ConfigResource::Topic(name) => name.as_str() == self.topic.name,
            ConfigResource::ClientMetrics(_) => false,
        }
    }
}

impl<M: Machine> fmt::Debug for CoordinatorConfig<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CoordinatorConfig")
            .field("node", &self.node)
            .field("topic", &self.topic.name)
            .finish_non_exhaustive()
    }
}

/// A coordinator's settings: one snapshot of the configuration.
#[derive(Debug, Clone)]
pub struct CoordinatorSettings<M: Machine> {
    /// The configuration of the machine.
    pub machine: Arc<M::Config>,
    /// How long a request waits for the commit of its records.
    pub commit_timeout: Duration,
    /// The number of bytes that are read at a time while a partition is loaded.
    pub load_buffer: usize,
    /// The codec of the records that are appended.
    pub codec: CompressionType,
    /// The time between two calls of [`Machine::on_interval`]. Not zero.
    pub upkeep_interval: Duration,
    /// The largest batch that the topic accepts, in bytes.
    pub batch_bytes_max: usize,
}
