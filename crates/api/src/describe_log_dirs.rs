//! DescribeLogDirs, versions 1–5: log directories, the replicas in them and their sizes (KIP-113);
//! sizes of the file systems from version 4 (KIP-827), and whether a directory is cordoned from
//! version 5 (KIP-1066). A failed directory answers
//! KAFKA_STORAGE_ERROR. A replica that moves appears a second time, in the directory that it moves
//! to, with the lag of its copy. A refusal has an error code from version 3, and no directories
//! before.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_model::ErrorCode;
use dohle_model::acl::Operation;
use dohle_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequestData;
use dohle_protocol::messages::describe_log_dirs_response::{
    DescribeLogDirsPartition, DescribeLogDirsResponseData, DescribeLogDirsResult,
    DescribeLogDirsTopic,
};

use super::{Call, wire};
use dohle_broker::partitions::{LogDirInfo, ReplicaInfo};

pub(super) async fn handle(
    call: Call,
    request: DescribeLogDirsRequestData,
) -> DescribeLogDirsResponseData {
    if let Err(code) = call.authorize_cluster(Operation::Describe) {
        return DescribeLogDirsResponseData {
            error_code: code.code(),
            ..DescribeLogDirsResponseData::default()
        };
    }
    let partitions = Arc::clone(&call.context.partitions);
    // Queries the file systems, on the blocking pool.
    let blocking = call.context.partitions.blocking();
    let dirs = blocking
        .disk(call.owner(), move || partitions.log_dirs())
        .await;
    DescribeLogDirsResponseData {
        results: dirs
            .unwrap_or_default()
            .iter()
            .map(|dir| to_wire(dir, &request))
            .collect(),
        ..DescribeLogDirsResponseData::default()
    }
}

fn to_wire(dir: &LogDirInfo, request: &DescribeLogDirsRequestData) -> DescribeLogDirsResult {
    let mut topics: BTreeMap<&str, Vec<DescribeLogDirsPartition>> = BTreeMap::new();
    for replica in dir
        .replicas
        .iter()
        .filter(|replica| is_wanted(replica, request))
    {
        let partition = DescribeLogDirsPartition {
            partition_index: replica.partition.partition.0,
            partition_size: i64::try_from(replica.size).unwrap_or(i64::MAX),
            offset_lag: replica.offset_lag,
            is_future_key: replica.is_future,
            ..DescribeLogDirsPartition::default()
        };
        topics
            .entry(replica.partition.topic.as_str())
            .or_default()
            .push(partition);
    }
    let topic = |(name, partitions): (&str, Vec<_>)| DescribeLogDirsTopic {
        name: wire::text(name),
        partitions,
        ..DescribeLogDirsTopic::default()
    };
    let bytes =
        |bytes: Option<u64>| bytes.map_or(-1, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
    let code = dir.offline.then_some(ErrorCode::KafkaStorageError);
    DescribeLogDirsResult {
        error_code: dohle_model::error::to_wire(code),
        log_dir: wire::text(&dir.path.to_string_lossy()),
        topics: topics.into_iter().map(topic).collect(),
        total_bytes: bytes(dir.total_bytes),
        usable_bytes: bytes(dir.usable_bytes),
        is_cordoned: dir.is_cordoned,
        ..DescribeLogDirsResult::default()
    }
}

fn is_wanted(replica: &ReplicaInfo, request: &DescribeLogDirsRequestData) -> bool {
    let Some(topics) = &request.topics else {
        return true;
    };
    topics.iter().any(|topic| {
        topic.topic.as_str() == replica.partition.topic.as_str()
            && topic.partitions.contains(&replica.partition.partition.0)
    })
}
