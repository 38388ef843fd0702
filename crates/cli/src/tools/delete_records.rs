//! `delete-records`: cuts the beginning of partitions' logs.
//!
//! Kafka's `DeleteRecordsCommand`.

use std::collections::BTreeMap;

use dohle_admin::{ByPartition, PartitionId, Refusal, delete_records};
use serde::Serialize;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{UsageError, all_of};
use crate::partition_file;
use crate::tool_run::{OUTPUT, Output, Tool, ToolRun, Work, fail_if};

const OPTIONS: &str = r#"
    --offset-json-file <Offset json file path>: REQUIRED: The JSON file with offset per partition:
        {"partitions": [{"topic": "foo", "partition": 1, "offset": 1}], "version": 1}. The offset -1
        means the high watermark.
    "#;

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-delete-records",
    "This tool helps to delete records of the given partitions down to the specified offset.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[all_of("bootstrap-server"), all_of("offset-json-file")]);

type Results = ByPartition<i64>;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(flatten)]
    id: &'a PartitionId,
    low_watermark: Option<i64>,
    error: Option<String>,
}

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let path = run.parsed.required("offset-json-file")?;
    let mut wanted = BTreeMap::new();
    for entry in partition_file::read(path, "Offset json file")? {
        let missing = || UsageError(format!("{path} has no \"offset\" for {}", entry.id()));
        wanted.insert(entry.id(), entry.offset.ok_or_else(missing)?);
    }
    let output = run.output()?;
    if output == Output::Text {
        run.print("Executing records delete operation\n")?;
    }
    let cluster = run.connect().await?;
    let results = delete_records(&cluster, &wanted, &run.progress).await?;
    let rows = results.iter().map(|(id, result)| Row {
        id,
        low_watermark: result.ok(),
        error: result.err().map(|code| code.to_string()),
    });
    run.show(&rows.collect::<Vec<_>>(), |_| render(&results))?;
    fail_if(results.values().any(Result::is_err))
}

/// As Kafka's tool prints it.
fn render(results: &Results) -> String {
    let mut text = "Records delete operation completed:\n".to_owned();
    for (id, result) in results {
        text += &match result {
            Ok(low_watermark) => format!("partition: {id}\tlow_watermark: {low_watermark}\n"),
            Err(code) => format!("partition: {id}\terror: {}\n", Refusal::from(*code).java()),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use kacrab_protocol::generated::ErrorCode;

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
