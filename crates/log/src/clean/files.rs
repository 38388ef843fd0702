//! The files of a segment that compaction is writing: `….cleaned`, until they are swapped in.
//!
//! They are reached through the directory as it was opened under the log's lock: when the topic is
//! deleted meanwhile, they land in the directory that was put away, not in that of a new topic of
//! the same name. What is not swapped in is deleted with the value.

use std::fs::File;
use std::io;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

use dohle_model::Offset;
use rustix::fs::{AtFlags, Mode, OFlags};

use crate::error::{Context, StorageError};
use crate::segment::files::{CLEANED_SUFFIX, SEGMENT_SUFFIXES, file_name};

#[derive(Debug)]
pub(crate) struct CleanedFiles {
    handle: Arc<OwnedFd>,
    dir: Arc<Path>,
    base_offset: Offset,
    swapped: bool,
}

/// Opens a directory, for [`CleanedFiles`].
pub(crate) fn open_dir(dir: &Path) -> Result<Arc<OwnedFd>, StorageError> {
    File::open(dir)
        .map(|file| Arc::new(OwnedFd::from(file)))
        .context("open directory", dir)
}

impl CleanedFiles {
    pub(crate) fn new(handle: Arc<OwnedFd>, dir: Arc<Path>, base_offset: Offset) -> Self {
        Self {
            handle,
            dir,
            base_offset,
            swapped: false,
        }
    }

    fn name(&self, suffix: &str) -> String {
        file_name(self.base_offset, &format!("{suffix}{CLEANED_SUFFIX}"))
    }

    /// Makes an empty file.
    pub(crate) fn create(&self, suffix: &str) -> Result<File, StorageError> {
        let name = self.name(suffix);
        let flags = OFlags::CREATE | OFlags::TRUNC | OFlags::RDWR | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::openat(&*self.handle, &name, flags, mode)
            .map(File::from)
            .map_err(io::Error::from)
            .context("create", &self.dir.join(&name))
    }

    /// Writes a small file and forces it to the disk.
    pub(crate) fn write(&self, suffix: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let mut file = self.create(suffix)?;
        file.write_all(bytes)
            .and_then(|()| file.sync_data())
            .context("write", &self.dir.join(self.name(suffix)))
    }

    /// Forces the names of the files to the disk.
    pub(crate) fn sync_names(&self) -> Result<(), StorageError> {
        rustix::fs::fsync(&*self.handle)
            .map_err(io::Error::from)
            .context("sync directory", &self.dir)
    }

    /// They have other names now.
    pub(crate) fn mark_swapped(&mut self) {
        self.swapped = true;
    }
}

impl Drop for CleanedFiles {
    fn drop(&mut self) {
        if self.swapped {
            return;
        }
        for suffix in SEGMENT_SUFFIXES {
            // What stays is deleted when the log is opened the next time.
            let _ = rustix::fs::unlinkat(&*self.handle, self.name(suffix), AtFlags::empty());
        }
    }
}
