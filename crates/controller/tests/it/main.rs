//! Tests of the controller over gRPC on loopback, with its log on disk.

mod cluster;
mod failover;
mod feed;
mod forward;
mod kafka_import;
mod node_ids;
mod outage;
mod sessions;
