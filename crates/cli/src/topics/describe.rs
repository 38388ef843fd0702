//! `topics --describe`.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use dohle_admin::{
    Cluster, ClusterError, ConfigEntry, ConfigSource, Partition, PartitionId, Reassignment,
    Resource, Topic, describe_configs, describe_topics, list_topics, reassignments,
};
use kacrab_protocol::KafkaUuid;
use serde::Serialize;

use super::meant;
use crate::job::{Job, Output};
use crate::options::{Parsed, UsageError};

/// How many partitions one answer holds, unless the command line says another number.
pub const LIMIT: i32 = 2000;

/// Options that leave only some partitions.
pub const REPORTS: [&str; 4] = [
    "under-replicated-partitions",
    "under-min-isr-partitions",
    "at-min-isr-partitions",
    "unavailable-partitions",
];

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

/// A topic with all that is told of it.
#[derive(Debug, Clone)]
pub struct Described {
    pub topic: Topic,
    pub configs: Vec<ConfigEntry>,
    pub reassignments: BTreeMap<PartitionId, Reassignment>,
}

pub async fn run(job: &Job<'_>, cluster: &Cluster) -> anyhow::Result<()> {
    let names = names(job, cluster).await?;
    let limit = job.parsed.parsed("partition-size-limit-per-response")?;
    let limit = limit.unwrap_or(LIMIT);
    let topics = describe_topics(cluster, &names, limit, &job.progress).await?;
    let resources: Vec<Resource> = names.iter().map(|name| Resource::topic(name)).collect();
    let mut configs = match resources.is_empty() {
        true => BTreeMap::new(),
        false => describe_configs(cluster, &resources, None, false).await?,
    };
    let live: BTreeSet<i32> = cluster
        .nodes()
        .await?
        .into_iter()
        .map(|node| node.id)
        .collect();
    let ids: Vec<PartitionId> = topics
        .iter()
        .flat_map(|topic| {
            topic
                .partitions
                .iter()
                .map(|partition| id(topic, partition))
        })
        .collect();
    let moving = match reassignments(cluster, Some(&ids)).await {
        // As Kafka's tool: who may not see them sees the rest.
        Err(ClusterError::Unsupported { .. }) => BTreeMap::new(),
        Err(ClusterError::Refused(refusal)) if refusal.code.code() == CLUSTER_AUTHORIZATION => {
            BTreeMap::new()
        }
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
    let shown = Shown::new(&job.parsed);
    match job.output()? {
        Output::Text => Ok(job.print(render(&described, shown, &live))?),
        Output::Json => job.print_json(&json(&described, shown, &live)),
    }
}

/// CLUSTER_AUTHORIZATION_FAILED.
const CLUSTER_AUTHORIZATION: i16 = 31;

/// The topics that the command line means; an id outvotes a name.
async fn names(job: &Job<'_>, cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let exclude_internal = job.parsed.has("exclude-internal");
    let Some(wanted) = topic_id(&job.parsed)? else {
        let topics = meant(cluster, &job.parsed, exclude_internal).await?;
        return Ok(topics.into_iter().map(|topic| topic.name).collect());
    };
    if job.parsed.has("topic") && job.parsed.has("if-exists") {
        job.print(
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
    if found.is_empty() && !job.parsed.has("if-exists") {
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
            "{text:?} is no topic id: it has 22 letters, as in Th_tigX8Ru2SofOlg6A9Zw"
        ))),
    }
}

fn id(topic: &Topic, partition: &Partition) -> PartitionId {
    PartitionId {
        topic: topic.name.clone(),
        partition: partition.partition,
    }
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
        let entry = self
            .configs
            .iter()
            .find(|entry| entry.name == "min.insync.replicas");
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

fn join(ids: &[i32]) -> String {
    let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
    ids.join(",")
}

/// As Kafka's tool prints it.
pub fn render(topics: &[Described], shown: Shown, live: &BTreeSet<i32>) -> String {
    let mut text = String::new();
    for described in topics {
        let topic = &described.topic;
        let overridden = described.overrides().next().is_some();
        if !shown.reports() && (!shown.with_overrides || overridden) {
            text += &format!("Topic: {}", topic.name);
            if topic.id != KafkaUuid::ZERO {
                text += &format!("\tTopicId: {}", topic.id);
            }
            let factor = topic
                .partitions
                .first()
                .map(|p| described.replication_factor(p));
            let configs: Vec<String> = described
                .overrides()
                .map(|e| format!("{}={}", e.name, e.value.as_deref().unwrap_or("null")))
                .collect();
            text += &format!(
                "\tPartitionCount: {}\tReplicationFactor: {}\tConfigs: {}\n",
                topic.partitions.len(),
                factor.unwrap_or_default(),
                configs.join(",")
            );
        }
        if shown.with_overrides {
            continue;
        }
        for partition in &topic.partitions {
            if described.shows(partition, shown, live) {
                text += &render_partition(described, partition);
            }
        }
    }
    text
}

fn render_partition(described: &Described, partition: &Partition) -> String {
    let leader = partition
        .leader
        .map_or("none".to_owned(), |leader| leader.to_string());
    let mut text = format!(
        "\tTopic: {}\tPartition: {}\tLeader: {leader}\tReplicas: {}\tIsr: {}",
        described.topic.name,
        partition.partition,
        join(&partition.replicas),
        join(&partition.isr),
    );
    if let Some(moving) = described.reassignment(partition) {
        text += &format!(
            "\tAdding Replicas: {}\tRemoving Replicas: {}",
            join(&moving.adding),
            join(&moving.removing)
        );
    }
    let elr = |ids: &Option<Vec<i32>>| ids.as_deref().map_or("N/A".to_owned(), join);
    text += &format!(
        "\tElr: {}\tLastKnownElr: {}\n",
        elr(&partition.elr),
        elr(&partition.last_known_elr)
    );
    text
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TopicJson<'a> {
    topic: &'a str,
    topic_id: String,
    partition_count: usize,
    replication_factor: usize,
    configs: BTreeMap<&'a str, Option<&'a str>>,
    partitions: Vec<PartitionJson<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PartitionJson<'a> {
    partition: i32,
    leader: Option<i32>,
    replicas: &'a [i32],
    isr: &'a [i32],
    adding_replicas: &'a [i32],
    removing_replicas: &'a [i32],
    elr: Option<&'a [i32]>,
    last_known_elr: Option<&'a [i32]>,
}

/// The same as JSON: topics, those partitions in them that are asked for.
fn json<'a>(
    topics: &'a [Described],
    shown: Shown,
    live: &BTreeSet<i32>,
) -> Vec<impl Serialize + use<'a>> {
    let of_topic = |described: &'a Described| {
        let topic = &described.topic;
        let partitions: Vec<PartitionJson<'a>> = topic
            .partitions
            .iter()
            .filter(|partition| !shown.with_overrides && described.shows(partition, shown, live))
            .map(|partition| {
                let moving = described.reassignment(partition);
                PartitionJson {
                    partition: partition.partition,
                    leader: partition.leader,
                    replicas: &partition.replicas,
                    isr: &partition.isr,
                    adding_replicas: moving.map_or(&[], |moving| &moving.adding),
                    removing_replicas: moving.map_or(&[], |moving| &moving.removing),
                    elr: partition.elr.as_deref(),
                    last_known_elr: partition.last_known_elr.as_deref(),
                }
            })
            .collect();
        let first = topic.partitions.first();
        TopicJson {
            topic: &topic.name,
            topic_id: topic.id.to_string(),
            partition_count: topic.partitions.len(),
            replication_factor: first.map_or(0, |p| described.replication_factor(p)),
            configs: described
                .overrides()
                .map(|entry| (entry.name.as_str(), entry.value.as_deref()))
                .collect(),
            partitions,
        }
    };
    let wanted = topics.iter().filter(|described| {
        let overridden = described.overrides().next().is_some();
        !shown.with_overrides || overridden
    });
    let all = wanted.map(of_topic);
    all.filter(|topic| !shown.reports() || !topic.partitions.is_empty())
        .collect()
}
