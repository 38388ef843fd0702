//! The authentication of one connection: SaslHandshake, tokens, and later the same again
//! (KIP-43, KIP-152, KIP-368).
//!
//! ```text
//! Handshake ─▶ Tokens ─▶ Authenticated ─▶ Tokens (re-authentication) ─▶ Authenticated …
//!     └───────────┴───────────────▶ Failed ◀──┘
//! ```
//!
//! Source: `org.apache.kafka.common.security.authenticator.SaslServerAuthenticator`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Cause, Credentials, Exchange, Mechanism, NONCE_BYTES, Rejection, Step};

/// Attempts to authenticate again within this time of the previous attempt are refused.
const REAUTHENTICATION_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// A mechanism of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnabledMechanism {
    /// The mechanism.
    pub mechanism: Mechanism,
    /// `connections.max.reauth.ms`: how long a session lasts; `None` means that it does not end.
    pub session_max: Option<Duration>,
}

/// The authentication of one connection.
#[derive(Debug)]
pub struct SaslSession {
    enabled: Arc<[EnabledMechanism]>,
    state: State,
    /// The identity that an earlier authentication of the connection has proved.
    identity: Option<Identity>,
    last_reauthentication: Option<Instant>,
}

#[derive(Debug)]
enum State {
    Handshake,
    Tokens(Tokens),
    Authenticated,
    Failed,
}

#[derive(Debug)]
struct Tokens {
    exchange: Exchange,
    enabled: EnabledMechanism,
    /// Whether tokens arrive as SaslAuthenticate requests, and not bare.
    is_framed: bool,
}

#[derive(Debug, Clone)]
struct Identity {
    user: Arc<str>,
    mechanism: Mechanism,
    /// Whether the client has presented a delegation token of the user.
    is_delegated: bool,
    /// When the session ends.
    expires: Option<Instant>,
}

/// The answer to a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenAccepted {
    /// The server's message.
    pub message: Vec<u8>,
    /// Whether the client is authenticated now.
    pub is_done: bool,
    /// How long the client's session lasts; zero while it is not authenticated, and when the
    /// session does not end.
    pub session_lifetime: Duration,
}

/// Why the connection is closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The client asks for a mechanism that is not enabled.
    UnsupportedMechanism(String),
    /// A message is not allowed now. The text is Kafka's.
    IllegalState(String),
    /// The client is not the one that it claims to be.
    Rejected {
        /// Why, for the log.
        rejection: Rejection,
        /// The mechanism that the client uses.
        mechanism: Mechanism,
        /// The text for the client.
        text: String,
    },
}

impl SaslSession {
    /// Returns the authentication of a new connection.
    #[must_use]
    pub fn new(enabled: Arc<[EnabledMechanism]>) -> Self {
        Self {
            enabled,
            state: State::Handshake,
            identity: None,
            last_reauthentication: None,
        }
    }

    /// Returns the names of the enabled mechanisms.
    pub fn enabled(&self) -> impl Iterator<Item = &'static str> {
        self.enabled.iter().map(|enabled| enabled.mechanism.name())
    }

    /// Returns the user, when the client is authenticated.
    #[must_use]
    pub fn user(&self) -> Option<&Arc<str>> {
        match (&self.state, &self.identity) {
            (State::Authenticated, Some(identity)) => Some(&identity.user),
            _ => None,
        }
    }

    /// Returns whether the client has authenticated with a delegation token (KIP-48).
    #[must_use]
    pub fn is_delegated(&self) -> bool {
        self.identity
            .as_ref()
            .is_some_and(|identity| identity.is_delegated)
    }

    /// Returns when the session of an authenticated client ends; `None` when it does not.
    #[must_use]
    pub fn expires(&self) -> Option<Instant> {
        self.identity.as_ref().and_then(|identity| identity.expires)
    }

    /// Returns whether the next frame is a bare token, and not a request.
    #[must_use]
    pub fn expects_bare_token(&self) -> bool {
        matches!(&self.state, State::Tokens(tokens) if !tokens.is_framed)
    }

    /// Returns whether the next SaslHandshake and SaslAuthenticate requests belong to this session;
    /// otherwise they are out of place.
    #[must_use]
    pub fn expects_token(&self) -> bool {
        matches!(self.state, State::Tokens(_))
    }

    /// Checks that a request other than SaslHandshake and SaslAuthenticate is allowed now.
    ///
    /// # Errors
    /// When the client has to authenticate first, or again.
    pub fn check_request(
        &self,
        api: &str,
        is_api_versions: bool,
        now: Instant,
    ) -> Result<(), Refusal> {
        let refused = |during| {
            let text = format!("Unexpected Kafka request of type {api} during SASL {during}.");
            Err(Refusal::IllegalState(text))
        };
        match &self.state {
            State::Handshake if is_api_versions => Ok(()),
            State::Handshake => refused("handshake"),
            State::Tokens(_) | State::Failed => refused("authentication"),
            State::Authenticated => match self.expires() {
                Some(expires) if now > expires => Err(Refusal::IllegalState(
                    "the session has expired, and the client has not authenticated again"
                        .to_owned(),
                )),
                _ => Ok(()),
            },
        }
    }

    /// Begins to authenticate with the mechanism that the client names. Returns `false` when the
    /// request is out of place (ILLEGAL_SASL_STATE) and the session continues.
    ///
    /// # Errors
    /// When the mechanism is not enabled, or the client is in the middle of an exchange.
    pub fn on_handshake(
        &mut self,
        mechanism: &str,
        version: i16,
        now: Instant,
    ) -> Result<bool, Refusal> {
        match &self.state {
            State::Handshake => {}
            State::Authenticated => {
                let since = |last| now.saturating_duration_since(last);
                let is_soon = |last| since(last) < REAUTHENTICATION_INTERVAL_MIN;
                if self.last_reauthentication.is_some_and(is_soon) {
                    return Ok(false);
                }
                self.last_reauthentication = Some(now);
            }
            State::Tokens(_) | State::Failed => {
                self.state = State::Failed;
                return Err(Refusal::IllegalState(
                    "Unexpected Kafka request of type SASL_HANDSHAKE during SASL authentication."
                        .to_owned(),
                ));
            }
        }
        let known = |it: &&EnabledMechanism| it.mechanism.name() == mechanism;
        let Some(enabled) = self.enabled.iter().find(known) else {
            self.state = State::Failed;
            let name = mechanism.chars().take(100).flat_map(char::escape_debug);
            return Err(Refusal::UnsupportedMechanism(name.collect()));
        };
        self.state = State::Tokens(Tokens {
            exchange: Exchange::new(enabled.mechanism),
            enabled: enabled.clone(),
            is_framed: version >= 1,
        });
        Ok(true)
    }

    /// Evaluates a token. `nonce` is fresh randomness.
    ///
    /// # Errors
    /// When the client is rejected, or no token is expected.
    pub fn on_token(
        &mut self,
        token: &[u8],
        credentials: &dyn Credentials,
        nonce: [u8; NONCE_BYTES],
        now: Instant,
    ) -> Result<TokenAccepted, Refusal> {
        let State::Tokens(mut tokens) = std::mem::replace(&mut self.state, State::Failed) else {
            let text = "Unexpected Kafka request of type SASL_AUTHENTICATE during SASL handshake.";
            return Err(Refusal::IllegalState(text.to_owned()));
        };
        let mechanism = tokens.enabled.mechanism;
        let refused = |rejection: Rejection, text: Option<String>| {
            let text = text.or_else(|| rejection.cause.text_for_client());
            let during = if self.identity.is_some() {
                "re-authentication"
            } else {
                "authentication"
            };
            Refusal::Rejected {
                rejection,
                mechanism,
                text: text.unwrap_or_else(|| {
                    format!(
                        "Authentication failed during {during} due to invalid credentials with \
                         SASL mechanism {mechanism}"
                    )
                }),
            }
        };
        if let Some(identity) = &self.identity
            && identity.mechanism != mechanism
        {
            let text = format!(
                "SASL mechanism '{mechanism}' requested by client is not supported for \
                 re-authentication of mechanism '{}'",
                identity.mechanism
            );
            let rejection = Rejection {
                user: Some(Arc::clone(&identity.user)),
                cause: Cause::OtherMechanism,
            };
            return Err(refused(rejection, Some(text)));
        }
        let step = tokens.exchange.step(token, credentials, nonce);
        match step.map_err(|rejection| refused(rejection, None))? {
            Step::Continue(message) => {
                self.state = State::Tokens(tokens);
                Ok(TokenAccepted {
                    message,
                    is_done: false,
                    session_lifetime: Duration::ZERO,
                })
            }
            Step::Done {
                message,
                user,
                lifetime,
                is_delegated,
            } => {
                if let Some(before) = &self.identity
                    && before.user != user
                {
                    let text = format!(
                        "Cannot change principals during re-authentication from User.{}: \
                         User.{user}",
                        before.user
                    );
                    let rejection = Rejection {
                        user: Some(user),
                        cause: Cause::OtherUser,
                    };
                    return Err(refused(rejection, Some(text)));
                }
                let limits = [tokens.enabled.session_max, lifetime];
                let session_max = limits.into_iter().flatten().min();
                self.identity = Some(Identity {
                    user,
                    mechanism,
                    is_delegated,
                    expires: session_max.and_then(|max| now.checked_add(max)),
                });
                self.state = State::Authenticated;
                Ok(TokenAccepted {
                    message,
                    is_done: true,
                    session_lifetime: session_max.unwrap_or_default(),
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
