//! What the tools need from the program that they are part of.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use dohle_model::NodeId;
use dohle_model::scram::{ScramCredential, ScramMechanism};

/// Levels by the names of features.
pub type FeatureLevels = BTreeMap<String, i16>;

/// What the tools need from the program that they are part of.
#[derive(Debug, Clone, Copy)]
pub struct Host {
    /// Runs a node with the arguments of `dohle server`, to its end.
    pub server: fn(Vec<OsString>) -> ExitCode,
    /// Reads a node's directories from its properties file; with the cluster's id, where one is
    /// given.
    pub directories: fn(&Path, Option<&str>) -> anyhow::Result<NodeDirectories>,
    /// Gives the empty directories of the node with this properties file their identity in the
    /// cluster of this id. Those that have one already must be of the same cluster and node.
    /// A new cluster finalizes the levels of features that are passed, if any, and begins with
    /// these users.
    pub format: fn(&Path, &str, Option<&FeatureLevels>, &[NewUser]) -> anyhow::Result<()>,
    /// What the stopped voter with this properties file holds of the metadata.
    pub inspect_voter: fn(&Path) -> anyhow::Result<VoterState>,
    /// Lets that voter lead alone when it starts the next time.
    pub recover_quorum: fn(&Path) -> anyhow::Result<()>,
    /// Plans the import of a stopped Apache Kafka node's metadata into its own directories.
    pub plan_import: fn(&[PathBuf]) -> anyhow::Result<PlannedImport>,
}

/// The import of a stopped Apache Kafka node's metadata.
pub struct PlannedImport {
    /// Describes it.
    pub report: String,
    /// What `controller.quorum.voters` has to be, where Kafka's configuration need not have it.
    pub quorum_voters: Option<String>,
    /// Carries it out; `None` when that was done before.
    pub write: Option<Box<dyn FnOnce() -> anyhow::Result<()>>>,
}

/// A user that a new cluster begins with.
#[derive(Debug, Clone)]
pub struct NewUser {
    /// The user's name.
    pub name: Arc<str>,
    /// The mechanism that the credential is for.
    pub mechanism: ScramMechanism,
    /// The credential.
    pub credential: ScramCredential,
}

/// The directories in a node's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDirectories {
    /// `log.dirs`, and `metadata.log.dir` where that is another one.
    pub all: Vec<PathBuf>,
    /// The one with the metadata.
    pub metadata: PathBuf,
    /// Whether `controller.quorum.voters` is set.
    pub static_voters: bool,
}

/// What a stopped voter holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VoterState {
    /// The node.
    pub node_id: NodeId,
    /// The directory of its metadata log.
    pub dir: PathBuf,
    /// The number of voters in its configuration.
    pub voters: usize,
    /// Term and offset of its last entry; `None` when it has no metadata.
    pub last: Option<(u64, u64)>,
    /// The newest term that it has voted in.
    pub voted_term: u64,
    /// The offset up to which it recorded entries as committed.
    pub committed: Option<u64>,
}
