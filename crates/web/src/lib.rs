//! The HTTP listener of a node: metrics, whether the node is healthy, what it does now, and the
//! console.
//!
//! ```text
//! socket ─▶ HTTP/1 (hyper) ─▶ routes (axum) ─▶ Node
//! ```
//!
//! This crate sees the node only through [`Node`], [`ConsoleNode`] and a Kafka listener. It runs on
//! the runtime for control work, so it takes nothing from the threads that serve records.
//!
//! Invariant: requests only read.

mod console;
mod debug;
mod listener;
mod routes;
#[cfg(test)]
mod tests;

use dohle_telemetry::text::Format;
use futures::future::BoxFuture;
use serde_json::Value;

pub use console::{ConsoleNode, ConsoleSettings, Traffic};
pub use debug::{DebugPage, DebugQuery};
pub use listener::{BindError, Bound, HttpAddress, Server};

/// What a check of a node asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Whether the node serves.
    Live,
    /// Whether its broker is also alive in the cluster and in sync.
    Ready,
}

/// A node, as this crate sees it.
pub trait Node: Send + Sync + 'static {
    /// Returns the text of the current metrics.
    fn metrics(&self, format: Format) -> BoxFuture<'_, String>;

    /// Checks the node. Both results are sentences; `Err` is the reason why it is not healthy.
    fn check(&self, check: Check) -> BoxFuture<'_, Result<String, String>>;

    /// Returns a page of what the node does now; `None` on a node that is only a controller.
    fn debug(&self, page: DebugPage, query: DebugQuery) -> BoxFuture<'_, Option<Value>>;
}
