//! What brokers and controllers say to each other: code generated from `proto/dohle/v1`, and its
//! conversions to and from the types of `dohle-model`.

pub mod convert;
pub mod replication_transport;

/// The trailer with which a controller that is not active names the active one.
pub const LEADER_ID_TRAILER: &str = "dohle-leader-id";
/// The trailer of a controller without a leader, some of whose voters do not respond.
pub const NO_QUORUM_TRAILER: &str = "dohle-no-quorum";

/// Generated from `proto/dohle/v1`.
#[allow(missing_docs, clippy::all, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("dohle.v1");
}
