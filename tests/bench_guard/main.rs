//! `make bench-guard`: counts the instructions that a node executes for a request, and compares
//! them with `instructions.txt`.
//!
//! A count hardly depends on what else the machine does, so a test may assert it. The node runs
//! under callgrind, which counts what user space executes on all threads; the kernel's part is not
//! counted. The counter is read while the node runs, before and after the requests of a case, so
//! that its start and its end do not count. What a node executes without requests is too little to
//! matter. With `--record` the counts replace those of the file.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use dohle_tests::records::{self, fetch_partition, fetch_request, produce};
use dohle_tests::{Cluster, KafkaConnection, root};

/// By how much a count may exceed the recorded one: threads meet at different moments, and other
/// compilers make other code.
const MARGIN: f64 = 0.20;

/// How often a case is run before its count is reported as too high: what disturbs a run only adds
/// instructions, so the smallest count is the one nearest to the truth.
const ATTEMPTS: u32 = 3;

/// One kind of request.
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
        times: 2_000,
        request: Request::Produce(1),
    },
    Case {
        name: "produce 500 records of 1 KiB in one batch",
        times: 100,
        request: Request::Produce(500),
    },
    Case {
        name: "fetch one record of 1 KiB",
        times: 2_000,
        request: Request::Fetch(1),
    },
    Case {
        name: "fetch 500 records of 1 KiB in one batch",
        times: 1_000,
        request: Request::Fetch(500),
    },
    Case {
        name: "fetch at the end of the log",
        times: 2_000,
        request: Request::Fetch(0),
    },
];

fn batch(count: usize) -> Result<Bytes> {
    let value = [b'x'; 1024];
    Ok(records::batch(&vec![&value[..]; count])?.freeze())
}

fn append(connection: &mut KafkaConnection, topic: &str, batch: &Bytes) -> Result<()> {
    let produced = produce(connection, topic, 0, -1, batch.clone())?;
    ensure!(produced.error_code == 0, "{produced:?}");
    Ok(())
}

/// A running node under callgrind.
struct Counted {
    cluster: Cluster,
    /// The beginning of the names of callgrind's reports.
    reports: PathBuf,
    read: u32,
    topics: u32,
    _directory: tempfile::TempDir,
}

impl Counted {
    fn start() -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let reports = directory.path().join("instructions");
        let path = reports.to_str().context("a path that is not Unicode")?;
        let mut cluster = Cluster::of(1)
            .environment("DOHLE_INSTRUCTIONS", path)
            .start()?;
        cluster.silence();
        Ok(Self {
            cluster,
            reports,
            read: 0,
            topics: 0,
            _directory: directory,
        })
    }

    /// Returns the instructions that were executed since the last call.
    fn take(&mut self) -> Result<u64> {
        let pid = self.cluster.nodes()[0].pid()?.to_string();
        let output = Command::new("callgrind_control")
            .args(["--dump", &pid])
            .output()
            .context("callgrind_control, a part of valgrind, cannot be started")?;
        self.read += 1;
        let report = self.reports.with_extension(self.read.to_string());
        let text = std::fs::read_to_string(&report).with_context(|| {
            let said = String::from_utf8_lossy(&output.stdout);
            format!("callgrind has written no {}: {said}", report.display())
        })?;
        let count = text.lines().find_map(|line| line.strip_prefix("totals: "));
        let count = count.with_context(|| format!("no total in {}", report.display()))?;
        Ok(count.trim().parse()?)
    }

    /// Returns the instructions of one request.
    fn instructions(&mut self, case: &Case) -> Result<f64> {
        self.topics += 1;
        let topic = format!("guarded-{}", self.topics);
        self.cluster.create_topic(&topic, 1, 1, &[])?;
        let mut connection = self.cluster.connect()?;
        let request = fetch_request(&topic, 0, 0);
        let batch = match case.request {
            Request::Produce(count) | Request::Fetch(count) => batch(count)?,
        };
        if matches!(case.request, Request::Fetch(1..)) {
            append(&mut connection, &topic, &batch)?;
        }
        let mut send = |times| {
            for _ in 0..times {
                match case.request {
                    Request::Produce(_) => append(&mut connection, &topic, &batch)?,
                    Request::Fetch(count) => {
                        let partition = fetch_partition(&mut connection, &request)?;
                        let has_records = !partition.records.unwrap_or_default().is_empty();
                        ensure!(has_records == (count > 0), "{}", case.name);
                    }
                }
            }
            Ok(())
        };
        send(case.times / 10)?;
        self.take()?;
        send(case.times)?;
        Ok(self.take()? as f64 / f64::from(case.times))
    }
}

/// Starts a node under callgrind, again if it is not live in time.
fn start() -> Result<Counted> {
    for _ in 1..ATTEMPTS {
        match Counted::start() {
            Ok(node) => return Ok(node),
            Err(error) => eprintln!("starting another node: {error:#}"),
        }
    }
    Counted::start()
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
    let mut node = start()?;
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
            each = each.min(node.instructions(case)?);
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
    node.cluster.stop()?;
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
