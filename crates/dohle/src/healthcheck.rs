//! `dohle healthcheck`: whether the node of this machine or container serves.

use std::path::PathBuf;
use std::time::Duration;

use dohle::config::NodeConfig;
use dohle::health;

use crate::{container, server};

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The node's properties file. In a container the node's own configuration is found without.
    file: Option<PathBuf>,
    /// Sets one property, as the node was given it; may be given several times.
    #[arg(long = "override", value_name = "NAME=VALUE")]
    overrides: Vec<String>,
    /// Wants a broker that is alive for the cluster and in the ISR of all its partitions.
    #[arg(long)]
    ready: bool,
    /// How long all answers may take.
    #[arg(long, default_value_t = 4000, value_name = "MS")]
    timeout_ms: u64,
}

/// Asks, and says what was found.
///
/// # Errors
/// What is wrong with the node, or with its configuration.
pub fn run(arguments: Arguments, hostname: &str) -> anyhow::Result<()> {
    let given = arguments.file.is_some() || !arguments.overrides.is_empty();
    let running = if given {
        None
    } else {
        container::running(hostname)?
    };
    let config = match running {
        Some(config) => config,
        None => {
            let of_server = server::Arguments {
                file: arguments.file,
                overrides: arguments.overrides,
            };
            NodeConfig::new(server::sources(&of_server)?, hostname)?
        }
    };
    let limit = Duration::from_millis(arguments.timeout_ms);
    println!("{}", health::check(&config, arguments.ready, limit)?);
    Ok(())
}
