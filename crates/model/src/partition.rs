//! A partition as the controller knows it.

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
    /// For each replica its log directory; [`DirectoryId::UNASSIGNED`] until the broker has chosen.
    pub directories: Vec<DirectoryId>,
    /// The replicas in sync.
    pub isr: Vec<NodeId>,
    /// Eligible leader replicas outside the ISR: they hold all that was committed (KIP-966).
    pub elr: Vec<NodeId>,
    /// The last members of the ELR that were lost in an unclean way (KIP-966).
    pub last_known_elr: Vec<NodeId>,
    /// Replicas that a running reassignment takes away (KIP-455).
    pub removing_replicas: Vec<NodeId>,
    /// Replicas that a running reassignment brings in (KIP-455).
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

    /// The replica that leads when all are well.
    #[must_use]
    pub fn preferred_leader(&self) -> Option<NodeId> {
        self.replicas.first().copied()
    }

    /// The log directory that `node` keeps this partition in, if it is a replica.
    #[must_use]
    pub fn directory(&self, node: NodeId) -> Option<DirectoryId> {
        let at = self.replicas.iter().position(|replica| *replica == node)?;
        self.directories.get(at).copied()
    }
}
