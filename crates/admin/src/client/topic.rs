//! A single topic: whether it exists, and how large its records may be.

use kacrab_protocol::generated::{ErrorCode, MetadataRequestData, MetadataRequestTopic};

use crate::cluster::{Cluster, ClusterError, check};
use crate::fetch::{Resource, describe_configs};

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// The number of its partitions.
    pub partitions: i32,
    /// The partitions that have a leader.
    pub led: Vec<i32>,
}

/// Finds a topic; `create` lets the cluster create it where `auto.create.topics.enable` is on.
///
/// # Errors
/// When the cluster does not answer, or refuses. A topic that does not exist is no error.
pub async fn find(
    cluster: &Cluster,
    name: &str,
    create: bool,
) -> Result<Option<Existing>, ClusterError> {
    let request = MetadataRequestData {
        topics: Some(vec![MetadataRequestTopic {
            name: Some(name.to_owned().into()),
            ..MetadataRequestTopic::default()
        }]),
        allow_auto_topic_creation: create,
        ..MetadataRequestData::default()
    };
    let answer = cluster.ask(&request).await?;
    check(answer.error_code, None)?;
    let Some(topic) = answer.topics.first() else {
        return Ok(None);
    };
    match ErrorCode::from(topic.error_code) {
        ErrorCode::UnknownTopicOrPartition | ErrorCode::LeaderNotAvailable => Ok(None),
        _ => {
            check(topic.error_code, None)?;
            let led = topic
                .partitions
                .iter()
                .filter(|partition| partition.leader_id >= 0);
            Ok(Some(Existing {
                partitions: i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX),
                led: led.map(|partition| partition.partition_index).collect(),
            }))
        }
    }
}

/// Returns `max.message.bytes` of a topic, if the cluster reports it.
pub async fn message_bytes_max(cluster: &Cluster, topic: &str) -> Option<usize> {
    let resource = Resource::topic(topic);
    let resources = std::slice::from_ref(&resource);
    let mut answer = describe_configs(cluster, resources, false).await.ok()?;
    let configs = answer.remove(&resource)?.ok()?;
    let config = configs
        .into_iter()
        .find(|config| config.name == "max.message.bytes")?;
    config.value?.parse().ok()
}
