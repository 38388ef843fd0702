//! Builds without the feature `web` have no HTTP listener.

use super::Node;
use crate::config::NodeConfig;

/// There is nothing to serve.
pub(super) enum Prepared {}

/// There is no server.
pub(super) enum Server {}

impl Prepared {
    pub(super) fn serve(self, _: &NodeConfig, _: &mut Node) -> Server {
        match self {}
    }
}

impl Server {
    pub(super) async fn shutdown(self) {
        match self {}
    }
}

/// # Errors
/// When an HTTP listener is configured.
#[expect(clippy::unused_async, reason = "as with the feature")]
pub(super) async fn prepare(config: &NodeConfig) -> anyhow::Result<Option<Prepared>> {
    let is_default = config.completed.contains("http.listeners");
    anyhow::ensure!(
        config.http.listeners.is_empty() || is_default,
        "http.listeners is set, and this program was built without the feature web; remove it, or \
         use a build with that feature"
    );
    Ok(None)
}
