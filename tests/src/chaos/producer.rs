//! Producers: one that is idempotent, and one with transactions.
//!
//! Both try a request again, with the same sequence, until it is acknowledged. An error that does
//! not pass with another try is a finding of its own: see [`Shared::report`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use kacrab_protocol::generated as kafka;
use parking_lot::Mutex;

use super::client::{Client, Coordinator, Partitions};
use super::group::Protocol;
use super::history::{End, Outcome, Partition, Send, Tick, Transaction, Value};
use crate::cluster::text;
use crate::eventually;
use crate::random::Random;
use crate::records::{self, Producer, produce_request};

/// How long a request is tried again: longer than any fault of the plan lasts.
const PATIENCE: Duration = Duration::from_secs(90);

/// The most records of a transaction.
const RECORDS_MAX: usize = 4;

/// Errors that pass: of a node that does not lead or coordinate, of replicas that are not there,
/// and of a transaction whose previous one is still being completed.
const TRANSIENT: [i16; 12] = [3, 5, 6, 7, 13, 14, 15, 16, 19, 20, 51, 56];
/// Errors that end a transactional producer's epoch: a state that does not fit, an unknown id, an
/// old epoch.
const FENCED: [i16; 5] = [47, 48, 49, 59, 90];

/// What the workers of a run share.
#[derive(Debug, Default)]
pub struct Shared {
    /// Whether producers send nothing new.
    pub is_over: AtomicBool,
    /// The number of acknowledged records.
    pub acknowledged: AtomicU64,
    last_value: AtomicU64,
    last_tick: AtomicU64,
    /// The numbers of acknowledged commits in the groups of the two protocols.
    commits: [AtomicU64; 2],
    transactions: Mutex<Vec<End>>,
    errors: Mutex<Vec<String>>,
}

impl Shared {
    fn value(&self) -> Value {
        self.last_value.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Returns the present point in time.
    pub fn tick(&self) -> Tick {
        self.last_tick.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// Notes a commit that was acknowledged.
    pub fn note_commit(&self, protocol: Protocol) {
        self.commits[protocol as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the number of commits that were acknowledged.
    pub fn commits(&self, protocol: Protocol) -> u64 {
        self.commits[protocol as usize].load(Ordering::Relaxed)
    }

    /// Notes an answer that no fault explains.
    pub fn report(&self, error: String) {
        self.errors.lock().push(error);
    }

    /// Returns the ends of all transactions, and the answers that no fault explains.
    #[must_use]
    pub fn into_parts(self) -> (Vec<End>, Vec<String>) {
        (self.transactions.into_inner(), self.errors.into_inner())
    }

    fn begin(&self) -> Transaction {
        let mut transactions = self.transactions.lock();
        // Until a commit is asked for, the transaction can only be aborted.
        transactions.push(End::Aborted);
        transactions.len() - 1
    }

    fn end(&self, transaction: Transaction, end: End) {
        self.transactions.lock()[transaction] = end;
    }
}

/// The result of requests that were repeated.
enum Answered<T> {
    Acknowledged(T),
    Fenced(i16),
}

/// Repeats `ask` until it is acknowledged, or its error does not pass.
fn repeat<T>(what: &str, mut ask: impl FnMut() -> Result<(T, i16)>) -> Result<Answered<T>> {
    let answered = eventually(PATIENCE, what, || match ask()? {
        (answer, 0) => Ok(Some(Ok(Answered::Acknowledged(answer)))),
        (_, code) if TRANSIENT.contains(&code) => bail!("error {code}"),
        (_, code) if FENCED.contains(&code) => Ok(Some(Ok(Answered::Fenced(code)))),
        (_, code) => Ok(Some(Err(code))),
    })?;
    answered.map_err(|code| anyhow!("{what}: error {code}"))
}

/// A producer and what it has sent.
#[derive(Debug)]
pub struct Worker<'a> {
    client: Client,
    partitions: Partitions,
    shared: &'a Shared,
    random: Random,
    /// The transactional id; `None` for a producer that is idempotent alone.
    id: Option<String>,
    producer: Producer,
    sequences: BTreeMap<Partition, i32>,
    sends: Vec<Send>,
}

impl<'a> Worker<'a> {
    /// Returns a producer that has not been initialized.
    #[must_use]
    pub fn new(
        client: Client,
        partitions: &Partitions,
        shared: &'a Shared,
        random: Random,
        id: Option<String>,
    ) -> Self {
        Self {
            client,
            partitions: partitions.clone(),
            shared,
            random,
            id,
            producer: Producer { id: -1, epoch: -1 },
            sequences: BTreeMap::new(),
            sends: Vec::new(),
        }
    }

    /// Sends until the run is over. Returns what was sent.
    pub fn run(mut self) -> Vec<Send> {
        if let Err(error) = self.initialize().and_then(|()| self.send_all()) {
            self.shared.report(format!("{error:#}"));
        }
        self.sends
    }

    fn send_all(&mut self) -> Result<()> {
        while !self.shared.is_over.load(Ordering::Relaxed) {
            match self.id.clone() {
                None => {
                    if let Answered::Fenced(code) = self.send(None)? {
                        bail!("an idempotent producer was refused with error {code}");
                    }
                }
                Some(id) => self.transaction(&id)?,
            }
        }
        Ok(())
    }

    fn initialize(&mut self) -> Result<()> {
        let request = kafka::InitProducerIdRequestData {
            transactional_id: self.id.as_deref().map(text),
            transaction_timeout_ms: 60_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let client = &mut self.client;
        let id = self.id.clone();
        let name = self.partitions.name(0);
        let answered = repeat("a producer id is given out", || {
            let ask = |connection: &mut crate::KafkaConnection| {
                let answer = connection.call(&request, 4)?;
                let code = answer.error_code;
                Ok((answer, code))
            };
            match &id {
                Some(id) => client.on_coordinator(Coordinator::Transaction(id), ask),
                None => client.on_leader(name, ask),
            }
        })?;
        let Answered::Acknowledged(answer) = answered else {
            bail!("InitProducerId was refused");
        };
        self.producer = Producer {
            id: answer.producer_id,
            epoch: answer.producer_epoch,
        };
        self.sequences.clear();
        Ok(())
    }

    /// Sends one record to a random partition.
    fn send(&mut self, transaction: Option<Transaction>) -> Result<Answered<()>> {
        let partition = self.random.below(self.partitions.0.len());
        self.send_to(partition, transaction)
    }

    fn send_to(
        &mut self,
        partition: Partition,
        transaction: Option<Transaction>,
    ) -> Result<Answered<()>> {
        let value = self.shared.value();
        let sequence = self.sequences.get(&partition).copied().unwrap_or(0);
        let bytes = value.to_be_bytes();
        let batch = match transaction {
            None => records::idempotent_batch(self.producer, sequence, &bytes)?,
            Some(_) => records::transactional_batch(self.producer, sequence, 0, &bytes)?,
        };
        let name = self.partitions.name(partition);
        let mut request = produce_request(name.0, name.1, -1, batch.freeze());
        request.transactional_id = transaction.and(self.id.as_deref()).map(text);
        let at = self.sends.len();
        self.sends.push(Send {
            partition,
            value,
            outcome: Outcome::Unknown,
            transaction,
        });
        let client = &mut self.client;
        let what = format!("value {value} is acknowledged");
        let answered = repeat(&what, || {
            client.on_leader(name, |connection| {
                let produced = records::send_batch(connection, &request)?;
                Ok((produced.base_offset, produced.error_code))
            })
        })?;
        Ok(match answered {
            Answered::Acknowledged(offset) => {
                self.sends[at].outcome = Outcome::Acknowledged(offset);
                self.sequences.insert(partition, sequence + 1);
                self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                Answered::Acknowledged(())
            }
            Answered::Fenced(code) => Answered::Fenced(code),
        })
    }

    /// Sends a few records in a transaction, and commits or aborts it.
    fn transaction(&mut self, id: &str) -> Result<()> {
        let transaction = self.shared.begin();
        for _ in 0..=self.random.below(RECORDS_MAX) {
            let partition = self.random.below(self.partitions.0.len());
            let added = self.add(id, partition)?;
            let sent = match added {
                Answered::Acknowledged(()) => self.send_to(partition, Some(transaction))?,
                fenced => fenced,
            };
            if let Answered::Fenced(_) = sent {
                // The coordinator has aborted the transaction, for example at its timeout.
                return self.initialize();
            }
        }
        let commits = self.random.below(5) > 0;
        if commits {
            self.shared.end(transaction, End::Unknown);
        }
        match self.finish(id, commits)? {
            Answered::Acknowledged(()) if commits => {
                self.shared.end(transaction, End::Committed);
                Ok(())
            }
            Answered::Acknowledged(()) => Ok(()),
            Answered::Fenced(_) => self.initialize(),
        }
    }

    fn add(&mut self, id: &str, partition: Partition) -> Result<Answered<()>> {
        let (topic, index) = self.partitions.name(partition);
        let request = kafka::AddPartitionsToTxnRequestData {
            v3_and_below_transactional_id: text(id),
            v3_and_below_producer_id: self.producer.id,
            v3_and_below_producer_epoch: self.producer.epoch,
            v3_and_below_topics: vec![kafka::AddPartitionsToTxnTopic {
                name: text(topic),
                partitions: vec![index],
                ..Default::default()
            }],
            ..Default::default()
        };
        let client = &mut self.client;
        repeat("a partition is added to a transaction", || {
            client.on_coordinator(Coordinator::Transaction(id), |connection| {
                let answer = connection.call(&request, 3)?;
                let topic = answer.results_by_topic_v3_and_below.first();
                let partition = topic.and_then(|topic| topic.results_by_partition.first());
                let partition = partition.context("no partition in the answer")?;
                Ok(((), partition.partition_error_code))
            })
        })
    }

    fn finish(&mut self, id: &str, commits: bool) -> Result<Answered<()>> {
        let request = kafka::EndTxnRequestData {
            transactional_id: text(id),
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            committed: commits,
            ..Default::default()
        };
        let client = &mut self.client;
        repeat("a transaction ends", || {
            client.on_coordinator(Coordinator::Transaction(id), |connection| {
                let answer = connection.call(&request, 4)?;
                Ok(((), answer.error_code))
            })
        })
    }
}
