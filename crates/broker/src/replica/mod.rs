//! The replication rules of one partition: what a leader knows of its followers, how far records
//! are committed, when the ISR is to change, and what a follower does with what it is sent.
//!
//! Pure: no tokio, files, clock or randomness. Time arrives as a [`std::time::Duration`] since some
//! fixed moment. Effects are returned; the caller applies them.
//!
//! ```text
//!              become_follower                       diverging, out of range
//!   (any) ────────────────────────▶ Idle ◀───────────────────────────────────┐
//!     │                              │ subscribe          (truncate first)   │
//!     │ become_leader                ▼                                       │
//!     ▼                          Subscribed ──── data, positions ──▶ Subscribed
//!   Leader: Isr::Committed ⇄ PendingExpand | PendingShrink   (AlterPartition)
//! ```

mod follower;
mod isr;
mod leader;
mod positions;
mod progress;
#[cfg(test)]
mod tests;

pub use follower::{FetchPosition, Follower, LeaderAnswer, OnLeader, diverges, truncation_offset};
pub use isr::{Isr, IsrMember, IsrProposal, Lag};
pub use leader::{
    AlterFailure, Effects, Leader, LeaderConfig, LeaderRegistration, NotEnoughReplicas,
};
pub use positions::Positions;
pub use progress::Progress;
