//! States of the directory that no crash can produce, and damage to the copy in sled, which is
//! repaired.

use std::fs;
use std::path::Path;

use openraft::storage::RaftLogStorage;
use proptest::prelude::*;
use tempfile::TempDir;

use super::tests::{LIMITS, all, append, blob, entry, fatal, open};
use super::*;
use crate::raft::types::log_id;

const JOURNAL: &str = "raft-journal";
const SLED: &str = "raft-log/db";

/// Returns a directory that was used and closed, and its entries.
async fn used() -> (TempDir, Vec<Entry>) {
    let dir = TempDir::new().unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    store.save_vote(&Vote::new(1, 1)).await.unwrap();
    let entries: Vec<_> = (0..20).map(|i| entry(i, blob(3_000))).collect();
    for entry in &entries {
        append(&mut store, vec![entry.clone()]).await;
    }
    store.close().await;
    (dir, entries)
}

async fn refused(dir: &Path) -> String {
    let opened = LogStore::open(dir, &LIMITS, fatal()).await;
    let message = opened.expect_err("the start is refused").to_string();
    message
        .replace(&dir.display().to_string(), "DIR")
        .replace(". ", ".\n")
}

#[tokio::test]
async fn a_flipped_bit_in_the_middle_of_the_journal_is_refused_with_a_remedy() {
    let (dir, _) = used().await;
    let path = dir.path().join(JOURNAL);
    let mut bytes = fs::read(&path).unwrap();
    bytes[10_000] ^= 1;
    fs::write(&path, &bytes).unwrap();
    let message = refused(dir.path()).await;
    let proof = message.split("byte ").nth(2).unwrap();
    let (proof, _) = proof.split_once(' ').unwrap();
    let message = message.replace(proof, "END");
    expect_test::expect![[r#"
        the metadata journal DIR/raft-journal is damaged at byte 9389: the record there is damaged or missing, although everything up to byte END had been synced, so this is not the result of a crash.
        Nothing was changed.
        If most of the other controllers are intact, remove DIR and start this node again: it gets the metadata from them.
        Otherwise restore DIR from a copy"#]].assert_eq(&message);
    assert_eq!(fs::read(&path).unwrap(), bytes, "nothing was changed");
}

#[tokio::test]
async fn a_journal_that_was_cut_short_is_refused() {
    let (dir, _) = used().await;
    let path = dir.path().join(JOURNAL);
    let len = fs::metadata(&path).unwrap().len();
    let file = fs::File::options().write(true).open(&path).unwrap();
    file.set_len(len / 2).unwrap();
    let message = refused(dir.path()).await;
    assert!(
        message.contains("is not the result of a crash"),
        "{message}"
    );
}

#[tokio::test]
async fn a_missing_journal_is_refused_while_a_copy_or_a_snapshot_exists() {
    let (dir, _) = used().await;
    fs::remove_file(dir.path().join(JOURNAL)).unwrap();
    expect_test::expect![[r#"
        DIR has no metadata journal (the file raft-journal), although it holds raft-log, so this is not the result of a crash.
        Nothing was changed.
        If most of the other controllers are intact, remove DIR and start this node again: it gets the metadata from them.
        Otherwise restore DIR from a copy"#]].assert_eq(&refused(dir.path()).await);

    fs::remove_dir_all(dir.path().join("raft-log")).unwrap();
    let snapshot = "00000000000000000002-0000000001.checkpoint";
    fs::write(dir.path().join(snapshot), b"").unwrap();
    let message = refused(dir.path()).await;
    assert!(message.contains(snapshot), "{message}");
}

#[tokio::test]
async fn an_older_journal_in_the_place_of_the_present_one_is_refused() {
    let (dir, _) = used().await;
    let path = dir.path().join(JOURNAL);
    let older = fs::read(&path).unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    append(&mut store, vec![entry(20, "new")]).await;
    store.close().await;
    let newer = fs::read(&path).unwrap();
    fs::write(&path, &older).unwrap();
    let message = refused(dir.path()).await;
    assert!(
        message.contains("is not the result of a crash"),
        "{message}"
    );

    fs::write(&path, &newer).unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    store.rewrite().await.unwrap();
    append(&mut store, vec![entry(21, "newest")]).await;
    store.close().await;
    fs::write(&path, &newer).unwrap();
    let message = refused(dir.path()).await;
    assert!(
        message.contains("an older or another file took its place"),
        "{message}"
    );
}

#[tokio::test]
async fn a_copy_is_filled_while_nothing_waits_and_used_again() {
    let (dir, entries) = used().await;
    let mut store = open(dir.path(), &LIMITS).await;
    assert_eq!(store.copied().await, 0..20, "the copy was used as it was");
    store.truncate_after(Some(log_id(1, 14))).await.unwrap();
    append(&mut store, vec![entry(15, "other 15")]).await;
    store.purge(log_id(1, 2)).await.unwrap();
    store.close().await;
    let mut store = open(
        dir.path(),
        &LogLimits {
            cache_bytes: 0,
            ..LIMITS
        },
    )
    .await;
    assert_eq!(store.copied().await, 3..16);
    let mut expected = entries[3..15].to_vec();
    expected.push(entry(15, "other 15"));
    assert_eq!(all(&mut store).await, expected);
    store.close().await;
}

#[tokio::test]
async fn a_copy_that_is_missing_is_made_anew() {
    let (dir, entries) = used().await;
    fs::remove_dir_all(dir.path().join("raft-log")).unwrap();
    let mut store = open(dir.path(), &LIMITS).await;
    assert_eq!(all(&mut store).await, entries);
    store.close().await;
    let mut store = open(dir.path(), &LIMITS).await;
    assert_eq!(store.copied().await, 0..20);
    assert_eq!(all(&mut store).await, entries);
}

/// A kind of damage to the bytes of a file.
#[derive(Debug, Clone)]
enum Harm {
    Flip(usize, u8),
    Cut(usize),
    Zero(usize, usize),
    Empty,
    Garbage(Vec<u8>),
}

impl Harm {
    fn apply(&self, bytes: &mut Vec<u8>) {
        let len = bytes.len();
        match self {
            Self::Flip(at, bit) => bytes[at % len] ^= 1 << bit,
            Self::Cut(at) => bytes.truncate(at % len),
            Self::Zero(at, count) => {
                let start = at % len;
                bytes[start..len.min(start + count)].fill(0);
            }
            Self::Empty => bytes.clear(),
            Self::Garbage(garbage) => bytes.clone_from(garbage),
        }
    }
}

fn harm() -> impl Strategy<Value = Harm> {
    prop_oneof![
        4 => (any::<usize>(), 0..8_u8).prop_map(|(at, bit)| Harm::Flip(at, bit)),
        2 => any::<usize>().prop_map(Harm::Cut),
        2 => (any::<usize>(), 1..9_000_usize).prop_map(|(at, count)| Harm::Zero(at, count)),
        1 => Just(Harm::Empty),
        1 => prop::collection::vec(any::<u8>(), 1..9_000).prop_map(Harm::Garbage),
    ]
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    runtime.block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// sled panics at some of the damage.
    #[test]
    fn whatever_happens_to_the_copy_the_log_is_complete(harm in harm()) {
        block_on(async {
            let (dir, mut entries) = used().await;
            let path = dir.path().join(SLED);
            let mut bytes = fs::read(&path).unwrap();
            harm.apply(&mut bytes);
            fs::write(&path, &bytes).unwrap();
            let mut store = open(dir.path(), &LogLimits { cache_bytes: 0, ..LIMITS }).await;
            assert_eq!(all(&mut store).await, entries);
            append(&mut store, vec![entry(20, "and more")]).await;
            entries.push(entry(20, "and more"));
            store.close().await;
            let mut store = open(dir.path(), &LIMITS).await;
            assert_eq!(all(&mut store).await, entries);
            assert_eq!(store.copied().await, 0..21, "the copy is complete again");
            store.close().await;
        });
    }

    #[test]
    fn whatever_happens_to_a_closed_journal_nothing_is_lost_in_silence(harm in harm()) {
        block_on(async {
            let (dir, entries) = used().await;
            let path = dir.path().join(JOURNAL);
            let mut bytes = fs::read(&path).unwrap();
            harm.apply(&mut bytes);
            fs::write(&path, &bytes).unwrap();
            // At most the last mark, which was not synced, may be lost.
            if let Ok(mut store) = LogStore::open(dir.path(), &LIMITS, fatal()).await {
                assert_eq!(all(&mut store).await, entries);
                assert_eq!(store.read_vote().await.unwrap(), Some(Vote::new(1, 1)));
                store.close().await;
            }
        });
    }
}
