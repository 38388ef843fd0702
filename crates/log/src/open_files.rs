//! Manages the open files of a node's logs: which ones stay open, and how many descriptors are
//! still needed.
//!
//! A file that was opened for a read stays open for the next read. When more of them are open than
//! [`OpenFiles::new`] allows, counted over all logs of the node, the least recently used ones are
//! closed. A file that was opened for a write stays open until its segment is closed and flushed,
//! because the system reports a failed write-back only to processes that have the file open.
//!
//! Invariant: closing a file here does not affect its readers: each holds the file by reference.
//! The locks are taken in this order: the ring, then a handle, and a handle only if it is free.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use dohle_storage::{Environment, File, FileSystem, descriptors};
use parking_lot::Mutex;

use crate::error::{StorageError, StorageErrorKind};
use crate::write_back::{self, Unstarted, WriteBack, Written};

/// The most files that stay open for reading, however many descriptors the process may have.
const READING_MAX: usize = 8_192;

/// The open files of a node's logs. Logs with different values do not close each other's files.
#[derive(Debug)]
pub struct OpenFiles {
    environment: Environment,
    reading_max: usize,
    /// Handles of files that were opened for a read; the first is the next candidate to close.
    ring: Mutex<VecDeque<Weak<Handle>>>,
    logs: AtomicUsize,
    written: AtomicUsize,
    write_back: WriteBack,
}

impl Default for OpenFiles {
    /// Never closes a file while descriptors are available.
    fn default() -> Self {
        Self::new(usize::MAX)
    }
}

impl OpenFiles {
    /// Keeps at most `reading_max` files open that were opened for a read.
    #[must_use]
    pub fn new(reading_max: usize) -> Self {
        Self {
            environment: Environment::native(),
            reading_max,
            ring: Mutex::default(),
            logs: AtomicUsize::new(0),
            written: AtomicUsize::new(0),
            write_back: WriteBack::default(),
        }
    }

    /// Uses the file system and the randomness of this environment instead of the operating
    /// system's.
    #[must_use]
    pub fn within(self, environment: Environment) -> Self {
        Self {
            environment,
            ..self
        }
    }

    /// Returns the written bytes whose write-back was not started.
    #[must_use]
    pub fn write_back(&self) -> &WriteBack {
        &self.write_back
    }

    /// Returns the environment through which the logs access files and randomness.
    pub(crate) fn environment(&self) -> &Environment {
        &self.environment
    }

    /// Returns the file system of the logs.
    pub(crate) fn fs(&self) -> &dyn FileSystem {
        &*self.environment.files
    }

    /// Creates the value for all logs of a process: an eighth of its descriptors is for reading.
    #[must_use]
    pub fn for_process() -> Self {
        Self::new((descriptors::limit() / 8).clamp(8, READING_MAX))
    }

    /// Returns the number of descriptors that open logs will need and do not have: one for each log
    /// that was not written to since it was opened.
    #[must_use]
    pub fn promised(&self) -> usize {
        let logs = self.logs.load(Ordering::Relaxed);
        logs.saturating_sub(self.written.load(Ordering::Relaxed))
    }

    /// Returns the number of files that are open only for the next read.
    #[must_use]
    pub fn reading(&self) -> usize {
        let ring = self.ring.lock();
        let is_open = |handle: &&Weak<Handle>| {
            let handle = handle.upgrade();
            handle.is_some_and(|handle| handle.is_evictable())
        };
        ring.iter().filter(is_open).count()
    }

    /// Adds a handle whose file was opened for a read.
    fn opened(&self, handle: &Arc<Handle>) {
        let mut ring = self.ring.lock();
        ring.push_back(Arc::downgrade(handle));
        // Each handle has a second chance, so two rounds find one that can be closed.
        let mut rounds = ring.len() * 2;
        while ring.len() > self.reading_max && rounds > 0 {
            rounds -= 1;
            let Some(next) = ring.pop_front() else { break };
            let Some(candidate) = next.upgrade() else {
                continue;
            };
            if candidate.used.swap(false, Ordering::Relaxed) || !candidate.close_if_read() {
                ring.push_back(next);
            }
        }
    }

    /// Closes all files that are open only for the next read, because descriptors are short.
    fn close_unused(&self) {
        let mut ring = self.ring.lock();
        ring.retain(|handle| {
            let handle = handle.upgrade();
            handle.is_some_and(|handle| !handle.close_if_read())
        });
    }

    /// Opens a file. If no descriptor is free, first closes the files that are not being read.
    pub(crate) fn open<T>(
        &self,
        open: impl Fn() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match open() {
            Err(error) if error.kind() == StorageErrorKind::Shortage => {
                self.close_unused();
                open()
            }
            opened => opened,
        }
    }
}

/// Counts a log during the lifetime of this value.
#[derive(Debug)]
pub(crate) struct LogCount(pub(crate) Arc<OpenFiles>);

impl LogCount {
    pub(crate) fn new(open_files: Arc<OpenFiles>) -> Self {
        open_files.logs.fetch_add(1, Ordering::Relaxed);
        Self(open_files)
    }
}

impl Drop for LogCount {
    fn drop(&mut self) {
        let logs = self.0.logs.fetch_sub(1, Ordering::Relaxed);
        assert!(logs > 0, "a log is closed, and none was open");
    }
}

/// The open file of a segment, if it is open.
#[derive(Debug, Default)]
struct Handle {
    state: Mutex<HandleState>,
    /// Whether the file was used since it was last considered for closing.
    used: AtomicBool,
}

#[derive(Debug, Default)]
struct HandleState {
    file: Option<Arc<dyn File>>,
    /// The file while a reader holds it, so that it needs no second descriptor.
    last: Option<Weak<dyn File>>,
    is_written: bool,
    is_in_ring: bool,
    unstarted: Unstarted,
    /// The error with which the start of the write-back has failed.
    failed_write_back: Option<io::Error>,
}

impl HandleState {
    /// Returns the error of a failed write-back, again each time: what was lost stays lost.
    fn write_back_result(&self) -> io::Result<()> {
        let Some(error) = &self.failed_write_back else {
            return Ok(());
        };
        let text = format!("the write-back of records failed: {error}");
        Err(io::Error::new(error.kind(), text))
    }
}

impl Handle {
    fn is_evictable(&self) -> bool {
        let state = self.state.lock();
        state.file.is_some() && !state.is_written
    }

    /// Closes the file unless it was opened for a write. Returns whether the handle should be
    /// removed from the ring.
    fn close_if_read(&self) -> bool {
        let Some(mut state) = self.state.try_lock() else {
            return false;
        };
        if !state.is_written {
            state.file = None;
        }
        state.is_in_ring = false;
        true
    }
}

impl Written for Handle {
    fn start_write_back(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        let pages = state.unstarted.take();
        let file = state.file.clone().filter(|_| state.is_written);
        drop(state);
        let (Some(pages), Some(file)) = (pages, file) else {
            return Ok(());
        };
        match file.start_write_back(pages.start, pages.end - pages.start) {
            Err(error) if write_back::may_lose_bytes(&error) => {
                self.state.lock().failed_write_back.get_or_insert(error);
                Ok(())
            }
            started => started,
        }
    }
}

/// A file that is opened when needed, and that [`OpenFiles`] may close.
#[derive(Debug)]
pub(crate) struct LazyFile {
    handle: Arc<Handle>,
    open_files: Arc<OpenFiles>,
}

impl LazyFile {
    pub(crate) fn new(open_files: Arc<OpenFiles>) -> Self {
        let handle = Arc::default();
        Self { handle, open_files }
    }

    /// Creates the value for a file that is already open and that only [`LazyFile::close`] closes.
    pub(crate) fn with(file: Arc<dyn File>, open_files: Arc<OpenFiles>) -> Self {
        let state = HandleState {
            last: Some(Arc::downgrade(&file)),
            file: Some(file),
            ..HandleState::default()
        };
        let handle = Handle {
            state: Mutex::new(state),
            used: AtomicBool::new(true),
        };
        Self {
            handle: Arc::new(handle),
            open_files,
        }
    }

    /// Creates the value for a new file to be written, which `create` creates.
    pub(crate) fn created(
        open_files: Arc<OpenFiles>,
        create: impl Fn() -> Result<Arc<dyn File>, StorageError>,
    ) -> Result<Self, StorageError> {
        let new = Self::with(open_files.open(create)?, open_files);
        new.get_to_write(|| unreachable!("it is open"))?;
        Ok(new)
    }

    pub(crate) fn open_files(&self) -> &Arc<OpenFiles> {
        &self.open_files
    }

    pub(crate) fn is_open(&self) -> bool {
        self.handle.state.lock().file.is_some()
    }

    /// Returns the file if it is open.
    pub(crate) fn get_if_open(&self) -> Option<Arc<dyn File>> {
        self.handle.used.store(true, Ordering::Relaxed);
        self.handle.state.lock().file.clone()
    }

    /// Returns the file for a read. Opens it with `open` if it is not open.
    pub(crate) fn get(
        &self,
        open: impl Fn() -> Result<Arc<dyn File>, StorageError>,
    ) -> Result<Arc<dyn File>, StorageError> {
        let mut state = self.handle.state.lock();
        if let Some(file) = &state.file {
            self.handle.used.store(true, Ordering::Relaxed);
            return Ok(Arc::clone(file));
        }
        let file = self.open(&mut state, open)?;
        if !std::mem::replace(&mut state.is_in_ring, true) {
            drop(state);
            self.open_files.opened(&self.handle);
        }
        Ok(file)
    }

    /// Returns the file for a write. It stays open until [`LazyFile::close`].
    pub(crate) fn get_to_write(
        &self,
        open: impl Fn() -> Result<Arc<dyn File>, StorageError>,
    ) -> Result<Arc<dyn File>, StorageError> {
        let mut state = self.handle.state.lock();
        let file = match &state.file {
            Some(file) => Arc::clone(file),
            None => self.open(&mut state, open)?,
        };
        if !std::mem::replace(&mut state.is_written, true) {
            self.open_files.written.fetch_add(1, Ordering::Relaxed);
        }
        Ok(file)
    }

    /// Notes that bytes were written, whose write-back is to be started soon.
    ///
    /// # Errors
    /// As for [`LazyFile::write_back_result`].
    pub(crate) fn wrote(&self, position: u64, len: u64) -> io::Result<()> {
        let (is_unlisted, result) = {
            let mut state = self.handle.state.lock();
            let is_unlisted = state.unstarted.wrote(position, len);
            (is_unlisted, state.write_back_result())
        };
        let unlisted = is_unlisted.then(|| -> Weak<dyn Written> {
            let handle: Weak<Handle> = Arc::downgrade(&self.handle);
            handle
        });
        self.open_files.write_back.wrote(len, unlisted);
        result
    }

    /// # Errors
    /// The error of the system when it could not begin to write bytes of this file, which it may
    /// have dropped. A sync of the file does not report that.
    pub(crate) fn write_back_result(&self) -> io::Result<()> {
        self.handle.state.lock().write_back_result()
    }

    fn open(
        &self,
        state: &mut HandleState,
        open: impl Fn() -> Result<Arc<dyn File>, StorageError>,
    ) -> Result<Arc<dyn File>, StorageError> {
        let file = match state.last.as_ref().and_then(Weak::upgrade) {
            Some(file) => file,
            None => self.open_files.open(open)?,
        };
        state.last = Some(Arc::downgrade(&file));
        state.file = Some(Arc::clone(&file));
        Ok(file)
    }

    /// Closes the file. Readers that hold it keep it open.
    pub(crate) fn close(&self) {
        let mut state = self.handle.state.lock();
        state.file = None;
        if std::mem::take(&mut state.is_written) {
            let written = self.open_files.written.fetch_sub(1, Ordering::Relaxed);
            assert!(written > 0, "a file is written no longer, and none was");
        }
    }
}

impl Drop for LazyFile {
    fn drop(&mut self) {
        self.close();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use dohle_storage::OpenMode;

    use super::*;
    use crate::error::Context;

    fn open() -> Result<Arc<dyn File>, StorageError> {
        let path = Path::new("/dev/null");
        let files = Environment::native().files;
        files.open(path, OpenMode::Read).context("open", path)
    }

    fn not_again() -> Result<Arc<dyn File>, StorageError> {
        panic!("it was open")
    }

    #[test]
    fn files_that_were_not_used_lately_are_closed_first() {
        let open_files = Arc::new(OpenFiles::new(3));
        let files: Vec<_> = (0..5)
            .map(|_| LazyFile::new(Arc::clone(&open_files)))
            .collect();
        for file in &files[..3] {
            file.get(open).unwrap();
        }
        files[0].get(not_again).unwrap();
        files[3].get(open).unwrap();
        let are_open = |files: &[LazyFile]| files.iter().map(LazyFile::is_open).collect::<Vec<_>>();
        assert_eq!(are_open(&files), [true, false, true, true, false]);
        files[4].get(open).unwrap();
        assert_eq!(open_files.reading(), 3);
        // Readers of a file that is closed meanwhile keep it, and others share it.
        let reader = files[1].get(open).unwrap();
        for file in &files {
            file.get(open).unwrap();
        }
        open_files.close_unused();
        assert_eq!(open_files.reading(), 0);
        let again = files[1].get(not_again).unwrap();
        assert!(Arc::ptr_eq(&reader, &again));
    }

    #[test]
    fn files_that_are_written_stay_open_and_are_no_longer_promised() {
        let open_files = Arc::new(OpenFiles::new(1));
        let counts: Vec<_> = (0..3)
            .map(|_| LogCount::new(Arc::clone(&open_files)))
            .collect();
        assert_eq!(open_files.promised(), 3);
        let written = LazyFile::new(Arc::clone(&open_files));
        written.get(open).unwrap();
        written.get_to_write(not_again).unwrap();
        let created = LazyFile::created(Arc::clone(&open_files), open).unwrap();
        assert_eq!(open_files.promised(), 1);
        for _ in 0..3 {
            let other = LazyFile::new(Arc::clone(&open_files));
            other.get(open).unwrap();
        }
        open_files.close_unused();
        assert!(written.is_open() && created.is_open());
        written.close();
        drop(created);
        assert_eq!(open_files.promised(), 3);
        drop(counts);
        assert_eq!(open_files.promised(), 0);
    }

    #[test]
    fn a_shortage_closes_what_nobody_reads_and_tries_again() {
        let open_files = Arc::new(OpenFiles::default());
        let idle = LazyFile::new(Arc::clone(&open_files));
        idle.get(open).unwrap();
        let wanted = LazyFile::new(Arc::clone(&open_files));
        let opened = wanted.get(|| {
            if idle.is_open() {
                let source = io::Error::from_raw_os_error(rustix::io::Errno::MFILE.raw_os_error());
                return Err(source).context("open", Path::new("f"));
            }
            open()
        });
        assert!(opened.is_ok() && !idle.is_open());
    }
}
