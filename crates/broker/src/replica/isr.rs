//! The leader's view of the in-sync replicas while the controller decides about a change.

use std::time::Duration;

use dohle_model::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

/// The ISR and its pending change (KIP-497).
///
/// Invariant: while a change is pending, the controller may have committed the old set or the new
/// one. The high watermark, which needs every member, therefore depends on the *maximal* ISR, the
/// larger of the two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Isr {
    /// The controller's set; no change is pending.
    Committed {
        /// The members.
        isr: Vec<NodeId>,
    },
    /// The addition of a member was proposed.
    PendingExpand {
        /// The set that is known to be committed.
        isr: Vec<NodeId>,
        /// The new member.
        adding: NodeId,
    },
    /// The removal of members was proposed.
    PendingShrink {
        /// The set that is known to be committed.
        isr: Vec<NodeId>,
        /// The members to remove.
        removing: Vec<NodeId>,
    },
}

impl Isr {
    /// The set that is known to be committed.
    #[must_use]
    pub fn committed(&self) -> &[NodeId] {
        match self {
            Self::Committed { isr }
            | Self::PendingExpand { isr, .. }
            | Self::PendingShrink { isr, .. } => isr,
        }
    }

    /// Whether the maximal ISR has this member.
    #[must_use]
    pub fn maximal_contains(&self, id: NodeId) -> bool {
        let pending = matches!(self, Self::PendingExpand { adding, .. } if *adding == id);
        pending || self.committed().contains(&id)
    }

    /// The size of the maximal ISR.
    #[must_use]
    pub fn maximal_len(&self) -> usize {
        let pending = usize::from(matches!(self, Self::PendingExpand { .. }));
        self.committed().len() + pending
    }

    /// Whether a change is pending.
    #[must_use]
    pub fn is_pending(&self) -> bool {
        !matches!(self, Self::Committed { .. })
    }

    /// Drops the pending change. The committed set is valid.
    pub(super) fn revert(&mut self) {
        let isr = self.committed().to_vec();
        *self = Self::Committed { isr };
    }
}

/// How far a member of the ISR lagged when its removal was proposed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// The member.
    pub id: NodeId,
    /// Whether it was connected.
    pub streaming: bool,
    /// The end of the member's log, if it has subscribed in this leader epoch.
    pub acked: Option<Offset>,
    /// The end of the leader's log.
    pub log_end: Offset,
    /// How long ago it had all records of the leader; `None` when it never had.
    pub caught_up_ago: Option<Duration>,
}

impl std::fmt::Display for Lag {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = if self.streaming {
            "it is connected"
        } else {
            "it is not connected"
        };
        match self.caught_up_ago {
            Some(ago) => write!(f, "not caught up for {} ms", ago.as_millis())?,
            None => f.write_str("never caught up with this leader")?,
        }
        match self.acked {
            Some(acked) => write!(f, " (log end {acked} of {}, {state})", self.log_end),
            None => write!(
                f,
                " (log end unknown, the leader's is {}, {state})",
                self.log_end
            ),
        }
    }
}

/// A member of a proposed ISR, with the broker's registration in the leader's metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IsrMember {
    /// The broker.
    pub id: NodeId,
    /// Its epoch; `None` for the leader itself and where it is not known.
    pub broker_epoch: Option<BrokerEpoch>,
}

/// A new ISR, to be proposed to the controller (AlterPartition).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IsrProposal {
    /// The leader's epoch.
    pub leader_epoch: LeaderEpoch,
    /// The partition epoch of the proposal. The controller refuses it in any other.
    pub partition_epoch: PartitionEpoch,
    /// The new set.
    pub isr: Vec<IsrMember>,
}
