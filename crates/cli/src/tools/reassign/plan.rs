//! Assignments of partitions to brokers, as JSON files hold them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, bail};
use dohle_admin::{PartitionId, Replica};
use serde::{Deserialize, Serialize};

use crate::text::join;

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
    version: Option<i32>,
    #[serde(default)]
    topics: Vec<TopicEntry>,
}

#[derive(Debug, Deserialize)]
struct TopicEntry {
    topic: String,
}

fn load(path: &str) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("read {path}"))
}

fn check_version(version: Option<i32>) -> anyhow::Result<()> {
    match version {
        None | Some(1) => Ok(()),
        Some(version) => bail!("Not supported version field value {version}"),
    }
}

/// Reads a plan.
pub fn read(path: &str) -> anyhow::Result<Plan> {
    parse(&load(path)?).with_context(|| path.to_owned())
}

/// Reads a plan's text.
pub fn parse(text: &str) -> anyhow::Result<Plan> {
    let document: Document =
        serde_json::from_str(text).context("The input string is not a valid JSON")?;
    check_version(document.version)?;
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
            let given = entry
                .replicas
                .iter()
                .zip(log_dirs)
                .filter(|(_, dir)| *dir != ANY);
            plan.log_dirs.extend(given.map(|(broker, dir)| {
                let id = id.clone();
                let broker = *broker;
                (Replica { broker, id }, dir.clone())
            }));
        }
        plan.partitions.push((id, entry.replicas));
    }
    Ok(plan)
}

/// Reads a list of topics.
pub fn read_topics(path: &str) -> anyhow::Result<Vec<String>> {
    parse_topics(&load(path)?).with_context(|| path.to_owned())
}

/// Reads the text of a list of topics.
pub fn parse_topics(text: &str) -> anyhow::Result<Vec<String>> {
    let document: Topics =
        serde_json::from_str(text).context("The input string is not a valid JSON")?;
    check_version(document.version)?;
    let topics: Vec<String> = document
        .topics
        .into_iter()
        .map(|entry| entry.topic)
        .collect();
    let twice = duplicates(&topics);
    if !twice.is_empty() {
        bail!(
            "List of topics to reassign contains duplicate entries: [{}]",
            twice.join(", ")
        );
    }
    if topics.is_empty() {
        bail!("No topics are listed; the form is {{\"topics\": [{{\"topic\": \"foo\"}}]}}");
    }
    Ok(topics)
}

/// What is there more than once.
pub fn duplicates<T: Clone + Ord + ToString>(all: &[T]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<&T> = all
        .iter()
        .filter(|one| !seen.insert((*one).clone()))
        .collect();
    twice.into_iter().map(ToString::to_string).collect()
}

impl Plan {
    /// Whether it can be executed.
    pub fn check(&self) -> anyhow::Result<()> {
        if self.partitions.is_empty() {
            bail!("Partition reassignment list cannot be empty");
        }
        if self
            .partitions
            .iter()
            .any(|(_, replicas)| replicas.is_empty())
        {
            bail!("Partition replica list cannot be empty");
        }
        let ids: Vec<PartitionId> = self.partitions.iter().map(|(id, _)| id.clone()).collect();
        let twice = duplicates(&ids);
        if !twice.is_empty() {
            bail!(
                "Partition reassignment contains duplicate topic partitions: {}",
                twice.join(",")
            );
        }
        let twice: Vec<String> = self
            .partitions
            .iter()
            .map(|(id, replicas)| (id, duplicates(replicas)))
            .filter(|(_, twice)| !twice.is_empty())
            .map(|(id, twice)| format!("{id} contains multiple entries for {}", join(twice)))
            .collect();
        if !twice.is_empty() {
            bail!(
                "Partition replica lists may not contain duplicate entries: {}",
                twice.join(". ")
            );
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
                .cloned()
                .unwrap_or_else(|| ANY.to_owned())
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
