//! Clients and faults against a cluster of real processes, and a checker of what the clients saw.
//!
//! ```text
//!   run ─▶ workers: producers, readers ─▶ client ─▶ nodes
//!    │        └─▶ history ─▶ check
//!    └─▶ plan (a seed) ─▶ faults ─▶ nodes
//! ```
//!
//! The faults are those that `docs/durability.md` promises to survive: processes that die, hang and
//! are stopped in any number, and one disk at a time that is replaced while the others are in sync.

pub mod check;
pub mod client;
pub mod faults;
pub mod history;
pub mod plan;
pub mod producer;
pub mod reader;
pub mod run;
