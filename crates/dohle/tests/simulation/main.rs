//! A deterministic simulation of one partition: the replica cores of three brokers and the plans of
//! the controller, with a network that delays messages, breaks streams, and delivers messages of
//! broken streams late. Brokers stop cleanly, die, and lose their page cache or their disk.
//!
//! Records that were acknowledged with acks=all must survive if the brokers that lose records do so
//! one after the other (see `faults.rs`). A failure prints its seed and its last events;
//! `SIMULATION_SEED` runs one seed, `SIMULATION_RUNS` more of them.

mod controller;
mod faults;
mod node;
mod random;
mod world;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::Harness;

const STEPS: u64 = 3_000;
const RUNS: u64 = 1_000;

fn run(seed: u64) -> BTreeMap<&'static str, u64> {
    let mut world = Harness::new(seed);
    let result = catch_unwind(AssertUnwindSafe(|| {
        for _ in 0..STEPS {
            world.step(true);
        }
        world.settle();
    }));
    if let Err(panic) = result {
        for line in &world.trace {
            eprintln!("{line}");
        }
        eprintln!("SIMULATION_SEED={seed}");
        resume_unwind(panic);
    }
    world.counts
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn acknowledged_records_survive_crashes_elections_and_lost_messages() {
    if let Some(seed) = number("SIMULATION_SEED") {
        run(seed);
        return;
    }
    let mut total: BTreeMap<&'static str, u64> = BTreeMap::new();
    for seed in 0..number("SIMULATION_RUNS").unwrap_or(RUNS) {
        for (kind, count) in run(seed) {
            *total.entry(kind).or_default() += count;
        }
    }
    // Every kind of event must have happened, because otherwise the simulation proves nothing.
    for kind in [
        "acked",
        "alter",
        "break",
        "copy",
        "fence",
        "late",
        "produce",
        "propose",
        "rebalance",
        "start",
        "stop: clean",
        "stop: killed",
        "stop: page cache lost",
        "stop: disk failed",
        "stop: disk replaced",
        "unclean election",
    ] {
        assert!(
            total.get(kind).is_some_and(|count| *count > 100),
            "{kind}: {total:?}"
        );
    }
}
