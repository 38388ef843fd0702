//! Clients with transactional ids, as honest as Kafka's: they repeat requests without a response,
//! commit only what was acknowledged, and abort otherwise. Several of them may have the same
//! transactional id; all but the newest are zombies, and continue until they are fenced.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use dohle_log::{BatchBuilder, BatchOptions};
use dohle_model::{ErrorCode, NodeId, Sequence, TopicPartition};
use dohle_transactions::{ProducerIdAndEpoch, TransactionVersion, TransactionalId};

use super::brokers::{coordinator, producer_of};
use super::messages::{Produce, Reply, ReplyTo, Request};
use super::replicas::pick;
use super::world::{IDS, World, data_partitions};

/// Clients at a time.
const CLIENTS_MAX: usize = 4;
/// Batches of a client that are not acknowledged.
const IN_FLIGHT_MAX: usize = 4;

/// A batch that is not acknowledged.
#[derive(Debug, Clone)]
struct Batch {
    produce: Produce,
    values: Vec<u64>,
}

/// What the request that the client waits for is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Init,
    Add,
    End(bool),
}

#[derive(Debug)]
pub struct Client {
    id: TransactionalId,
    version: TransactionVersion,
    producer: Option<ProducerIdAndEpoch>,
    next_sequences: BTreeMap<TopicPartition, i32>,
    /// The number of the open transaction in the history.
    transaction: Option<u64>,
    added: BTreeSet<TopicPartition>,
    /// Whether the transaction has an error, and has to be aborted.
    must_abort: bool,
    /// Whether sequences are in doubt, so that the producer needs a new epoch (KIP-360).
    must_bump: bool,
    waits_for: Option<(u64, Purpose, Request)>,
    in_flight: BTreeMap<u64, Batch>,
    next_number: u64,
}

/// What a response does to a client.
enum Outcome {
    Continues,
    /// Fenced, or an error that ends the program: another client takes its place.
    Ends,
}

impl Client {
    fn new(id: &str, version: TransactionVersion) -> Self {
        Self {
            id: TransactionalId::new(id),
            version,
            producer: None,
            next_sequences: BTreeMap::new(),
            transaction: None,
            added: BTreeSet::new(),
            must_abort: false,
            must_bump: false,
            waits_for: None,
            in_flight: BTreeMap::new(),
            next_number: 0,
        }
    }

    fn number(&mut self) -> u64 {
        self.next_number += 1;
        self.next_number
    }

    fn begin(&mut self, purpose: Purpose, request: Request) {
        let number = self.number();
        self.waits_for = Some((number, purpose, request));
    }

    /// The producer has a new epoch: sequences begin at 0.
    fn adopt(&mut self, producer: ProducerIdAndEpoch) {
        self.producer = Some(producer);
        self.next_sequences.clear();
        self.must_bump = false;
    }

    fn leave_transaction(&mut self) {
        self.transaction = None;
        self.added.clear();
        self.must_abort = false;
        self.in_flight.clear();
    }

    /// The batch of a partition that has to be in the log before the others.
    fn is_first(&self, number: u64, partition: &TopicPartition) -> bool {
        let mut earlier = self.in_flight.range(..number);
        !earlier.any(|(_, batch)| batch.produce.partition == *partition)
    }
}

impl World {
    /// A client does something, or one begins or dies.
    pub fn client_acts(&mut self) {
        if self.clients.len() < CLIENTS_MAX && (self.clients.is_empty() || self.random.one_in(25)) {
            let id = pick(&IDS, &mut self.random).unwrap();
            self.next_client += 1;
            self.clients
                .insert(self.next_client, Client::new(id, self.version));
        }
        let numbers: Vec<_> = self.clients.keys().copied().collect();
        let Some(number) = pick(&numbers, &mut self.random) else {
            return;
        };
        if self.random.one_in(300) {
            self.note("client dies", || number.to_string());
            self.clients.remove(&number);
            return;
        }
        let mut client = self.clients.remove(&number).unwrap();
        self.act(number, &mut client);
        self.clients.insert(number, client);
    }

    fn act(&mut self, number: u64, client: &mut Client) {
        if client.waits_for.is_some() {
            if self.random.one_in(8) {
                self.send_again(number, client);
            }
            return;
        }
        let Some(producer) = client.producer else {
            return self.init(number, client, None);
        };
        if client.transaction.is_none() && client.must_bump {
            return self.init(number, client, Some(producer));
        }
        let produces = if client.next_sequences.is_empty() {
            9
        } else {
            6
        };
        match self.random.below(10) {
            at if at < produces && !client.must_abort => self.produce(number, client, producer),
            0..8 if !client.in_flight.is_empty() => self.produce_again(number, client),
            8 if !client.in_flight.is_empty() && self.random.one_in(20) => {
                // It takes too long.
                self.note("gives up", || number.to_string());
                client.must_abort = true;
                client.must_bump = true;
            }
            _ => self.end(number, client, producer),
        }
    }

    fn init(&mut self, number: u64, client: &mut Client, expected: Option<ProducerIdAndEpoch>) {
        let id = client.id.clone();
        client.begin(Purpose::Init, Request::Init { id, expected });
        self.send_again(number, client);
    }

    /// Sends the request that the client waits for.
    fn send_again(&mut self, client_number: u64, client: &mut Client) {
        let Some((number, _, request)) = client.waits_for.clone() else {
            return;
        };
        let to = self.coordinator_for(&client.id);
        let reply = ReplyTo {
            client: client_number,
            number,
        };
        self.network
            .push(super::messages::Message::Request(to, reply, request));
    }

    /// The coordinator, or another broker that the client takes for it.
    fn coordinator_for(&mut self, id: &TransactionalId) -> NodeId {
        let node = self.any_node();
        if self.random.one_in(10) {
            return node;
        }
        coordinator(&self.image, id.as_str()).unwrap_or(node)
    }

    fn produce(&mut self, number: u64, client: &mut Client, producer: ProducerIdAndEpoch) {
        if client.in_flight.len() >= IN_FLIGHT_MAX {
            return;
        }
        let at = self.random.below(data_partitions().len() as u64) as usize;
        let partition = data_partitions().swap_remove(at);
        let transaction = *client
            .transaction
            .get_or_insert_with(|| self.history.begin(&client.id, producer));
        if !client.version.bumps_epochs() && !client.added.contains(&partition) {
            let request = Request::Add {
                id: client.id.clone(),
                producer,
                partition: partition.clone(),
            };
            client.begin(Purpose::Add, request);
            return self.send_again(number, client);
        }
        client.added.insert(partition.clone());
        let count = 1 + self.random.below(2);
        let values = self.history.values(transaction, &partition, count);
        let next = client.next_sequences.entry(partition.clone()).or_default();
        let sequence = *next;
        *next += count as i32;
        let produce = Produce {
            id: client.id.clone(),
            producer,
            partition,
            sequence,
            records: self.batch(producer, sequence, &values),
            version: client.version,
        };
        let request_number = client.number();
        client
            .in_flight
            .insert(request_number, Batch { produce, values });
        self.send_batch(number, client, request_number);
    }

    fn batch(&self, producer: ProducerIdAndEpoch, sequence: i32, values: &[u64]) -> Bytes {
        let mut builder = BatchBuilder::new(BatchOptions {
            producer: Some((producer.id, producer.epoch, Some(Sequence(sequence)))),
            transactional: true,
            ..BatchOptions::default()
        });
        for value in values {
            builder.append(Some(self.wall), None, Some(&value.to_be_bytes()), &[]);
        }
        builder.build().unwrap()
    }

    fn produce_again(&mut self, number: u64, client: &Client) {
        let numbers: Vec<_> = client.in_flight.keys().copied().collect();
        if let Some(again) = pick(&numbers, &mut self.random) {
            self.send_batch(number, client, again);
        }
    }

    fn send_batch(&mut self, client_number: u64, client: &Client, number: u64) {
        let produce = client.in_flight[&number].produce.clone();
        let node = self.any_node();
        let leader = self.partitions[&produce.partition].leader;
        let to = leader.filter(|_| !self.random.one_in(10)).unwrap_or(node);
        let reply = ReplyTo {
            client: client_number,
            number,
        };
        let request = Request::Produce(produce);
        self.network
            .push(super::messages::Message::Request(to, reply, request));
    }

    fn end(&mut self, number: u64, client: &mut Client, producer: ProducerIdAndEpoch) {
        let Some(transaction) = client.transaction else {
            return;
        };
        if client.added.is_empty() {
            return client.leave_transaction();
        }
        let aborts_one_in = match client.in_flight.is_empty() {
            true => 4,
            false => self.mood.aborts_in_flight_one_in,
        };
        let commit = !client.must_abort && !self.random.one_in(aborts_one_in);
        if commit && !client.in_flight.is_empty() {
            return;
        }
        if !client.in_flight.is_empty() {
            // Their sequences are in doubt.
            client.must_bump = true;
        }
        self.history.ask(transaction, commit);
        let request = Request::End {
            id: client.id.clone(),
            producer,
            commit,
            version: client.version,
        };
        client.begin(Purpose::End(commit), request);
        self.send_again(number, client);
    }

    /// A client gets a response. Those to other requests than it waits for are late.
    pub fn on_response(&mut self, to: ReplyTo, reply: Reply) {
        let Some(mut client) = self.clients.remove(&to.client) else {
            return;
        };
        let expected = client.waits_for.as_ref();
        let purpose = expected.filter(|(number, ..)| *number == to.number);
        let outcome = match purpose.map(|(_, purpose, _)| *purpose) {
            Some(purpose) => self.on_reply(&mut client, purpose, reply),
            None if client.in_flight.contains_key(&to.number) => {
                self.on_produced(&mut client, to.number, reply)
            }
            None => Outcome::Continues,
        };
        match outcome {
            Outcome::Continues => drop(self.clients.insert(to.client, client)),
            Outcome::Ends => self.note("client ends", || format!("{}: {reply:?}", to.client)),
        }
    }

    fn on_reply(&mut self, client: &mut Client, purpose: Purpose, reply: Reply) -> Outcome {
        match reply {
            Err(
                ErrorCode::NotCoordinator
                | ErrorCode::CoordinatorLoadInProgress
                | ErrorCode::CoordinatorNotAvailable
                | ErrorCode::ConcurrentTransactions
                | ErrorCode::RequestTimedOut,
            ) => return Outcome::Continues,
            Err(code) => {
                self.count_error(code);
                return Outcome::Ends;
            }
            Ok(_) => {}
        }
        let next = producer_of(&reply);
        let request = client.waits_for.take();
        match (purpose, request) {
            (Purpose::Init, _) => {
                let producer = next.expect("the reply has a producer");
                self.history.initialize(&client.id, producer);
                client.adopt(producer);
                self.note("init", || format!("{} {producer:?}", client.id));
            }
            (Purpose::Add, Some((_, _, Request::Add { partition, .. }))) => {
                client.added.insert(partition);
            }
            (Purpose::Add, _) => unreachable!("the request of that purpose"),
            (Purpose::End(commit), _) => {
                let transaction = client.transaction.expect("it was open");
                self.history.answer(transaction, commit);
                let kind = if commit { "commit" } else { "abort" };
                self.note(kind, || format!("{transaction} of {}", client.id));
                client.leave_transaction();
                if let Some(next) = next {
                    client.adopt(next);
                }
            }
        }
        Outcome::Continues
    }

    fn on_produced(&mut self, client: &mut Client, number: u64, reply: Reply) -> Outcome {
        let Err(code) = reply else {
            let batch = client.in_flight.remove(&number).expect("it is there");
            self.history.acknowledge(&batch.values);
            return Outcome::Continues;
        };
        let partition = client.in_flight[&number].produce.partition.clone();
        match code {
            ErrorCode::OutOfOrderSequenceNumber if !client.is_first(number, &partition) => {}
            // As in Kafka, these end the transaction, or are found out by its end.
            ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::TransactionAbortable
            | ErrorCode::InvalidTxnState => {
                self.count_error(code);
                client.must_abort = true;
                client.must_bump = true;
            }
            ErrorCode::NotLeaderOrFollower
            | ErrorCode::NotEnoughReplicas
            | ErrorCode::RequestTimedOut
            | ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::ConcurrentTransactions => {}
            code => {
                self.count_error(code);
                return Outcome::Ends;
            }
        }
        Outcome::Continues
    }

    fn count_error(&mut self, code: ErrorCode) {
        let kind = match code {
            ErrorCode::ProducerFenced => "fenced",
            ErrorCode::InvalidProducerEpoch => "invalid epoch",
            ErrorCode::InvalidProducerIdMapping => "invalid id",
            ErrorCode::InvalidTxnState => "invalid state",
            ErrorCode::OutOfOrderSequenceNumber => "out of order",
            ErrorCode::TransactionAbortable => "abortable",
            code => panic!("an error that no client expects: {code}"),
        };
        self.note(kind, String::new);
    }
}
