//! CreateAcls, versions 1–3: adds ACLs, each with its own outcome (KIP-140, KIP-290; version 3 has
//! the resource type User, KIP-373). Forwarded to the active controller.

use dohle_model::ApiError;
use dohle_protocol::messages::create_acls_request::CreateAclsRequestData;
use dohle_protocol::messages::create_acls_response::{AclCreationResult, CreateAclsResponseData};

use super::{Call, wire};
use crate::context::REQUEST_TIMEOUT;

pub(super) async fn handle(call: Call, request: CreateAclsRequestData) -> CreateAclsResponseData {
    if let Err(error) = call.authorize_acl_changes() {
        return refused(&request, &error);
    }
    let deadline = call.request.received + REQUEST_TIMEOUT;
    match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(&request, &error),
    }
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
