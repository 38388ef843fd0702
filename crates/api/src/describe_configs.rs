//! DescribeConfigs, versions 1–4: properties of topics, groups, brokers and client metrics
//! subscriptions (KIP-714) with their values, the sources of the values, and the values that these
//! take precedence over (KIP-226); types and documentation from version 3 (KIP-569).
//!
//! A broker answers for itself, for the default of all brokers (an empty name), for the levels of
//! its loggers (KIP-412), and for topics, groups and client metrics.

use std::collections::HashSet;

use dohle_config::{ConfigSnapshot, ConfigSource, ConfigType, DescribedConfig, Synonym};
use dohle_model::acl::{Operation, ResourceType};
use dohle_model::image::MetadataImage;
use dohle_model::{ApiError, ErrorCode, TopicName};
use dohle_protocol::kinds::resource_type::{BROKER, BROKER_LOGGER, CLIENT_METRICS, GROUP, TOPIC};
use dohle_protocol::messages::describe_configs_request::{
    DescribeConfigsRequestData, DescribeConfigsResource,
};
use dohle_protocol::messages::describe_configs_response::{
    DescribeConfigsResourceResult, DescribeConfigsResponseData, DescribeConfigsResult,
    DescribeConfigsSynonym,
};

use super::{CLUSTER, Call, broker_loggers, errors, wire};
use crate::context::Context;

pub(super) async fn handle(
    call: Call,
    request: DescribeConfigsRequestData,
) -> DescribeConfigsResponseData {
    let image = call.context.image();
    let configs = call.context.configs(&image);
    let mut results = Vec::with_capacity(request.resources.len());
    // As in Kafka, a type that does not exist refuses the whole request.
    let is_unknown =
        |resource: &DescribeConfigsResource| asked_for(resource.resource_type, "").is_none();
    let unknown = request
        .resources
        .iter()
        .find(|resource| is_unknown(resource));
    for resource in &request.resources {
        let described = match (unknown, authorize(&call, resource)) {
            (Some(unknown), _) => Err(no_properties(unknown.resource_type)),
            (None, Ok(())) => describe(&call.context, &image, &configs, resource),
            (None, Err(code)) => Err(code.into()),
        };
        let (error_code, error_message) = errors::to_wire(&described);
        let wanted = wanted(resource);
        let described = described.unwrap_or_default().into_iter();
        let described = described.filter(|config| is_wanted(config, wanted.as_ref()));
        results.push(DescribeConfigsResult {
            error_code,
            error_message: error_message.or_else(|| Some(wire::text(""))),
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            configs: described
                .map(|config| to_wire(config, &request, call.version))
                .collect(),
            ..DescribeConfigsResult::default()
        });
    }
    DescribeConfigsResponseData {
        results,
        ..DescribeConfigsResponseData::default()
    }
}

/// Asks for DescribeConfigs on what a resource belongs to.
fn authorize(call: &Call, resource: &DescribeConfigsResource) -> Result<(), ErrorCode> {
    let name = resource.resource_name.as_str();
    match asked_for(resource.resource_type, name) {
        Some((kind, name)) => call.authorize(Operation::DescribeConfigs, kind, name),
        // Refused as unknown.
        None => Ok(()),
    }
}

/// Returns the resource of the authorizer that a resource with properties belongs to; `None` for
/// types that do not exist.
pub(super) fn asked_for(kind: i8, name: &str) -> Option<(ResourceType, &str)> {
    match kind {
        TOPIC => Some((ResourceType::Topic, name)),
        GROUP => Some((ResourceType::Group, name)),
        BROKER | BROKER_LOGGER | CLIENT_METRICS => Some((ResourceType::Cluster, CLUSTER)),
        _ => None,
    }
}

fn wanted(resource: &DescribeConfigsResource) -> Option<HashSet<&str>> {
    // An empty list asks for all properties, as a null one does.
    let keys = resource
        .configuration_keys
        .as_ref()
        .filter(|keys| !keys.is_empty())?;
    Some(
        keys.iter()
            .map(dohle_protocol::KafkaString::as_str)
            .collect(),
    )
}

fn is_wanted(config: &DescribedConfig, wanted: Option<&HashSet<&str>>) -> bool {
    wanted.is_none_or(|wanted| wanted.contains(config.name.as_str()))
}

fn describe(
    context: &Context,
    image: &MetadataImage,
    configs: &ConfigSnapshot<'_>,
    resource: &DescribeConfigsResource,
) -> Result<Vec<DescribedConfig>, ApiError> {
    let name = resource.resource_name.as_str();
    match resource.resource_type {
        TOPIC => {
            let name = TopicName::new(name)
                .map_err(|error| ErrorCode::InvalidTopicException.because(error.to_string()))?;
            if image.topic(name.as_str()).is_none() {
                return Err(errors::unknown_topic(name.as_str()));
            }
            Ok(configs.describe_topic(name.as_str()))
        }
        BROKER if name.is_empty() => Ok(configs.describe_broker_default()),
        BROKER if name == context.node_id.to_string() => Ok(configs.describe_broker()),
        BROKER => Err(ErrorCode::InvalidRequest.because(format!(
            "this is broker {}: ask broker {name:?} for its own properties, or leave the name \
             empty for those of all brokers",
            context.node_id
        ))),
        BROKER_LOGGER => broker_loggers::describe(context, name),
        GROUP if name.is_empty() => {
            Err(ErrorCode::InvalidRequest.because("Group name must not be empty"))
        }
        GROUP => Ok(configs.describe_group(name)),
        CLIENT_METRICS if name.is_empty() => {
            Err(ErrorCode::InvalidRequest
                .because("Client metrics subscription name must not be empty"))
        }
        CLIENT_METRICS => Ok(configs.describe_client_metrics(name)),
        other => Err(no_properties(other)),
    }
}

fn no_properties(kind: i8) -> ApiError {
    ErrorCode::InvalidRequest.because(format!("resources of type {kind} have no properties here"))
}

fn to_wire(
    config: DescribedConfig,
    request: &DescribeConfigsRequestData,
    version: i16,
) -> DescribeConfigsResourceResult {
    let synonym = |synonym: Synonym| DescribeConfigsSynonym {
        name: wire::text(&synonym.name),
        value: synonym.value.as_deref().map(wire::text),
        source: synonym.source as i8,
        ..DescribeConfigsSynonym::default()
    };
    let mut result = DescribeConfigsResourceResult {
        name: wire::text(&config.name),
        value: config.value.as_deref().map(wire::text),
        read_only: config.is_read_only,
        config_source: config.source as i8,
        is_sensitive: config.is_sensitive,
        ..DescribeConfigsResourceResult::default()
    };
    if request.include_synonyms {
        result.synonyms = config.synonyms.into_iter().map(synonym).collect();
    }
    if version >= 3 {
        result.config_type = config.kind.map_or(0, ConfigType::wire_id);
        // As in Kafka, loggers have an empty one, even where none is asked for.
        let is_logger = config.source == ConfigSource::DynamicBrokerLogger;
        if request.include_documentation || is_logger {
            result.documentation = config.documentation.map(wire::text);
        }
    }
    result
}
