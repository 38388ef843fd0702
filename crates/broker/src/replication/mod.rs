//! Replication between brokers: one stream from each follower broker to each leader broker, for all
//! partitions the one follows at the other.
//!
//! ```text
//! leader                                         follower
//! Partition::append ─▶ watches ─▶ LeaderStream ══▶ Fetcher ─▶ Partition::on_leader_part
//!        ▲                        (sends what is           │ append
//!        └── Partition::on_follower_ack ◀── LeaderCalls ◀══╧ acks, credits, subscriptions
//! ```
//!
//! Invariant: no task and no channel a partition; the work of a wake-up is that of the partitions
//! that moved. Knows nothing of elections: roles come from the metadata feed through the
//! partitions.

mod connection;
mod fetcher;
mod fetchers;
mod flushes;
mod isr;
mod leader_stream;
mod link;
mod parked;
mod records;
mod retries;
mod server;

pub(crate) use fetchers::Fetchers;
pub(crate) use isr::{alter_isr_loop, assign_dirs_loop};
pub use link::{AlterAnswer, AlterOutcome, BrokerLink, ControllerLink};
pub(crate) use parked::ParkedFeeds;
pub use server::ReplicationServer;
