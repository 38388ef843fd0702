//! Applies changes of the metadata: adds and removes partitions, and changes their roles.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dohle_config::{BrokerValues, DynamicBrokerConfig, TopicConfig};
use dohle_log::{Checkpoint, Log, OpenOptions, StorageError, StorageErrorKind};
use dohle_model::delta::LocalPartition;
use dohle_model::image::MetadataImage;
use dohle_model::partition::PartitionRegistration;
use dohle_model::record::ConfigResource;
use dohle_model::{DirectoryId, Offset, TopicId, TopicIdPartition, TopicName, TopicPartition};

use super::copies::{self, Choice, Place};
use super::dirs::{Dir, Found};
use super::strays::fresh_id;
use super::{CurrentConfig, Partitions, wall_clock};
use crate::metadata::{LocalReplicas, MetadataChange};
use crate::partition::{ClosedLog, Partition, PartitionConfig};

/// Lets the metadata feed apply changes to the registry.
#[derive(Debug, Clone)]
pub struct LocalPartitions(pub Arc<Partitions>);

impl LocalReplicas for LocalPartitions {
    async fn apply(&self, change: &MetadataChange) {
        let (partitions, change) = (Arc::clone(&self.0), change.clone());
        let applying = tokio::task::spawn_blocking(move || {
            let waits = partitions.awaits_stray_decision(&change);
            if !waits {
                partitions.apply_change(&change);
            }
            waits
        });
        match applying.await {
            Ok(false) => {}
            // The broker stays fenced, because the image is never published.
            Ok(true) => std::future::pending().await,
            // A panic must not count as an applied change.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

impl Partitions {
    /// Applies a change of the metadata. Blocks on the disk where it opens or deletes logs.
    pub fn apply_change(&self, change: &MetadataChange) {
        let _following = self.following.lock();
        self.shared.set_image(&change.after);
        self.apply_configs(change);
        if change.is_first {
            self.begin_use();
        }
        // Partitions that are missing in the metadata of another quorum, or of one that lost its
        // data, were not deleted.
        let position = change.before.position();
        let continues = position.is_none_or(|position| change.after.continues(position));
        for (id, name) in &change.local.deletes {
            self.delete(*id, name, continues);
        }
        self.open_logs(change);
        if !change.local.deletes.is_empty() {
            // A new partition of the same name must not start from the offsets of the old one.
            self.write_checkpoints(&[
                Checkpoint::HighWatermark,
                Checkpoint::RecoveryPoint,
                Checkpoint::LogStartOffset,
            ]);
        }
        let lag_max = self.config.replica_lag_time_max;
        self.replicator.set_image(&change.after);
        for local in &change.local.leaders {
            if let Some(partition) = self.get(&local.id) {
                self.lead(&partition, &local.registration, lag_max);
            }
        }
        for local in &change.local.followers {
            if let Some(partition) = self.get(&local.id) {
                self.follow(&partition, &local.registration);
            }
        }
        self.replicator.flush();
        if !change.delta.brokers.is_empty() {
            // A broker that is unfenced now may join the ISRs that wait for it.
            self.on_brokers_changed();
        }
        if change.is_first {
            self.put_strays_away(&change.after);
            self.resume_moves(&change.after);
        }
        self.on_applied(change);
    }

    pub(super) fn lead(
        &self,
        partition: &Partition,
        registration: &PartitionRegistration,
        lag_max: Duration,
    ) {
        self.replicator.stop(partition.id());
        partition.become_leader(registration, lag_max);
        self.replicator.on_became_leader(partition.id());
    }

    pub(super) fn follow(&self, partition: &Arc<Partition>, registration: &PartitionRegistration) {
        if partition.become_follower(registration) {
            match registration.leader {
                Some(leader) if leader != self.node => self.replicator.follow(partition, leader),
                _ => self.replicator.stop(partition.id()),
            }
        }
    }

    /// Notes the metadata offset up to which changes were applied to the replicas.
    fn on_applied(&self, change: &MetadataChange) {
        let position = change.after.position();
        let mut changed = false;
        for dir in self.dirs.iter().filter(|dir| dir.offline().is_none()) {
            changed |= dir.on_applied(position);
        }
        if change.is_first {
            self.write_applied();
        } else if changed {
            self.applied_changed.notify_one();
        }
    }

    /// Writes the metadata offset up to which changes were applied. Blocks on the disk.
    pub(super) fn write_applied(&self) {
        for dir in self.dirs.iter().filter(|dir| dir.offline().is_none()) {
            if let Err(error) = dir.write_applied() {
                self.fail_dir(dir, &error);
            }
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
            let dynamic = DynamicBrokerConfig::resolve(&values);
            self.shared.set_throttles(&dynamic);
            self.moves.set_limit(dynamic.alter_log_dirs_rate);
            *self.settings.write() = CurrentConfig { values, dynamic };
        }
        if all || change.is_first {
            self.cordon();
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
        let lag_max = self.config.replica_lag_time_max;
        for partition in self.all() {
            if all || topics.contains(partition.topic()) {
                let config = self.config_of(partition.topic(), &change.after);
                partition.set_config(config, lag_max);
            }
        }
    }

    pub(super) fn config_of(
        &self,
        topic: &TopicName,
        image: &MetadataImage,
    ) -> Arc<PartitionConfig> {
        let settings = self.settings.read();
        let config = TopicConfig::of(topic, image, &settings.values);
        let mut config = PartitionConfig::from(&config);
        let log = Arc::make_mut(&mut config.log);
        log.producer_id_expiration_ms = settings.dynamic.producer_id_expiration;
        log.transaction_verification = settings.dynamic.transaction_partition_verification_enable;
        Arc::new(config)
    }

    /// Opens or creates the logs of partitions that are new on this broker.
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
        // Recovery reads whole segments, so as many logs are opened at a time as there are cores.
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = new.len().div_ceil(threads).max(8);
        let counts = parking_lot::Mutex::new(self.counts());
        std::thread::scope(|scope| {
            for share in new.chunks(share) {
                let counts = &counts;
                scope.spawn(move || {
                    for local in share {
                        let partition = self.open_log(local, change, counts);
                        let mut registry = self.registry.write();
                        registry
                            .by_name
                            .insert(partition.name().clone(), Arc::clone(&partition));
                        let before = registry.by_id.insert(local.id, Arc::clone(&partition));
                        drop(registry);
                        assert!(before.is_none(), "partition {} was opened twice", local.id);
                        partition.ask_for_cleaning();
                    }
                });
            }
        });
    }

    /// Counts the partitions in each log directory.
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
        change: &MetadataChange,
        counts: &parking_lot::Mutex<Vec<usize>>,
    ) -> Arc<Partition> {
        let partition = local.id.partition;
        let name = TopicPartition {
            topic: local.topic.clone(),
            partition,
        };
        let config = self.config_of(&local.topic, &change.after);
        let registered = local.registration.directory(self.node);
        let registered = registered.filter(|id| *id != DirectoryId::UNASSIGNED);
        let choice = {
            let mut counts = counts.lock();
            let places = self.places(&name, local.id.topic_id, registered, &counts);
            let unreadable = self.offline_dirs.first().map(|dir| dir.path.as_path());
            let choice = copies::choose(registered, &places, unreadable, change.is_first);
            let choice = self.as_wished(choice, &name);
            if let Choice::Create(at) = choice {
                counts[at] += 1;
            }
            choice
        };
        // Whether the metadata name the directory to which the replica was being moved.
        let is_interrupted = self
            .dirs
            .iter()
            .any(|dir| registered == Some(dir.id) && dir.has_future(&name, local.id.topic_id));
        let (at, found) = match choice {
            Choice::Use(at) => {
                let found = self.dirs[at].claim(&name);
                self.delete_replaced(&name, local.id, found.as_ref());
                (at, found)
            }
            Choice::Create(at) => (at, None),
            Choice::Promote(at) => (at, self.promote(&self.dirs[at], &name, local.id)),
            Choice::Offline(at, reason) => {
                if is_interrupted {
                    self.shared.assign_dir(local.id, self.dirs[at].id);
                }
                tracing::error!(partition = %name, reason, "replica is offline");
                // Existing files stay as they are.
                for dir in &self.dirs {
                    dir.claim(&name);
                }
                let (dir, shared) = (self.dirs[at].id, Arc::clone(&self.shared));
                return Partition::new(
                    local.id,
                    name,
                    Err(reason),
                    dir,
                    Offset::ZERO,
                    config,
                    shared,
                );
            }
        };
        let dir = &self.dirs[at];
        if registered != Some(dir.id) && !is_interrupted {
            if let (Some(other), true) = (registered, found.is_some()) {
                tracing::warn!(
                    partition = %name, dir = %dir.directory.path().display(),
                    "the metadata name the directory with id {other}, but the only copy of the \
                     replica is in this one: it is used"
                );
            }
            self.shared.assign_dir(local.id, dir.id);
        }
        let high_watermark = found
            .as_ref()
            .map_or(Offset::ZERO, |found| found.high_watermark);
        let log_start_lost = found.as_ref().is_some_and(|found| found.log_start_lost);
        let log = self.open_in(dir, &name, local.id, found, &config, &change.after);
        if log.is_ok() {
            dir.note_opened(&name, local.id.topic_id);
        }
        let shared = Arc::clone(&self.shared);
        let partition = Partition::new(local.id, name, log, dir.id, high_watermark, config, shared);
        if log_start_lost {
            partition.on_log_start_lost();
        }
        partition
    }

    /// Returns what each log directory contains of a partition.
    fn places(
        &self,
        name: &TopicPartition,
        topic_id: TopicId,
        registered: Option<DirectoryId>,
        counts: &[usize],
    ) -> Vec<Place> {
        let dirs = self.dirs.iter().zip(counts);
        dirs.map(|(dir, replicas)| Place {
            id: dir.id,
            path: dir.directory.path().display().to_string(),
            offline: dir.offline(),
            copy: dir.copy(name, topic_id, registered == Some(dir.id)),
            replicas: *replicas,
            is_cordoned: self.is_cordoned(dir.id),
        })
        .collect()
    }

    fn open_in(
        &self,
        dir: &Dir,
        name: &TopicPartition,
        id: TopicIdPartition,
        found: Option<Found>,
        config: &PartitionConfig,
        image: &MetadataImage,
    ) -> Result<Log, String> {
        if let Some(reason) = dir.offline() {
            return Err(reason);
        }
        let offset = |of: fn(&Found) -> Offset| found.as_ref().map_or(Offset::ZERO, of);
        let closed = ClosedLog {
            high_watermark: offset(|found| found.high_watermark),
            recovery_point: offset(|found| found.recovery_point),
            log_start_offset: offset(|found| found.log_start_offset),
            cleaner_offset: found.as_ref().and_then(|found| found.cleaner_offset),
            is_clean: dir.clean,
        };
        let cleared = match found {
            Some(_) => Ok(()),
            None => self.clear_path(dir, name, &dir.directory.partition_path(name), image),
        };
        cleared
            .and_then(|()| self.open_log_in(dir, name, id, &closed, config))
            .map_err(|error| {
                match error.kind() {
                    StorageErrorKind::Damage => {
                        tracing::error!(partition = %name, %error, "log cannot be opened");
                    }
                    StorageErrorKind::Shortage | StorageErrorKind::Full => {
                        tracing::warn!(
                            partition = %name, %error,
                            "log cannot be opened for lack of resources; it is tried again later"
                        );
                        self.shared.closed_logs.add(id, closed);
                        self.fail_dir(dir, &error);
                    }
                    StorageErrorKind::Device => self.fail_dir(dir, &error),
                }
                error.to_string()
            })
    }

    pub(super) fn open_log_in(
        &self,
        dir: &Dir,
        name: &TopicPartition,
        id: TopicIdPartition,
        known: &ClosedLog,
        config: &PartitionConfig,
    ) -> Result<Log, StorageError> {
        let path = dir.directory.partition_path(name);
        self.open_log_at(dir, &path, name, id, known, config)
    }

    /// Opens or creates a log at a path in a log directory.
    pub(super) fn open_log_at(
        &self,
        dir: &Dir,
        path: &Path,
        name: &TopicPartition,
        id: TopicIdPartition,
        known: &ClosedLog,
        config: &PartitionConfig,
    ) -> Result<Log, StorageError> {
        let options = OpenOptions {
            log_start_offset: known.log_start_offset,
            recovery_point: known.recovery_point,
            clean_shutdown: known.is_clean,
            now: wall_clock(),
        };
        let open_files = Arc::clone(&self.shared.open_files);
        let config = Arc::clone(&config.log);
        let (mut log, _) = Log::open_with(path, name.clone(), config, options, open_files)?;
        log.set_cleaner_checkpoint(known.cleaner_offset);
        match log.ensure_partition_metadata(id.topic_id) {
            // A registered replica is identified without this file, which is written once there
            // is space.
            Err(error) if error.kind() == StorageErrorKind::Full => {
                self.shared.space.on_refused_write(dir.id);
            }
            ensured => drop(ensured?),
        }
        Ok(log)
    }

    /// Renames an existing directory at the path of a new log: it belonged to an earlier topic of
    /// the same name.
    pub(super) fn clear_path(
        &self,
        dir: &Dir,
        name: &TopicPartition,
        path: &Path,
        image: &MetadataImage,
    ) -> Result<(), StorageError> {
        match dir.claim(name) {
            Some(other) => self.put_away(dir, name, &other, image),
            None if path.exists() => self.put_away(dir, name, &Found::left(path)?, image),
            None => Ok(()),
        }
    }

    /// Removes a replica. Its files are deleted after `file.delete.delay.ms`, so that running reads
    /// can end.
    /// `continues` is whether a committed record removed it; otherwise the files are kept as a
    /// stray.
    fn delete(&self, id: TopicIdPartition, topic: &TopicName, continues: bool) {
        self.replicator.stop(id);
        self.end_move_of_removed(&id);
        let name = TopicPartition {
            topic: topic.clone(),
            partition: id.partition,
        };
        let removed = {
            let mut registry = self.registry.write();
            if registry
                .by_name
                .get(&name)
                .is_some_and(|partition| partition.id() == id)
            {
                registry.by_name.remove(&name);
            }
            registry.by_id.remove(&id)
        };
        self.shared.closed_logs.remove(&id);
        let Some(partition) = removed else { return };
        let dir_id = partition.directory();
        let log = partition.retire();
        let Some(dir) = self.dirs.iter().find(|dir| dir.id == dir_id) else {
            return;
        };
        if dir.offline().is_some() {
            // When the directory is online again, its own record of partitions decides.
            return;
        }
        let path = dir.directory.partition_path(&name);
        if log.is_none() && !is_topics(&path, id.topic_id) {
            return;
        }
        let config = log.as_ref().map(|log| Arc::clone(log.config()));
        if let Some(log) = &log {
            log.retire();
        }
        dir.cleaner_offsets.lock().set(&name, None);
        let put = if continues {
            dir.directory.mark_for_deletion(&path, fresh_id())
        } else {
            dir.directory.mark_stray(&path, fresh_id())
        };
        match put {
            Ok(path) if continues => {
                tracing::info!(partition = %name, "replica removed");
                let delay = config.unwrap_or_default().file_delete_delay_ms;
                self.delete_later(dir_id, path, delay);
            }
            Ok(path) => {
                tracing::warn!(
                    partition = %name, path = %path.display(),
                    "kept as a stray: the metadata are of another history than before, and do not \
                     contain this partition"
                );
            }
            Err(error) => self.fail_dir(dir, &error),
        }
        dir.note_removed(&name);
    }
}

/// Whether a partition's directory exists and belongs to this topic.
fn is_topics(path: &Path, id: TopicId) -> bool {
    dohle_log::partition_metadata::read(path).is_ok_and(|found| found == Some(id))
}
