//! Error types for consumer operations.

use kacrab_protocol::generated::ErrorCode;
use thiserror::Error;

use crate::{config::ConfigError, wire::WireError};

/// Result alias for consumer operations.
pub type Result<T> = std::result::Result<T, ConsumerError>;

/// Errors from consumer operations.
#[non_exhaustive]
#[derive(Debug, Error)]
pub enum ConsumerError {
    /// Lower-level wire/session failure.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Public Kafka consumer config could not be mapped to typed config.
    #[error("consumer config error: {error}")]
    Config {
        /// Configuration validation error.
        #[source]
        error: ConfigError,
    },
    /// A broker returned a non-success error code for a consumer request.
    #[error("broker returned {error:?} for {operation}: {message}")]
    Broker {
        /// The consumer operation that failed.
        operation: &'static str,
        /// The broker-reported error code.
        error: ErrorCode,
        /// Human-readable detail (broker message or a synthesized note).
        message: String,
    },
    /// A `poll` had no committed offset for a partition and
    /// `auto.offset.reset=none`.
    #[error("no committed offset for {topic}-{partition} and auto.offset.reset=none")]
    NoOffsetForPartition {
        /// Topic name.
        topic: String,
        /// Partition index.
        partition: i32,
    },
    /// An operation referenced a partition that is not currently assigned.
    #[error("partition {topic}-{partition} is not assigned to this consumer")]
    PartitionNotAssigned {
        /// Topic name.
        topic: String,
        /// Partition index.
        partition: i32,
    },
    /// A blocking call was interrupted by [`Consumer::wakeup`](super::Consumer::wakeup).
    #[error("consumer operation was interrupted by wakeup")]
    Wakeup,
    /// A typed deserializer could not decode a record's key or value bytes.
    #[error("record deserialization failed: {0}")]
    Deserialization(&'static str),
    /// A consumer API precondition was violated (e.g. mixing subscribe + assign).
    #[error("invalid consumer state: {0}")]
    InvalidState(&'static str),
    /// The broker does not serve an API the configured consuming mode is built
    /// on, so the mode cannot work against this cluster at all.
    ///
    /// Raised from the negotiated `ApiVersions` data as soon as the consumer has
    /// any, rather than from the first rejected feature RPC, so the caller is
    /// told what to change instead of being handed a bare `UNSUPPORTED_VERSION`
    /// mid-poll. The `source` names the API and both sides' version ranges.
    #[error("{mode} is not supported by this broker: {source} — {fallback}")]
    UnsupportedGroupProtocol {
        /// The configured mode that cannot run here, phrased as the user set it
        /// (`group.protocol=consumer`) or as the API they reached for.
        mode: &'static str,
        /// What to change to consume from this cluster today.
        fallback: &'static str,
        /// Which API is missing, what kacrab speaks, and what the broker offers.
        #[source]
        source: WireError,
    },
    /// A consumer API argument was invalid (e.g. malformed `bootstrap.servers`).
    #[error("invalid consumer argument {field}: {message}")]
    InvalidArgument {
        /// The offending argument or config field.
        field: &'static str,
        /// Human-readable detail.
        message: String,
    },
}

impl ConsumerError {
    /// Build a [`ConsumerError::Broker`] from a broker error code.
    pub(crate) fn broker(
        operation: &'static str,
        error: ErrorCode,
        message: impl Into<String>,
    ) -> Self {
        Self::Broker {
            operation,
            error,
            message: message.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::expect_used,
        clippy::missing_assert_message,
        reason = "Unit test fixtures fail fastest with contextual expect calls."
    )]

    use std::error::Error as _;

    use super::ConsumerError;
    use crate::config::{ClientKind, ConfigError};

    #[test]
    fn config_variant_exposes_the_config_error_as_its_source() {
        let cause = ConfigError::MissingRequired {
            client: ClientKind::Consumer,
            key: "bootstrap.servers",
        };
        let error = ConsumerError::Config {
            error: cause.clone(),
        };

        let source = error.source().expect("Config variant reports a source");

        assert_eq!(source.to_string(), cause.to_string());
        assert!(
            source.downcast_ref::<ConfigError>().is_some(),
            "the source downcasts back to the concrete ConfigError"
        );
    }
}
