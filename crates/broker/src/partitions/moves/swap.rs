//! Ends moves: swaps the logs, or gives the copy up.

use std::sync::Arc;

use dohle_log::directory::Checkpoint;
use dohle_log::{Log, StorageErrorKind};
use dohle_model::{DirectoryId, Offset};

use super::outcome::{MoveEnd, Progress, StepFailure};
use super::{Move, MoveWork, Partitions};
use crate::partition::dir_move::{SwapOutcome, SwapRequest};
use crate::partitions::dirs::{forget_replaced, note_replaced};
use crate::partitions::strays::fresh_id;
use crate::partitions::wall_clock;

/// All checkpoints that a partition is in.
const CHECKPOINTS: [Checkpoint; 3] = [
    Checkpoint::HighWatermark,
    Checkpoint::RecoveryPoint,
    Checkpoint::LogStartOffset,
];

impl Partitions {
    /// Puts the copy in the place of the replica's log, if nothing is missing in it.
    pub(super) fn swap(
        &self,
        running: &Arc<Move>,
        work: &mut MoveWork,
    ) -> Result<Progress, StepFailure> {
        // Changes of the metadata may remove the replica. They are not held up.
        let (Some(_following), Some(to)) = (
            self.following.try_lock(),
            self.dirs.iter().find(|dir| dir.id == running.to),
        ) else {
            return Ok(Progress::Waits);
        };
        let now = wall_clock();
        let partition = &running.partition;
        let Some(copy) = &mut work.copy else {
            return Ok(Progress::Waits);
        };
        if copy.log_start_offset() == copy.log_end_offset() {
            // Without records the copy has got no producers yet.
            let start = copy.log_start_offset();
            let Some(producers) = partition.producers_below(start, now)? else {
                return Ok(Progress::Waits);
            };
            if !producers.is_empty() {
                copy.begin_copy_at(start, producers, now)?;
            }
        }
        // Most of the copy is on the disk, and in the checkpoints of its directory, before the
        // lock is taken.
        copy.flush(now)?;
        running.show(copy, partition.positions().high_watermark);
        if partition.is_log_start_lost() {
            to.note_unknown_start(partition.name());
        }
        self.write_checkpoints(&CHECKPOINTS);
        let path = to.directory.partition_path(partition.name());
        self.clear_path(to, partition.name(), &path, &self.shared.image())?;
        let checkpointed_start = copy.log_start_offset();
        let Some(copy) = work.copy.take() else {
            return Ok(Progress::Waits);
        };
        note_replaced(&running.path, running.from);
        let request = SwapRequest {
            copy,
            from: running.from,
            to: running.to,
            path: &path,
            checkpointed_start,
            cleaned_to: work.cleaned_to,
            now,
        };
        match partition.swap_log(request) {
            SwapOutcome::NotYet(copy) => {
                work.copy = Some(copy);
                work.progress.on_not_swapped();
                Ok(Progress::Waits)
            }
            SwapOutcome::Failed(error) => {
                // A start must not find the copy under the name of the partition.
                if path.exists() {
                    self.delete_copy(running.to, &path);
                }
                Err(error.into())
            }
            SwapOutcome::Swapped(old) => {
                self.on_swapped(running, work, &old);
                Ok(Progress::Made)
            }
        }
    }

    /// Completes a swap: the directories and the controller learn of it, and the old log is deleted
    /// later, when running reads have ended.
    fn on_swapped(&self, running: &Arc<Move>, work: &MoveWork, old: &Log) {
        let (name, id) = (running.partition.name(), running.partition.id());
        self.moves.running.lock().remove(&id);
        let image = self.shared.image();
        for dir in &self.dirs {
            if dir.id == running.to {
                dir.note_opened(name, id.topic_id);
                dir.on_applied(image.position());
                dir.cleaner_offsets.lock().set(name, work.cleaned_to);
            } else if dir.id == running.from {
                dir.note_removed(name);
                dir.cleaner_offsets.lock().set(name, None);
                match dir.directory.mark_for_deletion(old.dir(), fresh_id()) {
                    Ok(path) => {
                        let log = self.dirs.iter().find(|dir| dir.id == running.to);
                        if let Some(to) = log {
                            forget_replaced(&to.directory.partition_path(name));
                        }
                        self.delete_later(dir.id, path, old.config().file_delete_delay_ms);
                    }
                    Err(error) => self.fail_dir(dir, &error),
                }
            }
        }
        self.applied_changed.notify_one();
        self.write_checkpoints(&CHECKPOINTS);
        // The metadata may have changed since the swap was decided.
        self.assign_if_other(running, running.to);
        tracing::info!(
            partition = %name,
            from = %self.path_of(running.from).display(),
            to = %self.path_of(running.to).display(),
            log_end_offset = %running.partition.positions().log_end_offset,
            "replica moved to another log directory"
        );
    }

    /// Ends a move without a swap.
    pub(super) fn end_move(&self, running: &Arc<Move>, end: MoveEnd) {
        // Waits for a step that is being made.
        let mut work = running.work.lock();
        let id = running.partition.id();
        {
            let mut all = self.moves.running.lock();
            if all.get(&id).is_some_and(|it| Arc::ptr_eq(it, running)) {
                all.remove(&id);
            }
        }
        let copy = work.copy.take();
        let is_swapped = running.partition.directory() == running.to;
        if is_swapped {
            return;
        }
        if let Some(copy) = &copy {
            copy.retire();
        }
        drop(copy);
        let name = running.partition.name();
        let to = self.path_of(running.to).display();
        let is_kept = match &end {
            MoveEnd::Cancelled => {
                tracing::info!(partition = %name, %to, "move of a replica cancelled");
                false
            }
            MoveEnd::Removed => false,
            MoveEnd::TargetFailed(reason) | MoveEnd::CopyFailed(reason) => {
                tracing::error!(
                    partition = %name, %to, reason,
                    "move of a replica ended: its copy failed, and the replica stays where it is"
                );
                matches!(end, MoveEnd::TargetFailed(_))
            }
            MoveEnd::SourceFailed => true,
        };
        if !is_kept {
            self.delete_copy(running.to, &running.path);
        }
        if work.progress.has_asked() && !matches!(end, MoveEnd::Removed) {
            // The promise, or the request for it, is taken back.
            self.shared.assign_dir(id, running.from);
        }
    }

    /// Deletes a copy that no move uses. A failure leaves it to the next start.
    pub(super) fn delete_copy(&self, dir: DirectoryId, path: &std::path::Path) {
        let Some(dir) = self.dirs.iter().find(|it| it.id == dir) else {
            return;
        };
        let deleted = dir.directory.mark_for_deletion(path, fresh_id());
        match deleted.and_then(|path| dir.directory.delete(&path)) {
            Err(error) if error.kind() == StorageErrorKind::Device => self.fail_dir(dir, &error),
            Err(error) => tracing::warn!(%error, "copy of a replica cannot be deleted"),
            Ok(()) => {}
        }
    }

    /// Ends the move of a replica that is removed from this broker.
    pub(in crate::partitions) fn end_move_of_removed(&self, id: &dohle_model::TopicIdPartition) {
        if let Some(running) = self.moves.get(id) {
            self.end_move(&running, MoveEnd::Removed);
        }
    }

    /// Ends the moves from and to a directory that failed.
    pub(in crate::partitions) fn end_moves_of(&self, failed: DirectoryId, reason: &str) {
        for running in self.moves.all() {
            if running.to == failed {
                self.end_move(&running, MoveEnd::TargetFailed(reason.to_owned()));
            } else if running.from == failed {
                self.end_move(&running, MoveEnd::SourceFailed);
            }
        }
    }

    /// Takes the copies for a clean shutdown, with their directories, high watermarks and log
    /// starts. The next start continues with them.
    pub(in crate::partitions) fn take_copies(&self) -> Vec<(DirectoryId, Log, [Offset; 2])> {
        let mut copies = Vec::new();
        for running in self.moves.all() {
            let copy = running.work.lock().copy.take();
            let Some(copy) = copy.filter(|copy| !copy.is_failed()) else {
                continue;
            };
            let high_watermark = running.shown.lock().high_watermark;
            let offsets = [high_watermark, copy.log_start_offset()];
            copies.push((running.to, *copy, offsets));
        }
        copies
    }

    /// Reports the directory of a replica if the metadata have another one.
    fn assign_if_other(&self, running: &Move, dir: DirectoryId) {
        if running.partition.registered_dir() != Some(dir) {
            self.shared.assign_dir(running.partition.id(), dir);
        }
    }
}
