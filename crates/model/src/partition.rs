//! A partition's metadata, as the controller maintains them.

use crate::ids::{DirectoryId, LeaderEpoch, NodeId, PartitionEpoch};

/// Whether a leader that was elected uncleanly still has to recover (KIP-704).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LeaderRecoveryState {
    /// The normal state.
    #[default]
    Recovered,
    /// Elected from outside the ISR; committed data may be missing.
    Recovering,
}

/// A partition's registration: replicas, ISR, leader and epochs.
///
/// Invariant: `isr` holds each replica at most once and only members of `replicas`; `leader`, when
/// there is one, is in `isr`; `directories` runs parallel to `replicas`; `elr` is disjoint from
/// `isr`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionRegistration {
    /// The assigned replicas in order of preference; the first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// The log directory of each replica; [`DirectoryId::UNASSIGNED`] until its broker has chosen
    /// one.
    pub directories: Vec<DirectoryId>,
    /// The replicas in sync.
    pub isr: Vec<NodeId>,
    /// Eligible leader replicas outside the ISR: they have all committed records (KIP-966).
    pub elr: Vec<NodeId>,
    /// The last members of the ELR that were lost in an unclean way (KIP-966).
    pub last_known_elr: Vec<NodeId>,
    /// Replicas that a running reassignment removes (KIP-455).
    pub removing_replicas: Vec<NodeId>,
    /// Replicas that a running reassignment adds (KIP-455).
    pub adding_replicas: Vec<NodeId>,
    /// The leader; `None` while the partition is offline.
    pub leader: Option<NodeId>,
    /// See [`LeaderRecoveryState`].
    pub leader_recovery_state: LeaderRecoveryState,
    /// Raised with every election.
    pub leader_epoch: LeaderEpoch,
    /// Raised with every change.
    pub partition_epoch: PartitionEpoch,
}

impl PartitionRegistration {
    /// Whether a reassignment is under way.
    #[must_use]
    pub fn is_reassigning(&self) -> bool {
        !self.removing_replicas.is_empty() || !self.adding_replicas.is_empty()
    }

    /// Returns the replica that leads while it is in sync.
    #[must_use]
    pub fn preferred_leader(&self) -> Option<NodeId> {
        self.replicas.first().copied()
    }

    /// Returns the log directory of `node`'s replica, if it is a replica.
    #[must_use]
    pub fn directory(&self, node: NodeId) -> Option<DirectoryId> {
        let at = self.replicas.iter().position(|replica| *replica == node)?;
        self.directories.get(at).copied()
    }
}
