//! WriteTxnMarkers, versions 1 and 2: ends transactions in partitions that this broker leads, as
//! with acks=all. A partition where the transaction has ended before gets no second marker and no
//! error. Version 2 states whether the marker's epoch is above that of the records (KIP-1228).
//! Brokers write markers over a gRPC service of their own; this API is for tools that abort hanging
//! transactions (KIP-664).

use dohle_protocol::messages::write_txn_markers_request::WriteTxnMarkersRequestData;
use dohle_protocol::messages::write_txn_markers_response::WriteTxnMarkersResponseData;

use super::Call;

pub(super) async fn handle(
    call: Call,
    request: WriteTxnMarkersRequestData,
) -> WriteTxnMarkersResponseData {
    call.context.partitions.write_txn_markers(request).await
}
