//! Applies the controller's decisions: becoming leader or follower, and changes of the ISR.

use std::sync::Arc;

use dohle_log::Log;
use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::{DirectoryId, LeaderEpoch, NodeId, Offset};

use super::Partition;
use super::config::PartitionConfig;
use super::errors::RoleError;
use super::history::{LeaderBefore, Proposals, isr_changes, leader_change};
use super::state::{DeferredWakeups, LogState, Role, State};
use crate::replica::{
    AlterFailure, Follower, IsrProposal, Leader, LeaderConfig, LeaderRegistration,
};

impl Partition {
    /// Applies a registration that names this broker as leader, with its ISR and replicas.
    pub(crate) fn become_leader(
        &self,
        registration: &PartitionRegistration,
        lag_max: std::time::Duration,
    ) {
        let now = self.shared.now();
        let registered = LeaderRegistration {
            leader_epoch: registration.leader_epoch,
            partition_epoch: registration.partition_epoch,
            replicas: registration.replicas.clone(),
            isr: registration.isr.clone(),
        };
        self.with_contained(|state, wakes| {
            if state.is_older(registration) {
                return;
            }
            let leader_before = state.leader_before(self.shared.node);
            state.partition_epoch = Some(registration.partition_epoch);
            if let Role::Leader(leader) = &mut state.role
                && leader.epoch() == registration.leader_epoch
            {
                let (before, lags) = (leader.isr().committed().to_vec(), leader.lags().to_vec());
                let effects = leader.on_registration(&registered, now, |id, epoch| {
                    self.shared.is_eligible(&self.id, id, epoch)
                });
                if leader.isr().committed() != before {
                    let image = self.shared.image();
                    let paused = state.subscriptions.iter().filter(|it| it.paused);
                    let proposals = Proposals {
                        lags: &lags,
                        paused: &paused.map(|it| it.follower).collect::<Vec<_>>(),
                    };
                    let changes = isr_changes(&self.name, registration, &before, proposals, &image);
                    self.shared.note_changes(self.id, changes);
                    let after = &registration.isr;
                    let has_shrunk = before.iter().any(|id| !after.contains(id));
                    let has_grown = after.iter().any(|id| !before.contains(id));
                    self.shared.meters.isr_shrinks.add(has_shrunk.into());
                    self.shared.meters.isr_expands.add(has_grown.into());
                }
                state.apply(effects, &self.shared, wakes);
                self.note_lag(state);
                return;
            }
            let node = self.shared.node;
            let was_last_known = std::mem::take(&mut state.is_last_known_leader);
            state.end_leadership(&RoleError::NotLeader { leader: Some(node) }, wakes);
            let high_watermark = state.high_watermark;
            let config = LeaderConfig {
                min_insync_replicas: state.config.min_insync_replicas,
                lag_max,
            };
            let log_end = match state.log_mut() {
                Ok(log) => {
                    log.assign_epoch_start(registration.leader_epoch);
                    log.log_end_offset()
                }
                // An offline replica serves nothing, but keeps its role until the registration
                // changes.
                Err(_) => high_watermark,
            };
            let (leader, effects) =
                Leader::new(node, config, &registered, log_end, high_watermark, now);
            state.role = Role::Leader(leader);
            let change = leader_change(registration, leader_before, &self.shared.image());
            tracing::info!(
                partition = %self.name,
                leader_epoch = %registration.leader_epoch,
                reason = change.reason,
                isr = ?registration.isr,
                log_end_offset = %log_end,
                %high_watermark,
                "became leader"
            );
            self.shared.note_changes(self.id, vec![change]);
            // Nothing is lost when the last known leader leads again, as after each unclean stop of
            // a sole replica.
            if registration.leader_recovery_state == LeaderRecoveryState::Recovering
                && !was_last_known
            {
                tracing::warn!(
                    partition = %self.name,
                    leader_epoch = %registration.leader_epoch,
                    log_end_offset = %log_end,
                    %high_watermark,
                    "became leader through an unclean election: committed records that only other \
                     replicas have are lost"
                );
            }
            self.ask_for_repairs(state);
            self.warn_of_lost_log_start(state, registration);
            state.apply(effects, &self.shared, wakes);
            self.note_lag(state);
        });
    }

    /// Applies a registration that makes this broker a follower. Returns whether its leader or
    /// epoch is new.
    pub(crate) fn become_follower(&self, registration: &PartitionRegistration) -> bool {
        self.with_contained(|state, wakes| {
            if state.is_older(registration) {
                return false;
            }
            let leader_before = state.leader_before(self.shared.node);
            state.partition_epoch = Some(registration.partition_epoch);
            let leader = registration.leader;
            state.is_last_known_leader =
                leader.is_none() && registration.last_known_elr == [self.shared.node];
            if let Role::Follower(follower) = &state.role
                && follower.epoch() == registration.leader_epoch
                && follower.leader() == leader
            {
                return false;
            }
            state.end_leadership(&RoleError::NotLeader { leader }, wakes);
            state.role = Role::Follower(Follower::new(registration.leader_epoch, leader));
            let change = leader_change(registration, leader_before, &self.shared.image());
            tracing::info!(
                partition = %self.name,
                leader_epoch = %registration.leader_epoch,
                leader = ?leader.map(|id| id.0),
                reason = change.reason,
                "became follower"
            );
            self.shared.note_changes(self.id, vec![change]);
            self.ask_for_repairs(state);
            true
        })
    }

    /// Applies the registration with which the controller answered a proposal.
    pub(crate) fn on_isr_altered(&self, registration: &PartitionRegistration) {
        if registration.leader == Some(self.shared.node)
            && self.leader_epoch() == registration.leader_epoch
        {
            self.become_leader(registration, std::time::Duration::ZERO);
        }
    }

    /// Handles a proposal that the controller refused.
    pub(crate) fn on_isr_refused(&self, proposal: &IsrProposal, failure: AlterFailure) {
        let now = self.shared.now();
        self.with(|state, wakes| {
            let Ok((_, leader)) = state.leading() else {
                return;
            };
            let effects = leader.on_alter_partition_failure(proposal, failure, now);
            state.apply(effects, &self.shared, wakes);
            self.note_lag(state);
        });
    }

    /// Whether a proposal still waits for the controller's response.
    pub(crate) fn is_proposed(&self, proposal: &IsrProposal) -> bool {
        match &self.state.lock().role {
            Role::Leader(leader) => leader.is_proposed(proposal),
            Role::Follower(_) => false,
        }
    }

    /// Applies a change of the topic's configuration.
    pub(crate) fn set_config(&self, config: Arc<PartitionConfig>, lag_max: std::time::Duration) {
        let now = self.shared.now();
        let partition = self.id.partition.0;
        self.throttled.set(&config, partition, self.shared.node);
        self.with_contained(|state, wakes| {
            if let Ok(log) = state.log_mut() {
                log.set_config(Arc::clone(&config.log));
            }
            let min_insync_replicas = config.min_insync_replicas;
            state.config = config;
            if let Role::Leader(leader) = &mut state.role {
                let effects = leader.on_config(
                    LeaderConfig {
                        min_insync_replicas,
                        lag_max,
                    },
                    now,
                );
                state.apply(effects, &self.shared, wakes);
            }
        });
        self.ask_for_cleaning();
    }

    /// Takes a log that was closed for a shortage and opened again. The replica has no role until
    /// the metadata assign one.
    pub(crate) fn reopened(&self, log: Log, high_watermark: Offset) {
        self.with(|state, wakes| {
            state.end_leadership(&RoleError::NotLeader { leader: None }, wakes);
            state.log = LogState::Online(Box::new(log));
            state.role = Role::Follower(Follower::new(LeaderEpoch::ZERO, None));
            state.partition_epoch = None;
            state.is_short = false;
            state.high_watermark = Offset::ZERO;
            state.begin_at(high_watermark);
        });
    }

    /// Returns the log directory that holds the replica.
    #[must_use]
    pub fn directory(&self) -> DirectoryId {
        self.state.lock().dir
    }

    /// Takes the log offline because its directory failed.
    pub(crate) fn take_offline(&self, reason: &str) {
        self.with(|state, wakes| {
            if state.log().is_ok() {
                state.go_offline(reason.to_owned(), wakes);
            }
        });
    }
}

impl State {
    /// Returns the leader that this broker, `node`, has known.
    fn leader_before(&self, node: NodeId) -> LeaderBefore {
        match (&self.role, self.partition_epoch) {
            (_, None) => LeaderBefore::Unknown,
            (Role::Leader(_), Some(_)) => LeaderBefore::Known(Some(node)),
            (Role::Follower(follower), Some(_)) => LeaderBefore::Known(follower.leader()),
        }
    }

    /// Returns whether the registration is older than the last one that was applied.
    fn is_older(&self, registration: &PartitionRegistration) -> bool {
        self.partition_epoch
            .is_some_and(|known| registration.partition_epoch < known)
    }

    /// Retires the replica and returns its log, which the caller closes or deletes.
    pub(super) fn retire(&mut self, wakes: &mut DeferredWakeups) -> Option<Box<dohle_log::Log>> {
        let reason = "the replica was removed from this broker".to_owned();
        let gone = LogState::Offline(reason);
        let log = std::mem::replace(&mut self.log, gone);
        self.end_leadership(&RoleError::NotLeader { leader: None }, wakes);
        match log {
            LogState::Online(log) => Some(log),
            LogState::Offline(_) => None,
        }
    }
}
