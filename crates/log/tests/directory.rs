//! Tests of log directories: lock, identity, checkpoints, partitions.

mod common;

use common::*;
use dohle_log::directory::{
    IMPORT_MARK_FILE, ImportMark, METADATA_LOG_DIR, MetadataLog, metadata_log,
};
use dohle_log::{
    Checkpoint, CleanShutdown, DirectoryError, LogDirectory, MetaProperties, PartitionDirKind,
};
use dohle_model::{BrokerEpoch, DirectoryId, NodeId, Offset, Uuid};
use expect_test::expect;
use std::path::Path;

#[test]
fn a_directory_has_one_user_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let first = LogDirectory::open(dir.path()).unwrap();
    let error = LogDirectory::open(dir.path()).unwrap_err();
    assert!(matches!(error, DirectoryError::Locked(_)), "{error}");
    drop(first);
    LogDirectory::open(dir.path()).unwrap();
}

#[test]
fn a_formatted_directory_keeps_its_identity() {
    let dir = tempfile::tempdir().unwrap();
    let directory = LogDirectory::open(&dir.path().join("a/b")).unwrap();
    assert_eq!(directory.meta_properties().unwrap(), None);
    let properties = MetaProperties {
        cluster_id: "4L6g3nShT-eMCtK--X86sw".into(),
        node_id: NodeId(3),
        directory_id: Some(DirectoryId::from_bytes([5; 16])),
    };
    directory.format(&properties).unwrap();
    assert_eq!(
        directory.meta_properties().unwrap(),
        Some(properties.clone())
    );
    expect![[r#"
        node.id=3
        version=1
        directory.id=BQUFBQUFBQUFBQUFBQUFBQ
        cluster.id=4L6g3nShT-eMCtK--X86sw
    "#]]
    .assert_eq(&properties.encode());
}

#[test]
fn a_directory_of_another_cluster_or_node_is_refused_in_words() {
    let properties = MetaProperties {
        cluster_id: "one".into(),
        node_id: NodeId(1),
        directory_id: None,
    };
    let dir = Path::new("/d");
    properties.verify(dir, Some("one"), NodeId(1)).unwrap();
    properties.verify(dir, None, NodeId(1)).unwrap();
    let error = properties
        .verify(dir, Some("two"), NodeId(1))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "/d/meta.properties belongs to cluster one, this node is configured for cluster two; set \
         CLUSTER_ID (or cluster.id) to one to use these data, or move the directory away \
         (mv /d /d.old) to begin anew"
    );
    let error = properties
        .verify(dir, Some("one"), NodeId(2))
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "/d/meta.properties belongs to node 1, this node has node.id=2; set node.id=1 to use these \
         data, or move the directory away (mv /d /d.old) to begin anew"
    );
}

#[test]
fn malformed_identities_say_what_is_wrong() {
    let problem = |text: &str| {
        MetaProperties::decode(text, Path::new("/d/meta.properties"))
            .unwrap_err()
            .to_string()
    };
    assert_eq!(problem(""), "/d/meta.properties: version is missing");
    assert_eq!(
        problem("version=7"),
        "/d/meta.properties: version \"7\" is not supported, 1 is expected"
    );
    assert_eq!(
        problem("version=1\ncluster.id=x"),
        "/d/meta.properties: node.id is missing"
    );
    assert!(problem("version=1\nnode.id=-4\ncluster.id=x").contains("\"-4\" is not a number"));
    let kafkas = "#\n#Sat Nov 21 02:00:00 UTC 2026\ncluster.id=x\nversion=1\n\
                  directory.id=BQUFBQUFBQUFBQUFBQUFBQ\nnode.id=1\n";
    let properties = MetaProperties::decode(kafkas, Path::new("x")).unwrap();
    assert_eq!(
        properties.directory_id,
        Some(DirectoryId::from_bytes([5; 16]))
    );
}

#[test]
fn checkpoints_keep_an_offset_for_each_partition() {
    let dir = tempfile::tempdir().unwrap();
    let directory = LogDirectory::open(dir.path()).unwrap();
    for checkpoint in [
        Checkpoint::RecoveryPoint,
        Checkpoint::LogStartOffset,
        Checkpoint::HighWatermark,
    ] {
        assert!(directory.read_checkpoint(checkpoint).unwrap().is_empty());
        directory
            .write_checkpoint(checkpoint, [(&partition(), Offset(42))])
            .unwrap();
        let offsets = directory.read_checkpoint(checkpoint).unwrap();
        assert_eq!(
            offsets.into_iter().collect::<Vec<_>>(),
            [(partition(), Offset(42))]
        );
    }
    let path = dir.path().join("replication-offset-checkpoint");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "0\n1\nt 0 42\n");
    std::fs::write(&path, "0\n2\nt 0 42\n").unwrap();
    let error = directory
        .read_checkpoint(Checkpoint::HighWatermark)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("it has 1 entries, its second line has 2"),
        "{error}"
    );
}

#[test]
fn the_clean_shutdown_marker_is_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let directory = LogDirectory::open(dir.path()).unwrap();
    assert_eq!(directory.take_clean_shutdown().unwrap(), None);
    directory
        .mark_clean_shutdown(Some(BrokerEpoch(12)))
        .unwrap();
    let text = std::fs::read_to_string(dir.path().join(".kafka_cleanshutdown")).unwrap();
    assert_eq!(text, "{\"version\":0,\"brokerEpoch\":12}");
    let marker = directory.take_clean_shutdown().unwrap().unwrap();
    assert_eq!(marker.broker_epoch, Some(BrokerEpoch(12)));
    assert_eq!(directory.take_clean_shutdown().unwrap(), None);
    for damaged in ["{", "{\"version\":0,\"bro", "garbage"] {
        std::fs::write(dir.path().join(".kafka_cleanshutdown"), damaged).unwrap();
        assert_eq!(directory.clean_shutdown(), None, "{damaged}");
        assert_eq!(directory.take_clean_shutdown().unwrap(), None, "{damaged}");
    }
}

/// Apache Kafka creates its checkpoints empty, and its marker had no content before version 3.7.
#[test]
fn files_that_kafka_left_empty_are_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let directory = LogDirectory::open(dir.path()).unwrap();
    std::fs::write(dir.path().join(".kafka_cleanshutdown"), "").unwrap();
    let marker = CleanShutdown { broker_epoch: None };
    assert_eq!(directory.clean_shutdown(), Some(marker));
    assert_eq!(directory.take_clean_shutdown().unwrap(), Some(marker));
    let checkpoints = [
        Checkpoint::CleanerOffset,
        Checkpoint::RecoveryPoint,
        Checkpoint::LogStartOffset,
        Checkpoint::HighWatermark,
    ];
    for checkpoint in checkpoints {
        std::fs::write(dir.path().join(checkpoint.file_name()), "").unwrap();
        assert!(directory.read_checkpoint(checkpoint).unwrap().is_empty());
    }
    // Dohle has used the directory, and writes no empty checkpoint.
    std::fs::write(dir.path().join("metadata-applied-checkpoint"), "").unwrap();
    for checkpoint in checkpoints {
        let is_damage = directory.read_checkpoint(checkpoint).is_err();
        assert_eq!(is_damage, checkpoint != Checkpoint::CleanerOffset);
    }
}

#[test]
fn a_directory_id_is_added_and_nothing_else_changes() {
    let dir = tempfile::tempdir().unwrap();
    let directory = LogDirectory::open(dir.path()).unwrap();
    let file = dir.path().join("meta.properties");
    let before = "#\n#Mon Nov 30\ncluster.id=abc\nversion=1\nnode.id=3\nof.tomorrow=x";
    std::fs::write(&file, before).unwrap();
    directory
        .add_directory_id(DirectoryId::from_bytes([7; 16]))
        .unwrap();
    let after = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        after,
        format!("{before}\ndirectory.id=BwcHBwcHBwcHBwcHBwcHBw\n")
    );
    let properties = directory.meta_properties().unwrap().unwrap();
    assert_eq!(
        properties.directory_id,
        Some(DirectoryId::from_bytes([7; 16]))
    );
}

/// A directory with this metadata log: names of files, and their content.
#[track_caller]
fn check_metadata_log(files: &[(&str, &str)], expected: MetadataLog) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(METADATA_LOG_DIR);
    if !files.is_empty() {
        std::fs::create_dir(&path).unwrap();
    }
    for (name, content) in files {
        std::fs::write(path.join(name), content).unwrap();
    }
    let environment = dohle_storage::Environment::native();
    let found = metadata_log(&*environment.files, dir.path()).unwrap();
    assert_eq!(found, expected, "{files:?}");
}

#[test]
fn the_metadata_log_of_kafka_is_told_apart_from_our_own() {
    let segment = "00000000000000000000.log";
    let snapshot = "00000000000000000000-0000000000.checkpoint";
    let mark = ImportMark {
        kafka_log_end: format!("{segment}:3"),
    };
    let mark = (IMPORT_MARK_FILE, &*mark.encode());
    check_metadata_log(&[], MetadataLog::Absent);
    check_metadata_log(&[("raft-journal", "")], MetadataLog::Own);
    check_metadata_log(
        &[("raft-journal", ""), (snapshot, "DOHLESNP")],
        MetadataLog::Own,
    );
    check_metadata_log(
        &[(snapshot, "of a Kafka that never ran")],
        MetadataLog::Kafka,
    );
    check_metadata_log(&[(segment, "")], MetadataLog::Kafka);
    check_metadata_log(&[("quorum-state", "{}")], MetadataLog::Kafka);
    check_metadata_log(&[(segment, "abc"), mark], MetadataLog::Imported);
    // Kafka ran again: its segment is longer, or is another one.
    check_metadata_log(&[(segment, "abcd"), mark], MetadataLog::Outdated);
    let later = "00000000000000000007.log";
    check_metadata_log(
        &[(segment, "abc"), (later, ""), mark],
        MetadataLog::Outdated,
    );
}

#[test]
fn a_damaged_mark_of_an_import_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(METADATA_LOG_DIR);
    std::fs::create_dir(&path).unwrap();
    std::fs::write(path.join(IMPORT_MARK_FILE), "version=1\n").unwrap();
    let environment = dohle_storage::Environment::native();
    let error = metadata_log(&*environment.files, dir.path()).unwrap_err();
    assert!(error.to_string().contains(IMPORT_MARK_FILE), "{error}");
}

#[test]
fn partitions_are_found_by_the_names_of_their_directories() {
    let dir = tempfile::tempdir().unwrap();
    let directory = LogDirectory::open(dir.path()).unwrap();
    for name in ["a.b-1-2", "x-0", "not a topic-1", "x-", "plain"] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
    }
    std::fs::write(dir.path().join("file-0"), "").unwrap();
    let marked = directory
        .mark_for_deletion(&dir.path().join("x-0"), Uuid([0xab; 16]))
        .unwrap();
    let name = marked.file_name().unwrap().to_str().unwrap();
    assert_eq!(name, format!("x-0.{}-delete", "ab".repeat(16)));
    let found: Vec<_> = directory
        .partition_dirs()
        .unwrap()
        .into_iter()
        .map(|dir| (dir.topic_partition.to_string(), dir.kind))
        .collect();
    let expected = [
        ("a.b-1-2".to_owned(), PartitionDirKind::Current),
        ("x-0".to_owned(), PartitionDirKind::Delete),
    ];
    assert_eq!(found, expected);
    directory.delete(&marked).unwrap();
    assert!(!marked.exists());
}

#[test]
fn the_longest_topic_can_be_marked_for_deletion() {
    let dir = tempfile::tempdir().unwrap();
    let directory = LogDirectory::open(dir.path()).unwrap();
    let long = dir.path().join(format!("{}-12345", "x".repeat(249)));
    std::fs::create_dir(&long).unwrap();
    let marked = directory.mark_for_deletion(&long, Uuid([1; 16])).unwrap();
    assert_eq!(marked.file_name().unwrap().len(), 255);
    assert_eq!(
        directory.partition_dirs().unwrap()[0]
            .topic_partition
            .partition
            .0,
        12345
    );
}
