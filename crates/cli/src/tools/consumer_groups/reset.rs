//! `consumer-groups --reset-offsets`.

use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{
    Cluster, EARLIEST, LATEST, PartitionId, commit_offsets, committed, describe_groups, offsets_at,
    partitions_of,
};
use kacrab_protocol::generated::ErrorCode;
use serde::Serialize;

use super::offsets::{at, check_partitions, parse_topic, within_logs};
use super::{select_groups, time};
use crate::clock::now_ms;
use crate::options::{Parsed, UsageError, usage};
use crate::table::{Table, cells};
use crate::tool_run::{ToolRun, fail_if};

/// New offsets of each group.
pub type Plan = BTreeMap<String, BTreeMap<PartitionId, i64>>;

/// Where offsets are reset to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scenario {
    Offset(i64),
    Shift(i64),
    Timestamp(i64),
    Earliest,
    Latest,
    Current,
    File(Plan),
}

/// Prints new offsets of groups, and commits them with `--execute`.
pub async fn reset(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    if !parsed.has("dry-run") && !parsed.has("execute") {
        run.note(
            "WARN: No action will be performed as the --execute option is missing. In version \
             5.0, this command will require either --dry-run or --execute to be specified. You \
             should add the --dry-run option explicitly if you are scripting this command and \
             want to keep the current default behavior without prompting.",
        );
    }
    let scenario = scenario(parsed)?;
    let groups = select_groups(run, cluster).await?;
    let done = match parsed.has("execute") {
        true => "groups reset",
        false => "groups planned",
    };
    let mut plan = Plan::new();
    let mut failed = false;
    for group in run.progress.over(done, groups) {
        let ids = std::slice::from_ref(&group);
        let state = match describe_groups(cluster, ids, &run.progress).await {
            Ok(described) => described.into_values().next().map(|group| group.state),
            Err(error) if error.is(ErrorCode::GroupIdNotFound) => None,
            Err(error) => return Err(error.into()),
        };
        if let Some(state) = state.filter(|state| state != "Empty" && state != "Dead") {
            failed = true;
            run.print(format!(
                "\nError: Assignments can only be reset if the group '{group}' is inactive, but \
                 the current state is {state}.\n"
            ))?;
            plan.insert(group, BTreeMap::new());
            continue;
        }
        let offsets = offsets_of(run, cluster, &group, &scenario).await?;
        if parsed.has("execute") {
            commit_offsets(cluster, &group, &offsets).await?;
        }
        plan.insert(group, offsets);
    }
    let single = parsed.values("group").count() == 1;
    if parsed.has("export") {
        run.print(export(&plan, single))?;
    } else {
        run.show(new_offsets(&plan).as_slice(), |rows| {
            match plan.is_empty() {
                true => "\n".to_owned(),
                false => render(rows),
            }
        })?;
    }
    fail_if(failed)
}

/// Reads the command line.
pub fn scenario(parsed: &Parsed) -> Result<Scenario, UsageError> {
    if let Some(offset) = parsed.parsed("to-offset")? {
        return Ok(Scenario::Offset(offset));
    }
    if let Some(by) = parsed.parsed("shift-by")? {
        return Ok(Scenario::Shift(by));
    }
    if let Some(text) = parsed.value("to-datetime")? {
        return Ok(Scenario::Timestamp(time::date_time(text)?));
    }
    if let Some(text) = parsed.value("by-duration")? {
        return Ok(Scenario::Timestamp(now_ms() - time::duration(text)?));
    }
    if let Some(path) = parsed.value("from-file")? {
        let Ok(text) = std::fs::read_to_string(path) else {
            return usage(format!("{path} cannot be read"));
        };
        let single = parsed.values("group").count() == 1;
        let single = parsed.values("group").next().filter(|_| single);
        return read_plan(&text, single).map(Scenario::File);
    }
    Ok(if parsed.has("to-earliest") {
        Scenario::Earliest
    } else if parsed.has("to-latest") {
        Scenario::Latest
    } else {
        Scenario::Current
    })
}

/// A plan as `--export` prints it: `topic,partition,offset`, or with the group before, which is
/// needed where there are several.
pub fn read_plan(text: &str, single: Option<&str>) -> Result<Plan, UsageError> {
    let mut plan = Plan::new();
    let lines = text.lines().enumerate();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let fields = line.split(',').map(|field| field.trim().trim_matches('"'));
        let fields: Vec<&str> = fields.collect();
        let (group, rest) = match (fields.as_slice(), single) {
            ([topic, partition, offset], Some(group)) => (group, [topic, partition, offset]),
            ([group, topic, partition, offset], _) => (*group, [topic, partition, offset]),
            _ => {
                return usage(format!(
                    "Line {}: {line:?} is not of the form [group,]topic,partition,offset",
                    number + 1
                ));
            }
        };
        let [topic, partition, offset] = rest;
        let (Ok(partition), Ok(offset)) = (partition.parse(), offset.parse()) else {
            return usage(format!(
                "Line {}: {partition:?} and {offset:?} must be numbers",
                number + 1
            ));
        };
        let id = PartitionId::new(*topic, partition);
        plan.entry(group.to_owned()).or_default().insert(id, offset);
    }
    Ok(plan)
}

/// Selects the partitions that the command line names.
async fn scope(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    group: &str,
) -> anyhow::Result<BTreeSet<PartitionId>> {
    if run.parsed.has("all-topics") {
        return Ok(committed(cluster, group).await?.into_keys().collect());
    }
    let mut found = BTreeSet::new();
    let mut whole = Vec::new();
    for text in run.parsed.values("topic") {
        match parse_topic(text)? {
            (topic, None) => whole.push(topic),
            (topic, Some(partitions)) => {
                let partitions = partitions.into_iter();
                found.extend(partitions.map(|number| PartitionId::new(topic.as_str(), number)));
            }
        }
    }
    let whole = partitions_of(cluster, &whole, &run.progress).await?;
    found.extend(whole.into_iter().map(|(id, _)| id));
    Ok(found)
}

async fn offsets_of(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    group: &str,
    scenario: &Scenario,
) -> anyhow::Result<BTreeMap<PartitionId, i64>> {
    let ids = scope(run, cluster, group).await?;
    check_partitions(cluster, &ids).await?;
    let progress = &run.progress;
    let wanted = match scenario {
        Scenario::Earliest => return Ok(at(cluster, &ids, EARLIEST, progress).await?),
        Scenario::Latest => return Ok(at(cluster, &ids, LATEST, progress).await?),
        Scenario::Timestamp(timestamp) => return at_time(run, cluster, &ids, *timestamp).await,
        Scenario::Current => {
            let current = committed(cluster, group).await?;
            let (with, without): (BTreeSet<_>, _) =
                ids.into_iter().partition(|id| current.contains_key(id));
            let mut found = at(cluster, &without, LATEST, progress).await?;
            found.extend(with.into_iter().map(|id| (id.clone(), current[&id].offset)));
            return Ok(found);
        }
        Scenario::Offset(offset) => ids.into_iter().map(|id| (id, *offset)).collect(),
        Scenario::Shift(by) => {
            let current = committed(cluster, group).await?;
            let mut wanted = BTreeMap::new();
            for id in ids {
                let Some(at) = current.get(&id) else {
                    return Ok(usage(format!(
                        "Cannot shift offset for partition {id} since there is no current \
                         committed offset"
                    ))?);
                };
                wanted.insert(id, at.offset.saturating_add(*by));
            }
            wanted
        }
        Scenario::File(plan) => match plan.get(group) {
            Some(offsets) => {
                check_partitions(cluster, &offsets.keys().cloned().collect()).await?;
                offsets.clone()
            }
            None => {
                run.print(format!("\nError: No reset plan for group {group} found\n"))?;
                return Ok(BTreeMap::new());
            }
        },
    };
    let (found, told) = within_logs(cluster, wanted, progress).await?;
    for line in told {
        run.note(line);
    }
    Ok(found)
}

async fn at_time(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
    timestamp: i64,
) -> anyhow::Result<BTreeMap<PartitionId, i64>> {
    let mut found = BTreeMap::new();
    let mut without = BTreeSet::new();
    for (id, offset) in offsets_at(cluster, ids, timestamp, &run.progress).await? {
        match offset {
            Some(offset) => {
                found.insert(id, offset);
            }
            None => {
                run.print(format!(
                    "\nWarn: Partition {} from topic {} is empty. Falling back to latest known \
                     offset.\n",
                    id.partition, id.topic
                ))?;
                without.insert(id);
            }
        }
    }
    found.extend(at(cluster, &without, LATEST, &run.progress).await?);
    Ok(found)
}

/// A new offset of a group, as it is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NewOffset<'a> {
    group: &'a str,
    #[serde(flatten)]
    id: &'a PartitionId,
    new_offset: i64,
}

/// The lines of a plan.
pub fn new_offsets(plan: &Plan) -> Vec<NewOffset<'_>> {
    let rows = plan.iter().flat_map(|(group, offsets)| {
        offsets.iter().map(move |(id, new_offset)| NewOffset {
            group,
            id,
            new_offset: *new_offset,
        })
    });
    rows.collect()
}

/// As Kafka's tool prints it.
pub fn render(rows: &[NewOffset]) -> String {
    let table = Table::new("GROUP>=15 | TOPIC>=15 | PARTITION=10 | NEW-OFFSET");
    let cells = |row: &NewOffset| cells![row.group, row.id.topic, row.id.partition, row.new_offset];
    format!("\n{}", table.text(rows, cells))
}

/// As Kafka's tool exports it.
pub fn export(plan: &Plan, single: bool) -> String {
    let mut text = String::new();
    for NewOffset {
        group,
        id,
        new_offset,
    } in new_offsets(plan)
    {
        let group = if single {
            String::new()
        } else {
            format!("{group},")
        };
        text += &format!("{group}{},{},{new_offset}\n", id.topic, id.partition);
    }
    text + "\n"
}
