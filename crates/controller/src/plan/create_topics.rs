//! Plans CreateTopics.

use std::collections::BTreeMap;

use dohle_model::record::{ConfigResource, MetadataRecord};
use dohle_model::{
    ApiError, ErrorCode, METADATA_TOPIC, NodeId, PartitionIndex, TopicId, TopicName, Uuid,
};
use dohle_protocol::messages::create_topics_request::{
    CreatableTopic, CreatableTopicConfig, CreateTopicsRequestData,
};
use dohle_protocol::messages::create_topics_response::{
    CreatableTopicResult, CreateTopicsResponseData,
};
use dohle_protocol::uuid;

use super::new_partitions::{
    check_assignment, check_room, check_somebody_runs, place, registration, seed, to_i32,
};
use super::{
    Draft, RECORDS_PER_REQUEST_MAX, capacity, code_and_message, configs, distinct, node_ids, nth_id,
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
        let id = TopicId::from_bytes(nth_id(request_id, index).0);
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
        draft.take_back(before);
    }
    CreateTopicsResponseData {
        topics,
        ..CreateTopicsResponseData::default()
    }
}

fn check_name(name: &str, times: usize) -> Result<(), ApiError> {
    let message = match name {
        _ if times > 1 => format!("topic {name:?} is named more than once in the request"),
        METADATA_TOPIC => format!("{name} is the quorum's own log, not a topic to be created"),
        _ => return Ok(()),
    };
    Err(ErrorCode::InvalidRequest.because(message))
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
    draft.charge_partitions(assignment.len())?;
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
        let value = configs::stored(&resource, value.as_str());
        configs::check_value(draft, &resource, entry.name.as_str(), value)?;
        values.insert(entry.name.to_string(), value.to_owned());
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
