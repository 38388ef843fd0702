//! Voters whose disks were replaced or hold an older copy.

use std::fs;
use std::path::Path;

use super::cluster::Cluster;
use crate::raft::network::LogEnds;

/// Copies a directory with what is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn commit_numbered(cluster: &Cluster, count: u32) {
    for i in 0..count {
        cluster.commit(&i.to_be_bytes());
    }
}

#[test]
fn a_voter_that_lost_its_log_is_filled_again_while_the_leader_stays() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    commit_numbered(&cluster, 20);
    let wiped = leader % 3 + 1;
    cluster.wait_state(wiped, |state| state.payloads.len() == 20);
    cluster.stop(wiped);
    fs::remove_dir_all(cluster.dir(wiped)).unwrap();
    cluster.restart(wiped);
    let found = cluster.wait_state(wiped, |state| state.payloads.len() == 20);
    let expected = cluster.wait_state(leader, |state| state.payloads.len() == 20);
    assert_eq!(found.payloads, expected.payloads);
    cluster.commit(b"after");
    cluster.wait_state(wiped, |state| state.payloads.len() == 21);
    assert_eq!(cluster.leader(), leader, "the leader stays");
}

#[test]
fn a_voter_with_an_older_copy_of_its_log_catches_up_while_the_leader_stays() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let restored = leader % 3 + 1;
    commit_numbered(&cluster, 5);
    cluster.wait_state(restored, |state| state.payloads.len() == 5);
    cluster.stop(restored);
    let older = tempfile::tempdir().unwrap();
    copy(&cluster.dir(restored), older.path());
    cluster.restart(restored);
    commit_numbered(&cluster, 20);
    cluster.wait_state(restored, |state| state.payloads.len() == 25);
    cluster.stop(restored);
    fs::remove_dir_all(cluster.dir(restored)).unwrap();
    copy(older.path(), &cluster.dir(restored));
    cluster.restart(restored);
    let found = cluster.wait_state(restored, |state| state.payloads.len() == 25);
    let expected = cluster.wait_state(leader, |state| state.payloads.len() == 25);
    assert_eq!(found.payloads, expected.payloads);
    assert_eq!(cluster.leader(), leader, "the leader stays");
}

#[test]
fn a_voter_whose_older_log_was_purged_by_the_leader_gets_a_snapshot() {
    let mut cluster = Cluster::start_with(3, |config| {
        config.snapshot_after_entries = 20;
        config.entries_kept_after_snapshot = 2;
    });
    let leader = cluster.leader();
    let restored = leader % 3 + 1;
    commit_numbered(&cluster, 3);
    cluster.wait_state(restored, |state| state.payloads.len() == 3);
    cluster.stop(restored);
    let older = tempfile::tempdir().unwrap();
    copy(&cluster.dir(restored), older.path());
    cluster.restart(restored);
    commit_numbered(&cluster, 97);
    cluster.wait_state(restored, |state| state.payloads.len() == 100);
    cluster.stop(restored);
    fs::remove_dir_all(cluster.dir(restored)).unwrap();
    copy(older.path(), &cluster.dir(restored));
    cluster.restart(restored);
    let found = cluster.wait_state(restored, |state| state.payloads.len() == 100);
    assert_eq!(found.restores, 1);
    assert_eq!(cluster.leader(), leader, "the leader stays");
}

#[test]
fn replacing_the_disk_of_every_voter_in_turn_loses_nothing() {
    let mut cluster = Cluster::start(3);
    cluster.leader();
    commit_numbered(&cluster, 10);
    let mut count = 10;
    for id in 1..=3 {
        cluster.stop(id);
        fs::remove_dir_all(cluster.dir(id)).unwrap();
        cluster.restart(id);
        cluster.commit(&[id as u8]);
        count += 1;
        for id in 1..=3 {
            cluster.wait_state(id, |state| state.payloads.len() == count);
        }
    }
    let states: Vec<_> = (1..=3)
        .map(|id| cluster.wait_state(id, |state| state.payloads.len() == count))
        .collect();
    assert_eq!(states[0].payloads, states[1].payloads);
    assert_eq!(states[1].payloads, states[2].payloads);
    assert_eq!(states[0].payloads[0].1.as_ref(), 0_u32.to_be_bytes());
}

#[test]
fn a_log_that_moved_backwards_is_reported_once() {
    let ends = LogEnds::default();
    assert_eq!(ends.on_conflict(2, 1, 0), None, "nothing was acknowledged");
    ends.on_matched(2, 1, 10);
    ends.on_matched(2, 1, 7);
    assert_eq!(ends.on_conflict(2, 1, 10), None, "nothing is missing");
    assert_eq!(ends.on_conflict(2, 1, 4), Some(10));
    assert_eq!(ends.on_conflict(2, 1, 4), None, "it was reported");
    assert_eq!(ends.on_conflict(3, 1, 4), None, "another voter");
    ends.on_matched(2, 1, 12);
    assert_eq!(ends.on_conflict(2, 1, 0), Some(12), "once more");
    // An uncommitted end of an earlier term is truncated as Raft demands: nothing to report.
    ends.on_matched(3, 1, 20);
    assert_eq!(ends.on_conflict(3, 2, 18), None);
    ends.on_matched(3, 2, 5);
    assert_eq!(ends.on_conflict(3, 2, 3), Some(5));
}
