//! CreateAcls, versions 1–3: adds ACLs, each with its own outcome (KIP-140, KIP-290; version 3 has
//! the resource type User, KIP-373). Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_protocol::messages::create_acls_request::CreateAclsRequestData;
use dohle_protocol::messages::create_acls_response::{AclCreationResult, CreateAclsResponseData};

use super::{Call, wire};

pub(super) async fn handle(call: Call, request: CreateAclsRequestData) -> CreateAclsResponseData {
    let allowed = call.authorize_acl_changes();
    let refused = |error: &ApiError| refused(&request, error);
    call.forward_if(allowed, &request, refused).await
}

fn refused(request: &CreateAclsRequestData, error: &ApiError) -> CreateAclsResponseData {
    let result = AclCreationResult {
        error_code: error.code.code(),
        error_message: Some(wire::text(&error.message)),
        ..AclCreationResult::default()
    };
    CreateAclsResponseData {
        results: vec![result; request.creations.len()],
        ..CreateAclsResponseData::default()
    }
}
