//! The credentials of users who authenticate with SCRAM.
//!
//! Source: RFC 5802, RFC 7677, KIP-554 and `org.apache.kafka.clients.admin.ScramMechanism`.

use std::fmt;
use std::sync::Arc;

/// A SCRAM mechanism. The discriminant is Kafka's code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum ScramMechanism {
    /// SCRAM-SHA-256.
    Sha256 = 1,
    /// SCRAM-SHA-512.
    Sha512 = 2,
}

impl ScramMechanism {
    /// All mechanisms.
    pub const ALL: [Self; 2] = [Self::Sha256, Self::Sha512];

    /// Returns the mechanism with Kafka's code `code`.
    #[must_use]
    pub fn from_code(code: i8) -> Option<Self> {
        Self::ALL.into_iter().find(|it| *it as i8 == code)
    }

    /// Returns the name of the SASL mechanism.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "SCRAM-SHA-256",
            Self::Sha512 => "SCRAM-SHA-512",
        }
    }

    /// Returns the mechanism with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

impl fmt::Display for ScramMechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a server keeps of a user's password for one mechanism (RFC 5802, section 3).
#[derive(Clone, PartialEq, Eq)]
pub struct ScramCredential {
    /// The salt of this user.
    pub salt: Arc<[u8]>,
    /// `H(ClientKey)`.
    pub stored_key: Arc<[u8]>,
    /// `HMAC(SaltedPassword, "Server Key")`.
    pub server_key: Arc<[u8]>,
    /// The number of iterations of PBKDF2.
    pub iterations: u32,
}

impl fmt::Debug for ScramCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramCredential")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_credential_is_not_printed() {
        let credential = ScramCredential {
            salt: Arc::from(*b"pepper"),
            stored_key: Arc::from(*b"stored"),
            server_key: Arc::from(*b"server"),
            iterations: 4096,
        };
        assert_eq!(
            format!("{credential:?}"),
            "ScramCredential { iterations: 4096, .. }"
        );
    }

    #[test]
    fn mechanisms_have_kafkas_names_and_codes() {
        assert_eq!(
            ScramMechanism::from_code(1),
            ScramMechanism::from_name("SCRAM-SHA-256")
        );
        assert_eq!(
            ScramMechanism::from_code(2),
            ScramMechanism::from_name("SCRAM-SHA-512")
        );
        assert_eq!(
            (
                ScramMechanism::from_code(0),
                ScramMechanism::from_name("PLAIN")
            ),
            (None, None)
        );
    }
}
