//! The APIs of share groups (KIP-932), which are switched off: ShareGroupHeartbeat 1,
//! ShareGroupDescribe 1, ShareFetch 1–2, ShareAcknowledge 1–2, DescribeShareGroupOffsets 0–1,
//! AlterShareGroupOffsets 0 and DeleteShareGroupOffsets 0.
//!
//! Each answers UNSUPPORTED_VERSION, as Kafka does while `share.version` is 0, the only level that
//! this release has: clients and user interfaces that ask find out, and keep their connection.
//! Nothing is authorized, since nothing is shown and nothing changes.

use dohle_model::ErrorCode;
use dohle_protocol::messages::describe_share_group_offsets_response as described;
use dohle_protocol::messages::share_group_describe_response::DescribedGroup;
use dohle_protocol::messages::{
    AlterShareGroupOffsetsRequestData, AlterShareGroupOffsetsResponseData,
    DeleteShareGroupOffsetsRequestData, DeleteShareGroupOffsetsResponseData,
    DescribeShareGroupOffsetsRequestData, DescribeShareGroupOffsetsResponseData,
    ShareAcknowledgeRequestData, ShareAcknowledgeResponseData, ShareFetchRequestData,
    ShareFetchResponseData, ShareGroupDescribeRequestData, ShareGroupDescribeResponseData,
    ShareGroupHeartbeatRequestData, ShareGroupHeartbeatResponseData,
};

use super::{Call, wire};

const SWITCHED_OFF: i16 = ErrorCode::UnsupportedVersion.code();

/// The reason, where the response has room for it.
const WHY: &str = "share groups are switched off: share.version is 0";

pub(super) async fn heartbeat(
    _call: Call,
    _request: ShareGroupHeartbeatRequestData,
) -> ShareGroupHeartbeatResponseData {
    ShareGroupHeartbeatResponseData {
        error_code: SWITCHED_OFF,
        ..ShareGroupHeartbeatResponseData::default()
    }
}

pub(super) async fn describe(
    _call: Call,
    request: ShareGroupDescribeRequestData,
) -> ShareGroupDescribeResponseData {
    let group = |group_id| DescribedGroup {
        group_id,
        error_code: SWITCHED_OFF,
        ..DescribedGroup::default()
    };
    ShareGroupDescribeResponseData {
        groups: request.group_ids.into_iter().map(group).collect(),
        ..ShareGroupDescribeResponseData::default()
    }
}

pub(super) async fn fetch(_call: Call, _request: ShareFetchRequestData) -> ShareFetchResponseData {
    ShareFetchResponseData {
        error_code: SWITCHED_OFF,
        ..ShareFetchResponseData::default()
    }
}

pub(super) async fn acknowledge(
    _call: Call,
    _request: ShareAcknowledgeRequestData,
) -> ShareAcknowledgeResponseData {
    ShareAcknowledgeResponseData {
        error_code: SWITCHED_OFF,
        ..ShareAcknowledgeResponseData::default()
    }
}

pub(super) async fn describe_offsets(
    _call: Call,
    request: DescribeShareGroupOffsetsRequestData,
) -> DescribeShareGroupOffsetsResponseData {
    let groups = request.groups.into_iter();
    let groups = groups.map(|group| described::DescribeShareGroupOffsetsResponseGroup {
        group_id: group.group_id,
        error_code: SWITCHED_OFF,
        ..described::DescribeShareGroupOffsetsResponseGroup::default()
    });
    DescribeShareGroupOffsetsResponseData {
        groups: groups.collect(),
        ..DescribeShareGroupOffsetsResponseData::default()
    }
}

pub(super) async fn alter_offsets(
    _call: Call,
    _request: AlterShareGroupOffsetsRequestData,
) -> AlterShareGroupOffsetsResponseData {
    AlterShareGroupOffsetsResponseData {
        error_code: SWITCHED_OFF,
        error_message: Some(wire::text(WHY)),
        ..AlterShareGroupOffsetsResponseData::default()
    }
}

pub(super) async fn delete_offsets(
    _call: Call,
    _request: DeleteShareGroupOffsetsRequestData,
) -> DeleteShareGroupOffsetsResponseData {
    DeleteShareGroupOffsetsResponseData {
        error_code: SWITCHED_OFF,
        error_message: Some(wire::text(WHY)),
        ..DeleteShareGroupOffsetsResponseData::default()
    }
}
