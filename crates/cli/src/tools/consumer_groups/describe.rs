//! `consumer-groups --describe`: offsets, members, or the state of groups.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{
    Cluster, Committed, Group, Member, Node, PartitionId, by_topic, committed, describe_groups,
};
use serde::Serialize;

use super::offsets::ends;
use super::select_groups;
use crate::table::{Table, Width};
use crate::text::join;
use crate::tool_run::ToolRun;

/// Printed where there is no value.
const MISSING: &str = "-";

/// A partition of a group, as it is printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    pub group: String,
    pub topic: String,
    pub partition: i32,
    pub leader_epoch: Option<i32>,
    pub current_offset: Option<i64>,
    pub log_end_offset: Option<i64>,
    pub lag: Option<i64>,
    pub consumer_id: Option<String>,
    pub host: Option<String>,
    pub client_id: Option<String>,
}

/// Prints offsets, members or states of the groups that the command line names.
pub async fn describe(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let ids = select_groups(run, cluster).await?;
    let groups = describe_groups(cluster, &ids, &run.progress).await?;
    let verbose = run.parsed.has("verbose");
    for group in groups.values() {
        note_state(run, group);
    }
    if run.parsed.has("members") {
        let rows: Vec<MemberRow> = groups.values().flat_map(member_rows).collect();
        let texts = groups.values().map(|group| render_members(group, verbose));
        return run.show(rows.as_slice(), |_| texts.collect());
    }
    if run.parsed.has("state") {
        let rows: Vec<StateRow> = groups.values().map(state_row).collect();
        let texts = groups.values().map(|group| render_state(group, verbose));
        return run.show(rows.as_slice(), |_| texts.collect());
    }
    let mut all = Vec::new();
    let mut texts = String::new();
    for group in run.progress.over("groups' offsets read", groups.values()) {
        let committed = committed(cluster, &group.id).await?;
        let mut ids: BTreeSet<PartitionId> = committed.keys().cloned().collect();
        for member in &group.members {
            ids.extend(member.assignment.iter().cloned());
        }
        let ends = ends(cluster, &ids, &run.progress).await?;
        let rows = rows(group, &committed, &ends);
        texts += &render_offsets(group, &rows, verbose);
        all.extend(rows);
    }
    run.show(all.as_slice(), |_| texts)
}

/// Prints on standard error what Kafka's tool prints there about a group.
fn note_state(run: &ToolRun<'_>, group: &Group) {
    match group.state.as_str() {
        "Empty" => run.note(format!(
            "\nConsumer group '{}' has no active members.",
            group.id
        )),
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
            run.note(format!(
                "\nWarning: Consumer group '{}' is rebalancing.",
                group.id
            ));
        }
        _ => {}
    }
}

fn is_dead(group: &Group) -> bool {
    group.state == "Dead"
}

fn dead(group: &Group) -> String {
    format!("\nError: Consumer group '{}' does not exist.\n", group.id)
}

/// The rows of a group: members with most partitions first, then unassigned partitions.
pub fn rows(
    group: &Group,
    committed: &BTreeMap<PartitionId, Committed>,
    ends: &BTreeMap<PartitionId, Option<i64>>,
) -> Vec<Row> {
    let row = |id: &PartitionId, member: Option<&Member>| {
        let at = committed.get(id);
        let end = ends.get(id).copied().flatten();
        Row {
            group: group.id.clone(),
            topic: id.topic.clone(),
            partition: id.partition,
            leader_epoch: at.and_then(|at| at.leader_epoch),
            current_offset: at.map(|at| at.offset),
            log_end_offset: end,
            lag: at.zip(end).map(|(at, end)| end - at.offset),
            consumer_id: member.map(|member| member.id.clone()),
            host: member.map(|member| member.host.clone()),
            client_id: member.map(|member| member.client_id.clone()),
        }
    };
    let mut members: Vec<&Member> = group.members.iter().collect();
    members.sort_by_key(|member| Reverse(member.assignment.len()));
    let mut rows = Vec::new();
    let mut assigned = BTreeSet::new();
    for member in members {
        let ids: BTreeSet<&PartitionId> = member.assignment.iter().collect();
        rows.extend(ids.iter().map(|id| row(id, Some(member))));
        assigned.extend(ids);
    }
    let left = committed.keys().filter(|id| !assigned.contains(id));
    rows.extend(left.map(|id| row(id, None)));
    rows
}

/// The value, or a dash where there is none.
pub fn or_missing<T: ToString>(value: Option<T>) -> String {
    value.map_or(MISSING.to_owned(), |value| value.to_string())
}

/// The lines of a table, each after a line end, as Kafka's tool prints them.
fn after_line_end(lines: &[String]) -> String {
    format!("\n{}\n", lines.join("\n"))
}

/// As Kafka's tool prints it.
pub fn render_offsets(group: &Group, rows: &[Row], verbose: bool) -> String {
    if is_dead(group) {
        return dead(group);
    }
    if rows.is_empty() {
        return String::new();
    }
    let fixed = Width::Exactly(15);
    let table = Table::new()
        .column("GROUP", Width::AtLeast(15), |row: &Row| row.group.clone())
        .column("TOPIC", Width::AtLeast(15), |row| row.topic.clone())
        .column("PARTITION", Width::Exactly(10), |row| {
            row.partition.to_string()
        })
        .when(verbose, |table| {
            table.column("LEADER-EPOCH", fixed, |row| or_missing(row.leader_epoch))
        })
        .column("CURRENT-OFFSET", fixed, |row| {
            or_missing(row.current_offset)
        })
        .column("LOG-END-OFFSET", fixed, |row| {
            or_missing(row.log_end_offset)
        })
        .column("LAG", fixed, |row| or_missing(row.lag))
        .column("CONSUMER-ID", Width::AtLeast(15), |row| {
            or_missing(row.consumer_id.as_ref())
        })
        .column("HOST", Width::AtLeast(15), |row| {
            or_missing(row.host.as_ref())
        })
        .column("CLIENT-ID", Width::Unpadded, |row| {
            or_missing(row.client_id.as_ref())
        });
    after_line_end(&table.lines(rows))
}

/// A member of a group, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberRow<'a> {
    group: &'a str,
    consumer_id: &'a str,
    group_instance_id: Option<&'a str>,
    host: &'a str,
    client_id: &'a str,
    current_epoch: Option<i32>,
    current_assignment: &'a [PartitionId],
    target_epoch: Option<i32>,
    target_assignment: &'a [PartitionId],
    upgraded: Option<bool>,
}

fn member_rows(group: &Group) -> Vec<MemberRow<'_>> {
    let rows = group.members.iter().map(|member| MemberRow {
        group: &group.id,
        consumer_id: &member.id,
        group_instance_id: member.instance.as_deref(),
        host: &member.host,
        client_id: &member.client_id,
        current_epoch: member.epoch,
        current_assignment: &member.assignment,
        target_epoch: group.target_epoch,
        target_assignment: &member.target,
        upgraded: member.upgraded,
    });
    rows.collect()
}

/// `topic:0,1;other:2`.
fn assignment_text(assignment: &[PartitionId]) -> String {
    let ids: BTreeSet<&PartitionId> = assignment.iter().collect();
    let partitions = ids.iter().map(|id| (id.topic.as_str(), id.partition));
    let mut texts = by_topic(partitions, |topic, ids| format!("{topic}:{}", join(ids)));
    texts.sort();
    or_missing(Some(texts.join(";")).filter(|text| !text.is_empty()))
}

/// As Kafka's tool prints it.
pub fn render_members(group: &Group, verbose: bool) -> String {
    if is_dead(group) {
        return dead(group);
    }
    let rows = member_rows(group);
    let with_instance = rows
        .iter()
        .any(|row| row.group_instance_id.is_some_and(|i| !i.is_empty()));
    let has = |upgraded| rows.iter().any(|row| row.upgraded == Some(upgraded));
    let migrating = has(true) && has(false);
    let fixed = Width::Exactly(15);
    let table = Table::new()
        .column("GROUP", Width::AtLeast(15), |row: &MemberRow| {
            row.group.to_owned()
        })
        .column("CONSUMER-ID", Width::AtLeast(15), |row| {
            row.consumer_id.to_owned()
        })
        .when(with_instance, |table| {
            table.column("GROUP-INSTANCE-ID", Width::AtLeast(17), |row| {
                row.group_instance_id.unwrap_or_default().to_owned()
            })
        })
        .column("HOST", Width::AtLeast(15), |row| row.host.to_owned())
        .column("CLIENT-ID", Width::AtLeast(15), |row| {
            row.client_id.to_owned()
        })
        .column("#PARTITIONS", fixed, |row| {
            row.current_assignment.len().to_string()
        })
        .when(verbose, |table| {
            table
                .column("CURRENT-EPOCH", fixed, |row| or_missing(row.current_epoch))
                .column("CURRENT-ASSIGNMENT", Width::AtLeast(20), |row| {
                    assignment_text(row.current_assignment)
                })
                .column("TARGET-EPOCH", fixed, |row| or_missing(row.target_epoch))
                .column("TARGET-ASSIGNMENT", Width::AtLeast(20), |row| {
                    assignment_text(row.target_assignment)
                })
        })
        .when(verbose && migrating, |table| {
            table.column("UPGRADED", Width::Unpadded, |row| or_missing(row.upgraded))
        })
        // Kafka's tool ends the short lines with a space.
        .when(!verbose, |table| {
            table.column("", Width::Unpadded, |_| String::new())
        });
    after_line_end(&table.lines(&rows))
}

/// A group, as its state is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateRow<'a> {
    group: &'a str,
    coordinator: &'a Node,
    assignment_strategy: &'a str,
    state: &'a str,
    group_epoch: Option<i32>,
    target_assignment_epoch: Option<i32>,
    members: usize,
}

fn state_row(group: &Group) -> StateRow<'_> {
    StateRow {
        group: &group.id,
        coordinator: &group.coordinator,
        assignment_strategy: &group.assignor,
        state: &group.state,
        group_epoch: group.epoch,
        target_assignment_epoch: group.target_epoch,
        members: group.members.len(),
    }
}

/// As Kafka's tool prints it.
pub fn render_state(group: &Group, verbose: bool) -> String {
    if is_dead(group) {
        return dead(group);
    }
    let coordinator = |row: &StateRow| {
        let Node { id, host, port, .. } = row.coordinator;
        format!("{host}:{port}  ({id})")
    };
    let table = Table::new()
        .column("GROUP", Width::AtLeast(15), |row: &StateRow| {
            row.group.to_owned()
        })
        .column("COORDINATOR (ID)", Width::AtLeast(25), coordinator)
        .column("ASSIGNMENT-STRATEGY", Width::Exactly(20), |row| {
            or_missing(Some(row.assignment_strategy).filter(|name| !name.is_empty()))
        })
        .column("STATE", Width::Exactly(20), |row| row.state.to_owned())
        .when(verbose, |table| {
            table
                .column("GROUP-EPOCH", Width::Exactly(15), |row| {
                    or_missing(row.group_epoch)
                })
                .column("TARGET-ASSIGNMENT-EPOCH", Width::Exactly(25), |row| {
                    or_missing(row.target_assignment_epoch)
                })
        })
        .column("#MEMBERS", Width::Unpadded, |row| row.members.to_string());
    after_line_end(&table.lines([&state_row(group)]))
}
