//! The SCRAM credentials of delegation tokens.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dohle_auth::TokenKey;
use dohle_auth::sasl::TokenCredential;
use dohle_model::Timestamp;
use dohle_model::image::MetadataImage;
use dohle_model::scram::{ScramCredential, ScramMechanism};
use parking_lot::Mutex;

/// The most credentials that are kept besides those of tokens that exist.
const STALE_MAX: usize = 1000;

/// The delegation tokens that clients of this node authenticate with.
///
/// A credential is derived, which takes milliseconds, when its token is first used here, and kept,
/// so that logins with the id of a token cost the node one derivation in all.
#[derive(Debug)]
pub(crate) struct DelegationTokens {
    key: Option<TokenKey>,
    derived: Mutex<HashMap<(Arc<str>, ScramMechanism), ScramCredential>>,
}

impl DelegationTokens {
    /// Returns the tokens of this key; none can be used without a key.
    pub fn new(key: Option<TokenKey>) -> Self {
        Self {
            key,
            derived: Mutex::default(),
        }
    }

    /// Returns `delegation.token.secret.key`.
    pub fn key(&self) -> Option<&TokenKey> {
        self.key.as_ref()
    }

    /// Returns what a client with a token authenticates with, at a time since the Unix epoch;
    /// `None` for a token that does not exist or has expired.
    pub fn credential(
        &self,
        image: &MetadataImage,
        mechanism: ScramMechanism,
        id: &str,
        now: Duration,
    ) -> Option<TokenCredential> {
        let key = self.key.as_ref()?;
        let token = image.delegation_tokens.get(id)?;
        let now = i64::try_from(now.as_millis()).unwrap_or(i64::MAX);
        if token.has_expired(Timestamp(now)) {
            return None;
        }
        // Owners are users: no other token is created.
        let owner = token.owner.strip_prefix("User:")?;
        let expires = token.expires.min(token.expires_last).0;
        let lifetime = u64::try_from(expires.saturating_sub(now)).unwrap_or(0);
        let used = (Arc::clone(&token.id), mechanism);
        let kept = self.derived.lock().get(&used).cloned();
        let credential = match kept {
            Some(credential) => credential,
            None => {
                let credential = key.credential(mechanism, id);
                self.keep(image, used, credential.clone());
                credential
            }
        };
        Some(TokenCredential {
            credential,
            owner: owner.into(),
            lifetime: Duration::from_millis(lifetime),
        })
    }

    fn keep(
        &self,
        image: &MetadataImage,
        used: (Arc<str>, ScramMechanism),
        credential: ScramCredential,
    ) {
        let mut derived = self.derived.lock();
        let tokens = &image.delegation_tokens;
        if derived.len() >= ScramMechanism::ALL.len() * tokens.len() + STALE_MAX {
            derived.retain(|(id, _), _| tokens.contains_key(id));
        }
        derived.insert(used, credential);
    }
}

#[cfg(test)]
mod tests {
    use dohle_model::delegation_token::DelegationToken;

    use super::*;

    fn image(owner: &str, expires: i64) -> MetadataImage {
        let mut image = MetadataImage::default();
        let token = DelegationToken {
            id: "id".into(),
            owner: owner.into(),
            requester: owner.into(),
            renewers: [].into(),
            issued: Timestamp(0),
            expires: Timestamp(expires),
            expires_last: Timestamp(10_000),
        };
        image.delegation_tokens.insert("id".into(), Arc::new(token));
        image
    }

    #[test]
    fn a_token_is_a_credential_until_it_expires() {
        let key = TokenKey::new("secret").unwrap();
        let tokens = DelegationTokens::new(Some(key.clone()));
        let at = |image: &MetadataImage, now| {
            let now = Duration::from_millis(now);
            tokens.credential(image, ScramMechanism::Sha256, "id", now)
        };
        let alices = image("User:alice", 5000);
        // The second one is kept from the first.
        for (now, left) in [(1000, 4000), (5000, 0)] {
            let found = at(&alices, now).unwrap();
            assert_eq!(&*found.owner, "alice");
            assert_eq!(found.lifetime, Duration::from_millis(left));
            assert_eq!(
                found.credential,
                key.credential(ScramMechanism::Sha256, "id")
            );
        }
        assert!(at(&alices, 5001).is_none(), "it has expired");
        assert!(
            at(&image("User:alice", 5002), 5001).is_some(),
            "it was renewed"
        );
        assert!(
            at(&MetadataImage::default(), 1000).is_none(),
            "it was removed"
        );
        assert!(
            at(&image("Group:alice", 5000), 1000).is_none(),
            "of no user"
        );
        let disabled = DelegationTokens::new(None);
        let now = Duration::from_secs(1);
        let found = disabled.credential(&alices, ScramMechanism::Sha256, "id", now);
        assert!(found.is_none(), "there is no key");
    }
}
