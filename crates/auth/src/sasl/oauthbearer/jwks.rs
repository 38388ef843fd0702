//! The public keys that tokens are signed with: a JSON Web Key Set (RFC 7517, RFC 7518).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::{self, RsaPublicKeyComponents, UnparsedPublicKey};
use serde_json::Value;

/// The most keys that are read.
const KEYS_MAX: usize = 1000;

/// Public keys.
#[derive(Clone, Default)]
pub struct Jwks {
    keys: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: Option<String>,
    /// The only algorithm that the key is for, if the set limits it.
    algorithm: Option<Algorithm>,
    material: Material,
}

#[derive(Clone)]
enum Material {
    Rsa {
        n: Vec<u8>,
        e: Vec<u8>,
    },
    /// An uncompressed point.
    P256(Vec<u8>),
    P384(Vec<u8>),
}

/// An algorithm that tokens may be signed with. There are no others: neither `none` nor symmetric
/// ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
}

impl Algorithm {
    const ALL: [(Self, &'static str); 8] = [
        (Self::Rs256, "RS256"),
        (Self::Rs384, "RS384"),
        (Self::Rs512, "RS512"),
        (Self::Ps256, "PS256"),
        (Self::Ps384, "PS384"),
        (Self::Ps512, "PS512"),
        (Self::Es256, "ES256"),
        (Self::Es384, "ES384"),
    ];

    pub fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.into_iter();
        all.find(|(_, known)| *known == name).map(|(it, _)| it)
    }
}

/// Why bytes are not a JWKS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Not JSON with a list of keys.
    #[error("it is not a JSON Web Key Set: an object with a list of `keys`")]
    Form,
    /// Too many keys.
    #[error("it has more than 1000 keys")]
    TooMany,
    /// No key can be used.
    #[error("it has no public key of the types RSA, P-256 and P-384 for signatures")]
    NoKey,
}

impl Jwks {
    /// Parses a JWKS. Keys of other types, and for other uses, are left out.
    ///
    /// # Errors
    /// When the bytes are not a JWKS, or it has no key that can be used.
    pub fn parse(json: &[u8]) -> Result<Self, JwksError> {
        let value: Value = serde_json::from_slice(json).map_err(|_| JwksError::Form)?;
        let keys = value.get("keys").and_then(Value::as_array);
        let keys = keys.ok_or(JwksError::Form)?;
        if keys.len() > KEYS_MAX {
            return Err(JwksError::TooMany);
        }
        let keys: Vec<Key> = keys.iter().filter_map(key).collect();
        if keys.is_empty() {
            return Err(JwksError::NoKey);
        }
        Ok(Self { keys })
    }

    /// Returns whether one of the keys has made `signature` over `signed`. With an id, only the key
    /// of that id is tried.
    pub(super) fn verify(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        signed: &[u8],
        signature: &[u8],
    ) -> bool {
        let candidates = self.keys.iter().filter(|key| match id {
            Some(id) => key.id.as_deref() == Some(id),
            None => true,
        });
        candidates
            .filter(|key| key.algorithm.is_none_or(|only| only == algorithm))
            .any(|key| key.material.verify(algorithm, signed, signature))
    }
}

impl fmt::Debug for Jwks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids = self.keys.iter().map(|key| &key.id);
        f.debug_list().entries(ids).finish()
    }
}

fn key(value: &Value) -> Option<Key> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let bytes = |name: &str| URL_SAFE_NO_PAD.decode(text(name)?).ok();
    if text("use").is_some_and(|usage| usage != "sig") {
        return None;
    }
    let algorithm = match text("alg") {
        None => None,
        Some(name) => Some(Algorithm::from_name(name)?),
    };
    let point = |length: usize| {
        let (x, y) = (bytes("x")?, bytes("y")?);
        let fits = x.len() == length && y.len() == length;
        fits.then(|| [&[4], &x[..], &y[..]].concat())
    };
    let material = match (text("kty")?, text("crv")) {
        ("RSA", _) => Material::Rsa {
            n: bytes("n")?,
            e: bytes("e")?,
        },
        ("EC", Some("P-256")) => Material::P256(point(32)?),
        ("EC", Some("P-384")) => Material::P384(point(48)?),
        _ => return None,
    };
    Some(Key {
        id: text("kid").map(str::to_owned),
        algorithm,
        material,
    })
}

impl Material {
    fn verify(&self, algorithm: Algorithm, signed: &[u8], signature: &[u8]) -> bool {
        let rsa = match algorithm {
            Algorithm::Rs256 => &signature::RSA_PKCS1_2048_8192_SHA256,
            Algorithm::Rs384 => &signature::RSA_PKCS1_2048_8192_SHA384,
            Algorithm::Rs512 => &signature::RSA_PKCS1_2048_8192_SHA512,
            Algorithm::Ps256 => &signature::RSA_PSS_2048_8192_SHA256,
            Algorithm::Ps384 => &signature::RSA_PSS_2048_8192_SHA384,
            Algorithm::Ps512 => &signature::RSA_PSS_2048_8192_SHA512,
            Algorithm::Es256 | Algorithm::Es384 => {
                let (algorithm, point) = match (algorithm, self) {
                    (Algorithm::Es256, Self::P256(point)) => {
                        (&signature::ECDSA_P256_SHA256_FIXED, point)
                    }
                    (Algorithm::Es384, Self::P384(point)) => {
                        (&signature::ECDSA_P384_SHA384_FIXED, point)
                    }
                    _ => return false,
                };
                let key = UnparsedPublicKey::new(algorithm, point);
                return key.verify(signed, signature).is_ok();
            }
        };
        match self {
            Self::Rsa { n, e } => RsaPublicKeyComponents { n, e }
                .verify(rsa, signed, signature)
                .is_ok(),
            _ => false,
        }
    }
}
