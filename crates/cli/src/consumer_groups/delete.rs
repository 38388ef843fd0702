//! `consumer-groups --delete` and `--delete-offsets`.

use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{Cluster, ClusterError, PartitionId, Refusal, check};
use kacrab_protocol::generated::{
    DeleteGroupsRequestData, ErrorCode, OffsetDeleteRequestData, OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
};
use serde::Serialize;

use super::meant;
use super::offsets::{parse_topic, partitions_of};
use crate::job::{Job, Output, Told};

#[derive(Serialize)]
struct Deleted<'a> {
    group: &'a str,
    error: Option<String>,
}

pub async fn groups(job: &Job<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let mut results: BTreeMap<String, Option<Refusal>> = BTreeMap::new();
    let groups = meant(job, cluster).await?;
    for group in job.progress.over("groups deleted", groups) {
        let result = match delete_group(cluster, &group).await {
            Ok(()) => None,
            Err(ClusterError::Refused(refusal)) => Some(refusal),
            Err(error) => return Err(error.into()),
        };
        results.insert(group, result);
    }
    let failed = results.values().any(Option::is_some);
    match job.output()? {
        Output::Text => job.print(render_deleted(&results))?,
        Output::Json => {
            let rows: Vec<Deleted> = results
                .iter()
                .map(|(group, error)| Deleted {
                    group,
                    error: error.as_ref().map(ToString::to_string),
                })
                .collect();
            job.print_json(&rows)?;
        }
    }
    if failed { Err(Told.into()) } else { Ok(()) }
}

async fn delete_group(cluster: &Cluster, group: &str) -> Result<(), ClusterError> {
    let request = DeleteGroupsRequestData {
        groups_names: vec![group.to_owned().into()],
        ..DeleteGroupsRequestData::default()
    };
    cluster
        .retry(async || {
            let coordinator = cluster.coordinator(group).await?;
            let answer = cluster.ask_broker(coordinator.id, &request).await?;
            for result in &answer.results {
                check(result.error_code, None)?;
            }
            Ok(())
        })
        .await
}

/// As Kafka's tool prints it.
pub fn render_deleted(results: &BTreeMap<String, Option<Refusal>>) -> String {
    let deleted = results.iter().filter(|(_, error)| error.is_none());
    let deleted: Vec<String> = deleted.map(|(group, _)| format!("'{group}'")).collect();
    let deleted = deleted.join(", ");
    if results.values().all(Option::is_none) {
        return format!("Deletion of requested consumer groups ({deleted}) was successful.\n");
    }
    let mut text = "\nError: Deletion of some consumer groups failed:\n".to_owned();
    for (group, error) in results {
        if let Some(error) = error {
            let error = error.java();
            text += &format!("* Group '{group}' could not be deleted due to: {error}\n");
        }
    }
    if !deleted.is_empty() {
        text += &format!("\nThese consumer groups were deleted successfully: {deleted}\n");
    }
    text
}

/// What became of the offset of a partition; a topic that is unknown has the partition -1.
type Results = BTreeMap<PartitionId, Option<ErrorCode>>;

pub async fn offsets(job: &Job<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let group = job.parsed.required("group")?;
    let mut results = Results::new();
    let mut ids = BTreeSet::new();
    let texts: Vec<&str> = job.parsed.values("topic").collect();
    for text in job.progress.over("topics described", texts) {
        let (topic, partitions) = parse_topic(text)?;
        let id = |partition| PartitionId {
            topic: topic.clone(),
            partition,
        };
        match partitions {
            Some(partitions) => ids.extend(partitions.into_iter().map(id)),
            None => {
                let topics = std::slice::from_ref(&topic);
                match partitions_of(cluster, topics, &job.progress).await {
                    Ok(found) => ids.extend(found),
                    Err(ClusterError::Refused(refusal)) => {
                        results.insert(id(-1), Some(refusal.code));
                    }
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
    let top = delete_offsets(cluster, group, &ids, &mut results).await?;
    let failed = top.is_error() || results.values().any(Option::is_some);
    match job.output()? {
        Output::Text => job.print(render_offsets(group, top, &results))?,
        Output::Json => {
            let rows: Vec<OffsetJson> = results
                .iter()
                .map(|(id, error)| OffsetJson {
                    group,
                    topic: &id.topic,
                    partition: Some(id.partition).filter(|partition| *partition >= 0),
                    error: error.map(|error| error.to_string()),
                })
                .collect();
            job.print_json(&rows)?;
        }
    }
    if failed { Err(Told.into()) } else { Ok(()) }
}

#[derive(Serialize)]
struct OffsetJson<'a> {
    group: &'a str,
    topic: &'a str,
    partition: Option<i32>,
    error: Option<String>,
}

/// Deletes offsets; returns the first error, of the group or of a partition.
async fn delete_offsets(
    cluster: &Cluster,
    group: &str,
    ids: &BTreeSet<PartitionId>,
    results: &mut Results,
) -> Result<ErrorCode, ClusterError> {
    let mut topics: BTreeMap<&str, Vec<OffsetDeleteRequestPartition>> = BTreeMap::new();
    for id in ids {
        topics
            .entry(&id.topic)
            .or_default()
            .push(OffsetDeleteRequestPartition {
                partition_index: id.partition,
                ..OffsetDeleteRequestPartition::default()
            });
    }
    let topics = topics
        .into_iter()
        .map(|(name, partitions)| OffsetDeleteRequestTopic {
            name: name.to_owned().into(),
            partitions,
            ..OffsetDeleteRequestTopic::default()
        });
    let request = OffsetDeleteRequestData {
        group_id: group.to_owned().into(),
        topics: topics.collect(),
        ..OffsetDeleteRequestData::default()
    };
    let answer = cluster
        .retry(async || {
            let coordinator = cluster.coordinator(group).await?;
            let answer = cluster.ask_broker(coordinator.id, &request).await?;
            check(answer.error_code, None)?;
            Ok(answer)
        })
        .await;
    let answer = match answer {
        Ok(answer) => answer,
        Err(ClusterError::Refused(refusal)) => {
            results.extend(ids.iter().map(|id| (id.clone(), Some(refusal.code))));
            return Ok(refusal.code);
        }
        Err(error) => return Err(error),
    };
    let mut first = ErrorCode::None;
    for topic in &answer.topics {
        for partition in &topic.partitions {
            let code = ErrorCode::from(partition.error_code);
            let id = PartitionId {
                topic: topic.name.to_string(),
                partition: partition.partition_index,
            };
            if code.is_error() && !first.is_error() {
                first = code;
            }
            results.insert(id, Some(code).filter(ErrorCode::is_error));
        }
    }
    Ok(first)
}

/// As Kafka's tool prints it.
fn render_offsets(group: &str, top: ErrorCode, results: &Results) -> String {
    use ErrorCode as Code;
    let mut text = match top {
        Code::None => format!("Request succeeded for deleting offsets from group {group}.\n"),
        Code::InvalidGroupId
        | Code::GroupIdNotFound
        | Code::GroupAuthorizationFailed
        | Code::NonEmptyGroup => format!("\nError: {top}\n"),
        Code::GroupSubscribedToTopic
        | Code::TopicAuthorizationFailed
        | Code::UnknownTopicOrPartition => {
            "\nError: Encountered some partition-level error, see the follow-up details.\n"
                .to_owned()
        }
        _ => format!("\nError: Encountered some unknown error: {top:?}\n"),
    };
    let width = results
        .keys()
        .map(|id| id.topic.len())
        .max()
        .unwrap_or(0)
        .max(15);
    let line = |topic: &str, partition: &str, status: &str| {
        format!("\n{topic:<width$} {partition:<10} {status:<15}")
    };
    text += &line("TOPIC", "PARTITION", "STATUS");
    for (id, error) in results {
        let partition = match id.partition {
            -1 => "-".to_owned(),
            partition => partition.to_string(),
        };
        let status = match error {
            Some(code) => {
                let message = code.to_string();
                let refusal = Refusal {
                    code: *code,
                    message,
                };
                format!("Error: {}", refusal.java())
            }
            None => "Successful".to_owned(),
        };
        text += &line(&id.topic, &partition, &status);
    }
    text + "\n"
}
