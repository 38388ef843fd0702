//! A log directory: one entry of `log.dirs`, with its lock, identity, checkpoints and partitions.
//!
//! Invariant: a value holds the directory's lock; no other process uses the directory meanwhile.

mod applied;
mod meta_properties;
mod strays;
mod unknown_starts;

pub use applied::{APPLIED_METADATA_FILE, AppliedMetadata};
pub use strays::{DECISION_FILE, Stray, StrayDecision, strays};

pub use meta_properties::{META_PROPERTIES_FILE, MetaProperties, MetaPropertiesError};

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_model::{BrokerEpoch, Offset, PartitionIndex, TopicName, TopicPartition, Uuid};
use dohle_storage::{Directory, Environment, FileSystem, Lock};

use crate::checkpoint::{
    Sync, decode_offsets, encode_offsets, read_if_exists, remove_if_exists, sync_dir,
    write_atomically,
};
use crate::error::{Context, StorageError};
use crate::segment::files::{LOG_SUFFIX, offset_of_name};

/// Where the metadata quorum keeps its log, inside `metadata.log.dir`.
pub const METADATA_LOG_DIR: &str = "__cluster_metadata-0";

const LOCK_FILE: &str = ".lock";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// The checkpoints that a log directory has for all its partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// Everything below is on the disk.
    RecoveryPoint,
    /// The first offset of each log.
    LogStartOffset,
    /// The high watermark of each replica.
    HighWatermark,
    /// Where the part of each compacted log begins that compaction has not seen.
    CleanerOffset,
}

impl Checkpoint {
    /// The file's name.
    #[must_use]
    pub const fn file_name(self) -> &'static str {
        match self {
            Self::RecoveryPoint => "recovery-point-offset-checkpoint",
            Self::LogStartOffset => "log-start-offset-checkpoint",
            Self::HighWatermark => "replication-offset-checkpoint",
            Self::CleanerOffset => "cleaner-offset-checkpoint",
        }
    }
}

/// Why a log directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Another process uses it.
    #[error(
        "{} is in use by another process, which holds the lock on its file .lock; stop that \
         process, or give this node a log directory of its own", .0.display()
    )]
    Locked(PathBuf),
    /// It belongs to somebody else, or does not say to whom.
    #[error(transparent)]
    MetaProperties(#[from] MetaPropertiesError),
}

/// What a partition's directory is for, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionDirKind {
    /// `topic-0`.
    Current,
    /// `topic-0.<id>-future`: being moved here from another log directory.
    Future,
    /// `topic-0.<id>-delete`: to be deleted.
    Delete,
    /// `topic-0.<id>-stray`: of no partition that is known.
    Stray,
}

impl PartitionDirKind {
    const SUFFIXES: [(&'static str, Self); 3] = [
        ("-future", Self::Future),
        ("-delete", Self::Delete),
        ("-stray", Self::Stray),
    ];
}

/// A partition's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartitionDir {
    /// Where it is.
    pub path: PathBuf,
    /// The partition. For directories to be deleted the topic's name may have been cut, see
    /// [`LogDirectory::mark_for_deletion`].
    pub topic_partition: TopicPartition,
    /// What it is for.
    pub kind: PartitionDirKind,
}

/// A log directory, locked.
pub struct LogDirectory {
    path: PathBuf,
    environment: Environment,
    handle: Arc<dyn Directory>,
    /// Excludes other processes for as long as it is there.
    _lock: Lock,
}

impl fmt::Debug for LogDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogDirectory({})", self.path.display())
    }
}

impl LogDirectory {
    /// Makes the directory if needed and locks it.
    ///
    /// # Errors
    /// When it cannot be made or read, or another process uses it.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        Self::open_in(path, Environment::native())
    }

    /// [`LogDirectory::open`] in another environment than the operating system's.
    ///
    /// # Errors
    /// As there.
    pub fn open_in(path: &Path, environment: Environment) -> Result<Self, DirectoryError> {
        let fs = &*environment.files;
        fs.create_directories_durably(path)
            .context("create directory", path)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = fs.try_lock(&lock_path).context("lock", &lock_path)?;
        let lock = lock.ok_or_else(|| DirectoryError::Locked(path.to_owned()))?;
        Ok(Self {
            path: path.to_owned(),
            handle: fs.open_directory(path).context("open directory", path)?,
            environment,
            _lock: lock,
        })
    }

    fn fs(&self) -> &dyn FileSystem {
        &*self.environment.files
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its identity; `None` for a directory that was never formatted.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn meta_properties(&self) -> Result<Option<MetaProperties>, DirectoryError> {
        let path = self.path.join(META_PROPERTIES_FILE);
        let Some(bytes) = read_if_exists(self.fs(), &path)? else {
            return Ok(None);
        };
        Ok(Some(MetaProperties::decode(
            &String::from_utf8_lossy(&bytes),
            &path,
        )?))
    }

    /// Gives it an identity, durably.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn format(&self, properties: &MetaProperties) -> Result<(), StorageError> {
        let path = self.path.join(META_PROPERTIES_FILE);
        write_atomically(self.fs(), &path, properties.encode().as_bytes(), Sync::Yes)
    }

    /// Whether the last shutdown was clean; the marker is taken away, so that a crash from now on
    /// is not taken for one. With the broker's epoch at that time, if the marker has it (KIP-966).
    ///
    /// # Errors
    /// When the marker cannot be read or removed.
    pub fn take_clean_shutdown(&self) -> Result<Option<CleanShutdown>, StorageError> {
        let path = self.path.join(CLEAN_SHUTDOWN_FILE);
        let Some(bytes) = read_if_exists(self.fs(), &path)? else {
            return Ok(None);
        };
        remove_if_exists(self.fs(), &path)?;
        sync_dir(self.fs(), &self.path)?;
        Ok(CleanShutdown::parse(&bytes))
    }

    /// The marker of a clean shutdown, which stays; `None` without one, and for one that is damaged
    /// or cannot be read: then the logs are recovered.
    #[must_use]
    pub fn clean_shutdown(&self) -> Option<CleanShutdown> {
        let path = self.path.join(CLEAN_SHUTDOWN_FILE);
        let marker = match read_if_exists(self.fs(), &path) {
            Ok(None) => return None,
            Ok(Some(bytes)) => CleanShutdown::parse(&bytes),
            Err(error) => {
                tracing::warn!(%error, "the last shutdown counts as unclean");
                return None;
            }
        };
        if marker.is_none() {
            tracing::warn!(path = %path.display(), "the marker of a clean shutdown is damaged");
        }
        marker
    }

    /// Leaves the marker of a clean shutdown: all logs are closed.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn mark_clean_shutdown(&self, epoch: Option<BrokerEpoch>) -> Result<(), StorageError> {
        let text = format!(
            "{{\"version\":0,\"brokerEpoch\":{}}}",
            BrokerEpoch::to_wire(epoch)
        );
        write_atomically(
            self.fs(),
            &self.path.join(CLEAN_SHUTDOWN_FILE),
            text.as_bytes(),
            Sync::Yes,
        )
    }

    /// Reads a checkpoint; empty when there is none yet.
    ///
    /// # Errors
    /// When the file cannot be read or understood.
    pub fn read_checkpoint(
        &self,
        checkpoint: Checkpoint,
    ) -> Result<BTreeMap<TopicPartition, Offset>, StorageError> {
        let path = self.path.join(checkpoint.file_name());
        let Some(bytes) = read_if_exists(self.fs(), &path)? else {
            return Ok(BTreeMap::new());
        };
        decode_offsets(&String::from_utf8_lossy(&bytes))
            .map_err(|text| StorageError::invalid("read", &path, text))
    }

    /// Writes a checkpoint, durably.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write_checkpoint<'a>(
        &self,
        checkpoint: Checkpoint,
        offsets: impl IntoIterator<Item = (&'a TopicPartition, Offset)>,
    ) -> Result<(), StorageError> {
        let path = self.path.join(checkpoint.file_name());
        write_atomically(
            self.fs(),
            &path,
            encode_offsets(offsets).as_bytes(),
            Sync::Yes,
        )
    }

    /// Where a partition's log is, or would be.
    #[must_use]
    pub fn partition_path(&self, topic_partition: &TopicPartition) -> PathBuf {
        self.path.join(topic_partition.to_string())
    }

    /// The partitions' directories, sorted by path. What is none is passed over, and so is the
    /// metadata quorum's log, which is no broker's to open or delete.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn partition_dirs(&self) -> Result<Vec<PartitionDir>, StorageError> {
        partition_dirs(self.fs(), &self.path)
    }

    /// Renames a partition's directory so that a new log of the same name may begin; `id` is any
    /// fresh one. The directory is deleted later with [`LogDirectory::delete`]. Open logs keep
    /// their open files.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn mark_for_deletion(&self, dir: &Path, id: Uuid) -> Result<PathBuf, StorageError> {
        self.mark(dir, id, "delete")
    }

    /// Renames the directory of a partition that this node should not have.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn mark_stray(&self, dir: &Path, id: Uuid) -> Result<PathBuf, StorageError> {
        if let Some(name) = dir.file_name().and_then(|name| name.to_str())
            && self.marked_path(name, id, "stray").1
        {
            strays::write_full_name(self.fs(), dir, name)?;
        }
        self.mark(dir, id, "stray")
    }

    fn mark(&self, dir: &Path, id: Uuid, kind: &str) -> Result<PathBuf, StorageError> {
        let name = dir
            .file_name()
            .and_then(|name| name.to_str())
            .unwrap_or_default();
        let (marked, _) = self.marked_path(name, id, kind);
        self.fs().rename(dir, &marked).context("rename", dir)?;
        sync_dir(self.fs(), &self.path)?;
        Ok(marked)
    }

    /// Where a directory of this name goes, and whether the name has to be cut.
    fn marked_path(&self, name: &str, id: Uuid, kind: &str) -> (PathBuf, bool) {
        let name = parse_dir_name(name).map_or(name.to_owned(), |(known, _)| known.to_string());
        // File names end at 255 bytes: Kafka cuts the topic, not the partition.
        let suffix = format!(".{:032x}-{kind}", u128::from_be_bytes(id.0));
        let (topic, partition) = name.rsplit_once('-').unwrap_or((&name, "0"));
        let room = 255usize.saturating_sub(suffix.len() + partition.len() + 1);
        let cut = room < topic.len();
        let topic = topic.get(..room.min(topic.len())).unwrap_or(topic);
        let marked = self.path.join(format!("{topic}-{partition}{suffix}"));
        (marked, cut)
    }

    /// Forces everything in the directory's file system to the disk: one call, however many files
    /// were written.
    ///
    /// # Errors
    /// When the system could not write all of it.
    pub fn sync(&self) -> Result<(), StorageError> {
        let synced = self.handle.sync_file_system();
        synced.context("sync the file system of", &self.path)
    }

    /// Deletes a partition's directory with all it holds.
    ///
    /// # Errors
    /// When something in it cannot be deleted.
    pub fn delete(&self, dir: &Path) -> Result<(), StorageError> {
        match self.fs().remove_directory(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("delete directory", dir)
            }
            _ => Ok(()),
        }
    }
}

/// The metadata log of an Apache Kafka node in this log directory, if there is one. Dohle's own is
/// in a directory of the same name, in another format.
///
/// # Errors
/// When the directory cannot be read.
pub fn kafka_metadata_log(dir: &Path) -> Result<Option<PathBuf>, StorageError> {
    let path = dir.join(METADATA_LOG_DIR);
    let entries = match Environment::native().files.list(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        entries => entries.context("list", &path)?,
    };
    for entry in entries {
        let Some(name) = entry.name.to_str() else {
            continue;
        };
        if name == "quorum-state" || offset_of_name(name, LOG_SUFFIX).is_some() {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

fn partition_dirs(fs: &dyn FileSystem, dir: &Path) -> Result<Vec<PartitionDir>, StorageError> {
    let mut found = Vec::new();
    for entry in fs.list(dir).context("list", dir)? {
        let name = entry.name;
        let path = dir.join(&name);
        if !entry.is_directory || name == METADATA_LOG_DIR {
            continue;
        }
        match name.to_str().and_then(parse_dir_name) {
            Some((topic_partition, kind)) => {
                found.push(PartitionDir {
                    path,
                    topic_partition,
                    kind,
                });
            }
            None => tracing::debug!(path = %path.display(), "not a partition's directory"),
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The last shutdown was clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The broker's epoch then.
    pub broker_epoch: Option<BrokerEpoch>,
}

impl CleanShutdown {
    /// Reads `{"version":0,"brokerEpoch":12}`.
    fn parse(marker: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(marker).ok()?.trim();
        let fields = text.strip_prefix('{')?.strip_suffix('}')?;
        let mut version = None;
        let mut broker_epoch = None;
        for field in fields.split(',') {
            let (name, value) = field.split_once(':')?;
            let value: i64 = value.trim().parse().ok()?;
            match name.trim() {
                "\"version\"" => version = Some(value),
                "\"brokerEpoch\"" => broker_epoch = BrokerEpoch::from_wire(value),
                _ => {}
            }
        }
        version.map(|_| Self { broker_epoch })
    }
}

/// `topic-0`, or `topic-0.<32 hexadecimal digits>-delete` and its kin.
fn parse_dir_name(name: &str) -> Option<(TopicPartition, PartitionDirKind)> {
    for (suffix, kind) in PartitionDirKind::SUFFIXES {
        if let Some(rest) = name.strip_suffix(suffix)
            && let Some((name, id)) = rest.rsplit_once('.')
            && id.len() == 32
            && id.bytes().all(|byte| byte.is_ascii_hexdigit())
        {
            return Some((parse_topic_partition(name)?, kind));
        }
    }
    Some((parse_topic_partition(name)?, PartitionDirKind::Current))
}

fn parse_topic_partition(name: &str) -> Option<TopicPartition> {
    let (topic, partition) = name.rsplit_once('-')?;
    let topic = TopicName::new(topic).ok()?;
    let partition = partition.parse().ok().and_then(PartitionIndex::from_wire)?;
    Some(TopicPartition { topic, partition })
}
