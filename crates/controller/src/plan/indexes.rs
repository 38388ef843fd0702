//! Indexes of the partitions that may need an election, so that no timer iterates over all
//! partitions.
//!
//! Invariant: after [`Indexes::replayed`] was called for every record of an image, `leaderless`
//! contains exactly the image's partitions without a leader, and `imbalanced` exactly those whose
//! leader is not their preferred replica.

use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use dohle_model::{PartitionIndex, TopicId, TopicIdPartition};
use imbl::OrdSet;

/// Indexes of partitions by their leadership; see the module. Clones are cheap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Indexes {
    /// Partitions without a leader.
    pub leaderless: OrdSet<TopicIdPartition>,
    /// Partitions with a leader that is not the preferred one.
    pub imbalanced: OrdSet<TopicIdPartition>,
}

impl Indexes {
    /// Builds the indexes of a whole image.
    #[must_use]
    pub fn of(image: &MetadataImage) -> Self {
        let mut indexes = Self::default();
        for (topic_id, topic) in &image.topics {
            for partition in topic.partitions.keys() {
                let id = TopicIdPartition {
                    topic_id: *topic_id,
                    partition: *partition,
                };
                indexes.place(image, id);
            }
        }
        indexes
    }

    /// Updates the indexes with the changes of `delta`, which was replayed into `image`.
    pub fn replayed(&mut self, image: &MetadataImage, delta: &MetadataDelta) {
        for topic in &delta.topics_deleted {
            remove_topic(&mut self.leaderless, *topic);
            remove_topic(&mut self.imbalanced, *topic);
        }
        for id in &delta.partitions {
            self.place(image, *id);
        }
    }

    fn place(&mut self, image: &MetadataImage, id: TopicIdPartition) {
        let Some(partition) = image.partition(&id) else {
            self.leaderless.remove(&id);
            self.imbalanced.remove(&id);
            return;
        };
        if partition.leader.is_none() {
            self.leaderless.insert(id);
        } else {
            self.leaderless.remove(&id);
        }
        if partition.leader.is_some() && partition.leader != partition.preferred_leader() {
            self.imbalanced.insert(id);
        } else {
            self.imbalanced.remove(&id);
        }
    }
}

/// Returns the members of `set` that belong to `topic`.
pub(super) fn of_topic(
    set: &OrdSet<TopicIdPartition>,
    topic: TopicId,
) -> impl Iterator<Item = &TopicIdPartition> {
    let first = TopicIdPartition {
        topic_id: topic,
        partition: PartitionIndex(0),
    };
    let last = TopicIdPartition {
        topic_id: topic,
        partition: PartitionIndex(i32::MAX),
    };
    set.range(first..=last)
}

fn remove_topic(set: &mut OrdSet<TopicIdPartition>, topic: TopicId) {
    let gone: Vec<TopicIdPartition> = of_topic(set, topic).copied().collect();
    for id in gone {
        set.remove(&id);
    }
}
