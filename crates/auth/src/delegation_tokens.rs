//! The HMAC of delegation tokens (KIP-48), and the SCRAM credentials that derive from it. Pure.
//!
//! Source: `kafka.server.DelegationTokenManager`.

use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dohle_model::scram::{ScramCredential, ScramMechanism};
use ring::hmac;
use zeroize::Zeroizing;

use crate::is_same_secret;
use crate::sasl::{ITERATIONS_MIN, SALT_BYTES, credential, salted_password};

/// `delegation.token.secret.key`: the key that all nodes of a cluster have.
#[derive(Clone)]
pub struct TokenKey(hmac::Key);

impl TokenKey {
    /// Returns the key with this text; `None` for an empty text, which disables delegation tokens.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        let key = hmac::Key::new(hmac::HMAC_SHA512, secret.as_bytes());
        (!secret.is_empty()).then_some(Self(key))
    }

    /// Returns the HMAC of a token: HMAC-SHA-512 of its id, 64 bytes.
    #[must_use]
    pub fn hmac(&self, id: &str) -> Zeroizing<Vec<u8>> {
        Zeroizing::new(hmac::sign(&self.0, id.as_bytes()).as_ref().to_vec())
    }

    /// Returns whether `hmac` is that of the token. The time does not depend on where they differ.
    #[must_use]
    pub fn is_hmac(&self, id: &str, hmac: &[u8]) -> bool {
        is_same_secret(&self.hmac(id), hmac)
    }

    /// Returns the credential with which a client authenticates: its password is the HMAC in
    /// base64. All nodes derive the same credential. Takes milliseconds.
    #[must_use]
    pub fn credential(&self, mechanism: ScramMechanism, id: &str) -> ScramCredential {
        const ITERATIONS: NonZeroU32 = NonZeroU32::new(ITERATIONS_MIN).unwrap();
        let password = Zeroizing::new(STANDARD.encode(&*self.hmac(id)));
        // No token has such an id, so no token's HMAC is a salt.
        let salt = self.hmac(&format!("salt of the delegation token {id}"));
        let salt = &salt[..SALT_BYTES];
        let salted = salted_password(mechanism, &password, salt, ITERATIONS);
        credential(mechanism, &salted, salt, ITERATIONS_MIN)
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey([hidden])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hmac_is_hmac_sha_512_of_the_id() {
        // RFC 4231, test case 2.
        let key = TokenKey::new("Jefe").unwrap();
        let id = "what do ya want for nothing?";
        let hex: String = key
            .hmac(id)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(
            hex,
            "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
             9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737"
        );
        assert!(key.is_hmac(id, &key.hmac(id)));
        assert!(!key.is_hmac(id, &key.hmac("another")));
        assert!(!key.is_hmac(id, &[]));
    }

    #[test]
    fn credentials_differ_by_token_mechanism_and_key() {
        let (key, other) = (TokenKey::new("a").unwrap(), TokenKey::new("b").unwrap());
        let one = key.credential(ScramMechanism::Sha256, "id");
        assert_eq!(one, key.credential(ScramMechanism::Sha256, "id"));
        assert_ne!(one, key.credential(ScramMechanism::Sha256, "other"));
        assert_ne!(one, other.credential(ScramMechanism::Sha256, "id"));
        let sha_512 = key.credential(ScramMechanism::Sha512, "id");
        assert_eq!((one.stored_key.len(), sha_512.stored_key.len()), (32, 64));
        assert_eq!(one.salt.len(), SALT_BYTES);
    }

    #[test]
    fn an_empty_key_disables_tokens_and_no_key_is_printed() {
        assert!(TokenKey::new("").is_none());
        let printed = format!("{:?}", TokenKey::new("swordfish"));
        assert!(!printed.contains("swordfish"), "{printed}");
    }
}
