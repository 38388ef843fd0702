//! The broker: partitions, replication, the Kafka API and the listeners that serve it.

pub mod metadata;
pub mod partition;
pub mod partitions;
pub mod replica;
