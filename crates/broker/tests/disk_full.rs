//! Tests of brokers whose log directories have no space left: producers are refused, followers
//! pause, reads and deletions continue, and everything resumes by itself. Nothing that was
//! acknowledged is lost.

#[path = "../../log/tests/common/small_fs.rs"]
mod small_fs;
mod support;

use std::sync::Arc;

use bytes::Bytes;
use dohle_broker::partition::{
    Acks, AppendError, FetchParams, Isolation, Partition, ReadError, RoleError,
};
use dohle_log::Batches;
use dohle_model::{ErrorCode, Offset};
use small_fs::{Ballast, in_small_fs, mount};
use support::{Cluster, DEADLINE, append, eventually, offset, produce, wait_for, within};

const PROPERTIES: [(&str, &str); 3] = [
    ("replica.lag.time.max.ms", "1000"),
    ("log.scrub.enable", "false"),
    // The effective reserve is at most a twentieth of the file system: 400 KiB.
    ("log.dir.reserve.bytes", "1048576"),
];
const SIZE: &str = "size=8m";
/// Of followers that do not run out of space before their leader.
const LARGER: &str = "size=12m";
/// More than what ends service, and less than what resumes it.
const LOW: u64 = 200 * 1024;

fn value(number: usize) -> String {
    format!("{number:08}").repeat(2_000)
}

/// Returns the number in a value, after checking the whole value.
fn number(text: &[u8]) -> usize {
    let text = std::str::from_utf8(text).unwrap();
    let number = text[..8].parse().unwrap();
    assert!(
        text == value(number),
        "the value of record {number} is broken"
    );
    number
}

/// Produces with acks=all until the leader refuses for lack of space. Returns the number of
/// acknowledged records.
fn produce_until_refused(leader: &Partition, from: usize) -> usize {
    for number in from.. {
        let appended = match append(leader, &[&value(number)], Acks::All) {
            Ok(appended) => appended,
            Err(AppendError::Role(error @ RoleError::NoSpace(_))) => {
                assert_eq!(error.code(), ErrorCode::KafkaStorageError);
                return number;
            }
            Err(error) => panic!("{error}"),
        };
        let committed = leader.wait_committed(appended.leader_epoch, appended.end());
        within(DEADLINE, committed).expect("in time").unwrap();
    }
    unreachable!()
}

/// Produces one record once the leader accepts it again.
fn produce_again(leader: &Partition, number: usize) {
    eventually("records are accepted again", || {
        match append(leader, &[&value(number)], Acks::All) {
            Ok(appended) => {
                let committed = leader.wait_committed(appended.leader_epoch, appended.end());
                within(DEADLINE, committed).expect("in time").unwrap();
                Some(())
            }
            Err(
                AppendError::Role(RoleError::NoSpace(_)) | AppendError::NotEnoughReplicas { .. },
            ) => None,
            Err(error) => panic!("{error}"),
        }
    });
}

fn read(replica: &Partition, from: Offset) -> Result<Bytes, ReadError> {
    let params = FetchParams {
        fetch_offset: from,
        current_leader_epoch: None,
        last_fetched_epoch: None,
        max_bytes: 1 << 20,
        min_one: true,
        isolation: Isolation::LogEnd,
        leader_only: false,
    };
    Ok(replica.read(&params)?.records)
}

/// Returns the numbers of a replica's records from its log start on.
fn values(replica: &Partition) -> Vec<usize> {
    let mut bytes = Vec::new();
    let mut from = replica.positions().log_start_offset;
    while from < replica.positions().log_end_offset {
        let records = match read(replica, from) {
            // The log's start has moved meanwhile.
            Err(ReadError::OffsetOutOfRange { .. }) => {
                bytes.clear();
                from = replica.positions().log_start_offset;
                continue;
            }
            records => records.unwrap(),
        };
        let last = Batches::new(&records).map(Result::unwrap).last().unwrap();
        from = last.header.next_offset();
        bytes.extend_from_slice(&records);
    }
    let batches = Batches::new(&bytes).map(Result::unwrap);
    let records = batches.flat_map(|batch| {
        batch.header.check_crc(batch.bytes).unwrap();
        let records = batch.records(batch.payload());
        let values: Vec<usize> = records
            .map(|record| number(record.unwrap().value.unwrap()))
            .collect();
        values
    });
    records.collect()
}

fn check_online(cluster: &Cluster, nodes: &[i32]) {
    for node in nodes {
        assert!(cluster.partitions(*node).failed_dirs().borrow().is_empty());
        assert_eq!(cluster.replica(*node).offline(), None, "node {node}");
    }
}

/// Starts a broker for each size of a file system. The first one leads.
fn start(sizes: &[&str]) -> Arc<Cluster> {
    let replicas: Vec<i32> = (1..).take(sizes.len()).collect();
    let count = replicas.len() as i32;
    let cluster = Cluster::start_in(count, &PROPERTIES, |node, dir| {
        mount(dir, sizes[node as usize - 1]);
    });
    let configs = [
        ("segment.bytes", "1048576"),
        ("min.insync.replicas", "2"),
        // The records have timestamps of 1970.
        ("retention.ms", "-1"),
        ("file.delete.delay.ms", "600000"),
    ];
    cluster.create_topic(&replicas, &configs[..]);
    cluster
}

#[test]
fn producers_are_refused_on_full_disks_until_records_are_deleted_and_nothing_is_lost() {
    let name = "producers_are_refused_on_full_disks_until_records_are_deleted_and_nothing_is_lost";
    in_small_fs(name, "size=1m", |_| {
        // A record that the leader accepted while both followers pause would not be committed.
        let cluster = start(&[SIZE, LARGER, LARGER]);
        let nodes = [1, 2, 3];
        let leader = cluster.replica(1);
        let acknowledged = produce_until_refused(&leader, 0);
        assert!(acknowledged > 300, "{acknowledged}");
        check_online(&cluster, &nodes);
        let held = values(&leader);
        assert_eq!(held.len(), acknowledged);
        assert!(held.iter().copied().eq(0..acknowledged));

        let before = leader
            .delete_records(Some(offset(acknowledged as i64)))
            .unwrap();
        produce_again(&leader, acknowledged);
        let low = within(DEADLINE, leader.wait_low_watermark(before));
        assert!(low.expect("in time").unwrap() >= before);
        let acknowledged = produce_until_refused(&leader, acknowledged + 1);
        check_online(&cluster, &nodes);
        assert!(values(&leader).ends_with(&(acknowledged - 60..acknowledged).collect::<Vec<_>>()));
        let before = offset(acknowledged as i64 - 60);
        leader.delete_records(Some(before)).unwrap();
        cluster.wait_isr(&nodes);
        for node in nodes {
            let replica = cluster.replica(node);
            wait_for(&replica, |it| {
                it.positions().log_end_offset.0 == acknowledged as i64
            });
            let held = values(&replica);
            let first = usize::try_from(before.0).unwrap();
            let expected: Vec<usize> = (first..acknowledged).collect();
            assert!(
                held.ends_with(&expected),
                "node {node} has {} records",
                held.len()
            );
        }
    });
}

#[test]
fn a_follower_without_space_pauses_and_catches_up_when_there_is_space() {
    let name = "a_follower_without_space_pauses_and_catches_up_when_there_is_space";
    in_small_fs(name, "size=1m", |_| {
        let cluster = start(&[SIZE; 3]);
        let leader = cluster.replica(1);
        produce(&leader, &[&value(0)]);
        cluster.wait_settled(3, 1);
        let ballast = Ballast::leave(cluster.dir(3), LOW);
        // The other replicas continue without it.
        for number in 1..60 {
            produce(&leader, &[&value(number)]);
        }
        cluster.wait_isr(&[1, 2]);
        check_online(&cluster, &[1, 2, 3]);
        assert!(cluster.replica(3).positions().log_end_offset.0 < 60);
        // The follower takes part in what needs no space, such as deleting records.
        let before = leader.delete_records(Some(offset(1))).unwrap();
        let low = within(DEADLINE, leader.wait_low_watermark(before));
        assert_eq!(low.expect("in time").unwrap(), before);
        drop(ballast);
        cluster.wait_isr(&[1, 2, 3]);
        let replica = cluster.replica(3);
        wait_for(&replica, |it| it.positions().log_end_offset.0 == 60);
        assert_eq!(values(&replica), values(&leader));
    });
}

#[test]
fn the_refusal_names_directory_bytes_and_property() {
    let name = "the_refusal_names_directory_bytes_and_property";
    in_small_fs(name, "size=1m", |_| {
        let cluster = start(&[SIZE; 2]);
        let leader = cluster.replica(1);
        let ballast = Ballast::leave(cluster.dir(1), LOW);
        let text = eventually("a producer is refused early", || {
            match append(&leader, &["small"], Acks::Leader) {
                Ok(_) => None,
                Err(error) => Some(error.to_string()),
            }
        });
        let dir = cluster.dir(1).display().to_string();
        let parts = [&*dir, "bytes are free", "log.dir.reserve.bytes", "deleted"];
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
        let end = leader.positions().log_end_offset;
        assert!(append(&leader, &["small"], Acks::Leader).is_err());
        assert_eq!(leader.positions().log_end_offset, end);
        drop(ballast);
        produce_again(&leader, 0);
    });
}

#[test]
fn a_broker_starts_on_a_full_disk_serves_reads_and_deletions_and_goes_on() {
    let name = "a_broker_starts_on_a_full_disk_serves_reads_and_deletions_and_goes_on";
    in_small_fs(name, "size=1m", |_| {
        let cluster = start(&[SIZE; 2]);
        let leader = cluster.replica(1);
        for number in 0..100 {
            produce(&leader, &[&value(number)]);
        }
        cluster.wait_settled(2, 100);
        drop(leader);
        let ballast = Ballast::fill(cluster.dir(1));
        cluster.kill(1);
        cluster.start_broker(1);
        let leader = cluster.replica(1);
        check_online(&cluster, &[1, 2]);
        assert!(values(&leader).iter().copied().eq(0..100));
        assert!(append(&leader, &["x"], Acks::Leader).is_err());
        // The follower's acks determine what is committed.
        wait_for(&leader, |it| it.positions().high_watermark.0 == 100);
        let before = leader.delete_records(Some(offset(100))).unwrap();
        let low = within(DEADLINE, leader.wait_low_watermark(before));
        assert_eq!(low.expect("in time").unwrap(), before);
        // The ballast still exists: producing uses the space of the deleted records.
        produce_again(&leader, 100);
        check_online(&cluster, &[1, 2]);
        drop(ballast);
        wait_for(&cluster.replica(2), |it| {
            it.positions().log_end_offset.0 == 101
        });
        // Everything that was postponed at the start has been written in the end.
        drop(leader);
        cluster.stop(1);
        cluster.start_broker(1);
        let leader = cluster.replica(1);
        assert_eq!(leader.positions().log_start_offset, before);
        assert_eq!(values(&leader), [100]);
    });
}

#[test]
fn a_log_that_could_not_be_made_for_lack_of_space_is_made_when_there_is_space() {
    let name = "a_log_that_could_not_be_made_for_lack_of_space_is_made_when_there_is_space";
    in_small_fs(name, "size=1m", |_| {
        let cluster = Cluster::start_in(2, &PROPERTIES, |_, dir| {
            mount(dir, "size=8m,nr_inodes=60");
        });
        let mut fillers = Vec::new();
        let dir = cluster.dir(2).to_owned();
        // Until no directory can be created any more.
        while std::fs::write(dir.join(format!("filler-{}", fillers.len())), "").is_ok() {
            fillers.push(dir.join(format!("filler-{}", fillers.len())));
        }
        cluster.create_topic(&[1, 2], &[("min.insync.replicas", "1")]);
        assert!(cluster.replica(2).offline().is_some());
        assert!(cluster.partitions(2).failed_dirs().borrow().is_empty());
        let leader = cluster.replica(1);
        append(&leader, &[&value(0)], Acks::Leader).unwrap();
        cluster.wait_isr(&[1]);
        for filler in fillers {
            std::fs::remove_file(filler).unwrap();
        }
        cluster.wait_isr(&[1, 2]);
        cluster.wait_settled(2, 1);
        assert_eq!(values(&cluster.replica(2)), [0]);
    });
}
