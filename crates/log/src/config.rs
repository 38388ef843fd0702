//! What a log needs to know of its topic's configuration.
//!
//! A plain value, made by the broker from the topic's and its own properties. The names are Kafka's
//! with dots as underscores. "Unlimited" (-1 or the largest number in Kafka's files) is `None`.

use std::time::Duration;

use dohle_config::{CleanupPolicy, TargetCompression, TimestampType};

/// The configuration of one log. `Default` has Kafka 4.3's defaults.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: a segment grows to this many bytes. 1 to `i32::MAX`.
    pub segment_bytes: u32,
    /// `segment.ms`: a segment is closed when its records span this time.
    pub segment_ms: Duration,
    /// `segment.jitter.ms`: up to this is taken off `segment_ms`, so that logs roll apart.
    pub segment_jitter_ms: Duration,
    /// `index.interval.bytes`: an index entry every so many bytes.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: an index grows to this many bytes.
    pub segment_index_bytes: u32,
    /// `retention.bytes`: the log is kept to this many bytes.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`: records are kept this long.
    pub retention_ms: Option<Duration>,
    /// `max.message.bytes`: the largest batch, in bytes with its header, as it is stored.
    pub max_message_bytes: u32,
    /// `message.timestamp.type`.
    pub message_timestamp_type: TimestampType,
    /// `message.timestamp.before.max.ms`: how far a timestamp may lie in the past.
    pub message_timestamp_before_max_ms: Option<Duration>,
    /// `message.timestamp.after.max.ms`: how far a timestamp may lie in the future.
    pub message_timestamp_after_max_ms: Option<Duration>,
    /// `compression.type`.
    pub compression_type: TargetCompression,
    /// `compression.gzip.level`, 1 to 9; `None` is the codec's default.
    pub compression_gzip_level: Option<u32>,
    /// `compression.zstd.level`; `None` is the codec's default.
    pub compression_zstd_level: Option<i32>,
    /// `flush.messages`: records between forced flushes; `None` leaves it to the system.
    pub flush_messages: Option<u64>,
    /// `flush.ms`: time between forced flushes; `None` leaves it to the system.
    pub flush_ms: Option<Duration>,
    /// `file.delete.delay.ms`: a deleted segment's files are kept this long for running reads.
    pub file_delete_delay_ms: Duration,
    /// `producer.id.expiration.ms`: an idle producer's state is forgotten after this.
    pub producer_id_expiration_ms: Duration,
    /// `transaction.partition.verification.enable`: the first batch of a transaction is refused
    /// unless the coordinator has confirmed that the partition belongs to it.
    pub transaction_verification: bool,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `delete.retention.ms`: compaction keeps tombstones this long.
    pub delete_retention_ms: Duration,
    /// `min.compaction.lag.ms`: records younger than this are not compacted.
    pub min_compaction_lag_ms: Duration,
    /// `max.compaction.lag.ms`: records older than this are compacted; `None` is never forced.
    pub max_compaction_lag_ms: Option<Duration>,
    /// `min.cleanable.dirty.ratio`: compaction starts when this share of the log is dirty. 0 to 1.
    pub min_cleanable_dirty_ratio: f64,
}

impl Default for LogConfig {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * DAY,
            segment_jitter_ms: Duration::ZERO,
            index_interval_bytes: 4096,
            segment_index_bytes: 10 << 20,
            retention_bytes: None,
            retention_ms: Some(7 * DAY),
            max_message_bytes: (1 << 20) + 12,
            message_timestamp_type: TimestampType::CreateTime,
            message_timestamp_before_max_ms: None,
            message_timestamp_after_max_ms: Some(Duration::from_secs(3600)),
            compression_type: TargetCompression::Producer,
            compression_gzip_level: None,
            compression_zstd_level: None,
            flush_messages: None,
            flush_ms: None,
            file_delete_delay_ms: Duration::from_secs(60),
            producer_id_expiration_ms: DAY,
            transaction_verification: false,
            cleanup_policy: CleanupPolicy::default(),
            delete_retention_ms: DAY,
            min_compaction_lag_ms: Duration::ZERO,
            max_compaction_lag_ms: None,
            min_cleanable_dirty_ratio: 0.5,
        }
    }
}
