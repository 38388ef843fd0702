//! The broker: partitions, replication, the Kafka API and the listeners that serve it.

pub mod api;
pub mod blocking;
pub mod connection;
pub mod context;
pub mod coordinator;
pub mod listener;
pub mod metadata;
pub mod partition;
pub mod partitions;
pub mod replica;
pub mod replication;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
