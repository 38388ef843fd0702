//! A model of the controller: one partition's registration, elections, and the eligible leader
//! replicas (KIP-966) that make a crash with lost data survivable.

use std::collections::BTreeMap;

use dohle_broker::replica::{IsrProposal, LeaderRegistration};
use dohle_model::{BrokerEpoch, ErrorCode, LeaderEpoch, NodeId, PartitionEpoch};

/// What the brokers are told.
#[derive(Debug, Clone)]
pub struct Registration {
    pub leader: Option<NodeId>,
    pub registered: LeaderRegistration,
}

pub struct Controller {
    pub registration: Registration,
    pub elr: Vec<NodeId>,
    /// The epochs of the brokers that are not fenced.
    pub alive: BTreeMap<NodeId, BrokerEpoch>,
    pub min_isr: usize,
    next_broker_epoch: i64,
}

impl Controller {
    pub fn new(nodes: &[NodeId], min_isr: usize) -> Self {
        Self {
            registration: Registration {
                leader: nodes.first().copied(),
                registered: LeaderRegistration {
                    leader_epoch: LeaderEpoch(0),
                    partition_epoch: PartitionEpoch(0),
                    replicas: nodes.to_vec(),
                    isr: nodes.to_vec(),
                },
            },
            elr: Vec::new(),
            alive: BTreeMap::new(),
            min_isr,
            next_broker_epoch: 1,
        }
    }

    pub fn isr(&self) -> &[NodeId] {
        &self.registration.registered.isr
    }

    /// A broker registers. One that lost data is no safe replica any more.
    pub fn register(&mut self, node: NodeId, lost_data: bool) -> BrokerEpoch {
        self.fence(node);
        if lost_data {
            self.elr.retain(|id| *id != node);
            let isr: Vec<_> = self
                .isr()
                .iter()
                .copied()
                .filter(|id| *id != node)
                .collect();
            if isr.len() != self.isr().len() {
                self.change(isr);
            }
        }
        let epoch = BrokerEpoch(self.next_broker_epoch);
        self.next_broker_epoch += 1;
        self.alive.insert(node, epoch);
        self.maybe_elect();
        epoch
    }

    /// A broker is silent.
    pub fn fence(&mut self, node: NodeId) {
        if self.alive.remove(&node).is_none() {
            return;
        }
        let isr: Vec<_> = self
            .isr()
            .iter()
            .copied()
            .filter(|id| *id != node)
            .collect();
        if isr.len() != self.isr().len() {
            if isr.len() < self.min_isr {
                self.elr.push(node);
            }
            self.change(isr);
        }
        self.maybe_elect();
    }

    pub fn unfence(&mut self, node: NodeId, epoch: BrokerEpoch) {
        self.alive.insert(node, epoch);
        self.maybe_elect();
    }

    /// AlterPartition.
    pub fn alter(
        &mut self,
        leader: NodeId,
        proposal: &IsrProposal,
    ) -> Result<Registration, ErrorCode> {
        let registered = &self.registration.registered;
        if self.registration.leader != Some(leader)
            || proposal.leader_epoch != registered.leader_epoch
        {
            return Err(ErrorCode::FencedLeaderEpoch);
        }
        if proposal.partition_epoch != registered.partition_epoch {
            return Err(ErrorCode::InvalidUpdateVersion);
        }
        let eligible = |member: &dohle_broker::replica::IsrMember| {
            let known = self.alive.get(&member.id);
            known.is_some()
                && (member.broker_epoch.is_none() || known == member.broker_epoch.as_ref())
        };
        if !proposal.isr.iter().all(eligible) {
            return Err(ErrorCode::IneligibleReplica);
        }
        let isr: Vec<NodeId> = proposal.isr.iter().map(|member| member.id).collect();
        let gone: Vec<NodeId> = self
            .isr()
            .iter()
            .copied()
            .filter(|id| !isr.contains(id))
            .collect();
        self.elr.retain(|id| !isr.contains(id));
        if isr.len() < self.min_isr {
            self.elr.extend(gone);
        }
        self.change(isr);
        Ok(self.registration.clone())
    }

    fn change(&mut self, isr: Vec<NodeId>) {
        if isr.len() >= self.min_isr {
            self.elr.clear();
        }
        self.registration.registered.isr = isr;
        let epoch = self.registration.registered.partition_epoch;
        self.registration.registered.partition_epoch = epoch.next();
    }

    fn maybe_elect(&mut self) {
        let alive = |id: &NodeId| self.alive.contains_key(id);
        let leads = self
            .registration
            .leader
            .is_some_and(|leader| alive(&leader) && self.isr().contains(&leader));
        if leads {
            return;
        }
        let candidate = self
            .isr()
            .iter()
            .chain(&self.elr)
            .copied()
            .find(|id| alive(id));
        if candidate.is_none() && self.registration.leader.is_none() {
            return;
        }
        if let Some(leader) = candidate {
            self.elr.retain(|id| *id != leader);
            if !self.isr().contains(&leader) {
                let mut isr = self.isr().to_vec();
                isr.push(leader);
                self.change(isr);
            }
        }
        self.registration.leader = candidate;
        let registered = &mut self.registration.registered;
        registered.leader_epoch = registered.leader_epoch.next();
        registered.partition_epoch = registered.partition_epoch.next();
    }
}
