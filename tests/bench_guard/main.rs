//! `make bench-guard`: counts the instructions that a node executes for a request, and compares
//! them with `instructions.txt`.
//!
//! A count hardly depends on what else the machine does, so a test may assert it. The node runs
//! under valgrind, which counts what user space executes on all threads; the kernel's part is not
//! counted. Each case is one run of a node, and what a run without requests executes is subtracted.
//! With `--record` the counts replace those of the file.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use dohle_tests::records::{self, fetch_partition, fetch_request, produce};
use dohle_tests::{Cluster, KafkaConnection, root};

/// By how much a count may exceed the recorded one. Counts of the same binary differ by up to 10 %,
/// since threads meet at different moments; other compilers and processors add to that.
const MARGIN: f64 = 0.30;

/// How often a case is run before its count is reported as too high: what disturbs a run only adds
/// instructions, so the smallest count is the one nearest to the truth.
const ATTEMPTS: u32 = 3;

const TOPIC: &str = "guarded";

/// One kind of request. Together the requests of a case execute many more instructions than the
/// start and the end of a node, whose number varies.
struct Case {
    name: &'static str,
    /// How often the request is sent.
    times: u32,
    request: Request,
}

enum Request {
    /// Appends a batch of so many records of 1 KiB.
    Produce(usize),
    /// Fetches a batch of so many records, or none at the end of an empty log.
    Fetch(usize),
}

const CASES: &[Case] = &[
    Case {
        name: "produce one record of 1 KiB",
        times: 15_000,
        request: Request::Produce(1),
    },
    Case {
        name: "produce 500 records of 1 KiB in one batch",
        times: 500,
        request: Request::Produce(500),
    },
    Case {
        name: "fetch one record of 1 KiB",
        times: 15_000,
        request: Request::Fetch(1),
    },
    Case {
        name: "fetch 500 records of 1 KiB in one batch",
        times: 7_000,
        request: Request::Fetch(500),
    },
    Case {
        name: "fetch at the end of the log",
        times: 15_000,
        request: Request::Fetch(0),
    },
];

fn batch(count: usize) -> Result<Bytes> {
    let value = [b'x'; 1024];
    Ok(records::batch(&vec![&value[..]; count])?.freeze())
}

fn append(connection: &mut KafkaConnection, batch: &Bytes) -> Result<()> {
    let produced = produce(connection, TOPIC, 0, -1, batch.clone())?;
    ensure!(produced.error_code == 0, "{produced:?}");
    Ok(())
}

fn send(connection: &mut KafkaConnection, case: &Case) -> Result<()> {
    match case.request {
        Request::Produce(count) => {
            let batch = batch(count)?;
            for _ in 0..case.times {
                append(connection, &batch)?;
            }
        }
        Request::Fetch(count) => {
            if count > 0 {
                append(connection, &batch(count)?)?;
            }
            let request = fetch_request(TOPIC, 0, 0);
            for _ in 0..case.times {
                let partition = fetch_partition(connection, &request)?;
                let has_records = !partition.records.unwrap_or_default().is_empty();
                ensure!(has_records == (count > 0), "{}", case.name);
            }
        }
    }
    Ok(())
}

/// Returns the instructions that a node executes from its start to its end.
fn instructions(case: Option<&Case>) -> Result<u64> {
    let directory = tempfile::tempdir()?;
    let report = directory.path().join("instructions");
    let path = report.to_str().context("a path that is not Unicode")?;
    let mut cluster = Cluster::of(1)
        .environment("DOHLE_INSTRUCTIONS", path)
        .start()?;
    cluster.create_topic(TOPIC, 1, 1, &[])?;
    if let Some(case) = case {
        send(&mut cluster.connect()?, case)?;
    }
    cluster.stop()?;
    let report = std::fs::read_to_string(&report)
        .with_context(|| format!("valgrind has written no {path}"))?;
    let (_, count) = report
        .split_once("I   refs:")
        .with_context(|| format!("no count in {report}"))?;
    let line = count.lines().next().unwrap_or_default();
    Ok(line.trim().replace(',', "").parse()?)
}

fn recorded() -> Result<Vec<(String, u64)>> {
    let text = std::fs::read_to_string(file()).context("read the recorded counts")?;
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let (count, name) = line.split_once('\t').context("a line without a tab")?;
            Ok((name.to_owned(), count.parse()?))
        })
        .collect()
}

fn file() -> PathBuf {
    root().join("tests/bench_guard/instructions.txt")
}

fn main() -> Result<()> {
    let records = match std::env::args().nth(1).as_deref() {
        None => false,
        Some("--record") => true,
        Some(other) => bail!("{other:?} is not an option; there is only --record"),
    };
    let recorded = if records { Vec::new() } else { recorded()? };
    let mut text = String::from(
        "# Instructions that a node executes for a request: `make record-bench-guard` writes this \
         file.\n",
    );
    let mut exceeded = Vec::new();
    let idle = instructions(None)?;
    for case in CASES {
        let known = recorded.iter().find(|(name, _)| name == case.name);
        ensure!(
            records || known.is_some(),
            "{:?} has no recorded count",
            case.name
        );
        let allowed = known.map(|(_, known)| *known as f64 * (1.0 + MARGIN));
        let mut each = f64::INFINITY;
        for _ in 0..ATTEMPTS {
            let all = instructions(Some(case))?;
            each = each.min(all.saturating_sub(idle) as f64 / f64::from(case.times));
            if allowed.is_some_and(|allowed| each <= allowed) {
                break;
            }
        }
        writeln!(text, "{each:.0}\t{}", case.name)?;
        let Some((_, known)) = known else {
            println!("{each:>12.0}  {}", case.name);
            continue;
        };
        let ratio = each / *known as f64;
        println!(
            "{each:>12.0}  {ratio:.3} of the recorded {known}: {}",
            case.name
        );
        if ratio > 1.0 + MARGIN {
            exceeded.push(format!("{:?} by {:.0} %", case.name, (ratio - 1.0) * 100.0));
        }
    }
    if records {
        std::fs::write(file(), text)?;
    }
    ensure!(
        exceeded.is_empty(),
        "a node executes more instructions than recorded for {}: find the cause, or, if the work \
         is needed, record the counts anew (`make record-bench-guard`) and give the reason in the \
         commit",
        exceeded.join(", ")
    );
    Ok(())
}
