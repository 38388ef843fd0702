//! Implements the tool `storage` on the server's side: reads and formats directories.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use dohle::config::{NodeConfig, Sources};
use dohle::directories::{Directories, fresh_id};
use dohle_admin::ProcessValues;
use dohle_cli::{NewUser, NodeDirectories, PlannedImport, VoterState};
use dohle_controller::kafka_import::Import;
use dohle_controller::new_cluster;
use dohle_controller::raft::recovery;
use dohle_log::Environment;
use dohle_log::directory::LogDirectory;

use crate::hostname;

/// Reads the configuration of a file; the environment is ignored, as in Kafka's tool.
fn sources(file: &Path, cluster_id: Option<&str>) -> anyhow::Result<Sources> {
    let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let mut sources = Sources::default();
    sources.add_file(&file.display().to_string(), &text)?;
    if let Some(id) = cluster_id {
        sources.add_override(&format!("cluster.id={id}"))?;
    }
    sources.resolve_providers(&ProcessValues)?;
    Ok(sources)
}

/// Returns the directories that a properties file configures.
///
/// # Errors
/// When the file cannot be read, or its configuration is invalid.
pub fn directories(file: &Path, cluster_id: Option<&str>) -> anyhow::Result<NodeDirectories> {
    let sources = sources(file, cluster_id)?;
    let static_voters = sources.has("controller.quorum.voters");
    let config = NodeConfig::new(sources, &hostname())?;
    let mut all = config.log_dirs.clone();
    if !all.contains(&config.metadata_log_dir) {
        all.push(config.metadata_log_dir.clone());
    }
    Ok(NodeDirectories {
        all,
        metadata: config.metadata_log_dir,
        static_voters,
    })
}

/// Formats the empty ones of the directories. A new cluster finalizes `features`, if the operator
/// chose them, and begins with `users`.
///
/// # Errors
/// When a directory is in use, belongs to another cluster or node, or cannot be written.
pub fn format(
    file: &Path,
    cluster_id: &str,
    features: Option<&BTreeMap<String, i16>>,
    users: &[NewUser],
) -> anyhow::Result<()> {
    let config = NodeConfig::new(sources(file, Some(cluster_id))?, &hostname())?;
    let directories = Directories::open(&config, fresh_id)?;
    if config.roles.controller && directories.formatted.contains(&config.metadata_log_dir) {
        // With this tool the operator states that the voter is new; automatic formatting at start
        // does not.
        recovery::mark_formatted(&config.metadata_dir(), directories.metadata_id)
            .with_context(|| format!("format {}", config.metadata_dir().display()))?;
        if let Some(levels) = features {
            new_cluster::write_features(&config.metadata_dir(), levels)
                .with_context(|| format!("format {}", config.metadata_dir().display()))?;
        }
        if !users.is_empty() {
            let users = users
                .iter()
                .map(|user| (&*user.name, user.mechanism, &user.credential));
            new_cluster::write_scram(&config.metadata_dir(), users)
                .with_context(|| format!("format {}", config.metadata_dir().display()))?;
        }
    }
    Ok(())
}

/// Returns the position of a stopped voter's metadata log.
///
/// # Errors
/// When the node is running, or its metadata log cannot be read.
pub fn inspect_voter(file: &Path) -> anyhow::Result<VoterState> {
    let config = NodeConfig::new(sources(file, None)?, &hostname())?;
    let dir = config.metadata_dir();
    if !config.roles.controller {
        anyhow::bail!(
            "{}: node {} is not a controller",
            file.display(),
            config.node_id
        );
    }
    let _lock = LogDirectory::open(&config.metadata_log_dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("start a runtime")?;
    let held = runtime
        .block_on(recovery::inspect(&dir))
        .with_context(|| format!("read the metadata log in {}", dir.display()))?;
    Ok(VoterState {
        node_id: config.node_id,
        voters: config.voters.len(),
        last: held.map(|held| (held.last_term, held.last_offset.0)),
        voted_term: held.map_or(0, |held| held.voted_term),
        committed: held.and_then(|held| held.committed).map(|offset| offset.0),
        dir,
    })
}

/// Requests that a stopped voter leads alone after its next start.
///
/// # Errors
/// When the node is running, or its directory cannot be written.
pub fn recover_quorum(file: &Path) -> anyhow::Result<()> {
    let config = NodeConfig::new(sources(file, None)?, &hostname())?;
    let directory = LogDirectory::open(&config.metadata_log_dir)?;
    let properties = directory.meta_properties()?;
    let id = properties.and_then(|properties| properties.directory_id);
    let id =
        id.with_context(|| format!("{} has no directory.id", config.metadata_log_dir.display()))?;
    recovery::request(&config.metadata_dir(), id)
        .with_context(|| format!("write to {}", config.metadata_dir().display()))
}

/// Plans the import of a stopped Apache Kafka node's metadata.
///
/// # Errors
/// When the directories are not those of one stopped node, or its metadata cannot be read.
pub fn plan_import(dirs: &[PathBuf]) -> anyhow::Result<PlannedImport> {
    let import = Import::plan(&Environment::native(), dirs, fresh_id)?;
    Ok(PlannedImport {
        report: import.report().to_string(),
        quorum_voters: import.report().quorum_voters.clone(),
        write: match import.is_done() {
            true => None,
            false => Some(Box::new(|| Ok(import.write()?))),
        },
    })
}

#[cfg(test)]
mod tests;
