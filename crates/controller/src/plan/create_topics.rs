//! Topics: create, delete, add partitions.

use std::collections::BTreeMap;

use dohle_model::partition::{LeaderRecoveryState, PartitionRegistration};
use dohle_model::record::{ConfigResource, MetadataRecord};
use dohle_model::{
    ApiError, ErrorCode, LeaderEpoch, METADATA_TOPIC, NodeId, PartitionEpoch, PartitionIndex,
    TopicId, TopicName, Uuid,
};
use dohle_protocol::messages::create_partitions_request::{
    CreatePartitionsRequestData, CreatePartitionsTopic,
};
use dohle_protocol::messages::create_partitions_response::{
    CreatePartitionsResponseData, CreatePartitionsTopicResult,
};
use dohle_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequestData,
};
use dohle_protocol::messages::create_topics_response::{
    CreatableTopicResult, CreateTopicsResponseData,
};
use dohle_protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequestData};
use dohle_protocol::messages::delete_topics_response::{
    DeletableTopicResult, DeleteTopicsResponseData,
};
use dohle_protocol::{KafkaUuid, text, uuid, uuid_bytes};

use super::{
    Draft, RECORDS_PER_REQUEST_MAX, capacity, code_and_message, configs, distinct, listed,
    node_ids, placement,
};

struct Created {
    partitions: usize,
    replication_factor: usize,
}

/// Plans CreateTopics. Each topic has its own outcome; a topic that is listed more than once is
/// refused, with one result. The ids of the topics derive from the request's id: an existing topic
/// with the same id was created by an earlier attempt of the same request, which counts as success.
#[must_use]
pub fn create(
    draft: &mut Draft,
    request: &CreateTopicsRequestData,
    request_id: Uuid,
) -> CreateTopicsResponseData {
    let before = request.validate_only.then(|| draft.clone());
    let mut names = NameKeys::default();
    let mut topics = Vec::with_capacity(request.topics.len());
    let start = draft.records.len();
    let wanted = distinct(&request.topics, |topic| topic.name.as_str());
    for (index, (topic, times)) in wanted.into_iter().enumerate() {
        let id = new_id(request_id, index);
        let room = RECORDS_PER_REQUEST_MAX.saturating_sub(draft.records.len() - start);
        let created = check_name(topic.name.as_str(), times)
            .and_then(|()| draft.attempt(|draft| create_one(draft, &mut names, topic, id, room)));
        let (error_code, error_message) = code_and_message(&created);
        let mut result = CreatableTopicResult {
            name: topic.name.clone(),
            error_code,
            error_message,
            num_partitions: -1,
            replication_factor: -1,
            configs: None,
            ..CreatableTopicResult::default()
        };
        if let Ok(created) = created {
            result.topic_id = uuid(id.to_bytes());
            result.num_partitions = to_i32(created.partitions);
            let replicas = i16::try_from(created.replication_factor);
            result.replication_factor = replicas.unwrap_or(i16::MAX);
        }
        topics.push(result);
    }
    if let Some(before) = before {
        *draft = before;
    }
    CreateTopicsResponseData {
        topics,
        ..CreateTopicsResponseData::default()
    }
}

/// Returns the id of the topic number `index` of a request; the first topic has the request's id.
/// Ids within one request differ, because an odd number times `index` is different for each index.
fn new_id(request: Uuid, index: usize) -> TopicId {
    // Only bits below the UUID's variant change, so that the id stays a valid random UUID.
    const COUNTED: u128 = (1 << 62) - 1;
    const STEP: u128 = 0x9e37_79b9_7f4a_7c15;
    let bits = u128::from_be_bytes(request.0);
    let counted = bits.wrapping_add(STEP.wrapping_mul(index as u128)) & COUNTED;
    TopicId::from_bytes(((bits & !COUNTED) | counted).to_be_bytes())
}

fn check_name(name: &str, times: usize) -> Result<(), ApiError> {
    let message = match name {
        _ if times > 1 => format!("topic {name:?} is named more than once in the request"),
        METADATA_TOPIC => format!("{name} is the quorum's own log, not a topic to be created"),
        _ => return Ok(()),
    };
    Err(ErrorCode::InvalidRequest.because(message))
}

fn to_i32(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}

/// The collision keys of existing names that contain `.` or `_`, computed only when a request needs
/// them.
#[derive(Default)]
struct NameKeys(Option<BTreeMap<String, TopicName>>);

impl NameKeys {
    fn colliding(&mut self, draft: &Draft, name: &TopicName) -> Option<TopicName> {
        if !name.as_str().contains(['.', '_']) {
            return None;
        }
        let keys = self.0.get_or_insert_with(|| {
            let names = draft
                .image
                .topic_ids
                .keys()
                .filter(|n| n.as_str().contains(['.', '_']));
            names
                .map(|name| (name.collision_key(), name.clone()))
                .collect()
        });
        keys.get(&name.collision_key()).cloned()
    }

    fn created(&mut self, name: &TopicName) {
        if let Some(keys) = &mut self.0
            && name.as_str().contains(['.', '_'])
        {
            keys.insert(name.collision_key(), name.clone());
        }
    }
}

fn create_one(
    draft: &mut Draft,
    names: &mut NameKeys,
    topic: &CreatableTopic,
    id: TopicId,
    room: usize,
) -> Result<Created, ApiError> {
    let name = TopicName::new(topic.name.as_str())
        .map_err(|error| ErrorCode::InvalidTopicException.because(error.to_string()))?;
    if let Some(existing) = draft.image.topic(name.as_str()) {
        if existing.id == id {
            let replicas = existing
                .partitions
                .values()
                .next()
                .map_or(0, |p| p.replicas.len());
            let partitions = existing.partitions.len();
            return Ok(Created {
                partitions,
                replication_factor: replicas,
            });
        }
        return Err(
            ErrorCode::TopicAlreadyExists.because(format!("Topic '{name}' already exists."))
        );
    }
    draft.check_space()?;
    if let Some(other) = names.colliding(draft, &name) {
        return Err(ErrorCode::InvalidTopicException.because(format!(
            "Topic '{name}' collides with existing topic: {other} ('.' and '_' are one character \
             in the names of metrics)"
        )));
    }
    let configs = creation_configs(draft, &name, &topic.configs)?;
    let assignment = if topic.assignments.is_empty() {
        place_new(draft, id, topic, room)?
    } else {
        check_manual(draft, topic, room)?
    };
    capacity::check_new_partitions(draft, &assignment)?;
    draft.push(MetadataRecord::Topic {
        name: name.clone(),
        id,
    });
    for record in configs {
        draft.push(record);
    }
    let created = Created {
        partitions: assignment.len(),
        replication_factor: assignment.first().map_or(0, Vec::len),
    };
    for (partition, replicas) in (0..).map(PartitionIndex).zip(assignment) {
        let registration = registration(draft, replicas);
        draft.push(MetadataRecord::Partition {
            topic_id: id,
            partition,
            registration,
        });
    }
    names.created(&name);
    Ok(created)
}

fn creation_configs(
    draft: &Draft,
    name: &TopicName,
    entries: &[CreatableTopicConfig],
) -> Result<Vec<MetadataRecord>, ApiError> {
    let resource = ConfigResource::Topic(name.clone());
    let mut values = BTreeMap::new();
    for entry in entries {
        let Some(value) = &entry.value else {
            return Err(ErrorCode::InvalidConfig.because(format!(
                "Null value not supported for topic configs: {}",
                entry.name
            )));
        };
        configs::check_value(draft, &resource, entry.name.as_str(), value.as_str())?;
        values.insert(entry.name.to_string(), value.to_string());
    }
    configs::check_together(draft, &resource, &values)?;
    let record = |(key, value): (String, String)| MetadataRecord::Config {
        resource: resource.clone(),
        key,
        value: Some(value),
    };
    Ok(values.into_iter().map(record).collect())
}

fn place_new(
    draft: &Draft,
    id: TopicId,
    topic: &CreatableTopic,
    room: usize,
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    let settings = &draft.settings;
    let chosen = |wanted: i32, default: i32| if wanted == -1 { default } else { wanted };
    let replication_factor = chosen(
        i32::from(topic.replication_factor),
        settings.default_replication_factor,
    );
    let partitions = chosen(topic.num_partitions, settings.num_partitions);
    let replication_factor = usize::try_from(replication_factor).unwrap_or(0);
    if replication_factor == 0 {
        return Err(ErrorCode::InvalidReplicationFactor
            .because("Replication factor must be larger than 0, or -1 to use the default value."));
    }
    let partitions = usize::try_from(partitions).unwrap_or(0);
    if partitions == 0 {
        return Err(ErrorCode::InvalidPartitions.because(
            "Number of partitions was set to an invalid non-positive value. Use 1 or more, or -1 \
             for the default.",
        ));
    }
    check_room(partitions, room)?;
    place(draft, partitions, replication_factor, seed(id, 0))
}

fn place(
    draft: &Draft,
    partitions: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    let brokers = placement::usable_brokers(&draft.image);
    placement::place(&brokers, partitions, replication_factor, seed).map_err(|reason| {
        ErrorCode::InvalidReplicationFactor.because(format!(
            "Unable to replicate the partition {replication_factor} time(s): {reason}."
        ))
    })
}

/// Derives the seed from the topic's id, so that plans need no randomness and each topic starts at
/// another broker.
fn seed(id: TopicId, start: usize) -> u64 {
    let bytes = id.to_bytes();
    let fold = |seed: u64, byte: &u8| (seed.rotate_left(7) ^ u64::from(*byte)).wrapping_mul(31);
    bytes.iter().fold(start as u64, fold)
}

fn check_room(partitions: usize, room: usize) -> Result<(), ApiError> {
    if partitions > room {
        return Err(ErrorCode::PolicyViolation.because(format!(
            "{partitions} partitions are more than one request may create \
             ({RECORDS_PER_REQUEST_MAX} in all): use several requests"
        )));
    }
    Ok(())
}

fn check_manual(
    draft: &Draft,
    topic: &CreatableTopic,
    room: usize,
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    if topic.replication_factor != -1 {
        return Err(ErrorCode::InvalidRequest.because(
            "A manual partition assignment was specified, but replication factor was not set to \
             -1.",
        ));
    }
    if topic.num_partitions != -1 {
        return Err(ErrorCode::InvalidRequest.because(
            "A manual partition assignment was specified, but numPartitions was not set to -1.",
        ));
    }
    check_room(topic.assignments.len(), room)?;
    let invalid = |text: String| Err(ErrorCode::InvalidReplicaAssignment.because(text));
    let mut by_partition = BTreeMap::new();
    let mut replication_factor = None;
    for assignment in &topic.assignments {
        let replicas = node_ids(&assignment.broker_ids);
        check_assignment(draft, &replicas, replication_factor)?;
        replication_factor = Some(replicas.len());
        check_somebody_runs(draft, assignment.partition_index, &replicas)?;
        if by_partition
            .insert(assignment.partition_index, replicas)
            .is_some()
        {
            return invalid(format!(
                "Found multiple manual partition assignments for partition {}",
                assignment.partition_index
            ));
        }
    }
    if by_partition
        .keys()
        .zip(0..)
        .any(|(partition, expected)| *partition != expected)
    {
        return invalid("partitions should be a consecutive 0-based integer sequence".to_owned());
    }
    Ok(by_partition.into_values().collect())
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
        if !draft.image.brokers.contains_key(node) {
            let registered: Vec<NodeId> = draft.image.brokers.keys().copied().collect();
            return invalid(format!(
                "The manual partition assignment includes broker {node}, but no such broker is \
                 registered; registered are [{}].",
                listed(&registered)
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

fn check_somebody_runs(draft: &Draft, partition: i32, replicas: &[NodeId]) -> Result<(), ApiError> {
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
fn registration(draft: &Draft, replicas: Vec<NodeId>) -> PartitionRegistration {
    let isr: Vec<NodeId> = replicas
        .iter()
        .copied()
        .filter(|node| draft.is_eligible(*node))
        .collect();
    PartitionRegistration {
        directories: replicas
            .iter()
            .map(|node| draft.default_directory(*node))
            .collect(),
        leader: isr.first().copied(),
        replicas,
        isr,
        elr: Vec::new(),
        last_known_elr: Vec::new(),
        removing_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        leader_recovery_state: LeaderRecoveryState::Recovered,
        leader_epoch: LeaderEpoch::ZERO,
        partition_epoch: PartitionEpoch::ZERO,
    }
}

/// Plans DeleteTopics. Each topic has its own outcome; a topic that is listed more than once is
/// refused, with one result.
#[must_use]
pub fn delete(draft: &mut Draft, request: &DeleteTopicsRequestData) -> DeleteTopicsResponseData {
    let name = |topic: &'_ DeleteTopicState| topic.name.clone().unwrap_or_default();
    let topics = distinct(&request.topics, |topic| (name(topic), topic.topic_id));
    let mut responses = Vec::with_capacity(topics.len());
    for (topic, times) in topics {
        let found = check_reference(topic, times).and_then(|()| find(draft, topic));
        let (error_code, error_message) = code_and_message(&found);
        let mut response = DeletableTopicResult {
            name: topic.name.clone(),
            topic_id: topic.topic_id,
            error_code,
            error_message,
            ..DeletableTopicResult::default()
        };
        if let Ok((id, name)) = found {
            draft.push(MetadataRecord::RemoveTopic { id });
            response.name = Some(text(name.as_str()));
            response.topic_id = uuid(id.to_bytes());
        }
        responses.push(response);
    }
    DeleteTopicsResponseData {
        responses,
        ..DeleteTopicsResponseData::default()
    }
}

/// Checks how a request names a topic, of which it may hold several.
fn check_reference(topic: &DeleteTopicState, times: usize) -> Result<(), ApiError> {
    let invalid = |message: &str| Err(ErrorCode::InvalidRequest.because(message));
    match (&topic.name, topic.topic_id == KafkaUuid::ZERO) {
        (None, true) => invalid("neither the topic's name nor its id was given"),
        (Some(_), false) => invalid("both the topic's name and its id were given"),
        _ if times > 1 => invalid("the topic is named more than once in the request"),
        _ => Ok(()),
    }
}

/// Finds a topic by its name, or by its id when the request has no name.
fn find(draft: &Draft, topic: &DeleteTopicState) -> Result<(TopicId, TopicName), ApiError> {
    let name = topic.name.as_ref().map_or("", |name| name.as_str());
    if name.is_empty() {
        let id = TopicId::from_bytes(uuid_bytes(topic.topic_id));
        let found = draft.image.topics.get(&id);
        let found = found.map(|topic| (id, topic.name.clone()));
        return found.ok_or_else(|| {
            ErrorCode::UnknownTopicId.because(format!("there is no topic with the id {id}"))
        });
    }
    let found = draft.image.topic(name);
    let found = found.map(|topic| (topic.id, topic.name.clone()));
    found.ok_or_else(|| {
        ErrorCode::UnknownTopicOrPartition.because(format!("there is no topic {name}"))
    })
}

/// Plans CreatePartitions. Each topic has its own outcome; a topic that is listed more than once is
/// refused, with one result.
#[must_use]
pub fn create_partitions(
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
        *draft = before;
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
    check_room(additional, room)?;
    let assignment = if let Some(assignments) = &wanted.assignments {
        if assignments.len() != additional {
            return Err(ErrorCode::InvalidReplicaAssignment.because(format!(
                "Attempted to add {additional} additional partition(s), but only {} assignment(s) \
                 were specified.",
                assignments.len()
            )));
        }
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
