//! `consumer-groups`: list, describe, delete consumer groups, reset and delete their offsets.
//!
//! Kafka's `ConsumerGroupCommand`. Unlike it, this tool ends with 1 when it failed.

mod delete;
mod describe;
mod offsets;
mod reset;
mod time;

use dohle_admin::{Cluster, ClusterError, ListedGroup, list_groups};
use dohle_model::suggest::nearest_few;
use regex::Regex;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG, connection};
use crate::job::{Failure, Hinted, Job, OUTPUT, Output, Tool, Work};
use crate::options::{Parsed, Syntax, Takes, UsageError, flag, usage, value};
use crate::progress::Progress;

/// The row of the table.
pub const TOOL: Tool = Tool {
    name: "consumer-groups",
    linked: true,
    syntax: Syntax {
        tool: "kafka-consumer-groups",
        about: "This tool helps to list all consumer groups, describe a consumer group, delete \
                consumer group info, or reset consumer group offsets.",
        options: &[
            BOOTSTRAP_SERVER,
            COMMAND_CONFIG,
            flag("list", "List all consumer groups."),
            flag(
                "describe",
                "Describe consumer group and list offset lag (number of messages not yet \
                 processed) related to given group.",
            ),
            flag("delete", "Delete groups, with their offsets."),
            flag(
                "reset-offsets",
                "Reset offsets of consumer groups, whose instances must be inactive. --dry-run \
                 (the default) only shows them, --execute does it, --export prints them as CSV. \
                 Give one of --to-datetime, --by-duration, --to-earliest, --to-latest, --shift-by, \
                 --from-file, --to-current, --to-offset, and a scope: --all-topics or --topic.",
            ),
            flag(
                "delete-offsets",
                "Delete offsets of one consumer group, of topics.",
            ),
            value(
                "validate-regex",
                "regex",
                "Tell whether this is a regular expression that a subscription may have.",
            ),
            value(
                "group",
                "consumer group",
                "The consumer group; may be repeated.",
            ),
            flag("all-groups", "Apply to all consumer groups."),
            value(
                "topic",
                "topic",
                "The topic whose consumer group information should be deleted or whose offsets \
                 should be reset. With reset, partitions can be given: topic1:0,1,2. May be \
                 repeated.",
            ),
            flag(
                "all-topics",
                "Consider all topics assigned to a group; for reset-offsets.",
            ),
            flag("members", "With --describe: the members of the group."),
            flag(
                "offsets",
                "With --describe: the partitions and their lag (the default).",
            ),
            value(
                "state",
                "states",
                "With --describe: the state of the group. With --list: the state of all groups, \
                 or only groups in these states, as in stable,empty.",
            )
            .taking(Takes::Maybe("states")),
            value(
                "type",
                "types",
                "With --list: the types of groups, or only groups of these types, as in \
                 classic,consumer.",
            )
            .taking(Takes::Maybe("types")),
            flag("verbose", "With --describe: more columns."),
            flag("dry-run", "Only show results without changing offsets."),
            flag("execute", "Change offsets."),
            flag("export", "Print the offsets as CSV."),
            value("to-offset", "offset", "Reset offsets to a specific offset."),
            value(
                "from-file",
                "path to CSV file",
                "Reset offsets to values defined in CSV file.",
            ),
            value(
                "to-datetime",
                "datetime",
                "Reset offsets to offset from datetime. Format: 'YYYY-MM-DDThh:mm:ss.sss'",
            ),
            value(
                "by-duration",
                "duration",
                "Reset offsets to offset by duration from current timestamp. Format: 'PnDTnHnMnS'",
            ),
            flag("to-earliest", "Reset offsets to earliest offset."),
            flag("to-latest", "Reset offsets to latest offset."),
            flag("to-current", "Reset offsets to current offset."),
            value(
                "shift-by",
                "number-of-offsets",
                "Reset offsets shifting current offset by 'n', where 'n' can be positive or \
                 negative.",
            ),
            value(
                "timeout",
                "timeout (ms)",
                "How long to wait for the cluster, in milliseconds (30000), as for a group that \
                 is not stable yet.",
            ),
            OUTPUT,
        ],
        commands: &[],
    },
    work: Work::Async(|job| Box::pin(work(job))),
    failure: Failure::Stdout("\nError: Executing consumer group command failed due to "),
};

const SCENARIOS: [&str; 8] = [
    "to-offset",
    "shift-by",
    "to-datetime",
    "by-duration",
    "to-earliest",
    "to-latest",
    "to-current",
    "from-file",
];

const ACTIONS: [&str; 6] = [
    "list",
    "describe",
    "delete",
    "reset-offsets",
    "delete-offsets",
    "validate-regex",
];

async fn work(job: &Job<'_>) -> anyhow::Result<()> {
    let parsed = &job.parsed;
    check_arguments(parsed)?;
    if let Some(regex) = parsed.value("validate-regex")? {
        let told = match Regex::new(regex) {
            Ok(_) => format!("The regular expression `{regex}` is valid.\n"),
            Err(error) => {
                let why = error.to_string();
                let why = why.lines().last().unwrap_or_default();
                let why = why.trim_start_matches("error: ");
                format!("The regular expression `{regex}` is invalid: {why}.\n")
            }
        };
        return Ok(job.print(told)?);
    }
    let mut connection = connection(parsed)?;
    let timeout: Option<u64> = parsed.parsed("timeout")?;
    let timeout = timeout.unwrap_or(30_000).to_string();
    connection
        .properties
        .entry("default.api.timeout.ms".to_owned())
        .or_insert(timeout);
    let cluster = Cluster::connect(&connection).await?;
    let done = if parsed.has("list") {
        list(job, &cluster).await
    } else if parsed.has("describe") {
        describe::run(job, &cluster).await
    } else if parsed.has("delete") {
        delete::groups(job, &cluster).await
    } else if parsed.has("reset-offsets") {
        reset::run(job, &cluster).await
    } else {
        delete::offsets(job, &cluster).await
    };
    match done {
        Err(error) => Err(explain(job, &cluster, error).await),
        done => done,
    }
}

/// An unknown group is answered with the nearest names; refusals have their Java class, as in
/// Kafka's tool.
async fn explain(job: &Job<'_>, cluster: &Cluster, error: anyhow::Error) -> anyhow::Error {
    let Some(ClusterError::Refused(refusal)) = error.downcast_ref() else {
        return error;
    };
    let message = refusal.java();
    if refusal.code != kacrab_protocol::generated::ErrorCode::GroupIdNotFound {
        return anyhow::Error::msg(message);
    }
    let all = list_groups(cluster, &[], &[], &job.progress).await;
    let all = all.unwrap_or_default();
    let names = || all.iter().map(|group| group.group.as_str());
    let unknown = job
        .parsed
        .values("group")
        .find(|group| names().all(|name| name != *group));
    let near = unknown.map_or(Vec::new(), |group| nearest_few(group, names()));
    if near.is_empty() {
        return anyhow::Error::msg(message);
    }
    let hint = format!("Did you mean {}?", near.join(" or "));
    Hinted { message, hint }.into()
}

/// The rules of Kafka's tool for which options go together.
fn check_arguments(parsed: &Parsed) -> Result<(), UsageError> {
    if ACTIONS.iter().filter(|action| parsed.has(action)).count() != 1 {
        let actions: Vec<String> = ACTIONS.iter().map(|action| format!("--{action}")).collect();
        return usage(format!(
            "Command must include exactly one action: {}",
            actions.join(", ")
        ));
    }
    let grouped = parsed.has("group") || parsed.has("all-groups");
    for action in ["describe", "delete", "reset-offsets"] {
        if parsed.has(action) && !grouped {
            return usage(format!(
                "Option [{action}] takes one of these options: [group], [all-groups]"
            ));
        }
    }
    if parsed.has("describe") {
        let shown = ["members", "offsets", "state"];
        if shown.iter().filter(|option| parsed.has(option)).count() > 1 {
            return usage(
                "Option [describe] takes at most one of these options: [members], [offsets], \
                 [state]",
            );
        }
        if parsed.value("state")?.is_some() {
            return usage("Option [describe] does not take a value for [state]");
        }
    }
    let only_with: [(&str, &[&str]); 5] = [
        ("members", &["describe"]),
        ("verbose", &["describe"]),
        ("offsets", &["describe"]),
        ("state", &["describe", "list"]),
        ("type", &["list"]),
    ];
    for (option, actions) in only_with {
        if parsed.has(option) && !actions.iter().any(|action| parsed.has(action)) {
            return usage(format!(
                "Option [{option}] is only available with --{}",
                actions.join(" or --")
            ));
        }
    }
    if parsed.has("delete") && parsed.has("topic") {
        return usage(
            "The consumer does not support topic-specific offset deletion from a consumer group.",
        );
    }
    if parsed.has("delete-offsets") && !(parsed.has("group") && parsed.has("topic")) {
        return usage("Option [delete-offsets] takes the following options: [group], [topic]");
    }
    if parsed.has("reset-offsets") {
        if parsed.has("dry-run") && parsed.has("execute") {
            return usage("Option [reset-offsets] only accepts one of [execute] and [dry-run]");
        }
        for scenario in SCENARIOS {
            let others: Vec<&str> = SCENARIOS.into_iter().filter(|s| *s != scenario).collect();
            parsed.conflicts(scenario, &others)?;
        }
    }
    parsed.conflicts("group", &["all-groups", "list"])?;
    parsed.conflicts("topic", &["list", "describe"])
}

/// The groups that the command line means.
async fn meant(job: &Job<'_>, cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let parsed = &job.parsed;
    if !parsed.has("all-groups") {
        let mut groups: Vec<String> = parsed.values("group").map(str::to_owned).collect();
        groups.sort();
        groups.dedup();
        return Ok(groups);
    }
    let all = consumer_groups(cluster, &[], &[], &job.progress).await?;
    Ok(all.into_iter().map(|group| group.group).collect())
}

/// Groups of consumers: of the consumer protocol, or classic ones with consumers or no members.
async fn consumer_groups(
    cluster: &Cluster,
    states: &[String],
    types: &[String],
    progress: &Progress,
) -> Result<Vec<ListedGroup>, ClusterError> {
    let both = ["classic".to_owned(), "consumer".to_owned()];
    let types = if types.is_empty() { &both } else { types };
    let mut groups = list_groups(cluster, states, types, progress).await?;
    groups.retain(|group| matches!(group.protocol.as_str(), "" | "consumer"));
    Ok(groups)
}

const STATES: [&str; 7] = [
    "PreparingRebalance",
    "CompletingRebalance",
    "Stable",
    "Dead",
    "Empty",
    "Assigning",
    "Reconciling",
];

/// Reads `stable,empty`; the names are those of `known`, in any case.
fn names(text: &str, known: &[&str], what: &str) -> Result<Vec<String>, UsageError> {
    let mut found = Vec::new();
    for name in text.split(',').map(str::trim) {
        let Some(name) = known.iter().find(|known| known.eq_ignore_ascii_case(name)) else {
            return usage(format!(
                "Invalid {what} list '{text}'. Valid {what}s are: {}",
                known.join(", ")
            ));
        };
        found.push((*name).to_owned());
    }
    Ok(found)
}

async fn list(job: &Job<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let parsed = &job.parsed;
    let states = match parsed.value("state")?.filter(|text| !text.is_empty()) {
        Some(text) => names(text, &STATES, "state")?,
        None => Vec::new(),
    };
    let types = match parsed.value("type")?.filter(|text| !text.is_empty()) {
        Some(text) => names(text, &["classic", "consumer"], "type")?,
        None => Vec::new(),
    };
    let groups = consumer_groups(cluster, &states, &types, &job.progress).await?;
    match job.output()? {
        Output::Json => job.print_json(&groups),
        Output::Text => {
            let text = render_list(&groups, parsed.has("type"), parsed.has("state"));
            Ok(job.print(text)?)
        }
    }
}

fn render_list(groups: &[ListedGroup], with_type: bool, with_state: bool) -> String {
    if !with_type && !with_state {
        return groups
            .iter()
            .map(|group| format!("{}\n", group.group))
            .collect();
    }
    let longest = groups.iter().map(|group| group.group.len()).max();
    let width = longest.unwrap_or(0).max(15) + 10;
    let line = |group: &str, kind: &str, state: &str| {
        let mut line = format!("{group:<width$}");
        if with_type {
            line += &format!(" {kind:<20}");
        }
        if with_state {
            line += &format!(" {state:<20}");
        }
        line + "\n"
    };
    let mut text = line("GROUP", "TYPE", "STATE");
    for group in groups {
        text += &line(&group.group, &group.kind, &group.state);
    }
    text
}

#[cfg(test)]
mod tests;
