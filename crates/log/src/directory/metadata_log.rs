//! Whose metadata a log directory has: Dohle's, those of an Apache Kafka node, or those that were
//! imported from Kafka.
//!
//! ```text
//! __cluster_metadata-0/            Kafka's log and snapshots, which an import does not change; or
//!                                  Dohle's, in directories that Kafka never used
//! __cluster_metadata-0/dohle/      Dohle's log and snapshots, after an import
//! __cluster_metadata-0/dohle-import.properties
//!                                  the mark that the import is complete
//! ```
//!
//! Invariant: the mark gets its name after everything else of the import is on the disk. Without it
//! `dohle/` is the rest of an import that was interrupted.

use std::io;
use std::path::{Path, PathBuf};

use dohle_storage::{Environment, FileSystem};

use super::METADATA_LOG_DIR;
use crate::error::{Context, StorageError};
use crate::segment::files::{LOG_SUFFIX, offset_of_name};

/// The directory of Dohle's metadata log beside Kafka's.
pub const IMPORTED_LOG_DIR: &str = "dohle";
/// The name of the mark that an import is complete.
pub const IMPORT_MARK_FILE: &str = "dohle-import.properties";

const QUORUM_STATE_FILE: &str = "quorum-state";
const SNAPSHOT_SUFFIX: &str = ".checkpoint";
/// The first bytes of a snapshot of Dohle's.
const OWN_SNAPSHOT: &[u8; 8] = b"DOHLESNP";

/// Whose metadata a log directory has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataLog {
    /// There are none.
    Absent,
    /// Dohle's own.
    Own,
    /// Those of Apache Kafka, which were not imported.
    Kafka,
    /// Those of Apache Kafka, which were imported.
    Imported,
    /// Those of Apache Kafka, which has written to its log since they were imported.
    Outdated,
}

/// The mark of a complete import.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImportMark {
    /// The end of Kafka's log, see [`kafka_log_end`].
    pub kafka_log_end: String,
}

impl ImportMark {
    /// Returns the text of the file.
    #[must_use]
    pub fn encode(&self) -> String {
        format!(
            "# The metadata of Apache Kafka were imported into the directory {IMPORTED_LOG_DIR}.\n\
             version=1\nkafka.log.end={}\n",
            self.kafka_log_end
        )
    }

    /// Parses the text of the file; `None` when it is not such a file.
    fn decode(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines
                .filter(|(found, _)| found.trim() == key)
                .map(|(_, value)| value.trim().to_owned())
                .next()
        };
        (value("version")? == "1").then_some(())?;
        Some(Self {
            kafka_log_end: value("kafka.log.end")?,
        })
    }
}

/// Returns the directory of Dohle's metadata log in this log directory, which may not exist.
#[must_use]
pub fn metadata_log_path(dir: &Path) -> PathBuf {
    let path = dir.join(METADATA_LOG_DIR);
    let mark = path.join(IMPORT_MARK_FILE);
    match Environment::native().files.exists(&mark) {
        Ok(true) => path.join(IMPORTED_LOG_DIR),
        // The start looks at the directory, too, and reports what cannot be read.
        Ok(false) | Err(_) => path,
    }
}

/// Returns whose metadata a log directory has.
///
/// # Errors
/// When the directory cannot be read, or the mark of an import is damaged.
pub fn metadata_log(fs: &dyn FileSystem, dir: &Path) -> Result<MetadataLog, StorageError> {
    let path = dir.join(METADATA_LOG_DIR);
    let Some(names) = names(fs, &path)? else {
        return Ok(MetadataLog::Absent);
    };
    if names.iter().any(|name| name == IMPORT_MARK_FILE) {
        let mark = path.join(IMPORT_MARK_FILE);
        let bytes = fs.read(&mark).context("read", &mark)?;
        let found = ImportMark::decode(&String::from_utf8_lossy(&bytes));
        let damaged = || StorageError::invalid("read", &mark, "it is not the mark of an import");
        let is_current = found.ok_or_else(damaged)?.kafka_log_end == kafka_log_end(fs, &path)?;
        return Ok(match is_current {
            true => MetadataLog::Imported,
            false => MetadataLog::Outdated,
        });
    }
    for name in &names {
        if name == QUORUM_STATE_FILE
            || offset_of_name(name, LOG_SUFFIX).is_some()
            || (name.ends_with(SNAPSHOT_SUFFIX) && !is_own_snapshot(fs, &path.join(name))?)
        {
            return Ok(MetadataLog::Kafka);
        }
    }
    Ok(match names.iter().all(|name| name == IMPORTED_LOG_DIR) {
        true => MetadataLog::Absent,
        false => MetadataLog::Own,
    })
}

/// Describes the end of Kafka's metadata log in the directory `path`: its last segment with its
/// length. Kafka appends a record whenever a controller becomes active, so another description
/// shows that Kafka was running since.
///
/// # Errors
/// When the directory cannot be read.
pub fn kafka_log_end(fs: &dyn FileSystem, path: &Path) -> Result<String, StorageError> {
    let names = names(fs, path)?.unwrap_or_default().into_iter();
    let Some(last) = names
        .filter(|name| offset_of_name(name, LOG_SUFFIX).is_some())
        .max()
    else {
        return Ok("none".to_owned());
    };
    let segment = path.join(&last);
    let metadata = fs.metadata(&segment).context("look at", &segment)?;
    Ok(format!("{last}:{}", metadata.len))
}

/// Returns the names in a directory; `None` when it does not exist.
fn names(fs: &dyn FileSystem, path: &Path) -> Result<Option<Vec<String>>, StorageError> {
    match fs.list(path) {
        Ok(entries) => {
            let name = |entry: dohle_storage::DirectoryEntry| entry.name.into_string().ok();
            Ok(Some(entries.into_iter().filter_map(name).collect()))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).context("list", path),
    }
}

fn is_own_snapshot(fs: &dyn FileSystem, path: &Path) -> Result<bool, StorageError> {
    let mut head = [0; OWN_SNAPSHOT.len()];
    let file = fs.open(path, dohle_storage::OpenMode::Read);
    match file.and_then(|file| file.read_exact_at(&mut head, 0)) {
        Ok(()) => Ok(&head == OWN_SNAPSHOT),
        // The rest of a file of either.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(true),
        Err(error) => Err(error).context("read", path),
    }
}
