//! Brokers: registration, fencing, controlled shutdown, and failures of log directories.
//!
//! ```text
//!               register                caught up
//! (unknown) ───────────────▶ fenced ───────────────▶ active ──▶ in controlled shutdown
//!                              ▲  ▲   session ends      │                │ leads nothing
//!                              │  └────────────────────┘                │
//!                              └────────────────────────────────────────┘
//! ```
//!
//! A broker joins ISRs and leads partitions only while it is active.

use std::collections::BTreeSet;
use std::sync::Arc;

use dohle_model::features::{CORDONED_LOG_DIRS_FROM, METADATA_VERSION};
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::{BrokerRegistration, BrokerRegistrationChange, MetadataRecord};
use dohle_model::{ApiError, BrokerEpoch, DirectoryId, ErrorCode, NodeId, TopicIdPartition};
use dohle_protocol::messages::{UnregisterBrokerRequestData, UnregisterBrokerResponseData};
use dohle_rpc::v1;

use super::{Draft, Note, code_and_message, features, topic_id};

/// Checks that `epoch` is the epoch of the broker's current registration (KIP-380).
///
/// # Errors
/// `BROKER_ID_NOT_REGISTERED`, `STALE_BROKER_EPOCH`.
pub fn check_epoch(draft: &Draft, broker: NodeId, epoch: BrokerEpoch) -> Result<(), ApiError> {
    let Some(registration) = draft.image.brokers.get(&broker) else {
        return Err(
            ErrorCode::BrokerIdNotRegistered.because(format!("broker {broker} is not registered"))
        );
    };
    if registration.epoch != epoch {
        return Err(ErrorCode::StaleBrokerEpoch.because(format!(
            "broker {broker} sent epoch {epoch}, but is registered with epoch {}",
            registration.epoch
        )));
    }
    Ok(())
}

/// Registers a broker. Returns its epoch.
///
/// A new incarnation gets a new epoch and starts fenced. If the old one was not fenced, the same
/// batch fences it, so that elections run at once. The same incarnation keeps its epoch and state.
/// Replicas whose log directory is not among the registered ones leave the ISR and the ELR.
///
/// `previous` is the epoch of the registration under which the broker last stopped cleanly. If it
/// is not the epoch of the registration that is being replaced, the broker may have lost data that
/// were only in its page cache: while eligible leader replicas are tracked, it leaves the ISR and
/// the ELR of all its partitions (KIP-966, Kafka's `handleBrokerShutdown`).
///
/// Changes of partitions precede the registration: when only the first of them are committed, the
/// broker's next attempt makes the remaining ones.
///
/// # Errors
/// `DUPLICATE_BROKER_REGISTRATION` while another incarnation is connected; `INVALID_REGISTRATION`;
/// `UNSUPPORTED_VERSION` when a finalized feature level is not supported.
pub fn register(
    draft: &mut Draft,
    mut broker: BrokerRegistration,
    previous: Option<BrokerEpoch>,
) -> Result<BrokerEpoch, ApiError> {
    let id = broker.id;
    let existing = draft.image.brokers.get(&id).cloned();
    if let Some(existing) = &existing
        && existing.incarnation != broker.incarnation
        && draft.connected.contains(&id)
    {
        let at: Vec<String> = existing
            .endpoints
            .iter()
            .map(|e| format!("{}://{}:{}", e.listener, e.host, e.port))
            .collect();
        return Err(ErrorCode::DuplicateBrokerRegistration.because(format!(
            "another broker with node.id {id} is running at {}: give each node its own node.id",
            at.join(",")
        )));
    }
    check_registration(draft, &broker)?;
    features::check(draft, &broker)?;
    match existing {
        Some(existing) if existing.incarnation == broker.incarnation => {
            broker.epoch = existing.epoch;
            broker.fenced = existing.fenced;
            broker.in_controlled_shutdown = existing.in_controlled_shutdown;
        }
        existing => {
            let unclean = existing.is_some_and(|existing| previous != Some(existing.epoch));
            if unclean && draft.elr_enabled() {
                withdraw_unclean(draft, id);
            }
            fence(draft, id);
            broker.epoch = draft.image.next_broker_epoch;
            broker.fenced = true;
            broker.in_controlled_shutdown = false;
        }
    }
    strip_lost_directories(draft, id, &broker.log_dirs);
    let epoch = broker.epoch;
    let registered = draft.image.brokers.get(&id).map(|known| known.epoch);
    assert!(
        Some(epoch) >= registered,
        "broker {id} registers with epoch {epoch} after {registered:?}"
    );
    draft.push(MetadataRecord::RegisterBroker(broker));
    Ok(epoch)
}

/// Removes a broker that did not stop cleanly from the ISR and the ELR of its partitions.
fn withdraw_unclean(draft: &mut Draft, id: NodeId) {
    let mut partitions = 0;
    for (partition_id, partition) in replicas(draft, id) {
        partitions += usize::from(withdraw(draft, id, partition_id, &partition));
    }
    note(draft, id, partitions, "it did not stop cleanly");
}

fn note(draft: &mut Draft, broker: NodeId, partitions: usize, reason: &'static str) {
    if partitions > 0 {
        draft.notes.push(Note::LeftIsrs {
            broker,
            partitions,
            reason,
        });
    }
}

fn check_registration(draft: &Draft, broker: &BrokerRegistration) -> Result<(), ApiError> {
    let invalid = |text: String| Err(ErrorCode::InvalidRegistration.because(text));
    let id = broker.id;
    if id.0 < 0 {
        return invalid(format!("node.id {id} is negative"));
    }
    if broker.endpoints.is_empty() {
        return invalid(format!("broker {id} advertises no listener"));
    }
    if broker.log_dirs.is_empty() {
        return invalid(format!("broker {id} has no log directory that works"));
    }
    for (at, directory) in broker.log_dirs.iter().enumerate() {
        if *directory == DirectoryId::UNASSIGNED {
            return invalid(format!(
                "broker {id} has a log directory without directory.id"
            ));
        }
        if broker.log_dirs[..at].contains(directory) {
            return invalid(format!(
                "broker {id} has two log directories with directory.id {directory}: one is a copy"
            ));
        }
        let other = draft
            .image
            .brokers
            .values()
            .find(|b| b.id != id && b.log_dirs.contains(directory));
        if let Some(other) = other {
            return invalid(format!(
                "the log directory {directory} of broker {id} belongs to broker {}: one is a copy, \
                 or node.id was changed",
                other.id
            ));
        }
    }
    Ok(())
}

/// Removes replicas whose directory is missing from the ISR and the ELR: they lost their logs, so
/// they may not lead or count as in sync until they have fetched everything again.
fn strip_lost_directories(draft: &mut Draft, id: NodeId, log_dirs: &[DirectoryId]) {
    for (partition_id, partition) in replicas(draft, id) {
        let directory = partition.directory(id).unwrap_or(DirectoryId::UNASSIGNED);
        if directory == DirectoryId::UNASSIGNED || log_dirs.contains(&directory) {
            continue;
        }
        let Some(topic) = draft.topic_name(partition_id) else {
            continue;
        };
        let chosen = match log_dirs {
            [only] => *only,
            _ => DirectoryId::UNASSIGNED,
        };
        let mut target = draft.target(&topic, &partition);
        target.lost = vec![id];
        target.directories = vec![(id, chosen)];
        let change = draft.change_without(target, Some(id));
        draft.push_change(partition_id, change);
        draft.may_split();
    }
}

/// Fences a broker: removes it from every ISR and elects other leaders. Does nothing when the
/// broker is not registered or is already fenced.
pub fn fence(draft: &mut Draft, id: NodeId) {
    let Some(broker) = draft.image.brokers.get(&id) else {
        return;
    };
    if broker.fenced {
        return;
    }
    let epoch = broker.epoch;
    leave_isrs(draft, id, "it is fenced");
    push_registration_change(draft, id, epoch, |change| change.fenced = Some(true));
}

/// Unfences a broker, and elects it in leaderless partitions that it can lead. Does nothing when
/// the broker is not registered or is not fenced.
pub fn unfence(draft: &mut Draft, id: NodeId) {
    let Some(broker) = draft.image.brokers.get(&id) else {
        return;
    };
    if !broker.fenced {
        return;
    }
    let epoch = broker.epoch;
    push_registration_change(draft, id, epoch, |change| change.fenced = Some(false));
    let leaderless: Vec<TopicIdPartition> = draft.indexes.leaderless.iter().copied().collect();
    for partition_id in leaderless {
        let is_replica = draft
            .image
            .partition(&partition_id)
            .is_some_and(|p| p.replicas.contains(&id));
        if is_replica {
            super::leaders::elect_leaderless(draft, partition_id);
            draft.may_split();
        }
    }
}

/// Starts a controlled shutdown: elects other leaders and removes the broker from every ISR. Its
/// session continues until no other broker uses it any more.
pub fn begin_controlled_shutdown(draft: &mut Draft, id: NodeId) {
    let Some(broker) = draft.image.brokers.get(&id) else {
        return;
    };
    if broker.fenced || broker.in_controlled_shutdown {
        return;
    }
    let epoch = broker.epoch;
    leave_isrs(draft, id, "it is shutting down");
    push_registration_change(draft, id, epoch, |change| {
        change.in_controlled_shutdown = Some(true);
    });
}

/// Takes log directories of a broker offline. The replicas in them leave their ISRs and, where
/// eligible leader replicas are tracked, their ELRs, since the log of a failed directory may lack
/// its end.
pub fn take_directories_offline(draft: &mut Draft, id: NodeId, offline: &[DirectoryId]) {
    let Some(broker) = draft.image.brokers.get(&id) else {
        return;
    };
    let epoch = broker.epoch;
    let online: Vec<DirectoryId> = broker
        .log_dirs
        .iter()
        .copied()
        .filter(|dir| !offline.contains(dir))
        .collect();
    if online.len() == broker.log_dirs.len() {
        return;
    }
    let mut partitions = 0;
    for (partition_id, partition) in replicas(draft, id) {
        let is_offline = partition
            .directory(id)
            .is_some_and(|dir| offline.contains(&dir));
        if is_offline {
            partitions += usize::from(withdraw(draft, id, partition_id, &partition));
        }
    }
    note(draft, id, partitions, "their log directory failed");
    // The registration changes last: when only the first records are committed, the next heartbeat
    // makes the rest.
    push_registration_change(draft, id, epoch, |change| change.log_dirs = Some(online));
}

/// Records which log directory holds each of a broker's replicas (KIP-858). Skips replicas that
/// were removed meanwhile: the broker learns of that from the metadata.
///
/// # Errors
/// `BROKER_ID_NOT_REGISTERED`, `STALE_BROKER_EPOCH`, `INVALID_REQUEST`.
pub fn assign_replicas_to_dirs(
    draft: &mut Draft,
    request: &v1::AssignReplicasToDirsRequest,
) -> Result<(), ApiError> {
    let id = NodeId(request.broker_id);
    check_epoch(draft, id, BrokerEpoch(request.broker_epoch))?;
    for replica in &request.replicas {
        let (Some(topic_id), Ok(directory)) = (
            topic_id(&replica.topic_id),
            replica.directory.as_ref().try_into(),
        ) else {
            return Err(ErrorCode::InvalidRequest.because("an id does not have 16 bytes"));
        };
        let directory = DirectoryId::from_bytes(directory);
        let partition = dohle_model::PartitionIndex(replica.partition);
        let partition_id = TopicIdPartition {
            topic_id,
            partition,
        };
        let (Some(topic), Some(partition)) = (
            draft.topic_name(partition_id),
            draft.partition(partition_id),
        ) else {
            continue;
        };
        if !partition.replicas.contains(&id) {
            continue;
        }
        let mut target = draft.target(&topic, &partition);
        target.directories = vec![(id, directory)];
        let change = draft.change(target);
        draft.push_change(partition_id, change);
        let Some(partition) = draft.partition(partition_id) else {
            continue;
        };
        if !draft.has_online_directory(id, &partition) {
            withdraw(draft, id, partition_id, &partition);
        }
    }
    Ok(())
}

/// Plans UnregisterBroker.
#[must_use]
pub fn forget(
    draft: &mut Draft,
    request: &UnregisterBrokerRequestData,
) -> UnregisterBrokerResponseData {
    let result = unregister(draft, NodeId(request.broker_id));
    let (error_code, error_message) = code_and_message(&result);
    UnregisterBrokerResponseData {
        error_code,
        error_message,
        ..UnregisterBrokerResponseData::default()
    }
}

/// Removes the registration of a broker.
///
/// # Errors
/// `BROKER_ID_NOT_REGISTERED`.
pub fn unregister(draft: &mut Draft, id: NodeId) -> Result<(), ApiError> {
    let Some(broker) = draft.image.brokers.get(&id) else {
        return Err(
            ErrorCode::BrokerIdNotRegistered.because(format!("broker {id} is not registered"))
        );
    };
    let epoch = broker.epoch;
    leave_isrs(draft, id, "it was unregistered");
    draft.push(MetadataRecord::UnregisterBroker { id, epoch });
    Ok(())
}

fn leave_isrs(draft: &mut Draft, id: NodeId, reason: &'static str) {
    let mut partitions = 0;
    for (partition_id, partition) in replicas(draft, id) {
        partitions += usize::from(leave_isr(draft, id, partition_id, &partition));
    }
    note(draft, id, partitions, reason);
}

/// Removes a replica from the ISR. Returns whether that changed the partition.
fn leave_isr(
    draft: &mut Draft,
    id: NodeId,
    partition_id: TopicIdPartition,
    partition: &PartitionRegistration,
) -> bool {
    if !partition.isr.contains(&id) {
        return false;
    }
    let Some(topic) = draft.topic_name(partition_id) else {
        return false;
    };
    let mut target = draft.target(&topic, partition);
    target.isr.retain(|node| *node != id);
    let change = draft.change_without(target, Some(id));
    let changed = draft.push_change(partition_id, change);
    draft.may_split();
    changed
}

/// Removes a replica whose log may lack its end from the ISR and, where eligible leader replicas
/// are tracked, from the ELR. Returns whether it was in one of them.
fn withdraw(
    draft: &mut Draft,
    id: NodeId,
    partition_id: TopicIdPartition,
    partition: &PartitionRegistration,
) -> bool {
    if !draft.elr_enabled() {
        return leave_isr(draft, id, partition_id, partition);
    }
    if !partition.isr.contains(&id) && !partition.elr.contains(&id) {
        return false;
    }
    let Some(topic) = draft.topic_name(partition_id) else {
        return false;
    };
    let mut target = draft.target(&topic, partition);
    target.unclean = vec![id];
    let change = draft.change_without(target, Some(id));
    let changed = draft.push_change(partition_id, change);
    draft.may_split();
    changed
}

/// Returns the partitions of which a broker has a replica.
fn replicas(draft: &Draft, id: NodeId) -> Vec<(TopicIdPartition, Arc<PartitionRegistration>)> {
    let Some(ids) = draft.image.replicas_of.get(&id) else {
        return Vec::new();
    };
    ids.iter()
        .filter_map(|id| Some((*id, draft.partition(*id)?)))
        .collect()
}

/// Records which log directories of a broker get no new replicas (KIP-1066), unless the metadata
/// have them already, or their version is too old for it.
pub fn cordon_directories(draft: &mut Draft, id: NodeId, cordoned: &[DirectoryId]) {
    let Some(broker) = draft.image.brokers.get(&id).cloned() else {
        return;
    };
    let level = draft.image.feature_level(METADATA_VERSION);
    let ids = |dirs: &[DirectoryId]| dirs.iter().copied().collect::<BTreeSet<_>>();
    let wanted = ids(cordoned);
    if level < CORDONED_LOG_DIRS_FROM || ids(&broker.cordoned_log_dirs) == wanted {
        return;
    }
    push_registration_change(draft, id, broker.epoch, |change| {
        change.cordoned_log_dirs = Some(wanted.into_iter().collect());
    });
}

/// Returns the number of partitions that a broker leads.
#[must_use]
pub fn leaderships(draft: &Draft, id: NodeId) -> usize {
    let Some(ids) = draft.image.replicas_of.get(&id) else {
        return 0;
    };
    ids.iter()
        .filter(|partition| {
            draft
                .image
                .partition(partition)
                .is_some_and(|p| p.leader == Some(id))
        })
        .count()
}

fn push_registration_change(
    draft: &mut Draft,
    id: NodeId,
    epoch: BrokerEpoch,
    set: impl FnOnce(&mut BrokerRegistrationChange),
) {
    let mut change = BrokerRegistrationChange {
        id,
        epoch,
        fenced: None,
        in_controlled_shutdown: None,
        log_dirs: None,
        cordoned_log_dirs: None,
    };
    set(&mut change);
    draft.push(MetadataRecord::BrokerRegistrationChange(change));
}
