//! Clients and faults against a cluster of real processes, and a checker of what the clients saw.
//!
//! ```text
//!   run ─▶ workers: producers, readers, groups, hostile ─▶ client ─▶ nodes
//!    │        └─▶ history ─▶ check
//!    └─▶ plan (a seed) ─▶ faults ─▶ nodes
//! ```
//!
//! The faults are those that `docs/durability.md` promises to survive: processes that die, hang and
//! are stopped in any number, links that are cut, disks that are full, one disk at a time that
//! fails or is replaced while the others are in sync, and descriptors that run out. `namespaces` is
//! why links and disks can be those of the nodes alone.

pub mod calls;
pub mod check;
pub mod client;
pub mod disk;
pub mod faults;
pub mod group;
pub mod history;
pub mod hostile;
pub mod namespaces;
pub mod network;
pub mod plan;
pub mod producer;
pub mod reader;
pub mod run;
