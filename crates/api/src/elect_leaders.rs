//! ElectLeaders, versions 0–2: elects preferred leaders (KIP-183) or, from version 1, any live
//! replica where no replica is eligible (KIP-460). A request without partitions applies to all of
//! them; the response then lists only the partitions that needed an election. Forwarded to the
//! active controller.

use dohle_model::ErrorCode;
use dohle_protocol::messages::elect_leaders_request::ElectLeadersRequestData;
use dohle_protocol::messages::elect_leaders_response::ElectLeadersResponseData;

use super::{Call, wire};

pub(super) async fn handle(
    call: Call,
    request: ElectLeadersRequestData,
) -> ElectLeadersResponseData {
    let refused = |code: ErrorCode| ElectLeadersResponseData {
        error_code: code.code(),
        ..ElectLeadersResponseData::default()
    };
    // Elections are preferred (0) or unclean (1); version 0 has no type and elects preferred
    // leaders.
    if !(0..=1).contains(&request.election_type) {
        return refused(ErrorCode::InvalidRequest);
    }
    let deadline = wire::admin_deadline(call.request.received, request.timeout_ms);
    match call.forward(&request, deadline).await {
        Ok((response, _)) => response,
        Err(error) => refused(error.code),
    }
}
