//! SyncGroup, versions 0–5: distributes the assignment of a classic group. The leader sends the
//! assignments of all members; every other member waits for its own. Responses are sent once the
//! assignments are committed.
//!
//! Static members from version 3 (KIP-345); from 5 the protocol must be named (KIP-559).

use dohle_groups::SyncReply;
use dohle_groups::requests::SyncGroup;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::messages::sync_group_request::SyncGroupRequestData;
use dohle_protocol::messages::sync_group_response::SyncGroupResponseData;

use super::Call;
use super::origin::Origin;

pub(super) async fn handle(call: Call, request: SyncGroupRequestData) -> SyncGroupResponseData {
    sync(&call, request)
        .await
        .unwrap_or_else(|code| SyncGroupResponseData {
            error_code: code.code(),
            ..SyncGroupResponseData::default()
        })
}

async fn sync(
    call: &Call,
    request: SyncGroupRequestData,
) -> Result<SyncGroupResponseData, ErrorCode> {
    let is_named = request.protocol_type.is_some() && request.protocol_name.is_some();
    if call.version >= 5 && !is_named {
        return Err(ErrorCode::InconsistentGroupProtocol);
    }
    call.authorize(
        Operation::Read,
        ResourceType::Group,
        request.group_id.as_str(),
    )?;
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let origin = Origin::of(call);
    let sync = SyncGroup {
        request: &request,
        caller: origin.caller(),
    };
    let groups = &call.context.groups;
    let parked = groups.park(request.group_id.as_str(), &sync).await?;
    let SyncReply(response) = parked.reply().await?;
    Ok(response)
}
