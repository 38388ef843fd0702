//! Indexes of the partitions that may need an election, so that no timer iterates over all
//! partitions, and of the ACLs by their content.
//!
//! Invariant: after [`Indexes::replayed`] was called for every record of an image, `leaderless`
//! contains exactly the image's partitions without a leader, `imbalanced` exactly those whose
//! leader is not their preferred replica, and `acls` exactly the image's ACLs.

use std::sync::Arc;

use dohle_model::acl::AclEntry;
use dohle_model::delta::MetadataDelta;
use dohle_model::image::MetadataImage;
use dohle_model::{PartitionIndex, TopicId, TopicIdPartition, Uuid};
use imbl::{OrdMap, OrdSet};

/// Indexes of partitions by their leadership, and of ACLs; see the module. Clones are cheap.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Indexes {
    /// Partitions without a leader.
    pub leaderless: OrdSet<TopicIdPartition>,
    /// Partitions with a leader that is not the preferred one.
    pub imbalanced: OrdSet<TopicIdPartition>,
    /// The ACLs by their content.
    pub acls: AclIds,
}

/// The ids of ACLs by their content.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AclIds {
    ids: OrdSet<(Arc<AclEntry>, Uuid)>,
    /// The ACLs of the image that was indexed last.
    indexed: OrdMap<Uuid, Arc<AclEntry>>,
}

impl AclIds {
    /// Returns the ids of the ACLs with this content: none or one, unless the metadata log has an
    /// ACL twice.
    pub fn ids(&self, entry: &AclEntry) -> impl Iterator<Item = Uuid> {
        let entry = Arc::new(entry.clone());
        let range = (Arc::clone(&entry), Uuid([0; 16]))..=(entry, Uuid([u8::MAX; 16]));
        self.ids.range(range).map(|(_, id)| *id)
    }

    fn replayed(&mut self, image: &MetadataImage, delta: &MetadataDelta) {
        for id in &delta.acls {
            if let Some(removed) = self.indexed.get(id) {
                self.ids.remove(&(Arc::clone(removed), *id));
            }
            if let Some(added) = image.acls.get(id) {
                self.ids.insert((Arc::clone(added), *id));
            }
        }
        self.indexed = image.acls.clone();
    }
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
        indexes.acls = AclIds {
            ids: (image.acls.iter())
                .map(|(id, entry)| (Arc::clone(entry), *id))
                .collect(),
            indexed: image.acls.clone(),
        };
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
        if !delta.acls.is_empty() {
            self.acls.replayed(image, delta);
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
