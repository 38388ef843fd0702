//! What the tool `storage` needs to know of the server: directories, and how they are formatted.

use std::path::Path;

use anyhow::Context as _;
use dohle::config::{NodeConfig, Sources};
use dohle::directories::{Directories, fresh_id};
use dohle_cli::NodeDirectories;

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

/// Formats those directories that are empty.
///
/// # Errors
/// When one is in use, belongs to another cluster or node, or cannot be written.
pub fn format(file: &Path, cluster_id: &str) -> anyhow::Result<()> {
    let config = NodeConfig::new(sources(file, Some(cluster_id))?, &hostname())?;
    Directories::open(&config, fresh_id)?;
    Ok(())
}
