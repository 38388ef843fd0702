//! Opens a node's directories, and formats those that are empty.
//!
//! Invariant: all directories of a node belong to one cluster and one node, and no two have the
//! same `directory.id`. A contradiction stops the start with an error that names the file and the
//! remedy.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dohle_broker::partitions::{LogDir, OfflineDir};
use dohle_log::Environment;
use dohle_log::directory::{
    DirectoryError, LogDirectory, METADATA_LOG_DIR, MetaProperties, MetaPropertiesError,
    MetadataLog, metadata_log,
};
use dohle_model::{DirectoryId, Uuid};

use crate::config::NodeConfig;

/// A node's directories, locked.
#[derive(Debug)]
pub struct Directories {
    /// The cluster to which the directories belong.
    pub cluster_id: String,
    /// The usable ones of `log.dirs`, in their order.
    pub log_dirs: Vec<LogDir>,
    /// `metadata.log.dir`, if it is not one of `log.dirs`.
    pub metadata: Option<LogDirectory>,
    /// The id of the directory that holds the metadata log.
    pub metadata_id: DirectoryId,
    /// The unusable ones of `log.dirs`; the node continues with the others.
    pub offline: Vec<OfflineDir>,
    /// Directories that were empty and have just been formatted.
    pub formatted: Vec<PathBuf>,
}

/// Why a node cannot use its directories.
#[derive(Debug, thiserror::Error)]
pub enum DirectoriesError {
    /// An error of one directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The cluster to which the node belongs is not configured.
    #[error(
        "the directories of node {node} are empty and no cluster id is given: set CLUSTER_ID (or \
         cluster.id) to the same id on every node of the cluster, for example CLUSTER_ID={example}"
    )]
    NoClusterId {
        /// The node.
        node: dohle_model::NodeId,
        /// A new id, as an example.
        example: Uuid,
    },
    /// A directory contains the metadata of Apache Kafka, which were not imported.
    #[error(
        "{} has the metadata of an Apache Kafka node. To go on with its topics, stop Kafka on all \
         nodes of the cluster, and run this command on each node, with its own directories (in \
         containers, in place of the image's command, with the same volumes): {}. Nothing was \
         changed. To begin anew, point log.dirs and metadata.log.dir elsewhere",
        dir.display(), import_command(dirs)
    )]
    KafkaMetadata {
        /// The directory with the metadata.
        dir: PathBuf,
        /// All directories of the node.
        dirs: Vec<PathBuf>,
    },
    /// Apache Kafka was running since its metadata were imported.
    #[error(
        "Apache Kafka was running on {} since its metadata were imported. To go on from where \
         Kafka stopped, stop it on all nodes of the cluster, and run this command on each node, \
         with its own directories: {}. What Dohle wrote to the metadata before is discarded then. \
         Nothing was changed", dir.display(), import_command(dirs)
    )]
    KafkaRan {
        /// The directory with the metadata.
        dir: PathBuf,
        /// All directories of the node.
        dirs: Vec<PathBuf>,
    },
    /// A directory contains partitions but no identity.
    #[error(
        "{} has partitions in it and no meta.properties: put that file back, or move the directory \
         away (mv {} {}.old) to begin anew", .0.display(), .0.display(), .0.display()
    )]
    Unidentified(PathBuf),
    /// None of `log.dirs` is usable.
    #[error("no log directory can be used: {reason}")]
    AllOffline {
        /// The error of the first directory.
        reason: String,
    },
    /// One directory is a copy of another.
    #[error(
        "{} and {} have the same directory.id {id}, one is a copy of the other: take one of them \
         out of log.dirs", .first.display(), .second.display()
    )]
    SameId {
        /// One of the two directories.
        first: PathBuf,
        /// The other directory.
        second: PathBuf,
        /// Their id.
        id: DirectoryId,
    },
}

impl Directories {
    /// Opens and locks all directories of the node, and formats the empty ones. `fresh` creates
    /// ids.
    ///
    /// # Errors
    /// When a directory cannot be used, or belongs to another node or cluster.
    pub fn open(
        config: &NodeConfig,
        mut fresh: impl FnMut() -> Uuid,
    ) -> Result<Self, DirectoriesError> {
        refuse_kafka_metadata(config)?;
        let mut opening = Opening::new(config);
        for path in paths(config) {
            opening.add(&path)?;
        }
        let cluster_id = cluster_id(config, &opening.opened, &mut fresh)?;
        opening.verify(&cluster_id)?;
        let formatted = opening.format(&cluster_id, &mut fresh)?;
        opening.finish(cluster_id, formatted)
    }
}

/// Refuses directories with Kafka's metadata, before any directory is locked or written.
fn refuse_kafka_metadata(config: &NodeConfig) -> Result<(), DirectoriesError> {
    let environment = Environment::native();
    let dirs = paths(config);
    for dir in &dirs {
        match metadata_log(&*environment.files, dir) {
            Ok(MetadataLog::Absent | MetadataLog::Own | MetadataLog::Imported) => {}
            Ok(MetadataLog::Kafka) => {
                let dir = dir.clone();
                return Err(DirectoriesError::KafkaMetadata { dir, dirs });
            }
            Ok(MetadataLog::Outdated) => {
                let dir = dir.clone();
                return Err(DirectoriesError::KafkaRan { dir, dirs });
            }
            // The error of another unreadable directory is handled when it is opened.
            Err(error) if *dir == config.metadata_log_dir => {
                return Err(DirectoryError::from(error).into());
            }
            Err(_) => {}
        }
    }
    Ok(())
}

/// Returns the command that imports Kafka's metadata, for a shell.
fn import_command(dirs: &[PathBuf]) -> String {
    let mut command = "dohle storage import-kafka".to_owned();
    for dir in dirs {
        let path = dir.display().to_string();
        let plain = |c: char| c.is_alphanumeric() || "/._-+@%:,".contains(c);
        command += " ";
        match path.chars().all(plain) {
            true => command += &path,
            false => command += &format!("'{}'", path.replace('\'', "'\\''")),
        }
    }
    command
}

/// The directories that have been opened so far.
struct Opening<'a> {
    config: &'a NodeConfig,
    opened: Vec<Opened>,
    offline: Vec<OfflineDir>,
    ids: BTreeMap<DirectoryId, PathBuf>,
}

type Opened = (LogDirectory, Option<MetaProperties>);

impl<'a> Opening<'a> {
    fn new(config: &'a NodeConfig) -> Self {
        Self {
            config,
            opened: Vec::new(),
            offline: Vec::new(),
            ids: BTreeMap::new(),
        }
    }

    /// Opens a directory. If its disk or identity is damaged, the directory is offline, unless it
    /// holds the node's metadata.
    fn add(&mut self, path: &Path) -> Result<(), DirectoriesError> {
        let open = || {
            let directory = LogDirectory::open(path)?;
            let properties = directory.meta_properties()?;
            if properties.is_none() && has_partitions(&directory)? {
                return Err(DirectoriesError::Unidentified(path.to_owned()));
            }
            Ok((directory, properties))
        };
        match open() {
            Ok(opened) => self.opened.push(opened),
            Err(error) => self.failed(path, error)?,
        }
        Ok(())
    }

    fn failed(&mut self, path: &Path, error: DirectoriesError) -> Result<(), DirectoriesError> {
        let is_damage = matches!(
            error,
            DirectoriesError::Directory(
                DirectoryError::Storage(_)
                    | DirectoryError::MetaProperties(MetaPropertiesError::Malformed { .. })
            )
        );
        if !is_damage || path == self.config.metadata_log_dir {
            return Err(error);
        }
        let reason = error.to_string();
        self.offline.push(OfflineDir {
            path: path.to_owned(),
            reason,
        });
        Ok(())
    }

    fn verify(&self, cluster_id: &str) -> Result<(), DirectoriesError> {
        for (directory, properties) in &self.opened {
            if let Some(properties) = properties {
                properties
                    .verify(directory.path(), Some(cluster_id), self.config.node_id)
                    .map_err(DirectoryError::from)?;
            }
        }
        Ok(())
    }

    /// Writes the identity of each directory. Returns the paths of those that had none.
    fn format(
        &mut self,
        cluster_id: &str,
        fresh: &mut impl FnMut() -> Uuid,
    ) -> Result<Vec<PathBuf>, DirectoriesError> {
        let mut formatted = Vec::new();
        for (directory, properties) in std::mem::take(&mut self.opened) {
            let id = properties
                .as_ref()
                .and_then(|properties| properties.directory_id);
            let id = id.unwrap_or_else(|| DirectoryId(fresh()));
            let path = directory.path().to_owned();
            if let Some(first) = self.ids.insert(id, path.clone()) {
                let second = path;
                return Err(DirectoriesError::SameId { first, second, id });
            }
            let wanted = MetaProperties {
                cluster_id: cluster_id.to_owned(),
                node_id: self.config.node_id,
                directory_id: Some(id),
            };
            if properties.as_ref() != Some(&wanted)
                && let Err(error) = directory.format(&wanted)
            {
                self.ids.remove(&id);
                self.failed(&path, DirectoryError::from(error).into())?;
                continue;
            }
            if properties.is_none() {
                formatted.push(path);
            }
            self.opened.push((directory, properties));
        }
        Ok(formatted)
    }

    fn finish(
        self,
        cluster_id: String,
        formatted: Vec<PathBuf>,
    ) -> Result<Directories, DirectoriesError> {
        let id_of = |path: &Path| {
            let found = self.ids.iter().find(|(_, of)| of.as_path() == path);
            found.map_or(DirectoryId::UNASSIGNED, |(id, _)| *id)
        };
        let metadata_id = id_of(&self.config.metadata_log_dir);
        let mut log_dirs = Vec::new();
        let mut metadata = None;
        for (directory, _) in self.opened {
            let is_log_dir = self.config.log_dirs.iter().any(|it| it == directory.path());
            if is_log_dir {
                let id = id_of(directory.path());
                log_dirs.push(LogDir { id, directory });
            } else {
                metadata = Some(directory);
            }
        }
        if let (true, Some(offline)) = (log_dirs.is_empty(), self.offline.first()) {
            return Err(DirectoriesError::AllOffline {
                reason: offline.reason.clone(),
            });
        }
        Ok(Directories {
            cluster_id,
            log_dirs,
            metadata,
            metadata_id,
            offline: self.offline,
            formatted,
        })
    }
}

/// Returns a new random id. Like Kafka's, its text does not begin with a dash, which tools would
/// parse as an option.
#[must_use]
pub fn fresh_id() -> Uuid {
    loop {
        let id = Uuid(uuid::Uuid::new_v4().into_bytes());
        if !id.to_string().starts_with('-') {
            return id;
        }
    }
}

fn paths(config: &NodeConfig) -> Vec<PathBuf> {
    let mut paths = config.log_dirs.clone();
    if !paths.contains(&config.metadata_log_dir) {
        paths.push(config.metadata_log_dir.clone());
    }
    paths
}

/// Returns the cluster's id: configured, or found in a directory, or the default, or created by a
/// single node.
fn cluster_id(
    config: &NodeConfig,
    opened: &[Opened],
    fresh: &mut impl FnMut() -> Uuid,
) -> Result<String, DirectoriesError> {
    if let Some(id) = &config.cluster_id {
        return Ok(id.clone());
    }
    let found = opened
        .iter()
        .find_map(|(_, properties)| properties.as_ref());
    if let Some(properties) = found {
        return Ok(properties.cluster_id.clone());
    }
    if let Some(id) = &config.cluster_id_default {
        return Ok(id.clone());
    }
    let alone = config.roles.controller && config.voters.len() == 1;
    if alone {
        return Ok(fresh().to_string());
    }
    Err(DirectoriesError::NoClusterId {
        node: config.node_id,
        example: fresh(),
    })
}

fn has_partitions(directory: &LogDirectory) -> Result<bool, DirectoriesError> {
    if directory.path().join(METADATA_LOG_DIR).exists() {
        return Ok(true);
    }
    Ok(!directory
        .partition_dirs()
        .map_err(DirectoryError::from)?
        .is_empty())
}

#[cfg(test)]
mod tests;
