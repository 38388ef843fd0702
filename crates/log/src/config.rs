//! The part of a topic's configuration that its logs use.
//!
//! A plain value that the broker creates from the topic's and its own properties. Fields are named
//! like Kafka's properties, with underscores instead of dots. "Unlimited" (-1 or the largest number
//! in Kafka's files) is `None`.

use std::time::Duration;

use dohle_config::{CleanupPolicy, TargetCompression, TimestampType};

/// The configuration of one log. `Default` uses the defaults of Kafka 4.3.
#[derive(Debug, Clone, PartialEq)]
pub struct LogConfig {
    /// `segment.bytes`: the largest size of a segment. 1 to `i32::MAX`.
    pub segment_bytes: u32,
    /// `segment.ms`: the time after which a segment is closed, measured on its records' timestamps.
    pub segment_ms: Duration,
    /// `segment.jitter.ms`: the most that is subtracted from `segment_ms`, so that logs do not roll
    /// at the same time.
    pub segment_jitter_ms: Duration,
    /// `index.interval.bytes`: the number of bytes between two index entries.
    pub index_interval_bytes: u32,
    /// `segment.index.bytes`: the largest size of an index.
    pub segment_index_bytes: u32,
    /// `retention.bytes`: the size above which old segments are deleted.
    pub retention_bytes: Option<u64>,
    /// `retention.ms`: the age above which records are deleted.
    pub retention_ms: Option<Duration>,
    /// `max.decompressed.message.bytes`: the largest record of a compressed batch, in bytes without
    /// its length prefix. Checked while a batch is admitted, and not again later.
    pub max_decompressed_message_bytes: u32,
    /// `max.message.bytes`: the largest batch as it is stored, in bytes including its header.
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
    /// `flush.messages`: the number of records between forced flushes; `None` leaves flushing to
    /// the system.
    pub flush_messages: Option<u64>,
    /// `flush.ms`: the time between forced flushes; `None` leaves flushing to the system.
    pub flush_ms: Option<Duration>,
    /// `file.delete.delay.ms`: how long the files of a deleted segment are kept for running reads.
    pub file_delete_delay_ms: Duration,
    /// `producer.id.expiration.ms`: the time after which the state of an idle producer is removed.
    pub producer_id_expiration_ms: Duration,
    /// `transaction.partition.verification.enable`: whether the first batch of a transaction is
    /// rejected unless the coordinator has confirmed that the partition belongs to it.
    pub transaction_verification: bool,
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `delete.retention.ms`: how long compaction keeps tombstones.
    pub delete_retention_ms: Duration,
    /// `min.compaction.lag.ms`: the age below which records are not compacted.
    pub min_compaction_lag_ms: Duration,
    /// `max.compaction.lag.ms`: the age above which compaction is forced; `None` never forces it.
    pub max_compaction_lag_ms: Option<Duration>,
    /// `min.cleanable.dirty.ratio`: the dirty share of the log at which compaction starts. 0 to 1.
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
            max_decompressed_message_bytes: i32::MAX as u32 - 8,
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
