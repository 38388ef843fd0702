//! The files of a segment: their names, opened when they are first needed.

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
/// Of a new segment that compaction is writing.
pub(crate) const CLEANED_SUFFIX: &str = ".cleaned";
/// Of a new segment that is complete and takes the place of old ones.
pub(crate) const SWAP_SUFFIX: &str = ".swap";

pub(crate) const SEGMENT_SUFFIXES: [&str; 4] = [
    LOG_SUFFIX,
    INDEX_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
];

/// `00000000000000001234.log` and its kin.
pub(crate) fn file_name(base_offset: Offset, suffix: &str) -> String {
    format!("{:020}{suffix}", base_offset.0)
}

/// The offset in such a name with this suffix.
pub(crate) fn offset_of_name(name: &str, suffix: &str) -> Option<Offset> {
    let digits = name.strip_suffix(suffix)?;
    if digits.len() != 20 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok().and_then(Offset::from_wire)
}

/// The files of one segment. Shared with reads that run outside the log's lock: an open file stays
/// readable when it is renamed or deleted.
#[derive(Debug)]
pub(crate) struct SegmentFiles {
    dir: Arc<Path>,
    base_offset: Offset,
    log: LazyFile,
    known: Arc<Known>,
}

/// An open index file and its path.
pub(crate) type IndexFile = (Arc<dyn File>, PathBuf);

/// What is known of the content of a segment's files, however they are held open.
#[derive(Debug, Default)]
struct Known {
    /// Counts what makes a position that was looked up before worthless.
    truncations: AtomicU32,
    /// Counts what changes or removes bytes of the `.log`.
    cuts: AtomicU32,
    /// Whether a header in the `.log` was found to be damaged.
    distrusted: AtomicBool,
    /// Whether an entry of the index files did not match the batches.
    indexes_doubted: AtomicBool,
    hints: Mutex<Hints>,
}

/// Where recent reads ended: the next of the same reader begins there, at the tail as in the middle
/// of the log, and needs no index.
#[derive(Debug, Default)]
struct Hints {
    ends: Vec<(Offset, u32)>,
    oldest: usize,
}

impl Hints {
    /// Followers, and some consumers.
    const MAX: usize = 8;

    fn insert(&mut self, from: Offset, end: (Offset, u32)) {
        // A reader that goes on gives up its old place.
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
    /// With descriptors of its own: nothing closes the file as long as this value is there.
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

    /// With a `.log` that was opened under another name.
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

    /// Makes an empty `.log`; an old one of this name loses its content.
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

    /// The same files, closed, among those that `open_files` closes.
    pub(crate) fn moved_to(&self, open_files: &Arc<OpenFiles>) -> Self {
        Self {
            dir: self.dir(),
            base_offset: self.base_offset,
            log: LazyFile::new(Arc::clone(open_files)),
            known: Arc::clone(&self.known),
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

    /// The same files with the `.log` open for as long as this value is there, whatever happens to
    /// its name.
    pub(crate) fn pinned(&self) -> Result<Self, StorageError> {
        Ok(self.pinned_to(self.log()?))
    }

    /// [`SegmentFiles::pinned`] when the `.log` is open.
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

    /// Gives the open `.log` back; it is opened again when it is needed. Running reads keep theirs.
    pub(crate) fn close(&self) {
        self.log.close();
    }

    pub(crate) fn path(&self, suffix: &str) -> PathBuf {
        self.dir.join(file_name(self.base_offset, suffix))
    }

    /// The `.log`, opened when it is not open.
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

    /// Bytes of one of the files; 0 when it is not there.
    pub(crate) fn size_of(&self, suffix: &str) -> Result<u64, StorageError> {
        Ok(self.size_if_exists(suffix)?.unwrap_or(0))
    }

    /// Bytes of one of the files; `None` when it is not there.
    pub(crate) fn size_if_exists(&self, suffix: &str) -> Result<Option<u64>, StorageError> {
        let path = self.path(suffix);
        match self.fs().metadata(&path) {
            Ok(metadata) => Ok(Some(metadata.len)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).context("stat", &path),
        }
    }

    /// Notes that an entry of the index files did not match the batches. Returns whether that is
    /// new: the index files are then worth rebuilding.
    pub(crate) fn doubt_indexes(&self) -> bool {
        !self.known.indexes_doubted.swap(true, Ordering::AcqRel)
    }

    /// Says when the `.log` was last written.
    pub(crate) fn set_modified(&self, at: Timestamp) -> Result<(), StorageError> {
        let since = Duration::from_millis(u64::try_from(at.0).unwrap_or(0));
        self.log()?
            .set_modified(SystemTime::UNIX_EPOCH + since)
            .context("set time of", &self.path(LOG_SUFFIX))
    }

    /// When the `.log` was last written.
    pub(crate) fn modified(&self) -> Result<Timestamp, StorageError> {
        let path = self.path(LOG_SUFFIX);
        let metadata = self.fs().metadata(&path).context("stat", &path)?;
        let since = metadata.modified.duration_since(SystemTime::UNIX_EPOCH);
        let millis = since.unwrap_or_default().as_millis();
        Ok(Timestamp(i64::try_from(millis).unwrap_or(i64::MAX)))
    }

    /// Writes at `position`: one system call, unless the kernel takes less.
    pub(crate) fn write(&self, bytes: &[u8], position: u64) -> Result<(), StorageError> {
        let log = self.log.get_to_write(|| self.open_log())?;
        let written = log.write_all_at(bytes, position);
        // The path is made only for an error: it took a fifth of a small write.
        written.or_else(|error| Err(error).context("append to", &self.path(LOG_SUFFIX)))
    }

    /// How often the file was cut or deleted; a read compares.
    pub(crate) fn truncations(&self) -> u32 {
        self.known.truncations.load(Ordering::Acquire)
    }

    /// How often bytes of the file were cut off or deleted; who sends a part of it compares.
    pub(crate) fn cuts(&self) -> u32 {
        self.known.cuts.load(Ordering::Acquire)
    }

    /// Whether [`SegmentFiles::distrust`] was called.
    pub(crate) fn is_distrusted(&self) -> bool {
        self.known.distrusted.load(Ordering::Relaxed)
    }

    /// A damaged header was found: reads that are planned from now on look at each header.
    pub(crate) fn distrust(&self) {
        self.known.distrusted.store(true, Ordering::Relaxed);
    }

    /// Positions that were looked up before are worthless from now on.
    pub(crate) fn mark_stale(&self) {
        self.known.truncations.fetch_add(1, Ordering::AcqRel);
        self.known.hints.lock().ends.clear();
    }

    /// The position of the batch that begins at `offset`, if a read ended there.
    pub(crate) fn hint(&self, offset: Offset) -> Option<u32> {
        let hints = self.known.hints.lock();
        let known = hints.ends.iter().find(|(end, _)| *end == offset);
        known.map(|(_, position)| *position)
    }

    /// A read from `from` on ended before the batch at this offset and position; `truncations` is
    /// from before the read.
    pub(crate) fn remember(&self, from: Offset, end: (Offset, u32), truncations: u32) {
        let mut hints = self.known.hints.lock();
        if self.truncations() == truncations {
            hints.insert(from, end);
        }
    }

    pub(crate) fn set_len(&self, size: u64) -> Result<(), StorageError> {
        // Counted before the file changes: see the invariant of `range`.
        self.known.cuts.fetch_add(1, Ordering::AcqRel);
        self.mark_stale();
        self.log()?
            .set_len(size)
            .context("truncate", &self.path(LOG_SUFFIX))
    }

    /// Cuts off what a failed write left behind `size`. Unlike [`SegmentFiles::set_len`] it takes
    /// nothing that a reader may have looked up: reads end where the last whole append did. Returns
    /// the error of the write, which is one of the device when the file cannot be cut.
    pub(crate) fn cut_torn_write(&self, size: u64, error: StorageError) -> StorageError {
        // A file that is written stays open: a write that could not open it left nothing behind.
        let Some(file) = self.log.get_if_open() else {
            return error;
        };
        match file.set_len(size) {
            Ok(()) => error,
            Err(cut) => StorageError {
                source: io::Error::other(format!("{}; cutting it off: {cut}", error.source)),
                ..error
            },
        }
    }

    pub(crate) fn sync_log(&self) -> Result<(), StorageError> {
        self.log()?
            .sync_data()
            .context(SYNC_SEGMENT, &self.path(LOG_SUFFIX))
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

    /// An index file for lookups; `None` when it is gone, as after a deletion.
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

    /// Removes one of the files, if it is there.
    pub(crate) fn remove(&self, suffix: &str) -> Result<(), StorageError> {
        remove_if_exists(self.fs(), &self.path(suffix))
    }

    /// Renames all files to `….deleted`; answers their new names.
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

/// Files that no log's limit closes.
fn unshared(environment: &Environment) -> Arc<OpenFiles> {
    Arc::new(OpenFiles::default().within(environment.clone()))
}
