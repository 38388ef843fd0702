//! Modern groups: groups whose coordinator computes the assignment and lets each member approach it
//! (KIP-848). The counterpart of Kafka's `coordinator.group.modern`.
//!
//! ```text
//!   subscriptions, topics        group epoch rises       target assignment      a member's step
//!   group.rs, topics.rs    --->  group.rs          --->  target.rs, assignor/   reconcile.rs
//! ```
//!
//! This folder has everything that does not depend on one protocol's requests and records:
//! - `member`: the common part of members: ids, subscribed topics, epochs, partitions;
//! - `group`: the epochs of a group and the indexes over its members;
//! - `target`: the target assignment, when to compute a new one, and what it changes;
//! - `assignor`: the functions that compute it;
//! - `owners`, `reconcile`: who has which partition, and one step of a member towards its target;
//! - `heartbeat`: the check of the epoch that a heartbeat names;
//! - `topics`: what changed in the cluster's metadata since a group last compared its topics.
//!
//! Each protocol is a folder with its own member (a [`member::ModernMember`] and what that protocol
//! adds), its own group (a [`group::ModernGroup`] and its members), its requests, records and
//! replay. There is one so far: [`consumer`]. A share group (KIP-932) would use everything but
//! `owners` and `reconcile`, since several of its members have the same partition; a streams group
//! (KIP-1071) would bring an assignor of its own.

pub mod assignor;
pub mod consumer;
mod counts;
pub mod group;
pub(crate) mod heartbeat;
pub mod member;
pub(crate) mod owners;
pub(crate) mod reconcile;
pub(crate) mod target;
pub(crate) mod topics;
