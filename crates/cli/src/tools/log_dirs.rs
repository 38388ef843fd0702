//! `log-dirs`: what the log directories of brokers hold.
//!
//! Kafka's `LogDirsCommand`.

use std::collections::BTreeSet;
use std::str::FromStr;

use anyhow::bail;
use dohle_admin::{Refusal, describe_log_dirs};
use kacrab_protocol::generated::{DescribeLogDirsResponseData, ErrorCode};
use serde::Serialize;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{Parsed, UsageError, all_of};
use crate::text::join;
use crate::tool_run::{OUTPUT, Output, Tool, ToolRun, Work};

const OPTIONS: &str = r#"
    --describe: Describe the specified log directories on the specified brokers.
    --topic-list <Topic list>: The list of topics to be queried in the form "topic1,topic2,topic3".
        All topics will be queried if no topic list is specified.
    --broker-list <Broker list>: The list of brokers to be queried in the form "0,1,2". All brokers
        in the cluster will be queried if no broker list is specified.
    "#;

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-log-dirs",
    "This tool helps to query log directory usage on the specified brokers.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[all_of("bootstrap-server"), all_of("describe")]);

// The order of the fields is the order in which Kafka's tool prints them.

#[derive(Debug, Serialize)]
struct Description {
    brokers: Vec<Broker>,
    version: i32,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Broker {
    broker: i32,
    log_dirs: Vec<LogDir>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LogDir {
    partitions: Vec<Replica>,
    error: Option<String>,
    log_dir: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Replica {
    partition: String,
    size: i64,
    offset_lag: i64,
    is_future: bool,
}

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let topics: BTreeSet<String> = list(parsed, "topic-list")?;
    let wanted: BTreeSet<i32> = list(parsed, "broker-list")?;
    let cluster = run.connect().await?;
    let brokers = cluster.broker_ids().await?;
    let unknown: BTreeSet<i32> = wanted.difference(&brokers).copied().collect();
    if !unknown.is_empty() {
        bail!(
            "ERROR: The given brokers do not exist from --broker-list: {}. Current existent \
             brokers: {}",
            join(&unknown),
            join(&brokers)
        );
    }
    let asked = if wanted.is_empty() { brokers } else { wanted };
    let output = run.output()?;
    if output == Output::Text {
        run.print("Querying brokers for log directories information\n")?;
    }
    let mut found = Description {
        brokers: Vec::new(),
        version: 1,
    };
    for broker in run.progress.over("brokers asked", &asked) {
        let answer = describe_log_dirs(&cluster, *broker).await?;
        found.brokers.push(Broker {
            broker: *broker,
            log_dirs: log_dirs(&answer, &topics),
        });
    }
    match output {
        Output::Json => run.print_json(&found),
        Output::Text => Ok(run.print(format!(
            "Received log directory information from brokers {}\n{}\n",
            join(&asked),
            serde_json::to_string(&found)?
        ))?),
    }
}

fn list<T: FromStr + Ord>(parsed: &Parsed, name: &str) -> Result<BTreeSet<T>, UsageError> {
    let text = parsed.value(name)?.unwrap_or_default();
    let items = text
        .split(',')
        .map(str::trim)
        .filter(|item| !item.is_empty());
    let items: Result<BTreeSet<T>, _> = items.map(str::parse).collect();
    items.map_err(|_| UsageError(format!("Cannot parse argument '{text}' of option {name}")))
}

/// A broker's directories with the partitions of these topics, or of all topics when the set is
/// empty.
fn log_dirs(answer: &DescribeLogDirsResponseData, topics: &BTreeSet<String>) -> Vec<LogDir> {
    let dirs = answer.results.iter().map(|result| {
        let code = ErrorCode::from(result.error_code);
        let shown = |name: &str| topics.is_empty() || topics.contains(name);
        let shown = result
            .topics
            .iter()
            .filter(|topic| shown(topic.name.as_str()));
        let partitions = shown.flat_map(|topic| {
            topic.partitions.iter().map(|partition| Replica {
                partition: format!("{}-{}", topic.name, partition.partition_index),
                size: partition.partition_size,
                offset_lag: partition.offset_lag,
                is_future: partition.is_future_key,
            })
        });
        let mut partitions: Vec<Replica> = partitions.collect();
        partitions.sort_by(|a, b| a.partition.cmp(&b.partition));
        // Kafka's tool prints the exception's class alone.
        let class = || {
            let message = String::new();
            let java = Refusal { code, message }.java();
            java.trim_end_matches(": ").to_owned()
        };
        LogDir {
            partitions,
            error: code.is_error().then(class),
            log_dir: result.log_dir.to_string(),
        }
    });
    dirs.collect()
}

#[cfg(test)]
mod tests;
