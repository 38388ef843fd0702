//! Strays: partitions in a log directory that are not in the metadata although no committed record
//! is known to have deleted them. They are kept until an operator decides.
//!
//! A stray is renamed to `topic-0.<id>-stray`. A broker that finds only partitions that its quorum
//! never contained renames none: it creates the file [`DECISION_FILE`] and waits.

use std::path::{Path, PathBuf};

use dohle_model::{TopicId, TopicPartition};
use dohle_storage::{Environment, FileSystem};

use super::{LogDirectory, PartitionDirKind, partition_dirs};
use crate::checkpoint::{Sync, read_if_exists, remove_if_exists, sync_dir, write_atomically};
use crate::error::{Context, StorageError};
use crate::partition_metadata;

/// The file that records that an operator has to decide, or what the operator decided, about
/// partitions that are not in the quorum's metadata.
pub const DECISION_FILE: &str = "stray-partitions";

/// The file with the partition's name in a stray whose directory name was truncated.
const FULL_NAME_FILE: &str = "stray-name";

/// The content of the file [`DECISION_FILE`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StrayDecision {
    /// The broker stays fenced until an operator decides.
    Pending,
    /// The operator decided that the broker uses this directory.
    Adopted,
}

/// A partition's directory that belongs to no partition of the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stray {
    /// The path of the directory.
    pub path: PathBuf,
    /// The partition.
    pub topic_partition: TopicPartition,
    /// The topic id from its `partition.metadata`, if that can be read.
    pub topic_id: Option<TopicId>,
    /// The size of its files in bytes.
    pub size: u64,
    /// Whether the directory still has the ordinary name of a partition.
    pub in_place: bool,
}

/// Returns the strays of a log directory, sorted by path. Does not lock the directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn strays(dir: &Path) -> Result<Vec<Stray>, StorageError> {
    let fs = &*Environment::native().files;
    let pending = read_decision(fs, dir)? == Some(StrayDecision::Pending);
    let mut strays = Vec::new();
    for found in partition_dirs(fs, dir)? {
        let in_place = match found.kind {
            PartitionDirKind::Stray => false,
            PartitionDirKind::Current if pending => true,
            _ => continue,
        };
        strays.push(Stray {
            topic_partition: full_name(fs, &found.path).unwrap_or(found.topic_partition),
            topic_id: partition_metadata::read_in(fs, &found.path).ok().flatten(),
            size: size(fs, &found.path)?,
            path: found.path,
            in_place,
        });
    }
    Ok(strays)
}

/// Returns the size in bytes of the files in a partition's directory.
fn size(fs: &dyn FileSystem, dir: &Path) -> Result<u64, StorageError> {
    let mut size = 0;
    for entry in fs.list(dir).context("list", dir)? {
        let metadata = fs.metadata(&dir.join(entry.name));
        size += metadata.context("read the size of", dir)?.len;
    }
    Ok(size)
}

fn full_name(fs: &dyn FileSystem, dir: &Path) -> Option<TopicPartition> {
    let text = fs.read(&dir.join(FULL_NAME_FILE)).ok()?;
    let text = std::str::from_utf8(&text).ok()?;
    super::parse_topic_partition(text.trim_end())
}

/// Writes the partition's name to a file in its directory, whose own name is about to be truncated.
pub(super) fn write_full_name(
    fs: &dyn FileSystem,
    dir: &Path,
    name: &str,
) -> Result<(), StorageError> {
    write_atomically(fs, &dir.join(FULL_NAME_FILE), name.as_bytes(), Sync::Yes)
}

fn read_decision(fs: &dyn FileSystem, dir: &Path) -> Result<Option<StrayDecision>, StorageError> {
    let bytes = read_if_exists(fs, &dir.join(DECISION_FILE))?;
    // Any other content of the file is not a decision.
    Ok(bytes.map(|bytes| match bytes.trim_ascii() {
        b"adopted" => StrayDecision::Adopted,
        _ => StrayDecision::Pending,
    }))
}

impl LogDirectory {
    /// Returns the decision about partitions that are not in the quorum's metadata; `None` when no
    /// decision was needed.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn stray_decision(&self) -> Result<Option<StrayDecision>, StorageError> {
        read_decision(self.fs(), self.path())
    }

    /// Writes a decision, durably; `None` removes it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set_stray_decision(&self, decision: Option<StrayDecision>) -> Result<(), StorageError> {
        let path = self.path().join(DECISION_FILE);
        let text = match decision {
            Some(StrayDecision::Pending) => "pending\n",
            Some(StrayDecision::Adopted) => "adopted\n",
            None => {
                if self.fs().exists(&path).context("stat", &path)? {
                    remove_if_exists(self.fs(), &path)?;
                    sync_dir(self.fs(), self.path())?;
                }
                return Ok(());
            }
        };
        write_atomically(self.fs(), &path, text.as_bytes(), Sync::Yes)
    }

    /// Renames a stray to the ordinary name of its partition, so that the broker uses it for a
    /// partition with the same topic id.
    ///
    /// # Errors
    /// When a directory of that name exists, or the stray cannot be renamed.
    pub fn adopt(&self, stray: &Stray) -> Result<PathBuf, StorageError> {
        let path = self.partition_path(&stray.topic_partition);
        if stray.in_place {
            return Ok(path);
        }
        if self.fs().exists(&path).context("stat", &path)? {
            let source = std::io::Error::new(
                std::io::ErrorKind::AlreadyExists,
                format!("{} already exists", path.display()),
            );
            return Err(source).context("adopt", &stray.path);
        }
        let renamed = self.fs().rename(&stray.path, &path);
        renamed.context("rename", &stray.path)?;
        remove_if_exists(self.fs(), &path.join(FULL_NAME_FILE))?;
        sync_dir(self.fs(), self.path())?;
        Ok(path)
    }
}
