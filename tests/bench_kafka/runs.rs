//! Runs loads, and takes what they and the servers needed.

use std::time::Duration;

use anyhow::{Context, Result};
use dohle_load::{
    ConsumeLoad, End, GeneratorReport, Load, ProduceLoad, ProduceReport, Report, StopSignal,
};

use crate::calls::Calls;
use crate::figures::{Figures, OfWorkload};
use crate::life;
use crate::options::Lengths;
use crate::statistics;
use crate::system::System;
use crate::usage::Usage;
use crate::workloads::{self, ALL, Shape, Workload};

/// The part of a paced run before anything is measured.
const PACED_WARM_UP: Duration = Duration::from_secs(3);
/// Expected whenever the generator and the servers share a machine, in the words of `dohle_load`.
const SHARED_MACHINE: &str = "The generator waited for a CPU";

fn load(system: &System, topic: &str, end: End) -> Load {
    Load {
        bootstrap: system.bootstrap.clone(),
        properties: Default::default(),
        topic: topic.to_owned(),
        threads: 1,
        warm_up: Duration::ZERO,
        end,
        produce: None,
        consume: None,
    }
}

/// Produces until the cost of a gigabyte no longer falls, for at least `time` and at most half as
/// long again.
pub fn warm_up(system: &System, time: Duration) -> Result<()> {
    const WINDOW: Duration = Duration::from_secs(2);
    const TOLERANCE: f64 = 0.05;
    let shape = Shape {
        partitions: 6,
        replicas: 3,
    };
    let mut windows = Vec::new();
    let mut passed = Duration::ZERO;
    let most = time + time / 2;
    while passed < time || (!statistics::is_flat(&windows, TOLERANCE) && passed < most) {
        // A topic of its own, so that the disk need not hold the whole warm-up.
        let topic = format!("warm-up-{}", windows.len());
        life::create_topic(system, &topic, shape, &[])?;
        let before = Usage::of(&system.pids)?;
        let run = Load {
            produce: Some(workloads::warm_up()),
            ..load(system, &topic, End::After(WINDOW))
        };
        let report = run_load(&run)?;
        let bytes = report.produce.context("nothing was produced")?.bytes;
        let cpu = Usage::of(&system.pids)?.since(before).cpu;
        windows.push(cpu.as_secs_f64() / bytes.max(1) as f64);
        life::delete_topic(system, &topic)?;
        passed += WINDOW;
    }
    rustix::fs::sync();
    Ok(())
}

/// Runs all loads that are wanted.
pub fn measure(
    system: &System,
    lengths: &Lengths,
    wanted: impl Fn(&Workload) -> bool,
    figures: &mut Figures,
) -> Result<()> {
    for (index, workload) in ALL.iter().enumerate() {
        if wanted(workload) {
            let topic = format!("load-{index}-r{}", workload.shape.replicas);
            run(system, workload, &topic, lengths, &[], figures)
                .with_context(|| workload.name.to_owned())?;
        }
    }
    Ok(())
}

/// Runs one load on a topic of its own, which is deleted afterwards.
pub fn run(
    system: &System,
    workload: &Workload,
    topic: &str,
    lengths: &Lengths,
    configs: &[(&str, &str)],
    figures: &mut Figures,
) -> Result<()> {
    println!("    {}", workload.name);
    life::create_topic(system, topic, workload.shape, configs)?;
    let produce = ProduceLoad {
        rate: workload.rate,
        ..(workload.produce)()
    };
    let end = match workload.rate {
        Some(_) => End::After(lengths.paced),
        None => End::Records(lengths.bytes / produce.record_size as u64),
    };
    let run = Load {
        warm_up: workload.rate.map_or(Duration::ZERO, |_| PACED_WARM_UP),
        produce: Some(produce),
        ..load(system, topic, end)
    };
    let counts_calls = lengths.counts_calls && !system.pids.is_empty();
    let calls = counts_calls.then(|| Calls::of(&system.pids)).transpose()?;
    let before = Usage::of(&system.pids)?;
    let report = run_load(&run)?;
    let used = Usage::of(&system.pids)?.since(before);
    let calls = calls.map(Calls::count).transpose()?;
    let mut of_workload = figures.of(workload.name);
    let produced = report.produce.as_ref().context("nothing was produced")?;
    doubts(&report, produced, &mut of_workload);
    match workload.rate {
        Some(_) => paced(produced, &used, system, &mut of_workload),
        None => saturated(produced, &used, system, &mut of_workload),
    }
    if let Some(calls) = calls {
        let records = match workload.rate {
            Some(_) => paced_records(produced),
            None => produced.records as f64,
        };
        of_workload.cost("system calls", "per record", calls as f64 / records);
    }
    generator(&report.generator, &mut of_workload);
    // The null broker keeps nothing that could be read.
    if workload.is_read && system.null_brokers().is_none() {
        life::memory(system, workload.name, figures)?;
        read(system, topic, figures)?;
    }
    // The next run does not wait for the disk to have what this one wrote.
    life::delete_topic(system, topic)?;
    rustix::fs::sync();
    Ok(())
}

fn run_load(load: &Load) -> Result<Report> {
    dohle_load::run(load, &StopSignal::default()).with_context(|| format!("load on {}", load.topic))
}

fn doubts(report: &Report, produced: &ProduceReport, figures: &mut OfWorkload<'_>) {
    for warning in &report.warnings {
        if !warning.starts_with(SHARED_MACHINE) {
            figures.note(warning);
        }
    }
    if produced.failed_records > 0 {
        figures.note(&format!(
            "{} records failed: {:?}",
            produced.failed_records, produced.errors
        ));
    }
}

fn saturated(
    produced: &ProduceReport,
    used: &Usage,
    system: &System,
    figures: &mut OfWorkload<'_>,
) {
    figures.rate("throughput", "MB/s", produced.mb_per_second);
    figures.rate("records", "records/s", produced.records_per_second);
    figures.cost("latency, p99", "ms", produced.latency.p99_ms);
    if let Some(commits) = &produced.transactions {
        let latency = &commits.commit_latency;
        figures.cost("commit, p50", "ms", latency.p50_ms);
        figures.cost("commit, p99", "ms", latency.p99_ms);
    }
    if system.pids.is_empty() || produced.bytes == 0 {
        return;
    }
    let (megabytes, records) = (produced.bytes as f64 / 1e6, produced.records as f64);
    let cpu = used.cpu.as_secs_f64();
    figures.cost("CPU", "s/GB", cpu / megabytes * 1e3);
    figures.cost("CPU of records", "s per million", cpu / records * 1e6);
    switches("per MB", used, megabytes, system, figures);
    // Servers use other calls as well, and not the same ones.
    figures.context(
        "read and write",
        "calls per MB",
        used.calls as f64 / megabytes,
    );
    figures.cost(
        "written to the disk",
        "bytes a byte",
        used.disk as f64 / 1e6 / megabytes,
    );
}

fn paced(produced: &ProduceReport, used: &Usage, system: &System, figures: &mut OfWorkload<'_>) {
    let latency = &produced.latency;
    figures.cost("latency, p50", "ms", latency.p50_ms);
    figures.cost("latency, p99", "ms", latency.p99_ms);
    figures.cost("latency, p99.9", "ms", latency.p999_ms);
    figures.cost("latency, longest", "ms", latency.max_ms);
    if system.pids.is_empty() || produced.records == 0 {
        return;
    }
    let records = paced_records(produced);
    let cpu = used.cpu.as_secs_f64();
    figures.cost("CPU of records", "s per million", cpu / records * 1e6);
    switches("per record", used, records, system, figures);
}

/// Adds the context switches, but those of null brokers, whose threads end with their connections.
fn switches(
    unit: &'static str,
    used: &Usage,
    per: f64,
    system: &System,
    figures: &mut OfWorkload<'_>,
) {
    if system.null_brokers().is_none() {
        figures.cost("context switches", unit, used.switches as f64 / per);
    }
}

/// Returns the records that a paced run produced with its warm-up, which is part of what the
/// servers used.
fn paced_records(produced: &ProduceReport) -> f64 {
    produced.records_per_second * (produced.seconds + PACED_WARM_UP.as_secs_f64())
}

fn generator(generator: &GeneratorReport, figures: &mut OfWorkload<'_>) {
    if let Some(busy) = generator.busiest_thread_percent {
        figures.context("the generator's thread", "% of a CPU", busy);
    }
}

/// Reads a topic from its beginning to its end, from the page cache.
fn read(system: &System, topic: &str, figures: &mut Figures) -> Result<()> {
    let run = Load {
        consume: Some(ConsumeLoad {
            connections: 2,
            ..ConsumeLoad::default()
        }),
        ..load(system, topic, End::EndOfLog)
    };
    let before = Usage::of(&system.pids)?;
    let report = run_load(&run)?;
    let used = Usage::of(&system.pids)?.since(before);
    let consumed = report.consume.context("nothing was read")?;
    let mut figures = figures.of("read from the page cache");
    figures.rate("throughput", "MB/s", consumed.mb_per_second);
    if !system.pids.is_empty() && consumed.bytes > 0 {
        let cpu = used.cpu.as_secs_f64() / (consumed.bytes as f64 / 1e9);
        figures.cost("CPU", "s/GB", cpu);
    }
    generator(&report.generator, &mut figures);
    Ok(())
}
