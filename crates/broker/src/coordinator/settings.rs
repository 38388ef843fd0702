//! What the coordinator reads of the configuration, as typed values. Made anew when metadata
//! changes the configuration, not for each request.

use std::sync::Arc;
use std::time::Duration;

use dohle_config::{BrokerValues, Properties, TopicConfig};
use dohle_groups::GroupConfig;
use dohle_log::CompressionType;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_model::{NodeId, TopicName};

use super::OFFSETS_TOPIC;

/// The coordinator's configuration.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    /// What the shards read.
    pub groups: GroupConfig,
    /// `offsets.commit.timeout.ms`.
    pub commit_timeout: Duration,
    /// `offsets.load.buffer.size`.
    pub load_buffer: usize,
    /// `offsets.topic.compression.codec`.
    pub codec: CompressionType,
    /// `offsets.retention.check.interval.ms`.
    pub retention_check_interval: Duration,
    /// `max.message.bytes` of the topic: the largest batch.
    pub batch_bytes_max: usize,
}

impl Settings {
    /// As the metadata has it now.
    pub(super) fn resolve(
        properties: &Arc<Properties>,
        image: &MetadataImage,
        node: NodeId,
    ) -> Self {
        let values = BrokerValues::new(Arc::clone(properties), image, node);
        let ms = |name: &str| Duration::from_millis(values.number(name).unwrap_or(0));
        let topic = TopicName::new(OFFSETS_TOPIC).ok();
        let topic = topic.map(|topic| TopicConfig::of(&topic, image, &values));
        let mut groups = GroupConfig::resolve(&values);
        groups.groups = image
            .configs
            .iter()
            .filter_map(|(resource, values)| match resource {
                ConfigResource::Group(name) => Some((name.to_string(), (**values).clone())),
                _ => None,
            })
            .collect();
        Self {
            groups,
            commit_timeout: ms("offsets.commit.timeout.ms"),
            load_buffer: values.number("offsets.load.buffer.size").unwrap_or(1 << 20),
            codec: values
                .number("offsets.topic.compression.codec")
                .and_then(CompressionType::from_id)
                .unwrap_or_default(),
            retention_check_interval: ms("offsets.retention.check.interval.ms"),
            batch_bytes_max: topic.map_or(1 << 20, |topic| topic.max_message_bytes as usize),
        }
    }
}
