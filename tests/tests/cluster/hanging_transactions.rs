//! Hanging transactions: records that reach a partition after the marker of their transaction open
//! one there that no coordinator has, so that nothing ends it. Verification refuses such records.
//! Without it, `find-hanging` of Dohle's and of Kafka's tool finds them, and `abort` ends them.

use anyhow::{Context, Result, ensure};
use dohle_tests::clients::kcat::kcat;
use dohle_tests::cluster::text;
use dohle_tests::connection::KafkaConnection;
use dohle_tests::records::{
    PRODUCE_VERSION, Producer, fetch, produce_request, transactional_batch,
};
use dohle_tests::wait::DEADLINE;
use dohle_tests::{Cluster, eventually, until};
use kacrab_protocol::generated as kafka;

use crate::console_tools::{ours, theirs};

pub(super) const TOPIC: &str = "orders";
const TRANSACTION_ABORTABLE: i16 = 120;
/// Of FindCoordinator.
const TRANSACTION: i8 = 1;
/// Above the longest timeout of a transaction that `find-hanging` assumes.
const HOUR_MS: i64 = 3_600_000;

/// A transactional producer that sends single requests, as clients did before KIP-890.
pub(super) struct Client<'a> {
    cluster: &'a Cluster,
    id: &'static str,
    producer: Producer,
    partition: i32,
}

impl<'a> Client<'a> {
    pub(super) fn init(cluster: &'a Cluster, id: &'static str, partition: i32) -> Result<Self> {
        let request = kafka::InitProducerIdRequestData {
            transactional_id: Some(text(id)),
            transaction_timeout_ms: 600_000,
            producer_id: -1,
            producer_epoch: -1,
            ..Default::default()
        };
        let producer = eventually(DEADLINE, "a producer id is assigned", || {
            let answer = coordinator(cluster, id)?.call(&request, 4)?;
            ensure!(answer.error_code == 0, "error {}", answer.error_code);
            Ok(Some(Producer {
                id: answer.producer_id,
                epoch: answer.producer_epoch,
            }))
        })?;
        Ok(Self {
            cluster,
            id,
            producer,
            partition,
        })
    }

    /// Returns the producer id and epoch.
    pub(super) fn producer(&self) -> Producer {
        self.producer
    }

    pub(super) fn add_partition(&self) -> Result<()> {
        let topic = kafka::AddPartitionsToTxnTopic {
            name: text(TOPIC),
            partitions: vec![self.partition],
            ..Default::default()
        };
        let request = kafka::AddPartitionsToTxnRequestData {
            v3_and_below_transactional_id: text(self.id),
            v3_and_below_producer_id: self.producer.id,
            v3_and_below_producer_epoch: self.producer.epoch,
            v3_and_below_topics: vec![topic],
            ..Default::default()
        };
        let answer = coordinator(self.cluster, self.id)?.call(&request, 3)?;
        let topic = &answer.results_by_topic_v3_and_below[0];
        let error_code = topic.results_by_partition[0].partition_error_code;
        ensure!(error_code == 0, "add a partition: error {error_code}");
        Ok(())
    }

    /// The error code and the offset of a record.
    pub(super) fn write(&self, sequence: i32, value: &str) -> Result<(i16, i64)> {
        let records = transactional_batch(self.producer, sequence, HOUR_MS, value.as_bytes())?;
        let mut request = produce_request(TOPIC, self.partition, -1, records.freeze());
        request.transactional_id = Some(text(self.id));
        let answer =
            leader(self.cluster, TOPIC, self.partition)?.call(&request, PRODUCE_VERSION)?;
        let partition = &answer.responses[0].partition_responses[0];
        Ok((partition.error_code, partition.base_offset))
    }

    /// Commits or aborts the transaction.
    pub(super) fn end(&self, committed: bool) -> Result<()> {
        let request = kafka::EndTxnRequestData {
            transactional_id: text(self.id),
            producer_id: self.producer.id,
            producer_epoch: self.producer.epoch,
            committed,
            ..Default::default()
        };
        let answer = coordinator(self.cluster, self.id)?.call(&request, 4)?;
        ensure!(
            answer.error_code == 0,
            "EndTxn: error {}",
            answer.error_code
        );
        Ok(())
    }

    /// Aborts the transaction, and waits for the marker.
    fn abort(&self) -> Result<()> {
        self.end(false)?;
        until(DEADLINE, "the marker is written", || {
            let (_, end) = fetch(&mut self.cluster.connect()?, TOPIC, self.partition, 0)?;
            Ok(end == 2)
        })
    }
}

fn connect(cluster: &Cluster, id: i32) -> Result<KafkaConnection> {
    let node = cluster.nodes().iter().find(|node| node.id == id);
    node.with_context(|| format!("{id} is no node"))?.connect()
}

fn leader(cluster: &Cluster, topic: &str, partition: i32) -> Result<KafkaConnection> {
    connect(cluster, cluster.leader(topic, usize::try_from(partition)?)?)
}

/// Connects to the coordinator of the transactions of this id. Makes the cluster create the topic
/// of transactions.
fn coordinator(cluster: &Cluster, id: &str) -> Result<KafkaConnection> {
    let find = kafka::FindCoordinatorRequestData {
        key_type: TRANSACTION,
        coordinator_keys: vec![text(id)],
        ..Default::default()
    };
    let found = cluster.connect()?.call(&find, 6)?;
    let found = found.coordinators.first().context("no coordinator")?;
    ensure!(found.error_code == 0, "error {}", found.error_code);
    connect(cluster, found.node_id)
}

fn verify(cluster: &Cluster, is_on: bool) -> Result<()> {
    let property = format!("transaction.partition.verification.enable={is_on}");
    let arguments = ["--alter", "--entity-type", "brokers", "--entity-default"];
    ours("configs", &cluster.bootstrap(), &arguments)?
        .args(["--add-config", &property])
        .run()?
        .ok()?;
    Ok(())
}

/// What a reader of committed records sees of a partition, up to where it has to wait.
pub(super) fn committed(cluster: &Cluster, partition: i32) -> Result<String> {
    let partition = partition.to_string();
    let arguments = ["-C", "-t", TOPIC, "-p", &partition, "-e", "-q"];
    let isolation = ["-X", "isolation.level=read_committed"];
    kcat(&cluster.bootstrap(), &[&arguments[..], &isolation].concat())
        .run()?
        .ok()
}

/// The rows of `find-hanging`: the columns up to the start offset, sorted. Both tools print them.
fn found(cluster: &Cluster, scope: &[&str]) -> Result<Vec<String>> {
    let bootstrap = cluster.bootstrap();
    let arguments = [&["find-hanging"], scope].concat();
    let rows = |printed: String| -> Vec<String> {
        let columns = |line: &str| {
            line.split_whitespace()
                .take(6)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let mut rows: Vec<String> = printed.lines().skip(1).map(columns).collect();
        rows.sort();
        rows
    };
    let ours = rows(ours("transactions", &bootstrap, &arguments)?.run()?.ok()?);
    let theirs = theirs("TransactionsCommand", &bootstrap, &arguments);
    let theirs = rows(theirs.run()?.ok()?);
    ensure!(ours == theirs, "{ours:?} is not Kafka's {theirs:?}");
    Ok(ours)
}

#[test]
fn hanging_transactions_are_found_and_aborted_by_both_tools() -> Result<()> {
    let cluster = Cluster::of(1)
        .property("transaction.state.log.replication.factor", "1")
        .property("transaction.state.log.min.isr", "1")
        .property("transaction.state.log.num.partitions", "1")
        .start()?;
    cluster.create_topic(TOPIC, 3, 1, &[])?;
    let late = [
        Client::init(&cluster, "late-0", 0)?,
        Client::init(&cluster, "late-1", 1)?,
    ];
    for client in &late {
        client.add_partition()?;
        ensure!(client.write(0, "aborted")? == (0, 0));
        client.abort()?;
        let (error_code, _) = client.write(1, "late")?;
        ensure!(error_code == TRANSACTION_ABORTABLE, "error {error_code}");
    }
    // A transaction as old that its coordinator has is none of them.
    let slow = Client::init(&cluster, "slow", 2)?;
    slow.add_partition()?;
    ensure!(slow.write(0, "slow")? == (0, 0));
    ensure!(found(&cluster, &["--topic", TOPIC])?.is_empty());

    verify(&cluster, false)?;
    let mut expected = Vec::new();
    for client in &late {
        until(DEADLINE, "the late record is written", || {
            Ok(client.write(1, "late")? == (0, 2))
        })?;
        let producer = client.producer;
        // The marker came from the first epoch of the coordinator.
        expected.push(format!(
            "{TOPIC} {} {} {} 0 2",
            client.partition, producer.id, producer.epoch
        ));
        let partition = client.partition.to_string();
        kcat(&cluster.bootstrap(), &["-P", "-t", TOPIC, "-p", &partition])
            .input("behind\n")
            .run()?
            .ok()?;
        ensure!(committed(&cluster, client.partition)?.is_empty());
    }
    expected.sort();
    for scope in [&["--topic", TOPIC], &["--broker-id", "1"]] {
        let found = found(&cluster, scope)?;
        ensure!(found == expected, "{found:?}");
    }

    let bootstrap = cluster.bootstrap();
    let abort = |partition| {
        let arguments = ["abort", "--topic", TOPIC, "--start-offset", "2"];
        [&arguments[..], &["--partition", partition]].concat()
    };
    ours("transactions", &bootstrap, &abort("0"))?
        .run()?
        .ok()
        .context("abort with Dohle's tool")?;
    ensure!(committed(&cluster, 0)? == "behind\n");
    ensure!(found(&cluster, &["--topic", TOPIC])? == expected[1..]);
    theirs("TransactionsCommand", &bootstrap, &abort("1"))
        .run()?
        .ok()
        .context("abort with Kafka's tool")?;
    ensure!(committed(&cluster, 1)? == "behind\n");
    ensure!(found(&cluster, &["--topic", TOPIC])?.is_empty());
    // The slow one goes on.
    ensure!(slow.write(1, "slow too")? == (0, 1));
    Ok(())
}
