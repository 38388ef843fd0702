//! CreateTopics, versions 2–7: forwarded to the active controller, answered once this broker has
//! the topics. Partition counts and configurations are returned from version 5 (KIP-525), ids from
//! version 7. A topic that is named twice in a request is refused.

use std::collections::{HashMap, HashSet};

use dohle_config::{ConfigSnapshot, DescribedConfig, Properties};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequestData};
use dohle_protocol::messages::create_topics_response::{
    CreatableTopicConfigs, CreatableTopicResult, CreateTopicsResponseData,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: CreateTopicsRequestData,
) -> CreateTopicsResponseData {
    if request.topics.is_empty() {
        return CreateTopicsResponseData::default();
    }
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
    if let Err(error) = has_room(&call, &request) {
        return refused(&request, &error);
    }
    match call.forward(&request, deadline).await {
        Ok((response, image)) => with_configs(&call, &image, &request, response),
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

/// Adds the configuration of the topics that were created, from version 5 (KIP-525). The controller
/// does not return it, since it depends on properties of this broker.
fn with_configs(
    call: &Call,
    image: &MetadataImage,
    request: &CreateTopicsRequestData,
    mut response: CreateTopicsResponseData,
) -> CreateTopicsResponseData {
    if call.version < 5 {
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
            result.configs = Some(configs(&snapshot, topic));
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
