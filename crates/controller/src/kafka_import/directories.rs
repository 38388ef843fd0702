//! Checks and locks the directories of a stopped Kafka node.

use std::path::{Path, PathBuf};

use dohle_log::LogDirectory;
use dohle_log::directory::{
    DirectoryError, META_PROPERTIES_FILE, MetaProperties, MetadataLog, metadata_log,
};
use dohle_model::{DirectoryId, NodeId, Uuid};
use dohle_storage::Environment;

use super::ImportError;

/// The directories of one node, locked.
pub(super) struct Directories {
    pub cluster_id: String,
    pub node_id: NodeId,
    pub all: Vec<KafkaDirectory>,
    /// The place in `all` of the directory with the metadata.
    metadata: usize,
    /// Whether the metadata were imported before.
    pub is_imported: bool,
    /// Whether the metadata were imported before, and Kafka ran again since.
    pub is_outdated: bool,
}

/// One of the directories.
pub(super) struct KafkaDirectory {
    pub directory: LogDirectory,
    pub id: DirectoryId,
    /// The same id when the directory has none yet.
    pub new_id: Option<DirectoryId>,
}

impl Directories {
    pub(super) fn open(
        environment: &Environment,
        dirs: &[PathBuf],
        mut fresh: impl FnMut() -> Uuid,
    ) -> Result<Self, ImportError> {
        let mut all = Vec::new();
        let mut first: Option<(PathBuf, MetaProperties)> = None;
        let mut metadata: Option<(usize, MetadataLog)> = None;
        for path in dirs {
            let (directory, properties) = open(environment, path)?;
            match &first {
                None => first = Some((path.clone(), properties.clone())),
                Some((of, known)) => same_node((of, known), (path, &properties))?,
            }
            match (metadata_log(&*environment.files, path)?, metadata) {
                (MetadataLog::Absent, _) => {}
                (MetadataLog::Own, _) => return Err(ImportError::Own(path.clone())),
                (_, Some((at, _))) => {
                    return Err(ImportError::TwoLogs(dirs[at].clone(), path.clone()));
                }
                (found, None) => metadata = Some((all.len(), found)),
            }
            let new_id = properties.directory_id.is_none().then(&mut fresh);
            let new_id = new_id.map(DirectoryId);
            all.push(KafkaDirectory {
                directory,
                id: properties.directory_id.or(new_id).unwrap_or_default(),
                new_id,
            });
        }
        let none = || ImportError::NoMetadata(dirs.to_vec());
        let ((_, properties), (metadata, found)) = first.zip(metadata).ok_or_else(none)?;
        Ok(Self {
            cluster_id: properties.cluster_id,
            node_id: properties.node_id,
            all,
            metadata,
            is_imported: found == MetadataLog::Imported,
            is_outdated: found == MetadataLog::Outdated,
        })
    }

    /// Returns the directory with the metadata.
    pub(super) fn metadata(&self) -> &LogDirectory {
        &self.all[self.metadata].directory
    }

    /// Returns the id of the directory with the metadata.
    pub(super) fn metadata_id(&self) -> DirectoryId {
        self.all[self.metadata].id
    }
}

fn open(
    environment: &Environment,
    path: &Path,
) -> Result<(LogDirectory, MetaProperties), ImportError> {
    let is_directory = environment.files.metadata(path);
    if !is_directory.is_ok_and(|it| it.is_directory) {
        return Err(ImportError::NoDirectory(path.to_owned()));
    }
    let file = path.join(META_PROPERTIES_FILE);
    if !environment.files.exists(&file).unwrap_or(false) {
        return Err(ImportError::Unformatted(path.to_owned()));
    }
    let directory =
        LogDirectory::open_in(path, environment.clone()).map_err(|error| match error {
            DirectoryError::Locked(path) => ImportError::InUse(path),
            other => other.into(),
        })?;
    let text = environment.files.read(&file);
    let text = text.map_err(|source| ImportError::Io { path: file, source })?;
    // Only brokers with ZooKeeper write version 0.
    let is_old = |line: &str| line.replace(' ', "") == "version=0";
    if String::from_utf8_lossy(&text).lines().any(is_old) {
        return Err(ImportError::ZooKeeper(path.to_owned()));
    }
    let properties = directory.meta_properties()?;
    let properties = properties.ok_or_else(|| ImportError::Unformatted(path.to_owned()))?;
    Ok((directory, properties))
}

fn same_node(
    (first_path, first): (&Path, &MetaProperties),
    (second_path, second): (&Path, &MetaProperties),
) -> Result<(), ImportError> {
    let (what, first, second) = if first.cluster_id != second.cluster_id {
        let ids = (first.cluster_id.clone(), second.cluster_id.clone());
        ("cluster", ids.0, ids.1)
    } else if first.node_id != second.node_id {
        (
            "node",
            first.node_id.to_string(),
            second.node_id.to_string(),
        )
    } else {
        return Ok(());
    };
    Err(ImportError::Mixed {
        what,
        first,
        first_path: first_path.to_owned(),
        second,
        second_path: second_path.to_owned(),
    })
}
