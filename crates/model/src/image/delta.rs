//! The changes that a run of records made to an image, and the actions that follow for one broker.
//!
//! Invariant: the work on a delta is proportional to the changes, not to the size of the image.

use std::collections::BTreeSet;
use std::sync::Arc;

use imbl::OrdMap;
use imbl::ordmap::DiffItem;

use super::MetadataImage;
use crate::client_quota::QuotaEntity;
use crate::ids::{NodeId, TopicId, Uuid};
use crate::names::{TopicIdPartition, TopicName};
use crate::partition::PartitionRegistration;
use crate::record::ConfigResource;

/// The changes between two images.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetadataDelta {
    /// Brokers that were registered, changed or removed.
    pub brokers: BTreeSet<NodeId>,
    /// Created topics.
    pub topics_created: BTreeSet<TopicId>,
    /// Deleted topics.
    pub topics_deleted: BTreeSet<TopicId>,
    /// Created and changed partitions, except those of deleted topics.
    pub partitions: BTreeSet<TopicIdPartition>,
    /// Resources with a changed configuration.
    pub configs: BTreeSet<ConfigResource>,
    /// Features whose level changed.
    pub features: BTreeSet<String>,
    /// ACLs that were added or removed.
    pub acls: BTreeSet<Uuid>,
    /// Users whose SCRAM credentials changed.
    pub scram_users: BTreeSet<Arc<str>>,
    /// Entities whose quotas changed.
    pub client_quotas: BTreeSet<QuotaEntity>,
    /// Delegation tokens that were created, changed or removed.
    pub delegation_tokens: BTreeSet<Arc<str>>,
}

/// A partition that this broker hosts, as registered in the newer image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalPartition {
    /// The partition.
    pub id: TopicIdPartition,
    /// Its topic's name.
    pub topic: TopicName,
    /// Its registration.
    pub registration: Arc<PartitionRegistration>,
}

/// The actions with which one broker follows a delta. The lists are disjoint.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LocalChanges {
    /// Replicas to delete: their topic was deleted, or this broker no longer has the replica.
    pub deletes: Vec<(TopicIdPartition, TopicName)>,
    /// Partitions that this broker leads, newly or still, and whose registration changed.
    pub leaders: Vec<LocalPartition>,
    /// Partitions that this broker follows, or hosts while they have no leader.
    pub followers: Vec<LocalPartition>,
}

/// Returns the keys that only one of the maps has, or that have different values.
fn changed_keys<K: Ord + Clone, V: PartialEq + Clone>(
    before: &OrdMap<K, V>,
    after: &OrdMap<K, V>,
) -> impl Iterator<Item = K> {
    before.diff(after).map(|change| match change {
        DiffItem::Add(key, _) | DiffItem::Remove(key, _) => key.clone(),
        DiffItem::Update { new: (key, _), .. } => key.clone(),
    })
}

impl MetadataDelta {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the difference between two whole images, for a broker that received a snapshot.
    #[must_use]
    pub fn between(before: &MetadataImage, after: &MetadataImage) -> Self {
        let mut delta = Self {
            brokers: changed_keys(&before.brokers, &after.brokers).collect(),
            ..Self::default()
        };
        for id in before
            .topics
            .keys()
            .filter(|id| !after.topics.contains_key(*id))
        {
            delta.topics_deleted.insert(*id);
        }
        for (id, topic) in &after.topics {
            let old = before.topics.get(id);
            if old.is_none() {
                delta.topics_created.insert(*id);
            }
            for (partition, registration) in &topic.partitions {
                if old.and_then(|old| old.partitions.get(partition)) != Some(registration) {
                    let partition = *partition;
                    delta.partitions.insert(TopicIdPartition {
                        topic_id: *id,
                        partition,
                    });
                }
            }
        }
        delta.configs = changed_keys(&before.configs, &after.configs).collect();
        delta.features = changed_keys(&before.features, &after.features).collect();
        delta.acls = changed_keys(&before.acls, &after.acls).collect();
        delta.scram_users = changed_keys(&before.scram_credentials, &after.scram_credentials)
            .map(|(user, _)| user)
            .collect();
        delta.client_quotas = changed_keys(&before.client_quotas, &after.client_quotas).collect();
        delta.delegation_tokens =
            changed_keys(&before.delegation_tokens, &after.delegation_tokens).collect();
        delta
    }

    /// Returns the actions after which `node`'s replicas match `after` instead of `before`.
    #[must_use]
    pub fn local_changes(
        &self,
        node: NodeId,
        before: &MetadataImage,
        after: &MetadataImage,
    ) -> LocalChanges {
        let mut changes = LocalChanges::default();
        for topic_id in &self.topics_deleted {
            let Some(topic) = before.topics.get(topic_id) else {
                continue;
            };
            for (partition, registration) in &topic.partitions {
                if registration.replicas.contains(&node) {
                    let id = TopicIdPartition {
                        topic_id: *topic_id,
                        partition: *partition,
                    };
                    changes.deletes.push((id, topic.name.clone()));
                }
            }
        }
        for id in &self.partitions {
            let Some(topic) = after.topics.get(&id.topic_id) else {
                continue;
            };
            let Some(registration) = topic.partitions.get(&id.partition) else {
                continue;
            };
            if registration.replicas.contains(&node) {
                let registration = Arc::clone(registration);
                let local = LocalPartition {
                    id: *id,
                    topic: topic.name.clone(),
                    registration,
                };
                if local.registration.leader == Some(node) {
                    changes.leaders.push(local);
                } else {
                    changes.followers.push(local);
                }
            } else if before
                .partition(id)
                .is_some_and(|old| old.replicas.contains(&node))
            {
                changes.deletes.push((*id, topic.name.clone()));
            }
        }
        changes
    }
}
