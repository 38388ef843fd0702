//! AlterUserScramCredentials, version 0: sets and removes SCRAM credentials of users (KIP-554).
//! Forwarded to the active controller.
//!
//! Clients send the salted password, never the password; the controller stores keys that are
//! derived from it.

use std::collections::BTreeSet;

use dohle_model::ApiError;
use dohle_model::acl::Operation;
use dohle_protocol::messages::{
    AlterUserScramCredentialsRequestData, AlterUserScramCredentialsResponseData,
    alter_user_scram_credentials_response as response,
};

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: AlterUserScramCredentialsRequestData,
) -> AlterUserScramCredentialsResponseData {
    let allowed = call.authorize_cluster(Operation::Alter);
    let refused = |error: &ApiError| refused(&request, error);
    call.forward_if(allowed, &request, refused).await
}

/// Refuses a request for each of its users.
fn refused(
    request: &AlterUserScramCredentialsRequestData,
    error: &ApiError,
) -> AlterUserScramCredentialsResponseData {
    let deleted = request.deletions.iter().map(|deletion| &deletion.name);
    let upserted = request.upsertions.iter().map(|it| &it.name);
    let users: BTreeSet<_> = deleted.chain(upserted).map(|it| it.to_string()).collect();
    let result = |user: String| response::AlterUserScramCredentialsResult {
        user: wire::text(&user),
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..response::AlterUserScramCredentialsResult::default()
    };
    AlterUserScramCredentialsResponseData {
        results: users.into_iter().map(result).collect(),
        ..AlterUserScramCredentialsResponseData::default()
    }
}
