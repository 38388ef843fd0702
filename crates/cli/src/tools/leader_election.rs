//! `leader-election`: makes preferred replicas leaders, or any replica where none is left in sync.
//!
//! Kafka's `LeaderElectionCommand`.

use std::collections::BTreeMap;

use anyhow::bail;
use dohle_admin::{Cluster, PartitionId, Refusal, elect_leaders};
use kacrab_protocol::generated::ErrorCode;
use serde::Serialize;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG, connection};
use crate::options::{Parsed, UsageError, all_of, conflicts, none_of, one_of, usage};
use crate::partition_file;
use crate::tool_run::{OUTPUT, Tool, ToolRun, Work};

const OPTIONS: &str = r#"
    --admin.config <config file>: (DEPRECATED) Use --command-config instead.
    --election-type <election type>: REQUIRED. "preferred": only where the leader is not the
        preferred one. "unclean": only where there is no leader; records may be lost.
    --topic <topic name>: Name of topic for which to perform an election.
    --partition <partition id>: Partition id for which to perform an election. REQUIRED with
        --topic.
    --all-topic-partitions: Perform election on all of the eligible topic partitions.
    --path-to-json-file <Path to JSON file>: The JSON file with the list of partitions:
        {"partitions": [{"topic": "foo", "partition": 1}, {"topic": "foobar", "partition": 2}]}
    "#;

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-leader-election",
    "This tool attempts to elect a new leader for a set of topic partitions. The type of \
     elections supported are preferred replicas and unclean replicas.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    all_of("bootstrap-server election-type").message("Missing required option(s): {options}"),
    conflicts("admin.config", "command-config"),
    one_of("topic all-topic-partitions path-to-json-file")
        .message("One and only one of the following options is required: {options}"),
    all_of("partition")
        .when("topic")
        .message("Missing required option(s): partition"),
    none_of("partition")
        .unless("topic")
        .message("Option partition is only allowed if topic is used"),
]);

/// Kinds of election, by Kafka's names, in the order in which the protocol numbers them.
const ELECTIONS: [&str; 2] = ["PREFERRED", "UNCLEAN"];

type Results = BTreeMap<PartitionId, Option<Refusal>>;

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    id: &'a PartitionId,
    result: Outcome,
    error: Option<&'a str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Elected,
    #[serde(rename = "not needed")]
    NotNeeded,
    Failed,
}

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let election = election(parsed)?;
    let wanted = match parsed.value("path-to-json-file")? {
        Some(path) => {
            let entries = partition_file::read(path, "Replica election data")?;
            Some(entries.iter().map(partition_file::Entry::id).collect())
        }
        None => parsed
            .value("topic")?
            .zip(parsed.parsed("partition")?)
            .map(|(topic, partition)| vec![PartitionId::new(topic, partition)]),
    };
    run.warn_of_deprecated(
        &[("admin.config", "command-config")],
        "Option --{option} has been deprecated and will be removed in a future version. Use \
         --{instead} instead.",
    )?;
    let cluster = Cluster::connect(&connection(parsed, Some("admin.config"))?).await?;
    let results = elect_leaders(&cluster, i8::try_from(election)?, wanted).await?;
    let rows: Vec<Row> = results
        .iter()
        .map(|(id, error)| Row {
            id,
            result: outcome(error.as_ref()),
            error: error.as_ref().map(|error| error.message.as_str()),
        })
        .collect();
    run.show(rows.as_slice(), |_| render(ELECTIONS[election], &results))?;
    let failed = rows.iter().filter(|row| row.result == Outcome::Failed);
    match failed.count() {
        0 => Ok(()),
        failed => bail!("{failed} replica(s) could not be elected"),
    }
}

/// The number of the kind of election that the command line names.
fn election(parsed: &Parsed) -> Result<usize, UsageError> {
    let given = parsed.value("election-type")?.unwrap_or_default();
    let mut names = ELECTIONS.iter();
    match names.position(|name| name.eq_ignore_ascii_case(given)) {
        Some(number) => Ok(number),
        None => usage(format!(
            "Cannot parse argument '{given}' of option election-type"
        )),
    }
}

fn outcome(error: Option<&Refusal>) -> Outcome {
    match error.map(|error| error.code) {
        None => Outcome::Elected,
        Some(ErrorCode::ElectionNotNeeded) => Outcome::NotNeeded,
        Some(_) => Outcome::Failed,
    }
}

/// As Kafka's tool prints it.
fn render(name: &str, results: &Results) -> String {
    let mut text = String::new();
    for (wanted, what) in [
        (
            Outcome::Elected,
            format!("Successfully completed leader election ({name})"),
        ),
        (
            Outcome::NotNeeded,
            "Valid replica already elected".to_owned(),
        ),
    ] {
        let found = results
            .iter()
            .filter(|(_, error)| outcome(error.as_ref()) == wanted);
        let ids: Vec<String> = found.map(|(id, _)| id.to_string()).collect();
        if !ids.is_empty() {
            text += &format!("{what} for partitions {}\n", ids.join(", "));
        }
    }
    for (id, error) in results {
        if let Some(error) = error
            && outcome(Some(error)) == Outcome::Failed
        {
            let error = error.java();
            text += &format!(
                "Error completing leader election ({name}) for partition: {id}: {error}\n"
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_printed_as_kafka_does() {
        let id = |partition| PartitionId {
            topic: "orders".to_owned(),
            partition,
        };
        let refusal = |code, message: &str| {
            let message = message.to_owned();
            Some(Refusal { code, message })
        };
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let results = Results::from([
            (id(0), None),
            (id(1), refusal(ErrorCode::ElectionNotNeeded, "no")),
            (id(2), None),
            (id(9), refusal(unknown, "No such partition as orders-9")),
        ]);
        expect_test::expect![[r#"
            Successfully completed leader election (PREFERRED) for partitions orders-0, orders-2
            Valid replica already elected for partitions orders-1
            Error completing leader election (PREFERRED) for partition: orders-9: org.apache.kafka.common.errors.UnknownTopicOrPartitionException: No such partition as orders-9
        "#]]
        .assert_eq(&render("PREFERRED", &results));
    }
}
