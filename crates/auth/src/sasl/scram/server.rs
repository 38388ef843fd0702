//! The server's side of SCRAM.
//!
//! ```text
//! ClientFirst ──▶ ClientFinal ──▶ Ended
//! ```
//!
//! Invariant: an unknown user takes the same steps as a known one, with a credential that no
//! password matches, and is rejected after the final message.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::scram::{ScramCredential, ScramMechanism};

use super::message::{ClientFinal, ClientFirst, ServerFirst, auth_message, server_final};
use super::{ITERATIONS_MIN, NONCE_BYTES, keys, nonce_text};
use crate::is_same_secret;
use crate::sasl::{Cause, Credentials, Rejection, Step};

/// An exchange with one client.
pub struct ScramServer {
    mechanism: ScramMechanism,
    state: State,
}

enum State {
    ClientFirst,
    ClientFinal(Box<Challenge>),
    Ended,
}

/// What the final message is checked against.
struct Challenge {
    /// The name in the client's message: a user, or the id of a delegation token.
    name: Arc<str>,
    credential: ScramCredential,
    identity: Identity,
    gs2_header: String,
    client_first_bare: String,
    /// The nonce of both sides, one after the other.
    nonce: String,
    server_first: String,
}

/// Whom a credential belongs to.
enum Identity {
    /// The user with the name in the message.
    User,
    /// No user has the name.
    UnknownUser,
    /// The owner of the delegation token whose id is the name, and how long the token is valid.
    TokenOwner(Arc<str>, Duration),
    /// No valid delegation token has the id.
    UnknownToken,
}

impl fmt::Debug for ScramServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &self.state {
            State::ClientFirst => "ClientFirst",
            State::ClientFinal(_) => "ClientFinal",
            State::Ended => "Ended",
        };
        write!(f, "ScramServer({}, {state})", self.mechanism)
    }
}

impl ScramServer {
    pub(in crate::sasl) fn new(mechanism: ScramMechanism) -> Self {
        Self {
            mechanism,
            state: State::ClientFirst,
        }
    }

    pub(in crate::sasl) fn step(
        &mut self,
        message: &[u8],
        credentials: &dyn Credentials,
        nonce: [u8; NONCE_BYTES],
    ) -> Result<Step, Rejection> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::ClientFirst => self.on_client_first(message, credentials, &nonce_text(nonce)),
            State::ClientFinal(challenge) => self.on_client_final(message, &challenge),
            State::Ended => Err(Rejection {
                user: None,
                cause: Cause::Ended,
            }),
        }
    }

    pub(super) fn on_client_first(
        &mut self,
        message: &[u8],
        credentials: &dyn Credentials,
        nonce: &str,
    ) -> Result<Step, Rejection> {
        let first = ClientFirst::parse(message).map_err(|reason| Rejection {
            user: None,
            cause: Cause::Malformed(reason),
        })?;
        let user: Arc<str> = first.user.as_str().into();
        let rejected = |cause| {
            Err(Rejection {
                user: Some(Arc::clone(&user)),
                cause,
            })
        };
        if first.authorization_id.is_some_and(|id| id != first.user) {
            return rejected(Cause::AuthorizationId);
        }
        let (credential, identity) = self.credential(credentials, &user, first.is_token);
        if credential.iterations < ITERATIONS_MIN {
            return rejected(Cause::WeakCredential);
        }
        let nonce = first.nonce + nonce;
        let server_first = ServerFirst {
            nonce: nonce.clone(),
            salt: credential.salt.to_vec(),
            iterations: credential.iterations,
        };
        let server_first = server_first.encode();
        self.state = State::ClientFinal(Box::new(Challenge {
            name: user,
            credential,
            identity,
            gs2_header: first.gs2_header,
            client_first_bare: first.bare,
            nonce,
            server_first: server_first.clone(),
        }));
        Ok(Step::Continue(server_first.into_bytes()))
    }

    /// Returns the credential of a user or a delegation token. For one that does not exist it is
    /// one that no password matches.
    fn credential(
        &self,
        credentials: &dyn Credentials,
        name: &str,
        is_token: bool,
    ) -> (ScramCredential, Identity) {
        if is_token {
            return match credentials.delegation_token(self.mechanism, name) {
                Some(token) => {
                    let owner = Identity::TokenOwner(token.owner, token.lifetime);
                    (token.credential, owner)
                }
                None => {
                    let (credential, _) = credentials.scram(self.mechanism, name);
                    (credential, Identity::UnknownToken)
                }
            };
        }
        match credentials.scram(self.mechanism, name) {
            (credential, true) => (credential, Identity::User),
            (credential, false) => (credential, Identity::UnknownUser),
        }
    }

    fn on_client_final(&self, message: &[u8], challenge: &Challenge) -> Result<Step, Rejection> {
        let rejected = |cause| Rejection {
            user: Some(Arc::clone(&challenge.name)),
            cause,
        };
        let last = ClientFinal::parse(message).map_err(|it| rejected(Cause::Malformed(it)))?;
        // RFC 5802: the nonce is that of the server's first message, all of it (CVE-2024-56128).
        if !is_same_secret(last.nonce.as_bytes(), challenge.nonce.as_bytes()) {
            return Err(rejected(Cause::Nonce));
        }
        if last.channel_binding != challenge.gs2_header.as_bytes() {
            return Err(rejected(Cause::ChannelBinding));
        }
        let (mechanism, credential) = (self.mechanism, &challenge.credential);
        if last.proof.len() != keys::key_bytes(mechanism) {
            return Err(rejected(Cause::Malformed("the proof has another length")));
        }
        let signed = auth_message(
            &challenge.client_first_bare,
            &challenge.server_first,
            &last.without_proof,
        );
        let client_signature = keys::hmac(mechanism, &credential.stored_key, signed.as_bytes());
        let client_key = keys::xor(&client_signature, &last.proof);
        let stored_key = keys::hash(mechanism, &client_key);
        let is_proof = is_same_secret(&stored_key, &credential.stored_key);
        let server_signature = keys::hmac(mechanism, &credential.server_key, signed.as_bytes());
        let (user, lifetime) = match &challenge.identity {
            Identity::UnknownUser => return Err(rejected(Cause::UnknownUser)),
            Identity::UnknownToken => return Err(rejected(Cause::DelegationToken)),
            Identity::User if !is_proof => return Err(rejected(Cause::WrongPassword)),
            Identity::TokenOwner(..) if !is_proof => {
                return Err(rejected(Cause::DelegationTokenHmac));
            }
            Identity::User => (&challenge.name, None),
            Identity::TokenOwner(owner, lifetime) => (owner, Some(*lifetime)),
        };
        Ok(Step::Done {
            message: server_final(&server_signature),
            user: Arc::clone(user),
            lifetime,
            is_delegated: lifetime.is_some(),
        })
    }
}
