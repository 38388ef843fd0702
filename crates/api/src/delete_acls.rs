//! DeleteAcls, versions 1–3: removes the ACLs that filters select, and lists them (KIP-140,
//! KIP-290; version 3 has the resource type User, KIP-373). Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_protocol::messages::delete_acls_request::DeleteAclsRequestData;
use dohle_protocol::messages::delete_acls_response::{
    DeleteAclsFilterResult, DeleteAclsResponseData,
};

use super::{Call, wire};

pub(super) async fn handle(call: Call, request: DeleteAclsRequestData) -> DeleteAclsResponseData {
    let allowed = call.authorize_acl_changes();
    let refused = |error: &ApiError| refused(&request, error);
    call.forward_if(allowed, &request, refused).await
}

fn refused(request: &DeleteAclsRequestData, error: &ApiError) -> DeleteAclsResponseData {
    let result = DeleteAclsFilterResult {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..DeleteAclsFilterResult::default()
    };
    DeleteAclsResponseData {
        filter_results: vec![result; request.filters.len()],
        ..DeleteAclsResponseData::default()
    }
}
