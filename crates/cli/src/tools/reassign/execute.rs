//! `reassign-partitions --execute` and `--cancel`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::bail;
use dohle_admin::{
    Cluster, ClusterError, PartitionId, Replica, alter_reassignments, reassignments,
    replica_log_dirs,
};

use super::log_dirs::execute_moves;
use super::plan::{Plan, format};
use super::{throttle, verify};
use crate::text::{join, join_with};
use crate::tool_run::ToolRun;

const EXISTING: &str = "Cannot execute because there is an existing partition assignment.  Use \
                        --additional to override this and create a new partition assignment in \
                        addition to the existing one. The --additional flag can also be used to \
                        change the throttle by resubmitting the current reassignment.";

const VERIFY: &str = "Warning: You must run --verify periodically, until the reassignment \
                      completes, to ensure the throttle is removed.\n";

fn timeout(run: &ToolRun<'_>) -> anyhow::Result<Duration> {
    let timeout: Option<u64> = run.parsed.parsed("timeout")?;
    Ok(Duration::from_millis(timeout.unwrap_or(10_000)))
}

/// The directories of all replicas of partitions.
pub async fn directories(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    partitions: &BTreeMap<PartitionId, Vec<i32>>,
) -> Result<BTreeMap<Replica, String>, ClusterError> {
    let replicas = partitions.iter().flat_map(|(id, replicas)| {
        replicas.iter().map(|broker| Replica {
            broker: *broker,
            id: id.clone(),
        })
    });
    let found = replica_log_dirs(cluster, replicas, &run.progress).await?;
    let found = found.into_iter();
    Ok(found
        .filter_map(|(replica, log_dir)| Some((replica, log_dir.current?)))
        .collect())
}

/// Moves partitions to the replicas and directories of the plan.
pub async fn execute(run: &ToolRun<'_>, cluster: &Cluster, plan: &Plan) -> anyhow::Result<()> {
    let parsed = &run.parsed;
    let between_brokers: Option<i64> = parsed.parsed("throttle")?;
    let between_dirs: Option<i64> = parsed.parsed("replica-alter-log-dirs-throttle")?;
    let timeout = timeout(run)?;
    let moving = reassignments(cluster, None).await?;
    if !moving.is_empty() && !parsed.has("additional") {
        return fail(run, EXISTING);
    }
    let proposed = plan.sorted();
    let known = cluster.broker_ids().await?;
    let mut wanted = proposed.values().flatten();
    if let Some(unknown) = wanted.find(|id| !known.contains(id)) {
        bail!(
            "Unknown broker id {unknown}; in service are {}",
            join(&known)
        );
    }
    let topics = proposed.keys().map(|id| id.topic.as_str());
    let mut current = verify::current(run, cluster, topics, &mut Vec::new()).await?;
    let missing = proposed.keys().filter(|id| !current.contains_key(id));
    let missing = join_with(", ", missing);
    if !missing.is_empty() {
        bail!("Unable to find partition: {missing}");
    }
    current.retain(|id, _| proposed.contains_key(id));
    let directories = directories(run, cluster, &current).await?;
    run.print(format!(
        "Current partition replica assignment\n\n{}\n\nSave this to use as the \
         --reassignment-json-file option during rollback\n",
        format(&current, &directories)?
    ))?;
    let between_brokers = between_brokers.filter(|rate| *rate >= 0);
    let between_dirs = between_dirs.filter(|rate| *rate >= 0);
    if between_brokers.is_some() || between_dirs.is_some() {
        run.print(VERIFY)?;
    }
    if let Some(rate) = between_brokers {
        let moves = throttle::moves(&moving, &proposed, &current);
        throttle::set(run, cluster, &moves, rate).await?;
    }
    if let Some(rate) = between_dirs {
        throttle::set_between_directories(run, cluster, plan, rate).await?;
    }
    let change_factor = !parsed.has("disallow-replication-factor-change");
    let wanted = proposed
        .iter()
        .map(|(id, replicas)| (id.clone(), Some(replicas.clone())));
    let errors = alter_reassignments(cluster, wanted.collect(), change_factor).await?;
    if !errors.is_empty() {
        return fail(
            run,
            &format!("Error reassigning partition(s):\n{}", errors.join("\n")),
        );
    }
    run.print(format!(
        "Successfully started partition reassignment{} for {}\n",
        if proposed.len() == 1 { "" } else { "s" },
        join(proposed.keys())
    ))?;
    if plan.log_dirs.is_empty() {
        return Ok(());
    }
    execute_moves(run, cluster, &plan.log_dirs, timeout).await
}

/// Kafka's tool prints some failures without "Error:" before them.
fn fail(run: &ToolRun<'_>, message: &str) -> anyhow::Result<()> {
    run.print(format!("{message}\n"))?;
    Err(crate::tool_run::AlreadyReported.into())
}

pub async fn cancel(run: &ToolRun<'_>, cluster: &Cluster, plan: &Plan) -> anyhow::Result<()> {
    let timeout = timeout(run)?;
    let ids: Vec<PartitionId> = plan.partitions.iter().map(|(id, _)| id.clone()).collect();
    let mut moving = reassignments(cluster, Some(&ids)).await?;
    moving.retain(|_, moving| !moving.adding.is_empty() || !moving.removing.is_empty());
    if moving.is_empty() {
        run.print("None of the specified partition reassignments are active.\n")?;
    } else {
        let s = if moving.len() == 1 { "" } else { "s" };
        let wanted = moving.keys().map(|id| (id.clone(), None)).collect();
        let errors = alter_reassignments(cluster, wanted, true).await?;
        if !errors.is_empty() {
            let s = if errors.len() == 1 { "" } else { "s" };
            let errors = errors.join("\n");
            return fail(
                run,
                &format!("Error cancelling partition reassignment{s} for:\n{errors}"),
            );
        }
        let ids = join(moving.keys());
        run.print(format!(
            "Successfully cancelled partition reassignment{s} for: {ids}\n"
        ))?;
    }
    let moves = cancel_moves(run, cluster, plan, timeout).await;
    if !run.parsed.has("preserve-throttles") {
        let cleared = throttle::clear(run, cluster, plan, run.output()?).await;
        return moves.and(cleared);
    }
    moves
}

/// Cancels the moves of the plan's replicas between the log directories of their brokers.
async fn cancel_moves(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    plan: &Plan,
    timeout: Duration,
) -> anyhow::Result<()> {
    let found = replica_log_dirs(cluster, plan.log_dirs.keys().cloned(), &run.progress).await?;
    let back: BTreeMap<Replica, String> = found
        .into_iter()
        .filter(|(_, log_dir)| log_dir.future.is_some())
        .filter_map(|(replica, log_dir)| Some((replica, log_dir.current?)))
        .collect();
    if back.is_empty() {
        // Without an end of line, as in Kafka's tool.
        run.print("None of the specified partition moves are active.")?;
        return Ok(());
    }
    execute_moves(run, cluster, &back, timeout).await
}
