//! The metadata image: the state that results from all committed records, and the replay of these
//! records.
//!
//! Invariant: two nodes that replayed the same records have equal images. Clones are cheap (the
//! maps are persistent), so a plan can change a draft while readers keep a consistent view.

use std::collections::BTreeMap;
use std::sync::Arc;

use imbl::{OrdMap, OrdSet};

use crate::acl::AclEntry;
use crate::batch::CommittedBatch;
use crate::client_quota::{QuotaEntity, QuotaValue};
use crate::delegation_token::DelegationToken;
use crate::ids::{BrokerEpoch, MetadataOffset, NodeId, PartitionIndex, ProducerId, TopicId, Uuid};
use crate::names::{TopicIdPartition, TopicName};
use crate::partition::PartitionRegistration;
use crate::record::{
    BrokerRegistration, BrokerRegistrationChange, ConfigResource, MetadataRecord, PartitionChange,
};
use crate::scram::{ScramCredential, ScramMechanism};

pub mod delta;

use delta::MetadataDelta;

/// A topic and its partitions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicImage {
    /// Its name.
    pub name: TopicName,
    /// Its id.
    pub id: TopicId,
    /// Its partitions, numbered from 0 without gaps.
    pub partitions: OrdMap<PartitionIndex, Arc<PartitionRegistration>>,
}

/// All committed metadata up to [`MetadataImage::offset`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MetadataImage {
    /// The offset of the last replayed batch.
    pub offset: MetadataOffset,
    /// The registered brokers, fenced ones included.
    pub brokers: OrdMap<NodeId, Arc<BrokerRegistration>>,
    /// The topics.
    pub topics: OrdMap<TopicId, TopicImage>,
    /// Topic ids by name.
    pub topic_ids: OrdMap<TopicName, TopicId>,
    /// The partitions of which each broker has a replica.
    pub replicas_of: OrdMap<NodeId, OrdSet<TopicIdPartition>>,
    /// Dynamic configuration: explicitly set entries only.
    pub configs: OrdMap<ConfigResource, Arc<BTreeMap<String, String>>>,
    /// Finalized features.
    pub features: OrdMap<String, i16>,
    /// The first producer id that is not allocated yet.
    pub next_producer_id: ProducerId,
    /// The epoch that the next broker registration gets.
    pub next_broker_epoch: BrokerEpoch,
    /// The newest activations of controllers, by the offset after which each began.
    pub activations: OrdMap<MetadataOffset, Uuid>,
    /// The ACLs by their ids.
    pub acls: OrdMap<Uuid, Arc<AclEntry>>,
    /// The SCRAM credentials by user and mechanism.
    pub scram_credentials: OrdMap<(Arc<str>, ScramMechanism), Arc<ScramCredential>>,
    /// Quotas by entity and name: explicitly set ones only.
    pub client_quotas: OrdMap<QuotaEntity, Arc<BTreeMap<String, QuotaValue>>>,
    /// The delegation tokens by their ids, expired ones included until they are removed.
    pub delegation_tokens: OrdMap<Arc<str>, Arc<DelegationToken>>,
}

/// The number of activations that an image keeps. A position older than all of them cannot be
/// checked.
const ACTIVATIONS_MAX: usize = 1000;

/// An offset of the metadata together with the activation that wrote it, which identifies one state
/// of one history. A quorum that lost its data, or was restored from an older copy, may reach the
/// same offset again, but with another activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetadataPosition {
    /// The offset.
    pub offset: MetadataOffset,
    /// The activation that wrote the batch at this offset.
    pub activation: Uuid,
}

/// A committed record that does not fit the image. The node must stop: its state, or the log, is
/// damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The record refers to a broker that is not registered.
    #[error("record for broker {0}, which is not registered")]
    UnknownBroker(NodeId),
    /// The record refers to a topic that does not exist.
    #[error("record for topic {0}, which does not exist")]
    UnknownTopic(TopicId),
    /// The record refers to a partition that does not exist.
    #[error("record for partition {0}, which does not exist")]
    UnknownPartition(TopicIdPartition),
    /// The record removes an ACL that does not exist.
    #[error("record removes the ACL with the id {0}, which does not exist")]
    UnknownAcl(Uuid),
    /// The record creates something that already exists.
    #[error("record creates {0}, which already exists")]
    Exists(String),
    /// A planned record would make the registration of a partition inconsistent. Committed records
    /// are not checked for that.
    #[error("record makes partition {id} inconsistent: {reason}")]
    Inconsistent {
        /// The partition.
        id: TopicIdPartition,
        /// See [`PartitionRegistration::contradiction`].
        reason: &'static str,
    },
}

/// The outcome of replaying a committed batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replayed {
    /// The batch's records are in the image.
    Applied,
    /// The batch was planned on another image and changed nothing.
    Stale,
}

impl MetadataImage {
    /// Returns the topic with this name.
    #[must_use]
    pub fn topic(&self, name: &str) -> Option<&TopicImage> {
        self.topics.get(self.topic_ids.get(name)?)
    }

    /// Returns the registration of a partition.
    #[must_use]
    pub fn partition(&self, id: &TopicIdPartition) -> Option<&Arc<PartitionRegistration>> {
        self.topics.get(&id.topic_id)?.partitions.get(&id.partition)
    }

    /// Whether the broker is registered and not fenced.
    #[must_use]
    pub fn is_active(&self, broker: NodeId) -> bool {
        self.brokers
            .get(&broker)
            .is_some_and(|registration| !registration.fenced)
    }

    /// Returns this image's position; `None` before the first activation of a controller.
    #[must_use]
    pub fn position(&self) -> Option<MetadataPosition> {
        let (_, activation) = self.activations.get_max()?;
        Some(MetadataPosition {
            offset: self.offset,
            activation: *activation,
        })
    }

    /// Whether this image continues the history of `position`: if so, anything that existed there
    /// and is missing here was removed by a committed record. Also `false` when that cannot be
    /// determined.
    #[must_use]
    pub fn continues(&self, position: MetadataPosition) -> bool {
        let wrote = self.activations.range(..position.offset).next_back();
        position.offset <= self.offset && wrote.is_some_and(|(_, id)| *id == position.activation)
    }

    /// Returns the finalized level of a feature: 0 when it is not finalized.
    #[must_use]
    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Returns an explicitly set configuration value.
    #[must_use]
    pub fn config(&self, resource: &ConfigResource, key: &str) -> Option<&str> {
        self.configs.get(resource)?.get(key).map(String::as_str)
    }

    /// Replays a committed batch: all of its records, or none when it is stale.
    ///
    /// # Errors
    /// When a record does not fit the image; the image is then unusable and the node must stop.
    pub fn replay_batch(
        &mut self,
        committed: &CommittedBatch,
        delta: &mut MetadataDelta,
    ) -> Result<Replayed, ReplayError> {
        if committed.batch.base != self.offset {
            return Ok(Replayed::Stale);
        }
        for record in committed.batch.records.iter() {
            self.replay(record, delta)?;
        }
        self.offset = committed.offset;
        Ok(Replayed::Applied)
    }

    /// Replays one record, and records in `delta` what it changed. Does not advance
    /// [`MetadataImage::offset`].
    ///
    /// # Errors
    /// When the record does not fit the image.
    pub fn replay(
        &mut self,
        record: &MetadataRecord,
        delta: &mut MetadataDelta,
    ) -> Result<(), ReplayError> {
        match record {
            MetadataRecord::RegisterBroker(registration) => {
                let next = BrokerEpoch(registration.epoch.0 + 1);
                self.next_broker_epoch = self.next_broker_epoch.max(next);
                self.brokers
                    .insert(registration.id, Arc::new(registration.clone()));
                delta.brokers.insert(registration.id);
            }
            MetadataRecord::UnregisterBroker { id, .. } => {
                self.brokers
                    .remove(id)
                    .ok_or(ReplayError::UnknownBroker(*id))?;
                delta.brokers.insert(*id);
            }
            MetadataRecord::BrokerRegistrationChange(change) => {
                self.change_broker(change)?;
                delta.brokers.insert(change.id);
            }
            MetadataRecord::Topic { name, id } => {
                self.add_topic(name, *id)?;
                delta.topics_created.insert(*id);
            }
            MetadataRecord::RemoveTopic { id } => self.remove_topic(*id, delta)?,
            MetadataRecord::Partition {
                topic_id,
                partition,
                registration,
            } => {
                let id = TopicIdPartition {
                    topic_id: *topic_id,
                    partition: *partition,
                };
                self.add_partition(id, registration)?;
                delta.partitions.insert(id);
            }
            MetadataRecord::PartitionChange {
                topic_id,
                partition,
                change,
            } => {
                let id = TopicIdPartition {
                    topic_id: *topic_id,
                    partition: *partition,
                };
                self.change_partition(id, change)?;
                delta.partitions.insert(id);
            }
            MetadataRecord::Config {
                resource,
                key,
                value,
            } => {
                change_entry(&mut self.configs, resource, key, value.clone());
                delta.configs.insert(resource.clone());
            }
            MetadataRecord::FeatureLevel { name, level } => {
                if *level == 0 {
                    self.features.remove(name);
                } else {
                    self.features.insert(name.clone(), *level);
                }
                delta.features.insert(name.clone());
            }
            MetadataRecord::ProducerIds { next, .. } => self.next_producer_id = *next,
            MetadataRecord::ControllerActivated { id } => {
                self.activations.insert(self.offset, *id);
                if self.activations.len() > ACTIVATIONS_MAX {
                    self.activations = self.activations.without_min().1;
                }
            }
            MetadataRecord::AccessControlEntry { id, entry } => {
                let added = self.acls.insert(*id, Arc::new(entry.clone()));
                if added.is_some() {
                    return Err(ReplayError::Exists(format!("the ACL with the id {id}")));
                }
                delta.acls.insert(*id);
            }
            MetadataRecord::RemoveAccessControlEntry { id } => {
                self.acls.remove(id).ok_or(ReplayError::UnknownAcl(*id))?;
                delta.acls.insert(*id);
            }
            MetadataRecord::UserScramCredential {
                user,
                mechanism,
                credential,
            } => {
                let key = (Arc::clone(user), *mechanism);
                self.scram_credentials
                    .insert(key, Arc::new(credential.clone()));
                delta.scram_users.insert(Arc::clone(user));
            }
            MetadataRecord::RemoveUserScramCredential { user, mechanism } => {
                self.scram_credentials
                    .remove(&(Arc::clone(user), *mechanism));
                delta.scram_users.insert(Arc::clone(user));
            }
            MetadataRecord::ClientQuota { entity, key, value } => {
                change_entry(&mut self.client_quotas, entity, key, *value);
                delta.client_quotas.insert(entity.clone());
            }
            MetadataRecord::DelegationToken(token) => {
                let id = Arc::clone(&token.id);
                self.delegation_tokens.insert(id, Arc::new(token.clone()));
                delta.delegation_tokens.insert(Arc::clone(&token.id));
            }
            MetadataRecord::RemoveDelegationToken { id } => {
                self.delegation_tokens.remove(id);
                delta.delegation_tokens.insert(Arc::clone(id));
            }
        }
        Ok(())
    }

    fn change_broker(&mut self, change: &BrokerRegistrationChange) -> Result<(), ReplayError> {
        let broker = self
            .brokers
            .get_mut(&change.id)
            .ok_or(ReplayError::UnknownBroker(change.id))?;
        let broker = Arc::make_mut(broker);
        if let Some(fenced) = change.fenced {
            broker.fenced = fenced;
        }
        if let Some(draining) = change.in_controlled_shutdown {
            broker.in_controlled_shutdown = draining;
        }
        if let Some(log_dirs) = &change.log_dirs {
            broker.log_dirs.clone_from(log_dirs);
        }
        if let Some(cordoned) = &change.cordoned_log_dirs {
            broker.cordoned_log_dirs.clone_from(cordoned);
        }
        Ok(())
    }

    fn add_topic(&mut self, name: &TopicName, id: TopicId) -> Result<(), ReplayError> {
        if self.topic_ids.contains_key(name) || self.topics.contains_key(&id) {
            return Err(ReplayError::Exists(format!("topic {name} ({id})")));
        }
        self.topic_ids.insert(name.clone(), id);
        let partitions = OrdMap::new();
        self.topics.insert(
            id,
            TopicImage {
                name: name.clone(),
                id,
                partitions,
            },
        );
        Ok(())
    }

    fn remove_topic(&mut self, id: TopicId, delta: &mut MetadataDelta) -> Result<(), ReplayError> {
        let topic = self
            .topics
            .remove(&id)
            .ok_or(ReplayError::UnknownTopic(id))?;
        self.topic_ids.remove(&topic.name);
        self.configs
            .remove(&ConfigResource::Topic(topic.name.clone()));
        for (partition, registration) in &topic.partitions {
            let id = TopicIdPartition {
                topic_id: id,
                partition: *partition,
            };
            self.index_replicas(id, &registration.replicas, &[]);
            delta.partitions.remove(&id);
        }
        delta.topics_deleted.insert(id);
        Ok(())
    }

    fn add_partition(
        &mut self,
        id: TopicIdPartition,
        registration: &PartitionRegistration,
    ) -> Result<(), ReplayError> {
        let topic = self
            .topics
            .get_mut(&id.topic_id)
            .ok_or(ReplayError::UnknownTopic(id.topic_id))?;
        let registered = Arc::new(registration.clone());
        if topic.partitions.insert(id.partition, registered).is_some() {
            return Err(ReplayError::Exists(format!("partition {id}")));
        }
        self.index_replicas(id, &[], &registration.replicas);
        Ok(())
    }

    fn change_partition(
        &mut self,
        id: TopicIdPartition,
        change: &PartitionChange,
    ) -> Result<(), ReplayError> {
        let registration = self
            .topics
            .get_mut(&id.topic_id)
            .and_then(|topic| topic.partitions.get_mut(&id.partition))
            .ok_or(ReplayError::UnknownPartition(id))?;
        let registration = Arc::make_mut(registration);
        let replicas_before = change
            .replicas
            .as_ref()
            .map(|_| registration.replicas.clone())
            .unwrap_or_default();
        registration.apply(change);
        if let Some(replicas) = &change.replicas {
            self.index_replicas(id, &replicas_before, replicas);
        }
        Ok(())
    }

    fn index_replicas(&mut self, id: TopicIdPartition, before: &[NodeId], after: &[NodeId]) {
        for gone in before.iter().filter(|node| !after.contains(node)) {
            if let Some(partitions) = self.replicas_of.get_mut(gone) {
                partitions.remove(&id);
            }
        }
        for new in after.iter().filter(|node| !before.contains(node)) {
            self.replicas_of.entry(*new).or_default().insert(id);
        }
        for gone in before {
            if self.replicas_of.get(gone).is_some_and(OrdSet::is_empty) {
                self.replicas_of.remove(gone);
            }
        }
    }
}

/// Sets an entry of `owner`, or removes it with `value: None`. An owner without entries is removed.
fn change_entry<K: Ord + Clone, V: Clone>(
    entries: &mut OrdMap<K, Arc<BTreeMap<String, V>>>,
    owner: &K,
    key: &str,
    value: Option<V>,
) {
    let mut changed = entries.get(owner).cloned().unwrap_or_default();
    match value {
        Some(value) => Arc::make_mut(&mut changed).insert(key.to_owned(), value),
        None => Arc::make_mut(&mut changed).remove(key),
    };
    if changed.is_empty() {
        entries.remove(owner);
    } else {
        entries.insert(owner.clone(), changed);
    }
}

impl PartitionRegistration {
    /// Applies a change, and raises the epochs as described at [`PartitionChange`].
    pub fn apply(&mut self, change: &PartitionChange) {
        fn set<T: Clone>(field: &mut T, value: Option<&T>) {
            if let Some(value) = value {
                field.clone_from(value);
            }
        }
        set(&mut self.isr, change.isr.as_ref());
        set(&mut self.replicas, change.replicas.as_ref());
        set(&mut self.directories, change.directories.as_ref());
        set(
            &mut self.removing_replicas,
            change.removing_replicas.as_ref(),
        );
        set(&mut self.adding_replicas, change.adding_replicas.as_ref());
        set(&mut self.elr, change.elr.as_ref());
        set(&mut self.last_known_elr, change.last_known_elr.as_ref());
        set(
            &mut self.leader_recovery_state,
            change.leader_recovery_state.as_ref(),
        );
        if let Some(leader) = change.leader {
            self.leader = leader;
            self.leader_epoch = self.leader_epoch.next();
        }
        self.partition_epoch = self.partition_epoch.next();
    }
}
