//! StreamsGroupHeartbeat 0 and StreamsGroupDescribe 0 (KIP-1071), which are switched off.
//!
//! Both answer UNSUPPORTED_VERSION, as Kafka does while `streams.version` is 0, the only level that
//! this release has. Nothing is authorized, since nothing is shown and nothing changes.

use dohle_model::ErrorCode;
use dohle_protocol::messages::streams_group_describe_response::DescribedGroup;
use dohle_protocol::messages::{
    StreamsGroupDescribeRequestData, StreamsGroupDescribeResponseData,
    StreamsGroupHeartbeatRequestData, StreamsGroupHeartbeatResponseData,
};

use super::Call;

const SWITCHED_OFF: i16 = ErrorCode::UnsupportedVersion.code();

pub(super) async fn heartbeat(
    _call: Call,
    _request: StreamsGroupHeartbeatRequestData,
) -> StreamsGroupHeartbeatResponseData {
    StreamsGroupHeartbeatResponseData {
        error_code: SWITCHED_OFF,
        status: Some(Vec::new()),
        ..StreamsGroupHeartbeatResponseData::default()
    }
}

pub(super) async fn describe(
    _call: Call,
    request: StreamsGroupDescribeRequestData,
) -> StreamsGroupDescribeResponseData {
    let group = |group_id| DescribedGroup {
        group_id,
        error_code: SWITCHED_OFF,
        ..DescribedGroup::default()
    };
    StreamsGroupDescribeResponseData {
        groups: request.group_ids.into_iter().map(group).collect(),
        ..StreamsGroupDescribeResponseData::default()
    }
}
