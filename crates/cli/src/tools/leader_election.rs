//! `leader-election`: makes preferred replicas leaders, or any replica where none is left in sync.
//!
//! Kafka's `LeaderElectionCommand`.

use std::collections::BTreeMap;

use anyhow::bail;
use dohle_admin::{Cluster, PartitionId, Refusal, elect_leaders, load_properties};
use kacrab_protocol::generated::ErrorCode;
use serde::Serialize;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG, connection};
use crate::options::{Parsed, Syntax, UsageError, all_of, conflicts, none_of, one_of, usage};
use crate::partition_file;
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work};

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "leader-election",
    linked: true,
    syntax: Syntax {
        tool: "kafka-leader-election",
        about: "This tool attempts to elect a new leader for a set of topic partitions. The type \
                of elections supported are preferred replicas and unclean replicas.",
        options: &[
            BOOTSTRAP_SERVER,
            COMMAND_CONFIG,
            r#"
            --admin.config <config file>: (DEPRECATED) Use --command-config instead.
            --election-type <election type>: REQUIRED. "preferred": only where the leader is not the
                preferred one. "unclean": only where there is no leader; records may be lost.
            --topic <topic name>: Name of topic for which to perform an election.
            --partition <partition id>: Partition id for which to perform an election. REQUIRED with
                --topic.
            --all-topic-partitions: Perform election on all of the eligible topic partitions.
            --path-to-json-file <Path to JSON file>: The JSON file with the list of partitions:
                {"partitions": [{"topic": "foo", "partition": 1}, {"topic": "foobar", "partition":
                2}]}
            "#,
            OUTPUT,
        ],
        rules: &[
            all_of(&["bootstrap-server", "election-type"])
                .message("Missing required option(s): {options}"),
            conflicts(&["admin.config"], &["command-config"]),
            one_of(&["topic", "all-topic-partitions", "path-to-json-file"])
                .message("One and only one of the following options is required: {options}"),
            all_of(&["partition"])
                .when(&["topic"])
                .message("Missing required option(s): partition"),
            none_of(&["partition"])
                .unless(&["topic"])
                .message("Option partition is only allowed if topic is used"),
        ],
        ..Syntax::EMPTY
    },
    work: Work::Async(|run| Box::pin(work(run))),
    failure: Failure::Stderr(""),
};

/// Kinds of election, as the protocol numbers them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Election {
    Preferred = 0,
    Unclean = 1,
}

impl Election {
    fn name(self) -> &'static str {
        match self {
            Self::Preferred => "PREFERRED",
            Self::Unclean => "UNCLEAN",
        }
    }
}

type Results = BTreeMap<PartitionId, Option<Refusal>>;

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    id: &'a PartitionId,
    result: &'static str,
    error: Option<&'a str>,
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
    let mut connection = connection(parsed)?;
    if let Some(path) = parsed.value("admin.config")? {
        connection.properties = load_properties(path)?;
    }
    let cluster = Cluster::connect(&connection).await?;
    let results = elect_leaders(&cluster, election as i8, wanted).await?;
    let rows: Vec<Row> = results
        .iter()
        .map(|(id, error)| row(id, error.as_ref()))
        .collect();
    run.show(rows.as_slice(), |_| render(election, &results))?;
    let failed = results
        .values()
        .filter(|error| outcome(error.as_ref()) == Outcome::Failed);
    match failed.count() {
        0 => Ok(()),
        failed => bail!("{failed} replica(s) could not be elected"),
    }
}

fn election(parsed: &Parsed) -> Result<Election, UsageError> {
    let given = parsed.value("election-type")?.unwrap_or_default();
    match given.to_ascii_lowercase().as_str() {
        "preferred" => Ok(Election::Preferred),
        "unclean" => Ok(Election::Unclean),
        _ => usage(format!(
            "Cannot parse argument '{given}' of option election-type"
        )),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Elected,
    NotNeeded,
    Failed,
}

fn outcome(error: Option<&Refusal>) -> Outcome {
    match error.map(|error| error.code) {
        None => Outcome::Elected,
        Some(ErrorCode::ElectionNotNeeded) => Outcome::NotNeeded,
        Some(_) => Outcome::Failed,
    }
}

fn row<'a>(id: &'a PartitionId, error: Option<&'a Refusal>) -> Row<'a> {
    Row {
        id,
        result: match outcome(error) {
            Outcome::Elected => "elected",
            Outcome::NotNeeded => "not needed",
            Outcome::Failed => "failed",
        },
        error: error.map(|error| error.message.as_str()),
    }
}

/// As Kafka's tool prints it.
fn render(election: Election, results: &Results) -> String {
    let with = |wanted: Outcome| -> Vec<String> {
        let found = results
            .iter()
            .filter(|(_, error)| outcome(error.as_ref()) == wanted);
        found.map(|(id, _)| id.to_string()).collect()
    };
    let name = election.name();
    let mut text = String::new();
    let elected = with(Outcome::Elected);
    if !elected.is_empty() {
        text += &format!(
            "Successfully completed leader election ({name}) for partitions {}\n",
            elected.join(", ")
        );
    }
    let idle = with(Outcome::NotNeeded);
    if !idle.is_empty() {
        text += &format!(
            "Valid replica already elected for partitions {}\n",
            idle.join(", ")
        );
    }
    for (id, error) in results {
        if let Some(error) = error
            .as_ref()
            .filter(|e| outcome(Some(e)) == Outcome::Failed)
        {
            text += &format!(
                "Error completing leader election ({name}) for partition: {id}: {}\n",
                error.java()
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
        .assert_eq(&render(Election::Preferred, &results));
    }
}
