//! `make bench-kafka`: measures three nodes of Dohle and of Apache Kafka in turns on this machine.
//!
//! Each round measures Dohle, Dohle once more (the control), the other system and the null broker
//! (the floor), in random order, each in a fresh cluster. `docs/performance.md` explains the
//! figures.
//!
//! ```text
//!   options ─▶ plan ─▶ for each side: system ─▶ life, runs, extra ─▶ figures ─▶ report, plot
//!                                                 │        └─ workloads          └─ statistics
//!                                                 └─ usage
//! ```

mod calls;
mod extra;
mod figures;
mod floors;
mod life;
mod null_answers;
mod null_broker;
mod options;
mod plan;
mod plot;
mod report;
mod runs;
mod statistics;
mod system;
mod usage;
mod workloads;

use std::fmt::Write as _;
use std::path::Path;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use dohle_tests::proc;
use dohle_tests::random::Random;
use tempfile::TempDir;

use figures::Figures;
use options::Options;
use plan::Side;
use report::Round;
use system::{Kind, System};
use workloads::{SOAK, Workload};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let [first, rest @ ..] = &arguments[..]
        && first == null_broker::ARGUMENT
    {
        return null_broker::serve(rest);
    }
    let options = Options::parse(arguments)?;
    let seed = match options.seed {
        Some(seed) => seed,
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)?
            .subsec_nanos()
            .into(),
    };
    let begin = Instant::now();
    println!("{} rounds, --seed {seed}", options.rounds);
    let mut measured = Measured {
        seed,
        machine: machine()?,
        floors: Figures::default(),
        rounds: Vec::new(),
        notes: Vec::new(),
    };
    if options.sides.contains(&Side::Floor) {
        floors::measure(&options.lengths, &mut measured.floors)?;
    }
    let mut random = Random::of(seed);
    let folder = TempDir::with_prefix("dohle-bench-")?;
    for (index, round) in plan::rounds(options.rounds, &options.sides, &mut random)
        .iter()
        .enumerate()
    {
        measured.rounds.push(Round::new());
        for side in round {
            let passed = begin.elapsed().as_secs();
            println!("round {}, {side:?}, after {passed} s", index + 1);
            let figures =
                run(*side, &options, folder.path()).with_context(|| format!("{side:?}"))?;
            measured.add(*side, figures);
            // Each time, so that an interrupted run leaves what it measured.
            measured.write(&options)?;
        }
    }
    println!("{}", measured.text(&options));
    println!("{} s", begin.elapsed().as_secs());
    Ok(())
}

/// Measures a side once, with its files in `folder`.
fn run(side: Side, options: &Options, folder: &Path) -> Result<Figures> {
    let mut figures = Figures::default();
    let stolen = proc::stolen_time()?;
    let mut system = match (side, &options.other) {
        (Side::Floor, _) => System::null(3, true)?,
        (Side::Other, Kind::Running { bootstrap, pids }) => System::running(bootstrap, pids)?,
        (side, other) => {
            let kind = match side {
                Side::Other => other.clone(),
                _ => Kind::Dohle,
            };
            let mut cluster = kind.prepare(folder)?.context("nodes to start")?;
            if !options.is_full {
                // ext4 creates files slowly for minutes where it has just removed thousands, which
                // the next side would pay for. A full run needs the space.
                cluster.keep_files();
            }
            life::start(cluster, &mut figures)?
        }
    };
    println!("    warm-up");
    runs::warm_up(&system, options.warm_up(side))?;
    let wanted = |workload: &Workload| {
        options.wants(workload.name)
            && (options.is_full || !workload.is_extra)
            && (side != Side::Floor || workload.has_floor)
    };
    let lengths = &options.lengths;
    runs::measure(&system, lengths, wanted, &mut figures)?;
    if side != Side::Floor && options.is_full && options.wants(SOAK.name) {
        extra::soak(&system, lengths, &mut figures)?;
    }
    if system.is_ours() {
        if options.wants(life::MANY) {
            life::many_partitions(&system, lengths, &mut figures)?;
        }
        if options.wants(life::DEATH) {
            life::leaders_death(&mut system, lengths.deaths, &mut figures)?;
        }
        if options.is_full && options.wants(extra::COLD) {
            extra::cold_start(&mut system, lengths, &mut figures)?;
        }
        if options.is_full && options.wants(extra::PARTITIONS) {
            extra::partitions(&system, lengths, &mut figures)?;
        }
        life::stop(system, &mut figures)?;
    }
    let stolen = proc::stolen_time()?.saturating_sub(stolen).as_secs_f64();
    let mut whole = figures.of("whole run");
    whole.context("CPU time that the host withheld", "s", stolen);
    Ok(figures)
}

/// Everything that was measured so far.
struct Measured {
    seed: u64,
    machine: String,
    floors: Figures,
    rounds: Vec<Round>,
    notes: Vec<(Side, String)>,
}

impl Measured {
    /// Adds a side to the last round.
    fn add(&mut self, side: Side, figures: Figures) {
        let notes = figures.notes.into_iter().map(|note| (side, note));
        self.notes.extend(notes);
        if let Some(round) = self.rounds.last_mut() {
            round.insert(side, figures.all);
        }
    }

    fn rows(&self) -> Vec<report::Row> {
        report::rows(&self.rounds, &mut Random::of(self.seed))
    }

    fn text(&self, options: &Options) -> String {
        let name = &options.name;
        let mut text = format!("# Dohle and {name}\n\n{}\n\n", self.machine);
        text += &report::markdown(&self.rows(), name);
        let floors = report::floors(&self.floors.all);
        let notes = report::notes(&self.notes, name);
        let plots = "![Dohle divided by the other](ratios.svg)\n\n![by the floor](floors.svg)\n";
        let _ = write!(text, "\n{plots}\n{floors}\n{notes}");
        text
    }

    /// Writes the report.
    fn write(&self, options: &Options) -> Result<()> {
        let (rows, folder) = (self.rows(), &options.output);
        let json = serde_json::json!({
            "seed": self.seed,
            "machine": self.machine,
            "other": options.name,
            "rows": rows,
            "floors": self.floors.all,
            "notes": self.notes,
        });
        let ratios = plot::plot(&rows, Side::Other, &options.name);
        let floors = plot::plot(&rows, Side::Floor, "floor");
        std::fs::create_dir_all(folder)?;
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))
        };
        write("figures.json", serde_json::to_string_pretty(&json)?)?;
        write("ratios.svg", ratios)?;
        write("floors.svg", floors)?;
        write("report.md", self.text(options))
    }
}

/// Returns what the machine has.
fn machine() -> Result<String> {
    let cpus = std::thread::available_parallelism()?;
    let memory = std::fs::read_to_string("/proc/meminfo").context("read /proc/meminfo")?;
    let total = memory.lines().next().unwrap_or_default();
    let total = total.trim_start_matches("MemTotal:").trim();
    Ok(format!("{cpus} CPUs, {total} of memory."))
}
