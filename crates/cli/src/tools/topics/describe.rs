//! `topics --describe`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use dohle_admin::{
    Cluster, ClusterError, ConfigEntry, ConfigSource, Partition, PartitionId, Reassignment,
    Resource, Topic, describe_configs, describe_topics, list_topics, reassignments,
};
use kacrab_protocol::KafkaUuid;
use kacrab_protocol::generated::ErrorCode;
use serde::{Serialize, Serializer};

use super::select_topics;
use crate::options::{Parsed, UsageError};
use crate::text::join;
use crate::tool_run::ToolRun;

/// Options that leave only some partitions.
pub const REPORTS: &str = "under-replicated-partitions under-min-isr-partitions \
                           at-min-isr-partitions unavailable-partitions";

/// What of the topics is shown.
#[derive(Debug, Clone, Copy, Default)]
pub struct Shown {
    pub under_replicated: bool,
    pub under_min_isr: bool,
    pub at_min_isr: bool,
    pub unavailable: bool,
    pub with_overrides: bool,
}

impl Shown {
    fn new(parsed: &Parsed) -> Self {
        Self {
            under_replicated: parsed.has("under-replicated-partitions"),
            under_min_isr: parsed.has("under-min-isr-partitions"),
            at_min_isr: parsed.has("at-min-isr-partitions"),
            unavailable: parsed.has("unavailable-partitions"),
            with_overrides: parsed.has("topics-with-overrides"),
        }
    }

    /// Whether only some partitions are asked for, and no topic as such.
    fn reports(self) -> bool {
        self.under_replicated || self.under_min_isr || self.at_min_isr || self.unavailable
    }
}

/// A topic with its configuration and its moves.
#[derive(Debug, Clone)]
pub struct Described {
    pub topic: Topic,
    pub configs: Vec<ConfigEntry>,
    pub reassignments: BTreeMap<PartitionId, Reassignment>,
}

/// Prints the topics that the command line names.
pub async fn describe(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let names = names(run, cluster).await?;
    let limit = run.parsed.parsed("partition-size-limit-per-response")?;
    let topics = describe_topics(cluster, &names, limit, &run.progress).await?;
    let resources: Vec<Resource> = names.iter().map(|name| Resource::topic(name)).collect();
    let mut configs = match resources.is_empty() {
        true => BTreeMap::new(),
        false => describe_configs(cluster, &resources, false).await?,
    };
    let live = cluster.broker_ids().await?;
    let ids = topics
        .iter()
        .flat_map(|topic| topic.partitions.iter().map(|one| id(topic, one)));
    let ids: Vec<PartitionId> = ids.collect();
    let moving = match reassignments(cluster, Some(&ids)).await {
        // As Kafka's tool does: without the permission to list moves, the rest is printed.
        Err(ClusterError::Unsupported { .. }) => BTreeMap::new(),
        Err(error) if error.is(ErrorCode::ClusterAuthorizationFailed) => BTreeMap::new(),
        found => found?,
    };
    let mut described = Vec::new();
    for topic in topics {
        let of_topic = configs.remove(&Resource::topic(&topic.name));
        described.push(Described {
            configs: of_topic.transpose()?.unwrap_or_default(),
            reassignments: moving
                .iter()
                .filter(|(id, _)| id.topic == topic.name)
                .map(|(id, reassignment)| (id.clone(), reassignment.clone()))
                .collect(),
            topic,
        });
    }
    let shown = Shown::new(&run.parsed);
    let rows = rows(&described, shown, &live);
    run.show(rows.as_slice(), |rows| render(rows, shown))
}

/// Selects the topics that the command line names; an id takes precedence over a name.
async fn names(run: &ToolRun<'_>, cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let exclude_internal = run.parsed.has("exclude-internal");
    let Some(wanted) = topic_id(&run.parsed)? else {
        let topics = select_topics(cluster, &run.parsed, exclude_internal).await?;
        return Ok(topics.into_iter().map(|topic| topic.name).collect());
    };
    if run.parsed.has("topic") && run.parsed.has("if-exists") {
        run.print(
            "Only topic id will be used when both --topic and --topic-id are specified and topicId \
             is not Uuid.ZERO_UUID\n",
        )?;
    }
    let all = list_topics(cluster).await?;
    let found: Vec<String> = all
        .into_iter()
        .filter(|topic| topic.id == wanted && !(exclude_internal && topic.internal))
        .map(|topic| topic.name)
        .collect();
    if found.is_empty() && !run.parsed.has("if-exists") {
        bail!("TopicId '{wanted}' does not exist as expected");
    }
    Ok(found)
}

fn topic_id(parsed: &Parsed) -> Result<Option<KafkaUuid>, UsageError> {
    let Some(text) = parsed.value("topic-id")? else {
        return Ok(None);
    };
    match KafkaUuid::from_base64(text) {
        Ok(id) => Ok(Some(id).filter(|id| *id != KafkaUuid::ZERO)),
        Err(_) => Err(UsageError(format!(
            "{text:?} is not a topic id: a topic id has 22 letters, as in Th_tigX8Ru2SofOlg6A9Zw"
        ))),
    }
}

fn id(topic: &Topic, partition: &Partition) -> PartitionId {
    PartitionId::new(topic.name.as_str(), partition.partition)
}

impl Described {
    fn overrides(&self) -> impl Iterator<Item = &ConfigEntry> {
        let not_default = |entry: &&ConfigEntry| entry.source != ConfigSource::DefaultConfig;
        self.configs.iter().filter(not_default)
    }

    fn reassignment(&self, partition: &Partition) -> Option<&Reassignment> {
        self.reassignments.get(&id(&self.topic, partition))
    }

    /// How many replicas it has once a move is over.
    fn replication_factor(&self, partition: &Partition) -> usize {
        let moves = |reassignment: &&Reassignment| {
            let mut changing = reassignment.adding.iter().chain(&reassignment.removing);
            changing.any(|replica| partition.replicas.contains(replica))
        };
        match self.reassignment(partition).filter(moves) {
            Some(moving) => moving.replicas.len() - moving.adding.len(),
            None => partition.replicas.len(),
        }
    }

    fn min_isr(&self) -> usize {
        let mut configs = self.configs.iter();
        let entry = configs.find(|entry| entry.name == "min.insync.replicas");
        let value = entry.and_then(|entry| entry.value.as_deref()?.parse().ok());
        value.unwrap_or(1)
    }

    fn shows(&self, partition: &Partition, shown: Shown, live: &BTreeSet<i32>) -> bool {
        let isr = partition.isr.len();
        let leads = partition
            .leader
            .is_some_and(|leader| live.contains(&leader));
        !shown.reports()
            || (shown.under_replicated && self.replication_factor(partition) > isr)
            || (shown.unavailable && !leads)
            || (shown.under_min_isr && (partition.leader.is_none() || isr < self.min_isr()))
            || (shown.at_min_isr && isr == self.min_isr())
    }
}

/// A topic, as it is printed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TopicRow<'a> {
    topic: &'a str,
    topic_id: String,
    partition_count: usize,
    replication_factor: usize,
    #[serde(serialize_with = "as_object")]
    configs: Vec<(&'a str, Option<&'a str>)>,
    partitions: Vec<PartitionRow<'a>>,
}

/// A partition of it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionRow<'a> {
    #[serde(flatten)]
    partition: &'a Partition,
    adding_replicas: &'a [i32],
    removing_replicas: &'a [i32],
}

fn as_object<S: Serializer>(
    configs: &[(&str, Option<&str>)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(configs.iter().copied())
}

/// The topics that are printed, with those of their partitions that are.
pub fn rows<'a>(topics: &'a [Described], shown: Shown, live: &BTreeSet<i32>) -> Vec<TopicRow<'a>> {
    let row = |described: &'a Described| {
        let topic = &described.topic;
        let partitions = topic.partitions.iter();
        let partitions = partitions
            .filter(|one| !shown.with_overrides && described.shows(one, shown, live))
            .map(|partition| {
                let moving = described.reassignment(partition);
                PartitionRow {
                    partition,
                    adding_replicas: moving.map_or(&[], |moving| &moving.adding),
                    removing_replicas: moving.map_or(&[], |moving| &moving.removing),
                }
            });
        let first = topic.partitions.first();
        let overrides = described.overrides();
        TopicRow {
            topic: &topic.name,
            topic_id: topic.id.to_string(),
            partition_count: topic.partitions.len(),
            replication_factor: first.map_or(0, |p| described.replication_factor(p)),
            configs: overrides
                .map(|e| (e.name.as_str(), e.value.as_deref()))
                .collect(),
            partitions: partitions.collect(),
        }
    };
    let mut rows: Vec<TopicRow> = topics.iter().map(row).collect();
    rows.retain(|topic| !shown.with_overrides || !topic.configs.is_empty());
    rows.retain(|topic| !shown.reports() || !topic.partitions.is_empty());
    rows
}

/// As Kafka's tool prints it.
pub fn render(topics: &[TopicRow], shown: Shown) -> String {
    let mut text = String::new();
    for topic in topics {
        if !shown.reports() {
            text += &format!("Topic: {}", topic.topic);
            if topic.topic_id != KafkaUuid::ZERO.to_string() {
                text += &format!("\tTopicId: {}", topic.topic_id);
            }
            let configs = topic.configs.iter();
            let configs =
                configs.map(|(name, value)| format!("{name}={}", value.unwrap_or("null")));
            text += &format!(
                "\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}\n",
                topic.partition_count,
                topic.replication_factor,
                join(configs)
            );
        }
        let partitions = topic.partitions.iter();
        text.extend(partitions.map(|one| render_partition(topic.topic, one)));
    }
    text
}

fn render_partition(topic: &str, row: &PartitionRow) -> String {
    let one = row.partition;
    let leader = one
        .leader
        .map_or("none".to_owned(), |leader| leader.to_string());
    let mut text = format!(
        "\tTopic: {topic}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
        one.partition,
        join(&one.replicas),
        join(&one.isr),
    );
    if !row.adding_replicas.is_empty() || !row.removing_replicas.is_empty() {
        let (adding, removing) = (join(row.adding_replicas), join(row.removing_replicas));
        text += &format!("\tAdding Replicas: {adding}\tRemoving Replicas: {removing}");
    }
    let elr = |ids: &Option<Vec<i32>>| ids.as_ref().map_or("N/A".to_owned(), join);
    let (elr, last_known) = (elr(&one.elr), elr(&one.last_known_elr));
    text + &format!("\tElr: {elr}\tLastKnownElr: {last_known}\n")
}
