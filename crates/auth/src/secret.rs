//! Passwords in memory: never printed, compared in constant time, and erased when they are dropped.

use std::fmt;
use std::sync::Arc;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// A password, or another text that must not be printed.
///
/// It has no `PartialEq`, so that it is compared in constant time only.
#[derive(Clone)]
pub struct Secret(Arc<Zeroizing<String>>);

impl Secret {
    /// Returns the secret with this text.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(Arc::new(Zeroizing::new(text.to_owned())))
    }

    /// Returns the text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[hidden]")
    }
}

/// Returns whether two secrets are the same. The time depends on the lengths alone, not on the
/// position of the first difference (CVE-2021-38153).
#[must_use]
pub fn is_same_secret(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// A digest that recognises a password.
///
/// The comparison takes the same time for every password of one length, whatever the length of the
/// right one.
#[derive(Clone)]
pub(crate) struct PasswordDigest([u8; 32]);

impl PasswordDigest {
    pub fn of(password: &str) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest(&SHA256, password.as_bytes()).as_ref());
        Self(bytes)
    }

    /// Returns whether `password` is the one that this is the digest of.
    pub fn matches(&self, password: &str) -> bool {
        is_same_secret(&self.0, &Self::of(password).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_printed() {
        let secret = Secret::new("swordfish");
        assert_eq!(format!("{secret:?}"), "[hidden]");
        assert_eq!(secret.expose(), "swordfish");
    }

    #[test]
    fn a_digest_recognises_its_password_only() {
        let digest = PasswordDigest::of("swordfish");
        assert!(digest.matches("swordfish"));
        assert!(!digest.matches("swordfisc"));
        assert!(!digest.matches("swordfish "));
        assert!(!digest.matches(""));
    }
}
