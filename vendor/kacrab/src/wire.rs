//! Runtime Kafka wire/session support.

pub(crate) mod auth;
mod backoff;
mod broker;
mod buffer;
mod capabilities;
mod client;
mod config;
mod crypto;
mod error;
#[cfg(feature = "gssapi")]
mod gssapi;
#[cfg(feature = "gssapi")]
mod kerberos;
mod message;
mod metadata;
mod pipeline;
mod sasl;
mod socket;
mod tls;

// The consumer's coordinator path uses the same exponential backoff as the
// producer (`FindCoordinator` while `__consumer_offsets` loads), so a
// consumer-only build needs these too.
#[cfg(any(feature = "producer", feature = "consumer"))]
pub(crate) use self::backoff::{BackoffPolicy, BackoffState};
#[cfg(feature = "producer")]
pub(crate) use self::broker::PendingBrokerResponse;
/// Diagnostic hook for measuring the wire read path, exposed only under the
/// internal `__bench` feature so `benches/` can reach it.
///
/// Not part of the public API and exempt from semver.
#[cfg(feature = "__bench")]
#[doc(hidden)]
pub use self::broker::bench_read_frames;
#[cfg(feature = "gssapi")]
pub use self::gssapi::GssapiAuthenticator;
#[cfg(feature = "producer")]
pub(crate) use self::metadata::PartitionLeaderChange;
pub use self::{
    auth::{SaslConfig, SaslMechanism, SecurityConfig, SecurityProtocol},
    broker::BrokerEndpoint,
    buffer::BufferPoolStats,
    capabilities::BrokerCapabilities,
    client::WireClient,
    config::{
        ConnectionConfig, DEFAULT_BROKER_QUEUE_CAPACITY, DEFAULT_BUFFER_POOL_CAPACITY,
        DEFAULT_MAX_IN_FLIGHT_REQUESTS_PER_CONNECTION, DEFAULT_METADATA_MAX_AGE,
        DEFAULT_METADATA_MAX_IDLE, DEFAULT_METADATA_REBOOTSTRAP_TRIGGER,
        DEFAULT_METADATA_REFRESH_BACKOFF_INITIAL, DEFAULT_METADATA_REFRESH_BACKOFF_MAX,
        DEFAULT_RECONNECT_BACKOFF_INITIAL, DEFAULT_RECONNECT_BACKOFF_MAX, DEFAULT_REQUEST_TIMEOUT,
        DEFAULT_REUSE_ADDRESS, DEFAULT_SOCKET_CONNECTION_SETUP_TIMEOUT,
        DEFAULT_SOCKET_CONNECTION_SETUP_TIMEOUT_MAX, DEFAULT_TCP_NODELAY, MetadataRecoveryStrategy,
        SocketConfig, TcpCongestionControl, TcpKeepaliveConfig, TransportConfig,
    },
    error::{Result, WireError},
    message::{RequestMessage, ResponseMessage},
    metadata::{BrokerMetadata, ClusterMetadata, PartitionMetadata, TopicMetadata},
    sasl::{
        SaslClientAction, SaslClientAuthenticator, SaslClientAuthenticatorFactory,
        SaslClientAuthenticatorFactoryHandle, SaslClientAuthenticatorHandle, SaslClientSession,
    },
    tls::TlsConfig,
};
