//! Moves of replicas between the log directories of this broker (AlterReplicaLogDirs, KIP-113,
//! KIP-858).
//!
//! A copy of the log grows in `topic-0.<id>-future` in the other directory, while the replica goes
//! on with its log. Once it is complete and the metadata name its directory, the two are swapped
//! under the partition's lock. `step.rs` copies, `swap.rs` swaps and ends moves, and at a
//! start `opening.rs` and `resume.rs` continue what the last stop interrupted. The decisions are
//! those of [`crate::replica::DirMove`].
//!
//! Invariant: until the swap the copy is derived data. It is used for nothing, its loss is no loss,
//! and it counts neither as a copy that [`super::copies`] may choose nor as a stray.

mod opening;
mod outcome;
mod resume;
mod step;
mod swap;
#[cfg(test)]
mod tests;

pub(super) use step::run;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_auth::quotas::QuotaWindows;
use dohle_log::{Log, StorageError, StorageErrorKind};
use dohle_model::{DirectoryId, ErrorCode, Offset, TopicIdPartition, TopicPartition};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::dirs::Dir;
use super::strays::fresh_id;
use super::{Partitions, ReplicaInfo};
use crate::partition::throttle::ReplicationThrottle;
use crate::partition::{ClosedLog, Partition};
use crate::replica::DirMove;
use outcome::MoveEnd;

/// The most bytes of a topic's name that leave room for the suffix of a copy.
const TOPIC_LENGTH_MAX: usize = 255 - "-0.-future".len() - 32;
/// The most wishes for replicas that do not exist yet.
const WISHES_MAX: usize = 100_000;

/// Why a replica is not moved.
#[derive(Debug, thiserror::Error)]
pub enum MoveError {
    /// The name of the copy's directory would be longer than file names may be.
    #[error("the topic name is too long for the directory of a copy")]
    NameTooLong,
    /// The directory is none of `log.dirs`.
    #[error("{} is not a log directory of this broker", .0.display())]
    UnknownDir(PathBuf),
    /// A directory is offline.
    #[error("log directory {} is offline", .0.display())]
    DirOffline(PathBuf),
    /// The directory gets no new replicas (`cordoned.log.dirs`).
    #[error("log directory {} is cordoned", .0.display())]
    DirCordoned(PathBuf),
    /// The replica's log is offline.
    #[error("the replica is offline")]
    ReplicaOffline,
    /// This broker has no replica of the partition. A replica that it gets is created in that
    /// directory.
    #[error("this broker has no replica of the partition")]
    NoReplica {
        /// Whether the partition exists.
        exists: bool,
    },
    /// The copy could not be created.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl MoveError {
    /// Returns Kafka's error code.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::NameTooLong => ErrorCode::InvalidTopicException,
            Self::UnknownDir(_) => ErrorCode::LogDirNotFound,
            Self::DirCordoned(_) => ErrorCode::InvalidReplicaAssignment,
            Self::NoReplica { exists: true } => ErrorCode::ReplicaNotAvailable,
            Self::NoReplica { exists: false } => ErrorCode::UnknownTopicOrPartition,
            Self::DirOffline(_) | Self::ReplicaOffline | Self::Storage(_) => {
                ErrorCode::KafkaStorageError
            }
        }
    }
}

/// All moves of a broker.
#[derive(Debug)]
pub(super) struct Moves {
    running: Mutex<BTreeMap<TopicIdPartition, Arc<Move>>>,
    /// Where replicas that do not exist yet are to be created.
    wishes: Mutex<HashMap<TopicPartition, DirectoryId>>,
    /// What all moves together may write.
    throttle: ReplicationThrottle,
    started: Notify,
}

impl Moves {
    /// Creates the value of a broker, which measures the rate of its moves over `windows`.
    pub(super) fn new(windows: QuotaWindows) -> Self {
        Self {
            running: Mutex::default(),
            wishes: Mutex::default(),
            throttle: ReplicationThrottle::new(windows),
            started: Notify::new(),
        }
    }

    /// Sets `replica.alter.log.dirs.io.max.bytes.per.second`.
    pub(super) fn set_limit(&self, limit: Option<u64>) {
        self.throttle.set_limit(limit);
    }

    fn all(&self) -> Vec<Arc<Move>> {
        self.running.lock().values().cloned().collect()
    }

    fn get(&self, id: &TopicIdPartition) -> Option<Arc<Move>> {
        self.running.lock().get(id).cloned()
    }

    /// Takes the directory in which a replica that is created now should be.
    pub(super) fn take_wish(&self, name: &TopicPartition) -> Option<DirectoryId> {
        self.wishes.lock().remove(name)
    }
}

/// One move.
#[derive(Debug)]
struct Move {
    partition: Arc<Partition>,
    from: DirectoryId,
    to: DirectoryId,
    path: PathBuf,
    work: Mutex<MoveWork>,
    /// What others see of the copy, without waiting for the work on it.
    shown: Mutex<CopyPositions>,
}

/// What one step of a move changes.
#[derive(Debug)]
struct MoveWork {
    /// The copy; `None` once the move has ended.
    copy: Option<Box<Log>>,
    progress: DirMove,
    /// The first offset that compaction had not processed when the copying began; `None` also
    /// after a restart, since then it is not known.
    cleaned_to: Option<Offset>,
    /// The reason why nothing is copied, if it was logged.
    obstacle: Option<String>,
}

/// The size and positions of a copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct CopyPositions {
    size: u64,
    end: Offset,
    high_watermark: Offset,
    recovery_point: Offset,
    start: Offset,
}

impl Move {
    fn show(&self, copy: &Log, high_watermark: Offset) {
        let end = copy.log_end_offset();
        *self.shown.lock() = CopyPositions {
            size: copy.size(),
            end,
            high_watermark: high_watermark.min(end).max(copy.log_start_offset()),
            recovery_point: copy.recovery_point(),
            start: copy.log_start_offset(),
        };
    }
}

impl Partitions {
    /// Moves a replica to another log directory of this broker; `dir` is its absolute path. A move
    /// to another directory takes the place of a running one, and a move to the directory that has
    /// the replica cancels it. For a replica that does not exist yet, the directory is remembered.
    /// Blocks on the disk.
    ///
    /// # Errors
    /// [`MoveError`]. A running move continues, except when a file of the new copy could not be
    /// created.
    pub fn move_replica(&self, name: &TopicPartition, dir: &Path) -> Result<(), MoveError> {
        let _following = self.following.lock();
        let to = self.target(name, dir)?;
        let Some(partition) = self.get_by_name(name) else {
            let mut wishes = self.moves.wishes.lock();
            if wishes.len() < WISHES_MAX {
                wishes.insert(name.clone(), to.id);
            }
            let image = self.shared.image();
            let topic = image.topic(name.topic.as_str());
            let exists = topic.is_some_and(|topic| {
                let (topic_id, partition) = (topic.id, name.partition);
                let id = TopicIdPartition {
                    topic_id,
                    partition,
                };
                image.partition(&id).is_some()
            });
            return Err(MoveError::NoReplica { exists });
        };
        if partition.offline().is_some() {
            return Err(MoveError::ReplicaOffline);
        }
        if let Some(running) = self.moves.get(&partition.id()) {
            if running.to == to.id {
                return Ok(());
            }
            self.end_move(&running, MoveEnd::Cancelled);
        }
        if partition.directory() == to.id {
            return Ok(());
        }
        // A copy in a directory that is offline could not be found and removed.
        let offline = self.dirs.iter().find(|dir| self.has_failed(dir));
        let offline = offline.map(|dir| dir.directory.path().to_owned());
        let unreadable = self.offline_dirs.first().map(|dir| dir.path.clone());
        if let Some(path) = offline.or(unreadable) {
            return Err(MoveError::DirOffline(path));
        }
        let path = to.directory.future_path(name, fresh_id());
        let path = path.ok_or(MoveError::NameTooLong)?;
        let start = partition.positions().log_start_offset;
        self.start_move(partition, to, path, start_of_copy(start))?;
        Ok(())
    }

    /// Returns why a partition is not moved whose name is not valid, or whose index is negative.
    #[must_use]
    pub fn refuse_move(&self, topic: &str, dir: &Path) -> MoveError {
        if topic.len() > TOPIC_LENGTH_MAX {
            return MoveError::NameTooLong;
        }
        let known = self.known_dir(dir);
        known
            .err()
            .unwrap_or(MoveError::NoReplica { exists: false })
    }

    /// Returns the directory that a replica is to be moved to.
    fn target(&self, name: &TopicPartition, dir: &Path) -> Result<&Dir, MoveError> {
        let first = &self.dirs[0].directory;
        if first.future_path(name, fresh_id()).is_none() {
            return Err(MoveError::NameTooLong);
        }
        self.known_dir(dir)
    }

    /// Returns the log directory with this path, if it is online and takes replicas.
    fn known_dir(&self, dir: &Path) -> Result<&Dir, MoveError> {
        let is_meant = |path: &Path| std::path::absolute(path).is_ok_and(|path| path == dir);
        if self
            .offline_dirs
            .iter()
            .any(|offline| is_meant(&offline.path))
        {
            return Err(MoveError::DirOffline(dir.to_owned()));
        }
        let found = self.dirs.iter().find(|it| is_meant(it.directory.path()));
        let found = found.ok_or_else(|| MoveError::UnknownDir(dir.to_owned()))?;
        if self.has_failed(found) {
            return Err(MoveError::DirOffline(dir.to_owned()));
        }
        if self.is_cordoned(found.id) {
            return Err(MoveError::DirCordoned(dir.to_owned()));
        }
        Ok(found)
    }

    /// Whether a directory is offline, or has just failed.
    fn has_failed(&self, dir: &Dir) -> bool {
        dir.offline().is_some() || self.shared.failed_dirs().borrow().contains(&dir.id)
    }

    /// Opens or creates the copy, and begins to move the replica. `known` is what the checkpoints
    /// have of the copy.
    fn start_move(
        &self,
        partition: Arc<Partition>,
        to: &Dir,
        path: PathBuf,
        known: ClosedLog,
    ) -> Result<(), StorageError> {
        let config = self.config_of(partition.topic(), &self.shared.image());
        let opened = self.open_log_at(to, &path, partition.name(), partition.id(), &known, &config);
        let copy = opened.inspect_err(|error| {
            if error.kind() == StorageErrorKind::Device {
                self.fail_dir(to, error);
            }
        })?;
        let is_new = copy.log_end_offset() == copy.log_start_offset();
        let from = partition.directory();
        tracing::info!(
            partition = %partition.name(),
            from = %self.path_of(from).display(),
            to = %to.directory.path().display(),
            copied_to = %copy.log_end_offset(),
            "replica moves to another log directory"
        );
        let started = Move {
            from,
            to: to.id,
            path,
            work: Mutex::new(MoveWork {
                progress: DirMove::default(),
                cleaned_to: is_new.then(|| partition.cleaner_checkpoint()).flatten(),
                copy: None,
                obstacle: None,
            }),
            shown: Mutex::default(),
            partition,
        };
        started.show(&copy, known.high_watermark);
        started.work.lock().copy = Some(Box::new(copy));
        let id = started.partition.id();
        let before = self.moves.running.lock().insert(id, Arc::new(started));
        assert!(before.is_none(), "{id} is moved twice");
        self.moves.started.notify_waiters();
        Ok(())
    }

    fn path_of(&self, dir: DirectoryId) -> &Path {
        let found = self.dirs.iter().find(|it| it.id == dir);
        found.map_or(Path::new("?"), |dir| dir.directory.path())
    }

    /// Returns the copies in a log directory.
    pub(super) fn copies_in(&self, dir: DirectoryId) -> Vec<ReplicaInfo> {
        let all = self.moves.all();
        let copies = all.iter().filter(|it| it.to == dir);
        copies
            .map(|it| {
                let shown = *it.shown.lock();
                let current = it.partition.positions().log_end_offset;
                ReplicaInfo {
                    partition: it.partition.name().clone(),
                    size: shown.size,
                    offset_lag: current.since(shown.end),
                    is_future: true,
                }
            })
            .collect()
    }

    /// Returns the offsets of all copies for the checkpoints of their directories, as
    /// [`Partition::checkpoints`] returns them.
    pub(super) fn copies_to_checkpoint(&self) -> Vec<(DirectoryId, TopicPartition, [Offset; 3])> {
        let all = self.moves.all();
        let entry = |it: &Arc<Move>| {
            let shown = *it.shown.lock();
            let offsets = [shown.high_watermark, shown.recovery_point, shown.start];
            (it.to, it.partition.name().clone(), offsets)
        };
        all.iter().map(entry).collect()
    }
}

/// Describes a copy that does not exist yet.
fn start_of_copy(start: Offset) -> ClosedLog {
    ClosedLog {
        high_watermark: start,
        recovery_point: start,
        log_start_offset: start,
        cleaner_offset: None,
        is_clean: false,
    }
}
