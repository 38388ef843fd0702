//! `delete-records`: cuts the beginning of partitions' logs.
//!
//! Kafka's `DeleteRecordsCommand`.

use std::collections::BTreeMap;

use dohle_admin::{Cluster, ItemCount, PartitionId, Refusal, leaders};
use kacrab_protocol::generated::{
    DeleteRecordsPartition, DeleteRecordsRequestData, DeleteRecordsTopic, ErrorCode,
};
use serde::Serialize;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::job::{Failure, Job, OUTPUT, Output, Told, Tool, Work};
use crate::options::{Syntax, usage, value};
use crate::partition_file;
use crate::progress::Progress;

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "delete-records",
    linked: true,
    syntax: Syntax {
        tool: "kafka-delete-records",
        about: "This tool helps to delete records of the given partitions down to the specified \
                offset.",
        options: &[
            BOOTSTRAP_SERVER,
            COMMAND_CONFIG,
            value(
                "offset-json-file",
                "Offset json file path",
                "REQUIRED: The JSON file with offset per partition: {\"partitions\": [{\"topic\": \
                 \"foo\", \"partition\": 1, \"offset\": 1}], \"version\": 1}. The offset -1 stands \
                 for the high watermark.",
            ),
            OUTPUT,
        ],
        commands: &[],
    },
    work: Work::Async(|job| Box::pin(work(job))),
    failure: Failure::Stderr(""),
};

type Results = BTreeMap<PartitionId, Result<i64, ErrorCode>>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    topic: &'a str,
    partition: i32,
    low_watermark: Option<i64>,
    error: Option<String>,
}

async fn work(job: &Job<'_>) -> anyhow::Result<()> {
    job.parsed.required(BOOTSTRAP_SERVER.name)?;
    let path = job.parsed.required("offset-json-file")?;
    let mut wanted = BTreeMap::new();
    for entry in partition_file::read(path, "Offset json file")? {
        let Some(offset) = entry.offset else {
            return Ok(usage(format!(
                "{path} has no \"offset\" for {}",
                entry.id()
            ))?);
        };
        wanted.insert(entry.id(), offset);
    }
    let output = job.output()?;
    if output == Output::Text {
        job.print("Executing records delete operation\n")?;
    }
    let cluster = job.connect().await?;
    let results = delete(&cluster, &wanted, &job.progress).await?;
    match output {
        Output::Text => job.print(render(&results))?,
        Output::Json => {
            let rows: Vec<Row> = results
                .iter()
                .map(|(id, result)| Row {
                    topic: &id.topic,
                    partition: id.partition,
                    low_watermark: result.ok(),
                    error: result.err().map(|code| code.to_string()),
                })
                .collect();
            job.print_json(&rows)?;
        }
    }
    match results.values().all(Result::is_ok) {
        true => Ok(()),
        false => Err(Told.into()),
    }
}

async fn delete(
    cluster: &Cluster,
    wanted: &BTreeMap<PartitionId, i64>,
    progress: &Progress,
) -> anyhow::Result<Results> {
    let count = progress.count("partitions done", Some(wanted.len()));
    let mut results = Results::new();
    let mut by_leader: BTreeMap<i32, Vec<PartitionId>> = BTreeMap::new();
    for (id, leader) in leaders(cluster, wanted.keys()).await? {
        match leader {
            Ok(leader) => by_leader.entry(leader).or_default().push(id),
            Err(code) => {
                results.insert(id, Err(code));
            }
        }
    }
    for (leader, ids) in by_leader {
        let mut topics: BTreeMap<&str, Vec<DeleteRecordsPartition>> = BTreeMap::new();
        for id in &ids {
            topics
                .entry(&id.topic)
                .or_default()
                .push(DeleteRecordsPartition {
                    partition_index: id.partition,
                    offset: wanted[id],
                    ..DeleteRecordsPartition::default()
                });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| DeleteRecordsTopic {
                name: name.to_owned().into(),
                partitions,
                ..DeleteRecordsTopic::default()
            });
        let request = DeleteRecordsRequestData {
            topics: topics.collect(),
            timeout_ms: cluster.request_timeout_ms(),
            ..DeleteRecordsRequestData::default()
        };
        let answer = cluster.ask_broker(leader, &request).await?;
        for topic in &answer.topics {
            for partition in &topic.partitions {
                let id = PartitionId {
                    topic: topic.name.to_string(),
                    partition: partition.partition_index,
                };
                let code = ErrorCode::from(partition.error_code);
                let result = if code.is_error() {
                    Err(code)
                } else {
                    Ok(partition.low_watermark)
                };
                results.insert(id, result);
            }
        }
        count.set(results.len() as u64);
    }
    Ok(results)
}

/// As Kafka's tool prints it.
fn render(results: &Results) -> String {
    let mut text = "Records delete operation completed:\n".to_owned();
    for (id, result) in results {
        text += &match result {
            Ok(low_watermark) => format!("partition: {id}\tlow_watermark: {low_watermark}\n"),
            Err(code) => {
                let message = code.to_string();
                let refusal = Refusal {
                    code: *code,
                    message,
                };
                format!("partition: {id}\terror: {}\n", refusal.java())
            }
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_printed_as_kafka_does() {
        let id = |topic: &str| PartitionId {
            topic: topic.to_owned(),
            partition: 0,
        };
        let results = Results::from([
            (id("plain"), Ok(3)),
            (id("short"), Err(ErrorCode::OffsetOutOfRange)),
        ]);
        expect_test::expect![[r#"
            Records delete operation completed:
            partition: plain-0	low_watermark: 3
            partition: short-0	error: org.apache.kafka.common.errors.OffsetOutOfRangeException: The requested offset is not within the range of offsets maintained by the server.
        "#]]
        .assert_eq(&render(&results));
    }
}
