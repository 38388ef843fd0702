//! A log directory: one entry of `log.dirs`, with its lock, identity, checkpoints and partitions.
//!
//! Invariant: a value holds the directory's lock, so no other process uses the directory.

mod applied;
mod meta_properties;
mod metadata_log;
mod strays;
mod unknown_starts;

pub use applied::{APPLIED_METADATA_FILE, AppliedMetadata};
pub use strays::{DECISION_FILE, Stray, StrayDecision, strays};

pub use meta_properties::{META_PROPERTIES_FILE, MetaProperties, MetaPropertiesError};
pub use metadata_log::{
    IMPORT_MARK_FILE, IMPORTED_LOG_DIR, ImportMark, MetadataLog, kafka_log_end, metadata_log,
    metadata_log_path,
};

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_model::{
    BrokerEpoch, DirectoryId, Offset, PartitionIndex, TopicName, TopicPartition, Uuid,
};
use dohle_storage::{Directory, Environment, FileSystem, Lock};

use crate::checkpoint::{
    Sync, decode_offsets, encode_offsets, read_if_exists, remove_if_exists, sync_dir,
    write_atomically,
};
use crate::error::{Context, StorageError};

/// The directory of the metadata quorum's log, inside `metadata.log.dir`.
pub const METADATA_LOG_DIR: &str = "__cluster_metadata-0";

const LOCK_FILE: &str = ".lock";
const CLEAN_SHUTDOWN_FILE: &str = ".kafka_cleanshutdown";

/// The checkpoints of a log directory, each with one offset per partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checkpoint {
    /// The recovery point of each log: everything below it is on the disk.
    RecoveryPoint,
    /// The log start offset of each log.
    LogStartOffset,
    /// The high watermark of each replica.
    HighWatermark,
    /// The first offset of each compacted log that compaction has not processed.
    CleanerOffset,
}

impl Checkpoint {
    /// Returns the file's name.
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

/// The reason why a log directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// A file operation failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// Another process uses the directory.
    #[error(
        "{} is in use by another process, which holds the lock on its file .lock; stop that \
         process, or give this node a log directory of its own", .0.display()
    )]
    Locked(PathBuf),
    /// The directory belongs to another cluster or node, or its `meta.properties` cannot be parsed.
    #[error(transparent)]
    MetaProperties(#[from] MetaPropertiesError),
}

/// The purpose of a partition's directory, from its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PartitionDirKind {
    /// `topic-0`: in use.
    Current,
    /// `topic-0.<id>-future`: being moved to this log directory from another one.
    Future,
    /// `topic-0.<id>-delete`: to be deleted.
    Delete,
    /// `topic-0.<id>-stray`: its partition is not in the metadata.
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
    /// The path of the directory.
    pub path: PathBuf,
    /// The partition. For a directory to be deleted the topic's name may be truncated, see
    /// [`LogDirectory::mark_for_deletion`].
    pub topic_partition: TopicPartition,
    /// The purpose of the directory.
    pub kind: PartitionDirKind,
}

/// A log directory, locked.
pub struct LogDirectory {
    path: PathBuf,
    environment: Environment,
    handle: Arc<dyn Directory>,
    /// Excludes other processes while this value exists.
    _lock: Lock,
}

impl fmt::Debug for LogDirectory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogDirectory({})", self.path.display())
    }
}

impl LogDirectory {
    /// Creates the directory if needed and locks it.
    ///
    /// # Errors
    /// When it cannot be created or read, or another process uses it.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        Self::open_in(path, Environment::native())
    }

    /// Does the same as [`LogDirectory::open`], in another environment than the operating system's.
    ///
    /// # Errors
    /// The same as for [`LogDirectory::open`].
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

    /// Returns the path of the log directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the identity of the directory; `None` when it was never formatted.
    ///
    /// # Errors
    /// When the file cannot be read or parsed.
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

    /// Writes the identity of the directory, durably.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn format(&self, properties: &MetaProperties) -> Result<(), StorageError> {
        let path = self.path.join(META_PROPERTIES_FILE);
        write_atomically(self.fs(), &path, properties.encode().as_bytes(), Sync::Yes)
    }

    /// Adds an id to the identity of a directory that Apache Kafka before 3.7 formatted, durably.
    /// Everything else in the file stays.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn add_directory_id(&self, id: DirectoryId) -> Result<(), StorageError> {
        let path = self.path.join(META_PROPERTIES_FILE);
        let mut text = self.fs().read(&path).context("read", &path)?;
        if !text.ends_with(b"\n") {
            text.push(b'\n');
        }
        text.extend_from_slice(format!("directory.id={id}\n").as_bytes());
        write_atomically(self.fs(), &path, &text, Sync::Yes)
    }

    /// Returns the marker of a clean shutdown, with the broker's epoch at that time if the marker
    /// has it (KIP-966), or `None` after an unclean shutdown. Removes the marker, so that a later
    /// crash does not count as a clean shutdown.
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

    /// Returns the marker of a clean shutdown without removing it. Returns `None` when there is no
    /// marker, or when it is damaged or cannot be read, so that the logs are recovered.
    #[must_use]
    pub fn clean_shutdown(&self) -> Option<CleanShutdown> {
        let path = self.path.join(CLEAN_SHUTDOWN_FILE);
        let marker = match read_if_exists(self.fs(), &path) {
            Ok(None) => return None,
            Ok(Some(bytes)) => CleanShutdown::parse(&bytes),
            Err(error) => {
                tracing::warn!(
                    %error,
                    "cannot read the marker of a clean shutdown, recovering the logs"
                );
                return None;
            }
        };
        if marker.is_none() {
            tracing::warn!(
                path = %path.display(),
                "the marker of a clean shutdown is damaged, recovering the logs"
            );
        }
        marker
    }

    /// Writes the marker of a clean shutdown, once all logs are closed.
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

    /// Reads a checkpoint. Returns an empty map when the file does not exist.
    ///
    /// # Errors
    /// When the file cannot be read or parsed.
    pub fn read_checkpoint(
        &self,
        checkpoint: Checkpoint,
    ) -> Result<BTreeMap<TopicPartition, Offset>, StorageError> {
        let path = self.path.join(checkpoint.file_name());
        let Some(bytes) = read_if_exists(self.fs(), &path)? else {
            return Ok(BTreeMap::new());
        };
        if bytes.is_empty() && self.is_created_empty(checkpoint)? {
            return Ok(BTreeMap::new());
        }
        decode_offsets(&String::from_utf8_lossy(&bytes))
            .map_err(|text| StorageError::invalid("read", &path, text))
    }

    /// Whether an empty checkpoint is no damage. Kafka creates its checkpoints empty: that of
    /// compaction stays so until a log was compacted, and the others until Kafka has run for a
    /// minute. Dohle creates none empty: in a directory that it has used, the others are damaged.
    fn is_created_empty(&self, checkpoint: Checkpoint) -> Result<bool, StorageError> {
        if checkpoint == Checkpoint::CleanerOffset {
            return Ok(true);
        }
        let applied = self.path.join(APPLIED_METADATA_FILE);
        let is_used = self.fs().exists(&applied).context("look at", &applied)?;
        Ok(!is_used)
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

    /// Returns the path of a partition's log, whether or not it exists.
    #[must_use]
    pub fn partition_path(&self, topic_partition: &TopicPartition) -> PathBuf {
        self.path.join(topic_partition.to_string())
    }

    /// Returns the path of a copy of a partition's log that is to replace the log in another log
    /// directory; `id` must be new. `None` when the topic's name leaves no room for it, since the
    /// name of a copy is never truncated.
    #[must_use]
    pub fn future_path(&self, topic_partition: &TopicPartition, id: Uuid) -> Option<PathBuf> {
        let (path, is_cut) = self.marked_path(&topic_partition.to_string(), id, "future");
        (!is_cut).then_some(path)
    }

    /// Gives a copy of a partition's log the ordinary name of the partition. Returns its path.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn promote_future(
        &self,
        dir: &Path,
        topic_partition: &TopicPartition,
    ) -> Result<PathBuf, StorageError> {
        let path = self.partition_path(topic_partition);
        self.fs().rename(dir, &path).context("rename", dir)?;
        sync_dir(self.fs(), &self.path)?;
        Ok(path)
    }

    /// Returns the partitions' directories, sorted by path. Skips other entries, and the metadata
    /// quorum's log, which a broker neither opens nor deletes.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn partition_dirs(&self) -> Result<Vec<PartitionDir>, StorageError> {
        partition_dirs(self.fs(), &self.path)
    }

    /// Renames a partition's directory so that a new log of the same name can be created; `id` must
    /// be new. The directory is deleted later with [`LogDirectory::delete`]. Open logs keep their
    /// open files.
    ///
    /// # Errors
    /// When it cannot be renamed.
    pub fn mark_for_deletion(&self, dir: &Path, id: Uuid) -> Result<PathBuf, StorageError> {
        self.mark(dir, id, "delete")
    }

    /// Renames the directory of a partition that this node should not have to a stray.
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

    /// Returns the path for a renamed directory, and whether the name has to be truncated.
    fn marked_path(&self, name: &str, id: Uuid, kind: &str) -> (PathBuf, bool) {
        let name = parse_dir_name(name).map_or(name.to_owned(), |(known, _)| known.to_string());
        // File names have at most 255 bytes. Kafka truncates the topic, not the partition.
        let suffix = format!(".{:032x}-{kind}", u128::from_be_bytes(id.0));
        let (topic, partition) = name.rsplit_once('-').unwrap_or((&name, "0"));
        let room = 255usize.saturating_sub(suffix.len() + partition.len() + 1);
        let cut = room < topic.len();
        let topic = topic.get(..room.min(topic.len())).unwrap_or(topic);
        let marked = self.path.join(format!("{topic}-{partition}{suffix}"));
        (marked, cut)
    }

    /// Forces all data in the directory's file system to the disk with one call, however many files
    /// were written.
    ///
    /// # Errors
    /// When the system could not write all data.
    pub fn sync(&self) -> Result<(), StorageError> {
        let synced = self.handle.sync_file_system();
        synced.context("sync the file system of", &self.path)
    }

    /// Deletes a partition's directory and its files.
    ///
    /// # Errors
    /// When a file in it cannot be deleted.
    pub fn delete(&self, dir: &Path) -> Result<(), StorageError> {
        match self.fs().remove_directory(dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("delete directory", dir)
            }
            _ => Ok(()),
        }
    }
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
            None => tracing::debug!(
                path = %path.display(),
                "skipped a directory that is not a partition's"
            ),
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// The marker that the last shutdown was clean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CleanShutdown {
    /// The broker's epoch at the shutdown.
    pub broker_epoch: Option<BrokerEpoch>,
}

impl CleanShutdown {
    /// Parses `{"version":0,"brokerEpoch":12}`. Before version 3.7, Kafka's marker is empty; it
    /// is created after all logs were flushed, as the later ones are.
    fn parse(marker: &[u8]) -> Option<Self> {
        if marker.is_empty() {
            return Some(Self { broker_epoch: None });
        }
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

/// Parses `topic-0`, `topic-0.<32 hexadecimal digits>-delete` and the other names of partitions'
/// directories.
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
