//! `reassign-partitions --verify`.

use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{
    Cluster, ClusterError, PartitionId, Reassignment, Replica, ReplicaLogDir, describe_topics,
    reassignments, replica_log_dirs,
};
use kacrab_protocol::generated::ErrorCode;
use serde::Serialize;

use super::plan::Plan;
use super::throttle;
use crate::text::join;
use crate::tool_run::{Output, ToolRun};

/// How far a partition is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    pub topic: String,
    pub partition: i32,
    pub current_replicas: Vec<i32>,
    pub target_replicas: Vec<i32>,
    pub done: bool,
}

/// Returns where the replicas of topics are now. Adds the names of topics that do not exist to
/// `missing`.
pub async fn current<'a>(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    topics: impl Iterator<Item = &'a str>,
    missing: &mut Vec<&'a str>,
) -> Result<BTreeMap<PartitionId, Vec<i32>>, ClusterError> {
    let topics: BTreeSet<&str> = topics.collect();
    let mut found = BTreeMap::new();
    for name in run.progress.over("topics described", topics) {
        let names = [name.to_owned()];
        let described = match describe_topics(cluster, &names, None, &run.progress).await {
            Err(error) if error.is(ErrorCode::UnknownTopicOrPartition) => {
                missing.push(name);
                continue;
            }
            described => described?,
        };
        for partition in described.into_iter().flat_map(|topic| topic.partitions) {
            found.insert(
                PartitionId::new(name, partition.partition),
                partition.replicas,
            );
        }
    }
    Ok(found)
}

/// Prints how far the moves of a plan are, and removes throttles when all are complete.
pub async fn verify(run: &ToolRun<'_>, cluster: &Cluster, plan: &Plan) -> anyhow::Result<()> {
    let moving = reassignments(cluster, None).await?;
    let targets = plan.sorted();
    let topics = targets.keys().map(|id| id.topic.as_str());
    let current = current(run, cluster, topics, &mut Vec::new()).await?;
    let states = states(&targets, &moving, &current);
    let output = run.output()?;
    match output {
        Output::Text => run.print(render(&states))?,
        Output::Json => run.print_json(&states)?,
    }
    let found = replica_log_dirs(cluster, plan.log_dirs.keys().cloned(), &run.progress).await?;
    let (lines, dirs_done) = render_log_dirs(&plan.log_dirs, &found);
    if output == Output::Text {
        run.print(lines + "\n")?;
    }
    let done = moving.is_empty() && dirs_done;
    if done && !run.parsed.has("preserve-throttles") {
        throttle::clear(run, cluster, plan, output).await?;
    }
    Ok(())
}

/// How far the partitions of a plan are.
pub fn states(
    targets: &BTreeMap<PartitionId, Vec<i32>>,
    moving: &BTreeMap<PartitionId, Reassignment>,
    current: &BTreeMap<PartitionId, Vec<i32>>,
) -> Vec<State> {
    let states = targets.iter().map(|(id, target)| {
        let active = moving.get(id);
        let replicas = active
            .map(|moving| &moving.replicas)
            .or_else(|| current.get(id));
        State {
            topic: id.topic.clone(),
            partition: id.partition,
            current_replicas: replicas.cloned().unwrap_or_default(),
            target_replicas: target.clone(),
            done: active.is_none(),
        }
    });
    states.collect()
}

/// As Kafka's tool prints it.
pub fn render(states: &[State]) -> String {
    let mut text = "Status of partition reassignment:\n".to_owned();
    for state in states {
        let id = format!("{}-{}", state.topic, state.partition);
        text += &if !state.done {
            format!("Reassignment of partition {id} is still in progress.\n")
        } else if state.current_replicas == state.target_replicas {
            format!("Reassignment of partition {id} is completed.\n")
        } else {
            format!(
                "There is no active reassignment of partition {id}, but replica set is {} rather \
                 than {}.\n",
                join(&state.current_replicas),
                join(&state.target_replicas)
            )
        };
    }
    text
}

/// As Kafka's tool prints it, and whether all moves are over.
pub fn render_log_dirs(
    targets: &BTreeMap<Replica, String>,
    found: &BTreeMap<Replica, ReplicaLogDir>,
) -> (String, bool) {
    let mut all_done = true;
    let mut lines = Vec::new();
    for (replica, target) in targets {
        let Replica { broker, id } = replica;
        let log_dir = found.get(replica);
        let current = log_dir.and_then(|log_dir| log_dir.current.as_ref());
        let future = log_dir.and_then(|log_dir| log_dir.future.as_ref());
        let on = format!("Partition {id} on broker {broker} is");
        let (done, line) = match (current, future) {
            _ if log_dir.is_none() => (
                false,
                format!(
                    "Partition {id} cannot be found in any live log directory on broker {broker}."
                ),
            ),
            (None, _) => (
                false,
                format!(
                    "Partition {id} is not found in any live log dir on broker {broker}. There is \
                     likely an offline log directory on the broker."
                ),
            ),
            (Some(current), None) if current == target => (
                true,
                format!("Reassignment of replica {replica} completed successfully."),
            ),
            (Some(current), None) => (
                true,
                format!("{on} not being moved from log dir {current} to {target}."),
            ),
            (_, Some(future)) if future == target => (
                false,
                format!("Reassignment of replica {replica} is still in progress."),
            ),
            (_, Some(future)) => (
                false,
                format!("{on} being moved to log dir {future} instead of {target}."),
            ),
        };
        all_done &= done;
        lines.push(line);
    }
    (lines.join("\n"), all_done)
}
