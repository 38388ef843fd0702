//! A topic's configuration as typed values.

use std::time::Duration;

use super::effective::{BrokerValues, Properties};
use super::value::{list, parse_boolean};
use super::{Scope, find};
use dohle_model::image::MetadataImage;
use dohle_model::names::TopicName;
use dohle_model::record::ConfigResource;

/// `message.timestamp.type`: whose clock stamps the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimestampType {
    /// The producer's.
    CreateTime,
    /// The leader's, at the moment of the append.
    LogAppendTime,
}

/// `cleanup.policy`: a set of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CleanupPolicy {
    /// Old segments are deleted.
    pub delete: bool,
    /// Only the last record of each key is kept.
    pub compact: bool,
}

/// `compression.type`: how the leader stores batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names are Kafka's own")]
pub enum CompressionTarget {
    Producer,
    Uncompressed,
    Gzip,
    Snappy,
    Lz4,
    Zstd,
}

/// A topic's configuration. The fields are Kafka's names with dots as underscores; "unlimited" (-1,
/// or the largest number, in Kafka's values) is `None`.
#[derive(Debug, Clone, PartialEq)]
pub struct TopicConfig {
    /// `cleanup.policy`.
    pub cleanup_policy: CleanupPolicy,
    /// `compression.type`.
    pub compression_type: CompressionTarget,
    /// `compression.gzip.level`; `None` is the codec's default.
    pub compression_gzip_level: Option<u32>,
    /// `compression.lz4.level`.
    pub compression_lz4_level: i32,
    /// `compression.zstd.level`.
    pub compression_zstd_level: i32,
    /// `delete.retention.ms`.
    pub delete_retention: Duration,
    /// `file.delete.delay.ms`.
    pub file_delete_delay: Duration,
    /// `flush.messages`, records.
    pub flush_messages: Option<u64>,
    /// `flush.ms`.
    pub flush: Option<Duration>,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u32,
    /// `max.compaction.lag.ms`.
    pub max_compaction_lag: Option<Duration>,
    /// `max.message.bytes`: of a batch with its header.
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
    /// The configuration of a topic that sets `own` values, at a broker with these values.
    #[must_use]
    pub fn resolve(own: Option<&Properties>, broker: &BrokerValues) -> Self {
        let values = Values { own, broker };
        Self {
            cleanup_policy: values.cleanup_policy(),
            compression_type: values.compression(),
            compression_gzip_level: u32::try_from(values.long("compression.gzip.level"))
                .ok()
                .filter(|level| *level > 0),
            compression_lz4_level: values.int("compression.lz4.level"),
            compression_zstd_level: values.int("compression.zstd.level"),
            delete_retention: values.duration("delete.retention.ms"),
            file_delete_delay: values.duration("file.delete.delay.ms"),
            flush_messages: values.limit("flush.messages"),
            flush: values.limit_ms("flush.ms"),
            index_interval_bytes: values.bytes("index.interval.bytes"),
            max_compaction_lag: values.limit_ms("max.compaction.lag.ms"),
            max_message_bytes: values.bytes("max.message.bytes"),
            message_timestamp_after_max: values.limit_ms("message.timestamp.after.max.ms"),
            message_timestamp_before_max: values.limit_ms("message.timestamp.before.max.ms"),
            message_timestamp_type: match values.text("message.timestamp.type").as_str() {
                "LogAppendTime" => TimestampType::LogAppendTime,
                _ => TimestampType::CreateTime,
            },
            min_cleanable_dirty_ratio: values
                .text("min.cleanable.dirty.ratio")
                .trim()
                .parse()
                .unwrap_or(0.5),
            min_compaction_lag: values.duration("min.compaction.lag.ms"),
            min_insync_replicas: usize::try_from(values.int("min.insync.replicas"))
                .unwrap_or(1)
                .max(1),
            retention_bytes: values.limit("retention.bytes"),
            retention: values.limit_ms("retention.ms"),
            segment_bytes: values.bytes("segment.bytes"),
            segment_index_bytes: values.bytes("segment.index.bytes"),
            segment_jitter: values.duration("segment.jitter.ms"),
            segment: values.duration("segment.ms"),
            unclean_leader_election_enable: values.boolean("unclean.leader.election.enable"),
        }
    }

    /// The configuration of a topic as the metadata has it.
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
    fn text(&self, name: &str) -> String {
        find(Scope::Topic, name)
            .and_then(|def| self.broker.topic_value(self.own, def))
            .unwrap_or_default()
    }

    fn long(&self, name: &str) -> i64 {
        let default = || find(Scope::Topic, name)?.default_value()?.parse().ok();
        self.text(name)
            .trim()
            .parse()
            .ok()
            .or_else(default)
            .unwrap_or_default()
    }

    fn int(&self, name: &str) -> i32 {
        i32::try_from(self.long(name)).unwrap_or(i32::MAX)
    }

    fn bytes(&self, name: &str) -> u32 {
        u32::try_from(self.long(name).max(0)).unwrap_or(u32::MAX)
    }

    /// Negative is as short as possible.
    fn duration(&self, name: &str) -> Duration {
        Duration::from_millis(u64::try_from(self.long(name)).unwrap_or(0))
    }

    fn limit(&self, name: &str) -> Option<u64> {
        match self.long(name) {
            i64::MAX => None,
            value => u64::try_from(value).ok(),
        }
    }

    fn limit_ms(&self, name: &str) -> Option<Duration> {
        self.limit(name).map(Duration::from_millis)
    }

    fn boolean(&self, name: &str) -> bool {
        parse_boolean(&self.text(name)).unwrap_or(false)
    }

    fn cleanup_policy(&self) -> CleanupPolicy {
        let text = self.text("cleanup.policy");
        let has = |policy| list(&text).any(|item| item == policy);
        CleanupPolicy {
            delete: has("delete"),
            compact: has("compact"),
        }
    }

    fn compression(&self) -> CompressionTarget {
        match self.text("compression.type").as_str() {
            "uncompressed" => CompressionTarget::Uncompressed,
            "gzip" => CompressionTarget::Gzip,
            "snappy" => CompressionTarget::Snappy,
            "lz4" => CompressionTarget::Lz4,
            "zstd" => CompressionTarget::Zstd,
            _ => CompressionTarget::Producer,
        }
    }
}
