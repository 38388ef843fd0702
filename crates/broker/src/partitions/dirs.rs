//! The broker's log directories: the partitions in each, and the directories that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dohle_log::directory::{AppliedMetadata, Checkpoint, LogDirectory, PartitionDirKind};
use dohle_log::{StorageError, StorageErrorKind, partition_metadata};
use dohle_model::image::{MetadataImage, MetadataPosition};
use dohle_model::{DirectoryId, Offset, TopicId, TopicPartition};
use parking_lot::Mutex;

use super::copies::Copy;

/// A log directory that was locked and whose `meta.properties` belong to this node.
#[derive(Debug)]
pub struct LogDir {
    /// Its `directory.id`.
    pub id: DirectoryId,
    /// Its files.
    pub directory: LogDirectory,
}

/// A log directory that could not be opened, so that its id is unknown.
#[derive(Debug, Clone)]
pub struct OfflineDir {
    /// Its path.
    pub path: PathBuf,
    /// The reason.
    pub reason: String,
}

/// A partition's directory that was found at the start and is not open yet.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) path: PathBuf,
    pub(super) identity: Identity,
    pub(super) high_watermark: Offset,
    pub(super) recovery_point: Offset,
    pub(super) log_start_offset: Offset,
    /// Whether the checkpoint that contains the log start is damaged.
    pub(super) log_start_lost: bool,
    /// The offset of the first record that compaction has not processed.
    pub(super) cleaner_offset: Option<Offset>,
    /// The directory whose log this one has replaced, if the old log may still be there.
    pub(super) replaces: Option<DirectoryId>,
}

/// The file in a copy that takes the place of a log: the id of the log's directory. Apache Kafka,
/// like [`dohle_log::Log`], deletes files with this suffix when it opens a log.
const REPLACES_FILE: &str = "replaced-directory.deleted";

/// Notes in a copy which directory has the log that it is about to replace. Without the file a
/// crash during the swap leaves the old log as a stray.
pub(super) fn note_replaced(copy: &Path, from: DirectoryId) {
    if let Err(error) = std::fs::write(copy.join(REPLACES_FILE), from.to_string()) {
        tracing::debug!(%error, path = %copy.display(), "cannot note the replaced directory");
    }
}

/// Removes the note, after the old log was put away.
pub(super) fn forget_replaced(path: &Path) {
    let _ = std::fs::remove_file(path.join(REPLACES_FILE));
}

fn replaced(path: &Path) -> Option<DirectoryId> {
    let text = std::fs::read_to_string(path.join(REPLACES_FILE)).ok()?;
    text.parse().ok()
}

impl Found {
    /// Describes a directory at the path of a new log that did not exist at the start.
    pub(super) fn left(path: &Path) -> Result<Self, StorageError> {
        Ok(Self {
            identity: identity(path, None)?,
            path: path.to_owned(),
            high_watermark: Offset::ZERO,
            recovery_point: Offset::ZERO,
            log_start_offset: Offset::ZERO,
            log_start_lost: false,
            cleaner_offset: None,
            replaces: None,
        })
    }
}

/// The topic of a partition's directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Identity {
    /// The topic with this id.
    Known(TopicId),
    /// Its `partition.metadata` is missing or empty, as after a crash of the machine soon after the
    /// partition was created.
    Missing,
    /// Its `partition.metadata` cannot be read, with the reason.
    Damaged(String),
}

/// The metadata offset up to which changes were applied to the replicas of a directory. The file is
/// written later.
#[derive(Debug, Default)]
struct Applied {
    position: Option<MetadataPosition>,
    partitions: BTreeMap<TopicPartition, TopicId>,
    /// Partitions that the current change opened.
    opened: Vec<(TopicPartition, TopicId)>,
    /// Whether `partitions` differs from the file.
    partitions_changed: bool,
    /// Whether `position` differs from the file.
    position_changed: bool,
}

/// The offset of the first record of each compacted log that compaction has not processed.
#[derive(Debug, Default)]
pub(super) struct CleanerOffsets {
    pub(super) offsets: BTreeMap<TopicPartition, Offset>,
    /// Whether the offsets differ from those in the file.
    changed: bool,
}

impl CleanerOffsets {
    /// Sets a log's offset; `None` removes it.
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

/// The partitions whose log start is lost, as they are to be written to `unknown-log-starts`.
#[derive(Debug, Default)]
struct UnknownStarts {
    partitions: BTreeSet<TopicPartition>,
    /// Whether the partitions differ from those in the file.
    changed: bool,
}

/// A log directory in use.
#[derive(Debug)]
pub(super) struct Dir {
    pub(super) id: DirectoryId,
    pub(super) directory: LogDirectory,
    /// Whether the last shutdown was clean.
    pub(super) clean: bool,
    found: Mutex<BTreeMap<TopicPartition, Found>>,
    /// Copies of replicas that were being moved to this directory when the last process stopped.
    futures: Mutex<Vec<(TopicPartition, Found)>>,
    /// The checkpoint of compaction. The file is written later.
    pub(super) cleaner_offsets: Mutex<CleanerOffsets>,
    /// The metadata position in the file when the process started.
    recorded: Option<AppliedMetadata>,
    applied: Mutex<Applied>,
    unknown_starts: Mutex<UnknownStarts>,
    offline: Mutex<Offline>,
}

#[derive(Debug, Default)]
struct Offline {
    /// Why it is offline; `None` while it is online.
    reason: Option<String>,
    /// Whether the directory's partitions were taken offline.
    followed: bool,
}

impl Dir {
    /// Reads the content of a directory. A directory that cannot be read is offline from the start.
    pub(super) fn open(dir: LogDir) -> Self {
        let LogDir { id, directory } = dir;
        let offsets = read_cleaner_offsets(&directory);
        let scanned = read_applied(&directory).and_then(|recorded| {
            let scanned = scan(&directory, &offsets, recorded.as_ref())?;
            Ok((recorded, scanned))
        });
        let (recorded, (found, futures), offline) = match scanned {
            Ok((recorded, scanned)) => (recorded, scanned, None),
            Err(error) => {
                tracing::error!(%error, "log directory cannot be read");
                (None, Scanned::default(), Some(error.to_string()))
            }
        };
        let lost = found.iter().filter(|(_, found)| found.log_start_lost);
        let unknown_starts = UnknownStarts {
            partitions: lost.map(|(name, _)| name.clone()).collect(),
            changed: false,
        };
        let offline = Offline {
            followed: offline.is_some(),
            reason: offline,
        };
        Self {
            id,
            clean: directory.clean_shutdown().is_some(),
            directory,
            found: Mutex::new(found),
            futures: Mutex::new(futures),
            recorded,
            applied: Mutex::default(),
            cleaner_offsets: Mutex::new(CleanerOffsets {
                offsets,
                changed: false,
            }),
            unknown_starts: Mutex::new(unknown_starts),
            offline: Mutex::new(offline),
        }
    }

    /// Returns why it is offline, if it is.
    pub(super) fn offline(&self) -> Option<String> {
        self.offline.lock().reason.clone()
    }

    /// Marks the directory as offline: no log is opened in it from now on. Its partitions are taken
    /// offline after [`Dir::take_partitions_offline`].
    pub(super) fn take_offline(&self, reason: &str) {
        let mut offline = self.offline.lock();
        offline.reason.get_or_insert_with(|| reason.to_owned());
    }

    /// Returns whether to take the directory's partitions offline, once after a failure.
    pub(super) fn take_partitions_offline(&self) -> bool {
        let mut offline = self.offline.lock();
        offline.reason.is_some() && !std::mem::replace(&mut offline.followed, true)
    }

    /// Called before the directory is used. A crash after that does not count as a clean shutdown.
    /// Blocks on the disk.
    pub(super) fn begin_use(&self) -> Result<(), StorageError> {
        self.directory.take_clean_shutdown()?;
        self.directory.set_stray_decision(None)
    }

    /// Returns what it contains of a partition. `is_registered` is whether the metadata have the
    /// replica here.
    pub(super) fn copy(
        &self,
        name: &TopicPartition,
        topic_id: TopicId,
        is_registered: bool,
    ) -> Copy {
        match self.found.lock().get(name) {
            None if self.has_future(name, topic_id) => Copy::Future,
            None => Copy::None,
            Some(found) => match &found.identity {
                Identity::Known(id) if *id == topic_id => Copy::Usable,
                Identity::Known(_) => Copy::None,
                Identity::Missing if is_registered || !has_records(&found.path) => Copy::Usable,
                Identity::Missing => Copy::None,
                Identity::Damaged(reason) => Copy::Unidentified(reason.clone()),
            },
        }
    }

    /// Whether a copy of the replica, which was being moved to this directory, was found in it.
    pub(super) fn has_future(&self, name: &TopicPartition, topic_id: TopicId) -> bool {
        let futures = self.futures.lock();
        futures.iter().any(|future| is_copy(future, name, topic_id))
    }

    /// Takes the copies of replicas that were being moved to this directory.
    pub(super) fn take_futures(&self) -> Vec<(TopicPartition, Found)> {
        std::mem::take(&mut *self.futures.lock())
    }

    /// Makes the copy of a replica that was being moved to this directory the replica's log.
    /// Returns `None` when there is no such copy. Blocks on the disk.
    pub(super) fn promote(
        &self,
        name: &TopicPartition,
        topic_id: TopicId,
    ) -> Result<Option<Found>, StorageError> {
        let mut futures = self.futures.lock();
        let at = futures
            .iter()
            .position(|future| is_copy(future, name, topic_id));
        let Some(at) = at else { return Ok(None) };
        let path = self.directory.promote_future(&futures[at].1.path, name)?;
        let (_, found) = futures.swap_remove(at);
        Ok(Some(Found { path, ..found }))
    }

    /// Removes the directory of this name from those found.
    pub(super) fn claim(&self, name: &TopicPartition) -> Option<Found> {
        self.found.lock().remove(name)
    }

    /// Returns the partitions that were found and not opened yet.
    pub(super) fn unclaimed(&self) -> Vec<(TopicPartition, Identity)> {
        let found = self.found.lock();
        let identity = |(name, found): (&TopicPartition, &Found)| {
            let name = name.clone();
            (name, found.identity.clone())
        };
        found.iter().map(identity).collect()
    }

    /// Whether the metadata last applied to this directory belong to the same history as `image`.
    pub(super) fn knows_history(&self, image: &MetadataImage) -> bool {
        let recorded = self.recorded.as_ref();
        recorded.is_some_and(|recorded| image.continues(recorded.position))
    }

    /// Whether the partition was a replica of this broker at a metadata offset that `image`
    /// continues from. When `image` does not contain it, a committed record
    /// removed it.
    pub(super) fn was_known(
        &self,
        name: &TopicPartition,
        topic_id: TopicId,
        image: &MetadataImage,
    ) -> bool {
        let known = self
            .recorded
            .as_ref()
            .and_then(|it| it.partitions.get(name));
        known == Some(&topic_id) && self.knows_history(image)
    }

    /// Notes a replica that the current change opened in it.
    pub(super) fn note_opened(&self, name: &TopicPartition, id: TopicId) {
        self.applied.lock().opened.push((name.clone(), id));
    }

    /// Notes a replica that was removed from it.
    pub(super) fn note_removed(&self, name: &TopicPartition) {
        self.note_known_start(name);
        let mut applied = self.applied.lock();
        applied.partitions_changed |= applied.partitions.remove(name).is_some();
    }

    /// Notes that the log start of a replica that moves to this directory is not known.
    pub(super) fn note_unknown_start(&self, name: &TopicPartition) {
        let mut unknown = self.unknown_starts.lock();
        unknown.changed |= unknown.partitions.insert(name.clone());
    }

    /// Notes that the log start of a partition is known again, or that the partition is gone.
    pub(super) fn note_known_start(&self, name: &TopicPartition) {
        let mut unknown = self.unknown_starts.lock();
        unknown.changed |= unknown.partitions.remove(name);
    }

    /// Writes which log starts are unknown, if that has changed. Must be called after the known log
    /// starts were written to their checkpoint. Blocks on the disk.
    pub(super) fn write_unknown_starts(&self) -> Result<(), StorageError> {
        let partitions = {
            let mut unknown = self.unknown_starts.lock();
            if !std::mem::take(&mut unknown.changed) {
                return Ok(());
            }
            unknown.partitions.clone()
        };
        self.directory
            .write_unknown_log_starts(&partitions)
            .inspect_err(|_| self.unknown_starts.lock().changed = true)
    }

    /// Notes that changes up to `position` were applied. Returns whether replicas were added or
    /// removed.
    pub(super) fn on_applied(&self, position: Option<MetadataPosition>) -> bool {
        let mut applied = self.applied.lock();
        let opened = std::mem::take(&mut applied.opened);
        applied.partitions_changed |= !opened.is_empty();
        applied.partitions.extend(opened);
        applied.position_changed |= applied.position != position;
        applied.position = position;
        applied.partitions_changed
    }

    /// Writes the metadata position if it differs from the file's. Blocks on the disk.
    pub(super) fn write_applied(&self) -> Result<(), StorageError> {
        let content = {
            let mut applied = self.applied.lock();
            let Some(position) = applied.position else {
                return Ok(());
            };
            let position_changed = std::mem::take(&mut applied.position_changed);
            if !std::mem::take(&mut applied.partitions_changed) && !position_changed {
                return Ok(());
            }
            let partitions = applied.partitions.clone();
            AppliedMetadata {
                position,
                partitions,
            }
        };
        let written = self.directory.write_applied_metadata(&content);
        if written.is_err() {
            let mut applied = self.applied.lock();
            (applied.position_changed, applied.partitions_changed) = (true, true);
        }
        written
    }

    /// Writes the checkpoint of compaction if it has changed. Blocks on the disk.
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
            .inspect_err(|_| self.cleaner_offsets.lock().changed = true)
    }
}

/// Reads the checkpoint of compaction. Without it compaction begins again at the start of each log,
/// so a damaged file is no reason to refuse the directory.
fn read_cleaner_offsets(directory: &LogDirectory) -> BTreeMap<TopicPartition, Offset> {
    match directory.read_checkpoint(Checkpoint::CleanerOffset) {
        Ok(offsets) => offsets,
        Err(error) => {
            tracing::warn!(
                %error,
                "cannot read the checkpoint of compaction: it begins again at the log starts"
            );
            BTreeMap::new()
        }
    }
}

/// Reads a checkpoint that can be rebuilt. Returns `None` for a damaged one, as for a missing one.
fn read_derived(
    directory: &LogDirectory,
    checkpoint: Checkpoint,
    consequence: &str,
) -> Result<Option<BTreeMap<TopicPartition, Offset>>, StorageError> {
    match directory.read_checkpoint(checkpoint) {
        Err(error) if error.kind() == StorageErrorKind::Damage => {
            tracing::warn!(%error, "damaged checkpoint is rebuilt: {consequence}");
            Ok(None)
        }
        read => read.map(Some),
    }
}

/// Reads the metadata position. Without the file the directory's history is unknown, and no
/// partition counts as deleted because it is missing in the metadata.
fn read_applied(directory: &LogDirectory) -> Result<Option<AppliedMetadata>, StorageError> {
    match directory.read_applied_metadata() {
        Err(error) if error.kind() == StorageErrorKind::Damage => {
            tracing::warn!(
                %error,
                "cannot read the metadata position of the log directory: no partition in it counts \
                 as deleted"
            );
            Ok(None)
        }
        read => read,
    }
}

/// The partitions that were found in a log directory, and the copies of replicas that were being
/// moved to it.
type Scanned = (
    BTreeMap<TopicPartition, Found>,
    Vec<(TopicPartition, Found)>,
);

fn is_copy(future: &(TopicPartition, Found), name: &TopicPartition, topic_id: TopicId) -> bool {
    future.0 == *name && future.1.identity == Identity::Known(topic_id)
}

fn scan(
    directory: &LogDirectory,
    cleaner_offsets: &BTreeMap<TopicPartition, Offset>,
    recorded: Option<&AppliedMetadata>,
) -> Result<Scanned, StorageError> {
    let high_watermarks = read_derived(
        directory,
        Checkpoint::HighWatermark,
        "high watermarks begin at the log starts",
    )?;
    let recovery_points = read_derived(
        directory,
        Checkpoint::RecoveryPoint,
        "logs are recovered from their starts",
    )?;
    let log_starts = read_derived(
        directory,
        Checkpoint::LogStartOffset,
        "logs begin at their first segment until followers have taken the log start from their \
         leader, and leaders from an in-sync replica; where no other replica is in sync, records \
         removed by DeleteRecords may reappear",
    )?;
    let unknown = match directory.read_unknown_log_starts() {
        Err(error) if error.kind() == StorageErrorKind::Damage => {
            tracing::warn!(
                %error,
                "cannot read which log starts are unknown: all of them count as unknown"
            );
            None
        }
        read => Some(read?),
    };
    let (mut found, mut futures) = (BTreeMap::new(), Vec::new());
    for dir in directory.partition_dirs()? {
        match dir.kind {
            PartitionDirKind::Current | PartitionDirKind::Future => {}
            // The directory was renamed after a committed record had removed the replica.
            PartitionDirKind::Delete => {
                directory.delete(&dir.path)?;
                continue;
            }
            PartitionDirKind::Stray => continue,
        }
        let name = dir.topic_partition;
        let of = |offsets: &Option<BTreeMap<TopicPartition, Offset>>| {
            let offset = offsets.as_ref().and_then(|offsets| offsets.get(&name));
            offset.copied().unwrap_or_default()
        };
        let is_future = dir.kind == PartitionDirKind::Future;
        let known = recorded.and_then(|recorded| recorded.partitions.get(&name));
        let known = known.filter(|_| !is_future);
        let entry = Found {
            identity: identity(&dir.path, known.copied())?,
            path: dir.path.clone(),
            high_watermark: of(&high_watermarks),
            recovery_point: of(&recovery_points),
            log_start_offset: of(&log_starts),
            log_start_lost: log_starts.is_none()
                || unknown
                    .as_ref()
                    .is_none_or(|unknown| unknown.contains(&name)),
            cleaner_offset: cleaner_offsets.get(&name).copied(),
            replaces: replaced(&dir.path).filter(|_| !is_future),
        };
        if is_future {
            futures.push((name, entry));
        } else {
            found.insert(name, entry);
        }
    }
    let lost = found.iter().filter(|(_, found)| found.log_start_lost);
    let lost: BTreeSet<_> = lost.map(|(name, _)| name.clone()).collect();
    if unknown.as_ref() != Some(&lost) {
        // Written before the log starts' checkpoint, so that a second restart does not trust that
        // checkpoint.
        match directory.write_unknown_log_starts(&lost) {
            Err(error) if error.kind() == StorageErrorKind::Full => {
                tracing::warn!(%error, "no space for the list of unknown log starts");
            }
            written => written?,
        }
    }
    Ok((found, futures))
}

/// Returns the topic of a partition's directory. `known` is the log directory's record of it, from
/// which a damaged `partition.metadata` is rewritten.
fn identity(path: &Path, known: Option<TopicId>) -> Result<Identity, StorageError> {
    let damage = match partition_metadata::read(path) {
        Ok(Some(id)) => return Ok(Identity::Known(id)),
        Ok(None) => None,
        Err(error) if error.kind() == StorageErrorKind::Damage => Some(error.to_string()),
        Err(error) => return Err(error),
    };
    match (known, damage) {
        (Some(id), damage) => {
            tracing::warn!(
                path = %path.display(), topic_id = %id,
                "partition.metadata is missing or damaged ({}) and is written again",
                damage.as_deref().unwrap_or("empty")
            );
            match partition_metadata::write(path, id) {
                Err(error) if error.kind() == StorageErrorKind::Full => {
                    tracing::warn!(%error, "no space for partition.metadata");
                }
                written => written?,
            }
            Ok(Identity::Known(id))
        }
        (None, None) => Ok(Identity::Missing),
        (None, Some(reason)) => {
            tracing::warn!(path = %path.display(), "{reason}");
            Ok(Identity::Damaged(reason))
        }
    }
}

/// Whether a log in this directory has records. True if the directory cannot be
/// read.
fn has_records(path: &Path) -> bool {
    let Ok(entries) = std::fs::read_dir(path) else {
        return true;
    };
    entries.into_iter().any(|entry| {
        let Ok(entry) = entry else { return true };
        let is_log = entry.path().extension().is_some_and(|end| end == "log");
        is_log && entry.metadata().is_ok_and(|it| it.len() > 0)
    })
}
