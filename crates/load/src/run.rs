//! Runs a load: prepares the clients on their threads, begins at once, and puts the results
//! together.
//!
//! Each thread has a runtime of its own, so a client's timers, sockets and histograms belong to one
//! thread, and threads share only counters.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::clock::{RunClock, StopSignal, nanos};
use crate::cluster::Cluster;
use crate::consume::{Consumer, ConsumerContext, Produced, ReadEnd};
use crate::cpu::CpuTimes;
use crate::error::LoadError;
use crate::keys::Keys;
use crate::options::{End, Load, ProduceLoad};
use crate::produce::{Batches, Producer, ProducerContext, Session};
use crate::report::{CpuShare, GeneratorReport, Report, warnings};
use crate::schedule::{ClientSchedule, Pace, PaceEnd, interval};
use crate::tally::{ConsumeTally, ProduceTally};
use crate::target::connector;
use crate::template::{BatchContent, BatchTemplate};

/// The time between the last preparation and the beginning of the run.
const START_DELAY: Duration = Duration::from_millis(20);
/// Different batches without keys.
const TEMPLATES: usize = 8;
/// Different batches of each partition, with keys.
const KEYED_TEMPLATES: usize = 2;

/// Runs a load and waits for its end.
///
/// # Errors
/// When it could not begin: the load contradicts itself, no broker answers, the topic does not
/// exist. What goes wrong later is counted in the report.
pub fn run(load: &Load, stop: &StopSignal) -> Result<Report, LoadError> {
    load.check().map_err(LoadError::Load)?;
    let connector = connector(&load.properties)?;
    let cluster = Arc::new(Cluster::new(connector, &load.bootstrap, &load.topic)?);
    let leaders = runtime()?.block_on(cluster.leaders())?;
    if leaders.iter().all(|leader| *leader < 0) {
        return Err(LoadError::NoLeader(load.topic.clone()));
    }
    let plan = Plan::new(load, cluster, leaders, stop)?;
    let (prepared, preparations) = mpsc::channel();
    let mut threads = Vec::new();
    for clients in plan.clients() {
        let (start, started) = oneshot::channel();
        let prepared = prepared.clone();
        let thread = thread::spawn(move || work(clients, prepared, started));
        threads.push((start, thread));
    }
    drop(prepared);
    // Ends when every thread has reported.
    let prepared: Result<Vec<()>, LoadError> = preparations.iter().collect();
    let clock = RunClock(Instant::now() + START_DELAY);
    let mut running = Vec::new();
    for (start, thread) in threads {
        // A thread whose sender is dropped does not begin.
        if prepared.is_ok() {
            let _ = start.send(clock);
        }
        running.push(thread);
    }
    let results: Vec<_> = running.into_iter().map(|thread| thread.join()).collect();
    prepared?;
    let mut outcome = Outcome::default();
    for result in results {
        let result = result.map_err(|_| std::io::Error::other("a thread of the load panicked"))?;
        if let Some(result) = result? {
            outcome.add(result);
        }
    }
    Ok(plan.report(&outcome))
}

fn runtime() -> Result<Runtime, LoadError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime)
}

/// What all clients of a run have in common.
struct Plan<'a> {
    load: &'a Load,
    cluster: Arc<Cluster>,
    leaders: Vec<i32>,
    topic: Arc<str>,
    warm_up: u64,
    /// The end of a run of fixed length.
    end: Option<u64>,
    /// Tells the records of this run from others.
    run: u64,
    produced: Arc<Produced>,
    batches: Option<Arc<Batches>>,
    stop: StopSignal,
}

/// The clients of one thread.
struct Clients {
    producers: Vec<Producer>,
    consumers: Vec<Consumer>,
    produced: Arc<Produced>,
    warm_up: u64,
}

impl<'a> Plan<'a> {
    fn new(
        load: &'a Load,
        cluster: Arc<Cluster>,
        leaders: Vec<i32>,
        stop: &StopSignal,
    ) -> Result<Self, LoadError> {
        let run = SystemTime::now().duration_since(UNIX_EPOCH);
        let run = run.map_or(1, nanos);
        let warm_up = nanos(load.warm_up);
        let end = match load.end {
            End::After(duration) => Some(warm_up + nanos(duration)),
            End::Records(_) | End::EndOfLog => None,
        };
        let batches = load.produce.as_ref().map(|produce| {
            let mark = load.is_end_to_end().then_some(run);
            batches(produce, load.end, leaders.len(), mark)
        });
        Ok(Self {
            load,
            cluster,
            leaders,
            topic: load.topic.as_str().into(),
            warm_up,
            end,
            run,
            produced: Arc::default(),
            batches: batches.transpose()?.map(Arc::new),
            stop: stop.clone(),
        })
    }

    /// Returns the clients of each thread.
    fn clients(&self) -> Vec<Clients> {
        let threads = (0..self.load.threads).map(|_| Clients {
            producers: Vec::new(),
            consumers: Vec::new(),
            produced: Arc::clone(&self.produced),
            warm_up: self.warm_up,
        });
        let mut threads: Vec<Clients> = threads.collect();
        let count = threads.len();
        for (number, producer) in self.producers().into_iter().enumerate() {
            threads[number % count].producers.push(producer);
        }
        // From the last thread on, so that one producer and one consumer do not share a thread.
        for (number, consumer) in self.consumers().into_iter().enumerate() {
            threads[count - 1 - number % count].consumers.push(consumer);
        }
        threads.retain(|it| !it.producers.is_empty() || !it.consumers.is_empty());
        threads
    }

    fn producers(&self) -> Vec<Producer> {
        let (Some(load), Some(batches)) = (&self.load.produce, &self.batches) else {
            return Vec::new();
        };
        let end = match (self.load.end, self.end) {
            (End::Records(records), _) => {
                let total = records.div_ceil(load.batch_records as u64);
                let left = Arc::new(AtomicU64::new(total));
                PaceEnd::Batches { total, left }
            }
            (_, end) => PaceEnd::At(end.unwrap_or_default()),
        };
        let pace = Pace {
            interval: load.rate.map(|rate| interval(rate, load.batch_records)),
            warm_up: self.warm_up,
            end,
        };
        let context = ProducerContext {
            cluster: Arc::clone(&self.cluster),
            load: Arc::new(load.clone()),
            topic: Arc::clone(&self.topic),
            batches: Arc::clone(batches),
            warm_up: self.warm_up,
            stop: self.stop.clone(),
        };
        let leaders = batches.leaders(&self.leaders);
        let clients = load.connections as u64;
        self.produced.running.store(clients, Ordering::Release);
        let producer = |client| {
            let schedule = ClientSchedule::new(pace.clone(), client, clients, &leaders);
            let session = match load.transaction_records {
                Some(records) => Session::transactional(
                    &format!("dohle-perf-{}-{client}", self.run),
                    records.div_ceil(load.batch_records as u64),
                ),
                None if load.idempotent => Session::idempotent(),
                None => Session::plain(),
            };
            Producer::new(context.clone(), schedule, session)
        };
        (0..clients).map(producer).collect()
    }

    fn consumers(&self) -> Vec<Consumer> {
        let Some(load) = &self.load.consume else {
            return Vec::new();
        };
        let end = match (self.load.end, self.end) {
            _ if self.load.produce.is_some() => ReadEnd::Producers(Arc::clone(&self.produced)),
            (_, Some(end)) => ReadEnd::At(end),
            (End::Records(records), _) => ReadEnd::Records(records),
            _ => ReadEnd::EndOfLog,
        };
        let context = ConsumerContext {
            cluster: Arc::clone(&self.cluster),
            load: Arc::new(load.clone()),
            topic: Arc::clone(&self.topic),
            end,
            warm_up: self.warm_up,
            run: load.end_to_end.then_some(self.run),
            read: Arc::default(),
            stop: self.stop.clone(),
        };
        let consumer = |client: usize| {
            let partitions = (client..self.leaders.len()).step_by(load.connections);
            let ids: Vec<i32> = partitions.map(|partition| partition as i32).collect();
            Consumer::new(context.clone(), &ids, &self.leaders)
        };
        let clients = load.connections.min(self.leaders.len());
        (0..clients).map(consumer).collect()
    }

    fn report(&self, outcome: &Outcome) -> Report {
        let began = self.warm_up;
        let is_stopped = self.stop.is_stopped();
        let end = match self.end {
            // A run that was stopped early is as long as what it measured.
            Some(end) if !is_stopped => end,
            _ => began,
        };
        let produce = self.load.produce.as_ref().map(|load| {
            let transactional = load.transaction_records.is_some();
            outcome.produce.report(began, end, load.rate, transactional)
        });
        let consume = self.load.consume.as_ref().map(|load| {
            let acknowledged = self.produced.acknowledged.load(Ordering::Acquire);
            let missing = acknowledged.saturating_sub(outcome.consume.arrived);
            let missing = load.end_to_end.then_some(missing);
            let end = match self.load.produce {
                Some(_) => outcome.produce.last_ack.max(end),
                None => end,
            };
            outcome.consume.report(began, end, missing)
        });
        let most = |of: fn(&CpuShare) -> f64| {
            let shares = outcome.shares.iter().map(of);
            let most = shares.fold(0.0, f64::max) * 100.0;
            (!outcome.shares.is_empty()).then_some(most)
        };
        let cpu_seconds = outcome.busy as f64 / 1e9;
        let generator = GeneratorReport {
            threads: self.load.threads,
            seconds: outcome.elapsed as f64 / 1e9,
            cpu_seconds: (!outcome.shares.is_empty()).then_some(cpu_seconds),
            busiest_thread_percent: most(|share| share.busy),
            waiting_for_cpu_percent: most(|share| share.waiting),
            send_delay: outcome.produce.send_delays.summary(),
        };
        let delays = &outcome.produce.send_delays;
        let warnings = warnings(&outcome.shares, delays, produce.as_ref());
        Report {
            produce,
            consume,
            generator,
            warnings,
        }
    }
}

/// Encodes the batches of a run.
fn batches(
    load: &ProduceLoad,
    end: End,
    partitions: usize,
    run: Option<u64>,
) -> Result<Batches, LoadError> {
    let template = |records: usize, keys: &[u64], seed: u64| {
        let template = BatchTemplate::new(&BatchContent {
            records,
            record_size: load.record_size,
            random_bytes: load.record_size * usize::from(load.random_percent) / 100,
            keys,
            compression: load.compression,
            transactional: load.transaction_records.is_some(),
            marked: run.is_some(),
            seed,
        });
        template.map_err(|error| LoadError::Load(format!("the batches cannot be encoded: {error}")))
    };
    let keys = (load.keys > 0).then(|| Keys::new(load.keys, partitions));
    let of_partition = |partition: usize| keys.as_ref().map_or(&[][..], |keys| keys.of(partition));
    // Nothing is written to a partition that no key belongs to.
    let is_used = |partition: &usize| keys.is_none() || !of_partition(*partition).is_empty();
    let used: Vec<usize> = (0..partitions).filter(is_used).collect();
    let lists = if keys.is_some() { &used[..] } else { &[0] };
    let count = if keys.is_some() {
        KEYED_TEMPLATES
    } else {
        TEMPLATES
    };
    let list = |partition: &usize| {
        let seeds = (0..count).map(|number| (*partition * count + number) as u64);
        let templates =
            seeds.map(|seed| template(load.batch_records, of_partition(*partition), seed));
        templates.collect::<Result<Vec<_>, _>>()
    };
    let size = load.batch_records as u64;
    let last = match end {
        End::Records(records) if !records.is_multiple_of(size) => {
            let all: Vec<u64> = (0..load.keys.min(1)).collect();
            Some(template((records % size) as usize, &all, 0)?)
        }
        _ => None,
    };
    Ok(Batches {
        templates: lists.iter().map(list).collect::<Result<_, _>>()?,
        partitions: used.iter().map(|partition| *partition as i32).collect(),
        last,
        run,
    })
}

/// The results of one thread, or of all.
#[derive(Default)]
struct Outcome {
    produce: ProduceTally,
    consume: ConsumeTally,
    shares: Vec<CpuShare>,
    /// CPU time and length of the measured part, in nanoseconds.
    busy: u64,
    elapsed: u64,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.produce.add(&other.produce);
        self.consume.add(&other.consume);
        self.shares.extend(other.shares);
        self.busy += other.busy;
        self.elapsed = self.elapsed.max(other.elapsed);
    }
}

/// The work of one thread. Returns nothing when the run did not begin.
fn work(
    clients: Clients,
    prepared: mpsc::Sender<Result<(), LoadError>>,
    started: oneshot::Receiver<RunClock>,
) -> Result<Option<Outcome>, LoadError> {
    let runtime = match runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = prepared.send(Err(error));
            return Ok(None);
        }
    };
    runtime.block_on(async {
        let (clients, result) = prepare(clients).await;
        let is_prepared = result.is_ok();
        let _ = prepared.send(result);
        drop(prepared);
        match started.await {
            Ok(clock) if is_prepared => clients.run(clock).await.map(Some),
            _ => Ok(None),
        }
    })
}

async fn prepare(mut clients: Clients) -> (Clients, Result<(), LoadError>) {
    let mut producers = JoinSet::new();
    for mut producer in clients.producers.drain(..) {
        producers.spawn(async move { producer.prepare().await.map(|()| producer) });
    }
    let mut consumers = JoinSet::new();
    for mut consumer in clients.consumers.drain(..) {
        consumers.spawn(async move { consumer.prepare().await.map(|()| consumer) });
    }
    let mut result = Ok(());
    while let Some(producer) = producers.join_next().await {
        match producer.map_err(|error| LoadError::Connection(error.into())) {
            Ok(Ok(producer)) => clients.producers.push(producer),
            Ok(Err(error)) | Err(error) => result = Err(error),
        }
    }
    while let Some(consumer) = consumers.join_next().await {
        match consumer.map_err(|error| LoadError::Connection(error.into())) {
            Ok(Ok(consumer)) => clients.consumers.push(consumer),
            Ok(Err(error)) | Err(error) => result = Err(error),
        }
    }
    (clients, result)
}

impl Clients {
    async fn run(self, clock: RunClock) -> Result<Outcome, LoadError> {
        let mut producers = JoinSet::new();
        for producer in self.producers {
            let produced = Arc::clone(&self.produced);
            producers.spawn(async move {
                let tally = producer.run(clock).await;
                if let Ok(tally) = &tally {
                    produced
                        .acknowledged
                        .fetch_add(tally.acknowledged, Ordering::AcqRel);
                }
                produced.running.fetch_sub(1, Ordering::AcqRel);
                tally
            });
        }
        let mut consumers = JoinSet::new();
        for consumer in self.consumers {
            consumers.spawn(consumer.run(clock));
        }
        let warm_up = self.warm_up;
        // On the thread whose times are read.
        let before = tokio::spawn(async move {
            tokio::time::sleep_until(clock.at(warm_up).into()).await;
            (CpuTimes::of_this_thread(), clock.now())
        });
        let mut outcome = Outcome::default();
        while let Some(tally) = producers.join_next().await {
            outcome.produce.add(&tally.map_err(std::io::Error::from)??);
        }
        while let Some(tally) = consumers.join_next().await {
            outcome.consume.add(&tally.map_err(std::io::Error::from)??);
        }
        let is_over = clock.now() >= warm_up;
        if is_over && let Ok((Some(before), began)) = before.await {
            outcome.elapsed = clock.now().saturating_sub(began);
            if let Some(after) = CpuTimes::of_this_thread() {
                outcome.busy = after.busy - before.busy;
                outcome.shares.push(after.since(before, outcome.elapsed));
            }
        }
        Ok(outcome)
    }
}
