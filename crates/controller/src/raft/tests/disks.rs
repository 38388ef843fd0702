//! Tests of voters whose disks were replaced or contain an older copy.

use std::fs;
use std::path::Path;

use dohle_model::NodeId;

use super::cluster::Cluster;
use crate::raft::peers::LogEnds;
use crate::raft::recovery;
use crate::raft::voter_file::VoterFile;

/// Copies a directory with its content.
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
    assert!(found.restores >= 1, "it got a snapshot");
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
        cluster.replace_disk(id);
        cluster.restart(id);
        cluster.commit(&[id as u8]);
        count += 1;
        for id in 1..=3 {
            cluster.wait_state(id, |state| state.payloads.len() == count);
            cluster.until(|| cluster.node(id).quorum.is_admitted());
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
    // Raft truncates an uncommitted end of an earlier term; nothing is reported.
    ends.on_matched(3, 1, 20);
    assert_eq!(ends.on_conflict(3, 2, 18), None);
    ends.on_matched(3, 2, 5);
    assert_eq!(ends.on_conflict(3, 2, 3), Some(5));
}

/// Returns three stopped voters. Voter 1 was stopped before the last records were committed.
fn one_is_behind() -> Cluster {
    let mut cluster = Cluster::start(3);
    commit_numbered(&cluster, 3);
    cluster.wait_state(1, |state| state.payloads.len() == 3);
    cluster.stop(1);
    cluster.leader_other_than(Some(1));
    commit_numbered(&cluster, 5);
    for id in 2..=3 {
        cluster.wait_state(id, |state| state.payloads.len() == 8);
    }
    cluster.stop(2);
    cluster.stop(3);
    cluster
}

/// Starts voters 1 and 2, of which 2 must not take part, and then 3, after which nothing is lost.
fn nothing_is_lost_without_voter_2(mut cluster: Cluster) {
    cluster.restart(2);
    cluster.restart(1);
    cluster.wait_waiting(2, |waiting| waiting.holding == [1].into());
    // Voter 2 has refused the campaigns of voter 1 once it has logged why there is no leader.
    cluster.wait_waiting(1, |waiting| waiting.empty == [2].into());
    for id in 1..=2 {
        let leadership = *cluster.node(id).quorum.leadership().borrow();
        assert_eq!(leadership.leader, None, "elected without voter 3");
    }
    cluster.restart(3);
    for id in 1..=3 {
        cluster.wait_state(id, |state| state.payloads.len() == 8);
    }
    cluster.commit(b"after");
    for id in 1..=3 {
        cluster.wait_state(id, |state| state.payloads.len() == 9);
    }
}

#[test]
fn a_wiped_voter_and_one_that_is_behind_elect_nobody() {
    let mut cluster = one_is_behind();
    cluster.replace_disk(2);
    nothing_is_lost_without_voter_2(cluster);
}

#[test]
fn a_voter_that_stopped_while_it_was_filled_is_still_empty() {
    let mut cluster = one_is_behind();
    // The disk has as much as voter 1: a part of what voter 2 had acknowledged.
    cluster.replace_disk(2);
    let dir = cluster.dir(2);
    copy(&cluster.dir(1), &dir);
    let not_yet = VoterFile {
        directory: cluster.directory(2),
        ..VoterFile::default()
    };
    not_yet.write(&dir).unwrap();
    nothing_is_lost_without_voter_2(cluster);
}

#[test]
fn a_voter_that_returns_with_another_directory_counts_as_empty() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let other = leader % 3 + 1;
    commit_numbered(&cluster, 10);
    cluster.wait_state(other, |state| state.payloads.len() == 10);
    cluster.stop(other);
    cluster.rename_directory(other);
    cluster.restart(other);
    let state = cluster.wait_state(other, |state| state.restores >= 1);
    assert_eq!(state.payloads.len(), 10);
    let described = cluster.node(leader).quorum.describe();
    let voter = described
        .voters
        .iter()
        .find(|voter| voter.node_id == NodeId(other));
    assert_eq!(voter.unwrap().directory, cluster.directory(other));
}

#[test]
fn the_first_leader_commits_the_directories_of_all_voters() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    cluster.commit(b"x");
    cluster.until(|| {
        let described = cluster.node(leader).quorum.describe();
        let of = |id: i32| {
            described
                .voters
                .iter()
                .find(move |voter| voter.node_id == NodeId(id))
        };
        (1..=3).all(|id| of(id).is_some_and(|voter| voter.directory == cluster.directory(id)))
    });
}

#[test]
fn after_the_loss_of_a_majority_nobody_leads_until_an_operator_decides() {
    let mut cluster = Cluster::start(3);
    commit_numbered(&cluster, 10);
    for id in 1..=3 {
        cluster.wait_state(id, |state| state.payloads.len() == 10);
    }
    for id in 1..=3 {
        cluster.stop(id);
    }
    cluster.replace_disk(1);
    cluster.replace_disk(2);
    for id in 1..=3 {
        cluster.restart(id);
    }
    for id in 1..=3 {
        cluster.wait_waiting(id, |waiting| waiting.majority_lost);
        assert_eq!(cluster.node(id).quorum.leadership().borrow().leader, None);
    }
    cluster.stop(3);
    let held = cluster
        .block_on(recovery::inspect(&cluster.dir(3)))
        .unwrap();
    assert!(
        held.is_some_and(|held| held.last_offset.0 >= 10),
        "{held:?}"
    );
    recovery::request(&cluster.dir(3), cluster.directory(3)).unwrap();
    cluster.restart(3);
    for id in 1..=3 {
        cluster.wait_state(id, |state| state.payloads.len() == 10);
    }
    cluster.until(|| cluster.node(3).quorum.describe().voters.len() == 3);
    cluster.commit(b"after");
    // The voters that were filled lead and vote again. A commit needs only one of them, so the test
    // waits until both are admitted and the change that makes them voters is complete.
    cluster.until(|| {
        (1..=2).all(|id| {
            let quorum = &cluster.node(id).quorum;
            let is_voter = quorum.is_admitted() && quorum.describe().voters.len() == 3;
            is_voter && !quorum.is_changing_voters()
        })
    });
    cluster.stop(3);
    cluster.leader_other_than(Some(3));
    cluster.commit(b"without the survivor");
    cluster.restart(3);
    cluster.wait_state(3, |state| state.payloads.len() == 12);
}

#[test]
fn a_new_cluster_forms_when_the_last_voter_has_started() {
    let mut cluster = Cluster::stopped(3, |_| {});
    cluster.restart(2);
    cluster.restart(1);
    for (id, other) in [(1, 2), (2, 1)] {
        cluster.wait_waiting(id, |waiting| {
            waiting.empty == [other].into() && waiting.silent == [3].into()
        });
        assert_eq!(cluster.node(id).quorum.leadership().borrow().leader, None);
    }
    // A restart changes nothing.
    cluster.stop(2);
    cluster.restart(2);
    let started = std::time::Instant::now();
    cluster.restart(3);
    cluster.leader();
    eprintln!(
        "leadership {:?} after the last voter's start",
        started.elapsed()
    );
    commit_numbered(&cluster, 3);
    for id in 1..=3 {
        cluster.wait_state(id, |state| state.payloads.len() == 3);
    }
}

#[test]
fn a_majority_that_an_operator_formatted_forms_without_the_rest() {
    let mut cluster = Cluster::stopped(3, |_| {});
    for id in 1..=2 {
        recovery::mark_formatted(&cluster.dir(id), cluster.directory(id)).unwrap();
        cluster.restart(id);
    }
    commit_numbered(&cluster, 3);
    cluster.restart(3);
    cluster.wait_state(3, |state| state.payloads.len() == 3);
}

#[test]
fn random_disks_are_replaced_and_nothing_is_lost() {
    let seed = std::env::var("DOHLE_SEED").ok();
    let mut state: u64 = seed.map_or(11, |seed| seed.parse().expect("a number"));
    eprintln!("DOHLE_SEED={state}");
    let mut below = |end: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % end
    };
    let mut cluster = Cluster::start(3);
    // Until the first leader is elected, no voter can be missed.
    cluster.leader();
    let mut count = 0;
    for _ in 0..8 {
        let id = below(3) as i32 + 1;
        match below(3) {
            0 => cluster.kill(id),
            1 => cluster.stop(id),
            _ => {
                cluster.stop(id);
                cluster.replace_disk(id);
            }
        }
        if below(2) == 0 {
            // The others continue without it.
            cluster.leader_other_than(Some(id));
            cluster.commit(&[count as u8]);
            count += 1;
        }
        assert!(!cluster.is_running(id));
        cluster.restart(id);
        cluster.commit(&[count as u8]);
        count += 1;
        for id in 1..=3 {
            cluster.wait_state(id, |state| state.payloads.len() == count);
            cluster.until(|| cluster.node(id).quorum.is_admitted());
        }
    }
    let payloads = cluster.wait_state(1, |_| true).payloads;
    let numbers: Vec<u8> = payloads.iter().map(|(_, payload)| payload[0]).collect();
    assert_eq!(numbers, (0..count as u8).collect::<Vec<_>>());
}
