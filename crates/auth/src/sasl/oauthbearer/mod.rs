//! OAUTHBEARER (RFC 7628): the client sends a token, the server checks it.
//!
//! A token is a JSON Web Token (RFC 7519) whose signature (RFC 7515) is checked with the keys of a
//! JWKS (RFC 7517).
//!
//! Source: `org.apache.kafka.common.security.oauthbearer`.

mod jwks;
mod jwt;
mod message;
#[cfg(test)]
mod tests;

pub use jwks::{Jwks, JwksError};
pub use jwt::{TokenError, TokenRules, ValidToken};

use std::sync::Arc;
use std::time::Duration;

use message::ClientFirst;

use super::{Cause, Rejection, Step};

/// The server's side of one exchange.
#[derive(Debug, Default)]
pub struct OAuthBearerServer {
    /// Why the token was refused, once the client was told that it was.
    refused: Option<(Option<Arc<str>>, TokenError)>,
}

/// What the client is told of a token that is refused, as in Kafka.
pub(super) const INVALID_TOKEN: &str = r#"{"status":"invalid_token"}"#;

/// The user of a token and how long the token remains valid, or why it is refused.
type Checked = Result<(Arc<str>, Duration), TokenError>;

/// Returns the message of a client.
pub(super) fn message(token: &str) -> Vec<u8> {
    format!("n,,\u{1}auth=Bearer {token}\u{1}\u{1}").into_bytes()
}

impl OAuthBearerServer {
    pub(super) fn step(
        &mut self,
        message: &[u8],
        check: &dyn Fn(&str) -> Checked,
    ) -> Result<Step, Rejection> {
        if let Some((user, error)) = self.refused.take() {
            // The client acknowledges the refusal with one byte.
            return Err(Rejection {
                user,
                cause: Cause::Token(error),
            });
        }
        let first = ClientFirst::parse(message).map_err(|reason| Rejection {
            user: None,
            cause: Cause::Malformed(reason),
        })?;
        match check(first.token) {
            Ok((user, lifetime)) => {
                let is_other = first.authorization_id.is_some_and(|id| id != *user);
                if is_other {
                    return Err(Rejection {
                        user: Some(user),
                        cause: Cause::AuthorizationId,
                    });
                }
                Ok(Step::Done {
                    message: Vec::new(),
                    user,
                    lifetime: Some(lifetime),
                    is_delegated: false,
                })
            }
            Err(error) => {
                self.refused = Some((None, error));
                Ok(Step::Continue(INVALID_TOKEN.as_bytes().to_vec()))
            }
        }
    }
}
