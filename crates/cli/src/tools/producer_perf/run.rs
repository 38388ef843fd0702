//! Sends records as fast as is asked for, and measures.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use dohle_admin::client::why_not_delivered;
use kacrab::producer::{Producer, ProducerError, ProducerRecord};

use super::ProducerPerfSettings;
use super::payload::Payloads;
use super::stats::Stats;
use crate::client::{Failures, Interrupts, OVERHEAD, Room};
use crate::tool_run::{AlreadyReported, ErrorWithHint};

/// How long to wait when the producer's memory is full.
const ROOM: Duration = Duration::from_millis(1);
/// A shorter wait is not worth a timer.
const WAIT_MIN: Duration = Duration::from_millis(2);
/// How many records are made before other tasks run.
const TURN: u64 = 256;

/// Counts deliveries; shared with the callbacks.
#[derive(Debug)]
struct Measured {
    all: Stats,
    steady: Option<Stats>,
    failures: Failures,
}

impl Measured {
    /// How many records are no longer in flight.
    fn done(&self) -> u64 {
        self.all.count() + self.failures.total()
    }
}

/// The state that callbacks share.
#[derive(Debug, Clone)]
struct Clock {
    began: Instant,
    measured: Arc<Mutex<Measured>>,
}

impl Clock {
    fn now(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    fn with<T>(&self, work: impl FnOnce(&mut Measured) -> T) -> T {
        work(&mut self.measured.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn on_delivery(&self, sent: Instant, bytes: u64, steady: bool, error: Option<&ProducerError>) {
        let latency = u32::try_from(sent.elapsed().as_millis()).unwrap_or(u32::MAX);
        let now = self.now();
        self.with(|measured| {
            if let Some(error) = error {
                let why = why_not_delivered(error);
                if measured.failures.count(&why) {
                    eprintln!("A record was not delivered: {why}");
                }
                return;
            }
            let of_all = measured.all.record(latency, bytes, now);
            let stats = measured.steady.as_mut().filter(|_| steady);
            let of_steady = stats.and_then(|stats| stats.record(latency, bytes, now));
            of_all.iter().chain(&of_steady).for_each(|line| say(line));
        });
    }
}

/// Prints a line. Ignores errors: standard output may be closed.
fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = writeln!(stdout, "{line}").and_then(|()| stdout.flush());
}

/// Sends all records.
pub(super) async fn run(
    producer: Producer,
    settings: &ProducerPerfSettings,
    mut payloads: Payloads,
) -> anyhow::Result<()> {
    if settings.transaction_duration.is_some() {
        producer
            .init_transactions()
            .await
            .map_err(no_transactions)?;
    }
    let clock = Clock {
        began: Instant::now(),
        measured: Arc::new(Mutex::new(Measured {
            all: Stats::new(settings.records, settings.reporting_interval, 0, false),
            steady: None,
            failures: Failures::default(),
        })),
    };
    if settings.warmup > 0 {
        say(&format!(
            "Warmup first {} records. Steady state results will print after the complete test \
             summary.",
            settings.warmup
        ));
    }
    let mut interrupts = Interrupts::new()?;
    let interrupted = tokio::select! {
        sent = send_all(&producer, settings, &mut payloads, &clock) => {
            sent?;
            // A flush ends early when something fails; what failed is counted by its callback.
            while clock.with(|measured| measured.done()) < settings.records {
                let _ = producer.flush().await;
                tokio::time::sleep(ROOM).await;
            }
            false
        }
        () = interrupts.next() => true,
    };
    let now = clock.now();
    clock.with(|measured| {
        say(&measured.all.total(now));
        if let Some(steady) = &mut measured.steady {
            say(&steady.total(now));
        }
    });
    if settings.print_metrics {
        let metrics = producer.kafka_metrics();
        let metrics = metrics.iter().map(|(name, value)| (name.as_str(), *value));
        say(&crate::client::metrics_table(metrics));
        eprintln!(
            "Metrics are those of this client; Kafka's metrics of single nodes are not available."
        );
    }
    let closed = if interrupted {
        producer.close_now();
        eprintln!("Ended before all records were delivered.");
        Err(AlreadyReported.into())
    } else {
        producer.close().await.map_err(anyhow::Error::from)
    };
    match clock.with(|measured| measured.failures.summary(settings.records)) {
        None => closed,
        Some(failures) => {
            eprintln!("{failures}");
            Err(AlreadyReported.into())
        }
    }
}

fn no_transactions(error: ProducerError) -> anyhow::Error {
    ErrorWithHint {
        message: format!("The cluster assigned no producer id for transactions: {error}"),
        hint: "The coordinator is the leader of a partition of __transaction_state: check that \
               enough brokers are in service for it."
            .to_owned(),
    }
    .into()
}

async fn send_all(
    producer: &Producer,
    settings: &ProducerPerfSettings,
    payloads: &mut Payloads,
    clock: &Clock,
) -> anyhow::Result<()> {
    let room = Room::new(settings.memory());
    let topic: Arc<str> = Arc::from(settings.topic.as_str());
    let mut transaction: Option<Instant> = None;
    for number in 0..settings.records {
        if settings.warmup > 0 && number == settings.warmup {
            say("In steady state.");
            let records = settings.records - settings.warmup;
            let steady = Stats::new(records, settings.reporting_interval, clock.now(), true);
            clock.with(|measured| {
                measured.all.be_quiet();
                measured.steady = Some(steady);
            });
        }
        if settings.transaction_duration.is_some() && transaction.is_none() {
            producer.begin_transaction()?;
            transaction = Some(Instant::now());
        }
        let value = payloads.next(number);
        let record = ProducerRecord::unassigned(Arc::clone(&topic)).value(value);
        send(producer, record, clock, &room, number >= settings.warmup).await?;
        if let (Some(began), Some(duration)) = (transaction, settings.transaction_duration)
            && began.elapsed() >= duration
        {
            producer.commit_transaction().await?;
            transaction = None;
        }
        if settings.throughput > 0.0 {
            let due = clock.began + Duration::from_secs_f64(number as f64 / settings.throughput);
            let wait = due.saturating_duration_since(Instant::now());
            if wait >= WAIT_MIN {
                tokio::time::sleep(wait).await;
            }
        } else if settings.throughput == 0.0 {
            // Kafka's tool waits without end, too.
            std::future::pending::<()>().await;
        }
        if number % TURN == 0 {
            tokio::task::yield_now().await;
        }
    }
    if transaction.is_some() {
        producer.commit_transaction().await?;
    }
    Ok(())
}

/// Gives a record to the producer, and waits while its memory is full.
async fn send(
    producer: &Producer,
    record: ProducerRecord,
    clock: &Clock,
    room: &Room,
    steady: bool,
) -> anyhow::Result<()> {
    let bytes = record.value.as_ref().map_or(0, bytes::Bytes::len);
    let sent = Instant::now();
    loop {
        let permit = room.take(bytes + OVERHEAD).await?;
        let own = clock.clone();
        let result = producer.send_with_callback(record.clone(), move |result| {
            own.on_delivery(sent, bytes as u64, steady, result.as_ref().err());
            drop(permit);
        });
        match result {
            Ok(_) => return Ok(()),
            // The callback has counted a failure, but the record is sent again.
            Err(error @ ProducerError::Backpressure) => {
                let why = why_not_delivered(&error);
                clock.with(|measured| measured.failures.take_back(&why));
                tokio::time::sleep(ROOM).await;
            }
            // The callback has counted it.
            Err(_) => return Ok(()),
        }
    }
}
