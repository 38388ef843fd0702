//! The client's side of the mechanisms.

mod scram;

use std::fmt;

use super::scram::NONCE_BYTES;
use super::{Mechanism, oauthbearer, plain};
use crate::Secret;

pub(super) use scram::ScramClient;

/// The client's side of one exchange.
pub struct ClientExchange {
    mechanism: Mechanism,
    kind: Kind,
}

enum Kind {
    Plain { user: String, password: Secret },
    Scram(ScramClient),
    Token(Secret),
}

/// What a client does after a message of its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientStep {
    /// Sends this message and waits for the next challenge.
    Send(Vec<u8>),
    /// The exchange is complete, and the server is the one that knows the user's credential where
    /// the mechanism proves that.
    Done,
}

/// Why a client gives up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server's message is not one of the mechanism.
    #[error("the server's message is malformed: {0}")]
    Malformed(&'static str),
    /// The server's nonce does not continue the client's.
    #[error("the server's nonce does not begin with the client's")]
    Nonce,
    /// The server asks for a number of iterations that is not safe, or absurd.
    #[error("the server asks for {0} iterations; from 4096 to 1048576 are accepted")]
    Iterations(u32),
    /// The server reports an error.
    #[error("the server reports: {0}")]
    Server(String),
    /// The server has no credential of the user.
    #[error("the server's signature is wrong: it does not know the user's credential")]
    Signature,
    /// A message after the end of the exchange.
    #[error("the server has sent a message after the end of the exchange")]
    Ended,
}

impl ClientExchange {
    /// Returns the exchange that authenticates `user`. For OAUTHBEARER the password is the token.
    /// `nonce` is fresh randomness.
    #[must_use]
    pub fn new(
        mechanism: Mechanism,
        user: &str,
        password: Secret,
        nonce: [u8; NONCE_BYTES],
    ) -> Self {
        let kind = match mechanism {
            Mechanism::Plain => Kind::Plain {
                user: user.to_owned(),
                password,
            },
            Mechanism::OAuthBearer => Kind::Token(password),
            Mechanism::Scram(mechanism) => {
                Kind::Scram(ScramClient::new(mechanism, user, password, nonce))
            }
        };
        Self { mechanism, kind }
    }

    /// Returns the first message.
    #[must_use]
    pub fn first(&self) -> Vec<u8> {
        match &self.kind {
            Kind::Plain { user, password } => plain::message(user, password.expose()).to_vec(),
            Kind::Scram(client) => client.first(),
            Kind::Token(token) => oauthbearer::message(token.expose()),
        }
    }

    /// Evaluates a message of the server.
    ///
    /// # Errors
    /// When the server's message is malformed, or the server is not the one that the client means.
    pub fn step(&mut self, challenge: &[u8]) -> Result<ClientStep, ClientError> {
        match &mut self.kind {
            Kind::Plain { .. } if challenge.is_empty() => Ok(ClientStep::Done),
            Kind::Plain { .. } => Err(ClientError::Malformed("PLAIN has no challenges")),
            Kind::Scram(client) => client.step(challenge),
            Kind::Token(_) if challenge.is_empty() => Ok(ClientStep::Done),
            // The server's error, which the client acknowledges: the server's answer has the text.
            Kind::Token(_) => Ok(ClientStep::Send(vec![1])),
        }
    }
}

impl fmt::Debug for ClientExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientExchange({})", self.mechanism)
    }
}
