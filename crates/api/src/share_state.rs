//! The APIs of the coordinator of share groups (KIP-932), which brokers use among themselves and
//! which are switched off: InitializeShareGroupState 0, ReadShareGroupState 0, WriteShareGroupState
//! 0–1, DeleteShareGroupState 0 and ReadShareGroupStateSummary 0–1.
//!
//! Each answers NOT_COORDINATOR for each partition, as Kafka does while `share.version` is 0: no
//! broker coordinates share groups. A request without a group, or topics without partitions, has no
//! result. All need ClusterAction on the cluster.

use dohle_model::acl::Operation;
use dohle_model::{ApiError, ErrorCode};
use dohle_protocol::messages::{
    DeleteShareGroupStateRequestData, DeleteShareGroupStateResponseData,
    InitializeShareGroupStateRequestData, InitializeShareGroupStateResponseData,
    ReadShareGroupStateRequestData, ReadShareGroupStateResponseData,
    ReadShareGroupStateSummaryRequestData, ReadShareGroupStateSummaryResponseData,
    WriteShareGroupStateRequestData, WriteShareGroupStateResponseData,
};

use super::{Call, wire};

/// Returns the error of each partition.
fn error(call: &Call) -> ApiError {
    match call.authorize_cluster(Operation::ClusterAction) {
        Ok(()) => ErrorCode::NotCoordinator
            .because("share groups are switched off: no broker coordinates them"),
        Err(code) => code.into(),
    }
}

/// Implements an API: the error for each partition of the request.
macro_rules! refuse {
    ($name:ident, $request:ident -> $response:ident,
     $module:ident :: { $topic:ident, $partition:ident }) => {
        pub(super) async fn $name(call: Call, request: $request) -> $response {
            use dohle_protocol::messages::$module::{$partition, $topic};
            let error = error(&call);
            let denied = error.code == ErrorCode::ClusterAuthorizationFailed;
            let named = denied || !request.group_id.is_empty();
            let topics = request
                .topics
                .into_iter()
                .filter(|topic| named && (denied || !topic.partitions.is_empty()));
            let results = topics.map(|topic| $topic {
                topic_id: topic.topic_id,
                partitions: (topic.partitions.iter())
                    .map(|partition| $partition {
                        partition: partition.partition,
                        error_code: error.code.code(),
                        error_message: Some(wire::text(&error.message)),
                        ..$partition::default()
                    })
                    .collect(),
                ..$topic::default()
            });
            $response {
                results: results.collect(),
                ..$response::default()
            }
        }
    };
}

refuse!(initialize, InitializeShareGroupStateRequestData -> InitializeShareGroupStateResponseData,
    initialize_share_group_state_response::{ InitializeStateResult, PartitionResult });
refuse!(read, ReadShareGroupStateRequestData -> ReadShareGroupStateResponseData,
    read_share_group_state_response::{ ReadStateResult, PartitionResult });
refuse!(write, WriteShareGroupStateRequestData -> WriteShareGroupStateResponseData,
    write_share_group_state_response::{ WriteStateResult, PartitionResult });
refuse!(delete, DeleteShareGroupStateRequestData -> DeleteShareGroupStateResponseData,
    delete_share_group_state_response::{ DeleteStateResult, PartitionResult });
refuse!(read_summary,
    ReadShareGroupStateSummaryRequestData -> ReadShareGroupStateSummaryResponseData,
    read_share_group_state_summary_response::{ ReadStateSummaryResult, PartitionResult });
