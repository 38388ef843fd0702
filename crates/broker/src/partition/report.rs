//! One replica as a person looks at it.

use std::time::Duration;

use dohle_model::{DirectoryId, NodeId, Offset, PartitionEpoch};
use dohle_telemetry::history::Event;

use super::Partition;
use super::history::PartitionChange;
use super::state::{LogState, Role, State};
use super::types::Positions;
use crate::replica::{Isr, Leader};

/// A replica on this broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionReport {
    /// The leader, by the last registration that this broker has applied.
    pub leader: Option<NodeId>,
    /// The positions, and the leader epoch.
    pub positions: Positions,
    /// The last registration that was applied.
    pub partition_epoch: Option<PartitionEpoch>,
    /// Bytes of the log.
    pub size: u64,
    /// The log directory.
    pub dir: DirectoryId,
    /// Why there is no log; `None` while the log is online.
    pub offline: Option<String>,
    /// Why this follower makes no progress; `None` while it does, and on a leader.
    pub obstacle: Option<String>,
    /// The leader's view; `None` on a follower.
    pub leading: Option<LeaderReport>,
    /// Produce requests, and requests of coordinators, that wait until records are committed.
    pub waiting_commits: usize,
    /// DeleteRecords requests that wait until all replicas have deleted records.
    pub waiting_deletes: usize,
}

/// A leader's view of its followers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaderReport {
    /// The ISR that the controller has committed.
    pub isr: Vec<NodeId>,
    /// A change of it that was proposed to the controller.
    pub pending: Option<PendingIsr>,
    /// `min.insync.replicas`, but no more than there are replicas.
    pub min_isr: usize,
    /// The other replicas.
    pub followers: Vec<FollowerReport>,
}

/// A change of the ISR that the controller has to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PendingIsr {
    /// The addition of a member.
    Adding(NodeId),
    /// The removal of members.
    Removing(Vec<NodeId>),
}

/// A follower, as its leader sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FollowerReport {
    /// The broker.
    pub id: NodeId,
    /// The end of its log, if it has subscribed in this leader epoch.
    pub log_end: Option<Offset>,
    /// How long ago it had all records of the leader; zero while it has them, `None` if it never
    /// had them.
    pub caught_up_ago: Option<Duration>,
    /// Whether it is connected.
    pub is_connected: bool,
    /// Whether its log directory has no space for records.
    pub is_paused: bool,
    /// Whether it may not join the ISR: its broker is fenced or shutting down, or its log directory
    /// failed.
    pub is_ineligible: bool,
}

impl Partition {
    /// Reports on the replica, under its lock.
    #[must_use]
    pub fn inspect(&self) -> PartitionReport {
        let now = self.shared.now();
        self.state.lock().inspect(self.shared.node, now)
    }

    /// Returns the changes of the leader and the ISR within the last day, the oldest first. Changes
    /// of the ISR are known to the broker that led then.
    #[must_use]
    pub fn changes(&self) -> Vec<Event<PartitionChange>> {
        self.shared.changes_of(&self.id)
    }
}

impl State {
    fn inspect(&self, node: NodeId, now: Duration) -> PartitionReport {
        let offline = match &self.log {
            LogState::Online(_) => None,
            LogState::Offline(reason) => Some(reason.clone()),
        };
        let (leader, leading) = match &self.role {
            Role::Leader(leader) => (Some(node), Some(leading(leader, now))),
            Role::Follower(follower) => (follower.leader(), None),
        };
        PartitionReport {
            leader,
            positions: self.positions(),
            partition_epoch: self.partition_epoch,
            size: self.log().map_or(0, dohle_log::Log::size),
            dir: self.dir,
            offline,
            obstacle: self.obstacle.clone().filter(|_| leading.is_none()),
            leading,
            waiting_commits: self.commits.len(),
            waiting_deletes: self.low_watermarks.len(),
        }
    }
}

fn leading(leader: &Leader, now: Duration) -> LeaderReport {
    let followers = leader.followers().iter();
    LeaderReport {
        isr: leader.isr().committed().to_vec(),
        pending: match leader.isr() {
            Isr::Committed { .. } => None,
            Isr::PendingExpand { adding, .. } => Some(PendingIsr::Adding(*adding)),
            Isr::PendingShrink { removing, .. } => Some(PendingIsr::Removing(removing.clone())),
        },
        min_isr: leader.min_isr(),
        followers: followers
            .map(|(id, progress)| FollowerReport {
                id: *id,
                log_end: progress.acked,
                caught_up_ago: match progress.acked == Some(leader.log_end()) {
                    true => Some(Duration::ZERO),
                    false => progress.caught_up_at.map(|at| now.saturating_sub(at)),
                },
                is_connected: progress.streaming,
                is_paused: progress.paused,
                is_ineligible: progress.ineligible,
            })
            .collect(),
    }
}
