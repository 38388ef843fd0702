//! `get-offsets`: the offsets of partitions, by time or by name.
//!
//! Kafka's `GetOffsetShell`.

use std::collections::BTreeSet;

use dohle_admin::{
    ByPartition, Cluster, Names, PartitionId, Refusal, list_offsets, list_topics, partitions_of,
};
use serde::Serialize;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{Parsed, all_of};
use crate::text::join_with;
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work, unknown_name};

const OPTIONS: &str = "
    --topic-partitions <topic1:1,topic2:0-3,topic3,topic4:5-,topic5:-3>: Comma separated list of
        patterns: a regular expression for the topic, which may be left out, and after a colon a
        partition, or a range whose end is exclusive.
    --topic <topic>: The topic, or a regular expression; without it, all topics. Not together with
        --topic-partitions.
    --partitions <partition ids>: Comma separated list of partition ids; without it, all. Not
        together with --topic-partitions.
    --time <timestamp>: A timestamp in milliseconds, or latest (-1, the default), earliest (-2),
        max-timestamp (-3), earliest-local (-4), latest-tiered (-5), earliest-pending-upload (-6).
        [Note: No offset is returned, if the timestamp greater than recently committed record
        timestamp is given.]
    --exclude-internal-topics: Leave out internal topics.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-get-offsets",
    "An interactive shell for getting topic-partition offsets.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[all_of("bootstrap-server")])
.failure(Failure::Stderr("Error occurred: "));

#[derive(Serialize)]
struct Row {
    #[serde(flatten)]
    id: PartitionId,
    offset: i64,
}

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let rules = rules(parsed)?;
    let timestamp = timestamp(parsed.value("time")?.unwrap_or("latest"))?;
    let cluster = run.connect().await?;
    let ids = matching(run, &cluster, &rules).await?;
    let wanted = ids.iter().map(|id| (id.clone(), timestamp)).collect();
    let found = list_offsets(&cluster, &wanted, &run.progress).await?;
    let rows = sorted(run, found);
    run.show(rows.as_slice(), |rows| {
        let line = |row: &Row| format!("{}:{}:{}\n", row.id.topic, row.id.partition, row.offset);
        rows.iter().map(line).collect()
    })
}

/// Sorts as Kafka's tool does, by `topic-partition` as text. Reports partitions whose offset could
/// not be read.
fn sorted(run: &ToolRun<'_>, found: ByPartition<Option<i64>>) -> Vec<Row> {
    let mut rows = Vec::new();
    for (id, offset) in found {
        match offset {
            Ok(Some(offset)) => rows.push(Row { id, offset }),
            Ok(None) => {}
            Err(code) => run.note(format!(
                "Skip getting offsets for topic-partition {id} due to error: {}",
                Refusal::from(code).java()
            )),
        }
    }
    rows.sort_by_key(|row| row.id.to_string());
    rows
}

/// One of the patterns.
#[derive(Debug)]
struct Rule {
    topics: Names,
    partitions: Partitions,
}

#[derive(Debug, PartialEq, Eq)]
enum Partitions {
    All,
    These(BTreeSet<i32>),
    /// From the first up to and without the second.
    Range(i32, i32),
}

impl Rule {
    fn matches(&self, topic: &str, partition: i32) -> bool {
        let number = match &self.partitions {
            Partitions::All => true,
            Partitions::These(these) => these.contains(&partition),
            Partitions::Range(from, to) => (*from..*to).contains(&partition),
        };
        number && self.topics.matches(topic)
    }
}

fn rules(parsed: &Parsed) -> anyhow::Result<Vec<Rule>> {
    let by_topic = parsed.has("topic") || parsed.has("partitions");
    if let Some(text) = parsed.value("topic-partitions")? {
        if by_topic {
            anyhow::bail!("--topic-partitions cannot be used with --topic or --partitions");
        }
        return text.split(',').map(rule).collect();
    }
    let topics = Names::new(parsed.value("topic")?.unwrap_or(".*"))?;
    let partitions = match parsed.value("partitions")?.filter(|text| !text.is_empty()) {
        None => Partitions::All,
        Some(text) => match text.split(',').map(str::parse).collect() {
            Ok(these) => Partitions::These(these),
            Err(_) => anyhow::bail!(
                "--partitions expects a comma separated list of numeric partition ids, but \
                 received: {text}"
            ),
        },
    };
    Ok(vec![Rule { topics, partitions }])
}

/// `topic:1`, `topic:0-3`, `topic:5-`, `topic:-3`, `topic`, `:1`.
fn rule(text: &str) -> anyhow::Result<Rule> {
    let (topic, partitions) = text.split_once(':').unwrap_or((text, ""));
    let invalid = || anyhow::anyhow!("Invalid rule specification: {text}");
    let number = |text: &str, default: i32| match text {
        "" => Ok(default),
        text => text.parse::<i32>().map_err(|_| invalid()),
    };
    let partitions = match partitions.split_once('-') {
        _ if partitions.is_empty() => Partitions::All,
        None => Partitions::These([number(partitions, 0)?].into()),
        Some((from, to)) => Partitions::Range(number(from, 0)?, number(to, i32::MAX)?),
    };
    let topics = Names::new(if topic.is_empty() { ".*" } else { topic })?;
    Ok(Rule { topics, partitions })
}

/// The names of offsets, from -1 downwards.
const NAMES: [&str; 6] = [
    "latest",
    "earliest",
    "max-timestamp",
    "earliest-local",
    "latest-tiered",
    "earliest-pending-upload",
];

fn timestamp(text: &str) -> anyhow::Result<i64> {
    if let Some((_, number)) = NAMES.iter().zip(1..).find(|(name, _)| **name == text) {
        return Ok(-number);
    }
    text.parse().map_err(|_| {
        let names = NAMES
            .iter()
            .zip(1..)
            .map(|(name, number)| format!("-{number} or {name}"));
        let names = join_with(" / ", names);
        anyhow::anyhow!(
            "Malformed time argument {text}. Please use {names}, or a specified long format \
             timestamp"
        )
    })
}

async fn matching(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    rules: &[Rule],
) -> anyhow::Result<BTreeSet<PartitionId>> {
    let exclude_internal = run.parsed.has("exclude-internal-topics");
    let all = list_topics(cluster).await?;
    let named = all
        .iter()
        .filter(|topic| !(exclude_internal && topic.internal));
    let named = named.filter(|topic| rules.iter().any(|rule| rule.topics.matches(&topic.name)));
    let names: Vec<String> = named.map(|topic| topic.name.clone()).collect();
    let found = partitions_of(cluster, &names, &run.progress).await?;
    let found = found.into_iter().map(|(id, _)| id);
    let matches = |id: &PartitionId| {
        rules
            .iter()
            .any(|rule| rule.matches(&id.topic, id.partition))
    };
    let found: BTreeSet<PartitionId> = found.filter(matches).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let message = "Could not match any topic-partitions with the specified filters";
    let given = run.parsed.value("topic")?.unwrap_or_default();
    let existing = all.iter().map(|topic| topic.name.as_str());
    Err(unknown_name(message, given, existing))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_name_topics_and_partitions() {
        let matched = |text: &str, topic: &str| -> Vec<i32> {
            let rule = rule(text).unwrap();
            (0..7)
                .filter(|partition| rule.matches(topic, *partition))
                .collect()
        };
        assert_eq!(matched("a:1", "a"), [1]);
        assert_eq!(matched("a:0-3", "a"), [0, 1, 2]);
        assert_eq!(matched("a:5-", "a"), [5, 6]);
        assert_eq!(matched("a:-3", "a"), [0, 1, 2]);
        assert_eq!(matched(":1", "anything"), [1]);
        assert_eq!(matched("a.*", "abc").len(), 7);
        assert_eq!(matched("a", "abc").len(), 0);
        let error = rule("a:x").unwrap_err().to_string();
        assert_eq!(error, "Invalid rule specification: a:x");
    }

    #[test]
    fn times_have_names_and_numbers() {
        assert_eq!(timestamp("latest").unwrap(), -1);
        assert_eq!(timestamp("-3").unwrap(), -3);
        assert_eq!(timestamp("1700000000000").unwrap(), 1_700_000_000_000);
        let error = timestamp("soon").unwrap_err().to_string();
        assert!(
            error.starts_with("Malformed time argument soon."),
            "{error}"
        );
    }
}
