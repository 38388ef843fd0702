//! AlterUserScramCredentials (KIP-554): SCRAM credentials of users.
//!
//! As in Kafka, a user may occur once in a request, whatever the mechanism. A user's error leaves
//! the changes of other users in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use dohle_auth::sasl::{ITERATIONS_MAX, ITERATIONS_MIN, credential};
use dohle_model::features::METADATA_VERSION;
use dohle_model::record::MetadataRecord;
use dohle_model::scram::ScramMechanism;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::alter_user_scram_credentials_request::{
    AlterUserScramCredentialsRequestData, ScramCredentialDeletion, ScramCredentialUpsertion,
};
use dohle_protocol::messages::alter_user_scram_credentials_response::{
    AlterUserScramCredentialsResponseData, AlterUserScramCredentialsResult,
};

use super::{Draft, code_and_message};

/// The lowest `metadata.version` with SCRAM credentials in Kafka (`3.5-IV2`).
const METADATA_VERSION_MIN: i16 = 11;

/// Plans AlterUserScramCredentials.
#[must_use]
pub fn alter(
    draft: &mut Draft,
    request: &AlterUserScramCredentialsRequestData,
) -> AlterUserScramCredentialsResponseData {
    let mut changes: BTreeMap<&str, Result<MetadataRecord, ApiError>> = BTreeMap::new();
    for deletion in &request.deletions {
        add(&mut changes, &deletion.name, || delete(draft, deletion));
    }
    for upsertion in &request.upsertions {
        add(&mut changes, &upsertion.name, || upsert(draft, upsertion));
    }
    let mut results = Vec::with_capacity(changes.len());
    for (user, change) in changes {
        let (error_code, error_message) = code_and_message(&change);
        if let Ok(record) = change {
            draft.push(record);
        }
        results.push(AlterUserScramCredentialsResult {
            user: KafkaString::from(user.to_owned()),
            error_code,
            error_message,
            ..AlterUserScramCredentialsResult::default()
        });
    }
    AlterUserScramCredentialsResponseData {
        results,
        ..AlterUserScramCredentialsResponseData::default()
    }
}

fn add<'a>(
    changes: &mut BTreeMap<&'a str, Result<MetadataRecord, ApiError>>,
    user: &'a KafkaString,
    change: impl FnOnce() -> Result<MetadataRecord, ApiError>,
) {
    let twice = || {
        Err(ErrorCode::DuplicateResource
            .because("A user credential cannot be altered twice in the same request"))
    };
    changes
        .entry(user.as_str())
        .and_modify(|before| {
            if before.is_ok() {
                *before = twice();
            }
        })
        .or_insert_with(change);
}

fn delete(draft: &Draft, deletion: &ScramCredentialDeletion) -> Result<MetadataRecord, ApiError> {
    let (user, mechanism) = user_and_mechanism(draft, &deletion.name, deletion.mechanism)?;
    let key = (user, mechanism);
    if !draft.image.scram_credentials.contains_key(&key) {
        return Err(ErrorCode::ResourceNotFound
            .because("Attempt to delete a user credential that does not exist"));
    }
    let (user, mechanism) = key;
    Ok(MetadataRecord::RemoveUserScramCredential { user, mechanism })
}

fn upsert(draft: &Draft, upsertion: &ScramCredentialUpsertion) -> Result<MetadataRecord, ApiError> {
    let (user, mechanism) = user_and_mechanism(draft, &upsertion.name, upsertion.mechanism)?;
    let unacceptable = |reason: &str| Err(ErrorCode::UnacceptableCredential.because(reason));
    let iterations = u32::try_from(upsertion.iterations).unwrap_or(0);
    if iterations < ITERATIONS_MIN {
        return unacceptable("Too few iterations");
    }
    if iterations > ITERATIONS_MAX {
        return unacceptable("Too many iterations");
    }
    if upsertion.salted_password.is_empty() {
        return unacceptable("The salted password must not be empty");
    }
    let credential = credential(
        mechanism,
        &upsertion.salted_password,
        &upsertion.salt,
        iterations,
    );
    Ok(MetadataRecord::UserScramCredential {
        user,
        mechanism,
        credential,
    })
}

fn user_and_mechanism(
    draft: &Draft,
    name: &KafkaString,
    mechanism: i8,
) -> Result<(Arc<str>, ScramMechanism), ApiError> {
    if draft.image.feature_level(METADATA_VERSION) < METADATA_VERSION_MIN {
        return Err(ErrorCode::UnsupportedVersion
            .because("The current metadata.version does not support SCRAM"));
    }
    if name.is_empty() {
        return Err(ErrorCode::UnacceptableCredential.because("Username must not be empty"));
    }
    let mechanism = ScramMechanism::from_code(mechanism)
        .ok_or_else(|| ErrorCode::UnsupportedSaslMechanism.because("Unknown SCRAM mechanism"))?;
    Ok((Arc::from(name.as_str()), mechanism))
}
