//! How steps and moves end.

use dohle_log::{AppendError, StorageError};

use crate::partition::ReadError;

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// The copy or the move has changed.
    Made,
    /// The move waits: for records, the controller, space, or a repair of the log.
    Waits,
}

/// Why a move ends without a swap.
#[derive(Debug)]
pub(super) enum MoveEnd {
    /// Another directory was requested, or the one that has the replica.
    Cancelled,
    /// The replica was removed from this broker.
    Removed,
    /// The directory of the copy failed.
    TargetFailed(String),
    /// The directory of the replica failed. The copy is kept for the next start.
    SourceFailed,
    /// The copy cannot be continued.
    CopyFailed(String),
}

/// Why a step failed.
#[derive(Debug)]
pub(super) enum StepFailure {
    /// A file of the copy could not be changed.
    Copy(StorageError),
    /// Records could not be read, or do not follow those of the copy.
    Source(String),
}

impl From<StorageError> for StepFailure {
    fn from(error: StorageError) -> Self {
        Self::Copy(error)
    }
}

impl From<ReadError> for StepFailure {
    fn from(error: ReadError) -> Self {
        Self::Source(error.to_string())
    }
}

impl From<AppendError> for StepFailure {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Storage(error) => Self::Copy(error),
            other => Self::Source(other.to_string()),
        }
    }
}
