//! What the metrics of a partition are made of.

use super::Partition;
use super::state::{LogState, Role};
use super::types::Positions;

/// One partition at the time of a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Measures {
    /// Its positions.
    pub positions: Positions,
    /// Whether this broker leads it and its log is online.
    pub is_leader: bool,
    /// Whether its log is offline.
    pub is_offline: bool,
    /// Bytes of its log.
    pub size: u64,
    /// The members of the ISR that the controller has committed; 0 on followers.
    pub isr: usize,
    /// `min.insync.replicas` of the topic.
    pub min_isr: usize,
}

impl Partition {
    /// Measures the partition, under its lock.
    pub(crate) fn measure(&self) -> Measures {
        let state = self.state.lock();
        let is_online = matches!(state.log, LogState::Online(_));
        let isr = match &state.role {
            Role::Leader(leader) => Some(leader.isr().committed().len()),
            Role::Follower(_) => None,
        };
        Measures {
            positions: state.positions(),
            is_leader: is_online && isr.is_some(),
            is_offline: !is_online,
            size: state.log().map_or(0, dohle_log::Log::size),
            isr: isr.unwrap_or(0),
            min_isr: state.config.min_insync_replicas,
        }
    }
}
