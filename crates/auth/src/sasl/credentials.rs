//! What a server knows of its users.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use dohle_model::scram::{ScramCredential, ScramMechanism};

use super::TokenError;
use crate::jaas::JaasConfig;
use crate::secret::PasswordDigest;

/// The credentials that a server checks its clients against.
pub trait Credentials {
    /// Returns whether `password` is the one of the user. The time does not depend on whether the
    /// user exists.
    fn is_plain_password(&self, user: &str, password: &str) -> bool;

    /// Returns the SCRAM credential of a user; for an unknown user, one that no password matches,
    /// with `false`.
    fn scram(&self, mechanism: ScramMechanism, user: &str) -> (ScramCredential, bool);

    /// Returns what a client with a delegation token authenticates with; `None` for a token that
    /// does not exist or has expired, and where delegation tokens are disabled.
    fn delegation_token(&self, _: ScramMechanism, _id: &str) -> Option<TokenCredential> {
        None
    }

    /// Returns the user of a token, and how long the token remains valid.
    ///
    /// # Errors
    /// Why the token is refused.
    fn bearer(&self, token: &str) -> Result<(Arc<str>, Duration), TokenError>;
}

/// What a client with a delegation token authenticates with (KIP-48).
#[derive(Debug, Clone)]
pub struct TokenCredential {
    /// The credential, whose password is the token's HMAC.
    pub credential: ScramCredential,
    /// The name of the user that the token acts for.
    pub owner: Arc<str>,
    /// How long the token remains valid.
    pub lifetime: Duration,
}

/// The users of PLAIN on one listener: the options `user_NAME="PASSWORD"` of its JAAS line.
#[derive(Clone, Default)]
pub struct PlainUsers {
    users: BTreeMap<String, PasswordDigest>,
}

impl PlainUsers {
    /// Returns the users of a JAAS line.
    #[must_use]
    pub fn new(config: &JaasConfig) -> Self {
        let users = config.options.iter().filter_map(|(option, password)| {
            let user = option.strip_prefix("user_")?;
            Some((user.to_owned(), PasswordDigest::of(password.expose())))
        });
        Self {
            users: users.collect(),
        }
    }

    /// Returns whether `password` is the one of the user. The time does not depend on whether the
    /// user exists.
    #[must_use]
    pub fn is_password(&self, user: &str, password: &str) -> bool {
        match self.users.get(user) {
            Some(digest) => digest.matches(password),
            None => {
                // Takes as long as the comparison for a user that exists.
                std::hint::black_box(PasswordDigest::of("").matches(password));
                false
            }
        }
    }

    /// Returns whether there are no users.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

impl fmt::Debug for PlainUsers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.users.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn users() -> PlainUsers {
        let module = crate::jaas::LoginModule::Plain.class();
        let line = format!("{module} required username=\"x\" user_alice=\"a\" user_=\"empty\";");
        PlainUsers::new(&JaasConfig::parse(&line).unwrap())
    }

    #[test]
    fn the_users_are_the_options_that_begin_with_user() {
        let users = users();
        assert!(users.is_password("alice", "a"));
        assert!(!users.is_password("alice", "b"));
        assert!(!users.is_password("x", "a"));
        assert!(
            !users.is_password("bob", ""),
            "an unknown user has no password"
        );
    }

    #[test]
    fn passwords_are_not_printed() {
        assert_eq!(format!("{:?}", users()), r#"{"", "alice"}"#);
    }
}
