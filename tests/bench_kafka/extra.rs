//! The long runs of `--full`: minutes at a high rate, starts with a large log, more partitions.

use std::time::Instant;

use anyhow::{Context, Result};
use dohle_load::{End, Load, StopSignal};

use crate::figures::Figures;
use crate::life::{self, acknowledge, poll, record};
use crate::options::Lengths;
use crate::runs;
use crate::system::System;
use crate::workloads::{self, SOAK, Shape};

/// The names of the parts.
pub const COLD: &str = "start with a log";
pub const PARTITIONS: &str = "more partitions, one replica";

/// Keeps a topic that grows for minutes within a few gigabytes.
const BOUNDED: [(&str, &str); 2] = [
    ("segment.bytes", "134217728"),
    ("retention.bytes", "268435456"),
];

/// The topic whose log a start finds.
const SHAPE: Shape = Shape {
    partitions: 6,
    replicas: 3,
};

/// Produces at a high rate for minutes.
pub fn soak(system: &System, lengths: &Lengths, figures: &mut Figures) -> Result<()> {
    let lengths = Lengths {
        paced: lengths.soak,
        ..*lengths
    };
    runs::run(system, &SOAK, "soak", &lengths, &BOUNDED, figures)
}

/// Fills a log, and measures the time from the start of the processes to the first acknowledged
/// record: after a clean stop, and after SIGKILL.
pub fn cold_start(system: &mut System, lengths: &Lengths, figures: &mut Figures) -> Result<()> {
    println!("    {COLD}");
    life::create_topic(system, "cold", SHAPE, &[])?;
    let produce = workloads::warm_up();
    let records = lengths.log / produce.record_size as u64;
    let load = Load {
        bootstrap: system.bootstrap.clone(),
        properties: Default::default(),
        topic: "cold".to_owned(),
        threads: 1,
        warm_up: std::time::Duration::ZERO,
        end: End::Records(records),
        produce: Some(produce),
        consume: None,
    };
    dohle_load::run(&load, &StopSignal::default()).context("fill the log")?;
    life::end(system)?;
    let clean = started(system)?;
    for node in system.cluster()?.nodes_mut() {
        node.kill()?;
    }
    let killed = started(system)?;
    let mut figures = figures.of(COLD);
    figures.cost("after a clean stop, to the first record", "ms", clean);
    figures.cost("after SIGKILL, to the first record", "ms", killed);
    life::delete_topic(system, "cold")
}

fn started(system: &mut System) -> Result<f64> {
    let record = record()?;
    let cluster = system.cluster()?;
    rustix::fs::sync();
    let begin = Instant::now();
    for node in cluster.nodes_mut() {
        node.launch()?;
    }
    poll("a record is acknowledged after the start", || {
        acknowledge(cluster, "cold", None, &record).map(Some)
    })?;
    let time = life::milliseconds(begin);
    cluster.start()?;
    system.find_processes()?;
    // A start with a large log may be followed by minutes of copying.
    life::create_topic(system, "cold", SHAPE, &[])?;
    Ok(time)
}

/// Creates thousands of partitions, and measures the time and the memory.
pub fn partitions(system: &System, lengths: &Lengths, figures: &mut Figures) -> Result<()> {
    println!("    {PARTITIONS}");
    let shape = Shape {
        partitions: lengths.partitions,
        replicas: 1,
    };
    let time = life::creation(system, "more", shape)?;
    let each = time / f64::from(lengths.partitions);
    let mut of_partitions = figures.of(PARTITIONS);
    of_partitions.cost("created, each of them", "ms", each);
    life::memory(system, PARTITIONS, figures)
}
