//! LeaveGroup, versions 0–5: members leave their group; several at once from version 3 (KIP-345),
//! with a reason from 5 (KIP-800).

use dohle_groups::requests::LeaveGroup;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::messages::leave_group_request::LeaveGroupRequestData;
use dohle_protocol::messages::leave_group_response::LeaveGroupResponseData;

use super::Call;
use super::origin::Origin;

pub(super) async fn handle(call: Call, request: LeaveGroupRequestData) -> LeaveGroupResponseData {
    leave(&call, request)
        .await
        .unwrap_or_else(|code| LeaveGroupResponseData {
            error_code: code.code(),
            ..LeaveGroupResponseData::default()
        })
}

async fn leave(
    call: &Call,
    request: LeaveGroupRequestData,
) -> Result<LeaveGroupResponseData, ErrorCode> {
    let group_id = request.group_id.as_str();
    call.authorize(Operation::Read, ResourceType::Group, group_id)?;
    let origin = Origin::of(call);
    let leave = LeaveGroup {
        request: &request,
        caller: origin.caller(),
    };
    call.context.groups.run(group_id, &leave).await
}
