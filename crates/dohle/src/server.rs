//! `dohle server`: one node.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use dohle::Node;
use dohle::config::{NodeConfig, Sources, notices, open_listener_warnings};

use dohle_admin::ProcessValues;

use crate::logging::Log;
use crate::{hostname, raise_open_files, read, signals};

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// A properties file in Kafka's format.
    pub file: Option<PathBuf>,
    /// Sets one property; may be given several times.
    #[arg(long = "override", value_name = "NAME=VALUE")]
    pub overrides: Vec<String>,
}

/// Reads a node's properties from its file, the environment, and its command line.
///
/// # Errors
/// When the file or an override cannot be parsed, or a reference to a configuration provider cannot
/// be resolved.
pub fn sources(arguments: &Arguments) -> anyhow::Result<Sources> {
    let mut sources = Sources::default();
    if let Some(file) = &arguments.file {
        sources.add_file(&file.display().to_string(), &read(file)?)?;
    }
    sources.add_environment(environment());
    for text in &arguments.overrides {
        sources.add_override(text)?;
    }
    sources.resolve_providers(&ProcessValues)?;
    Ok(sources)
}

/// Runs a node until a stop signal arrives, or the node fails.
///
/// # Errors
/// The reason why the node cannot start, or why it had to stop.
pub async fn run(arguments: Arguments, log: &Log, began: Instant) -> anyhow::Result<()> {
    let hostname = hostname();
    let config = NodeConfig::new(sources(&arguments)?, &hostname)?;
    serve(config, &hostname, log, began).await
}

/// Runs a node with a checked configuration.
///
/// # Errors
/// The reason why the node cannot start, or why it had to stop.
pub async fn serve(
    config: NodeConfig,
    hostname: &str,
    log: &Log,
    began: Instant,
) -> anyhow::Result<()> {
    log.set_format(&config);
    raise_open_files();
    for notice in notices(&config) {
        tracing::warn!("{notice}");
    }
    for warning in open_listener_warnings(&config) {
        tracing::warn!("{warning}");
    }
    let roles = match (config.roles.broker, config.roles.controller) {
        (true, true) => "broker and controller",
        (true, false) => "broker",
        (false, _) => "controller",
    };
    let is_broker = config.roles.broker;
    let stop = signals::stop();
    tokio::pin!(stop);
    let node = tokio::select! {
        node = Node::start(config, hostname, Arc::clone(&log.loggers)) => node?,
        stopped = &mut stop => {
            stopped?;
            tracing::info!("stopped before the start was complete");
            return Ok(());
        }
    };
    if is_broker {
        // Tools search for this line of Kafka's to detect a running broker.
        tracing::info!(
            node = %node.id(),
            "The broker has been unfenced. Transitioning from RECOVERY to RUNNING."
        );
    }
    tracing::info!(
        node = %node.id(), cluster_id = node.cluster_id(),
        "Kafka Server started ({roles}) in {} ms {}",
        began.elapsed().as_millis(),
        node.advertised().join(",")
    );
    let fault = tokio::select! {
        fault = node.failed() => Some(fault),
        stopped = &mut stop => {
            stopped?;
            None
        }
    };
    if let Some(fault) = fault {
        // A failed node cannot be shut down cleanly; the other nodes handle it like a crash.
        return Err(fault.into());
    }
    let (stopping, id) = (Instant::now(), node.id());
    tracing::info!(node = %id, "stopping");
    node.shutdown().await;
    tracing::info!(node = %id, "stopped in {} ms", stopping.elapsed().as_millis());
    Ok(())
}

/// Returns the environment variables with valid UTF-8; others cannot set properties.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}
