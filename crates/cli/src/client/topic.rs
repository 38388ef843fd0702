//! The topic that a command line names: whether it is there, and what may have been meant.

use std::time::{Duration, Instant};

use anyhow::bail;
use kacrab_protocol::generated::{ErrorCode, MetadataRequestData, MetadataRequestTopic};

use crate::cluster::{Cluster, ClusterError, check};
use crate::fetch::{Resource, describe_configs, list_topics};
use crate::job::Hinted;
use crate::suggest::nearest_few;

/// How long a topic may take to come that the cluster was asked to create.
const CREATION: Duration = Duration::from_secs(5);
const BACKOFF: Duration = Duration::from_millis(50);

/// A topic that exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Existing {
    /// How many partitions it has.
    pub partitions: i32,
    /// Those that have a leader.
    pub led: Vec<i32>,
}

/// Finds a topic; `create` lets the cluster create it where `auto.create.topics.enable` is on.
///
/// # Errors
/// When the cluster does not answer, or refuses for a reason other than that there is none.
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

/// Waits for a topic that is about to be written to, and lets the cluster create it.
///
/// # Errors
/// When it does not come, with the names that may have been meant.
pub async fn wait_for(cluster: &Cluster, name: &str) -> anyhow::Result<Existing> {
    let until = Instant::now() + CREATION;
    let mut meant = None;
    if let Ok(None) = find(cluster, name, false).await {
        meant = near(cluster, name).await;
    }
    loop {
        let found = match find(cluster, name, true).await {
            Err(ClusterError::Refused(refusal))
                if refusal.code == ErrorCode::InvalidTopicException =>
            {
                bail!("{name:?} is no name of a topic: letters, digits, '.', '_' and '-' make one");
            }
            found => found?,
        };
        if let Some(topic) = found {
            if let Some(meant) = meant {
                eprintln!(
                    "Topic '{name}' was not there and has been created. Did you mean {meant}?"
                );
            }
            return Ok(topic);
        }
        if Instant::now() >= until {
            let message = format!(
                "Topic '{name}' does not exist, and the cluster does not create it on its own"
            );
            let hint = match meant {
                Some(near) => format!("Did you mean {near}?"),
                None => format!(
                    "Create it: kafka-topics --bootstrap-server {} --create --topic {name}",
                    cluster.bootstrap()
                ),
            };
            return Err(Hinted { message, hint }.into());
        }
        tokio::time::sleep(BACKOFF).await;
    }
}

/// The names that are near to this one, where there are some.
pub(crate) async fn near(cluster: &Cluster, name: &str) -> Option<String> {
    let all = list_topics(cluster).await.ok()?;
    let near = nearest_few(name, all.iter().map(|topic| topic.name.as_str()));
    let near: Vec<&str> = near.into_iter().filter(|other| *other != name).collect();
    (!near.is_empty()).then(|| near.join(" or "))
}

/// `max.message.bytes` of a topic, where the cluster tells it.
pub async fn message_bytes_max(cluster: &Cluster, topic: &str) -> Option<usize> {
    let resource = Resource::topic(topic);
    let resources = std::slice::from_ref(&resource);
    let mut answer = describe_configs(cluster, resources, None, false)
        .await
        .ok()?;
    let configs = answer.remove(&resource)?.ok()?;
    let config = configs
        .into_iter()
        .find(|config| config.name == "max.message.bytes")?;
    config.value?.parse().ok()
}
