//! AlterReplicaLogDirs, versions 1–2: moves replicas of this broker to other log directories
//! (KIP-113, KIP-858). The move goes on after the answer; DescribeLogDirs shows it. A move to
//! another directory takes the place of a running one, and a move to the directory that has the
//! replica cancels it.
//!
//! Errors of a partition: LOG_DIR_NOT_FOUND for a path that is none of `log.dirs`;
//! INVALID_REPLICA_ASSIGNMENT for a directory that is cordoned (KIP-1066);
//! KAFKA_STORAGE_ERROR when the directory, another one, or the replica is offline;
//! REPLICA_NOT_AVAILABLE and UNKNOWN_TOPIC_OR_PARTITION where this broker has no replica, which is
//! created in that directory if it comes later; INVALID_TOPIC_EXCEPTION for a name that leaves no
//! room for the suffix of a copy. A partition that is named more than once goes to the directory
//! that names it last.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dohle_broker::partitions::Partitions;
use dohle_model::acl::Operation;
use dohle_model::{ErrorCode, PartitionIndex, TopicName, TopicPartition};
use dohle_protocol::messages::alter_replica_log_dirs_request::AlterReplicaLogDirsRequestData;
use dohle_protocol::messages::alter_replica_log_dirs_response::{
    AlterReplicaLogDirPartitionResult, AlterReplicaLogDirTopicResult,
    AlterReplicaLogDirsResponseData,
};

use super::{Call, wire};

/// The directory of each partition, by topic.
type Wanted = BTreeMap<String, BTreeMap<i32, String>>;

pub(super) async fn handle(
    call: Call,
    request: AlterReplicaLogDirsRequestData,
) -> AlterReplicaLogDirsResponseData {
    let allowed = call.authorize_cluster(Operation::Alter);
    let mut wanted = Wanted::new();
    for dir in request.dirs {
        for topic in dir.topics {
            for partition in topic.partitions {
                let partitions = wanted.entry(topic.name.to_string()).or_default();
                partitions.insert(partition, dir.path.to_string());
            }
        }
    }
    let partitions = Arc::clone(&call.context.partitions);
    // Creates directories and files.
    let blocking = call.context.partitions.blocking();
    let moved = blocking.disk(call.owner(), move || {
        let topics = wanted.into_iter();
        let result = |(topic, wanted): (String, BTreeMap<i32, String>)| {
            let moves = wanted.into_iter().map(|(index, dir)| {
                let begun = allowed.and_then(|()| begin(&partitions, &topic, index, &dir));
                AlterReplicaLogDirPartitionResult {
                    partition_index: index,
                    error_code: wire::code(&begun),
                    ..AlterReplicaLogDirPartitionResult::default()
                }
            });
            AlterReplicaLogDirTopicResult {
                partitions: moves.collect(),
                topic_name: wire::text(&topic),
                ..AlterReplicaLogDirTopicResult::default()
            }
        };
        topics.map(result).collect()
    });
    AlterReplicaLogDirsResponseData {
        results: moved.await.unwrap_or_default(),
        ..AlterReplicaLogDirsResponseData::default()
    }
}

/// Begins to move one replica.
fn begin(partitions: &Partitions, topic: &str, index: i32, dir: &str) -> Result<(), ErrorCode> {
    let name = TopicName::new(topic).ok();
    let Some((topic, partition)) = name.zip(PartitionIndex::from_wire(index)) else {
        return Err(partitions.refuse_move(topic, Path::new(dir)).code());
    };
    let name = TopicPartition { topic, partition };
    let moved = partitions.move_replica(&name, Path::new(dir));
    moved.map_err(|error| {
        tracing::info!(partition = %name, dir, %error, "refused to move a replica");
        error.code()
    })
}
