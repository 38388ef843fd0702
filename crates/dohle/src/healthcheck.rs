//! `dohle healthcheck`: checks whether the node of this machine or container serves requests.

use std::path::PathBuf;
use std::time::Duration;

use dohle::config::NodeConfig;
use dohle::health;

use crate::{container, server};

/// The command's arguments.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The node's properties file. In a container, the configuration of its node is used by
    /// default.
    file: Option<PathBuf>,
    /// Sets one property, like the node's own option; may be given several times.
    #[arg(long = "override", value_name = "NAME=VALUE")]
    overrides: Vec<String>,
    /// Requires a broker that is alive in the cluster and in the ISR of all its partitions.
    #[arg(long)]
    ready: bool,
    /// The timeout of the whole check, in milliseconds.
    #[arg(long, default_value_t = 4000, value_name = "MS")]
    timeout_ms: u64,
}

/// Runs the check and prints its result.
///
/// # Errors
/// The reason why the node is unhealthy, or its configuration is invalid.
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
