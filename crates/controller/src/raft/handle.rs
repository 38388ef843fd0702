//! The types for Raft, its members and their addresses that all parts of a voter share.

use std::collections::BTreeMap;

use dohle_model::NodeId;

use super::machine::Machine;
use super::types::Types;

/// Raft with this crate's types and state machine.
pub(super) type Raft = openraft::Raft<Types, Machine>;
/// The host:port of each voter.
pub(super) type NodeAddress = BTreeMap<u64, String>;

/// Converts a voter's id to a node id; `None` for an id that is out of range.
pub(super) fn model_id(id: u64) -> Option<NodeId> {
    i32::try_from(id).ok().map(NodeId)
}
