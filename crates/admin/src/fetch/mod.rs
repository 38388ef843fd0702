//! State of a cluster as plain values, for whichever tool asks.

mod configs;
mod groups;
mod offsets;
mod topics;

pub use self::configs::{ConfigEntry, ConfigSource, Resource, alter_configs, describe_configs};
pub use self::groups::{
    Committed, Group, ListedGroup, Member, committed, describe_groups, list_groups,
};
pub use self::offsets::{EARLIEST, Found, LATEST, leaders, list_offsets};
pub use self::topics::{
    Names, Partition, PartitionId, Reassignment, Topic, TopicName, describe_topics, list_topics,
    reassignments,
};
