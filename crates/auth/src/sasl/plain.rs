//! PLAIN: one message with the authorization id, the user and the password (RFC 4616).
//!
//! Source: `org.apache.kafka.common.security.plain.internals.PlainSaslServer`.

use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::{Cause, Rejection, Step};

/// Checks the message of a client.
pub(super) fn authenticate(
    message: &[u8],
    credentials: &dyn Credentials,
) -> Result<Step, Rejection> {
    let rejection = |user: Option<&str>, cause| Rejection {
        user: user.map(Into::into),
        cause,
    };
    let text = str::from_utf8(message)
        .map_err(|_| rejection(None, Cause::Malformed("it is not UTF-8")))?;
    let parts: Vec<&str> = text.splitn(4, '\0').collect();
    let [authorization_id, user, password] = parts[..] else {
        return Err(rejection(None, Cause::Parts(parts.len())));
    };
    if user.is_empty() {
        return Err(rejection(None, Cause::NoUser));
    }
    if password.is_empty() {
        return Err(rejection(Some(user), Cause::NoPassword));
    }
    if !credentials.is_plain_password(user, password) {
        return Err(rejection(Some(user), Cause::UserOrPassword));
    }
    if !authorization_id.is_empty() && authorization_id != user {
        return Err(rejection(Some(user), Cause::AuthorizationId));
    }
    Ok(Step::Done {
        message: Vec::new(),
        user: user.into(),
        lifetime: None,
        is_delegated: false,
    })
}

/// Returns the message of a client.
pub(super) fn message(user: &str, password: &str) -> Zeroizing<Vec<u8>> {
    let mut message = Zeroizing::new(Vec::with_capacity(user.len() + password.len() + 2));
    message.push(0);
    message.extend_from_slice(user.as_bytes());
    message.push(0);
    message.extend_from_slice(password.as_bytes());
    message
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use dohle_model::scram::{ScramCredential, ScramMechanism};
    use proptest::prelude::*;

    use super::*;
    use crate::sasl::TokenError;

    struct Alice;

    impl Credentials for Alice {
        fn is_plain_password(&self, user: &str, password: &str) -> bool {
            (user, password) == ("alice", "secret")
        }

        fn scram(&self, _: ScramMechanism, _: &str) -> (ScramCredential, bool) {
            unreachable!("PLAIN asks for no SCRAM credential")
        }

        fn bearer(&self, _: &str) -> Result<(Arc<str>, Duration), TokenError> {
            unreachable!("PLAIN has no tokens")
        }
    }

    fn cause(message: &[u8]) -> Cause {
        authenticate(message, &Alice).expect_err("rejected").cause
    }

    #[test]
    fn a_user_with_the_right_password_is_authenticated() {
        let done = Step::Done {
            message: Vec::new(),
            user: "alice".into(),
            lifetime: None,
            is_delegated: false,
        };
        assert_eq!(authenticate(b"\0alice\0secret", &Alice), Ok(done.clone()));
        assert_eq!(
            authenticate(b"alice\0alice\0secret", &Alice),
            Ok(done.clone())
        );
        assert_eq!(authenticate(&message("alice", "secret"), &Alice), Ok(done));
    }

    #[test]
    fn the_client_learns_kafkas_reason() {
        let text = |message: &[u8]| cause(message).text_for_client();
        assert_eq!(
            text(b"alice\0secret").as_deref(),
            Some("Invalid SASL/PLAIN response: expected 3 tokens, got 2")
        );
        assert_eq!(
            text(b"\0alice\0secret\0more\0").as_deref(),
            Some("Invalid SASL/PLAIN response: expected 3 tokens, got 4")
        );
        assert_eq!(
            text(b"\0\0secret").as_deref(),
            Some("Authentication failed: username not specified")
        );
        assert_eq!(
            text(b"\0alice\0").as_deref(),
            Some("Authentication failed: password not specified")
        );
        assert_eq!(cause(b"\0alice\0wrong"), Cause::UserOrPassword);
        assert_eq!(cause(b"\0bob\0secret"), Cause::UserOrPassword);
        assert!(matches!(cause(b"\0\xff\0x"), Cause::Malformed(_)));
    }

    /// CVE-2017-12610: a client that has authenticated as itself asks to act as somebody else.
    #[test]
    fn nobody_acts_as_another_user() {
        assert_eq!(cause(b"admin\0alice\0secret"), Cause::AuthorizationId);
        assert_eq!(cause(b"Alice\0alice\0secret"), Cause::AuthorizationId);
        let rejection = authenticate(b"admin\0alice\0wrong", &Alice).expect_err("rejected");
        assert_eq!(rejection.cause, Cause::UserOrPassword);
        assert_eq!(rejection.user.as_deref(), Some("alice"));
    }

    proptest! {
        #[test]
        fn hostile_messages_are_rejected_without_a_panic(message: Vec<u8>) {
            prop_assert!(authenticate(&message, &Alice).is_err());
        }
    }
}
