//! LeaveGroup, versions 0–5: members leave their group; several at once from version 3 (KIP-345),
//! with a reason from 5 (KIP-800).

use dohle_model::ErrorCode;
use dohle_protocol::messages::leave_group_request::{LeaveGroupRequestData, MemberIdentity};
use dohle_protocol::messages::leave_group_response::LeaveGroupResponseData;

use super::Call;
use crate::coordinator::Origin;

pub(super) async fn handle(call: Call, request: LeaveGroupRequestData) -> LeaveGroupResponseData {
    leave(&call, request).await.unwrap_or_else(refused)
}

async fn leave(
    call: &Call,
    mut request: LeaveGroupRequestData,
) -> Result<LeaveGroupResponseData, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    if call.version <= 2 {
        // One member, in a field of its own.
        request.members = vec![MemberIdentity {
            member_id: std::mem::take(&mut request.member_id),
            ..MemberIdentity::default()
        }];
    }
    let group_id = request.group_id.clone();
    let origin = Origin::of(call);
    let coordinator = &call.context.coordinator;
    let mut response = coordinator
        .run(group_id.as_str(), |shard, step| {
            shard.leave_group(request, origin.caller(), step)
        })
        .await?;
    if call.version <= 2 {
        // The one member's outcome is the response's.
        if let Some(member) = response.members.pop()
            && response.error_code == 0
        {
            response.error_code = member.error_code;
        }
        response.members.clear();
    }
    Ok(response)
}

fn refused(code: ErrorCode) -> LeaveGroupResponseData {
    LeaveGroupResponseData {
        error_code: code.code(),
        ..LeaveGroupResponseData::default()
    }
}
