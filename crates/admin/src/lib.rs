//! A client of a Kafka-compatible cluster, for programs that administer one.
//!
//! [`Cluster`] connects and sends a request to the bootstrap address, to one broker or to a group's
//! coordinator. The functions of [`fetch`] combine several responses into plain values: topics,
//! partitions, offsets, groups, configurations. [`client`] makes producers and consumers.
//!
//! Invariant: the crate does not depend on command lines or on how results are printed.
//! [`ProgressReporter`] reports the progress of a long call to its caller.

pub mod client;
mod cluster;
mod external;
mod fetch;
mod progress;

pub use self::cluster::{
    BrokerAddress, Call, Cluster, ClusterError, Connection, DescribeTopicPartitions, Node,
    Recipient, Refusal, TopicPartitions, check, is_retriable, load_client_properties,
    load_properties,
};
pub use self::external::ProcessValues;
pub use self::fetch::*;
pub use self::progress::{ItemCount, Over, ProgressReporter, Silent};
