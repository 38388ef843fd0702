//! What all parts of a voter call Raft, its members and their addresses.

use std::collections::BTreeMap;

use dohle_model::NodeId;

use super::machine::Machine;
use super::types::Types;

/// Raft with this crate's types and state machine.
pub(super) type Raft = openraft::Raft<Types, Machine>;
/// host:port by voter.
pub(super) type NodeAddress = BTreeMap<u64, String>;

/// The id of a voter as the rest of Dohle has it; `None` for one that no node can have.
pub(super) fn model_id(id: u64) -> Option<NodeId> {
    i32::try_from(id).ok().map(NodeId)
}
