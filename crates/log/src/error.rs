//! Errors of the files themselves.

use std::io;
use std::path::{Path, PathBuf};

use dohle_model::ErrorCode;

/// A file operation failed. The log directory that holds the file goes offline.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {}: {source}", path.display())]
pub struct StorageError {
    /// What was being done, for example "append to".
    pub operation: &'static str,
    /// To which file or directory.
    pub path: PathBuf,
    /// What the system says.
    pub source: io::Error,
}

impl StorageError {
    /// Kafka's code: `KAFKA_STORAGE_ERROR`.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        ErrorCode::KafkaStorageError
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

/// Adds what was being done to an `io::Error`.
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
