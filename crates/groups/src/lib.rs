//! Consumer groups and their offsets without I/O: the groups of one partition of
//! `__consumer_offsets` ([`Shard`]), how requests and timers change them, and Kafka's formats for
//! the records that store them.
//!
//! [`Shard`] is a [`Machine`](dohle_machine::Machine): its methods plan requests, and the runtime
//! of coordinators appends the records, replays them, and sends the replies.
//!
//! Pure: no tokio, no files, no clock, no randomness; times and fresh ids are arguments. This crate
//! must not depend on partitions, connections or threads.

mod classic;
mod committer;
pub mod config;
pub mod history;
pub mod ids;
mod kind;
mod machine;
mod migration;
mod modern;
mod offsets;
pub mod records;
pub mod requests;
mod shard;
pub mod step;
#[cfg(test)]
mod test_scripts;
pub mod timers;
mod waiting;
mod wire;

pub use config::GroupConfig;
pub use ids::{GroupId, InstanceId, MemberId};
pub use modern::consumer::Matches;
pub use records::Record;
pub use shard::{GroupFilter, GroupReport, GroupSummary, MemberReport, Shard};
pub use step::{Caller, Failed, JoinReply, JoinToken, OnCommit, SyncReply, SyncToken};
pub use waiting::Waiting;

/// One step of a shard.
pub type Step<'a> = dohle_machine::Step<'a, Shard>;
/// What a step asks of the runtime.
pub type Effects = dohle_machine::Effects<Shard>;
