//! Partitions on the disk that the metadata do not contain.
//!
//! Absence from the metadata alone deletes nothing. If this broker hosted the partition at an
//! earlier metadata offset, and the present metadata continue from that offset, a committed record
//! removed the partition: it is deleted. Every other partition is a stray: renamed, kept, and
//! reported at each start.
//!
//! A broker whose partitions are all unknown to its quorum may be connected to the wrong quorum, or
//! the quorum lost its data. It renames nothing and waits for an operator.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use dohle_log::directory::{StrayDecision, strays};
use dohle_log::{StorageError, StorageErrorKind};
use dohle_model::image::MetadataImage;
use dohle_model::{TopicIdPartition, TopicPartition, Uuid};

use super::Partitions;
use super::dirs::{Dir, Found, Identity};
use crate::metadata::MetadataChange;

/// The pause before a file operation is tried again that failed for lack of resources.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(100);

/// The fate of a partition's directory that no replica uses.
enum PutAway {
    /// To be deleted, at this path.
    Deleted(PathBuf),
    /// Kept as a stray, at this path.
    Stray(PathBuf),
}

impl Partitions {
    /// Whether this broker has partitions of which the quorum has never held one. Such a broker
    /// must not follow the metadata, and so stays fenced, until an operator decides. Only for the
    /// first change of the process. Blocks on the disk.
    #[must_use]
    pub fn awaits_stray_decision(&self, change: &MetadataChange) -> bool {
        if !change.is_first {
            return false;
        }
        let image = &change.after;
        let mut foreign = Vec::new();
        for dir in self.dirs.iter().filter(|dir| dir.offline().is_none()) {
            let unclaimed = dir.unclaimed();
            let is_held = |(name, identity): &(TopicPartition, Identity)| match identity {
                Identity::Known(topic_id) => image.topics.contains_key(topic_id),
                _ => image.topic(name.topic.as_str()).is_some(),
            };
            if dir.knows_history(image) || unclaimed.iter().any(is_held) {
                return false;
            }
            match dir.directory.stray_decision() {
                Ok(Some(StrayDecision::Adopted)) => {}
                Ok(_) if unclaimed.is_empty() => {}
                Ok(_) => foreign.push((dir, unclaimed.len())),
                Err(error) => self.fail_dir(dir, &error),
            }
        }
        for (dir, count) in &foreign {
            // Before the log line: an operator who reads the line may stop the node at once and
            // list its strays.
            let pending = Some(StrayDecision::Pending);
            if let Err(error) = dir.directory.set_stray_decision(pending) {
                self.fail_dir(dir, &error);
            }
            tracing::error!(
                dir = %dir.directory.path().display(),
                partitions = count,
                "none of this broker's partitions was ever known to its quorum: the broker stays \
                 fenced and changes nothing. If it is connected to the wrong controllers, or they \
                 lost their data, correct that. Otherwise stop it, look at `dohle storage strays \
                 list --config FILE`, and decide with `strays adopt` (keep the partitions as \
                 strays and join this cluster) or `strays delete`"
            );
        }
        !foreign.is_empty()
    }

    /// Marks the log directories as in use. Blocks on the disk.
    pub(super) fn begin_use(&self) {
        for dir in self.dirs.iter().filter(|dir| dir.offline().is_none()) {
            // Without this a directory that is in use would count as cleanly shut down after a
            // crash.
            while let Err(error) = dir.begin_use() {
                self.fail_dir(dir, &error);
                if error.kind() != StorageErrorKind::Shortage {
                    break;
                }
                std::thread::sleep(SHORTAGE_PAUSE);
            }
        }
    }

    /// Renames the directories of partitions that are not replicas of this broker, and reports the
    /// strays. Blocks on the disk.
    pub(super) fn put_strays_away(&self, image: &MetadataImage) {
        for dir in self.dirs.iter().filter(|dir| dir.offline().is_none()) {
            for (name, _) in dir.unclaimed() {
                let Some(found) = dir.claim(&name) else {
                    continue;
                };
                if let Err(error) = self.put_away(dir, &name, &found, image) {
                    self.fail_dir(dir, &error);
                    break;
                }
            }
            self.report_strays(dir);
        }
    }

    /// Renames the directory of a partition that is not used: for deletion if a committed record
    /// removed the replica, otherwise as a stray.
    pub(super) fn put_away(
        &self,
        dir: &Dir,
        name: &TopicPartition,
        found: &Found,
        image: &MetadataImage,
    ) -> Result<(), StorageError> {
        let topic_id = match &found.identity {
            Identity::Known(id) => Some(*id),
            _ => None,
        };
        let id = topic_id.map(|topic_id| TopicIdPartition {
            topic_id,
            partition: name.partition,
        });
        let is_replica = |id: &TopicIdPartition| {
            let registration = image.partition(id);
            registration.is_some_and(|it| it.replicas.contains(&self.node))
        };
        let removed =
            id.is_some_and(|id| !is_replica(&id) && dir.was_known(name, id.topic_id, image));
        let shown_id = topic_id.map(|id| id.to_string()).unwrap_or_default();
        let put = if removed {
            let path = dir.directory.mark_for_deletion(&found.path, fresh_id())?;
            PutAway::Deleted(path)
        } else {
            PutAway::Stray(dir.directory.mark_stray(&found.path, fresh_id())?)
        };
        dir.note_removed(name);
        dir.cleaner_offsets.lock().set(name, None);
        match put {
            PutAway::Deleted(path) => {
                tracing::info!(
                    partition = %name, topic_id = shown_id,
                    "replica removed: its topic was deleted, or it was moved to other brokers"
                );
                let delay = dohle_log::LogConfig::default().file_delete_delay_ms;
                self.delete_later(dir.id, path, delay);
            }
            PutAway::Stray(path) => {
                let why = match id.and_then(|id| self.get(&id)) {
                    Some(used) => format!(
                        "the replica is in the directory with id {}; this is a second copy",
                        used.directory()
                    ),
                    None => "no partition of this broker has its topic id".to_owned(),
                };
                tracing::info!(
                    partition = %name, topic_id = shown_id, path = %path.display(),
                    "kept as a stray: {why}"
                );
            }
        }
        Ok(())
    }

    /// Warns of the strays of a directory, old and new.
    fn report_strays(&self, dir: &Dir) {
        let path = dir.directory.path();
        match strays(path) {
            Ok(strays) if strays.is_empty() => {}
            Ok(strays) => {
                let mut topics: BTreeMap<String, usize> = BTreeMap::new();
                for stray in &strays {
                    *topics
                        .entry(stray.topic_partition.topic.to_string())
                        .or_default() += 1;
                }
                let first: Vec<String> = topics.keys().take(5).cloned().collect();
                tracing::warn!(
                    dir = %path.display(),
                    partitions = strays.len(),
                    bytes = strays.iter().map(|stray| stray.size).sum::<u64>(),
                    topics = first.join(","),
                    "stray partitions are kept: no committed record is known to have deleted them; \
                     see `dohle storage strays list --config FILE`, then `strays adopt` or \
                     `strays delete`"
                );
            }
            Err(error) => tracing::warn!(%error, "stray partitions cannot be listed"),
        }
    }

    /// Takes a log directory offline because a file operation in it failed. After a lack of space,
    /// descriptors or memory the directory stays online, and the operation is repeated later.
    pub(super) fn fail_dir(&self, dir: &Dir, error: &StorageError) {
        match error.kind() {
            StorageErrorKind::Full => {
                tracing::debug!(%error, "no space in the log directory");
                return self.shared.space.on_refused_write(dir.id);
            }
            StorageErrorKind::Shortage => {
                let dir = dir.directory.path().display();
                tracing::warn!(%dir, %error, "file operation failed for lack of resources");
                return;
            }
            StorageErrorKind::Device | StorageErrorKind::Damage => {}
        }
        tracing::error!(%error, "log directory failed");
        dir.take_offline(&error.to_string());
        self.shared.dir_failed(dir.id);
    }
}

/// Returns a name that no other directory uses.
pub(super) fn fresh_id() -> Uuid {
    Uuid(uuid::Uuid::new_v4().into_bytes())
}
