//! The client's side of SCRAM.

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dohle_model::scram::ScramMechanism;
use zeroize::Zeroizing;

use super::{ClientError, ClientStep};
use crate::sasl::scram::message::{ServerFirst, auth_message, escape_name, parse_server_final};
use crate::sasl::scram::{ITERATIONS_MIN, NONCE_BYTES, keys, nonce_text};
use crate::{Secret, is_same_secret};

/// The most iterations that a client computes: more than any server asks for, and about a second of
/// work.
const CLIENT_ITERATIONS_MAX: u32 = 1 << 20;

/// The header of a client without channel binding and authorization id.
const GS2_HEADER: &str = "n,,";

/// An exchange with one server.
pub(in crate::sasl) struct ScramClient {
    mechanism: ScramMechanism,
    password: Secret,
    nonce: String,
    first_bare: String,
    state: State,
}

enum State {
    ServerFirst,
    ServerFinal { signature: Zeroizing<Vec<u8>> },
    Ended,
}

impl ScramClient {
    pub(in crate::sasl) fn new(
        mechanism: ScramMechanism,
        user: &str,
        password: Secret,
        nonce: [u8; NONCE_BYTES],
    ) -> Self {
        Self::with_nonce(mechanism, user, password, nonce_text(nonce))
    }

    pub(in crate::sasl) fn with_nonce(
        mechanism: ScramMechanism,
        user: &str,
        password: Secret,
        nonce: String,
    ) -> Self {
        Self {
            mechanism,
            password,
            first_bare: format!("n={},r={nonce}", escape_name(user)),
            nonce,
            state: State::ServerFirst,
        }
    }

    /// Returns this exchange with the id of a delegation token as its user, and the token's HMAC
    /// as its password.
    #[cfg(test)]
    pub(in crate::sasl) fn with_token(mut self) -> Self {
        self.first_bare += ",tokenauth=true";
        self
    }

    pub(in crate::sasl) fn first(&self) -> Vec<u8> {
        format!("{GS2_HEADER}{}", self.first_bare).into_bytes()
    }

    pub(in crate::sasl) fn step(&mut self, challenge: &[u8]) -> Result<ClientStep, ClientError> {
        match std::mem::replace(&mut self.state, State::Ended) {
            State::ServerFirst => self.on_server_first(challenge),
            State::ServerFinal { signature } => match parse_server_final(challenge) {
                Err(reason) => Err(ClientError::Malformed(reason)),
                Ok(Err(error)) => Err(ClientError::Server(printable(&error))),
                Ok(Ok(sent)) if is_same_secret(&sent, &signature) => Ok(ClientStep::Done),
                Ok(Ok(_)) => Err(ClientError::Signature),
            },
            State::Ended => Err(ClientError::Ended),
        }
    }

    fn on_server_first(&mut self, challenge: &[u8]) -> Result<ClientStep, ClientError> {
        let first = ServerFirst::parse(challenge).map_err(ClientError::Malformed)?;
        if !first.nonce.starts_with(&self.nonce) || first.nonce.len() == self.nonce.len() {
            return Err(ClientError::Nonce);
        }
        let allowed = ITERATIONS_MIN..=CLIENT_ITERATIONS_MAX;
        let iterations = NonZeroU32::new(first.iterations);
        let Some(iterations) = iterations.filter(|it| allowed.contains(&it.get())) else {
            return Err(ClientError::Iterations(first.iterations));
        };
        let mechanism = self.mechanism;
        let password = self.password.expose();
        let salted = keys::salted_password(mechanism, password, &first.salt, iterations);
        let without_proof = format!("c={},r={}", STANDARD.encode(GS2_HEADER), first.nonce);
        let server_first =
            str::from_utf8(challenge).map_err(|_| ClientError::Malformed("it is not UTF-8"))?;
        let signed = auth_message(&self.first_bare, server_first, &without_proof);
        let client_key = keys::client_key(mechanism, &salted);
        let stored_key = keys::hash(mechanism, &client_key);
        let proof = keys::xor(
            &client_key,
            &keys::hmac(mechanism, &stored_key, signed.as_bytes()),
        );
        let server_key = keys::server_key(mechanism, &salted);
        self.state = State::ServerFinal {
            signature: keys::hmac(mechanism, &server_key, signed.as_bytes()),
        };
        let message = format!("{without_proof},p={}", STANDARD.encode(&proof));
        Ok(ClientStep::Send(message.into_bytes()))
    }
}

fn printable(text: &str) -> String {
    text.chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect()
}
