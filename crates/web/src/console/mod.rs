//! The console: a page at `/` that shows the cluster, and the JSON under `/api/v1` that it reads.
//!
//! ```text
//! page (assets) ─▶ /api/v1/… (routes) ─▶ view ─▶ dohle_admin ─▶ the node's own Kafka listener
//! ```
//!
//! All that the page shows of the cluster comes from requests of Kafka's protocol, sent to a
//! listener of the node like those of any client, so that the authorizer decides what may be seen.
//!
//! Invariant: requests only read.

mod assets;
mod client;
mod error;
mod guard;
mod json;
mod problems;
mod routes;
#[cfg(test)]
mod tests;
mod view;

use futures::future::BoxFuture;

pub(crate) use client::Client;
pub(crate) use error::ApiError;
pub(crate) use guard::{Connected, guard};
pub(crate) use json::json_response;
pub(crate) use routes::routes;

/// What the console needs of its node, besides its Kafka listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConsoleSettings {
    /// The node's id.
    pub node_id: i32,
    /// The version of the program.
    pub version: &'static str,
    /// `host:port` of a Kafka listener of the node without TLS and authentication, or a sentence
    /// that explains why there is none.
    pub bootstrap: Result<String, String>,
    /// Whether an authorizer decides what clients may do.
    pub authorizer: bool,
}

/// What a broker has received and sent since its start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Traffic {
    /// Bytes of record batches that were appended.
    pub bytes_in: u64,
    /// Bytes of record batches that were sent to consumers.
    pub bytes_out: u64,
    /// Records that were appended.
    pub records_in: u64,
}

/// A node, as the console sees it.
pub trait ConsoleNode: Send + Sync + 'static {
    /// Returns the settings of the console.
    fn console(&self) -> ConsoleSettings;

    /// Returns the traffic of the node's broker; `None` on a node that is only a controller.
    fn traffic(&self) -> BoxFuture<'_, Option<Traffic>>;
}
