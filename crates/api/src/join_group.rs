//! JoinGroup, versions 0–9: a member of the classic protocol joins its group, and joins again at
//! each rebalance. The request is parked until the rebalance is complete.
//!
//! From version 4 a member without an id is given one and asked to join with it (KIP-394), static
//! members from 5 (KIP-345), `skip_assignment` in 9 (KIP-814).

use dohle_groups::JoinReply;
use dohle_groups::requests::JoinGroup;
use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::KafkaString;
use dohle_protocol::messages::join_group_request::JoinGroupRequestData;
use dohle_protocol::messages::join_group_response::JoinGroupResponseData;

use super::Call;
use super::origin::Origin;

pub(super) async fn handle(call: Call, request: JoinGroupRequestData) -> JoinGroupResponseData {
    let group_id = request.group_id.as_str();
    let member_id = request.member_id.clone();
    let mut response = match call.authorize(Operation::Read, ResourceType::Group, group_id) {
        Ok(()) => match join(&call, request).await {
            Ok(response) => response,
            Err(code) => refused(member_id, code),
        },
        // Kafka's answer has no member.
        Err(code) => refused(KafkaString::default(), code),
    };
    if call.version >= 7
        && response
            .protocol_name
            .as_ref()
            .is_some_and(|name| name.is_empty())
    {
        // In versions before 7 the codec encodes null as an empty string.
        response.protocol_name = None;
    }
    response
}

async fn join(
    call: &Call,
    request: JoinGroupRequestData,
) -> Result<JoinGroupResponseData, ErrorCode> {
    if request.group_id.is_empty() {
        return Err(ErrorCode::InvalidGroupId);
    }
    let origin = Origin::of(call);
    let join = JoinGroup {
        request: &request,
        caller: origin.caller(),
    };
    let groups = &call.context.groups;
    let parked = groups.park(request.group_id.as_str(), &join).await?;
    let JoinReply(response) = parked.reply().await?;
    Ok(response)
}

fn refused(member_id: KafkaString, code: ErrorCode) -> JoinGroupResponseData {
    JoinGroupResponseData {
        error_code: code.code(),
        member_id,
        ..JoinGroupResponseData::default()
    }
}
