//! The directory of the metadata log, in a real or simulated file system.
//!
//! The Raft journal and the snapshots write, sync, rename and remove files only through this
//! module. The copy in sled does not, because nothing depends on it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dohle_storage::{Clock, Environment, File, Lock, OpenMode};

const LOCK: &str = "raft-journal.lock";
/// How long to wait for a predecessor that is still stopping to release the lock. A lock has no
/// event to wait for.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(5);
pub(super) const LOCK_POLL: Duration = Duration::from_millis(10);

/// A directory of the metadata log.
#[derive(Debug)]
pub(super) struct Files {
    environment: Environment,
    path: PathBuf,
}

impl Files {
    /// Opens a directory of the operating system.
    pub(super) fn new(path: &Path) -> Self {
        Self::within(Environment::native(), path)
    }

    pub(super) fn within(environment: Environment, path: &Path) -> Self {
        Self {
            environment,
            path: path.to_owned(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn clock(&self) -> &Arc<dyn Clock> {
        &self.environment.clock
    }

    /// Returns an unpredictable number.
    pub(super) fn random(&self) -> u64 {
        self.environment.entropy.next()
    }

    /// Creates the directory, durably.
    pub(super) fn create_directory(&self) -> io::Result<()> {
        self.environment
            .files
            .create_directories_durably(&self.path)
    }

    /// Locks the directory against other processes until the returned value is dropped.
    pub(super) fn lock(&self) -> io::Result<Lock> {
        let path = self.path.join(LOCK);
        let clock = self.clock();
        let deadline = clock.now() + LOCK_PATIENCE;
        loop {
            if let Some(lock) = self.environment.files.try_lock(&path)? {
                return Ok(lock);
            }
            if clock.now() >= deadline {
                return Err(io::Error::other(format!(
                    "{} is locked by another process that uses this metadata directory",
                    path.display()
                )));
            }
            clock.sleep(LOCK_POLL);
        }
    }

    /// Returns the names of the files and directories inside.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let entries = self.environment.files.list(&self.path)?;
        let name = |entry: dohle_storage::DirectoryEntry| entry.name.to_string_lossy().into_owned();
        Ok(entries.into_iter().map(name).collect())
    }

    /// Opens a file for reading and writing.
    pub(super) fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path.join(name);
        self.environment.files.open(&path, OpenMode::ReadWrite)
    }

    /// Opens a file for reading.
    pub(super) fn open_to_read(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path.join(name);
        self.environment.files.open(&path, OpenMode::Read)
    }

    /// Creates a file, which must not exist yet.
    pub(super) fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let path = self.path.join(name);
        self.environment.files.open(&path, OpenMode::CreateNew)
    }

    /// Writes a whole file durably. The previous file stays until the new one is complete.
    pub(super) fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let temporary = format!("{name}.tmp");
        let path = self.path.join(&temporary);
        let file = self
            .environment
            .files
            .open(&path, OpenMode::CreateOrTruncate)?;
        file.write_all_at(content, 0)?;
        file.sync_data()?;
        self.rename(&temporary, name)?;
        self.sync_dir()
    }

    /// Renames a file. `from` may also be the full path of a file in another directory.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from, to) = (self.path.join(from), self.path.join(to));
        self.environment.files.rename(&from, &to)
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        self.environment.files.remove_file(&self.path.join(name))
    }

    /// Makes creations, renames and removals survive a power loss.
    pub(super) fn sync_dir(&self) -> io::Result<()> {
        self.environment.files.sync_directory(&self.path)
    }
}

/// Whether a write failed because the file system, or a quota, had no space.
pub(super) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
