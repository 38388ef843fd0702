//! `consumer-groups --describe`: offsets, members, or the state of groups.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{
    Cluster, Committed, Group, Member, Node, PartitionId, by_topic, committed, describe_groups,
    log_ends,
};
use serde::Serialize;

use super::select_groups;
use crate::table::{Table, cells};
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
        let ends = log_ends(cluster, &ids, &run.progress).await?;
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

/// As Kafka's tool prints it.
pub fn render_offsets(group: &Group, rows: &[Row], verbose: bool) -> String {
    if is_dead(group) {
        return dead(group);
    }
    if rows.is_empty() {
        return String::new();
    }
    let table = Table::new(
        "GROUP>=15 | TOPIC>=15 | PARTITION=10 | LEADER-EPOCH=15 | CURRENT-OFFSET=15 | \
         LOG-END-OFFSET=15 | LAG=15 | CONSUMER-ID>=15 | HOST>=15 | CLIENT-ID",
    )
    .only_if(verbose, &["LEADER-EPOCH"])
    .text(rows, |row| {
        cells![
            row.group,
            row.topic,
            row.partition,
            or_missing(row.leader_epoch),
            or_missing(row.current_offset),
            or_missing(row.log_end_offset),
            or_missing(row.lag),
            or_missing(row.consumer_id.as_ref()),
            or_missing(row.host.as_ref()),
            or_missing(row.client_id.as_ref()),
        ]
    });
    format!("\n{table}")
}

/// A member of a group, as it is printed.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberRow<'a> {
    group: &'a str,
    #[serde(flatten)]
    member: &'a Member,
    target_epoch: Option<i32>,
}

fn member_rows(group: &Group) -> Vec<MemberRow<'_>> {
    let rows = group.members.iter().map(|member| MemberRow {
        group: &group.id,
        member,
        target_epoch: group.target_epoch,
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
    let instance = |member: &Member| member.instance.clone().unwrap_or_default();
    let with_instance = group
        .members
        .iter()
        .any(|member| !instance(member).is_empty());
    let has = |upgraded| {
        group
            .members
            .iter()
            .any(|member| member.upgraded == Some(upgraded))
    };
    let migrating = has(true) && has(false);
    // Kafka's tool ends the short lines with a space: the last column has neither title nor cells.
    let table = Table::new(
        "GROUP>=15 | CONSUMER-ID>=15 | GROUP-INSTANCE-ID>=17 | HOST>=15 | CLIENT-ID>=15 | \
         #PARTITIONS=15 | CURRENT-EPOCH=15 | CURRENT-ASSIGNMENT>=20 | TARGET-EPOCH=15 | \
         TARGET-ASSIGNMENT>=20 | UPGRADED | ",
    )
    .only_if(with_instance, &["GROUP-INSTANCE-ID"])
    .only_if(verbose, &["CURRENT-EPOCH", "CURRENT-ASSIGNMENT"])
    .only_if(verbose, &["TARGET-EPOCH", "TARGET-ASSIGNMENT"])
    .only_if(verbose && migrating, &["UPGRADED"])
    .only_if(!verbose, &[""])
    .text(&group.members, |member| {
        cells![
            group.id,
            member.id,
            instance(member),
            member.host,
            member.client_id,
            member.assignment.len(),
            or_missing(member.epoch),
            assignment_text(&member.assignment),
            or_missing(group.target_epoch),
            assignment_text(&member.target),
            or_missing(member.upgraded),
            "",
        ]
    });
    format!("\n{table}")
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
    let row = state_row(group);
    let Node { id, host, port, .. } = row.coordinator;
    let assignor = Some(row.assignment_strategy).filter(|name| !name.is_empty());
    let table = Table::new(
        "GROUP>=15 | COORDINATOR (ID)>=25 | ASSIGNMENT-STRATEGY=20 | STATE=20 | GROUP-EPOCH=15 | \
         TARGET-ASSIGNMENT-EPOCH=25 | #MEMBERS",
    )
    .only_if(verbose, &["GROUP-EPOCH", "TARGET-ASSIGNMENT-EPOCH"])
    .text([row], |row| {
        cells![
            row.group,
            format!("{host}:{port}  ({id})"),
            or_missing(assignor),
            row.state,
            or_missing(row.group_epoch),
            or_missing(row.target_assignment_epoch),
            row.members,
        ]
    });
    format!("\n{table}")
}
