//! The users with passwords that a new cluster begins with, as variables of a container give them.

use std::num::NonZeroU32;

use anyhow::Context as _;
use dohle_auth::sasl::{ITERATIONS_MIN, SALT_BYTES, credential, salted_password};
use dohle_controller::new_cluster;

use crate::config::NodeConfig;

/// Writes the credentials for the first leader of the quorum, on a controller that was formatted
/// now. Of a cluster that exists already, the leader ignores them.
///
/// # Errors
/// When the directory cannot be written.
pub(super) fn write(config: &NodeConfig) -> anyhow::Result<()> {
    if !config.roles.controller || config.first_users.is_empty() {
        return Ok(());
    }
    let iterations = NonZeroU32::new(ITERATIONS_MIN).unwrap_or(NonZeroU32::MIN);
    let users: Vec<_> = config
        .first_users
        .iter()
        .map(|user| {
            let salt = fresh_salt();
            let password = user.password.expose();
            let salted = salted_password(user.mechanism, password, &salt, iterations);
            let credential = credential(user.mechanism, &salted, &salt, iterations.get());
            (user.name.as_str(), user.mechanism, credential)
        })
        .collect();
    let users = users
        .iter()
        .map(|(name, mechanism, credential)| (*name, *mechanism, credential));
    new_cluster::write_scram(&config.metadata_dir(), users)
        .with_context(|| format!("format {}", config.metadata_dir().display()))
}

/// Returns a random salt.
fn fresh_salt() -> [u8; SALT_BYTES] {
    let mut salt = [0; SALT_BYTES];
    for part in salt.chunks_mut(16) {
        let random = uuid::Uuid::new_v4().into_bytes();
        part.copy_from_slice(&random[..part.len()]);
    }
    salt
}
