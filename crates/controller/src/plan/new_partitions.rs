//! Checks and registrations of new partitions, for CreateTopics and CreatePartitions. Pure.

use dohle_model::partition::PartitionRegistration;
use dohle_model::{ApiError, ErrorCode, NodeId, TopicId};

use super::{Draft, RECORDS_PER_REQUEST_MAX, listed, placement};

pub(super) fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

pub(super) fn place(
    draft: &Draft,
    partitions: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    let brokers = placement::usable_brokers(&draft.image);
    placement::place(&brokers, partitions, replication_factor, seed).map_err(|reason| {
        let all = draft.image.brokers.values();
        let cordoned = all.filter(|broker| !broker.has_uncordoned_dir());
        let cordoned: Vec<NodeId> = cordoned.map(|broker| broker.id).collect();
        let without = match cordoned.is_empty() {
            true => String::new(),
            false => format!(
                ", without those whose log directories are all cordoned: [{}]",
                listed(&cordoned)
            ),
        };
        ErrorCode::InvalidReplicationFactor.because(format!(
            "Unable to replicate the partition {replication_factor} time(s): {reason}{without}."
        ))
    })
}

/// Derives the seed from the topic's id, so that plans need no randomness and each topic starts at
/// another broker.
pub(super) fn seed(id: TopicId, start: usize) -> u64 {
    let bytes = id.to_bytes();
    let fold = |seed: u64, byte: &u8| (seed.rotate_left(7) ^ u64::from(*byte)).wrapping_mul(31);
    bytes.iter().fold(start as u64, fold)
}

pub(super) fn check_room(partitions: usize, room: usize) -> Result<(), ApiError> {
    if partitions > room {
        return Err(ErrorCode::PolicyViolation.because(format!(
            "{partitions} partitions are more than one request may create \
             ({RECORDS_PER_REQUEST_MAX} in all): use several requests"
        )));
    }
    Ok(())
}

/// Checks a list of replicas that the request specifies.
pub(super) fn check_assignment(
    draft: &Draft,
    replicas: &[NodeId],
    replication_factor: Option<usize>,
) -> Result<(), ApiError> {
    let invalid = |text: String| Err(ErrorCode::InvalidReplicaAssignment.because(text));
    if replicas.is_empty() {
        return invalid(
            "The manual partition assignment includes an empty replica list.".to_owned(),
        );
    }
    for (at, node) in replicas.iter().enumerate() {
        let Some(broker) = draft.image.brokers.get(node) else {
            let registered: Vec<NodeId> = draft.image.brokers.keys().copied().collect();
            return invalid(format!(
                "The manual partition assignment includes broker {node}, but no such broker is \
                 registered; registered are [{}].",
                listed(&registered)
            ));
        };
        // As in Kafka, also when the broker has a replica already.
        if !broker.has_uncordoned_dir() {
            return invalid(format!(
                "The manual partition assignment includes broker {node}, but all its log \
                 directories are cordoned."
            ));
        }
        if replicas[..at].contains(node) {
            return invalid(format!(
                "The manual partition assignment includes the broker {node} more than once."
            ));
        }
    }
    match replication_factor {
        Some(expected) if expected != replicas.len() => invalid(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is \
             not consistent with previous partitions, which have {expected} replica(s).",
            replicas.len()
        )),
        _ => Ok(()),
    }
}

pub(super) fn check_somebody_runs(
    draft: &Draft,
    partition: i32,
    replicas: &[NodeId],
) -> Result<(), ApiError> {
    if replicas.iter().any(|node| draft.is_eligible(*node)) {
        return Ok(());
    }
    Err(ErrorCode::InvalidReplicaAssignment.because(format!(
        "All brokers specified in the manual partition assignment for partition {partition} are \
         fenced or in controlled shutdown."
    )))
}

/// Returns the initial state of a partition: the active brokers' replicas are in sync, and the
/// first of them leads.
pub(super) fn registration(draft: &Draft, replicas: Vec<NodeId>) -> PartitionRegistration {
    let isr: Vec<NodeId> = replicas
        .iter()
        .copied()
        .filter(|node| draft.is_eligible(*node))
        .collect();
    let directories = replicas
        .iter()
        .map(|node| draft.default_directory(*node))
        .collect();
    PartitionRegistration::new(replicas, directories, isr)
}
