//! The `….cleaned` files of a segment that compaction writes, until they are renamed.
//!
//! They are accessed through a handle of the directory that was opened under the log's lock. If the
//! topic is deleted meanwhile, they are written to the renamed directory, not to that of a new
//! topic of the same name. Dropping the value deletes files that did not replace old segments.

use std::path::Path;
use std::sync::Arc;

use dohle_model::Offset;
use dohle_storage::{Directory, File, FileSystem};

use crate::error::{Context, StorageError};
use crate::segment::IndexBytes;
use crate::segment::files::{
    CLEANED_SUFFIX, INDEX_SUFFIX, SEGMENT_SUFFIXES, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX, file_name,
};

#[derive(Debug)]
pub(crate) struct CleanedFiles {
    handle: Arc<dyn Directory>,
    dir: Arc<Path>,
    base_offset: Offset,
    swapped: bool,
}

/// Opens a directory for [`CleanedFiles`].
pub(crate) fn open_dir(
    fs: &dyn FileSystem,
    dir: &Path,
) -> Result<Arc<dyn Directory>, StorageError> {
    fs.open_directory(dir).context("open directory", dir)
}

impl CleanedFiles {
    pub(crate) fn new(handle: Arc<dyn Directory>, dir: Arc<Path>, base_offset: Offset) -> Self {
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

    /// Creates an empty file.
    pub(crate) fn create(&self, suffix: &str) -> Result<Arc<dyn File>, StorageError> {
        let name = self.name(suffix);
        let created = self.handle.create(&name);
        created.context("create", &self.dir.join(&name))
    }

    /// Writes a small file and forces it to the disk.
    pub(crate) fn write(&self, suffix: &str, bytes: &[u8]) -> Result<(), StorageError> {
        let file = self.create(suffix)?;
        file.write_all_at(bytes, 0)
            .and_then(|()| file.sync_data())
            .context("write", &self.dir.join(self.name(suffix)))
    }

    /// Writes the index files.
    pub(crate) fn write_indexes(&self, indexes: &IndexBytes) -> Result<(), StorageError> {
        self.write(INDEX_SUFFIX, &indexes.offsets)?;
        self.write(TIME_INDEX_SUFFIX, &indexes.times)?;
        match indexes.aborted.as_slice() {
            [] => Ok(()),
            aborted => self.write(TXN_INDEX_SUFFIX, aborted),
        }
    }

    /// Forces the directory entries of the files to the disk.
    pub(crate) fn sync_names(&self) -> Result<(), StorageError> {
        self.handle.sync().context("sync directory", &self.dir)
    }

    /// Notes that the files were renamed, so that dropping this value does not delete them.
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
            // Files that cannot be removed are deleted when the log is opened the next time.
            let _ = self.handle.remove_file(&self.name(suffix));
        }
    }
}
