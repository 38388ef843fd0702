//! `consumer-groups`: list, describe, delete consumer groups, reset and delete their offsets.
//!
//! Kafka's `ConsumerGroupCommand`. Unlike it, this tool ends with 1 when it failed.

mod delete;
mod describe;
mod offsets;
mod reset;
mod time;

use dohle_admin::{Cluster, ClusterError, ListedGroup, list_groups};
use kacrab_protocol::generated::ErrorCode;
use regex::Regex;

use crate::connect::{BOOTSTRAP_SERVER, COMMAND_CONFIG, connection};
use crate::options::{
    UsageError, all_of, any_of, at_most_one_of, conflicts, no_value_of, none_of, one_of, usage,
};
use crate::progress::Progress;
use crate::table::{Table, cells};
use crate::tool_run::{Failure, OUTPUT, Tool, ToolRun, Work, unknown_name};

const OPTIONS: &str = "
    --list: List all consumer groups.
    --describe: Describe consumer group and list offset lag (number of messages not yet processed)
        related to given group.
    --delete: Delete groups, with their offsets.
    --reset-offsets: Reset offsets of consumer groups, whose instances must be inactive. --dry-run
        (the default) only shows them, --execute does it, --export prints them as CSV. Give one of
        --to-datetime, --by-duration, --to-earliest, --to-latest, --shift-by, --from-file,
        --to-current, --to-offset, and a scope: --all-topics or --topic.
    --delete-offsets: Delete offsets of one consumer group, of topics.
    --validate-regex <regex>: Tell whether this is a regular expression that a subscription may
        have.
    --group <consumer group>: The consumer group; may be repeated.
    --all-groups: Apply to all consumer groups.
    --topic <topic>: The topic whose consumer group information should be deleted or whose offsets
        should be reset. With reset, partitions can be given: topic1:0,1,2. May be repeated.
    --all-topics: Consider all topics assigned to a group; for reset-offsets.
    --members: With --describe: the members of the group.
    --offsets: With --describe: the partitions and their lag (the default).
    --state [states]: With --describe: the state of the group. With --list: the state of all groups,
        or only groups in these states, as in stable,empty.
    --type [types]: With --list: the types of groups, or only groups of these types, as in
        classic,consumer.
    --verbose: With --describe: more columns.
    --dry-run: Only show results without changing offsets.
    --execute: Change offsets.
    --export: Print the offsets as CSV.
    --to-offset <offset>: Reset offsets to a specific offset.
    --from-file <path to CSV file>: Reset offsets to values defined in CSV file.
    --to-datetime <datetime>: Reset offsets to offset from datetime. Format:
        'YYYY-MM-DDThh:mm:ss.sss'
    --by-duration <duration>: Reset offsets to offset by duration from current timestamp. Format:
        'PnDTnHnMnS'
    --to-earliest: Reset offsets to earliest offset.
    --to-latest: Reset offsets to latest offset.
    --to-current: Reset offsets to current offset.
    --shift-by <number-of-offsets>: Reset offsets shifting current offset by 'n', where 'n' can be
        positive or negative.
    --timeout <timeout (ms)>: How long to wait for the cluster, in milliseconds (30000), as for a
        group that is not stable yet.
    ";

/// The row of the table.
pub const TOOL: Tool = Tool::kafka(
    "kafka-consumer-groups",
    "This tool helps to list all consumer groups, describe a consumer group, delete consumer \
     group info, or reset consumer group offsets.",
    &[BOOTSTRAP_SERVER, COMMAND_CONFIG, OPTIONS, OUTPUT],
    Work::Async(|run| Box::pin(work(run))),
)
.rules(&[
    one_of("list describe delete reset-offsets delete-offsets validate-regex").message(
        "Command must include exactly one action: --list, --describe, --delete, --reset-offsets, \
         --delete-offsets, --validate-regex",
    ),
    any_of("group all-groups")
        .when("describe delete reset-offsets")
        .message("Option [{when}] takes one of these options: [group], [all-groups]"),
    at_most_one_of("members offsets state")
        .when("describe")
        .message(
            "Option [describe] takes at most one of these options: [members], [offsets], [state]",
        ),
    no_value_of("state")
        .when("describe")
        .message("Option [describe] does not take a value for [state]"),
    any_of("describe")
        .when("members verbose offsets")
        .message("Option [{when}] is only available with --describe"),
    any_of("describe list")
        .when("state")
        .message("Option [state] is only available with --describe or --list"),
    any_of("list")
        .when("type")
        .message("Option [type] is only available with --list"),
    none_of("topic").when("delete").message(
        "The consumer does not support topic-specific offset deletion from a consumer group.",
    ),
    all_of("group topic")
        .when("delete-offsets")
        .message("Option [delete-offsets] takes the following options: [group], [topic]"),
    at_most_one_of("dry-run execute")
        .when("reset-offsets")
        .message("Option [reset-offsets] only accepts one of [execute] and [dry-run]"),
    at_most_one_of(SCENARIOS).when("reset-offsets"),
    any_of("all-topics topic from-file")
        .when("reset-offsets")
        .message("One of the reset scopes should be defined: --all-topics, --topic."),
    any_of(SCENARIOS).when("reset-offsets").message(
        "Option '[reset-offsets]' requires one of the following scenarios: [[to-offset], \
         [shift-by], [to-datetime], [by-duration], [to-earliest], [to-latest], [to-current], \
         [from-file]]",
    ),
    conflicts("group", "all-groups list"),
    conflicts("topic", "list describe"),
])
.failure(Failure::Stdout(
    "\nError: Executing consumer group command failed due to ",
));

const SCENARIOS: &str =
    "to-offset shift-by to-datetime by-duration to-earliest to-latest to-current from-file";

async fn work(run: &ToolRun<'_>) -> anyhow::Result<()> {
    let parsed = &run.parsed;
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
        return Ok(run.print(told)?);
    }
    let mut connection = connection(parsed, None)?;
    let timeout: Option<u64> = parsed.parsed("timeout")?;
    let timeout = timeout.unwrap_or(30_000).to_string();
    connection
        .properties
        .entry("default.api.timeout.ms".to_owned())
        .or_insert(timeout);
    let cluster = Cluster::connect(&connection).await?;
    let done = if parsed.has("list") {
        list(run, &cluster).await
    } else if parsed.has("describe") {
        describe::describe(run, &cluster).await
    } else if parsed.has("delete") {
        delete::groups(run, &cluster).await
    } else if parsed.has("reset-offsets") {
        reset::reset(run, &cluster).await
    } else {
        delete::offsets(run, &cluster).await
    };
    match done {
        Err(error) => Err(explain(run, &cluster, error).await),
        done => done,
    }
}

/// An unknown group is answered with the nearest names; refusals have their Java class, as in
/// Kafka's tool.
async fn explain(run: &ToolRun<'_>, cluster: &Cluster, error: anyhow::Error) -> anyhow::Error {
    let Some(ClusterError::Refused(refusal)) = error.downcast_ref() else {
        return error;
    };
    let message = refusal.java();
    if refusal.code != ErrorCode::GroupIdNotFound {
        return anyhow::Error::msg(message);
    }
    let all = list_groups(cluster, &[], &[], &run.progress).await;
    let all = all.unwrap_or_default();
    let names = || all.iter().map(|group| group.group.as_str());
    let unknown = run
        .parsed
        .values("group")
        .find(|group| names().all(|name| name != *group));
    unknown_name(message, unknown.unwrap_or_default(), names())
}

/// Selects the groups that the command line names.
async fn select_groups(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let parsed = &run.parsed;
    if !parsed.has("all-groups") {
        let mut groups: Vec<String> = parsed.values("group").map(str::to_owned).collect();
        groups.sort();
        groups.dedup();
        return Ok(groups);
    }
    let all = consumer_groups(cluster, &[], &[], &run.progress).await?;
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

async fn list(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let states = match parsed.value("state")?.filter(|text| !text.is_empty()) {
        Some(text) => names(text, &STATES, "state")?,
        None => Vec::new(),
    };
    let types = match parsed.value("type")?.filter(|text| !text.is_empty()) {
        Some(text) => names(text, &["classic", "consumer"], "type")?,
        None => Vec::new(),
    };
    let groups = consumer_groups(cluster, &states, &types, &run.progress).await?;
    let (with_type, with_state) = (parsed.has("type"), parsed.has("state"));
    run.show(groups.as_slice(), |groups| {
        render_list(groups, with_type, with_state)
    })
}

fn render_list(groups: &[ListedGroup], with_type: bool, with_state: bool) -> String {
    if !with_type && !with_state {
        return groups
            .iter()
            .map(|group| format!("{}\n", group.group))
            .collect();
    }
    let longest = groups.iter().map(|group| group.group.len()).max();
    Table::new("GROUP | TYPE=20 | STATE=20")
        .wide(longest.unwrap_or(0).max(15) + 10, &["GROUP"])
        .only_if(with_type, &["TYPE"])
        .only_if(with_state, &["STATE"])
        .text(groups, |group| cells![group.group, group.kind, group.state])
}

#[cfg(test)]
mod tests;
