//! Configuration of topics and brokers (KIP-133, KIP-339).

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_model::image::TopicImage;
use dohle_model::record::{ConfigResource, MetadataRecord};
use dohle_model::{ApiError, ErrorCode, NodeId, TopicIdPartition, TopicName};
use dohle_rpc::v1;

use super::{Draft, indexes, leaders, outcome};

/// The property that decides who is an eligible leader replica.
const MIN_ISR: &str = "min.insync.replicas";

/// Which configuration names and values a resource takes.
pub trait ConfigSchema: Send + Sync {
    /// Checks a value.
    ///
    /// # Errors
    /// Why the name or the value is not allowed, in words.
    fn check(&self, resource: &ConfigResource, name: &str, value: &str) -> Result<(), String>;

    /// Checks values against each other: `value` gives the one an entry will have, or its default.
    ///
    /// # Errors
    /// Which do not go together, in words.
    fn check_together(
        &self,
        resource: &ConfigResource,
        value: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String>;

    /// Whether the value is a list of texts separated by commas, which can be appended to.
    fn is_list(&self, resource: &ConfigResource, name: &str) -> bool;

    /// The default as text.
    fn default_value(&self, resource: &ConfigResource, name: &str) -> Option<String>;
}

/// A schema that takes anything; for tests of what has nothing to do with names.
#[derive(Debug, Clone, Copy, Default)]
pub struct AnyConfig;

impl ConfigSchema for AnyConfig {
    fn check(&self, _: &ConfigResource, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn check_together(
        &self,
        _: &ConfigResource,
        _: &dyn Fn(&str) -> Option<String>,
    ) -> Result<(), String> {
        Ok(())
    }

    fn is_list(&self, _: &ConfigResource, name: &str) -> bool {
        name == "cleanup.policy"
    }

    fn default_value(&self, _: &ConfigResource, _: &str) -> Option<String> {
        None
    }
}

/// Checks one entry.
pub(super) fn check_value(
    draft: &Draft,
    resource: &ConfigResource,
    name: &str,
    value: &str,
) -> Result<(), ApiError> {
    // Kafka's brokers answer for their own properties, and with another code (KAFKA-13609).
    let code = match resource {
        ConfigResource::Broker(_) | ConfigResource::BrokerDefault => ErrorCode::InvalidRequest,
        _ => ErrorCode::InvalidConfig,
    };
    draft
        .settings
        .configs
        .check(resource, name, value)
        .map_err(|reason| code.because(reason))
}

/// Checks the entries that a resource will have against each other.
pub(super) fn check_together(
    draft: &Draft,
    resource: &ConfigResource,
    values: &BTreeMap<String, String>,
) -> Result<(), ApiError> {
    let schema = &draft.settings.configs;
    let value = |name: &str| {
        values
            .get(name)
            .cloned()
            .or_else(|| schema.default_value(resource, name))
    };
    schema
        .check_together(resource, &value)
        .map_err(|reason| ErrorCode::InvalidConfig.because(reason))
}

/// IncrementalAlterConfigs, and with `replace_all` the old AlterConfigs. Each resource's outcome
/// stands for itself.
#[must_use]
pub fn alter(draft: &mut Draft, request: &v1::AlterConfigsRequest) -> Vec<v1::AlterConfigsResult> {
    let before = request.validate_only.then(|| draft.clone());
    let mut results = Vec::with_capacity(request.resources.len());
    for wanted in &request.resources {
        let result = draft.attempt(|draft| alter_one(draft, wanted));
        results.push(v1::AlterConfigsResult {
            resource: wanted.resource.clone(),
            outcome: Some(outcome(&result)),
        });
    }
    if let Some(before) = before {
        *draft = before;
    }
    results
}

fn alter_one(draft: &mut Draft, wanted: &v1::AlterConfigsResource) -> Result<(), ApiError> {
    let resource = find(draft, wanted.resource.as_ref())?;
    let now = draft
        .image
        .configs
        .get(&resource)
        .cloned()
        .unwrap_or_default();
    let after = values_after(draft, &resource, &now, wanted)?;
    check_min_isr(draft, &resource, &after)?;
    // Entries of a broker are written even when they do not change: files they name may have.
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

/// Leaders commit by their own `min.insync.replicas`, the controller keeps eligible leader replicas
/// by the cluster's: while it does, there is one value for all brokers (KIP-966).
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

/// Keeps one value of `min.insync.replicas` for all brokers, whatever their property files say: the
/// controller's own where the cluster has none yet (Kafka's `maybeGenerateElrSafetyRecords`).
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

/// Each entry that the request is about, with its value after it.
fn values_after(
    draft: &Draft,
    resource: &ConfigResource,
    now: &Arc<BTreeMap<String, String>>,
    wanted: &v1::AlterConfigsResource,
) -> Result<BTreeMap<String, Option<String>>, ApiError> {
    let schema = &draft.settings.configs;
    let mut after: BTreeMap<String, Option<String>> = BTreeMap::new();
    if wanted.replace_all {
        after.extend(now.keys().map(|key| (key.clone(), None)));
    }
    let mut seen = std::collections::BTreeSet::new();
    for op in &wanted.ops {
        let name = &op.name;
        if !seen.insert(name) {
            return Err(ErrorCode::InvalidRequest.because(format!("{name} is given twice")));
        }
        let given = || {
            let null = || {
                ErrorCode::InvalidRequest
                    .because(format!("{name} has no value; to remove it use delete"))
            };
            op.value.clone().ok_or_else(null)
        };
        let value = match op.op {
            0 => Some(given()?),
            1 => None,
            2 | 3 if !schema.is_list(resource, name) => {
                return Err(ErrorCode::InvalidConfig.because(format!(
                    "Can't append to or subtract from {name} because its type is not LIST."
                )));
            }
            append_or_subtract @ (2 | 3) => {
                let base = now.get(name).cloned();
                let base = base.or_else(|| schema.default_value(resource, name));
                let mut parts: Vec<String> = parts(&base.unwrap_or_default());
                for part in self::parts(&given()?) {
                    if append_or_subtract == 3 {
                        parts.retain(|p| *p != part);
                    } else if !parts.contains(&part) {
                        parts.push(part);
                    }
                }
                Some(parts.join(","))
            }
            other => {
                return Err(ErrorCode::InvalidRequest.because(format!(
                    "{name} is given with the unknown operation {other}"
                )));
            }
        };
        after.insert(name.clone(), value);
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

fn find(draft: &Draft, resource: Option<&v1::ConfigResource>) -> Result<ConfigResource, ApiError> {
    let resource =
        resource.ok_or_else(|| ErrorCode::InvalidRequest.because("no resource is named"))?;
    let name = resource.name.as_str();
    match resource.r#type {
        2 => {
            let topic = TopicName::new(name)
                .map_err(|error| ErrorCode::InvalidTopicException.because(error.to_string()))?;
            if !draft.image.topic_ids.contains_key(&topic) {
                return Err(
                    ErrorCode::UnknownTopicOrPartition.because(format!("there is no topic {name}"))
                );
            }
            Ok(ConfigResource::Topic(topic))
        }
        4 if name.is_empty() => Ok(ConfigResource::BrokerDefault),
        4 => {
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
        16 if !name.is_empty() => Ok(ConfigResource::ClientMetrics(name.into())),
        32 if !name.is_empty() => Ok(ConfigResource::Group(name.into())),
        32 => Err(ErrorCode::InvalidRequest.because("Default group resources are not allowed.")),
        16 => Err(ErrorCode::InvalidRequest.because("the resource has no name")),
        other => Err(ErrorCode::InvalidRequest.because(format!(
            "configuration of resource type {other} is kept nowhere"
        ))),
    }
}

/// Unclean elections may have become allowed: partitions that have waited for that elect now.
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

/// With fewer replicas asked for, leaders may commit what eligible replicas outside the ISR do not
/// have: those are eligible no more (KIP-966).
fn forget_eligible(draft: &mut Draft, resource: &ConfigResource) {
    let with_elr = |topic: &TopicImage| {
        let topic_id = topic.id;
        let partitions = topic.partitions.iter().filter(|(_, p)| !p.elr.is_empty());
        let ids = partitions.map(move |(partition, _)| TopicIdPartition {
            topic_id,
            partition: *partition,
        });
        ids.collect::<Vec<_>>()
    };
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
