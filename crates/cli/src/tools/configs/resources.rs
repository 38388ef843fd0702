//! Configuration that is properties: of topics, brokers, loggers, client metrics and groups.

use std::collections::BTreeSet;

use dohle_admin::{
    Cluster, ClusterError, ConfigEntry, ConfigSource, Resource, alter_configs, describe_configs,
    list_config_resources, list_groups, list_topics,
};
use kacrab_protocol::generated::ErrorCode;
use serde::Serialize;

use super::entity::{Entities, Entity};
use super::values::Change;
use crate::tool_run::{Output, ToolRun, unknown_name};

pub async fn alter(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    entities: &Entities,
    change: &Change,
) -> anyhow::Result<()> {
    let (entity, name) = (entities.types[0], entities.names[0].as_str());
    let resource = entity.resource(name);
    if entity == Entity::BrokerLogger {
        check_loggers(cluster, &resource, change).await?;
    }
    let deletions = change.delete.iter().map(|name| (name.clone(), None));
    let additions = change.add.iter();
    let additions = additions.map(|(name, value)| (name.clone(), Some(value.clone())));
    let changes: Vec<_> = deletions.chain(additions).collect();
    let done = alter_configs(cluster, &resource, &changes).await;
    if let Err(error) = done {
        return Err(explain(cluster, entity, name, error).await);
    }
    print_done(run, entity, name)
}

/// Reports that a configuration was changed.
pub fn print_done(run: &ToolRun<'_>, entity: Entity, name: &str) -> anyhow::Result<()> {
    Ok(run.print(match name {
        "" => format!(
            "Completed updating default config for {} in the cluster.\n",
            entity.name()
        ),
        name => format!(
            "Completed updating config for {} {name}.\n",
            entity.singular()
        ),
    })?)
}

/// The error of a topic that does not exist names the nearest ones.
async fn explain(
    cluster: &Cluster,
    entity: Entity,
    name: &str,
    error: ClusterError,
) -> anyhow::Error {
    if entity != Entity::Topic || !error.is(ErrorCode::UnknownTopicOrPartition) {
        return error.into();
    }
    let topics = list_topics(cluster).await.unwrap_or_default();
    let existing = topics.iter().map(|topic| topic.name.as_str());
    unknown_name(error.java(), name, existing)
}

async fn check_loggers(
    cluster: &Cluster,
    resource: &Resource,
    change: &Change,
) -> anyhow::Result<()> {
    let entries = entries(cluster, resource, false).await?;
    let known: BTreeSet<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    let wanted = change.delete.iter().chain(change.add.keys());
    let unknown: Vec<&str> = wanted
        .map(String::as_str)
        .filter(|name| !known.contains(name))
        .collect();
    if !unknown.is_empty() {
        anyhow::bail!("Invalid broker logger(s): {}", unknown.join(","));
    }
    Ok(())
}

async fn entries(
    cluster: &Cluster,
    resource: &Resource,
    synonyms: bool,
) -> Result<Vec<ConfigEntry>, ClusterError> {
    let resources = std::slice::from_ref(resource);
    let mut found = describe_configs(cluster, resources, synonyms).await?;
    let mut entries = found.remove(resource).transpose()?.unwrap_or_default();
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// The configuration of one entity.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Described {
    #[serde(serialize_with = "type_name")]
    pub entity_type: Entity,
    pub entity_name: String,
    pub configs: Vec<ConfigEntry>,
}

fn type_name<S: serde::Serializer>(entity: &Entity, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(entity.name())
}

pub async fn describe(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    entities: &Entities,
) -> anyhow::Result<()> {
    let entity = entities.types[0];
    let all = run.parsed.has("all");
    let names = match entities.names.first() {
        Some(name) => {
            if !all && !exists(run, cluster, entity, name).await? {
                return Ok(run.print(format!(
                    "The {} '{name}' doesn't exist and doesn't have dynamic config.\n",
                    entity.singular()
                ))?);
            }
            vec![name.clone()]
        }
        None => all_names(run, cluster, entity).await?,
    };
    let output = run.output()?;
    let progress = match output {
        Output::Text => run.progress.while_printing(),
        Output::Json => run.progress.clone(),
    };
    let mut described = Vec::new();
    for name in progress.over(entity.name(), names) {
        let resource = entity.resource(&name);
        let mut configs = entries(cluster, &resource, true).await?;
        if !all && let Some(source) = own_source(entity, &name) {
            configs.retain(|entry| entry.source == source);
        }
        let one = Described {
            entity_type: entity,
            entity_name: name,
            configs,
        };
        match output {
            Output::Text => run.print(render(&one, all))?,
            Output::Json => described.push(one),
        }
    }
    match output {
        Output::Text => Ok(()),
        Output::Json => run.print_json(&described),
    }
}

/// The source of values that were set on the entity itself; `None` for loggers, whose values all
/// have one source.
fn own_source(entity: Entity, name: &str) -> Option<ConfigSource> {
    match entity {
        Entity::Broker if name.is_empty() => Some(ConfigSource::DynamicDefaultBrokerConfig),
        Entity::Broker => Some(ConfigSource::DynamicBrokerConfig),
        Entity::ClientMetrics => Some(ConfigSource::DynamicClientMetricsConfig),
        Entity::Group => Some(ConfigSource::DynamicGroupConfig),
        Entity::BrokerLogger => None,
        _ => Some(ConfigSource::DynamicTopicConfig),
    }
}

async fn exists(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    entity: Entity,
    name: &str,
) -> Result<bool, ClusterError> {
    if name.is_empty() {
        return Ok(true);
    }
    let names = all_names(run, cluster, entity).await?;
    Ok(names.iter().any(|known| known == name))
}

/// All entities of a type; brokers end with their default.
async fn all_names(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    entity: Entity,
) -> Result<Vec<String>, ClusterError> {
    match entity {
        Entity::Broker | Entity::BrokerLogger => {
            let nodes = cluster.nodes().await?;
            let names = nodes.iter().map(|node| node.id.to_string());
            Ok(names.chain([String::new()]).collect())
        }
        Entity::ClientMetrics => list_config_resources(cluster, Resource::CLIENT_METRICS).await,
        Entity::Group => {
            let groups = list_groups(cluster, &[], &[], &run.progress).await?;
            let mut names: BTreeSet<String> = groups.into_iter().map(|group| group.group).collect();
            match list_config_resources(cluster, Resource::GROUP).await {
                Ok(found) => names.extend(found),
                Err(ClusterError::Unsupported { .. }) => {}
                Err(error)
                    if error.is(ErrorCode::ClusterAuthorizationFailed)
                        || error.is(ErrorCode::UnsupportedVersion) => {}
                Err(error) => return Err(error),
            }
            Ok(names.into_iter().collect())
        }
        _ => {
            let topics = list_topics(cluster).await?;
            Ok(topics.into_iter().map(|topic| topic.name).collect())
        }
    }
}

/// As Kafka's tool prints it.
pub fn render(described: &Described, all: bool) -> String {
    let Described {
        entity_type,
        entity_name,
        configs,
    } = described;
    let mut text = match entity_name.as_str() {
        "" => format!(
            "Default configs for {} in the cluster are:\n",
            entity_type.name()
        ),
        name => format!(
            "{} configs for {} {name} are:\n",
            if all { "All" } else { "Dynamic" },
            entity_type.singular()
        ),
    };
    let value = |value: &Option<String>| value.clone().unwrap_or_else(|| "null".to_owned());
    for entry in configs {
        let synonyms: Vec<String> = entry
            .synonyms
            .iter()
            .map(|(source, name, at)| format!("{}:{name}={}", source.name(), value(at)))
            .collect();
        text += &format!(
            "  {}={} sensitive={} synonyms={{{}}}\n",
            entry.name,
            value(&entry.value),
            entry.sensitive,
            synonyms.join(", ")
        );
    }
    text
}
