//! Why replicas left and joined the ISR and why leaders changed, for the log and for the history of
//! the last day. The controller sends no reasons; this broker derives them from its own proposals
//! and from the state of the brokers.

use dohle_model::image::MetadataImage;
use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::{DirectoryId, LeaderEpoch, NodeId, TopicPartition};
use dohle_telemetry::history::Limits;

use crate::replica::Lag;

/// At most 20 changes of one partition, and 20 000 of all partitions of this broker.
pub(crate) const LIMITS: Limits = Limits {
    of_subject: 20,
    of_all: 20_000,
};

/// A change of a partition's leader or ISR.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionChange {
    /// The leader epoch after it.
    pub leader_epoch: LeaderEpoch,
    /// The ISR after it.
    pub isr: Vec<NodeId>,
    /// What changed.
    pub kind: ChangeKind,
    /// Why, in plain words.
    pub reason: String,
    /// Whether this broker found the leader when it started or got the replica, so that the reason
    /// is not that of the election.
    pub found: bool,
}

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The partition has another leader, or none, or an election confirmed the leader.
    Leader(Option<NodeId>),
    /// A replica was removed from the ISR.
    IsrShrunk(NodeId),
    /// A replica was added to the ISR.
    IsrExpanded(NodeId),
}

/// The leader's part of the reasons.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proposals<'a> {
    /// The removals that it proposed.
    pub(super) lags: &'a [Lag],
    /// Followers that have no space for records.
    pub(super) paused: &'a [NodeId],
}

/// Logs a line for each replica that the registration removes from the ISR or adds to it, and
/// returns these changes.
pub(super) fn isr_changes(
    partition: &TopicPartition,
    registration: &PartitionRegistration,
    before: &[NodeId],
    proposals: Proposals<'_>,
    image: &MetadataImage,
) -> Vec<PartitionChange> {
    let (leader_epoch, partition_epoch) = (registration.leader_epoch, registration.partition_epoch);
    let isr: Vec<i32> = registration.isr.iter().map(|id| id.0).collect();
    let change = |kind: ChangeKind, reason: String| PartitionChange {
        leader_epoch,
        isr: registration.isr.clone(),
        kind,
        reason,
        found: false,
    };
    let mut changes = Vec::new();
    for id in before.iter().filter(|id| !registration.isr.contains(id)) {
        let reason = removal_reason(*id, registration, proposals, image);
        tracing::info!(
            %partition, %leader_epoch, %partition_epoch, replica = %id, reason, ?isr, "ISR shrunk"
        );
        changes.push(change(ChangeKind::IsrShrunk(*id), reason));
    }
    for id in registration.isr.iter().filter(|id| !before.contains(id)) {
        let reason = "caught up with the leader";
        tracing::info!(
            %partition, %leader_epoch, %partition_epoch, replica = %id, reason, ?isr, "ISR expanded"
        );
        changes.push(change(ChangeKind::IsrExpanded(*id), reason.to_owned()));
    }
    changes
}

fn removal_reason(
    id: NodeId,
    registration: &PartitionRegistration,
    proposals: Proposals<'_>,
    image: &MetadataImage,
) -> String {
    if let Some(lag) = proposals.lags.iter().find(|lag| lag.id == id) {
        return match proposals.paused.contains(&id) {
            true => format!("its log directory has no space for records: {lag}"),
            false => lag.to_string(),
        };
    }
    let reason = trouble(id, registration, image);
    reason.unwrap_or("removed by the controller").to_owned()
}

/// Returns why a replica can be neither leader nor in sync, as far as the metadata show it.
fn trouble(
    id: NodeId,
    registration: &PartitionRegistration,
    image: &MetadataImage,
) -> Option<&'static str> {
    if !registration.replicas.contains(&id) {
        return Some("no longer assigned to the partition");
    }
    let Some(broker) = image.brokers.get(&id) else {
        return Some("its broker is not registered");
    };
    if broker.fenced {
        return Some("its broker is fenced: its session with the controllers has ended");
    }
    if broker.in_controlled_shutdown {
        return Some("its broker is shutting down");
    }
    let dir = registration.directory(id);
    let is_offline =
        dir.is_some_and(|dir| dir != DirectoryId::UNASSIGNED && !broker.log_dirs.contains(&dir));
    is_offline.then_some("its log directory is offline")
}

/// What this broker knew of a partition's leader before a registration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LeaderBefore {
    /// Nothing: the registration is the first one since the broker started or got the replica.
    Unknown,
    /// The leader, or that there was none.
    Known(Option<NodeId>),
}

/// Returns the change of the leader that a registration makes.
pub(super) fn leader_change(
    registration: &PartitionRegistration,
    before: LeaderBefore,
    image: &MetadataImage,
) -> PartitionChange {
    PartitionChange {
        leader_epoch: registration.leader_epoch,
        isr: registration.isr.clone(),
        kind: ChangeKind::Leader(registration.leader),
        reason: leader_reason(registration, before, image),
        found: before == LeaderBefore::Unknown && registration.leader_epoch != LeaderEpoch::ZERO,
    }
}

fn leader_reason(
    registration: &PartitionRegistration,
    before: LeaderBefore,
    image: &MetadataImage,
) -> String {
    let before = match before {
        LeaderBefore::Unknown if registration.leader_epoch == LeaderEpoch::ZERO => {
            return "the partition was created".to_owned();
        }
        LeaderBefore::Unknown => {
            return "found when this broker started, or got the replica".to_owned();
        }
        LeaderBefore::Known(before) => before,
    };
    let lost = before.and_then(|id| Some((id, trouble(id, registration, image)?)));
    let Some(leader) = registration.leader else {
        return match lost {
            Some((id, trouble)) => {
                format!("no replica that may lead is alive; leader {id} before: {trouble}")
            }
            None => "no replica that may lead is alive".to_owned(),
        };
    };
    if registration.leader_recovery_state == LeaderRecoveryState::Recovering {
        return "unclean election: no replica in sync was alive".to_owned();
    }
    match (before, lost) {
        (None, _) => "a replica that may lead is alive again".to_owned(),
        (Some(id), _) if id == leader => "elected again, in a new leader epoch".to_owned(),
        (Some(id), Some((_, trouble))) => format!("took over from {id}: {trouble}"),
        (Some(id), None) if registration.replicas.first() == Some(&leader) => {
            format!("took over from {id}: it is the preferred leader, the first of the replicas")
        }
        (Some(id), None) => format!("took over from {id}: elected by the controller"),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use dohle_model::record::BrokerRegistration;
    use dohle_model::{BrokerEpoch, IncarnationId, LeaderEpoch, Offset, PartitionEpoch, Uuid};

    use super::*;

    const LEADER: NodeId = NodeId(1);
    const OTHER: NodeId = NodeId(2);
    const DIR: DirectoryId = DirectoryId(Uuid([5; 16]));

    fn registration() -> PartitionRegistration {
        PartitionRegistration {
            leader_epoch: LeaderEpoch(3),
            partition_epoch: PartitionEpoch(7),
            ..PartitionRegistration::new(vec![LEADER, OTHER], vec![DIR; 2], vec![LEADER])
        }
    }

    fn image(change: impl FnOnce(&mut BrokerRegistration)) -> MetadataImage {
        let mut broker = BrokerRegistration {
            id: OTHER,
            incarnation: IncarnationId(Uuid([9; 16])),
            epoch: BrokerEpoch(2),
            endpoints: vec![],
            rack: None,
            fenced: false,
            in_controlled_shutdown: false,
            log_dirs: vec![DIR],
            cordoned_log_dirs: Vec::new(),
            features: vec![],
        };
        change(&mut broker);
        let mut image = MetadataImage::default();
        image.brokers.insert(OTHER, Arc::new(broker));
        image
    }

    #[test]
    fn a_removal_is_explained_by_the_proposal_or_by_the_state_of_the_broker() {
        let reason_of = |lags: &[Lag], paused: &[NodeId], image| {
            let proposals = Proposals { lags, paused };
            removal_reason(OTHER, &registration(), proposals, &image)
        };
        let reason = |lags: &[Lag], image| reason_of(lags, &[], image);
        let lag = Lag {
            id: OTHER,
            streaming: false,
            acked: None,
            log_end: Offset(5),
            caught_up_ago: Some(Duration::from_secs(30)),
        };
        let fenced = || image(|broker| broker.fenced = true);
        assert!(reason(&[lag], fenced()).starts_with("not caught up for 30000 ms"));
        let paused = reason_of(&[lag], &[OTHER], image(|_| ()));
        let expected = "its log directory has no space for records: not caught up for 30000 ms";
        assert!(paused.starts_with(expected), "{paused}");
        assert_eq!(
            reason(&[], fenced()),
            "its broker is fenced: its session with the controllers has ended"
        );
        let shutdown = image(|broker| broker.in_controlled_shutdown = true);
        assert_eq!(reason(&[], shutdown), "its broker is shutting down");
        let offline = image(|broker| broker.log_dirs = vec![DirectoryId(Uuid([6; 16]))]);
        assert_eq!(reason(&[], offline), "its log directory is offline");
        assert_eq!(reason(&[], image(|_| ())), "removed by the controller");
        let unregistered = reason(&[], MetadataImage::default());
        assert_eq!(unregistered, "its broker is not registered");
        let mut moved = registration();
        moved.replicas = vec![LEADER];
        let none = Proposals {
            lags: &[],
            paused: &[],
        };
        let gone = removal_reason(OTHER, &moved, none, &image(|_| ()));
        assert_eq!(gone, "no longer assigned to the partition");
    }

    #[test]
    fn a_new_leader_is_explained_by_the_state_of_the_one_before() {
        let healthy = || image(|_| ());
        let reason = |before: LeaderBefore, registration: &PartitionRegistration, image| {
            let change = leader_change(registration, before, &image);
            assert_eq!(change.kind, ChangeKind::Leader(registration.leader));
            assert_eq!(change.found, change.reason.starts_with("found"));
            change.reason
        };
        let known = |id| LeaderBefore::Known(Some(id));
        let mut later = registration();
        let found = "found when this broker started, or got the replica";
        assert_eq!(reason(LeaderBefore::Unknown, &later, healthy()), found);
        let fenced = reason(known(OTHER), &later, image(|broker| broker.fenced = true));
        let expected = "took over from 2: its broker is fenced: its session with the controllers \
                        has ended";
        assert_eq!(fenced, expected);
        let stopping = image(|broker| broker.in_controlled_shutdown = true);
        let expected = "took over from 2: its broker is shutting down";
        assert_eq!(reason(known(OTHER), &later, stopping), expected);
        let preferred = reason(known(OTHER), &later, healthy());
        let expected = "took over from 2: it is the preferred leader, the first of the replicas";
        assert_eq!(preferred, expected);
        let again = reason(known(LEADER), &later, healthy());
        assert_eq!(again, "elected again, in a new leader epoch");
        let returned = reason(LeaderBefore::Known(None), &later, healthy());
        assert_eq!(returned, "a replica that may lead is alive again");
        later.replicas.reverse();
        let elected = reason(known(OTHER), &later, healthy());
        assert_eq!(elected, "took over from 2: elected by the controller");
        later.leader_recovery_state = LeaderRecoveryState::Recovering;
        let unclean = reason(known(OTHER), &later, healthy());
        assert_eq!(unclean, "unclean election: no replica in sync was alive");
        later.leader = None;
        let lost = reason(known(OTHER), &later, image(|broker| broker.fenced = true));
        assert!(lost.starts_with("no replica that may lead is alive; leader 2 before: its broker"));
        later.leader_epoch = LeaderEpoch::ZERO;
        let created = reason(LeaderBefore::Unknown, &later, healthy());
        assert_eq!(created, "the partition was created");
    }
}
