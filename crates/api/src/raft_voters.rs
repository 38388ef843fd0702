//! AddRaftVoter 0–1 and RemoveRaftVoter 0 (KIP-853), which a quorum with static voters refuses.
//!
//! A request that names another cluster, or no voter, is refused for that; each other one with
//! UNSUPPORTED_VERSION, as Kafka does while `kraft.version` is 0, the only level that this release
//! has. This broker answers itself: no controller has another answer.

use std::sync::Arc;

use dohle_config::BrokerValues;
use dohle_config::keys::broker as keys;
use dohle_model::acl::Operation;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::{
    AddRaftVoterRequestData, AddRaftVoterResponseData, RemoveRaftVoterRequestData,
    RemoveRaftVoterResponseData,
};
use dohle_protocol::{KafkaString, KafkaUuid};

use super::{Call, wire};

pub(super) async fn add(call: Call, request: AddRaftVoterRequestData) -> AddRaftVoterResponseData {
    let voter = Voter {
        cluster_id: request.cluster_id.as_ref(),
        id: request.voter_id,
        directory_id: request.voter_directory_id,
    };
    let error = refusal(&call, &voter, || {
        let names = request
            .listeners
            .iter()
            .map(|listener| listener.name.as_str());
        has_controller_listener(&call, names)
    });
    AddRaftVoterResponseData {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..AddRaftVoterResponseData::default()
    }
}

pub(super) async fn remove(
    call: Call,
    request: RemoveRaftVoterRequestData,
) -> RemoveRaftVoterResponseData {
    let voter = Voter {
        cluster_id: request.cluster_id.as_ref(),
        id: request.voter_id,
        directory_id: request.voter_directory_id,
    };
    let error = refusal(&call, &voter, || Ok(()));
    RemoveRaftVoterResponseData {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..RemoveRaftVoterResponseData::default()
    }
}

struct Voter<'a> {
    cluster_id: Option<&'a KafkaString>,
    id: i32,
    directory_id: KafkaUuid,
}

/// Returns why a request is refused, in Kafka's order of checks.
fn refusal(
    call: &Call,
    voter: &Voter,
    listeners: impl FnOnce() -> Result<(), ApiError>,
) -> ApiError {
    let refused = || -> Result<(), ApiError> {
        call.authorize_cluster(Operation::Alter)?;
        is_of_this_cluster(call, voter)?;
        if voter.id < 0 || voter.directory_id == KafkaUuid::ZERO {
            let message =
                "the request names no voter: an id from 0 on and a directory id are needed";
            return Err(ErrorCode::InvalidRequest.because(message));
        }
        listeners()
    };
    refused().err().unwrap_or_else(|| {
        ErrorCode::UnsupportedVersion.because(
            "the voters of this cluster are those of controller.quorum.voters: kraft.version is 0",
        )
    })
}

fn is_of_this_cluster(call: &Call, voter: &Voter) -> Result<(), ApiError> {
    let own = &call.context.cluster_id;
    match voter.cluster_id {
        Some(id) if id.as_str() != own => Err(ErrorCode::InconsistentClusterId.because(format!(
            "the request is for the cluster {id}, and this is {own}"
        ))),
        _ => Ok(()),
    }
}

/// Requires an address of the listener that controllers use among themselves, the first of
/// `controller.listener.names`.
fn has_controller_listener<'a>(
    call: &Call,
    mut names: impl Iterator<Item = &'a str>,
) -> Result<(), ApiError> {
    let values = BrokerValues::fixed(Arc::clone(&call.context.properties));
    let wanted = values.list(&keys::CONTROLLER_LISTENER_NAMES).next();
    let wanted = wanted.unwrap_or_default();
    if names.any(|name| name.eq_ignore_ascii_case(wanted)) {
        return Ok(());
    }
    let message = format!("the request has no address of the voter's listener {wanted}");
    Err(ErrorCode::InvalidRequest.because(message))
}
