//! The APIs of features that are switched off.

use dohle_model::ErrorCode as Code;
use dohle_protocol::messages as m;
use dohle_protocol::{KafkaUuid, uuid};

use super::{CLUSTER_DENIED, Case, case, name};

const OFF: i16 = Code::UnsupportedVersion as i16;

pub(super) fn cases(topic_id: KafkaUuid) -> Vec<Case> {
    let mut cases = groups();
    cases.extend(share_state(topic_id));
    cases.extend(voters());
    cases
}

fn groups() -> Vec<Case> {
    let share = m::ShareGroupDescribeRequestData {
        group_ids: vec![name("s")],
        ..Default::default()
    };
    let streams = m::StreamsGroupDescribeRequestData {
        group_ids: vec![name("s")],
        ..Default::default()
    };
    let offsets = m::DescribeShareGroupOffsetsRequestData {
        groups: vec![Default::default()],
        ..Default::default()
    };
    vec![
        case!(ShareGroupHeartbeat 1, m::ShareGroupHeartbeatRequestData::default(),
            |r: m::ShareGroupHeartbeatResponseData| [r.error_code], [OFF]),
        case!(ShareGroupDescribe 1, share,
            |r: m::ShareGroupDescribeResponseData| [r.groups[0].error_code], [OFF]),
        case!(ShareFetch 1, m::ShareFetchRequestData::default(),
            |r: m::ShareFetchResponseData| [r.error_code], [OFF]),
        case!(ShareAcknowledge 1, m::ShareAcknowledgeRequestData::default(),
            |r: m::ShareAcknowledgeResponseData| [r.error_code], [OFF]),
        case!(DescribeShareGroupOffsets 1, offsets,
            |r: m::DescribeShareGroupOffsetsResponseData| [r.groups[0].error_code], [OFF]),
        case!(AlterShareGroupOffsets 0, m::AlterShareGroupOffsetsRequestData::default(),
            |r: m::AlterShareGroupOffsetsResponseData| [r.error_code], [OFF]),
        case!(DeleteShareGroupOffsets 0, m::DeleteShareGroupOffsetsRequestData::default(),
            |r: m::DeleteShareGroupOffsetsResponseData| [r.error_code], [OFF]),
        case!(StreamsGroupHeartbeat 0, m::StreamsGroupHeartbeatRequestData::default(),
            |r: m::StreamsGroupHeartbeatResponseData| [r.error_code], [OFF]),
        case!(StreamsGroupDescribe 0, streams,
            |r: m::StreamsGroupDescribeResponseData| [r.groups[0].group.error_code], [OFF]),
        case!(StreamsGroupTopologyDescriptionUpdate 0,
            m::StreamsGroupTopologyDescriptionUpdateRequestData::default(),
            |r: m::StreamsGroupTopologyDescriptionUpdateResponseData| [r.error_code], [OFF]),
    ]
}

/// A request of an API of the coordinator of share groups, about one partition.
macro_rules! of_state {
    ($key:ident, $request:ident -> $response:ident,
     $module:ident :: { $topic:ident, $partition:ident }, $topic_id:expr) => {{
        use m::$module::{$partition, $topic};
        let topic = $topic {
            topic_id: $topic_id,
            partitions: vec![$partition::default()],
            ..$topic::default()
        };
        let request = m::$request {
            group_id: name("s"),
            topics: vec![topic],
            ..Default::default()
        };
        case!($key 0, request,
            |r: m::$response| [r.results[0].partitions[0].error_code], [CLUSTER_DENIED])
    }};
}

fn share_state(topic_id: KafkaUuid) -> Vec<Case> {
    vec![
        of_state!(InitializeShareGroupState,
            InitializeShareGroupStateRequestData -> InitializeShareGroupStateResponseData,
            initialize_share_group_state_request::{ InitializeStateData, PartitionData },
            topic_id),
        of_state!(ReadShareGroupState,
            ReadShareGroupStateRequestData -> ReadShareGroupStateResponseData,
            read_share_group_state_request::{ ReadStateData, PartitionData }, topic_id),
        of_state!(WriteShareGroupState,
            WriteShareGroupStateRequestData -> WriteShareGroupStateResponseData,
            write_share_group_state_request::{ WriteStateData, PartitionData }, topic_id),
        of_state!(DeleteShareGroupState,
            DeleteShareGroupStateRequestData -> DeleteShareGroupStateResponseData,
            delete_share_group_state_request::{ DeleteStateData, PartitionData }, topic_id),
        of_state!(ReadShareGroupStateSummary,
            ReadShareGroupStateSummaryRequestData -> ReadShareGroupStateSummaryResponseData,
            read_share_group_state_summary_request::{ ReadStateSummaryData, PartitionData },
            topic_id),
    ]
}

fn voters() -> Vec<Case> {
    let add = m::AddRaftVoterRequestData {
        voter_id: 9,
        voter_directory_id: uuid([7; 16]),
        ..Default::default()
    };
    let remove = m::RemoveRaftVoterRequestData {
        voter_id: 9,
        voter_directory_id: uuid([7; 16]),
        ..Default::default()
    };
    vec![
        case!(AddRaftVoter 1, add,
            |r: m::AddRaftVoterResponseData| [r.error_code], [CLUSTER_DENIED]),
        case!(RemoveRaftVoter 0, remove,
            |r: m::RemoveRaftVoterResponseData| [r.error_code], [CLUSTER_DENIED]),
    ]
}
