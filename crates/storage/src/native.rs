//! Implements the traits with the operating system.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use rustix::buffer::spare_capacity;
use rustix::fs::{AtFlags, FallocateFlags, FlockOperation, Mode, OFlags};
use rustix::io::{Errno, ReadWriteFlags};

use crate::write_back;
use crate::{
    Clock, Directory, DirectoryEntry, Entropy, File, FileSystem, Lock, Metadata, OpenMode, Space,
};

/// The operating system.
#[derive(Debug)]
pub(crate) struct Native;

impl FileSystem for Native {
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>> {
        let mut options = fs::OpenOptions::new();
        options.read(true).write(mode != OpenMode::Read);
        match mode {
            OpenMode::Read | OpenMode::ReadWrite => {}
            OpenMode::CreateOrTruncate => {
                options.create(true).truncate(true);
            }
            OpenMode::CreateNew => {
                options.create_new(true);
            }
        }
        Ok(Arc::new(options.open(path)?))
    }

    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>> {
        Ok(Arc::new(OwnedFd::from(fs::File::open(path)?)))
    }

    fn metadata(&self, path: &Path) -> io::Result<Metadata> {
        let metadata = fs::metadata(path)?;
        Ok(Metadata {
            len: metadata.len(),
            modified: metadata.modified()?,
            is_directory: metadata.is_dir(),
        })
    }

    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>> {
        fs::read_dir(path)?
            .map(|entry| {
                let entry = entry?;
                let kind = entry.file_type()?;
                // A symbolic link counts as the file or directory that it leads to.
                let is_directory = kind.is_dir() || (kind.is_symlink() && entry.path().is_dir());
                Ok(DirectoryEntry {
                    name: entry.file_name(),
                    is_directory,
                })
            })
            .collect()
    }

    fn create_directories(&self, path: &Path) -> io::Result<bool> {
        match fs::create_dir(path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                fs::create_dir_all(path)?;
                Ok(true)
            }
            Err(_) if path.is_dir() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Lock>> {
        let mut options = fs::OpenOptions::new();
        let options = options.read(true).write(true).create(true).truncate(false);
        let file = options.open(path)?;
        // Java programs lock with `fcntl`, which does not exclude `flock`: Apache Kafka must
        // neither run on the directory already nor start while this lock is held.
        let exclusive = FlockOperation::NonBlockingLockExclusive;
        // Other errors: some file systems have no locks of this kind.
        let java = rustix::fs::fcntl_lock(&file, exclusive);
        if matches!(java, Err(Errno::ACCESS | Errno::AGAIN)) {
            return Ok(None);
        }
        let locked = rustix::fs::flock(&file, exclusive).or_else(|error| {
            // Over NFS both are locks of the same kind, and exclude each other even here.
            let unlocked = rustix::fs::fcntl_lock(&file, FlockOperation::Unlock);
            unlocked.map_err(|_| error)?;
            rustix::fs::flock(&file, exclusive)
        });
        match locked {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn space(&self, path: &Path) -> io::Result<Space> {
        let found = rustix::fs::statvfs(path)?;
        Ok(Space {
            free: found.f_bavail.saturating_mul(found.f_frsize),
            total: found.f_blocks.saturating_mul(found.f_frsize),
            has_files: found.f_files == 0 || found.f_favail > 0,
        })
    }
}

/// Repeats a system call that a signal interrupted.
fn uninterrupted<T>(mut call: impl FnMut() -> Result<T, Errno>) -> Result<T, Errno> {
    loop {
        match call() {
            Err(Errno::INTR) => {}
            result => return result,
        }
    }
}

impl File for fs::File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        Ok(uninterrupted(|| {
            rustix::io::pread(self, &mut *buffer, position)
        })?)
    }

    fn read_cached_at(&self, buffer: &mut [u8], position: u64) -> io::Result<Option<usize>> {
        let read = uninterrupted(|| {
            let mut slices = [IoSliceMut::new(buffer)];
            rustix::io::preadv2(self, &mut slices, position, ReadWriteFlags::NOWAIT)
        });
        match read {
            Err(Errno::AGAIN | Errno::OPNOTSUPP) => Ok(None),
            read => Ok(Some(read?)),
        }
    }

    fn read_spare(&self, buffer: &mut Vec<u8>, position: u64) -> io::Result<usize> {
        Ok(uninterrupted(|| {
            rustix::io::pread(self, spare_capacity(buffer), position)
        })?)
    }

    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, position)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }

    fn allocate(&self, position: u64, len: u64) -> io::Result<()> {
        Ok(rustix::fs::fallocate(
            self,
            FallocateFlags::KEEP_SIZE,
            position,
            len,
        )?)
    }

    fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        Self::set_modified(self, time)
    }

    fn start_write_back(&self, position: u64, len: u64) -> io::Result<()> {
        write_back::start(self, position, len)
    }

    fn sync_data(&self) -> io::Result<()> {
        Self::sync_data(self)
    }
}

impl Directory for OwnedFd {
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>> {
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::RDWR | OFlags::CLOEXEC;
        let file = rustix::fs::openat(self, name, flags, Mode::from_raw_mode(0o666))?;
        Ok(Arc::new(fs::File::from(file)))
    }

    fn remove_file(&self, name: &str) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(self, name, AtFlags::empty())?)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(self)?)
    }

    fn sync_file_system(&self) -> io::Result<()> {
        Ok(rustix::fs::syncfs(self)?)
    }
}

impl Clock for Native {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, duration: Duration) {
        thread::sleep(duration);
    }
}

impl Entropy for Native {
    fn next(&self) -> u64 {
        // Each `RandomState` has keys of its own, which derive from the system's random numbers.
        RandomState::new().hash_one(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These files cannot be synced, so a sync that reaches the system fails.
    #[test]
    fn syncs_reach_the_operating_system() {
        let null = Native
            .open(Path::new("/dev/null"), OpenMode::ReadWrite)
            .unwrap();
        let error = null.sync_data().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
        let error = Native.sync_directory(Path::new("/proc")).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn a_lock_excludes_others_until_it_is_dropped() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Native.try_lock(&path).unwrap();
        assert!(held.is_some());
        assert!(Native.try_lock(&path).unwrap().is_none());
        drop(held);
        assert!(Native.try_lock(&path).unwrap().is_some());
    }

    /// The file that another process of this test locks.
    const TO_LOCK: &str = "DOHLE_TEST_FILE_TO_LOCK";

    /// Locks a file as Java's `FileChannel.tryLock` does, until its input ends. Does nothing unless
    /// the test below starts it, in a process of its own: such locks do not exclude the same one.
    #[test]
    fn locks_like_java_when_it_is_told_to() {
        let Some(path) = std::env::var_os(TO_LOCK) else {
            return;
        };
        let file = fs::OpenOptions::new().write(true).open(path).unwrap();
        match rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => println!("\nlocked"),
            Err(_) => println!("\nrefused"),
        }
        io::copy(&mut io::stdin(), &mut io::sink()).unwrap();
    }

    /// Starts the other process, and returns what it reports.
    fn lock_like_java(path: &Path) -> (std::process::Child, String) {
        use std::io::BufRead;
        use std::process::{Command, Stdio};
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args([
                "--exact",
                "native::tests::locks_like_java_when_it_is_told_to",
            ])
            .arg("--nocapture")
            .env(TO_LOCK, path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = io::BufReader::new(child.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap);
        let report = lines.find(|line| line == "locked" || line == "refused");
        (child, report.unwrap())
    }

    #[test]
    fn a_lock_excludes_java_programs_and_is_excluded_by_them() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = Native.try_lock(&path).unwrap();
        assert!(held.is_some());
        let (mut child, line) = lock_like_java(&path);
        assert_eq!(line, "refused");
        drop(child.stdin.take());
        child.wait().unwrap();
        drop(held);
        let (mut child, line) = lock_like_java(&path);
        assert_eq!(line, "locked");
        assert!(Native.try_lock(&path).unwrap().is_none());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(Native.try_lock(&path).unwrap().is_some());
    }

    #[test]
    fn a_directory_that_was_renamed_is_reached_all_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let (old, new) = (dir.path().join("old"), dir.path().join("new"));
        Native.create_directories(&old).unwrap();
        let directory = Native.open_directory(&old).unwrap();
        Native.rename(&old, &new).unwrap();
        let file = directory.create("f").unwrap();
        file.write_all_at(b"content", 0).unwrap();
        assert_eq!(Native.read(&new.join("f")).unwrap(), b"content");
        directory.remove_file("f").unwrap();
        assert_eq!(Native.list(&new).unwrap(), []);
    }
}
