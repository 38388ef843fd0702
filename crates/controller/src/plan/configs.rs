//! Configuration of topics, groups, brokers and client metrics (KIP-133, KIP-339, KIP-714).

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_model::features::{CORDONED_LOG_DIRS_FROM, METADATA_VERSION};
use dohle_model::image::TopicImage;
use dohle_model::record::{ConfigResource, MetadataRecord};
use dohle_model::{ApiError, ErrorCode, NodeId, TopicIdPartition, TopicName};
use dohle_protocol::KafkaString;
use dohle_protocol::kinds::config_operation::{APPEND, DELETE, SET, SUBTRACT};
use dohle_protocol::kinds::resource_type;
use dohle_protocol::messages::alter_configs_request::{
    AlterConfigsRequestData, AlterConfigsResource as ReplacedResource,
};
use dohle_protocol::messages::incremental_alter_configs_request::{
    AlterConfigsResource, IncrementalAlterConfigsRequestData,
};
use dohle_protocol::messages::{
    AlterConfigsResponseData, IncrementalAlterConfigsResponseData, alter_configs_response,
    incremental_alter_configs_response,
};

use super::{Draft, code_and_message, indexes, leaders};

/// The property that determines the eligible leader replicas.
const MIN_ISR: &str = "min.insync.replicas";

/// The log directories of a broker that get no new replicas (KIP-1066).
const CORDONED: &str = "cordoned.log.dirs";

/// The property of a client metrics subscription that is a number (KIP-714).
const PUSH_INTERVAL: &str = "interval.ms";

/// The property of a topic whose old segments are kept elsewhere (KIP-405).
const REMOTE_STORAGE: &str = "remote.storage.enable";

/// Returns a value as it is stored: without blanks around it, as Kafka reads it, except for
/// brokers, whose values may be passwords.
pub(super) fn stored<'a>(resource: &ConfigResource, value: &'a str) -> &'a str {
    match resource {
        ConfigResource::Topic(_) | ConfigResource::Group(_) | ConfigResource::ClientMetrics(_) => {
            value.trim()
        }
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => value,
    }
}

/// Checks one entry of a resource's configuration.
pub(super) fn check_value(
    draft: &Draft,
    resource: &ConfigResource,
    name: &str,
    value: &str,
) -> Result<(), ApiError> {
    // Kafka's brokers check their own properties, and return another code (KAFKA-13609). For client
    // metrics it has this code for unknown names and for an interval out of range.
    let code = match resource {
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => ErrorCode::InvalidRequest,
        ConfigResource::ClientMetrics(_)
            if draft
                .settings
                .configs
                .default_value(resource, name)
                .is_none()
                || (name == PUSH_INTERVAL && value.parse::<i32>().is_ok()) =>
        {
            ErrorCode::InvalidRequest
        }
        _ => ErrorCode::InvalidConfig,
    };
    draft
        .settings
        .configs
        .check(resource, name, value)
        .map_err(|reason| code.because(reason))
}

/// Checks the new entries of a resource against each other.
pub(super) fn check_together(
    draft: &Draft,
    resource: &ConfigResource,
    values: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    if values
        .get(REMOTE_STORAGE)
        .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    {
        return Err(ErrorCode::InvalidConfig.because(format!(
            "{REMOTE_STORAGE}=true needs tiered storage, which this cluster does not have"
        )));
    }
    draft
        .settings
        .configs
        .check_together(resource, &draft.image, values)
        .map_err(|reason| ErrorCode::InvalidConfig.because(reason))
}

/// The requested change of one property.
struct Op<'a> {
    name: &'a str,
    /// Kafka's `AlterConfigOp.OpType`: 0 set, 1 delete, 2 append, 3 subtract.
    op: i8,
    value: Option<&'a str>,
}

/// The requested changes of one resource.
struct ConfigChange<'a> {
    /// Kafka's `ConfigResource.Type`.
    kind: i8,
    name: &'a str,
    ops: Vec<Op<'a>>,
    /// Whether properties that are not listed are removed.
    replace_all: bool,
}

/// Plans IncrementalAlterConfigs (KIP-339). Each resource has its own outcome.
#[must_use]
pub fn alter(
    draft: &mut Draft,
    request: &IncrementalAlterConfigsRequestData,
) -> IncrementalAlterConfigsResponseData {
    let wanted = request.resources.iter().map(|resource| {
        let ops = resource.configs.iter().map(|config| Op {
            name: config.name.as_str(),
            op: config.config_operation,
            value: config.value.as_ref().map(KafkaString::as_str),
        });
        ConfigChange {
            kind: resource.resource_type,
            name: resource.resource_name.as_str(),
            ops: ops.collect(),
            replace_all: false,
        }
    });
    let results = alter_all(draft, wanted, request.validate_only);
    let response = |(resource, result): (&AlterConfigsResource, Result<(), ApiError>)| {
        let (error_code, error_message) = code_and_message(&result);
        incremental_alter_configs_response::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        }
    };
    IncrementalAlterConfigsResponseData {
        responses: request
            .resources
            .iter()
            .zip(results)
            .map(response)
            .collect(),
        ..IncrementalAlterConfigsResponseData::default()
    }
}

/// Plans the legacy AlterConfigs, which removes the properties that it does not list. Each resource
/// has its own outcome.
#[must_use]
pub fn replace(draft: &mut Draft, request: &AlterConfigsRequestData) -> AlterConfigsResponseData {
    let wanted = request.resources.iter().map(|resource| {
        let ops = resource.configs.iter().map(|config| Op {
            name: config.name.as_str(),
            op: SET,
            value: config.value.as_ref().map(KafkaString::as_str),
        });
        ConfigChange {
            kind: resource.resource_type,
            name: resource.resource_name.as_str(),
            ops: ops.collect(),
            replace_all: true,
        }
    });
    let results = alter_all(draft, wanted, request.validate_only);
    let response = |(resource, result): (&ReplacedResource, Result<(), ApiError>)| {
        let (error_code, error_message) = code_and_message(&result);
        alter_configs_response::AlterConfigsResourceResponse {
            error_code,
            error_message,
            resource_type: resource.resource_type,
            resource_name: resource.resource_name.clone(),
            ..Default::default()
        }
    };
    AlterConfigsResponseData {
        responses: request
            .resources
            .iter()
            .zip(results)
            .map(response)
            .collect(),
        ..AlterConfigsResponseData::default()
    }
}

fn alter_all<'a>(
    draft: &mut Draft,
    wanted: impl Iterator<Item = ConfigChange<'a>>,
    validate_only: bool,
) -> Vec<Result<(), ApiError>> {
    let before = validate_only.then(|| draft.clone());
    let results = wanted
        .map(|wanted| draft.attempt(|draft| alter_one(draft, &wanted)))
        .collect();
    if let Some(before) = before {
        *draft = before;
    }
    results
}

fn alter_one(draft: &mut Draft, wanted: &ConfigChange<'_>) -> Result<(), ApiError> {
    let resource = find(draft, wanted.kind, wanted.name)?;
    let now = draft
        .image
        .configs
        .get(&resource)
        .cloned()
        .unwrap_or_default();
    let after = values_after(draft, &resource, &now, wanted)?;
    check_min_isr(draft, &resource, &after)?;
    check_cordoned(draft, &resource, &after)?;
    // Entries of a broker are written even when their values do not change, because the files to
    // which they refer may have changed.
    let is_broker = matches!(
        resource,
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault
    );
    let mut changed = Vec::new();
    for (key, value) in &after {
        if is_broker || now.get(key) != value.as_ref() {
            if let Some(value) = value {
                check_value(draft, &resource, key, value)?;
            }
            changed.push(key.clone());
        }
    }
    let mut values = now.as_ref().clone();
    for (key, value) in &after {
        match value {
            Some(value) => values.insert(key.clone(), value.clone()),
            None => values.remove(key),
        };
    }
    check_together(draft, &resource, &values)?;
    check_exists(draft, &resource)?;
    for key in &changed {
        let record = MetadataRecord::Config {
            resource: resource.clone(),
            key: key.clone(),
            value: after[key].clone(),
        };
        draft.push(record);
    }
    for key in &changed {
        match key.as_str() {
            "unclean.leader.election.enable" => elect_uncleanly(draft, &resource),
            MIN_ISR => forget_eligible(draft, &resource),
            _ => {}
        }
    }
    Ok(())
}

/// Requires that a topic exists. As in Kafka, its new values are checked first.
fn check_exists(draft: &Draft, resource: &ConfigResource) -> Result<(), ApiError> {
    match resource {
        ConfigResource::Topic(name) if !draft.image.topic_ids.contains_key(name) => {
            Err(ErrorCode::UnknownTopicOrPartition.because(format!("there is no topic {name}")))
        }
        _ => Ok(()),
    }
}

/// Refuses changes that would give brokers different values of `min.insync.replicas` while eligible
/// leader replicas are tracked: leaders commit by their own value, but the controller tracks these
/// replicas by the cluster's (KIP-966).
fn check_min_isr(
    draft: &Draft,
    resource: &ConfigResource,
    after: &BTreeMap<String, Option<String>>,
) -> Result<(), ApiError> {
    let Some(value) = after.get(MIN_ISR).filter(|_| draft.elr_enabled()) else {
        return Ok(());
    };
    match resource {
        ConfigResource::Broker(_) => Err(ErrorCode::InvalidConfig.because(format!(
            "Broker-level {MIN_ISR} cannot be altered while ELR is enabled. Set it for the topic, \
             or for all brokers"
        ))),
        ConfigResource::BrokerDefault if value.is_none() => {
            Err(ErrorCode::InvalidConfig.because(format!(
                "Cluster-level {MIN_ISR} cannot be removed while ELR is enabled. Set another value"
            )))
        }
        _ => Ok(()),
    }
}

/// Refuses to cordon log directories while the version of the metadata is too old to record it.
fn check_cordoned(
    draft: &Draft,
    resource: &ConfigResource,
    after: &BTreeMap<String, Option<String>>,
) -> Result<(), ApiError> {
    let is_broker = matches!(
        resource,
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault
    );
    let level = draft.image.feature_level(METADATA_VERSION);
    if is_broker && after.contains_key(CORDONED) && level < CORDONED_LOG_DIRS_FROM {
        return Err(ErrorCode::InvalidConfig.because(format!(
            "The {CORDONED} configuration value cannot be set because it requires \
             metadata.version >= 4.3-IV0"
        )));
    }
    Ok(())
}

/// Sets one value of `min.insync.replicas` for all brokers, which overrides their property files:
/// the controller's own value if the cluster has none yet (Kafka's
/// `maybeGenerateElrSafetyRecords`).
pub(super) fn unify_min_isr(draft: &mut Draft) {
    if draft
        .image
        .config(&ConfigResource::BrokerDefault, MIN_ISR)
        .is_none()
    {
        draft.push(MetadataRecord::Config {
            resource: ConfigResource::BrokerDefault,
            key: MIN_ISR.to_owned(),
            value: Some(draft.settings.min_insync_replicas.to_string()),
        });
    }
    let is_broker_level = |(resource, values): &(&ConfigResource, &Arc<BTreeMap<_, _>>)| {
        matches!(resource, ConfigResource::Broker(_)) && values.contains_key(MIN_ISR)
    };
    let entries = draft.image.configs.iter().filter(is_broker_level);
    let brokers: Vec<ConfigResource> = entries.map(|(resource, _)| resource.clone()).collect();
    for resource in brokers {
        draft.push(MetadataRecord::Config {
            resource,
            key: MIN_ISR.to_owned(),
            value: None,
        });
    }
}

/// Returns each entry that the request changes, with its new value.
fn values_after(
    draft: &Draft,
    resource: &ConfigResource,
    now: &Arc<BTreeMap<String, String>>,
    wanted: &ConfigChange<'_>,
) -> Result<BTreeMap<String, Option<String>>, ApiError> {
    let schema = &draft.settings.configs;
    let mut after: BTreeMap<String, Option<String>> = BTreeMap::new();
    if wanted.replace_all {
        after.extend(now.keys().map(|key| (key.clone(), None)));
    }
    let mut seen = std::collections::BTreeSet::new();
    for op in &wanted.ops {
        let name = op.name;
        if !seen.insert(name) {
            return Err(ErrorCode::InvalidRequest.because(format!("{name} is listed twice")));
        }
        let given = || {
            let null = || {
                ErrorCode::InvalidRequest
                    .because(format!("{name} has no value; to remove it use delete"))
            };
            let value = op.value.map(|value| stored(resource, value).to_owned());
            value.ok_or_else(null)
        };
        let value = match op.op {
            SET => Some(given()?),
            DELETE => None,
            APPEND | SUBTRACT if !schema.is_list(resource, name) => {
                return Err(ErrorCode::InvalidConfig.because(format!(
                    "Can't append to or subtract from {name} because its type is not LIST."
                )));
            }
            append_or_subtract @ (APPEND | SUBTRACT) => {
                let base = now.get(name).cloned();
                let base = base.or_else(|| schema.default_value(resource, name));
                let mut parts: Vec<String> = parts(&base.unwrap_or_default());
                for part in self::parts(&given()?) {
                    if append_or_subtract == SUBTRACT {
                        parts.retain(|p| *p != part);
                    } else if !parts.contains(&part) {
                        parts.push(part);
                    }
                }
                Some(parts.join(","))
            }
            other => {
                return Err(ErrorCode::InvalidRequest
                    .because(format!("{name} has the unknown operation {other}")));
            }
        };
        after.insert(name.to_owned(), value);
    }
    Ok(after)
}

fn parts(list: &str) -> Vec<String> {
    list.split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

fn find(draft: &Draft, kind: i8, name: &str) -> Result<ConfigResource, ApiError> {
    match kind {
        resource_type::TOPIC if name.is_empty() => {
            Err(ErrorCode::InvalidRequest.because("Default topic resources are not allowed."))
        }
        resource_type::TOPIC => {
            let topic = TopicName::new(name)
                .map_err(|error| ErrorCode::InvalidTopicException.because(error.to_string()))?;
            Ok(ConfigResource::Topic(topic))
        }
        resource_type::BROKER if name.is_empty() => Ok(ConfigResource::BrokerDefault),
        resource_type::BROKER => {
            let id = name.parse().ok().filter(|id| *id >= 0).map(NodeId);
            let id = id.ok_or_else(|| {
                ErrorCode::InvalidRequest.because(format!("{name:?} is not a broker's id"))
            })?;
            if !draft.image.brokers.contains_key(&id) {
                let message = format!("broker {id} is not registered");
                return Err(ErrorCode::InvalidRequest.because(message));
            }
            Ok(ConfigResource::Broker(id))
        }
        resource_type::CLIENT_METRICS if !name.is_empty() => {
            Ok(ConfigResource::ClientMetrics(name.into()))
        }
        resource_type::GROUP if !name.is_empty() => Ok(ConfigResource::Group(name.into())),
        resource_type::GROUP => {
            Err(ErrorCode::InvalidRequest.because("Default group resources are not allowed."))
        }
        resource_type::CLIENT_METRICS => {
            Err(ErrorCode::InvalidRequest.because("the resource has no name"))
        }
        other => Err(ErrorCode::InvalidRequest.because(format!(
            "configuration of resource type {other} is not supported"
        ))),
    }
}

/// Elects leaders of partitions that waited for an unclean election, if the change allows it now.
fn elect_uncleanly(draft: &mut Draft, resource: &ConfigResource) {
    let leaderless: Vec<TopicIdPartition> = match resource {
        ConfigResource::Topic(name) => {
            let Some(id) = draft.image.topic_ids.get(name) else {
                return;
            };
            indexes::of_topic(&draft.indexes.leaderless, *id)
                .copied()
                .collect()
        }
        ConfigResource::BrokerDefault => draft.indexes.leaderless.iter().copied().collect(),
        _ => return,
    };
    for id in leaderless {
        leaders::elect_leaderless(draft, id);
    }
}

/// Removes eligible replicas outside the ISR after `min.insync.replicas` changed: with a smaller
/// value, leaders may commit records that these replicas do not have (KIP-966).
fn forget_eligible(draft: &mut Draft, resource: &ConfigResource) {
    let affected: Vec<TopicIdPartition> = match resource {
        ConfigResource::Topic(name) => draft
            .image
            .topic(name.as_str())
            .map(with_elr)
            .unwrap_or_default(),
        ConfigResource::BrokerDefault => draft.image.topics.values().flat_map(with_elr).collect(),
        _ => return,
    };
    for id in affected {
        let (Some(topic), Some(partition)) = (draft.topic_name(id), draft.partition(id)) else {
            continue;
        };
        let change = draft.change(draft.target(&topic, &partition));
        draft.push_change(id, change);
    }
}

/// Stops tracking eligible leader replicas, once the feature is at level 0.
///
/// The eligible replicas of a partition whose ISR is empty hold all committed records, so they
/// become its ISR: without the feature, a partition without a leader keeps its last ISR.
pub(super) fn stop_tracking_eligible(draft: &mut Draft) {
    let affected: Vec<_> = draft.image.topics.values().flat_map(with_elr).collect();
    for id in affected {
        let (Some(topic), Some(partition)) = (draft.topic_name(id), draft.partition(id)) else {
            continue;
        };
        let mut target = draft.target(&topic, &partition);
        if target.isr.is_empty() {
            target.isr.clone_from(&partition.elr);
        }
        let change = draft.change(target);
        draft.push_change(id, change);
    }
}

/// Returns the partitions of a topic that have eligible leader replicas outside the ISR.
fn with_elr(topic: &TopicImage) -> Vec<TopicIdPartition> {
    let topic_id = topic.id;
    let partitions = topic.partitions.iter().filter(|(_, p)| !p.elr.is_empty());
    let ids = partitions.map(|(partition, _)| TopicIdPartition {
        topic_id,
        partition: *partition,
    });
    ids.collect()
}
