//! The keys of SCRAM (RFC 5802, section 3).

use std::num::NonZeroU32;

use dohle_model::scram::{ScramCredential, ScramMechanism};
use ring::{digest, hmac, pbkdf2};
use zeroize::Zeroizing;

/// The fewest iterations of a credential, as in Kafka.
pub const ITERATIONS_MIN: u32 = 4096;
/// The most iterations of a credential, as in Kafka.
pub const ITERATIONS_MAX: u32 = 16384;
/// The size of the salt that this node creates, in bytes.
pub const SALT_BYTES: usize = 24;

fn hmac_algorithm(mechanism: ScramMechanism) -> hmac::Algorithm {
    match mechanism {
        ScramMechanism::Sha256 => hmac::HMAC_SHA256,
        ScramMechanism::Sha512 => hmac::HMAC_SHA512,
    }
}

fn digest_algorithm(mechanism: ScramMechanism) -> &'static digest::Algorithm {
    match mechanism {
        ScramMechanism::Sha256 => &digest::SHA256,
        ScramMechanism::Sha512 => &digest::SHA512,
    }
}

/// Returns the size of the mechanism's keys in bytes.
pub(in crate::sasl) fn key_bytes(mechanism: ScramMechanism) -> usize {
    digest_algorithm(mechanism).output_len()
}

/// Returns `HMAC(key, data)`.
pub(in crate::sasl) fn hmac(
    mechanism: ScramMechanism,
    key: &[u8],
    data: &[u8],
) -> Zeroizing<Vec<u8>> {
    let key = hmac::Key::new(hmac_algorithm(mechanism), key);
    Zeroizing::new(hmac::sign(&key, data).as_ref().to_vec())
}

/// Returns `H(data)`.
pub(in crate::sasl) fn hash(mechanism: ScramMechanism, data: &[u8]) -> Vec<u8> {
    digest::digest(digest_algorithm(mechanism), data)
        .as_ref()
        .to_vec()
}

/// Returns the bitwise difference of two keys of the same size.
pub(in crate::sasl) fn xor(a: &[u8], b: &[u8]) -> Zeroizing<Vec<u8>> {
    Zeroizing::new(a.iter().zip(b).map(|(a, b)| a ^ b).collect())
}

/// Returns `SaltedPassword`: PBKDF2 of the password. Takes milliseconds.
#[must_use]
pub fn salted_password(
    mechanism: ScramMechanism,
    password: &str,
    salt: &[u8],
    iterations: NonZeroU32,
) -> Zeroizing<Vec<u8>> {
    let algorithm = match mechanism {
        ScramMechanism::Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        ScramMechanism::Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
    };
    let mut salted = Zeroizing::new(vec![0; key_bytes(mechanism)]);
    pbkdf2::derive(
        algorithm,
        iterations,
        salt,
        password.as_bytes(),
        &mut salted,
    );
    salted
}

/// Returns the key that proves the knowledge of the password.
pub(in crate::sasl) fn client_key(mechanism: ScramMechanism, salted: &[u8]) -> Zeroizing<Vec<u8>> {
    hmac(mechanism, salted, b"Client Key")
}

/// Returns the key that the server signs with.
pub(in crate::sasl) fn server_key(mechanism: ScramMechanism, salted: &[u8]) -> Zeroizing<Vec<u8>> {
    hmac(mechanism, salted, b"Server Key")
}

/// Returns what a server keeps of a user whose salted password is `salted`.
#[must_use]
pub fn credential(
    mechanism: ScramMechanism,
    salted: &[u8],
    salt: &[u8],
    iterations: u32,
) -> ScramCredential {
    let stored_key = hash(mechanism, &client_key(mechanism, salted));
    ScramCredential {
        salt: salt.into(),
        stored_key: stored_key.into(),
        server_key: server_key(mechanism, salted).as_slice().into(),
        iterations,
    }
}
