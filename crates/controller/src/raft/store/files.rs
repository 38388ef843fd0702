//! The files of the metadata directory behind one trait, so that a simulated file system can take
//! their place.
//!
//! Whatever the Raft journal and the snapshots write, sync, rename or remove goes through here. The
//! copy in sled does not: nothing depends on it.

use std::fmt;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;

const LOCK: &str = "raft-journal.lock";
/// How long a predecessor that is still ending may hold the lock. A lock has no event to wait for.
pub(super) const LOCK_PATIENCE: Duration = Duration::from_secs(5);
pub(super) const LOCK_POLL: Duration = Duration::from_millis(10);

/// One directory.
pub(in crate::raft) trait Files: fmt::Debug + Send + Sync {
    fn path(&self) -> &Path;
    /// Excludes others until the returned value is dropped.
    fn lock(&self) -> io::Result<Box<dyn Send>>;
    /// The names of files and directories inside.
    fn names(&self) -> io::Result<Vec<String>>;
    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>>;
    /// Creates a file that must not exist yet.
    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>>;
    /// `from` may also be the full path of a file in another directory.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals survive a loss of power.
    fn sync_dir(&self) -> io::Result<()>;
}

/// One open file.
pub(in crate::raft) trait LogFile: fmt::Debug + Send {
    fn len(&self) -> io::Result<u64>;
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;
    fn write_all_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()>;
    fn set_len(&mut self, len: u64) -> io::Result<()>;
    /// Reserves space for `len` bytes from `position` on. The file's length stays.
    fn allocate(&mut self, position: u64, len: u64) -> io::Result<()>;
    /// Makes the content and the length survive a loss of power: `fdatasync`.
    fn sync_data(&mut self) -> io::Result<()>;
}

/// A directory of the operating system.
#[derive(Debug)]
pub(in crate::raft) struct Directory(PathBuf);

impl Directory {
    pub(in crate::raft) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }
}

impl Files for Directory {
    fn path(&self) -> &Path {
        &self.0
    }

    fn lock(&self) -> io::Result<Box<dyn Send>> {
        let path = self.0.join(LOCK);
        let file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Box::new(file)),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    thread::sleep(LOCK_POLL);
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(io::Error::other(format!(
                        "{} is locked by another process that uses this metadata directory",
                        path.display()
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
    }

    fn names(&self) -> io::Result<Vec<String>> {
        fs::read_dir(&self.0)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let file = File::options()
            .read(true)
            .write(true)
            .open(self.0.join(name))?;
        Ok(Box::new(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn LogFile>> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(self.0.join(name))?;
        Ok(Box::new(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.0.join(from), self.0.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.0.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        sync_dir(&self.0)
    }
}

impl LogFile for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        FileExt::read_exact_at(self, buffer, position)
    }

    fn write_all_at(&mut self, bytes: &[u8], position: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, position)
    }

    fn set_len(&mut self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn allocate(&mut self, position: u64, len: u64) -> io::Result<()> {
        rustix::fs::fallocate(&*self, FallocateFlags::KEEP_SIZE, position, len)?;
        Ok(())
    }

    fn sync_data(&mut self) -> io::Result<()> {
        Self::sync_data(self)
    }
}

/// Whether a file system, or a quota, had no space for a write.
pub(in crate::raft) fn is_no_space(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

/// Makes renames, creations and removals inside `dir` durable.
pub(in crate::raft) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These files can't be synced, so only a real system call notices.
    #[test]
    fn syncs_reach_the_operating_system() {
        let mut file = Directory::new(Path::new("/dev")).open("null").unwrap();
        assert_eq!(
            file.sync_data().unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
        let directory = Directory::new(Path::new("/proc"));
        assert_eq!(
            directory.sync_dir().unwrap_err().kind(),
            io::ErrorKind::InvalidInput
        );
    }
}
