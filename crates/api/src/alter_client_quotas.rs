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

pub(super) async fn handle(
    call: Call,
    request: AlterClientQuotasRequestData,
) -> AlterClientQuotasResponseData {
    let allowed = call.authorize_cluster(Operation::AlterConfigs);
    let refused = |error: &ApiError| refused(&request, error);
    call.forward_if(allowed, &request, refused).await
}

fn refused(
    request: &AlterClientQuotasRequestData,
    error: &ApiError,
) -> AlterClientQuotasResponseData {
    let entity = |part: &EntityData| EntityResult {
        entity_type: part.entity_type.clone(),
        entity_name: part.entity_name.clone(),
        ..EntityResult::default()
    };
    let entries = request.entries.iter().map(|entry| EntryResult {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        entity: entry.entity.iter().map(entity).collect(),
        ..EntryResult::default()
    });
    AlterClientQuotasResponseData {
        entries: entries.collect(),
        ..AlterClientQuotasResponseData::default()
    }
}
