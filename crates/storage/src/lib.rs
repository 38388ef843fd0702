//! The traits through which the log and the Raft journal reach files, the clock and randomness: one
//! trait each, implemented by the operating system or, in tests, by a simulation that can lose
//! power.
//!
//! Errors are returned as the system reports them: `std::io::Error` with its number. The caller
//! adds the operation, and decides what the error affects.
//!
//! Invariant: outside of `native.rs` and `descriptors.rs`, neither the log nor the Raft store calls
//! the system for a file. The tidy test holds that.

#![warn(unreachable_pub)]

pub mod descriptors;
mod native;
#[cfg(feature = "simulation")]
pub mod simulated;
mod write_back;

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// Everything outside of the process that the log and the Raft journal depend on.
#[derive(Debug, Clone)]
pub struct Environment {
    /// The files.
    pub files: Arc<dyn FileSystem>,
    /// The clock for waits.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub entropy: Arc<dyn Entropy>,
}

impl Environment {
    /// Returns the operating system's environment.
    #[must_use]
    pub fn native() -> Self {
        Self {
            files: Arc::new(native::Native),
            clock: Arc::new(native::Native),
            entropy: Arc::new(native::Native),
        }
    }
}

impl Default for Environment {
    fn default() -> Self {
        Self::native()
    }
}

/// The mode in which a file is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpenMode {
    /// For reading; the file must exist.
    Read,
    /// For reading and writing; the file must exist.
    ReadWrite,
    /// For reading and writing; an existing file of this name loses its content.
    CreateOrTruncate,
    /// For reading and writing; the file must not exist.
    CreateNew,
}

/// The metadata of a file or directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metadata {
    /// The length in bytes.
    pub len: u64,
    /// When the content was last changed.
    pub modified: SystemTime,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// An entry of a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryEntry {
    /// The name, without the directory's path.
    pub name: OsString,
    /// Whether it is a directory.
    pub is_directory: bool,
}

/// The space of a file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still write.
    pub free: u64,
    /// The size in bytes.
    pub total: u64,
    /// Whether a file can be created. Some file systems create inodes as needed and report none.
    pub has_files: bool,
}

/// A lock that excludes other processes until it is dropped.
pub type Lock = Box<dyn Send + Sync>;

/// A file system. Paths are absolute, or relative to the working directory.
pub trait FileSystem: fmt::Debug + Send + Sync {
    /// Opens or creates a file.
    ///
    /// # Errors
    /// The system's errors; `NotFound` and `AlreadyExists` according to [`OpenMode`].
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn File>>;

    /// Opens a directory.
    ///
    /// # Errors
    /// Those of the system.
    fn open_directory(&self, path: &Path) -> io::Result<Arc<dyn Directory>>;

    /// Returns length, time and kind of a file or directory.
    ///
    /// # Errors
    /// Those of the system.
    fn metadata(&self, path: &Path) -> io::Result<Metadata>;

    /// Returns whether a file or directory of this name exists.
    ///
    /// # Errors
    /// Those of the system.
    fn exists(&self, path: &Path) -> io::Result<bool> {
        match self.metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            found => found.map(|_| true),
        }
    }

    /// Returns the entries of a directory, in no particular order.
    ///
    /// # Errors
    /// Those of the system.
    fn list(&self, path: &Path) -> io::Result<Vec<DirectoryEntry>>;

    /// Creates a directory and its missing parents. Returns whether the directory is new.
    ///
    /// # Errors
    /// Those of the system; `NotADirectory` or `AlreadyExists` when a file has this name.
    fn create_directories(&self, path: &Path) -> io::Result<bool>;

    /// Like [`FileSystem::create_directories`], and makes the new directories survive a loss of
    /// power.
    ///
    /// # Errors
    /// Those of the system.
    fn create_directories_durably(&self, path: &Path) -> io::Result<()> {
        let mut missing = Vec::new();
        for ancestor in path.ancestors() {
            if ancestor.as_os_str().is_empty() || self.exists(ancestor)? {
                break;
            }
            missing.push(ancestor);
        }
        self.create_directories(path)?;
        for created in missing {
            match created.parent() {
                Some(parent) if parent.as_os_str().is_empty() => {
                    self.sync_directory(Path::new("."))?;
                }
                Some(parent) => self.sync_directory(parent)?,
                None => {}
            }
        }
        Ok(())
    }

    /// Renames a file or directory. An existing file with the new name is replaced.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a directory and its content.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Locks a file, which is created if needed. Returns `None` when another process holds the
    /// lock.
    ///
    /// # Errors
    /// Those of the system.
    fn try_lock(&self, path: &Path) -> io::Result<Option<Lock>>;

    /// Returns the space of the file system that contains `path`.
    ///
    /// # Errors
    /// Those of the system.
    fn space(&self, path: &Path) -> io::Result<Space>;

    /// Makes creations, renames and removals in a directory survive a loss of power.
    ///
    /// # Errors
    /// Those of the system.
    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        self.open_directory(path)?.sync()
    }

    /// Returns the content of a file.
    ///
    /// # Errors
    /// Those of the system.
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenMode::Read)?;
        let len = usize::try_from(file.len()?).unwrap_or(usize::MAX);
        let mut content = Vec::new();
        content.try_reserve_exact(len)?;
        while content.len() < len {
            let position = content.len() as u64;
            if file.read_spare(&mut content, position)? == 0 {
                break;
            }
        }
        Ok(content)
    }
}

/// An open file, which stays usable when it is renamed or removed. All methods take a position, so
/// threads may share it.
pub trait File: fmt::Debug + Send + Sync {
    /// Returns the length in bytes.
    ///
    /// # Errors
    /// Those of the system.
    fn len(&self) -> io::Result<u64>;

    /// Returns whether the file is empty.
    ///
    /// # Errors
    /// Those of the system.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Reads into `buffer`. Returns the number of bytes: it may be less than requested, and is 0 at
    /// the end of the file.
    ///
    /// # Errors
    /// The system's errors, except for interruptions.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;

    /// Like [`File::read_at`], without waiting for the disk. Returns `None` when the read would
    /// have to wait, or when the file system cannot determine that.
    ///
    /// # Errors
    /// As for [`File::read_at`].
    fn read_cached_at(&self, buffer: &mut [u8], position: u64) -> io::Result<Option<usize>>;

    /// Like [`File::read_at`], into the spare capacity of `buffer`, which need not be zeroed first.
    ///
    /// # Errors
    /// As for [`File::read_at`].
    fn read_spare(&self, buffer: &mut Vec<u8>, position: u64) -> io::Result<usize>;

    /// Fills `buffer`.
    ///
    /// # Errors
    /// As for [`File::read_at`]; `UnexpectedEof` when the file ends too early.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.read_at(&mut buffer[filled..], position + filled as u64)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => filled += read,
            }
        }
        Ok(())
    }

    /// Writes all of `bytes`, with one system call unless the system accepts fewer. After an error
    /// any part of them may have been written.
    ///
    /// # Errors
    /// The system's errors, except for interruptions.
    fn write_all_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;

    /// Truncates the file, or extends it with zeroes.
    ///
    /// # Errors
    /// Those of the system.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Reserves space for `len` bytes from `position` on. The file's length does not change.
    ///
    /// # Errors
    /// Those of the system.
    fn allocate(&self, position: u64, len: u64) -> io::Result<()>;

    /// Sets the time of the last change of the content.
    ///
    /// # Errors
    /// Those of the system.
    fn set_modified(&self, time: SystemTime) -> io::Result<()>;

    /// Makes the system start to write these changed bytes to the disk, without waiting until they
    /// are written. This promises nothing about a loss of power, and takes no error of a write from
    /// a later [`File::sync_data`].
    ///
    /// # Errors
    /// Those of the system.
    fn start_write_back(&self, position: u64, len: u64) -> io::Result<()>;

    /// Makes the content and the length survive a loss of power: `fdatasync`.
    ///
    /// # Errors
    /// The system's errors. After an error the system may have dropped written data.
    fn sync_data(&self) -> io::Result<()>;
}

/// An open directory. It stays the same directory when it is renamed.
pub trait Directory: fmt::Debug + Send + Sync {
    /// Creates a file; an existing file of this name loses its content.
    ///
    /// # Errors
    /// Those of the system.
    fn create(&self, name: &str) -> io::Result<Arc<dyn File>>;

    /// Removes a file.
    ///
    /// # Errors
    /// Those of the system.
    fn remove_file(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals in the directory survive a loss of power.
    ///
    /// # Errors
    /// Those of the system.
    fn sync(&self) -> io::Result<()>;

    /// Forces all data of the directory's file system to the disk.
    ///
    /// # Errors
    /// When the system could not write all data.
    fn sync_file_system(&self) -> io::Result<()>;
}

/// A clock for waits: monotonic, unrelated to the wall clock.
pub trait Clock: fmt::Debug + Send + Sync {
    /// Returns the current time.
    fn now(&self) -> Instant;

    /// Blocks the thread for this time.
    fn sleep(&self, duration: Duration);
}

/// A source of random numbers that clients cannot predict.
pub trait Entropy: fmt::Debug + Send + Sync {
    /// Returns a random number.
    fn next(&self) -> u64;
}

/// Reads a file, from a position on, through `std::io::Read`.
#[derive(Debug)]
pub struct FileReader<'a> {
    file: &'a dyn File,
    position: u64,
}

impl<'a> FileReader<'a> {
    /// Creates a reader whose first byte is the one at `position`.
    #[must_use]
    pub fn new(file: &'a dyn File, position: u64) -> Self {
        Self { file, position }
    }
}

impl io::Read for FileReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let len = self.file.read_at(buffer, self.position)?;
        self.position += len as u64;
        Ok(len)
    }
}
