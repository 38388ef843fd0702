//! A run: workers and faults side by side, until the time is over; then everything is read and
//! checked.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::check::{Anomaly, check};
use super::client::{Client, Partitions};
use super::disk::Disk;
use super::faults::Faults;
use super::group::{Member, Protocol, fetch_offset};
use super::history::{Content, GroupEvent, History, Isolation, Send};
use super::hostile::Hostile;
use super::network::{self, Network};
use super::plan::{self, Abilities};
use super::producer::{Shared, Worker};
use super::reader::Reader;
use crate::random::Random;
use crate::wait::DEADLINE;
use crate::{Cluster, eventually, replicas, until};

/// The topic with three replicas of each partition.
const TOPIC: &str = "chaos";
const PARTITIONS: i32 = 4;
/// The topic with two replicas, which are reassigned.
const MOVED: &str = "chaos-moved";

/// The numbers of workers of each kind.
const IDEMPOTENT: usize = 2;
const TRANSACTIONAL: usize = 2;
const PROTOCOLS: [Protocol; 2] = [Protocol::Classic, Protocol::Consumer];
const MEMBERS: usize = 2;
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
    /// The number of commits that were acknowledged to the members of groups.
    pub commits: u64,
    /// The number of times that a partition was assigned to a member.
    pub assignments: usize,
    /// The number of hostile connections.
    pub hostile: usize,
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
        writeln!(
            f,
            "groups: {} commits acknowledged, {} partitions assigned; {} hostile connections",
            self.commits, self.assignments, self.hostile
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

/// Runs for `length` with the faults of `seed`, as far as the program is able to cause them.
///
/// # Errors
/// When the cluster does not start, or does not become available again after a fault.
pub fn run(seed: u64, length: Duration, abilities: Abilities) -> Result<Report> {
    let (mut cluster, network, disks) = start(abilities)?;
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
    let member = |number: usize| {
        let clients = [Client::of(&cluster), Client::of(&cluster)];
        let random = Random::of(seed.wrapping_add(100 + number as u64));
        let protocol = PROTOCOLS[number / MEMBERS];
        Member::new(clients, &partitions, &shared, random, protocol)
    };
    let members: Vec<Member<'_>> = (0..PROTOCOLS.len() * MEMBERS).map(member).collect();
    let hostile = Random::of(seed.wrapping_add(200));
    let hostile = Hostile::new(&cluster, &partitions, hostile);
    let (producers, readers, members, broken) = std::thread::scope(|scope| {
        let workers: Vec<_> = workers
            .into_iter()
            .map(|worker| scope.spawn(|| worker.run()))
            .collect();
        let readers = readers.map(|reader| scope.spawn(|| read_along(reader, &shared)));
        let members = members.into_iter();
        let members: Vec<_> = members.map(|member| scope.spawn(|| member.run())).collect();
        let hostile = scope.spawn(|| hostile.run(&shared));
        let mut faults = Faults {
            cluster: &mut cluster,
            topics: vec![TOPIC.to_owned(), MOVED.to_owned()],
            moved: MOVED.to_owned(),
            network: network.as_ref(),
            disks: &disks,
        };
        let plan = (&mut random, abilities, length);
        let broken = make_happen(&mut faults, &shared, plan, &mut report).err();
        shared.is_over.store(true, Ordering::Relaxed);
        let sends = workers.into_iter().map(|worker| worker.join());
        let sends: Result<Vec<Vec<Send>>, _> = sends.collect();
        let events = members.into_iter().map(|member| member.join());
        let events: Result<Vec<Vec<GroupEvent>>, _> = events.collect();
        report.hostile = hostile.join().unwrap_or_default();
        (sends, readers.map(|reader| reader.join()), events, broken)
    });
    if let Some(error) = broken {
        return Err(error.context(format!("after {:?}", report.faults)));
    }
    let producers = producers.map_err(|_| anyhow!("a producer panicked"))?;
    let mut history = History {
        producers,
        ..History::default()
    };
    let members = members.map_err(|_| anyhow!("a member of a group panicked"))?;
    for (number, members) in members.chunks(MEMBERS).enumerate() {
        let mut members = members.to_vec();
        members.push(committed_offsets(
            &cluster,
            &partitions,
            &shared,
            PROTOCOLS[number],
        )?);
        history.groups.push(members);
    }
    for event in history.groups.iter().flatten().flatten() {
        if let GroupEvent::Assigned { partitions, .. } = event {
            report.assignments += partitions.len();
        }
    }
    report.commits = PROTOCOLS.map(|it| shared.commits(it)).iter().sum();
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

fn start(abilities: Abilities) -> Result<(Cluster, Option<Network>, BTreeMap<i32, Disk>)> {
    let mut cluster = Cluster::of(3)
        .property("min.insync.replicas", "2")
        .property("offsets.topic.num.partitions", "1")
        .property("group.initial.rebalance.delay.ms", "0")
        .property("group.consumer.heartbeat.interval.ms", "1000")
        .property("group.consumer.min.heartbeat.interval.ms", "1000")
        .property("group.consumer.session.timeout.ms", "6000")
        .property("group.consumer.min.session.timeout.ms", "6000")
        .property("transaction.state.log.num.partitions", "2")
        // Cuts are longer than it.
        .property("replica.lag.time.max.ms", "5000")
        // Every kind of warning may follow from the faults.
        .allow("");
    if abilities.cuts_links {
        cluster = cluster.hosts(network::address);
    }
    let mut cluster = cluster.prepare()?;
    cluster.silence();
    let ids: Vec<i32> = cluster.nodes().iter().map(|node| node.id).collect();
    let network = abilities.cuts_links.then(|| Network::start(&ids));
    let network = network.transpose()?;
    let mut disks = BTreeMap::new();
    for node in cluster.nodes_mut() {
        if let Some(network) = &network {
            node.namespace = Some(network.namespace(node.id)?);
        }
        if abilities.fills_disks {
            disks.insert(node.id, Disk::mount(&node.data)?);
        }
    }
    cluster.start()?;
    cluster.create_topic(TOPIC, PARTITIONS, 3, &[])?;
    cluster.create_topic(MOVED, 1, 2, &[])?;
    Ok((cluster, network, disks))
}

/// Lets faults happen until the time is over.
fn make_happen(
    faults: &mut Faults<'_>,
    shared: &Shared,
    (random, abilities, length): (&mut Random, Abilities, Duration),
    report: &mut Report,
) -> Result<()> {
    let begin = Instant::now();
    let nodes: Vec<i32> = faults.cluster.nodes().iter().map(|node| node.id).collect();
    progress(shared)?;
    for internal in ["__transaction_state", "__consumer_offsets"] {
        faults.topics.push(internal.to_owned());
    }
    while begin.elapsed() < length {
        let step = plan::next(random, &nodes, abilities);
        println!("{:5} s  {step:?}", begin.elapsed().as_secs());
        faults
            .happen(&step)
            .with_context(|| format!("{:?}", step.fault))?;
        *report.faults.entry(step.fault.kind()).or_default() += 1;
        progress(shared).with_context(|| format!("after {:?}", step.fault))?;
    }
    for protocol in PROTOCOLS {
        let before = shared.commits(protocol);
        let what = format!("the group {} commits again", protocol.group());
        until(DEADLINE, what, || Ok(shared.commits(protocol) > before))?;
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

/// Asks for the committed offsets of a group after the run.
fn committed_offsets(
    cluster: &Cluster,
    partitions: &Partitions,
    shared: &Shared,
    protocol: Protocol,
) -> Result<Vec<GroupEvent>> {
    let mut client = Client::of(cluster);
    let mut events = Vec::new();
    for (partition, (topic, index)) in partitions.0.iter().enumerate() {
        let what = format!("the offset of {topic}-{index} in {}", protocol.group());
        let event = eventually(DEADLINE, what, || {
            let sent = shared.tick();
            let nobody = (None, None);
            let offset = fetch_offset(&mut client, protocol, nobody, (topic, *index))?;
            let answered = shared.tick();
            Ok(Some(GroupEvent::Fetched {
                sent,
                answered,
                partition,
                offset,
            }))
        })?;
        events.push(event);
    }
    Ok(events)
}

fn read_to_the_end(reader: &mut Reader, partitions: &Partitions) -> Result<()> {
    for partition in reader.partitions() {
        let (topic, index) = partitions.name(partition);
        let what = format!("{topic}-{index} is read to its end");
        until(DEADLINE, what, || reader.poll(partition))?;
    }
    Ok(())
}
