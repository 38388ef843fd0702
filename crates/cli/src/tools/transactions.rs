//! `transactions`: the state of transactions and of the producers of partitions; ends those that
//! hang.
//!
//! Kafka's `TransactionsCommand`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use dohle_admin::{
    AbortMarker, Cluster, ListedTransaction, PartitionId, Producer, Refusal, Transaction,
    TransactionFilter, abort_transaction, describe_producers, describe_topics,
    describe_transaction, describe_transactions, list_topics, list_transactions,
    terminate_transaction,
};
use serde::Serialize;

use crate::clock::now_ms;
use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{Subcommand, Syntax, all_of};
use crate::table::{Table, Width};
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work};

const TOPIC: &str = "--topic <topic>: topic name";
const PARTITION: &str = "--partition <partition>: partition number";
/// How many partitions are asked for at once.
const BATCH: usize = 500;
const MINUTE_MS: i64 = 60_000;

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "transactions",
    linked: true,
    syntax: Syntax {
        tool: "kafka-transactions",
        about: "This tool is used to analyze the transactional state of producers in the cluster. \
                It can be used to detect and recover from hanging transactions.",
        options: &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OUTPUT],
        commands: &[
            Subcommand {
                name: "list",
                help: "list transactions",
                options: &["
                    --duration-filter <ms>: Duration (in millis) to filter by: if < 0, all
                        transactions will be returned; otherwise, only transactions running longer
                        than this duration will be returned
                    --transactional-id-pattern <pattern>: Transactional id regular expression
                        pattern to filter by
                    "],
            },
            Subcommand {
                name: "describe",
                help: "describe the state of an active transactional-id",
                options: &["--transactional-id <id>: transactional id"],
            },
            Subcommand {
                name: "describe-producers",
                help: "describe the states of active producers for a topic partition",
                options: &[
                    "--broker-id <id>: optional broker id to describe the producer state on a \
                     specific replica",
                    TOPIC,
                    PARTITION,
                ],
            },
            Subcommand {
                name: "abort",
                help: "abort a hanging transaction (requires administrative privileges)",
                options: &[
                    TOPIC,
                    PARTITION,
                    "
                    --start-offset <offset>: start offset of the transaction to abort
                    --producer-id <id>: producer id; for brokers before 3.0, with --producer-epoch
                        and --coordinator-epoch
                    --producer-epoch <epoch>: producer epoch
                    --coordinator-epoch <epoch>: coordinator epoch
                    ",
                ],
            },
            Subcommand {
                name: "find-hanging",
                help: "find hanging transactions",
                options: &[
                    "
                    --broker-id <id>: broker id to search for hanging transactions
                    --max-transaction-timeout <minutes>: maximum transaction timeout in minutes to
                        limit the scope of the search (15 minutes by default)
                    --topic <topic>: topic name to limit search to (required if --partition is
                        specified)
                    ",
                    PARTITION,
                ],
            },
            Subcommand {
                name: "forceTerminateTransaction",
                help: "Force abort an ongoing transaction on transactionalId (requires \
                       administrative privileges)",
                options: &["--transactionalId <id>: transactional id"],
            },
        ],
        rules: &[
            all_of(&["transactional-id"])
                .when(&["describe"])
                .message("argument --transactional-id is required"),
            all_of(&["topic"])
                .when(&["describe-producers", "abort"])
                .message("argument --topic is required"),
            all_of(&["partition"])
                .when(&["describe-producers", "abort"])
                .message("argument --partition is required"),
            all_of(&["transactionalId"])
                .when(&["forceTerminateTransaction"])
                .message("argument --transactionalId is required"),
        ],
    },
    work: Work::Async(|run| Box::pin(work(run))),
    failure: Failure::Stderr(""),
};

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

/// Rows as Kafka's tool prints them: a tab after each column.
fn printed<Row>(table: &Table<'_, Row>, rows: &[Row]) -> String {
    let lines = table.lines(rows).into_iter();
    lines.map(|line| line + "\t\n").collect()
}

fn or_none(value: Option<i64>) -> String {
    value.map_or("None".to_owned(), |value| value.to_string())
}

async fn list(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let filter = TransactionFilter {
        duration_ms: run.parsed.parsed("duration-filter")?,
        pattern: run
            .parsed
            .value("transactional-id-pattern")?
            .map(str::to_owned),
        ..TransactionFilter::default()
    };
    let cluster = run.connect().await?;
    let listed = list_transactions(&cluster, &filter, &run.progress).await;
    let listed = listed.map_err(failed("Failed to list transactions"))?;
    run.show(listed.as_slice(), render_list)
}

fn render_list(rows: &[ListedTransaction]) -> String {
    let table = Table::new()
        .separated_by("\t")
        .column(
            "TransactionalId",
            Width::Widest,
            |row: &ListedTransaction| row.transactional_id.clone(),
        )
        .column("Coordinator", Width::Widest, |row| {
            row.coordinator.to_string()
        })
        .column("ProducerId", Width::Widest, |row| {
            row.producer_id.to_string()
        })
        .column("TransactionState", Width::Widest, |row| {
            row.transaction_state.clone()
        });
    printed(&table, rows)
}

async fn describe(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let id = run.parsed.required("transactional-id")?;
    let cluster = run.connect().await?;
    let described = describe_transaction(&cluster, id)
        .await
        .map_err(failed(&format!(
            "Failed to describe transaction state of transactional-id `{id}`"
        )))?;
    run.show(&described, |described| {
        render_transaction(described, now_ms())
    })
}

fn render_transaction(described: &Transaction, now_ms: i64) -> String {
    let duration = described.start_time_ms.map(|start| now_ms - start);
    let table = Table::new()
        .separated_by("\t")
        .column("CoordinatorId", Width::Widest, |row: &Transaction| {
            row.coordinator_id.to_string()
        })
        .column("TransactionalId", Width::Widest, |row| {
            row.transactional_id.clone()
        })
        .column("ProducerId", Width::Widest, |row| {
            row.producer_id.to_string()
        })
        .column("ProducerEpoch", Width::Widest, |row| {
            row.producer_epoch.to_string()
        })
        .column("TransactionState", Width::Widest, |row| {
            row.transaction_state.clone()
        })
        .column("TransactionTimeoutMs", Width::Widest, |row| {
            row.transaction_timeout_ms.to_string()
        })
        .column("CurrentTransactionStartTimeMs", Width::Widest, |row| {
            or_none(row.start_time_ms)
        })
        .column("TransactionDurationMs", Width::Widest, move |_| {
            or_none(duration)
        })
        .column("TopicPartitions", Width::Widest, |row| {
            let partitions: Vec<_> = row.partitions.iter().map(ToString::to_string).collect();
            partitions.join(",")
        });
    printed(&table, std::slice::from_ref(described))
}

async fn producers(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let id = partition(run)?;
    let broker: Option<i32> = run.parsed.parsed("broker-id")?;
    let on = broker.map_or("leader".to_owned(), |id| format!("broker {id}"));
    let what = format!("Failed to describe producers for partition {id} on {on}");
    let cluster = run.connect().await?;
    let described = describe_producers(&cluster, std::slice::from_ref(&id), broker, &run.progress);
    let mut described = described.await.map_err(failed(&what))?;
    let producers = described.remove(&id).unwrap_or_else(|| Ok(Vec::new()));
    let producers = producers.map_err(|code| failed(&what)(Refusal::from(code)))?;
    run.show(producers.as_slice(), render_producers)
}

fn render_producers(rows: &[Producer]) -> String {
    let table = Table::new()
        .separated_by("\t")
        .column("ProducerId", Width::Widest, |row: &Producer| {
            row.producer_id.to_string()
        })
        .column("ProducerEpoch", Width::Widest, |row| {
            row.producer_epoch.to_string()
        })
        .column("LatestCoordinatorEpoch", Width::Widest, |row| {
            row.coordinator_epoch.unwrap_or(-1).to_string()
        })
        .column("LastSequence", Width::Widest, |row| {
            row.last_sequence.to_string()
        })
        .column("LastTimestamp", Width::Widest, |row| {
            row.last_timestamp.to_string()
        })
        .column("CurrentTransactionStartOffset", Width::Widest, |row| {
            or_none(row.transaction_start_offset)
        });
    printed(&table, rows)
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
    let (start, producer_id) = (
        parsed.parsed("start-offset")?,
        parsed.parsed("producer-id")?,
    );
    let abort = match (start, producer_id) {
        (None, None) => bail!(
            "The transaction to abort must be identified either with --start-offset (for brokers \
             on 3.0 or above) or with --producer-id, --producer-epoch, and --coordinator-epoch \
             (for older brokers)"
        ),
        (Some(start), _) => {
            let cluster = run.connect().await?;
            let marker = open_transaction(run, &cluster, &partition, start).await?;
            return write_abort(&cluster, &marker).await;
        }
        (None, Some(producer_id)) => {
            let Some(producer_epoch) = parsed.parsed("producer-epoch")? else {
                bail!("Missing required argument --producer-epoch");
            };
            let Some(coordinator_epoch) = parsed.parsed::<i32>("coordinator-epoch")? else {
                bail!("Missing required argument --coordinator-epoch");
            };
            AbortMarker {
                partition,
                producer_id,
                producer_epoch,
                // A producer without a marker has none: the lowest epoch is never above it.
                coordinator_epoch: coordinator_epoch.max(0),
            }
        }
    };
    write_abort(&run.connect().await?, &abort).await
}

/// The marker that ends the transaction which begins at this offset.
async fn open_transaction(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    partition: &PartitionId,
    start: i64,
) -> anyhow::Result<AbortMarker> {
    let what = format!("Failed to validate producer state for partition {partition}");
    let ids = std::slice::from_ref(partition);
    let described = describe_producers(cluster, ids, None, &run.progress).await;
    let mut described = described.map_err(failed(&what))?;
    let producers = described
        .remove(partition)
        .unwrap_or_else(|| Ok(Vec::new()));
    let producers = producers.map_err(|code| failed(&what)(Refusal::from(code)))?;
    let mut producers = producers.into_iter();
    let Some(found) = producers.find(|one| one.transaction_start_offset == Some(start)) else {
        bail!(
            "Could not find any open transactions starting at offset {start} on partition \
             {partition}"
        );
    };
    Ok(AbortMarker {
        partition: partition.clone(),
        producer_id: found.producer_id,
        producer_epoch: i16::try_from(found.producer_epoch)?,
        coordinator_epoch: found.coordinator_epoch.unwrap_or(0),
    })
}

async fn write_abort(cluster: &Cluster, abort: &AbortMarker) -> anyhow::Result<()> {
    let what = format!(
        "Failed to abort transaction AbortTransactionSpec(topicPartition={}, producerId={}, \
         producerEpoch={}, coordinatorEpoch={})",
        abort.partition, abort.producer_id, abort.producer_epoch, abort.coordinator_epoch
    );
    abort_transaction(cluster, abort)
        .await
        .map_err(failed(&what))
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
    if topic.is_none() && broker.is_none() {
        bail!(
            "The `find-hanging` command requires either --topic or --broker-id to limit the scope \
             of the search"
        );
    }
    let partition: Option<i32> = parsed.parsed("partition")?;
    if partition.is_some() && topic.is_none() {
        bail!("The --partition argument requires --topic to be provided");
    }
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
    let topics = describe_topics(cluster, &names, None, &run.progress).await;
    let topics = topics.map_err(failed(&what))?;
    let mut found = Vec::new();
    for topic in &topics {
        let on = |replicas: &[i32]| broker.is_none_or(|broker| replicas.contains(&broker));
        let partitions = topic.partitions.iter().filter(|one| on(&one.replicas));
        found.extend(partitions.map(|one| PartitionId::new(topic.name.as_str(), one.partition)));
    }
    Ok(found)
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
    let producers: BTreeSet<i64> = candidates
        .iter()
        .map(|one| one.producer.producer_id)
        .collect();
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
        let transaction = ids
            .get(&one.producer.producer_id)
            .and_then(|id| described.get(id));
        transaction.is_none_or(|it| !it.partitions.contains(&one.partition))
    });
    candidates
}

fn render_hanging(rows: &[Hanging], now_ms: i64) -> String {
    let table = Table::new()
        .separated_by("\t")
        .column("Topic", Width::Widest, |row: &Hanging| {
            row.partition.topic.clone()
        })
        .column("Partition", Width::Widest, |row| {
            row.partition.partition.to_string()
        })
        .column("ProducerId", Width::Widest, |row| {
            row.producer.producer_id.to_string()
        })
        .column("ProducerEpoch", Width::Widest, |row| {
            row.producer.producer_epoch.to_string()
        })
        .column("CoordinatorEpoch", Width::Widest, |row| {
            row.producer.coordinator_epoch.unwrap_or(-1).to_string()
        })
        .column("StartOffset", Width::Widest, |row| {
            row.producer
                .transaction_start_offset
                .unwrap_or(-1)
                .to_string()
        })
        .column("LastTimestamp", Width::Widest, |row| {
            row.producer.last_timestamp.to_string()
        })
        .column("Duration(min)", Width::Widest, move |row| {
            ((now_ms - row.producer.last_timestamp) / MINUTE_MS).to_string()
        });
    printed(&table, rows)
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    fn transaction(id: &str, partitions: &[(&str, i32)]) -> Transaction {
        let partitions = partitions.iter();
        Transaction {
            coordinator_id: 1,
            transactional_id: id.to_owned(),
            producer_id: 0,
            producer_epoch: 0,
            transaction_state: "Ongoing".to_owned(),
            transaction_timeout_ms: 700_000,
            start_time_ms: Some(1_795_898_704_086),
            partitions: partitions
                .map(|(topic, it)| PartitionId::new(*topic, *it))
                .collect(),
        }
    }

    fn producer(producer_id: i64, coordinator_epoch: Option<i32>) -> Producer {
        Producer {
            producer_id,
            producer_epoch: 0,
            coordinator_epoch,
            last_sequence: 198,
            last_timestamp: 1_795_898_718_398,
            transaction_start_offset: Some(0),
        }
    }

    /// Recorded from Kafka's tool.
    #[test]
    fn rows_are_printed_as_kafka_does() {
        let listed = ListedTransaction {
            transactional_id: "my-txn".to_owned(),
            coordinator: 1,
            producer_id: 0,
            transaction_state: "Ongoing".to_owned(),
        };
        assert_eq!(
            render_list(&[listed]),
            "TransactionalId\tCoordinator\tProducerId\tTransactionState\t\n\
             my-txn         \t1          \t0         \tOngoing         \t\n"
        );
        assert_eq!(
            render_transaction(
                &transaction("my-txn", &[("tx", 0), ("tx", 1)]),
                1_795_898_709_533
            ),
            "CoordinatorId\tTransactionalId\tProducerId\tProducerEpoch\tTransactionState\t\
             TransactionTimeoutMs\tCurrentTransactionStartTimeMs\tTransactionDurationMs\t\
             TopicPartitions\t\n\
             1            \tmy-txn         \t0         \t0            \tOngoing         \t\
             700000              \t1795898704086                \t5447                 \t\
             tx-0,tx-1      \t\n"
        );
        assert_eq!(
            render_producers(&[producer(0, None)]),
            "ProducerId\tProducerEpoch\tLatestCoordinatorEpoch\tLastSequence\tLastTimestamp\t\
             CurrentTransactionStartOffset\t\n\
             0         \t0            \t-1                    \t198         \t1795898718398\t\
             0                            \t\n"
        );
        let mut idle = transaction("idle", &[]);
        idle.start_time_ms = None;
        let text = render_transaction(&idle, 0);
        assert!(
            text.contains("\tNone                         \tNone"),
            "{text}"
        );
        assert_eq!(
            render_hanging(&[], 0),
            "Topic\tPartition\tProducerId\tProducerEpoch\tCoordinatorEpoch\tStartOffset\t\
             LastTimestamp\tDuration(min)\t\n"
        );
    }

    #[test]
    fn a_transaction_hangs_when_no_coordinator_is_going_to_end_it() {
        let open = |producer_id, partition| Hanging {
            partition: PartitionId::new("t", partition),
            producer: producer(producer_id, Some(3)),
        };
        let candidates = vec![open(1, 0), open(2, 0), open(3, 0), open(3, 1)];
        let ids = BTreeMap::from([(2, "forgotten".to_owned()), (3, "open".to_owned())]);
        let described = BTreeMap::from([("open".to_owned(), transaction("open", &[("t", 1)]))]);
        let left = hanging(candidates, &ids, &described);
        let text = render_hanging(&left, 1_795_898_718_398 + 17 * MINUTE_MS + 1);
        expect![[r#"
            Topic|Partition|ProducerId|ProducerEpoch|CoordinatorEpoch|StartOffset|LastTimestamp|Duration(min)|
            t    |0        |1         |0            |3               |0          |1795898718398|17           |
            t    |0        |2         |0            |3               |0          |1795898718398|17           |
            t    |0        |3         |0            |3               |0          |1795898718398|17           |
        "#]].assert_eq(&text.replace('\t', "|"));
    }
}
