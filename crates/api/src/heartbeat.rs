//! Heartbeat, versions 0–4: keeps a member of a classic group alive, and informs it of a rebalance.
//!
//! While the coordinator loads, a heartbeat is answered without an error, as in Kafka: the member
//! continues, and its session begins when the group is loaded.

use dohle_groups::requests::Heartbeat;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::messages::heartbeat_request::HeartbeatRequestData;
use dohle_protocol::messages::heartbeat_response::HeartbeatResponseData;

use super::Call;
use super::origin::Origin;

pub(super) async fn handle(call: Call, request: HeartbeatRequestData) -> HeartbeatResponseData {
    let beat = match beat(&call, request).await {
        Err(ErrorCode::CoordinatorLoadInProgress) => return HeartbeatResponseData::default(),
        beat => beat,
    };
    beat.unwrap_or_else(|code| HeartbeatResponseData {
        error_code: code.code(),
        ..HeartbeatResponseData::default()
    })
}

async fn beat(
    call: &Call,
    request: HeartbeatRequestData,
) -> Result<HeartbeatResponseData, ErrorCode> {
    call.authorize(
        Operation::Read,
        ResourceType::Group,
        request.group_id.as_str(),
    )?;
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let origin = Origin::of(call);
    let heartbeat = Heartbeat {
        request: &request,
        caller: origin.caller(),
    };
    let groups = &call.context.groups;
    groups.run(request.group_id.as_str(), &heartbeat).await
}
