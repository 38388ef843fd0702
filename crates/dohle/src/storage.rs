//! What the tool `storage` needs to know of the server: directories, and how they are formatted.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use dohle::config::{NodeConfig, Sources};
use dohle::directories::{Directories, fresh_id};
use dohle_cli::{NodeDirectories, VoterState};
use dohle_controller::new_cluster;
use dohle_controller::raft::recovery;
use dohle_log::directory::LogDirectory;

use crate::hostname;

/// The configuration in a file; the environment has no say, as with Kafka's tool.
fn sources(file: &Path, cluster_id: Option<&str>) -> anyhow::Result<Sources> {
    let text = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let mut sources = Sources::default();
    sources.add_file(&file.display().to_string(), &text)?;
    if let Some(id) = cluster_id {
        sources.add_override(&format!("cluster.id={id}"))?;
    }
    Ok(sources)
}

/// The directories that a properties file names.
///
/// # Errors
/// When it cannot be read, or a node could not start with it.
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

/// Formats those directories that are empty. A new cluster finalizes `features`, where the operator
/// chose them.
///
/// # Errors
/// When one is in use, belongs to another cluster or node, or cannot be written.
pub fn format(
    file: &Path,
    cluster_id: &str,
    features: Option<&BTreeMap<String, i16>>,
) -> anyhow::Result<()> {
    let config = NodeConfig::new(sources(file, Some(cluster_id))?, &hostname())?;
    let directories = Directories::open(&config, fresh_id)?;
    if config.roles.controller && directories.formatted.contains(&config.metadata_log_dir) {
        // The operator states that this voter is new; formatting at start states nothing.
        recovery::mark_formatted(&config.metadata_dir(), directories.metadata_id)
            .with_context(|| format!("format {}", config.metadata_dir().display()))?;
        if let Some(levels) = features {
            new_cluster::write_features(&config.metadata_dir(), levels)
                .with_context(|| format!("format {}", config.metadata_dir().display()))?;
        }
    }
    Ok(())
}

/// What a stopped voter holds of the metadata.
///
/// # Errors
/// When the node runs, or its metadata log cannot be read.
pub fn inspect_voter(file: &Path) -> anyhow::Result<VoterState> {
    let config = NodeConfig::new(sources(file, None)?, &hostname())?;
    let dir = config.metadata_dir();
    if !config.roles.controller {
        anyhow::bail!(
            "{}: node {} is no controller",
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

/// Lets a stopped voter lead alone when it starts the next time.
///
/// # Errors
/// When the node runs, or its directory cannot be written.
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
