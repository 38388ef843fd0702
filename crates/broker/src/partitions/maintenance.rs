//! Background work on partitions: ISR ticks, flushes, checkpoints, retention, deletions, failed
//! directories. Each kind of work has a list of the partitions that need it. Only retention, the
//! expiry of producers and the checkpoints visit all partitions, at intervals of seconds to
//! minutes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dohle_config::BrokerConfig;
use dohle_log::directory::Checkpoint;
use dohle_log::{Log, StorageError, StorageErrorKind};
use dohle_model::{BrokerEpoch, DirectoryId, Offset, TopicIdPartition, TopicPartition};
use tokio::sync::Notify;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::dirs::Dir;
use super::in_blocking::run_blocking;
use super::{
    ControllerLink, Partitions, cleaner, isr, moves, reopen, repair, scrub, space, wall_clock,
};
use crate::partition::shared::PartitionContext;
use crate::partition::{Deleted, Partition};

/// The shortest interval between two visits of the lagging partitions.
const TICK_MIN: Duration = Duration::from_millis(50);
const TICK_MAX: Duration = Duration::from_millis(500);
/// The interval at which logs with `flush.ms` are examined.
const TIMED_FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// The most workers that move replicas between log directories.
const MOVE_WORKERS_MAX: usize = 64;

/// How long the write of the metadata position waits for further changes of partitions.
const APPLIED_INTERVAL: Duration = Duration::from_secs(1);

/// Starts the background tasks. They hold no strong reference and end with the registry.
pub(super) fn spawn(partitions: &Arc<Partitions>, controller: &Arc<dyn ControllerLink>) {
    let weak = Arc::downgrade(partitions);
    let shared = Arc::clone(&partitions.shared);
    let mut tasks = partitions.tasks.lock();
    tasks.spawn(isr::alter_isr_loop(
        weak.clone(),
        Arc::clone(&shared),
        Arc::clone(controller),
    ));
    tasks.spawn(isr::assign_dirs_loop(
        Arc::clone(&shared),
        Arc::clone(controller),
    ));
    tasks.spawn(tick(weak.clone()));
    tasks.spawn(flush(weak.clone()));
    tasks.spawn(write_back(weak.clone()));
    tasks.spawn(timed_flush(weak.clone()));
    tasks.spawn(watch_dirs(weak.clone()));
    tasks.spawn(checkpoint_high_watermarks(weak.clone()));
    tasks.spawn(checkpoint_recovery_points(weak.clone()));
    tasks.spawn(record_applied(weak.clone()));
    tasks.spawn(retention(weak.clone()));
    tasks.spawn(expire_producers(weak.clone()));
    tasks.spawn(repair::run(weak.clone()));
    tasks.spawn(reopen::run(weak.clone()));
    tasks.spawn(scrub::run(weak.clone()));
    tasks.spawn(space::run(weak.clone()));
    tasks.spawn(space::reclaim(weak.clone()));
    let workers = partitions.config.num_replica_alter_log_dirs_threads;
    let workers = workers.unwrap_or(partitions.dirs.len());
    // The tests of this crate make the steps themselves.
    let workers = if cfg!(test) {
        0
    } else {
        workers.clamp(1, MOVE_WORKERS_MAX)
    };
    for _ in 0..workers {
        tasks.spawn(moves::run(weak.clone()));
    }
    tasks.spawn(cleaner::run(weak));
}

fn interval(weak: &Weak<Partitions>, of: impl Fn(&BrokerConfig) -> Duration) -> Option<Duration> {
    let partitions = weak.upgrade()?;
    Some(of(&partitions.config).max(TICK_MIN))
}

async fn tick(weak: Weak<Partitions>) {
    while let Some(every) = interval(&weak, |it| (it.replica_lag_time_max / 4).min(TICK_MAX)) {
        let Some(shared) = weak.upgrade().map(|it| Arc::clone(&it.shared)) else {
            return;
        };
        shared.lagging.ready().await;
        sleep(every).await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        partitions.tick_lagging();
    }
}

async fn flush(weak: Weak<Partitions>) {
    while let Some(shared) = weak.upgrade().map(|it| Arc::clone(&it.shared)) {
        shared.flushes.ready().await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        let ids = shared.flushes.take();
        run_blocking(move || {
            for partition in partitions.find(ids) {
                // A failed flush has taken the directory offline, and was logged there.
                let _ = partition.flush(wall_clock());
            }
        })
        .await;
    }
}

/// Starts the write-back of appended records whenever enough of them were written.
async fn write_back(weak: Weak<Partitions>) {
    let due = Arc::new(Notify::new());
    let Some(files) = weak.upgrade().map(|it| Arc::clone(&it.shared.open_files)) else {
        return;
    };
    let bell = Arc::clone(&due);
    files.write_back().when_due(move || bell.notify_one());
    loop {
        due.notified().await;
        let files = Arc::clone(&files);
        run_blocking(move || files.write_back().start()).await;
    }
}

async fn timed_flush(weak: Weak<Partitions>) {
    while let Some(shared) = weak.upgrade().map(|it| Arc::clone(&it.shared)) {
        shared.timed_flushes.ready().await;
        sleep(TIMED_FLUSH_INTERVAL).await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        for partition in partitions.find(shared.timed_flushes.take()) {
            let due = partition.should_flush(wall_clock());
            let list = if due {
                &shared.flushes
            } else {
                &shared.timed_flushes
            };
            if due || partition.has_unflushed() {
                list.add(partition.id());
            }
        }
    }
}

/// Takes all partitions of a failed log directory offline.
async fn watch_dirs(weak: Weak<Partitions>) {
    let Some(mut failed) = weak.upgrade().map(|it| it.failed_dirs()) else {
        return;
    };
    loop {
        {
            let Some(partitions) = weak.upgrade() else {
                return;
            };
            let failed = failed.borrow_and_update().clone();
            partitions.take_dirs_offline(&failed);
        }
        if failed.changed().await.is_err() {
            return;
        }
    }
}

async fn checkpoint_high_watermarks(weak: Weak<Partitions>) {
    while let Some(every) = interval(&weak, |it| it.replica_high_watermark_checkpoint_interval) {
        sleep(every).await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        if partitions.shared.moved.swap(false, Ordering::Relaxed) {
            run_blocking(move || partitions.write_checkpoints(&[Checkpoint::HighWatermark])).await;
        }
    }
}

async fn checkpoint_recovery_points(weak: Weak<Partitions>) {
    while let Some(every) = interval(&weak, |it| it.log_flush_offset_checkpoint_interval) {
        sleep(every).await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        let both = [Checkpoint::RecoveryPoint, Checkpoint::LogStartOffset];
        run_blocking(move || {
            partitions.write_checkpoints(&both);
            partitions.write_applied();
        })
        .await;
    }
}

/// Writes the metadata position of the directories soon after replicas were added or removed.
async fn record_applied(weak: Weak<Partitions>) {
    while let Some(changed) = weak.upgrade().map(|it| Arc::clone(&it.applied_changed)) {
        changed.notified().await;
        sleep(APPLIED_INTERVAL).await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        run_blocking(move || partitions.write_applied()).await;
    }
}

async fn retention(weak: Weak<Partitions>) {
    while let Some(every) = interval(&weak, |it| it.log_retention_check_interval) {
        sleep(every).await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        run_blocking(move || partitions.apply_retention()).await;
    }
}

async fn expire_producers(weak: Weak<Partitions>) {
    while let Some(every) = interval(&weak, |it| it.producer_id_expiration_check_interval) {
        sleep(every).await;
        let Some(partitions) = weak.upgrade() else {
            return;
        };
        run_blocking(move || partitions.expire_producers()).await;
    }
}

/// Waits until deleted files may be unlinked, which is at once when space is short. Running reads
/// have them open.
async fn delay(delay: Duration, shared: &PartitionContext) {
    tokio::select! {
        () = sleep(delay) => {}
        () = shared.space.until_short() => {}
    }
}

impl Partitions {
    /// Ticks the leaders whose followers lag or may join the ISR.
    pub(super) fn tick_lagging(&self) {
        for partition in self.find(self.shared.lagging.take()) {
            partition.on_tick();
        }
    }

    /// Completes waits that a fenced broker has delayed.
    pub(super) fn on_brokers_changed(&self) {
        self.tick_lagging();
        for partition in self.find(self.shared.low_watermark_waits.take()) {
            partition.on_brokers_changed();
        }
    }

    pub(super) fn find(&self, ids: BTreeSet<TopicIdPartition>) -> Vec<Arc<Partition>> {
        let registry = self.registry.read();
        ids.iter()
            .filter_map(|id| registry.by_id.get(id).cloned())
            .collect()
    }

    fn take_dirs_offline(&self, failed: &BTreeSet<DirectoryId>) {
        for dir in self.dirs.iter().filter(|dir| failed.contains(&dir.id)) {
            let reason = format!("log directory {} failed", dir.directory.path().display());
            dir.take_offline(&reason);
            if !dir.take_partitions_offline() {
                continue;
            }
            tracing::error!(dir = %dir.directory.path().display(), "log directory is offline");
            self.end_moves_of(dir.id, &reason);
            for partition in self.all() {
                if partition.directory() == dir.id {
                    partition.take_offline(&reason);
                }
            }
        }
    }

    /// Deletes the segments of every log that its topic's retention allows to delete. Blocks on the
    /// disk.
    pub fn apply_retention(&self) {
        for partition in self.all() {
            let deleted = partition.apply_retention(wall_clock());
            if !deleted.segments.is_empty() {
                self.unlink_later(deleted);
            }
        }
    }

    /// Forgets producers that have been idle for `producer.id.expiration.ms`.
    pub(crate) fn expire_producers(&self) {
        for partition in self.all() {
            partition.expire_producers(wall_clock());
        }
    }

    pub(super) fn unlink_later(&self, deleted: Deleted) {
        let shared = Arc::clone(&self.shared);
        let task = async move {
            delay(deleted.delay, &shared).await;
            run_blocking(move || {
                for segment in deleted.segments {
                    if let Err(error) = segment.unlink() {
                        tracing::warn!(%error, "deleted segment cannot be unlinked");
                    }
                }
            })
            .await;
        };
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.runtime);
    }

    /// Deletes a directory that was renamed for deletion, after a delay.
    pub(super) fn delete_later(&self, dir: DirectoryId, path: PathBuf, delay: Duration) {
        // Directories that are left when the process ends are deleted at its next start.
        let Some(root) = self.dirs.iter().find(|it| it.id == dir) else {
            return;
        };
        let root = root.directory.path().to_owned();
        let mut tasks = self.tasks.lock();
        while tasks.try_join_next().is_some() {}
        let shared = Arc::clone(&self.shared);
        let task = async move {
            self::delay(delay, &shared).await;
            run_blocking(move || {
                debug_assert!(path.starts_with(&root));
                if let Err(error) = std::fs::remove_dir_all(&path) {
                    tracing::warn!(%error, path = %path.display(), "directory cannot be deleted");
                }
            })
            .await;
        };
        tasks.spawn_on(task, &self.runtime);
    }

    /// Writes the checkpoints of every log directory. Blocks on the disk.
    pub(super) fn write_checkpoints(&self, which: &[Checkpoint]) {
        let mut offsets = DirOffsets::new();
        for partition in self.all() {
            self.note_known_start(&partition);
            if let Some((high_watermark, recovery_point, start)) = partition.checkpoints() {
                let entry = (
                    partition.name().clone(),
                    [high_watermark, recovery_point, start],
                );
                offsets
                    .entry(partition.directory())
                    .or_default()
                    .push(entry);
            }
        }
        for (dir, name, copy) in self.copies_to_checkpoint() {
            offsets.entry(dir).or_default().push((name, copy));
        }
        for dir in self.dirs.iter().filter(|dir| dir.offline().is_none()) {
            let offsets = offsets.remove(&dir.id).unwrap_or_default();
            if let Err(error) = write_offsets(dir, &offsets, which) {
                self.fail_dir(dir, &error);
                // The next round writes it, if the directory is online then.
                self.shared.moved.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Must be called before the log start is read for its checkpoint.
    fn note_known_start(&self, partition: &Partition) {
        if partition.is_log_start_lost() {
            return;
        }
        if let Some(dir) = self.dirs.iter().find(|dir| dir.id == partition.directory()) {
            dir.note_known_start(partition.name());
        }
    }

    /// Stops replication and background work, flushes and closes every log, and marks the
    /// directories as cleanly shut down. Nothing can be appended or read afterwards.
    ///
    /// # Errors
    /// When a log could not be flushed; the next start recovers that directory.
    pub async fn shutdown(
        self: &Arc<Self>,
        epoch: Option<BrokerEpoch>,
    ) -> Result<(), StorageError> {
        self.replicator.shutdown().await;
        let mut tasks = std::mem::take(&mut *self.tasks.lock());
        tasks.shutdown().await;
        let partitions = Arc::clone(self);
        let closing = spawn_blocking(move || partitions.close(epoch));
        match closing.await {
            Ok(result) => result,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn close(&self, epoch: Option<BrokerEpoch>) -> Result<(), StorageError> {
        let all = self.all();
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let share = all.len().div_ceil(threads).max(64);
        let closed = parking_lot::Mutex::new(Closed::default());
        std::thread::scope(|scope| {
            for share in all.chunks(share) {
                let closed = &closed;
                scope.spawn(move || {
                    let mut mine = Closed::default();
                    for partition in share {
                        self.note_known_start(partition);
                        mine.close(partition);
                    }
                    closed.lock().extend(mine);
                });
            }
        });
        let mut closed = closed.into_inner();
        for (dir, copy, offsets) in self.take_copies() {
            let name = copy.topic_partition().clone();
            closed.close_log(dir, &name, copy, offsets);
        }
        let Closed {
            mut offsets,
            mut failed,
            mut result,
        } = closed;
        failed.extend(self.shared.failed_dirs().borrow().iter());
        for dir in &self.dirs {
            let offsets = offsets.remove(&dir.id).unwrap_or_default();
            if failed.contains(&dir.id) || dir.offline().is_some() {
                continue;
            }
            match self.mark_clean(dir, &offsets, epoch) {
                Err(error) if error.kind() == StorageErrorKind::Full => not_clean(&error),
                Err(error) => {
                    tracing::error!(%error, "log directory failed");
                    result = Err(error);
                }
                Ok(()) => {}
            }
        }
        result
    }

    /// Completes the shutdown of a directory whose logs were closed and written. One call syncs
    /// them to the disk. Only after that are the checkpoints and the marker of a clean shutdown
    /// written.
    fn mark_clean(
        &self,
        dir: &Dir,
        offsets: &[NamedOffsets],
        epoch: Option<BrokerEpoch>,
    ) -> Result<(), StorageError> {
        dir.directory.sync()?;
        let every = [
            Checkpoint::HighWatermark,
            Checkpoint::RecoveryPoint,
            Checkpoint::LogStartOffset,
        ];
        write_offsets(dir, offsets, &every)?;
        dir.write_cleaner_offsets()?;
        dir.write_applied()?;
        dir.directory.mark_clean_shutdown(epoch)
    }
}

/// Logs that a log directory has no space for the files of a clean shutdown.
fn not_clean(error: &StorageError) {
    tracing::warn!(
        %error,
        "no space to close the log directory cleanly: the next start recovers its logs"
    );
}

/// A partition with its high watermark, recovery point and log start.
type NamedOffsets = (TopicPartition, [Offset; 3]);

/// [`NamedOffsets`] by log directory.
type DirOffsets = BTreeMap<DirectoryId, Vec<NamedOffsets>>;

fn write_offsets(
    dir: &Dir,
    offsets: &[NamedOffsets],
    which: &[Checkpoint],
) -> Result<(), StorageError> {
    for checkpoint in which {
        let at = match checkpoint {
            Checkpoint::HighWatermark => 0,
            Checkpoint::RecoveryPoint => 1,
            Checkpoint::LogStartOffset => 2,
            // Compaction writes its own checkpoint after each cleaning.
            Checkpoint::CleanerOffset => continue,
        };
        let entries = offsets.iter().map(|(name, offsets)| (name, offsets[at]));
        // A log that starts at 0 needs no entry, as in Kafka.
        let entries = entries.filter(|(_, offset)| at != 2 || *offset > Offset::ZERO);
        dir.directory.write_checkpoint(*checkpoint, entries)?;
        if *checkpoint == Checkpoint::LogStartOffset {
            dir.write_unknown_starts()?;
        }
    }
    Ok(())
}

/// The outcome of closing logs.
#[derive(Debug)]
struct Closed {
    offsets: DirOffsets,
    /// Directories with a log that could not be closed; they are not marked as clean.
    failed: BTreeSet<DirectoryId>,
    result: Result<(), StorageError>,
}

impl Default for Closed {
    fn default() -> Self {
        Self {
            offsets: DirOffsets::new(),
            failed: BTreeSet::new(),
            result: Ok(()),
        }
    }
}

impl Closed {
    /// Closes a partition's log, without forcing it to the disk.
    fn close(&mut self, partition: &Partition) {
        let dir = partition.directory();
        let checkpoints = partition.checkpoints();
        let (Some((high_watermark, _, start)), Some(log)) = (checkpoints, partition.retire())
        else {
            return;
        };
        self.close_log(dir, partition.name(), log, [high_watermark, start]);
    }

    /// Closes a log, which has this high watermark and log start.
    fn close_log(
        &mut self,
        dir: DirectoryId,
        name: &TopicPartition,
        log: Log,
        [high_watermark, start]: [Offset; 2],
    ) {
        let end = log.log_end_offset();
        match log.close_unsynced(wall_clock()) {
            Ok(_) => self
                .offsets
                .entry(dir)
                .or_default()
                .push((name.clone(), [high_watermark, end, start])),
            Err(error) => {
                let is_first = self.failed.insert(dir);
                if error.kind() != StorageErrorKind::Full {
                    self.result = Err(error);
                } else if is_first {
                    not_clean(&error);
                }
            }
        }
    }

    fn extend(&mut self, other: Self) {
        for (dir, offsets) in other.offsets {
            self.offsets.entry(dir).or_default().extend(offsets);
        }
        self.failed.extend(other.failed);
        if other.result.is_err() {
            self.result = other.result;
        }
    }
}
