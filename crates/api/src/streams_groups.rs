//! StreamsGroupHeartbeat 0–1, StreamsGroupDescribe 0–1 (KIP-1071) and
//! StreamsGroupTopologyDescriptionUpdate 0 (KIP-1331), which are switched off.
//!
//! All answer UNSUPPORTED_VERSION, as Kafka does while `streams.version` is 0, the only level that
//! this release has. Nothing is authorized, since nothing is shown and nothing changes.

use dohle_model::ErrorCode;
use dohle_protocol::messages::streams_group_describe_response::{self, DescribedGroup};
use dohle_protocol::messages::{
    StreamsGroupDescribeRequestData, StreamsGroupDescribeResponseData,
    StreamsGroupHeartbeatRequestData, StreamsGroupHeartbeatResponseData,
    StreamsGroupTopologyDescriptionUpdateRequestData,
    StreamsGroupTopologyDescriptionUpdateResponseData,
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
        group: streams_group_describe_response::Group {
            group_id,
            error_code: SWITCHED_OFF,
            ..streams_group_describe_response::Group::default()
        },
        ..DescribedGroup::default()
    };
    StreamsGroupDescribeResponseData {
        groups: request.group_ids.into_iter().map(group).collect(),
        ..StreamsGroupDescribeResponseData::default()
    }
}

pub(super) async fn update_topology_description(
    _call: Call,
    _request: StreamsGroupTopologyDescriptionUpdateRequestData,
) -> StreamsGroupTopologyDescriptionUpdateResponseData {
    StreamsGroupTopologyDescriptionUpdateResponseData {
        error_code: SWITCHED_OFF,
        ..StreamsGroupTopologyDescriptionUpdateResponseData::default()
    }
}
