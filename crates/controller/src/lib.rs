//! The metadata quorum: plan, Raft, replay.
//!
//! ```text
//! broker ──gRPC──▶ service ──▶ actor ──▶ plan (on a draft) ──▶ raft ──▶ machine (replay)
//!    ▲                                                                      │
//!    └───────────────────────────── feed ◀──────────────────────────────────┘
//! ```
//!
//! Only the active controller, which is the leader of the quorum, plans. Every voter replays. This
//! crate does not depend on partitions' logs or the Kafka API.

mod actor;
mod clock;
mod config;
mod controller;
mod feed;
mod heartbeats;
pub mod kafka_import;
mod metrics;
pub mod new_cluster;
mod peer;
pub mod plan;
pub mod raft;
mod service;
mod state_machine;

pub use config::{ControllerConfig, ReserveBytes, VoterAddress};
pub use controller::Controller;
pub use metrics::ControllerMetrics;
