//! Limits on how fast replicas move.

use std::collections::{BTreeMap, BTreeSet};

use super::plan::Plan;
use crate::text::join;
use dohle_admin::{Cluster, PartitionId, Reassignment, Resource, alter_configs};

use crate::tool_run::{Output, ToolRun};

const LEADER_RATE: &str = "leader.replication.throttled.rate";
const FOLLOWER_RATE: &str = "follower.replication.throttled.rate";
const DIRS_RATE: &str = "replica.alter.log.dirs.io.max.bytes.per.second";
const LEADER_REPLICAS: &str = "leader.replication.throttled.replicas";
const FOLLOWER_REPLICAS: &str = "follower.replication.throttled.replicas";

/// The brokers that send and that receive a partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Move {
    pub sources: BTreeSet<i32>,
    pub destinations: BTreeSet<i32>,
}

/// All partitions that move, or will.
pub fn moves(
    moving: &BTreeMap<PartitionId, Reassignment>,
    proposed: &BTreeMap<PartitionId, Vec<i32>>,
    current: &BTreeMap<PartitionId, Vec<i32>>,
) -> BTreeMap<PartitionId, Move> {
    let mut moves: BTreeMap<PartitionId, Move> = BTreeMap::new();
    for (id, moving) in moving {
        let destinations: BTreeSet<i32> = moving.adding.iter().copied().collect();
        let replicas: BTreeSet<i32> = moving.replicas.iter().copied().collect();
        let sources = &replicas - &destinations;
        moves.insert(
            id.clone(),
            Move {
                sources,
                destinations,
            },
        );
    }
    for (id, replicas) in proposed {
        let one = moves.entry(id.clone()).or_insert_with(|| Move {
            sources: current.get(id).into_iter().flatten().copied().collect(),
            destinations: BTreeSet::new(),
        });
        one.destinations = &replicas.iter().copied().collect() - &one.sources;
    }
    moves
}

/// The values of the properties of topics that list throttled replicas: (leaders', followers').
pub fn throttled_replicas(
    moves: &BTreeMap<PartitionId, Move>,
) -> BTreeMap<String, (String, String)> {
    let mut topics: BTreeMap<&str, (BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
    for (id, one) in moves {
        let (leaders, followers) = topics.entry(&id.topic).or_default();
        let pair = |broker: &i32| format!("{}:{broker}", id.partition);
        leaders.extend(one.sources.iter().map(pair));
        followers.extend(one.destinations.difference(&one.sources).map(pair));
    }
    let topics = topics.into_iter();
    topics
        .map(|(topic, (leaders, followers))| (topic.to_owned(), (join(leaders), join(followers))))
        .collect()
}

fn changes<const N: usize>(values: [(&str, Option<String>); N]) -> [(String, Option<String>); N] {
    values.map(|(name, value)| (name.to_owned(), value))
}

pub async fn set(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    moves: &BTreeMap<PartitionId, Move>,
    rate: i64,
) -> anyhow::Result<()> {
    let topics = throttled_replicas(moves);
    for (topic, (leaders, followers)) in run.progress.over("topics throttled", topics) {
        let changes = changes([
            (LEADER_REPLICAS, Some(leaders)),
            (FOLLOWER_REPLICAS, Some(followers)),
        ]);
        alter_configs(cluster, &Resource::topic(&topic), &changes).await?;
    }
    let all = moves
        .values()
        .flat_map(|one| one.sources.union(&one.destinations));
    let brokers: BTreeSet<i32> = all.copied().collect();
    for id in run.progress.over("brokers throttled", brokers) {
        let rate = Some(rate.to_string());
        let changes = changes([(LEADER_RATE, rate.clone()), (FOLLOWER_RATE, rate)]);
        alter_configs(cluster, &Resource::broker(id), &changes).await?;
    }
    run.print(format!(
        "The inter-broker throttle limit was set to {rate} B/s\n"
    ))?;
    Ok(())
}

pub async fn set_between_directories(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    plan: &Plan,
    rate: i64,
) -> anyhow::Result<()> {
    let brokers: BTreeSet<i32> = plan.log_dirs.keys().map(|replica| replica.broker).collect();
    for id in run.progress.over("brokers throttled", brokers) {
        let changes = changes([(DIRS_RATE, Some(rate.to_string()))]);
        alter_configs(cluster, &Resource::broker(id), &changes).await?;
    }
    run.print(format!(
        "The replica-alter-dir throttle limit was set to {rate} B/s\n"
    ))?;
    Ok(())
}

/// Removes all limits, from all brokers: which of them took part is not recorded. Brokers that do
/// not answer are named at the end.
pub async fn clear(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    plan: &Plan,
    output: Output,
) -> anyhow::Result<()> {
    let live = cluster.broker_ids().await?;
    let named = plan.partitions.iter().flat_map(|(_, replicas)| replicas);
    let brokers: BTreeSet<i32> = named.chain(&live).copied().collect();
    let s = |many: usize| if many == 1 { "" } else { "s" };
    let tell = |text: String| match output {
        Output::Text => run.print(text),
        Output::Json => Ok(()),
    };
    tell(format!(
        "Clearing broker-level throttles on broker{} {}\n",
        s(brokers.len()),
        join(&brokers)
    ))?;
    let of_brokers = changes([LEADER_RATE, FOLLOWER_RATE, DIRS_RATE].map(|name| (name, None)));
    let mut failed = Vec::new();
    for id in run.progress.over("brokers cleared", &brokers) {
        if !live.contains(id) {
            run.note(format!(
                "Broker {id} is not in service; its throttles, if any, are not cleared"
            ));
            continue;
        }
        // The rest is cleared although one broker does not answer.
        if let Err(error) = alter_configs(cluster, &Resource::broker(*id), &of_brokers).await {
            run.note(format!("Broker {id} keeps its throttles: {error}"));
            failed.push(*id);
        }
    }
    let topics = plan.partitions.iter().map(|(id, _)| id.topic.as_str());
    let topics: BTreeSet<&str> = topics.collect();
    tell(format!(
        "Clearing topic-level throttles on topic{} {}\n",
        s(topics.len()),
        join(&topics)
    ))?;
    let of_topics = changes([LEADER_REPLICAS, FOLLOWER_REPLICAS].map(|name| (name, None)));
    for topic in run.progress.over("topics cleared", topics) {
        alter_configs(cluster, &Resource::topic(topic), &of_topics).await?;
    }
    if failed.is_empty() {
        return Ok(());
    }
    anyhow::bail!(
        "the throttles of broker{} {} were not cleared; all else is done. Run the same command \
         again once the broker answers",
        s(failed.len()),
        join(&failed)
    )
}
