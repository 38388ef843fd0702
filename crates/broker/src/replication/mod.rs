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

mod connection;
mod flushes;
mod follower_stream;
mod leader_stream;
mod pending_subscriptions;
mod records;
mod replica_streams;
mod retries;
mod server;

pub(crate) use pending_subscriptions::PendingSubscriptions;
pub(crate) use replica_streams::ReplicaStreams;
pub use server::ReplicationServer;
