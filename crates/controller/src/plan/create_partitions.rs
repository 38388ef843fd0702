//! Plans CreatePartitions.

use dohle_model::record::MetadataRecord;
use dohle_model::{ApiError, ErrorCode, PartitionIndex};
use dohle_protocol::messages::create_partitions_request::{
    CreatePartitionsRequestData, CreatePartitionsTopic,
};
use dohle_protocol::messages::create_partitions_response::{
    CreatePartitionsResponseData, CreatePartitionsTopicResult,
};

use super::new_partitions::{
    check_assignment, check_room, check_somebody_runs, place, registration, seed, to_i32,
};
use super::{Draft, RECORDS_PER_REQUEST_MAX, capacity, code_and_message, distinct, node_ids};

/// Plans CreatePartitions. Each topic has its own outcome; a topic that is listed more than once is
/// refused, with one result.
#[must_use]
pub fn create(
    draft: &mut Draft,
    request: &CreatePartitionsRequestData,
) -> CreatePartitionsResponseData {
    let before = request.validate_only.then(|| draft.clone());
    let start = draft.records.len();
    let mut results = Vec::with_capacity(request.topics.len());
    for (topic, times) in distinct(&request.topics, |topic| topic.name.as_str()) {
        let room = RECORDS_PER_REQUEST_MAX.saturating_sub(draft.records.len() - start);
        let result = match times {
            1 => draft.attempt(|draft| add_partitions(draft, topic, room)),
            _ => Err(ErrorCode::InvalidRequest.because("the topic is named more than once")),
        };
        let (error_code, error_message) = code_and_message(&result);
        results.push(CreatePartitionsTopicResult {
            name: topic.name.clone(),
            error_code,
            error_message,
            ..CreatePartitionsTopicResult::default()
        });
    }
    if let Some(before) = before {
        draft.take_back(before);
    }
    CreatePartitionsResponseData {
        results,
        ..CreatePartitionsResponseData::default()
    }
}

fn add_partitions(
    draft: &mut Draft,
    wanted: &CreatePartitionsTopic,
    room: usize,
) -> Result<(), ApiError> {
    let Some(topic) = draft.image.topic(wanted.name.as_str()) else {
        return Err(ErrorCode::UnknownTopicOrPartition
            .because(format!("there is no topic {}", wanted.name)));
    };
    draft.check_space()?;
    let (id, now) = (topic.id, topic.partitions.len());
    let replication_factor = topic
        .partitions
        .values()
        .next()
        .map_or(1, |p| p.replicas.len());
    let reassigning = topic
        .partitions
        .values()
        .next()
        .filter(|p| p.is_reassigning());
    let replication_factor = reassigning.map_or(replication_factor, |p| {
        p.replicas.len() - p.adding_replicas.len()
    });
    let count = usize::try_from(wanted.count).unwrap_or(0);
    if count == now {
        return Err(
            ErrorCode::InvalidPartitions.because(format!("Topic already has {now} partition(s)."))
        );
    }
    if count < now {
        return Err(ErrorCode::InvalidPartitions.because(format!(
            "The topic {} currently has {now} partition(s); {} would not be an increase.",
            wanted.name, wanted.count
        )));
    }
    let additional = count - now;
    if let Some(assignments) = &wanted.assignments
        && assignments.len() != additional
    {
        return Err(ErrorCode::InvalidReplicaAssignment.because(format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) \
             were specified.",
            assignments.len()
        )));
    }
    check_room(additional, room)?;
    let assignment = if let Some(assignments) = &wanted.assignments {
        let mut assignment = Vec::with_capacity(additional);
        for (partition, replicas) in (to_i32(now)..).zip(assignments) {
            let replicas = node_ids(&replicas.broker_ids);
            check_assignment(draft, &replicas, Some(replication_factor))?;
            check_somebody_runs(draft, partition, &replicas)?;
            assignment.push(replicas);
        }
        assignment
    } else {
        place(draft, additional, replication_factor, seed(id, now))?
    };
    capacity::check_new_partitions(draft, &assignment)?;
    draft.charge_partitions(assignment.len())?;
    for (partition, replicas) in (to_i32(now)..).map(PartitionIndex).zip(assignment) {
        let registration = registration(draft, replicas);
        draft.push(MetadataRecord::Partition {
            topic_id: id,
            partition,
            registration,
        });
    }
    Ok(())
}
