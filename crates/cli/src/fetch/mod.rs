//! State of a cluster as plain values, for whichever tool asks.

mod configs;
mod topics;

pub use self::configs::{ConfigEntry, ConfigSource, Resource, describe_configs};
pub use self::topics::{
    Names, Partition, PartitionId, Reassignment, Topic, TopicName, describe_topics, list_topics,
    reassignments,
};
