//! Tests of the log store on real files.

use std::path::Path;

use bytes::Bytes;
use openraft::storage::RaftStateMachine;
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::type_config::TypeConfigExt;
use openraft::{RaftLogReader, RaftSnapshotBuilder, StorageError};
use proptest::prelude::*;
use tempfile::TempDir;
use tokio::sync::Notify;

use super::copy::CHUNK_LEN;
use super::*;
use crate::raft::machine::Machine;
use crate::raft::tests::TestMachine;
use crate::raft::types::{EntryPayload, Payload, log_id};

pub(in crate::raft) const LIMITS: LogLimits = LogLimits {
    cache_bytes: 1024 * 1024,
    file_bytes: 64 * 1024 * 1024,
};

pub(super) fn fatal() -> FatalSender {
    FatalSender(watch::Sender::new(None))
}

pub(in crate::raft) fn entry(index: u64, payload: impl Into<Bytes>) -> Entry {
    Entry {
        log_id: log_id(1, index),
        payload: EntryPayload::Normal(Payload(payload.into())),
    }
}

pub(in crate::raft) fn blob(len: usize) -> Bytes {
    (0..len)
        .map(|i| (i % 251) as u8)
        .collect::<Vec<u8>>()
        .into()
}

pub(in crate::raft) async fn open(dir: &Path, limits: &LogLimits) -> LogStore {
    LogStore::open(dir, limits, fatal()).await.unwrap()
}

pub(in crate::raft) async fn append(store: &mut LogStore, entries: Vec<Entry>) {
    let (flushed_tx, flushed) = Types::oneshot();
    store
        .append(entries, IOFlushed::signal(flushed_tx))
        .await
        .unwrap();
    flushed.await.unwrap().unwrap();
}

pub(in crate::raft) async fn all(store: &mut LogStore) -> Vec<Entry> {
    store.try_get_log_entries(..).await.unwrap()
}

struct Builder;

impl StoreBuilder<Types, LogStore, Machine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, Machine), StorageError<Types>> {
        let dir = TempDir::new().unwrap();
        // Without a cache, everything that is not being written is read from disk.
        let limits = LogLimits {
            cache_bytes: 0,
            ..LIMITS
        };
        let store = open(dir.path(), &limits).await;
        let machine = TestMachine::default();
        let due = Arc::new(Notify::new());
        let machine = Machine::new(Box::new(machine), dir.path(), u64::MAX, due);
        Ok((dir, store, machine))
    }
}

#[tokio::test]
async fn openrafts_suite_passes() {
    Suite::test_all(Builder).await.unwrap();
}

#[tokio::test]
async fn entries_and_vote_are_found_after_a_restart() {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    let vote = Vote::new_committed(3, 2);
    store.save_vote(&vote).await.unwrap();
    append(
        &mut store,
        (0..10).map(|i| entry(i, format!("payload {i}"))).collect(),
    )
    .await;
    store.purge(log_id(1, 3)).await.unwrap();
    store.truncate_after(Some(log_id(1, 7))).await.unwrap();
    append(&mut store, vec![entry(8, "another 8")]).await;
    store.save_committed(Some(log_id(1, 6))).await.unwrap();
    let before = all(&mut store).await;
    store.close().await;

    let mut store = open(dir.path(), &LIMITS).await;
    assert_eq!(store.read_vote().await.unwrap(), Some(vote));
    assert_eq!(store.read_committed().await.unwrap(), Some(log_id(1, 6)));
    let state = store.get_log_state().await.unwrap();
    assert_eq!(state.last_purged_log_id, Some(log_id(1, 3)));
    assert_eq!(state.last_log_id, Some(log_id(1, 8)));
    let after = all(&mut store).await;
    assert_eq!(after, before);
    assert_eq!(after.first(), Some(&entry(4, "payload 4")));
    assert_eq!(after.last(), Some(&entry(8, "another 8")));
}

#[tokio::test]
async fn a_store_is_empty_until_it_holds_a_vote_an_entry_or_a_snapshot() {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    assert!(store.is_empty() && store.last_log_id().is_none());
    store.save_vote(&Vote::new(1, 1)).await.unwrap();
    assert!(!store.is_empty(), "it has a vote");
    store.close().await;
    assert!(!open(dir.path(), &LIMITS).await.is_empty(), "it had a vote");

    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    append(&mut store, vec![entry(0, "first")]).await;
    assert!(!store.is_empty(), "it has an entry");
    store.close().await;
    let store = open(dir.path(), &LIMITS).await;
    assert!(!store.is_empty(), "it had an entry");
    assert_eq!(store.last_log_id(), Some(log_id(1, 0)));

    let dir = TempDir::new().unwrap();
    open(dir.path(), &LIMITS).await.close().await;
    let due = Arc::new(Notify::new());
    let mut machine = Machine::new(Box::new(TestMachine::default()), dir.path(), u64::MAX, due);
    let mut builder = machine.get_snapshot_builder().await;
    builder.build_snapshot().await.unwrap();
    let store = open(dir.path(), &LIMITS).await;
    assert!(!store.is_empty(), "its directory has a snapshot");
}

#[tokio::test]
async fn a_large_entry_is_cut_into_chunks_and_read_back_whole() {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    let lens = [
        0,
        1,
        CHUNK_LEN - 40,
        CHUNK_LEN,
        CHUNK_LEN + 1,
        10 * CHUNK_LEN,
        3_000_000,
    ];
    let entries: Vec<_> = (0..)
        .zip(lens)
        .map(|(i, len)| entry(i, blob(len)))
        .collect();
    append(&mut store, entries.clone()).await;
    store.close().await;
    // With this cache most entries come from the disk.
    let mut store = open(
        dir.path(),
        &LogLimits {
            cache_bytes: 1024,
            ..LIMITS
        },
    )
    .await;
    assert_eq!(all(&mut store).await, entries);
    assert_eq!(
        store.try_get_log_entries(2..4).await.unwrap(),
        entries[2..4]
    );
    assert_eq!(
        store.limited_get_log_entries(5, 7).await.unwrap(),
        entries[5..6]
    );
    let blobs = std::fs::read_dir(dir.path().join("raft-log/blobs"))
        .unwrap()
        .count();
    assert_eq!(blobs, 0, "sled put values into files of their own");
}

#[tokio::test]
async fn a_rewrite_keeps_what_is_live_and_shrinks_the_file() {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    store.save_vote(&Vote::new(7, 1)).await.unwrap();
    for i in 0..100 {
        append(&mut store, vec![entry(i, blob(100_000))]).await;
    }
    store.purge(log_id(1, 96)).await.unwrap();
    let before = store.file_bytes();
    store.rewrite().await.unwrap();
    let after = store.file_bytes();
    assert!(after < before / 2, "{before} bytes became {after}");
    append(&mut store, vec![entry(100, "after")]).await;
    let kept = all(&mut store).await;
    assert_eq!(kept.len(), 4);
    store.close().await;

    let mut store = open(dir.path(), &LIMITS).await;
    assert_eq!(all(&mut store).await, kept);
    assert_eq!(store.read_vote().await.unwrap(), Some(Vote::new(7, 1)));
    assert_eq!(
        store.get_log_state().await.unwrap().last_purged_log_id,
        Some(log_id(1, 96))
    );
}

#[tokio::test]
async fn the_file_stays_bounded_while_entries_come_and_go() {
    let dir = TempDir::new().unwrap();
    let limits = LogLimits {
        file_bytes: 4 * 1024 * 1024,
        ..LIMITS
    };
    let mut store = open(dir.path(), &limits).await;
    let mut largest = 0;
    for i in 0..300 {
        append(&mut store, vec![entry(i, blob(100_000))]).await;
        if i > 5 {
            store.purge(log_id(1, i - 5)).await.unwrap();
        }
        largest = largest.max(store.file_bytes());
    }
    assert!(
        largest < 12 * 1024 * 1024,
        "30 MB passed through a file that grew to {largest}"
    );
    assert_eq!(all(&mut store).await.len(), 5);
}

#[tokio::test]
async fn a_rewrite_that_a_crash_interrupts_is_dropped() {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    let entries: Vec<_> = (0..5).map(|i| entry(i, blob(9_000))).collect();
    append(&mut store, entries.clone()).await;
    store.close().await;
    let new = dir.path().join("raft-journal.new");
    std::fs::write(&new, b"half").unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    assert_eq!(all(&mut store).await, entries);
    assert!(!new.exists());
    std::fs::write(&new, b"half").unwrap();
    store.rewrite().await.unwrap();
    assert_eq!(all(&mut store).await, entries);
    store.close().await;
}

#[tokio::test]
async fn a_snapshot_survives_its_builder_and_replaces_the_older_one() {
    let dir = TempDir::new().unwrap();
    let machine = || {
        let due = Arc::new(Notify::new());
        Machine::new(Box::new(TestMachine::default()), dir.path(), u64::MAX, due)
    };
    let mut first = machine();
    for i in 1..=2_u64 {
        let entries = [Ok((entry(i, format!("payload {i}")), None))];
        first.apply(futures::stream::iter(entries)).await.unwrap();
        first
            .get_snapshot_builder()
            .await
            .build_snapshot()
            .await
            .unwrap();
    }
    let names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(names, ["00000000000000000002-0000000001.checkpoint"]);
    let mut second = machine();
    let snapshot = second.get_current_snapshot().await.unwrap().unwrap();
    second
        .install_snapshot(&snapshot.meta, snapshot.snapshot)
        .await
        .unwrap();
    assert_eq!(second.applied_state().await.unwrap().0, Some(log_id(1, 2)));

    let path = dir.path().join(&names[0]);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() - 8;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let snapshot = second.get_current_snapshot().await.unwrap().unwrap();
    let error = second
        .install_snapshot(&snapshot.meta, snapshot.snapshot)
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("it does not match its checksum"),
        "{error}"
    );
}

/// A step of the random test.
#[derive(Debug, Clone)]
enum Step {
    Append(Vec<usize>),
    TruncateLast(u64),
    PurgeFirst(u64),
    Reopen,
    Rewrite,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => prop::collection::vec(0..20_000_usize, 1..6).prop_map(Step::Append),
        2 => (0..4_u64).prop_map(Step::TruncateLast),
        2 => (0..4_u64).prop_map(Step::PurgeFirst),
        1 => Just(Step::Reopen),
        1 => Just(Step::Rewrite),
    ]
}

async fn run_steps(steps: Vec<Step>) {
    let dir = TempDir::new().unwrap();
    let limits = LogLimits {
        cache_bytes: 30_000,
        ..LIMITS
    };
    let mut store = open(dir.path(), &limits).await;
    let mut model: Vec<Entry> = Vec::new();
    let mut next = 0;
    for step in steps {
        match step {
            Step::Append(lens) => {
                let entries: Vec<_> = (next..)
                    .zip(lens)
                    .map(|(i, len)| entry(i, blob(len)))
                    .collect();
                next += entries.len() as u64;
                model.extend(entries.clone());
                append(&mut store, entries).await;
            }
            Step::TruncateLast(count) if model.len() as u64 > count => {
                next -= count;
                model.truncate(model.len() - count as usize);
                store
                    .truncate_after(model.last().map(|entry| entry.log_id))
                    .await
                    .unwrap();
            }
            Step::PurgeFirst(count) if model.len() as u64 > count && count > 0 => {
                let upto = model[count as usize - 1].log_id;
                model.drain(..count as usize);
                store.purge(upto).await.unwrap();
            }
            Step::TruncateLast(_) | Step::PurgeFirst(_) => {}
            Step::Reopen => {
                store.close().await;
                store = open(dir.path(), &limits).await;
            }
            Step::Rewrite => store.rewrite().await.unwrap(),
        }
        assert_eq!(all(&mut store).await, model);
        assert_eq!(
            store
                .get_log_state()
                .await
                .unwrap()
                .last_log_id
                .map_or(0, |id| id.index + 1),
            next
        );
    }
    store.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    #[test]
    fn the_log_equals_a_vector_whatever_is_done_to_it(
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(run_steps(steps));
    }
}

fn failure(step: impl FnOnce()) -> String {
    let failed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(step)).unwrap_err();
    *failed.downcast::<String>().unwrap()
}

#[test]
fn a_hole_and_a_term_that_falls_are_noticed_before_they_reach_the_journal() {
    let with_two_entries = || {
        let mut positions = Positions::default();
        positions.push(entry(0, ""));
        positions.push(entry(1, ""));
        positions
    };
    let message = failure(|| with_two_entries().push(entry(3, "")));
    assert!(message.contains("hole in the log"), "{message}");
    let older = Entry {
        log_id: log_id(0, 2),
        ..entry(2, "")
    };
    let message = failure(|| with_two_entries().assert_follows(&older));
    assert!(message.contains("the term falls"), "{message}");
    let mut wrong = with_two_entries();
    wrong.purged = Some(log_id(1, 1));
    let message = failure(|| wrong.push(entry(2, "")));
    assert!(message.contains("entry 0 is cached"), "{message}");
}

#[tokio::test]
async fn a_committed_entry_and_a_vote_that_move_back_are_noticed() {
    use futures::FutureExt;
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    append(&mut store, (0..4).map(|index| entry(index, "")).collect()).await;
    store.save_committed(Some(log_id(1, 3))).await.unwrap();
    let back = store.save_committed(Some(log_id(1, 2)));
    let failed = std::panic::AssertUnwindSafe(back).catch_unwind().await;
    let message = failed.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("committed entry moves back"), "{message}");
    store.save_vote(&Vote::new(5, 1)).await.unwrap();
    let older = Vote::new(4, 1);
    let back = std::panic::AssertUnwindSafe(store.save_vote(&older));
    let message = back.catch_unwind().await.unwrap_err();
    let message = message.downcast::<String>().unwrap();
    assert!(message.contains("the vote moves back"), "{message}");
    store.close().await;
}
