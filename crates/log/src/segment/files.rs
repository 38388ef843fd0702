//! The files of a segment: their names, and handles that are opened when needed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use dohle_model::{Offset, Timestamp};
use dohle_storage::{Environment, File, FileSystem, OpenMode};
use parking_lot::Mutex;

use crate::checkpoint::{Sync, read_if_exists, remove_if_exists, write_atomically};
use crate::error::{Context, SYNC_SEGMENT, StorageError};
use crate::open_files::{LazyFile, OpenFiles};

pub(crate) const LOG_SUFFIX: &str = ".log";
pub(crate) const INDEX_SUFFIX: &str = ".index";
pub(crate) const TIME_INDEX_SUFFIX: &str = ".timeindex";
pub(crate) const TXN_INDEX_SUFFIX: &str = ".txnindex";
pub(crate) const SNAPSHOT_SUFFIX: &str = ".snapshot";
pub(crate) const DELETED_SUFFIX: &str = ".deleted";
/// The suffix of a new segment that compaction is writing.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// The suffix of a new segment that is complete and about to replace old ones.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

pub(crate) const SEGMENT_SUFFIXES: [&str; 4] = [
    LOG_SUFFIX,
    INDEX_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
];

/// Returns `00000000000000001234.log` or a similar name.
pub(crate) fn file_name(base_offset: Offset, suffix: &str) -> String {
    format!("{:020}{suffix}", base_offset.0)
}

/// Parses the offset in such a name with this suffix.
pub(crate) fn offset_of_name(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().and_then(Offset::from_wire)
}

/// The files of one segment. They are shared with reads that run outside the log's lock: an open
/// file stays readable when it is renamed or deleted.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    dir: Arc<Path>,
    base_offset: Offset,
    log: LazyFile,
    known: Arc<Known>,
}

/// An open index file and its path.
pub(crate) type IndexFile = (Arc<dyn File>, PathBuf);

/// The known state of the content of a segment's files, shared by all handles of the files.
#[derive(Debug, Default)]
struct Known {
    /// The number of changes that invalidate positions looked up before.
    truncations: AtomicU32,
    /// The number of changes that overwrite or remove bytes of the `.log`.
    cuts: AtomicU32,
    /// Whether a header in the `.log` was found damaged.
    distrusted: AtomicBool,
    /// Whether an entry of the index files did not match the batches.
    indexes_doubted: AtomicBool,
    hints: Mutex<Hints>,
}

/// The offsets where recent reads ended. The next read of the same reader begins there, at the tail
/// or in the middle of the log, and needs no index.
#[derive(Debug, Default)]
struct Hints {
    ends: Vec<(Offset, u32)>,
    oldest: usize,
}

impl Hints {
    /// Enough for followers and some consumers.
    const MAX: usize = 8;

    fn insert(&mut self, from: Offset, end: (Offset, u32)) {
        // A reader that continues replaces its previous position.
        let own = self.ends.iter().position(|(offset, _)| *offset == from);
        match own {
            Some(at) => self.ends[at] = end,
            None if self.ends.len() < Self::MAX => self.ends.push(end),
            None => {
                self.ends[self.oldest] = end;
                self.oldest = (self.oldest + 1) % Self::MAX;
            }
        }
    }
}

impl SegmentFiles {
    /// Creates the value with descriptors of its own: nothing closes the file while this value
    /// exists.
    pub(crate) fn new(dir: Arc<Path>, base_offset: Offset, environment: &Environment) -> Self {
        Self::new_in(dir, base_offset, unshared(environment))
    }

    pub(crate) fn new_in(dir: Arc<Path>, base_offset: Offset, open_files: Arc<OpenFiles>) -> Self {
        Self {
            dir,
            base_offset,
            log: LazyFile::new(open_files),
            known: Arc::default(),
        }
    }

    /// Creates the value with a `.log` that was opened under another name.
    pub(crate) fn with_log(
        dir: Arc<Path>,
        base_offset: Offset,
        log: Arc<dyn File>,
        environment: &Environment,
    ) -> Self {
        Self {
            dir,
            base_offset,
            log: LazyFile::with(log, unshared(environment)),
            known: Arc::default(),
        }
    }

    /// Creates an empty `.log`. An existing file of this name loses its content.
    pub(crate) fn create(
        dir: Arc<Path>,
        base_offset: Offset,
        open_files: &Arc<OpenFiles>,
    ) -> Result<Self, StorageError> {
        let path = dir.join(file_name(base_offset, LOG_SUFFIX));
        let create = || {
            let opened = open_files.fs().open(&path, OpenMode::CreateOrTruncate);
            opened.context("create", &path)
        };
        Ok(Self {
            log: LazyFile::created(Arc::clone(open_files), create)?,
            dir,
            base_offset,
            known: Arc::default(),
        })
    }

    /// Returns the same files, closed, which `open_files` may close from now on.
    pub(crate) fn moved_to(&self, open_files: &Arc<OpenFiles>) -> Self {
        Self {
            dir: self.dir(),
            base_offset: self.base_offset,
            log: LazyFile::new(Arc::clone(open_files)),
            known: Arc::clone(&self.known),
        }
    }

    /// Notes that the directory was renamed.
    pub(crate) fn relocate(&mut self, dir: &Arc<Path>) {
        self.dir = Arc::clone(dir);
    }

    /// Returns the same files, closed, in a directory that was renamed.
    pub(crate) fn closed_in(&self, dir: &Arc<Path>) -> Self {
        Self {
            dir: Arc::clone(dir),
            ..self.moved_to(self.log.open_files())
        }
    }

    pub(crate) fn base_offset(&self) -> Offset {
        self.base_offset
    }

    pub(crate) fn dir(&self) -> Arc<Path> {
        Arc::clone(&self.dir)
    }

    pub(crate) fn environment(&self) -> &Environment {
        self.log.open_files().environment()
    }

    fn fs(&self) -> &dyn FileSystem {
        self.log.open_files().fs()
    }

    pub(crate) fn is_open(&self) -> bool {
        self.log.is_open()
    }

    /// Returns the same files with the `.log` open during the lifetime of the returned value, even
    /// if its name changes.
    pub(crate) fn pinned(&self) -> Result<Self, StorageError> {
        Ok(self.pinned_to(self.log()?))
    }

    /// Does the same as [`SegmentFiles::pinned`] if the `.log` is open.
    pub(crate) fn pinned_if_open(&self) -> Option<Self> {
        self.log.get_if_open().map(|file| self.pinned_to(file))
    }

    fn pinned_to(&self, file: Arc<dyn File>) -> Self {
        Self {
            dir: self.dir(),
            base_offset: self.base_offset,
            log: LazyFile::with(file, Arc::clone(self.log.open_files())),
            known: Arc::clone(&self.known),
        }
    }

    /// Closes the `.log`, which is opened again when needed. Running reads keep it open.
    pub(crate) fn close(&self) {
        self.log.close();
    }

    pub(crate) fn path(&self, suffix: &str) -> PathBuf {
        self.dir.join(file_name(self.base_offset, suffix))
    }

    /// Returns the `.log`. Opens it if it is not open.
    pub(crate) fn log(&self) -> Result<Arc<dyn File>, StorageError> {
        self.log.get(|| self.open_log())
    }

    fn open_log(&self) -> Result<Arc<dyn File>, StorageError> {
        let path = self.path(LOG_SUFFIX);
        let opened = self.fs().open(&path, OpenMode::ReadWrite);
        opened.context("open", &path)
    }

    pub(crate) fn log_size(&self) -> Result<u64, StorageError> {
        let path = self.path(LOG_SUFFIX);
        Ok(self.fs().metadata(&path).context("stat", &path)?.len)
    }

    /// Returns the size in bytes of one of the files; 0 when it does not exist.
    pub(crate) fn size_of(&self, suffix: &str) -> Result<u64, StorageError> {
        Ok(self.size_if_exists(suffix)?.unwrap_or(0))
    }

    /// Returns the size in bytes of one of the files; `None` when it does not exist.
    pub(crate) fn size_if_exists(&self, suffix: &str) -> Result<Option<u64>, StorageError> {
        let path = self.path(suffix);
        match self.fs().metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("stat", &path),
        }
    }

    /// Records that an entry of the index files did not match the batches. Returns whether this is
    /// the first time, in which case the index files should be rebuilt.
    pub(crate) fn doubt_indexes(&self) -> bool {
        !self.known.indexes_doubted.swap(true, Ordering::AcqRel)
    }

    /// Sets the modification time of the `.log`.
    pub(crate) fn set_modified(&self, at: Timestamp) -> Result<(), StorageError> {
        let since = Duration::from_millis(u64::try_from(at.0).unwrap_or(0));
        self.log()?
            .set_modified(SystemTime::UNIX_EPOCH + since)
            .context("set time of", &self.path(LOG_SUFFIX))
    }

    /// Returns the modification time of the `.log`.
    pub(crate) fn modified(&self) -> Result<Timestamp, StorageError> {
        let path = self.path(LOG_SUFFIX);
        let metadata = self.fs().metadata(&path).context("stat", &path)?;
        let since = metadata.modified.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis();
        Ok(Timestamp(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    /// Writes at `position`: with one system call, unless the kernel accepts fewer bytes.
    pub(crate) fn write(&self, bytes: &[u8], position: u64) -> Result<(), StorageError> {
        let log = self.log.get_to_write(|| self.open_log())?;
        let written = log.write_all_at(bytes, position);
        let noted = self.log.wrote(position, bytes.len() as u64);
        // The path is built only for an error: building it took a fifth of the time of a small
        // write.
        written.or_else(|error| Err(error).context("append to", &self.path(LOG_SUFFIX)))?;
        noted.or_else(|error| Err(error).context(SYNC_SEGMENT, &self.path(LOG_SUFFIX)))
    }

    /// Returns how often the file was truncated or deleted. A read compares this number before and
    /// after.
    pub(crate) fn truncations(&self) -> u32 {
        self.known.truncations.load(Ordering::Acquire)
    }

    /// Returns how often bytes of the file were removed. A sender of a part of the file compares
    /// this number before and after.
    pub(crate) fn cuts(&self) -> u32 {
        self.known.cuts.load(Ordering::Acquire)
    }

    /// Returns whether [`SegmentFiles::distrust`] was called.
    pub(crate) fn is_distrusted(&self) -> bool {
        self.known.distrusted.load(Ordering::Relaxed)
    }

    /// Records that a damaged header was found: reads that are planned from now on check each
    /// header.
    pub(crate) fn distrust(&self) {
        self.known.distrusted.store(true, Ordering::Relaxed);
    }

    /// Invalidates positions that were looked up before.
    pub(crate) fn mark_stale(&self) {
        self.known.truncations.fetch_add(1, Ordering::AcqRel);
        self.known.hints.lock().ends.clear();
    }

    /// Returns the position of the batch that begins at `offset`, if a read ended there.
    pub(crate) fn hint(&self, offset: Offset) -> Option<u32> {
        let hints = self.known.hints.lock();
        let known = hints.ends.iter().find(|(end, _)| *end == offset);
        known.map(|(_, position)| *position)
    }

    /// Records that a read from `from` on ended before the batch at this offset and position.
    /// `truncations` is the number from before the read.
    pub(crate) fn remember(&self, from: Offset, end: (Offset, u32), truncations: u32) {
        let mut hints = self.known.hints.lock();
        if self.truncations() == truncations {
            hints.insert(from, end);
        }
    }

    pub(crate) fn set_len(&self, size: u64) -> Result<(), StorageError> {
        // Incremented before the file changes; see the invariant of `range`.
        self.known.cuts.fetch_add(1, Ordering::AcqRel);
        self.mark_stale();
        self.log()?
            .set_len(size)
            .context("truncate", &self.path(LOG_SUFFIX))
    }

    /// Truncates the file to `size` after a failed write. Unlike [`SegmentFiles::set_len`] it
    /// removes nothing that a reader may have looked up, because reads end where the last complete
    /// append did. Returns the error of the write; if the file cannot be truncated, it is an error
    /// of the device.
    pub(crate) fn cut_torn_write(&self, size: u64, error: StorageError) -> StorageError {
        // A file that is written stays open. If it is closed, the write could not open it and wrote
        // nothing.
        let Some(file) = self.log.get_if_open() else {
            return error;
        };
        match file.set_len(size) {
            Ok(()) => error,
            Err(cut) => StorageError {
                source: io::Error::other(format!(
                    "{}; cannot truncate the file: {cut}",
                    error.source
                )),
                ..error
            },
        }
    }

    pub(crate) fn sync_log(&self) -> Result<(), StorageError> {
        self.log()?
            .sync_data()
            .context(SYNC_SEGMENT, &self.path(LOG_SUFFIX))?;
        self.check_write_back()
    }

    /// # Errors
    /// When a write-back of the `.log` that was started early has failed.
    pub(crate) fn check_write_back(&self) -> Result<(), StorageError> {
        let result = self.log.write_back_result();
        result.or_else(|error| Err(error).context(SYNC_SEGMENT, &self.path(LOG_SUFFIX)))
    }

    /// Reads up to `length` bytes at `position`, fewer only at the end of the file, into memory
    /// that is not zeroed first.
    pub(crate) fn read(&self, position: u64, length: usize) -> Result<Vec<u8>, StorageError> {
        let file = self.log()?;
        let mut out = Vec::with_capacity(length);
        while out.len() < length {
            let at = position + out.len() as u64;
            match file.read_spare(&mut out, at) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) => return Err(error).context("read", &self.path(LOG_SUFFIX)),
            }
        }
        out.truncate(length);
        Ok(out)
    }

    /// Opens an index file for lookups. Returns `None` when it does not exist, for example after a
    /// deletion.
    pub(crate) fn open_index(&self, suffix: &str) -> Result<Option<IndexFile>, StorageError> {
        let path = self.path(suffix);
        let opened = self
            .log
            .open_files()
            .open(|| match self.fs().open(&path, OpenMode::Read) {
                Ok(file) => Ok(Some(file)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error).context("open", &path),
            });
        Ok(opened?.map(|file| (file, path)))
    }

    pub(crate) fn read_index(&self, suffix: &str) -> Result<Option<Vec<u8>>, StorageError> {
        read_if_exists(self.fs(), &self.path(suffix))
    }

    pub(crate) fn write_index(
        &self,
        suffix: &str,
        bytes: &[u8],
        sync: Sync,
    ) -> Result<(), StorageError> {
        write_atomically(self.fs(), &self.path(suffix), bytes, sync)
    }

    /// Removes one of the files if it exists.
    pub(crate) fn remove(&self, suffix: &str) -> Result<(), StorageError> {
        remove_if_exists(self.fs(), &self.path(suffix))
    }

    /// Renames all files to `….deleted`. Returns their new names.
    pub(crate) fn mark_deleted(&self) -> Result<Vec<PathBuf>, StorageError> {
        let mut marked = Vec::new();
        for suffix in SEGMENT_SUFFIXES.into_iter().chain([SNAPSHOT_SUFFIX]) {
            let from = self.path(suffix);
            let to = self.path(&format!("{suffix}{DELETED_SUFFIX}"));
            match self.fs().rename(&from, &to) {
                Ok(()) => marked.push(to),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error).context("rename", &from),
            }
        }
        Ok(marked)
    }

    /// Deletes all files at once.
    pub(crate) fn delete(&self) -> Result<(), StorageError> {
        self.known.cuts.fetch_add(1, Ordering::AcqRel);
        self.mark_stale();
        for suffix in SEGMENT_SUFFIXES.into_iter().chain([SNAPSHOT_SUFFIX]) {
            self.remove(suffix)?;
        }
        Ok(())
    }
}

/// Creates a value for files that are not subject to the limit of any log.
fn unshared(environment: &Environment) -> Arc<OpenFiles> {
    Arc::new(OpenFiles::default().within(environment.clone()))
}
