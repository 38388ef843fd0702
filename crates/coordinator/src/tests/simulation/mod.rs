//! A deterministic simulation of transactions: three brokers with the real machine of the
//! coordinator and the real log, on disks that lose power; clients that are killed, fenced and
//! late; a network that loses, repeats, delays and reorders messages; elections that leave old
//! leaders and old coordinators behind.
//!
//! What has to hold is in `checks.rs` and `history.rs`: no reader of committed records sees a
//! record of a transaction that was not committed; a transaction is there as a whole or not at
//! all, once; no record follows the marker that ends its transaction, nor a marker of a higher
//! epoch; the last stable offset is that of the log's transactions, and a complete transaction is
//! open nowhere; the state of a coordinator is what its log makes.
//!
//! One thread and one seed decide everything. A failure prints its seed and its last events:
//! `DOHLE_SEED` runs one seed, `DOHLE_SEEDS` that many, from `DOHLE_FIRST_SEED` on.

mod brokers;
mod checks;
mod clients;
mod history;
mod messages;
mod mood;
mod replicas;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use dohle_transactions::TransactionVersion;

use self::world::World;

const SEEDS: u64 = 300;
const EVENTS: u64 = 1_500;

fn run(seed: u64, version: TransactionVersion, total: &mut BTreeMap<&'static str, u64>) {
    let mut world = World::new(seed, version);
    let result = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..EVENTS {
            world.event();
        }
        world.settle();
    }));
    if let Err(panic) = result {
        for line in &world.trace {
            eprintln!("{line}");
        }
        eprintln!("DOHLE_SEED={seed} {version:?}");
        resume_unwind(panic);
    }
    for (kind, count) in world.counts {
        *total.entry(kind).or_default() += count;
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn simulate(version: TransactionVersion) -> BTreeMap<&'static str, u64> {
    let seeds = match number("DOHLE_SEED") {
        Some(seed) => seed..seed + 1,
        None => {
            let first = number("DOHLE_FIRST_SEED").unwrap_or(0);
            first..first + number("DOHLE_SEEDS").unwrap_or(SEEDS)
        }
    };
    let is_one = seeds.end - seeds.start == 1;
    let mut total = BTreeMap::new();
    for seed in seeds {
        run(seed, version, &mut total);
    }
    println!("{version:?}: {total:?}");
    // A simulation in which nothing happens proves nothing.
    for kind in [
        "abort",
        "client dies",
        "commit",
        "committed",
        "delay",
        "duplicate",
        "elect",
        "fenced",
        "gives up",
        "harm",
        "impatient",
        "invalid epoch",
        "kill",
        "lose",
        "power loss",
        "read",
    ] {
        let count = total.get(kind).copied().unwrap_or(0);
        assert!(is_one || count > 0, "{kind}: {total:?}");
    }
    total
}

#[test]
fn transactions_of_version_1_are_read_as_a_whole_or_not_at_all() {
    simulate(TransactionVersion::V1);
}

#[test]
fn transactions_of_version_2_are_read_as_a_whole_or_not_at_all() {
    simulate(TransactionVersion::V2);
}
