//! Follows the metadata: shards are created and dropped with the leadership of their partitions.

use std::fmt::Debug;
use std::ops::ControlFlow;
use std::sync::Arc;

use dohle_machine::Machine;
use dohle_model::delta::LocalPartition;
use dohle_model::{MetadataOffset, PartitionIndex, TopicId, TopicName};

use super::Coordinator;
use super::shard::ShardRuntime;
use dohle_broker::metadata::{LocalReplicas, MetadataChange};
use dohle_broker::partitions::LocalPartitions;

/// A coordinator of any machine, as the node uses it.
pub trait AnyCoordinator: Debug + Send + Sync {
    /// Follows a change of the metadata. The partitions have already followed it.
    fn on_metadata(self: Arc<Self>, change: &MetadataChange);

    /// Drops all shards. Parked requests get NOT_COORDINATOR.
    fn resign_all(&self);
}

impl<M: Machine> AnyCoordinator for Coordinator<M> {
    fn on_metadata(self: Arc<Self>, change: &MetadataChange) {
        Self::on_metadata(&self, change);
    }

    fn resign_all(&self) {
        Self::resign_all(self);
    }
}

/// The partitions and the coordinators, in the order in which they follow the metadata: a shard is
/// loaded from a partition that already leads.
#[derive(Debug)]
pub struct CoordinatedPartitions {
    /// The partitions of this broker.
    pub partitions: LocalPartitions,
    /// The coordinators of this broker.
    pub coordinators: Vec<Arc<dyn AnyCoordinator>>,
}

impl LocalReplicas for CoordinatedPartitions {
    async fn apply(&self, change: &MetadataChange) {
        self.partitions.apply(change).await;
        for coordinator in &self.coordinators {
            Arc::clone(coordinator).on_metadata(change);
        }
    }
}

impl<M: Machine> Coordinator<M> {
    /// Follows a change of the metadata. The partitions have already followed it.
    pub fn on_metadata(self: &Arc<Self>, change: &MetadataChange) {
        self.apply_configs(change);
        let is_ours = |topic: &TopicName| topic.as_str() == self.config.topic.name;
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
            self.runtime.spawn(this.upkeep(move |machine, step| {
                machine.on_topics_deleted(&deleted, step);
                match step.effects.records.is_empty() {
                    true => ControlFlow::Break(()),
                    false => ControlFlow::Continue(()),
                }
            }));
        }
    }

    fn apply_configs(&self, change: &MetadataChange) {
        let mut changed = change.delta.configs.iter();
        if changed.any(|resource| self.config.depends_on(resource)) {
            *self.settings.write() = Arc::new(self.config.resolve(&change.after));
        }
    }

    fn lead(self: &Arc<Self>, local: &LocalPartition, at: MetadataOffset) {
        let index = local.id.partition;
        let leader_epoch = local.registration.leader_epoch;
        let current = self.shards.read().get(&index).cloned();
        if current.is_some_and(|shard| {
            shard.leader_epoch == leader_epoch && shard.partition.id() == local.id
        }) {
            // Only the ISR or the replicas have changed.
            return;
        }
        let Some(partition) = self.partitions.get(&local.id) else {
            return;
        };
        let shard = ShardRuntime::new(partition, leader_epoch);
        let before = self.shards.write().insert(index, Arc::clone(&shard));
        if let Some(before) = before {
            before.resign();
        }
        self.load(&shard, at);
    }

    fn resign(&self, index: PartitionIndex) {
        let shard = self.shards.write().remove(&index);
        if let Some(shard) = shard {
            shard.resign();
        }
    }
}
