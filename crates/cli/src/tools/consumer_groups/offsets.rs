//! Offsets of the partitions of groups: where logs begin and end, and which partitions can be
//! reset.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use dohle_admin::{Cluster, ClusterError, EARLIEST, LATEST, PartitionId, leaders, offsets_at};
use kacrab_protocol::generated::ErrorCode;

use crate::options::{UsageError, usage};
use crate::progress::Progress;
use crate::text::join;

/// The offsets of one timestamp, -1 where no record is as new; a refusal of one partition fails
/// all, as in Kafka's tool.
pub async fn at(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
    timestamp: i64,
    progress: &Progress,
) -> Result<BTreeMap<PartitionId, i64>, ClusterError> {
    let found = offsets_at(cluster, ids, timestamp, progress).await?;
    let found = found.into_iter();
    Ok(found
        .map(|(id, offset)| (id, offset.unwrap_or(-1)))
        .collect())
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
    let number = |partition: &str| {
        partition.parse::<i32>().map_err(|_| {
            UsageError(format!(
                "Invalid partition '{partition}' specified in topic arg '{text}''"
            ))
        })
    };
    let numbers: Result<Vec<i32>, _> = partitions.split(',').map(number).collect();
    Ok((topic.to_owned(), Some(numbers?)))
}

/// Fails unless all partitions exist and have a leader.
pub async fn check_partitions(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
) -> anyhow::Result<()> {
    let led = leaders(cluster, ids.iter()).await?;
    let exists = |id: &&PartitionId| {
        let leader = led.get(id);
        leader.is_some_and(|leader| leader.is_ok() || *leader == Err(ErrorCode::LeaderNotAvailable))
    };
    let unknown = join(ids.iter().filter(|id| !exists(id)));
    if !unknown.is_empty() {
        bail!("The partitions \"{unknown}\" do not exist");
    }
    let without = led.iter().filter(|(_, leader)| leader.is_err());
    let without = join(without.map(|(id, _)| id));
    if !without.is_empty() {
        bail!("The partitions \"{without}\" have no leader");
    }
    Ok(())
}
