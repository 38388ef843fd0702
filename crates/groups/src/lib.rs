//! Consumer groups and their offsets, as far as they can be had without I/O: the state of the
//! coordinator of one partition of `__consumer_offsets` ([`Shard`]), what requests and timers make
//! of it, and Kafka's record formats that it is kept in.
//!
//! The four verbs: a method of [`Shard`] **plans** a request on the state there is, and asks
//! through [`Step`] for records to be written, replies to be sent and timers to be set. The caller
//! **appends** the records as one batch, then **replays** them ([`Shard::replay`]), and **replies**
//! once the batch is committed. A broker that becomes coordinator replays the whole partition.
//!
//! Pure: no tokio, no files, no clock, no randomness; times and fresh ids are arguments. It must
//! not know partitions, connections or threads.

pub mod classic;
pub mod config;
pub mod consumer;
pub mod describe;
pub mod ids;
pub mod offsets;
pub mod records;
pub mod shard;
pub mod step;
pub mod timers;

pub use config::GroupConfig;
pub use consumer::Matches;
pub use describe::GroupFilter;
pub use ids::{GroupId, InstanceId, MemberId};
pub use records::Record;
pub use shard::Shard;
pub use step::{Caller, Effects, Failed, Reply, Step, Token, Written};
