//! AlterReplicaLogDirs, and what DescribeLogDirs shows of a move.

use std::time::Duration;

use dohle_model::record::{MetadataRecord, PartitionChange};
use dohle_model::{DirectoryId, ErrorCode, Offset, PartitionIndex, TopicId};
use dohle_protocol::messages::alter_replica_log_dirs_request::{
    AlterReplicaLogDir, AlterReplicaLogDirTopic, AlterReplicaLogDirsRequestData,
};
use dohle_protocol::messages::alter_replica_log_dirs_response::AlterReplicaLogDirsResponseData;
use dohle_protocol::messages::describe_log_dirs_request::DescribeLogDirsRequestData;
use dohle_protocol::messages::describe_log_dirs_response::DescribeLogDirsResponseData;

use super::failed_dir::append;
use super::harness::{Broker, DIRS, TestClient, ask};
use crate::wire::text;

/// Requests moves to directories; returns the code of each partition with its topic and index.
async fn alter(client: &mut TestClient, moves: &[(&str, &str, i32)]) -> Vec<(String, i32, i16)> {
    let dir = |(path, topic, partition): &(&str, &str, i32)| AlterReplicaLogDir {
        path: text(path),
        topics: vec![AlterReplicaLogDirTopic {
            name: text(topic),
            partitions: vec![*partition],
            ..AlterReplicaLogDirTopic::default()
        }],
        ..AlterReplicaLogDir::default()
    };
    let request = AlterReplicaLogDirsRequestData {
        dirs: moves.iter().map(dir).collect(),
        ..AlterReplicaLogDirsRequestData::default()
    };
    let response = ask!(
        client,
        AlterReplicaLogDirs,
        2,
        request,
        AlterReplicaLogDirsResponseData
    );
    let mut codes = Vec::new();
    for topic in response.results {
        for partition in topic.partitions {
            let topic = topic.topic_name.to_string();
            codes.push((topic, partition.partition_index, partition.error_code));
        }
    }
    codes
}

/// Returns the lag of the replica of `t` in each directory, and whether it is a copy.
async fn described(client: &mut TestClient) -> Vec<Vec<(i64, bool)>> {
    let request = DescribeLogDirsRequestData {
        topics: None,
        ..DescribeLogDirsRequestData::default()
    };
    let response = ask!(
        client,
        DescribeLogDirs,
        4,
        request,
        DescribeLogDirsResponseData
    );
    let dirs = response.results.iter();
    dirs.map(|dir| {
        let partitions = dir.topics.iter().flat_map(|topic| &topic.partitions);
        partitions
            .map(|replica| (replica.offset_lag, replica.is_future_key))
            .collect()
    })
    .collect()
}

async fn assign(broker: &Broker, topic_id: TopicId, dir: DirectoryId) {
    let change = PartitionChange {
        directories: Some(vec![dir]),
        ..PartitionChange::default()
    };
    let partition = PartitionIndex(0);
    let change = MetadataRecord::PartitionChange {
        topic_id,
        partition,
        change,
    };
    broker.apply(&[change]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_is_shown_until_the_logs_are_swapped() {
    let broker = Broker::start_with(&[], &DIRS).await;
    let id = broker.topic_in("t", DIRS[0]).await;
    let mut client = broker.client();
    assert_eq!(append(&mut client, "t", "a").await, 0);
    let path = |at: usize| broker.replicas.dirs[at].path().display().to_string();
    let begun = alter(&mut client, &[(&path(1), "t", 0)]).await;
    assert_eq!(begun, [("t".to_owned(), 0, 0)]);
    // The copy is complete, and waits for the controller.
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    loop {
        let shown = described(&mut client).await;
        if shown == [vec![(0, false)], vec![(0, true)]] {
            break;
        }
        assert_eq!(shown[0], [(0, false)]);
        assert!(tokio::time::Instant::now() < deadline, "{shown:?}");
        tokio::task::yield_now().await;
    }
    assign(&broker, id, DIRS[1]).await;
    while described(&mut client).await != [vec![], vec![(0, false)]] {
        assert!(tokio::time::Instant::now() < deadline);
        tokio::task::yield_now().await;
    }
    assert_eq!(broker.partition(id, 0).directory(), DIRS[1]);
    assert_eq!(append(&mut client, "t", "b").await, 0);
    let positions = broker.partition(id, 0).positions();
    assert_eq!(positions.high_watermark, Offset(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moves_that_cannot_begin_have_apache_kafkas_codes() {
    let broker = Broker::start_with(&[("log.segment.bytes", "1048576")], &DIRS).await;
    broker.topic_in("t", DIRS[0]).await;
    let mut client = broker.client();
    let path = |at: usize| broker.replicas.dirs[at].path().display().to_string();
    let (first, second) = (path(0), path(1));
    let long = "x".repeat(240);
    for (dir, topic, partition, code) in [
        ("/nowhere", "t", 0, Some(ErrorCode::LogDirNotFound)),
        ("data", "t", 0, Some(ErrorCode::LogDirNotFound)),
        (&first, "t", 0, None),
        (&second, "t", 7, Some(ErrorCode::UnknownTopicOrPartition)),
        (&second, "t", -1, Some(ErrorCode::UnknownTopicOrPartition)),
        (&second, "u", 0, Some(ErrorCode::UnknownTopicOrPartition)),
        (&second, &long, 0, Some(ErrorCode::InvalidTopicException)),
        (&second, "a/b", 0, Some(ErrorCode::UnknownTopicOrPartition)),
        ("/nowhere", "a/b", 0, Some(ErrorCode::LogDirNotFound)),
        ("/nowhere", "t", -1, Some(ErrorCode::LogDirNotFound)),
    ] {
        let codes = alter(&mut client, &[(dir, topic, partition)]).await;
        let code = dohle_model::error::to_wire(code);
        assert_eq!(codes, [(topic.to_owned(), partition, code)], "{dir}");
    }
    // The last directory that names a partition counts.
    let twice = alter(&mut client, &[("/nowhere", "t", 0), (&first, "t", 0)]).await;
    assert_eq!(twice, [("t".to_owned(), 0, 0)]);
    let twice = alter(&mut client, &[(&first, "t", 0), ("/nowhere", "t", 0)]).await;
    assert_eq!(
        twice,
        [("t".to_owned(), 0, ErrorCode::LogDirNotFound.code())]
    );

    // A directory that failed is no target, and with it nothing else moves.
    broker.topic_in("failing", DIRS[1]).await;
    let half = "x".repeat(600_000);
    append(&mut client, "failing", &half).await;
    let next = "failing-0/00000000000000000001.log";
    std::fs::create_dir(broker.replicas.dirs[1].path().join(next)).unwrap();
    append(&mut client, "failing", &half).await;
    let mut failed = broker.context.partitions.failed_dirs();
    drop(failed.wait_for(|failed| !failed.is_empty()).await.unwrap());
    for (dir, topic) in [(&second, "t"), (&first, "failing")] {
        let codes = alter(&mut client, &[(dir, topic, 0)]).await;
        let storage = ErrorCode::KafkaStorageError.code();
        assert_eq!(codes, [(topic.to_owned(), 0, storage)], "{topic}");
    }
}
