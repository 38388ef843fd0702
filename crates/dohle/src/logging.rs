//! Sets up logging on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// The default filter: of other crates, only warnings. openraft is off because it warns of every
/// peer that is unreachable for a moment, and logs an error for every request that arrives while it
/// stops; the controller itself logs unreachable peers and fatal errors.
const DEFAULT: &str = "info,openraft=off,sled=warn,h2=warn,hyper=warn,tonic=warn,tower=warn";

/// Starts logging. `DOHLE_LOG`, or else `RUST_LOG`, sets the filter (`debug`,
/// `info,dohle_broker=debug`).
pub fn start() {
    let wanted = std::env::var("DOHLE_LOG").or_else(|_| std::env::var("RUST_LOG"));
    let filter = match &wanted {
        Ok(text) => EnvFilter::try_new(text),
        Err(_) => EnvFilter::try_new(DEFAULT),
    };
    let (filter, fault) = match filter {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new(DEFAULT), Some(error)),
    };
    tracing_subscriber::fmt()
        .compact()
        .with_timer(SystemTime)
        .with_target(false)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .with_env_filter(filter)
        .init();
    if let Some(error) = fault {
        tracing::warn!("DOHLE_LOG is invalid ({error}); using the default filter");
    }
}
