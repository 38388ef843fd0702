//! A log start that is lost, because the checkpoint that had it was damaged.
//!
//! Only that checkpoint records what DeleteRecords removed. Followers send their log starts with
//! each subscription and each ack, so a leader takes the log start of an in-sync replica. A
//! follower takes its leader's log start in any case.

use dohle_model::partition::PartitionRegistration;
use dohle_model::{NodeId, Offset};

use super::Partition;
use super::state::{Role, State};

impl Partition {
    /// Notes that the log start is lost and the log begins at its first segment.
    pub(crate) fn on_log_start_lost(&self) {
        self.state.lock().log_start_lost = true;
    }

    /// Whether the log start is lost and was not taken from another replica yet.
    pub(crate) fn is_log_start_lost(&self) -> bool {
        self.state.lock().log_start_lost
    }

    /// Logs that the log start stays lost if this leader has no other replica in sync. Where there
    /// is no other replica at all, the log starts with its first segment from now on.
    pub(super) fn warn_of_lost_log_start(
        &self,
        state: &mut State,
        registration: &PartitionRegistration,
    ) {
        let is_other = |id: &&NodeId| **id != self.shared.node;
        if !state.log_start_lost || registration.isr.iter().any(|id| is_other(&id)) {
            return;
        }
        tracing::warn!(
            partition = %self.name,
            log_start_offset = %state.positions().log_start_offset,
            "the log start is lost and no other replica is in sync: records removed by \
             DeleteRecords may reappear"
        );
        state.log_start_lost = registration.replicas.iter().any(|id| is_other(&id));
    }

    /// Takes the log start of an in-sync follower if this log's own is lost.
    pub(super) fn take_lost_log_start(
        &self,
        state: &mut State,
        follower: NodeId,
        log_start_offset: Offset,
    ) {
        // A log start above the high watermark is taken from a later ack.
        if !state.log_start_lost || log_start_offset > state.high_watermark {
            return;
        }
        let is_in_sync = match &state.role {
            Role::Leader(leader) => leader.isr().committed().contains(&follower),
            Role::Follower(_) => false,
        };
        if !is_in_sync {
            return;
        }
        let Ok(log) = state.log_mut() else { return };
        let before = log.log_start_offset();
        log.maybe_advance_log_start_offset(log_start_offset);
        let now = log.log_start_offset();
        state.log_start_lost = false;
        tracing::info!(
            partition = %self.name, %follower, from = %before, to = %now,
            "took the log start that was lost from an in-sync replica"
        );
        self.reclaim_soon(state);
    }
}
