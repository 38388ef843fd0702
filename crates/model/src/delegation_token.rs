//! Delegation tokens (KIP-48): short-lived credentials that act for their owner.
//!
//! Source: `org.apache.kafka.common.security.token.delegation.TokenInformation`.

use std::sync::Arc;

use crate::Timestamp;

/// A delegation token. Its HMAC, with which clients authenticate, derives from the id and the
/// secret key of the nodes, and is stored nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegationToken {
    /// Its id.
    pub id: Arc<str>,
    /// The principal that it acts for, for example `User:alice`.
    pub owner: Arc<str>,
    /// The principal that has requested it.
    pub requester: Arc<str>,
    /// The principals that may renew it besides the owner.
    pub renewers: Arc<[Arc<str>]>,
    /// When it was issued.
    pub issued: Timestamp,
    /// When it expires unless it is renewed.
    pub expires: Timestamp,
    /// When it expires however often it is renewed.
    pub expires_last: Timestamp,
}

impl DelegationToken {
    /// Returns whether the token is not valid any more.
    #[must_use]
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_last < now || self.expires < now
    }

    /// Returns whether a principal is the owner or one of the renewers.
    #[must_use]
    pub fn is_owner_or_renewer(&self, principal: &str) -> bool {
        *self.owner == *principal || self.renewers.iter().any(|renewer| **renewer == *principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_expires_after_its_expiry_and_after_its_last_one() {
        let token = |expires: i64, expires_last: i64| DelegationToken {
            id: "id".into(),
            owner: "User:alice".into(),
            requester: "User:alice".into(),
            renewers: ["User:bob".into()].into(),
            issued: Timestamp(0),
            expires: Timestamp(expires),
            expires_last: Timestamp(expires_last),
        };
        assert!(!token(5, 9).has_expired(Timestamp(5)));
        assert!(token(5, 9).has_expired(Timestamp(6)));
        assert!(token(9, 5).has_expired(Timestamp(6)));
        assert!(token(5, 9).is_owner_or_renewer("User:alice"));
        assert!(token(5, 9).is_owner_or_renewer("User:bob"));
        assert!(!token(5, 9).is_owner_or_renewer("User:carol"));
    }
}
