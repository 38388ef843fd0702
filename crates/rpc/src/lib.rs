//! The messages between brokers and controllers: code generated from `proto/dohle/v1`, and its
//! conversions to and from the types of `dohle-model`. The messages of OpenTelemetry that clients
//! push their metrics in.

pub mod channel;
pub mod convert;
pub mod replication_transport;
pub mod sasl;

/// The trailer in which a controller that is not active returns the active controller's id.
pub const LEADER_ID_TRAILER: &str = "dohle-leader-id";
/// The trailer of a controller that has no leader because some of its voters do not respond.
pub const NO_QUORUM_TRAILER: &str = "dohle-no-quorum";

/// Generated from `proto/dohle/v1`.
#[allow(missing_docs, clippy::all, reason = "generated code")]
pub mod v1 {
    tonic::include_proto!("dohle.v1");
}

/// Generated from `proto/opentelemetry`.
#[allow(missing_docs, clippy::all, reason = "generated code")]
pub mod opentelemetry {
    tonic::include_proto!("dohle.opentelemetry");
}

impl std::fmt::Debug for v1::UserScramCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UserScramCredential")
            .field("user", &self.user)
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}
