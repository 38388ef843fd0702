//! State machines that live in a partition: the trait that a machine implements ([`Machine`]), the
//! requests that it plans ([`Request`], [`ParkedRequest`]), and the inputs and effects of one step
//! ([`Step`], [`Effects`]).
//!
//! ```text
//!   request, timer, commit ─▶ plan ─▶ records ─▶ append ─▶ replay ─▶ commit ─▶ reply
//! ```
//!
//! A machine **plans** on its state, and adds records, replies and timers to the [`Step`]. The
//! runtime **appends** the records to the partition as one batch, **replays** them
//! ([`Machine::replay`]), and sends the **replies** once the batch is committed. A broker that
//! becomes the leader of the partition replays all of it before it serves requests.
//!
//! Pure: no tokio, no files, no clock, no randomness. Times, fresh ids, metadata and configuration
//! are arguments. This crate must not depend on partitions, connections or a particular machine.

mod machine;
mod reply;
mod request;
mod timers;
pub mod wire;

pub use machine::{Effects, LogRecord, Lookups, Machine, Step, run_expired_timer};
pub use reply::{DueReply, Reply, ReplyToken};
pub use request::{ParkedRequest, Request};
pub use timers::{Timer, Timers};
