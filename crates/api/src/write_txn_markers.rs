//! WriteTxnMarkers, versions 1 and 2: ends transactions in partitions that this broker leads, as
//! with acks=all. A partition where the transaction has ended before gets no second marker and no
//! error. Version 2 states whether the marker's epoch is above that of the records (KIP-1228).
//! Brokers write markers over a gRPC service of their own; this API is for tools that abort hanging
//! transactions (KIP-664).

use dohle_model::ErrorCode;
use dohle_model::acl::{Operation, ResourceType};
use dohle_protocol::messages::write_txn_markers_request::{
    WritableTxnMarker, WritableTxnMarkerTopic, WriteTxnMarkersRequestData,
};
use dohle_protocol::messages::write_txn_markers_response::{
    WritableTxnMarkerPartitionResult, WritableTxnMarkerResult, WritableTxnMarkerTopicResult,
    WriteTxnMarkersResponseData,
};

use super::{CLUSTER, Call};

pub(super) async fn handle(
    call: Call,
    request: WriteTxnMarkersRequestData,
) -> WriteTxnMarkersResponseData {
    if !call.is_visible(Operation::Alter, ResourceType::Cluster, CLUSTER)
        && let Err(code) = call.authorize_cluster(Operation::ClusterAction)
    {
        return refused(request, code);
    }
    call.context.partitions.write_txn_markers(request).await
}

fn refused(request: WriteTxnMarkersRequestData, code: ErrorCode) -> WriteTxnMarkersResponseData {
    let partition = |partition_index| WritableTxnMarkerPartitionResult {
        partition_index,
        error_code: code.code(),
        ..WritableTxnMarkerPartitionResult::default()
    };
    let topic = |topic: WritableTxnMarkerTopic| WritableTxnMarkerTopicResult {
        name: topic.name,
        partitions: topic.partition_indexes.into_iter().map(partition).collect(),
        ..WritableTxnMarkerTopicResult::default()
    };
    let marker = |marker: WritableTxnMarker| WritableTxnMarkerResult {
        producer_id: marker.producer_id,
        topics: marker.topics.into_iter().map(topic).collect(),
        ..WritableTxnMarkerResult::default()
    };
    WriteTxnMarkersResponseData {
        markers: request.markers.into_iter().map(marker).collect(),
        ..WriteTxnMarkersResponseData::default()
    }
}
