//! `explain`: why a group rebalanced, why a partition is as it is, how long a topic keeps its
//! records, and what a client receives at an address. Dohle's own.
//!
//! Facts come from the brokers at `--bootstrap-server`, over Kafka's protocol, and causes from
//! the pages under `/debug` of the nodes' HTTP listeners. Where these are off, the answer has the
//! facts, and names what is missing.

mod debug_pages;
mod group;
mod listener;
mod partition;
mod topic;
mod words;

use dohle_admin::{Cluster, list_topics};

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG};
use crate::options::{Syntax, UsageError, all_of, usage};
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work, unknown_name};

const OPTIONS: &str = "
    --http <url>: The HTTP listener of a node, such as http://node1:9644; may be repeated, once for
        each node. Without it, http://HOST:9644 is tried for each broker's host, and the next ports
        if several brokers have one host.
    ";

const COMMANDS: &str = "
    group: GROUP: why it rebalanced within the last day, its members, and what it waits for.
    partition: TOPIC-PARTITION, such as orders-0: why it has this leader, why replicas are not in
        sync, and since when.
    topic: TOPIC: which records are kept, for how long, and which rule deletes them.
    listener: Which addresses the brokers advertise, and whether they can be reached from here.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "explain",
    linked: false,
    syntax: Syntax {
        tool: "dohle explain",
        about: "Explains why something in a cluster is as it is: dohle explain group GROUP, \
                partition TOPIC-PARTITION, topic TOPIC, listener.",
        options: &[BOOTSTRAP_SERVER, OPTIONS, COMMAND_CONFIG, OUTPUT],
        rules: &[all_of("bootstrap-server")],
        commands: COMMANDS,
        ..Syntax::EMPTY
    },
    work: Work::Async(|run| Box::pin(work(run))),
    failure: Failure::Stderr(""),
};

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    match run.parsed.command {
        Some("group") => group::explain(run, subject(run, "group, as in: group shop")?).await,
        Some("partition") => {
            let subject = subject(run, "partition, as in: partition orders-0")?;
            partition::explain(run, subject).await
        }
        Some("topic") => topic::explain(run, subject(run, "topic, as in: topic orders")?).await,
        _ => listener::explain(run).await,
    }
}

/// The word after the command.
fn subject<'a>(run: &'a ToolRun<'_>, missing: &str) -> Result<&'a str, UsageError> {
    match run.parsed.words.as_slice() {
        [one] => Ok(one),
        [] => usage(format!("Name the {missing}")),
        several => usage(format!(
            "Name one {missing}; these are several: {}",
            several.join(", ")
        )),
    }
}

/// Returns an error, with the names that are near to it, unless there is a topic of this name.
async fn require_topic(cluster: &Cluster, name: &str) -> anyhow::Result<()> {
    let all = list_topics(cluster).await?;
    if all.iter().any(|topic| topic.name == name) {
        return Ok(());
    }
    let existing = all.iter().map(|topic| topic.name.as_str());
    let message = format!("There is no topic {name}.");
    Err(unknown_name(message, name, existing))
}
