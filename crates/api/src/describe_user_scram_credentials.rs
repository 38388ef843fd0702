//! DescribeUserScramCredentials, version 0: the mechanisms for which users have SCRAM credentials,
//! and their iterations (KIP-554).
//!
//! Answered from this broker's metadata. Salts and keys are not returned.

use std::collections::BTreeMap;

use dohle_model::acl::Operation;
use dohle_model::image::MetadataImage;
use dohle_model::scram::ScramMechanism;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::describe_user_scram_credentials_response::{
    CredentialInfo, DescribeUserScramCredentialsResult,
};
use dohle_protocol::messages::{
    DescribeUserScramCredentialsRequestData, DescribeUserScramCredentialsResponseData,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: DescribeUserScramCredentialsRequestData,
) -> DescribeUserScramCredentialsResponseData {
    if let Err(code) = call.authorize_cluster(Operation::Describe) {
        return denied(&request, &code.into());
    }
    let image = call.context.image();
    let mut users: BTreeMap<String, usize> = BTreeMap::new();
    for user in request.users.unwrap_or_default() {
        *users.entry(user.name.to_string()).or_default() += 1;
    }
    if users.is_empty() {
        // Without names, all users are described.
        let all = image.scram_credentials.keys();
        users.extend(all.map(|(user, _)| (user.to_string(), 1)));
    }
    DescribeUserScramCredentialsResponseData {
        error_message: Some(success()),
        results: users
            .into_iter()
            .map(|(user, times)| describe(&image, &user, times))
            .collect(),
        ..DescribeUserScramCredentialsResponseData::default()
    }
}

/// Refuses a request, as a whole and once for each user that it names.
fn denied(
    request: &DescribeUserScramCredentialsRequestData,
    error: &ApiError,
) -> DescribeUserScramCredentialsResponseData {
    let message = wire::text(&error.message);
    let users = request.users.iter().flatten();
    let results = users.map(|_| DescribeUserScramCredentialsResult {
        error_code: error.code.code(),
        error_message: Some(message.clone()),
        ..DescribeUserScramCredentialsResult::default()
    });
    DescribeUserScramCredentialsResponseData {
        error_code: error.code.code(),
        error_message: Some(message.clone()),
        results: results.collect(),
        ..DescribeUserScramCredentialsResponseData::default()
    }
}

/// Returns Kafka's message for success.
fn success() -> KafkaString {
    KafkaString::from_static("")
}

/// Describes a user that the request names `times` times.
fn describe(image: &MetadataImage, user: &str, times: usize) -> DescribeUserScramCredentialsResult {
    let credentials = ScramMechanism::ALL.into_iter().filter_map(|mechanism| {
        let key = (user.into(), mechanism);
        let found = image.scram_credentials.get(&key)?;
        Some(CredentialInfo {
            mechanism: mechanism as i8,
            iterations: i32::try_from(found.iterations).unwrap_or(i32::MAX),
            ..CredentialInfo::default()
        })
    });
    let credential_infos: Vec<_> = credentials.collect();
    let refused = if times > 1 {
        let message =
            "Cannot describe SCRAM credentials for the same user twice in a single request: ";
        Some((ErrorCode::DuplicateResource, message))
    } else if credential_infos.is_empty() {
        let message = "Attempt to describe a user credential that does not exist: ";
        Some((ErrorCode::ResourceNotFound, message))
    } else {
        None
    };
    let result = DescribeUserScramCredentialsResult {
        user: wire::text(user),
        ..DescribeUserScramCredentialsResult::default()
    };
    match refused {
        None => DescribeUserScramCredentialsResult {
            error_message: Some(success()),
            credential_infos,
            ..result
        },
        Some((code, message)) => DescribeUserScramCredentialsResult {
            error_code: code.code(),
            error_message: Some(wire::text(&format!("{message}{user}"))),
            ..result
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use dohle_model::scram::ScramCredential;

    use super::*;

    #[test]
    fn a_user_is_described_without_its_secrets() {
        let mut image = MetadataImage::default();
        let credential = ScramCredential {
            salt: Arc::from(*b"salt"),
            stored_key: Arc::from(*b"stored"),
            server_key: Arc::from(*b"server"),
            iterations: 8192,
        };
        for mechanism in ScramMechanism::ALL {
            let key = (Arc::from("alice"), mechanism);
            image
                .scram_credentials
                .insert(key, Arc::new(credential.clone()));
        }
        let described = describe(&image, "alice", 1);
        assert_eq!(described.error_code, 0);
        let infos = described.credential_infos.iter();
        let infos: Vec<_> = infos
            .map(|info| (info.mechanism, info.iterations))
            .collect();
        assert_eq!(infos, [(1, 8192), (2, 8192)]);
        let twice = describe(&image, "alice", 2);
        assert_eq!(twice.error_code, ErrorCode::DuplicateResource.code());
        assert!(twice.credential_infos.is_empty());
        let nobody = describe(&image, "bob", 1);
        assert_eq!(nobody.error_code, ErrorCode::ResourceNotFound.code());
        assert_eq!(
            nobody.error_message.unwrap().as_str(),
            "Attempt to describe a user credential that does not exist: bob"
        );
    }
}
