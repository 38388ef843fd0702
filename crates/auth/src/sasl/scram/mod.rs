//! SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677): keys, messages, server and client.
//!
//! Source: `org.apache.kafka.common.security.scram.internals`. Like Kafka, passwords are not
//! normalised with SASLprep, and names are ASCII.

pub(super) mod keys;
pub(super) mod message;
mod server;
#[cfg(test)]
mod tests;
mod users;

pub use keys::{ITERATIONS_MAX, ITERATIONS_MIN, SALT_BYTES, credential, salted_password};
pub use server::ScramServer;
pub use users::ScramUsers;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The size of a nonce's randomness in bytes.
pub const NONCE_BYTES: usize = 24;

/// Returns a nonce as it is sent: printable, and without a comma.
pub(super) fn nonce_text(nonce: [u8; NONCE_BYTES]) -> String {
    STANDARD.encode(nonce)
}
