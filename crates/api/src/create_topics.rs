//! CreateTopics, versions 2–7: forwarded to the active controller, answered once this broker has
//! the topics. Partition counts and configurations are returned from version 5 (KIP-525), ids from
//! version 7. A topic that is named twice in a request is refused.

use std::collections::{HashMap, HashSet};

use dohle_config::{ConfigSnapshot, DescribedConfig, Properties};
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, METADATA_TOPIC};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequestData};
use dohle_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponseData,
};

use super::{CLUSTER, Call, wire};

/// The first version whose response has the configuration of topics (KIP-525); empty with an error.
const FIRST_WITH_CONFIGS: i16 = 5;

pub(super) async fn handle(
    call: Call,
    mut request: CreateTopicsRequestData,
) -> CreateTopicsResponseData {
    let denied = take_denied(&call, &mut request.topics);
    let mut response = create(&call, request).await;
    response.topics.extend(denied.into_iter().map(denial));
    if call.version >= FIRST_WITH_CONFIGS {
        for topic in &mut response.topics {
            topic.configs.get_or_insert_default();
        }
    }
    response
}

/// Removes the topics that the client may not create, and returns them. The controller rejects a
/// topic that is named twice, and that of the metadata, with or without permission.
fn take_denied(call: &Call, topics: &mut Vec<CreatableTopic>) -> Vec<CreatableTopic> {
    if call.is_visible(Operation::Create, ResourceType::Cluster, CLUSTER) {
        return Vec::new();
    }
    let repeated = repeated(topics.iter().map(|topic| topic.name.as_str()));
    let is_denied = |topic: &mut CreatableTopic| {
        let name = topic.name.as_str();
        let is_refused = repeated.contains(name) || name == METADATA_TOPIC;
        !is_refused && !call.is_allowed(Operation::Create, ResourceType::Topic, name)
    };
    topics.extract_if(.., is_denied).collect()
}

/// Returns the names that occur more than once.
pub(super) fn repeated<'a>(names: impl Iterator<Item = &'a str>) -> HashSet<String> {
    let mut seen = HashSet::new();
    let names = names.filter(|name| !seen.insert(*name));
    names.map(str::to_owned).collect()
}

fn denial(topic: CreatableTopic) -> CreatableTopicResult {
    CreatableTopicResult {
        name: topic.name,
        error_code: ErrorCode::TopicAuthorizationFailed.code(),
        error_message: Some(wire::text("Authorization failed.")),
        num_partitions: -1,
        replication_factor: -1,
        ..CreatableTopicResult::default()
    }
}

async fn create(call: &Call, request: CreateTopicsRequestData) -> CreateTopicsResponseData {
    if request.topics.is_empty() {
        return CreateTopicsResponseData::default();
    }
    let deadline = match wire::admin_deadline(call.request.received, request.timeout_ms) {
        Ok(deadline) => deadline,
        Err(error) => return refused(&request, &error),
    };
    if let Err(error) = has_room(call, &request) {
        return refused(&request, &error);
    }
    let hidden = hidden(call, &request);
    match call.forward(&request, deadline).await {
        Ok((response, image)) => with_configs(call, &image, &request, &hidden, response),
        Err(error) => refused(&request, &error),
    }
}

/// Refuses a request whose partitions this broker could not open. The controller may place them on
/// other brokers, but all brokers of a cluster host about as many partitions, and a client can send
/// a refused request again.
fn has_room(call: &Call, request: &CreateTopicsRequestData) -> Result<(), ApiError> {
    let default = call.context.config.num_partitions;
    let partitions = |topic: &CreatableTopic| match topic.num_partitions {
        count if count > 0 => count as usize,
        _ if topic.assignments.is_empty() => usize::try_from(default).unwrap_or_default(),
        _ => topic.assignments.len(),
    };
    let new = request.topics.iter().map(partitions).sum::<usize>();
    // This broker's share of the new partitions; each broker has at least one replica.
    let brokers = call.context.image().brokers.len().max(1);
    let open = call.context.partitions.all().len();
    dohle_log::descriptors::check_room(open, new.div_ceil(brokers)).map_err(|reason| {
        let node = call.context.node_id;
        ErrorCode::PolicyViolation.because(format!("broker {node} has no room: {reason}"))
    })
}

fn refused(request: &CreateTopicsRequestData, error: &ApiError) -> CreateTopicsResponseData {
    let mut names = HashSet::new();
    let topics = request.topics.iter();
    let topics = topics.filter(|topic| names.insert(topic.name.as_str()));
    let result = |topic: &CreatableTopic| CreatableTopicResult {
        name: topic.name.clone(),
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        num_partitions: -1,
        replication_factor: -1,
        configs: None,
        ..CreatableTopicResult::default()
    };
    CreateTopicsResponseData {
        topics: topics.map(result).collect(),
        ..CreateTopicsResponseData::default()
    }
}

/// Returns the topics whose configuration the client may not describe.
fn hidden(call: &Call, request: &CreateTopicsRequestData) -> HashSet<KafkaString> {
    let names = request.topics.iter().map(|topic| &topic.name);
    let is_hidden = |name: &&KafkaString| {
        !call.is_visible(
            Operation::DescribeConfigs,
            ResourceType::Topic,
            name.as_str(),
        )
    };
    names.filter(is_hidden).cloned().collect()
}

/// Adds the configuration of the topics that were created, from version 5 (KIP-525). The controller
/// does not return it, since it depends on properties of this broker. A client that may not
/// describe the configuration gets neither it nor the numbers of partitions and replicas.
fn with_configs(
    call: &Call,
    image: &MetadataImage,
    request: &CreateTopicsRequestData,
    hidden: &HashSet<KafkaString>,
    mut response: CreateTopicsResponseData,
) -> CreateTopicsResponseData {
    if call.version < FIRST_WITH_CONFIGS {
        return response;
    }
    let snapshot = call.context.configs(image);
    let topics = request.topics.iter();
    let topics: HashMap<&str, &CreatableTopic> =
        topics.map(|topic| (topic.name.as_str(), topic)).collect();
    for result in &mut response.topics {
        if result.error_code == wire::NONE
            && let Some(topic) = topics.get(result.name.as_str())
        {
            if hidden.contains(&topic.name) {
                result.num_partitions = -1;
                result.replication_factor = -1;
                result.configs = Some(Vec::new());
                result.topic_config_error_code = ErrorCode::TopicAuthorizationFailed.code();
            } else {
                result.configs = Some(configs(&snapshot, topic));
            }
        }
    }
    response
}

/// The effective configuration: as it was committed, or as it would be (validate only).
fn configs(snapshot: &ConfigSnapshot<'_>, topic: &CreatableTopic) -> Vec<CreatableTopicConfigs> {
    let given = topic.configs.iter();
    let given = given.filter_map(|it| Some((it.name.to_string(), it.value.as_ref()?.to_string())));
    let given: Properties = given.collect();
    let described = snapshot.describe_new_topic(topic.name.as_str(), &given);
    let entry = |config: DescribedConfig| CreatableTopicConfigs {
        name: wire::text(&config.name),
        value: config.value.as_deref().map(wire::text),
        read_only: config.is_read_only,
        config_source: config.source as i8,
        is_sensitive: config.is_sensitive,
        ..CreatableTopicConfigs::default()
    };
    described.into_iter().map(entry).collect()
}
