//! Configuration of topics, brokers, groups and so on.

use std::collections::BTreeMap;

use kacrab_protocol::generated::incremental_alter_configs_request::{
    AlterConfigsResource, AlterableConfig,
};
use kacrab_protocol::generated::{
    DescribeConfigsRequestData, DescribeConfigsResource, DescribeConfigsResourceResult,
    DescribeConfigsResult, IncrementalAlterConfigsRequestData, ListConfigResourcesRequestData,
};
use serde::Serialize;

use crate::cluster::{Cluster, ClusterError, Recipient, check};

/// Something that has a configuration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// Its type, as the protocol numbers them: 2 topic, 4 broker, 8 logger, 16 metrics, 32 group.
    pub kind: i8,
    /// Its name; empty for the default of all brokers.
    pub name: String,
}

impl Resource {
    /// The type of topics.
    pub const TOPIC: i8 = 2;
    /// The type of brokers.
    pub const BROKER: i8 = 4;
    /// The type of brokers' loggers.
    pub const BROKER_LOGGER: i8 = 8;
    /// The type of client metrics.
    pub const CLIENT_METRICS: i8 = 16;
    /// The type of groups.
    pub const GROUP: i8 = 32;

    /// Returns the recipient of a request about the resource. Only the broker itself returns its
    /// own properties.
    #[must_use]
    pub fn target(&self) -> Recipient<'static> {
        match (self.kind, self.name.parse()) {
            (Self::BROKER | Self::BROKER_LOGGER, Ok(id)) => Recipient::Broker(id),
            _ => Recipient::Any,
        }
    }

    /// Returns the resource of a broker.
    #[must_use]
    pub fn broker(id: i32) -> Self {
        Self {
            kind: Self::BROKER,
            name: id.to_string(),
        }
    }

    /// Returns the resource of a topic.
    #[must_use]
    pub fn topic(name: &str) -> Self {
        Self {
            kind: Self::TOPIC,
            name: name.to_owned(),
        }
    }
}

/// The source of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ConfigSource {
    /// A source that Kafka added after this version of Dohle.
    Unknown,
    /// Set on the topic.
    DynamicTopicConfig,
    /// Set on the broker.
    DynamicBrokerConfig,
    /// Set on all brokers.
    DynamicDefaultBrokerConfig,
    /// In the broker's file.
    StaticBrokerConfig,
    /// Not set: the default.
    DefaultConfig,
    /// The level of a logger.
    DynamicBrokerLoggerConfig,
    /// Set on client metrics.
    DynamicClientMetricsConfig,
    /// Set on the group.
    DynamicGroupConfig,
}

impl ConfigSource {
    fn from_wire(number: i8) -> Self {
        match number {
            1 => Self::DynamicTopicConfig,
            2 => Self::DynamicBrokerConfig,
            3 => Self::DynamicDefaultBrokerConfig,
            4 => Self::StaticBrokerConfig,
            5 => Self::DefaultConfig,
            6 => Self::DynamicBrokerLoggerConfig,
            7 => Self::DynamicClientMetricsConfig,
            8 => Self::DynamicGroupConfig,
            _ => Self::Unknown,
        }
    }

    /// Returns Kafka's name of the source.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::DynamicTopicConfig => "DYNAMIC_TOPIC_CONFIG",
            Self::DynamicBrokerConfig => "DYNAMIC_BROKER_CONFIG",
            Self::DynamicDefaultBrokerConfig => "DYNAMIC_DEFAULT_BROKER_CONFIG",
            Self::StaticBrokerConfig => "STATIC_BROKER_CONFIG",
            Self::DefaultConfig => "DEFAULT_CONFIG",
            Self::DynamicBrokerLoggerConfig => "DYNAMIC_BROKER_LOGGER_CONFIG",
            Self::DynamicClientMetricsConfig => "DYNAMIC_CLIENT_METRICS_CONFIG",
            Self::DynamicGroupConfig => "DYNAMIC_GROUP_CONFIG",
        }
    }
}

/// One property of a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigEntry {
    /// Its name.
    pub name: String,
    /// Its value; absent for secrets.
    pub value: Option<String>,
    /// The source of the value.
    pub source: ConfigSource,
    /// Whether it is a secret.
    pub sensitive: bool,
    /// Whether it can be changed at run time.
    pub read_only: bool,
    /// All places where the property is set, in order of precedence: (source, name, value).
    pub synonyms: Vec<(ConfigSource, String, Option<String>)>,
}

/// Describes the configuration of resources that have one recipient. The result of a resource that
/// the cluster refuses to describe is its error.
///
/// # Errors
/// When the cluster does not answer.
pub async fn describe_configs(
    cluster: &Cluster,
    resources: &[Resource],
    synonyms: bool,
) -> Result<BTreeMap<Resource, Result<Vec<ConfigEntry>, ClusterError>>, ClusterError> {
    let wanted = resources.iter().map(|resource| DescribeConfigsResource {
        resource_type: resource.kind,
        resource_name: resource.name.clone().into(),
        configuration_keys: None,
        ..DescribeConfigsResource::default()
    });
    let request = DescribeConfigsRequestData {
        resources: wanted.collect(),
        include_synonyms: synonyms,
        include_documentation: false,
        ..DescribeConfigsRequestData::default()
    };
    let target = resources.first().map_or(Recipient::Any, Resource::target);
    let answer = cluster.call_once(target, &request).await?;
    Ok(answer.results.iter().map(described).collect())
}

fn described(result: &DescribeConfigsResult) -> (Resource, Result<Vec<ConfigEntry>, ClusterError>) {
    let resource = Resource {
        kind: result.resource_type,
        name: result.resource_name.to_string(),
    };
    let entries = check(result.error_code, result.error_message.as_ref())
        .map(|()| result.configs.iter().map(entry).collect());
    (resource, entries)
}

fn entry(config: &DescribeConfigsResourceResult) -> ConfigEntry {
    let synonyms = config.synonyms.iter().map(|synonym| {
        let value = synonym.value.as_ref().map(ToString::to_string);
        (
            ConfigSource::from_wire(synonym.source),
            synonym.name.to_string(),
            value,
        )
    });
    ConfigEntry {
        name: config.name.to_string(),
        value: config.value.as_ref().map(ToString::to_string),
        source: ConfigSource::from_wire(config.config_source),
        sensitive: config.is_sensitive,
        read_only: config.read_only,
        synonyms: synonyms.collect(),
    }
}

/// SET and DELETE, as the protocol numbers them.
const SET: i8 = 0;
const DELETE: i8 = 1;

/// Sets properties of a resource; a property without a value is reset to its default.
///
/// # Errors
/// When the cluster does not answer or refuses.
pub async fn alter_configs(
    cluster: &Cluster,
    resource: &Resource,
    changes: &[(String, Option<String>)],
) -> Result<(), ClusterError> {
    let configs = changes.iter().map(|(name, value)| AlterableConfig {
        name: name.clone().into(),
        config_operation: if value.is_some() { SET } else { DELETE },
        value: Some(value.clone().unwrap_or_default().into()),
        ..AlterableConfig::default()
    });
    let request = IncrementalAlterConfigsRequestData {
        resources: vec![AlterConfigsResource {
            resource_type: resource.kind,
            resource_name: resource.name.clone().into(),
            configs: configs.collect(),
            ..AlterConfigsResource::default()
        }],
        ..IncrementalAlterConfigsRequestData::default()
    };
    cluster.call(resource.target(), &request).await?;
    Ok(())
}

/// Returns the sorted names of all resources of a kind (a number of the protocol) that have
/// properties.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn list_config_resources(
    cluster: &Cluster,
    kind: i8,
) -> Result<Vec<String>, ClusterError> {
    let request = ListConfigResourcesRequestData {
        resource_types: vec![kind],
        ..ListConfigResourcesRequestData::default()
    };
    let answer = cluster.call_once(Recipient::Any, &request).await?;
    let of_kind = answer
        .config_resources
        .iter()
        .filter(|one| one.resource_type == kind);
    let mut names: Vec<String> = of_kind.map(|one| one.resource_name.to_string()).collect();
    names.sort();
    Ok(names)
}
