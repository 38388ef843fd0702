//! `meta.properties`: which node and cluster a log directory belongs to.

use std::path::{Path, PathBuf};

use dohle_model::{DirectoryId, NodeId};

/// The file's name.
pub const META_PROPERTIES_FILE: &str = "meta.properties";

/// The content of the file, version 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaProperties {
    /// `cluster.id`.
    pub cluster_id: String,
    /// `node.id`.
    pub node_id: NodeId,
    /// `directory.id`; older formatters leave it out.
    pub directory_id: Option<DirectoryId>,
}

/// Why a log directory is not the one that was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaPropertiesError {
    /// The file cannot be understood.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It belongs to another cluster.
    #[error(
        "{} belongs to cluster {found}, this node is configured for cluster {expected}; set \
         CLUSTER_ID (or cluster.id) to {found} to use these data, or move the directory away \
         (mv {} {}.old) to begin anew", path.display(), dir.display(), dir.display()
    )]
    ClusterId {
        /// The file.
        path: PathBuf,
        /// The log directory.
        dir: PathBuf,
        /// The cluster that the node is configured for.
        expected: String,
        /// The cluster in the file.
        found: String,
    },
    /// It belongs to another node.
    #[error(
        "{} belongs to node {found}, this node has node.id={expected}; set node.id={found} to use \
         these data, or move the directory away (mv {} {}.old) to begin anew",
        path.display(), dir.display(), dir.display()
    )]
    NodeId {
        /// The file.
        path: PathBuf,
        /// The log directory.
        dir: PathBuf,
        /// The node's configured id.
        expected: NodeId,
        /// The id in the file.
        found: NodeId,
    },
}

impl MetaProperties {
    /// Reads the file's text; `path` is for the error.
    ///
    /// # Errors
    /// When a property is missing or malformed.
    pub fn decode(text: &str, path: &Path) -> Result<Self, MetaPropertiesError> {
        Self::parse(text).map_err(|problem| MetaPropertiesError::Malformed {
            path: path.to_owned(),
            problem,
        })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut cluster_id = None;
        let mut node_id = None;
        let mut broker_id = None;
        let mut directory_id = None;
        let mut version = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', '!']) {
                continue;
            }
            let Some((key, value)) = line.split_once(['=', ':']) else {
                return Err(format!("{line:?} is not a property"));
            };
            let value = value.trim().to_owned();
            match key.trim() {
                "version" => version = Some(value),
                "cluster.id" => cluster_id = Some(value),
                "node.id" => node_id = Some(value),
                "broker.id" => broker_id = Some(value),
                "directory.id" => directory_id = Some(value),
                _ => {}
            }
        }
        match version.as_deref() {
            Some("0" | "1") => {}
            Some(other) => return Err(format!("version {other:?} is not known, 1 is expected")),
            None => return Err("version is missing".to_owned()),
        }
        let node_id = node_id.or(broker_id).ok_or("node.id is missing")?;
        let node_id = node_id
            .parse()
            .ok()
            .and_then(NodeId::from_wire)
            .ok_or_else(|| format!("node.id {node_id:?} is not a number from 0"))?;
        let directory_id = match directory_id {
            None => None,
            Some(id) => Some(
                id.parse()
                    .map_err(|error| format!("directory.id: {error}"))?,
            ),
        };
        let cluster_id = cluster_id
            .filter(|id| !id.is_empty())
            .ok_or("cluster.id is missing")?;
        Ok(Self {
            cluster_id,
            node_id,
            directory_id,
        })
    }

    /// The file's text.
    #[must_use]
    pub fn encode(&self) -> String {
        let directory_id = self
            .directory_id
            .map(|id| format!("directory.id={id}\n"))
            .unwrap_or_default();
        format!(
            "node.id={}\nversion=1\n{directory_id}cluster.id={}\n",
            self.node_id, self.cluster_id
        )
    }

    /// Whether the directory `dir` is of this cluster and node.
    ///
    /// # Errors
    /// When it is not, with both ids, the file and the way out.
    pub fn verify(
        &self,
        dir: &Path,
        cluster_id: Option<&str>,
        node_id: NodeId,
    ) -> Result<(), MetaPropertiesError> {
        let (dir, path) = (dir.to_owned(), dir.join(META_PROPERTIES_FILE));
        if let Some(expected) = cluster_id
            && expected != self.cluster_id
        {
            let (expected, found) = (expected.to_owned(), self.cluster_id.clone());
            return Err(MetaPropertiesError::ClusterId {
                path,
                dir,
                expected,
                found,
            });
        }
        if node_id != self.node_id {
            let (expected, found) = (node_id, self.node_id);
            return Err(MetaPropertiesError::NodeId {
                path,
                dir,
                expected,
                found,
            });
        }
        Ok(())
    }
}
