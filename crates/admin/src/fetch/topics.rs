//! Lists and describes topics, their partitions and their reassignments.

use std::collections::BTreeMap;

use kacrab_protocol::KafkaUuid;
use kacrab_protocol::generated::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreatePartitionsAssignment,
    CreatePartitionsRequestData, CreatePartitionsTopic, CreateTopicsRequestData, DeleteTopicState,
    DeleteTopicsRequestData, DescribeTopicPartitionsRequestData,
    DescribeTopicPartitionsResponseTopic, ListPartitionReassignmentsRequestData,
    ListPartitionReassignmentsTopics, MetadataRequestData, MetadataResponseTopic,
    describe_topic_partitions_request as request,
};
use regex::Regex;

use super::PartitionId;
use super::batches::{by_topic, metadata_of};
use crate::cluster::{Cluster, ClusterError, DescribeTopicPartitions, Recipient, check};
use crate::progress::ProgressReporter;

/// A topic in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicName {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: KafkaUuid,
    /// Whether it is one of Kafka's internal topics.
    pub internal: bool,
}

/// A topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topic {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: KafkaUuid,
    /// Its partitions, by number.
    pub partitions: Vec<Partition>,
}

/// A partition, as the cluster describes it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Partition {
    /// Its number.
    pub partition: i32,
    /// Its leader, if it has one.
    pub leader: Option<i32>,
    /// Its replicas, the preferred leader first.
    pub replicas: Vec<i32>,
    /// The replicas in sync.
    pub isr: Vec<i32>,
    /// Eligible leader replicas (KIP-966), where the cluster reports them.
    pub elr: Option<Vec<i32>>,
    /// The last known eligible leader replicas.
    pub last_known_elr: Option<Vec<i32>>,
}

/// A reassignment of a partition to other replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reassignment {
    /// All replicas, old and new.
    pub replicas: Vec<i32>,
    /// Replicas that are being added.
    pub adding: Vec<i32>,
    /// Replicas that are being removed.
    pub removing: Vec<i32>,
}

/// A filter of topics: a regular expression, in which commas mean "or".
#[derive(Debug, Clone)]
pub struct Names(Regex);

impl Names {
    /// Parses the text as Kafka's tools do.
    ///
    /// # Errors
    /// When it is no regular expression.
    pub fn new(text: &str) -> anyhow::Result<Self> {
        let quotes = ['"', '\''];
        let text = text.trim().replace(',', "|").replace(' ', "");
        let text = text.trim_matches(quotes);
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) => Ok(Self(regex)),
            Err(_) => anyhow::bail!("{text} is an invalid regex."),
        }
    }

    /// Returns whether the whole name matches.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

/// Returns all topics of the cluster, by name.
///
/// # Errors
/// When the cluster does not answer.
pub async fn list_topics(cluster: &Cluster) -> Result<Vec<TopicName>, ClusterError> {
    let request = MetadataRequestData {
        topics: None,
        ..MetadataRequestData::default()
    };
    let answer = cluster.call_once(Recipient::Any, &request).await?;
    let mut topics: Vec<TopicName> = answer
        .topics
        .iter()
        .filter_map(|topic| {
            Some(TopicName {
                name: topic.name.as_ref()?.to_string(),
                id: topic.topic_id,
                internal: topic.is_internal,
            })
        })
        .collect();
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

/// The largest number of partitions in one response.
const PARTITIONS_IN_ANSWER: i32 = 2000;

/// Describes topics, in the order of their names. `limit` is the largest number of partitions in
/// one response, instead of 2000.
///
/// # Errors
/// When the cluster does not answer, or one of them does not exist.
pub async fn describe_topics(
    cluster: &Cluster,
    names: &[String],
    limit: Option<i32>,
    progress: &dyn ProgressReporter,
) -> Result<Vec<Topic>, ClusterError> {
    let limit = limit.unwrap_or(PARTITIONS_IN_ANSWER);
    let mut names = names.to_vec();
    names.sort();
    names.dedup();
    if names.is_empty() {
        return Ok(Vec::new());
    }
    match describe_page_by_page(cluster, &names, limit, progress).await {
        Err(ClusterError::Unsupported { .. }) => describe_by_metadata(cluster, &names).await,
        done => done,
    }
}

async fn describe_page_by_page(
    cluster: &Cluster,
    names: &[String],
    limit: i32,
    progress: &dyn ProgressReporter,
) -> Result<Vec<Topic>, ClusterError> {
    let of_topics = progress.begin("topics described", Some(names.len()));
    let of_partitions = progress.begin("partitions described", None);
    let mut found: BTreeMap<String, Topic> = BTreeMap::new();
    let mut cursor = None;
    loop {
        let topics = names.iter().map(|name| request::TopicRequest {
            name: name.clone().into(),
            ..request::TopicRequest::default()
        });
        let request = DescribeTopicPartitions(DescribeTopicPartitionsRequestData {
            topics: topics.collect(),
            response_partition_limit: limit,
            cursor: cursor.take(),
            ..DescribeTopicPartitionsRequestData::default()
        });
        let answer = cluster.ask(&request).await?.0;
        for topic in &answer.topics {
            check(topic.error_code, None)?;
            let page = described(topic);
            of_partitions.add(page.partitions.len());
            match found.get_mut(&page.name) {
                Some(known) => known.partitions.extend(page.partitions),
                None => {
                    found.insert(page.name.clone(), page);
                    of_topics.add(1);
                }
            }
        }
        let Some(next) = answer.next_cursor else {
            let mut topics: Vec<Topic> = found.into_values().collect();
            for topic in &mut topics {
                topic
                    .partitions
                    .sort_by_key(|partition| partition.partition);
            }
            return Ok(topics);
        };
        cursor = Some(Box::new(request::Cursor {
            topic_name: next.topic_name,
            partition_index: next.partition_index,
            ..request::Cursor::default()
        }));
    }
}

/// Makes a topic of a response, with these fields of its partitions; both responses that describe
/// topics name the others alike.
macro_rules! topic {
    ($topic:expr, |$partition:ident| { $($field:ident: $value:expr,)* }) => {
        Topic {
            name: $topic.name.as_ref().map_or_else(String::new, ToString::to_string),
            id: $topic.topic_id,
            partitions: $topic
                .partitions
                .iter()
                .map(|$partition| Partition {
                    partition: $partition.partition_index,
                    leader: Some($partition.leader_id).filter(|leader| *leader >= 0),
                    replicas: $partition.replica_nodes.clone(),
                    isr: $partition.isr_nodes.clone(),
                    $($field: $value,)*
                })
                .collect(),
        }
    };
}

fn described(topic: &DescribeTopicPartitionsResponseTopic) -> Topic {
    topic!(topic, |partition| {
        elr: Some(partition.eligible_leader_replicas.clone().unwrap_or_default()),
        last_known_elr: Some(partition.last_known_elr.clone().unwrap_or_default()),
    })
}

/// Describes topics by Metadata, for brokers without DescribeTopicPartitions (KIP-966).
async fn describe_by_metadata(
    cluster: &Cluster,
    names: &[String],
) -> Result<Vec<Topic>, ClusterError> {
    let answer = cluster
        .ask(&metadata_of(names.iter().map(String::as_str)))
        .await?;
    let mut topics = Vec::new();
    for topic in &answer.topics {
        check(topic.error_code, None)?;
        topics.push(from_metadata(topic));
    }
    topics.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(topics)
}

fn from_metadata(topic: &MetadataResponseTopic) -> Topic {
    let mut topic = topic!(topic, |partition| {
        elr: None,
        last_known_elr: None,
    });
    topic
        .partitions
        .sort_by_key(|partition| partition.partition);
    topic
}

/// A topic that is to be created. The cluster's defaults apply to what is `None` or empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NewTopic {
    /// Its name.
    pub name: String,
    /// The number of its partitions; not together with an assignment.
    pub partitions: Option<i32>,
    /// The number of replicas of each partition; not together with an assignment.
    pub replication_factor: Option<i16>,
    /// The brokers of each partition.
    pub assignment: Vec<Vec<i32>>,
    /// Its properties.
    pub configs: BTreeMap<String, String>,
}

/// Creates a topic.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn create_topic(cluster: &Cluster, topic: NewTopic) -> Result<(), ClusterError> {
    let assignments = topic.assignment.into_iter().zip(0..);
    let assignments = assignments.map(|(broker_ids, partition_index)| CreatableReplicaAssignment {
        partition_index,
        broker_ids,
        ..CreatableReplicaAssignment::default()
    });
    let configs = topic.configs.into_iter();
    let configs = configs.map(|(name, value)| CreatableTopicConfig {
        name: name.into(),
        value: Some(value.into()),
        ..CreatableTopicConfig::default()
    });
    let topic = CreatableTopic {
        name: topic.name.into(),
        num_partitions: topic.partitions.unwrap_or(-1),
        replication_factor: topic.replication_factor.unwrap_or(-1),
        assignments: assignments.collect(),
        configs: configs.collect(),
        ..CreatableTopic::default()
    };
    let request = CreateTopicsRequestData {
        topics: vec![topic],
        timeout_ms: cluster.request_timeout_ms(),
        ..CreateTopicsRequestData::default()
    };
    cluster.call(Recipient::Any, &request).await?;
    Ok(())
}

/// Raises the number of partitions of topics to `count`; each topic comes with the replicas of its
/// new partitions, where the cluster is not to choose them.
///
/// # Errors
/// When the cluster does not answer, or refuses one of them.
pub async fn add_partitions(
    cluster: &Cluster,
    topics: Vec<(String, Option<Vec<Vec<i32>>>)>,
    count: i32,
) -> Result<(), ClusterError> {
    let assignment = |broker_ids| CreatePartitionsAssignment {
        broker_ids,
        ..CreatePartitionsAssignment::default()
    };
    let topics = topics
        .into_iter()
        .map(|(name, replicas)| CreatePartitionsTopic {
            name: name.into(),
            count,
            assignments: replicas.map(|all| all.into_iter().map(assignment).collect()),
            ..CreatePartitionsTopic::default()
        });
    let request = CreatePartitionsRequestData {
        topics: topics.collect(),
        timeout_ms: cluster.request_timeout_ms(),
        ..CreatePartitionsRequestData::default()
    };
    cluster.call_once(Recipient::Any, &request).await?;
    Ok(())
}

/// Deletes topics.
///
/// # Errors
/// When the cluster does not answer, or refuses one of them.
pub async fn delete_topics(
    cluster: &Cluster,
    names: impl Iterator<Item = &str>,
) -> Result<(), ClusterError> {
    let topics = names.map(|name| DeleteTopicState {
        name: Some(name.to_owned().into()),
        ..DeleteTopicState::default()
    });
    let request = DeleteTopicsRequestData {
        topics: topics.collect(),
        timeout_ms: cluster.request_timeout_ms(),
        ..DeleteTopicsRequestData::default()
    };
    cluster.call_once(Recipient::Any, &request).await?;
    Ok(())
}

/// Returns all partitions of topics, in order, with their topics' names.
///
/// # Errors
/// As [`describe_topics`].
pub async fn partitions_of(
    cluster: &Cluster,
    topics: &[String],
    progress: &dyn ProgressReporter,
) -> Result<Vec<(PartitionId, Partition)>, ClusterError> {
    let topics = describe_topics(cluster, topics, None, progress).await?;
    let partitions = topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        let partitions = topic.partitions.into_iter();
        partitions.map(move |one| (PartitionId::new(name.as_str(), one.partition), one))
    });
    Ok(partitions.collect())
}

/// Returns the reassignments of these topics' partitions, or all of them.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn reassignments(
    cluster: &Cluster,
    of: Option<&[PartitionId]>,
) -> Result<BTreeMap<PartitionId, Reassignment>, ClusterError> {
    let topics = of.map(|ids| {
        let partitions = ids.iter().map(|id| (id.topic.as_str(), id.partition));
        by_topic(partitions, |name, partition_indexes| {
            ListPartitionReassignmentsTopics {
                name,
                partition_indexes,
                ..ListPartitionReassignmentsTopics::default()
            }
        })
    });
    let request = ListPartitionReassignmentsRequestData {
        timeout_ms: cluster.request_timeout_ms(),
        topics,
        ..ListPartitionReassignmentsRequestData::default()
    };
    let answer = cluster.call(Recipient::Any, &request).await?;
    let mut found = BTreeMap::new();
    for topic in answer.topics {
        for partition in topic.partitions {
            let id = PartitionId::new(topic.name.as_str(), partition.partition_index);
            let reassignment = Reassignment {
                replicas: partition.replicas,
                adding: partition.adding_replicas,
                removing: partition.removing_replicas,
            };
            found.insert(id, reassignment);
        }
    }
    Ok(found)
}
