//! Following the metadata: shards come and go with the leadership of their partitions.

use std::sync::Arc;

use dohle_machine::Machine as _;
use dohle_model::delta::LocalPartition;
use dohle_model::record::ConfigResource;
use dohle_model::{MetadataOffset, TopicId, TopicName};

use super::settings::Settings;
use super::slot::Slot;
use super::{Coordinator, OFFSETS_TOPIC};
use crate::metadata::{LocalReplicas, MetadataChange};
use crate::partitions::LocalPartitions;

/// The registry of partitions and then the coordinator, as the metadata feed drives them: a shard
/// begins when its partition leads already.
#[derive(Debug)]
pub struct CoordinatedPartitions {
    /// The registry.
    pub partitions: LocalPartitions,
    /// The coordinator.
    pub coordinator: Arc<Coordinator>,
}

impl LocalReplicas for CoordinatedPartitions {
    async fn apply(&self, change: &MetadataChange) {
        self.partitions.apply(change).await;
        self.coordinator.on_metadata(change);
    }
}

impl Coordinator {
    /// Follows a change of the metadata, which the partitions follow already.
    pub fn on_metadata(self: &Arc<Self>, change: &MetadataChange) {
        self.apply_configs(change);
        let is_ours = |topic: &TopicName| topic.as_str() == OFFSETS_TOPIC;
        let local = &change.local;
        for (id, topic) in &local.deletes {
            if is_ours(topic) {
                self.resign(id.partition);
            }
        }
        for follower in local.followers.iter().filter(|it| is_ours(&it.topic)) {
            self.resign(follower.id.partition);
        }
        for leader in local.leaders.iter().filter(|it| is_ours(&it.topic)) {
            self.lead(leader, change.after.offset);
        }
        let deleted: Vec<(TopicId, TopicName)> = change
            .delta
            .topics_deleted
            .iter()
            .filter_map(|id| change.before.topics.get(id))
            .map(|topic| (topic.id, topic.name.clone()))
            .collect();
        if !deleted.is_empty() {
            let this = Arc::clone(self);
            self.runtime.spawn(this.upkeep(move |shard, step| {
                shard.on_topics_deleted(&deleted, step);
            }));
        }
    }

    fn apply_configs(&self, change: &MetadataChange) {
        let concerns = |resource: &ConfigResource| match resource {
            ConfigResource::Broker(id) => *id == self.node,
            ConfigResource::BrokerDefault | ConfigResource::Group(_) => true,
            ConfigResource::Topic(name) => name.as_str() == OFFSETS_TOPIC,
            ConfigResource::ClientMetrics(_) => false,
        };
        if change.delta.configs.iter().any(concerns) {
            let settings = Settings::resolve(&self.properties, &change.after, self.node);
            *self.settings.write() = Arc::new(settings);
        }
    }

    fn lead(self: &Arc<Self>, local: &LocalPartition, at: MetadataOffset) {
        let index = local.id.partition;
        let leader_epoch = local.registration.leader_epoch;
        let current = self.slots.read().get(&index).cloned();
        if current.is_some_and(|slot| {
            slot.leader_epoch == leader_epoch && slot.partition.id() == local.id
        }) {
            // The ISR or the replicas changed.
            return;
        }
        let Some(partition) = self.partitions.get(&local.id) else {
            return;
        };
        let slot = Slot::new(partition, leader_epoch);
        let before = self.slots.write().insert(index, Arc::clone(&slot));
        if let Some(before) = before {
            before.resign();
        }
        self.load(&slot, at);
    }

    fn resign(&self, index: dohle_model::PartitionIndex) {
        let slot = self.slots.write().remove(&index);
        if let Some(slot) = slot {
            slot.resign();
        }
    }
}
