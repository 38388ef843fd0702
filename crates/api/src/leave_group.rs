//! LeaveGroup, versions 0–5: members leave their group; several at once from version 3 (KIP-345),
//! with a reason from 5 (KIP-800).

use dohle_protocol::messages::leave_group_request::LeaveGroupRequestData;
use dohle_protocol::messages::leave_group_response::LeaveGroupResponseData;

use super::Call;
use super::origin::Origin;

pub(super) async fn handle(call: Call, request: LeaveGroupRequestData) -> LeaveGroupResponseData {
    let group_id = request.group_id.clone();
    let origin = Origin::of(&call);
    let coordinator = &call.context.coordinator;
    let left = coordinator.run(group_id.as_str(), |shard, step| {
        shard.leave_group(&request, origin.caller(), step)
    });
    left.await.unwrap_or_else(|code| LeaveGroupResponseData {
        error_code: code.code(),
        ..LeaveGroupResponseData::default()
    })
}
