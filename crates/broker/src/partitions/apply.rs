//! Following the metadata: partitions come, go, and change their roles.

use std::collections::BTreeSet;
use std::sync::Arc;

use dohle_log::{Log, OpenOptions};
use dohle_model::config::{BrokerConfig, BrokerValues, TopicConfig};
use dohle_model::delta::LocalPartition;
use dohle_model::image::MetadataImage;
use dohle_model::record::ConfigResource;
use dohle_model::{Offset, TopicIdPartition, TopicName, TopicPartition, Uuid};

use super::dirs::{Dir, Found};
use super::{Partitions, Settings, wall_clock};
use crate::metadata::{LocalReplicas, MetadataChange};
use crate::partition::{Partition, PartitionConfig};

/// The registry, as the metadata feed drives it.
#[derive(Debug, Clone)]
pub struct LocalPartitions(pub Arc<Partitions>);

impl LocalReplicas for LocalPartitions {
    async fn apply(&self, change: &MetadataChange) {
        let (partitions, change) = (Arc::clone(&self.0), change.clone());
        // A panic must not pass for a change that was followed.
        if let Err(error) =
            tokio::task::spawn_blocking(move || partitions.apply_change(&change)).await
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }
}

impl Partitions {
    /// Follows a change of the metadata. Blocks on the disk where logs are opened or deleted.
    pub fn apply_change(&self, change: &MetadataChange) {
        self.shared.set_image(&change.after);
        self.apply_configs(change);
        for (id, name) in &change.local.deletes {
            self.delete(*id, name);
        }
        self.open_logs(change);
        let lag_max = self.settings.read().broker.replica_lag_time_max;
        self.fetchers.set_image(&change.after);
        for local in &change.local.leaders {
            let Some(partition) = self.get(&local.id) else {
                continue;
            };
            self.fetchers.stop(local.id);
            partition.become_leader(&local.registration, lag_max);
            self.parked.release(local.id);
        }
        for local in &change.local.followers {
            let Some(partition) = self.get(&local.id) else {
                continue;
            };
            if partition.become_follower(&local.registration) {
                match local.registration.leader {
                    Some(leader) if leader != self.node => {
                        self.fetchers.follow(&partition, leader);
                    }
                    _ => self.fetchers.stop(local.id),
                }
            }
        }
        self.fetchers.flush();
        if !change.delta.brokers.is_empty() {
            // A broker that is live now may join ISRs that it waited for.
            self.tick_lagging();
        }
        if change.is_first {
            self.remove_strays();
        }
    }

    fn apply_configs(&self, change: &MetadataChange) {
        let changed = &change.delta.configs;
        let node = self.node;
        let broker = |resource: &ConfigResource| match resource {
            ConfigResource::Broker(id) => *id == node,
            ConfigResource::BrokerDefault => true,
            _ => false,
        };
        let all = changed.iter().any(broker);
        if all {
            let properties = Arc::clone(&self.properties);
            let values = BrokerValues::new(properties, &change.after, node);
            let broker = BrokerConfig::resolve(&values);
            *self.settings.write() = Settings { values, broker };
        }
        let topics: BTreeSet<&TopicName> = changed
            .iter()
            .filter_map(|resource| match resource {
                ConfigResource::Topic(name) => Some(name),
                _ => None,
            })
            .collect();
        if !all && topics.is_empty() {
            return;
        }
        let lag_max = self.settings.read().broker.replica_lag_time_max;
        for partition in self.all() {
            if all || topics.contains(partition.topic()) {
                let config = self.config_of(partition.topic(), &change.after);
                partition.set_config(config, lag_max);
            }
        }
    }

    fn config_of(&self, topic: &TopicName, image: &MetadataImage) -> Arc<PartitionConfig> {
        let settings = self.settings.read();
        let config = TopicConfig::of(topic, image, &settings.values);
        let mut config = PartitionConfig::from(&config);
        let log = Arc::make_mut(&mut config.log);
        log.producer_id_expiration_ms = settings.broker.producer_id_expiration;
        Arc::new(config)
    }

    /// Opens or makes the logs of partitions that this broker did not host before.
    fn open_logs(&self, change: &MetadataChange) {
        let local = change.local.leaders.iter().chain(&change.local.followers);
        let new: Vec<&LocalPartition> = {
            let registry = self.registry.read();
            local
                .filter(|local| !registry.by_id.contains_key(&local.id))
                .collect()
        };
        if new.is_empty() {
            return;
        }
        // Recovery reads whole segments: several partitions at once, as many as there are cores.
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = new.len().div_ceil(threads).max(8);
        let counts = parking_lot::Mutex::new(self.counts());
        std::thread::scope(|scope| {
            for share in new.chunks(share) {
                let counts = &counts;
                scope.spawn(move || {
                    for local in share {
                        let partition = self.open_log(local, &change.after, counts);
                        let mut registry = self.registry.write();
                        registry
                            .by_name
                            .insert(partition.name().clone(), Arc::clone(&partition));
                        registry.by_id.insert(local.id, Arc::clone(&partition));
                        drop(registry);
                        partition.ask_for_cleaning();
                    }
                });
            }
        });
    }

    /// Partitions in each log directory.
    fn counts(&self) -> Vec<usize> {
        let mut counts = vec![0; self.dirs.len()];
        if counts.len() == 1 {
            return counts;
        }
        for partition in self.all() {
            let dir = partition.directory();
            if let Some(at) = self.dirs.iter().position(|it| it.id == dir) {
                counts[at] += 1;
            }
        }
        counts
    }

    fn open_log(
        &self,
        local: &LocalPartition,
        image: &MetadataImage,
        counts: &parking_lot::Mutex<Vec<usize>>,
    ) -> Arc<Partition> {
        let partition = local.id.partition;
        let name = TopicPartition {
            topic: local.topic.clone(),
            partition,
        };
        let found = self
            .dirs
            .iter()
            .enumerate()
            .find_map(|(at, dir)| dir.claim(&name, local.id.topic_id).map(|found| (at, found)));
        let config = self.config_of(&local.topic, image);
        let registered = local.registration.directory(self.node);
        let (at, found) = match found {
            Some((at, found)) => (at, Some(found)),
            None => (self.choose_dir(registered, &mut counts.lock()), None),
        };
        let dir = &self.dirs[at];
        if registered != Some(dir.id) {
            self.shared.assign_dir(local.id, dir.id);
        }
        let high_watermark = found
            .as_ref()
            .map_or(Offset::ZERO, |found| found.high_watermark);
        let log = open_in(dir, &name, local.id, found, &config);
        if let Err(reason) = &log {
            tracing::error!(partition = %name, reason, "log cannot be opened");
            self.shared.dir_failed(dir.id);
        }
        let shared = Arc::clone(&self.shared);
        Partition::new(local.id, name, log, dir.id, high_watermark, config, shared)
    }

    /// The directory that the controller knows the replica in, else the emptiest that is online.
    fn choose_dir(
        &self,
        registered: Option<dohle_model::DirectoryId>,
        counts: &mut [usize],
    ) -> usize {
        let known = self.dirs.iter().position(|dir| registered == Some(dir.id));
        let at = known.unwrap_or_else(|| {
            let online = (0..self.dirs.len()).filter(|at| self.dirs[*at].offline().is_none());
            online.min_by_key(|at| counts[*at]).unwrap_or(0)
        });
        counts[at] += 1;
        at
    }

    /// Ends a replica. Its files go after `file.delete.delay.ms`, so that running reads end well.
    fn delete(&self, id: TopicIdPartition, topic: &TopicName) {
        self.fetchers.stop(id);
        let removed = {
            let mut registry = self.registry.write();
            let name = TopicPartition {
                topic: topic.clone(),
                partition: id.partition,
            };
            if registry
                .by_name
                .get(&name)
                .is_some_and(|partition| partition.id() == id)
            {
                registry.by_name.remove(&name);
            }
            registry.by_id.remove(&id)
        };
        let Some(partition) = removed else { return };
        let dir_id = partition.directory();
        let Some(log) = partition.retire() else {
            return;
        };
        let Some(dir) = self.dirs.iter().find(|dir| dir.id == dir_id) else {
            return;
        };
        log.retire();
        let delay = log.config().file_delete_delay_ms;
        dir.cleaner_offsets.lock().set(partition.name(), None);
        match dir.directory.mark_for_deletion(log.dir(), fresh_id()) {
            Ok(path) => {
                tracing::info!(partition = %partition.name(), "replica removed");
                self.delete_later(dir_id, path, delay);
            }
            Err(error) => {
                tracing::error!(partition = %partition.name(), %error, "log directory failed");
                self.shared.dir_failed(dir_id);
            }
        }
    }

    /// Puts away what lies in the log directories and belongs to no replica of this broker.
    fn remove_strays(&self) {
        for dir in &self.dirs {
            for (name, found) in dir.take_strays() {
                match dir.directory.mark_stray(&found.path, fresh_id()) {
                    Ok(path) => {
                        tracing::info!(
                            partition = %name,
                            topic_id = ?found.topic_id,
                            "removing a log that is no replica of this broker"
                        );
                        let delay = dohle_log::LogConfig::default().file_delete_delay_ms;
                        self.delete_later(dir.id, path, delay);
                    }
                    Err(error) => {
                        tracing::error!(partition = %name, %error, "log directory failed");
                        self.shared.dir_failed(dir.id);
                    }
                }
            }
        }
    }
}

fn open_in(
    dir: &Dir,
    name: &TopicPartition,
    id: TopicIdPartition,
    found: Option<Found>,
    config: &PartitionConfig,
) -> Result<Log, String> {
    if let Some(reason) = dir.offline() {
        return Err(reason);
    }
    let open = || -> Result<Log, dohle_log::StorageError> {
        // An older topic of the same name, deleted while this broker was down, is in the way.
        if let Some(other) = dir.claim_other(name) {
            let path = dir.directory.mark_for_deletion(&other.path, fresh_id())?;
            dir.directory.delete(&path)?;
        }
        let path = dir.directory.partition_path(name);
        let options = OpenOptions {
            log_start_offset: found
                .as_ref()
                .map_or(Offset::ZERO, |it| it.log_start_offset),
            recovery_point: found.as_ref().map_or(Offset::ZERO, |it| it.recovery_point),
            clean_shutdown: dir.clean,
            now: wall_clock(),
        };
        let (mut log, _) = Log::open(&path, name.clone(), Arc::clone(&config.log), options)?;
        log.set_cleaner_checkpoint(found.as_ref().and_then(|it| it.cleaner_offset));
        log.ensure_partition_metadata(id.topic_id)?;
        Ok(log)
    };
    open().map_err(|error| error.to_string())
}

/// A name that no other directory has.
fn fresh_id() -> Uuid {
    Uuid(uuid::Uuid::new_v4().into_bytes())
}
