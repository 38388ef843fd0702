//! The types of properties whose value is one of a few words, or a set of such words.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use dohle_model::CompressionType;

/// Numbers by address: `max.connections.per.ip.overrides`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AddressCounts(pub HashMap<IpAddr, usize>);

/// `leader.replication.throttled.replicas` and `follower.replication.throttled.replicas`: the
/// replicas of a topic whose replication is throttled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ThrottledReplicas {
    /// All of them.
    All,
    /// Those of these partitions on these brokers.
    Listed(HashSet<(i32, i32)>),
}

impl Default for ThrottledReplicas {
    fn default() -> Self {
        Self::Listed(HashSet::new())
    }
}

impl ThrottledReplicas {
    /// Returns whether the replica of a partition on a broker is one of them.
    #[must_use]
    pub fn contains(&self, partition: i32, broker: i32) -> bool {
        match self {
            Self::All => true,
            Self::Listed(replicas) => replicas.contains(&(partition, broker)),
        }
    }
}

/// `message.timestamp.type`: which clock the timestamps of records come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer's clock.
    #[default]
    CreateTime,
    /// The leader's clock, at the moment of the append.
    LogAppendTime,
}

/// `log.format`: how the program writes the lines of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LogFormat {
    /// As text, for people.
    #[default]
    Text,
    /// As one JSON object a line, for programs.
    Json,
}

/// `cleanup.policy`: any combination of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CleanupPolicy {
    /// Whether old segments are deleted.
    pub delete: bool,
    /// Whether all records but the last of each key are removed.
    pub compact: bool,
}

impl Default for CleanupPolicy {
    fn default() -> Self {
        Self {
            delete: true,
            compact: false,
        }
    }
}

/// `compression.type` of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TargetCompression {
    /// Batches keep the codec of the producer.
    #[default]
    Producer,
    /// The leader compresses batches with this codec (`None` for `uncompressed`).
    Codec(CompressionType),
}

impl TargetCompression {
    /// Returns the codec to store a batch with that arrived with the codec `source`.
    #[must_use]
    pub fn resolve(self, source: CompressionType) -> CompressionType {
        match self {
            Self::Producer => source,
            Self::Codec(codec) => codec,
        }
    }
}
