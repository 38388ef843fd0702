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

use crate::connect::{BOOTSTRAP_CONTROLLER, BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::job::{Failure, Job, OUTPUT, Output, Tool, Work};
use crate::options::{Parsed, Syntax, UsageError, flag, usage, value};

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "reassign-partitions",
    linked: true,
    syntax: Syntax {
        tool: "kafka-reassign-partitions",
        about: "This tool helps to move topic partitions between replicas.",
        options: &[
            BOOTSTRAP_SERVER,
            BOOTSTRAP_CONTROLLER,
            COMMAND_CONFIG,
            flag(
                "generate",
                "Generate a candidate partition reassignment configuration. Note that this only \
                 generates a candidate assignment, it does not execute it.",
            ),
            flag(
                "execute",
                "Kick off the reassignment as specified by the --reassignment-json-file option.",
            ),
            flag(
                "verify",
                "Verify if the reassignment completed as specified by the \
                 --reassignment-json-file option. If there is a throttle engaged for the replicas \
                 specified, and the rebalance has completed, the throttle will be removed.",
            ),
            flag("cancel", "Cancel an active reassignment."),
            flag("list", "List all active partition reassignments."),
            value(
                "reassignment-json-file",
                "manual assignment json file path",
                "The JSON file with the partition reassignment configuration: {\"partitions\": \
                 [{\"topic\": \"foo\", \"partition\": 1, \"replicas\": [1,2,3], \"log_dirs\": \
                 [\"dir1\",\"dir2\",\"dir3\"]}], \"version\": 1}. \"log_dirs\" is optional; each \
                 of them is a directory of its broker, or \"any\".",
            ),
            value(
                "topics-to-move-json-file",
                "topics to reassign json file path",
                "Generate a reassignment configuration to move the partitions of these topics to \
                 the brokers of --broker-list: {\"topics\": [{\"topic\": \"foo\"}], \
                 \"version\": 1}",
            ),
            value(
                "broker-list",
                "brokerlist",
                "The list of brokers to which the partitions need to be reassigned in the form \
                 \"0,1,2\".",
            ),
            flag(
                "disable-rack-aware",
                "Disable rack aware replica assignment.",
            ),
            value(
                "throttle",
                "bytes/sec",
                "The movement of partitions between brokers will be throttled to this value.",
            ),
            value(
                "replica-alter-log-dirs-throttle",
                "bytes/sec",
                "The movement of replicas between log directories on the same broker will be \
                 throttled to this value.",
            ),
            value(
                "timeout",
                "ms",
                "The maximum time in ms to wait for log directory replica assignment to begin \
                 (10000).",
            ),
            flag(
                "additional",
                "Execute this reassignment in addition to any other ongoing ones.",
            ),
            flag(
                "preserve-throttles",
                "Do not modify broker or topic throttles.",
            ),
            flag(
                "disallow-replication-factor-change",
                "Denies the ability to change a partition's replication factor.",
            ),
            OUTPUT,
        ],
        commands: &[],
    },
    work: Work::Async(|job| Box::pin(work(job))),
    failure: Failure::Stdout("Error: "),
};

const ACTIONS: [&str; 5] = ["generate", "execute", "verify", "cancel", "list"];

async fn work(job: &Job<'_>) -> anyhow::Result<()> {
    let parsed = &job.parsed;
    let action = check_arguments(parsed)?;
    // What cannot be read is told before anybody is asked.
    match action {
        "generate" => {
            let topics = plan::read_topics(parsed.required("topics-to-move-json-file")?)?;
            let brokers = generate::parse_brokers(parsed.required("broker-list")?)?;
            let cluster = job.connect().await?;
            generate::run(job, &cluster, &topics, &brokers).await
        }
        "list" => list(job, &job.connect().await?).await,
        action => {
            let plan = plan::read(parsed.required("reassignment-json-file")?)?;
            if action == "execute" {
                plan.check()?;
            }
            let cluster = job.connect().await?;
            match action {
                "execute" => execute::run(job, &cluster, &plan).await,
                "verify" => verify::run(job, &cluster, &plan).await,
                _ => execute::cancel(job, &cluster, &plan).await,
            }
        }
    }
}

/// The rules of Kafka's tool for which options go together.
fn check_arguments(parsed: &Parsed) -> Result<&'static str, UsageError> {
    let actions: Vec<&str> = ACTIONS
        .into_iter()
        .filter(|action| parsed.has(action))
        .collect();
    let [action] = actions.as_slice() else {
        let all: Vec<String> = ACTIONS.iter().map(|action| format!("--{action}")).collect();
        return usage(format!(
            "Command must include exactly one action: {}",
            all.join(", ")
        ));
    };
    let (server, controller) = (
        parsed.has("bootstrap-server"),
        parsed.has("bootstrap-controller"),
    );
    if server && controller {
        return usage("Please don't specify both --bootstrap-server and --bootstrap-controller");
    }
    if !server && !controller {
        return usage("Please specify either --bootstrap-server or --bootstrap-controller");
    }
    let (required, permitted): (&[&str], &[&str]) = match *action {
        "verify" => (&["reassignment-json-file"], &["preserve-throttles"]),
        "generate" => (
            &["topics-to-move-json-file", "broker-list"],
            &["disable-rack-aware"],
        ),
        "execute" => (
            &["reassignment-json-file"],
            &[
                "additional",
                "throttle",
                "replica-alter-log-dirs-throttle",
                "timeout",
                "disallow-replication-factor-change",
            ],
        ),
        "cancel" => (
            &["reassignment-json-file"],
            &["preserve-throttles", "timeout"],
        ),
        _ => (&[], &[]),
    };
    for option in required {
        parsed.required(option)?;
    }
    let always = ["bootstrap-server", "command-config", "output"];
    let controllers = matches!(*action, "cancel" | "list");
    for (option, _) in parsed.all() {
        let fits = option == *action
            || always.contains(&option)
            || required.contains(&option)
            || permitted.contains(&option)
            || (controllers && option == "bootstrap-controller");
        if !fits {
            return usage(format!(
                "Option \"[{option}]\" can't be used with action \"[{action}]\""
            ));
        }
    }
    Ok(action)
}

/// `1,2,3`.
fn join(ids: impl IntoIterator<Item = impl ToString>) -> String {
    let ids: Vec<String> = ids.into_iter().map(|id| id.to_string()).collect();
    ids.join(",")
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    topic: &'a str,
    partition: i32,
    replicas: &'a [i32],
    adding_replicas: &'a [i32],
    removing_replicas: &'a [i32],
}

async fn list(job: &Job<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let moving = reassignments(cluster, None).await?;
    match job.output()? {
        Output::Text => Ok(job.print(render_list(moving.iter()))?),
        Output::Json => {
            let rows: Vec<Row> = moving
                .iter()
                .map(|(id, moving)| Row {
                    topic: &id.topic,
                    partition: id.partition,
                    replicas: &moving.replicas,
                    adding_replicas: &moving.adding,
                    removing_replicas: &moving.removing,
                })
                .collect();
            job.print_json(&rows)
        }
    }
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
