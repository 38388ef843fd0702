//! The broker's side of the metadata quorum: the published metadata ([`MetadataCache`]), requests
//! to the active controller ([`ControllerClient`]), the broker's registration
//! ([`ControllerSession`]) and the stream of committed records ([`MetadataFeed`]).
//!
//! Invariant: an image is published only after it was applied to the local replicas. After a wait
//! for an offset, the replicas that the offset created can be used.

mod cache;
mod client;
mod feed;
mod forward;
mod outcome;
mod session;

pub use cache::{MetadataCache, NotReached};
pub use client::{ControllerClient, ControllerEndpoint, ControllerError, Quorum};
pub use feed::{FeedConfig, FeedError, LocalReplicas, MetadataChange, MetadataFeed};
pub use forward::{ForwardedResponse, Sender};
pub use outcome::forwarded_outcome;
pub use session::{ControllerSession, SessionConfig, SessionError, SessionState};

#[cfg(test)]
mod tests;
