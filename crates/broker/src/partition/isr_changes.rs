//! Logs why replicas leave and join the ISR. The controller sends no reasons; the leader derives
//! them from its own proposals and from the state of the brokers.

use dohle_model::image::MetadataImage;
use dohle_model::partition::PartitionRegistration;
use dohle_model::{DirectoryId, NodeId, TopicPartition};

use crate::replica::Lag;

/// The leader's part of the reasons.
#[derive(Debug, Clone, Copy)]
pub(super) struct Proposals<'a> {
    /// The removals that it proposed.
    pub(super) lags: &'a [Lag],
    /// Followers that have no space for records.
    pub(super) paused: &'a [NodeId],
}

/// Logs a line for each replica that the registration removes from the ISR or adds to it.
pub(super) fn log_isr_changes(
    partition: &TopicPartition,
    registration: &PartitionRegistration,
    before: &[NodeId],
    proposals: Proposals<'_>,
    image: &MetadataImage,
) {
    let (leader_epoch, partition_epoch) = (registration.leader_epoch, registration.partition_epoch);
    let isr: Vec<i32> = registration.isr.iter().map(|id| id.0).collect();
    for id in before.iter().filter(|id| !registration.isr.contains(id)) {
        let reason = removal_reason(*id, registration, proposals, image);
        tracing::info!(
            %partition, %leader_epoch, %partition_epoch, replica = %id, reason, ?isr, "ISR shrunk"
        );
    }
    for id in registration.isr.iter().filter(|id| !before.contains(id)) {
        let reason = "caught up with the leader";
        tracing::info!(
            %partition, %leader_epoch, %partition_epoch, replica = %id, reason, ?isr, "ISR expanded"
        );
    }
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
    if !registration.replicas.contains(&id) {
        return "no longer assigned to the partition".to_owned();
    }
    let Some(broker) = image.brokers.get(&id) else {
        return "its broker is not registered".to_owned();
    };
    if broker.fenced {
        return "its broker is fenced".to_owned();
    }
    if broker.in_controlled_shutdown {
        return "its broker is shutting down".to_owned();
    }
    let dir = registration.directory(id);
    if dir.is_some_and(|dir| dir != DirectoryId::UNASSIGNED && !broker.log_dirs.contains(&dir)) {
        return "its log directory is offline".to_owned();
    }
    "removed by the controller".to_owned()
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
        assert_eq!(reason(&[], fenced()), "its broker is fenced");
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
}
