//! What the page shows of a cluster, put together from responses of its brokers.

use std::collections::{BTreeMap, BTreeSet};

use dohle_admin::{
    Cluster, ClusterError, ConfigEntry, ConfigSource, EARLIEST, Group, LATEST, ListedGroup, Node,
    Partition, PartitionId, Quorum, Resource, Silent, Topic, committed, describe_configs,
    describe_groups, describe_log_dirs, describe_quorum, describe_topics, list_groups,
    list_offsets, list_topics, log_ends,
};
use kacrab_protocol::generated::DescribeLogDirsResponseData;
use serde::Serialize;
use serde_json::{Value, json};

use super::error::ApiError;
use super::problems::{self, Problem, problems};

/// The most topics with replicas out of sync whose `min.insync.replicas` is asked for.
const CHECKED_MAX: usize = 100;
/// The most groups whose lag is shown in the list: each takes several requests.
const LAGS_MAX: usize = 50;

type Found<T> = Result<T, ApiError>;

/// Returns the brokers, by id, and those that are in service.
async fn all_brokers(cluster: &Cluster) -> Result<(String, Vec<Node>), ClusterError> {
    let answer = cluster.describe(true).await?;
    let mut brokers: Vec<Node> = answer.brokers.iter().map(Node::from).collect();
    brokers.sort_by_key(|broker| broker.id);
    Ok((answer.cluster_id.to_string(), brokers))
}

async fn all_topics(cluster: &Cluster) -> Result<(Vec<Topic>, BTreeSet<String>), ClusterError> {
    let listed = list_topics(cluster).await?;
    let names: Vec<String> = listed.iter().map(|topic| topic.name.clone()).collect();
    let internal = listed.into_iter().filter(|topic| topic.internal);
    let internal = internal.map(|topic| topic.name).collect();
    Ok((
        describe_topics(cluster, &names, None, &Silent).await?,
        internal,
    ))
}

/// What the overview shows.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overview {
    cluster_id: String,
    brokers: Vec<Node>,
    /// Absent where the client may not describe the cluster.
    quorum: Option<Quorum>,
    topics: usize,
    partitions: usize,
    problems: Vec<Problem>,
}

/// Describes the cluster as a whole.
pub(super) async fn overview(cluster: &Cluster) -> Found<Overview> {
    let (cluster_id, brokers) = all_brokers(cluster).await?;
    let (topics, _) = all_topics(cluster).await?;
    let quorum = match describe_quorum(cluster).await {
        Ok(quorum) => Some(quorum),
        Err(ClusterError::Refused(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let min_insync = min_insync(cluster, &topics).await?;
    let problems = problems(&problems::Cluster {
        brokers: &brokers,
        topics: &topics,
        min_insync: &min_insync,
        quorum: quorum.as_ref(),
    });
    Ok(Overview {
        cluster_id,
        brokers,
        quorum,
        topics: topics.len(),
        partitions: topics.iter().map(|topic| topic.partitions.len()).sum(),
        problems,
    })
}

fn is_under_replicated(partition: &Partition) -> bool {
    partition.isr.len() < partition.replicas.len()
}

/// Returns `min.insync.replicas` of the topics with replicas out of sync.
async fn min_insync(
    cluster: &Cluster,
    topics: &[Topic],
) -> Result<BTreeMap<String, usize>, ClusterError> {
    let suspect = topics
        .iter()
        .filter(|topic| topic.partitions.iter().any(is_under_replicated));
    let suspect = suspect.take(CHECKED_MAX);
    let resources: Vec<Resource> = suspect.map(|topic| Resource::topic(&topic.name)).collect();
    if resources.is_empty() {
        return Ok(BTreeMap::new());
    }
    let described = describe_configs(cluster, &resources, false).await?;
    let found = described.into_iter().filter_map(|(resource, entries)| {
        let mut entries = entries.ok()?.into_iter();
        let entry = entries.find(|entry| entry.name == "min.insync.replicas")?;
        Some((resource.name, entry.value?.parse().ok()?))
    });
    Ok(found.collect())
}

/// Sizes of replicas in bytes, by partition and broker.
type Sizes = BTreeMap<PartitionId, BTreeMap<i32, i64>>;

/// Asks the brokers in service for their log directories. A broker that does not answer, or
/// refuses, has none.
async fn log_dirs(
    cluster: &Cluster,
    brokers: &[Node],
) -> BTreeMap<i32, DescribeLogDirsResponseData> {
    let mut found = BTreeMap::new();
    for broker in brokers.iter().filter(|broker| !broker.fenced) {
        if let Ok(answer) = describe_log_dirs(cluster, broker.id).await {
            found.insert(broker.id, answer);
        }
    }
    found
}

fn sizes(log_dirs: &BTreeMap<i32, DescribeLogDirsResponseData>) -> Sizes {
    let mut sizes = Sizes::new();
    for (broker, answer) in log_dirs {
        for topic in answer.results.iter().flat_map(|dir| &dir.topics) {
            for partition in topic.partitions.iter().filter(|it| !it.is_future_key) {
                let id = PartitionId::new(topic.name.as_str(), partition.partition_index);
                let replicas = sizes.entry(id).or_default();
                replicas.insert(*broker, partition.partition_size);
            }
        }
    }
    sizes
}

/// A topic in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TopicRow {
    name: String,
    internal: bool,
    partitions: usize,
    /// Of its first partition.
    replication_factor: usize,
    under_replicated: usize,
    offline: usize,
    /// Of all replicas; absent where no broker reports any of them.
    bytes: Option<i64>,
}

/// Lists the topics.
pub(super) async fn topics(cluster: &Cluster) -> Found<Value> {
    let (_, brokers) = all_brokers(cluster).await?;
    let (topics, internal) = all_topics(cluster).await?;
    let mut bytes: BTreeMap<String, i64> = BTreeMap::new();
    for (id, replicas) in sizes(&log_dirs(cluster, &brokers).await) {
        *bytes.entry(id.topic).or_default() += replicas.values().sum::<i64>();
    }
    let rows = topics.into_iter().map(|topic| {
        let partitions = &topic.partitions;
        let count =
            |matches: fn(&Partition) -> bool| partitions.iter().filter(|it| matches(it)).count();
        TopicRow {
            internal: internal.contains(&topic.name),
            partitions: partitions.len(),
            replication_factor: partitions.first().map_or(0, |it| it.replicas.len()),
            under_replicated: count(is_under_replicated),
            offline: count(|it| it.leader.is_none()),
            bytes: bytes.get(&topic.name).copied(),
            name: topic.name,
        }
    });
    Ok(json!({ "topics": rows.collect::<Vec<_>>() }))
}

/// A partition of a topic.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionRow {
    #[serde(flatten)]
    partition: Partition,
    start_offset: Option<i64>,
    end_offset: Option<i64>,
    /// Sizes of the replicas in bytes, by broker.
    bytes: BTreeMap<i32, i64>,
}

/// Describes a topic.
pub(super) async fn topic(cluster: &Cluster, name: &str) -> Found<Value> {
    let topics = describe_topics(cluster, &[name.to_owned()], None, &Silent).await;
    let topics = topics.map_err(|error| {
        let error = ApiError::from(error);
        match error.status {
            axum::http::StatusCode::NOT_FOUND => {
                ApiError::not_found(format!("There is no topic {name:?}."))
            }
            _ => error,
        }
    })?;
    let missing = || ApiError::not_found(format!("There is no topic {name:?}."));
    let topic = topics.into_iter().next().ok_or_else(missing)?;
    let (_, brokers) = all_brokers(cluster).await?;
    let mut sizes = sizes(&log_dirs(cluster, &brokers).await);
    let led = topic.partitions.iter().filter(|it| it.leader.is_some());
    let led: BTreeSet<PartitionId> = led.map(|it| PartitionId::new(name, it.partition)).collect();
    let starts = offsets(cluster, &led, EARLIEST).await;
    let ends = offsets(cluster, &led, LATEST).await;
    let configs = configs(cluster, Resource::topic(name)).await?;
    let rows = topic.partitions.into_iter().map(|partition| {
        let id = PartitionId::new(name, partition.partition);
        PartitionRow {
            start_offset: starts.get(&id).copied(),
            end_offset: ends.get(&id).copied(),
            bytes: sizes.remove(&id).unwrap_or_default(),
            partition,
        }
    });
    Ok(json!({
        "name": name,
        "id": topic.id.to_string(),
        "partitions": rows.collect::<Vec<_>>(),
        "configs": configs,
    }))
}

/// Finds offsets; a partition whose leader does not answer has none.
async fn offsets(
    cluster: &Cluster,
    ids: &BTreeSet<PartitionId>,
    timestamp: i64,
) -> BTreeMap<PartitionId, i64> {
    let wanted = ids.iter().map(|id| (id.clone(), timestamp)).collect();
    let found = list_offsets(cluster, &wanted, &Silent).await;
    let found = found.unwrap_or_default().into_iter();
    found
        .filter_map(|(id, offset)| Some((id, offset.ok()??)))
        .collect()
}

/// A property.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Config {
    name: String,
    /// Absent for secrets, and where there is none.
    value: Option<String>,
    /// The default, if another value is set and Kafka reports the default.
    default: Option<String>,
    /// Whether a value is set that is not the default.
    changed: bool,
    source: ConfigSource,
    sensitive: bool,
    read_only: bool,
}

impl From<ConfigEntry> for Config {
    fn from(entry: ConfigEntry) -> Self {
        let mut synonyms = entry.synonyms.into_iter();
        let default = synonyms.find(|(source, ..)| *source == ConfigSource::DefaultConfig);
        let is_set = entry.source != ConfigSource::DefaultConfig;
        let default = default.filter(|_| is_set).and_then(|(_, _, value)| value);
        Self {
            changed: is_set && (entry.sensitive || entry.value != default),
            name: entry.name,
            value: entry.value,
            default,
            source: entry.source,
            sensitive: entry.sensitive,
            read_only: entry.read_only,
        }
    }
}

/// Describes the properties of a resource by name; `None` where the client may not.
async fn configs(cluster: &Cluster, resource: Resource) -> Found<Option<Vec<Config>>> {
    let resources = std::slice::from_ref(&resource);
    let mut described = describe_configs(cluster, resources, true).await?;
    match described.remove(&resource) {
        Some(Ok(entries)) => {
            let mut configs: Vec<Config> = entries.into_iter().map(Config::from).collect();
            configs.sort_by(|a, b| a.name.cmp(&b.name));
            Ok(Some(configs))
        }
        Some(Err(ClusterError::Refused(_))) | None => Ok(None),
        Some(Err(error)) => Err(error.into()),
    }
}

/// A group in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct GroupRow {
    #[serde(flatten)]
    group: ListedGroup,
    /// `None` for a group of another kind, and for the groups after the first [`LAGS_MAX`].
    members: Option<usize>,
    lag: Option<i64>,
}

/// Lists the groups.
pub(super) async fn groups(cluster: &Cluster) -> Found<Value> {
    let listed = list_groups(cluster, &[], &[], &Silent).await?;
    let mut rows = Vec::new();
    for (at, group) in listed.into_iter().enumerate() {
        let is_of_consumers = matches!(group.kind.as_str(), "Classic" | "Consumer" | "");
        let described = match at < LAGS_MAX && is_of_consumers {
            // A group may have gone since, or its offsets may not be for this client to see.
            true => describe(cluster, &group.group).await.ok(),
            false => None,
        };
        let (members, lag) = match described {
            Some((described, offsets)) => {
                let lags = offsets.iter().filter_map(|row| row.lag);
                (Some(described.members.len()), Some(lags.sum()))
            }
            None => (None, None),
        };
        rows.push(GroupRow {
            group,
            members,
            lag,
        });
    }
    Ok(json!({ "groups": rows }))
}

/// A partition that a group reads.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OffsetRow {
    topic: String,
    partition: i32,
    committed: Option<i64>,
    end_offset: Option<i64>,
    lag: Option<i64>,
    /// The id of the member that reads it.
    member: Option<String>,
}

/// Describes a group.
pub(super) async fn group(cluster: &Cluster, id: &str) -> Found<Value> {
    let missing = || ApiError::not_found(format!("There is no group of consumers {id:?}."));
    let found = describe(cluster, id).await;
    let (group, offsets) = found.map_err(|error| {
        let error = ApiError::from(error);
        match error.status {
            axum::http::StatusCode::NOT_FOUND => missing(),
            _ => error,
        }
    })?;
    if group.state == "Dead" {
        return Err(missing());
    }
    Ok(json!({
        "id": group.id,
        "state": group.state,
        "assignor": group.assignor,
        "coordinator": group.coordinator,
        "epoch": group.epoch,
        "members": group.members,
        "offsets": offsets,
    }))
}

async fn describe(cluster: &Cluster, id: &str) -> Result<(Group, Vec<OffsetRow>), ClusterError> {
    let mut described = describe_groups(cluster, &[id.to_owned()], &Silent).await?;
    let Some(group) = described.remove(id) else {
        return Err(kacrab_protocol::generated::ErrorCode::GroupIdNotFound.into());
    };
    let committed = committed(cluster, id).await?;
    let mut readers: BTreeMap<&PartitionId, &str> = BTreeMap::new();
    for member in &group.members {
        readers.extend(member.assignment.iter().map(|id| (id, member.id.as_str())));
    }
    let ids: BTreeSet<PartitionId> = committed
        .keys()
        .chain(readers.keys().copied())
        .cloned()
        .collect();
    let ends = log_ends(cluster, &ids, &Silent).await?;
    let rows = ids.iter().map(|id| {
        let committed = committed.get(id).map(|committed| committed.offset);
        let end_offset = ends.get(id).copied().flatten();
        OffsetRow {
            topic: id.topic.clone(),
            partition: id.partition,
            committed,
            end_offset,
            lag: committed.zip(end_offset).map(|(at, end)| (end - at).max(0)),
            member: readers.get(id).map(|member| (*member).to_owned()),
        }
    });
    let rows = rows.collect();
    Ok((group, rows))
}

/// A log directory of a broker.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LogDir {
    path: String,
    /// Why it cannot be used.
    error: Option<String>,
    /// Bytes of all replicas in it.
    bytes: i64,
    /// Bytes of its file system, and those that are free, where the broker reports them.
    total: Option<i64>,
    usable: Option<i64>,
}

fn directories(answer: &DescribeLogDirsResponseData) -> Vec<LogDir> {
    let dirs = answer.results.iter().map(|dir| {
        let partitions = dir.topics.iter().flat_map(|topic| &topic.partitions);
        let error = dohle_admin::check(dir.error_code, None).err();
        LogDir {
            path: dir.log_dir.to_string(),
            error: error.map(|error| error.to_string()),
            bytes: partitions.map(|partition| partition.partition_size).sum(),
            total: Some(dir.total_bytes).filter(|bytes| *bytes >= 0),
            usable: Some(dir.usable_bytes).filter(|bytes| *bytes >= 0),
        }
    });
    dirs.collect()
}

/// A broker in the list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BrokerRow {
    #[serde(flatten)]
    broker: Node,
    leaders: usize,
    replicas: usize,
    /// Absent where the broker does not report them.
    log_dirs: Option<Vec<LogDir>>,
}

/// Lists the brokers.
pub(super) async fn brokers(cluster: &Cluster) -> Found<Value> {
    let (_, brokers) = all_brokers(cluster).await?;
    let (topics, _) = all_topics(cluster).await?;
    let mut dirs = log_dirs(cluster, &brokers).await;
    let partitions: Vec<&Partition> = topics.iter().flat_map(|topic| &topic.partitions).collect();
    let rows = brokers.into_iter().map(|broker| {
        let count = |matches: &dyn Fn(&Partition) -> bool| {
            let matching = partitions.iter().filter(|partition| matches(partition));
            matching.count()
        };
        BrokerRow {
            leaders: count(&|partition| partition.leader == Some(broker.id)),
            replicas: count(&|partition| partition.replicas.contains(&broker.id)),
            log_dirs: dirs.remove(&broker.id).as_ref().map(directories),
            broker,
        }
    });
    Ok(json!({ "brokers": rows.collect::<Vec<_>>() }))
}

/// Describes a broker.
pub(super) async fn broker(cluster: &Cluster, id: i32) -> Found<Value> {
    let (_, brokers) = all_brokers(cluster).await?;
    let found = brokers.into_iter().find(|broker| broker.id == id);
    let broker = found.ok_or_else(|| ApiError::not_found(format!("There is no broker {id}.")))?;
    let dirs = log_dirs(cluster, std::slice::from_ref(&broker)).await;
    let configs = match broker.fenced {
        // Only the broker itself describes its properties.
        true => None,
        false => configs(cluster, Resource::broker(id)).await?,
    };
    Ok(json!({
        "broker": broker,
        "logDirs": dirs.get(&id).map(directories),
        "configs": configs,
    }))
}
