//! LeaveGroup, versions 0–5: members leave their group; several at once from version 3 (KIP-345),
//! with a reason from 5 (KIP-800).

use dohle_groups::requests::LeaveGroup;
use dohle_protocol::messages::leave_group_request::LeaveGroupRequestData;
use dohle_protocol::messages::leave_group_response::LeaveGroupResponseData;

use super::Call;
use super::origin::Origin;

pub(super) async fn handle(call: Call, request: LeaveGroupRequestData) -> LeaveGroupResponseData {
    let origin = Origin::of(&call);
    let leave = LeaveGroup {
        request: &request,
        caller: origin.caller(),
    };
    let groups = &call.context.groups;
    let left = groups.run(request.group_id.as_str(), &leave);
    left.await.unwrap_or_else(|code| LeaveGroupResponseData {
        error_code: code.code(),
        ..LeaveGroupResponseData::default()
    })
}
