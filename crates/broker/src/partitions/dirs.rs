//! The broker's log directories: which partitions lie where, and which directories failed.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dohle_log::directory::{Checkpoint, LogDirectory, PartitionDirKind};
use dohle_log::{StorageError, partition_metadata};
use dohle_model::{DirectoryId, Offset, TopicId, TopicPartition};
use parking_lot::Mutex;

/// A log directory that was locked and whose `meta.properties` belong to this node.
#[derive(Debug)]
pub struct LogDir {
    /// Its identity (`directory.id`).
    pub id: DirectoryId,
    /// Its files.
    pub directory: LogDirectory,
}

/// A partition's directory that was found at the start and not asked for yet.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    /// From its `partition.metadata`.
    pub(super) topic_id: Option<TopicId>,
    pub(super) high_watermark: Offset,
    pub(super) recovery_point: Offset,
    pub(super) log_start_offset: Offset,
    /// Where the part begins that compaction has not seen.
    pub(super) cleaner_offset: Option<Offset>,
}

/// Where the part of each compacted log begins that compaction has not seen.
#[derive(Debug, Default)]
pub(super) struct CleanerOffsets {
    pub(super) offsets: BTreeMap<TopicPartition, Offset>,
    /// Whether the file says something else.
    changed: bool,
}

impl CleanerOffsets {
    /// Takes note of a log's offset; `None` forgets it.
    pub(super) fn set(&mut self, name: &TopicPartition, offset: Option<Offset>) {
        if self.offsets.get(name).copied() == offset {
            return;
        }
        self.changed = true;
        match offset {
            Some(offset) => self.offsets.insert(name.clone(), offset),
            None => self.offsets.remove(name),
        };
    }
}

/// A log directory in use.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) id: DirectoryId,
    pub(super) directory: LogDirectory,
    /// Whether the last shutdown was clean.
    pub(super) clean: bool,
    found: Mutex<BTreeMap<TopicPartition, Found>>,
    /// What the checkpoint of compaction says; the file follows.
    pub(super) cleaner_offsets: Mutex<CleanerOffsets>,
    /// Why it is offline.
    offline: Mutex<Option<String>>,
}

impl Dir {
    /// Looks at what is in a directory. A directory that cannot be read is offline from the start.
    pub(super) fn open(dir: LogDir) -> Self {
        let LogDir { id, directory } = dir;
        let offsets = read_cleaner_offsets(&directory);
        let (clean, found, offline) = match scan(&directory, &offsets) {
            Ok((clean, found)) => (clean, found, None),
            Err(error) => {
                tracing::error!(%error, "log directory cannot be read");
                (false, BTreeMap::new(), Some(error.to_string()))
            }
        };
        Self {
            id,
            directory,
            clean,
            found: Mutex::new(found),
            cleaner_offsets: Mutex::new(CleanerOffsets {
                offsets,
                changed: false,
            }),
            offline: Mutex::new(offline),
        }
    }

    /// Why it is offline, if it is.
    pub(super) fn offline(&self) -> Option<String> {
        self.offline.lock().clone()
    }

    /// Takes it offline. Answers whether that is new.
    pub(super) fn take_offline(&self, reason: &str) -> bool {
        let mut offline = self.offline.lock();
        let new = offline.is_none();
        offline.get_or_insert_with(|| reason.to_owned());
        new
    }

    /// Takes the directory of this partition out of those found, if it is there under that id.
    pub(super) fn claim(&self, name: &TopicPartition, topic_id: TopicId) -> Option<Found> {
        let mut found = self.found.lock();
        let matches = found.get(name)?.topic_id.is_none_or(|id| id == topic_id);
        if matches { found.remove(name) } else { None }
    }

    /// Takes a directory of this name out, whatever its id: another topic's that had the name.
    pub(super) fn claim_other(&self, name: &TopicPartition) -> Option<Found> {
        self.found.lock().remove(name)
    }

    /// Writes the checkpoint of compaction if something in it changed. Blocks on the disk.
    pub(super) fn write_cleaner_offsets(&self) -> Result<(), StorageError> {
        let offsets = {
            let mut cleaner = self.cleaner_offsets.lock();
            if !std::mem::take(&mut cleaner.changed) {
                return Ok(());
            }
            cleaner.offsets.clone()
        };
        let entries = offsets.iter().map(|(name, offset)| (name, *offset));
        self.directory
            .write_checkpoint(Checkpoint::CleanerOffset, entries)
    }

    /// Takes everything out that nobody asked for.
    pub(super) fn take_strays(&self) -> BTreeMap<TopicPartition, Found> {
        std::mem::take(&mut *self.found.lock())
    }
}

type Scanned = (bool, BTreeMap<TopicPartition, Found>);

/// Without it compaction only begins anew, so a damaged file is no reason to refuse the directory.
fn read_cleaner_offsets(directory: &LogDirectory) -> BTreeMap<TopicPartition, Offset> {
    match directory.read_checkpoint(Checkpoint::CleanerOffset) {
        Ok(offsets) => offsets,
        Err(error) => {
            tracing::warn!(%error, "compaction begins anew, its checkpoint cannot be read");
            BTreeMap::new()
        }
    }
}

fn scan(
    directory: &LogDirectory,
    cleaner_offsets: &BTreeMap<TopicPartition, Offset>,
) -> Result<Scanned, StorageError> {
    let clean = directory.take_clean_shutdown()?.is_some();
    let high_watermarks = directory.read_checkpoint(Checkpoint::HighWatermark)?;
    let recovery_points = directory.read_checkpoint(Checkpoint::RecoveryPoint)?;
    let log_starts = directory.read_checkpoint(Checkpoint::LogStartOffset)?;
    let mut found = BTreeMap::new();
    for dir in directory.partition_dirs()? {
        match dir.kind {
            PartitionDirKind::Current => {}
            PartitionDirKind::Delete | PartitionDirKind::Stray => {
                directory.delete(&dir.path)?;
                continue;
            }
            PartitionDirKind::Future => continue,
        }
        let name = dir.topic_partition;
        let of = |offsets: &BTreeMap<TopicPartition, Offset>| {
            offsets.get(&name).copied().unwrap_or_default()
        };
        let entry = Found {
            topic_id: partition_metadata::read(&dir.path)?,
            path: dir.path,
            high_watermark: of(&high_watermarks),
            recovery_point: of(&recovery_points),
            log_start_offset: of(&log_starts),
            cleaner_offset: cleaner_offsets.get(&name).copied(),
        };
        found.insert(name, entry);
    }
    Ok((clean, found))
}
