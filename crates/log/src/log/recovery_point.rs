//! Lowers the recovery point of a log that is truncated below it.
//!
//! The log directory's checkpoint of recovery points is written from time to time. Between a
//! truncation and the next checkpoint it may have a recovery point above records that were appended
//! after the truncation and are not on the disk. So a truncation below the recovery point first
//! writes a smaller one to a file of the partition; that one applies until a flush has passed the
//! one in the checkpoint.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dohle_model::Offset;
use dohle_storage::FileSystem;

use super::Log;
use crate::checkpoint::{Sync, read_if_exists, remove_if_exists, write_atomically};
use crate::error::StorageError;

/// The name of the file: a version and an offset.
pub(crate) const TRUNCATION_FILE: &str = "truncation-checkpoint";

fn path(dir: &Path) -> PathBuf {
    dir.join(TRUNCATION_FILE)
}

/// Returns the recovery point that applies when a log is opened, and the larger one of the
/// checkpoint that does not apply.
pub(super) fn effective(
    fs: &dyn FileSystem,
    dir: &Path,
    checkpoint: Offset,
    clean_shutdown: bool,
) -> Result<(Offset, Option<Offset>), StorageError> {
    if clean_shutdown {
        remove_if_exists(fs, &path(dir))?;
        return Ok((checkpoint, None));
    }
    let Some(bytes) = read_if_exists(fs, &path(dir))? else {
        return Ok((checkpoint, None));
    };
    let text = String::from_utf8_lossy(&bytes);
    let offset = text
        .strip_prefix("0\n")
        .and_then(|it| it.trim().parse().ok());
    let offset = offset.and_then(Offset::from_wire).unwrap_or_else(|| {
        let path = path(dir);
        tracing::warn!(
            path = %path.display(),
            "cannot read the recovery point of a truncated log, recovering the whole log"
        );
        Offset::ZERO
    });
    if offset >= checkpoint {
        remove_if_exists(fs, &path(dir))?;
        return Ok((checkpoint, None));
    }
    Ok((offset, Some(checkpoint)))
}

impl Log {
    /// Lowers the recovery point before the log is truncated to an end at or above `end`. Called
    /// before any file changes.
    pub(super) fn lower_recovery_point(&mut self, end: Offset) -> Result<(), StorageError> {
        if self.recovery_point <= end {
            return Ok(());
        }
        assert!(
            end <= self.log_end_offset,
            "{}: a truncation to {end}, beyond the log end {}",
            self.topic_partition,
            self.log_end_offset
        );
        let text = format!("0\n{end}\n");
        write_atomically(self.fs(), &path(&self.dir), text.as_bytes(), Sync::Yes)?;
        let stale = self.stale_recovery_point.max(Some(self.recovery_point));
        self.stale_recovery_point = stale;
        Ok(())
    }

    /// Removes the file if the recovery point has passed the one in the checkpoint.
    pub(super) fn on_recovery_point(&mut self) {
        if self
            .stale_recovery_point
            .is_some_and(|stale| self.recovery_point >= stale)
        {
            let path = path(&Arc::clone(&self.dir));
            match remove_if_exists(self.fs(), &path) {
                Ok(()) => self.stale_recovery_point = None,
                // While the file exists, recovery reads more than it must.
                Err(error) => tracing::warn!(%error, "cannot remove a truncation checkpoint"),
            }
        }
    }
}
