//! AlterUserScramCredentials.

use std::sync::Arc;

use dohle_model::ErrorCode;
use dohle_model::features::METADATA_VERSION;
use dohle_model::record::MetadataRecord;
use dohle_model::scram::ScramMechanism;
use dohle_protocol::KafkaString;
use dohle_protocol::messages::alter_user_scram_credentials_request::{
    AlterUserScramCredentialsRequestData, ScramCredentialDeletion, ScramCredentialUpsertion,
};

use super::Harness;
use crate::plan::{Draft, scram};

fn upsertion(user: &str, mechanism: i8, iterations: i32) -> ScramCredentialUpsertion {
    ScramCredentialUpsertion {
        name: KafkaString::from(user.to_owned()),
        mechanism,
        iterations,
        salt: b"salt".to_vec().into(),
        salted_password: b"salted password".to_vec().into(),
        ..ScramCredentialUpsertion::default()
    }
}

fn deletion(user: &str, mechanism: i8) -> ScramCredentialDeletion {
    ScramCredentialDeletion {
        name: KafkaString::from(user.to_owned()),
        mechanism,
        ..ScramCredentialDeletion::default()
    }
}

/// Returns the users with their error codes and messages.
fn alter(
    draft: &mut Draft,
    deletions: &[ScramCredentialDeletion],
    upsertions: &[ScramCredentialUpsertion],
) -> Vec<(String, i16, String)> {
    let request = AlterUserScramCredentialsRequestData {
        deletions: deletions.to_vec(),
        upsertions: upsertions.to_vec(),
        ..AlterUserScramCredentialsRequestData::default()
    };
    let response = scram::alter(draft, &request);
    assert_eq!(draft.broken, None);
    let results = response.results.into_iter();
    results
        .map(|result| {
            let message = result.error_message;
            let message = message.map_or_else(String::new, |message| message.to_string());
            (result.user.to_string(), result.error_code, message)
        })
        .collect()
}

fn error(user: &str, code: ErrorCode, message: &str) -> (String, i16, String) {
    (user.to_owned(), code.code(), message.to_owned())
}

fn none(user: &str) -> (String, i16, String) {
    (user.to_owned(), 0, String::new())
}

#[test]
fn a_credential_is_derived_from_the_salted_password_and_deleted_again() {
    let mut draft = Harness::new(true).draft;
    let created = alter(&mut draft, &[], &[upsertion("alice", 1, 8192)]);
    assert_eq!(created, [none("alice")]);
    let key = (Arc::from("alice"), ScramMechanism::Sha256);
    let stored = &draft.image.scram_credentials[&key];
    assert_eq!((&*stored.salt, stored.iterations), (&b"salt"[..], 8192));
    assert_eq!((stored.stored_key.len(), stored.server_key.len()), (32, 32));
    assert_ne!(stored.stored_key, stored.server_key);
    let deleted = alter(&mut draft, &[deletion("alice", 1)], &[]);
    assert_eq!(deleted, [none("alice")]);
    assert!(draft.image.scram_credentials.is_empty());
}

#[test]
fn changes_are_refused_with_kafkas_messages_and_the_others_are_made() {
    let mut draft = Harness::new(true).draft;
    let few = upsertion("few", 1, 4095);
    let many = upsertion("many", 2, 16385);
    let nobody = upsertion("", 1, 4096);
    let mut empty = upsertion("empty", 1, 4096);
    empty.salted_password = Default::default();
    let strange = upsertion("strange", 3, 4096);
    let twice = [upsertion("twice", 1, 4096), upsertion("twice", 2, 4096)];
    let mut upsertions = vec![
        few,
        many,
        nobody,
        empty,
        strange,
        upsertion("bob", 2, 16384),
    ];
    upsertions.extend(twice);
    let results = alter(&mut draft, &[deletion("gone", 1)], &upsertions);
    let unacceptable = ErrorCode::UnacceptableCredential;
    assert_eq!(
        results,
        [
            error("", unacceptable, "Username must not be empty"),
            none("bob"),
            error(
                "empty",
                unacceptable,
                "The salted password must not be empty"
            ),
            error("few", unacceptable, "Too few iterations"),
            error(
                "gone",
                ErrorCode::ResourceNotFound,
                "Attempt to delete a user credential that does not exist"
            ),
            error("many", unacceptable, "Too many iterations"),
            error(
                "strange",
                ErrorCode::UnsupportedSaslMechanism,
                "Unknown SCRAM mechanism"
            ),
            error(
                "twice",
                ErrorCode::DuplicateResource,
                "A user credential cannot be altered twice in the same request"
            ),
        ]
    );
    let users: Vec<_> = draft.image.scram_credentials.keys().collect();
    assert_eq!(users, [&(Arc::from("bob"), ScramMechanism::Sha512)]);
}

#[test]
fn an_old_metadata_version_has_no_credentials() {
    let mut draft = Harness::new(false).draft;
    draft.push(MetadataRecord::FeatureLevel {
        name: METADATA_VERSION.to_owned(),
        level: 10,
    });
    let refused = alter(&mut draft, &[], &[upsertion("alice", 1, 4096)]);
    let message = "The current metadata.version does not support SCRAM";
    assert_eq!(
        refused,
        [error("alice", ErrorCode::UnsupportedVersion, message)]
    );
}
