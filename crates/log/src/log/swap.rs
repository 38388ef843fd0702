//! Replaces old segments by a cleaned one, so that a crash at any point loses nothing.
//!
//! ```text
//! 1  base.log.cleaned, .index.cleaned, …        written and synced; dropped at the next start
//! 2  each ….cleaned  → ….swap, the log last     with the last one the swap is decided: from here
//!                                               on the next start completes it
//! 3  old files       → ….deleted
//! 4  each ….swap     → its name, the log first
//! ```
//!
//! A file system writes renames in one directory to the disk in their order; Kafka relies on that
//! too. The directory is synced before a replaced file is deleted for good.
//!
//! Source: `replaceSegments` of Kafka's `LocalLog.java`, `LogLoader.java`.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use dohle_model::Offset;
use dohle_storage::{Environment, FileSystem, OpenMode};

use super::Log;
use super::retention::DeletedSegment;
use crate::checkpoint::{Sync, read_if_exists, remove_if_exists, sync_dir};
use crate::clean::CleanedSegment;
use crate::damage::Damage;
use crate::error::{Context, StorageError};
use crate::index::{self, OffsetEntry};
use crate::segment::files::{
    CLEANED_SUFFIX, DELETED_SUFFIX, INDEX_SUFFIX, LOG_SUFFIX, SEGMENT_SUFFIXES, SNAPSHOT_SUFFIX,
    SWAP_SUFFIX, SegmentFiles, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, file_name, offset_of_name,
};
use crate::segment::scan::{Scan, ScanError};

/// One change of the directory.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Rename {
        from: PathBuf,
        to: PathBuf,
        /// Whether the file must exist. A missing file that is not required is skipped.
        required: bool,
    },
    Remove(PathBuf),
}

impl Step {
    fn run(&self, fs: &dyn FileSystem) -> Result<(), StorageError> {
        match self {
            Self::Rename { from, to, required } => match fs.rename(from, to) {
                Err(error) if !required && error.kind() == io::ErrorKind::NotFound => Ok(()),
                result => result.context("rename", from),
            },
            Self::Remove(path) => remove_if_exists(fs, path),
        }
    }
}

/// The result of [`Log::replace_segments`].
#[derive(Debug)]
pub enum Replaced {
    /// The new segment has replaced the old ones.
    Done(Swapped),
    /// The old segments are no longer those that were cleaned: retention or a truncation came
    /// first, or other damage was found in them. The new segment is deleted.
    Stale,
}

/// Old segments that were replaced.
#[derive(Debug)]
pub struct Swapped {
    /// The segments to unlink later, but not before [`Swapped::sync`].
    pub deleted: Vec<DeletedSegment>,
    dir: Arc<Path>,
    file_system: Arc<dyn FileSystem>,
    retired: Arc<AtomicBool>,
}

impl Swapped {
    /// Forces the renames to the disk. Blocks on the disk.
    ///
    /// # Errors
    /// When the directory cannot be synced; the log must go offline.
    pub fn sync(&self) -> Result<(), StorageError> {
        match sync_dir(&*self.file_system, &self.dir) {
            // The partition was deleted meanwhile.
            Err(error) if self.retired.load(Ordering::Acquire) => {
                tracing::debug!(%error, "cannot sync the directory of a deleted log");
                Ok(())
            }
            result => result,
        }
    }
}

impl Log {
    /// Replaces the old segments by the cleaned one. Only renames files; running reads continue to
    /// read the old files.
    ///
    /// # Errors
    /// When a file cannot be renamed. The log is offline then, and the next start completes the
    /// swap or drops it.
    pub fn replace_segments(&mut self, cleaned: CleanedSegment) -> Result<Replaced, StorageError> {
        let Some(first) = self.position_of(&cleaned) else {
            return Ok(Replaced::Stale);
        };
        let CleanedSegment {
            mut files,
            mut segment,
            replaces,
            reason,
            ..
        } = cleaned;
        self.guard(|log| {
            let range = first..first + replaces.len();
            for old in &log.segments[range.clone()] {
                // Marked before the names change, so that a reader that has looked up a position by
                // name notices the change.
                old.files.mark_stale();
            }
            log.forget_sizes(|base_offset| replaces.contains(&base_offset))?;
            // From here on a start completes the swap, or deletes the rest of it.
            files.mark_swapped();
            for step in swap_steps(&log.dir, &replaces) {
                step.run(log.fs())?;
            }
            segment.unload_indexes();
            segment.move_to(log.open_files());
            assert_eq!(
                segment.base_offset, replaces[0],
                "{}: the base offset of a segment that replaces {replaces:?}",
                log.topic_partition
            );
            let before = log.positions();
            let removed: Vec<_> = log.segments.splice(range, [segment]).collect();
            log.segment_changes += 1;
            assert_eq!(
                removed.len(),
                replaces.len(),
                "{}: segments that were replaced",
                log.topic_partition
            );
            log.assert_not_shorter("a swap", before);
            log.assert_segments_rise("a swap");
            log.retain_damage(|it| !replaces.contains(&it.segment))?;
            log.record_flushed_segments(Sync::No)?;
            let kept_snapshot = replaces[0];
            log.snapshots_pending
                .retain(|(offset, _)| *offset == kept_snapshot || !replaces.contains(offset));
            let deleted = removed
                .into_iter()
                .map(|old| DeletedSegment {
                    base_offset: old.base_offset,
                    size: u64::from(old.size),
                    reason,
                    files: deleted_files(&log.dir, old.base_offset),
                    file_system: Arc::clone(&log.open_files().environment().files),
                })
                .collect();
            Ok(Replaced::Done(Swapped {
                deleted,
                dir: Arc::clone(&log.dir),
                file_system: Arc::clone(&log.open_files().environment().files),
                retired: Arc::clone(&log.retired),
            }))
        })
    }

    /// Returns the index of the first old segment, if the old segments are still those that were
    /// cleaned.
    fn position_of(&self, cleaned: &CleanedSegment) -> Option<usize> {
        if self.failed || cleaned.generation != self.generation {
            return None;
        }
        let base = *cleaned.replaces.first()?;
        let first = self
            .segments
            .binary_search_by_key(&base, |segment| segment.base_offset)
            .ok()?;
        let closed = &self.segments[..self.segments.len() - 1];
        let found = closed.get(first..first + cleaned.replaces.len())?;
        let same = found
            .iter()
            .map(|segment| segment.base_offset)
            .eq(cleaned.replaces.iter().copied());
        // Damage that was found later is not repaired in the new segment, and must not be dropped
        // from the list.
        let replaces = |it: &&Damage| cleaned.replaces.contains(&it.segment);
        let damage = self.damage.iter().filter(replaces);
        (same && damage.eq(&cleaned.damage)).then_some(first)
    }
}

fn path(dir: &Path, base_offset: Offset, suffix: &str, end: &str) -> PathBuf {
    dir.join(file_name(base_offset, &format!("{suffix}{end}")))
}

fn deleted_files(dir: &Path, base_offset: Offset) -> Vec<PathBuf> {
    let suffixes = SEGMENT_SUFFIXES.into_iter().chain([SNAPSHOT_SUFFIX]);
    suffixes
        .map(|suffix| path(dir, base_offset, suffix, DELETED_SUFFIX))
        .collect()
}

/// Returns the renames of a swap; `replaces` begins with the base offset of the new segment.
fn swap_steps(dir: &Path, replaces: &[Offset]) -> Vec<Step> {
    let base = replaces[0];
    let rename = |offset, suffix, from: &str, to: &str| Step::Rename {
        from: path(dir, offset, suffix, from),
        to: path(dir, offset, suffix, to),
        // Without the new records the swap must stop: it would remove the old ones without a
        // replacement. Missing index files are rebuilt.
        required: suffix == LOG_SUFFIX,
    };
    let mut steps = Vec::new();
    for suffix in [
        TXN_INDEX_SUFFIX,
        TIME_INDEX_SUFFIX,
        INDEX_SUFFIX,
        LOG_SUFFIX,
    ] {
        steps.push(rename(base, suffix, CLEANED_SUFFIX, SWAP_SUFFIX));
    }
    for old in replaces {
        for suffix in SEGMENT_SUFFIXES {
            steps.push(rename(*old, suffix, "", DELETED_SUFFIX));
        }
        // The producer snapshot at the base offset stays valid, because it describes the records
        // below.
        if *old != base {
            steps.push(rename(*old, SNAPSHOT_SUFFIX, "", DELETED_SUFFIX));
        }
    }
    for suffix in SEGMENT_SUFFIXES {
        steps.push(rename(base, suffix, SWAP_SUFFIX, ""));
    }
    steps
}

/// Deletes the files of an interrupted cleaning, or completes its swap if that was decided.
pub(super) fn recover(environment: &Environment, dir: &Arc<Path>) -> Result<(), StorageError> {
    let fs = &*environment.files;
    let steps = recovery_steps(environment, dir)?;
    if steps.is_empty() {
        return Ok(());
    }
    tracing::info!(
        dir = %dir.display(),
        steps = steps.len(),
        "a compaction was interrupted, completing its decided swaps and deleting its other files"
    );
    for step in &steps {
        step.run(fs)?;
    }
    sync_dir(fs, dir)
}

/// The file names in the directory, by kind.
#[derive(Debug, Default)]
struct Listing {
    cleaned: BTreeSet<(Offset, &'static str)>,
    swap: BTreeSet<(Offset, &'static str)>,
    segments: BTreeSet<(Offset, &'static str)>,
}

fn list(fs: &dyn FileSystem, dir: &Path) -> Result<Listing, StorageError> {
    let mut listing = Listing::default();
    for entry in fs.list(dir).context("list", dir)? {
        let Some(name) = entry.name.to_str() else {
            continue;
        };
        for suffix in SEGMENT_SUFFIXES {
            let of = |end: &str| offset_of_name(name, &format!("{suffix}{end}"));
            let ends = [
                (CLEANED_SUFFIX, &mut listing.cleaned),
                (SWAP_SUFFIX, &mut listing.swap),
                ("", &mut listing.segments),
            ];
            for (end, found) in ends {
                if let Some(offset) = of(end) {
                    found.insert((offset, suffix));
                }
            }
        }
    }
    Ok(listing)
}

/// Returns the changes that a start has to make. After each of them, the rest follows again from
/// the directory.
fn recovery_steps(environment: &Environment, dir: &Arc<Path>) -> Result<Vec<Step>, StorageError> {
    let mut listing = list(&*environment.files, dir)?;
    let mut steps = Vec::new();
    // While one file is still a cleaned one, the swap was not decided. The swap files are deleted
    // first, or a second start would find them without the cleaned one.
    let undecided = listing.cleaned.first().map(|(offset, _)| *offset);
    if let Some(undecided) = undecided {
        let dropped = listing.swap.split_off(&(undecided, ""));
        for (offset, suffix) in &dropped {
            steps.push(Step::Remove(path(dir, *offset, suffix, SWAP_SUFFIX)));
        }
    }
    for (offset, suffix) in &listing.cleaned {
        steps.push(Step::Remove(path(dir, *offset, suffix, CLEANED_SUFFIX)));
    }
    // Segments whose records are in a new segment are deleted.
    let mut replaced = BTreeSet::new();
    for (base, _) in listing.swap.iter().filter(|file| file.1 == LOG_SUFFIX) {
        let [end, by_index] = ends_of_swap(environment, dir, *base)?.map(|end| {
            let range = (*base, "")..(end.max(base.plus(1)), "");
            listing.segments.range(range).copied().collect::<Vec<_>>()
        });
        if end != by_index {
            let text = "the offset in its last batch and in its index decide differently which \
                        segments it replaces";
            let path = path(dir, *base, LOG_SUFFIX, SWAP_SUFFIX);
            return Err(cannot_complete(&path, text));
        }
        replaced.extend(end);
    }
    for (offset, suffix) in replaced {
        steps.push(Step::Remove(path(dir, offset, suffix, "")));
    }
    let logs_first = |file: &&(Offset, &str)| file.1 != LOG_SUFFIX;
    let mut swap: Vec<_> = listing.swap.iter().collect();
    swap.sort_by_key(logs_first);
    for (offset, suffix) in swap {
        steps.push(Step::Rename {
            from: path(dir, *offset, suffix, SWAP_SUFFIX),
            to: path(dir, *offset, suffix, ""),
            required: true,
        });
    }
    Ok(steps)
}

/// Returns the end offset of a segment that waits for its swap: from its last batch, and from the
/// last entry of its offset index. The checksum of the batch does not cover its offset. Without an
/// entry, as in Kafka's files, both are the same.
fn ends_of_swap(
    environment: &Environment,
    dir: &Arc<Path>,
    base_offset: Offset,
) -> Result<[Offset; 2], StorageError> {
    let fs = &*environment.files;
    let path_of = |suffix| path(dir, base_offset, suffix, SWAP_SUFFIX);
    let path = path_of(LOG_SUFFIX);
    let log = fs.open(&path, OpenMode::Read).context("open", &path)?;
    let size = log.len().context("stat", &path)?;
    let files = SegmentFiles::with_log(Arc::clone(dir), base_offset, log, environment);
    let mut scan = Scan::headers(&files, 0, size);
    let mut last = None;
    loop {
        match scan.next_header() {
            Ok(Some(header)) => last = Some(header),
            Ok(None) => break,
            Err(ScanError::Storage(error)) => return Err(error),
            Err(ScanError::Batch { position, error }) => {
                return Err(cannot_complete(&path, &format!("byte {position}: {error}")));
            }
        }
    }
    let Some((position, header)) = last else {
        return Ok([base_offset; 2]);
    };
    let entries = read_if_exists(fs, &path_of(INDEX_SUFFIX))?.unwrap_or_default();
    let entries: Vec<OffsetEntry> = index::decode(&entries);
    let of_last = entries.last();
    if of_last.is_some_and(|entry| u64::from(entry.position) >= size) {
        return Err(cannot_complete(
            &path,
            "it ends before the last batch of its index",
        ));
    }
    let of_last = of_last.filter(|entry| u64::from(entry.position) == position);
    let by_index = of_last.map(|entry| index::absolute(base_offset, entry.relative_offset).plus(1));
    let end = header.next_offset();
    Ok([end, by_index.unwrap_or(end)])
}

fn cannot_complete(path: &Path, reason: &str) -> StorageError {
    let text = format!(
        "{reason}; the file was whole on the disk when compaction or a repair put it there, so the \
         disk has lost it: delete this partition's directory to fetch it again from another replica"
    );
    StorageError::invalid("complete the swap of", path, text)
}

#[cfg(test)]
mod tests;
