//! A loss of power, simulated: of the pages that were written since the last sync, any part may be
//! on the disk.
//!
//! What the last [`Disk::sync`] covered is then found again, or the start is refused: it is never
//! lost in silence. (sled 0.34 alone loses it in silence.)

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use proptest::prelude::*;
use tempfile::TempDir;

use super::disk::{Disk, Recovered};
use super::tests::{blob, entry};
use crate::raft::types::{Vote, log_id};

const PAGE_LEN: usize = 4096;
const DATABASE: &str = "raft-log/db";
const GUARD: &str = "raft-log.guard";

fn read(dir: &Path, name: &str) -> Vec<u8> {
    fs::read(dir.join(name)).unwrap()
}

/// `before` with some of the pages of `after`.
fn torn(before: &[u8], after: &[u8], random: &mut impl FnMut() -> u64) -> Vec<u8> {
    let share = random() % 101;
    let mut torn = Vec::new();
    for start in (0..after.len().max(before.len())).step_by(PAGE_LEN) {
        let page = |file: &[u8]| {
            let mut page = file[start.min(file.len())..(start + PAGE_LEN).min(file.len())].to_vec();
            page.resize(PAGE_LEN, 0);
            page
        };
        torn.extend(if random() % 100 < share {
            page(after)
        } else {
            page(before)
        });
    }
    torn
}

/// What a start finds; `None` when it is refused. sled panics at some kinds of damage.
fn start(dir: &Path) -> Option<Recovered> {
    let opened = catch_unwind(AssertUnwindSafe(|| {
        let mut disk = Disk::open(dir, u64::MAX)?;
        disk.recover(usize::MAX)
    }));
    opened.ok().and_then(Result::ok)
}

fn copy(dir: &Path, database: &[u8], guard: &[u8]) -> TempDir {
    let copy = TempDir::new().unwrap();
    fs::create_dir_all(copy.path().join("raft-log/blobs")).unwrap();
    for file in fs::read_dir(dir.join("raft-log"))
        .unwrap()
        .map(Result::unwrap)
    {
        if file.file_type().unwrap().is_file() {
            fs::copy(
                file.path(),
                copy.path().join("raft-log").join(file.file_name()),
            )
            .unwrap();
        }
    }
    fs::write(copy.path().join(DATABASE), database).unwrap();
    fs::write(copy.path().join(GUARD), guard).unwrap();
    copy
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3, ..ProptestConfig::default() })]

    #[test]
    fn what_was_synced_is_never_lost_in_silence(seed: u64) {
        run(seed);
    }
}

fn run(seed: u64) {
    let mut random = generator(seed);
    let dir = TempDir::new().unwrap();
    let mut disk = Disk::open(dir.path(), u64::MAX).unwrap();
    disk.recover(0).unwrap();
    let (mut first, mut next) = (0_u64, 0_u64);
    let mut vote = None;
    let mut refused = 0;
    for round in 0..30 {
        let database = read(dir.path(), DATABASE);
        let mut synced = disk.read(0, u64::MAX, usize::MAX).unwrap();
        let mut votes = vec![vote];
        if random().is_multiple_of(4) && next > first + 3 {
            next -= 2;
            disk.truncate_from(next).unwrap();
            synced.truncate(synced.len() - 2);
        }
        let guard = read(dir.path(), GUARD);
        if random().is_multiple_of(4) {
            vote = Some(Vote::new(round, 1));
            disk.save_vote(&vote.unwrap()).unwrap();
            votes.push(vote);
        }
        let count = random() % 4 + 1;
        let entries: Vec<_> = (next..next + count)
            .map(|i| entry(i, blob((random() % 40_000) as usize)))
            .collect();
        next += count;
        disk.append(&entries).unwrap();
        if next - first > 20 {
            first = next - 9;
            disk.purge(&log_id(1, first - 1)).unwrap();
            synced.retain(|entry| entry.log_id.index >= first);
        }
        disk.sync().unwrap();

        let whole = read(dir.path(), DATABASE);
        let torn = copy(dir.path(), &torn(&database, &whole, &mut random), &guard);
        if let Some(found) = start(torn.path()) {
            for entry in &synced {
                let index = entry.log_id.index;
                assert!(
                    found.tail.contains(entry),
                    "seed {seed}, round {round}: {index} is lost"
                );
            }
            assert!(
                votes.contains(&found.vote),
                "seed {seed}, round {round}: vote is lost"
            );
        } else {
            refused += 1;
        }
        let whole = copy(dir.path(), &whole, &read(dir.path(), GUARD));
        let found = start(whole.path()).expect("all of it is there");
        assert_eq!(
            found.tail.last().map(|entry| entry.log_id.index + 1),
            Some(next)
        );
        assert_eq!(found.vote, vote);
    }
    println!("seed {seed}: {refused} of 30 starts were refused");
}

/// A small generator (SplitMix64) that the seed alone determines.
fn generator(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}
