//! The metadata quorum: plan, Raft, replay.

pub mod raft;
