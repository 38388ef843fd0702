//! `reassign-partitions --generate`: a proposal of where partitions could be.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};

use anyhow::bail;
use dohle_admin::{Cluster, Node, PartitionId};

use super::execute::directories;
use super::plan::format;
use super::verify;
use crate::options::UsageError;
use crate::partition_file::duplicates;
use crate::tool_run::{Output, ToolRun};

/// Reads `0,1,2`.
pub fn parse_brokers(text: &str) -> anyhow::Result<Vec<i32>> {
    let ids: Result<Vec<i32>, _> = text.split(',').map(|id| id.trim().parse()).collect();
    let ids = ids.map_err(|_| {
        UsageError(format!(
            "Cannot parse argument '{text}' of option broker-list"
        ))
    })?;
    let twice = duplicates(&ids).join(", ");
    if !twice.is_empty() {
        bail!("Broker list contains duplicate entries: [{twice}]");
    }
    Ok(ids)
}

/// Prints the current assignment of topics, and a proposal for these brokers.
pub async fn generate(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    topics: &[String],
    brokers: &[i32],
) -> anyhow::Result<()> {
    let names = topics.iter().map(String::as_str);
    let mut missing = Vec::new();
    let current = verify::current(run, cluster, names, &mut missing).await?;
    if let Some(name) = missing.first() {
        bail!("Topic {name} not found.");
    }
    let directories = directories(run, cluster, &current).await?;
    let mut nodes = cluster.nodes().await?;
    nodes.retain(|node| brokers.contains(&node.id));
    let aware = !run.parsed.has("disable-rack-aware");
    let racked = nodes.iter().filter(|node| node.rack.is_some()).count();
    if aware && racked != 0 && racked != nodes.len() {
        bail!(
            "Not all brokers have rack information. Add --disable-rack-aware in command line to \
             make replica assignment without rack information."
        );
    }
    if !aware {
        for node in &mut nodes {
            node.rack = None;
        }
    }
    let random = usize::try_from(RandomState::new().hash_one(topics) >> 32).unwrap_or(0);
    let proposed = propose(&current, &nodes, random)?;
    let current = format(&current, &directories)?;
    let proposed = format(&proposed, &BTreeMap::new())?;
    match run.output()? {
        Output::Text => Ok(run.print(format!(
            "Current partition replica assignment\n{current}\n\nProposed partition reassignment \
             configuration\n{proposed}\n"
        ))?),
        Output::Json => Ok(run.print(format!(
            "{{\"current\":{current},\"proposed\":{proposed}}}\n"
        ))?),
    }
}

/// Spreads the partitions of each topic: leaders one after the other, the other replicas on racks
/// that have none yet, as long as there are some. `start` selects the first leader.
pub fn propose(
    current: &BTreeMap<PartitionId, Vec<i32>>,
    nodes: &[Node],
    start: usize,
) -> anyhow::Result<BTreeMap<PartitionId, Vec<i32>>> {
    let order = across_racks(nodes);
    let mut factors: BTreeMap<&str, usize> = BTreeMap::new();
    for (id, replicas) in current {
        factors.entry(&id.topic).or_insert(replicas.len());
    }
    let mut proposed = BTreeMap::new();
    for id in current.keys() {
        let factor = factors[id.topic.as_str()];
        if factor > order.len() {
            bail!(
                "The target replication factor of {factor} cannot be reached because only {} \
                 broker(s) of --broker-list are in service",
                order.len()
            );
        }
        let number = usize::try_from(id.partition).unwrap_or(0);
        let first = start.wrapping_add(number) % order.len();
        // Each round of leaders has its followers one further on.
        let shift = number / order.len();
        proposed.insert(id.clone(), place(&order, first, shift, factor));
    }
    Ok(proposed)
}

fn place(order: &[&Node], first: usize, shift: usize, factor: usize) -> Vec<i32> {
    let mut replicas = vec![order[first].id];
    let mut racks: BTreeSet<&Option<String>> = [&order[first].rack].into();
    let others = order.len() - 1;
    let follower = |step: usize| order[(first + 1 + (step + shift) % others) % order.len()];
    for fresh_racks in [true, false] {
        for node in (0..others).map(follower) {
            let taken = replicas.contains(&node.id) || (fresh_racks && racks.contains(&node.rack));
            if replicas.len() < factor && !taken {
                replicas.push(node.id);
                racks.insert(&node.rack);
            }
        }
    }
    replicas
}

/// Brokers in an order in which neighbours are in different racks, as long as possible.
fn across_racks(nodes: &[Node]) -> Vec<&Node> {
    let mut racks: BTreeMap<&Option<String>, Vec<&Node>> = BTreeMap::new();
    for node in nodes {
        racks.entry(&node.rack).or_default().push(node);
    }
    let most = racks.values().map(Vec::len).max().unwrap_or(0);
    let rows = (0..most).flat_map(|row| racks.values().filter_map(move |rack| rack.get(row)));
    rows.copied().collect()
}
