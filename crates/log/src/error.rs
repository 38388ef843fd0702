//! Errors of file operations.

use std::io;
use std::path::{Path, PathBuf};

use dohle_model::ErrorCode;

/// The cause of a [`StorageError`], which determines how much of the node it affects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageErrorKind {
    /// The system returned an I/O error. The log directory that holds the file goes offline.
    Device,
    /// The disk returned bytes without an error, but they are not what the format allows. Only the
    /// range of the partition that they belong to is affected.
    Damage,
    /// The process or the machine ran out of file descriptors or memory. The operation may be tried
    /// again; nothing goes offline.
    Shortage,
    /// The file system is full, or a quota is reached. What is on disk can still be read, nothing
    /// goes offline, and the operation succeeds when there is space again.
    Full,
}

/// The value of [`StorageError::operation`] for forcing a segment to the disk.
pub(crate) const SYNC_SEGMENT: &str = "sync";

/// A failed file operation. [`StorageError::kind`] determines what else is affected.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct StorageError {
    /// The operation, for example "append to".
    pub operation: &'static str,
    /// The file or directory of the operation.
    pub path: PathBuf,
    /// The error that the system returned.
    pub source: io::Error,
}

impl StorageError {
    /// Returns Kafka's code `KAFKA_STORAGE_ERROR`.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::KafkaStorageError
    }

    /// Returns the kind of the failure, derived from the error that the system returned. Errors
    /// about the content of files are [`StorageErrorKind::Damage`].
    ///
    /// A segment that could not be forced to the disk is always [`StorageErrorKind::Device`]: the
    /// system may have dropped appended records, for whatever reason it failed, including a full
    /// disk.
    #[must_use]
    pub fn kind(&self) -> StorageErrorKind {
        if self.operation == SYNC_SEGMENT {
            return StorageErrorKind::Device;
        }
        match self.source.kind() {
            io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => StorageErrorKind::Damage,
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StorageErrorKind::Full,
            io::ErrorKind::OutOfMemory => StorageErrorKind::Shortage,
            _ => match self
                .source
                .raw_os_error()
                .map(rustix::io::Errno::from_raw_os_error)
            {
                Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                    StorageErrorKind::Shortage
                }
                _ => StorageErrorKind::Device,
            },
        }
    }

    pub(crate) fn invalid(operation: &'static str, path: &Path, text: impl Into<String>) -> Self {
        let source = io::Error::new(io::ErrorKind::InvalidData, text.into());
        Self {
            operation,
            path: path.to_owned(),
            source,
        }
    }
}

/// Adds operation and path to an `io::Error`.
pub(crate) trait Context<T> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, StorageError>;
}

impl<T, E: Into<io::Error>> Context<T> for Result<T, E> {
    fn context(self, operation: &'static str, path: &Path) -> Result<T, StorageError> {
        self.map_err(|source| StorageError {
            operation,
            path: path.to_owned(),
            source: source.into(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_the_device_take_a_log_directory_offline() {
        let kind = |source: io::Error| {
            StorageError {
                operation: "read",
                path: PathBuf::from("f"),
                source,
            }
            .kind()
        };
        let errno = |errno: rustix::io::Errno| kind(errno.into());
        assert_eq!(errno(rustix::io::Errno::IO), StorageErrorKind::Device);
        assert_eq!(errno(rustix::io::Errno::ROFS), StorageErrorKind::Device);
        assert_eq!(errno(rustix::io::Errno::MFILE), StorageErrorKind::Shortage);
        assert_eq!(errno(rustix::io::Errno::NFILE), StorageErrorKind::Shortage);
        assert_eq!(errno(rustix::io::Errno::NOMEM), StorageErrorKind::Shortage);
        assert_eq!(errno(rustix::io::Errno::NOSPC), StorageErrorKind::Full);
        assert_eq!(errno(rustix::io::Errno::DQUOT), StorageErrorKind::Full);
        let invalid = StorageError::invalid("read", Path::new("f"), "wrong magic");
        assert_eq!(invalid.kind(), StorageErrorKind::Damage);
        let sync = StorageError {
            operation: SYNC_SEGMENT,
            path: PathBuf::from("f"),
            source: rustix::io::Errno::NOSPC.into(),
        };
        assert_eq!(sync.kind(), StorageErrorKind::Device);
        let short = kind(io::ErrorKind::UnexpectedEof.into());
        assert_eq!(short, StorageErrorKind::Damage);
    }
}
