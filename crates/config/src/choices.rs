//! Values of properties that are one of a few words, or a set of them.

use dohle_model::CompressionType;

/// `message.timestamp.type`: whose clock stamps the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TimestampType {
    /// The producer's.
    #[default]
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
    /// Keep what the producer chose.
    #[default]
    Producer,
    /// The leader recompresses to this codec (`None` is `uncompressed`).
    Codec(CompressionType),
}

impl TargetCompression {
    /// The codec that a batch compressed with `source` is to have.
    #[must_use]
    pub fn resolve(self, source: CompressionType) -> CompressionType {
        match self {
            Self::Producer => source,
            Self::Codec(codec) => codec,
        }
    }
}
