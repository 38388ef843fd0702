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
    /// Returns the registration of a new partition, in leader epoch 0 and partition epoch 0: the
    /// first replica in the ISR leads. `directories` runs parallel to `replicas`.
    #[must_use]
    pub fn new(replicas: Vec<NodeId>, directories: Vec<DirectoryId>, isr: Vec<NodeId>) -> Self {
        Self {
            replicas,
            directories,
            leader: isr.first().copied(),
            isr,
            elr: Vec::new(),
            last_known_elr: Vec::new(),
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch::ZERO,
            partition_epoch: PartitionEpoch::ZERO,
        }
    }

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

    /// Returns what contradicts the invariant of a registration; `None` when it holds.
    #[must_use]
    pub fn contradiction(&self) -> Option<&'static str> {
        fn is_repeated(nodes: &[NodeId]) -> bool {
            let is_later = |(at, node): (usize, &NodeId)| nodes[at + 1..].contains(node);
            nodes.iter().enumerate().any(is_later)
        }
        let is_replica = |node: &NodeId| self.replicas.contains(node);
        if self.replicas.is_empty() {
            return Some("it has no replica");
        }
        if self.directories.len() != self.replicas.len() {
            return Some("its log directories are not as many as its replicas");
        }
        if is_repeated(&self.replicas) || is_repeated(&self.isr) || is_repeated(&self.elr) {
            return Some("it has a replica twice");
        }
        if !self.isr.iter().chain(&self.elr).all(is_replica) {
            return Some("a broker in its ISR or ELR is no replica");
        }
        if self.elr.iter().any(|node| self.isr.contains(node)) {
            return Some("a replica is both in its ISR and its ELR");
        }
        if self
            .leader
            .is_some_and(|leader| !self.isr.contains(&leader))
        {
            return Some("its leader is not in its ISR");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_registration_contradicts_its_invariant_in_one_of_six_ways() {
        let nodes = |ids: &[i32]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let directories = vec![DirectoryId::UNASSIGNED; 3];
        let sound = PartitionRegistration {
            elr: nodes(&[3]),
            leader: Some(NodeId(2)),
            ..PartitionRegistration::new(nodes(&[1, 2, 3]), directories, nodes(&[1, 2]))
        };
        assert_eq!(sound.contradiction(), None);
        let broken: [fn(&mut PartitionRegistration); 8] = [
            |it| it.replicas.clear(),
            |it| it.directories.truncate(2),
            |it| it.replicas[0] = NodeId(3),
            |it| it.isr.push(NodeId(1)),
            |it| it.elr = vec![NodeId(4)],
            |it| it.isr[0] = NodeId(4),
            |it| it.elr = vec![NodeId(1)],
            |it| it.leader = Some(NodeId(3)),
        ];
        let found = broken.map(|change| {
            let mut registration = sound.clone();
            change(&mut registration);
            registration.contradiction()
        });
        let expected = [
            "it has no replica",
            "its log directories are not as many as its replicas",
            "it has a replica twice",
            "it has a replica twice",
            "a broker in its ISR or ELR is no replica",
            "a broker in its ISR or ELR is no replica",
            "a replica is both in its ISR and its ELR",
            "its leader is not in its ISR",
        ];
        assert_eq!(found, expected.map(Some));
    }
}
