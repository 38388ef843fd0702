//! Quotas of users, clients and IP addresses, and users' SCRAM credentials.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use dohle_auth::Secret;
use dohle_auth::sasl::{SALT_BYTES, salted_password};
use dohle_model::scram::ScramMechanism;
use kacrab_protocol::generated::{
    AlterClientQuotasRequestData, AlterUserScramCredentialsRequestData,
    DescribeClientQuotasRequestData, DescribeUserScramCredentialsRequestData, ErrorCode,
    alter_client_quotas_request as alter_request,
    alter_user_scram_credentials_request as scram_request,
    describe_client_quotas_request as describe_request,
    describe_user_scram_credentials_request as users_request,
};
use ring::rand::{SecureRandom, SystemRandom};

use crate::cluster::{Cluster, ClusterError, Recipient, check};

/// The quotas of one entity, or of a combination of entities.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientQuotas {
    /// Types of entities (`user`, `client-id`, `ip`) and their names; no name is the default.
    pub entity: BTreeMap<String, Option<String>>,
    /// The quotas by name.
    pub values: BTreeMap<String, f64>,
}

/// Describes the quotas of entities, which are named by all of their types: with a name, an empty
/// one for the default of the type, or without one for all of the type.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn describe_quotas(
    cluster: &Cluster,
    entities: impl IntoIterator<Item = (&str, Option<&str>)>,
) -> Result<Vec<ClientQuotas>, ClusterError> {
    let components = entities.into_iter().map(|(entity_type, name)| {
        let (match_type, name) = match name {
            Some("") => (1, None),
            Some(name) => (0, Some(name.to_owned().into())),
            None => (2, None),
        };
        describe_request::ComponentData {
            entity_type: entity_type.to_owned().into(),
            match_type,
            r#match: name,
            ..describe_request::ComponentData::default()
        }
    });
    let request = DescribeClientQuotasRequestData {
        components: components.collect(),
        strict: true,
        ..DescribeClientQuotasRequestData::default()
    };
    let answer = match cluster.call_once(Recipient::Any, &request).await {
        // A cluster without this request has no quotas.
        Err(ClusterError::Unsupported { .. }) => return Ok(Vec::new()),
        answer => answer?,
    };
    let entries = answer.entries.unwrap_or_default().into_iter().map(|entry| {
        let entity = entry.entity.iter().map(|one| {
            let name = one.entity_name.as_ref().map(ToString::to_string);
            (one.entity_type.to_string(), name)
        });
        let values = entry.values.iter();
        ClientQuotas {
            entity: entity.collect(),
            values: values
                .map(|quota| (quota.key.to_string(), quota.value))
                .collect(),
        }
    });
    Ok(entries.collect())
}

/// Sets the quotas of an entity; those without a value are removed. An empty name is the default of
/// the type.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn alter_quotas(
    cluster: &Cluster,
    entity: impl IntoIterator<Item = (&str, &str)>,
    changes: &[(&str, Option<f64>)],
) -> Result<(), ClusterError> {
    let entity = entity
        .into_iter()
        .map(|(kind, name)| alter_request::EntityData {
            entity_type: kind.to_owned().into(),
            entity_name: (!name.is_empty()).then(|| name.to_owned().into()),
            ..alter_request::EntityData::default()
        });
    let ops = changes.iter().map(|(name, value)| alter_request::OpData {
        key: (*name).to_owned().into(),
        value: value.unwrap_or_default(),
        remove: value.is_none(),
        ..alter_request::OpData::default()
    });
    let request = AlterClientQuotasRequestData {
        entries: vec![alter_request::EntryData {
            entity: entity.collect(),
            ops: ops.collect(),
            ..alter_request::EntryData::default()
        }],
        ..AlterClientQuotasRequestData::default()
    };
    cluster.call_once(Recipient::Any, &request).await?;
    Ok(())
}

/// A SCRAM credential: the mechanism as the protocol numbers it, and the iterations.
pub type ScramCredential = (i8, i32);

/// Describes the SCRAM credentials of users, or of all where none are given. Users without
/// credentials are left out.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn scram_credentials(
    cluster: &Cluster,
    users: &[String],
) -> Result<Vec<(String, Vec<ScramCredential>)>, ClusterError> {
    let names = users.iter().map(|name| users_request::UserName {
        name: name.clone().into(),
        ..users_request::UserName::default()
    });
    let request = DescribeUserScramCredentialsRequestData {
        users: (!users.is_empty()).then(|| names.collect()),
        ..DescribeUserScramCredentialsRequestData::default()
    };
    let answer = match cluster.call_once(Recipient::Any, &request).await {
        // A cluster without this request has no such credentials.
        Err(ClusterError::Unsupported { .. }) => return Ok(Vec::new()),
        answer => answer?,
    };
    let mut found = Vec::new();
    for result in &answer.results {
        if ErrorCode::from(result.error_code) == ErrorCode::ResourceNotFound {
            continue;
        }
        check(result.error_code, result.error_message.as_ref())?;
        let infos = result.credential_infos.iter();
        let infos = infos.map(|info| (info.mechanism, info.iterations));
        found.push((result.user.to_string(), infos.collect()));
    }
    Ok(found)
}

/// A change of a user's SCRAM credential for one mechanism.
#[derive(Debug, Clone)]
pub enum ScramChange {
    /// The credential is removed.
    Delete,
    /// The credential is created or replaced.
    Set {
        /// The password, which stays in this process.
        password: Secret,
        /// The number of iterations of PBKDF2.
        iterations: NonZeroU32,
    },
}

/// Changes the SCRAM credential of a user for one mechanism. The password is salted here, and is
/// not sent.
///
/// # Errors
/// When the cluster does not answer, or refuses.
pub async fn alter_scram_credential(
    cluster: &Cluster,
    user: &str,
    mechanism: ScramMechanism,
    change: &ScramChange,
) -> Result<(), ClusterError> {
    let mut request = AlterUserScramCredentialsRequestData::default();
    match change {
        ScramChange::Delete => request
            .deletions
            .push(scram_request::ScramCredentialDeletion {
                name: user.to_owned().into(),
                mechanism: mechanism as i8,
                ..scram_request::ScramCredentialDeletion::default()
            }),
        ScramChange::Set {
            password,
            iterations,
        } => {
            let mut salt = [0; SALT_BYTES];
            SystemRandom::new()
                .fill(&mut salt)
                .map_err(|_| ClusterError::NoRandomness)?;
            let salted = salted_password(mechanism, password.expose(), &salt, *iterations);
            request
                .upsertions
                .push(scram_request::ScramCredentialUpsertion {
                    name: user.to_owned().into(),
                    mechanism: mechanism as i8,
                    iterations: i32::try_from(iterations.get()).unwrap_or(i32::MAX),
                    salt: salt.to_vec().into(),
                    salted_password: salted.to_vec().into(),
                    ..scram_request::ScramCredentialUpsertion::default()
                });
        }
    }
    let answer = cluster.call_once(Recipient::Any, &request).await?;
    for result in &answer.results {
        check(result.error_code, result.error_message.as_ref())?;
    }
    Ok(())
}
