//! `meta.properties`: the cluster and the node that a log directory belongs to.

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
    /// `directory.id`; files that older versions formatted do not have it.
    pub directory_id: Option<DirectoryId>,
}

/// The reason why a log directory is not the expected one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetaPropertiesError {
    /// The file cannot be parsed.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// The directory belongs to another cluster.
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
    /// The directory belongs to another node.
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
    /// Parses the file's text; `path` is used in errors.
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
            Some(other) => {
                return Err(format!("version {other:?} is not supported, 1 is expected"));
            }
            None => return Err("version is missing".to_owned()),
        }
        let node_id = node_id.or(broker_id).ok_or("node.id is missing")?;
        let node_id = node_id
            .parse()
            .ok()
            .and_then(NodeId::from_wire)
            .ok_or_else(|| format!("node.id {node_id:?} is not a number of 0 or more"))?;
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

    /// Returns the text of the file.
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

    /// Checks that the directory `dir` belongs to this cluster and node.
    ///
    /// # Errors
    /// When it does not. The error contains both ids, the file and what to do.
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
