//! The group coordinator: runs the machine of groups, and defines their topic.

use std::sync::Arc;

use dohle_config::keys::broker as keys;
use dohle_config::{BrokerValues, ConfigSnapshot, Properties};
use dohle_groups::{GroupConfig, Shard};
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_model::{NodeId, TopicName};

use super::{Coordinator, CoordinatorConfig, CoordinatorSettings, InternalTopic, TopicSettings};
use dohle_broker::metadata::MetadataCache;
use dohle_broker::partitions::{MarkerReplay, Partitions};

/// The coordinator of groups.
pub type GroupCoordinator = Coordinator<Shard>;

/// The topic that stores groups and their offsets.
pub static OFFSETS_TOPIC: InternalTopic = InternalTopic {
    name: "__consumer_offsets",
    replication_factor_property: keys::OFFSETS_TOPIC_REPLICATION_FACTOR.name(),
    settings: topic_settings,
};

/// Starts the coordinator of groups on a node with these properties.
///
/// # Panics
/// Outside a tokio runtime.
#[must_use]
pub fn start(
    node: NodeId,
    properties: Arc<Properties>,
    metadata: Arc<MetadataCache>,
    partitions: Arc<Partitions>,
) -> Arc<GroupCoordinator> {
    let resolve = move |image: &MetadataImage| settings(&properties, image, node);
    let config = CoordinatorConfig::new(node, &OFFSETS_TOPIC, resolve);
    let groups = Coordinator::start(config, metadata, Arc::clone(&partitions));
    if let Ok(topic) = TopicName::new(OFFSETS_TOPIC.name) {
        let replay: Arc<dyn MarkerReplay> = Arc::clone(&groups) as _;
        partitions.replay_markers_of(topic, &replay);
    }
    groups
}

fn topic_settings(values: &BrokerValues) -> TopicSettings {
    TopicSettings {
        partitions: values.read(&keys::OFFSETS_TOPIC_NUM_PARTITIONS),
        replication_factor: values.read(&keys::OFFSETS_TOPIC_REPLICATION_FACTOR),
        min_insync_replicas: None,
        configs: vec![
            ("cleanup.policy", "compact".to_owned()),
            ("compression.type", "producer".to_owned()),
            (
                "segment.bytes",
                values.read(&keys::OFFSETS_TOPIC_SEGMENT_BYTES).to_string(),
            ),
        ],
    }
}

fn settings(
    properties: &Arc<Properties>,
    image: &MetadataImage,
    node: NodeId,
) -> CoordinatorSettings<Shard> {
    let configs = ConfigSnapshot::new(Arc::clone(properties), image, node);
    let values = configs.broker();
    CoordinatorSettings {
        machine: Arc::new(group_config(values, image)),
        commit_timeout: values.read(&keys::OFFSETS_COMMIT_TIMEOUT_MS),
        load_buffer: values.read(&keys::OFFSETS_LOAD_BUFFER_SIZE),
        codec: values.read(&keys::OFFSETS_TOPIC_COMPRESSION_CODEC),
        upkeep_interval: values.read(&keys::OFFSETS_RETENTION_CHECK_INTERVAL_MS),
        batch_bytes_max: configs.topic(OFFSETS_TOPIC.name).max_message_bytes as usize,
    }
}

fn group_config(values: &BrokerValues, image: &MetadataImage) -> GroupConfig {
    let own = |resource: &ConfigResource| match resource {
        ConfigResource::Group(name) => Some(name.to_string()),
        _ => None,
    };
    let groups = image.configs.iter();
    let groups = groups.filter_map(|(resource, values)| Some((own(resource)?, (**values).clone())));
    GroupConfig {
        groups: groups.collect(),
        ..GroupConfig::resolve(values)
    }
}
