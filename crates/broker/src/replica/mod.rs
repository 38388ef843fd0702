//! The replication rules of one partition: the progress of a leader's followers, the high
//! watermark, changes of the ISR, and a follower's reaction to its leader's messages.
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

mod dir_move;
mod follower;
mod isr;
mod leader;
mod positions;
mod progress;
#[cfg(test)]
mod tests;

pub use dir_move::{DirMove, Extent, MoveStep, MoveView, common_end, may_swap};
pub use follower::{FetchPosition, Follower, LeaderAnswer, OnLeader, diverges, truncation_offset};
pub use isr::{Isr, IsrMember, IsrProposal, Lag};
pub use leader::{
    AlterFailure, Effects, Leader, LeaderConfig, LeaderRegistration, NotEnoughReplicas,
    Subscription,
};
pub use positions::Positions;
pub use progress::Progress;
