//! Partition reassignments (KIP-455): start, replace, cancel. Running reassignments are read from
//! the image; they complete when AlterPartition brings the replicas that they add into the ISR.
//!
//! ```text
//! replicas [1,2,3] → target [4,5,1]:  replicas [4,5,1,2,3] adding [4,5] removing [2,3]
//! ISR has 4, 5 and 1:                 replicas [4,5,1]
//! ```

use dohle_model::partition::PartitionRegistration;
use dohle_model::{ApiError, ErrorCode, NodeId, PartitionIndex, TopicIdPartition, TopicName};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::alter_partition_reassignments_request::{
    AlterPartitionReassignmentsRequestData, ReassignablePartition,
};
use dohle_protocol::messages::alter_partition_reassignments_response::{
    AlterPartitionReassignmentsResponseData, ReassignablePartitionResponse,
    ReassignableTopicResponse,
};

use super::capacity::Capacity;
use super::new_partitions::check_assignment;
use super::{Draft, code_and_message, node_ids};

/// Plans AlterPartitionReassignments. Each partition has its own outcome; the response lists the
/// topics as the request does.
#[must_use]
pub fn alter(
    draft: &mut Draft,
    request: &AlterPartitionReassignmentsRequestData,
) -> AlterPartitionReassignmentsResponseData {
    let allow_replication_factor_change = request.allow_replication_factor_change;
    let mut capacity = Capacity::default();
    let mut responses: Vec<ReassignableTopicResponse> = Vec::new();
    for topic in &request.topics {
        let mut partitions = Vec::with_capacity(topic.partitions.len());
        for wanted in &topic.partitions {
            let result = alter_one(
                draft,
                &mut capacity,
                &topic.name,
                wanted,
                allow_replication_factor_change,
            );
            let (error_code, error_message) = code_and_message(&result);
            partitions.push(ReassignablePartitionResponse {
                partition_index: wanted.partition_index,
                error_code,
                error_message,
                ..ReassignablePartitionResponse::default()
            });
        }
        responses.push(ReassignableTopicResponse {
            name: topic.name.clone(),
            partitions,
            ..ReassignableTopicResponse::default()
        });
    }
    AlterPartitionReassignmentsResponseData {
        allow_replication_factor_change,
        responses,
        ..AlterPartitionReassignmentsResponseData::default()
    }
}

fn alter_one(
    draft: &mut Draft,
    capacity: &mut Capacity,
    topic: &KafkaString,
    wanted: &ReassignablePartition,
    allow_replication_factor_change: bool,
) -> Result<(), ApiError> {
    let unknown = || {
        ErrorCode::UnknownTopicOrPartition.because(format!(
            "there is no partition {}-{}",
            topic, wanted.partition_index
        ))
    };
    let found = draft.image.topic(topic.as_str()).ok_or_else(unknown)?;
    let (name, topic_id) = (found.name.clone(), found.id);
    let id = TopicIdPartition {
        topic_id,
        partition: PartitionIndex(wanted.partition_index),
    };
    let partition = draft.partition(id).ok_or_else(unknown)?;
    match &wanted.replicas {
        None => cancel(draft, id, &name, &partition)?,
        Some(replicas) => {
            let target = node_ids(replicas);
            check_assignment(draft, &target, None)?;
            let original = original_replicas(&partition);
            if !allow_replication_factor_change && target.len() != original.len() {
                return Err(ErrorCode::InvalidReplicationFactor.because(format!(
                    "{name}-{} has {} replicas, the reassignment gives it {}, and changing the \
                     replication factor was not allowed",
                    id.partition,
                    original.len(),
                    target.len()
                )));
            }
            let is_new = |broker: &NodeId| !partition.replicas.contains(broker);
            capacity.check_new_replicas(draft, target.iter().copied().filter(is_new))?;
            reassign(draft, id, &name, &partition, &target);
        }
    }
    if let Some(changed) = draft.partition(id) {
        capacity.on_change(&partition.replicas, &changed.replicas);
    }
    Ok(())
}

fn reassign(
    draft: &mut Draft,
    id: TopicIdPartition,
    topic: &TopicName,
    partition: &PartitionRegistration,
    wanted: &[NodeId],
) {
    let outside = |nodes: &[NodeId], of: &[NodeId]| -> Vec<NodeId> {
        nodes
            .iter()
            .copied()
            .filter(|node| !of.contains(node))
            .collect()
    };
    let mut target = draft.target(topic, partition);
    let mut was_there = original_replicas(partition);
    // Replicas that an unfinished reassignment was adding and that are not part of this one are
    // removed at once, unless no other replica is in sync.
    let dropped = outside(&partition.adding_replicas, wanted);
    let isr = outside(&target.isr, &dropped);
    if isr.is_empty() {
        was_there.extend(dropped);
    } else {
        target.isr = isr;
    }
    target.removing = outside(&was_there, wanted);
    target.adding = outside(wanted, &was_there);
    // In Kafka's order, which lists of replicas show until the reassignment ends, and longer when
    // it is cancelled.
    target.removing.sort_unstable();
    target.adding.sort_unstable();
    target.replicas = wanted.iter().chain(&target.removing).copied().collect();
    let change = draft.change(target);
    draft.push_change(id, change);
}

fn cancel(
    draft: &mut Draft,
    id: TopicIdPartition,
    topic: &TopicName,
    partition: &PartitionRegistration,
) -> Result<(), ApiError> {
    if !partition.is_reassigning() {
        return Err(ErrorCode::NoReassignmentInProgress
            .because(format!("{topic}-{} is not being reassigned", id.partition)));
    }
    let original = original_replicas(partition);
    let mut target = draft.target(topic, partition);
    target.isr.retain(|node| original.contains(node));
    let complete = if partition.isr.is_empty() {
        &partition.elr
    } else {
        &partition.isr
    };
    if !complete.is_empty() && !complete.iter().any(|node| original.contains(node)) {
        // Only the added replicas hold all records: one of the others could only be elected
        // uncleanly.
        let can_lead = |node: &NodeId| {
            draft.is_eligible(*node) && draft.has_online_directory(*node, partition)
        };
        if !draft.unclean_election_allowed(topic) || !original.iter().any(can_lead) {
            return Err(ErrorCode::InvalidReplicaAssignment.because(format!(
                "cancelling the reassignment of {topic}-{} would lose records: none of its former \
                 replicas [{}] is in sync, and unclean.leader.election.enable is false or none of \
                 them is online",
                id.partition,
                super::listed(&original)
            )));
        }
    }
    target.replicas = original;
    target.removing = Vec::new();
    target.adding = Vec::new();
    let change = draft.change(target);
    draft.push_change(id, change);
    Ok(())
}

/// Returns the replicas without those that a running reassignment adds.
fn original_replicas(partition: &PartitionRegistration) -> Vec<NodeId> {
    let is_added = |node: &NodeId| partition.adding_replicas.contains(node);
    partition
        .replicas
        .iter()
        .copied()
        .filter(|node| !is_added(node))
        .collect()
}
