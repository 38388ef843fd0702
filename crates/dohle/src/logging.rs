//! Log lines on standard error.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// What other crates say is of no interest to who runs a node, unless it is odd. openraft warns of
/// every peer that is gone for a moment, and calls every request that comes while it stops an
/// error; the controller tells of peers, and of what stops the node, itself.
const DEFAULT: &str = "info,openraft=off,sled=warn,h2=warn,hyper=warn,tonic=warn,tower=warn";

/// Begins to log: `DOHLE_LOG`, or else `RUST_LOG`, says what (`debug`, `info,dohle_broker=debug`).
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
        tracing::warn!("DOHLE_LOG is not understood ({error}); logging as by default");
    }
}
