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
    user: Arc<str>,
    credential: ScramCredential,
    is_known: bool,
    gs2_header: String,
    client_first_bare: String,
    /// The nonce of both sides, one after the other.
    nonce: String,
    server_first: String,
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
        if first.is_token {
            return rejected(Cause::DelegationToken);
        }
        if first.authorization_id.is_some_and(|id| id != first.user) {
            return rejected(Cause::AuthorizationId);
        }
        let (credential, is_known) = credentials.scram(self.mechanism, &user);
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
            user,
            credential,
            is_known,
            gs2_header: first.gs2_header,
            client_first_bare: first.bare,
            nonce,
            server_first: server_first.clone(),
        }));
        Ok(Step::Continue(server_first.into_bytes()))
    }

    fn on_client_final(&self, message: &[u8], challenge: &Challenge) -> Result<Step, Rejection> {
        let rejected = |cause| Rejection {
            user: Some(Arc::clone(&challenge.user)),
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
        if !challenge.is_known {
            return Err(rejected(Cause::UnknownUser));
        }
        if !is_proof {
            return Err(rejected(Cause::WrongPassword));
        }
        Ok(Step::Done {
            message: server_final(&server_signature),
            user: Arc::clone(&challenge.user),
            lifetime: None,
        })
    }
}
