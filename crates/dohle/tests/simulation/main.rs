//! A deterministic simulation of one partition: the replica cores of three brokers and the plans of
//! the controller, with a network that delays messages, breaks streams, and delivers messages of
//! broken streams late. Brokers stop cleanly, die, and lose their page cache or their disk.
//!
//! Records that were acknowledged with acks=all must survive if the brokers that lose records do so
//! one after the other (see `faults.rs`). A failure prints its seed, the step and its last events;
//! `SIMULATION_SEED` runs one seed, `SIMULATION_RUNS` more of them. Each run adds a random
//! seed, and prints it.

mod controller;
mod faults;
mod invariants;
mod node;
mod random;
mod world;

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use world::Harness;

const STEPS: u64 = 3_000;
const RUNS: u64 = 1_000;

fn run(seed: u64) -> Harness {
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
    world
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
    let runs = number("SIMULATION_RUNS").unwrap_or(RUNS);
    let fresh = RandomState::new().hash_one(runs);
    eprintln!("seeds 0 to {}, and {fresh}", runs.saturating_sub(1));
    let mut steps = 0;
    for seed in (0..runs).chain([fresh]) {
        let world = run(seed);
        steps += world.steps;
        for (kind, count) in world.counts {
            *total.entry(kind).or_default() += count;
        }
    }
    eprintln!("{} seeds, {steps} steps", runs + 1);
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

#[test]
fn a_seed_decides_everything() {
    for seed in 0..5 {
        let (first, second) = (run(seed), run(seed));
        assert_eq!(first.trace, second.trace, "seed {seed}");
        assert_eq!(first.trace_hash, second.trace_hash, "seed {seed}");
        assert_ne!(first.trace_hash, run(seed + 5).trace_hash, "seed {seed}");
    }
}
