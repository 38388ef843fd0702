//! TLS: key material and trust as Kafka's `ssl.*` properties describe them, and the handshakes of
//! listeners ([`ServerTls`]) and of connections to other nodes and servers ([`ClientTls`]).
//!
//! ```text
//! properties ──▶ TlsSettings ──▶ key stores, trust stores ──▶ rustls configuration ──▶ handshake
//!                  (pure)          (pure, but for files)
//! ```
//!
//! Invariant: nothing here is process-wide. The cryptography (ring) is passed to each
//! configuration.
//!
//! Invariant: a handshake uses the configuration that is current when it begins. A reload affects
//! later handshakes only, and one that fails leaves the previous configuration in place.
//!
//! Invariant: no error, log line or `Debug` output contains a password or a private key.

pub mod authority;
mod client;
mod connector;
mod error;
mod handshake;
mod material;
mod pem;
mod server;
mod settings;
mod store;
mod subject;
mod suites;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod trust;
mod version_1;

pub use client::{BlockingStream, ClientPurpose, ClientTls};
pub use connector::{Authentication, ConnectError, Connector, NodeStream, socket};
pub use error::TlsError;
pub use handshake::{FailureLog, HandshakeFailure};
pub use material::{CertificateFacts, readable_by_others};
pub use server::{Accepted, ServerStream, ServerTls};
pub use settings::{ClientAuth, Place, Source, StoreType, TlsSettings};
pub use subject::distinguished_name;
