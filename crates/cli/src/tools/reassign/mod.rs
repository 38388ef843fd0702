//! `reassign-partitions`: moves partitions to other brokers, or to other directories of a broker.
//!
//! Kafka's `ReassignPartitionsCommand`.

mod execute;
mod generate;
mod log_dirs;
mod plan;
mod throttle;
mod verify;

use dohle_admin::{Cluster, PartitionId, Reassignment, reassignments};
use serde::Serialize;

use crate::connect::{BOOTSTRAP, COMMAND_CONFIG};
use crate::options::{all_of, any_of, at_most_one_of, one_of, only};
use crate::text::join;
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work};

const OPTIONS: &str = r#"
    --generate: Generate a candidate partition reassignment configuration. Note that this only
        generates a candidate assignment, it does not execute it.
    --execute: Kick off the reassignment as specified by the --reassignment-json-file option.
    --verify: Verify if the reassignment completed as specified by the --reassignment-json-file
        option. If there is a throttle engaged for the replicas specified, and the rebalance has
        completed, the throttle will be removed.
    --cancel: Cancel an active reassignment.
    --list: List all active partition reassignments.
    --reassignment-json-file <manual assignment json file path>: The JSON file with the partition
        reassignment configuration: {"partitions": [{"topic": "foo", "partition": 1, "replicas":
        [1,2,3], "log_dirs": ["dir1","dir2","dir3"]}], "version": 1}. "log_dirs" is optional; each
        of them is a directory of its broker, or "any".
    --topics-to-move-json-file <topics to reassign json file path>: Generate a reassignment
        configuration to move the partitions of these topics to the brokers of --broker-list:
        {"topics": [{"topic": "foo"}], "version": 1}
    --broker-list <brokerlist>: The list of brokers to which the partitions need to be reassigned in
        the form "0,1,2".
    --disable-rack-aware: Disable rack aware replica assignment.
    --throttle <bytes/sec>: The movement of partitions between brokers will be throttled to this
        value.
    --replica-alter-log-dirs-throttle <bytes/sec>: The movement of replicas between log directories
        on the same broker will be throttled to this value.
    --timeout <ms>: The maximum time in ms to wait for log directory replica assignment to begin
        (10000).
    --additional: Execute this reassignment in addition to any other ongoing ones.
    --preserve-throttles: Do not modify broker or topic throttles.
    --disallow-replication-factor-change: Denies the ability to change a partition's replication
        factor.
    "#;

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-reassign-partitions",
    "This tool helps to move topic partitions between replicas.",
    &[BOOTSTRAP, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    one_of("generate execute verify cancel list").message(
        "Command must include exactly one action: --generate, --execute, --verify, --cancel, \
         --list",
    ),
    at_most_one_of("bootstrap-server bootstrap-controller")
        .message("Please don't specify both --bootstrap-server and --bootstrap-controller"),
    any_of("bootstrap-server bootstrap-controller")
        .message("Please specify either --bootstrap-server or --bootstrap-controller"),
    all_of("topics-to-move-json-file broker-list").when("generate"),
    all_of("reassignment-json-file").when("execute verify cancel"),
    only(
        "generate topics-to-move-json-file broker-list disable-rack-aware bootstrap-server \
         command-config output",
    )
    .when("generate")
    .message(NOT_WITH_ACTION),
    only(
        "execute reassignment-json-file additional throttle replica-alter-log-dirs-throttle \
         timeout disallow-replication-factor-change bootstrap-server command-config output",
    )
    .when("execute")
    .message(NOT_WITH_ACTION),
    only("verify reassignment-json-file preserve-throttles bootstrap-server command-config output")
        .when("verify")
        .message(NOT_WITH_ACTION),
    only(
        "cancel reassignment-json-file preserve-throttles timeout bootstrap-server \
         bootstrap-controller command-config output",
    )
    .when("cancel")
    .message(NOT_WITH_ACTION),
    only("list bootstrap-server bootstrap-controller command-config output")
        .when("list")
        .message(NOT_WITH_ACTION),
])
.failure(Failure::Stdout("Error: "));

const NOT_WITH_ACTION: &str = "Option \"[{options}]\" can't be used with action \"[{when}]\"";

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    // Files are read before the cluster is asked.
    if parsed.has("generate") {
        let topics = plan::read_topics(parsed.required("topics-to-move-json-file")?)?;
        let brokers = generate::parse_brokers(parsed.required("broker-list")?)?;
        let cluster = run.connect().await?;
        return generate::generate(run, &cluster, &topics, &brokers).await;
    }
    if parsed.has("list") {
        return list(run, &run.connect().await?).await;
    }
    let plan = plan::read(parsed.required("reassignment-json-file")?)?;
    if parsed.has("execute") {
        plan.check()?;
    }
    let cluster = run.connect().await?;
    if parsed.has("execute") {
        execute::execute(run, &cluster, &plan).await
    } else if parsed.has("verify") {
        verify::verify(run, &cluster, &plan).await
    } else {
        execute::cancel(run, &cluster, &plan).await
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    #[serde(flatten)]
    id: &'a PartitionId,
    replicas: &'a [i32],
    adding_replicas: &'a [i32],
    removing_replicas: &'a [i32],
}

async fn list(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let moving = reassignments(cluster, None).await?;
    let rows: Vec<Row> = moving
        .iter()
        .map(|(id, moving)| Row {
            id,
            replicas: &moving.replicas,
            adding_replicas: &moving.adding,
            removing_replicas: &moving.removing,
        })
        .collect();
    run.show(rows.as_slice(), |_| render_list(moving.iter()))
}

/// As Kafka's tool prints it.
fn render_list<'a>(moving: impl Iterator<Item = (&'a PartitionId, &'a Reassignment)>) -> String {
    let mut text = String::new();
    for (id, moving) in moving {
        text += &format!("{id}: replicas: {}.", join(&moving.replicas));
        if !moving.adding.is_empty() {
            text += &format!(" adding: {}.", join(&moving.adding));
        }
        if !moving.removing.is_empty() {
            text += &format!(" removing: {}.", join(&moving.removing));
        }
        text += "\n";
    }
    if text.is_empty() {
        return "No partition reassignments found.\n".to_owned();
    }
    format!("Current partition reassignments:\n{text}")
}

#[cfg(test)]
mod tests;
