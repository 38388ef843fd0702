//! Tests of damaged records on a broker's disk: only their range fails, and another replica repairs
//! it.

mod support;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dohle_broker::partition::{FetchParams, Isolation, Partition, ReadError};
use dohle_log::Batches;
use dohle_model::NodeId;
use dohle_model::record::PartitionChange;
use support::{Cluster, eventually, offset, produce};

/// Small segments, and no scrubbing in the background.
const PROPERTIES: [(&str, &str); 2] = [
    ("replica.lag.time.max.ms", "2000"),
    ("log.scrub.enable", "false"),
];
const SEGMENTS: (&str, &str) = ("segment.bytes", "2000");
const RECORDS: i64 = 40;

fn read(partition: &Partition, from: i64) -> Result<Bytes, ReadError> {
    let params = FetchParams {
        fetch_offset: offset(from),
        current_leader_epoch: None,
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
        min_one: true,
        isolation: Isolation::LogEnd,
        leader_only: false,
    };
    Ok(partition.read(&params)?.records)
}

fn read_all(partition: &Partition) -> Result<Vec<u8>, ReadError> {
    let mut all = Vec::new();
    let mut at = 0;
    while at < partition.positions().log_end_offset.0 {
        let records = read(partition, at)?;
        let last = Batches::new(&records).map(Result::unwrap).last().unwrap();
        at = last.header.next_offset().0;
        all.extend_from_slice(&records);
    }
    Ok(all)
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    use std::os::unix::fs::FileExt;
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    // The file is changed in place, because the broker has it open.
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
}

/// Returns the position of the third batch of a segment.
fn third_batch(path: &Path) -> usize {
    let bytes = fs::read(path).unwrap();
    Batches::new(&bytes).nth(2).unwrap().unwrap().position
}

/// Three replicas with records in several segments; broker 1 leads.
fn filled(properties: &[(&str, &str)]) -> (Arc<Cluster>, Vec<u8>) {
    let cluster = Cluster::start(3, properties);
    cluster.create_topic(&[1, 2, 3], &[SEGMENTS, ("min.insync.replicas", "2")]);
    let leader = cluster.replica(1);
    let value = "x".repeat(200);
    for _ in 0..RECORDS {
        produce(&leader, &[&value]);
    }
    for node in 1..=3 {
        cluster.wait_settled(node, RECORDS);
    }
    let all = read_all(&leader).unwrap();
    (cluster, all)
}

fn assert_no_dir_failed(cluster: &Cluster) {
    for node in 1..=3 {
        let failed = cluster.partitions(node).failed_dirs().borrow().clone();
        assert!(failed.is_empty(), "broker {node}");
    }
}

#[test]
fn a_leader_repairs_a_damaged_header_that_a_reader_met() {
    let (cluster, all) = filled(&PROPERTIES);
    let leader = cluster.replica(1);
    let file = cluster.segment_file(1, 0);
    let position = third_batch(&file);
    // Sets the length to 0.
    change(&file, |bytes| bytes[position + 8..position + 12].fill(0));
    // Brokers 2 and 3 are stopped, so the damage cannot be repaired yet.
    cluster.stop(2);
    cluster.stop(3);
    assert!(matches!(read(&leader, 2), Err(ReadError::Corrupt(_))));
    let error = eventually("the damage is known", || match read(&leader, 2) {
        Err(ReadError::Corrupt(text)) if text.contains("damaged") => Some(text),
        Err(ReadError::Corrupt(_)) => None,
        other => panic!("{other:?}"),
    });
    assert!(error.contains(&format!("byte {position}")), "{error}");
    assert!(read(&leader, 0).is_ok(), "what lies before can be read");
    assert!(read(&leader, RECORDS - 1).is_ok(), "the next segments too");
    produce_or_not(&leader);
    cluster.start_broker(2);
    let repaired = eventually("the segment is repaired", || read_all(&leader).ok());
    assert!(repaired.starts_with(&all));
    assert!(fs::read(&file).unwrap().starts_with(&all[..position]));
    assert_no_dir_failed_on(&cluster, 1);
}

/// Appends without waiting for the other replicas.
fn produce_or_not(leader: &Partition) {
    use dohle_broker::partition::Acks;
    support::append(leader, &["appends go on"], Acks::Leader).unwrap();
}

fn assert_no_dir_failed_on(cluster: &Cluster, node: i32) {
    let failed = cluster.partitions(node).failed_dirs().borrow().clone();
    assert!(failed.is_empty());
}

#[test]
fn a_follower_that_refuses_damaged_records_has_the_leader_repair_them() {
    let (cluster, all) = filled(&PROPERTIES);
    let leader = cluster.replica(1);
    cluster.kill(3);
    fs::remove_dir_all(cluster.segment_file(3, 0).parent().unwrap()).unwrap();
    let file = cluster.segment_file(1, 0);
    let position = third_batch(&file);
    // Inside the records, where no reader of headers notices the change.
    change(&file, |bytes| bytes[position + 100] ^= 1);
    cluster.start_broker(3);
    cluster.change_partition(PartitionChange::default());
    cluster.wait_settled(3, RECORDS);
    assert_eq!(read_all(&cluster.replica(3)).unwrap(), all);
    assert_eq!(
        read_all(&leader).unwrap(),
        all,
        "the leader's file is whole again"
    );
    assert_no_dir_failed(&cluster);
}

#[test]
fn the_scrubber_finds_damage_that_nobody_reads() {
    let scrub = [
        ("log.scrub.interval.ms", "1000"),
        ("log.scrub.max.bytes.per.second", "100000000"),
    ];
    let (cluster, all) = filled(&scrub);
    for node in [1, 2] {
        let file = cluster.segment_file(node, 0);
        let intact = fs::read(&file).unwrap();
        let position = third_batch(&file);
        change(&file, |bytes| bytes[position + 100] ^= 1);
        eventually("the file is whole again", || {
            (fs::read(&file).ok()? == intact).then_some(())
        });
        assert_eq!(read_all(&cluster.replica(node)).unwrap(), all);
    }
    assert_no_dir_failed(&cluster);
}

#[test]
fn a_damaged_source_is_passed_over() {
    let (cluster, all) = filled(&PROPERTIES);
    let leader = cluster.replica(1);
    for node in [1, 2] {
        let file = cluster.segment_file(node, 0);
        let position = third_batch(&file);
        change(&file, |bytes| bytes[position + 8..position + 12].fill(0));
    }
    assert!(read_all(&leader).is_err());
    let repaired = eventually("the leader is repaired", || read_all(&leader).ok());
    assert_eq!(repaired, all);
    let follower = cluster.replica(2);
    let repaired = eventually("the source is repaired too", || read_all(&follower).ok());
    assert_eq!(repaired, all);
    assert_no_dir_failed(&cluster);
}

/// Stops a broker, changes the first segment's file, and starts the broker again.
fn damage_while_stopped(cluster: &Arc<Cluster>, node: i32, how: impl FnOnce(&mut Vec<u8>)) {
    cluster.stop(node);
    let file = cluster.segment_file(node, 0);
    let mut bytes = fs::read(&file).unwrap();
    how(&mut bytes);
    fs::write(&file, bytes).unwrap();
    cluster.start_broker(node);
}

#[test]
fn damage_that_a_start_finds_is_repaired_though_nobody_reads_there() {
    let (cluster, all) = filled(&PROPERTIES);
    let intact = fs::read(cluster.segment_file(1, 0)).unwrap();
    let last_batch = Batches::new(&intact).last().unwrap().unwrap().position;
    // Broker 1 leads before and after, and broker 2 follows. A file that ends between two batches
    // looks intact, except for its index.
    for (node, end) in [
        (1, intact.len() - 7),
        (2, intact.len() - 7),
        (1, last_batch),
        (2, last_batch),
    ] {
        let file = cluster.segment_file(node, 0);
        damage_while_stopped(&cluster, node, |bytes| bytes.truncate(end));
        eventually("the file is whole again", || {
            (fs::read(&file).ok()? == intact).then_some(())
        });
        assert_eq!(
            cluster.replica(node).leader() == Some(NodeId(node)),
            node == 1
        );
        assert_eq!(read_all(&cluster.replica(node)).unwrap(), all);
        for node in 1..=3 {
            cluster.wait_settled(node, RECORDS);
        }
    }
    assert_no_dir_failed(&cluster);
}

#[test]
fn a_log_start_that_is_lost_is_taken_from_another_replica() {
    // Broker 1 leads before and after, and broker 2 follows.
    for node in [1, 2] {
        let (cluster, _) = filled(&PROPERTIES);
        // The log starts in the middle of a segment, so the remaining segments do not show the
        // start.
        let start = cluster.replica(1).delete_records(Some(offset(3))).unwrap();
        for node in 1..=3 {
            support::wait_for(&cluster.replica(node), |replica| {
                replica.positions().log_start_offset == start
            });
        }
        cluster.stop(node);
        let dir = cluster.segment_file(node, 0).parent().unwrap().to_owned();
        let checkpoint = dir.with_file_name("log-start-offset-checkpoint");
        assert!(checkpoint.exists());
        fs::write(&checkpoint, "garbage").unwrap();
        cluster.start_broker(node);
        support::wait_for(&cluster.replica(node), |replica| {
            replica.positions().log_start_offset == start
        });
        assert!(matches!(
            read(&cluster.replica(1), 0),
            Err(ReadError::OffsetOutOfRange { .. })
        ));
        cluster.wait_settled(node, RECORDS);
        assert_no_dir_failed(&cluster);
    }
}

#[test]
fn a_log_start_that_is_lost_is_taken_from_another_replica_after_further_restarts() {
    let (cluster, _) = filled(&PROPERTIES);
    let start = cluster.replica(1).delete_records(Some(offset(3))).unwrap();
    for node in 1..=3 {
        support::wait_for(&cluster.replica(node), |replica| {
            replica.positions().log_start_offset == start
        });
    }
    // No follower reports its log start while the leader restarts several times.
    for node in [2, 3, 1] {
        cluster.stop(node);
    }
    let dir = cluster.segment_file(1, 0).parent().unwrap().to_owned();
    fs::write(dir.with_file_name("log-start-offset-checkpoint"), "garbage").unwrap();
    let list = dir.with_file_name("unknown-log-starts");
    for _ in 0..2 {
        cluster.start_broker(1);
        assert_eq!(cluster.replica(1).positions().log_start_offset, offset(0));
        cluster.stop(1);
        assert!(list.exists());
    }
    for node in 1..=3 {
        cluster.start_broker(node);
    }
    support::wait_for(&cluster.replica(1), |replica| {
        replica.positions().log_start_offset == start
    });
    cluster.wait_settled(2, RECORDS);
    cluster.stop(1);
    assert!(!list.exists(), "the log start is known again");
    cluster.start_broker(1);
    assert_eq!(cluster.replica(1).positions().log_start_offset, start);
    assert_no_dir_failed(&cluster);
}
