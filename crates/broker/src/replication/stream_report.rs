//! A stream from a leader as a person looks at it.

use std::time::Duration;

use dohle_model::NodeId;

/// A stream from a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamReport {
    /// The leader.
    pub leader: NodeId,
    /// What it is for: `live`, `catch-up` or `throttled`.
    pub kind: &'static str,
    /// The leader's `host:port`; `None` until the metadata have it.
    pub address: Option<String>,
    /// The number of partitions that are replicated over it.
    pub partitions: usize,
    /// How long it has been connected; `None` while it is not.
    pub connected_for: Option<Duration>,
    /// Why it ended last; `None` if it never has.
    pub last_failure: Option<String>,
}
