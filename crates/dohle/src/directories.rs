//! Opens a node's directories, and formats those that are empty.
//!
//! Invariant: all directories of a node belong to one cluster and one node, and no two have the
//! same
//! `directory.id`. Whatever contradicts that stops the start, with the file and the way out.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dohle_broker::partitions::LogDir;
use dohle_log::directory::{DirectoryError, LogDirectory, METADATA_LOG_DIR, MetaProperties};
use dohle_model::{DirectoryId, Uuid};

use crate::config::NodeConfig;

/// A node's directories, locked.
#[derive(Debug)]
pub struct Directories {
    /// The cluster they belong to.
    pub cluster_id: String,
    /// `log.dirs` in their order.
    pub log_dirs: Vec<LogDir>,
    /// `metadata.log.dir`, where it is none of `log.dirs`.
    pub metadata: Option<LogDirectory>,
    /// The id of the directory that holds the metadata log.
    pub metadata_id: DirectoryId,
    /// Directories that were empty and were formatted now.
    pub formatted: Vec<PathBuf>,
}

/// Why a node cannot use its directories.
#[derive(Debug, thiserror::Error)]
pub enum DirectoriesError {
    /// One of them.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// Nothing says which cluster the node belongs to.
    #[error(
        "the directories of node {node} are empty and no cluster id is given: set CLUSTER_ID (or \
         cluster.id) to the same id on every node of the cluster, for example CLUSTER_ID={example}"
    )]
    NoClusterId {
        /// The node.
        node: dohle_model::NodeId,
        /// A fresh id.
        example: Uuid,
    },
    /// A directory has partitions and no identity.
    #[error(
        "{} has partitions in it and no meta.properties: put that file back, or move the directory \
         away (mv {} {}.old) to begin anew", .0.display(), .0.display(), .0.display()
    )]
    Unidentified(PathBuf),
    /// One is a copy of another.
    #[error(
        "{} and {} have the same directory.id {id}, one is a copy of the other: take one of them \
         out of log.dirs", .first.display(), .second.display()
    )]
    SameId {
        /// One.
        first: PathBuf,
        /// The other.
        second: PathBuf,
        /// The id.
        id: DirectoryId,
    },
}

impl Directories {
    /// Opens and locks all directories of the node, and formats the empty ones. `fresh` makes ids.
    ///
    /// # Errors
    /// When a directory cannot be used, or belongs to another node or cluster.
    pub fn open(
        config: &NodeConfig,
        mut fresh: impl FnMut() -> Uuid,
    ) -> Result<Self, DirectoriesError> {
        let mut opened = Vec::new();
        for path in paths(config) {
            let directory = LogDirectory::open(&path)?;
            let properties = directory.meta_properties()?;
            opened.push((directory, properties));
        }
        let cluster_id = cluster_id(config, &opened, &mut fresh)?;
        for (directory, properties) in &opened {
            if let Some(properties) = properties {
                properties
                    .verify(directory.path(), Some(&cluster_id), config.node_id)
                    .map_err(DirectoryError::from)?;
            } else if has_partitions(directory)? {
                return Err(DirectoriesError::Unidentified(directory.path().to_owned()));
            }
        }
        let mut formatted = Vec::new();
        let mut ids = BTreeMap::new();
        for (directory, properties) in &opened {
            let id = properties
                .as_ref()
                .and_then(|properties| properties.directory_id);
            let id = id.unwrap_or_else(|| DirectoryId(fresh()));
            if let Some(first) = ids.insert(id, directory.path().to_owned()) {
                let second = directory.path().to_owned();
                return Err(DirectoriesError::SameId { first, second, id });
            }
            let wanted = MetaProperties {
                cluster_id: cluster_id.clone(),
                node_id: config.node_id,
                directory_id: Some(id),
            };
            if properties.is_none() {
                formatted.push(directory.path().to_owned());
            }
            if properties.as_ref() != Some(&wanted) {
                directory.format(&wanted).map_err(DirectoryError::from)?;
            }
        }
        Ok(Self::sort(config, cluster_id, opened, &ids, formatted))
    }

    fn sort(
        config: &NodeConfig,
        cluster_id: String,
        opened: Vec<(LogDirectory, Option<MetaProperties>)>,
        ids: &BTreeMap<DirectoryId, PathBuf>,
        formatted: Vec<PathBuf>,
    ) -> Self {
        let id_of = |path: &Path| {
            let found = ids.iter().find(|(_, of)| of.as_path() == path);
            found.map_or(DirectoryId::UNASSIGNED, |(id, _)| *id)
        };
        let metadata_id = id_of(&config.metadata_log_dir);
        let mut log_dirs = Vec::new();
        let mut metadata = None;
        for (directory, _) in opened {
            if config.log_dirs.iter().any(|path| path == directory.path()) {
                let id = id_of(directory.path());
                log_dirs.push(LogDir { id, directory });
            } else {
                metadata = Some(directory);
            }
        }
        Self {
            cluster_id,
            log_dirs,
            metadata,
            metadata_id,
            formatted,
        }
    }
}

/// A fresh random id in Kafka's manner: none whose text begins with a dash, which tools would take
/// for an option.
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

/// Given, or found in a directory, or the default, or made by a node that is alone.
fn cluster_id(
    config: &NodeConfig,
    opened: &[(LogDirectory, Option<MetaProperties>)],
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
