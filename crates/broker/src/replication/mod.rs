//! Replication between brokers: one stream from each follower broker to each leader broker, for all
//! partitions the one follows at the other.
//!
//! ```text
//! leader                                         follower
//! Partition::append ─▶ ready tokens ─▶ LeaderStream ═▶ FollowerStream ─▶ Partition::on_leader_part
//!        ▲                                                 │ append
//!        └── Partition::on_follower_ack ◀─ LeaderSession ◀═╧ acks, credits, subscriptions
//! ```
//!
//! Invariant: no task and no channel a partition; the work of a wake-up is that of the partitions
//! that moved. Knows nothing of elections: roles come from the metadata feed through the
//! partitions.

mod broker_client;
mod calls;
mod connection;
mod flushes;
mod follower_stream;
mod leader_stream;
mod pending_subscriptions;
mod records;
mod replica_streams;
mod replicator;
mod retries;
mod server;

pub use broker_client::{BrokerClient, CallError};
pub use calls::BrokerRequestHandlers;
pub use replicator::{ReplicatorConfig, StreamReplicator};
pub use server::ReplicationServer;
