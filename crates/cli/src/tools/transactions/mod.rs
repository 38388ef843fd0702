//! `transactions`: the state of transactions and of the producers of partitions; ends those that
//! hang.
//!
//! Kafka's `TransactionsCommand`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use dohle_admin::{
    AbortMarker, Cluster, ListedTransaction, PartitionId, Producer, Refusal, Transaction,
    TransactionFilter, abort_transaction, describe_producers, describe_transaction,
    describe_transactions, list_topics, list_transactions, partitions_of, terminate_transaction,
};
use serde::Serialize;

use crate::clock::now_ms;
use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{all_of, any_of, arguments};
use crate::table::{Table, cells};
use crate::text::join;
use crate::tool_run::{OUTPUT, Tool, ToolRun, Work};

/// How many partitions are asked for at once.
const BATCH: usize = 500;
const MINUTE_MS: i64 = 60_000;

const COMMANDS: &str = "
    list: list transactions
        --duration-filter <ms>: Duration (in millis) to filter by: if < 0, all transactions will be
            returned; otherwise, only transactions running longer than this duration will be
            returned
        --transactional-id-pattern <pattern>: Transactional id regular expression pattern to filter
            by
    describe: describe the state of an active transactional-id
        --transactional-id <id>: transactional id
    describe-producers: describe the states of active producers for a topic partition
        --broker-id <id>: optional broker id to describe the producer state on a specific replica
        --topic <topic>: topic name
        --partition <partition>: partition number
    abort: abort a hanging transaction (requires administrative privileges)
        --topic <topic>: topic name
        --partition <partition>: partition number
        --start-offset <offset>: start offset of the transaction to abort
        --producer-id <id>: producer id; for brokers before 3.0, with --producer-epoch and
            --coordinator-epoch
        --producer-epoch <epoch>: producer epoch
        --coordinator-epoch <epoch>: coordinator epoch
    find-hanging: find hanging transactions
        --broker-id <id>: broker id to search for hanging transactions
        --max-transaction-timeout <minutes>: maximum transaction timeout in minutes to limit the
            scope of the search (15 minutes by default)
        --topic <topic>: topic name to limit search to (required if --partition is specified)
        --partition <partition>: partition number
    forceTerminateTransaction: Force abort an ongoing transaction on transactionalId (requires
        administrative privileges)
        --transactionalId <id>: transactional id
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-transactions",
    "This tool is used to analyze the transactional state of producers in the cluster. It can be \
     used to detect and recover from hanging transactions.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    arguments("transactional-id").when("describe"),
    arguments("topic partition").when("describe-producers abort"),
    arguments("transactionalId").when("forceTerminateTransaction"),
    any_of("start-offset producer-id").when("abort").message(
        "The transaction to abort must be identified either with --start-offset (for brokers on \
         3.0 or above) or with --producer-id, --producer-epoch, and --coordinator-epoch (for older \
         brokers)",
    ),
    all_of("producer-epoch coordinator-epoch")
        .when("producer-id")
        .unless("start-offset")
        .message("Missing required argument --{first}"),
    any_of("topic broker-id").when("find-hanging").message(
        "The `find-hanging` command requires either --topic or --broker-id to limit the scope of \
         the search",
    ),
    all_of("topic")
        .when("partition")
        .message("The --partition argument requires --topic to be provided"),
])
.commands(COMMANDS);

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    match run.parsed.command {
        Some("describe") => describe(run).await,
        Some("describe-producers") => producers(run).await,
        Some("abort") => abort(run).await,
        Some("find-hanging") => find_hanging(run).await,
        Some("forceTerminateTransaction") => {
            let id = run.parsed.required("transactionalId")?;
            let cluster = run.connect().await?;
            let done = terminate_transaction(&cluster, id).await;
            done.map_err(failed(&format!(
                "Failed to force terminate transactionalId `{id}`"
            )))
        }
        _ => list(run).await,
    }
}

/// Puts what failed before the reason, as Kafka's tool does.
fn failed<E: std::fmt::Display>(what: &str) -> impl Fn(E) -> anyhow::Error {
    move |error| anyhow::anyhow!("{what}: {error}")
}

fn or_none(value: Option<i64>) -> String {
    value.map_or("None".to_owned(), |value| value.to_string())
}

async fn list(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let pattern = run.parsed.value("transactional-id-pattern")?;
    let filter = TransactionFilter {
        duration_ms: run.parsed.parsed("duration-filter")?,
        pattern: pattern.map(str::to_owned),
        ..TransactionFilter::default()
    };
    let cluster = run.connect().await?;
    let listed = list_transactions(&cluster, &filter, &run.progress).await;
    let listed = listed.map_err(failed("Failed to list transactions"))?;
    run.show(listed.as_slice(), render_list)
}

fn render_list(rows: &[ListedTransaction]) -> String {
    Table::with_tabs("TransactionalId | Coordinator | ProducerId | TransactionState").text(
        rows,
        |row| {
            cells![
                row.transactional_id,
                row.coordinator,
                row.producer_id,
                row.transaction_state
            ]
        },
    )
}

async fn describe(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let id = run.parsed.required("transactional-id")?;
    let cluster = run.connect().await?;
    let what = format!("Failed to describe transaction state of transactional-id `{id}`");
    let described = describe_transaction(&cluster, id).await;
    let described = described.map_err(failed(&what))?;
    run.show(&described, |described| {
        render_transaction(described, now_ms())
    })
}

fn render_transaction(described: &Transaction, now_ms: i64) -> String {
    Table::with_tabs(
        "CoordinatorId | TransactionalId | ProducerId | ProducerEpoch | TransactionState | \
         TransactionTimeoutMs | CurrentTransactionStartTimeMs | TransactionDurationMs | \
         TopicPartitions",
    )
    .text([described], |row| {
        cells![
            row.coordinator_id,
            row.transactional_id,
            row.producer_id,
            row.producer_epoch,
            row.transaction_state,
            row.transaction_timeout_ms,
            or_none(row.start_time_ms),
            or_none(row.start_time_ms.map(|start| now_ms - start)),
            join(&row.partitions),
        ]
    })
}

async fn producers(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let id = partition(run)?;
    let broker: Option<i32> = run.parsed.parsed("broker-id")?;
    let on = broker.map_or("leader".to_owned(), |id| format!("broker {id}"));
    let what = format!("Failed to describe producers for partition {id} on {on}");
    let cluster = run.connect().await?;
    let producers = producers_of(run, &cluster, &id, broker, &what).await?;
    run.show(producers.as_slice(), render_producers)
}

/// Returns the producers of a partition, as its leader or one broker reports them. `what` is put
/// before an error.
async fn producers_of(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    id: &PartitionId,
    broker: Option<i32>,
    what: &str,
) -> anyhow::Result<Vec<Producer>> {
    let described = describe_producers(cluster, std::slice::from_ref(id), broker, &run.progress);
    let mut described = described.await.map_err(failed(what))?;
    let producers = described.remove(id).unwrap_or_else(|| Ok(Vec::new()));
    producers.map_err(|code| failed(what)(Refusal::from(code)))
}

fn render_producers(rows: &[Producer]) -> String {
    Table::with_tabs(
        "ProducerId | ProducerEpoch | LatestCoordinatorEpoch | LastSequence | LastTimestamp | \
         CurrentTransactionStartOffset",
    )
    .text(rows, |row| {
        cells![
            row.producer_id,
            row.producer_epoch,
            row.coordinator_epoch.unwrap_or(-1),
            row.last_sequence,
            row.last_timestamp,
            or_none(row.transaction_start_offset),
        ]
    })
}

/// `--topic` and `--partition`.
fn partition(run: &ToolRun<'_>) -> anyhow::Result<PartitionId> {
    let number: Option<i32> = run.parsed.parsed("partition")?;
    let topic = run.parsed.required("topic")?;
    Ok(PartitionId::new(topic, number.unwrap_or_default()))
}

async fn abort(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let partition = partition(run)?;
    let coordinator_epoch: Option<i32> = parsed.parsed("coordinator-epoch")?;
    let marker = AbortMarker {
        partition,
        producer_id: parsed.parsed("producer-id")?.unwrap_or_default(),
        producer_epoch: parsed.parsed("producer-epoch")?.unwrap_or_default(),
        // A producer without a marker has none: the lowest epoch is never above it.
        coordinator_epoch: coordinator_epoch.unwrap_or_default().max(0),
    };
    let start = parsed.parsed("start-offset")?;
    let cluster = run.connect().await?;
    let marker = match start {
        Some(start) => open_transaction(run, &cluster, marker.partition, start).await?,
        None => marker,
    };
    let what = format!(
        "Failed to abort transaction AbortTransactionSpec(topicPartition={}, producerId={}, \
         producerEpoch={}, coordinatorEpoch={})",
        marker.partition, marker.producer_id, marker.producer_epoch, marker.coordinator_epoch
    );
    let aborted = abort_transaction(&cluster, &marker).await;
    aborted.map_err(failed(&what))
}

/// The marker that ends the transaction which begins at this offset.
async fn open_transaction(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    partition: PartitionId,
    start: i64,
) -> anyhow::Result<AbortMarker> {
    let what = format!("Failed to validate producer state for partition {partition}");
    let producers = producers_of(run, cluster, &partition, None, &what).await?;
    let mut producers = producers.into_iter();
    let Some(found) = producers.find(|one| one.transaction_start_offset == Some(start)) else {
        bail!(
            "Could not find any open transactions starting at offset {start} on partition \
             {partition}"
        );
    };
    Ok(AbortMarker {
        partition,
        producer_id: found.producer_id,
        producer_epoch: i16::try_from(found.producer_epoch)?,
        coordinator_epoch: found.coordinator_epoch.unwrap_or(0),
    })
}

/// A transaction of a partition that no coordinator is going to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Hanging {
    #[serde(flatten)]
    partition: PartitionId,
    #[serde(flatten)]
    producer: Producer,
}

async fn find_hanging(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let (broker, topic): (Option<i32>, _) = (parsed.parsed("broker-id")?, parsed.value("topic")?);
    let partition: Option<i32> = parsed.parsed("partition")?;
    let minutes: i64 = parsed.parsed("max-transaction-timeout")?.unwrap_or(15);
    let cluster = run.connect().await?;
    let searched = match (topic, partition) {
        (Some(topic), Some(partition)) => vec![PartitionId::new(topic, partition)],
        _ => partitions(run, &cluster, topic, broker).await?,
    };
    let mut candidates = Vec::new();
    for ids in searched.chunks(BATCH) {
        candidates.extend(candidates_in(run, &cluster, ids, broker, minutes * MINUTE_MS).await?);
    }
    let hanging = match candidates.is_empty() {
        true => candidates,
        false => without_coordinator(run, &cluster, candidates).await?,
    };
    run.show(hanging.as_slice(), |rows| render_hanging(rows, now_ms()))
}

/// The partitions of a topic, or of all; of those only the ones with a replica on `broker`.
async fn partitions(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    topic: Option<&str>,
    broker: Option<i32>,
) -> anyhow::Result<Vec<PartitionId>> {
    let names = match topic {
        Some(topic) => vec![topic.to_owned()],
        None => {
            let listed = list_topics(cluster).await;
            let listed = listed.map_err(failed("Failed to list topics"))?;
            listed.into_iter().map(|topic| topic.name).collect()
        }
    };
    let what = format!("Failed to describe {} topics", names.len());
    let found = partitions_of(cluster, &names, &run.progress).await;
    let found = found.map_err(failed(&what))?.into_iter();
    let found = found.filter(|(_, one)| broker.is_none_or(|id| one.replicas.contains(&id)));
    Ok(found.map(|(id, _)| id).collect())
}

/// Open transactions whose producer wrote last longer ago than any timeout.
async fn candidates_in(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    ids: &[PartitionId],
    broker: Option<i32>,
    max_ms: i64,
) -> anyhow::Result<Vec<Hanging>> {
    let on = broker.map_or("their leaders".to_owned(), |id| format!("broker {id}"));
    let what = format!(
        "Failed to describe producers for {} partitions on {on}",
        ids.len()
    );
    let described = describe_producers(cluster, ids, broker, &run.progress).await;
    let now = now_ms();
    let mut found = Vec::new();
    for (partition, producers) in described.map_err(failed(&what))? {
        let producers = producers.map_err(|code| failed(&what)(Refusal::from(code)))?;
        let open = producers.into_iter().filter(|one| {
            one.transaction_start_offset.is_some() && now - one.last_timestamp > max_ms
        });
        found.extend(open.map(|producer| Hanging {
            partition: partition.clone(),
            producer,
        }));
    }
    Ok(found)
}

/// Leaves out the transactions whose coordinator still has the partition: it is going to write the
/// marker.
async fn without_coordinator(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    candidates: Vec<Hanging>,
) -> anyhow::Result<Vec<Hanging>> {
    let producers = candidates.iter().map(|one| one.producer.producer_id);
    let producers: BTreeSet<i64> = producers.collect();
    let what = format!(
        "Failed to list transactions for {} producers",
        producers.len()
    );
    let filter = TransactionFilter {
        producer_ids: producers.into_iter().collect(),
        ..TransactionFilter::default()
    };
    let listed = list_transactions(cluster, &filter, &run.progress).await;
    let ids: BTreeMap<i64, String> = listed
        .map_err(failed(&what))?
        .into_iter()
        .map(|one| (one.producer_id, one.transactional_id))
        .collect();
    let what = format!("Failed to describe {} transactions", ids.len());
    let described = describe_transactions(cluster, ids.values().map(String::as_str)).await;
    let described = described.map_err(failed(&what))?;
    Ok(hanging(candidates, &ids, &described))
}

fn hanging(
    mut candidates: Vec<Hanging>,
    ids: &BTreeMap<i64, String>,
    described: &BTreeMap<String, Transaction>,
) -> Vec<Hanging> {
    candidates.retain(|one| {
        let id = ids.get(&one.producer.producer_id);
        let transaction = id.and_then(|id| described.get(id));
        transaction.is_none_or(|it| !it.partitions.contains(&one.partition))
    });
    candidates
}

fn render_hanging(rows: &[Hanging], now_ms: i64) -> String {
    Table::with_tabs(
        "Topic | Partition | ProducerId | ProducerEpoch | CoordinatorEpoch | StartOffset | \
         LastTimestamp | Duration(min)",
    )
    .text(
        rows,
        |Hanging {
             partition,
             producer,
         }| {
            cells![
                partition.topic,
                partition.partition,
                producer.producer_id,
                producer.producer_epoch,
                producer.coordinator_epoch.unwrap_or(-1),
                producer.transaction_start_offset.unwrap_or(-1),
                producer.last_timestamp,
                (now_ms - producer.last_timestamp) / MINUTE_MS,
            ]
        },
    )
}

#[cfg(test)]
mod tests;
