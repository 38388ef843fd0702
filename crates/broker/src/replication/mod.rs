//! Replication between brokers. Each follower broker has one stream to each leader broker, for all
//! partitions that the leader broker leads and the follower broker follows.
//!
//! ```text
//! leader                                         follower
//! Partition::append ─▶ ready tokens ─▶ LeaderStream ═▶ FollowerStream ─▶ Partition::on_leader_part
//!        ▲                                                 │ append
//!        └── Partition::on_follower_ack ◀─ LeaderSession ◀═╧ acks, credits, subscriptions
//! ```
//!
//! Invariant: there is no task and no channel for a single partition. A wake-up costs time in
//! proportion to the partitions that changed.
//!
//! This module does not elect leaders: partitions take their roles from the metadata.

mod broker_client;
mod calls;
mod connection;
mod credits;
mod flushes;
mod follower_stream;
mod hello;
mod leader_stream;
mod pending_subscriptions;
mod records;
mod replica_streams;
mod replicator;
mod retries;
mod server;
mod stream_report;

pub use broker_client::{BrokerClient, CallError};
pub use calls::BrokerRequestHandlers;
pub use replica_streams::ReplicatorConfig;
pub use replicator::StreamReplicator;
pub use server::ReplicationServer;
pub use stream_report::StreamReport;
