//! AlterClientQuotas, versions 0–1: sets and removes the quotas of users, client ids and addresses
//! (KIP-546, KIP-599, KIP-612). Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_model::acl::Operation;
use dohle_protocol::messages::alter_client_quotas_request::{
    AlterClientQuotasRequestData, EntityData,
};
use dohle_protocol::messages::alter_client_quotas_response::{
    AlterClientQuotasResponseData, EntityData as EntityResult, EntryData as EntryResult,
};

use super::{Call, wire};
use crate::context::REQUEST_TIMEOUT;

pub(super) async fn handle(
    call: Call,
    request: AlterClientQuotasRequestData,
) -> AlterClientQuotasResponseData {
    if let Err(code) = call.authorize_cluster(Operation::AlterConfigs) {
        return refused(request, &code.into());
    }
    let deadline = call.request.received + REQUEST_TIMEOUT;
    match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(request, &error),
    }
}

fn refused(
    request: AlterClientQuotasRequestData,
    error: &ApiError,
) -> AlterClientQuotasResponseData {
    let entity = |part: EntityData| EntityResult {
        entity_type: part.entity_type,
        entity_name: part.entity_name,
        ..EntityResult::default()
    };
    let entries = request.entries.into_iter().map(|entry| EntryResult {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        entity: entry.entity.into_iter().map(entity).collect(),
        ..EntryResult::default()
    });
    AlterClientQuotasResponseData {
        entries: entries.collect(),
        ..AlterClientQuotasResponseData::default()
    }
}
