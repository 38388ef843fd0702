//! The topics that groups subscribe to: which topics have changed, and a hash of a group's topics
//! (KIP-1101), whose change raises the group epoch.
//!
//! The work is proportional to the change: images share equal parts, so their difference is cheap,
//! and only groups that subscribe to a changed topic compute their hash again.

use std::collections::{BTreeSet, HashMap, HashSet};

use dohle_model::image::{MetadataImage, TopicImage};
use dohle_model::{MetadataOffset, TopicId};
use imbl::OrdMap;
use imbl::ordmap::DiffItem;
use xxhash_rust::xxh3::xxh3_64;

use crate::ids::GroupId;

/// How a group's subscription changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct TopicChanges {
    /// The topics that the group newly subscribes to.
    pub added: Vec<String>,
    /// The topics that it does not subscribe to any more.
    pub removed: Vec<String>,
}

/// The topics of the image that a shard saw last, and the groups that subscribe to each topic.
#[derive(Debug, Default)]
pub(crate) struct Topics {
    seen: MetadataOffset,
    topics: OrdMap<TopicId, TopicImage>,
    /// The version of the metadata that added a topic last. Regular expressions that were resolved
    /// on an earlier version may match more topics.
    new_topics_at: Option<i64>,
    subscribers: HashMap<String, HashSet<GroupId>>,
    hashes: HashMap<String, i64>,
}

impl Topics {
    /// Compares an image with the one before. Returns the groups that subscribe to a changed topic.
    pub(crate) fn observe(&mut self, image: &MetadataImage) -> BTreeSet<GroupId> {
        let mut touched = BTreeSet::new();
        if self.new_topics_at.is_some() && image.offset <= self.seen {
            return touched;
        }
        let version = version(image);
        let mut new_topics = self.new_topics_at.is_none();
        let mut changed: Vec<&str> = Vec::new();
        for difference in self.topics.diff(&image.topics) {
            match difference {
                DiffItem::Add(_, topic) => {
                    new_topics = true;
                    changed.push(topic.name.as_str());
                }
                DiffItem::Remove(_, topic) => changed.push(topic.name.as_str()),
                DiffItem::Update { old, new } => {
                    if is_assigned_otherwise(old.1, new.1) {
                        changed.push(new.1.name.as_str());
                    }
                }
            }
        }
        for name in changed {
            self.hashes.remove(name);
            touched.extend(self.subscribers.get(name).into_iter().flatten().cloned());
        }
        if new_topics {
            self.new_topics_at = Some(version);
        }
        assert!(
            image.offset >= self.seen,
            "the metadata at {} are observed after those at {}",
            image.offset,
            self.seen
        );
        self.seen = image.offset;
        self.topics = image.topics.clone();
        touched
    }

    /// Records a change of the topics that a group subscribes to.
    pub(crate) fn subscribe(&mut self, group_id: &GroupId, changes: TopicChanges) {
        for topic in changes.added {
            let groups = self.subscribers.entry(topic).or_default();
            groups.insert(group_id.clone());
        }
        for topic in changes.removed {
            if let Some(groups) = self.subscribers.get_mut(&topic) {
                assert!(!groups.is_empty(), "topic {topic} is without subscribers");
                groups.remove(group_id);
                if groups.is_empty() {
                    self.subscribers.remove(&topic);
                    self.hashes.remove(&topic);
                }
            }
        }
    }

    /// Returns whether topics were added after this version of the metadata.
    pub(crate) fn came_after(&self, version: i64) -> bool {
        self.new_topics_at.is_some_and(|at| version < at)
    }

    /// A hash of the topics, except those that do not exist (Kafka's `Utils.computeGroupHash`).
    pub(crate) fn hash<'t>(
        &mut self,
        image: &MetadataImage,
        topics: impl IntoIterator<Item = &'t str>,
    ) -> i64 {
        let mut bytes: Vec<u8> = Vec::new();
        let topics: BTreeSet<&str> = topics.into_iter().collect();
        for name in topics {
            let Some(topic) = image.topic(name) else {
                continue;
            };
            let hash = match self.hashes.get(name) {
                Some(hash) => *hash,
                None => topic_hash(image, topic),
            };
            if self.subscribers.contains_key(name) && image.offset == self.seen {
                self.hashes.insert(name.to_owned(), hash);
            }
            bytes.extend(hash.to_le_bytes());
        }
        match bytes.is_empty() {
            true => 0,
            false => xxh3_64(&bytes).cast_signed(),
        }
    }
}

/// The version of the metadata, in the form of Kafka's records.
pub(crate) fn version(image: &MetadataImage) -> i64 {
    i64::try_from(image.offset.0).unwrap_or(i64::MAX)
}

/// Returns whether two versions of a topic differ in the assignor's input or in the hash.
fn is_assigned_otherwise(old: &TopicImage, new: &TopicImage) -> bool {
    old.name != new.name
        || old.partitions.len() != new.partitions.len()
        || old.partitions.diff(&new.partitions).any(|item| match item {
            DiffItem::Update { old, new } => old.1.replicas != new.1.replicas,
            _ => true,
        })
}

/// A hash of a topic: the same as Kafka's `Utils.computeTopicHash`. Its input has texts in UTF-16,
/// each followed by its length; all numbers are little-endian.
fn topic_hash(image: &MetadataImage, topic: &TopicImage) -> i64 {
    let mut bytes: Vec<u8> = vec![0];
    let (most, least) = halves(topic.id);
    bytes.extend(most.to_le_bytes());
    bytes.extend(least.to_le_bytes());
    put_text(&mut bytes, topic.name.as_str());
    put_length(&mut bytes, topic.partitions.len());
    for (partition, registration) in &topic.partitions {
        bytes.extend(partition.0.to_le_bytes());
        let brokers = registration.replicas.iter();
        let racks = brokers.filter_map(|id| image.brokers.get(id)?.rack.as_deref());
        let mut racks: Vec<&str> = racks.collect();
        racks.sort_unstable();
        for rack in racks {
            put_length(&mut bytes, rack.encode_utf16().count());
            put_text(&mut bytes, rack);
        }
    }
    xxh3_64(&bytes).cast_signed()
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    for unit in text.encode_utf16() {
        bytes.extend(unit.to_le_bytes());
    }
    put_length(bytes, text.encode_utf16().count());
}

fn put_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend(i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes());
}

fn halves(id: TopicId) -> (u64, u64) {
    let whole = u128::from_be_bytes(id.to_bytes());
    ((whole >> 64) as u64, whole as u64)
}
