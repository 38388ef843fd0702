//! In which directories replicas are, and moving them to others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use anyhow::bail;
use dohle_admin::{Cluster, ClusterError, ItemCount, PartitionId, by_topic};
use kacrab_protocol::generated::{
    AlterReplicaLogDirsRequestData, DescribeLogDirsRequestData, ErrorCode,
    alter_replica_log_dirs_request as alter_request, describe_log_dirs_request as describe_request,
};

use super::plan::Replica;
use crate::progress::Count;
use crate::tool_run::ToolRun;

/// Where a replica is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReplicaLogDir {
    /// Its directory.
    pub current: Option<String>,
    /// The directory that it moves to.
    pub future: Option<String>,
}

/// Asks each broker where its replicas are. Brokers that are not in service are passed over.
pub async fn replica_log_dirs(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    replicas: impl Iterator<Item = Replica>,
) -> Result<BTreeMap<Replica, ReplicaLogDir>, ClusterError> {
    let mut by_broker: BTreeMap<i32, Vec<PartitionId>> = BTreeMap::new();
    for replica in replicas {
        by_broker
            .entry(replica.broker)
            .or_default()
            .push(replica.id);
    }
    let live = cluster.broker_ids().await?;
    by_broker.retain(|broker, _| live.contains(broker));
    let mut found: BTreeMap<Replica, ReplicaLogDir> = BTreeMap::new();
    for (broker, ids) in run.progress.over("brokers asked", by_broker) {
        let partitions = ids.iter().map(|id| (id.topic.as_str(), id.partition));
        let topics = by_topic(partitions, |topic, partitions| {
            describe_request::DescribableLogDirTopic {
                topic,
                partitions,
                ..describe_request::DescribableLogDirTopic::default()
            }
        });
        let request = DescribeLogDirsRequestData {
            topics: Some(topics),
            ..DescribeLogDirsRequestData::default()
        };
        let answer = cluster.ask_broker(broker, &request).await?;
        let sound = answer.results.iter().filter(|dir| dir.error_code == 0);
        for dir in sound {
            for topic in &dir.topics {
                for partition in &topic.partitions {
                    let id = PartitionId::new(topic.name.as_str(), partition.partition_index);
                    let place = found.entry(Replica { broker, id }).or_default();
                    let path = Some(dir.log_dir.to_string());
                    match partition.is_future_key {
                        true => place.future = path,
                        false => place.current = path,
                    }
                }
            }
        }
    }
    Ok(found)
}

/// Moves replicas to directories; tries until their brokers have them, or the time is over.
pub async fn execute_moves(
    run: &ToolRun<'_>,
    cluster: &Cluster,
    moves: &BTreeMap<Replica, String>,
    timeout: Duration,
) -> anyhow::Result<()> {
    let began = Instant::now();
    let mut left = moves.clone();
    let progress = run.progress.while_printing();
    let count = progress.count("moves begun", Some(moves.len()));
    loop {
        for replica in start_moves(cluster, &left, &count).await? {
            if let Some(dir) = left.remove(&replica) {
                run.print(format!(
                    "Successfully started moving log directory to {dir} for replica {} with \
                     broker {} \n",
                    replica.id, replica.broker
                ))?;
            }
        }
        if left.is_empty() {
            return Ok(());
        }
        if began.elapsed() >= timeout {
            let replicas: Vec<String> = left.keys().map(ToString::to_string).collect();
            bail!(
                "Timed out before log directory move{} could be started for: {}",
                if left.len() == 1 { "" } else { "s" },
                replicas.join(",")
            );
        }
        // A replica that is on its way to a broker cannot be moved there yet.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The replicas whose moves have begun, and are counted.
async fn start_moves(
    cluster: &Cluster,
    moves: &BTreeMap<Replica, String>,
    count: &Count,
) -> anyhow::Result<BTreeSet<Replica>> {
    let mut by_broker: BTreeMap<i32, BTreeMap<&str, Vec<&PartitionId>>> = BTreeMap::new();
    for (replica, dir) in moves {
        let dirs = by_broker.entry(replica.broker).or_default();
        dirs.entry(dir).or_default().push(&replica.id);
    }
    let mut begun = BTreeSet::new();
    for (broker, dirs) in by_broker {
        let dirs = dirs.into_iter().map(|(path, ids)| {
            let partitions = ids.into_iter().map(|id| (id.topic.as_str(), id.partition));
            alter_request::AlterReplicaLogDir {
                path: path.to_owned().into(),
                topics: by_topic(partitions, |name, partitions| {
                    alter_request::AlterReplicaLogDirTopic {
                        name,
                        partitions,
                        ..alter_request::AlterReplicaLogDirTopic::default()
                    }
                }),
                ..alter_request::AlterReplicaLogDir::default()
            }
        });
        let request = AlterReplicaLogDirsRequestData {
            dirs: dirs.collect(),
            ..AlterReplicaLogDirsRequestData::default()
        };
        let answer = cluster.ask_broker(broker, &request).await?;
        for topic in &answer.results {
            for partition in &topic.partitions {
                let id = PartitionId::new(topic.topic_name.as_str(), partition.partition_index);
                match ErrorCode::from(partition.error_code) {
                    ErrorCode::None => {
                        begun.insert(Replica { broker, id });
                        count.add(1);
                    }
                    ErrorCode::ReplicaNotAvailable | ErrorCode::UnknownTopicOrPartition => {}
                    code => bail!("Failed to alter dir for {id}-{broker}: {code}"),
                }
            }
        }
    }
    Ok(begun)
}
