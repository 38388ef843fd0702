//! `consumer-groups --delete` and `--delete-offsets`.

use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{
    Cluster, ClusterError, PartitionId, Refusal, delete_group, delete_offsets, partitions_of,
};
use kacrab_protocol::generated::ErrorCode;
use serde::Serialize;

use super::describe::or_missing;
use super::offsets::parse_topic;
use super::select_groups;
use crate::table::{Table, cells};
use crate::tool_run::{ToolRun, fail_if};

#[derive(Serialize)]
struct Deleted<'a> {
    group: &'a str,
    error: Option<String>,
}

pub async fn groups(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let mut results: BTreeMap<String, Option<Refusal>> = BTreeMap::new();
    let groups = select_groups(run, cluster).await?;
    for group in run.progress.over("groups deleted", groups) {
        let result = match delete_group(cluster, &group).await {
            Ok(()) => None,
            Err(ClusterError::Refused(refusal)) => Some(refusal),
            Err(error) => return Err(error.into()),
        };
        results.insert(group, result);
    }
    let failed = results.values().any(Option::is_some);
    let rows: Vec<Deleted> = results
        .iter()
        .map(|(group, error)| Deleted {
            group,
            error: error.as_ref().map(ToString::to_string),
        })
        .collect();
    run.show(rows.as_slice(), |_| render_deleted(&results))?;
    fail_if(failed)
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

pub async fn offsets(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let group = run.parsed.required("group")?;
    let mut results = Results::new();
    let mut ids = BTreeSet::new();
    let texts: Vec<&str> = run.parsed.values("topic").collect();
    for text in run.progress.over("topics described", texts) {
        let (topic, partitions) = parse_topic(text)?;
        let id = |partition| PartitionId::new(topic.as_str(), partition);
        match partitions {
            Some(partitions) => ids.extend(partitions.into_iter().map(id)),
            None => {
                let topics = std::slice::from_ref(&topic);
                match partitions_of(cluster, topics, &run.progress).await {
                    Ok(found) => ids.extend(found.into_iter().map(|(id, _)| id)),
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
    let rows: Vec<OffsetRow> = results
        .iter()
        .map(|(id, error)| OffsetRow {
            group,
            topic: &id.topic,
            partition: Some(id.partition).filter(|partition| *partition >= 0),
            error: error.map(|error| error.to_string()),
            code: *error,
        })
        .collect();
    run.show(rows.as_slice(), |rows| render_offsets(group, top, rows))?;
    fail_if(failed)
}

#[derive(Serialize)]
struct OffsetRow<'a> {
    group: &'a str,
    topic: &'a str,
    partition: Option<i32>,
    error: Option<String>,
    #[serde(skip)]
    code: Option<ErrorCode>,
}

/// As Kafka's tool prints it.
fn render_offsets(group: &str, top: ErrorCode, rows: &[OffsetRow]) -> String {
    use ErrorCode as Code;
    let head = match top {
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
    let status = |row: &OffsetRow| match row.code {
        Some(code) => format!("Error: {}", Refusal::from(code).java()),
        None => "Successful".to_owned(),
    };
    let table = Table::new("TOPIC>=15 | PARTITION=10 | STATUS=15");
    let table = table.text(rows, |row| {
        cells![row.topic, or_missing(row.partition), status(row)]
    });
    format!("{head}\n{table}")
}
