//! Imports the metadata of a stopped Apache Kafka node (KRaft) into its own directories, so that
//! Dohle continues where Kafka stopped.
//!
//! ```text
//! directories ─▶ source ─▶ conversion ─▶ Import ─▶ report
//!  (checked,      (read)     (pure)         └────▶ write: meta.properties, dohle/, mark
//!   locked)
//! ```
//!
//! Each node is imported on its own. Their logs fit together as Kafka's did (see `conversion`), so
//! the first election decides about records that not all of them have.
//!
//! Invariant: of Kafka's files only a `meta.properties` without a `directory.id` changes, in a way
//! that Kafka accepts. The mark is renamed into place last: before that Kafka and a second import
//! can use the directories, and Dohle refuses them.

mod conversion;
mod directories;
mod report;
mod source;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use dohle_log::directory::{
    DirectoryError, IMPORT_MARK_FILE, IMPORTED_LOG_DIR, ImportMark, METADATA_LOG_DIR, kafka_log_end,
};
use dohle_model::{DirectoryId, NodeId, Uuid};
use dohle_storage::Environment;

use crate::raft::imported::{self, ImportedLog};
use conversion::{ConvertError, Converted, convert};
use directories::{Directories, KafkaDirectory};
use source::Source;

pub use report::Report;

/// Why directories cannot be imported. Nothing was changed, unless writing failed.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The directory does not exist.
    #[error("{} is not a directory", .0.display())]
    NoDirectory(PathBuf),
    /// The directory has no identity.
    #[error(
        "{} has no meta.properties, so it is not a log directory of Apache Kafka: name the \
         directories of log.dirs and of metadata.log.dir", .0.display()
    )]
    Unformatted(PathBuf),
    /// The directory belongs to a broker of a cluster with ZooKeeper.
    #[error(
        "{} belongs to a broker of a cluster with ZooKeeper, whose metadata are not in it: migrate \
         the cluster to KRaft with Apache Kafka 3.9 first, until nothing uses ZooKeeper any more, \
         and import then", .0.display()
    )]
    ZooKeeper(PathBuf),
    /// Another process uses the directory.
    #[error(
        "{} is in use: Apache Kafka, or Dohle, runs on it. Stop it on all nodes of the cluster, \
         and run this command again", .0.display()
    )]
    InUse(PathBuf),
    /// The directories do not belong to one node.
    #[error(
        "{} belongs to {what} {first}, but {} to {what} {second}: name the directories of one node",
        first_path.display(), second_path.display()
    )]
    Mixed {
        /// The kind of the ids that differ.
        what: &'static str,
        /// The id in the first directory.
        first: String,
        /// The first directory.
        first_path: PathBuf,
        /// The id in the second directory.
        second: String,
        /// The second directory.
        second_path: PathBuf,
    },
    /// No directory has metadata.
    #[error(
        "none of these directories has {METADATA_LOG_DIR}, Kafka's metadata: {}. Name all \
         directories of log.dirs, and that of metadata.log.dir", display(.0)
    )]
    NoMetadata(Vec<PathBuf>),
    /// Two directories have metadata.
    #[error(
        "{} and {} have both {METADATA_LOG_DIR}: Kafka uses one only. Move the other away, the one \
         that is not in metadata.log.dir", .0.display(), .1.display()
    )]
    TwoLogs(PathBuf, PathBuf),
    /// The metadata are Dohle's.
    #[error(
        "{} has metadata of Dohle that no import has written: start it with `dohle server`", 
        .0.display()
    )]
    Own(PathBuf),
    /// Kafka's files are damaged, or contain something that Kafka 4.4 does not write.
    #[error(
        "{}: {reason}. If the other controllers are intact, move {METADATA_LOG_DIR} of this node \
         away and import the others: this node gets the metadata from them", path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Kafka's files contain what only a later release writes.
    #[error("{}: {reason}: Dohle imports the metadata of Apache Kafka 3.3 to 4.4", path.display())]
    Unknown {
        /// The file.
        path: PathBuf,
        /// What is unknown.
        reason: String,
    },
    /// The cluster still migrates from ZooKeeper.
    #[error("{}: {reason}", path.display())]
    Migrating {
        /// The directory.
        path: PathBuf,
        /// What to do.
        reason: String,
    },
    /// A log directory cannot be used.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The error.
        source: io::Error,
    },
}

fn display(paths: &[PathBuf]) -> String {
    let shown = paths.iter().map(|path| path.display().to_string());
    shown.collect::<Vec<_>>().join(", ")
}

impl From<dohle_log::StorageError> for ImportError {
    fn from(error: dohle_log::StorageError) -> Self {
        Self::Directory(error.into())
    }
}

/// A planned import of one node. Holds the locks of its directories.
pub struct Import {
    environment: Environment,
    directories: Directories,
    log: Option<ImportedLog>,
    report: Report,
}

impl std::fmt::Debug for Import {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Import({:?})", self.report)
    }
}

impl Import {
    /// Reads the directories of a stopped node, and plans the import. Writes nothing. `fresh`
    /// creates ids for directories that have none.
    ///
    /// # Errors
    /// When the directories are not those of one stopped node of Apache Kafka, or cannot be read.
    pub fn plan(
        environment: &Environment,
        dirs: &[PathBuf],
        fresh: impl FnMut() -> Uuid,
    ) -> Result<Self, ImportError> {
        let directories = Directories::open(environment, dirs, fresh)?;
        let (log, report) = match directories.is_imported {
            true => (None, Report::imported(&directories)),
            false => plan_log(environment, &directories)?,
        };
        Ok(Self {
            environment: environment.clone(),
            directories,
            log,
            report,
        })
    }

    /// Returns the description of the plan.
    #[must_use]
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Whether the directories were imported before, so that nothing is to be done.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.directories.is_imported
    }

    /// Carries the plan out, durably. Does nothing when it [is done](Self::is_done).
    ///
    /// # Errors
    /// When a file cannot be written. Kafka and a second import can use the directories then.
    pub fn write(self) -> Result<(), ImportError> {
        if self.is_done() {
            return Ok(());
        }
        for KafkaDirectory {
            directory, new_id, ..
        } in &self.directories.all
        {
            if let Some(id) = new_id {
                directory.add_directory_id(*id)?;
            }
        }
        let path = self.directories.metadata().path().join(METADATA_LOG_DIR);
        let own = path.join(IMPORTED_LOG_DIR);
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| ImportError::Io { path, source }
        };
        // The rest of an import that was interrupted, or an import from before Kafka ran again.
        match self.environment.files.remove_directory(&own) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(&own)(error)),
            _ => {}
        }
        if let Some(log) = &self.log {
            imported::write(self.environment.clone(), &own, log).map_err(io(&own))?;
        }
        let kafka_log_end = kafka_log_end(&*self.environment.files, &path)?;
        let mark = ImportMark { kafka_log_end }.encode();
        imported::replace(self.environment, &path, IMPORT_MARK_FILE, mark.as_bytes())
            .map_err(io(&path))
    }
}

/// Plans the log of the node: `None` for a node that is no voter, or has no records.
fn plan_log(
    environment: &Environment,
    directories: &Directories,
) -> Result<(Option<ImportedLog>, Report), ImportError> {
    let path = directories.metadata().path().join(METADATA_LOG_DIR);
    let source = source::read(&*environment.files, &path)?;
    let converted = convert(&source).map_err(|error| {
        let (path, reason) = (path.clone(), error.to_string());
        match error {
            ConvertError::Migrating(_) => ImportError::Migrating { path, reason },
            ConvertError::Record { .. } => ImportError::Damaged { path, reason },
        }
    })?;
    let is_voter = is_voter(&converted, directories.node_id, directories.metadata_id());
    let report = Report::of(directories, &source, &converted, is_voter);
    let log = (is_voter && converted.end > 0).then(|| ImportedLog {
        vote: vote(&source, converted.epoch, directories.node_id),
        directory: directories.metadata_id(),
        snapshot: converted.snapshot,
        entries: converted.entries,
    });
    Ok((log, report))
}

/// Whether the node is a voter: with `kraft.version` 1 also its directory has to be the voter's.
fn is_voter(converted: &Converted, node: NodeId, directory: DirectoryId) -> bool {
    let voters = converted.voters.iter().flatten();
    let own = voters.clone().find(|voter| voter.id == node);
    own.is_some_and(|own| own.directory.is_zero() || own.directory == directory)
}

/// Returns the newest epoch that the node has recorded, and its vote in it. A node that voted for
/// nobody gets its own vote: no candidate of Dohle's stands in an epoch of Kafka's.
fn vote(source: &Source, epoch: u64, node: NodeId) -> (u64, NodeId) {
    match &source.quorum_state {
        Some(state) if state.epoch >= epoch => (
            state.epoch,
            state.voted_for.or(state.leader).unwrap_or(node),
        ),
        _ => (epoch, node),
    }
}
