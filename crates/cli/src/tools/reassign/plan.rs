//! Assignments of partitions to brokers, as JSON files hold them.

use std::collections::BTreeMap;

use anyhow::{Context, bail};
use dohle_admin::{PartitionId, Replica};
use serde::{Deserialize, Serialize};

use crate::partition_file::{duplicates, read_json};
use crate::text::join_with;

/// The name for any directory.
pub const ANY: &str = "any";

/// Where partitions shall be, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The replicas of each partition.
    pub partitions: Vec<(PartitionId, Vec<i32>)>,
    /// The directories of those replicas for which one is given.
    pub log_dirs: BTreeMap<Replica, String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Document {
    version: Option<i32>,
    #[serde(default)]
    partitions: Vec<Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    topic: String,
    partition: i32,
    replicas: Vec<i32>,
    log_dirs: Option<Vec<String>>,
}

#[derive(Debug, Deserialize)]
struct Topics {
    #[serde(default)]
    topics: Vec<TopicEntry>,
}

#[derive(Debug, Deserialize)]
struct TopicEntry {
    topic: String,
}

/// Reads a plan.
pub fn read(path: &str) -> anyhow::Result<Plan> {
    plan(read_json(path)?).with_context(|| path.to_owned())
}

/// Reads a plan's text.
#[cfg(test)]
pub fn parse(text: &str) -> anyhow::Result<Plan> {
    plan(crate::partition_file::parse_json(text)?)
}

fn plan(document: Document) -> anyhow::Result<Plan> {
    let mut plan = Plan::default();
    for entry in document.partitions {
        let id = PartitionId::new(entry.topic, entry.partition);
        if let Some(log_dirs) = &entry.log_dirs {
            if log_dirs.len() != entry.replicas.len() {
                bail!(
                    "Size of replicas list {:?} is different from size of log dirs list [{}] for \
                     partition {id}",
                    entry.replicas,
                    log_dirs.join(", ")
                );
            }
            let given = entry.replicas.iter().zip(log_dirs);
            let given = given.filter(|(_, dir)| *dir != ANY);
            let replica = |broker: &i32| Replica {
                broker: *broker,
                id: id.clone(),
            };
            plan.log_dirs
                .extend(given.map(|(broker, dir)| (replica(broker), dir.clone())));
        }
        plan.partitions.push((id, entry.replicas));
    }
    Ok(plan)
}

/// Reads a list of topics.
pub fn read_topics(path: &str) -> anyhow::Result<Vec<String>> {
    topics(read_json(path)?).with_context(|| path.to_owned())
}

/// Reads the text of a list of topics.
#[cfg(test)]
pub fn parse_topics(text: &str) -> anyhow::Result<Vec<String>> {
    topics(crate::partition_file::parse_json(text)?)
}

fn topics(document: Topics) -> anyhow::Result<Vec<String>> {
    let topics = document.topics.into_iter().map(|entry| entry.topic);
    let topics: Vec<String> = topics.collect();
    let twice = duplicates(&topics).join(", ");
    if !twice.is_empty() {
        bail!("List of topics to reassign contains duplicate entries: [{twice}]");
    }
    if topics.is_empty() {
        bail!("No topics are listed; the form is {{\"topics\": [{{\"topic\": \"foo\"}}]}}");
    }
    Ok(topics)
}

impl Plan {
    /// Whether it can be executed.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.partitions.is_empty() {
            bail!("Partition reassignment list cannot be empty");
        }
        let mut lists = self.partitions.iter();
        if lists.any(|(_, replicas)| replicas.is_empty()) {
            bail!("Partition replica list cannot be empty");
        }
        let twice = duplicates(self.partitions.iter().map(|(id, _)| id)).join(",");
        if !twice.is_empty() {
            bail!("Partition reassignment contains duplicate topic partitions: {twice}");
        }
        let lists = self.partitions.iter();
        let lists = lists.map(|(id, replicas)| (id, duplicates(replicas).join(",")));
        let twice = lists.filter(|(_, twice)| !twice.is_empty());
        let twice = twice.map(|(id, twice)| format!("{id} contains multiple entries for {twice}"));
        let twice = join_with(". ", twice);
        if !twice.is_empty() {
            bail!("Partition replica lists may not contain duplicate entries: {twice}");
        }
        Ok(())
    }

    /// The partitions, by topic and number.
    pub fn sorted(&self) -> BTreeMap<PartitionId, Vec<i32>> {
        self.partitions.iter().cloned().collect()
    }
}

/// An assignment in the form that the tool reads again.
pub fn format(
    partitions: &BTreeMap<PartitionId, Vec<i32>>,
    log_dirs: &BTreeMap<Replica, String>,
) -> serde_json::Result<String> {
    let entries = partitions.iter().map(|(id, replicas)| {
        let dir = |broker: &i32| {
            let replica = Replica {
                broker: *broker,
                id: id.clone(),
            };
            log_dirs
                .get(&replica)
                .map_or(ANY, String::as_str)
                .to_owned()
        };
        Entry {
            topic: id.topic.clone(),
            partition: id.partition,
            replicas: replicas.clone(),
            log_dirs: Some(replicas.iter().map(dir).collect()),
        }
    });
    serde_json::to_string(&Document {
        version: Some(1),
        partitions: entries.collect(),
    })
}
