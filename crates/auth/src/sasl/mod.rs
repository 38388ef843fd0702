//! SASL mechanisms as state machines: a message goes in, the next message or the verdict comes out.
//! Randomness, time and credentials are arguments.
//!
//! ```text
//! server: Exchange::new(mechanism) ─▶ step(message) ─▶ Continue(challenge) … Done(identity) | Err
//! client: ClientExchange::new(…) ─▶ first() ─▶ step(challenge) ─▶ Send(message) … Done | Err
//! ```
//!
//! Invariant: what a client is told depends on its message alone, never on whether its user exists.

mod client;
mod credentials;
mod failures;
mod oauthbearer;
mod plain;
mod scram;
mod session;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::scram::ScramMechanism;

pub use client::{ClientError, ClientExchange, ClientStep};
pub use credentials::{Credentials, PlainUsers, TokenCredential};
pub use failures::{Failure, FailureLog, printable_user};
pub use oauthbearer::{Jwks, JwksError, OAuthBearerServer, TokenError, TokenRules, ValidToken};
pub use scram::{
    ITERATIONS_MAX, ITERATIONS_MIN, NONCE_BYTES, SALT_BYTES, ScramServer, ScramUsers, credential,
    salted_password,
};
pub use session::{EnabledMechanism, Refusal, SaslSession, TokenAccepted};

/// A SASL mechanism.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// PLAIN (RFC 4616).
    Plain,
    /// SCRAM-SHA-256 and SCRAM-SHA-512 (RFC 5802, RFC 7677).
    Scram(ScramMechanism),
    /// OAUTHBEARER (RFC 7628).
    OAuthBearer,
}

impl Mechanism {
    /// All mechanisms.
    pub const ALL: [Self; 4] = [
        Self::Plain,
        Self::Scram(ScramMechanism::Sha256),
        Self::Scram(ScramMechanism::Sha512),
        Self::OAuthBearer,
    ];

    /// Returns the registered name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::Scram(mechanism) => mechanism.name(),
            Self::OAuthBearer => "OAUTHBEARER",
        }
    }

    /// Returns the mechanism with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The server's side of one exchange.
#[derive(Debug)]
pub enum Exchange {
    /// PLAIN has one message.
    Plain,
    /// SCRAM has two messages of each side.
    Scram(ScramServer),
    /// OAUTHBEARER has one message, and another one after an error.
    OAuthBearer(OAuthBearerServer),
}

/// What a server does after a message of its client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Sends this challenge and waits for the next message.
    Continue(Vec<u8>),
    /// Sends this last message: the client is `user`.
    Done {
        /// The last message. It may be empty.
        message: Vec<u8>,
        /// The name of the user.
        user: Arc<str>,
        /// How long the client's credential remains valid; `None` when it does not end.
        lifetime: Option<Duration>,
        /// Whether the client has presented a delegation token of the user (KIP-48).
        is_delegated: bool,
    },
}

impl Exchange {
    /// Returns an exchange that waits for its first message.
    #[must_use]
    pub fn new(mechanism: Mechanism) -> Self {
        match mechanism {
            Mechanism::Plain => Self::Plain,
            Mechanism::Scram(mechanism) => Self::Scram(ScramServer::new(mechanism)),
            Mechanism::OAuthBearer => Self::OAuthBearer(OAuthBearerServer::default()),
        }
    }

    /// Evaluates a message of the client. `nonce` is fresh randomness.
    ///
    /// # Errors
    /// When the message is malformed or proves no identity. The exchange is over then.
    pub fn step(
        &mut self,
        message: &[u8],
        credentials: &dyn Credentials,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Step, Rejection> {
        match self {
            Self::Plain => plain::authenticate(message, credentials),
            Self::Scram(server) => server.step(message, credentials, nonce),
            Self::OAuthBearer(server) => server.step(message, &|token| credentials.bearer(token)),
        }
    }
}

/// Why a client was not authenticated. It contains no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The user that the client named, if its message could be read that far.
    pub user: Option<Arc<str>>,
    /// The cause.
    pub cause: Cause,
}

/// The cause of a [`Rejection`], for the log of this node. [`Cause::text_for_client`] is for the
/// client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Cause {
    /// A PLAIN message that does not consist of three parts.
    #[error("the PLAIN message has {0} parts instead of 3")]
    Parts(usize),
    /// A PLAIN message without a user.
    #[error("the PLAIN message names no user")]
    NoUser,
    /// A PLAIN message without a password.
    #[error("the PLAIN message has no password")]
    NoPassword,
    /// A message that the mechanism does not allow.
    #[error("the client's message is malformed: {0}")]
    Malformed(&'static str),
    /// PLAIN does not tell an unknown user from a wrong password.
    #[error("the user does not exist or the password is wrong")]
    UserOrPassword,
    /// The user has no credential for the mechanism.
    #[error("the user has no credential for this mechanism")]
    UnknownUser,
    /// The password is wrong.
    #[error("the password is wrong")]
    WrongPassword,
    /// The client asks to act as somebody else (CVE-2017-12610).
    #[error("the client asks for an authorization id that is not its user name")]
    AuthorizationId,
    /// The final nonce is not the one of this exchange (CVE-2024-56128).
    #[error("the nonce of the client's final message is not that of this exchange")]
    Nonce,
    /// The channel binding differs from that of the first message.
    #[error("the channel binding differs from that of the client's first message")]
    ChannelBinding,
    /// The stored credential has fewer iterations than the mechanism requires.
    #[error("the user's credential has too few iterations; set the password again")]
    WeakCredential,
    /// The client presents a delegation token that cannot be used.
    #[error(
        "the delegation token does not exist or has expired, or delegation.token.secret.key is not \
         set"
    )]
    DelegationToken,
    /// The HMAC of the delegation token is wrong.
    #[error("the HMAC of the delegation token is wrong")]
    DelegationTokenHmac,
    /// A client that authenticates again uses another mechanism than before.
    #[error("the client authenticates again with another mechanism")]
    OtherMechanism,
    /// A client that authenticates again is another user than before.
    #[error("the client authenticates again as another user")]
    OtherUser,
    /// The token is refused.
    #[error("{0}")]
    Token(TokenError),
    /// A message after the end of the exchange.
    #[error("the client has sent a message after the end of the exchange")]
    Ended,
}

impl Cause {
    /// Returns Kafka's text for the client, where there is a specific one. It does not depend on
    /// whether the user exists.
    #[must_use]
    pub fn text_for_client(self) -> Option<String> {
        let text = match self {
            Self::Parts(parts) => {
                return Some(format!(
                    "Invalid SASL/PLAIN response: expected 3 tokens, got {parts}"
                ));
            }
            Self::NoUser => "Authentication failed: username not specified",
            Self::NoPassword => "Authentication failed: password not specified",
            Self::Token(_) => oauthbearer::INVALID_TOKEN,
            Self::UserOrPassword => "Authentication failed: Invalid username or password",
            Self::AuthorizationId => {
                "Authentication failed: Client requested an authorization id that is different \
                 from username"
            }
            _ => return None,
        };
        Some(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mechanisms_are_found_by_their_names() {
        for mechanism in Mechanism::ALL {
            assert_eq!(Mechanism::from_name(mechanism.name()), Some(mechanism));
        }
        assert_eq!(Mechanism::from_name("plain"), None);
        assert_eq!(Mechanism::from_name("GSSAPI"), None);
    }
}
