//! CreateTopics, versions 2–7: forwarded to the active controller, answered once this broker knows
//! the topics. Partition counts and configurations are told from version 5 (KIP-525), ids from 7.
//! A topic that is named twice in a request is refused.

use std::collections::HashMap;

use bytes::Bytes;
use dohle_config::describe_topic;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_model::{ApiError, ErrorCode, TopicName};
use dohle_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequestData};
use dohle_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponseData,
};
use dohle_protocol::{KafkaString, KafkaUuid};
use dohle_rpc::v1;
use tokio::time::Instant;

use super::{Call, errors, wire};
use crate::context::Context;

/// The name under which Kafka's tools know the metadata log.
pub(super) const METADATA_TOPIC: &str = "__cluster_metadata";

pub(super) async fn handle(
    call: Call,
    request: CreateTopicsRequestData,
) -> CreateTopicsResponseData {
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for topic in &request.topics {
        *counts.entry(topic.name.as_str()).or_default() += 1;
    }
    let once = |topic: &&CreatableTopic| {
        counts[topic.name.as_str()] == 1 && topic.name.as_str() != METADATA_TOPIC
    };
    let wanted = request
        .topics
        .iter()
        .filter(once)
        .map(to_controller)
        .collect();
    let asked = match has_room(&call, &request) {
        Ok(()) => ask(&call.context, wanted, request.validate_only, deadline).await,
        Err(error) => Err(error),
    };

    let mut topics = Vec::new();
    let mut told = std::collections::HashSet::new();
    for topic in &request.topics {
        let name = topic.name.as_str();
        if !told.insert(name) {
            continue;
        }
        let result = match &asked {
            _ if counts[name] > 1 => {
                let message = format!("topic {name:?} is named more than once in the request");
                refused(&topic.name, &ErrorCode::InvalidRequest.because(message))
            }
            _ if name == METADATA_TOPIC => {
                let message = format!("{name} is the quorum's own log, not a topic to be created");
                refused(&topic.name, &ErrorCode::InvalidRequest.because(message))
            }
            Err(error) => refused(&topic.name, error),
            Ok((image, results)) => match results.get(name) {
                Some(result) => created(&call, image, topic, result),
                None => refused(&topic.name, &ErrorCode::UnknownServerError.into()),
            },
        };
        topics.push(result);
    }
    CreateTopicsResponseData {
        topics,
        ..CreateTopicsResponseData::default()
    }
}

/// Refuses what this broker could not open. The controller may place the partitions elsewhere, but
/// brokers of a cluster have about as many, and what is refused can be asked for again.
fn has_room(call: &Call, request: &CreateTopicsRequestData) -> Result<(), ApiError> {
    let default = call.context.config.num_partitions;
    let partitions = |topic: &CreatableTopic| match topic.num_partitions {
        count if count > 0 => count as usize,
        _ if topic.assignments.is_empty() => usize::try_from(default).unwrap_or(1),
        _ => topic.assignments.len(),
    };
    let new = request.topics.iter().map(partitions).sum::<usize>();
    // Its part of them, if the others take theirs; each has at least one replica.
    let brokers = call.context.image().brokers.len().max(1);
    let open = call.context.partitions.all().len();
    dohle_log::descriptors::check_room(open, new.div_ceil(brokers)).map_err(|reason| {
        let node = call.context.node_id;
        ErrorCode::PolicyViolation.because(format!("broker {node} has no room: {reason}"))
    })
}

type Results = HashMap<String, v1::CreateTopicsResult>;

async fn ask(
    context: &Context,
    topics: Vec<v1::CreatableTopic>,
    validate_only: bool,
    deadline: Instant,
) -> Result<(std::sync::Arc<MetadataImage>, Results), ApiError> {
    if topics.is_empty() {
        return Ok((context.image(), Results::new()));
    }
    let request = v1::CreateTopicsRequest {
        topics,
        validate_only,
    };
    let response = context.controller.create_topics(request, deadline).await?;
    let image = context.reached(response.offset, deadline).await?;
    let by_name = |result: v1::CreateTopicsResult| (result.name.clone(), result);
    Ok((image, response.topics.into_iter().map(by_name).collect()))
}

fn to_controller(topic: &CreatableTopic) -> v1::CreatableTopic {
    let assignments = topic
        .assignments
        .iter()
        .map(|assignment| v1::ReplicaAssignment {
            partition: assignment.partition_index,
            replicas: assignment.broker_ids.clone(),
        });
    let configs = topic.configs.iter().map(|config| v1::NamedConfig {
        name: config.name.to_string(),
        value: config.value.as_ref().map(KafkaString::to_string),
    });
    // Fails only when 64 random ids in a row were reserved ones.
    let id = KafkaUuid::random().unwrap_or(KafkaUuid::ZERO);
    v1::CreatableTopic {
        name: topic.name.to_string(),
        id: Bytes::copy_from_slice(id.inner().as_bytes()),
        partitions: topic.num_partitions,
        replication_factor: i32::from(topic.replication_factor),
        assignments: assignments.collect(),
        configs: configs.collect(),
    }
}

fn refused(name: &KafkaString, error: &ApiError) -> CreatableTopicResult {
    CreatableTopicResult {
        name: name.clone(),
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        num_partitions: -1,
        replication_factor: -1,
        configs: None,
        ..CreatableTopicResult::default()
    }
}

fn created(
    call: &Call,
    image: &MetadataImage,
    topic: &CreatableTopic,
    result: &v1::CreateTopicsResult,
) -> CreatableTopicResult {
    if let Err(error) = errors::outcome(result.outcome.as_ref()) {
        return refused(&topic.name, &error);
    }
    let topic_id = <[u8; 16]>::try_from(&result.id[..]).unwrap_or_default();
    CreatableTopicResult {
        name: topic.name.clone(),
        topic_id: wire::wire_id(dohle_model::TopicId::from_bytes(topic_id)),
        num_partitions: result.partitions,
        replication_factor: i16::try_from(result.replication_factor).unwrap_or(i16::MAX),
        configs: (call.version >= 5).then(|| configs(call, image, topic)),
        ..CreatableTopicResult::default()
    }
}

/// The effective configuration: as it was committed, or as it would be (validate only).
fn configs(
    call: &Call,
    image: &MetadataImage,
    topic: &CreatableTopic,
) -> Vec<CreatableTopicConfigs> {
    let committed = TopicName::new(topic.name.as_str())
        .ok()
        .and_then(|name| image.configs.get(&ConfigResource::Topic(name)).cloned());
    let own = committed.unwrap_or_else(|| {
        let given = topic.configs.iter().filter_map(|config| {
            Some((config.name.to_string(), config.value.as_ref()?.to_string()))
        });
        std::sync::Arc::new(given.collect())
    });
    let described = describe_topic(Some(&own), &call.context.values(image));
    let entry = |config: dohle_config::DescribedConfig| CreatableTopicConfigs {
        name: wire::text(&config.name),
        value: config.value.as_deref().map(wire::text),
        read_only: config.is_read_only,
        config_source: config.source as i8,
        is_sensitive: config.is_sensitive,
        ..CreatableTopicConfigs::default()
    };
    described.into_iter().map(entry).collect()
}
