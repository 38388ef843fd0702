//! State of a cluster as plain values, for any caller.

mod batches;
mod configs;
mod groups;
mod offsets;
mod topics;

pub use self::batches::{ByPartition, ask_leaders, by_topic, leaders};
pub use self::configs::{ConfigEntry, ConfigSource, Resource, alter_configs, describe_configs};
pub use self::groups::{
    Committed, Group, ListedGroup, Member, committed, describe_groups, list_groups,
};
pub use self::offsets::{EARLIEST, LATEST, list_offsets};
pub use self::topics::{
    Names, Partition, PartitionId, Reassignment, Topic, TopicName, describe_topics, list_topics,
    reassignments,
};
