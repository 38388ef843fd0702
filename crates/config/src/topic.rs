//! A topic's configuration as typed values.

use std::time::Duration;

use super::Properties;
use super::choices::{CleanupPolicy, TargetCompression, ThrottledReplicas, TimestampType};
use super::effective::BrokerValues;
use super::key::{ConfigValue, TopicKey};
use super::keys::topic as keys;
use dohle_model::image::MetadataImage;
use dohle_model::names::TopicName;
use dohle_model::record::ConfigResource;

/// A topic's configuration. The fields are Kafka's names with dots as underscores; "unlimited" (-1,
/// or the largest number, in Kafka's values) is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`.
    pub compression_type: TargetCompression,
    /// `compression.gzip.level`; `None` is the codec's default.
    pub compression_gzip_level: Option<u32>,
    /// `compression.zstd.level`.
    pub compression_zstd_level: i32,
    /// `delete.retention.ms`.
    pub delete_retention: Duration,
    /// `file.delete.delay.ms`.
    pub file_delete_delay: Duration,
    /// `flush.messages`: the number of records after which the log is flushed.
    pub flush_messages: Option<u64>,
    /// `flush.ms`.
    pub flush: Option<Duration>,
    /// `follower.replication.throttled.replicas`.
    pub follower_throttled: ThrottledReplicas,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `leader.replication.throttled.replicas`.
    pub leader_throttled: ThrottledReplicas,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag: Option<Duration>,
    /// `max.decompressed.message.bytes`: the largest size of a record in a compressed batch.
    pub max_decompressed_message_bytes: u32,
    /// `max.message.bytes`: the largest size of a batch, header included.
    pub max_message_bytes: u32,
    /// `message.timestamp.after.max.ms`.
    pub message_timestamp_after_max: Option<Duration>,
    /// `message.timestamp.before.max.ms`.
    pub message_timestamp_before_max: Option<Duration>,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `min.cleanable.dirty.ratio`, 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
    /// `min.compaction.lag.ms`.
    pub min_compaction_lag: Duration,
    /// `min.insync.replicas`, at least 1.
    pub min_insync_replicas: usize,
    /// `retention.bytes`.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`.
    pub retention: Option<Duration>,
    /// `segment.bytes`.
    pub segment_bytes: u32,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u32,
    /// `segment.jitter.ms`.
    pub segment_jitter: Duration,
    /// `segment.ms`.
    pub segment: Duration,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
}

impl TopicConfig {
    /// Resolves the configuration of a topic that sets `own` values, on a broker with the values
    /// `broker`.
    #[must_use]
    pub fn resolve(own: Option<&Properties>, broker: &BrokerValues) -> Self {
        let values = Values { own, broker };
        Self {
            cleanup_policy: values.read(&keys::CLEANUP_POLICY),
            compression_type: values.read(&keys::COMPRESSION_TYPE),
            compression_gzip_level: values
                .read(&keys::COMPRESSION_GZIP_LEVEL)
                .filter(|level| *level > 0),
            compression_zstd_level: values.read(&keys::COMPRESSION_ZSTD_LEVEL),
            delete_retention: values.read(&keys::DELETE_RETENTION_MS),
            file_delete_delay: values.read(&keys::FILE_DELETE_DELAY_MS),
            flush_messages: values.read(&keys::FLUSH_MESSAGES),
            flush: values.read(&keys::FLUSH_MS),
            follower_throttled: values.read(&keys::FOLLOWER_REPLICATION_THROTTLED_REPLICAS),
            index_interval_bytes: values.read(&keys::INDEX_INTERVAL_BYTES),
            leader_throttled: values.read(&keys::LEADER_REPLICATION_THROTTLED_REPLICAS),
            max_compaction_lag: values.read(&keys::MAX_COMPACTION_LAG_MS),
            max_decompressed_message_bytes: values.read(&keys::MAX_DECOMPRESSED_MESSAGE_BYTES),
            max_message_bytes: values.read(&keys::MAX_MESSAGE_BYTES),
            message_timestamp_after_max: values.read(&keys::MESSAGE_TIMESTAMP_AFTER_MAX_MS),
            message_timestamp_before_max: values.read(&keys::MESSAGE_TIMESTAMP_BEFORE_MAX_MS),
            message_timestamp_type: values.read(&keys::MESSAGE_TIMESTAMP_TYPE),
            min_cleanable_dirty_ratio: values.read(&keys::MIN_CLEANABLE_DIRTY_RATIO),
            min_compaction_lag: values.read(&keys::MIN_COMPACTION_LAG_MS),
            min_insync_replicas: values.read(&keys::MIN_INSYNC_REPLICAS).max(1),
            retention_bytes: values.read(&keys::RETENTION_BYTES),
            retention: values.read(&keys::RETENTION_MS),
            segment_bytes: values.read(&keys::SEGMENT_BYTES),
            segment_index_bytes: values.read(&keys::SEGMENT_INDEX_BYTES),
            segment_jitter: values.read(&keys::SEGMENT_JITTER_MS),
            segment: values.read(&keys::SEGMENT_MS),
            unclean_leader_election_enable: values.read(&keys::UNCLEAN_LEADER_ELECTION_ENABLE),
        }
    }

    /// Resolves the configuration of a topic from the metadata.
    #[must_use]
    pub fn of(topic: &TopicName, image: &MetadataImage, broker: &BrokerValues) -> Self {
        let own = image.configs.get(&ConfigResource::Topic(topic.clone()));
        Self::resolve(own.map(AsRef::as_ref), broker)
    }
}

struct Values<'a> {
    own: Option<&'a Properties>,
    broker: &'a BrokerValues,
}

impl Values<'_> {
    fn read<T: ConfigValue>(&self, key: &TopicKey<T>) -> T {
        let set = self.broker.topic_value(self.own, key.definition());
        key.read(set.as_deref())
    }
}
