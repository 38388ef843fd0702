//! What moves change in the choice of the directory in which a log is opened.

use dohle_model::{TopicIdPartition, TopicPartition};

use super::Partitions;
use crate::partitions::copies::{Choice, Copy};
use crate::partitions::dirs::{Dir, Found};
use crate::partitions::strays::fresh_id;

impl Partitions {
    /// Creates a new log in the directory that was requested for it, if that is online.
    pub(in crate::partitions) fn as_wished(&self, choice: Choice, name: &TopicPartition) -> Choice {
        let wish = self.moves.take_wish(name);
        let is_wished = |dir: &Dir| Some(dir.id) == wish && dir.offline().is_none();
        match (&choice, self.dirs.iter().position(is_wished)) {
            (Choice::Create(_), Some(at)) => Choice::Create(at),
            _ => choice,
        }
    }

    /// Deletes the log that a copy has replaced, when a crash came between the two steps.
    pub(in crate::partitions) fn delete_replaced(
        &self,
        name: &TopicPartition,
        id: TopicIdPartition,
        found: Option<&Found>,
    ) {
        let from = found.and_then(|found| found.replaces);
        let is_old = |dir: &&Dir| Some(dir.id) == from && dir.offline().is_none();
        let Some(dir) = self.dirs.iter().find(is_old) else {
            return;
        };
        if dir.copy(name, id.topic_id, false) != Copy::Usable {
            return;
        }
        let Some(old) = dir.claim(name) else { return };
        match dir.directory.mark_for_deletion(&old.path, fresh_id()) {
            Ok(path) => {
                dir.note_removed(name);
                let delay = dohle_log::LogConfig::default().file_delete_delay_ms;
                self.delete_later(dir.id, path, delay);
            }
            Err(error) => self.fail_dir(dir, &error),
        }
    }

    /// Makes the copy of a replica that was being moved the replica's log, because there is no
    /// other.
    pub(in crate::partitions) fn promote(
        &self,
        dir: &Dir,
        name: &TopicPartition,
        id: TopicIdPartition,
    ) -> Option<Found> {
        let promoted = dir.promote(name, id.topic_id);
        let promoted = promoted.map_err(|error| self.fail_dir(dir, &error));
        tracing::warn!(
            partition = %name, dir = %dir.directory.path().display(),
            "the replica was being moved to this directory, and its log is in none of log.dirs: \
             the copy is used, which may lack the newest records"
        );
        promoted.ok().flatten()
    }
}
