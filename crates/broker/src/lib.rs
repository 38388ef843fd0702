//! The broker: partitions, replication, and the broker's side of the metadata quorum.

mod backoff;
pub mod blocking;
mod clock;
pub mod metadata;
pub mod partition;
pub mod partitions;
pub mod replica;
pub mod replication;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
