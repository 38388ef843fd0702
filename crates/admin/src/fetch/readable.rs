//! Finds out whether partitions can be read from here.

use std::collections::{BTreeMap, BTreeSet};

use kacrab_protocol::generated::{
    ErrorCode, ListOffsetsPartition, ListOffsetsRequestData, ListOffsetsTopic,
};

use super::batches::result;
use super::offsets::LATEST;
use super::{PartitionId, by_topic, leaders};
use crate::cluster::{Cluster, ClusterError};

/// Where a consumer's partition ends, or why it cannot be read.
pub type Readable = BTreeMap<PartitionId, Result<i64, String>>;

/// Asks the leader of each partition for its end as a consumer sees it: the last stable offset for
/// `committed` records, else the high watermark. The result of a partition is the reason when it
/// has no leader, when its leader cannot be reached from here, or when the leader refuses.
///
/// # Errors
/// When the bootstrap broker does not answer.
pub async fn readable(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
    committed: bool,
) -> Result<Readable, ClusterError> {
    let mut found = Readable::new();
    let mut by_leader: BTreeMap<i32, Vec<PartitionId>> = BTreeMap::new();
    for (id, leader) in leaders(cluster, ids.iter()).await? {
        match leader {
            Ok(leader) => by_leader.entry(leader).or_default().push(id),
            Err(ErrorCode::LeaderNotAvailable) => {
                found.insert(id, Err("it has no leader".to_owned()));
            }
            Err(code) => {
                found.insert(id, Err(code.to_string()));
            }
        }
    }
    for (leader, ids) in by_leader {
        let answer = cluster.ask_broker(leader, &request(&ids, committed)).await;
        match answer {
            Ok(answer) => {
                let results = answer.topics.iter().flat_map(|topic| {
                    let partitions = topic.partitions.iter();
                    partitions.map(|one| {
                        let end = || one.offset;
                        let (id, end) =
                            result(&topic.name, one.partition_index, one.error_code, end);
                        (
                            id,
                            end.map_err(|code| format!("broker {leader} refuses: {code}")),
                        )
                    })
                });
                found.extend(results);
            }
            Err(error) => {
                let reason = error.to_string();
                found.extend(ids.into_iter().map(|id| (id, Err(reason.clone()))));
            }
        }
    }
    Ok(found)
}

fn request(ids: &[PartitionId], committed: bool) -> ListOffsetsRequestData {
    let partitions = ids.iter().map(|id| {
        let partition = ListOffsetsPartition {
            partition_index: id.partition,
            current_leader_epoch: -1,
            timestamp: LATEST,
            ..ListOffsetsPartition::default()
        };
        (id.topic.as_str(), partition)
    });
    ListOffsetsRequestData {
        replica_id: -1,
        isolation_level: i8::from(committed),
        topics: by_topic(partitions, |name, partitions| ListOffsetsTopic {
            name,
            partitions,
            ..ListOffsetsTopic::default()
        }),
        ..ListOffsetsRequestData::default()
    }
}
