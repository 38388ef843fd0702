//! `consumer-groups --describe`: offsets, members, or the state of groups.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{Cluster, Committed, Group, Member, PartitionId, committed, describe_groups};
use serde::Serialize;

use super::meant;
use super::offsets::ends;
use crate::job::{Job, Output};

/// Stands where there is nothing to tell.
const MISSING: &str = "-";

/// A partition of a group, as a line tells it.
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

pub async fn run(job: &Job<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let ids = meant(job, cluster).await?;
    let groups = describe_groups(cluster, &ids, &job.progress).await?;
    let verbose = job.parsed.has("verbose");
    let output = job.output()?;
    for group in groups.values() {
        tell_state(job, group);
    }
    if job.parsed.has("members") {
        return match output {
            Output::Text => {
                let texts = groups.values().map(|group| render_members(group, verbose));
                Ok(job.print(texts.collect::<String>())?)
            }
            Output::Json => {
                let rows = groups.values().flat_map(|group| {
                    group
                        .members
                        .iter()
                        .map(|member| member_json(group, member))
                });
                job.print_json(&rows.collect::<Vec<_>>())
            }
        };
    }
    if job.parsed.has("state") {
        return match output {
            Output::Text => {
                let texts = groups.values().map(|group| render_state(group, verbose));
                Ok(job.print(texts.collect::<String>())?)
            }
            Output::Json => {
                let rows: Vec<StateJson> = groups.values().map(state_json).collect();
                job.print_json(&rows)
            }
        };
    }
    let mut all = Vec::new();
    for group in job.progress.over("groups' offsets read", groups.values()) {
        let committed = committed(cluster, &group.id).await?;
        let mut ids: BTreeSet<PartitionId> = committed.keys().cloned().collect();
        for member in &group.members {
            ids.extend(member.assignment.iter().cloned());
        }
        let ends = ends(cluster, &ids, &job.progress).await?;
        all.push((group, rows(group, &committed, &ends)));
    }
    match output {
        Output::Text => {
            let texts = all
                .iter()
                .map(|(group, rows)| render_offsets(group, rows, verbose));
            Ok(job.print(texts.collect::<String>())?)
        }
        Output::Json => {
            let rows: Vec<&Row> = all.iter().flat_map(|(_, rows)| rows).collect();
            job.print_json(&rows)
        }
    }
}

/// What Kafka's tool says of a group on standard error.
fn tell_state(job: &Job<'_>, group: &Group) {
    match group.state.as_str() {
        "Empty" => job.note(format!(
            "\nConsumer group '{}' has no active members.",
            group.id
        )),
        "PreparingRebalance" | "CompletingRebalance" | "Assigning" | "Reconciling" => {
            job.note(format!(
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

/// The lines of a group: members with most partitions first, then partitions that nobody has.
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

fn or_missing<T: ToString>(value: Option<T>) -> String {
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
    let consumer = |row: &Row| or_missing(row.consumer_id.as_ref());
    let host = |row: &Row| or_missing(row.host.as_ref());
    let width = |of: &dyn Fn(&Row) -> usize| rows.iter().map(of).max().unwrap_or(0).max(15);
    let group_width = width(&|row| row.group.len());
    let topic_width = width(&|row| row.topic.len());
    let consumer_width = width(&|row| consumer(row).len());
    let host_width = width(&|row| host(row).len());
    let line = |cells: [&str; 10]| {
        let [
            group,
            topic,
            partition,
            epoch,
            current,
            end,
            lag,
            consumer,
            host,
            client,
        ] = cells;
        let epoch = if verbose {
            format!("{epoch:<15} ")
        } else {
            String::new()
        };
        format!(
            "\n{group:<group_width$} {topic:<topic_width$} {partition:<10} {epoch}{current:<15} \
             {end:<15} {lag:<15} {consumer:<consumer_width$} {host:<host_width$} {client}"
        )
    };
    let mut text = line([
        "GROUP",
        "TOPIC",
        "PARTITION",
        "LEADER-EPOCH",
        "CURRENT-OFFSET",
        "LOG-END-OFFSET",
        "LAG",
        "CONSUMER-ID",
        "HOST",
        "CLIENT-ID",
    ]);
    for row in rows {
        text += &line([
            &row.group,
            &row.topic,
            &row.partition.to_string(),
            &or_missing(row.leader_epoch),
            &or_missing(row.current_offset),
            &or_missing(row.log_end_offset),
            &or_missing(row.lag),
            &consumer(row),
            &host(row),
            &or_missing(row.client_id.as_ref()),
        ]);
    }
    text + "\n"
}

/// `topic:0,1;other:2`.
fn assignment_text(assignment: &[PartitionId]) -> String {
    if assignment.is_empty() {
        return MISSING.to_owned();
    }
    let mut topics: BTreeMap<&str, BTreeSet<i32>> = BTreeMap::new();
    for id in assignment {
        topics.entry(&id.topic).or_default().insert(id.partition);
    }
    let mut texts: Vec<String> = topics
        .into_iter()
        .map(|(topic, partitions)| {
            let partitions: Vec<String> = partitions.iter().map(ToString::to_string).collect();
            format!("{topic}:{}", partitions.join(","))
        })
        .collect();
    texts.sort();
    texts.join(";")
}

/// As Kafka's tool prints it.
pub fn render_members(group: &Group, verbose: bool) -> String {
    if is_dead(group) {
        return dead(group);
    }
    let members = &group.members;
    let widest = |of: &dyn Fn(&Member) -> usize, least: usize| {
        members.iter().map(of).max().unwrap_or(0).max(least)
    };
    let group_width = if members.is_empty() {
        15
    } else {
        group.id.len().max(15)
    };
    let id_width = widest(&|member| member.id.len(), 15);
    let instance = |member: &Member| member.instance.clone().unwrap_or_default();
    let instance_width = widest(&|member| instance(member).len(), 17);
    let host_width = widest(&|member| member.host.len(), 15);
    let client_width = widest(&|member| member.client_id.len(), 15);
    let current_width = widest(&|member| assignment_text(&member.assignment).len(), 20);
    let target_width = widest(&|member| assignment_text(&member.target).len(), 20);
    let with_instance = members.iter().any(|member| !instance(member).is_empty());
    let migrating = members.iter().any(|member| member.upgraded == Some(true))
        && members.iter().any(|member| member.upgraded == Some(false));
    let line = |first: [&str; 6], rest: [&str; 5]| {
        let [group, id, instance, host, client, partitions] = first;
        let mut line = format!("{group:<group_width$} {id:<id_width$} ");
        if with_instance {
            line += &format!("{instance:<instance_width$} ");
        }
        line += &format!("{host:<host_width$} {client:<client_width$} {partitions:<15} ");
        if verbose {
            let [epoch, current, target_epoch, target, upgraded] = rest;
            line += &format!(
                "{epoch:<15} {current:<current_width$} {target_epoch:<15} {target:<target_width$}"
            );
            if migrating {
                line += &format!(" {upgraded}");
            }
        }
        line + "\n"
    };
    let mut text = "\n".to_owned();
    text += &line(
        [
            "GROUP",
            "CONSUMER-ID",
            "GROUP-INSTANCE-ID",
            "HOST",
            "CLIENT-ID",
            "#PARTITIONS",
        ],
        [
            "CURRENT-EPOCH",
            "CURRENT-ASSIGNMENT",
            "TARGET-EPOCH",
            "TARGET-ASSIGNMENT",
            "UPGRADED",
        ],
    );
    for member in members {
        text += &line(
            [
                &group.id,
                &member.id,
                &instance(member),
                &member.host,
                &member.client_id,
                &member.assignment.len().to_string(),
            ],
            [
                &or_missing(member.epoch),
                &assignment_text(&member.assignment),
                &or_missing(group.target_epoch),
                &assignment_text(&member.target),
                &or_missing(member.upgraded),
            ],
        );
    }
    text
}

/// As Kafka's tool prints it.
pub fn render_state(group: &Group, verbose: bool) -> String {
    if is_dead(group) {
        return dead(group);
    }
    let node = &group.coordinator;
    let coordinator = format!("{}:{}  ({})", node.host, node.port, node.id);
    let coordinator_width = coordinator.len().max(25);
    let group_width = group.id.len().max(15);
    let assignor = Some(group.assignor.as_str()).filter(|assignor| !assignor.is_empty());
    let line = |cells: [&str; 7]| {
        let [
            group,
            coordinator,
            assignor,
            state,
            epoch,
            target_epoch,
            members,
        ] = cells;
        let epochs = if verbose {
            format!("{epoch:<15} {target_epoch:<25} ")
        } else {
            String::new()
        };
        format!(
            "\n{group:<group_width$} {coordinator:<coordinator_width$} {assignor:<20} {state:<20} \
             {epochs}{members}"
        )
    };
    let mut text = line([
        "GROUP",
        "COORDINATOR (ID)",
        "ASSIGNMENT-STRATEGY",
        "STATE",
        "GROUP-EPOCH",
        "TARGET-ASSIGNMENT-EPOCH",
        "#MEMBERS",
    ]);
    text += &line([
        &group.id,
        &coordinator,
        &or_missing(assignor),
        &group.state,
        &or_missing(group.epoch),
        &or_missing(group.target_epoch),
        &group.members.len().to_string(),
    ]);
    text + "\n"
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemberJson<'a> {
    group: &'a str,
    consumer_id: &'a str,
    group_instance_id: Option<&'a str>,
    host: &'a str,
    client_id: &'a str,
    current_epoch: Option<i32>,
    current_assignment: Vec<PartitionJson<'a>>,
    target_epoch: Option<i32>,
    target_assignment: Vec<PartitionJson<'a>>,
    upgraded: Option<bool>,
}

#[derive(Serialize)]
struct PartitionJson<'a> {
    topic: &'a str,
    partition: i32,
}

fn member_json<'a>(group: &'a Group, member: &'a Member) -> MemberJson<'a> {
    let partitions = |assignment: &'a [PartitionId]| {
        let partitions = assignment.iter().map(|id| PartitionJson {
            topic: &id.topic,
            partition: id.partition,
        });
        partitions.collect()
    };
    MemberJson {
        group: &group.id,
        consumer_id: &member.id,
        group_instance_id: member.instance.as_deref(),
        host: &member.host,
        client_id: &member.client_id,
        current_epoch: member.epoch,
        current_assignment: partitions(&member.assignment),
        target_epoch: group.target_epoch,
        target_assignment: partitions(&member.target),
        upgraded: member.upgraded,
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StateJson<'a> {
    group: &'a str,
    coordinator: &'a dohle_admin::Node,
    assignment_strategy: &'a str,
    state: &'a str,
    group_epoch: Option<i32>,
    target_assignment_epoch: Option<i32>,
    members: usize,
}

fn state_json(group: &Group) -> StateJson<'_> {
    StateJson {
        group: &group.id,
        coordinator: &group.coordinator,
        assignment_strategy: &group.assignor,
        state: &group.state,
        group_epoch: group.epoch,
        target_assignment_epoch: group.target_epoch,
        members: group.members.len(),
    }
}
