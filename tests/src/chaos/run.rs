//! A run: workers and faults side by side, until the time is over; then everything is read and
//! checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::check::{Anomaly, check};
use super::client::{Client, Partitions};
use super::faults::Faults;
use super::history::{Content, History, Isolation, Send};
use super::plan;
use super::producer::{Shared, Worker};
use super::reader::Reader;
use crate::random::Random;
use crate::wait::DEADLINE;
use crate::{Cluster, replicas, until};

/// The topic with three replicas of each partition.
const TOPIC: &str = "chaos";
const PARTITIONS: i32 = 4;
/// The topic with two replicas, which are reassigned.
const MOVED: &str = "chaos-moved";

/// The numbers of workers of each kind.
const IDEMPOTENT: usize = 2;
const TRANSACTIONAL: usize = 2;
const ISOLATIONS: [Isolation; 2] = [Isolation::ReadCommitted, Isolation::ReadUncommitted];

/// The records that must be acknowledged after a fault has ended, before the next one.
const PROGRESS: u64 = 50;

/// The most anomalies of a kind that a report shows.
const EXAMPLES: usize = 5;

/// What a run found.
#[derive(Debug, Default)]
pub struct Report {
    /// The number of faults of each kind.
    pub faults: BTreeMap<&'static str, usize>,
    /// The number of records that were sent.
    pub sent: usize,
    /// The number of those that were acknowledged.
    pub acknowledged: u64,
    /// The number of transactions.
    pub transactions: usize,
    /// The number of records that the readers got.
    pub read: usize,
    /// What a correct cluster does not do.
    pub anomalies: Vec<Anomaly>,
    /// Answers that no fault explains.
    pub errors: Vec<String>,
}

impl Report {
    /// Returns whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.anomalies.is_empty() && self.errors.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (kind, count) in &self.faults {
            writeln!(f, "{count:6}  {kind}")?;
        }
        writeln!(
            f,
            "{} records sent, {} acknowledged, in {} transactions and without; {} read",
            self.sent, self.acknowledged, self.transactions, self.read
        )?;
        for error in &self.errors {
            writeln!(f, "error: {error}")?;
        }
        let mut of_kind: BTreeMap<&str, Vec<&Anomaly>> = BTreeMap::new();
        for anomaly in &self.anomalies {
            of_kind.entry(anomaly.name()).or_default().push(anomaly);
        }
        for (kind, anomalies) in of_kind {
            writeln!(f, "{:6}  {kind}", anomalies.len())?;
            for anomaly in anomalies.iter().take(EXAMPLES) {
                writeln!(f, "        {anomaly}")?;
            }
        }
        let (anomalies, errors) = (self.anomalies.len(), self.errors.len());
        write!(
            f,
            "{anomalies} anomalies, {errors} errors that no fault explains"
        )
    }
}

/// Runs for `length` with the faults of `seed`.
///
/// # Errors
/// When the cluster does not start, or does not become available again after a fault.
pub fn run(seed: u64, length: Duration) -> Result<Report> {
    let mut cluster = start()?;
    let partitions = (0..PARTITIONS).map(|index| (TOPIC.to_owned(), index));
    let partitions = partitions.chain([(MOVED.to_owned(), 0)]);
    let partitions = Partitions(partitions.collect());
    let mut random = Random::of(seed);
    let shared = Shared::default();
    let mut report = Report::default();
    let workers: Vec<Worker<'_>> = (0..IDEMPOTENT + TRANSACTIONAL)
        .map(|number| {
            let id = (number >= IDEMPOTENT).then(|| format!("chaos-{number}"));
            let client = Client::of(&cluster);
            let random = Random::of(seed.wrapping_add(1 + number as u64));
            Worker::new(client, &partitions, &shared, random, id)
        })
        .collect();
    let readers =
        ISOLATIONS.map(|isolation| Reader::new(Client::of(&cluster), &partitions, isolation));
    let (producers, readers, broken) = std::thread::scope(|scope| {
        let workers: Vec<_> = workers
            .into_iter()
            .map(|worker| scope.spawn(|| worker.run()))
            .collect();
        let readers = readers.map(|reader| scope.spawn(|| read_along(reader, &shared)));
        let broken = faults(&mut cluster, &shared, &mut random, length, &mut report).err();
        shared.is_over.store(true, Ordering::Relaxed);
        let sends = workers.into_iter().map(|worker| worker.join());
        let sends: Result<Vec<Vec<Send>>, _> = sends.collect();
        (sends, readers.map(|reader| reader.join()), broken)
    });
    if let Some(error) = broken {
        return Err(error.context(format!("after {:?}", report.faults)));
    }
    let producers = producers.map_err(|_| anyhow!("a producer panicked"))?;
    let mut history = History {
        producers,
        ..History::default()
    };
    report.acknowledged = shared.acknowledged.load(Ordering::Relaxed);
    let (transactions, errors) = shared.into_parts();
    history.transactions = transactions;
    report.errors = errors;
    for reader in readers {
        let mut reader = reader.map_err(|_| anyhow!("a reader panicked"))?;
        read_to_the_end(&mut reader, &partitions)?;
        history.readers.push(reader.into_history());
    }
    for isolation in ISOLATIONS {
        let mut reader = Reader::new(Client::of(&cluster), &partitions, isolation);
        read_to_the_end(&mut reader, &partitions)?;
        let reads = reader.into_history().reads;
        let content: Content = reads
            .iter()
            .map(|read| ((read.partition, read.offset), read.value))
            .collect();
        match isolation {
            Isolation::ReadCommitted => history.committed = content,
            Isolation::ReadUncommitted => history.uncommitted = content,
        }
    }
    report.sent = history.producers.iter().map(Vec::len).sum();
    report.transactions = history.transactions.len();
    report.read = history
        .readers
        .iter()
        .map(|reader| reader.reads.len())
        .sum();
    report.anomalies = check(&history);
    for topic in [TOPIC, MOVED] {
        cluster.wait_in_sync(topic)?;
    }
    cluster.stop()?;
    for topic in [TOPIC, MOVED] {
        replicas::assert_identical(&cluster, topic)?;
    }
    cluster.silence();
    Ok(report)
}

fn start() -> Result<Cluster> {
    let mut cluster = Cluster::of(3)
        .property("min.insync.replicas", "2")
        .property("offsets.topic.num.partitions", "1")
        .property("transaction.state.log.num.partitions", "2")
        // Every kind of warning may follow from the faults.
        .allow("")
        .start()?;
    cluster.create_topic(TOPIC, PARTITIONS, 3, &[])?;
    cluster.create_topic(MOVED, 1, 2, &[])?;
    cluster.silence();
    Ok(cluster)
}

/// Lets faults happen until the time is over.
fn faults(
    cluster: &mut Cluster,
    shared: &Shared,
    random: &mut Random,
    length: Duration,
    report: &mut Report,
) -> Result<()> {
    let begin = Instant::now();
    let nodes: Vec<i32> = cluster.nodes().iter().map(|node| node.id).collect();
    let mut faults = Faults {
        cluster,
        topics: vec![TOPIC.to_owned(), MOVED.to_owned()],
        moved: MOVED.to_owned(),
    };
    progress(shared)?;
    faults.topics.push("__transaction_state".to_owned());
    while begin.elapsed() < length {
        let step = plan::next(random, &nodes);
        println!("{:5} s  {step:?}", begin.elapsed().as_secs());
        faults
            .happen(&step)
            .with_context(|| format!("{:?}", step.fault))?;
        *report.faults.entry(step.fault.kind()).or_default() += 1;
        progress(shared).with_context(|| format!("after {:?}", step.fault))?;
    }
    faults.wait_in_sync()
}

/// Waits until more records are acknowledged.
fn progress(shared: &Shared) -> Result<()> {
    let before = shared.acknowledged.load(Ordering::Relaxed);
    until(DEADLINE, "records are acknowledged again", || {
        let now = shared.acknowledged.load(Ordering::Relaxed);
        ensure!(now >= before + PROGRESS, "{} were", now - before);
        Ok(true)
    })
}

/// Reads each partition in turn until the run is over. Errors pass with the faults.
fn read_along(mut reader: Reader, shared: &Shared) -> Reader {
    while !shared.is_over.load(Ordering::Relaxed) {
        let before = reader.position();
        for partition in reader.partitions() {
            let _ = reader.poll(partition);
        }
        if reader.position() == before {
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }
    reader
}

fn read_to_the_end(reader: &mut Reader, partitions: &Partitions) -> Result<()> {
    for partition in reader.partitions() {
        let (topic, index) = partitions.name(partition);
        let what = format!("{topic}-{index} is read to its end");
        until(DEADLINE, what, || reader.poll(partition))?;
    }
    Ok(())
}
