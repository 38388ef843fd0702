//! Offsets of the partitions of groups: where logs begin and end, and which partitions can be
//! reset.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use dohle_admin::{
    Cluster, ClusterError, EARLIEST, LATEST, PartitionId, describe_topics, leaders, list_offsets,
};
use kacrab_protocol::generated::ErrorCode;

use crate::options::{UsageError, usage};
use crate::progress::Progress;

/// Where logs end; `None` for partitions without a leader.
pub async fn ends(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
    progress: &Progress,
) -> Result<BTreeMap<PartitionId, Option<i64>>, ClusterError> {
    let mut found = BTreeMap::new();
    let mut led = BTreeSet::new();
    for (id, leader) in leaders(cluster, ids.iter()).await? {
        if leader == Err(ErrorCode::LeaderNotAvailable) {
            found.insert(id, None);
        } else {
            led.insert(id);
        }
    }
    let ends = at(cluster, &led, LATEST, progress).await?;
    found.extend(ends.into_iter().map(|(id, end)| (id, Some(end))));
    Ok(found)
}

/// The offsets of one timestamp; a refusal of one partition fails all, as in Kafka's tool.
pub async fn at(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
    timestamp: i64,
    progress: &Progress,
) -> Result<BTreeMap<PartitionId, i64>, ClusterError> {
    let found = at_or_none(cluster, ids, timestamp, progress).await?;
    Ok(found
        .into_iter()
        .map(|(id, offset)| (id, offset.unwrap_or(-1)))
        .collect())
}

/// The same, where there may be no record of that time.
pub async fn at_or_none(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
    timestamp: i64,
    progress: &Progress,
) -> Result<BTreeMap<PartitionId, Option<i64>>, ClusterError> {
    let wanted = ids.iter().map(|id| (id.clone(), timestamp)).collect();
    let mut found = BTreeMap::new();
    for (id, offset) in list_offsets(cluster, &wanted, progress).await? {
        found.insert(id, offset?);
    }
    Ok(found)
}

/// Limits offsets to what their logs hold. Returns a line for each that had to be moved.
pub async fn within_logs(
    cluster: &Cluster,
    wanted: BTreeMap<PartitionId, i64>,
    progress: &Progress,
) -> Result<(BTreeMap<PartitionId, i64>, Vec<String>), ClusterError> {
    let ids: BTreeSet<PartitionId> = wanted.keys().cloned().collect();
    let starts = at(cluster, &ids, EARLIEST, progress).await?;
    let ends = at(cluster, &ids, LATEST, progress).await?;
    Ok(clamp(wanted, &starts, &ends))
}

/// The pure part of [`within_logs`].
pub fn clamp(
    wanted: BTreeMap<PartitionId, i64>,
    starts: &BTreeMap<PartitionId, i64>,
    ends: &BTreeMap<PartitionId, i64>,
) -> (BTreeMap<PartitionId, i64>, Vec<String>) {
    let mut told = Vec::new();
    let mut found = BTreeMap::new();
    for (id, offset) in wanted {
        let (start, end) = (starts.get(&id).copied(), ends.get(&id).copied());
        let moved = match (start, end) {
            (_, Some(end)) if offset > end => Some((end, "higher than latest")),
            (Some(start), _) if offset < start => Some((start, "lower than earliest")),
            _ => None,
        };
        if let Some((to, how)) = moved {
            told.push(format!(
                "New offset ({offset}) is {how} offset for topic partition {id}. Value will be \
                 set to {to}"
            ));
        }
        found.insert(id, moved.map_or(offset, |(to, _)| to));
    }
    (found, told)
}

/// Reads `topic` or `topic:0,1,2`.
pub fn parse_topic(text: &str) -> Result<(String, Option<Vec<i32>>), UsageError> {
    let mut parts = text.split(':');
    let (topic, partitions, rest) = (parts.next(), parts.next(), parts.next());
    let (Some(topic), Some(partitions)) = (topic, partitions) else {
        return Ok((text.to_owned(), None));
    };
    if rest.is_some() || topic.is_empty() || partitions.is_empty() {
        return usage(format!(
            "Invalid topic arg '{text}', expected topic name and partitions"
        ));
    }
    let mut numbers = Vec::new();
    for partition in partitions.split(',') {
        match partition.parse::<i32>() {
            Ok(number) => numbers.push(number),
            Err(_) => {
                return usage(format!(
                    "Invalid partition '{partition}' specified in topic arg '{text}''"
                ));
            }
        }
    }
    Ok((topic.to_owned(), Some(numbers)))
}

/// All partitions of topics.
pub async fn partitions_of(
    cluster: &Cluster,
    topics: &[String],
    progress: &Progress,
) -> Result<BTreeSet<PartitionId>, ClusterError> {
    let mut found = BTreeSet::new();
    for topic in describe_topics(cluster, topics, None, progress).await? {
        let partitions = topic.partitions.iter();
        found.extend(partitions.map(|one| PartitionId::new(topic.name.as_str(), one.partition)));
    }
    Ok(found)
}

/// Fails unless all partitions exist and have a leader.
pub async fn check_partitions(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
) -> anyhow::Result<()> {
    let led = leaders(cluster, ids.iter()).await?;
    let unknown: Vec<String> = ids
        .iter()
        .filter(|id| match led.get(id) {
            Some(Err(code)) => *code != ErrorCode::LeaderNotAvailable,
            Some(Ok(_)) => false,
            None => true,
        })
        .map(ToString::to_string)
        .collect();
    if !unknown.is_empty() {
        bail!("The partitions \"{}\" do not exist", unknown.join(","));
    }
    let without = led.iter().filter(|(_, leader)| leader.is_err());
    let without: Vec<String> = without.map(|(id, _)| id.to_string()).collect();
    if !without.is_empty() {
        bail!("The partitions \"{}\" have no leader", without.join(","));
    }
    Ok(())
}
