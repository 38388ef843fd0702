//! Heartbeat, versions 0–4: a member of a classic group is alive, and learns of a rebalance.
//!
//! While the coordinator loads, a heartbeat is answered as if all were well, as Kafka does: the
//! member goes on, and its session begins when the group is there.

use dohle_groups::requests::Heartbeat;
use dohle_model::ErrorCode;
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
