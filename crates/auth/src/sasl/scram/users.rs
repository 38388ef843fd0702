//! The SCRAM credentials of a cluster, and those that are made up for users it does not have.

use std::sync::Arc;

use dohle_model::scram::{ScramCredential, ScramMechanism};

use super::keys;

/// Looks up SCRAM credentials.
pub trait ScramUsers {
    /// Returns the credential of a user.
    fn find(&self, mechanism: ScramMechanism, user: &str) -> Option<Arc<ScramCredential>>;

    /// Returns any one credential, which is the same at all brokers.
    fn any(&self) -> Option<Arc<ScramCredential>>;

    /// Returns the credential of a user; for a user that does not exist, one that no password
    /// matches, with `false`.
    ///
    /// A made-up credential is the same at all brokers and at each attempt, and has the form of
    /// one that exists, so a client cannot find out with it which users there are.
    fn credential(&self, mechanism: ScramMechanism, user: &str) -> (ScramCredential, bool) {
        let model = self.any();
        let decoy = decoy(mechanism, user, model.as_deref());
        match self.find(mechanism, user) {
            Some(found) => (ScramCredential::clone(&found), true),
            None => (decoy, false),
        }
    }
}

/// Returns a credential for a user that does not exist. It is derived from a secret that all
/// brokers have: the server key of `model`.
fn decoy(
    mechanism: ScramMechanism,
    user: &str,
    model: Option<&ScramCredential>,
) -> ScramCredential {
    let secret = model.map_or(&[][..], |model| &model.server_key);
    let derived = |purpose: &str| {
        let text = format!("{purpose} of an unknown user {user}");
        keys::hmac(mechanism, secret, text.as_bytes())
    };
    let mut salt = derived("salt").to_vec();
    while salt.len() < model.map_or(0, |model| model.salt.len()) {
        let more = keys::hmac(mechanism, secret, &salt);
        salt.extend_from_slice(&more);
    }
    salt.truncate(model.map_or(super::SALT_BYTES, |model| model.salt.len()));
    if model.is_some_and(|model| model.salt.iter().all(u8::is_ascii_alphanumeric)) {
        // Kafka's tools make salts of digits and small letters.
        const BASE_36: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        for byte in &mut salt {
            *byte = BASE_36[usize::from(*byte) % BASE_36.len()];
        }
    }
    ScramCredential {
        salt: salt.into(),
        stored_key: derived("stored key").as_slice().into(),
        server_key: derived("server key").as_slice().into(),
        iterations: model.map_or(super::ITERATIONS_MIN, |model| model.iterations),
    }
}
