//! A topic's configuration as partitions use it.

use std::sync::Arc;

use dohle_config::{ThrottledReplicas, TopicConfig};
use dohle_log::LogConfig;

/// The part of a topic's configuration that a partition uses.
#[derive(Debug, Clone, PartialEq)]
pub struct PartitionConfig {
    /// The configuration of the log.
    pub log: Arc<LogConfig>,
    /// `min.insync.replicas`, at least 1.
    pub min_insync_replicas: usize,
    /// `leader.replication.throttled.replicas`.
    pub leader_throttled: ThrottledReplicas,
    /// `follower.replication.throttled.replicas`.
    pub follower_throttled: ThrottledReplicas,
}

impl Default for PartitionConfig {
    fn default() -> Self {
        Self {
            log: Arc::new(LogConfig::default()),
            min_insync_replicas: 1,
            leader_throttled: ThrottledReplicas::default(),
            follower_throttled: ThrottledReplicas::default(),
        }
    }
}

impl From<&TopicConfig> for PartitionConfig {
    fn from(config: &TopicConfig) -> Self {
        let log = LogConfig {
            segment_bytes: config.segment_bytes,
            segment_ms: config.segment,
            segment_jitter_ms: config.segment_jitter,
            index_interval_bytes: config.index_interval_bytes,
            segment_index_bytes: config.segment_index_bytes,
            retention_bytes: config.retention_bytes,
            retention_ms: config.retention,
            max_decompressed_message_bytes: config.max_decompressed_message_bytes,
            max_message_bytes: config.max_message_bytes,
            message_timestamp_type: config.message_timestamp_type,
            message_timestamp_before_max_ms: config.message_timestamp_before_max,
            message_timestamp_after_max_ms: config.message_timestamp_after_max,
            compression_type: config.compression_type,
            compression_gzip_level: config.compression_gzip_level,
            compression_zstd_level: Some(config.compression_zstd_level),
            flush_messages: config.flush_messages,
            flush_ms: config.flush,
            file_delete_delay_ms: config.file_delete_delay,
            cleanup_policy: config.cleanup_policy,
            delete_retention_ms: config.delete_retention,
            min_compaction_lag_ms: config.min_compaction_lag,
            max_compaction_lag_ms: config.max_compaction_lag,
            min_cleanable_dirty_ratio: config.min_cleanable_dirty_ratio,
            ..LogConfig::default()
        };
        Self {
            log: Arc::new(log),
            min_insync_replicas: config.min_insync_replicas,
            leader_throttled: config.leader_throttled.clone(),
            follower_throttled: config.follower_throttled.clone(),
        }
    }
}
