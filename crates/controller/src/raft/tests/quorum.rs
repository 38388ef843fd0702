//! Tests of the guarantees of the quorum to the controller.

use std::time::{Duration, Instant};

use dohle_model::NodeId;
use dohle_rpc::v1;

use super::cluster::{Cluster, DEADLINE};
use crate::raft::{ApplyOutcome, ProposeError, ReplicaDescription, TransferError};

#[test]
fn a_single_voter_leads_at_once_and_again_after_a_restart() {
    let started = Instant::now();
    let mut cluster = Cluster::start(1);
    assert_eq!(cluster.leader(), 1);
    eprintln!(
        "single voter: first leadership after {:?}",
        started.elapsed()
    );
    let first = cluster.commit(b"one");
    assert_eq!(first.outcome, ApplyOutcome::Applied);
    cluster.stop(1);

    let started = Instant::now();
    cluster.restart(1);
    assert_eq!(cluster.leader(), 1);
    eprintln!(
        "single voter: leadership again after {:?}",
        started.elapsed()
    );
    let second = cluster.commit(b"two");
    assert!(second.offset > first.offset);
    let state = cluster.wait_state(1, |state| state.payloads.len() == 2);
    assert_eq!(state.payloads[0], (first.offset, "one".into()));
    assert_eq!(
        cluster.block_on(cluster.node(1).quorum.transfer_leadership()),
        Err(TransferError::NoCandidate)
    );
}

#[test]
fn only_the_leader_keeps_connections_to_the_other_voters() {
    let mut cluster = Cluster::start(3);
    let first = cluster.leader();
    let connected = |cluster: &Cluster, id| cluster.node(id).quorum.connected().len();
    let follower_ids = |leader| (1..=3).filter(move |id| *id != leader);
    cluster.until(|| connected(&cluster, first) == 2);
    cluster.until(|| follower_ids(first).all(|id| connected(&cluster, id) == 0));
    cluster.kill(first);
    let second = cluster.leader();
    let third = 6 - first - second;
    cluster.until(|| connected(&cluster, second) == 2 && connected(&cluster, third) == 0);
}

#[test]
fn three_voters_elect_a_leader_and_apply_the_same_sequence() {
    let started = Instant::now();
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    eprintln!(
        "three voters: first leadership after {:?}",
        started.elapsed()
    );
    for i in 0..20_u8 {
        cluster.commit(&[b'a', i]);
    }
    let states: Vec<_> = (1..=3)
        .map(|id| cluster.wait_state(id, |state| state.payloads.len() == 20))
        .collect();
    assert_eq!(states[0], states[1]);
    assert_eq!(states[1], states[2]);

    let follower = leader % 3 + 1;
    assert_eq!(
        cluster.propose(follower, b"not here"),
        Err(ProposeError::NotLeader {
            leader: Some(NodeId(leader))
        })
    );
}

#[test]
fn five_voters_survive_the_loss_of_two() {
    let mut cluster = Cluster::start(5);
    let leader = cluster.leader();
    cluster.commit(b"before");
    cluster.kill(leader);
    cluster.kill(leader % 5 + 1);
    cluster.leader_other_than(Some(leader));
    cluster.commit(b"after");
}

#[test]
fn an_acknowledged_entry_survives_the_leaders_death() {
    let mut cluster = Cluster::start(3);
    let first = cluster.leader();
    let kept = cluster.commit(b"kept");
    let killed = Instant::now();
    cluster.kill(first);
    let second = cluster.leader_other_than(Some(first));
    eprintln!(
        "three voters: new leader {:?} after the death of the old one",
        killed.elapsed()
    );
    let state = cluster.wait_state(second, |state| state.payloads.len() == 1);
    assert_eq!(state.payloads, [(kept.offset, "kept".into())]);
    cluster.commit(b"more");

    cluster.restart(first);
    let state = cluster.wait_state(first, |state| state.payloads.len() == 2);
    assert_eq!(state.payloads[0], (kept.offset, "kept".into()));
    assert_eq!(
        cluster.leader(),
        second,
        "a voter that comes back disturbs nobody"
    );
}

#[test]
fn everything_is_found_again_after_all_voters_died() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    for i in 0..10_u8 {
        cluster.commit(&[b'a', i]);
    }
    let before = cluster.wait_state(leader, |state| state.payloads.len() == 10);
    for id in 1..=3 {
        cluster.kill(id);
    }
    let started = Instant::now();
    for id in 1..=3 {
        cluster.restart(id);
    }
    let leader = cluster.leader();
    eprintln!(
        "three voters: leadership {:?} after all were started again",
        started.elapsed()
    );
    assert_eq!(
        cluster.wait_state(leader, |state| state.payloads.len() == 10),
        before
    );
}

/// Sets timeouts beyond the deadline of these tests, so that what they wait for does not depend on
/// them.
fn slow(config: &mut crate::raft::QuorumConfig) {
    config.heartbeat_interval = 2 * DEADLINE;
    config.election_timeout = 10 * DEADLINE;
}

#[test]
fn leadership_moves_on_request_without_waiting_for_silence() {
    let mut cluster = Cluster::start_with(3, slow);
    let first = cluster.leader();
    cluster.commit(b"before");
    let asked = Instant::now();
    let second = cluster
        .block_on(cluster.node(first).quorum.transfer_leadership())
        .unwrap();
    cluster.stop(first);
    assert_eq!(cluster.leader_other_than(Some(first)), second.0);
    eprintln!(
        "three voters: leadership handed over in {:?}",
        asked.elapsed()
    );
    cluster.commit(b"after");
}

#[test]
fn a_leader_whose_peers_are_gone_hands_over_to_nobody_at_once() {
    let mut cluster = Cluster::start_with(3, slow);
    let leader = cluster.leader();
    cluster.commit(b"before");
    for other in (1..=3).filter(|id| *id != leader) {
        cluster.stop(other);
    }
    assert_eq!(
        cluster.block_on(cluster.node(leader).quorum.transfer_leadership()),
        Err(TransferError::NoMajority)
    );
}

#[test]
fn followers_learn_of_a_commit_before_the_next_heartbeat() {
    let cluster = Cluster::start_with(3, slow);
    cluster.leader();
    cluster.commit(b"now");
    for id in 1..=3 {
        cluster.wait_state(id, |state| state.payloads.len() == 1);
    }
}

#[test]
fn the_proposer_is_told_that_its_payload_was_stale() {
    let cluster = Cluster::start(1);
    let leader = cluster.leader();
    assert_eq!(
        cluster.commit(b"?\x00 first").outcome,
        ApplyOutcome::Applied
    );
    assert_eq!(cluster.commit(b"?\x00 again").outcome, ApplyOutcome::Stale);
    assert_eq!(
        cluster.commit(b"?\x01 again").outcome,
        ApplyOutcome::Applied
    );
    cluster.wait_state(leader, |state| state.payloads.len() == 2);
}

#[test]
fn a_voter_that_is_far_behind_gets_a_snapshot() {
    let mut cluster = Cluster::start_with(3, |config| {
        config.snapshot_after_entries = 50;
        config.entries_kept_after_snapshot = 10;
    });
    let leader = cluster.leader();
    let behind = leader % 3 + 1;
    cluster.commit(b"first");
    cluster.wait_state(behind, |state| state.payloads.len() == 1);
    cluster.kill(behind);
    // 3 MB, so that the snapshot is sent in several chunks.
    for i in 0..300_u32 {
        cluster.commit(&i.to_be_bytes().repeat(2_500));
    }
    cluster.restart(behind);
    let state = cluster.wait_state(behind, |state| state.payloads.len() == 301);
    assert!(state.restores >= 1, "it got a snapshot");
    let expected = cluster.wait_state(leader, |state| state.payloads.len() == 301);
    assert_eq!(state.payloads, expected.payloads);
    // The voter starts again from its own snapshot and log.
    cluster.stop(behind);
    cluster.restart(behind);
    let again = cluster.wait_state(behind, |state| state.payloads.len() == 301);
    assert_eq!(again.payloads, expected.payloads);
}

#[test]
fn snapshots_are_taken_by_size() {
    let cluster = Cluster::start_with(1, |config| {
        config.snapshot_after_bytes = 100_000;
        config.entries_kept_after_snapshot = 0;
    });
    cluster.leader();
    let dir = cluster.config(1).dir;
    let snapshots = || {
        let names = std::fs::read_dir(&dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().ends_with(".checkpoint"))
            .count()
    };
    let deadline = Instant::now() + DEADLINE;
    while snapshots() == 0 {
        assert!(Instant::now() < deadline, "no snapshot yet");
        cluster.commit(&[7; 20_000]);
    }
}

#[test]
fn snapshots_are_taken_by_time_when_there_is_something_new() {
    let cluster = Cluster::start_with(1, |config| {
        config.snapshot_interval = Some(Duration::from_millis(20));
    });
    cluster.leader();
    // Returns the offset at the beginning of the newest snapshot's name.
    let last = || -> Option<u64> {
        let names = std::fs::read_dir(cluster.config(1).dir).unwrap();
        let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let names = names.filter(|name| name.ends_with(".checkpoint"));
        names
            .filter_map(|name| name.split_once('-')?.0.parse().ok())
            .max()
    };
    for payload in [b"first", b"later"] {
        let offset = cluster.commit(payload).offset.0;
        let deadline = Instant::now() + DEADLINE;
        // Entries of Raft's own may follow the payload before the snapshot is taken.
        while last().is_none_or(|covered| covered < offset) {
            assert!(
                Instant::now() < deadline,
                "no snapshot of {offset}: {:?}",
                last()
            );
            std::thread::yield_now();
        }
    }
}

#[test]
fn a_voter_of_another_cluster_is_refused_in_words() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let address = format!("http://{}", cluster.address(1));
    let ask = |cluster_id: &str, to| v1::RaftVoteRequest {
        peer: Some(v1::RaftPeer {
            cluster_id: cluster_id.to_owned(),
            from: 9,
            to,
            ..v1::RaftPeer::default()
        }),
        ..v1::RaftVoteRequest::default()
    };
    let refused = |request| {
        cluster.block_on(async {
            let mut client = v1::raft_client::RaftClient::connect(address.clone())
                .await
                .unwrap();
            client.vote(request).await.unwrap_err()
        })
    };
    let status = refused(ask("other-cluster", 1));
    assert_eq!(status.code(), tonic::Code::FailedPrecondition);
    expect_test::expect![[r#"
        node 9 belongs to cluster other-cluster
        this is node 1 of cluster test-cluster
        check controller.quorum.voters and cluster.id on both"#]]
    .assert_eq(&status.message().replace(", ", "\n").replace(": ", "\n"));
    expect_test::expect![[r#"
        node 9 sent a request for voter 2 to this node 1
        check controller.quorum.voters on node 9"#]]
    .assert_eq(
        &refused(ask("test-cluster", 2))
            .message()
            .replace(": ", "\n"),
    );
    assert_eq!(refused(ask("test-cluster", 1)).message(), "malformed vote");
}

#[test]
fn the_leader_describes_all_voters() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let proposed = cluster.commit(b"x");
    for id in 1..=3 {
        cluster.wait_state(id, |state| state.payloads.len() == 1);
    }
    let deadline = Instant::now() + DEADLINE;
    let described = loop {
        let described = cluster.node(leader).quorum.describe();
        // The directories of the voters may be committed after the proposal.
        let end = described.high_watermark;
        // The time at which a voter caught up is recorded a moment after its acknowledgement.
        let all_have = |voter: &ReplicaDescription| {
            voter.log_end_offset == Some(end) && voter.last_caught_up.is_some()
        };
        if end.0 > proposed.offset.0 && described.voters.iter().all(all_have) {
            break described;
        }
        assert!(Instant::now() < deadline, "{described:?}");
        std::thread::yield_now();
    };
    assert_eq!(described.leader, Some(NodeId(leader)));
    assert_eq!(described.voters.len(), 3);
    assert!(described.observers.is_empty());
    for voter in &described.voters {
        assert_eq!(voter.address, cluster.address(voter.node_id.0));
        assert!(
            voter.last_fetch.is_some() && voter.last_caught_up.is_some(),
            "{voter:?}"
        );
    }
    let follower = leader % 3 + 1;
    cluster.kill(leader % 3 + 1);
    cluster.restart(follower);
}

#[test]
fn proposals_are_quick() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let mut times: Vec<Duration> = (0..200)
        .map(|_| {
            let started = Instant::now();
            cluster.commit(&[1; 500]);
            started.elapsed()
        })
        .collect();
    times.sort();
    eprintln!(
        "propose, one at a time: p50 {:?}, p99 {:?}",
        times[100], times[198]
    );

    let quorum = cluster.node(leader).quorum.clone();
    let started = Instant::now();
    cluster.block_on(async {
        let all = (0..2_000).map(|_| quorum.propose(vec![1; 500].into()));
        futures::future::try_join_all(all).await.unwrap();
    });
    eprintln!("propose, 2000 at once: {:?}", started.elapsed());
}
