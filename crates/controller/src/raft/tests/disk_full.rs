//! Tests of voters whose disk has no space left: none of them stops, writes that have begun are
//! completed when there is space, and small changes are still committed.

use std::fs;
use std::sync::Arc;

use dohle_model::NodeId;
use openraft::RaftSnapshotBuilder;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftStateMachine};
use openraft::type_config::TypeConfigExt;
use tokio::sync::watch;
use tokio::time::timeout;

use super::TestMachine;
use super::cluster::{Cluster, DEADLINE};
use super::small_fs::{Ballast, in_small_fs, mount};
use crate::raft::machine::Machine;
use crate::raft::space;
use crate::raft::store::LogLimits;
use crate::raft::store::tests::{LIMITS, all, append, blob, entry, open};
use crate::raft::types::{Types, Vote, log_id};

/// More than what is reserved behind the end of the journal.
const LARGE: usize = 400_000;

#[test]
fn a_write_without_space_waits_and_loses_nothing() {
    let name = "raft::tests::disk_full::a_write_without_space_waits_and_loses_nothing";
    in_small_fs(name, "size=4m", |root| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = root.join("log");
            fs::create_dir(&dir).unwrap();
            let mut store = open(&dir, &LIMITS).await;
            let mut expected = vec![entry(0, blob(1_000))];
            append(&mut store, expected.clone()).await;
            let ballast = Ballast::fill(root);
            let (flushed_tx, mut flushed) = Types::oneshot();
            let large = entry(1, blob(LARGE));
            expected.push(large.clone());
            let signal = IOFlushed::signal(flushed_tx);
            store.append([large], signal).await.unwrap();
            while !store.waits_for_space() {
                tokio::task::yield_now().await;
            }
            // Reads continue, also those after writes that wait.
            assert_eq!(all(&mut store).await, expected);
            let voting = tokio::spawn({
                let mut store = store.clone();
                async move { store.save_vote(&Vote::new(7, 1)).await }
            });
            assert!(
                futures::poll!(&mut flushed).is_pending(),
                "acknowledged without space"
            );
            drop(ballast);
            flushed.await.unwrap().unwrap();
            voting.await.unwrap().unwrap();
            assert!(!store.waits_for_space());
            store.close().await;
            let mut store = open(&dir, &LIMITS).await;
            assert_eq!(all(&mut store).await, expected);
            store.close().await;
        });
    });
}

#[test]
fn small_changes_are_written_to_a_full_disk_also_after_a_start() {
    let name =
        "raft::tests::disk_full::small_changes_are_written_to_a_full_disk_also_after_a_start";
    in_small_fs(name, "size=4m", |root| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = root.join("log");
            fs::create_dir(&dir).unwrap();
            let mut store = open(&dir, &LIMITS).await;
            append(&mut store, vec![entry(0, blob(10_000))]).await;
            let ballast = Ballast::fill(root);
            let mut next = 1;
            for _ in 0..2 {
                for _ in 0..200 {
                    append(&mut store, vec![entry(next, blob(200))]).await;
                    next += 1;
                }
                store.close().await;
                store = open(&dir, &LIMITS).await;
                assert_eq!(all(&mut store).await.len() as u64, next);
            }
            drop(ballast);
            store.close().await;
        });
    });
}

#[test]
fn a_rewrite_and_a_snapshot_without_space_leave_what_is_there_and_are_made_later() {
    let name = "raft::tests::disk_full::\
                a_rewrite_and_a_snapshot_without_space_leave_what_is_there_and_are_made_later";
    in_small_fs(name, "size=4m", |root| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = root.join("log");
            fs::create_dir(&dir).unwrap();
            let limits = LogLimits {
                file_bytes: 100_000,
                ..LIMITS
            };
            let mut store = open(&dir, &limits).await;
            for index in 0..10 {
                append(&mut store, vec![entry(index, blob(60_000))]).await;
            }
            let due = Arc::new(tokio::sync::Notify::new());
            let machine = TestMachine::default();
            let mut machine = Machine::new(Box::new(machine), &dir, u64::MAX, due);
            let entries = [Ok((entry(1, blob(60_000)), None))];
            machine.apply(futures::stream::iter(entries)).await.unwrap();
            // A copy that runs out of space is removed, and a rewrite would use its space.
            while store.copied().await != (0..10) {
                tokio::task::yield_now().await;
            }
            let ballast = Ballast::fill(root);
            store.purge(log_id(1, 5)).await.unwrap();
            append(&mut store, vec![entry(10, "a")]).await;
            let before = store.file_bytes();
            assert!(before > 600_000, "{before}");
            assert_eq!(all(&mut store).await.len(), 5);
            let mut builder = machine.get_snapshot_builder().await;
            let mut building = std::pin::pin!(builder.build_snapshot());
            let attempts = async {
                for _ in 0..1_000 {
                    tokio::task::yield_now().await;
                }
            };
            tokio::select! {
                built = &mut building => panic!("built without space: {}", built.is_ok()),
                () = attempts => {}
            }
            drop(ballast);
            building.await.unwrap();
            store.purge(log_id(1, 9)).await.unwrap();
            for index in 11..20 {
                append(&mut store, vec![entry(index, blob(60_000))]).await;
                store.purge(log_id(1, index - 1)).await.unwrap();
            }
            assert!(store.file_bytes() < before, "the journal was rewritten");
            assert_eq!(all(&mut store).await.len(), 1);
            store.close().await;
        });
    });
}

#[test]
fn a_log_that_waits_for_space_can_be_closed() {
    let name = "raft::tests::disk_full::a_log_that_waits_for_space_can_be_closed";
    in_small_fs(name, "size=4m", |root| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = root.join("log");
            fs::create_dir(&dir).unwrap();
            let mut store = open(&dir, &LIMITS).await;
            append(&mut store, vec![entry(0, "a")]).await;
            let ballast = Ballast::fill(root);
            let (flushed_tx, flushed) = Types::oneshot();
            let signal = IOFlushed::signal(flushed_tx);
            store.append([entry(1, blob(LARGE))], signal).await.unwrap();
            while !store.waits_for_space() {
                tokio::task::yield_now().await;
            }
            store.close().await;
            assert!(flushed.await.unwrap().is_err(), "it was never written");
            drop(ballast);
            let mut store = open(&dir, &LIMITS).await;
            assert_eq!(all(&mut store).await, [entry(0, "a")]);
            store.close().await;
        });
    });
}

#[test]
fn a_quorum_on_full_disks_stays_and_goes_on() {
    let name = "raft::tests::disk_full::a_quorum_on_full_disks_stays_and_goes_on";
    in_small_fs(name, "size=1m", |_| {
        let mut cluster = Cluster::stopped(3, |config| {
            config.reserve_bytes = watch::channel(1 << 20).1;
        });
        for id in 1..=3 {
            fs::create_dir_all(cluster.dir(id)).unwrap();
            mount(&cluster.dir(id), "size=4m");
        }
        for id in 1..=3 {
            cluster.restart(id);
        }
        cluster.commit(b"before");
        let ballasts: Vec<_> = (1..=3).map(|id| Ballast::fill(&cluster.dir(id))).collect();
        cluster.until(|| (1..=3).all(|id| cluster.node(id).quorum.shortage().is_some()));
        // Small entries fit in the reserved space.
        for number in 0..50_u32 {
            cluster.commit(&number.to_be_bytes());
        }
        // A voter can start on a full disk and take part.
        let follower = cluster.leader() % 3 + 1;
        cluster.stop(follower);
        cluster.restart(follower);
        cluster.commit(b"restarted");
        cluster.wait_state(follower, |state| state.payloads.len() == 52);

        let leader = cluster.leader();
        let large = blob(LARGE);
        let quorum = cluster.node(leader).quorum.clone();
        let proposed = {
            let (quorum, large) = (quorum.clone(), large.clone());
            let (result_tx, result) = tokio::sync::oneshot::channel();
            cluster.spawn(async move { drop(result_tx.send(quorum.propose(large).await)) });
            result
        };
        cluster.until(|| quorum.waits_for_space());
        for id in 1..=3 {
            assert!(cluster.node(id).quorum.fatal().borrow().is_none());
        }
        drop(ballasts);
        let proposed = cluster.block_on(proposed).unwrap();
        assert!(proposed.is_ok(), "{proposed:?}");
        for id in 1..=3 {
            cluster.wait_state(id, |state| state.payloads.len() == 53);
            cluster.until(|| cluster.node(id).quorum.shortage().is_none());
        }
        assert_eq!(
            quorum.leadership().borrow().leader,
            Some(NodeId(leader)),
            "the leader stayed"
        );
        cluster.commit(b"after");
    });
}

#[test]
fn a_reserve_that_changes_at_run_time_is_followed() {
    let name = "raft::tests::disk_full::a_reserve_that_changes_at_run_time_is_followed";
    in_small_fs(name, "size=8m", |root| {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let dir = root.join("log");
            fs::create_dir(&dir).unwrap();
            let store = open(&dir, &LIMITS).await;
            // Less than the largest reserve, a twentieth of the file system.
            let _ballast = Ballast::leave(root, 300_000);
            let (reserve, changes) = watch::channel(0);
            let (shortage_tx, mut shortage) = watch::channel(None);
            tokio::spawn(space::watch(dir, changes, store.clone(), shortage_tx));
            for is_short in [true, false, true] {
                reserve.send_replace(if is_short { 1 << 20 } else { 0 });
                let reason = shortage.wait_for(|reason| reason.is_some() == is_short);
                timeout(DEADLINE, reason).await.unwrap().unwrap();
            }
            store.close().await;
        });
    });
}
