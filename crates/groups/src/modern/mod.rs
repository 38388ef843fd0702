//! Groups whose coordinator assigns partitions and reconciles each member with its assignment:
//! consumer groups (KIP-848).

pub mod assignor;
pub mod consumer;
pub mod member;
pub(crate) mod reconcile;
pub(crate) mod topics;
