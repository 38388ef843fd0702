//! Batches requests for many partitions: one entry for each topic, one request for each leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use kacrab_protocol::KafkaString;
use kacrab_protocol::generated::{ErrorCode, MetadataRequestData, MetadataRequestTopic};

use super::PartitionId;
use crate::cluster::{Call, Cluster, ClusterError};
use crate::progress::ItemCount;

/// How long a partition may be without a leader before that is an error.
const WITHOUT_LEADER: Duration = Duration::from_secs(10);
const BACKOFF: Duration = Duration::from_millis(100);

/// Creates one entry of a request for each topic, in the order of their names, from the items of
/// the topic's partitions.
pub fn by_topic<'a, Item, Entry>(
    items: impl IntoIterator<Item = (&'a str, Item)>,
    entry: impl Fn(KafkaString, Vec<Item>) -> Entry,
) -> Vec<Entry> {
    let mut topics: BTreeMap<&str, Vec<Item>> = BTreeMap::new();
    for (topic, item) in items {
        topics.entry(topic).or_default().push(item);
    }
    let topics = topics.into_iter();
    topics
        .map(|(topic, items)| entry(topic.to_owned().into(), items))
        .collect()
}

/// Returns a request for the metadata of these topics that does not create them.
pub(super) fn metadata_of<'a>(names: impl Iterator<Item = &'a str>) -> MetadataRequestData {
    let topics = names.map(|name| MetadataRequestTopic {
        name: Some(name.to_owned().into()),
        ..MetadataRequestTopic::default()
    });
    MetadataRequestData {
        topics: Some(topics.collect()),
        allow_auto_topic_creation: false,
        ..MetadataRequestData::default()
    }
}

/// Finds the leaders of partitions. The result of a partition without a leader, or of an unknown
/// one, is the error code.
///
/// # Errors
/// When the cluster does not answer.
pub async fn leaders(
    cluster: &Cluster,
    partitions: impl Iterator<Item = &PartitionId>,
) -> Result<BTreeMap<PartitionId, Result<i32, ErrorCode>>, ClusterError> {
    let wanted: Vec<&PartitionId> = partitions.collect();
    let names: BTreeSet<&str> = wanted.iter().map(|id| id.topic.as_str()).collect();
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let answer = cluster.ask(&metadata_of(names.into_iter())).await?;
    let mut found = BTreeMap::new();
    for topic in &answer.topics {
        let name = topic.name.as_ref().map_or("", |name| name.as_str());
        let error = ErrorCode::from(topic.error_code);
        for id in wanted.iter().filter(|id| id.topic == name) {
            let mut partitions = topic.partitions.iter();
            let described = partitions.find(|one| one.partition_index == id.partition);
            let leader = match described {
                _ if error.is_error() => Err(error),
                None => Err(ErrorCode::UnknownTopicOrPartition),
                Some(one) if one.leader_id < 0 => Err(ErrorCode::LeaderNotAvailable),
                Some(one) => Ok(one.leader_id),
            };
            found.insert((*id).clone(), leader);
        }
    }
    Ok(found)
}

/// The result of each partition, from its leader: a value or an error code.
pub type ByPartition<T> = BTreeMap<PartitionId, Result<T, ErrorCode>>;

/// Sends one request to each leader of the partitions, and repeats it at new leaders where
/// leadership has changed. The result of a partition that has no leader for ten seconds, or for
/// [`Cluster::timeout`], is that error.
///
/// # Errors
/// When a broker does not answer. An error of one partition is its result.
pub async fn ask_leaders<Request: Call, T>(
    cluster: &Cluster,
    partitions: impl Iterator<Item = &PartitionId>,
    count: &dyn ItemCount,
    request: impl Fn(&[PartitionId]) -> Request,
    results: impl Fn(Request::Response) -> Vec<(PartitionId, Result<T, ErrorCode>)>,
) -> Result<ByPartition<T>, ClusterError> {
    let began = Instant::now();
    let mut found = ByPartition::new();
    let mut left: Vec<PartitionId> = partitions.cloned().collect();
    loop {
        let mut by_leader: BTreeMap<i32, Vec<PartitionId>> = BTreeMap::new();
        let mut again = Vec::new();
        for (id, leader) in leaders(cluster, left.iter()).await? {
            match leader {
                Ok(leader) => by_leader.entry(leader).or_default().push(id),
                Err(ErrorCode::LeaderNotAvailable) => {
                    again.push((id, ErrorCode::LeaderNotAvailable));
                }
                Err(code) => {
                    found.insert(id, Err(code));
                }
            }
        }
        for (leader, ids) in by_leader {
            let answer = cluster.ask_broker(leader, &request(&ids)).await?;
            for (id, result) in results(answer) {
                match result {
                    Err(code) if has_another_leader(code) => again.push((id, code)),
                    result => {
                        found.insert(id, result);
                    }
                }
            }
            count.set(found.len() as u64);
        }
        if again.is_empty() {
            return Ok(found);
        }
        if began.elapsed() > WITHOUT_LEADER.min(cluster.timeout) {
            found.extend(again.into_iter().map(|(id, code)| (id, Err(code))));
            return Ok(found);
        }
        left = again.into_iter().map(|(id, _)| id).collect();
        tokio::time::sleep(BACKOFF).await;
    }
}

/// Returns the result of a partition in a response: its value, or the error of its code.
pub(super) fn result<T>(
    topic: &KafkaString,
    partition: i32,
    code: i16,
    value: impl FnOnce() -> T,
) -> (PartitionId, Result<T, ErrorCode>) {
    let id = PartitionId::new(topic.as_str(), partition);
    match ErrorCode::from(code) {
        ErrorCode::None => (id, Ok(value())),
        code => (id, Err(code)),
    }
}

/// Returns whether a broker refused because it does not lead the partition, or not yet.
fn has_another_leader(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::ReplicaNotAvailable
            | ErrorCode::OffsetNotAvailable
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::UnknownLeaderEpoch
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_one_entry_with_all_its_partitions() {
        let ids = [("b", 1), ("a", 0), ("b", 0)];
        let entries = by_topic(ids, |topic, partitions| (topic.to_string(), partitions));
        assert_eq!(
            entries,
            [("a".to_owned(), vec![0]), ("b".to_owned(), vec![1, 0])]
        );
    }

    #[test]
    fn a_partition_is_requested_again_only_where_its_leader_may_have_changed() {
        assert!(has_another_leader(ErrorCode::NotLeaderOrFollower));
        assert!(has_another_leader(ErrorCode::FencedLeaderEpoch));
        assert!(!has_another_leader(ErrorCode::OffsetOutOfRange));
        assert!(!has_another_leader(ErrorCode::TopicAuthorizationFailed));
    }
}
