//! Continues the moves that the last stop of the broker interrupted, with the copies that it left,
//! its own or those of Apache Kafka.

use std::sync::Arc;

use dohle_log::StorageErrorKind;
use dohle_model::TopicIdPartition;
use dohle_model::image::MetadataImage;

use super::Partitions;
use crate::partition::ClosedLog;
use crate::partitions::dirs::{Dir, Found, Identity};

impl Partitions {
    /// Continues with the copies that were found in the log directories. Blocks on the disk.
    pub(in crate::partitions) fn resume_moves(&self, image: &MetadataImage) {
        for dir in self.dirs.iter().filter(|dir| dir.offline().is_none()) {
            for (name, copy) in dir.take_futures() {
                let Identity::Known(topic_id) = copy.identity else {
                    tracing::info!(
                        path = %copy.path.display(),
                        "kept a copy of a replica that has no partition.metadata"
                    );
                    continue;
                };
                let id = TopicIdPartition {
                    topic_id,
                    partition: name.partition,
                };
                match self.get(&id) {
                    Some(partition) if partition.offline().is_some() => tracing::info!(
                        partition = %name, path = %copy.path.display(),
                        "kept the copy of a replica that is offline"
                    ),
                    Some(partition) if partition.directory() != dir.id && !self.is_moving(&id) => {
                        self.resume_move(partition, dir, copy);
                    }
                    // A second copy, or one in the replica's own directory.
                    Some(_) => self.delete_copy(dir.id, &copy.path),
                    None if self.was_removed(&name, &id, image) => {
                        self.delete_copy(dir.id, &copy.path);
                    }
                    None => tracing::info!(
                        partition = %name, %topic_id, path = %copy.path.display(),
                        "kept a copy of a replica that this broker does not have"
                    ),
                }
            }
        }
    }

    fn resume_move(&self, partition: Arc<crate::partition::Partition>, dir: &Dir, copy: Found) {
        let known = ClosedLog {
            high_watermark: copy.high_watermark,
            recovery_point: copy.recovery_point,
            log_start_offset: copy.log_start_offset,
            cleaner_offset: None,
            is_clean: dir.clean,
        };
        let name = partition.name().clone();
        match self.start_move(partition, dir, copy.path.clone(), known) {
            Ok(()) => {}
            // The start that finds free descriptors continues with it.
            Err(error) if error.kind() == StorageErrorKind::Shortage => {
                tracing::warn!(partition = %name, %error, "the move of a replica is not continued");
            }
            Err(error) => {
                tracing::warn!(
                    partition = %name, %error,
                    "the copy of a replica that was to be moved cannot be opened and is deleted"
                );
                self.delete_copy(dir.id, &copy.path);
            }
        }
    }

    fn is_moving(&self, id: &TopicIdPartition) -> bool {
        self.moves.get(id).is_some()
    }

    /// Whether a committed record removed the replica that a copy was made of.
    fn was_removed(
        &self,
        name: &dohle_model::TopicPartition,
        id: &TopicIdPartition,
        image: &MetadataImage,
    ) -> bool {
        let registration = image.partition(id);
        let is_replica = registration.is_some_and(|it| it.replicas.contains(&self.node));
        let was_known = |dir: &Dir| dir.was_known(name, id.topic_id, image);
        !is_replica && self.dirs.iter().any(was_known)
    }
}
