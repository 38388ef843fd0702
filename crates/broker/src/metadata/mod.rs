//! The broker's side of the metadata quorum: what it knows ([`MetadataCache`]), whom it asks
//! ([`ControllerClient`]), how it stays registered ([`ControllerSession`]) and how it learns
//! ([`Feed`]).
//!
//! Invariant: an image is published only after the local replicas follow it, so whoever waited for
//! an offset may use the replicas that the offset created.

mod cache;
mod client;
mod feed;
mod forward;
mod outcome;
mod session;

pub use cache::{MetadataCache, NotReached};
pub use client::{ControllerClient, ControllerEndpoint, ControllerError, Quorum};
pub use feed::{Feed, FeedConfig, FeedError, LocalReplicas, MetadataChange};
pub use forward::{ForwardedResponse, Sender};
pub use outcome::forwarded_outcome;
pub use session::{ControllerSession, SessionConfig, SessionError, SessionState};

#[cfg(test)]
mod tests;
