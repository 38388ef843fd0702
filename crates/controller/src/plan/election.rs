//! Elections as a pure target state: the desired state of a partition, and the smallest record that
//! reaches it. Follows `PartitionChangeBuilder.java` of Apache Kafka 4.3.
//!
//! Invariants of the result: the leader, if any, is in the ISR; the ISR is a subset of the
//! replicas; the ELR is disjoint from the ISR. Where eligible leader replicas are tracked (KIP-966)
//! the ISR may become empty, because its last member moves to the ELR; where they are not, the last
//! member of the ISR stays in it, and is removed only when that replica's log is lost.

use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::record::PartitionChange;
use dohle_model::{DirectoryId, NodeId};

/// How a leader is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Election {
    /// The preferred replica if it is in sync; otherwise the leader of [`Election::Online`].
    Preferred,
    /// The current leader if it can stay, else the first replica in sync.
    Online,
    /// Like [`Election::Online`], but when that finds no leader, any live replica: committed
    /// records may be lost.
    Unclean,
}

/// The rules for a partition's changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The effective `min.insync.replicas`: at most the number of replicas.
    pub min_isr: usize,
    /// Whether eligible leader replicas are tracked (KIP-966).
    pub elr: bool,
}

/// The desired state of a partition. Starts as the current state; change the fields, then call
/// [`PartitionTarget::change`].
#[derive(Debug, Clone)]
pub struct PartitionTarget<'a> {
    /// The current state.
    pub before: &'a PartitionRegistration,
    /// The ISR.
    pub isr: Vec<NodeId>,
    /// The replicas.
    pub replicas: Vec<NodeId>,
    /// The replicas that a reassignment removes.
    pub removing: Vec<NodeId>,
    /// The replicas that a reassignment adds.
    pub adding: Vec<NodeId>,
    /// New log directories, by replica.
    pub directories: Vec<(NodeId, DirectoryId)>,
    /// The recovery state.
    pub leader_recovery_state: LeaderRecoveryState,
    /// Replicas whose log is lost: they leave the ISR and the ELR, and are not recorded as the last
    /// known leader.
    pub lost: Vec<NodeId>,
    /// Replicas whose log may lack its end, because their broker stopped without flushing it or
    /// their log directory failed: they leave the ISR and the ELR, but one that was the last leader
    /// is recorded as the last known leader (Kafka's `uncleanShutdownReplicas`, KIP-966).
    pub unclean: Vec<NodeId>,
    /// How to choose a leader.
    pub election: Election,
    rules: Rules,
}

struct Elected {
    leader: Option<NodeId>,
    unclean: bool,
}

impl<'a> PartitionTarget<'a> {
    /// Creates a target that equals the current state.
    #[must_use]
    pub fn new(before: &'a PartitionRegistration, rules: Rules) -> Self {
        Self {
            before,
            isr: before.isr.clone(),
            replicas: before.replicas.clone(),
            removing: before.removing_replicas.clone(),
            adding: before.adding_replicas.clone(),
            directories: Vec::new(),
            leader_recovery_state: before.leader_recovery_state,
            lost: Vec::new(),
            unclean: Vec::new(),
            election: Election::Online,
            rules,
        }
    }

    /// Returns the record that changes the partition to the target; `None` when nothing changes.
    ///
    /// `acceptable` returns whether a replica may lead: its broker is alive and its log directory
    /// is online. `default_directory` returns the log directory of a replica that is new on its
    /// broker.
    #[must_use]
    pub fn change(
        mut self,
        acceptable: impl Fn(NodeId) -> bool,
        default_directory: impl Fn(NodeId) -> DirectoryId,
    ) -> Option<PartitionChange> {
        let before = self.before;
        let mut change = PartitionChange::default();
        let lost = std::mem::take(&mut self.lost);
        let mut withdrawn = std::mem::take(&mut self.unclean);
        withdrawn.extend(&lost);
        self.isr.retain(|node| !withdrawn.contains(node));
        self.complete_reassignment();
        let mut elr = self.eligible_leader_replicas(&withdrawn);

        let elected = self.elect(&elr, &withdrawn, &acceptable);
        if elected.leader != before.leader {
            change.leader = Some(elected.leader);
            if let Some(leader) = elected.leader {
                if elected.unclean {
                    self.isr = vec![leader];
                    elr.clear();
                    self.leader_recovery_state = LeaderRecoveryState::Recovering;
                } else if elr.contains(&leader) {
                    self.isr = vec![leader];
                    elr.retain(|node| *node != leader);
                }
            }
        } else if before
            .replicas
            .iter()
            .any(|node| !self.replicas.contains(node))
        {
            // Replicas were removed: with a new leader epoch, the leader stops tracking them.
            change.leader = Some(before.leader);
        }

        if elr != before.elr {
            change.elr = Some(elr);
        }
        let may_be_empty = self.rules.elr || !lost.is_empty();
        if self.isr != before.isr && (may_be_empty || !self.isr.is_empty()) {
            change.isr = Some(self.isr.clone());
        }
        let leader = change.leader.unwrap_or(before.leader);
        let last_known = self.last_known_leader(leader, &lost);
        if last_known != before.last_known_elr {
            change.last_known_elr = Some(last_known);
        }
        self.change_assignment(&mut change, default_directory);
        if self.leader_recovery_state != before.leader_recovery_state {
            change.leader_recovery_state = Some(self.leader_recovery_state);
        }
        (!change.is_empty()).then_some(change)
    }

    /// Completes a reassignment once all replicas that it adds are in sync. Replicas that it keeps
    /// may be out of sync, as in Kafka: their brokers may be down for long. Only when it removes
    /// more replicas than it adds, all that stay have to be in sync.
    fn complete_reassignment(&mut self) {
        if self.removing.is_empty() && self.adding.is_empty() {
            return;
        }
        let stays = |nodes: &[NodeId]| -> Vec<NodeId> {
            nodes
                .iter()
                .copied()
                .filter(|node| !self.removing.contains(node))
                .collect()
        };
        let (isr, replicas) = (stays(&self.isr), stays(&self.replicas));
        let awaited = match self.adding.len() < self.removing.len() {
            true => &replicas,
            false => &self.adding,
        };
        let is_waiting = awaited.iter().any(|node| !isr.contains(node));
        if isr.is_empty() || replicas.is_empty() || is_waiting {
            return;
        }
        self.isr = isr;
        self.replicas = replicas;
        self.removing = Vec::new();
        self.adding = Vec::new();
    }

    /// KIP-966: while fewer than `min_isr` replicas are in sync, nothing is committed, so replicas
    /// that leave the ISR still hold all committed records.
    fn eligible_leader_replicas(&self, withdrawn: &[NodeId]) -> Vec<NodeId> {
        if !self.rules.elr || self.isr.len() >= self.rules.min_isr {
            return Vec::new();
        }
        let mut elr = self.before.elr.clone();
        for node in &self.before.isr {
            if !elr.contains(node) {
                elr.push(*node);
            }
        }
        elr.retain(|node| {
            !self.isr.contains(node) && !withdrawn.contains(node) && self.replicas.contains(node)
        });
        elr.sort_unstable();
        elr
    }

    fn elect(
        &self,
        elr: &[NodeId],
        withdrawn: &[NodeId],
        acceptable: &impl Fn(NodeId) -> bool,
    ) -> Elected {
        let in_sync =
            |node: NodeId| self.isr.contains(&node) || (self.isr.is_empty() && elr.contains(&node));
        let valid = |node: &NodeId| in_sync(*node) && acceptable(*node);
        let current = || self.before.leader.filter(valid);
        let online = || self.replicas.iter().copied().find(valid);
        let clean = match self.election {
            Election::Preferred => self
                .replicas
                .first()
                .copied()
                .filter(valid)
                .or_else(current)
                .or_else(online),
            Election::Online | Election::Unclean => current().or_else(online),
        };
        if clean.is_some() {
            return Elected {
                leader: clean,
                unclean: false,
            };
        }
        // No replica is known to hold all committed records; the last leader is the best candidate
        // (KIP-966).
        if self.rules.elr
            && self.isr.is_empty()
            && elr.is_empty()
            && let [last] = self.before.last_known_elr[..]
            && acceptable(last)
            && !withdrawn.contains(&last)
            && self.replicas.contains(&last)
        {
            return Elected {
                leader: Some(last),
                unclean: true,
            };
        }
        if self.election == Election::Unclean {
            let can_lead = |node: &NodeId| acceptable(*node) && !withdrawn.contains(node);
            let leader = self.replicas.iter().copied().find(can_lead);
            return Elected {
                leader,
                unclean: leader.is_some(),
            };
        }
        Elected {
            leader: None,
            unclean: false,
        }
    }

    /// Returns the last leader of a partition that has no eligible replica left.
    fn last_known_leader(&self, leader: Option<NodeId>, lost: &[NodeId]) -> Vec<NodeId> {
        let mut last_known = if leader.is_some() || !self.rules.elr {
            Vec::new()
        } else if self.isr.is_empty() && self.before.leader.is_some() {
            self.before.leader.into_iter().collect()
        } else {
            self.before.last_known_elr.clone()
        };
        last_known.retain(|node| !lost.contains(node));
        last_known
    }

    fn change_assignment(
        &self,
        change: &mut PartitionChange,
        default_directory: impl Fn(NodeId) -> DirectoryId,
    ) {
        let before = self.before;
        let directory = |node: &NodeId| {
            let changed = self.directories.iter().find(|(of, _)| of == node);
            changed
                .map(|(_, directory)| *directory)
                .or_else(|| before.directory(*node))
                .unwrap_or_else(|| default_directory(*node))
        };
        let directories: Vec<DirectoryId> = self.replicas.iter().map(directory).collect();
        let changed = |target: &[NodeId], now: &[NodeId]| (target != now).then(|| target.to_vec());
        change.directories = (directories != before.directories).then_some(directories);
        change.replicas = changed(&self.replicas, &before.replicas);
        change.removing_replicas = changed(&self.removing, &before.removing_replicas);
        change.adding_replicas = changed(&self.adding, &before.adding_replicas);
    }
}
